/** The intake over real files and real events. */
import { expect, it } from "@effect/vitest"
import { Effect, Layer, Option, Schedule } from "effect"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { layer as layerSettings } from "../../src/config/CurrentSettings.ts"
import { layer as layerSignals } from "../../src/deliver/Signals.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { Source } from "../../src/domain/Settings.ts"
import { Files } from "../../src/files/Files.ts"
import * as FileFactsMemory from "../../src/files/FileFactsMemory.ts"
import * as FilesDirect from "../../src/files/FilesDirect.ts"
import { Journal } from "../../src/store/Journal.ts"
import { Intake } from "../../src/watch/Intake.ts"
import * as MemoryPause from "../../src/store/MemoryPause.ts"
import { layer as layerIntake } from "../../src/watch/IntakeLive.ts"
import { layer as layerWatcher } from "../../src/watch/WatcherChokidar.ts"

const start = Effect.gen(function* () {
  const root = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(join(tmpdir(), "real-"))),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
  )
  const path = join(root, "inbox")
  Fs.mkdirSync(path)
  const source: Source = {
    name: "inbox",
    path,
    recursive: true,
    include: ["**"],
    exclude: [],
    settle: 20,
    marker: null,
    minAge: 0,
    symlinks: "skip",
    watch: "auto",
    pollInterval: 200,
    rescan: 3_600_000,
    after: { _tag: "Keep" },
    onDead: { _tag: "Keep" }
  }
  const admitted = new Map<string, number>()
  const context = yield* Layer.build(
    layerIntake.pipe(
      Layer.provide(
        Layer.mergeAll(
          layerWatcher,
          layerSignals,
          FileFactsMemory.layer({}),
          MemoryPause.layer,
          Layer.mock(Files, { scan: FilesDirect.scan, look: FilesDirect.look, identity: FilesDirect.identity }),
          Layer.mock(Journal, {
            id: "test",
            counters: Effect.succeed(new Map()),
            ruleset: () => Effect.void,
            unknown: (_source, _ruleset, found) => Effect.succeed(found),
            admit: (_ruleset, batch) =>
              Effect.sync(() => {
                for (const { file } of batch) admitted.set(file.path, file.size)
                return []
              })
          })
        )
      ),
      Layer.provide(
        layerSettings({
          file: "config.yml",
          sources: [source],
          routes: [],
          dispatch: "all",
          http: { host: "127.0.0.1", port: 0, token: Option.none() },
          monitor: { enabled: false, host: "127.0.0.1", port: 0 },
          log: { level: "INFO", format: "pretty", file: undefined, rotate: { size: 1, keep: 1 }, retain: 1 },
          db: ":memory:",
          durability: "crash"
        })
      )
    )
  )
  const intake = yield* Effect.provide(Intake, context)
  yield* intake.settled
  return { path, admitted, intake }
})

/** Waits until this is so. */
const eventually = (test: () => boolean) =>
  Effect.repeat(Effect.sync(test), { until: (isTrue) => isTrue, schedule: Schedule.spaced(5) })

it.scopedLive("accepts whatever arrives, however it does and whatever its name", () =>
  Effect.gen(function* () {
    const { admitted, path } = yield* start
    const odd = Buffer.from([0x63, 0x61, 0x66, 0xe9])
    Fs.mkdirSync(join(path, "made/deep"), { recursive: true })
    Fs.writeFileSync(join(path, "made/deep/a"), "x")
    Fs.writeFileSync(Buffer.concat([Buffer.from(`${path}/`), odd]), "x")
    execFileSync("mkfifo", [join(path, "pipe")])
    Fs.symlinkSync(join(path, "made/deep/a"), join(path, "link"))
    Fs.mkdirSync(`${path}-outside/inner`, { recursive: true })
    Fs.writeFileSync(`${path}-outside/inner/b`, "x")
    Fs.renameSync(`${path}-outside`, join(path, "moved"))
    Fs.writeFileSync(join(path, "last"), "x")
    const expected = ["made/deep/a", RelPath.fromBytes(odd), "moved/inner/b", "last"]
    yield* eventually(() => expected.every((name) => admitted.has(name)))
    expect([...admitted.keys()].sort()).toEqual(expected.sort())
  })
)

it.scopedLive("accepts a file as its writer left it", () =>
  Effect.gen(function* () {
    const { admitted, path } = yield* start
    const file = Fs.openSync(join(path, "slow"), "w")
    for (let index = 0; index < 20; index += 1) {
      Fs.writeSync(file, "0123456789")
      yield* Effect.sleep(2)
    }
    Fs.closeSync(file)
    yield* eventually(() => admitted.get("slow") === 200)
  })
)

it.scopedLive("goes on after the source was deleted and made again", () =>
  Effect.gen(function* () {
    const { admitted, intake, path } = yield* start
    Fs.rmSync(path, { recursive: true })
    Fs.mkdirSync(path)
    Fs.writeFileSync(join(path, "soon"), "x")
    yield* eventually(() => admitted.has("soon"))
    Fs.rmSync(path, { recursive: true })
    yield* Effect.repeat(intake.status, {
      until: ([status]) => status?.health === "missing",
      schedule: Schedule.spaced(5)
    })
    Fs.mkdirSync(path)
    yield* Effect.repeat(intake.status, {
      until: ([status]) => status?.health === "events",
      schedule: Schedule.spaced(5)
    })
    Fs.writeFileSync(join(path, "later"), "x")
    yield* eventually(() => admitted.has("later"))
  })
)

it.scopedLive("accepts all of 20,000 files that arrive at once", () =>
  Effect.gen(function* () {
    const { admitted, path } = yield* start
    Fs.writeFileSync(`${path}.origin`, "x")
    for (let index = 0; index < 20_000; index += 1) Fs.linkSync(`${path}.origin`, join(path, `file-${index}`))
    yield* eventually(() => admitted.size === 20_000)
  })
)
