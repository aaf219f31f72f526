/**
 * The log in a SQL database.
 *
 * Counts and statistics come from roll-ups by day, kept in the same transaction as the entries, so that they need not
 * read the log itself. How pages are found is in LogReadsSql.
 */
import { SqlClient, type SqlError, SqlSchema } from "@effect/sql"
import { Effect, Layer, Option, Schema } from "effect"
import type { DeliveryId } from "../domain/Delivery.ts"
import type { LogEntry } from "../domain/LogEntry.ts"
import * as LogIndexSql from "./LogIndexSql.ts"
import * as LogReadsSql from "./LogReadsSql.ts"
import { type LogError, LogRepo } from "./LogRepo.ts"
import * as LogRollUpsSql from "./LogRollUpsSql.ts"
import { columns, wrap } from "./logRows.ts"
import { foldedOrNull } from "./LogSearch.ts"
import * as LogStatsSql from "./LogStatsSql.ts"
import { ReadSql } from "./ReadSql.ts"
import { inChunks } from "./sqlTools.ts"

export const layer: Layer.Layer<LogRepo, never, SqlClient.SqlClient | ReadSql> = Layer.effect(
  LogRepo,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const read = yield* ReadSql
    return LogRepo.of({ ...makeWrites(sql), ...LogReadsSql.make(read), ...LogStatsSql.make(read) })
  })
)

const makeWrites = (sql: SqlClient.SqlClient) => {
  const rollUps = LogRollUpsSql.make(sql)
  const index = LogIndexSql.makeWrites(sql)

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
    yield* rollUps.add(entries)
    yield* index.appended(entries.length)
  })

  const append = (entries: ReadonlyArray<LogEntry>): Effect.Effect<void, LogError> =>
    entries.length === 0 ? Effect.void : Effect.mapError(atomic(insert(entries)), wrap("the log could not be written"))

  const findKey = SqlSchema.findOne({
    Request: Schema.String,
    Result: Schema.Struct({
      seq: Schema.Int,
      day: Schema.String,
      destination: Schema.String,
      protocol: Schema.String,
      ...LogRollUpsSql.Counted.fields
    }),
    execute: (id) =>
      sql`SELECT seq, substr(created, 1, 10) AS day, status, destination, protocol, byte_size, route, extension, duration_ms
        FROM logs WHERE id = ${id}`
  })

  const removeOne = Effect.fnUntraced(function* (id: string) {
    const found = yield* findKey(id)
    if (Option.isNone(found)) return false
    const key = found.value
    const day = sql`day = ${key.day} AND status = ${key.status} AND destination = ${key.destination}
      AND protocol = ${key.protocol}`
    yield* sql`DELETE FROM logs WHERE id = ${id}`
    yield* index.removed([key.seq])
    yield* sql`UPDATE log_days
      SET files = files - 1, bytes = bytes - ${key.byte_size}, present = present - 1 WHERE ${day}`
    yield* sql`DELETE FROM log_days WHERE ${day} AND files <= 0`
    yield* rollUps.remove(key)
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
    const gone = expired.map((row) => row.seq)
    yield* sql`DELETE FROM logs WHERE ${sql.in("seq", gone)}`
    yield* index.removed(gone)
    const days = new Map<string, { readonly row: (typeof expired)[number]; count: number }>()
    for (const row of expired) {
      const key = keyOf(row)
      const same = days.get(key)
      if (same === undefined) days.set(key, { row, count: 1 })
      else same.count += 1
    }
    for (const { row, count } of days.values()) {
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
      // also to timers and sockets, which a fiber that only yields would keep waiting
      yield* Effect.promise(() => new Promise(setImmediate))
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

/** In the order of `columns`, and then `folded`. Entries are plain already: no Schema on the hot path. */
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
    entry.delivery,
    foldedOrNull(entry.filename)
  )
}

/** Few sizes, so that every statement is prepared once; the largest stays far below every limit on variables. */
const chunkSizes = [50, 10, 1]
const stored = [...columns, "folded"]
const oneRow = `(${stored.map(() => "?").join(",")})`
const insertStatements = new Map(
  chunkSizes.map((size) => [
    size,
    `INSERT INTO logs (${stored.join(",")}) VALUES ${Array.from({ length: size }, () => oneRow).join(",")}`
  ])
)
/** To take one out of the indexes of names costs more than to take it out of the log. */
const pruneBatch = 100

type DayKey = {
  readonly day: string
  readonly status: string
  readonly destination: string
  readonly protocol: string
}

const keyOf = (row: DayKey): string => `${row.day}\n${row.status}\n${row.protocol}\n${row.destination}`
