/**
 * Which files a config's folder takes, in one line.
 */
import { formatBytes, formatDuration } from "../config/Quantity.ts"
import type { Rule } from "../domain/Rule.ts"
import type { Route } from "../domain/Settings.ts"
import * as RelPath from "../domain/RelPath.ts"

/** `pdf, png`; `every file`; `pdf, size from 1KiB, not (content draft)`; `what no other folder takes`. */
export const filesOf = ({ extensions, otherwise, rules }: Route): string => {
  const said = [...(extensions === undefined ? [] : [extensions.join(", ")]), ...rules.map(ruleSaid)]
  const files = said.length > 0 ? said.join("; ") : otherwise ? "" : "every file"
  return otherwise ? ["what no other folder takes", files].filter((text) => text !== "").join("; ") : files
}

/** How its files are sent, where that is not as usual. */
export const orderOf = ({ order, priority }: Route): string =>
  [priority === 0 ? "" : `priority ${priority}`, order === "arrival" ? "" : `${order} first`]
    .filter((text) => text !== "")
    .map((text) => `, ${text}`)
    .join("")

const ruleSaid = (rule: Rule): string => {
  switch (rule._tag) {
    case "Extensions":
      return `extensions ${rule.extensions.join(", ")}`
    case "Glob":
      return `glob ${plain(rule.globs.join(", "))}`
    case "Exclude":
      return `exclude ${plain(rule.globs.join(", "))}`
    case "Sources":
      return `from ${plain(rule.sources.join(", "))}`
    case "Regex":
      return `regex ${plain(rule.pattern)}`
    case "Size":
      return `size${range(rule, formatBytes)}`
    case "Age":
      return `age${range(rule, formatDuration)}`
    case "Mime":
      return `mime ${rule.types.join(", ")}`
    case "Content":
      return `content ${plain(rule.text ?? rule.pattern ?? "")}`
    case "All":
      return rule.rules.map(ruleSaid).join(" and ")
    case "Any":
      return `any of (${rule.rules.map(ruleSaid).join("; ")})`
    case "Not":
      return `not (${ruleSaid(rule.rule)})`
  }
}

const range = (
  { max, min }: { readonly min: number | null; readonly max: number | null },
  format: (value: number) => string
): string => `${min === null ? "" : ` from ${format(min)}`}${max === null ? "" : ` to ${format(max)}`}`

/** Nothing in it can move a cursor or end a line; a backslash of a pattern is one. */
const plain = (text: string): string => RelPath.display(text).replaceAll("\\\\", "\\")
