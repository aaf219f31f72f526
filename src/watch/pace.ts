/**
 * The clock of the intake, and its patience with the journal.
 */
import { Effect, Schedule } from "effect"
import type { JournalError } from "../store/Journal.ts"

/** Milliseconds by a clock that never goes back. */
export const monotonic: Effect.Effect<number> = Effect.clockWith((clock) =>
  // not `Clock.currentTimeNanos`, which dies with the test's clock between two nanoseconds, where jitter puts it
  Effect.sync(() => Number(clock.unsafeCurrentTimeNanos() / 1000n) / 1000)
)

const backoff = Schedule.exponential("100 millis").pipe(
  Schedule.union(Schedule.spaced("30 seconds")),
  Schedule.jittered
)

/** Tries until the journal takes it: nothing is forgotten meanwhile, and whoever brings more waits. */
export const persistently = <A>(effect: Effect.Effect<A, JournalError>): Effect.Effect<A> =>
  effect.pipe(
    Effect.tapError((error) => Effect.logError(`${error.message}. Trying again until it works`)),
    Effect.retry(backoff),
    Effect.orDie
  )
