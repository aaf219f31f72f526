import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope, SubscriptionRef, TestClock } from "effect"
import { LaneDownError, TransientError } from "../../src/domain/DeliveryError.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Process from "../cli/process.ts"
import { breath, elapse, inMemory, makeStore, route, start, until } from "../TestApp.ts"

type App = Effect.Effect.Success<ReturnType<typeof start>>

const is = (app: App, ...states: ReadonlyArray<string>) =>
  Effect.map(app.states, (all) => JSON.stringify(all) === JSON.stringify(states))

const accepted = (app: App, count: number) => Effect.map(app.deliveries, (all) => all.length === count)

/** For long enough that what could go on would have gone on. */
const passes = (milliseconds: number) =>
  Effect.repeatN(Effect.zipRight(TestClock.adjust(milliseconds / 20), breath), 19)
const aWhile = passes(10_000)

const lane = (app: App, name = "memory://one") =>
  Effect.map(app.dispatcher.status, (all) => all.find((one) => one.lane === name))

describe.concurrent("a lane that is paused", () => {
  it.scoped("takes nothing new, and all that waits once it is resumed", () =>
    Effect.gen(function* () {
      const app = yield* start()
      expect(yield* app.dispatcher.pause("memory://one")).toBe(true)
      expect(yield* app.dispatcher.pause("memory://one")).toBe(false)
      for (const name of ["a", "b", "c"]) yield* app.write(name)
      yield* elapse(accepted(app, 3), "accepted")
      yield* aWhile
      expect((yield* app.states).toSorted()).toEqual([
        "PENDING a memory://one/in",
        "PENDING b memory://one/in",
        "PENDING c memory://one/in"
      ])
      expect(yield* lane(app)).toMatchObject({ health: "up", paused: expect.any(Number), queued: 0 })
      expect(yield* app.dispatcher.resume("memory://one")).toBe(true)
      expect(yield* app.dispatcher.resume("memory://one")).toBe(false)
      yield* elapse(
        Effect.map(app.states, (all) => all.every((state) => state.startsWith("DELIVERED"))),
        "delivered"
      )
      expect(yield* lane(app)).toMatchObject({ paused: null, delivered: 3, bytes: 3 * "content of a".length })
    })
  )

  it.scoped("finishes what is under way, gives back what is not, and others go on", () =>
    Effect.gen(function* () {
      const gate = yield* Effect.makeLatch(false)
      const begun: Array<string> = []
      const app = yield* start({
        routes: [route("all", [inMemory("one", "in", { concurrency: 1 }), inMemory("two")])],
        memory: {
          before: (task) =>
            Effect.suspend(() => {
              if (task.delivery.target.host !== "one") return Effect.void
              begun.push(task.delivery.name)
              return gate.await
            })
        }
      })
      for (const name of ["a", "b", "c"]) yield* app.write(name)
      yield* elapse(
        Effect.sync(() => begun.length === 1),
        "the first is under way"
      )
      yield* app.dispatcher.pause("memory://one")
      yield* gate.open
      yield* elapse(
        Effect.map(app.states, (all) => all.filter((state) => state.startsWith("DELIVERED")).length === 4),
        "one of the one, and all of the other"
      )
      yield* aWhile
      expect(begun).toHaveLength(1)
      expect((yield* app.states).filter((state) => state.startsWith("PENDING"))).toHaveLength(2)
      yield* app.dispatcher.resume("memory://one")
      yield* elapse(
        Effect.map(app.states, (all) => all.every((state) => state.startsWith("DELIVERED"))),
        "all"
      )
      expect(begun).toHaveLength(3)
    })
  )

  it.scoped("does not probe, even when the config changes, and stays what it was", () =>
    Effect.gen(function* () {
      let tries = 0
      const app = yield* start({
        memory: {
          before: () =>
            Effect.suspend(() => {
              tries += 1
              return new LaneDownError({ reason: "refused", cause: Option.none() })
            })
        }
      })
      yield* app.write("a")
      yield* elapse(
        Effect.map(lane(app), (one) => one?.health === "down"),
        "down"
      )
      yield* app.dispatcher.pause("memory://one")
      yield* aWhile
      const before = tries
      yield* passes(120_000)
      yield* SubscriptionRef.update(app.settings, (settings) => ({ ...settings, routes: [...settings.routes] }))
      yield* aWhile
      expect(tries).toBe(before)
      expect(yield* lane(app)).toMatchObject({
        health: "down",
        reason: "refused",
        lastError: { file: "a", reason: "refused", state: "BLOCKED" }
      })
      yield* app.dispatcher.resume("memory://one")
      yield* elapse(
        Effect.sync(() => tries > before),
        "a probe"
      )
    })
  )

  it.scoped("is so after a restart, and nobody waits for it", () =>
    Effect.gen(function* () {
      const store = yield* makeStore
      const directory = yield* Process.directory
      const scope = yield* Scope.make()
      const first = yield* start({ store, directory }).pipe(Scope.extend(scope))
      yield* first.dispatcher.pause("memory://one")
      yield* first.write("a")
      yield* elapse(accepted(first, 1), "accepted")
      yield* Scope.close(scope, Exit.void)
      const app = yield* start({ store, directory })
      expect(Array.from((yield* app.dispatcher.paused).keys())).toEqual(["memory://one"])
      const settled = yield* Effect.fork(app.dispatcher.settled)
      yield* elapse(Effect.map(Fiber.poll(settled), Option.isSome), "settled")
      expect(yield* Fiber.join(settled)).toMatchObject([{ lane: "memory://one", health: "up" }])
      expect(yield* is(app, "PENDING a memory://one/in")).toBe(true)
      yield* app.dispatcher.resume("memory://one")
      yield* elapse(is(app, "DELIVERED a memory://one/in"), "delivered")
    })
  )

  it.scoped("tries nothing again that is due meanwhile", () =>
    Effect.gen(function* () {
      let tries = 0
      const app = yield* start({
        memory: {
          before: () =>
            Effect.suspend(() => {
              tries += 1
              return tries === 1 ? new TransientError({ reason: "later", cause: Option.none() }) : Effect.void
            })
        }
      })
      yield* app.write("a")
      yield* elapse(is(app, "RETRY_WAIT a memory://one/in"), "tried once")
      yield* app.dispatcher.pause("memory://one")
      yield* passes(120_000)
      expect(tries).toBe(1)
      yield* app.dispatcher.resume("memory://one")
      yield* elapse(is(app, "DELIVERED a memory://one/in"), "delivered")
    })
  )
})

