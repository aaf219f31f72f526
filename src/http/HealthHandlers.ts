/** The calls about how the sources and the destinations are, and the stream of events. */
import { HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { Deferred, Effect, Schedule, Stream } from "effect"
import { Dispatcher, type DispatcherEvent } from "../deliver/Dispatcher.ts"
import { Deliveries } from "../store/Deliveries.ts"
import { Intake } from "../watch/Intake.ts"
import { Api } from "./Api.ts"
import { Failed } from "./ApiSchema.ts"

export const layer = HttpApiBuilder.group(Api, "health", (handlers) =>
  Effect.gen(function* () {
    const intake = yield* Intake
    const dispatcher = yield* Dispatcher
    const deliveries = yield* Deliveries
    // streams end with the server, which would otherwise wait for them
    const closing = yield* Deferred.make<void>()
    yield* Effect.addFinalizer(() => Deferred.succeed(closing, undefined))

    return handlers
      .handle("sources", () =>
        Effect.map(intake.status, (sources) =>
          sources.map(({ lastEvent, lastScan, ...source }) => ({
            ...source,
            last_scan: isoOrNull(lastScan),
            last_event: isoOrNull(lastEvent)
          }))
        )
      )
      .handle("destinations", () =>
        Effect.gen(function* () {
          const lanes = yield* dispatcher.status
          const counts = yield* Effect.mapError(deliveries.counts, (error) => new Failed({ detail: error.message }))
          return lanes.map((lane) => ({
            ...lane,
            probe: isoOrNull(lane.probe),
            sending: lane.sending.map((sending) => ({ ...sending, started: iso(sending.started) })),
            waiting: Object.fromEntries(
              counts.filter((count) => count.lane === lane.lane).map(({ count, state }) => [state, count])
            )
          }))
        })
      )
      .handle("events", () =>
        Effect.succeed(
          HttpServerResponse.stream(
            Stream.mergeAll([hello, Stream.map(dispatcher.events, eventText), heartbeat], { concurrency: 3 }).pipe(
              Stream.interruptWhenDeferred(closing),
              Stream.encodeText
            ),
            { contentType: "text/event-stream", headers: { "x-accel-buffering": "no" } }
          )
        )
      )
  })
)

// a comment at once, so that the reader sees that it is connected; others, so that a dead connection is noticed
const hello = Stream.succeed(": events follow\n\n")
const heartbeat = Stream.as(Stream.fromSchedule(Schedule.spaced("15 seconds")), ": still here\n\n")

const eventText = (event: DispatcherEvent): string => `event: delivery\ndata: ${JSON.stringify(event)}\n\n`

const iso = (time: number): string => new Date(time).toISOString()

const isoOrNull = (time: number | null): string | null => (time === null ? null : iso(time))
