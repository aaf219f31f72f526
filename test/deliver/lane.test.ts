/**
 * What a lane does beside delivering: it clears up after what was given up, and makes do with what the server takes.
 */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Option, Scope, TestClock } from "effect"
import type { Task } from "../../src/deliver/Destination.ts"
import * as Width from "../../src/deliver/Width.ts"
import {
  AmbiguousError,
  CrowdedError,
  LaneDownError,
  PermanentError,
  TransientError,
  type DeliveryError
} from "../../src/domain/DeliveryError.ts"
import * as Process from "../cli/process.ts"
import { breath, elapse, inMemory, makeStore, route, start, until, type Options } from "../TestApp.ts"

const cause = Option.none()
const crowded = new CrowdedError({ reason: "421 too many connections", cause })
const laneDown = new LaneDownError({ reason: "connection refused", cause })

/** A program whose sources settle at once. */
const run = (options: Options = {}) => start({ ...options, source: { settle: 0, ...options.source } })
type App = Effect.Effect.Success<ReturnType<typeof run>>

const lane = (app: App) => Effect.map(app.dispatcher.status, (all) => all.find((one) => one.lane === "memory://one"))
const state = (app: App, wanted: string) => Effect.map(app.states, (all) => all.some((one) => one.startsWith(wanted)))
const litter = (app: App) => app.journal.litter("memory://one", 100)
const isClean = (app: App) => Effect.map(litter(app), (all) => all.length === 0)

/** A destination whose attempts begin something there and then fail, and what was asked to be cleared away. */
const leaving = (error: DeliveryError | ((task: Task) => DeliveryError | undefined)) => {
  const discarded: Array<string> = []
  const failures: Array<DeliveryError> = []
  let tries = 0
  return {
    discarded,
    failures,
    tries: () => tries,
    memory: {
      before: (task: Task) =>
        Effect.zipRight(
          task.note(`part of ${task.delivery.name}`),
          Effect.suspend(() => {
            const failure = typeof error === "function" ? error(task) : error
            return failure === undefined ? Effect.void : Effect.fail(failure)
          })
        ),
      discard: (task: Task) =>
        Effect.suspend(() => {
          tries += 1
          const failure = failures.shift()
          if (failure !== undefined) return Effect.fail(failure)
          discarded.push(task.delivery.resume ?? "nothing")
          return Effect.void
        })
    }
  }
}

