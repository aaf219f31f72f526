import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Scope, TestClock } from "effect"
import { existsSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Delivery } from "../../src/domain/Delivery.ts"
import {
  AmbiguousError,
  LaneDownError,
  PermanentError,
  SkippedError,
  TransientError,
  type DeliveryError
} from "../../src/domain/DeliveryError.ts"
import { JournalError } from "../../src/store/Journal.ts"
import { breath, elapse, inMemory, makeStore, route, start, until, type Options } from "../TestApp.ts"

const cause = Option.none()
const transient = (retryAfter?: number) =>
  new TransientError({ reason: "the line was cut", cause, ...(retryAfter === undefined ? {} : { retryAfter }) })
const laneDown = new LaneDownError({ reason: "connection refused", cause })

/** A program whose sources settle at once. */
const run = (options: Options = {}) => start({ ...options, source: { settle: 0, ...options.source } })
type App = Effect.Effect.Success<ReturnType<typeof run>>

const state = (app: App, wanted: string, count = 1) =>
  Effect.map(app.states, (all) => all.filter((one) => one.startsWith(wanted)).length === count)
const lane = (app: App, name = "memory://one") =>
  Effect.map(app.dispatcher.status, (all) => all.find((one) => one.lane === name))
const stored = (app: App) => Array.from(app.memory.files.keys(), (key) => key.slice(key.lastIndexOf("/") + 1)).sort()

