import { describe, expect, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Logger, Option, TestClock } from "effect"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Delivery } from "../../src/domain/Delivery.ts"
import type { Facts } from "../../src/domain/Facts.ts"
import type { After, OnDead } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Dispose from "../../src/deliver/Dispose.ts"
import type { Given } from "../../src/files/FileFactsMemory.ts"
import * as FileFactsMemory from "../../src/files/FileFactsMemory.ts"
import { Files } from "../../src/files/Files.ts"
import * as FilesDirect from "../../src/files/FilesDirect.ts"
import { tempName } from "../../src/files/names.ts"
import { look } from "../../src/files/scan.ts"
import * as Database from "../../src/store/Database.ts"
import * as DeliveriesSql from "../../src/store/DeliveriesSql.ts"
import { Journal, JournalError } from "../../src/store/Journal.ts"
import * as JournalSql from "../../src/store/JournalSql.ts"
import { Deliveries } from "../../src/store/Deliveries.ts"
import * as LogRepoSql from "../../src/store/LogRepoSql.ts"
import * as ReadSql from "../../src/store/ReadSql.ts"
import * as Process from "../cli/process.ts"
import { admission, deliveredNow, failedNow, placement, target } from "../contracts/journal.ts"

const store = Layer.mergeAll(JournalSql.layer, DeliveriesSql.layer).pipe(
  Layer.provideMerge(LogRepoSql.layer),
  Layer.provide(ReadSql.layerDirect),
  Layer.provideMerge(Database.layer({ file: ":memory:", durability: "crash" })),
  Layer.orDie
)

interface File {
  readonly after?: After
  readonly onDead?: OnDead
  readonly marker?: string
  readonly content?: string
  readonly targets?: number
  readonly facts?: Partial<Facts>
}

const archive = (template: string, keepFor?: Duration.DurationInput): After => ({
  _tag: "Archive",
  template,
  ...(keepFor === undefined ? {} : { keepFor: Duration.toMillis(keepFor) })
})

const day = Date.UTC(2026, 0, 2)

/** A source in a directory of its own, a journal, and what disposes of the source's files. */
const start = (
  facts: Readonly<Record<string, Given>> = {},
  wrap: (journal: JournalService) => JournalService = (one) => one,
  wrapFiles: (files: FilesService) => FilesService = (one) => one
) =>
  Effect.gen(function* () {
    yield* TestClock.setTime(day)
    const directory = yield* Process.directory
    const inbox = join(directory, "in")
    mkdirSync(inbox)
    const services = yield* Layer.build(Layer.mergeAll(store, FilesDirect.layer, FileFactsMemory.layer(facts)))
    const journal = Context.get(services, Journal)
    const make = Dispose.make({ sync: true, sourceName: () => Effect.succeed("inbox") }).pipe(
      Effect.provideService(Journal, wrap(journal)),
      Effect.provideService(Files, wrapFiles(Context.get(services, Files))),
      Effect.provide(services)
    )

    const accept = (name: string, file: File = {}) =>
      Effect.gen(function* () {
        mkdirSync(join(inbox, RelPath.dirname(name)), { recursive: true })
        writeFileSync(join(inbox, name), file.content ?? name)
        if (file.marker !== undefined) writeFileSync(join(inbox, file.marker), "")
        const [found] = look(inbox, [RelPath.make(name)])
        if (!found) throw new Error("it is not there")
        yield* journal.admit("rules", [
          admission(found, [], file.after ?? { _tag: "Keep" }, inbox, {
            onDead: file.onDead ?? { _tag: "Keep" },
            marker: file.marker === undefined ? null : RelPath.make(file.marker),
            placements: Array.from({ length: file.targets ?? 1 }, (_, index) =>
              placement(name, {
                target: target("one", `folder-${index}`),
                facts:
                  file.facts === undefined
                    ? null
                    : { mime: null, sha256: null, groups: {}, counter: null, ...file.facts }
              })
            )
          })
        ])
        return yield* journal.claim("memory://one", 10, 0)
      })
    const conclude = (
      deliveries: ReadonlyArray<Delivery>,
      ...states: ReadonlyArray<"DELIVERED" | "DEAD" | "SKIPPED">
    ) =>
      journal.conclude(
        deliveries.map((delivery, index) => {
          const state = states[index] ?? "DELIVERED"
          return state === "DELIVERED" ? deliveredNow(delivery) : failedNow(delivery, state)
        })
      )
    /** A program that runs until it has nothing to do, and is killed then. */
    const run = Effect.scoped(
      Effect.gen(function* () {
        const dispose = yield* make
        const fiber = yield* Effect.fork(dispose.run)
        yield* Effect.yieldNow().pipe(Effect.zipRight(dispose.idle), Effect.repeat({ until: (idle) => idle }))
        yield* Fiber.interrupt(fiber)
      })
    )
    /** For so long after its start. */
    const runFor = (time: Duration.DurationInput) =>
      Effect.scoped(
        Effect.gen(function* () {
          const fiber = yield* Effect.fork((yield* make).run)
          yield* TestClock.adjust(time)
          yield* Fiber.interrupt(fiber)
        })
      )
    return {
      directory,
      inbox,
      journal,
      accept,
      conclude,
      run,
      runFor,
      files: Context.get(services, Files),
      list: (name = "in") => tree(join(directory, name)),
      generation: Effect.map(Context.get(services, Deliveries).list({ limit: 100 }), (all) => all.at(-1)?.generation)
    }
  })

