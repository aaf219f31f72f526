import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/** What an attempt has begun at the target: an upload that can be resumed, and must be cleared away if it is not. */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE deliveries ADD COLUMN resume TEXT`
  yield* sql`CREATE INDEX deliveries_resume ON deliveries (lane, id) WHERE resume IS NOT NULL`
})
