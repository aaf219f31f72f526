import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Stream, TestClock, type Scope } from "effect"
import * as Fs from "node:fs"
import { join } from "node:path"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { FilesError } from "../../src/files/Files.ts"
import { start } from "./harness.ts"

const test = (name: string, run: Effect.Effect<void, FilesError, Scope.Scope>) => it.scoped(name, () => run)

test(
  "accepts what is there at the start once it has been quiet, and tells the lanes",
  Effect.gen(function* () {
    const { intake, names, signals, status } = yield* start({}, ["a.txt", "deep/b.txt"])
    const settled = yield* Effect.fork(intake.settled)
    expect((yield* status).settling).toBe(2)
    yield* TestClock.adjust(990)
    expect(names()).toEqual([])
    expect(settled.unsafePoll()).toBeNull()
    yield* TestClock.adjust(20)
    expect(names()).toEqual(["a.txt", "deep/b.txt"])
    yield* Fiber.join(settled)
    expect(yield* status).toMatchObject({ health: "events", reason: null, accepted: 2, unmatched: 0, settling: 0 })
    expect(yield* Stream.runHead(signals.lanes)).toEqual(Option.some(["file"]))
  })
)

test(
  "accepts what a scan finds and no event told of",
  Effect.gen(function* () {
    const { names, watcher, write } = yield* start({ settle: 0 })
    yield* write("a.txt", "a")
    yield* TestClock.adjust(100)
    expect(names()).toEqual([])
    yield* watcher.push("inbox", { _tag: "Scan", reason: "test" })
    yield* TestClock.adjust(100)
    expect(names()).toEqual(["a.txt"])
  })
)

test(
  "admits many in batches",
  Effect.gen(function* () {
    const many = Array.from({ length: 1200 }, (_, index) => `file-${index}.txt`)
    const { journal, names, status } = yield* start({}, many)
    expect((yield* status).settling).toBe(1200)
    yield* TestClock.adjust(1100)
    expect(names().length).toBe(1200)
    // in batches, one transaction each
    expect(journal.batches).toEqual([500, 500, 200])
  })
)

test(
  "accepts a file that arrives when its quiet time is over, not later and not before",
  Effect.gen(function* () {
    const { hint, names, write } = yield* start()
    yield* write("a.txt", "a")
    yield* hint("a.txt")
    yield* TestClock.adjust(985)
    expect(names()).toEqual([])
    yield* TestClock.adjust(6)
    expect(names()).toEqual(["a.txt"])
  })
)

test(
  "waits for a writer that is slow, even where no event tells of it",
  Effect.gen(function* () {
    const { hint, journal, names, write } = yield* start()
    yield* write("a.txt", "1")
    yield* hint("a.txt")
    for (const content of ["12", "123", "1234"]) {
      yield* TestClock.adjust(900)
      yield* write("a.txt", content)
    }
    expect(names()).toEqual([])
    yield* TestClock.adjust(2000)
    expect(journal.admitted.map(({ file }) => file.size)).toEqual([4])
  })
)

test(
  "accepts a file again when it was replaced, and not when it was only looked at",
  Effect.gen(function* () {
    const { hint, journal, names, write } = yield* start()
    yield* write("a.txt", "1")
    yield* hint("a.txt")
    yield* TestClock.adjust(1000)
    yield* hint("a.txt")
    yield* TestClock.adjust(5000)
    expect(names()).toEqual(["a.txt"])
    yield* write("a.txt", "22")
    yield* hint("a.txt")
    yield* TestClock.adjust(1000)
    expect(journal.admitted.map(({ file }) => file.size)).toEqual([1, 2])
  })
)

test(
  "forgets a file that vanishes before it was quiet",
  Effect.gen(function* () {
    const { hint, intake, names, path, status, write } = yield* start()
    yield* write("a.txt", "1")
    yield* write("b.txt", "1")
    yield* hint("a.txt")
    yield* hint("b.txt")
    Fs.rmSync(join(path, "a.txt"))
    yield* hint("a.txt")
    expect((yield* status).settling).toBe(1)
    Fs.rmSync(join(path, "b.txt"))
    yield* TestClock.adjust(1000)
    expect(names()).toEqual([])
    yield* intake.settled
  })
)

test(
  "takes a file at its first look where no quiet time is asked for",
  Effect.gen(function* () {
    const { hint, journal, names, path, write } = yield* start({ settle: 0 })
    yield* write("a.txt", "1")
    // written to before each look: it is never seen twice the same
    journal.beforeLook = () => Fs.appendFileSync(join(path, "a.txt"), "more")
    yield* hint("a.txt")
    expect(names()).toEqual(["a.txt"])
  })
)

test(
  "takes only what the source's globs let in, and never our own temp files",
  Effect.gen(function* () {
    const { names, watcher, write } = yield* start({ settle: 0, include: ["**/*.txt", ".fd*"] })
    for (const name of ["a.txt", "b.tmp", "sub/c.tmp", "d.pdf", ".fd-abcdefghij0123456789.part"]) {
      yield* write(name, "x")
    }
    yield* watcher.push("inbox", { _tag: "Scan", reason: "test" })
    yield* TestClock.adjust(100)
    expect(names()).toEqual(["a.txt"])
  })
)

test(
  "remembers what no route wants",
  Effect.gen(function* () {
    const { hint, journal, status, write } = yield* start({ settle: 0 })
    yield* write("a.pdf", "x")
    yield* hint("a.pdf")
    expect(journal.admitted.map(({ placements }) => placements.length)).toEqual([0])
    yield* hint("a.pdf")
    expect(yield* status).toMatchObject({ accepted: 0, unmatched: 1 })
  })
)

