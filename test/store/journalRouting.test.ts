import { describe, expect, it } from "@effect/vitest"
import { Migrator, SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Option } from "effect"
import { join } from "node:path"
import { DeliveryId, DeliveryState } from "../../src/domain/Delivery.ts"
import { GenerationId, Stamp } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Database from "../../src/store/Database.ts"
import { Deliveries } from "../../src/store/Deliveries.ts"
import { Journal } from "../../src/store/Journal.ts"
import { LogRepo } from "../../src/store/LogRepo.ts"
import { migrations } from "../../src/store/migrations/index.ts"
import * as Patience from "../../src/store/Patience.ts"
import * as Process from "../cli/process.ts"
import { admission, deliveredNow, failedNow, found, placement, target } from "../contracts/journal.ts"
import { journalRoutingContract } from "../contracts/journalRouting.ts"
import { inMemory, sqlite } from "./stores.ts"

journalRoutingContract("in memory", inMemory)
journalRoutingContract("in SQLite", sqlite(":memory:"))

const claim = (limit = 10) => Effect.flatMap(Journal, (journal) => journal.claim("memory://one", limit, 1e12))

describe("Patience", () => {
  it("is a quarter, however few are taken at a time, and of each lane", () => {
    const { share } = Patience.make()
    expect([1, 1, 1, 1, 1, 1, 1, 1].map((count) => share("a", count))).toEqual([0, 0, 0, 1, 0, 0, 0, 1])
    expect([3, 500, 3, 2].map((count) => share("b", count))).toEqual([0, 125, 1, 1])
    expect(share("c", 3)).toBe(0)
  })

  it("makes room at the end, and takes none twice", () => {
    const all = (...ids: ReadonlyArray<number>) => ids.map((id) => ({ id }))
    expect(Patience.choose(all(7, 8, 9, 10), all(1, 2), 4)).toEqual(all(7, 8, 1, 2))
    expect(Patience.choose(all(7, 1, 9, 2), all(1, 2), 4)).toEqual(all(7, 1, 9, 2))
    expect(Patience.choose(all(7, 8, 1, 2), all(1, 3), 4)).toEqual(all(7, 8, 1, 3))
    expect(Patience.choose(all(7), all(1), 1)).toEqual(all(1))
  })
})

