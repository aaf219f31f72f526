import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/** Priorities and order, what was learnt of a file, the rules by which it was judged, and where it went afterwards. */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // what was accepted before there was a choice has none: null
  yield* sql`ALTER TABLE generations ADD COLUMN on_dead TEXT`
  yield* sql`ALTER TABLE generations ADD COLUMN marker TEXT`
  // JSON [source, path] of a file that was moved: where it was found
  yield* sql`ALTER TABLE generations ADD COLUMN origin TEXT`
  // two states more: MOVING (a dead file that is to be moved), MOVED
  yield* sql`DROP INDEX generations_disposing`
  yield* sql`CREATE INDEX generations_disposing ON generations (id) WHERE state IN ('DISPOSING', 'MOVING')`
  yield* sql`DROP INDEX generations_gone`
  yield* sql`CREATE INDEX generations_gone ON generations (updated) WHERE state IN ('DISPOSED', 'REPLACED', 'MOVED')`

  yield* sql`ALTER TABLE deliveries ADD COLUMN priority INTEGER NOT NULL DEFAULT 0`
  yield* sql`ALTER TABLE deliveries ADD COLUMN rank DOUBLE PRECISION NOT NULL DEFAULT 0`
  yield* sql`ALTER TABLE deliveries ADD COLUMN facts TEXT`
  // of a generation that was routed anew: the later rules, and, with what was given up, the delivery that goes instead
  yield* sql`ALTER TABLE deliveries ADD COLUMN ruleset TEXT`
  yield* sql`ALTER TABLE deliveries ADD COLUMN anew INTEGER`
  yield* sql`CREATE INDEX deliveries_ruleset ON deliveries (ruleset) WHERE ruleset IS NOT NULL`
  // in the order of sending; those of no priority and rank lie in it by id, as they come. Only for the others there is
  // a second one, by which those are found that have waited longest
  yield* sql`DROP INDEX deliveries_waiting`
  yield* sql`CREATE INDEX deliveries_waiting ON deliveries (lane, priority DESC, rank, id) WHERE state = 'PENDING'`
  yield* sql`CREATE INDEX deliveries_patient ON deliveries (lane, id)
    WHERE state = 'PENDING' AND (priority <> 0 OR rank <> 0)`

  yield* sql`ALTER TABLE receipts ADD COLUMN source_sha256 TEXT`

  yield* sql`ALTER TABLE logs ADD COLUMN sent_size BIGINT`
  yield* sql`ALTER TABLE logs ADD COLUMN sent_sha256 TEXT`

  yield* sql`CREATE TABLE counters (
    route TEXT NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
  )`

  // generations that were judged by it have ids above `first` and, once other rules hold, up to `last`
  yield* sql`CREATE TABLE rulesets (
    digest TEXT NOT NULL PRIMARY KEY,
    text TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER,
    created BIGINT NOT NULL
  )`

  // archived files that are kept for some time; the generation itself may be forgotten before
  yield* sql`CREATE TABLE archives (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    identity TEXT NOT NULL,
    expires BIGINT NOT NULL
  )`
  yield* sql`CREATE INDEX archives_expires ON archives (expires)`
})
