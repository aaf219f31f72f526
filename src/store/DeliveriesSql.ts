/**
 * Questions about the journal, answered by the read connection.
 */
import { SqlSchema, type Statement } from "@effect/sql"
import { Effect, Layer, Option, Schema } from "effect"
import { Attempt, DeliveryId, DeliveryState } from "../domain/Delivery.ts"
import { Deliveries, type DeliveryFilter } from "./Deliveries.ts"
import { JournalError } from "./Journal.ts"
import { ReadSql } from "./ReadSql.ts"
import { deliveryColumns, deliveryTables, StoredDelivery } from "./rows.ts"
import { sqlReason } from "./sqlReason.ts"

export const layer: Layer.Layer<Deliveries, never, ReadSql> = Layer.effect(
  Deliveries,
  Effect.gen(function* () {
    const sql = yield* ReadSql
    const columns = sql.literal(deliveryColumns)
    const tables = sql.literal(deliveryTables)

    /** Of one state or of all, newest first. The words are spelled out, as partial indexes serve only literals. */
    const newest = (state: DeliveryState | undefined, filter: DeliveryFilter): Statement.Fragment => {
      const wanted: Array<Statement.Fragment> = []
      if (state !== undefined) wanted.push(sql`state = ${sql.literal(`'${state}'`)}`)
      if (state !== undefined && state !== "DELIVERED") wanted.push(sql`state <> 'DELIVERED'`)
      if (filter.lane !== undefined) wanted.push(sql`lane = ${filter.lane}`)
      if (filter.before !== undefined) wanted.push(sql`id < ${filter.before}`)
      return sql`SELECT * FROM
        (SELECT id FROM deliveries WHERE ${sql.and(wanted)} ORDER BY id DESC LIMIT ${filter.limit}) AS newest`
    }

    // a page of each state by its index, and the newest of all of them: a dead one among millions is found at once
    const findIds = (filter: DeliveryFilter): Statement.Fragment => {
      const states = Array.from(new Set(filter.states ?? []))
      return states.length === 0
        ? newest(undefined, filter)
        : states.map((state) => newest(state, filter)).reduce((left, right) => sql`${left} UNION ALL ${right}`)
    }

    const list = Effect.fn("Deliveries.list")((filter: DeliveryFilter) =>
      SqlSchema.findAll({
        Request: Schema.Void,
        Result: StoredDelivery,
        execute: () =>
          sql`SELECT ${columns} FROM ${tables} WHERE d.id IN (${findIds(filter)}) ORDER BY d.id DESC
            LIMIT ${filter.limit}`
      })(undefined).pipe(Effect.mapError(unreadable))
    )

    const findOne = SqlSchema.findOne({
      Request: DeliveryId,
      Result: StoredDelivery,
      execute: (id) => sql`SELECT ${columns} FROM ${tables} WHERE d.id = ${id}`
    })

    const findAttempts = SqlSchema.findAll({
      Request: DeliveryId,
      Result: Attempt,
      execute: (id) =>
        sql`SELECT delivery, number, started, ended, outcome, reason FROM attempts WHERE delivery = ${id}
          ORDER BY number`
    })

    // what waits has an index of its own by lane; what is neither waiting nor delivered is little
    const findCounts = SqlSchema.findAll({
      Request: Schema.Void,
      Result: Schema.Struct({ lane: Schema.String, state: DeliveryState, count: Schema.Number }),
      execute: () =>
        sql`SELECT lane, 'PENDING' AS state, COUNT(*) AS count FROM deliveries WHERE state = 'PENDING' GROUP BY lane
          UNION ALL
          SELECT lane, state, COUNT(*) AS count FROM deliveries
            WHERE state <> 'DELIVERED' AND state IN (${sql.literal(otherStates)}) GROUP BY lane, state`
    })

    return Deliveries.of({
      list,
      get: Effect.fn("Deliveries.get")((id) => Effect.mapError(findOne(id), unreadable)),
      attempts: Effect.fn("Deliveries.attempts")((id) => Effect.mapError(findAttempts(id), unreadable)),
      counts: Effect.mapError(findCounts(undefined), unreadable)
    })
  })
)

const otherStates = DeliveryState.literals
  .filter((state) => state !== "DELIVERED" && state !== "PENDING")
  .map((state) => `'${state}'`)
  .join(", ")

const unreadable = (error: Parameters<typeof sqlReason>[1]): JournalError =>
  new JournalError({ reason: sqlReason("the journal could not be read", error), cause: Option.some(error) })
