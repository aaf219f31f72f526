import { describe, expect, it } from "@effect/vitest"
import { SqlClient } from "@effect/sql"
import { Effect, Layer } from "effect"

import { LogRepo } from "../../src/store/LogRepo.ts"
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
})