describe.concurrent("what a delivery has begun at a target", () => {
  for (const error of [
    new PermanentError({ reason: "too large", cause }),
    new AmbiguousError({ reason: "no answer", cause })
  ]) {
    it.scoped(`is cleared away once it is given up: ${error._tag}`, () =>
      Effect.gen(function* () {
        const { discarded, memory } = leaving(error)
        const app = yield* run({ memory })
        yield* app.write("a")
        yield* elapse(
          Effect.sync(() => discarded.length > 0),
          "it is cleared away",
          { most: 5000 }
        )
        expect(discarded).toEqual(["part of a"])
        yield* until(isClean(app), "that is noted")
        yield* elapse(Effect.succeed(false), "", { step: 20_000, most: 320_000 }).pipe(Effect.exit)
        expect(discarded).toEqual(["part of a"])
      })
    )
  }

  it.scoped("is kept while it may still be delivered, and gone with that", () =>
    Effect.gen(function* () {
      const { memory, tries } = leaving(({ delivery }) =>
        delivery.attempts === 0 ? new TransientError({ reason: "cut", cause }) : undefined
      )
      const app = yield* run({ memory })
      yield* app.write("a")
      yield* until(state(app, "RETRY_WAIT"), "it waits")
      expect((yield* app.deliveries)[0]?.resume).toBe("part of a")
      yield* elapse(
        Effect.sync(() => app.memory.files.size === 1),
        "it is delivered"
      )
      expect(app.memory.attempts[1]?.delivery.resume).toBe("part of a")
      yield* until(state(app, "DELIVERED"), "it is concluded")
      expect((yield* app.deliveries)[0]?.resume).toBeNull()
      expect(tries()).toBe(0)
    })
  )

  it.scoped("is cleared away when a newer file has taken its place", () =>
    Effect.gen(function* () {
      const { discarded, memory } = leaving(({ delivery }) =>
        delivery.generation.size === 3 ? new TransientError({ reason: "cut", cause, retryAfter: 3_600_000 }) : undefined
      )
      const app = yield* run({ memory })
      yield* app.write("a", "old")
      yield* until(state(app, "RETRY_WAIT"), "it waits")
      yield* app.write("a", "newer")
      yield* elapse(
        Effect.sync(() => discarded.length > 0),
        "it is cleared away",
        { most: 60_000 }
      )
      expect(yield* app.states).toEqual(["SUPERSEDED a memory://one/in", "DELIVERED a memory://one/in"])
    })
  )

  it.scoped("is cleared away when it is cancelled, and tried again later where that fails", () =>
    Effect.gen(function* () {
      const { failures, memory, tries } = leaving(new TransientError({ reason: "cut", cause, retryAfter: 1e9 }))
      failures.push(laneDown)
      const app = yield* run({ memory })
      yield* app.write("a")
      yield* until(state(app, "RETRY_WAIT"), "it waits")
      yield* app.journal.cancel((yield* app.deliveries).map(({ id }) => id))
      yield* app.dispatcher.notify(["memory://one"])
      yield* elapse(
        Effect.sync(() => tries() === 1),
        "it is tried",
        { most: 5000 }
      )
      const second = yield* elapse(
        Effect.sync(() => tries() === 2),
        "again",
        { step: 1000 }
      )
      expect(second).toBeGreaterThanOrEqual(290_000)
      expect(second).toBeLessThanOrEqual(310_000)
      yield* until(isClean(app), "that is noted")
      // nobody else hears of it
      expect(yield* lane(app)).toMatchObject({ health: "up" })
    })
  )

  it.scoped("is cleared away after a restart, in a lane that has nothing else to do", () =>
    Effect.gen(function* () {
      const store = yield* makeStore
      const scope = yield* Scope.make()
      const first = leaving(new PermanentError({ reason: "too large", cause }))
      first.failures.push(...Array.from({ length: 9 }, () => laneDown))
      const app = yield* run({ store, memory: first.memory }).pipe(Scope.extend(scope))
      yield* app.write("a")
      yield* until(state(app, "DEAD"), "it is dead")
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* elapse(
        Effect.sync(() => closing.unsafePoll() !== null),
        "it ends"
      )
      expect(first.tries()).toBeGreaterThan(0)
      const { discarded, memory } = leaving(laneDown)
      const next = yield* run({ store, memory })
      yield* elapse(
        Effect.sync(() => discarded.length > 0),
        "it is cleared away",
        { most: 5000 }
      )
      yield* until(isClean(next), "that is noted")
    })
  )

  it.scoped("is cleared away before the program ends", () =>
    Effect.gen(function* () {
      const store = yield* makeStore
      const scope = yield* Scope.make()
      const goOn = yield* Deferred.make<void>()
      const { discarded, memory } = leaving(new PermanentError({ reason: "too large", cause }))
      const app = yield* run({
        store,
        memory: { ...memory, before: (task) => Effect.zipRight(Deferred.await(goOn), memory.before(task)) }
      }).pipe(Scope.extend(scope))
      yield* app.write("a")
      yield* until(
        Effect.sync(() => app.memory.attempts.length === 1),
        "it is under way"
      )
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* breath
      yield* Deferred.succeed(goOn, undefined)
      yield* until(
        Effect.sync(() => closing.unsafePoll() !== null),
        "it ends, without any time of the test's clock"
      )
      expect(discarded).toEqual(["part of a"])
    })
  )

  it.scoped("is left alone while the lane is down", () =>
    Effect.gen(function* () {
      let isDown = false
      const { memory, tries } = leaving(({ delivery }) =>
        isDown
          ? laneDown
          : delivery.name === "a"
            ? new TransientError({ reason: "cut", cause, retryAfter: 1e9 })
            : undefined
      )
      const app = yield* run({ memory })
      yield* app.write("a")
      yield* until(state(app, "RETRY_WAIT"), "it waits")
      isDown = true
      yield* app.write("b")
      yield* until(
        Effect.map(lane(app), (status) => status?.health === "down"),
        "it is down"
      )
      const [a] = (yield* app.deliveries).filter(({ name }) => name === "a")
      yield* app.journal.cancel(a === undefined ? [] : [a.id])
      yield* app.dispatcher.notify(["memory://one"])
      yield* elapse(Effect.succeed(false), "", { step: 5000, most: 320_000 }).pipe(Effect.exit)
      expect(tries()).toBe(0)
      isDown = false
      yield* elapse(
        Effect.sync(() => tries() === 1),
        "it is cleared away when it is up again",
        { step: 1000 }
      )
    })
  )

  it.scoped("waits with that until no delivery is in want of a place", () =>
    Effect.gen(function* () {
      const goOn = yield* Deferred.make<void>()
      const { memory, tries } = leaving(new PermanentError({ reason: "too large", cause }))
      const app = yield* run({
        routes: [route("all", [inMemory("one", "in", { concurrency: 2 })])],
        memory: {
          ...memory,
          before: (task) => (task.delivery.name === "bad" ? memory.before(task) : Deferred.await(goOn))
        }
      })
      yield* app.write("x")
      yield* until(
        Effect.sync(() => app.memory.attempts.length === 1),
        "one is under way"
      )
      yield* app.write("bad")
      for (const name of ["y", "z"]) yield* app.write(name)
      yield* until(state(app, "DEAD"), "it is dead")
      yield* until(
        Effect.sync(() => app.memory.attempts.length === 3),
        "two others are under way"
      )
      yield* elapse(Effect.succeed(false), "", { step: 1000, most: 20_000 }).pipe(Effect.exit)
      expect(tries()).toBeLessThanOrEqual(1)
      yield* Deferred.succeed(goOn, undefined)
      yield* elapse(
        Effect.sync(() => tries() === 1),
        "it is cleared away",
        { most: 5000 }
      )
    })
  )
})

