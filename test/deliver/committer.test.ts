import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as Committer from "../../src/deliver/Committer.ts"
import { Journal } from "../../src/store/Journal.ts"
import { admission, deliveredNow, found } from "../contracts/journal.ts"
import { inMemory } from "../store/stores.ts"

const count = 200

/** The sizes of the transactions where `first` outcomes are there at once, and in each moment come `more` of them. */
const commits = ({ busy = true, first, more }: { busy?: boolean; first: number; more: ReadonlyArray<number> }) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    yield* journal.admit(
      "rules",
      Array.from({ length: count }, (_, index) => admission(found(`file-${index}`)))
    )
    const claimed = yield* journal.claim("memory://one", count, 0)
    const sizes: Array<number> = []
    const coming = [...more]
    const spying = Journal.of({
      ...journal,
      conclude: (batch) => Effect.tap(journal.conclude(batch), () => Effect.sync(() => sizes.push(batch.length)))
    })
    let next = 0
    const offer = (committer: Committer.Committer, size: number) =>
      committer.offer(claimed.slice(next, (next += size)).map(deliveredNow))
    const committer: Committer.Committer = yield* Committer.make({
      busy: () => busy,
      moment: Effect.suspend(() => offer(committer, coming.shift() ?? 0)),
      committed: () => Effect.void
    }).pipe(Effect.provideService(Journal, spying))
    yield* offer(committer, first)
    const running = yield* Effect.fork(committer.run)
    yield* Effect.yieldNow().pipe(Effect.repeat({ until: () => committer.idle }))
    yield* Fiber.interrupt(running)
    return sizes
  }).pipe(Effect.scoped, Effect.provide(inMemory))

describe("the committer", () => {
  it.effect("waits for nothing where nothing is under way", () =>
    Effect.gen(function* () {
      expect(yield* commits({ busy: false, first: 3, more: [5] })).toEqual([3])
    })
  )

  it.effect("waits one moment where none comes in it", () =>
    Effect.gen(function* () {
      expect(yield* commits({ first: 1, more: [0, 5] })).toEqual([1])
    })
  )

  it.effect("waits for as long as more come, but not for more than four moments", () =>
    Effect.gen(function* () {
      expect(yield* commits({ first: 1, more: [5, 5] })).toEqual([11])
      expect(yield* commits({ first: 1, more: [5, 5, 5, 5, 5] })).toEqual([21])
    })
  )

  it.effect("waits no longer where enough have come", () =>
    Effect.gen(function* () {
      expect(yield* commits({ first: 1, more: [70, 5] })).toEqual([71])
    })
  )
})
