/** The calls about deliveries. */
import { HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { Effect, Option, SubscriptionRef } from "effect"
import { CurrentSettings } from "../config/CurrentSettings.ts"
import { Dispatcher } from "../deliver/Dispatcher.ts"
import { reroute } from "../deliver/Reroute.ts"
import { type Delivery, DeliveryId, type Receipt, replayable } from "../domain/Delivery.ts"
import * as RelPath from "../domain/RelPath.ts"
import { shown } from "../domain/Target.ts"
import { FileFacts } from "../files/FileFacts.ts"
import { Deliveries } from "../store/Deliveries.ts"
import { type GivenUp, Journal, type JournalError } from "../store/Journal.ts"
import { Intake } from "../watch/Intake.ts"
import { Api } from "./Api.ts"
import { Conflict, type DeliveryView, Failed, NotFound } from "./ApiSchema.ts"
import { nextPage } from "./nextPage.ts"

export const layer = HttpApiBuilder.group(Api, "deliveries", (handlers) =>
  Effect.gen(function* () {
    const deliveries = yield* Deliveries
    const journal = yield* Journal
    const dispatcher = yield* Dispatcher
    const current = yield* CurrentSettings
    const facts = yield* FileFacts
    const { counter } = yield* Intake

    const routeAnew = (which: ReadonlyArray<DeliveryId> | GivenUp) =>
      Effect.flatMap(SubscriptionRef.get(current), (settings) =>
        reroute({ settings, journal, deliveries, facts, counter }, which)
      )

    const get = (id: number) =>
      Effect.flatMap(
        orFail(deliveries.get(DeliveryId.make(id))),
        Option.match({
          onNone: () => Effect.fail(new NotFound({ detail: `there is no delivery ${id}` })),
          onSome: Effect.succeed
        })
      )

    return handlers
      .handle("list", ({ request, urlParams: { cursor, lane, limit = 100, state } }) =>
        Effect.gen(function* () {
          const before = cursor === undefined ? undefined : DeliveryId.make(cursor)
          const found = yield* orFail(deliveries.list({ states: state, lane, before, limit: limit + 1 }))
          const page = found.slice(0, limit)
          const next = found.length > limit ? (page.at(-1)?.id ?? null) : null
          return HttpServerResponse.unsafeJson(page.map(view), { headers: nextPage(request.originalUrl, next) })
        })
      )
      .handle("get", ({ path }) =>
        Effect.gen(function* () {
          const delivery = yield* get(path.id)
          const attempts = yield* orFail(deliveries.attempts(delivery.id))
          const history = attempts.map(({ ended, number, outcome, reason, started }) => ({
            number,
            started: iso(started),
            ended: iso(ended),
            outcome,
            reason
          }))
          return { ...view(delivery), history }
        })
      )
      .handle("retryAll", ({ urlParams }) =>
        Effect.gen(function* () {
          const which = urlParams.lane === undefined ? "all" : { lane: urlParams.lane }
          const back =
            urlParams.reroute === true
              ? (yield* orFail(routeAnew(which))).deliveries
              : yield* orFail(journal.replay(which))
          yield* dispatcher.notify(Array.from(new Set(back.map(({ lane }) => lane))))
          return { replayed: back.length }
        })
      )
      .handle("retry", ({ path, urlParams }) =>
        Effect.gen(function* () {
          const { id, state } = yield* get(path.id)
          if (urlParams.reroute === true) {
            const anew = yield* orFail(routeAnew([id]))
            const [first] = anew.deliveries
            if (first === undefined) {
              const reason = anew.left[0]?.reason ?? "nothing of it was given up"
              return yield* new Conflict({ detail: `delivery ${id} is ${state}, and stays so: ${reason}` })
            }
            yield* dispatcher.notify(Array.from(new Set(anew.deliveries.map(({ lane }) => lane))))
            return view(yield* get(first.id))
          }
          const back = yield* orFail(journal.replay([id]))
          if (back.length === 0) {
            return yield* new Conflict({
              detail: `delivery ${id} is ${state}: only what is ${replayable.join(", ")} can be tried again`
            })
          }
          yield* dispatcher.notify(back.map(({ lane }) => lane))
          return view(yield* get(id))
        })
      )
      .handle("cancel", ({ path }) =>
        Effect.gen(function* () {
          const { id, state, target } = yield* get(path.id)
          const changed = yield* orFail(journal.cancel([id]))
          if (changed.length === 0) {
            return yield* new Conflict({
              detail: `delivery ${id} is ${state}: only what is neither under way nor over can be given up`
            })
          }
          // what was begun at the target is cleared away
          yield* dispatcher.notify([target.lane])
          return view(yield* get(id))
        })
      )
  })
)

const orFail = <A>(effect: Effect.Effect<A, JournalError>): Effect.Effect<A, Failed> =>
  effect.pipe(
    Effect.tapError((error) => Effect.logError(error.message)),
    Effect.mapError((error) => new Failed({ detail: error.message }))
  )

const iso = (time: number): string => new Date(time).toISOString()

const view = (delivery: Delivery): DeliveryView => ({
  id: delivery.id,
  state: delivery.state,
  source: delivery.generation.source,
  path: RelPath.display(delivery.generation.path),
  size: delivery.generation.size,
  modified: iso(delivery.generation.mtime),
  destination: shown(delivery.target, RelPath.display(delivery.receipt?.name ?? delivery.chosen ?? delivery.name)),
  route: delivery.route,
  lane: delivery.target.lane,
  priority: delivery.priority,
  facts: delivery.facts,
  attempts: delivery.attempts,
  due: delivery.due === null ? null : iso(delivery.due),
  reason: delivery.reason,
  receipt: delivery.receipt === null ? null : receiptView(delivery.receipt),
  ...(delivery.undone === undefined ? {} : { undone: iso(delivery.undone) }),
  created: iso(delivery.created),
  updated: iso(delivery.updated)
})

const receiptView = ({ bytes, name, said, sha256, sourceSha256, verified }: Receipt) => ({
  bytes,
  sha256,
  source_sha256: sourceSha256 ?? null,
  said,
  verified,
  name: RelPath.display(name)
})
