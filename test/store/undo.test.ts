import { describe, expect, it } from "@effect/vitest"
import { SqlClient } from "@effect/sql"
import { Effect } from "effect"
import { undoContract } from "../contracts/undo.ts"
import { inFile, inMemory, sqlite } from "./stores.ts"

undoContract("in memory", inMemory)
undoContract("in SQLite", sqlite(":memory:"))
undoContract("in a file", inFile)

describe("UndoSql", () => {
  it.effect("finds by an index what was taken away last, and what was begun", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const plan = (statement: string) =>
        Effect.map(sql.unsafe<{ readonly detail: string }>(`EXPLAIN QUERY PLAN ${statement}`), (rows) =>
          rows.map((row) => row.detail).join("\n")
        )
      const last = yield* plan(`SELECT id FROM generations WHERE state IN ('DISPOSED', 'REPLACED', 'MOVED')
        AND state <> 'REPLACED' AND wanted > 0 ORDER BY updated DESC, id DESC LIMIT 5`)
      expect(last).toContain("generations_gone")
      expect(last).not.toContain("TEMP B-TREE")
      expect(yield* plan("SELECT id FROM generations WHERE state = 'UNDOING' ORDER BY id")).toContain(
        "generations_undoing"
      )
    }).pipe(Effect.provide(sqlite(":memory:")))
  )
})
