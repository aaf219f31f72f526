/**
 * What a file must have for a rule to hold, as keys that can be looked up: so a file meets only those folders that it
 * may belong to. A key never leaves out a file that matches; it may let in one that does not.
 */
import { braceExpand } from "minimatch"
import type { Rule } from "../domain/Rule.ts"
import { literals } from "./RegexLiterals.ts"
import { fold } from "./Rules.ts"

/** When a key can be looked up: by the file's name, its type, or its text. */
export type Stage = "name" | "type" | "text"

/**
 * `ext` (in lower case), `end` (what follows the last dot), `base` (the name), `path` (it, or a directory above it),
 * `part` (a text in the path), `source`, `size` (from:to, in bytes); `type` and `types` (`image/`); `folded` and `raw`: a text in the text.
 */
export type Kind = "ext" | "end" | "base" | "path" | "part" | "source" | "size" | "type" | "types" | "folded" | "raw"

export interface Key {
  readonly _tag: "Key"
  readonly stage: Stage
  readonly kind: Kind
  readonly value: string
  /** Of a text: how many characters are looked at; else 0. */
  readonly within: number
}

/** A key; `All`: any one of them will do; `Any`: it takes all of them; undefined: nothing can be looked up. */
export type Need =
  | Key
  | { readonly _tag: "All"; readonly needs: ReadonlyArray<Need> }
  | { readonly _tag: "Any"; readonly needs: ReadonlyArray<Need> }
  | undefined

/** Shorter texts are in too many files. */
export const minPart = 3

/** More alternatives are not worth it. */
const maxAlternatives = 64

const key = (kind: Kind, value: string, stage: Stage = "name", within = 0): Key => ({
  _tag: "Key",
  stage,
  kind,
  value,
  within
})

const all = (needs: ReadonlyArray<Need>): Need => {
  const sure = needs.filter((need) => need !== undefined)
  return sure.length === 0 ? undefined : { _tag: "All", needs: sure }
}

const any = (needs: ReadonlyArray<Need>): Need =>
  needs.length === 0 || needs.includes(undefined) ? undefined : { _tag: "Any", needs }

export const needOf = (rule: Rule): Need => {
  switch (rule._tag) {
    case "All":
      return all(rule.rules.map(needOf))
    case "Any":
      return any(rule.rules.map(needOf))
    case "Extensions":
      return any(rule.extensions.map((extension) => key("ext", extension)))
    case "Sources":
      return any(rule.sources.map((source) => key("source", source)))
    case "Glob":
      return any(rule.globs.map(globNeed))
    case "Regex":
      return all(long(literals(rule.pattern)).map((text) => key("part", text)))
    case "Mime":
      return any(
        rule.types.map((type) => {
          if (type === "*/*") return undefined
          return type.endsWith("/*") ? key("types", type.slice(0, -1), "type") : key("type", type, "type")
        })
      )
    case "Content": {
      const { pattern, text, within } = rule
      return all([
        ...long(text === null ? [] : [fold(text)]).map((one) => key("folded", one, "text", within)),
        ...long(pattern === null ? [] : literals(pattern)).map((one) => key("raw", one, "text", within))
      ])
    }
    case "Size":
      return key("size", `${rule.min ?? 0}:${rule.max ?? Infinity}`)
    case "Exclude":
    case "Age":
    case "Not":
      return undefined
  }
}

const globNeed = (glob: string): Need => {
  if (/\\|[?*+@!]\(/.test(glob)) return undefined
  const plain = glob.includes("{") ? braceExpand(glob, { braceExpandMax: maxAlternatives + 1 }) : [glob]
  return plain.length > maxAlternatives ? undefined : any(plain.map(plainGlobNeed))
}

const plainGlobNeed = (glob: string): Need => {
  const segments = glob.split("/")
  if (/[{}()]/.test(glob) || segments.some((one) => one === "" || one === "." || one === "..")) return undefined
  const isLiteral = (segment: string) => !/[*?[\]]/.test(segment)
  const magic = segments.findIndex((segment) => !isLiteral(segment))
  const head = segments.slice(0, magic < 0 ? segments.length : magic)
  const last = segments.at(-1) ?? ""
  // sets in brackets may hold anything
  const tail = last.slice(Math.max(last.lastIndexOf("*"), last.lastIndexOf("?"), last.lastIndexOf("]")) + 1)
  const texts = segments.flatMap((segment) => segment.replace(/\[.*\]/g, "*").split(/[*?[\]]+/))
  return all([
    ...(head.length === 0 ? [] : [key("path", head.join("/"))]),
    ...(magic >= 0 && isLiteral(last) ? [key("base", last)] : []),
    ...(!isLiteral(last) && tail.includes(".") ? [key("end", tail.slice(tail.lastIndexOf(".") + 1))] : []),
    ...long(texts).map((text) => key("part", text))
  ])
}

const long = (texts: ReadonlyArray<string>): ReadonlyArray<string> => texts.filter((text) => text.length >= minPart)

/** Every key of it. */
export const keysOf = (need: Need): ReadonlyArray<Key> => {
  if (need === undefined) return []
  return need._tag === "Key" ? [need] : need.needs.flatMap(keysOf)
}

/** For the look-up by text. */
export const idOf = ({ kind, value, within }: Key): string => `${kind}:${within}:${value}`

/** Ranges of sizes hold many files: only where there is nothing else. */
const worse = 1e9

/** The keys of one stage that are to be looked up, so that as few others as can be have the same; undefined: none do. */
export const pick = (
  need: Need,
  stage: Stage,
  uses: ReadonlyMap<string, number>
): { readonly keys: ReadonlyArray<Key>; readonly score: number } | undefined => {
  if (need === undefined) return undefined
  if (need._tag === "Key") {
    const score = (uses.get(idOf(need)) ?? 0) + (need.kind === "size" ? worse : 0)
    return need.stage === stage ? { keys: [need], score } : undefined
  }
  const picked = need.needs.map((one) => pick(one, stage, uses))
  const found = picked.filter((one) => one !== undefined)
  if (need._tag === "All") {
    return found.reduce<ReturnType<typeof pick>>(
      (best, one) => (best === undefined || one.score < best.score ? one : best),
      undefined
    )
  }
  if (found.length < picked.length) return undefined
  return { keys: found.flatMap(({ keys }) => keys), score: found.reduce((sum, { score }) => sum + score, 0) }
}