describe.concurrent("a file that a server won't have, in words as if it had no use for any", () => {
  for (const bad of [1, 3]) {
    it.scoped(`does not stand in the way of the others: ${bad} of them, and they come first`, () =>
      Effect.gen(function* () {
        const app = yield* run({
          routes: [route("all", [inMemory("one", "in", { concurrency: 1 })])],
          memory: {
            before: ({ delivery }) => (delivery.name.startsWith("bad") ? Effect.fail(laneDown) : Effect.void)
          }
        })
        for (let index = 0; index < bad; index++) yield* app.write(`bad${index}`)
        yield* until(
          Effect.map(lane(app), (status) => status?.health === "down"),
          "it is taken for down at first"
        )
        for (const name of ["x", "y", "z"]) yield* app.write(name)
        yield* elapse(
          Effect.sync(() => app.memory.files.size === 3),
          "the others are delivered",
          { most: 120_000 }
        )
        yield* elapse(
          Effect.map(app.states, (all) => all.filter((one) => one.startsWith("DEAD")).length === bad),
          "the attempts of the bad ones are used up",
          { step: 250, most: 120_000 }
        )
        const one = (yield* app.deliveries).find(({ name }) => name === "bad0")
        expect(one?.reason).toContain("connection refused")
        expect(one?.reason).toContain("this one's own trouble")
        expect((yield* lane(app))?.health).toBe("up")
      })
    )
  }

  it.scoped("is not to blame where nothing else is delivered either: that costs no attempt", () =>
    Effect.gen(function* () {
      let isDown = true
      const app = yield* run({
        memory: { before: () => (isDown ? Effect.fail(laneDown) : Effect.void) }
      })
      for (const name of ["x", "y", "z"]) yield* app.write(name)
      yield* elapse(Effect.succeed(false), "", { step: 5000, most: 300_000 }).pipe(Effect.exit)
      expect((yield* app.deliveries).map(({ attempts }) => attempts)).toEqual([0, 0, 0])
      isDown = false
      yield* elapse(
        Effect.sync(() => app.memory.files.size === 3),
        "all are delivered",
        { step: 1000, most: 120_000 }
      )
    })
  )
})

