/**
 * Clears away at the targets what deliveries of a lane have left that were given up: parts of uploads that nobody will
 * go on with. In the background, one after the other, and never in the way of a delivery.
 */
import { Cause, Clock, Effect, Option } from "effect"
import type { Delivery } from "../domain/Delivery.ts"
import type { DeliveryError } from "../domain/DeliveryError.ts"
import { Journal } from "../store/Journal.ts"
import type { Connection, Task } from "./Destination.ts"

export interface SweeperOptions {
  readonly lane: string
  readonly connection: Connection
  readonly task: (delivery: Delivery) => Effect.Effect<Task, DeliveryError>
  /** Whether nothing can be done there at the moment. */
  readonly down: () => boolean
  /** Runs one step when the lane has a place to spare for it. */
  readonly spare: <A>(step: Effect.Effect<A>) => Effect.Effect<A>
  /** Runs one step while nothing else is done at the delivery's place; none where something is. */
  readonly alone: <A>(delivery: Delivery, step: Effect.Effect<A>) => Effect.Effect<Option.Option<A>>
}

export interface Sweeper {
  /** There may be something to clear away. Cheap. */
  readonly wake: Effect.Effect<void>
  /** Tries all that there is once, whenever it was tried last. For the end of the program. */
  readonly finish: Effect.Effect<void>
  readonly run: Effect.Effect<never>
}

/** How often it looks by itself, and how long what could not be cleared away rests after its first failure. */
const interval = 5 * 60_000
const longestRest = 6 * 3_600_000
/** How long it waits after it was woken, so that a rush of failures is one look. */
const moment = 1000

interface Failure {
  readonly count: number
  readonly again: number
}

const nothing: Sweeper = { wake: Effect.void, finish: Effect.void, run: Effect.never }

export const make = (options: SweeperOptions): Effect.Effect<Sweeper, never, Journal> =>
  Effect.gen(function* () {
    const { alone, connection, down, lane, spare, task } = options
    const { discard } = connection
    if (discard === undefined) return nothing
    const journal = yield* Journal
    const bell = yield* Effect.makeLatch(true)
    const one = yield* Effect.makeSemaphore(1)
    const failures = new Map<number, Failure>()

    const litter = (limit: number) =>
      journal
        .litter(lane, limit)
        .pipe(
          Effect.catchAll((error) =>
            Effect.as(Effect.logDebug(`Lane ${lane} can't ask what is to be cleared away`, error), [])
          )
        )

    /** Whether it is cleared away now; fails with why it could not be. */
    const clear = (delivery: Delivery) =>
      Effect.gen(function* () {
        // it may have been brought back since
        const known = yield* litter(failures.size + batch)
        if (!known.some(({ id, resume }) => id === delivery.id && resume === delivery.resume)) return
        const { timeout } = delivery.target.options
        yield* Effect.flatMap(task(delivery), discard).pipe(
          Effect.timeoutFail({
            duration: timeout,
            onTimeout: () => ({ reason: `nothing came back for ${timeout / 1000} s` })
          })
        )
        yield* journal.cleared(delivery.id, delivery.resume)
        yield* Effect.logDebug(`Cleared away what delivery ${delivery.id} had begun at ${delivery.target.url}`)
      })

    /** Whether it is worth going on. */
    const tidy = (delivery: Delivery): Effect.Effect<boolean> =>
      Effect.gen(function* () {
        const exit = yield* alone(delivery, Effect.exit(clear(delivery)))
        const now = yield* Clock.currentTimeMillis
        // its place is being written to: soon again
        if (Option.isNone(exit)) {
          failures.set(delivery.id, { count: failures.get(delivery.id)?.count ?? 0, again: now + 10 * moment })
          return true
        }
        if (exit.value._tag === "Success") {
          failures.delete(delivery.id)
          return true
        }
        const count = (failures.get(delivery.id)?.count ?? 0) + 1
        failures.set(delivery.id, { count, again: now + Math.min(longestRest, interval * 2 ** (count - 1)) })
        yield* Effect.logDebug(
          `What delivery ${delivery.id} had begun at ${delivery.target.url} could not be cleared away yet`,
          exit.value.cause
        )
        const why = Option.getOrUndefined(Cause.failureOption(exit.value.cause))
        return why === undefined || !("_tag" in why) || !hopeless.has(why._tag)
      })

    /** `all`: those as well that rest after a failure. */
    const sweep = (all: boolean) =>
      Effect.gen(function* () {
        const tried = new Set<number>()
        while (!down()) {
          const now = yield* Clock.currentTimeMillis
          const found = yield* litter(failures.size + tried.size + batch)
          // what is gone from the journal needs no memory
          if (found.length < failures.size + tried.size + batch) {
            const ids = new Set<number>(found.map(({ id }) => id))
            for (const id of failures.keys()) if (!ids.has(id)) failures.delete(id)
          }
          const next = found.find(({ id }) => !tried.has(id) && (all || (failures.get(id)?.again ?? 0) <= now))
          if (next === undefined) return
          tried.add(next.id)
          if (!(yield* spare(Effect.suspend(() => (down() ? Effect.succeed(false) : tidy(next)))))) return
        }
      }).pipe(one.withPermits(1))

    /** Until the next failure may be tried again, or the usual time. */
    const rest = Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      let until = now + interval
      for (const { again } of failures.values()) until = Math.min(until, again)
      yield* bell.await.pipe(Effect.timeoutOption(Math.max(moment, until - now)))
    })

    return {
      wake: bell.open,
      finish: sweep(true),
      run: Effect.gen(function* () {
        yield* bell.close
        yield* sweep(false)
        yield* Effect.sleep(moment)
        yield* rest
      }).pipe(Effect.forever)
    }
  })

/** What says more about the server than about the one delivery. */
const hopeless: ReadonlySet<string> = new Set(["LaneDownError", "CrowdedError"])

/** Asked of the journal at once. */
const batch = 20
