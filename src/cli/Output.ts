/**
 * What a command says: data on stdout, everything else on stderr, and on a terminal a status line below it all.
 */
import { Effect } from "effect"

/** Whether people read the stream as it is written. */
export const onTerminal = (stream: "stdout" | "stderr"): boolean => process[stream].isTTY === true

/** A line of data. */
export const line = (text: string): Effect.Effect<void> => raw(`${text}\n`)

/** Data as it is. Waits where whoever reads it is slower, so that no more of it is held here than must be. */
export const raw = (text: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    writeAbove(process.stdout, text)
    return process.stdout.writableNeedDrain ? drained : Effect.void
  })

const drained = Effect.async<void>((resume) => {
  const done = () => resume(Effect.void)
  process.stdout.once("drain", done)
  return Effect.sync(() => process.stdout.removeListener("drain", done))
})

/** Resolves when all that was said has left the process, which a pipe takes 64 KiB at a time. */
export const flushed = (): Promise<unknown> =>
  Promise.all(
    [process.stdout, process.stderr].map(
      (stream) =>
        new Promise<void>((resolve) => (stream.writableLength === 0 ? resolve() : stream.write("", () => resolve())))
    )
  )

/** A line for people. */
export const note = (text: string): Effect.Effect<void> => Effect.sync(() => noteUnsafe(text))

/** {@link note} for callers that are no effects. */
export const noteUnsafe = (text: string): void => writeAbove(process.stderr, `${text}\n`)

/** Replaces the status line; an empty text removes it. Nothing where stderr is not a terminal. */
export const status = (text: string): Effect.Effect<void> =>
  Effect.sync(() => {
    if (!onTerminal("stderr")) return
    current = text
    process.stderr.write(`${clear}${fit(text)}`)
  })

/** A table with aligned columns on a terminal, tab-separated values otherwise; the header is for people only. */
export const table = (
  header: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
  aligned = onTerminal("stdout")
): Effect.Effect<void> => {
  if (rows.length === 0) return Effect.void
  const cells = rows.map((row) => row.map(inert))
  if (!aligned) return line(cells.map((row) => row.join("\t")).join("\n"))
  const all = [header, ...cells]
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)))
  return line(
    all
      .map((row) =>
        row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join("  ")
          .trimEnd()
      )
      .join("\n")
  )
}

/** A log entry that others have stored may have any text in it: no cell ends its line or moves the cursor. */
const inert = (cell: string): string =>
  cell.replace(
    // oxlint-disable-next-line no-control-regex
    /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (char) => `\\u{${char.charCodeAt(0).toString(16)}}`
  )

let current = ""

/** Back to the first column, and erase the line. */
const clear = "\r\u001b[2K"

const fit = (text: string): string => text.slice(0, Math.max(0, (process.stderr.columns || 80) - 1))

const writeAbove = (stream: NodeJS.WriteStream, text: string): void => {
  if (current !== "") process.stderr.write(clear)
  stream.write(text)
  if (current !== "") process.stderr.write(fit(current))
}
