import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/** Sources and lanes that somebody has paused: kept until somebody resumes them. */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE paused (
    what TEXT NOT NULL,
    name TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (what, name)
  ) WITHOUT ROWID`
})
