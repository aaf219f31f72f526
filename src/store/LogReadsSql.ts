/**
 * The log's pages and entries in a SQL database.
 *
 * Pages are found by key, so that the last page costs what the first one does. What matches often is met soon in the
 * order of time; what is rare is found by an index (LogIndexSql), and then sorted: so neither reads the whole log.
 */
import { type SqlClient, SqlSchema, type Statement } from "@effect/sql"
import { Chunk, Effect, Option, Schema, Stream } from "effect"
import { LogEntry } from "../domain/LogEntry.ts"
import * as LogCursor from "./LogCursor.ts"
import * as LogIndexSql from "./LogIndexSql.ts"
import { boundedTotal, type LogFilter, type LogOrder, type LogQuery } from "./LogRepo.ts"
import { columns, wrap } from "./logRows.ts"
import { fold, likePattern } from "./LogSearch.ts"
import { rows } from "./sqlTools.ts"

export const make = (sql: SqlClient.SqlClient) => {
  const index = LogIndexSql.makeReads(sql)
  const unreadable = wrap("the log could not be read")
  const columnList = sql.literal(`${columns.join(", ")}, undone`)

  const findOne = SqlSchema.findOne({
    Request: Schema.String,
    Result: StoredEntry,
    execute: (id) => sql`SELECT ${columnList} FROM logs WHERE id = ${id}`
  })

  const get = Effect.fn("LogRepo.get")((id: string) =>
    findOne(id).pipe(Effect.map(Option.map(toEntry)), Effect.mapError(unreadable))
  )

  /** How a filter's entries are looked for. */
  const planFor = Effect.fnUntraced(function* (filter: LogFilter) {
    const matches = yield* index.matches(filter)
    const all = conditions(sql, filter, "created")
    const [fewest] = matches
    if (fewest === undefined) return { matches, narrow: [], all }
    const narrow =
      fewest.count <= LogIndexSql.few ? [index.candidates(fewest)] : yield* Effect.forEach(matches, index.bounds)
    return { matches, narrow, all }
  })
  type Plan = Effect.Effect.Success<ReturnType<typeof planFor>>

  const total = Effect.fnUntraced(function* (filter: LogFilter, plan: Plan, bounded: boolean) {
    const [only, another] = plan.matches
    const known = only !== undefined && another === undefined && isOnlyIndexed(filter)
    if (isRolledUp(filter)) {
      return yield* count(
        sql`SELECT COALESCE(SUM(present), 0) AS total FROM log_days WHERE ${sql.and(conditions(sql, filter, "day"))}`
      )
    }
    if (known && bounded && only.count > LogIndexSql.few) return boundedTotal
    if (known && only.count > LogIndexSql.few) return yield* index.count(only, plan.all)
    const matching = sql`FROM logs WHERE ${sql.and([...plan.narrow, ...plan.all])}`
    return yield* count(
      bounded
        ? sql`SELECT COUNT(*) AS total FROM (SELECT 1 ${matching} LIMIT ${boundedTotal}) AS some`
        : sql`SELECT COUNT(*) AS total ${matching}`
    )
  })

  const count = (statement: Statement.Statement<unknown>) =>
    Effect.map(rows(Schema.Struct({ total: Schema.Number }), statement), ([row]) => row?.total ?? 0)

  const findPage = (plan: Plan, order: LogOrder, after: Option.Option<LogCursor.LogCursor>, limit: number) => {
    const column = sql(order.endsWith("created") ? "created" : "byte_size")
    const descending = order.startsWith("-")
    const direction = sql.literal(descending ? "DESC" : "ASC")
    const sorted = sql`ORDER BY ${column} ${direction}, seq ${direction}`
    const wanted = sql.and([
      ...plan.narrow,
      ...plan.all,
      ...Option.match(after, {
        onNone: () => [],
        onSome: ([, value, seq]) => [sql`(${column}, seq) ${sql.literal(descending ? "<" : ">")} (${value}, ${seq})`]
      })
    ])
    // only the entries of the page are read whole; sizes are in the index
    return rows(
      StoredRow,
      sql`SELECT seq, ${columnList} FROM (SELECT seq AS found FROM logs WHERE ${wanted} ${sorted} LIMIT ${limit}) AS page
        CROSS JOIN logs WHERE seq = found ${sorted}`
    )
  }

  const query = Effect.fn("LogRepo.query")(function* (options: LogQuery) {
    const { cursor, filter, limit, order } = options
    const after = cursor === undefined ? Option.none() : LogCursor.decode(order, cursor)
    if (cursor !== undefined && Option.isNone(after)) return Option.none()
    const bounded = options.total === "bounded"
    const { found, plan } = yield* Effect.gen(function* () {
      const plan = yield* planFor(filter)
      return { plan, found: yield* findPage(plan, order, after, limit + 1) }
    }).pipe(Effect.mapError(unreadable))
    // the first page may be all there is
    const all =
      Option.isNone(after) && found.length <= limit
        ? found.length
        : yield* Effect.mapError(total(filter, plan, bounded), unreadable)
    const page = found.slice(0, limit)
    const last = page.at(-1)
    return Option.some({
      entries: page.map(({ seq: _seq, ...entry }) => toEntry(entry)),
      total: bounded ? Math.min(all, boundedTotal) : all,
      next: found.length > limit && last !== undefined ? LogCursor.encode(order, last, last.seq) : null
    })
  })

  const all = (filter: LogFilter, order: LogOrder) => {
    // for each page by size all sizes are looked through
    const size = order.endsWith("created") ? 1_000 : 10_000
    return Stream.paginateChunkEffect(Option.none<LogCursor.LogCursor>(), (after) =>
      Effect.gen(function* () {
        // anew for each page: entries may come and go
        const found = yield* findPage(yield* planFor(filter), order, after, size)
        const last = found.at(-1)
        const next =
          found.length < size || last === undefined
            ? Option.none()
            : Option.some(LogCursor.decode(order, LogCursor.encode(order, last, last.seq)))
        return [Chunk.map(Chunk.unsafeFromArray(found), ({ seq: _seq, ...entry }) => toEntry(entry)), next] as const
      }).pipe(Effect.mapError(unreadable))
    )
  }

  return { get, query, all }
}

