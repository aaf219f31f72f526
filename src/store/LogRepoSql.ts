/**
 * The log in a SQL database.
 *
 * Counts and statistics come from roll-ups by day, kept in the same transaction as the entries, so that neither ever
 * reads the log itself. Pages are found by key, so that the last page costs what the first one does.
 */
import { SqlClient, SqlError, SqlSchema, type Statement } from "@effect/sql"
import { Effect, Layer, Option, type ParseResult, Schema } from "effect"
import type { DeliveryId } from "../domain/Delivery.ts"
import { LogEntry, LogStatus } from "../domain/LogEntry.ts"
import * as LogCursor from "./LogCursor.ts"
import { LogError, type LogFilter, type LogOrder, LogRepo, type StatsInterval } from "./LogRepo.ts"
import { ReadSql } from "./ReadSql.ts"
import { sqlReason } from "./sqlReason.ts"
import { inChunks } from "./sqlTools.ts"

export const layer: Layer.Layer<LogRepo, never, SqlClient.SqlClient | ReadSql> = Layer.effect(
  LogRepo,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const read = yield* ReadSql
    return LogRepo.of({ ...makeWrites(sql), ...makeReads(read) })
  })
)

const makeWrites = (sql: SqlClient.SqlClient) => {
  /** In the caller's transaction where there is one. */
  const atomic = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | SqlError.SqlError> =>
    Effect.flatMap(Effect.serviceOption(SqlClient.TransactionConnection), (transaction) =>
      Option.isSome(transaction) ? effect : sql.withTransaction(effect)
    )

  const insert = Effect.fnUntraced(function* (entries: ReadonlyArray<LogEntry>) {
    let from = 0
    for (const size of chunkSizes) {
      const statement = insertStatements.get(size) ?? ""
      for (; entries.length - from >= size; from += size) {
        const params: Array<unknown> = []
        for (let index = from; index < from + size; index += 1) {
          const entry = entries[index]
          if (entry !== undefined) pushValues(params, entry)
        }
        yield* sql.unsafe(statement, params).raw
      }
    }
    for (const total of rollUp(entries)) {
      yield* sql`INSERT INTO log_days ${sql.insert(total)}
        ON CONFLICT (day, status, destination, protocol) DO UPDATE SET
          files = log_days.files + excluded.files,
          bytes = log_days.bytes + excluded.bytes,
          present = log_days.present + excluded.present`.raw
    }
  })

  const append = (entries: ReadonlyArray<LogEntry>): Effect.Effect<void, LogError> =>
    entries.length === 0 ? Effect.void : Effect.mapError(atomic(insert(entries)), wrap("the log could not be written"))

  const findKey = SqlSchema.findOne({
    Request: Schema.String,
    Result: Schema.Struct({
      day: Schema.String,
      status: Schema.String,
      destination: Schema.String,
      protocol: Schema.String,
      byte_size: Schema.Number
    }),
    execute: (id) =>
      sql`SELECT substr(created, 1, 10) AS day, status, destination, protocol, byte_size FROM logs WHERE id = ${id}`
  })

  const removeOne = Effect.fnUntraced(function* (id: string) {
    const found = yield* findKey(id)
    if (Option.isNone(found)) return false
    const key = found.value
    const day = sql`day = ${key.day} AND status = ${key.status} AND destination = ${key.destination}
      AND protocol = ${key.protocol}`
    yield* sql`DELETE FROM logs WHERE id = ${id}`
    yield* sql`UPDATE log_days
      SET files = files - 1, bytes = bytes - ${key.byte_size}, present = present - 1 WHERE ${day}`
    yield* sql`DELETE FROM log_days WHERE ${day} AND files <= 0`
    return true
  })

  const remove = Effect.fn("LogRepo.remove")((id: string) =>
    Effect.mapError(atomic(removeOne(id)), wrap("the log could not be written"))
  )

  const findExpired = SqlSchema.findAll({
    Request: Schema.Struct({ before: Schema.String, limit: Schema.Int }),
    Result: Schema.Struct({
      seq: Schema.Int,
      day: Schema.String,
      status: Schema.String,
      destination: Schema.String,
      protocol: Schema.String
    }),
    execute: ({ before, limit }) =>
      sql`SELECT seq, substr(created, 1, 10) AS day, status, destination, protocol FROM logs
        WHERE created < ${before} ORDER BY created LIMIT ${limit}`
  })

  // in small transactions: whoever waits to write a delivery's outcome is let in between them
  const pruneSome = Effect.fnUntraced(function* (before: string) {
    const expired = yield* findExpired({ before, limit: pruneBatch })
    if (expired.length === 0) return 0
    yield* sql`DELETE FROM logs WHERE ${sql.in(
      "seq",
      expired.map((row) => row.seq)
    )}`
    const gone = new Map<string, { readonly row: (typeof expired)[number]; count: number }>()
    for (const row of expired) {
      const key = keyOf(row)
      const same = gone.get(key)
      if (same === undefined) gone.set(key, { row, count: 1 })
      else same.count += 1
    }
    for (const { row, count } of gone.values()) {
      yield* sql`UPDATE log_days SET present = present - ${count} WHERE day = ${row.day} AND status = ${row.status}
        AND destination = ${row.destination} AND protocol = ${row.protocol}`
    }
    return expired.length
  })

  const prune = Effect.fn("LogRepo.prune")(function* (before: number) {
    const time = new Date(before).toISOString()
    let removed = 0
    for (;;) {
      const some = yield* Effect.mapError(atomic(pruneSome(time)), wrap("old log entries could not be removed"))
      removed += some
      if (some < pruneBatch) return removed
      yield* Effect.yieldNow()
    }
  })

  const undone = (deliveries: ReadonlyArray<DeliveryId>, since: number, at: number) =>
    inChunks(
      deliveries,
      // there is no index by delivery, but one by time
      (chunk) =>
        sql`UPDATE logs SET undone = ${new Date(at).toISOString()} WHERE created >= ${new Date(since).toISOString()}
          AND ${sql.in("delivery", chunk)} AND undone IS NULL`
    ).pipe(Effect.asVoid, Effect.mapError(wrap("the log could not be written")))

  return { append, remove, prune, undone }
}