it.scoped("what waits for a server is sent there by the host key of today's config", () =>
  Effect.gen(function* () {
    const store = yield* makeStore
    const memory = {
      before: ({ delivery }: Task) =>
        delivery.target.options.hostKey === "SHA256:right" ? Effect.void : Effect.fail(laneDown)
    }
    const pinned = (hostKey: string, conflict: "fail" | "overwrite") => [
      route("all", [inMemory("one", "in", { hostKey, conflict })])
    ]
    const scope = yield* Scope.make()
    const directory = yield* Process.directory
    const wrong = { store, memory, directory, routes: pinned("SHA256:wrong", "fail") }
    const app = yield* run(wrong).pipe(Scope.extend(scope))
    yield* app.write("a")
    yield* until(state(app, "BLOCKED"), "it is blocked")
    const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
    yield* elapse(
      Effect.sync(() => closing.unsafePoll() !== null),
      "it ends"
    )
    const next = yield* run({ ...wrong, routes: pinned("SHA256:right", "overwrite") })
    yield* elapse(
      Effect.sync(() => next.memory.files.size === 1),
      "it is delivered"
    )
    // and in all else as it was accepted
    expect(next.memory.attempts[0]?.delivery.target.options).toMatchObject({ conflict: "fail" })
  })
)

describe.concurrent("a server that takes fewer at once", () => {
  /** Takes so many; more are refused. */
  const server = (options: { most: number }) => {
    const seen = { underWay: 0, refused: 0, peak: 0 }
    return {
      seen,
      before: () =>
        Effect.acquireUseRelease(
          Effect.sync(() => (seen.underWay += 1)),
          (now) =>
            Effect.suspend(() => {
              if (now > options.most) {
                seen.refused += 1
                return Effect.fail(crowded)
              }
              seen.peak = Math.max(seen.peak, now)
              return Effect.sleep("2 seconds")
            }),
          () => Effect.sync(() => (seen.underWay -= 1))
        )
    }
  }

  it.scoped("gets no more than it takes, all of its files, and none pays for it with an attempt", () =>
    Effect.gen(function* () {
      const { before, seen } = server({ most: 3 })
      const app = yield* run({
        routes: [route("all", [inMemory("one", "in", { concurrency: 8 })])],
        memory: { before }
      })
      for (let index = 0; index < 30; index++) yield* app.write(`f${index}`)
      yield* elapse(
        Effect.sync(() => app.memory.files.size === 30),
        "all are delivered",
        { step: 250, most: 60_000 }
      )
      expect(yield* lane(app)).toMatchObject({ health: "up", concurrency: 8, limit: 3 })
      // the five that were too many at first, and hardly any later
      expect(seen.refused).toBeLessThanOrEqual(7)
      yield* until(
        Effect.map(app.states, (all) => all.every((one) => one.startsWith("DELIVERED"))),
        "all are concluded"
      )
      expect((yield* app.deliveries).every(({ attempts }) => attempts === 0)).toBe(true)
      expect((yield* app.logs).every(({ status }) => status === "SUCCEEDED")).toBe(true)
    })
  )

  it.scoped("is tried with one more after a minute, and again with all it ever took", () =>
    Effect.gen(function* () {
      const options = { most: 1 }
      const { before } = server(options)
      const app = yield* run({
        routes: [route("all", [inMemory("one", "in", { concurrency: 4 })])],
        memory: { before }
      })
      for (const name of ["a", "b", "c", "d"]) yield* app.write(name)
      yield* elapse(
        Effect.sync(() => app.memory.files.size === 4),
        "all are delivered",
        { step: 250 }
      )
      expect(yield* lane(app)).toMatchObject({ limit: 1 })
      options.most = 4
      const took = yield* elapse(
        Effect.map(lane(app), (status) => status?.limit === 4),
        "it has all of them again",
        { step: 1000 }
      )
      expect(took).toBeGreaterThanOrEqual(165_000)
      expect(took).toBeLessThanOrEqual(185_000)
    })
  )

  it.scoped("and not even one is a lane that is down", () =>
    Effect.gen(function* () {
      const options = { most: 0 }
      const { before } = server(options)
      const app = yield* run({
        routes: [route("all", [inMemory("one", "in", { concurrency: 4 })])],
        memory: { before }
      })
      for (const name of ["a", "b", "c", "d"]) yield* app.write(name)
      yield* elapse(
        Effect.map(lane(app), (status) => status?.health === "down"),
        "it is down",
        { step: 250, most: 20_000 }
      )
      expect(yield* lane(app)).toMatchObject({ reason: "421 too many connections" })
      options.most = 2
      yield* elapse(
        Effect.sync(() => app.memory.files.size === 4),
        "all are delivered",
        { step: 500 }
      )
      expect((yield* app.deliveries).every(({ attempts }) => attempts === 0)).toBe(true)
    })
  )

  it.scoped("is given the time that it asks for", () =>
    Effect.gen(function* () {
      const app = yield* run({ routes: [route("all", [inMemory("one", "in", { concurrency: 4 })])] })
      app.memory.failNext(new CrowdedError({ reason: "429", cause, retryAfter: 30_000 }))
      yield* app.write("a")
      yield* until(state(app, "RETRY_WAIT"), "it waits")
      expect(yield* lane(app)).toMatchObject({ health: "up", limit: 1 })
      const waited = yield* elapse(
        Effect.sync(() => app.memory.files.size === 1),
        "it is delivered",
        { step: 500 }
      )
      expect(waited).toBeGreaterThanOrEqual(29_000)
      expect(waited).toBeLessThanOrEqual(32_000)
    })
  )
})

