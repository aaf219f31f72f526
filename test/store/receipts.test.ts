/**
 * The receipts of a journal: which of them count, and how they are read.
 */
import { SqliteClient } from "@effect/sql-sqlite-node"
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { join } from "node:path"
import type { DeliveryState } from "../../src/domain/Delivery.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { Target } from "../../src/domain/Target.ts"
import * as ReadSql from "../../src/store/ReadSql.ts"
import { Receipts } from "../../src/store/Receipts.ts"
import * as ReceiptsSql from "../../src/store/ReceiptsSql.ts"
import * as Process from "../cli/process.ts"
import { folder, inMemory } from "../TestApp.ts"
import { testDatabase } from "./testDatabase.ts"

interface Row {
  readonly target: Target
  readonly name: string
  readonly updated?: number
  readonly state?: DeliveryState
}

const add = (...all: ReadonlyArray<Row>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    for (const { name, state = "DELIVERED", target, updated = 1000 } of all) {
      const definition = JSON.stringify(target)
      const [last] = yield* sql<{ readonly id: number | null }>`SELECT max(id) AS id FROM deliveries`
      const next = (last?.id ?? 0) + 1
      yield* sql`INSERT INTO targets ${sql.insert({ definition, lane: target.lane })} ON CONFLICT DO NOTHING`
      const [stored] = yield* sql<{ readonly id: number }>`SELECT id FROM targets WHERE definition = ${definition}`
      yield* sql`INSERT INTO generations ${sql.insert({
        id: next,
        source: "/inbox",
        path: `${next}`,
        stamp: "1:2:3:4:5",
        size: 3,
        mtime: 1.5,
        born: 1,
        after: JSON.stringify({ _tag: "Keep" }),
        state: "OPEN",
        wanted: 1,
        ruleset: "r",
        updated
      })}`
      yield* sql`INSERT INTO deliveries ${sql.insert({
        id: next,
        generation: next,
        lane: target.lane,
        route: "r",
        name: RelPath.display(name),
        state,
        attempts: 0,
        sole: 0,
        interrupted: 0,
        created: updated,
        updated,
        target: stored?.id ?? 0
      })}`
      yield* sql`INSERT INTO logs ${sql.insert({
        id: `${next}`,
        filename: name,
        source: "/inbox",
        destination: target.url,
        extension: "",
        worker: "",
        protocol: "",
        status: "SUCCEEDED",
        size: "",
        byte_size: 3,
        created: new Date().toISOString(),
        delivery: next
      })}`
      if (state === "DELIVERED" || state === "CANCELLED") {
        yield* sql`INSERT INTO receipts ${sql.insert({
          delivery: next,
          bytes: next * 10,
          sha256: "ab",
          said: "stored",
          verified: "hash",
          name: RelPath.display(name)
        })}`
      }
    }
  })

/** The file is written by one connection and read by another, as by a daemon and a command. */
const withJournal = <A, E>(
  test: Effect.Effect<A, E, SqlClient.SqlClient | Receipts | Scope.Scope>,
  rows: ReadonlyArray<Row>
): Effect.Effect<A, unknown> =>
  Effect.scoped(
    Effect.gen(function* () {
      const file = join(yield* Process.directory, "journal.db")
      const writer = yield* Layer.build(testDatabase(file))
      yield* Effect.provide(add(...rows), writer)
      const reader = ReceiptsSql.layer.pipe(
        Layer.provide(ReadSql.layerDirect),
        Layer.provide(SqliteClient.layer({ filename: file, readonly: true }))
      )
      return yield* Effect.scoped(test).pipe(Effect.provide(reader), Effect.provide(writer))
    })
  )

const numbers = (from: number, count: number) => Array.from({ length: count }, (_, index) => from + index)

/** What counts, as `3 a.txt`; and what does not, as `1 a.txt, 3`. */
const all = (filter: Parameters<(typeof Receipts.Service)["snapshot"]>[0] = {}) =>
  Effect.gen(function* () {
    const { snapshot } = yield* Receipts
    const taken = yield* snapshot(filter)
    const groups = yield* Effect.forEach(taken.groups, ({ count, destination, first, lane }) =>
      Effect.map(taken.get(numbers(first, count)), (found) => {
        expect(found).toHaveLength(count)
        expect(found.every(({ target }) => target.lane === lane && target.url === destination)).toBe(true)
        return found.map(({ id, receipt }) => `${id} ${RelPath.display(receipt.name)}`)
      })
    )
    const replaced = yield* taken.getReplaced(numbers(taken.replaced.first, taken.replaced.count))
    return {
      groups: groups.map((lines) => lines.join(", ")),
      replaced: replaced.map(({ by, delivered }) => `${delivered.id} by ${by}`),
      oldest: taken.oldest,
      newest: taken.newest,
      taken
    }
  })

const one = inMemory("one")
const two = inMemory("two")

