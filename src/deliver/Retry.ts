/**
 * When a failed delivery is tried again: exponential backoff with a cap and jitter, as Effect Schedules.
 *
 * The waiting itself is a row in the journal and not a sleeping fiber, so that a million waiting deliveries cost
 * nothing and a restart forgets none: the schedule is stepped, and its delay stored.
 */
import { Duration, Effect, Option, Schedule, ScheduleDecision, ScheduleIntervals } from "effect"
import type { RetryPolicy } from "../domain/Target.ts"

/** `base · factorⁿ` up to `cap`, ±20 %, for one delay fewer than there are attempts. */
export const schedule = (policy: RetryPolicy): Schedule.Schedule<unknown> =>
  Schedule.exponential(policy.base, policy.factor).pipe(
    Schedule.modifyDelay((_, delay) => Duration.min(delay, Duration.millis(policy.cap))),
    Schedule.jittered,
    Schedule.intersect(Schedule.recurs(Math.max(0, policy.attempts - 1)))
  )

/** How long a lane that is down waits between probes: 1 s, 2 s, … up to a minute, ±20 %, for ever. */
export const probes: Schedule.Schedule<unknown> = Schedule.exponential("1 second", 2).pipe(
  Schedule.modifyDelay((_, delay) => Duration.min(delay, Duration.minutes(1))),
  Schedule.jittered
)

/** The schedule's delay after `failures` failures (1 for the first), in milliseconds; none where it has ended. */
export const delayAfter = <Out>(
  policy: Schedule.Schedule<Out>,
  failures: number,
  now: number
): Effect.Effect<Option.Option<number>> =>
  Effect.gen(function* () {
    let state: unknown = policy.initial
    for (let step = 1; ; step++) {
      const [next, , decision] = yield* policy.step(now, undefined, state)
      if (ScheduleDecision.isDone(decision)) return Option.none()
      if (step >= failures) return Option.some(Math.max(0, ScheduleIntervals.start(decision.intervals) - now))
      state = next
    }
  })
