/**
 * `filedispatch retry`: brings dead deliveries back, or sends their files where the config says now. Where a daemon has
 * the journal it is asked to do so; otherwise it is done in the journal itself, for the next start.
 */
import { Effect, Either, Layer } from "effect"
import { DeliveryId } from "../domain/Delivery.ts"
import type { Settings } from "../domain/Settings.ts"
import * as Reroute from "../deliver/Reroute.ts"
import { FileFacts } from "../files/FileFacts.ts"
import * as FileFactsLive from "../files/FileFactsLive.ts"
import * as Database from "../store/Database.ts"
import { Deliveries } from "../store/Deliveries.ts"
import * as DeliveriesSql from "../store/DeliveriesSql.ts"
import { Journal } from "../store/Journal.ts"
import * as JournalSql from "../store/JournalSql.ts"
import * as Lock from "../store/Lock.ts"
import * as LogRepoSql from "../store/LogRepoSql.ts"
import * as ReadSql from "../store/ReadSql.ts"
import { askDaemon, settingsOf } from "./AskDaemon.ts"
import { type Failure, from, usage } from "./Failure.ts"
import * as Output from "./Output.ts"
import type { Given } from "./RetryCommand.ts"

type Wanted = ReadonlyArray<DeliveryId> | "all"

export const retry = Effect.fn("Retry.retry")(function* (given: Given) {
  const wanted = yield* wantedOf(given)
  const settings = yield* settingsOf(given, "retry")
  const asked: Asked = { wanted, reroute: given.reroute }
  const brought = yield* inJournal(settings, asked).pipe(
    Effect.catchTag("JournalLockedError", () => overHttp(settings, asked)),
    Effect.mapError(from)
  )
  for (const id of brought.ids) yield* Output.line(String(id))
  const done = given.reroute ? "sent where the config says now" : "brought back"
  yield* Output.note(`${brought.count} ${done}${brought.by === "daemon" ? "" : ", for the next start"}.`)
  for (const { id, reason } of brought.left) yield* Output.note(`${id} is left as it is: ${reason}.`)
  return brought.left.length > 0 && wanted !== "all" ? 1 : 0
})

const wantedOf = ({ all, ids }: Given): Either.Either<Wanted, Failure> => {
  if (all && ids.length > 0) return Either.left(usage("--all and an ID exclude each other.", "retry"))
  if (all) return Either.right("all")
  if (ids.length === 0) return Either.left(usage("Which deliveries? Give their IDs, or --all.", "retry"))
  return Either.right(ids.map((id) => DeliveryId.make(id)))
}

interface Asked {
  readonly wanted: Wanted
  /** By today's config, and not as they were accepted. */
  readonly reroute: boolean
}

interface Brought {
  /** Those that came back, or that go instead; empty where the daemon says only how many. */
  readonly ids: ReadonlyArray<DeliveryId>
  readonly count: number
  /** Those that did not, and why, as the end of a sentence. */
  readonly left: ReadonlyArray<{ readonly id: DeliveryId; readonly reason: string }>
  readonly by: "daemon" | "journal"
}

const notDead = "it was not given up, or is not there"

/** With the journal's lock held, so that no daemon starts meanwhile. */
const inJournal = (settings: Settings, { reroute, wanted }: Asked) =>
  Effect.gen(function* () {
    yield* Lock.acquire(settings.db)
    const store = Layer.mergeAll(JournalSql.layer, DeliveriesSql.layer).pipe(
      Layer.provide(LogRepoSql.layer),
      Layer.provide(ReadSql.layerDirect),
      Layer.provide(Database.layer({ file: settings.db, durability: settings.durability }))
    )
    return yield* (reroute ? routeAnew(settings, wanted) : replay(wanted)).pipe(
      Effect.provide(Layer.merge(store, FileFactsLive.layer))
    )
  }).pipe(Effect.scoped)

const replay = (wanted: Wanted) =>
  Effect.gen(function* () {
    const ids = (yield* (yield* Journal).replay(wanted)).map(({ id }) => id)
    const missing = wanted === "all" ? [] : wanted.filter((id) => !ids.includes(id))
    return brought("journal", ids, missing)
  })

const routeAnew = (settings: Settings, wanted: Wanted) =>
  Effect.gen(function* () {
    const services = { settings, journal: yield* Journal, deliveries: yield* Deliveries, facts: yield* FileFacts }
    const { deliveries, left } = yield* Reroute.reroute(services, wanted)
    return {
      ...brought(
        "journal",
        deliveries.map(({ id }) => id)
      ),
      left
    }
  })

const brought = (
  by: Brought["by"],
  ids: ReadonlyArray<DeliveryId>,
  missing: ReadonlyArray<DeliveryId> = []
): Brought => ({ ids, count: ids.length, left: missing.map((id) => ({ id, reason: notDead })), by })

/** By the daemon that has the journal, if it can be reached; files may have to be read to reroute them. */
const overHttp = (settings: Settings, { reroute, wanted }: Asked): Effect.Effect<Brought, Failure> => {
  const urlParams = reroute ? { reroute } : {}
  return askDaemon(settings, reroute ? "10 minutes" : "30 seconds", (client) =>
    Effect.gen(function* () {
      if (wanted === "all") {
        const { replayed } = yield* client.deliveries.retryAll({ urlParams })
        return { ...brought("daemon", []), count: replayed }
      }
      const tried = yield* Effect.forEach(wanted, (id) =>
        client.deliveries.retry({ path: { id }, urlParams }).pipe(
          Effect.map((delivery): Brought => brought("daemon", [DeliveryId.make(delivery.id)])),
          Effect.catchTags({
            NotFound: ({ detail }) => Effect.succeed({ ...brought("daemon", []), left: [{ id, reason: detail }] }),
            Conflict: ({ detail }) => Effect.succeed({ ...brought("daemon", []), left: [{ id, reason: detail }] })
          })
        )
      )
      return {
        ...brought(
          "daemon",
          tried.flatMap(({ ids }) => ids)
        ),
        left: tried.flatMap(({ left }) => left)
      }
    })
  )
}
