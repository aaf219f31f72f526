import { SqlClient } from "@effect/sql"
import { Effect } from "effect"

/** Everything that the first version keeps. Paths are stored in the display form of RelPath, which is reversible. */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  yield* sql`CREATE TABLE journal (
    id TEXT NOT NULL PRIMARY KEY,
    created BIGINT NOT NULL
  )`

  // state: OPEN (deliveries owed or dead, or the source is kept), DONE, DISPOSING, DISPOSED, REPLACED (by a newer generation of the path)
  yield* sql`CREATE TABLE generations (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    stamp TEXT NOT NULL,
    size BIGINT NOT NULL,
    mtime DOUBLE PRECISION NOT NULL,
    born DOUBLE PRECISION NOT NULL,
    after TEXT NOT NULL,
    state TEXT NOT NULL,
    wanted INTEGER NOT NULL,
    ruleset TEXT NOT NULL,
    note TEXT,
    updated BIGINT NOT NULL,
    UNIQUE (source, path, stamp)
  )`
  yield* sql`CREATE INDEX generations_disposing ON generations (id) WHERE state = 'DISPOSING'`
  yield* sql`CREATE INDEX generations_gone ON generations (updated) WHERE state IN ('DISPOSED', 'REPLACED')`

  yield* sql`CREATE TABLE targets (
    id INTEGER PRIMARY KEY,
    definition TEXT NOT NULL UNIQUE,
    lane TEXT NOT NULL
  )`

  yield* sql`CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL REFERENCES generations (id),
    target INTEGER NOT NULL REFERENCES targets (id),
    lane TEXT NOT NULL,
    route TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due BIGINT,
    reason TEXT,
    chosen TEXT,
    sole INTEGER NOT NULL,
    interrupted INTEGER NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL
  )`
  yield* sql`CREATE INDEX deliveries_generation ON deliveries (generation)`
  yield* sql`CREATE INDEX deliveries_waiting ON deliveries (lane, id) WHERE state = 'PENDING'`
  yield* sql`CREATE INDEX deliveries_due ON deliveries (lane, due) WHERE state IN ('RETRY_WAIT', 'BLOCKED')`
  yield* sql`CREATE INDEX deliveries_unfinished ON deliveries (state, id) WHERE state <> 'DELIVERED'`

  yield* sql`CREATE TABLE receipts (
    delivery INTEGER PRIMARY KEY REFERENCES deliveries (id),
    bytes BIGINT NOT NULL,
    sha256 TEXT,
    said TEXT NOT NULL,
    verified TEXT NOT NULL,
    name TEXT NOT NULL
  )`

  yield* sql`CREATE TABLE attempts (
    delivery INTEGER NOT NULL REFERENCES deliveries (id),
    number INTEGER NOT NULL,
    started BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL
  )`
  yield* sql`CREATE INDEX attempts_delivery ON attempts (delivery, number)`

  yield* sql`CREATE TABLE logs (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    filename TEXT NOT NULL,
    source TEXT NOT NULL,
    destination TEXT NOT NULL,
    extension TEXT NOT NULL,
    worker TEXT NOT NULL,
    protocol TEXT NOT NULL,
    status TEXT NOT NULL,
    size TEXT NOT NULL,
    byte_size BIGINT NOT NULL,
    reason TEXT,
    created TEXT NOT NULL,
    file_created TEXT,
    file_modified TEXT,
    sha256 TEXT,
    verified TEXT,
    route TEXT,
    attempts INTEGER,
    duration_ms DOUBLE PRECISION,
    delivery INTEGER
  )`
  // only what grows at its end: an index in random order (size, name, a random id) costs each insert five times what
  // the rest does, while a look through a million entries takes the reader's thread some tenths of a second
  yield* sql`CREATE INDEX logs_created ON logs (created, seq)`
  yield* sql`CREATE INDEX logs_failed ON logs (created, seq) WHERE status = 'FAILED'`

  // totals by day, so that a count of everything and the statistics never read the log itself: files and bytes are
  // what was ever logged, which outlives the entries' retention; present is how many of the entries are there still
  yield* sql`CREATE TABLE log_days (
    day TEXT NOT NULL,
    status TEXT NOT NULL,
    destination TEXT NOT NULL,
    protocol TEXT NOT NULL,
    files BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    present BIGINT NOT NULL,
    PRIMARY KEY (day, status, destination, protocol)
  )`
})
