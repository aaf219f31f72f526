/**
 * A log entry: what people read of one concluded delivery.
 */
import { Schema } from "effect"
import { Verified } from "./Delivery.ts"

export const LogStatus = Schema.Literal("SUCCEEDED", "FAILED")
export type LogStatus = typeof LogStatus.Type

const isoDate = Schema.String.annotations({
  description: "ISO 8601, in UTC",
  examples: ["2026-01-31T12:00:00.000Z"]
})

export const LogEntry = Schema.Struct({
  id: Schema.UUID,
  filename: Schema.String,
  /** The source's directory. */
  source: Schema.String,
  /** The target, without secrets. */
  destination: Schema.String,
  /** Without the dot, lower case; empty where the name has none. */
  extension: Schema.String,
  /** `File worker`, `HTTP worker`, `FTP worker`, … */
  worker: Schema.String,
  /** `file`, `http`, `ftp`, … */
  protocol: Schema.String,
  status: LogStatus,
  /** For people: `12.00 KB`. */
  size: Schema.String,
  byte_size: Schema.Number,
  /** Null unless failed. */
  reason: Schema.NullOr(Schema.String),
  /** When it was concluded. */
  created: isoDate,
  file_created: Schema.NullOr(isoDate),
  file_modified: Schema.NullOr(isoDate),
  /** Of the source file, in hex. */
  sha256: Schema.NullOr(Schema.String),
  /** Where the file was compressed or encrypted on its way: the bytes that arrived; null: those of the source. */
  sent_size: Schema.NullOr(Schema.Number),
  /** Their sha256, in hex. */
  sent_sha256: Schema.NullOr(Schema.String),
  verified: Schema.NullOr(Verified),
  route: Schema.NullOr(Schema.String),
  attempts: Schema.NullOr(Schema.Int),
  duration_ms: Schema.NullOr(Schema.Number),
  delivery: Schema.NullOr(Schema.Int),
  /** When the file was put back in its source; left out where it was not. */
  undone: Schema.optionalWith(isoDate, { exact: true })
})
export interface LogEntry extends Schema.Schema.Type<typeof LogEntry> {}

/** `12.00 KB`: two decimals, powers of 1024, as the original tool wrote them. */
export const formatSize = (bytes: number): string => {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${value.toFixed(2)} ${units[unit]}`
}

const units = ["B", "KB", "MB", "GB", "TB", "PB"]

/** The last extension of a name, lower case and without its dot; a leading dot does not make one. */
export const extensionOf = (filename: string): string => {
  const dot = filename.lastIndexOf(".")
  return dot > 0 ? filename.slice(dot + 1).toLowerCase() : ""
}
