/**
 * The log's totals by folder, extension and time: kept in the transaction that stores or removes the entries.
 */
import type { SqlClient, SqlError } from "@effect/sql"
import { Effect, Schema } from "effect"
import type { LogEntry } from "../domain/LogEntry.ts"
import { extensionKey, mostExtensions, otherExtensions, timeBucket } from "./logRollUps.ts"

/** What the totals are made of, of one entry. */
export const Counted = Schema.Struct({
  status: Schema.String,
  byte_size: Schema.Number,
  route: Schema.NullOr(Schema.String),
  extension: Schema.String,
  duration_ms: Schema.NullOr(Schema.Number)
})
type Counted = typeof Counted.Type

export const make = (sql: SqlClient.SqlClient) => {
  const run = (statement: string, params: ReadonlyArray<unknown>): Effect.Effect<unknown, SqlError.SqlError> =>
    sql.unsafe(statement, params).raw

  const add = Effect.fnUntraced(function* (entries: ReadonlyArray<LogEntry>) {
    const folders = new Map<string, Total>()
    const extensions = new Map<string, Total>()
    const times = new Map<string, Total>()
    for (const entry of entries) {
      const { byte_size, duration_ms, status } = entry
      const day = entry.created.slice(0, 10)
      sum(folders, [day, entry.route ?? "", status], byte_size)
      sum(extensions, [day, extensionKey(entry.extension), status], byte_size)
      if (isTimed(entry)) sum(times, [day, timeBucket(duration_ms ?? 0)], byte_size)
    }
    for (const { bytes, files, key } of folders.values()) yield* run(addFolder, [...key, files, bytes])
    for (const { bytes, files, key } of extensions.values()) {
      const [day, extension, status] = key
      yield* run(addExtension, [day, day, extension, day, extension, status, files, bytes])
    }
    const counts = Array.from(times.values(), ({ files, key }) => [...key, files])
    let from = 0
    for (const [size, statement] of addTimes) {
      for (; counts.length - from >= size; from += size) yield* run(statement, counts.slice(from, from + size).flat())
    }
  })

  const remove = Effect.fnUntraced(function* (entry: Counted & { readonly day: string }) {
    const { byte_size, day, duration_ms, status } = entry
    yield* sql`UPDATE log_folders SET files = files - 1, bytes = bytes - ${byte_size}
      WHERE day = ${day} AND folder = ${entry.route ?? ""} AND status = ${status}`
    yield* sql`DELETE FROM log_folders WHERE day = ${day} AND files <= 0`
    const extension = extensionKey(entry.extension)
    yield* sql`UPDATE log_extensions SET files = files - 1, bytes = bytes - ${byte_size}
      WHERE day = ${day} AND status = ${status} AND extension = CASE
        WHEN EXISTS (SELECT 1 FROM log_extensions WHERE day = ${day} AND extension = ${extension}) THEN ${extension}
        ELSE ${otherExtensions} END`
    yield* sql`DELETE FROM log_extensions WHERE day = ${day} AND files <= 0`
    if (!isTimed(entry)) return
    yield* sql`UPDATE log_times SET files = files - 1 WHERE day = ${day} AND bucket = ${timeBucket(duration_ms ?? 0)}`
    yield* sql`DELETE FROM log_times WHERE day = ${day} AND files <= 0`
  })

  return { add, remove }
}

const isTimed = ({ duration_ms, status }: Pick<Counted, "duration_ms" | "status">): boolean =>
  status === "SUCCEEDED" && duration_ms !== null

interface Total {
  readonly key: ReadonlyArray<string | number>
  files: number
  bytes: number
}

const sum = (totals: Map<string, Total>, key: ReadonlyArray<string | number>, bytes: number): void => {
  const name = key.join("\n")
  const total = totals.get(name)
  if (total === undefined) {
    totals.set(name, { key, files: 1, bytes })
  } else {
    total.files += 1
    total.bytes += bytes
  }
}

const addFolder = `INSERT INTO log_folders (day, folder, status, files, bytes) VALUES (?, ?, ?, ?, ?)
  ON CONFLICT (day, folder, status) DO UPDATE SET
    files = log_folders.files + excluded.files, bytes = log_folders.bytes + excluded.bytes`

// one that is new on a day that has very many is counted with the others; `WHERE true` tells ON CONFLICT from a join's ON
const addExtension = `INSERT INTO log_extensions (day, extension, status, files, bytes)
  SELECT ?, CASE
    WHEN EXISTS (SELECT 1 FROM log_extensions WHERE day = ? AND extension = ?)
      OR (SELECT COUNT(DISTINCT extension) FROM log_extensions WHERE day = ?) < ${mostExtensions} THEN ?
    ELSE '${otherExtensions}' END, ?, ?, ? WHERE true
  ON CONFLICT (day, extension, status) DO UPDATE SET
    files = log_extensions.files + excluded.files, bytes = log_extensions.bytes + excluded.bytes`

/** Few sizes, so that every statement is prepared once. */
const addTimes = [10, 1].map(
  (size) =>
    [
      size,
      `INSERT INTO log_times (day, bucket, files) VALUES ${Array.from({ length: size }, () => "(?, ?, ?)").join(", ")}
        ON CONFLICT (day, bucket) DO UPDATE SET files = log_times.files + excluded.files`
    ] as const
)
