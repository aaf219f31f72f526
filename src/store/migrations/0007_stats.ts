import { SqlClient } from "@effect/sql"
import { Effect, Schema } from "effect"
import { extensionKey, mostExtensions, otherExtensions, timeScale } from "../logRollUps.ts"
import { foldedOrNull } from "../LogSearch.ts"
import { rows } from "../sqlTools.ts"

/** Totals by folder, extension and time, and what finds entries by parts of names and by rare values. */
export default Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const [entries] = yield* rows(Schema.Struct({ count: Schema.Number }), sql`SELECT COUNT(*) AS count FROM logs`)
  if ((entries?.count ?? 0) > 100_000) {
    yield* Effect.logInfo("The log is prepared for search and statistics, once: about a minute for a million entries")
  }

  // as log_days: what was ever logged, which outlives the entries' retention
  yield* sql`CREATE TABLE log_folders (
    day TEXT NOT NULL,
    folder TEXT NOT NULL,
    status TEXT NOT NULL,
    files BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (day, folder, status)
  )`
  yield* sql`CREATE TABLE log_extensions (
    day TEXT NOT NULL,
    extension TEXT NOT NULL,
    status TEXT NOT NULL,
    files BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (day, extension, status)
  )`
  // of what succeeded; logRollUps says what the buckets are
  yield* sql`CREATE TABLE log_times (
    day TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    files BIGINT NOT NULL,
    PRIMARY KEY (day, bucket)
  )`
  yield* sql`INSERT INTO log_folders
    SELECT substr(created, 1, 10), COALESCE(route, ''), status, COUNT(*), SUM(byte_size) FROM logs GROUP BY 1, 2, 3`
  const time = sql`CASE WHEN duration_ms < ${timeScale.shortest} THEN ${timeScale.shortest}
    WHEN duration_ms > ${timeScale.longest} THEN ${timeScale.longest} ELSE duration_ms END`
  yield* sql`INSERT INTO log_times
    SELECT substr(created, 1, 10), CAST(CEIL(LN(${time}) / ${timeScale.logGrowth}) AS INTEGER), COUNT(*)
    FROM logs WHERE status = 'SUCCEEDED' AND duration_ms IS NOT NULL GROUP BY 1, 2`

  // day by day: there may be as many extensions as there are files
  const days = yield* rows(
    Schema.Struct({ day: Schema.String }),
    sql`SELECT DISTINCT day FROM log_folders ORDER BY day`
  )
  for (const { day } of days) {
    const found = yield* rows(
      ExtensionRow,
      sql`SELECT extension, status, COUNT(*) AS files, SUM(byte_size) AS bytes FROM logs
        WHERE created >= ${day} AND created < ${`${day}U`} GROUP BY extension, status ORDER BY files DESC`
    )
    const sums = new Map<string, typeof ExtensionRow.Type & { readonly day: string }>()
    const kept = new Set<string>()
    for (const { bytes, files, status, extension: name } of found) {
      const key = extensionKey(name)
      const extension = kept.has(key) || kept.size < mostExtensions ? key : otherExtensions
      kept.add(extension)
      const sum = sums.get(`${status} ${extension}`)
      sums.set(`${status} ${extension}`, {
        day,
        extension,
        status,
        files: files + (sum?.files ?? 0),
        bytes: bytes + (sum?.bytes ?? 0)
      })
    }
    for (const sum of sums.values()) yield* sql`INSERT INTO log_extensions ${sql.insert(sum)}`
  }

  // null where it is what lower() makes of the name
  yield* sql`ALTER TABLE logs ADD COLUMN folded TEXT`
  let last = 0
  for (;;) {
    const names = yield* rows(
      Schema.Struct({ seq: Schema.Int, filename: Schema.String }),
      sql`SELECT seq, filename FROM logs WHERE seq > ${last} AND octet_length(filename) <> length(filename)
        ORDER BY seq LIMIT 1000`
    )
    for (const { filename, seq } of names) {
      yield* sql`UPDATE logs SET folded = ${foldedOrNull(filename)} WHERE seq = ${seq}`
      last = seq
    }
    if (names.length < 1000) break
  }

  // it still only grows at its end; the size in it finds the largest without the entries themselves
  yield* sql`DROP INDEX logs_created`
  yield* sql`CREATE INDEX logs_created ON logs (created, seq, byte_size)`

  // with an index of its own for each of destination, extension and folder the insert of an entry takes three times as
  // long; inverted ones that are filled a thousand entries at a time add a quarter
  yield* sql.onDialectOrElse({
    sqlite: () =>
      Effect.gen(function* () {
        yield* sql`CREATE VIRTUAL TABLE log_names USING
          fts5(name, content='', contentless_delete=1, tokenize='trigram case_sensitive 1')`
        yield* sql`CREATE VIRTUAL TABLE log_terms USING
          fts5(terms, content='', contentless_delete=1, detail=none, tokenize='ascii')`
        // entries with a later seq are in neither
        yield* sql`CREATE TABLE log_indexed (last INTEGER NOT NULL)`
        yield* sql`INSERT INTO log_indexed SELECT COALESCE(MAX(seq), 0) FROM logs`
        yield* sql`INSERT INTO log_names (rowid, name) SELECT seq, COALESCE(folded, lower(filename)) FROM logs`
        yield* sql`INSERT INTO log_terms (rowid, terms) SELECT seq,
          'e' || hex(extension) || ' r' || hex(COALESCE(route, '')) || ' d' || hex(destination) ||
          ' s' || hex(source) || ' p' || hex(protocol) FROM logs`
      }),
    orElse: () => Effect.void
  })
})

const ExtensionRow = Schema.Struct({
  extension: Schema.String,
  status: Schema.String,
  files: Schema.Number,
  bytes: Schema.Number
})
