/**
 * The log's totals by day: kept in the transaction that stores or removes the entries.
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
  const run = (upsert: Upsert, totals: ReadonlyMap<string, Total>): Effect.Effect<void, SqlError.SqlError> =>
    Effect.forEach(parameters(upsert, totals), (params) => sql.unsafe(upsert.statement, params).raw, { discard: true })

  const add = Effect.fnUntraced(function* (entries: ReadonlyArray<LogEntry>) {
    const days = new Map<string, Total>()
    const folders = new Map<string, Total>()
    const extensions = new Map<string, Total>()
    const times = new Map<string, Total>()
    for (const entry of entries) {
      const { byte_size, destination, duration_ms, protocol, status } = entry
      const day = entry.created.slice(0, 10)
      sum(days, [day, status, destination, protocol], byte_size)
      sum(folders, [day, entry.route ?? "", status], byte_size)
      sum(extensions, [day, extensionKey(entry.extension), status], byte_size)
      if (isTimed(entry)) sum(times, [day, timeBucket(duration_ms ?? 0)], byte_size)
    }
    yield* run(addDays, days)
    yield* run(addFolders, folders)
    yield* run(addExtensions, extensions)
    yield* run(addTimes, times)
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
  const name = key.join("\0")
  const total = totals.get(name)
  if (total === undefined) {
    totals.set(name, { key, files: 1, bytes })
  } else {
    total.files += 1
    total.bytes += bytes
  }
}

interface Upsert {
  readonly statement: string
  /** The parameters of one row. */
  readonly row: (total: Total) => ReadonlyArray<unknown>
}

/**
 * Adds so many rows at once: a statement costs more than its rows. It is always the same, so that it is prepared once;
 * rows that are not needed count nothing, and are left out.
 */
const rowsAtOnce = 16

const parameters = function* ({ row }: Upsert, totals: ReadonlyMap<string, Total>) {
  const all = Array.from(totals.values(), row)
  for (let from = 0; from < all.length; from += rowsAtOnce) {
    const some = all.slice(from, from + rowsAtOnce)
    const unused = (all[from] ?? []).map((value) => (typeof value === "number" ? 0 : value))
    while (some.length < rowsAtOnce) some.push(unused)
    yield some.flat()
  }
}

/** `from` makes rows of those that are given. */
const upsert = (
  table: string,
  keys: ReadonlyArray<readonly [column: string, type: string]>,
  sums: ReadonlyArray<string>,
  row: Upsert["row"],
  from = (given: string) => `SELECT * FROM ${given}`
): Upsert => {
  const columns = [...keys, ...sums.map((column) => [column, "BIGINT"] as const)]
  const names = columns.map(([column]) => column).join(", ")
  const one = `(${columns.map(([, type]) => `CAST(? AS ${type})`).join(", ")})`
  const values = Array.from({ length: rowsAtOnce }, () => one).join(", ")
  const given = `(SELECT ${columns.map(([column], index) => `column${index + 1} AS ${column}`).join(", ")}
    FROM (VALUES ${values}) AS listed) AS given`
  return {
    row,
    statement: `INSERT INTO ${table} (${names}) ${from(given)} WHERE files > 0
      ON CONFLICT (${keys.map(([column]) => column).join(", ")}) DO UPDATE SET
        ${sums.map((column) => `${column} = ${table}.${column} + excluded.${column}`).join(", ")}`
  }
}

const text = (column: string) => [column, "TEXT"] as const

const addDays = upsert(
  "log_days",
  ["day", "status", "destination", "protocol"].map(text),
  ["files", "bytes", "present"],
  ({ bytes, files, key }) => [...key, files, bytes, files]
)

const addFolders = upsert(
  "log_folders",
  ["day", "folder", "status"].map(text),
  ["files", "bytes"],
  ({ bytes, files, key }) => [...key, files, bytes]
)

// what is new on a day that has very many is counted with the others
const addExtensions = upsert(
  "log_extensions",
  ["day", "extension", "status"].map(text),
  ["files", "bytes"],
  ({ bytes, files, key }) => [...key, files, bytes],
  (given) => `SELECT * FROM (SELECT day, kept, status, SUM(files) AS files, SUM(bytes) AS bytes FROM
    (SELECT day, status, files, bytes, CASE
      WHEN EXISTS (SELECT 1 FROM log_extensions AS known WHERE known.day = given.day AND known.extension = given.extension)
        OR (SELECT COUNT(DISTINCT extension) FROM log_extensions AS known WHERE known.day = given.day) < ${mostExtensions}
        THEN extension
      ELSE '${otherExtensions}' END AS kept FROM ${given}) AS named
    GROUP BY day, kept, status) AS summed`
)

const addTimes = upsert("log_times", [text("day"), ["bucket", "INTEGER"]], ["files"], ({ files, key }) => [
  ...key,
  files
])