describe.concurrent("the width of a lane", () => {
  it("falls to what was under way beside the one that was refused", () => {
    const width = Width.make(8)
    expect(width.crowded(7, 0)).toBe("lowered")
    expect(width.limit()).toBe(7)
    expect(width.crowded(3, 0)).toBe("lowered")
    expect(width.limit()).toBe(3)
    // news of before
    expect(width.crowded(5, 0)).toBe("unchanged")
    expect(width.limit()).toBe(3)
    expect(width.crowded(0, 0)).toBe("lowered")
    expect(width.crowded(2, 0)).toBe("unchanged")
    expect(width.crowded(0, 0)).toBe("alone")
  })

  it("rises after a minute, and after twice as long where that was in vain, up to ten", () => {
    const width = Width.make(3)
    let now = 0
    const next = () => {
      const from = now
      while (!width.relax(now)) now += 1000
      return now - from
    }
    width.crowded(2, now)
    const waits: Array<number> = []
    for (let round = 0; round < 6; round++) {
      waits.push(next() / 1000)
      expect(width.limit()).toBe(3)
      width.crowded(2, now)
      expect(width.limit()).toBe(2)
    }
    expect(waits).toEqual([60, 120, 240, 480, 600, 600])
    // one that held is as good as new
    next()
    now += 600_000
    expect(width.relax(now)).toBe(false)
    width.crowded(2, now)
    expect(next()).toBe(60_000)
  })
})

