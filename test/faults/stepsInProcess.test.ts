import { describe, expect, it } from "@effect/vitest"
import { Context, Deferred, Effect, Layer, Scope, TestClock } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import * as Database from "../../src/store/Database.ts"
import { Deliveries } from "../../src/store/Deliveries.ts"
import * as DeliveriesSql from "../../src/store/DeliveriesSql.ts"
import { Journal } from "../../src/store/Journal.ts"
import * as JournalSql from "../../src/store/JournalSql.ts"
import { LogRepo } from "../../src/store/LogRepo.ts"
import * as LogRepoSql from "../../src/store/LogRepoSql.ts"
import { PauseRepo } from "../../src/store/PauseRepo.ts"
import * as PauseSql from "../../src/store/PauseSql.ts"
import * as ReadSql from "../../src/store/ReadSql.ts"
import { isTempName } from "../../src/files/names.ts"
import type { Target, TargetOptions } from "../../src/domain/Target.ts"
import * as Process from "../cli/process.ts"
import { targetOptions } from "../contracts/journal.ts"
import { list, random } from "../e2e/project.ts"
import * as TestApp from "../TestApp.ts"
import { long, seed, tried } from "./report.ts"
import { gatedFiles, gatedJournal, makeGate, makeServer, withGatedCalls, type Gate } from "./stepsGate.ts"

vi.setConfig({ testTimeout: long ? 3_600_000 : 600_000 })

const atServer = (options: Partial<TargetOptions> = {}): Target => ({
  url: "test://server/box",
  scheme: "test",
  lane: "test://server",
  host: "server",
  port: null,
  username: null,
  path: "/box",
  options: targetOptions(options)
})

interface Scenario {
  readonly what: string
  readonly after: "delete" | "archive"
  readonly targets: (directory: string) => ReadonlyArray<Target>
}

const scenarios: ReadonlyArray<Scenario> = [
  {
    what: "to a folder and a server, which overwrite nothing, then deleted",
    after: "delete",
    targets: (directory) => [
      TestApp.folder(join(directory, "out"), { conflict: "rename" }),
      atServer({ conflict: "rename" })
    ]
  },
  {
    what: "to a folder and a server, then archived",
    after: "archive",
    targets: (directory) => [TestApp.folder(join(directory, "out")), atServer()]
  },
  { what: "moved to a folder", after: "delete", targets: (directory) => [TestApp.folder(join(directory, "out"))] }
]

/** The SQL journal, as a program finds it when it starts: over what is in the database, and nothing else. */
const openStore = (database: Context.Context<Layer.Layer.Success<ReturnType<typeof Database.layer>>>) =>
  Layer.build(
    Layer.mergeAll(JournalSql.layer, DeliveriesSql.layer, PauseSql.layer).pipe(
      Layer.provideMerge(LogRepoSql.layer),
      Layer.provide(ReadSql.layerDirect),
      Layer.provide(Layer.succeedContext(database))
    )
  ).pipe(
    Effect.map((context) =>
      Context.make(Journal, Context.get(context, Journal)).pipe(
        Context.add(Deliveries, Context.get(context, Deliveries)),
        Context.add(LogRepo, Context.get(context, LogRepo)),
        Context.add(PauseRepo, Context.get(context, PauseRepo))
      )
    )
  )

/** Real time for what is under way, and some of the test's. */
const moment = Effect.zipRight(
  TestClock.adjust(20),
  Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 1)))
)

const waitFor = <E, R>(what: string, condition: Effect.Effect<boolean, E, R>) =>
  Effect.gen(function* () {
    const deadline = Date.now() + 60_000
    while (!(yield* condition)) {
      if (Date.now() > deadline) return yield* Effect.dieMessage(`timed out: ${what}`)
      yield* moment
    }
  })