const makeReads = (sql: SqlClient.SqlClient) => {
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

  const count = (statement: Statement.Statement<unknown>) =>
    SqlSchema.single({
      Request: Schema.Void,
      Result: Schema.Struct({ total: Schema.Number }),
      execute: () => statement
    })(undefined).pipe(
      Effect.map((row) => row.total),
      Effect.catchTag("NoSuchElementException", () => Effect.succeed(0))
    )

  const total = (filter: LogFilter) =>
    isRolledUp(filter)
      ? count(
          sql`SELECT COALESCE(SUM(present), 0) AS total FROM log_days WHERE ${sql.and(conditions(sql, filter, "day"))}`
        )
      : count(sql`SELECT COUNT(*) AS total FROM logs WHERE ${sql.and(conditions(sql, filter, "created"))}`)

  const findPage = (filter: LogFilter, order: LogOrder, after: Option.Option<LogCursor.LogCursor>, limit: number) => {
    const column = sql(order.endsWith("created") ? "created" : "byte_size")
    const descending = order.startsWith("-")
    const direction = sql.literal(descending ? "DESC" : "ASC")
    const wanted = Option.match(after, {
      onNone: () => conditions(sql, filter, "created"),
      onSome: ([, value, seq]) => [
        ...conditions(sql, filter, "created"),
        sql`(${column}, seq) ${sql.literal(descending ? "<" : ">")} (${value}, ${seq})`
      ]
    })
    return SqlSchema.findAll({
      Request: Schema.Void,
      Result: Schema.Struct({ seq: Schema.Int, ...StoredEntry.fields }),
      execute: () =>
        sql`SELECT seq, ${columnList} FROM logs WHERE ${sql.and(wanted)}
          ORDER BY ${column} ${direction}, seq ${direction} LIMIT ${limit}`
    })(undefined)
  }

  const query = Effect.fn("LogRepo.query")(function* (options: {
    readonly filter: LogFilter
    readonly order: LogOrder
    readonly limit: number
    readonly cursor?: string | undefined
  }) {
    const after = options.cursor === undefined ? Option.none() : LogCursor.decode(options.order, options.cursor)
    if (options.cursor !== undefined && Option.isNone(after)) return Option.none()
    const rows = yield* Effect.mapError(findPage(options.filter, options.order, after, options.limit + 1), unreadable)
    const all = yield* Effect.mapError(total(options.filter), unreadable)
    const page = rows.slice(0, options.limit)
    const last = page.at(-1)
    return Option.some({
      entries: page.map(({ seq: _seq, ...entry }) => toEntry(entry)),
      total: all,
      next: rows.length > options.limit && last !== undefined ? LogCursor.encode(options.order, last, last.seq) : null
    })
  })

  const stats = Effect.fn("LogRepo.stats")((interval: StatsInterval) => {
    const start = intervalStart(sql, interval)
    return SqlSchema.findAll({
      Request: Schema.Void,
      Result: Schema.Struct({
        start: Schema.String,
        status: LogStatus,
        destination: Schema.String,
        protocol: Schema.String,
        files: Schema.Number,
        bytes: Schema.Number
      }),
      execute: () =>
        sql`SELECT ${start} AS start, status, destination, protocol, SUM(files) AS files, SUM(bytes) AS bytes
          FROM log_days GROUP BY ${start}, status, destination, protocol
          ORDER BY ${start}, destination, protocol, status`
    })(undefined).pipe(Effect.mapError(unreadable))
  })

  return { get, query, stats }
}

