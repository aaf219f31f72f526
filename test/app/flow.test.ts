import { expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Stream } from "effect"
import { existsSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import * as Process from "../cli/process.ts"
import { breath, elapse, folder, inMemory, makeStore, route, start, until } from "../TestApp.ts"

const text = (bytes: Uint8Array | undefined) => (bytes === undefined ? undefined : Buffer.from(bytes).toString())

it.scoped("a file arrives, settles, goes to each folder that wants it, is logged, and removed", () =>
  Effect.gen(function* () {
    const directory = yield* Process.directory
    const app = yield* start({
      directory,
      source: { after: { _tag: "Delete" } },
      routes: [
        route("texts", [inMemory("one"), inMemory("two", "x")], ["txt"]),
        route("everything", [folder(join(directory, "all"))]),
        route("images", [inMemory("three")], ["png"])
      ]
    })
    const events = yield* Effect.fork(Stream.runCollect(Stream.take(app.dispatcher.events, 3)))
    yield* app.write("sub/a.txt", "hello")
    yield* elapse(
      Effect.map(app.states, (states) => states.length > 0),
      "it is accepted",
      { step: 10 }
    )
    yield* until(
      Effect.sync(() => !existsSync(join(app.inbox, "sub", "a.txt"))),
      "the source is removed"
    )
    expect(text(app.memory.files.get("memory://one/in/sub/a.txt"))).toBe("hello")
    expect(text(app.memory.files.get("memory://two/x/sub/a.txt"))).toBe("hello")
    expect(readFileSync(join(directory, "all", "sub", "a.txt"), "utf8")).toBe("hello")
    expect(yield* app.states).toEqual([
      "DELIVERED sub/a.txt memory://one/in",
      "DELIVERED sub/a.txt memory://two/x",
      `DELIVERED sub/a.txt file://${directory}/all`
    ])
    const logs = yield* app.logs
    expect(logs.map((entry) => [entry.route, entry.protocol, entry.status]).sort()).toEqual([
      ["everything", "file", "SUCCEEDED"],
      ["texts", "memory", "SUCCEEDED"],
      ["texts", "memory", "SUCCEEDED"]
    ])
    expect(logs[0]).toMatchObject({
      filename: "a.txt",
      source: app.inbox,
      extension: "txt",
      size: "5.00 B",
      byte_size: 5,
      reason: null,
      attempts: 1
    })
    expect(Array.from(yield* Fiber.join(events), ({ state }) => state)).toEqual(Array(3).fill("DELIVERED"))
    expect(yield* app.dispatcher.settled).toEqual([])
    expect(yield* app.journal.disposals(10)).toEqual([])
  })
)

it.scoped("a file waits for its quiet time", () =>
  Effect.gen(function* () {
    const app = yield* start()
    yield* app.write("a.txt", "1")
    const waited = yield* elapse(
      Effect.sync(() => app.memory.files.size > 0),
      "it is delivered",
      { step: 50 }
    )
    expect(waited).toBeGreaterThanOrEqual(950)
    expect(waited).toBeLessThan(1500)
    // kept, and known
    expect(app.sources()).toEqual(["a.txt"])
    yield* app.watcher.push("inbox", { _tag: "Scan", reason: "test" })
    yield* elapse(Effect.succeed(false), "time passes", { step: 500, most: 3000 }).pipe(Effect.exit)
    expect(app.memory.attempts.length).toBe(1)
    // until it changes
    yield* app.write("a.txt", "22")
    yield* elapse(
      Effect.sync(() => text(app.memory.files.get("memory://one/in/a.txt")) === "22"),
      "the new version is delivered"
    )
    expect((yield* app.logs).length).toBe(2)
  })
)

it.scoped("a file that no folder wants stays, and costs nothing more", () =>
  Effect.gen(function* () {
    const app = yield* start({ routes: [route("texts", [inMemory("one")], ["txt"])] })
    yield* app.write("a.png")
    yield* app.write("b.txt")
    yield* elapse(
      Effect.sync(() => app.memory.files.size === 1),
      "the other is delivered"
    )
    expect(app.sources()).toEqual(["a.png", "b.txt"])
    expect((yield* app.intake.status)[0]).toMatchObject({ accepted: 1, unmatched: 1 })
  })
)

it.scoped("a source is archived under its template", () =>
  Effect.gen(function* () {
    const directory = yield* Process.directory
    const app = yield* start({
      directory,
      source: { after: { _tag: "Archive", template: `${directory}/done/{relpath}` } }
    })
    yield* app.write("sub/a.txt")
    yield* elapse(
      Effect.sync(() => existsSync(join(directory, "done", "sub", "a.txt"))),
      "it is archived"
    )
    expect(existsSync(join(app.inbox, "sub", "a.txt"))).toBe(false)
  })
)

it.scoped("the only target of a file to be deleted gets the file itself", () =>
  Effect.gen(function* () {
    const directory = yield* Process.directory
    const app = yield* start({
      directory,
      source: { after: { _tag: "Delete" }, settle: 0 },
      routes: [route("all", [folder(join(directory, "out"))])]
    })
    yield* app.write("a.txt")
    const { ino } = statSync(join(app.inbox, "a.txt"))
    yield* elapse(
      Effect.sync(() => existsSync(join(directory, "out", "a.txt"))),
      "it is delivered",
      { step: 10 }
    )
    expect(statSync(join(directory, "out", "a.txt")).ino).toBe(ino)
    yield* until(
      Effect.map(app.logs, (logs) => logs.length === 1),
      "it is logged"
    )
    yield* app.dispatcher.settled
    expect(readdirSync(join(directory, "out"))).toEqual(["a.txt"])
    expect((yield* app.logs)[0]).toMatchObject({ verified: "inode", status: "SUCCEEDED" })
  })
)

it.scoped("what was accepted is delivered by the next run, although its source says no more of it", () =>
  Effect.gen(function* () {
    const store = yield* makeStore
    const directory = yield* Process.directory
    const scope = yield* Scope.make()
    const blocked = yield* start({
      store,
      directory,
      source: { settle: 0 },
      memory: { before: () => Effect.never }
    }).pipe(Scope.extend(scope))
    for (const name of ["a.txt", "b.txt", "c.txt"]) yield* blocked.write(name)
    yield* elapse(
      Effect.sync(() => blocked.memory.attempts.length === 2),
      "they are being sent",
      { step: 10 }
    )
    const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
    yield* elapse(
      Effect.sync(() => closing.unsafePoll() !== null),
      "it ends after its deadline",
      { step: 1000 }
    )
    const app = yield* start({ store, directory, source: { settle: 0 } })
    yield* elapse(
      Effect.sync(() => app.memory.files.size === 3),
      "all is delivered",
      { step: 10 }
    )
    yield* until(
      Effect.map(app.logs, (logs) => logs.length === 3),
      "all is logged"
    )
  })
)

it.scoped("many files, and memory for a few", () =>
  Effect.gen(function* () {
    const app = yield* start({ source: { settle: 0 }, memory: { before: () => breath } })
    const names = Array.from({ length: 300 }, (_, index) => `f${index}.txt`)
    for (const name of names) yield* app.write(name)
    let most = 0
    yield* elapse(
      Effect.gen(function* () {
        for (const lane of yield* app.dispatcher.status) most = Math.max(most, lane.queued + lane.sending.length)
        return app.memory.files.size === names.length
      }),
      "all are delivered",
      { step: 10, most: 4000 }
    )
    expect(most).toBeGreaterThan(0)
    expect(most).toBeLessThanOrEqual(140)
    // the end of the scope waits for what is under way, by a clock that stands still then
    yield* until(
      Effect.map(app.logs, (logs) => logs.length === names.length),
      "all are logged"
    )
    rmSync(app.inbox, { recursive: true })
  })
)