describe.concurrent("a source that is paused", () => {
  it.scoped("accepts nothing, and after that finds what came; what was accepted goes on", () =>
    Effect.gen(function* () {
      const app = yield* start()
      yield* app.dispatcher.pause("memory://one")
      yield* app.write("before")
      yield* elapse(accepted(app, 1), "accepted")
      yield* app.write("settling")
      const pausing = yield* Effect.fork(app.intake.pause("inbox"))
      yield* elapse(Effect.map(Fiber.poll(pausing), Option.isSome), "paused", { most: 5_000 })
      expect(yield* Fiber.join(pausing)).toBe(true)
      expect(yield* app.intake.pause("inbox")).toBe(false)
      yield* app.write("while")
      yield* app.intake.hint(app.inbox, RelPath.make("while"))
      yield* app.dispatcher.resume("memory://one")
      yield* elapse(is(app, "DELIVERED before memory://one/in"), "what was accepted goes on")
      yield* aWhile
      expect(yield* accepted(app, 1)).toBe(true)
      expect(yield* app.intake.status).toMatchObject([
        { name: "inbox", paused: expect.any(Number), settling: 0, waiting: 0, accepted: 1 }
      ])
      // nobody waits for it
      yield* app.intake.settled
      expect(yield* app.intake.resume("inbox")).toBe(true)
      expect(yield* app.intake.resume("inbox")).toBe(false)
      yield* elapse(
        Effect.map(app.states, (all) => all.filter((state) => state.startsWith("DELIVERED")).length === 3),
        "what came meanwhile"
      )
      expect(yield* app.intake.status).toMatchObject([{ paused: null, accepted: 3, missed: 0 }])
    })
  )

  it.scoped("is so after a restart and a change of the config, also where it was gone for a while", () =>
    Effect.gen(function* () {
      const store = yield* makeStore
      const directory = yield* Process.directory
      const scope = yield* Scope.make()
      const first = yield* start({ store, directory }).pipe(Scope.extend(scope))
      yield* first.intake.pause("inbox")
      yield* first.write("a")
      yield* Scope.close(scope, Exit.void)
      const app = yield* start({ store, directory })
      yield* aWhile
      const { sources } = yield* SubscriptionRef.get(app.settings)
      // the source is other, then gone, and back
      for (const next of [sources.map((source) => ({ ...source, rescan: 1000 })), [], sources]) {
        yield* SubscriptionRef.update(app.settings, (settings) => ({ ...settings, sources: next }))
        yield* aWhile
        expect((yield* app.intake.status).map(({ paused }) => paused !== null)).toEqual(next.map(() => true))
      }
      expect(yield* app.states).toEqual([])
      yield* app.intake.resume("inbox")
      yield* elapse(is(app, "DELIVERED a memory://one/in"), "delivered")
    })
  )
})

describe.concurrent("flows", () => {
  it.scoped("are counted when they are committed", () =>
    Effect.gen(function* () {
      const app = yield* start({ routes: [route("texts", [inMemory("one"), inMemory("two")])] })
      yield* app.write("a")
      yield* app.write("b")
      yield* elapse(
        Effect.map(app.states, (all) => all.filter((state) => state.startsWith("DELIVERED")).length === 4),
        "delivered"
      )
      const way = { source: app.inbox, route: "texts", delivered: 2, failed: 0, bytes: 2 * "content of a".length }
      yield* until(
        Effect.map(app.dispatcher.flows, ({ concluded }) => concluded === 4),
        "counted"
      )
      expect((yield* app.dispatcher.flows).flows.toSorted((x, y) => (x.lane < y.lane ? -1 : 1))).toEqual([
        { ...way, lane: "memory://one" },
        { ...way, lane: "memory://two" }
      ])
    })
  )
})
