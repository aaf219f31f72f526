/**
 * The log's statistics in a SQL database: sums of the roll-ups.
 */
import { type SqlClient, SqlSchema, type Statement } from "@effect/sql"
import { Effect, Schema } from "effect"
import { LogStatus } from "../domain/LogEntry.ts"
import type { StatsInterval, StatsRange } from "./LogRepo.ts"
import { bucketTime } from "./logRollUps.ts"
import { wrap } from "./logRows.ts"

export const make = (sql: SqlClient.SqlClient) => {
  const ask = <A, I>(Result: Schema.Schema<A, I>, statement: Statement.Statement<unknown>) =>
    SqlSchema.findAll({ Request: Schema.Void, Result, execute: () => statement })(undefined).pipe(
      Effect.mapError(wrap("the log could not be read"))
    )

  const within = (range: StatsRange = {}): Statement.Fragment =>
    sql.and([
      ...(range.from === undefined ? [] : [sql`day >= ${range.from}`]),
      ...(range.to === undefined ? [] : [sql`day <= ${range.to}`])
    ])

  const stats = Effect.fn("LogRepo.stats")((interval: StatsInterval, range?: StatsRange) => {
    const start = intervalStart(sql, interval)
    return ask(
      Schema.Struct({ ...Totals, destination: Schema.String, protocol: Schema.String }),
      sql`SELECT ${start} AS start, status, destination, protocol, SUM(files) AS files, SUM(bytes) AS bytes
        FROM log_days WHERE ${within(range)} GROUP BY ${start}, status, destination, protocol
        ORDER BY ${start}, destination, protocol, status`
    )
  })

  const folderStats = Effect.fn("LogRepo.folderStats")((interval: StatsInterval, range?: StatsRange) => {
    const start = intervalStart(sql, interval)
    return ask(
      Schema.Struct({ ...Totals, folder: Schema.String }),
      sql`SELECT ${start} AS start, status, folder, SUM(files) AS files, SUM(bytes) AS bytes
        FROM log_folders WHERE ${within(range)} GROUP BY ${start}, folder, status ORDER BY ${start}, folder, status`
    )
  })

  const extensionStats = Effect.fn("LogRepo.extensionStats")((interval: StatsInterval, range?: StatsRange) => {
    const start = intervalStart(sql, interval)
    return ask(
      Schema.Struct({ ...Totals, extension: Schema.String }),
      sql`SELECT ${start} AS start, status, extension, SUM(files) AS files, SUM(bytes) AS bytes
        FROM log_extensions WHERE ${within(range)} GROUP BY ${start}, extension, status
        ORDER BY ${start}, extension, status`
    )
  })

  // the first bucket up to which there are so many of a hundred
  const timeStats = Effect.fn("LogRepo.timeStats")((interval: StatsInterval, range?: StatsRange) => {
    const start = intervalStart(sql, interval)
    return Effect.map(
      ask(
        Schema.Struct({ start: Schema.String, files: Schema.Number, median: Schema.Number, p95: Schema.Number }),
        sql`WITH buckets AS (
            SELECT ${start} AS start, bucket, SUM(files) AS files FROM log_times WHERE ${within(range)}
            GROUP BY ${start}, bucket
          ), sums AS (
            SELECT start, bucket, SUM(files) OVER (PARTITION BY start ORDER BY bucket) AS upto,
              SUM(files) OVER (PARTITION BY start) AS total FROM buckets
          )
          SELECT start, total AS files, MIN(CASE WHEN upto * 100 >= total * 50 THEN bucket END) AS median,
            MIN(CASE WHEN upto * 100 >= total * 95 THEN bucket END) AS p95
          FROM sums GROUP BY start, total ORDER BY start`
      ),
      (found) =>
        found.map(({ median, p95, ...bucket }) => ({
          ...bucket,
          median_ms: bucketTime(median),
          p95_ms: bucketTime(p95)
        }))
    )
  })

  return { stats, folderStats, extensionStats, timeStats }
}

const Totals = { start: Schema.String, status: LogStatus, files: Schema.Number, bytes: Schema.Number }

/** The first day of the interval that a day belongs to. */
const intervalStart = (sql: SqlClient.SqlClient, interval: StatsInterval): Statement.Fragment => {
  switch (interval) {
    case "day":
      return sql`day`
    case "month":
      return sql`substr(day, 1, 7) || '-01'`
    case "week":
      return sql.onDialectOrElse({
        pg: () => sql`to_char(date_trunc('week', day::date), 'YYYY-MM-DD')`,
        orElse: () => sql`date(day, '-6 days', 'weekday 1')`
      })
  }
}
