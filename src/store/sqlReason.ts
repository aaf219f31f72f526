/**
 * What a failed statement means for people: the database's own words, and what to do about the usual ones.
 */
import type { SqlError } from "@effect/sql/SqlError"
import { ParseResult } from "effect"

/** `doing` says what was not done: `the log could not be read`. */
export const sqlReason = (doing: string, error: SqlError | ParseResult.ParseError): string => {
  if (ParseResult.isParseError(error)) {
    return `${doing}: the database holds a row that this version can't read (${ParseResult.TreeFormatter.formatErrorSync(error).split("\n").at(-1)?.trim() ?? ""})`
  }
  const cause = error.cause
  const words = cause instanceof Error ? cause.message : error.message
  const code = cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : ""
  const advice = advices.find(([prefix]) => code.startsWith(prefix))?.[1]
  return advice === undefined ? `${doing}: ${words}` : `${doing}: ${words}; ${advice}`
}

const advices: ReadonlyArray<readonly [string, string]> = [
  ["SQLITE_FULL", "make room on the file system of the database"],
  ["SQLITE_READONLY", "let this user write to the database and to its directory"],
  ["SQLITE_CANTOPEN", "let this user read and write the database and its directory"],
  ["SQLITE_CORRUPT", "the database is damaged: stop the program, put the file aside, and start again"],
  ["SQLITE_NOTADB", "that file is not a database: choose another with --db"],
  ["SQLITE_BUSY", "another program holds the database: close it"],
  ["SQLITE_LOCKED", "another program holds the database: close it"],
  ["SQLITE_IOERR", "look at the disk of the database, and at the system's log"]
]