type JournalService = Context.Tag.Service<typeof Journal>
type FilesService = Context.Tag.Service<typeof Files>

/** All files below a directory, sorted. */
const tree = (directory: string, prefix = ""): ReadonlyArray<string> =>
  !existsSync(directory)
    ? []
    : readdirSync(directory, { withFileTypes: true })
        .flatMap((entry) =>
          entry.isDirectory()
            ? tree(join(directory, entry.name), `${prefix}${entry.name}/`)
            : [`${prefix}${entry.name}`]
        )
        .sort()

describe("after: archive", () => {
  it.scoped("goes by all that is known of a file, and by the day on which it was done", () =>
    Effect.gen(function* () {
      const app = yield* start({ "x/b": { mime: "image/png", sha256: "b".repeat(64) } })
      const template = `${app.directory}/done/{date}/{source}/{mime}/{sha256:8}-{size}-{relpath}`
      const facts = { mime: "text/plain", sha256: "a".repeat(64) }
      yield* app.conclude(yield* app.accept("x/a", { after: archive(template), facts }))
      // what nobody has asked before is read now
      yield* app.conclude(yield* app.accept("x/b", { after: archive(template) }))
      yield* TestClock.adjust("3 days")
      yield* app.run
      expect(app.list("done")).toEqual([
        "2026-01-02/inbox/image_png/bbbbbbbb-3-x/b",
        "2026-01-02/inbox/text_plain/aaaaaaaa-3-x/a"
      ])
      expect(app.list()).toEqual([])
    })
  )

  it.scoped("leaves a file whose content it has to know and can't read", () =>
    Effect.gen(function* () {
      const app = yield* start({ a: { fault: "it can't be read" } })
      yield* app.conclude(yield* app.accept("a", { after: archive(`${app.directory}/done/{mime}/{name}`) }))
      yield* app.run
      expect(app.list()).toEqual(["a"])
      expect(yield* app.journal.disposals(10)).toEqual([])
    })
  )

  it.scoped("waits while the archive's disk takes nothing, says so once, and goes on by itself", () =>
    Effect.gen(function* () {
      let full = true
      const said: Array<string> = []
      const app = yield* start({}, undefined, (files) => ({
        ...files,
        archive: (job, to) =>
          full
            ? Effect.succeed({ note: `${job.path} stays for now`, moved: null, warning: null, later: true })
            : files.archive(job, to)
      }))
      for (const name of ["a", "b"]) {
        yield* app.conclude(yield* app.accept(name, { after: archive(`${app.directory}/done/`) }))
      }
      const logger = Logger.make(({ message }) => void said.push(String(message)))
      yield* app.runFor("20 seconds").pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      expect(said.filter((line) => line.includes("stays for now"))).toEqual([
        "a stays for now. This, and others like it, are tried again by themselves"
      ])
      expect(app.list()).toEqual(["a", "b"])
      full = false
      // also by the next run, which has the intents from the journal
      yield* app.run
      expect(app.list("done")).toEqual(["a", "b"])
      expect(app.list()).toEqual([])
    })
  )

  it.scoped("takes the marker along, and delete deletes it", () =>
    Effect.gen(function* () {
      const app = yield* start()
      yield* app.conclude(yield* app.accept("x/a", { after: archive(`${app.directory}/done/`), marker: "x/a.done" }))
      yield* app.conclude(yield* app.accept("b", { after: { _tag: "Delete" }, marker: "b.done" }))
      yield* app.conclude(yield* app.accept("c", { marker: "c.done" }))
      yield* app.run
      expect(app.list("done")).toEqual(["x/a", "x/a.done"])
      expect(app.list()).toEqual(["c", "c.done"])
    })
  )

  it.scoped("goes on where a killed process left off, wherever that was", () =>
    Effect.gen(function* () {
      const app = yield* start({ b: { sha256: "b".repeat(64) } })
      const after = archive(`${app.directory}/done/{date}/{name}`)
      const [a] = yield* app.accept("a", { after })
      if (!a) throw new Error("nothing claimed")
      yield* app.conclude([a])
      const { generation } = a
      // killed when it was archived, and before that was recorded; it is another day now
      yield* app.files.archive(
        { root: app.inbox, ...generation, sync: true },
        join(app.directory, "done", "2026-01-02", "a")
      )
      yield* TestClock.adjust("2 days")
      yield* app.run
      expect(app.list("done")).toEqual(["2026-01-02/a"])
      // killed while it was on its way, with a content that has still to be asked for; the fake knows it by its old name
      const [b] = yield* app.accept("b", { after: archive(`${app.directory}/done/{sha256:4}-{name}`) })
      if (!b) throw new Error("nothing claimed")
      yield* app.conclude([b])
      renameSync(join(app.inbox, "b"), join(app.inbox, tempName(`dispose ${app.inbox}/b ${b.generation.stamp}`)))
      yield* app.run
      expect(app.list("done")).toEqual(["0000-b", "2026-01-02/a"])
      expect(app.list()).toEqual([])
    })
  )
})

