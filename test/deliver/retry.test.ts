import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { delayAfter, probes, schedule } from "../../src/deliver/Retry.ts"

const policy = { attempts: 5, base: 1000, factor: 3, cap: 20_000 }

describe("the retry policy", () => {
  it.effect("doubles, or whatever the factor says, up to its cap, with jitter, and ends", () =>
    Effect.gen(function* () {
      for (const [failures, delay] of [
        [1, 1000],
        [2, 3000],
        [3, 9000],
        [4, 20_000]
      ] as const) {
        const seen = new Set<number>()
        for (let round = 0; round < 20; round++) {
          const actual = Option.getOrThrow(yield* delayAfter(schedule(policy), failures, 1_700_000_000_000))
          expect(actual).toBeGreaterThanOrEqual(delay * 0.8 - 1)
          expect(actual).toBeLessThanOrEqual(delay * 1.2 + 1)
          seen.add(actual)
        }
        // not all at once
        expect(seen.size).toBeGreaterThan(5)
      }
      expect(yield* delayAfter(schedule(policy), 5, 0)).toEqual(Option.none())
      expect(yield* delayAfter(schedule(policy), 500, 0)).toEqual(Option.none())
    })
  )

  it.effect("of one attempt retries nothing", () =>
    Effect.gen(function* () {
      expect(yield* delayAfter(schedule({ ...policy, attempts: 1 }), 1, 0)).toEqual(Option.none())
    })
  )
})

it.effect("a lane that is down is probed for ever, and every minute in the end", () =>
  Effect.gen(function* () {
    const at = (failures: number) => Effect.map(delayAfter(probes, failures, 0), Option.getOrThrow)
    expect(yield* at(1)).toBeLessThanOrEqual(1201)
    expect(yield* at(3)).toBeGreaterThanOrEqual(3199)
    expect(yield* at(100)).toBeLessThanOrEqual(72_001)
    expect(yield* at(100)).toBeGreaterThanOrEqual(47_999)
  })
)
