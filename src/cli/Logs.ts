/**
 * `filedispatch logs`: the log, newest first, also while the daemon runs.
 */
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Cause, Effect, Layer, Option } from "effect"
import { existsSync } from "node:fs"
import { resolve } from "node:path"
import type { LogEntry } from "../domain/LogEntry.ts"
import { LogRepo, type LogFilter } from "../store/LogRepo.ts"
import * as LogRepoSql from "../store/LogRepoSql.ts"
import * as ReadSql from "../store/ReadSql.ts"
import { Failure, from } from "./Failure.ts"
import { load } from "./Load.ts"
import type { Given } from "./LogsCommand.ts"
import * as Output from "./Output.ts"

export const logs = Effect.fn("Logs.logs")(function* (given: Given) {
  const settings = yield* load(given.config, { db: given.db })
  if (!existsSync(settings.db)) {
    yield* Output.note(`There is no log yet: ${settings.db} does not exist.`)
    if (given.json) yield* Output.line("[]")
    return 0
  }
  yield* show(filterOf(given), given.limit ?? 100, given.json).pipe(
    Effect.provide(layer(settings.db)),
    Effect.mapError(from)
  )
  return 0
})

const filterOf = (given: Given): LogFilter => ({
  status: given.status,
  destination: given.destination,
  filename: given.filename,
  source: given.source === undefined ? undefined : resolve(given.source),
  extension: given.extension?.replace(/^\./, "").toLowerCase(),
  protocol: given.protocol?.toLowerCase()
})

/** The log of a database that this process may only read. */
const layer = (file: string): Layer.Layer<LogRepo, Failure> =>
  LogRepoSql.layer.pipe(
    Layer.provide(ReadSql.layerDirect),
    Layer.provide(SqliteClient.layer({ filename: file, readonly: true })),
    Layer.catchAllCause((cause) => {
      const error = Cause.squash(cause)
      const detail = error instanceof Error ? error.message : String(error)
      return Layer.fail(new Failure({ code: 1, message: `The database ${file} can't be read (${detail}).` }))
    })
  )

const show = Effect.fnUntraced(function* (filter: LogFilter, limit: number, json: boolean) {
  const log = yield* LogRepo
  let left = limit
  let cursor: string | undefined
  let first = true
  if (json) yield* Output.raw("[")
  while (left > 0) {
    const page = Option.getOrUndefined(
      yield* log.query({ filter, order: "-created", limit: Math.min(left, 1000), cursor })
    )
    const entries = page?.entries ?? []
    if (json) {
      for (const entry of entries) {
        yield* Output.raw(`${first ? "\n" : ",\n"}${JSON.stringify(entry)}`)
        first = false
      }
    } else {
      yield* Output.table(columns, entries.map(row))
    }
    left -= entries.length
    cursor = page?.next ?? undefined
    if (cursor === undefined) break
  }
  if (json) yield* Output.line(first ? "]" : "\n]")
})

const columns = ["CREATED", "STATUS", "SIZE", "FILE", "DESTINATION", "REASON"]

const row = (entry: LogEntry): ReadonlyArray<string> => [
  entry.created,
  entry.status,
  entry.size,
  entry.filename,
  entry.destination,
  entry.reason ?? ""
]
