/**
 * What a lane makes of a file that is prepared before it is sent.
 */
import { expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { Task } from "../../src/deliver/Destination.ts"
import { LaneDownError, PermanentError } from "../../src/domain/DeliveryError.ts"
import * as TestApp from "../TestApp.ts"

const cause = Option.none()
const routes = [TestApp.route("all", [TestApp.inMemory("one", "in", { timeout: 6000 })])]

it.scoped("preparing takes as long as it takes, and no longer than it goes on", () =>
  Effect.gen(function* () {
    let attempts = 0
    const app = yield* TestApp.start({
      routes,
      memory: {
        before: ({ preparing }: Task) =>
          Effect.gen(function* () {
            attempts += 1
            for (let step = 0; step < 3; step++) {
              preparing?.beat()
              yield* Effect.sleep("9 seconds")
            }
            // the first one hangs
            if (attempts === 1) return yield* Effect.never
            preparing?.done(5)
          })
      }
    })
    yield* app.write("a.txt")
    yield* TestApp.elapse(
      Effect.map(app.deliveries, ([one]) => one?.state === "RETRY_WAIT"),
      "given up",
      { step: 1000 }
    )
    expect((yield* app.deliveries)[0]?.reason).toBe(
      "No progress for 6 s while a.txt was prepared for memory://one/in/a.txt: given up for now"
    )
    yield* TestApp.elapse(
      Effect.map(app.logs, (logs) => logs.length === 1),
      "delivered",
      { step: 1000 }
    )
    expect(attempts).toBe(2)
  })
)

it.scoped("what goes wrong before a destination is asked is no news of one that is down", () =>
  Effect.gen(function* () {
    const app = yield* TestApp.start({
      routes,
      memory: {
        before: ({ delivery, preparing }: Task) =>
          Effect.gen(function* () {
            if (delivery.name === "a.txt") return yield* new LaneDownError({ reason: "refused", cause })
            preparing?.beat()
            return yield* new PermanentError({ reason: "a bomb", cause })
          })
      }
    })
    yield* app.write("a.txt")
    yield* TestApp.elapse(
      Effect.map(app.dispatcher.status, ([one]) => one?.health === "down"),
      "down"
    )
    yield* app.write("b.txt")
    yield* TestApp.elapse(
      Effect.map(app.logs, (logs) => logs.length === 1),
      "the bomb is dead"
    )
    expect((yield* app.dispatcher.status)[0]).toMatchObject({ health: "down", reason: "refused" })
  })
)
