import { describe, expect, it } from "@effect/vitest"
import { SqlClient } from "@effect/sql"
import { Effect, Layer, Option, Schema } from "effect"
import { DeliveryId, type DeliveryState } from "../../src/domain/Delivery.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import { usualOptions, type Target } from "../../src/domain/Target.ts"
import { Deliveries } from "../../src/store/Deliveries.ts"
import * as DeliveriesSql from "../../src/store/DeliveriesSql.ts"
import * as ReadSql from "../../src/store/ReadSql.ts"
import { StoredDelivery } from "../../src/store/rows.ts"
import { testDatabase } from "./testDatabase.ts"

const layer = DeliveriesSql.layer.pipe(Layer.provide(ReadSql.layerDirect), Layer.provideMerge(testDatabase()))

const target: Target = {
  url: "ftp://user@host/in",
  scheme: "ftp",
  lane: "ftp://user@host:21",
  host: "host",
  port: 21,
  username: "user",
  path: "/in",
  options: {
    ...usualOptions,
    conflict: "overwrite",
    retry: { attempts: 10, base: 1000, factor: 2, cap: 600_000 },
    concurrency: 4,
    timeout: 60_000,
    fieldname: "file",
    upload: "multipart",
    method: null,
    secure: "none"
  }
}

const name = RelPath.fromBytes(Uint8Array.from([0x61, 0xff, 0x0a]))

const id = (value: number) => DeliveryId.make(value)

const fill = (states: ReadonlyArray<DeliveryState>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`INSERT INTO targets (id, definition, lane) VALUES (1, ${JSON.stringify(target)}, ${target.lane})`
    for (const [index, state] of states.entries()) {
      const row = {
        id: index + 1,
        source: "/inbox",
        path: `${index}/${RelPath.display(name)}`,
        stamp: "1:2:3:4:5",
        size: 3,
        mtime: 1.5,
        born: 1,
        after: JSON.stringify({ _tag: "Delete" }),
        state: "OPEN",
        wanted: 1,
        ruleset: "r",
        note: null,
        updated: 1
      }
      yield* sql`INSERT INTO generations ${sql.insert(row)}`
      yield* sql`INSERT INTO deliveries ${sql.insert({
        id: index + 1,
        generation: index + 1,
        target: 1,
        lane: index % 2 === 0 ? "even" : "odd",
        route: "r",
        name: RelPath.display(name),
        state,
        attempts: 2,
        due: 99,
        reason: "why",
        chosen: state === "PUBLISHING" ? RelPath.display(name) : null,
        sole: 1,
        interrupted: 0,
        created: 10,
        updated: 11
      })}`
    }
  })

const ids = (filter: Parameters<typeof Deliveries.Service.list>[0]) =>
  Effect.gen(function* () {
    const deliveries = yield* Deliveries
    return (yield* deliveries.list(filter)).map((delivery) => Number(delivery.id))
  })

