import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/** What could not be sent because its file was not there, or was another: it is owed again where the file is back. */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE deliveries ADD COLUMN lost INTEGER NOT NULL DEFAULT 0`
  yield* sql`ALTER TABLE generations ADD COLUMN lost INTEGER NOT NULL DEFAULT 0`
})
