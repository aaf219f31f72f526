import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option } from "effect"
import type { Connection } from "../../src/deliver/Destination.ts"
import * as Reopening from "../../src/deliver/Reopening.ts"
import { PermanentError } from "../../src/domain/DeliveryError.ts"
import { noSecrets, unlimited } from "../../src/domain/Settings.ts"
import { makeSource, makeTask } from "../contracts/destination.ts"
import * as TestApp from "../TestApp.ts"

const cause = Option.none()

it.scoped("a connection that is opened anew ends when nobody uses it any more, and no sooner", () =>
  Effect.gen(function* () {
    const events: Array<string> = []
    const gate = yield* Deferred.make<void>()
    const open = (name: string) =>
      Effect.as(
        Effect.acquireRelease(
          Effect.sync(() => void events.push(`open ${name}`)),
          () => Effect.sync(() => void events.push(`close ${name}`))
        ),
        {
          // each says who it is by how it fails
          deliver: () => Effect.zipRight(Deferred.await(gate), new PermanentError({ reason: name, cause })),
          recover: () => new PermanentError({ reason: name, cause })
        } satisfies Connection
      )
    const { connection, reopen } = yield* Reopening.make(open("first"))
    const { generation } = yield* Effect.flatMap(makeSource, ({ write }) => write("a.txt", "content"))
    const task = makeTask(generation, {
      target: TestApp.inMemory("one"),
      secrets: noSecrets,
      bandwidth: unlimited,
      rename: "{relpath}"
    })
    const asked = Effect.map(Effect.flip(connection.recover(task)), ({ reason }) => reason)

    const underWay = yield* Effect.fork(Effect.flip(connection.deliver(task)))
    yield* Effect.yieldNow()
    expect(yield* asked).toBe("first")
    yield* reopen(open("second"))
    expect(yield* asked).toBe("second")
    expect(events).toEqual(["open first", "open second"])
    yield* Deferred.succeed(gate, undefined)
    expect((yield* Fiber.join(underWay)).reason).toBe("first")
    expect(events).toEqual(["open first", "open second", "close first"])
    yield* reopen(open("third"))
    expect(events.slice(3)).toEqual(["open third", "close second"])
    expect("discard" in connection || "batch" in connection || "probe" in connection).toBe(false)
  })
)