describe("the receipts of a journal", () => {
  it.scoped("by lane and target, each with all that it was delivered with", () =>
    withJournal(
      Effect.gen(function* () {
        const { groups, newest, oldest, replaced, taken } = yield* all()
        expect(groups).toEqual(["1 a.txt, 4 b.txt", "3 c.txt", "2 a.txt"])
        expect(replaced).toEqual([])
        expect([oldest, newest]).toEqual([500, 2000])
        const [first] = yield* taken.get([1])
        expect(first).toMatchObject({
          state: "DELIVERED",
          target: one,
          updated: 500,
          generation: { source: "/inbox", path: "1", size: 3 },
          receipt: { bytes: 10, sha256: "ab", said: "stored", verified: "hash", name: "a.txt" }
        })
        expect(yield* taken.get([99])).toEqual([])
      }),
      [
        { target: one, name: "a.txt", updated: 500 },
        { target: two, name: "a.txt", updated: 2000 },
        { target: { ...one, url: "memory://one/other", path: "/other" }, name: "c.txt" },
        { target: one, name: "b.txt" },
        { target: one, name: "dead.txt", state: "DEAD" }
      ]
    )
  )

  it.scoped("of a place only the newest counts, however its target is written, and whichever was accepted first", () =>
    withJournal(
      Effect.gen(function* () {
        const { groups, replaced } = yield* all()
        expect(groups).toEqual(["6 x/a.txt, 9 a\\xff\\u{a}", "3 b.txt, 5 a.txt", "7 b.txt"])
        expect(replaced.sort()).toEqual(["1 by 3", "2 by 5", "4 by 6", "8 by 9"])
      }),
      [
        // accepted first, and delivered last
        { target: one, name: "b.txt", updated: 1 },
        { target: one, name: "a.txt", updated: 2 },
        { target: one, name: "b.txt", updated: 5 },
        { target: { ...folder("/out/x"), url: "/out/x" }, name: "a.txt", updated: 3 },
        { target: inMemory("one", "in", { concurrency: 9 }), name: "a.txt", updated: 4 },
        { target: folder("/out"), name: "x/a.txt", updated: 4 },
        { target: two, name: "b.txt", updated: 4 },
        { target: folder("/out/"), name: RelPath.fromBytes(Uint8Array.from([0x61, 0xff, 0x0a])), updated: 4 },
        { target: folder("/out"), name: RelPath.fromBytes(Uint8Array.from([0x61, 0xff, 0x0a])), updated: 4 }
      ]
    )
  )

  it.scoped("of what was taken back nothing counts, and not what it had replaced", () =>
    withJournal(
      Effect.map(all(), ({ groups, replaced }) => {
        expect(groups).toEqual(["3 b.txt"])
        expect(replaced).toEqual(["1 by 2"])
      }),
      [
        { target: one, name: "a.txt", updated: 1 },
        { target: one, name: "a.txt", updated: 2, state: "CANCELLED" },
        { target: one, name: "b.txt", updated: 3 }
      ]
    )
  )

  it.scoped("of a form, each is one by itself", () =>
    withJournal(
      Effect.map(all(), ({ groups, replaced }) => {
        expect(groups).toEqual(["1 a.txt, 2 a.txt"])
        expect(replaced).toEqual([])
      }),
      [
        { target: { ...one, scheme: "https" }, name: "a.txt", updated: 1 },
        { target: { ...one, scheme: "https" }, name: "a.txt", updated: 2 }
      ]
    )
  )

  it.scoped("since a time, and of one target, of which those of others still take the place", () =>
    withJournal(
      Effect.gen(function* () {
        expect((yield* all({ since: 2000 })).groups).toEqual(["4 c.txt", "3 b.txt"])
        expect((yield* all({ since: 9000 })).groups).toEqual([])
        const own = yield* all({ destination: folder("/out/x").url })
        expect(own.groups).toEqual([])
        expect(own.replaced).toEqual(["2 by 5"])
        expect((yield* all({ destination: "memory://nobody/in" })).groups).toEqual([])
      }),
      [
        { target: one, name: "a.txt", updated: 1000 },
        { target: folder("/out/x"), name: "a.txt", updated: 1000 },
        { target: two, name: "b.txt", updated: 2000 },
        { target: one, name: "c.txt", updated: 3000 },
        { target: folder("/out"), name: "x/a.txt", updated: 1500 }
      ]
    )
  )

  it.scoped("and which was replaced since, or is about to be", () =>
    withJournal(
      Effect.gen(function* () {
        const { taken } = yield* all()
        const [a, b, c] = yield* taken.get([1, 2, 3])
        if (a === undefined || b === undefined || c === undefined) return yield* Effect.dieMessage("three are there")
        expect(yield* taken.replacedSince(a)).toBeUndefined()
        yield* add(
          { target: one, name: "a.txt", updated: 2000 },
          { target: one, name: "b.txt", updated: 2000, state: "SENDING" },
          { target: one, name: "c.txt", updated: 2000, state: "PENDING" },
          { target: two, name: "c.txt", updated: 2000 }
        )
        expect(yield* taken.replacedSince(a)).toBe(5)
        expect(yield* taken.replacedSince(b)).toBe(6)
        expect(yield* taken.replacedSince(c)).toBeUndefined()
        // it is what it was
        expect(yield* taken.get([1, 2, 3])).toEqual([a, b, c])
      }),
      [
        { target: one, name: "a.txt" },
        { target: one, name: "b.txt" },
        { target: one, name: "c.txt" },
        { target: two, name: "other.txt" }
      ]
    )
  )
})