test(
  "scans again and again, and asks no more of the journal than what it knows",
  Effect.gen(function* () {
    const { journal, names, write } = yield* start({ rescan: 30_000 })
    yield* write("a.txt", "1")
    expect(journal.scans).toBe(1)
    // a tenth more than `rescan` at most, and a tick; and a tenth less at least
    yield* TestClock.adjust(26_000)
    expect(journal.scans).toBe(1)
    yield* TestClock.adjust(10_000)
    expect(journal.scans).toBe(2)
    yield* TestClock.adjust(34_000)
    expect(journal.scans).toBeGreaterThan(2)
    expect(names()).toEqual(["a.txt"])
    expect(journal.asked).toBe(journal.scans - 1)
  })
)

test(
  "makes one scan of many requests",
  Effect.gen(function* () {
    const { journal, watcher } = yield* start()
    for (let index = 0; index < 100; index += 1) {
      yield* watcher.push("inbox", { _tag: "Scan", reason: "test" })
      yield* TestClock.adjust(1)
    }
    yield* TestClock.adjust(100)
    expect(journal.scans).toBeGreaterThan(1)
    expect(journal.scans).toBeLessThan(6)
  })
)

test(
  "polls where events can't be had, and tries them again",
  Effect.gen(function* () {
    const { journal, status, watcher, write, names } = yield* start({ settle: 0, rescan: 20_000 })
    yield* watcher.refuse("too many watches")
    yield* watcher.push("inbox", { _tag: "Unavailable", reason: "too many watches" })
    yield* TestClock.adjust(100)
    expect(yield* status).toMatchObject({ health: "polling", reason: "too many watches" })
    const before = journal.scans
    yield* write("a.txt", "x")
    yield* TestClock.adjust(10_000)
    expect(journal.scans - before).toBeGreaterThanOrEqual(4)
    expect(names()).toEqual(["a.txt"])
    yield* watcher.refuse(null)
    yield* TestClock.adjust(24_000)
    expect(yield* status).toMatchObject({ health: "events", reason: null })
  })
)

test(
  "polls without a watcher where the config says so",
  Effect.gen(function* () {
    const { names, status, watcher, write } = yield* start({ settle: 0, watch: "poll" })
    expect(yield* watcher.starts("inbox")).toBe(0)
    yield* write("a.txt", "x")
    yield* TestClock.adjust(2100)
    expect(names()).toEqual(["a.txt"])
    expect((yield* status).health).toBe("polling")
  })
)

test(
  "notices a source that is deleted, and one that is made again, and watches the new one",
  Effect.gen(function* () {
    const { intake, names, path, status, watcher, write } = yield* start({ settle: 0 })
    expect(yield* watcher.starts("inbox")).toBe(1)
    Fs.rmSync(path, { recursive: true })
    yield* TestClock.adjust(2100)
    expect(yield* status).toMatchObject({ health: "missing" })
    expect((yield* status).reason).toContain(path)
    yield* intake.settled
    yield* write("a.txt", "x")
    yield* TestClock.adjust(2100)
    expect(yield* status).toMatchObject({ health: "events", reason: null })
    expect(names()).toEqual(["a.txt"])
    expect(yield* watcher.starts("inbox")).toBe(2)

    // so fast that it was never seen to be missing
    Fs.rmSync(path, { recursive: true })
    yield* write("b.txt", "x")
    yield* TestClock.adjust(2100)
    expect(names()).toEqual(["a.txt", "b.txt"])
    expect(yield* watcher.starts("inbox")).toBe(3)
  })
)

test(
  "forgets nothing while the journal can't be written",
  Effect.gen(function* () {
    const { hint, intake, journal, names, watcher, write } = yield* start({ settle: 0 })
    journal.isFull = true
    yield* write("a.txt", "x")
    yield* hint("a.txt")
    yield* write("b.txt", "x")
    yield* watcher.push("inbox", { _tag: "Scan", reason: "test" })
    yield* TestClock.adjust(60_000)
    expect(names()).toEqual([])
    const settled = yield* Effect.fork(intake.settled)
    journal.isFull = false
    yield* TestClock.adjust(60_000)
    expect(new Set(names())).toEqual(new Set(["a.txt", "b.txt"]))
    yield* Fiber.join(settled)
  })
)

test(
  "looks again at a file that changed while it was sent",
  Effect.gen(function* () {
    const { intake, names, path, signals, write } = yield* start({ settle: 0 })
    yield* write("a.txt", "x")
    yield* signals.changed(path, RelPath.make("a.txt"))
    yield* TestClock.adjust(10)
    expect(names()).toEqual(["a.txt"])
    yield* write("b.txt", "x")
    yield* intake.hint(path, RelPath.make("b.txt"))
    yield* TestClock.adjust(10)
    expect(names()).toEqual(["a.txt", "b.txt"])
  })
)

test(
  "ends with the failure that ended the pipeline",
  Effect.gen(function* () {
    const { hint, intake, journal, write } = yield* start({ settle: 0 })
    const ended = yield* Deferred.make<never, never>()
    yield* Effect.fork(Effect.intoDeferred(intake.join, ended))
    journal.beforeLook = () => {
      throw new Error("a bug")
    }
    yield* write("a.txt", "x")
    yield* hint("a.txt")
    const exit = yield* Effect.exit(Deferred.await(ended))
    expect(Exit.isFailure(exit) && String(exit.cause)).toContain("a bug")
  })
)
