/**
 * Questions about the journal, answered by the read connection.
 */
import { SqlSchema, type Statement } from "@effect/sql"
import { Effect, Layer, Option, Schema } from "effect"
import { Attempt, DeliveryId, DeliveryState } from "../domain/Delivery.ts"
import { GenerationId } from "../domain/Generation.ts"
import type { Target } from "../domain/Target.ts"
import { Deliveries, type DeliveryFilter, type Judged, type Routed } from "./Deliveries.ts"
import { JournalError } from "./Journal.ts"
import { ReadSql } from "./ReadSql.ts"
import { deliveryColumns, deliveryTables, StoredDelivery, StoredFacts, StoredPath, StoredTarget } from "./rows.ts"
import { readOrigin } from "./journalRows.ts"
import { inChunks } from "./sqlTools.ts"
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

    const findRules = SqlSchema.findOne({
      Request: DeliveryId,
      Result: Schema.Struct({
        generation: GenerationId,
        created: Schema.Number,
        origin: Schema.NullOr(Schema.String),
        digest: Schema.String,
        rules: Schema.NullOr(Schema.String)
      }),
      execute: (id) =>
        sql`SELECT d.generation, d.created, g.origin, COALESCE(d.ruleset, g.ruleset) AS digest, r.text AS rules
          FROM deliveries d JOIN generations g ON g.id = d.generation
          LEFT JOIN rulesets r ON r.digest = COALESCE(d.ruleset, g.ruleset) WHERE d.id = ${id}`
    })

    const findAlike = SqlSchema.findAll({
      Request: Schema.Struct({ generation: GenerationId, digest: Schema.String }),
      Result: StoredDelivery,
      execute: ({ digest, generation }) =>
        sql`SELECT ${columns} FROM ${tables} WHERE d.generation = ${generation}
          AND COALESCE(d.ruleset, g.ruleset) = ${digest} ORDER BY d.id`
    })

    const judged = Effect.fn("Deliveries.judged")(function* (id: DeliveryId) {
      const found = Option.getOrUndefined(yield* findRules(id))
      if (found === undefined) return Option.none<Judged>()
      const deliveries = yield* findAlike({ generation: found.generation, digest: found.digest })
      const generation = deliveries[0]?.generation
      if (generation === undefined) return Option.none<Judged>()
      return Option.some<Judged>({
        generation,
        origin: readOrigin(found.origin) ?? { source: generation.source, path: generation.path },
        at: found.created,
        ruleset: found.digest,
        rules: found.rules,
        deliveries
      })
    }, Effect.mapError(unreadable))

    const findGenerations = SqlSchema.findAll({
      Request: Schema.Struct({ before: Schema.optional(GenerationId), limit: Schema.Int }),
      Result: Schema.Struct({
        id: GenerationId,
        source: Schema.String,
        path: StoredPath,
        size: Schema.Number,
        mtime: Schema.Number,
        born: Schema.Number,
        origin: Schema.NullOr(Schema.String),
        ruleset: Schema.String
      }),
      execute: ({ before, limit }) =>
        sql`SELECT id, source, path, size, mtime, born, origin, ruleset FROM generations
          WHERE ${before === undefined ? sql`id > 0` : sql`id < ${before}`} AND state <> 'REPLACED'
          ORDER BY id DESC LIMIT ${limit}`
    })

    const findRouted = SqlSchema.findAll({
      Request: Schema.Array(GenerationId),
      Result: Schema.Struct({
        id: DeliveryId,
        generation: GenerationId,
        target: Schema.Number,
        route: Schema.String,
        name: StoredPath,
        state: DeliveryState,
        facts: Schema.NullOr(StoredFacts)
      }),
      execute: (ids) =>
        sql`SELECT id, generation, target, route, name, state, facts FROM deliveries
          WHERE ${sql.in("generation", ids)} AND anew IS NULL ORDER BY id`
    })

    const findTargets = SqlSchema.findAll({
      Request: Schema.Array(Schema.Number),
      Result: Schema.Struct({ id: Schema.Number, definition: StoredTarget }),
      execute: (ids) => sql`SELECT id, definition FROM targets WHERE ${sql.in("id", ids)}`
    })

    // few, and never changed: each is decoded once
    const targets = new Map<number, Target>()

    const routed = Effect.fn("Deliveries.routed")(function* (page: {
      readonly before?: GenerationId | undefined
      readonly limit: number
    }) {
      const generations = yield* findGenerations(page)
      const byGeneration = new Map<GenerationId, Array<Routed["deliveries"][number]>>()
      const rows = yield* inChunks(
        generations.map(({ id }) => id),
        findRouted
      )
      const missing = new Set(rows.map(({ target }) => target).filter((id) => !targets.has(id)))
      for (const { definition, id } of yield* inChunks(Array.from(missing), findTargets)) targets.set(id, definition)
      for (const { generation, target: key, ...row } of rows) {
        const target = targets.get(key)
        if (target === undefined) continue
        const list = byGeneration.get(generation)
        if (list === undefined) byGeneration.set(generation, [{ ...row, target }])
        else list.push({ ...row, target })
      }
      return generations.map(({ origin, ...one }): Routed => {
        const deliveries = byGeneration.get(one.id) ?? []
        return { ...one, ...readOrigin(origin), deliveries }
      })
    }, Effect.mapError(unreadable))

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
      judged,
      routed,
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
