/** A source whose events fall silent, and one whose events only seem to. */
import { expect, it } from "@effect/vitest"
import { Effect, TestClock, type Scope } from "effect"
import * as Fs from "node:fs"
import { join } from "node:path"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { FilesError } from "../../src/files/Files.ts"
import { vi } from "vitest"
import { start } from "./harness.ts"

// what reads files takes real time, which the test's clock waits for in many small steps
vi.setConfig({ testTimeout: 120_000 })

const test = (name: string, run: Effect.Effect<void, FilesError, Scope.Scope>) => it.scoped(name, () => run)

/** Lets the test's clock go on in small steps, for as long as it is not so; what reads files takes real time. */
const until = (condition: Effect.Effect<boolean>, seconds = 400) =>
  Effect.gen(function* () {
    for (let second = 0; second < seconds; second++) {
      if (yield* condition) return
      yield* TestClock.adjust(1000)
    }
    throw new Error("it does not come to be")
  })

const quick = { settle: 0, rescan: 20_000 } as const

test(
  "a watcher that falls silent is not relied on, and is again when its events come back",
  Effect.gen(function* () {
    const { hint, journal, names, status, watcher, write } = yield* start(quick)
    yield* write("a.txt", "x")
    yield* hint("a.txt")
    expect(yield* status).toMatchObject({ health: "events", proved: "events", missed: 0 })
    expect((yield* status).lastEvent).not.toBeNull()

    // no event comes of these any more: a scan finds them
    yield* write("b.txt", "x")
    yield* write("deep/c.txt", "x")
    yield* until(Effect.map(status, ({ health }) => health === "polling"))
    expect(yield* status).toMatchObject({ missed: 2, proved: null })
    expect((yield* status).reason).toMatch(/^(b|deep\/c)\.txt and 1 more were found, and no event had told of it/)
    // it is started again, and the source is looked through often
    expect(yield* watcher.starts("inbox")).toBe(2)
    yield* write("d.txt", "x")
    yield* TestClock.adjust(2100)
    expect(names()).toEqual(["a.txt", "b.txt", "d.txt", "deep/c.txt"])
    yield* until(Effect.map(status, ({ missed }) => missed === 3))
    // though not each time
    expect(yield* watcher.starts("inbox")).toBe(2)

    for (const name of ["e.txt", "f.txt", "deep/g.txt"]) {
      yield* write(name, "x")
      yield* hint(name)
    }
    expect((yield* status).health).toBe("polling")
    yield* until(Effect.map(status, ({ health }) => health === "events"))
    expect(yield* status).toMatchObject({ reason: null, missed: 3, proved: "events" })
    const before = journal.scans
    yield* TestClock.adjust(15_000)
    expect(journal.scans - before).toBeLessThanOrEqual(1)
  })
)

test(
  "a file that was delivered and deleted soon after a scan found it was missed all the same",
  Effect.gen(function* () {
    const { names, path, status, write } = yield* start(quick)
    yield* write("a.txt", "x")
    yield* until(Effect.sync(() => names().length === 1))
    Fs.rmSync(join(path, "a.txt"))
    yield* until(Effect.map(status, ({ missed }) => missed === 1))
  })
)

test(
  "where the config insists on events, a silent watcher is a warning",
  Effect.gen(function* () {
    const { journal, status, write } = yield* start({ ...quick, watch: "events" })
    yield* write("a.txt", "x")
    yield* until(Effect.map(status, ({ reason }) => reason !== null))
    expect(yield* status).toMatchObject({ health: "events", missed: 1, proved: null })
    const before = journal.scans
    yield* TestClock.adjust(15_000)
    expect(journal.scans - before).toBeLessThanOrEqual(2)
  })
)

for (const [what, found] of [
  [true, "A change that was made here"],
  [false, "A change that was made to see whether events come was not told of, either"]
] as const) {
  test(
    `says whether a change is told of that it makes to find out (${what})`,
    Effect.gen(function* () {
      const { status, watcher, write } = yield* start(quick)
      yield* watcher.answer(what)
      yield* write("a.txt", "x")
      yield* until(Effect.map(status, ({ health }) => health === "polling"))
      expect((yield* status).reason).toContain(found)
    })
  )
}

test(
  "proves itself at the start by a change of its own, where the source allows one",
  Effect.gen(function* () {
    const { path, status, watcher, write } = yield* start(quick)
    expect(yield* status).toMatchObject({ health: "events", proved: null })
    yield* watcher.answer(true)
    Fs.rmSync(path, { recursive: true })
    yield* write("a.pdf", "x")
    yield* TestClock.adjust(3000)
    expect(yield* status).toMatchObject({ health: "events", proved: "change" })

    yield* watcher.answer(false)
    Fs.rmSync(path, { recursive: true })
    yield* write("b.pdf", "x")
    yield* until(Effect.map(status, ({ health }) => health === "polling"))
    expect(yield* status).toMatchObject({ missed: 0, proved: null })
    expect((yield* status).reason).toContain("no event came of a change")
  })
)