describe("JournalSql", () => {
  it.scoped("finds intents, numbers, rules and archives again when its file is opened again", () =>
    Effect.gen(function* () {
      const file = join(yield* Process.directory, "journal.db")
      const move = { onDead: { _tag: "Move", template: "/dead/{name}" } } as const
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        yield* journal.ruleset("rules", "the rules")
        yield* journal.admit("rules", [
          admission(found("a"), [target()], { _tag: "Delete" }, "/inbox", { ...move, counters: { photos: 3 } }),
          admission(found("b"), [target()], { _tag: "Delete" }, "/inbox", move),
          admission(found("c"), [target()], undefined, "/inbox", {
            placements: [placement("c", { priority: -4, rank: 2 }), placement("d", { priority: 4, rank: 2 })]
          })
        ])
        const [, a, b] = yield* claim(3)
        if (!a || !b) throw new Error("nothing claimed")
        yield* journal.conclude([failedNow(a, "DEAD"), deliveredNow(b)])
        yield* journal.archived(b.generation.id, "/archive/b", "inode", 7)
      }).pipe(Effect.provide(sqlite(file)))
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        expect((yield* journal.disposals(10)).map((one) => [one.generation.path, one.because])).toEqual([
          ["a", "dead"],
          ["b", "done"]
        ])
        expect(yield* journal.counters).toEqual(new Map([["photos", 3]]))
        expect((yield* journal.expired(7, 1)).map(({ path }) => path)).toEqual(["/archive/b"])
        expect(yield* journal.recover).toBe(1)
        const [d, c] = yield* claim()
        expect([d?.name, d?.priority, c?.name, c?.priority]).toEqual(["d", 4, "c", -4])
        const why = yield* Effect.flatten((yield* Deliveries).judged(d?.id ?? DeliveryId.make(0)))
        expect(why.rules).toBe("the rules")
      }).pipe(Effect.provide(sqlite(file)))
    })
  )

  it.effect("gives no number to files that were not admitted, and reroutes whole or not at all", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const sql = yield* SqlClient.SqlClient
      yield* journal.admit("rules", [admission(found("a"))])
      const [a] = yield* claim()
      if (!a) throw new Error("nothing claimed")
      yield* journal.conclude([failedNow(a, "DEAD")])
      yield* sql`CREATE TRIGGER refuse BEFORE INSERT ON counters BEGIN SELECT RAISE(ABORT, 'no number today'); END`
      const counted = admission(found("b"), [target()], undefined, undefined, { counters: { photos: 1 } })
      expect((yield* Effect.flip(journal.admit("rules", [counted]))).message).toContain("no number today")
      expect(yield* journal.unknown("/inbox", "rules", [found("b")])).toEqual([found("b")])
      const rerouting = {
        generation: a.generation.id,
        placements: [placement("x", { target: target("two") })],
        counters: { photos: 1 }
      }
      expect((yield* Effect.flip(journal.reroute("new", [rerouting]))).message).toContain("no number today")
      expect(yield* sql`SELECT state, anew FROM deliveries`).toEqual([{ state: "DEAD", anew: null }])
      yield* sql`DROP TRIGGER refuse`
      expect((yield* journal.reroute("new", [rerouting])).length).toBe(1)
      expect(yield* journal.counters).toEqual(new Map([["photos", 1]]))
    }).pipe(Effect.provide(sqlite(":memory:")))
  )

  it.effect("keeps a place in a directory whose name is no text", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      yield* journal.admit("rules", [
        admission(found("a"), [target()], undefined, "/inbox", { onDead: { _tag: "Move", template: "/x/{name}" } })
      ])
      const [a] = yield* claim()
      if (!a) throw new Error("nothing claimed")
      yield* journal.conclude([failedNow(a, "DEAD")])
      const directory = RelPath.fromBytes(Uint8Array.from([0x2f, 0x78, 0xff]))
      const place = { source: directory, path: RelPath.make("a"), stamp: Stamp.make("s"), marker: RelPath.make("m") }
      yield* journal.moved(a.generation.id, place)
      yield* journal.replay("all")
      const [again] = yield* claim()
      expect(`${again?.generation.source}${again?.generation.path}`).toBe(`${directory}/a`)
      expect(`${again?.generation.source}${again?.generation.marker}`).toBe(`${directory}/m`)
    }).pipe(Effect.provide(sqlite(":memory:")))
  )

  it.effect("finds by an index what comes next, what has waited longest, and what is to be done", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const plan = (statement: string) =>
        Effect.map(sql.unsafe<{ readonly detail: string }>(`EXPLAIN QUERY PLAN ${statement}`), (rows) =>
          rows.map((row) => row.detail).join("\n")
        )
      const waiting = "FROM deliveries d WHERE d.lane = 'x' AND d.state = 'PENDING'"
      const next = yield* plan(`SELECT d.id, d.facts ${waiting} ORDER BY d.priority DESC, d.rank, d.id LIMIT 5`)
      expect(next).toContain("deliveries_waiting")
      expect(next).not.toContain("TEMP B-TREE")
      const plain = yield* plan(`SELECT d.id ${waiting} AND priority = 0 AND rank = 0 ORDER BY id LIMIT 5`)
      expect(plain).toContain("deliveries_waiting (lane=? AND priority=? AND rank=?)")
      expect(plain).not.toContain("TEMP B-TREE")
      const ranked = yield* plan(`SELECT d.id ${waiting} AND (priority <> 0 OR rank <> 0) ORDER BY id LIMIT 5`)
      expect(ranked).toContain("deliveries_patient")
      expect(ranked).not.toContain("TEMP B-TREE")
      expect(
        yield* plan("SELECT id FROM generations WHERE state IN ('DISPOSING', 'MOVING') ORDER BY id LIMIT 5")
      ).toContain("generations_disposing")
      expect(yield* plan("SELECT id FROM archives WHERE expires <= 5 ORDER BY expires LIMIT 5")).toContain(
        "archives_expires"
      )
    }).pipe(Effect.provide(sqlite(":memory:")))
  )
})

