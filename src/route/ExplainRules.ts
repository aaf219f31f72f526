/**
 * Rules in words: what each wants, and what the file has.
 */
import { Either } from "effect"
import type { Predicate } from "../domain/Explanation.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Rule } from "../domain/Rule.ts"
import * as Glob from "./Glob.ts"
import * as Regex from "./Regex.ts"
import * as Rules from "./Rules.ts"

/** The key of the config under which people know a rule. */
const keys: Readonly<Record<Rule["_tag"], string>> = {
  Extensions: "extensions",
  Glob: "glob",
  Exclude: "exclude",
  Sources: "sources",
  Regex: "regex",
  Size: "size",
  Age: "age",
  Mime: "mime",
  Content: "content",
  All: "all",
  Any: "any",
  Not: "not"
}

/** What a rule says of a file. What is not known of the subject by now stays so. */
export const predicate = (node: Rules.Node, subject: Rules.Subject): Predicate => {
  const { parts, rule } = node
  const matched = node.test(subject)
  const said = { predicate: keys[rule._tag], matched }
  if (rule._tag !== "All" && rule._tag !== "Any" && rule._tag !== "Not") return { ...said, ...inWords(rule, subject) }
  const below = parts.map((part) => predicate(part, subject))
  const count = (answer: boolean | null) => below.filter((part) => part.matched === answer).length
  const unknown = count(null) === 0 ? "" : `, ${count(null)} unknown`
  return {
    ...said,
    wanted: rule._tag === "Not" ? "not its part" : rule._tag === "Any" ? "one of its parts" : "all of its parts",
    had: `${count(true)} of ${below.length} ${count(true) === 1 ? "holds" : "hold"}${unknown}`,
    parts: below
  }
}

/** A list, in which nothing can move a cursor or end a line. */
export const listOf = (values: ReadonlyArray<string>): string =>
  values.length === 0 ? "(nothing)" : values.map(plainly).join(", ")

/** As {@link RelPath.display}, but a backslash of a pattern is one. */
export const plainly = (text: string): string => RelPath.display(text).replaceAll("\\\\", "\\")

/** As people count: `12 bytes`, `1 MiB` where it is exact. */
export const bytes = (size: number): string => {
  const unit = [1024 ** 4, 1024 ** 3, 1024 ** 2, 1024].findIndex((one) => size >= one && size % one === 0)
  const names = ["TiB", "GiB", "MiB", "KiB"]
  const name = names[unit]
  return name === undefined ? `${size} ${size === 1 ? "byte" : "bytes"}` : `${size / 1024 ** (4 - unit)} ${name}`
}

/** As people tell it: `2d 3h 4s`. */
export const duration = (milliseconds: number): string => {
  const parts: Array<string> = []
  let rest = Math.floor(milliseconds)
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size)
    rest -= count * size
    if (count > 0) parts.push(`${count}${unit}`)
  }
  return parts.length === 0 ? "0s" : parts.join(" ")
}

const units = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
  ["ms", 1]
] as const

type Words = Pick<Predicate, "wanted" | "had">
type Simple = Exclude<Rule, { readonly _tag: "All" | "Any" | "Not" }>

const inWords = (rule: Simple, subject: Rules.Subject): Words => {
  const file = RelPath.display(subject.path)
  switch (rule._tag) {
    case "Extensions":
      return { wanted: `one of ${listOf(rule.extensions)}`, had: extension(subject.base, rule.extensions) }
    case "Sources":
      return { wanted: `from ${listOf(rule.sources)}`, had: `from ${plainly(subject.source)}` }
    case "Glob":
    case "Exclude": {
      const hit = rule.globs.find((glob) => Glob.compile(glob)(subject.path))
      return {
        wanted: `${rule._tag === "Glob" ? "one" : "none"} of ${listOf(rule.globs)}`,
        had: hit === undefined ? `${file} matches none` : `${file} matches ${plainly(hit)}`
      }
    }
    case "Regex":
      return {
        wanted: `a name that matches ${plainly(rule.pattern)}`,
        had: `${RelPath.display(subject.base)}${captured(rule.pattern, subject.base)}`
      }
    case "Size":
      return { wanted: range(rule, bytes), had: subject.size === null ? absent : bytes(subject.size) }
    case "Age":
      return { wanted: range(rule, duration), had: subject.age === null ? absent : duration(subject.age) }
    case "Mime": {
      const { mime } = subject
      const had = mime === undefined ? unread(subject) : mime === null ? "no type that is known" : plainly(mime)
      return { wanted: `one of ${listOf(rule.types)}`, had }
    }
    case "Content":
      return content(rule, subject)
  }
}

/** All extensions that a name has, or the one that is wanted. */
export const extension = (name: string, wanted: ReadonlyArray<string>): string => {
  const hit = Rules.extensionOf(new Set(wanted), name)
  if (hit !== undefined) return RelPath.display(hit)
  const had = Rules.suffixes(name, 10).map((suffix) => RelPath.display(suffix))
  return had.reverse().join(", ") || "no extension"
}

const content = (rule: Extract<Rule, { readonly _tag: "Content" }>, subject: Rules.Subject): Words => {
  const wishes = [
    ...(rule.text === null ? [] : [`"${plainly(rule.text)}" in any case`]),
    ...(rule.pattern === null ? [] : [`a match of ${plainly(rule.pattern)}`])
  ]
  const wanted = `${wishes.join(" and ")} in the first ${rule.within} characters`
  const read = subject.texts.get(rule.within)
  if (read === undefined) return { wanted, had: unread(subject) }
  if (read._tag === "NoText") return { wanted, had: plainly(read.why) }
  const length = `${read.text.length} characters${read.cut ? ", and more after them" : ""}`
  return { wanted, had: `${length}${rule.pattern === null ? "" : captured(rule.pattern, read.text, rule.within)}` }
}

/** The groups of a match, where there are any. */
const captured = (pattern: string, text: string, within?: number): string => {
  const found = Either.getOrUndefined(Regex.compile(pattern, within))?.capture(text) ?? []
  return found.length === 0 ? "" : ` (${found.map(([name, value]) => `${name} = ${short(value)}`).join(", ")})`
}

const short = (value: string): string => plainly(value.length > 60 ? `${value.slice(0, 60)}…` : value)

const absent = "unknown: there is no such file"

const unread = ({ found }: Rules.Subject): string => (found === null ? absent : "unknown: it was not read")

const range = (
  { max, min }: { readonly min: number | null; readonly max: number | null },
  format: (value: number) => string
): string => {
  if (min === null) return max === null ? "any" : `at most ${format(max)}`
  return max === null ? `at least ${format(min)}` : `from ${format(min)} to ${format(max)}`
}
