/** What holds a quiet file back, what has to be read before it is routed, and what a change of the config changes. */
import { expect, it } from "@effect/vitest"
import { Deferred, Effect, TestClock, type Scope } from "effect"
import * as Fs from "node:fs"
import { join } from "node:path"
import * as RelPath from "../../src/domain/RelPath.ts"
import { FactsError, type Bytes } from "../../src/files/FileFacts.ts"
import type { FilesError } from "../../src/files/Files.ts"
import { age, mime, route, start } from "./harness.ts"

const test = (name: string, run: Effect.Effect<void, FilesError, Scope.Scope>) => it.scoped(name, () => run)

/** The files are of today, and the test's clock begins in 1970. */
const today = Effect.suspend(() => TestClock.setTime(Date.now()))

const typed = (type: string): Bytes => ({
  mime: Effect.succeed(type),
  text: () => Effect.succeed({ _tag: "NoText", why: "it is none" }),
  sha256: Effect.succeed("0")
})

// Age

test(
  "takes a file that an age rule wants later when it is that old, and not with the next scan",
  Effect.gen(function* () {
    yield* today
    const { hint, intake, journal, names, status, touch, write } = yield* start({ settle: 0, rescan: 3_600_000 }, [], {
      routes: [route("old", undefined, { rules: [age(60_000)] })]
    })
    yield* write("a.txt", "a")
    yield* touch("a.txt")
    yield* hint("a.txt")
    expect(journal.admitted).toEqual([])
    expect(yield* status).toMatchObject({ waiting: 1, settling: 0, unmatched: 0 })
    // `--once` does not wait for it
    yield* intake.settled
    yield* TestClock.adjust(59_000)
    expect(names()).toEqual([])
    yield* TestClock.adjust(2000)
    expect(names()).toEqual(["a.txt"])
    expect(yield* status).toMatchObject({ waiting: 0, accepted: 1 })
    expect(journal.scans).toBe(1)
  })
)

test(
  "takes a file once it is as old as the source asks for",
  Effect.gen(function* () {
    yield* today
    const { hint, names, status, touch, write } = yield* start({ minAge: 60_000, rescan: 3_600_000 })
    yield* write("a.txt", "a")
    yield* touch("a.txt")
    yield* hint("a.txt")
    yield* TestClock.adjust(50_000)
    expect(yield* status).toMatchObject({ waiting: 1, settling: 0 })
    expect(names()).toEqual([])
    yield* TestClock.adjust(11_000)
    expect(names()).toEqual(["a.txt"])
  })
)

test(
  "counts the age of a file that has changed anew",
  Effect.gen(function* () {
    yield* today
    const { hint, names, path, status, touch, write } = yield* start({ minAge: 60_000, rescan: 3_600_000 })
    yield* write("a.txt", "a")
    const before = (Date.now() - 50_000) / 1000
    Fs.utimesSync(join(path, "a.txt"), before, before)
    yield* hint("a.txt")
    expect((yield* status).waiting).toBe(1)
    yield* write("a.txt", "ab")
    yield* touch("a.txt")
    yield* hint("a.txt")
    yield* TestClock.adjust(30_000)
    expect(names()).toEqual([])
    yield* TestClock.adjust(31_000)
    expect(names()).toEqual(["a.txt"])
  })
)

test(
  "forgets a file that vanishes while it is too young",
  Effect.gen(function* () {
    yield* today
    const { hint, names, path, status, touch, write } = yield* start({ minAge: 60_000 })
    yield* write("a.txt", "a")
    yield* touch("a.txt")
    yield* hint("a.txt")
    yield* TestClock.adjust(2000)
    Fs.rmSync(join(path, "a.txt"))
    yield* hint("a.txt")
    expect((yield* status).waiting).toBe(0)
    yield* TestClock.adjust(60_000)
    expect(names()).toEqual([])
  })
)

// Markers

test(
  "waits for a file's marker, never takes the marker, and says which it was",
  Effect.gen(function* () {
    const { hint, journal, names, status, write } = yield* start({ marker: "{name}.done", rescan: 3_600_000 }, [], {
      routes: [route("all")]
    })
    yield* write("deep/a.txt", "a")
    yield* hint("deep/a.txt")
    yield* TestClock.adjust(5000)
    expect(names()).toEqual([])
    expect(yield* status).toMatchObject({ waiting: 1, settling: 0 })
    // that of another file
    yield* write("a.txt.done", "")
    yield* hint("a.txt.done")
    yield* TestClock.adjust(5000)
    expect(names()).toEqual([])
    yield* write("deep/a.txt.done", "")
    yield* hint("deep/a.txt.done")
    expect(names()).toEqual(["deep/a.txt"])
    expect(journal.admitted[0]?.marker).toBe("deep/a.txt.done")
    yield* TestClock.adjust(5000)
    expect(names()).toEqual(["deep/a.txt"])
  })
)

