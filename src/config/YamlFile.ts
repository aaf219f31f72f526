/**
 * A YAML file with the place of each of its values.
 */
import { isAlias, isMap, isNode, isPair, isScalar, isSeq, LineCounter, visit } from "yaml"
import type { Document, Node, YAMLError } from "yaml"
import { formatPath, type Problem } from "./ConfigError.ts"
import { safeName } from "./headers.ts"
import { safeText } from "./TargetUrl.ts"
import { type Environment, expand } from "./Variables.ts"
import * as YamlDocument from "./yamlDocument.ts"

export type Path = ReadonlyArray<PropertyKey>

export interface YamlFile {
  /** The content with variables expanded; undefined where it could not be read as a map. */
  readonly value: Readonly<Record<string, unknown>> | undefined
  /** What is wrong with it as YAML, and with its variables. */
  readonly problems: ReadonlyArray<Problem>
  /** A problem at the value of this path, or at the nearest thing around it that the file has. */
  readonly problem: (path: Path, message: string, expected: string) => Problem
  /** A problem at a part of the text at this path; at all of it, where the part can't be found there. */
  readonly partProblem: (path: Path, part: string, message: string, expected: string) => Problem
  /** A problem at the key itself. */
  readonly keyProblem: (path: Path, message: string, expected: string) => Problem
}

/** Keys whose value is never shown. */
export const secretKeys: ReadonlySet<PropertyKey> = new Set([
  "token",
  "headers",
  "passphrase",
  "secretKey",
  "sessionToken"
])

/** A path with nothing in it but the names of keys. */
const safePath = (path: Path): Path =>
  path.map((key, index) => (path[index - 1] === "headers" ? safeName(String(key)) : key))

