import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { elapse, inMemory, route, start, until } from "../TestApp.ts"

describe("a name", () => {
  it.scoped("that can't be expressed at the target is dead before anything is sent, and no other file waits", () =>
    Effect.gen(function* () {
      const app = yield* start({
        source: { settle: 0 },
        routes: [
          route("portable", [inMemory("one", "in", { names: "portable" })]),
          route("strict", [inMemory("two", "in")])
        ]
      })
      const long = ":".repeat(100)
      yield* app.write(long)
      yield* app.write("a:b")
      yield* until(
        Effect.map(app.states, (all) => all.length === 4 && all.every((one) => /^(?:DEAD|DELIVERED)/.test(one))),
        "all are concluded"
      )
      expect(Array.from(app.memory.files.keys()).sort()).toEqual([
        "memory://one/in/a%3Ab",
        `memory://two/in/${long}`,
        "memory://two/in/a:b"
      ])
      expect(app.memory.attempts.filter(({ delivery }) => delivery.route === "portable")).toHaveLength(1)
      const logs = yield* app.logs
      expect(logs.filter(({ status }) => status === "FAILED")).toMatchObject([
        {
          filename: long,
          attempts: 1,
          reason: `${long} can't be sent to memory://one/in: as \`names: portable\` writes it, a name in its path has 300 bytes, and 255 is the most there can be. Give it a shorter name`
        }
      ])
    })
  )

  it.scoped("that can't be expressed is no reason for the other files of its batch", () =>
    Effect.gen(function* () {
      const app = yield* start({
        // all of them are there before the first is looked at
        source: { settle: 1000 },
        routes: [route("portable", [inMemory("one", "in", { names: "portable", concurrency: 1 })])],
        memory: { batch: 16 }
      })
      const long = ":".repeat(100)
      for (const name of ["a", "b", long, "c", "d"]) yield* app.write(name)
      yield* elapse(
        Effect.map(app.states, (all) => all.length === 5 && all.every((one) => /^(?:DEAD|DELIVERED)/.test(one))),
        "all are concluded",
        { step: 500, most: 60_000 }
      )
      expect((yield* app.states).toSorted()).toEqual([
        `DEAD ${long} memory://one/in`,
        ...["a", "b", "c", "d"].map((name) => `DELIVERED ${name} memory://one/in`)
      ])
      expect(Array.from(app.memory.files.keys()).toSorted()).toEqual(
        ["a", "b", "c", "d"].map((name) => `memory://one/in/${name}`)
      )
    })
  )
})
