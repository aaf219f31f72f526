/** What becomes of source files, in the running program. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { PermanentError } from "../../src/domain/DeliveryError.ts"
import * as Process from "../cli/process.ts"
import { elapse, inMemory, makeStore, route, start, until } from "../TestApp.ts"

const list = (directory: string) => (existsSync(directory) ? readdirSync(directory).sort() : [])

describe("a file that is dead", () => {
  it.scoped("is moved with its marker, is sent from there when it is retried, and archived then", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const store = yield* makeStore
      let refuses = true
      const app = yield* start({
        directory,
        store,
        source: {
          settle: 0,
          marker: "{name}.done",
          after: { _tag: "Archive", template: `${directory}/done/{relpath}` },
          onDead: { _tag: "Move", template: `${directory}/dead/{source}/{stem}-{size}.{ext}` }
        },
        routes: [route("all", [inMemory("one"), inMemory("two")])],
        memory: {
          before: ({ delivery }) =>
            refuses && delivery.target.host === "two"
              ? new PermanentError({ reason: "it is refused", cause: Option.none() })
              : Effect.void
        }
      })
      yield* app.write("a.txt", "hello")
      yield* app.write("a.txt.done", "")
      const dead = join(directory, "dead", "inbox")
      yield* elapse(
        Effect.sync(() => list(dead).length === 2),
        "it is moved"
      )
      expect(list(dead)).toEqual(["a-5.txt", "a.txt.done"])
      expect(app.sources()).toEqual([])
      yield* until(
        Effect.map(app.deliveries, (all) => all.every(({ generation }) => generation.source === dead)),
        "the journal knows it"
      )

      refuses = false
      const replayed = yield* app.journal.replay("all")
      expect(replayed).toHaveLength(1)
      yield* app.dispatcher.notify(replayed.map(({ lane }) => lane))
      yield* elapse(
        Effect.sync(() => list(join(directory, "done")).length === 2),
        "it is archived"
      )
      expect(list(join(directory, "done"))).toEqual(["a.txt", "a.txt.done"])
      expect(readFileSync(join(directory, "done", "a.txt"), "utf8")).toBe("hello")
      expect(list(dead)).toEqual([])
      expect(Array.from(app.memory.files.values(), (content) => Buffer.from(content).toString()).sort()).toEqual([
        "hello",
        "hello"
      ])
    })
  )

  it.scoped("is moved, and not deleted, where another target has it", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const app = yield* start({
        directory,
        source: {
          settle: 0,
          after: { _tag: "Delete" },
          onDead: { _tag: "Move", template: `${directory}/dead/{name}` }
        },
        routes: [route("all", [inMemory("one"), inMemory("two")])],
        memory: {
          before: ({ delivery }) =>
            delivery.target.host === "two" && delivery.name.startsWith("bad")
              ? new PermanentError({ reason: "it is refused", cause: Option.none() })
              : Effect.void
        }
      })
      yield* app.write("bad")
      yield* app.write("good")
      yield* elapse(
        Effect.sync(() => app.sources().length === 0),
        "both are gone"
      )
      yield* until(
        Effect.sync(() => list(join(directory, "dead")).length === 1),
        "one is moved"
      )
      expect(list(join(directory, "dead"))).toEqual(["bad"])
    })
  )
})
