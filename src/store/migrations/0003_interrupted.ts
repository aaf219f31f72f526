import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/** An attempt that the end of the process has cut short: its traces must be cleared away if nobody goes on with it. */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE INDEX deliveries_interrupted ON deliveries (lane, id) WHERE interrupted = 1`
})
