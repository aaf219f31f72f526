import { describe, expect, it } from "@effect/vitest"
import { SqlClient } from "@effect/sql"
import { Effect, Layer, Option } from "effect"

import { type LogFilter, LogRepo } from "../../src/store/LogRepo.ts"
import * as LogRepoMemory from "../../src/store/LogRepoMemory.ts"
import * as LogRepoSql from "../../src/store/LogRepoSql.ts"
import * as ReadSql from "../../src/store/ReadSql.ts"
import { logEntry, logRepoContract } from "../contracts/logRepo.ts"
import { testDatabase } from "./testDatabase.ts"

const database = testDatabase()
const sqlite = LogRepoSql.layer.pipe(Layer.provide(ReadSql.layerDirect), Layer.provideMerge(database))

logRepoContract("in memory", LogRepoMemory.layer)
logRepoContract("in SQLite", sqlite)

describe("LogRepoSql", () => {
  it.effect("writes in the caller's transaction", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const repo = yield* LogRepo
      yield* repo
        .append([logEntry(1)])
        .pipe(Effect.zipRight(Effect.fail("the caller's own")), sql.withTransaction, Effect.ignore)
      expect(yield* repo.stats("day")).toEqual([])
      expect(yield* sql`SELECT * FROM logs`).toEqual([])
    }).pipe(Effect.provide(sqlite))
  )

  it.effect("says what the database said", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const repo = yield* LogRepo
      yield* sql`DROP TABLE log_days`
      const error = yield* Effect.flip(repo.append([logEntry(1)]))
      expect(error.message).toBe("the log could not be written: no such table: log_days")
      // and nothing is half done
      expect(yield* sql`SELECT * FROM logs`).toEqual([])
    }).pipe(Effect.provide(sqlite))
  )

  it.effect("asks by an index, whatever is asked most", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const plan = (statement: string) =>
        Effect.map(sql.unsafe<{ readonly detail: string }>(`EXPLAIN QUERY PLAN ${statement}`), (rows) =>
          rows.map((row) => row.detail).join("\n")
        )
      const page = "SELECT * FROM logs WHERE (created, seq) < ('2026', 1) AND"
      expect(yield* plan(`${page} 1=1 ORDER BY created DESC, seq DESC LIMIT 10`)).toContain("logs_created")
      expect(yield* plan(`${page} status = 'FAILED' ORDER BY created DESC, seq DESC LIMIT 10`)).toContain("logs_failed")
    }).pipe(Effect.provide(sqlite))
  )

  it.effect(
    "answers what the memory does, whichever way it looks",
    () =>
      Effect.gen(function* () {
        const repo = yield* LogRepo
        const other = yield* LogRepo.pipe(Effect.provide(LogRepoMemory.layer))
        let seed = 7
        const random = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below
        // most have the name, half an extension, few a folder; times go back now and then
        const entries = Array.from({ length: 11_500 }, (_, n) =>
          logEntry(n, {
            filename: `${n % 40 === 0 ? "scan" : "invoice"} ${random(5_000)}${n % 300 === 0 ? " Ä" : ""}`,
            extension: n % 2 === 0 ? "pdf" : `x${random(50)}`,
            route: n % 700 === 0 ? "rare" : n % 11 === 0 ? null : "usual",
            destination: n < 10_600 ? "file:///old" : "file:///new",
            status: random(50) === 0 ? "FAILED" : "SUCCEEDED",
            byte_size: random(1_000),
            created: new Date(1.7e12 + (n - (n % 900 === 0 ? random(n + 1) : 0)) * 20_000).toISOString()
          })
        )
        for (let from = 0; from < entries.length; from += 900) {
          const some = entries.slice(from, from + 900)
          yield* repo.append(some)
          yield* other.append(some)
        }
        const gone = entries.filter((_, n) => n % 97 === 0)
        for (const { id } of gone) {
          yield* repo.remove(id)
          yield* other.remove(id)
        }
        const filters: ReadonlyArray<LogFilter> = [
          { search: "invoice" },
          { search: "INVOICE 12" },
          { search: "scan" },
          { search: "ä" },
          { search: "0 ä" },
          { search: "9" },
          { search: "invoice", route: "rare" },
          { search: "scan", status: "FAILED" },
          { search: "scan", extension: "pdf", byte_size__gte: 900 },
          { search: "invoice", destination: "file:///new" },
          { search: "invoice", filename: "invoice 12" },
          { filename: "invoice 12" },
          { destination: "file:///old" },
          { destination: "file:///old", status: "SUCCEEDED", created__gte: "2023-11-15" },
          { route: "usual", destination: "file:///old" },
          { route: "usual" },
          { route: "" },
          { extension: "x7" },
          { extension: "x7", route: "rare" },
          { source: "/inbox", byte_size__lte: 3 },
          { source: "/none" },
          { protocol: "file" },
          { protocol: "file", status: "FAILED" },
          { created: "2023-11-16" }
        ]
        for (const filter of filters) {
          // the test's runner is to hear of us meanwhile
          yield* Effect.promise(() => new Promise(setImmediate))
          for (const [order, total] of [
            ["-created", "bounded"],
            ["created", "exact"],
            ["byte_size", "bounded"]
          ] as const) {
            const ask = { filter, order, total, limit: 50 }
            const [first, expected] = yield* Effect.all([repo.query(ask), other.query(ask)])
            expect([ask, first]).toEqual([ask, expected])
            const next = Option.flatMapNullable(first, (page) => page.next)
            if (Option.isSome(next)) {
              const after = { ...ask, cursor: next.value }
              expect([after, yield* repo.query(after)]).toEqual([after, yield* other.query(after)])
            }
          }
        }
        for (const interval of ["day", "week", "month"] as const) {
          const range = { from: "2023-11-15", to: "2023-11-16" }
          expect(yield* repo.stats(interval, range)).toEqual(yield* other.stats(interval, range))
          expect(yield* repo.folderStats(interval)).toEqual(yield* other.folderStats(interval))
          expect(yield* repo.extensionStats(interval)).toEqual(yield* other.extensionStats(interval))
          expect(yield* repo.timeStats(interval)).toEqual(yield* other.timeStats(interval))
        }
      }).pipe(Effect.provide(sqlite)),
    60_000
  )
})
