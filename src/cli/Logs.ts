/**
 * `filedispatch logs`: the log, newest first, also while the daemon runs.
 */
import { Effect, Option } from "effect"
import { existsSync } from "node:fs"
import { resolve } from "node:path"
import type { LogEntry } from "../domain/LogEntry.ts"
import { LogRepo, type LogFilter } from "../store/LogRepo.ts"
import { from } from "./Failure.ts"
import { load } from "./Load.ts"
import type { Given } from "./LogsCommand.ts"
import * as Output from "./Output.ts"
import { layer } from "./ReadOnly.ts"

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
