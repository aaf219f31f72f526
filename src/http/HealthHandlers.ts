/** The calls about how the sources and the destinations are, to pause and to resume them, and the streams of events. */
import { HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { Deferred, Effect, Schedule, Stream, SubscriptionRef } from "effect"
import { CurrentSettings } from "../config/CurrentSettings.ts"
import { Dispatcher, type DispatcherEvent } from "../deliver/Dispatcher.ts"
import { Deliveries } from "../store/Deliveries.ts"
import type { JournalError } from "../store/Journal.ts"
import { Intake } from "../watch/Intake.ts"
import { Api } from "./Api.ts"
import { Failed, NotFound } from "./ApiSchema.ts"
import * as Live from "./Live.ts"
import { destinationViews, sourceView } from "./Views.ts"

export const layer = HttpApiBuilder.group(Api, "health", (handlers) =>
  Effect.gen(function* () {
    const intake = yield* Intake
    const dispatcher = yield* Dispatcher
    const deliveries = yield* Deliveries
    const current = yield* CurrentSettings
    const live = yield* Live.make
    // streams end with the server, which would otherwise wait for them
    const closing = yield* Deferred.make<void>()
    yield* Effect.addFinalizer(() => Deferred.succeed(closing, undefined))

    const events = <E>(stream: Stream.Stream<string, E>) =>
      HttpServerResponse.stream(
        Stream.merge(stream, heartbeat).pipe(Stream.interruptWhenDeferred(closing), Stream.encodeText),
        { contentType: "text/event-stream", headers: { "x-accel-buffering": "no" } }
      )

    const sources = Effect.map(intake.status, (all) => all.map(sourceView))

    const destinations = Effect.gen(function* () {
      const settings = yield* SubscriptionRef.get(current)
      const counts = yield* orFail(deliveries.counts)
      return destinationViews(settings, yield* dispatcher.status, yield* dispatcher.paused, counts)
    })

    const source = (name: string) =>
      Effect.flatMap(sources, (all) => {
        const found = all.find((one) => one.name === name)
        return found === undefined
          ? new NotFound({ detail: `the config has no source ${quote(name)}: GET /api/v1/sources lists them` })
          : Effect.succeed(found)
      })

    const destination = (lane: string) =>
      Effect.flatMap(destinations, (all) => {
        const found = all.find((one) => one.lane === lane)
        return found === undefined
          ? new NotFound({ detail: `there is no destination ${quote(lane)}: GET /api/v1/destinations lists them` })
          : Effect.succeed(found)
      })

    /** Of what is there only; answers how it is then. */
    const change = <A, E>(found: Effect.Effect<A, E>, done: Effect.Effect<boolean, JournalError>) =>
      found.pipe(Effect.zipRight(orFail(done)), Effect.zipRight(found))

    return handlers
      .handle("sources", () => sources)
      .handle("destinations", () => destinations)
      .handle("pauseSource", ({ urlParams: { name } }) => change(source(name), intake.pause(name)))
      .handle("resumeSource", ({ urlParams: { name } }) => change(source(name), intake.resume(name)))
      .handle("pauseDestination", ({ urlParams: { lane } }) => change(destination(lane), dispatcher.pause(lane)))
      .handle("resumeDestination", ({ urlParams: { lane } }) =>
        // one that the config has no more, and that was only listed because it was paused, is as it was
        Effect.flatMap(destination(lane), (before) =>
          Effect.zipRight(
            orFail(dispatcher.resume(lane)),
            Effect.catchTag(destination(lane), "NotFound", () => Effect.succeed({ ...before, paused: null }))
          )
        )
      )
      .handle("now", () => orFail(live.now))
      .handle("live", () => Effect.succeed(events(Stream.map(live.changes, (text) => `event: now\ndata: ${text}\n\n`))))
      .handle("events", () => Effect.succeed(events(Stream.merge(hello, Stream.map(dispatcher.events, eventText)))))
  })
)

const orFail = <A>(effect: Effect.Effect<A, JournalError>): Effect.Effect<A, Failed> =>
  effect.pipe(
    Effect.tapError((error) => Effect.logError(error.message)),
    Effect.mapError((error) => new Failed({ detail: error.message }))
  )

const quote = (text: string): string => JSON.stringify(text.slice(0, 200))

// a comment at once, so that the reader sees that it is connected; others, so that a dead connection is noticed
const hello = Stream.succeed(": events follow\n\n")
const heartbeat = Stream.as(Stream.fromSchedule(Schedule.spaced("15 seconds")), ": still here\n\n")

const eventText = (event: DispatcherEvent): string => `event: delivery\ndata: ${JSON.stringify(event)}\n\n`
