/**
 * `filedispatch logs`: the log, newest first, also while the daemon runs.
 */
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Cause, Effect, Layer, Option } from "effect"
import { existsSync } from "node:fs"
import { resolve } from "node:path"
import type { LogEntry, LogStatus } from "../domain/LogEntry.ts"
import { LogRepo, type LogFilter } from "../store/LogRepo.ts"
import * as LogRepoSql from "../store/LogRepoSql.ts"
import * as ReadSql from "../store/ReadSql.ts"
import * as Arguments from "./Arguments.ts"
import { Failure, from, usage } from "./Failure.ts"
import { load } from "./Load.ts"
import * as Output from "./Output.ts"

type Given = Arguments.Given<typeof Arguments.logs.flags>

export const logs = Effect.fn("Logs.logs")(function* (given: Given) {
  const filter = yield* filterOf(given)
  const limitText = given.text("limit")
  const limit =
    limitText === undefined ? 100 : yield* Arguments.integer(Arguments.logs, "limit", limitText, 1, 1_000_000_000)
  const settings = yield* load(yield* Arguments.required(Arguments.logs, "config", given.text("config")), {
    db: given.text("db")
  })
  if (!existsSync(settings.db)) {
    yield* Output.note(`There is no log yet: ${settings.db} does not exist.`)
    if (given.on("json")) yield* Output.line("[]")
    return 0
  }
  yield* show(filter, limit, given.on("json")).pipe(Effect.provide(layer(settings.db)), Effect.mapError(from))
  return 0
})

const filterOf = Effect.fnUntraced(function* (given: Given) {
  const status = given.text("status")?.toUpperCase()
  if (status !== undefined && !isStatus(status)) {
    return yield* usage(`--status is "${given.text("status")}", but must be SUCCEEDED or FAILED.`, "logs")
  }
  const source = given.text("source")
  const filter: LogFilter = {
    status,
    destination: given.text("destination"),
    filename: given.text("filename"),
    source: source === undefined ? undefined : resolve(source),
    extension: given.text("extension")?.replace(/^\./, "").toLowerCase(),
    protocol: given.text("protocol")?.toLowerCase()
  }
  return filter
})

const isStatus = (text: string): text is LogStatus => text === "SUCCEEDED" || text === "FAILED"

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