export const parse = (source: string, env: Environment): YamlFile => {
  const lines = new LineCounter()
  const at = (offset: number) => {
    const { col, line } = lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  const plain = (message: string, expected: string, offset = 0): Problem => ({
    ...at(offset),
    path: "",
    text: "",
    message,
    expected
  })
  const parsed = YamlDocument.parse(mask(source), lines)
  if (parsed.excess !== undefined) {
    const { expected, message, offset } = parsed.excess
    const problem = (): Problem => plain(message, expected, offset)
    const problems = [problem()]
    return { value: undefined, problems, problem, partProblem: problem, keyProblem: problem }
  }
  const { document } = parsed
  const textAt = (node: Node | undefined, path: Path): string => {
    if (!isScalar(node) || !node.range || path.some((key) => secretKeys.has(key))) return ""
    const raw = source.slice(node.range[0], node.range[1]).trim()
    if (raw.includes("-----BEGIN")) return "-----BEGIN…"
    if (/age-secret-key-/i.test(raw)) return "AGE-SECRET-KEY-…"
    return oneLine(safeText(raw.replace(/^(["'])(.*)\1$/s, "$2")))
  }
  const problem = (path: Path, message: string, expected: string): Problem => {
    const found = find(document, path)
    return {
      ...at(offsetOf(found.node)),
      path: formatPath(safePath(path)),
      text: found.exact ? textAt(found.node, path) : "",
      message,
      expected
    }
  }
  const partProblem = (path: Path, part: string, message: string, expected: string): Problem => {
    const whole = problem(path, message, expected)
    const { exact, node } = find(document, path)
    if (!exact || !isScalar(node) || !node.range || part === "" || whole.text === "") return whole
    const [begin, end] = node.range
    const index = source.slice(begin, end).indexOf(part)
    return index < 0 ? whole : { ...whole, ...at(begin + index), text: oneLine(part) }
  }
  const keyProblem = (path: Path, message: string, expected: string): Problem => {
    const parent = find(document, path.slice(0, -1)).node
    const pair = isMap(parent)
      ? parent.items.find((item) => isScalar(item.key) && item.key.value === path.at(-1))
      : undefined
    const node = isNode(pair?.key) ? pair.key : parent
    return {
      ...at(offsetOf(node)),
      path: formatPath(safePath(path)),
      text: isNode(pair?.key) ? String(safePath(path).at(-1)) : "",
      message,
      expected
    }
  }
  const base = { problem, partProblem, keyProblem }

  const faults = [...document.errors, ...document.warnings]
  if (faults.length > 0) {
    return { ...base, value: undefined, problems: faults.map((fault) => syntaxProblem(fault, source, document, plain)) }
  }
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) {
    return { ...base, value: undefined, problems: [plain("the file is empty", "source: and folders: in it")] }
  }
  if (!isMap(document.contents)) {
    return {
      ...base,
      value: undefined,
      problems: [plain("not a map of keys and values", "source: and folders: at the top", offsetOf(document.contents))]
    }
  }
  const problems = [...expandAll(document, source, env, at), ...danglingAliases(document, source, plain)]
  if (problems.some((one) => one.message === noAnchor)) return { ...base, value: undefined, problems }
  // how much that is was measured before
  const value: unknown = document.toJS({ maxAliasCount: -1 })
  return isRecord(value) ? { ...base, value, problems } : { ...base, value: undefined, problems }
}

const oneLine = (text: string): string => {
  const line = text.split("\n", 1)[0] ?? ""
  return line.length < text.length || line.length > 80 ? `${line.slice(0, 80)}…` : line
}

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/**
 * `${X}` would end a plain text within `{ }` and `[ ]`; so its marks are parsed as other characters, one for one, that no
 * text has.
 */
export const mask = (source: string): string => source.replace(/\$\{([^{}\n]*)\}/g, "\ufdd0\ufdd1$1\ufdd2")

const unmask = (text: string): string =>
  text.replaceAll("\ufdd0", "$").replaceAll("\ufdd1", "{").replaceAll("\ufdd2", "}")

const noAnchor = "no such anchor"

const danglingAliases = (
  document: Document.Parsed,
  source: string,
  plain: (message: string, expected: string, offset: number) => Problem
): ReadonlyArray<Problem> => {
  const problems: Array<Problem> = []
  const anchors = new Set<string>()
  visit(document, {
    Node: (_, node) => {
      if ("anchor" in node && typeof node.anchor === "string") anchors.add(node.anchor)
      if (!isAlias(node) || anchors.has(node.source)) return
      const [begin = 0, end = 0] = node.range ?? []
      problems.push({ ...plain(noAnchor, "&name at an earlier value", begin), text: source.slice(begin, end) })
    }
  })
  return problems
}

/** Expands the variables of every text in place, and takes extensions such as `001` as the text that they are. */
const expandAll = (
  document: Document.Parsed,
  source: string,
  env: Environment,
  at: (offset: number) => { readonly line: number; readonly column: number }
): ReadonlyArray<Problem> => {
  const problems: Array<Problem> = []
  visit(document, {
    Scalar: (key, node, ancestors) => {
      if (typeof node.value === "string") node.value = unmask(node.value)
      if (key === "key") return
      if (typeof node.value !== "string") {
        const list = ancestors.at(-2)
        const inExtensions = isPair(list) && isScalar(list.key) && list.key.value === "extensions"
        if (inExtensions && node.value !== null && node.source !== undefined) node.value = node.source
        return
      }
      const expanded = expand(node.value, env)
      if (expanded.faults.length > 0) {
        const begin = node.range?.[0] ?? 0
        const raw = source.slice(begin, node.range?.[1] ?? begin)
        const path = formatPath(safePath(pathOf(document, node) ?? []))
        for (const { expected, message, text } of expanded.faults) {
          problems.push({ ...at(begin + Math.max(0, raw.indexOf(text))), path, text, message, expected })
        }
      }
      node.value = expanded.value
    }
  })
  return problems
}

/** The node of a path; where there is none, the nearest one around it. */
const find = (document: Document.Parsed, path: Path): { readonly node: Node | undefined; readonly exact: boolean } => {
  let node: Node | undefined = document.contents ?? undefined
  for (const key of path) {
    const inside: unknown = isMap(node) || isSeq(node) ? node.get(key, true) : undefined
    const next = isAlias(inside) ? inside.resolve(document) : inside
    if (!isNode(next)) return { node, exact: false }
    node = next
  }
  return { node, exact: true }
}

const offsetOf = (node: Node | undefined): number => node?.range?.[0] ?? 0

/** The path at which a node, or a key, stands. */
const pathOf = (document: Document.Parsed, wanted: Node): Path | undefined => {
  const search = (node: unknown, path: Path): Path | undefined => {
    if (node === wanted) return path
    if (isSeq(node)) {
      for (const [index, item] of node.items.entries()) {
        const found = search(item, [...path, index])
        if (found !== undefined) return found
      }
    }
    if (isMap(node)) {
      for (const { key, value } of node.items) {
        const below = [...path, isScalar(key) ? String(key.value) : "?"]
        const found = key === wanted ? below : search(value, below)
        if (found !== undefined) return found
      }
    }
    return undefined
  }
  return search(document.contents, [])
}

const syntaxProblem = (
  error: YAMLError,
  source: string,
  document: Document.Parsed,
  plain: (message: string, expected: string, offset: number) => Problem
): Problem => {
  const [offset] = error.pos
  switch (error.code) {
    case "DUPLICATE_KEY": {
      let path = ""
      visit(document, {
        Scalar: (key, node) => {
          if (key === "key" && node.range?.[0] === offset) path = formatPath(pathOf(document, node) ?? [])
        }
      })
      const text = /^["']?([^\s"':]*)/.exec(source.slice(offset))?.[1] ?? ""
      return { ...plain("the key is there twice", "each key once", offset), path, text }
    }
    case "TAB_AS_INDENT":
      return plain("a tab as indentation", "spaces", offset)
    case "MULTIPLE_DOCS":
      return plain("more than one document", "one document, without ---", offset)
    case "TAG_RESOLVE_FAILED":
      return plain("a tag that means nothing here", "a value without !", offset)
    case "NON_STRING_KEY":
      return plain("a key that is not text", "text as keys", offset)
    default:
      // some of its messages quote the file after a colon, which may hold a password
      return plain(`not YAML: ${error.message.replace(/: ".*$/s, "")}`, "", offset)
  }
}
