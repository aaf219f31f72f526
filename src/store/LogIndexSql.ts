/**
 * What finds the few entries among many that have a part of a name, or a rare value: inverted indexes (FTS5), where the
 * database is SQLite. Other databases have their own ways to index for LIKE.
 *
 * They are filled a thousand entries at a time, which costs each entry a small part of what its own row does; entries
 * after the last that was filled in are looked through. An answer is a set of numbers (`seq`), never the entries' order:
 * whoever asks must check all conditions and sort.
 */
import type { SqlClient, SqlError } from "@effect/sql"
import { Effect, Schema } from "effect"
import type { LogFilter } from "./LogRepo.ts"
import { fold, isIndexable, quoted } from "./LogSearch.ts"
import { rows } from "./sqlTools.ts"

/** How many entries wait to be filled in, at most; after a start or a rollback some more. */
const batch = 1_000

export const makeWrites = (sql: SqlClient.SqlClient) => {
  // at the first append what an earlier process left is filled in
  let waiting = batch

  const fill = Effect.gen(function* () {
    const after = sql`FROM logs WHERE seq > (SELECT last FROM log_indexed) ORDER BY seq`
    yield* sql`INSERT INTO log_names (rowid, name) SELECT seq, COALESCE(folded, lower(filename)) ${after}`.raw
    yield* sql`INSERT INTO log_terms (rowid, terms) SELECT seq,
      'e' || hex(extension) || ' r' || hex(COALESCE(route, '')) || ' d' || hex(destination) ||
      ' s' || hex(source) || ' p' || hex(protocol) ${after}`.raw
    yield* sql`UPDATE log_indexed SET last = (SELECT COALESCE(MAX(seq), 0) FROM logs)`.raw
  })

  return sql.onDialectOrElse({
    sqlite: () => ({
      /** So many more entries were stored. */
      appended: (count: number): Effect.Effect<void, SqlError.SqlError> =>
        Effect.suspend(() => {
          waiting += count
          if (waiting < batch) return Effect.void
          waiting = 0
          return fill
        }),
      /** These entries are gone. */
      removed: (seqs: ReadonlyArray<number>): Effect.Effect<void, SqlError.SqlError> =>
        Effect.gen(function* () {
          yield* sql`DELETE FROM log_names WHERE ${sql.in("rowid", seqs)}`
          yield* sql`DELETE FROM log_terms WHERE ${sql.in("rowid", seqs)}`
          // the number of the newest entry is given anew once that is gone
          yield* sql`UPDATE log_indexed SET last = (SELECT COALESCE(MAX(seq), 0) FROM logs)
            WHERE last > (SELECT COALESCE(MAX(seq), 0) FROM logs)`
        })
    }),
    orElse: () => ({ appended: () => Effect.void, removed: () => Effect.void })
  })
}

/** What one index answers: those entries, and the bounds of their numbers where they are more than were counted. */
export interface Match {
  readonly table: "log_names" | "log_terms"
  readonly query: string
  readonly count: number
}

/** A match that has that many has more; how many more is not known. */
export const few = 10_000

export const makeReads = (sql: SqlClient.SqlClient) => {
  const match = ({ query, table }: Pick<Match, "query" | "table">) => sql`${sql(table)} MATCH ${query}`

  const ask = Effect.fnUntraced(function* (table: Match["table"], query: string) {
    const [row] = yield* rows(
      Count,
      sql`SELECT COUNT(*) AS count FROM
        (SELECT 1 FROM ${sql(table)} WHERE ${match({ table, query })} LIMIT ${few + 1})`
    )
    return { table, query, count: row?.count ?? 0 }
  })

  /** What the indexes say of a filter: for each that knows something about it, one match; the fewest first. */
  const matches = (filter: LogFilter) =>
    sql.onDialectOrElse({
      sqlite: () =>
        Effect.map(
          Effect.forEach(queries(filter), ([table, query]) => ask(table, query)),
          (found) => found.toSorted((left, right) => left.count - right.count)
        ),
      orElse: () => Effect.succeed<ReadonlyArray<Match>>([])
    })

  /** The numbers of the entries that match, and of those that are not filled in yet. */
  const candidates = (found: Match) =>
    sql`seq IN (SELECT rowid FROM ${sql(found.table)} WHERE ${match(found)}
      UNION ALL SELECT seq FROM logs WHERE seq > (SELECT last FROM log_indexed))`

  /** Between which numbers the entries are that match, or that are not filled in yet. */
  const bounds = Effect.fnUntraced(function* (found: Match) {
    const [row] = yield* rows(
      Bounds,
      sql`SELECT last,
          (SELECT rowid FROM ${sql(found.table)} WHERE ${match(found)} ORDER BY rowid LIMIT 1) AS least,
          (SELECT rowid FROM ${sql(found.table)} WHERE ${match(found)} ORDER BY rowid DESC LIMIT 1) AS most
        FROM log_indexed`
    )
    // with the plus it is a condition only: no way to find entries, for which it is a bad one
    return sql`(+seq BETWEEN ${row?.least ?? 0} AND ${row?.most ?? 0} OR +seq > ${row?.last ?? 0})`
  })

  /** How many match, also of those that are not filled in yet, by the index and the conditions for the others. */
  const count = (found: Match, conditions: Parameters<SqlClient.SqlClient["and"]>[0]) =>
    Effect.map(
      rows(
        Count,
        sql`SELECT (SELECT COUNT(*) FROM ${sql(found.table)} WHERE ${match(found)}) +
          (SELECT COUNT(*) FROM logs WHERE seq > (SELECT last FROM log_indexed) AND ${sql.and(conditions)}) AS count`
      ),
      ([row]) => row?.count ?? 0
    )

  return { matches, candidates, bounds, count }
}

const Count = Schema.Struct({ count: Schema.Number })
const Bounds = Schema.Struct({
  last: Schema.Number,
  least: Schema.NullOr(Schema.Number),
  most: Schema.NullOr(Schema.Number)
})

const queries = (filter: LogFilter): ReadonlyArray<readonly [Match["table"], string]> => {
  const names = [filter.search, filter.filename].flatMap((text) => {
    const folded = text === undefined ? "" : fold(text)
    return isIndexable(folded) ? [quoted(folded)] : []
  })
  const terms = [
    term("e", filter.extension),
    term("r", filter.route),
    term("d", filter.destination),
    term("s", filter.source),
    term("p", filter.protocol)
  ].filter((one) => one !== undefined)
  return [
    ...(names.length === 0 ? [] : [["log_names", names.join(" AND ")] as const]),
    ...(terms.length === 0 ? [] : [["log_terms", terms.join(" AND ")] as const])
  ]
}

/** In hex a value of any characters is one word. */
const term = (kind: string, value: string | undefined): string | undefined =>
  value === undefined ? undefined : `${kind}${Buffer.from(value).toString("hex")}`