describe.concurrent("a failed delivery", () => {
  it.scoped("is tried again after growing times, and is dead after its last attempt", () =>
    Effect.gen(function* () {
      const app = yield* run({ memory: { before: () => transient() } })
      yield* app.write("a")
      yield* until(
        Effect.sync(() => app.memory.attempts.length === 1),
        "the first attempt"
      )
      yield* until(state(app, "RETRY_WAIT"), "it waits")
      const second = yield* elapse(
        Effect.sync(() => app.memory.attempts.length === 2),
        "the second"
      )
      expect(second).toBeGreaterThanOrEqual(700)
      expect(second).toBeLessThanOrEqual(1400)
      const third = yield* elapse(
        Effect.sync(() => app.memory.attempts.length === 3),
        "the third"
      )
      expect(third).toBeGreaterThanOrEqual(1500)
      expect(third).toBeLessThanOrEqual(2600)
      yield* until(state(app, "DEAD"), "it is dead")
      yield* TestClock.adjust("5 minutes")
      yield* breath
      expect(app.memory.attempts.length).toBe(3)
      expect(yield* app.logs).toMatchObject([
        { status: "FAILED", attempts: 3, reason: "the line was cut (given up after 3 attempts)" }
      ])
      // each attempt has a temp name of its own, knows the old ones, and all have one key
      expect(new Set(app.memory.attempts.map(({ temp }) => temp)).size).toBe(3)
      expect(app.memory.attempts[2]?.stale).toEqual(app.memory.attempts.slice(0, 2).map(({ temp }) => temp))
      expect(new Set(app.memory.attempts.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(1)
      expect(app.sources()).toEqual(["a"])
      // and can be brought back
      const [dead] = yield* app.deliveries
      yield* app.journal.replay([dead?.id ?? raise("none")])
      yield* app.dispatcher.notify(["memory://one"])
      yield* until(
        Effect.sync(() => app.memory.attempts.length === 4),
        "the replay"
      )
    })
  )

  it.scoped("waits as long as the destination asks for", () =>
    Effect.gen(function* () {
      const app = yield* run()
      app.memory.failNext(transient(30_000))
      yield* app.write("a")
      yield* until(state(app, "RETRY_WAIT"), "it waits")
      const waited = yield* elapse(
        Effect.sync(() => app.memory.files.size === 1),
        "it is delivered",
        { step: 500 }
      )
      expect(waited).toBeGreaterThanOrEqual(29_000)
      expect(waited).toBeLessThanOrEqual(31_000)
    })
  )

  it.scoped("is dead, ambiguous or skipped at once where another attempt makes no sense", () =>
    Effect.gen(function* () {
      const errors: Record<string, DeliveryError> = {
        dead: new PermanentError({ reason: "too large", cause }),
        ambiguous: new AmbiguousError({ reason: "no answer came", cause }),
        skipped: new SkippedError({ reason: "it is there", cause })
      }
      const app = yield* run({
        source: { after: { _tag: "Delete" } },
        memory: { before: ({ delivery: { name } }) => Option.fromNullable(errors[name]).pipe(failing) }
      })
      for (const name of ["dead", "ambiguous", "skipped", "fine"]) yield* app.write(name)
      yield* until(
        Effect.sync(() => !existsSync(join(app.inbox, "fine"))),
        "the fine one is disposed of"
      )
      yield* until(state(app, "SKIPPED"), "all are concluded")
      yield* TestClock.adjust("5 minutes")
      expect(app.memory.attempts.length).toBe(4)
      expect((yield* app.states).map((one) => one.split(" ").slice(0, 2).join(" ")).sort()).toEqual([
        "AMBIGUOUS ambiguous",
        "DEAD dead",
        "DELIVERED fine",
        "SKIPPED skipped"
      ])
      expect(app.sources()).toEqual(["ambiguous", "dead", "skipped"])
      expect((yield* app.logs).map(({ filename, status }) => `${status} ${filename}`).sort()).toEqual([
        "FAILED ambiguous",
        "FAILED dead",
        "SUCCEEDED fine"
      ])
    })
  )

  it.scoped("by a defect is one that is retried, and the lane goes on", () =>
    Effect.gen(function* () {
      let defects = 0
      const app = yield* run({
        memory: {
          before: ({ delivery }) =>
            delivery.name === "bad" && delivery.attempts === 0
              ? Effect.suspend(() => {
                  defects += 1
                  return Effect.die(new Error("a bug"))
                })
              : Effect.void
        }
      })
      yield* app.write("bad")
      for (const name of ["a", "b", "c"]) yield* app.write(name)
      yield* until(
        Effect.sync(() => app.memory.files.size === 3),
        "the others are delivered"
      )
      yield* until(state(app, "RETRY_WAIT"), "it waits")
      expect((yield* app.deliveries).find(({ name }) => name === "bad")?.reason).toContain("a bug")
      yield* elapse(
        Effect.sync(() => app.memory.files.size === 4),
        "it is delivered as well"
      )
      expect(defects).toBe(1)
    })
  )

  it.scoped("without progress is given up, and tried again", () =>
    Effect.gen(function* () {
      const app = yield* run({
        routes: [route("all", [inMemory("one", "in", { timeout: 10_000, concurrency: 1 })])],
        memory: {
          before: ({ delivery }) => (delivery.attempts === 0 && delivery.name === "a" ? Effect.never : Effect.void)
        }
      })
      yield* app.write("a")
      yield* until(
        Effect.sync(() => app.memory.attempts.length === 1),
        "it is begun"
      )
      yield* app.write("b")
      const waited = yield* elapse(state(app, "RETRY_WAIT"), "it is given up", { step: 500 })
      // the destination's own timers get 5 s more to say what the silence means
      expect(waited).toBeGreaterThanOrEqual(14_500)
      expect(waited).toBeLessThanOrEqual(18_000)
      expect((yield* app.deliveries).find(({ name }) => name === "a")?.reason).toContain("No progress for 10 s")
      yield* elapse(
        Effect.sync(() => app.memory.files.size === 2),
        "both are delivered"
      )
    })
  )

  it.scoped("with progress is left alone", () =>
    Effect.gen(function* () {
      const app = yield* run({
        routes: [route("all", [inMemory("one", "in", { timeout: 10_000 })])],
        memory: {
          before: ({ progress }) =>
            Effect.sync(() => progress(1)).pipe(Effect.delay("6 seconds"), Effect.repeatN(9), Effect.asVoid)
        }
      })
      yield* app.write("a")
      yield* elapse(
        Effect.sync(() => app.memory.files.size === 1),
        "it is delivered",
        { step: 500 }
      )
      expect(app.memory.attempts.length).toBe(1)
      expect((yield* app.deliveries)[0]).toMatchObject({ attempts: 0 })
    })
  )
})

describe.concurrent("a lane that is down", () => {
  it.scoped("costs no attempt, is probed with growing delay, and delivers everything when it comes back", () =>
    Effect.gen(function* () {
      let isDown = true
      const app = yield* run({
        routes: [route("all", [inMemory("one"), inMemory("two")])],
        memory: { before: ({ delivery }) => (isDown && delivery.target.host === "one" ? laneDown : Effect.void) }
      })
      const toOne = () => app.memory.attempts.filter(({ delivery }) => delivery.target.host === "one").length
      const names = Array.from({ length: 150 }, (_, index) => `f${index}`)
      for (const name of names) yield* app.write(name)
      // the other lane is not affected
      yield* elapse(
        Effect.sync(() => app.memory.files.size === 150),
        "the other lane delivers",
        { step: 1, most: 500 }
      )
      yield* until(
        Effect.map(lane(app), (status) => status?.health === "down"),
        "it is down"
      )
      expect(yield* lane(app)).toMatchObject({ reason: "connection refused", queued: 0 })
      const before = toOne()
      // those that were under way when it broke
      expect(before).toBeLessThanOrEqual(4)
      yield* elapse(Effect.succeed(false), "", { step: 1000, most: 300_000 }).pipe(Effect.exit)
      // 1, 2, 4, … 60 s, each shortened by chance: about ten in five minutes, and those that were under way
      expect(toOne() - before).toBeGreaterThanOrEqual(6)
      expect(toOne() - before).toBeLessThanOrEqual(20)
      expect((yield* app.deliveries).every(({ attempts }) => attempts === 0)).toBe(true)
      expect((yield* app.dispatcher.settled).map((one) => one.lane)).toEqual(["memory://one"])
      isDown = false
      yield* elapse(
        Effect.sync(() => app.memory.files.size === 300),
        "all is delivered",
        { step: 500, most: 90_000 }
      )
      expect(yield* lane(app)).toMatchObject({ health: "up", reason: null, probe: null })
      yield* until(
        Effect.map(app.logs, (logs) => logs.length === 300),
        "all is logged"
      )
      expect(yield* app.dispatcher.settled).toEqual([])
    })
  )

  it.scoped("is not asked for its time by what is no news of it", () =>
    Effect.gen(function* () {
      const app = yield* run({
        routes: [route("all", [inMemory("one", "in", { timeout: 5000, concurrency: 1 })])],
        memory: { before: ({ delivery }) => (delivery.name === "a" ? laneDown : Effect.never) }
      })
      yield* app.write("a")
      yield* until(state(app, "BLOCKED"), "it is down")
      yield* app.write("b")
      yield* app.journal.cancel((yield* app.deliveries).filter(({ name }) => name === "a").map(({ id }) => id))
      // a probe that hangs says nothing of its destination
      yield* elapse(state(app, "RETRY_WAIT"), "the probe timed out", { step: 500 })
      expect(yield* lane(app)).toMatchObject({ health: "down" })
    })
  )

  it.scoped("does not turn in circles where nothing is left to probe with", () =>
    Effect.gen(function* () {
      let claims = 0
      const app = yield* run({
        memory: { before: () => laneDown },
        journal: (journal) => ({
          ...journal,
          claim: (...args) => {
            claims += 1
            return journal.claim(...args)
          }
        })
      })
      yield* app.write("a")
      yield* until(state(app, "BLOCKED"), "it is down")
      yield* app.journal.cancel((yield* app.deliveries).map(({ id }) => id))
      const before = claims
      yield* elapse(Effect.succeed(false), "", { step: 1000, most: 60_000 }).pipe(Effect.exit)
      expect(claims - before).toBeLessThan(10)
      // and wakes for what is new
      yield* app.write("b")
      yield* elapse(
        Effect.sync(() => app.memory.attempts.length > 1),
        "the new one is a probe"
      )
    })
  )
})

it.scoped("two deliveries to one place are never under way at once", () =>
  Effect.gen(function* () {
    let most = 0
    const underWay = new Map<string, number>()
    const app = yield* run({
      routes: [route("all", [inMemory("one", "in", { concurrency: 8 })])],
      memory: {
        before: ({ delivery: { name } }) =>
          Effect.acquireUseRelease(
            Effect.sync(() => underWay.set(name, (underWay.get(name) ?? 0) + 1)),
            () =>
              Effect.zipRight(
                Effect.sync(() => {
                  most = Math.max(most, underWay.get(name) ?? 0)
                }),
                Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 30)))
              ),
            () => Effect.sync(() => underWay.set(name, (underWay.get(name) ?? 0) - 1))
          )
      }
    })
    // new generations of the same path, while the old ones are being sent
    for (const content of ["1", "22", "333", "4444"]) {
      yield* app.write("a", content)
      yield* TestClock.adjust(10)
      yield* breath
    }
    yield* elapse(
      Effect.sync(() => Buffer.from(app.memory.files.get("memory://one/in/a") ?? []).toString() === "4444"),
      "the last is delivered",
      { step: 10 }
    )
    expect(most).toBe(1)
    yield* elapse(
      Effect.map(app.states, (all) => all.every((one) => /^(DELIVERED|SUPERSEDED)/.test(one))),
      "all are concluded",
      { step: 10 }
    )
  })
)

