/**
 * What was found out about targets, for people and for programs.
 */
import type { Finding } from "../deliver/Destination.ts"
import type { Result } from "./DoctorProbe.ts"
import { onTerminal } from "./Output.ts"

/** Whether files can be delivered there, as far as is known. */
export const isSound = ({ findings }: Result): boolean => findings.every(({ state }) => state !== "no")

const marks: { readonly [State in Finding["state"]]: { readonly sign: string; readonly color: number } } = {
  yes: { sign: "✓", color: 32 },
  limit: { sign: "!", color: 33 },
  no: { sign: "✗", color: 31 },
  unknown: { sign: "?", color: 2 }
}

/** A target with what was found out about it. Marks for people, words for programs; colours where they are wanted. */
export const block = (
  result: Result,
  terminal = onTerminal("stdout"),
  colors = terminal && process.env["NO_COLOR"] === undefined
): string => {
  const paint = (code: number, text: string) => (colors ? `\u001b[${code}m${text}\u001b[0m` : text)
  const { findings, folders, target } = result
  const width = Math.max(...findings.map(({ what }) => what.length))
  const lines = findings.flatMap(({ found, state, therefore, what }) => {
    const { color, sign } = marks[state]
    const mark = terminal ? sign : state.padEnd("unknown".length)
    const head = `  ${paint(color, mark)} ${what.padEnd(width)}  ${sentence(found)}`
    const indent = " ".repeat(2 + mark.length + 1 + width + 2)
    return therefore === "" ? [head] : [head, paint(2, `${indent}${terminal ? "→ " : ""}${sentence(therefore)}`)]
  })
  const names = folders.length === 0 ? "" : ` (${folders.join(", ")})`
  return [`${paint(1, target.url)}${names}`, ...lines, `  ${verdict(result)}`, ""].join("\n")
}

/** With a capital where it begins with a plain word, and an end. */
const sentence = (text: string): string => {
  const begun = text.replace(/^[a-z]+(?=[ ,])/, (word) => `${word.charAt(0).toUpperCase()}${word.slice(1)}`)
  return /[.!?…)]$/.test(begun) ? begun : `${begun}.`
}

const verdict = (result: Result): string => {
  if (!isSound(result)) return "Nothing can be delivered there as it is."
  const known = result.findings.some(({ state, what }) => what === "writable" && state !== "unknown")
  return known
    ? "Files can be delivered there."
    : "Nothing speaks against it; whether files can be delivered is not known."
}

export const json = (results: ReadonlyArray<Result>): string =>
  JSON.stringify(
    results.map((result) => ({
      target: result.target.url,
      lane: result.target.lane,
      folders: result.folders,
      ok: isSound(result),
      findings: result.findings
    })),
    null,
    2
  )

export const summary = (results: ReadonlyArray<Result>): string => {
  const bad = results.filter((result) => !isSound(result))
  const count = results.length === 1 ? "1 target" : `${results.length} targets`
  return bad.length === 0
    ? `${count}: nothing stands in the way.`
    : `${count}: nothing can be delivered to ${bad.map(({ target }) => target.url).join(", ")}.`
}
