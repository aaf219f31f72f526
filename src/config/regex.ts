/**
 * The expressions of the config, and what people try in them that RE2 has not.
 */
import { Either } from "effect"
import * as Regex from "../route/Regex.ts"

export const title = "a regular expression (RE2), such as ^INV-(?<number>[0-9]+)"

/** Why this can't be an expression for so many characters of text; by default for as many as a name has. */
export const fault = (pattern: string, within?: number): Regex.Fault | undefined =>
  Either.match(Regex.compile(pattern, within), {
    onLeft: (found) => lacking(pattern) ?? found,
    onRight: () => undefined
  })

/** The names of its groups; none where it is no expression. */
export const groupsOf = (pattern: string): ReadonlyArray<string> =>
  Either.match(Regex.compile(pattern), { onLeft: () => [], onRight: ({ groups }) => groups })

const lacking = (pattern: string): Regex.Fault | undefined => {
  if (/\(\?<?[=!]/.test(pattern)) {
    return {
      message: "it looks ahead or behind, which may take for ever, so that RE2 has it not",
      expected: "match.not for what must not be there"
    }
  }
  if (/\\[1-9]|\\k[<{']/.test(pattern)) {
    return {
      message: "it refers back to a group, which may take for ever, so that RE2 has it not",
      expected: "an expression without \\1 and \\k"
    }
  }
  if (/\(\?>|[*+?}]\+/.test(pattern)) {
    return { message: "RE2 has no possessive or atomic parts", expected: "the plain form: nothing takes long here" }
  }
  const [, name] = /\(\?P?<([^>]+)>.*\(\?P?<\1>/s.exec(pattern) ?? []
  if (name !== undefined) {
    return { message: `two of its groups are called ${name}`, expected: "a name of its own for each group" }
  }
  return /^[*?]/.test(pattern)
    ? { message: `nothing stands before its ${pattern.slice(0, 1)}`, expected: "glob: for a pattern such as *.pdf" }
    : undefined
}
