/**
 * Sources, destinations and the flow between them at this moment, and as a stream for those who watch.
 *
 * All readers share one look a second, whose text is made once; nobody reads, nobody looks. Its cost is bounded: where a
 * look takes long, the next one is later.
 */
import { Clock, type Context, Effect, Stream, SubscriptionRef, type Scope } from "effect"
import { CurrentSettings } from "../config/CurrentSettings.ts"
import { Reload } from "../config/Reload.ts"
import { Dispatcher } from "../deliver/Dispatcher.ts"
import { packageVersion } from "../files/packageVersion.ts"
import { Deliveries, type LaneCount } from "../store/Deliveries.ts"
import type { JournalError } from "../store/Journal.ts"
import { Intake } from "../watch/Intake.ts"
import type { Now } from "./ApiSchema.ts"
import { configStatusView, destinationViews, flowViews, iso, sourceView } from "./Views.ts"

export interface Live {
  readonly now: Effect.Effect<Now, JournalError>
  /** Each as JSON: one at once, and another when it is other than the last, once a second at most. */
  readonly changes: Stream.Stream<string>
}

/** The least time between two looks, in milliseconds. */
const interval = 1000

/** Of how many milliseconds a look may take one, on this thread and on that which reads the database. */
const share = 20
/** The longest rest for all that, in milliseconds: what takes long may have waited for its turn only. */
const longest = 5000

export const make: Effect.Effect<
  Live,
  never,
  CurrentSettings | Deliveries | Dispatcher | Intake | Reload | Scope.Scope
> = Effect.gen(function* () {
  const current = yield* CurrentSettings
  const deliveries = yield* Deliveries
  const dispatcher = yield* Dispatcher
  const intake = yield* Intake
  const reload = yield* Reload
  const started = iso(yield* Clock.currentTimeMillis)
  const version = packageVersion()
  const counts = yield* makeCounts(deliveries)
  const steady = makeSteady()

  const look = (waiting: ReadonlyArray<LaneCount>) =>
    Effect.gen(function* () {
      const settings = yield* SubscriptionRef.get(current)
      const { concluded, flows } = yield* dispatcher.flows
      const lanes = yield* dispatcher.status
      return {
        version,
        started,
        concluded,
        sources: (yield* intake.status).map(sourceView),
        destinations: destinationViews(settings, lanes.map(steady), yield* dispatcher.paused, waiting),
        flows: flowViews(settings, flows),
        config: configStatusView(yield* reload.status)
      }
    })

  /** The next one that differs from the last, and what it was. */
  const next = (last: Look | null): Effect.Effect<readonly [text: string, look: Look]> =>
    Effect.gen(function* () {
      let rest = last?.rest ?? 0
      for (;;) {
        if (rest > 0) yield* Effect.sleep(rest)
        const waiting = yield* Effect.catchAll(counts.recent, counts.giveUp)
        const before = performance.now()
        const state = yield* look(waiting)
        const text = JSON.stringify(state)
        rest = Math.min(longest, Math.max(interval, (performance.now() - before) * share))
        if (text === last?.text) continue
        const time = iso(yield* Clock.currentTimeMillis)
        return [`{"time":"${time}",${text.slice(1)}`, { text, rest }] as const
      }
    })

  // a reader that is slow misses old ones; one that comes later gets the last at once
  const changes = yield* Stream.share(
    Stream.unfoldEffect<Look | null, string, never, never>(null, (last) => Effect.asSome(next(last))),
    { capacity: 1, strategy: "sliding", replay: 1 }
  )

  return {
    now: Effect.gen(function* () {
      const state = yield* Effect.flatMap(counts.recent, look)
      return { time: iso(yield* Clock.currentTimeMillis), ...state }
    }),
    changes
  }
})

interface Look {
  readonly text: string
  /** How long to wait before the next one, in milliseconds. */
  readonly rest: number
}

/**
 * How many deliveries wait, no older than a moment; or than what it takes to count them allows, where there are so many
 * that this takes long.
 */
const makeCounts = (deliveries: Context.Tag.Service<typeof Deliveries>) =>
  Effect.map(Effect.makeSemaphore(1), (turn) => {
    let last: { readonly counts: ReadonlyArray<LaneCount>; readonly until: number } | undefined
    return {
      recent: turn.withPermits(1)(
        Effect.suspend(() => {
          const before = performance.now()
          if (last !== undefined && before < last.until) return Effect.succeed(last.counts)
          return Effect.tap(deliveries.counts, (counts) => {
            const after = performance.now()
            last = { counts, until: after + Math.min(longest, Math.max(interval / 2, (after - before) * share)) }
          })
        })
      ),
      /** The last ones, for a while: all else can be shown without. */
      giveUp: (error: JournalError) =>
        Effect.suspend(() => {
          last = { counts: last?.counts ?? [], until: performance.now() + 30_000 }
          return Effect.as(Effect.logWarning(`What waits can't be shown for now: ${error.message}`), last.counts)
        })
    }
  })

/** When a lane is probed is worked out from two clocks, and differs by a little each time: that is no change. */
const makeSteady = () => {
  const probes = new Map<string, number>()
  return <A extends { readonly lane: string; readonly probe: number | null }>(lane: A): A => {
    if (lane.probe === null) {
      probes.delete(lane.lane)
      return lane
    }
    const known = probes.get(lane.lane)
    if (known !== undefined && Math.abs(known - lane.probe) < interval) return { ...lane, probe: known }
    probes.set(lane.lane, lane.probe)
    return lane
  }
}