const StoredEntry = Schema.Struct({ ...LogEntry.fields, undone: Schema.NullOr(Schema.String) })

const toEntry = ({ undone, ...entry }: typeof StoredEntry.Type): LogEntry =>
  undone === null ? entry : { ...entry, undone }

const columns = [
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

/** In the order of `columns`. Entries are plain already: no Schema on the hot path. */
const pushValues = (params: Array<unknown>, entry: LogEntry): void => {
  params.push(
    entry.id,
    entry.filename,
    entry.source,
    entry.destination,
    entry.extension,
    entry.worker,
    entry.protocol,
    entry.status,
    entry.size,
    entry.byte_size,
    entry.reason,
    entry.created,
    entry.file_created,
    entry.file_modified,
    entry.sha256,
    entry.sent_size,
    entry.sent_sha256,
    entry.verified,
    entry.route,
    entry.attempts,
    entry.duration_ms,
    entry.delivery
  )
}

/** Few sizes, so that every statement is prepared once; the largest stays far below every limit on variables. */
const chunkSizes = [50, 10, 1]
const oneRow = `(${columns.map(() => "?").join(",")})`
const insertStatements = new Map(
  chunkSizes.map((size) => [
    size,
    `INSERT INTO logs (${columns.join(",")}) VALUES ${Array.from({ length: size }, () => oneRow).join(",")}`
  ])
)
const pruneBatch = 500

type DayKey = {
  readonly day: string
  readonly status: string
  readonly destination: string
  readonly protocol: string
}

const keyOf = (row: DayKey): string => `${row.day}\n${row.status}\n${row.protocol}\n${row.destination}`

/** The entries' totals by day, status, destination and protocol. */
const rollUp = (entries: ReadonlyArray<LogEntry>) => {
  const totals = new Map<string, DayKey & { files: number; bytes: number; present: number }>()
  for (const { created, status, destination, protocol, byte_size } of entries) {
    const key = { day: created.slice(0, 10), status, destination, protocol }
    const name = keyOf(key)
    const total = totals.get(name)
    if (total === undefined) {
      totals.set(name, { ...key, files: 1, bytes: byte_size, present: 1 })
    } else {
      total.files += 1
      total.present += 1
      total.bytes += byte_size
    }
  }
  return totals.values()
}

/** Whether the roll-ups have all that this filter asks about. */
const isRolledUp = (filter: LogFilter): boolean =>
  filter.filename === undefined &&
  filter.source === undefined &&
  filter.extension === undefined &&
  filter.byte_size === undefined &&
  filter.byte_size__lte === undefined &&
  filter.byte_size__gte === undefined

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

/** The first day of the interval that a day belongs to. */
const intervalStart = (sql: SqlClient.SqlClient, interval: StatsInterval): Statement.Fragment => {
  switch (interval) {
    case "day":
      return sql`day`
    case "month":
      return sql`substr(day, 1, 7) || '-01'`
    case "week":
      return sql.onDialectOrElse({
        pg: () => sql`to_char(date_trunc('week', day::date), 'YYYY-MM-DD')`,
        orElse: () => sql`date(day, '-6 days', 'weekday 1')`
      })
  }
}

const wrap =
  (doing: string) =>
  (error: SqlError.SqlError | ParseResult.ParseError): LogError =>
    new LogError({ reason: sqlReason(doing, error), cause: Option.some(error) })
