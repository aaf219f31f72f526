/**
 * The log as a file to keep: CSV or a JSON array, entry by entry, so that it takes no memory however long it is.
 */
import { Chunk, Stream } from "effect"
import { LogEntry } from "../domain/LogEntry.ts"

export type Format = "csv" | "json"

export const contentTypes = { csv: "text/csv; charset=utf-8", json: "application/json" } as const

/** All entries as one text. */
export const encode = <E, R>(format: Format, entries: Stream.Stream<LogEntry, E, R>): Stream.Stream<string, E, R> =>
  format === "csv"
    ? Stream.concat(
        Stream.succeed(line(fields)),
        Stream.mapChunks(entries, (chunk) => joined(chunk, csv))
      )
    : Stream.concat(Stream.succeed("["), json(entries)).pipe(Stream.concat(Stream.succeed("\n]\n")))

const fields = Object.keys(LogEntry.fields)

/** RFC 4180. */
const csv = (entry: LogEntry): string => {
  const values = new Map<string, unknown>(Object.entries(entry))
  return line(fields.map((field) => values.get(field)))
}

const line = (values: ReadonlyArray<unknown>): string => `${values.map(cell).join(",")}\r\n`

/**
 * A spreadsheet takes a text that begins like a formula for one, and would run what a file's name says: with a quote
 * mark before it, it is text (OWASP, "CSV Injection").
 */
const cell = (value: unknown): string => {
  if (value === null || value === undefined) return ""
  const text = typeof value === "string" && /^[=+\-@\t\r\n＝＋－＠]/.test(value) ? `'${value}` : String(value)
  return /[",\r\n\t']/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

const json = <E, R>(entries: Stream.Stream<LogEntry, E, R>): Stream.Stream<string, E, R> =>
  Stream.mapChunks(Stream.zipWithIndex(entries), (chunk) =>
    joined(chunk, ([entry, index]) => `${index === 0 ? "\n" : ",\n"}${JSON.stringify(entry)}`)
  )

/** A page becomes one text: a write for each entry would cost more than the entry. */
const joined = <A>(chunk: Chunk.Chunk<A>, text: (one: A) => string): Chunk.Chunk<string> =>
  Chunk.of(Chunk.toReadonlyArray(chunk).map(text).join(""))