const StoredEntry = Schema.Struct({ ...LogEntry.fields, undone: Schema.NullOr(Schema.String) })
const StoredRow = Schema.Struct({ seq: Schema.Int, ...StoredEntry.fields })

const toEntry = ({ undone, ...entry }: typeof StoredEntry.Type): LogEntry =>
  undone === null ? entry : { ...entry, undone }

/** Whether the roll-ups have all that this filter asks about. */
const isRolledUp = (filter: LogFilter): boolean =>
  filter.filename === undefined &&
  filter.search === undefined &&
  filter.route === undefined &&
  filter.source === undefined &&
  filter.extension === undefined &&
  filter.byte_size === undefined &&
  filter.byte_size__lte === undefined &&
  filter.byte_size__gte === undefined

/** Whether nothing is asked but what one index answers by itself. */
const isOnlyIndexed = (filter: LogFilter): boolean => {
  const { destination, extension, filename, protocol, route, search, source, ...others } = filter
  const names = search === undefined ? 0 : 1
  const terms = [destination, extension, protocol, route, source].some((value) => value !== undefined) ? 1 : 0
  return filename === undefined && names + terms === 1 && Object.values(others).every((value) => value === undefined)
}

/** `time` is the column of the entry's day or time: a time sorts behind its date, and before that date with a `U`. */
const conditions = (
  sql: SqlClient.SqlClient,
  filter: LogFilter,
  time: "created" | "day"
): ReadonlyArray<Statement.Fragment> => {
  const all: Array<Statement.Fragment> = []
  const equal = (column: "destination" | "filename" | "source" | "extension" | "protocol" | "byte_size") => {
    const value = filter[column]
    if (value !== undefined) all.push(sql`${sql(column)} = ${value}`)
  }
  const from = (date: string) => all.push(sql`${sql(time)} >= ${date}`)
  const to = (date: string) => all.push(sql`${sql(time)} < ${`${date}U`}`)

  // spelled out, because the index of failures serves only a literal
  if (filter.status !== undefined)
    all.push(filter.status === "FAILED" ? sql`status = 'FAILED'` : sql`status = 'SUCCEEDED'`)
  equal("destination")
  equal("filename")
  equal("source")
  equal("extension")
  equal("protocol")
  equal("byte_size")
  if (filter.route !== undefined) all.push(sql`COALESCE(route, '') = ${filter.route}`)
  if (filter.search !== undefined) {
    all.push(sql`COALESCE(folded, lower(filename)) LIKE ${likePattern(fold(filter.search))} ESCAPE '\\'`)
  }
  if (filter.byte_size__lte !== undefined) all.push(sql`byte_size <= ${filter.byte_size__lte}`)
  if (filter.byte_size__gte !== undefined) all.push(sql`byte_size >= ${filter.byte_size__gte}`)
  if (filter.created !== undefined) {
    from(filter.created)
    to(filter.created)
  }
  if (filter.created__gte !== undefined) from(filter.created__gte)
  if (filter.created__lte !== undefined) to(filter.created__lte)
  return all
}