test(
  "takes a file whose marker came first, and several that share one",
  Effect.gen(function* () {
    const { hint, names, watcher, write } = yield* start({ marker: "ready/{stem}.ok", settle: 0 }, ["ready/a.ok"], {
      routes: [route("all")]
    })
    yield* write("a.txt", "a")
    yield* hint("a.txt")
    expect(names()).toEqual(["a.txt"])
    yield* write("b.txt", "b")
    yield* write("b.pdf", "b")
    yield* write("ready/b.ok", "")
    yield* watcher.push("inbox", { _tag: "Scan", reason: "test" })
    yield* TestClock.adjust(200)
    expect(names()).toEqual(["a.txt", "b.pdf", "b.txt"])
  })
)

test(
  "finds a marker that no event told of with the next scan",
  Effect.gen(function* () {
    const { hint, names, watcher, write } = yield* start({ marker: "{name}.done", settle: 0 })
    yield* write("a.txt", "a")
    yield* hint("a.txt")
    yield* write("a.txt.done", "")
    expect(names()).toEqual([])
    yield* watcher.push("inbox", { _tag: "Scan", reason: "test" })
    yield* TestClock.adjust(200)
    expect(names()).toEqual(["a.txt"])
  })
)

// Bytes

test(
  "lets a slow document hold up no file that needs no reading",
  Effect.gen(function* () {
    const gate = yield* Deferred.make<string>()
    const { hint, journal, names, status, write } = yield* start({ settle: 0 }, [], {
      routes: [route("texts", ["txt"]), route("pdf", ["bin"], { rules: [mime("application/pdf")] })],
      bytes: () => ({ ...typed(""), mime: Deferred.await(gate) })
    })
    for (let index = 0; index < 10; index += 1) {
      yield* write(`${index}.bin`, "x")
      yield* hint(`${index}.bin`)
    }
    yield* write("a.txt", "a")
    yield* hint("a.txt")
    expect(names()).toEqual(["a.txt"])
    expect((yield* status).settling).toBe(10)
    yield* Deferred.succeed(gate, "application/pdf")
    yield* TestClock.adjust(10)
    expect(names().length).toBe(11)
    expect(journal.admitted.filter(({ placements }) => placements[0]?.route === "pdf").length).toBe(10)
  })
)

test(
  "looks again at a file that changed while it was read, and later at one that can't be",
  Effect.gen(function* () {
    yield* today
    let inbox = ""
    const bytes = (path: string): Bytes => ({
      ...typed("application/pdf"),
      mime: Effect.suspend(() => {
        const file = join(inbox, path)
        if (path === "secret.bin" && Fs.existsSync(`${file}.locked`)) {
          return new FactsError({ file, reason: "permission denied" })
        }
        if (Fs.statSync(file).size > 1) return Effect.succeed("application/pdf")
        Fs.writeFileSync(file, "more")
        return new FactsError({ file, reason: "it has changed" })
      })
    })
    const { hint, journal, names, path, status, write } = yield* start({ settle: 1000 }, [], {
      routes: [route("pdf", ["bin"], { rules: [mime("application/pdf")] })],
      bytes
    })
    inbox = path
    yield* write("a.bin", "x")
    yield* hint("a.bin")
    yield* TestClock.adjust(1100)
    expect(names()).toEqual([])
    yield* TestClock.adjust(1100)
    expect(journal.admitted.map(({ file }) => file.size)).toEqual([4])

    yield* write("secret.bin", "secret")
    yield* write("secret.bin.locked", "")
    yield* hint("secret.bin")
    yield* TestClock.adjust(5000)
    expect(names()).toEqual(["a.bin"])
    expect((yield* status).waiting).toBe(1)
    Fs.rmSync(join(path, "secret.bin.locked"))
    yield* TestClock.adjust(30_000)
    expect(names()).toEqual(["a.bin", "secret.bin"])
  })
)

test(
  "numbers files from where the last run ended, and commits the numbers with them",
  Effect.gen(function* () {
    const numbered = route("all")
    const { hint, journal, write } = yield* start({ settle: 0 }, [], {
      routes: [{ ...numbered, targets: numbered.targets.map((one) => ({ ...one, rename: "{counter}-{name}" })) }],
      counters: new Map([["all", 41]])
    })
    for (const name of ["a", "b"]) {
      yield* write(name, "x")
      yield* hint(name)
    }
    expect(journal.admitted.map(({ counters, placements }) => [placements[0]?.name, counters])).toEqual([
      ["42-a", { all: 42 }],
      ["43-b", { all: 43 }]
    ])
  })
)

