import { describe, expect, it } from "@effect/vitest"
import { Migrator, SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Layer, Option } from "effect"
import { join } from "node:path"
import * as Database from "../../src/store/Database.ts"
import { LogRepo } from "../../src/store/LogRepo.ts"
import * as LogRepoMemory from "../../src/store/LogRepoMemory.ts"
import * as LogRepoSql from "../../src/store/LogRepoSql.ts"
import { migrations } from "../../src/store/migrations/index.ts"
import * as ReadSql from "../../src/store/ReadSql.ts"
import * as Process from "../cli/process.ts"
import { logEntry } from "../contracts/logRepo.ts"

/** All that an earlier version may have logged. */
const entries = Array.from({ length: 1_500 }, (_, n) =>
  logEntry(n, {
    filename: n % 10 === 0 ? `Größe ${n}.TXT` : `Report ${n}.pdf`,
    extension: n % 100 === 0 ? "x".repeat(20) : n % 10 === 0 ? "txt" : "pdf",
    route: n % 3 === 0 ? null : `folder ${n % 3}`,
    status: n % 7 === 0 ? "FAILED" : "SUCCEEDED",
    duration_ms: n % 5 === 0 ? null : n === 1 ? 0 : 1.01 ** n,
    created: new Date(Date.UTC(2026, 0, 1, n)).toISOString()
  })
)

const store = (file: string) =>
  LogRepoSql.layer.pipe(
    Layer.provide(ReadSql.layerDirect),
    Layer.provideMerge(Database.layer({ file, durability: "crash" }))
  )

describe("the migration to roll-ups and search", () => {
  it.scoped("fills them from the entries of an earlier version, as if these were stored now", () =>
    Effect.gen(function* () {
      const file = join(yield* Process.directory, "journal.db")
      const { "0007_stats": _stats, "0008_paused": _paused, ...earlier } = migrations
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* Migrator.make({})({ loader: Migrator.fromRecord(earlier), table: "filedispatch_migrations" })
        for (let from = 0; from < entries.length; from += 100) {
          yield* sql`INSERT INTO logs ${sql.insert(entries.slice(from, from + 100).map((entry) => ({ ...entry })))}`
        }
        yield* sql`INSERT INTO log_days SELECT substr(created, 1, 10), status, destination, protocol, COUNT(*),
          SUM(byte_size), COUNT(*) FROM logs GROUP BY 1, 2, 3, 4`
      }).pipe(Effect.provide(SqliteClient.layer({ filename: file })))
      yield* Effect.gen(function* () {
        const repo = yield* LogRepo
        const fresh = yield* LogRepo.pipe(Effect.provide(LogRepoMemory.layer))
        yield* fresh.append(entries)
        const same = Effect.gen(function* () {
          for (const interval of ["day", "month"] as const) {
            expect(yield* repo.stats(interval)).toEqual(yield* fresh.stats(interval))
            expect(yield* repo.folderStats(interval)).toEqual(yield* fresh.folderStats(interval))
            expect(yield* repo.extensionStats(interval)).toEqual(yield* fresh.extensionStats(interval))
            expect(yield* repo.timeStats(interval)).toEqual(yield* fresh.timeStats(interval))
          }
          for (const filter of [{ search: "größe" }, { search: "PORT 77" }, { search: "Ö" }, { route: "folder 2" }]) {
            const ask = { filter, order: "-created", limit: 1_000 } as const
            const found = yield* repo.query(ask)
            expect(found).toEqual(yield* fresh.query(ask))
            expect(Option.getOrThrow(found).total).toBeGreaterThan(0)
          }
        })
        yield* same
        // and goes on from there
        const more = Array.from({ length: 1_200 }, (_, n) => logEntry(n + 2_000, { filename: `größer ${n}` }))
        for (const one of [repo, fresh]) {
          yield* one.append(more)
          for (const n of [1, 10, 100, 150, 2_001]) expect(yield* one.remove(logEntry(n).id)).toBe(true)
        }
        yield* same
      }).pipe(Effect.provide(store(file)))
    })
  )
})