it.scoped("a source that changed while it was sent is sent as it ends up, and no other", () =>
  Effect.gen(function* () {
    const begun = yield* Deferred.make<void>()
    const goOn = yield* Deferred.make<void>()
    const app = yield* run({
      source: { after: { _tag: "Delete" } },
      memory: {
        before: ({ delivery }) =>
          delivery.generation.size === 3
            ? Effect.zipRight(Deferred.succeed(begun, undefined), Deferred.await(goOn))
            : Effect.void
      }
    })
    yield* app.write("a", "old")
    yield* until(Deferred.isDone(begun), "it is begun")
    // no event tells of it
    writeFileSync(join(app.inbox, "a"), "newer")
    yield* Deferred.succeed(goOn, undefined)
    yield* elapse(
      Effect.sync(() => !existsSync(join(app.inbox, "a"))),
      "the new one is delivered and removed",
      {
        step: 10
      }
    )
    expect(Buffer.from(app.memory.files.get("memory://one/in/a") ?? []).toString()).toBe("newer")
    expect(yield* app.states).toEqual(["SUPERSEDED a memory://one/in", "DELIVERED a memory://one/in"])
    expect((yield* app.logs).length).toBe(1)
  })
)

it.scoped("a source that is gone is a dead delivery, and the rest goes on", () =>
  Effect.gen(function* () {
    const app = yield* run({
      memory: {
        before: ({ delivery }) => (delivery.name === "a" ? remove(delivery) : Effect.void)
      }
    })
    yield* app.write("a")
    yield* app.write("b")
    yield* until(state(app, "DEAD"), "it is dead")
    yield* until(
      Effect.sync(() => stored(app).includes("b")),
      "the other is delivered"
    )
    expect((yield* app.logs).find(({ status }) => status === "FAILED")?.reason).toContain("gone")
  })
)