// Another config

test(
  "asks again about what no folder wanted, by the new rules, and keeps those rules",
  Effect.gen(function* () {
    const { configure, hint, journal, names, status, write } = yield* start({ settle: 0, rescan: 3_600_000 })
    yield* write("a.pdf", "a")
    yield* write("b.txt", "b")
    yield* hint("a.pdf")
    yield* hint("b.txt")
    expect(yield* status).toMatchObject({ accepted: 1, unmatched: 1 })
    const first = Array.from(journal.rulesets.keys())
    yield* configure((settings) => ({ ...settings, routes: [...settings.routes, route("pdf", ["pdf"])] }))
    expect(names()).toEqual(["a.pdf", "a.pdf", "b.txt"])
    expect(journal.admitted.map(({ placements }) => placements.map((one) => one.route))).toEqual([
      [],
      ["texts"],
      ["pdf"]
    ])
    expect(journal.rulesets.size).toBe(2)
    expect(Array.from(journal.rulesets.keys())[0]).toBe(first[0])
    expect(yield* status).toMatchObject({ accepted: 2 })
  })
)

test(
  "routes what is being read, and what waits to be admitted, by the new rules",
  Effect.gen(function* () {
    const gate = yield* Deferred.make<string>()
    const { configure, hint, journal, write } = yield* start({ settle: 0 }, [], {
      routes: [route("old", ["bin", "txt"], { rules: [mime("application/pdf")] })],
      bytes: () => ({ ...typed(""), mime: Deferred.await(gate) })
    })
    yield* write("a.bin", "x")
    yield* hint("a.bin")
    yield* configure((settings) => ({
      ...settings,
      routes: [route("new", ["bin"], { rules: [mime("application/pdf")] })]
    }))
    yield* Deferred.succeed(gate, "application/pdf")
    yield* TestClock.adjust(10)
    expect(journal.admitted.map(({ placements }) => placements.map((one) => one.route))).toEqual([["new"]])
  })
)

test(
  "leaves a source that did not change undisturbed, starts others, and ends those that are gone",
  Effect.gen(function* () {
    const { configure, hint, intake, journal, names, path, source, watcher, write } = yield* start()
    const other = { ...source, name: "other", path: `${path}-2` }
    Fs.mkdirSync(other.path)
    yield* write("a.txt", "a")
    yield* hint("a.txt")
    yield* TestClock.adjust(500)
    const { scans } = journal
    yield* configure((settings) => ({ ...settings, sources: [source, other] }))
    yield* TestClock.adjust(300)
    // its quiet time went on, and nothing was scanned but the new one
    expect(names()).toEqual(["a.txt"])
    expect(yield* watcher.starts("inbox")).toBe(1)
    expect(yield* watcher.starts("other")).toBe(1)
    expect(journal.scans).toBe(scans + 1)
    Fs.writeFileSync(join(other.path, "b.txt"), "b")
    yield* watcher.push("other", { _tag: "Path", path: RelPath.make("b.txt") })
    yield* TestClock.adjust(1100)
    expect(names()).toEqual(["a.txt", "b.txt"])

    yield* configure((settings) => ({ ...settings, sources: [{ ...other, settle: 0 }] }))
    expect((yield* intake.status).map(({ name }) => name)).toEqual(["other"])
    expect(yield* watcher.starts("other")).toBe(2)
    yield* write("c.txt", "c")
    yield* hint("c.txt")
    yield* TestClock.adjust(5000)
    expect(names()).toEqual(["a.txt", "b.txt"])
    Fs.writeFileSync(join(other.path, "d.txt"), "d")
    yield* watcher.push("other", { _tag: "Path", path: RelPath.make("d.txt") })
    yield* TestClock.adjust(10)
    expect(names()).toEqual(["a.txt", "b.txt", "d.txt"])
    yield* intake.settled
  })
)

// Links

test(
  "takes what a link leads to, under the link's name, and nothing outside the source",
  Effect.gen(function* () {
    const { names, path, watcher, write } = yield* start({ settle: 0, symlinks: "follow", exclude: ["store/**"] })
    yield* write("store/a.txt", "a")
    Fs.writeFileSync(`${path}.outside.txt`, "secret")
    Fs.symlinkSync("store/a.txt", join(path, "link.txt"))
    Fs.symlinkSync(`${path}.outside.txt`, join(path, "outside.txt"))
    Fs.symlinkSync("nowhere", join(path, "dangling.txt"))
    Fs.symlinkSync(".", join(path, "circle"))
    yield* watcher.push("inbox", { _tag: "Scan", reason: "test" })
    yield* TestClock.adjust(200)
    expect(names()).toEqual(["link.txt"])
  })
)
