/**
 * Clocks that leap. What is removed because its time is over is gone for good, so nothing is on the word of a clock that
 * has just gone ahead by more than any sleep of the machine: for a day, in which it can be put right.
 *
 * What is measured is the clock on the wall against one that only counts on, and so not what happened before the start.
 */
import { Clock, Duration, Effect } from "effect"

const most = Duration.toMillis("2 days")
const rest = Duration.toMillis("1 day")

export interface Leap {
  /** Whether the clock has leapt of late. */
  readonly recently: Effect.Effect<boolean>
}

/** `what` is not done after a leap, and that is said once for each. */
export const make = (what: string): Effect.Effect<Leap> =>
  Effect.gen(function* () {
    const monotonic = Effect.map(Clock.currentTimeNanos, (nanos) => Number(nanos / 1_000_000n))
    const offset = Effect.zipWith(Clock.currentTimeMillis, monotonic, (wall, counted) => wall - counted)
    let last = yield* offset
    let until = -Infinity
    const recently = Effect.gen(function* () {
      const now = yield* monotonic
      const is = yield* offset
      const days = Math.round((is - last) / 86_400_000)
      if (is - last > most) {
        until = now + rest
        yield* Effect.logWarning(
          `The clock has gone ahead by ${days} days: ${what} for a day. If it is wrong, set it right meanwhile`
        )
      } else if (last - is > most) until = -Infinity
      last = is
      return now < until
    })
    return { recently }
  })