it.scoped("the source is removed only when its last target has it", () =>
  Effect.gen(function* () {
    const goOn = yield* Deferred.make<void>()
    const app = yield* run({
      source: { after: { _tag: "Delete" } },
      routes: [route("all", [inMemory("one"), inMemory("two"), inMemory("three")])],
      memory: { before: ({ delivery }) => (delivery.target.host === "two" ? Deferred.await(goOn) : Effect.void) }
    })
    yield* app.write("a")
    yield* until(
      Effect.map(app.logs, (logs) => logs.length === 2),
      "two have it"
    )
    yield* breath
    expect(app.sources()).toEqual(["a"])
    yield* Deferred.succeed(goOn, undefined)
    yield* until(
      Effect.sync(() => app.sources().length === 0),
      "it is removed"
    )
    expect(app.memory.files.size).toBe(3)
  })
)

it.scoped("what was being sent when the program ended is marked, and each destination asked for it first", () =>
  Effect.gen(function* () {
    const store = yield* makeStore
    const scope = yield* Scope.make()
    const app = yield* run({ store, memory: { before: () => Effect.never } }).pipe(Scope.extend(scope))
    yield* app.write("a")
    yield* until(
      Effect.sync(() => app.memory.attempts.length === 1),
      "it is begun"
    )
    const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
    yield* elapse(
      Effect.sync(() => closing.unsafePoll() !== null),
      "it ends",
      { step: 1000 }
    )
    expect(yield* app.states).toEqual(["SENDING a memory://one/in"])
    // the source of the run before went with it
    const next = yield* run({ store })
    yield* until(state(next, "DEAD"), "it is tried, and its source is not there")
    expect(next.memory.attempts[0]?.delivery).toMatchObject({ interrupted: true, attempts: 0 })
  })
)

it.scoped("a stop lets what is under way finish, and begins nothing new", () =>
  Effect.gen(function* () {
    const goOn = yield* Deferred.make<void>()
    const scope = yield* Scope.make()
    const app = yield* run({ memory: { before: () => Deferred.await(goOn) } }).pipe(Scope.extend(scope))
    for (const name of ["a", "b", "c", "d", "e"]) yield* app.write(name)
    yield* until(
      Effect.sync(() => app.memory.attempts.length === 2),
      "two are under way"
    )
    const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
    yield* TestClock.adjust(2000)
    expect(closing.unsafePoll()).toBeNull()
    yield* Deferred.succeed(goOn, undefined)
    yield* elapse(
      Effect.sync(() => closing.unsafePoll() !== null),
      "it ends",
      { step: 50, most: 9000 }
    )
    yield* Fiber.join(closing)
    expect((yield* app.states).map((one) => one.split(" ")[0]).sort()).toEqual([
      "DELIVERED",
      "DELIVERED",
      "PENDING",
      "PENDING",
      "PENDING"
    ])
    expect((yield* app.logs).length).toBe(2)
  })
)

