/**
 * The log's rows, as both who writes and who reads them need them.
 */
import type { SqlError } from "@effect/sql"
import { Option, type ParseResult } from "effect"
import type { LogEntry } from "../domain/LogEntry.ts"
import { LogError } from "./LogRepo.ts"
import { sqlReason } from "./sqlReason.ts"

/** The columns that an entry has from the start. */
export const columns = [
  "id",
  "filename",
  "source",
  "destination",
  "extension",
  "worker",
  "protocol",
  "status",
  "size",
  "byte_size",
  "reason",
  "created",
  "file_created",
  "file_modified",
  "sha256",
  "sent_size",
  "sent_sha256",
  "verified",
  "route",
  "attempts",
  "duration_ms",
  "delivery"
] as const satisfies ReadonlyArray<keyof LogEntry>

/** A LogError that says what was being done, and why it could not. */
export const wrap =
  (doing: string) =>
  (error: SqlError.SqlError | ParseResult.ParseError): LogError =>
    new LogError({ reason: sqlReason(doing, error), cause: Option.some(error) })