describe("a database of the version before", () => {
  const states = DeliveryState.literals
  const generationStates = ["OPEN", "DONE", "DISPOSING", "DISPOSED", "REPLACED"] as const

  /** As the first three migrations made it, with rows in every state. */
  const make = (file: string) =>
    Effect.gen(function* () {
      yield* Migrator.make({})({
        loader: Migrator.fromRecord({
          "0001_initial": migrations["0001_initial"],
          "0002_resume": migrations["0002_resume"],
          "0003_interrupted": migrations["0003_interrupted"]
        }),
        table: "filedispatch_migrations"
      })
      const sql = yield* SqlClient.SqlClient
      yield* sql`INSERT INTO journal VALUES ('the-id', 1)`
      yield* sql`INSERT INTO targets VALUES (1, ${JSON.stringify(target())}, 'memory://one')`
      for (const [index, state] of generationStates.entries()) {
        const path = `${state} \\xff`
        yield* sql`INSERT INTO generations VALUES (${index + 1}, '/inbox', ${path}, ${found("", index).stamp}, 101, 5.5, 6,
          '{"_tag":"Delete"}', ${state}, 1, 'rules', NULL, 7)`
      }
      for (const [index, state] of states.entries()) {
        const due = state === "RETRY_WAIT" || state === "BLOCKED" ? 50 : null
        yield* sql`INSERT INTO deliveries VALUES (${index + 1}, ${(index % 5) + 1}, 1, 'memory://one', 'route-0',
          ${`to ${state}`}, ${state}, 2, ${due}, 'cut', NULL, 0, 0, 8, 9, ${state === "DEAD" ? "upload 1" : null})`
        if (state === "DELIVERED") yield* sql`INSERT INTO receipts VALUES (${index + 1}, 9, 'ab', '226', 'size', 'x')`
        yield* sql`INSERT INTO attempts VALUES (${index + 1}, 1, 2, 3, 'RETRY_WAIT', 'cut')`
      }
      yield* sql`INSERT INTO logs (id, filename, source, destination, extension, worker, protocol, status, size,
          byte_size, created, sha256, delivery)
        VALUES ('00000000-0000-4000-8000-00000000ffff', 'x', '/inbox', 'memory://one/in', '', 'W', 'memory',
          'SUCCEEDED', '9 B', 9, '2026-01-01T00:00:00.000Z', 'ab', 6)`
    }).pipe(Effect.provide(SqliteClient.layer({ filename: file })))

  it.scoped("is taken over without loss, whatever state its rows are in", () =>
    Effect.gen(function* () {
      const file = join(yield* Process.directory, "journal.db")
      yield* make(file)
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        const deliveries = yield* Deliveries
        expect(journal.id).toBe("the-id")
        const all = (yield* deliveries.list({ limit: 100 })).toReversed()
        expect(all.map(({ state }) => state)).toEqual(states)
        for (const [index, one] of all.entries()) {
          const generation = (index % 5) + 1
          expect(one).toMatchObject({
            priority: 0,
            facts: null,
            attempts: 2,
            reason: "cut",
            name: `to ${one.state}`,
            generation: {
              id: generation,
              path: RelPath.parse(`${generationStates[generation - 1]} \\xff`),
              onDead: null,
              marker: null,
              after: { _tag: "Delete" }
            }
          })
          expect(yield* deliveries.attempts(one.id)).toHaveLength(1)
        }
        expect(all.find(({ state }) => state === "DELIVERED")?.receipt).toEqual({
          bytes: 9,
          sha256: "ab",
          said: "226",
          verified: "size",
          name: "x"
        })
        const entry = yield* Effect.flatten((yield* LogRepo).get("00000000-0000-4000-8000-00000000ffff"))
        expect(entry).toMatchObject({ sha256: "ab", sent_size: null, sent_sha256: null })
        expect(Option.getOrNull(yield* deliveries.judged(DeliveryId.make(1)))).toMatchObject({
          ruleset: "rules",
          rules: null
        })
        expect(
          (yield* deliveries.routed({ limit: 9, before: GenerationId.make(9) })).map(({ deliveries }) =>
            deliveries.map(({ id }) => id)
          )
        ).toEqual([
          [4, 9],
          [3, 8],
          [2, 7],
          [1, 6, 11]
        ])
        expect((yield* journal.disposals(9)).map(({ because, generation }) => [because, generation.id])).toEqual([
          ["done", 3]
        ])

        // and goes on where it was
        expect(yield* journal.recover).toBe(2)
        yield* journal.admit("rules", [
          admission(found("new")),
          admission(found("first"), [], undefined, undefined, { placements: [placement("first", { priority: 1 })] })
        ])
        const claimed = yield* claim(20)
        expect(claimed.map(({ name }) => name)).toEqual([
          // what was blocked is tried afresh at a start
          "to BLOCKED",
          "to RETRY_WAIT",
          "first",
          "to PENDING",
          "to SENDING",
          "to PUBLISHING",
          "new"
        ])
        expect(claimed.at(-1)?.id).toBeGreaterThan(states.length)
        expect((yield* journal.litter("memory://one", 9)).map(({ name }) => name)).toEqual(["to DEAD"])
        // nothing of it is moved because it is dead: nobody had asked for that
        const [first] = claimed
        if (first !== undefined) expect((yield* journal.conclude([failedNow(first, "DEAD")])).dead).toEqual([])
        expect((yield* journal.replay("all")).length).toBe(5)
        // one that was replaced has a delivery that is to be sent again, and the other left litter
        expect(yield* journal.prune(1e15)).toBe(0)
      }).pipe(Effect.provide(sqlite(file)))
    })
  )

  it.scoped("is not read as it is, but says what to do", () =>
    Effect.gen(function* () {
      const file = join(yield* Process.directory, "journal.db")
      const reader = SqliteClient.layer({ filename: file, readonly: true })
      yield* make(file)
      const error = yield* Effect.flip(Effect.provide(Database.upToDate(file), reader))
      expect(error.message).toContain("start filedispatch with this config once")
      yield* Effect.provide(Journal, sqlite(file))
      yield* Effect.provide(Database.upToDate(file), reader)

      const other = join(yield* Process.directory, "other.db")
      const foreign = SqliteClient.layer({ filename: other })
      expect((yield* Effect.flip(Effect.provide(Database.upToDate(other), foreign))).message).toContain("no such table")
    })
  )
})
