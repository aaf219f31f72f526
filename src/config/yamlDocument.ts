/**
 * Parses YAML in bounded time and memory, whatever it is: how much there is, and how deep, is known before anything
 * recursive looks at it.
 */
import { Composer, isAlias, isMap, isNode, isScalar, isSeq, Parser, visit, YAMLParseError } from "yaml"
import type { CST, Document, LineCounter } from "yaml"

/** What makes a file too much to be a config. */
export interface Excess {
  readonly offset: number
  readonly message: string
  readonly expected: string
}

/** How many values a config may have; 10,000 folders have some 100,000. */
const maxValues = 500_000
/** Maps and lists within each other. */
const maxDepth = 64
/** Look-ups of anchors, each of which goes through all that is before it. */
const maxLookUps = 200_000_000

export const parse = (
  source: string,
  lines: LineCounter
): { readonly document: Document.Parsed; readonly excess: undefined } | { readonly excess: Excess } => {
  const tokens = Array.from(new Parser(lines.addNewLine).parse(source))
  const excess = excessOf(tokens)
  if (excess !== undefined) return { excess }
  // whether a key is there twice it asks by comparing each with each
  const composer = new Composer({ stringKeys: true, merge: true, uniqueKeys: false, logLevel: "error" })
  const [document, second] = composer.compose(tokens, true, source.length)
  if (document === undefined) return { excess: { offset: 0, message: "the file is empty", expected: "a YAML file" } }
  if (second !== undefined) {
    const [begin, end] = second.range
    document.errors.push(new YAMLParseError([begin, end], "MULTIPLE_DOCS", "more than one document"))
  }
  markTwice(document)
  const excessive = aliasExcess(document)
  return excessive === undefined ? { document, excess: undefined } : { excess: excessive }
}

/** Goes over the syntax without recursion, and stops at what is too much. */
const excessOf = (tokens: ReadonlyArray<CST.Token>): Excess | undefined => {
  let count = 0
  const waiting: Array<readonly [token: CST.Token, depth: number]> = tokens.map((token) => [token, 0])
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [token, depth] = next
    count += 1
    if (count > maxValues) {
      return { offset: 0, message: "there is too much in it for a config", expected: `${maxValues} values at most` }
    }
    if (depth > maxDepth) {
      const offset = "offset" in token ? token.offset : 0
      return { offset, message: "lists and maps are too deep in each other", expected: `${maxDepth} levels at most` }
    }
    if (token.type === "document" && token.value !== undefined) waiting.push([token.value, depth])
    if ("items" in token) {
      for (const { key, value } of token.items) {
        if (key) waiting.push([key, depth + 1])
        if (value) waiting.push([value, depth + 1])
      }
    }
  }
  return undefined
}

/** Marks keys that are there twice, as the parser would. */
const markTwice = (document: Document.Parsed): void => {
  visit(document, {
    Map: (_, { items }) => {
      const seen = new Set<unknown>()
      for (const { key } of items) {
        if (!isScalar(key)) continue
        const [begin = 0, end = 0] = key.range ?? []
        if (seen.has(key.value)) {
          document.errors.push(new YAMLParseError([begin, end], "DUPLICATE_KEY", "Map keys must be unique"))
        }
        seen.add(key.value)
      }
    }
  })
}

/** How much there would be with a copy for each alias, and whether one stands within what it stands for. */
const aliasExcess = (document: Document.Parsed): Excess | undefined => {
  const sizes = new Map<string, number>()
  const open = new Set<string>()
  let nodes = 0
  let aliases = 0
  let first = 0
  let cycle: number | undefined
  // no deeper than maxDepth
  const weigh = (node: unknown): number => {
    if (!isNode(node)) return 0
    nodes += 1
    const [offset = 0] = node.range ?? []
    if (isAlias(node)) {
      if (aliases === 0) first = offset
      aliases += 1
      if (open.has(node.source)) cycle ??= offset
      return sizes.get(node.source) ?? 1
    }
    const { anchor } = node
    if (anchor !== undefined) open.add(anchor)
    let size = 1
    if (isMap(node)) for (const { key, value } of node.items) size += weigh(key) + weigh(value)
    if (isSeq(node)) for (const item of node.items) size += weigh(item)
    if (anchor !== undefined) {
      open.delete(anchor)
      sizes.set(anchor, size)
    }
    return size
  }
  const size = weigh(document.contents)
  if (cycle !== undefined) {
    return { offset: cycle, message: "an alias (*name) within what it stands for", expected: "the values themselves" }
  }
  return size > maxValues || nodes * aliases > maxLookUps
    ? { offset: first, message: "too many aliases (*name) of aliases", expected: "the values themselves" }
    : undefined
}
