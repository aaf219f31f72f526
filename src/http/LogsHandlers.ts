/** The calls about the log. */
import { HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { NodeHttpServerRequest } from "@effect/platform-node"
import { Clock, Effect, Option, Stream } from "effect"
import { v7 as uuid } from "uuid"
import { extensionOf, formatSize, type LogEntry } from "../domain/LogEntry.ts"
import { type LogError, LogRepo } from "../store/LogRepo.ts"
import { Api } from "./Api.ts"
import { BadRequest, Conflict, Failed, type NewLogEntry, NotFound } from "./ApiSchema.ts"
import * as ExportLog from "./exportLog.ts"
import { nextPage } from "./nextPage.ts"

export const layer = HttpApiBuilder.group(Api, "logs", (handlers) =>
  Effect.gen(function* () {
    const logs = yield* LogRepo
    return handlers
      .handle("list", ({ request, urlParams: { cursor, limit = 100, ordering = "-created", total, ...filter } }) =>
        Effect.gen(function* () {
          const found = yield* orFail(logs.query({ filter, order: ordering, limit, cursor, total }))
          if (Option.isNone(found)) {
            return yield* new BadRequest({
              detail:
                "cursor is not one of this server for this ordering: take it from the Link header of the page before"
            })
          }
          const { entries, next, total: all } = found.value
          return HttpServerResponse.unsafeJson(entries, {
            headers: { "x-total-count": String(all), ...nextPage(request.originalUrl, next) }
          })
        })
      )
      .handle("create", ({ payload }) =>
        Effect.gen(function* () {
          const entry = complete(payload, yield* Clock.currentTimeMillis)
          if (Option.isSome(yield* orFail(logs.get(entry.id)))) {
            return yield* new Conflict({ detail: `there is an entry with the id ${entry.id} already` })
          }
          yield* orFail(logs.append([entry]))
          return entry
        })
      )
      .handle("export", ({ request, urlParams: { format, ordering = "-created", ...filter } }) =>
        Effect.gen(function* () {
          const entries = logs.all(filter, ordering)
          // once before the answer begins, so that a log which can't be read is a failure like any other
          yield* orFail(Stream.runHead(entries))
          const date = new Date(yield* Clock.currentTimeMillis).toISOString().slice(0, 10)
          return HttpServerResponse.stream(
            ExportLog.encode(format, entries).pipe(
              Stream.encodeText,
              // later it can only break off: an answer that ends as it should would be taken for all there is
              Stream.tapErrorCause((cause) =>
                Effect.zipRight(
                  Effect.logError("an export of the log was broken off", cause),
                  Effect.sync(() => NodeHttpServerRequest.toServerResponse(request).destroy())
                )
              )
            ),
            {
              contentType: ExportLog.contentTypes[format],
              headers: { "content-disposition": `attachment; filename="filedispatch-log-${date}.${format}"` }
            }
          )
        })
      )
      .handle("get", ({ path }) =>
        Effect.flatMap(
          orFail(logs.get(path.id)),
          Option.match({ onNone: () => missing(path.id), onSome: Effect.succeed })
        )
      )
      .handle("remove", ({ path }) =>
        Effect.flatMap(orFail(logs.remove(path.id)), (removed) => (removed ? Effect.void : missing(path.id)))
      )
      .handle("stats", ({ urlParams: { interval = "day", ...range } }) => orFail(logs.stats(interval, range)))
      .handle("folderStats", ({ urlParams: { interval = "day", ...range } }) =>
        orFail(logs.folderStats(interval, range))
      )
      .handle("extensionStats", ({ urlParams: { interval = "day", ...range } }) =>
        orFail(logs.extensionStats(interval, range))
      )
      .handle("timeStats", ({ urlParams: { interval = "day", ...range } }) => orFail(logs.timeStats(interval, range)))
  })
)

const orFail = <A>(effect: Effect.Effect<A, LogError>): Effect.Effect<A, Failed> =>
  effect.pipe(
    Effect.tapError((error) => Effect.logError(error.message)),
    Effect.mapError((error) => new Failed({ detail: error.message }))
  )

const missing = (id: string) => Effect.fail(new NotFound({ detail: `there is no log entry with the id ${id}` }))

/** The entry with all that was left out. */
const complete = (fields: NewLogEntry, now: number): LogEntry => ({
  id: fields.id?.toLowerCase() ?? uuid(),
  filename: fields.filename,
  source: fields.source,
  destination: withoutPassword(fields.destination),
  extension: (fields.extension ?? extensionOf(fields.filename)).toLowerCase().replace(/^\./, ""),
  worker: fields.worker ?? `${fields.protocol === "file" ? "File" : fields.protocol.toUpperCase()} worker`,
  protocol: fields.protocol,
  status: fields.status,
  size: fields.size ?? formatSize(fields.byte_size),
  byte_size: fields.byte_size,
  reason: fields.reason ?? null,
  created: new Date(fields.created ?? now).toISOString(),
  file_created: isoTime(fields.file_created),
  file_modified: isoTime(fields.file_modified),
  sha256: fields.sha256 ?? null,
  sent_size: fields.sent_size ?? null,
  sent_sha256: fields.sent_sha256 ?? null,
  verified: fields.verified ?? null,
  route: fields.route ?? null,
  attempts: fields.attempts ?? null,
  duration_ms: fields.duration_ms ?? null,
  delivery: fields.delivery ?? null
})

const isoTime = (time: string | null | undefined): string | null =>
  time === null || time === undefined ? null : new Date(time).toISOString()

/** Whoever reports a delivery may name its target as the config does. */
const withoutPassword = (url: string): string => url.replace(/^([a-z][a-z0-9+.-]*:\/\/[^/@:]*):[^/]*@/i, "$1@")