/** One life of a program that is killed at its n-th step, and the next one, over the same disk, server and database. */
const twoLives = (scenario: Scenario, n: number, contents: ReadonlyMap<string, Buffer>) =>
  Effect.gen(function* () {
    const directory = yield* Process.directory
    const [inbox, out, done] = [join(directory, "in"), join(directory, "out"), join(directory, "done")]
    fs.mkdirSync(inbox)
    for (const [name, content] of contents) fs.writeFileSync(join(inbox, name), content)
    const database = yield* Layer.build(Database.layer({ file: ":memory:", durability: "crash" }))
    const server = makeServer()
    const targets = scenario.targets(directory)

    const start = (gate: Gate) =>
      Effect.gen(function* () {
        const app = yield* TestApp.start({
          directory,
          store: yield* openStore(database),
          journal: gatedJournal(gate),
          files: gatedFiles(gate),
          destinations: server.destination(gate),
          routes: [TestApp.route("all", targets)],
          source: {
            settle: 0,
            after:
              scenario.after === "delete" ? { _tag: "Delete" } : { _tag: "Archive", template: `${done}/x/{relpath}` }
          }
        })
        yield* app.watcher.push("inbox", { _tag: "Scan", reason: "test" })
        return app
      })
    type App = Effect.Effect.Success<ReturnType<typeof start>>
    const isDone = (app: App) =>
      Effect.gen(function* () {
        const logs = yield* app.logs
        if (logs.length < contents.size * targets.length || fs.readdirSync(inbox).length > 0) return false
        return (yield* Effect.orDie(app.journal.disposals(10))).length === 0
      })
    /** Left to itself where it is killed: to end it in good order would be something else than a kill. */
    const live = (gate: Gate) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const ended = yield* Deferred.make<void>()
        yield* Effect.forkDaemon(
          start(gate).pipe(
            Effect.flatMap((app) =>
              waitFor(
                "all is done",
                Effect.map(isDone(app), (all) => all || gate.dead())
              )
            ),
            Effect.orDie,
            Effect.intoDeferred(ended),
            Scope.extend(scope)
          )
        )
        yield* waitFor(
          "it ends, or is killed",
          Effect.map(Deferred.isDone(ended), (isEnded) => isEnded || gate.dead())
        )
        if (!gate.dead()) {
          yield* Deferred.await(ended)
          gate.kill()
        }
      })

    const first = makeGate(n)
    yield* withGatedCalls(first, live(first))
    const killedAt = first.steps.length > n ? first.steps.at(-1) : undefined
    const before = new Map(list(out).flatMap((name) => (isTempName(name) ? [] : [[name, inode(join(out, name))]])))
    for (const name of before.keys())
      expect(fs.readFileSync(join(out, name)).equals(contents.get(name) ?? none)).toBe(true)
    for (const [path, { bytes }] of server.files) {
      if (!isTempName(path)) expect(bytes.equals(contents.get(path.slice("/box/".length)) ?? none)).toBe(true)
    }
    yield* live(makeGate(Infinity))

    const names = Array.from(contents.keys()).sort()
    expect(list(out)).toEqual(names)
    for (const name of names) expect(fs.readFileSync(join(out, name)).equals(contents.get(name) ?? none)).toBe(true)
    for (const [name, found] of before) expect(inode(join(out, name)), `${name} was not written again`).toBe(found)
    if (targets.length > 1) {
      expect(Array.from(server.files.keys()).sort()).toEqual(names.map((name) => `/box/${name}`))
      for (const name of names) {
        expect(server.files.get(`/box/${name}`)?.bytes.equals(contents.get(name) ?? none)).toBe(true)
      }
    }
    expect(list(inbox)).toEqual([])
    expect(list(join(done, "x"))).toEqual(scenario.after === "archive" ? names : [])
    const store = yield* openStore(database)
    const { entries } = yield* Effect.flatten(
      Context.get(store, LogRepo).query({ filter: {}, order: "created", limit: 1000 })
    )
    expect(entries.map(({ destination, filename, status }) => `${status} ${filename} ${destination}`).sort()).toEqual(
      names.flatMap((name) => targets.map(({ url }) => `SUCCEEDED ${name} ${url}`)).sort()
    )
    return { killedAt, adopted: before.size }
  })

const none = Buffer.of()
const inode = (path: string): bigint => fs.lstatSync(path, { bigint: true }).ino

describe(`killed before and after each step, in the process (seed ${seed})`, () => {
  for (const scenario of scenarios) {
    it.scoped(`${scenario.what}`, () =>
      Effect.gen(function* () {
        const next = random(seed)
        const contents = new Map(
          ["a.txt", "b.txt"].map((name) => [name, Buffer.alloc(10 + Math.floor(next() * 3000), `${name} ${next()}`)])
        )
        const steps: Array<string> = []
        let adopted = 0
        for (let n = 0; ; n++) {
          const lives = yield* Effect.scoped(twoLives(scenario, n, contents)).pipe(
            Effect.tapErrorCause(() => Effect.logError(`killed at step ${n}`))
          )
          if (lives.killedAt === undefined) break
          steps.push(lives.killedAt)
          adopted += lives.adopted > 0 ? 1 : 0
        }
        expect(steps.length).toBeGreaterThan(20)
        tried({
          section: "step",
          what: `in the process, at ${steps.length} moments, before and after each call of the disk, the server and the journal: two files, ${scenario.what}`,
          happened: `each time one whole result, one log entry, no temp file; what was there in ${adopted} of ${steps.length} was adopted`,
          counts: { kills: steps.length, files: 2 * steps.length, lost: 0, partial: 0, duplicates: 0, temps: 0 }
        })
      })
    )
  }
})
