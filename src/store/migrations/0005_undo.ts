import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/** Where archived files lie, and what was put back in its source. */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // JSON of where the file was archived
  yield* sql`ALTER TABLE generations ADD COLUMN archived TEXT`
  // two states more: UNDOING (it is about to be put back in its source; JSON of how), UNDONE (it is there)
  yield* sql`ALTER TABLE generations ADD COLUMN undo TEXT`
  yield* sql`CREATE INDEX generations_undoing ON generations (id) WHERE state = 'UNDOING'`
  // when the file was put back
  yield* sql`ALTER TABLE deliveries ADD COLUMN undone BIGINT`
  yield* sql`ALTER TABLE logs ADD COLUMN undone TEXT`
})