test(
  "polls a network share until its events prove to come",
  Effect.gen(function* () {
    const { hint, status, watcher, write } = yield* start(quick)
    yield* watcher.push("inbox", { _tag: "Doubtful", reason: "it is on NFS" })
    yield* TestClock.adjust(2100)
    expect(yield* status).toMatchObject({ health: "polling", reason: "it is on NFS" })
    for (const name of ["a.txt", "b.txt", "c.txt"]) {
      yield* write(name, "x")
      yield* hint(name)
    }
    yield* until(Effect.map(status, ({ health }) => health === "events"))
    // from then on only what is missed counts
    yield* watcher.push("inbox", { _tag: "Doubtful", reason: "it is on NFS" })
    yield* TestClock.adjust(2100)
    expect((yield* status).health).toBe("events")
  })
)

test(
  "no alarm for what is excluded, not UTF-8, or behind a link, nor for a late event",
  Effect.gen(function* () {
    const { journal, names, path, status, watcher, write } = yield* start({
      ...quick,
      exclude: ["**/*.tmp"],
      symlinks: "follow"
    })
    yield* write("real/one.txt", "x")
    Fs.symlinkSync("real", join(path, "link"))
    yield* watcher.push("inbox", { _tag: "Path", path: RelPath.make("real/one.txt") })
    yield* TestClock.adjust(100)
    const scans = journal.scans
    yield* write("no.tmp", "x")
    yield* write("late.txt", "x")
    Fs.writeFileSync(Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0x63, 0xe9])]), "x")
    yield* until(Effect.sync(() => journal.scans > scans))
    yield* TestClock.adjust(100)
    expect(names()).toContain("late.txt")
    expect(names()).toContain("link/one.txt")
    yield* watcher.push("inbox", { _tag: "Path", path: RelPath.make("late.txt") })
    yield* TestClock.adjust(36_000)
    expect(yield* status).toMatchObject({ health: "events", reason: null, missed: 0 })
  })
)

test(
  "no alarm for a marker, nor for the file that it lets go",
  Effect.gen(function* () {
    const { hint, names, status, write } = yield* start({ ...quick, marker: "{name}.done" })
    yield* write("a.txt", "x")
    yield* hint("a.txt")
    yield* write("a.txt.done", "")
    yield* TestClock.adjust(36_000)
    expect(names()).toEqual(["a.txt"])
    expect(yield* status).toMatchObject({ health: "events", missed: 0 })
  })
)

test(
  "no alarm for files that arrive while a scan goes on, or that a change of the rules brings back",
  Effect.gen(function* () {
    const { configure, journal, names, status, watcher, write } = yield* start(
      { ...quick, pollInterval: 200, rescan: 300 },
      ["z.pdf"]
    )
    for (let index = 0; index < 60; index++) {
      yield* write(`${index}.txt`, "x")
      yield* watcher.push("inbox", { _tag: "Path", path: RelPath.make(`${index}.txt`) })
      yield* TestClock.adjust(100)
    }
    expect(journal.scans).toBeGreaterThan(10)
    yield* configure((settings) => ({
      ...settings,
      routes: settings.routes.map((one) => ({ ...one, extensions: undefined }))
    }))
    yield* TestClock.adjust(15_000)
    expect(names()).toContain("z.pdf")
    expect(yield* status).toMatchObject({ health: "events", missed: 0 })
  })
)

test(
  "no alarm for what a watcher said it may have missed, nor for what came while it was started again",
  Effect.gen(function* () {
    const { names, status, watcher, write } = yield* start(quick)
    yield* write("a.txt", "x")
    yield* watcher.push("inbox", { _tag: "Scan", reason: "so much changed at once" })
    yield* TestClock.adjust(36_000)
    expect(names()).toEqual(["a.txt"])
    expect(yield* status).toMatchObject({ health: "events", missed: 0 })
  })
)

test(
  "files that a delivery names prove nothing",
  Effect.gen(function* () {
    const { intake, path, status, write } = yield* start(quick)
    yield* write("a.txt", "x")
    yield* intake.hint(path, RelPath.make("a.txt"))
    yield* TestClock.adjust(100)
    expect(yield* status).toMatchObject({ accepted: 1, proved: null, lastEvent: null })
  })
)
