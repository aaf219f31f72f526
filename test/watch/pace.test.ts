import { expect, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import { monotonic } from "../../src/watch/pace.ts"

it.effect("the clock of the intake tells microseconds, also between two nanoseconds, where jittered sleeps end", () =>
  Effect.gen(function* () {
    for (const instant of [86.3685951, 84_489.14454099999]) {
      yield* TestClock.setTime(instant)
      expect(yield* monotonic).toBeCloseTo(instant, 2)
    }
  })
)