describe("DeliveriesSql", () => {
  it.effect("decodes a delivery with its generation, target and receipt, and encodes it back", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const deliveries = yield* Deliveries
      yield* fill(["PUBLISHING", "DELIVERED"])
      yield* sql`INSERT INTO receipts ${sql.insert({
        delivery: 2,
        bytes: 3,
        sha256: null,
        said: "226 done",
        verified: "size",
        name: RelPath.display(name)
      })}`
      const first = Option.getOrThrow(yield* deliveries.get(id(1)))
      expect(first).toMatchObject({
        id: 1,
        generation: { id: 1, path: `0/${name}`, stamp: "1:2:3:4:5", size: 3, mtime: 1.5, after: { _tag: "Delete" } },
        target,
        name,
        state: "PUBLISHING",
        attempts: 2,
        due: 99,
        reason: "why",
        chosen: name,
        sole: true,
        interrupted: false,
        receipt: null,
        created: 10,
        updated: 11
      })
      const second = Option.getOrThrow(yield* deliveries.get(id(2)))
      expect(second.receipt).toEqual({ bytes: 3, sha256: null, said: "226 done", verified: "size", name })
      const row = yield* Schema.encode(StoredDelivery)(second)
      expect(yield* Schema.decode(StoredDelivery)(row)).toEqual(second)
      expect(yield* deliveries.get(id(3))).toEqual(Option.none())
    }).pipe(Effect.provide(layer))
  )

  it.effect("lists the newest first, by states and lane, in pages", () =>
    Effect.gen(function* () {
      yield* fill(["DEAD", "DELIVERED", "PENDING", "DEAD", "DELIVERED", "RETRY_WAIT"])
      expect(yield* ids({ limit: 10 })).toEqual([6, 5, 4, 3, 2, 1])
      expect(yield* ids({ limit: 2 })).toEqual([6, 5])
      expect(yield* ids({ limit: 2, before: id(5) })).toEqual([4, 3])
      expect(yield* ids({ limit: 10, states: ["DEAD"] })).toEqual([4, 1])
      expect(yield* ids({ limit: 10, states: ["DEAD", "RETRY_WAIT", "DELIVERED", "DEAD"] })).toEqual([6, 5, 4, 2, 1])
      expect(yield* ids({ limit: 2, states: ["DEAD", "RETRY_WAIT"] })).toEqual([6, 4])
      expect(yield* ids({ limit: 10, states: ["DEAD"], before: id(4) })).toEqual([1])
      expect(yield* ids({ limit: 10, lane: "odd" })).toEqual([6, 4, 2])
      expect(yield* ids({ limit: 10, lane: "odd", states: ["DEAD"] })).toEqual([4])
      expect(yield* ids({ limit: 10, lane: "none" })).toEqual([])
    }).pipe(Effect.provide(layer))
  )

  it.effect("counts by lane and state, without what is delivered", () =>
    Effect.gen(function* () {
      const deliveries = yield* Deliveries
      yield* fill(["DEAD", "DELIVERED", "PENDING", "DEAD", "PENDING", "RETRY_WAIT"])
      const counts = yield* deliveries.counts
      expect(counts.map(({ lane, state, count }) => `${lane} ${state} ${count}`).sort()).toEqual([
        "even DEAD 1",
        "even PENDING 2",
        "odd DEAD 1",
        "odd RETRY_WAIT 1"
      ])
    }).pipe(Effect.provide(layer))
  )

  it.effect("lists the attempts, oldest first", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const deliveries = yield* Deliveries
      yield* fill(["DEAD"])
      for (const number of [2, 1]) {
        const attempt = { delivery: 1, number, started: 1, ended: 2, outcome: "RETRY_WAIT", reason: `no ${number}` }
        yield* sql`INSERT INTO attempts ${sql.insert(attempt)}`
      }
      expect((yield* deliveries.attempts(id(1))).map((attempt) => attempt.reason)).toEqual(["no 1", "no 2"])
      expect(yield* deliveries.attempts(id(2))).toEqual([])
    }).pipe(Effect.provide(layer))
  )

  it.effect("never looks through what is delivered to find what is not", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements: Array<string> = []
      const watched = Layer.succeed(
        ReadSql.ReadSql,
        new Proxy(sql, {
          apply: (target, self, args) => {
            const statement = Reflect.apply(target, self, args)
            if (Array.isArray(args[0])) statements.push(statement.compile()[0])
            return statement
          }
        })
      )
      yield* Effect.gen(function* () {
        const deliveries = yield* Deliveries
        yield* deliveries.list({ limit: 10, states: ["DEAD", "BLOCKED"] })
        yield* deliveries.counts
      }).pipe(Effect.provide(DeliveriesSql.layer.pipe(Layer.provide(watched))))
      const whole = statements.filter((statement) => /^SELECT (d\.id|lane)/.test(statement))
      expect(whole).toHaveLength(2)
      for (const statement of whole) {
        const parameters = Array.from(statement.matchAll(/\?/g), () => 10)
        const plan = yield* sql.unsafe<{ readonly detail: string }>(`EXPLAIN QUERY PLAN ${statement}`, parameters)
        const details = plan.map((row) => row.detail)
        expect(details.filter((detail) => /SCAN (d|deliveries)( |$)(?!USING)/.test(detail))).toEqual([])
      }
    }).pipe(Effect.provide(layer))
  )
})