it.scoped("an upload goes on for as long as it gets on, and no longer", () =>
  Effect.gen(function* () {
    let drips = 0
    const app = yield* run({
      routes: [route("all", [inMemory("one", "in", { timeout: 10_000 })])],
      memory: {
        // a byte every 9 seconds for 3 minutes, and then no more
        before: ({ delivery, progress }) =>
          delivery.attempts > 0
            ? Effect.void
            : Effect.sync(() => {
                drips += 1
                progress(1)
              }).pipe(
                Effect.delay("9 seconds"),
                Effect.repeatN(19),
                Effect.zipRight(delivery.name === "stalls" ? Effect.never : Effect.void)
              )
      }
    })
    yield* app.write("slow")
    yield* app.write("stalls")
    yield* elapse(
      Effect.sync(() => drips === 40),
      "both have got on",
      { step: 3000, most: 400_000 }
    )
    yield* until(state(app, "DELIVERED slow"), "the slow one is delivered")
    const waited = yield* elapse(state(app, "RETRY_WAIT stalls"), "the other one is ended", { step: 500 })
    expect(waited).toBeLessThanOrEqual(18_000)
    expect((yield* app.deliveries).find(({ name }) => name === "stalls")?.reason).toContain("No progress for 10 s")
    yield* TestClock.adjust(0)
  })
)

describe.concurrent("a batch", () => {
  const names = ["a", "b", "c", "d"]
  /** All of them are there before the first is looked at. */
  const together = (
    before: (task: Task) => Effect.Effect<void, DeliveryError>,
    conflict: "overwrite" | "rename" = "overwrite"
  ) =>
    Effect.gen(function* () {
      const app = yield* run({
        routes: [route("all", [inMemory("one", "in", { timeout: 10_000, concurrency: 1, conflict })])],
        memory: { batch: 16, before },
        source: { settle: 1000 }
      })
      for (const name of names) yield* app.write(name)
      return app
    })

  const arrived = (app: App) =>
    elapse(
      Effect.sync(() => app.memory.files.size === names.length),
      "all have arrived",
      { step: 500, most: 120_000 }
    )

  /** The first attempt at b never gets on. */
  const stallsAtB = ({ delivery }: Task) =>
    delivery.name === "b" && delivery.attempts === 0 ? Effect.never : Effect.void

  const onlyBFailed = (app: App) =>
    Effect.map(app.deliveries, (deliveries) => {
      const failed = deliveries.map(({ attempts, name }) => [name, attempts])
      expect(failed.toSorted()).toEqual([
        ["a", 0],
        ["b", 1],
        ["c", 0],
        ["d", 0]
      ])
    })

  it.scoped("that is ended for one of its files keeps what has arrived, and blames none that waited", () =>
    Effect.gen(function* () {
      const app = yield* together(stallsAtB)
      yield* arrived(app)
      yield* until(state(app, "DELIVERED b"), "that is noted")
      const tries = names.map((name) => app.memory.attempts.filter(({ delivery }) => delivery.name === name).length)
      expect(tries).toEqual([1, 2, 1, 1])
      yield* onlyBFailed(app)
    })
  )

  it.scoped("is not taken where each goes alone: what was taken along with one that stalls goes on", () =>
    Effect.gen(function* () {
      const app = yield* together(stallsAtB, "rename")
      yield* arrived(app)
      for (const name of names) yield* until(state(app, `DELIVERED ${name}`), "that is noted")
      yield* onlyBFailed(app)
    })
  )

  it.scoped("leaves what it did not begin to the next one, which costs no attempt", () =>
    Effect.gen(function* () {
      const app = yield* together(({ delivery }) =>
        delivery.name === "b" ? Effect.fail(new PermanentError({ reason: "too large", cause })) : Effect.void
      )
      yield* elapse(
        Effect.sync(() => app.memory.files.size === 3),
        "the others have arrived",
        { step: 500, most: 60_000 }
      )
      yield* until(state(app, "DELIVERED d"), "that is noted")
      expect((yield* app.states).toSorted()).toEqual([
        "DEAD b memory://one/in",
        "DELIVERED a memory://one/in",
        "DELIVERED c memory://one/in",
        "DELIVERED d memory://one/in"
      ])
      expect(app.memory.attempts).toHaveLength(4)
    })
  )
})
