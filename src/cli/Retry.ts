/**
 * `filedispatch retry`: brings dead deliveries back. Where a daemon has the journal it is asked to do so; otherwise
 * they are brought back in the journal itself, for the next start.
 */
import { FetchHttpClient } from "@effect/platform"
import { Effect, Either, Layer } from "effect"
import { existsSync } from "node:fs"
import { DeliveryId } from "../domain/Delivery.ts"
import type { Settings } from "../domain/Settings.ts"
import * as Client from "../http/Client.ts"
import * as Database from "../store/Database.ts"
import { Journal } from "../store/Journal.ts"
import * as JournalSql from "../store/JournalSql.ts"
import * as Lock from "../store/Lock.ts"
import * as LogRepoSql from "../store/LogRepoSql.ts"
import * as ReadSql from "../store/ReadSql.ts"
import { Failure, from, usage } from "./Failure.ts"
import { load } from "./Load.ts"
import * as Output from "./Output.ts"
import type { Given } from "./RetryCommand.ts"

type Wanted = ReadonlyArray<DeliveryId> | "all"

export const retry = Effect.fn("Retry.retry")(function* (given: Given) {
  const wanted = yield* wantedOf(given)
  const settings = yield* load(given.config, {
    db: given.db,
    host: given.host,
    port: given.port,
    // no server is started here
    noHttp: true
  })
  if (!existsSync(settings.db)) {
    return yield* new Failure({ code: 1, message: `There is nothing to retry: ${settings.db} does not exist.` })
  }
  const brought = yield* inJournal(settings, wanted).pipe(
    Effect.catchTag("JournalLockedError", () => overHttp(settings, wanted)),
    Effect.mapError(from)
  )
  const missing = wanted === "all" ? [] : wanted.filter((id) => !brought.ids.includes(id))
  for (const id of brought.ids) yield* Output.line(String(id))
  yield* Output.note(`${brought.count} brought back${brought.by === "daemon" ? "" : ", for the next start"}.`)
  if (missing.length > 0) {
    yield* Output.note(`Not dead, or not there: ${missing.join(", ")}.`)
    return 1
  }
  return 0
})

const wantedOf = ({ all, ids }: Given): Either.Either<Wanted, Failure> => {
  if (all && ids.length > 0) return Either.left(usage("--all and an ID exclude each other.", "retry"))
  if (all) return Either.right("all")
  if (ids.length === 0) return Either.left(usage("Which deliveries? Give their IDs, or --all.", "retry"))
  return Either.right(ids.map((id) => DeliveryId.make(id)))
}

interface Brought {
  /** Empty where the daemon says only how many. */
  readonly ids: ReadonlyArray<DeliveryId>
  readonly count: number
  readonly by: "daemon" | "journal"
}

/** With the journal's lock held, so that no daemon starts meanwhile. */
const inJournal = (settings: Settings, wanted: Wanted) =>
  Effect.gen(function* () {
    yield* Lock.acquire(settings.db)
    const replayed = yield* Effect.flatMap(Journal, (journal) => journal.replay(wanted)).pipe(
      Effect.provide(
        JournalSql.layer.pipe(
          Layer.provide(LogRepoSql.layer),
          Layer.provide(ReadSql.layerDirect),
          Layer.provide(Database.layer({ file: settings.db, durability: settings.durability }))
        )
      )
    )
    const ids = replayed.map(({ id }) => id)
    const brought: Brought = { ids, count: ids.length, by: "journal" }
    return brought
  }).pipe(Effect.scoped)

/** By the daemon that has the journal, if it can be reached. */
const overHttp = (settings: Settings, wanted: Wanted): Effect.Effect<Brought, Failure> => {
  const baseUrl = Client.localUrl(settings.http)
  return Effect.gen(function* () {
    const client = yield* Client.make({ baseUrl, token: settings.http.token })
    if (wanted === "all") {
      const { replayed } = yield* client.deliveries.retryAll()
      return { ids: [], count: replayed, by: "daemon" } satisfies Brought
    }
    const ids = yield* Effect.filter(wanted, (id) =>
      client.deliveries
        .retry({ path: { id } })
        .pipe(
          Effect.as(true),
          Effect.catchTags({ NotFound: () => Effect.succeed(false), Conflict: () => Effect.succeed(false) })
        )
    )
    return { ids, count: ids.length, by: "daemon" } satisfies Brought
  }).pipe(
    Effect.timeout("30 seconds"),
    Effect.mapError(
      (error) =>
        new Failure({
          code: 1,
          message: `A daemon uses ${settings.db}, and its HTTP API at ${baseUrl} did not help (${error.message}). Say where it listens with -H and -P, or stop the daemon and try again.`
        })
    ),
    Effect.provide(FetchHttpClient.layer)
  )
}
