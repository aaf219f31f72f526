import { SqliteClient } from "@effect/sql-sqlite-node"
import type { SqlClient } from "@effect/sql"
import { Effect, Layer } from "effect"
import { migrations } from "../../src/store/migrations/index.ts"

/** A database with the program's tables. */
export const testDatabase = (filename = ":memory:"): Layer.Layer<SqlClient.SqlClient, unknown> =>
  Layer.effectDiscard(Effect.forEach(Object.values(migrations), (migration) => migration)).pipe(
    Layer.provideMerge(SqliteClient.layer({ filename }))
  )
