/**
 * Limits of bandwidth, for each target and for each lane, as today's config has them.
 *
 * A token bucket each (RFC 2697 describes the meter; here what does not conform waits instead of being marked): it
 * fills with `rate` bytes a second up to a quarter of a second's worth, and a chunk goes out when the bucket holds it.
 * Who waits stands in a queue, so that several uploads take turns, chunk by chunk.
 */
import { Duration, Effect, FiberSet, type Scope, Stream, SubscriptionRef } from "effect"
import { CurrentSettings } from "../config/CurrentSettings.ts"
import type { Delivery } from "../domain/Delivery.ts"
import type { Settings } from "../domain/Settings.ts"
import type { Pace } from "./Destination.ts"

/** Bytes that a chunk has at least and at most, where there is a limit. */
export const smallestChunk = 1024
export const largestChunk = 256 * 1024

/** How much a bucket holds, in seconds of its rate. */
const burst = 0.25
/** No wait is longer before the rate is looked at again, in milliseconds: so soon does a change take effect. */
const glance = 250
/** From this size on a file gets a pace although nothing limits it now: a limit may come while it is sent. */
const long = 1024 * 1024

/** The upload for which a pace is. */
export interface Pacing {
  /** Tells that it waits for the limit, or no longer. */
  readonly held: (held: boolean) => void
  /** Whether it is over, so that it takes nothing any more. */
  readonly ended: () => boolean
}

export interface Bandwidth {
  /** Whether anything limits this delivery now. */
  readonly limits: (delivery: Delivery) => boolean
  /** Undefined where nothing limits it and it will not take long. Without a limit a pace costs next to nothing. */
  readonly pace: (delivery: Delivery, upload: Pacing) => Pace | undefined
}

/** Follows the current settings for as long as the scope is open. */
export const make: Effect.Effect<Bandwidth, never, CurrentSettings | Scope.Scope> = Effect.gen(function* () {
  const settings = yield* CurrentSettings
  const clock = yield* Effect.clock
  const run = yield* FiberSet.makeRuntime<never>()
  let rates = ratesOf(yield* SubscriptionRef.get(settings))
  yield* Effect.forkScoped(
    Stream.runForEach(settings.changes, (current) =>
      Effect.sync(() => {
        rates = ratesOf(current)
      })
    )
  )
  const buckets = new Map<string, Bucket>()
  const bucketOf = (key: string, rate: () => number | undefined): Bucket => {
    const known = buckets.get(key)
    if (known !== undefined) return known
    const made = makeBucket({
      rate,
      now: () => clock.unsafeCurrentTimeMillis(),
      later: (milliseconds, then) =>
        void run(Effect.zipRight(clock.sleep(Duration.millis(milliseconds)), Effect.sync(then)))
    })
    buckets.set(key, made)
    return made
  }
  const rateOf = ({ target }: Delivery): number =>
    Math.min(rates.targets.get(target.url) ?? Infinity, rates.lanes.get(target.lane) ?? Infinity)

  return {
    limits: (delivery) => rates.any && rateOf(delivery) < Infinity,
    pace: (delivery, { ended, held }) => {
      const { lane, url } = delivery.target
      if (delivery.generation.size < long && (!rates.any || rateOf(delivery) === Infinity)) return undefined
      const ofTarget = bucketOf(`target ${url}`, () => rates.targets.get(url))
      const ofLane = bucketOf(`lane ${lane}`, () => rates.lanes.get(lane))
      return {
        chunk: () => chunkFor(rateOf(delivery)),
        wait: async (bytes) => {
          if (!rates.any || rateOf(delivery) === Infinity) return
          held(true)
          try {
            await ofTarget.take(bytes, ended)
            await ofLane.take(bytes, ended)
          } finally {
            held(false)
          }
        }
      }
    }
  }
})

/** A quarter of a second's worth; Infinity where there is no limit. */
export const chunkFor = (rate: number): number =>
  rate === Infinity ? Infinity : Math.max(smallestChunk, Math.min(largestChunk, Math.floor(rate * burst)))

export interface Bucket {
  /** Resolves when so many bytes may go out; at once for what has ended. */
  readonly take: (bytes: number, ended: () => boolean) => Promise<void>
}

/** `rate`: bytes a second now; undefined: no limit. It is empty at first. Times in milliseconds. */
export const makeBucket = (options: {
  readonly rate: () => number | undefined
  readonly now: () => number
  /** Calls back after so long. */
  readonly later: (milliseconds: number, then: () => void) => void
}): Bucket => {
  const queue: Array<{ readonly bytes: number; readonly ended: () => boolean; readonly go: () => void }> = []
  let level = 0
  let filled = options.now()
  let waiting = false

  const fill = (rate: number): void => {
    const now = options.now()
    // a clock that was set back fills nothing
    level = Math.min(Math.max(rate * burst, smallestChunk), level + (Math.max(0, now - filled) / 1000) * rate)
    filled = now
  }

  const pump = (): void => {
    for (let next = queue[0]; next !== undefined; next = queue[0]) {
      const rate = options.rate()
      if (!next.ended() && rate !== undefined) {
        fill(rate)
        // what is larger than the bucket, since the rate was higher when it was cut, goes once that is full
        const needed = Math.min(next.bytes, Math.max(rate * burst, smallestChunk))
        if (level < needed) {
          if (!waiting) {
            waiting = true
            options.later(Math.min(glance, Math.max(1, Math.ceil(((needed - level) / rate) * 1000))), () => {
              waiting = false
              pump()
            })
          }
          return
        }
        level = Math.max(0, level - next.bytes)
      }
      queue.shift()
      next.go()
    }
  }

  return {
    take: (bytes, ended) =>
      new Promise((go) => {
        queue.push({ bytes, ended, go })
        pump()
      })
  }
}

interface Rates {
  readonly any: boolean
  readonly targets: ReadonlyMap<string, number>
  readonly lanes: ReadonlyMap<string, number>
}

const ratesOf = ({ routes }: Settings): Rates => {
  const targets = new Map<string, number>()
  const lanes = new Map<string, number>()
  const lower = (map: Map<string, number>, key: string, rate: number | null) => {
    if (rate !== null) map.set(key, Math.min(rate, map.get(key) ?? Infinity))
  }
  for (const { bandwidth, target } of routes.flatMap((route) => route.targets)) {
    lower(targets, target.url, bandwidth.target)
    lower(lanes, target.lane, bandwidth.lane)
  }
  return { any: targets.size > 0 || lanes.size > 0, targets, lanes }
}