describe.concurrent("a journal that can't be written", () => {
  const failing = (what: "conclude" | "claim" | "release" | "disposed" | "unblock") => {
    const control = { broken: true, refused: 0 }
    const refuse = Effect.suspend(() => {
      control.refused += 1
      return Effect.fail(new JournalError({ reason: "the disk is full", cause }))
    })
    const guard = <A>(name: typeof what, effect: Effect.Effect<A, JournalError>) =>
      Effect.suspend(() => (what === name && control.broken ? refuse : effect))
    const options: Options = {
      journal: (journal) => ({
        ...journal,
        conclude: (batch) => guard("conclude", journal.conclude(batch)),
        claim: (...args) => guard("claim", journal.claim(...args)),
        release: (ids) => guard("release", journal.release(ids)),
        disposed: (batch) => guard("disposed", journal.disposed(batch)),
        unblock: (name) => guard("unblock", journal.unblock(name))
      })
    }
    return { control, options }
  }

  for (const what of ["conclude", "claim", "disposed"] as const) {
    it.scoped(`is waited for: ${what}`, () =>
      Effect.gen(function* () {
        const { control, options } = failing(what)
        const app = yield* run({ ...options, source: { after: { _tag: "Delete" } } })
        for (const name of ["a", "b", "c"]) yield* app.write(name)
        yield* elapse(
          Effect.sync(() => control.refused > 2),
          "it is refused some times",
          { step: 500 }
        )
        control.broken = false
        yield* elapse(
          Effect.flatMap(app.journal.disposals(10), (left) =>
            Effect.map(app.logs, (logs) => logs.length === 3 && left.length === 0 && app.sources().length === 0)
          ),
          "all is delivered, logged and disposed of",
          { step: 500, most: 60_000 }
        )
        // each was sent once
        expect(app.memory.attempts.length).toBe(3)
      })
    )
  }

  for (const what of ["release", "unblock"] as const) {
    it.scoped(`loses nothing of a lane that is down: ${what}`, () =>
      Effect.gen(function* () {
        const { control, options } = failing(what)
        let isDown = true
        const goOn = yield* Deferred.make<void>()
        const app = yield* run({
          ...options,
          routes: [route("all", [inMemory("one", "in", { concurrency: 1 })])],
          memory: {
            before: () =>
              Effect.zipRight(
                Deferred.await(goOn),
                Effect.suspend(() => (isDown ? laneDown : Effect.void))
              )
          }
        })
        for (const name of ["a", "b", "c", "d"]) yield* app.write(name)
        yield* until(
          Effect.map(lane(app), (status) => status?.queued === 3),
          "the others are in the queue"
        )
        yield* Deferred.succeed(goOn, undefined)
        yield* elapse(
          Effect.map(lane(app), (status) => status?.health === "down"),
          "it is down"
        )
        if (what === "release")
          yield* elapse(
            Effect.sync(() => control.refused > 1),
            "it is refused",
            { step: 1000 }
          )
        isDown = false
        if (what === "unblock")
          yield* elapse(
            Effect.sync(() => control.refused > 0),
            "it is refused",
            { step: 1000 }
          )
        control.broken = false
        yield* elapse(
          Effect.sync(() => app.memory.files.size === 4),
          "all is delivered",
          { step: 1000 }
        )
      })
    )
  }
})

it.scoped("a scheme that nobody serves waits, and is said to be down", () =>
  Effect.gen(function* () {
    const app = yield* run({
      routes: [route("all", [{ ...inMemory("one"), scheme: "gopher", lane: "gopher://one", url: "gopher://one/in" }])]
    })
    yield* app.write("a")
    yield* until(
      Effect.map(lane(app, "gopher://one"), (status) => status?.health === "down"),
      "it is down"
    )
    expect((yield* lane(app, "gopher://one"))?.reason).toContain("gopher")
  })
)

const failing = Option.match({ onNone: () => Effect.void, onSome: (error: DeliveryError) => Effect.fail(error) })

const remove = (delivery: Delivery) =>
  Effect.sync(() => rmSync(join(delivery.generation.source, delivery.generation.path), { force: true }))

const raise = (message: string): never => {
  throw new Error(message)
}