describe("keepFor", () => {
  /** So many hours later, after the start. */
  const hours = (app: Effect.Effect.Success<ReturnType<typeof start>>, count: number) =>
    Effect.zipRight(TestClock.adjust(Duration.hours(count)), app.runFor("10 seconds"))

  it.scoped("removes an archived file when its time is over, with its marker and its empty folders", () =>
    Effect.gen(function* () {
      const app = yield* start()
      const after = archive(`${app.directory}/done/{date:yyyy/MM}/{name}`, "30 days")
      yield* app.conclude(yield* app.accept("a", { after, marker: "a.done" }))
      yield* app.conclude(yield* app.accept("forever", { after: archive(`${app.directory}/done/{name}`) }))
      yield* app.run
      expect(app.list("done")).toEqual(["2026/01/a", "2026/01/a.done", "forever"])
      yield* hours(app, 29 * 24)
      expect(app.list("done")).toEqual(["2026/01/a", "2026/01/a.done", "forever"])
      yield* hours(app, 26)
      expect(app.list("done")).toEqual(["forever"])
      expect(existsSync(join(app.directory, "done", "2026"))).toBe(false)
      expect(yield* app.journal.expired(Number.MAX_SAFE_INTEGER, 10)).toEqual([])
    })
  )

  it.scoped("is seen to soon after the start, and once an hour", () =>
    Effect.gen(function* () {
      const app = yield* start()
      const after = archive(`${app.directory}/done/{name}`, "1 hour")
      yield* app.conclude(yield* app.accept("a", { after }))
      yield* app.run
      yield* TestClock.adjust("2 hours")
      yield* app.runFor("9 seconds")
      expect(app.list("done")).toEqual(["a"])
      yield* app.runFor("10 seconds")
      expect(app.list("done")).toEqual([])
      yield* app.conclude(yield* app.accept("b", { after }))
      yield* app.runFor("1 hour")
      expect(app.list("done")).toEqual(["b"])
      yield* app.runFor("70 minutes")
      expect(app.list("done")).toEqual([])
    })
  )

  it.scoped("removes no other file, and asks no more for it", () =>
    Effect.gen(function* () {
      const app = yield* start()
      const after = archive(`${app.directory}/done/{name}`, "1 day")
      for (const name of ["a", "b", "c"]) yield* app.conclude(yield* app.accept(name, { after }))
      yield* app.run
      rmSync(join(app.directory, "done", "a"))
      writeFileSync(join(app.directory, "done", "a"), "of somebody else")
      rmSync(join(app.directory, "done", "b"))
      yield* hours(app, 48)
      expect(app.list("done")).toEqual(["a"])
      expect(readFileSync(join(app.directory, "done", "a"), "utf8")).toBe("of somebody else")
      expect(yield* app.journal.expired(Number.MAX_SAFE_INTEGER, 10)).toEqual([])
    })
  )

  it.scoped("tries again what can't be removed, and goes on with the rest", () =>
    Effect.gen(function* () {
      const app = yield* start()
      const names = Array.from({ length: 130 }, (_, index) => `stuck/${index}`)
      const after = archive(`${app.directory}/done/{relpath}`, "1 day")
      for (const name of [...names, "other"]) yield* app.conclude(yield* app.accept(name, { after }))
      yield* app.run
      const done = join(app.directory, "done")
      // also for root: what should be a directory is none for now
      renameSync(join(done, "stuck"), join(app.directory, "hidden"))
      writeFileSync(join(done, "stuck"), "")
      yield* hours(app, 26)
      expect(app.list("done")).toEqual(["stuck"])
      expect(yield* app.journal.expired(Number.MAX_SAFE_INTEGER, 200)).toHaveLength(130)
      rmSync(join(done, "stuck"))
      renameSync(join(app.directory, "hidden"), join(done, "stuck"))
      yield* hours(app, 2)
      expect(app.list("done")).toEqual([])
      expect(yield* app.journal.expired(Number.MAX_SAFE_INTEGER, 200)).toEqual([])
    })
  )

  it.scoped("is not forgotten where a process is killed before the file is known to be archived", () =>
    Effect.gen(function* () {
      let broken = true
      const app = yield* start({}, (journal) => ({
        ...journal,
        archived: (...given) =>
          broken ? new JournalError({ reason: "killed", cause: Option.none() }) : journal.archived(...given),
        disposed: (batch) =>
          broken ? new JournalError({ reason: "killed", cause: Option.none() }) : journal.disposed(batch)
      }))
      const after = archive(`${app.directory}/done/{name}`, "1 day")
      yield* app.conclude(yield* app.accept("a", { after }))
      yield* app.runFor("1 second")
      broken = false
      yield* app.run
      expect(yield* app.journal.disposals(10)).toEqual([])
      expect(app.list("done")).toEqual(["a"])
      yield* hours(app, 26)
      expect(app.list("done")).toEqual([])
    })
  )
})

describe("onDead: move", () => {
  it.scoped("moves a file that is dead at one of its targets, also where it were to be deleted", () =>
    Effect.gen(function* () {
      const app = yield* start()
      const onDead: OnDead = { _tag: "Move", template: `${app.directory}/dead/{date}/{relpath}` }
      const file: File = { onDead, after: { _tag: "Delete" }, targets: 2, marker: "x/a.done" }
      const deliveries = yield* app.accept("x/a", file)
      yield* app.conclude(deliveries.slice(0, 1), "DEAD")
      yield* app.run
      expect(app.list()).toEqual(["x/a", "x/a.done"])
      yield* app.conclude(deliveries.slice(1), "DELIVERED")
      yield* app.run
      expect(app.list()).toEqual([])
      expect(app.list("dead")).toEqual(["2026-01-02/x/a", "2026-01-02/x/a.done"])
      // over nothing
      yield* app.conclude(yield* app.accept("x/a", { ...file, targets: 1 }), "DEAD")
      yield* app.run
      expect(app.list("dead")).toEqual([
        "2026-01-02/x/a",
        "2026-01-02/x/a (1)",
        "2026-01-02/x/a (1).done",
        "2026-01-02/x/a.done"
      ])
    })
  )

  it.scoped("lets a later retry read the file there, and archives it by its own path then", () =>
    Effect.gen(function* () {
      const app = yield* start()
      const onDead: OnDead = { _tag: "Move", template: `${app.directory}/dead/{sha256:4}-{name}` }
      const after = archive(`${app.directory}/done/{relpath}`, "1 day")
      const facts = { sha256: "a".repeat(64) }
      const deliveries = yield* app.accept("x/a", { onDead, after, facts, marker: "x/a.done" })
      yield* app.conclude(deliveries, "DEAD")
      yield* app.run
      const generation = yield* app.generation
      expect(generation).toMatchObject({ source: join(app.directory, "dead"), path: "aaaa-a", marker: "a.done" })
      expect(look(join(app.directory, "dead"), [RelPath.make("aaaa-a")])[0]?.stamp).toBe(generation?.stamp)
      // what comes to the old place meanwhile is another file
      writeFileSync(join(app.inbox, "x/a"), "new")
      writeFileSync(join(app.inbox, "x/a.done"), "new")
      yield* app.journal.replay("all")
      yield* app.conclude(yield* app.journal.claim("memory://one", 10, 0))
      yield* app.run
      expect(app.list("dead")).toEqual([])
      expect(app.list("done")).toEqual(["x/a", "x/a.done"])
      expect(readFileSync(join(app.directory, "done/x/a"), "utf8")).toBe("x/a")
      expect(app.list()).toEqual(["x/a", "x/a.done"])
      yield* TestClock.adjust("2 days")
      yield* app.runFor("10 seconds")
      expect(app.list("done")).toEqual([])
    })
  )

  it.scoped("stays where it was moved to when it is dead again", () =>
    Effect.gen(function* () {
      const app = yield* start()
      const onDead: OnDead = { _tag: "Move", template: `${app.directory}/dead/{name}` }
      yield* app.conclude(yield* app.accept("a", { onDead }), "DEAD")
      yield* app.run
      yield* app.journal.replay("all")
      yield* app.conclude(yield* app.journal.claim("memory://one", 10, 0), "DEAD")
      yield* app.run
      expect(app.list("dead")).toEqual(["a"])
    })
  )

  it.scoped("finds the file where a killed process had moved it, and lets go of one that is gone", () =>
    Effect.gen(function* () {
      const app = yield* start()
      const onDead: OnDead = { _tag: "Move", template: `${app.directory}/dead/{date}/{name}` }
      const [a] = yield* app.accept("a", { onDead })
      if (!a) throw new Error("nothing claimed")
      yield* app.conclude([a], "DEAD")
      yield* app.files.archive(
        { root: app.inbox, ...a.generation, sync: true },
        join(app.directory, "dead", "2026-01-02", "a")
      )
      yield* TestClock.adjust("1 day")
      yield* app.run
      expect((yield* app.generation)?.source).toBe(join(app.directory, "dead", "2026-01-02"))
      expect(app.list("dead")).toEqual(["2026-01-02/a"])

      yield* app.conclude(yield* app.accept("b", { onDead }), "DEAD")
      rmSync(join(app.inbox, "b"))
      yield* app.run
      expect(yield* app.journal.disposals(10)).toEqual([])
    })
  )

  it.scoped("leaves a file that has changed, and one that can't be moved", () =>
    Effect.gen(function* () {
      const app = yield* start()
      writeFileSync(join(app.directory, "file"), "")
      const onDead = (folder: string): OnDead => ({ _tag: "Move", template: `${app.directory}/${folder}/{name}` })
      const changed = yield* app.accept("changed", { onDead: onDead("dead") })
      yield* app.conclude(changed, "DEAD")
      writeFileSync(join(app.inbox, "changed"), "another content")
      yield* app.conclude(yield* app.accept("stuck", { onDead: onDead("file") }), "DEAD")
      const before = look(app.inbox, [RelPath.make("stuck")])
      yield* app.run
      expect(app.list()).toEqual(["changed", "stuck"])
      expect(look(app.inbox, [RelPath.make("stuck")])).toEqual(before)
      expect(yield* app.journal.disposals(10)).toEqual([])
      expect(app.list("dead")).toEqual([])
    })
  )

  it.scoped("is seen to where a delivery that was cancelled was the last that it waited for", () =>
    Effect.gen(function* () {
      const app = yield* start()
      const onDead: OnDead = { _tag: "Move", template: `${app.directory}/dead/{name}` }
      const [one, other] = yield* app.accept("a", { onDead, targets: 2 })
      if (!one || !other) throw new Error("nothing claimed")
      yield* app.conclude([one], "DEAD")
      yield* app.journal.release([other.id])
      yield* Effect.scoped(
        Effect.gen(function* () {
          const fiber = yield* Effect.fork(app.runFor("5 minutes"))
          yield* Effect.yieldNow()
          yield* app.journal.cancel([other.id])
          yield* Fiber.join(fiber)
        })
      )
      expect(app.list("dead")).toEqual(["a"])
    })
  )
})
