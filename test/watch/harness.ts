/**
 * An intake for tests: over a real directory, with a watcher that says what it is told, a journal in a map, facts that are
 * made up, and the test clock.
 */
import { Clock, Effect, Layer, Option, Redacted, Stream, SubscriptionRef, TestClock } from "effect"
import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { CurrentSettings, layer as layerSettings } from "../../src/config/CurrentSettings.ts"
import { Signals, layer as layerSignals } from "../../src/deliver/Signals.ts"
import type { Rule } from "../../src/domain/Rule.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import { noSecrets, unlimited, type Route, type Settings, type Source } from "../../src/domain/Settings.ts"
import { usualOptions, type Target } from "../../src/domain/Target.ts"
import { FactsError, FileFacts, type Bytes } from "../../src/files/FileFacts.ts"
import { Files } from "../../src/files/Files.ts"
import * as FilesDirect from "../../src/files/FilesDirect.ts"
import { Journal, JournalError, type Admission } from "../../src/store/Journal.ts"
import * as MemoryPause from "../../src/store/MemoryPause.ts"
import { Intake } from "../../src/watch/Intake.ts"
import { layer as layerIntake } from "../../src/watch/IntakeLive.ts"
import { WatcherHandle, layer as layerWatcher } from "../../src/watch/WatcherMemory.ts"

const target: Target = {
  url: "/target",
  scheme: "file",
  lane: "file",
  host: "",
  port: null,
  username: null,
  path: "/target",
  options: {
    ...usualOptions,
    conflict: "overwrite",
    retry: { attempts: 1, base: 1, factor: 1, cap: 1 },
    concurrency: 1,
    timeout: 1000,
    fieldname: "file",
    upload: "multipart",
    method: null,
    secure: "none"
  }
}

/** A folder for these extensions, or for all files, and what else it asks. */
export const route = (name: string, extensions?: ReadonlyArray<string>, fields: Partial<Route> = {}): Route => ({
  name,
  extensions,
  rules: [],
  otherwise: false,
  priority: 0,
  order: "arrival",
  targets: [
    {
      target: { ...target, url: `/${name}`, path: `/${name}` },
      secrets: { ...noSecrets, query: Option.some(Redacted.make("")) },
      bandwidth: unlimited,
      rename: "{relpath}"
    }
  ],
  ...fields
})

export const age = (min: number): Rule => ({ _tag: "Age", min, max: null })
export const mime = (type: string): Rule => ({ _tag: "Mime", types: [type] })

const settingsOf = (source: Source, routes: ReadonlyArray<Route>): Settings => ({
  file: "config.yml",
  sources: [source],
  routes,
  dispatch: "all",
  http: { host: "127.0.0.1", port: 0, token: Option.none() },
  monitor: { enabled: false, host: "127.0.0.1", port: 0 },
  log: { level: "INFO", format: "pretty", file: undefined, rotate: { size: 1, keep: 1 }, retain: 1 },
  db: ":memory:",
  durability: "crash"
})

export interface Extra {
  /** By default one folder for texts. */
  readonly routes?: ReadonlyArray<Route>
  /** Whatever a file's bytes are asked. */
  readonly bytes?: (path: string) => Bytes
  /** The last numbers that were given before the start, by route. */
  readonly counters?: ReadonlyMap<string, number>
}

/** An intake over a real directory, with a watcher that says what it is told, a journal in a map, and the test clock. */
export const start = (options: Partial<Source> = {}, present: ReadonlyArray<string> = [], extra: Extra = {}) =>
  Effect.gen(function* () {
    const root = yield* Effect.acquireRelease(
      Effect.sync(() => Fs.mkdtempSync(join(tmpdir(), "intake-"))),
      (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
    )
    const path = join(root, "inbox")
    const writeNow = (name: string, content: string) => {
      Fs.mkdirSync(join(path, name, ".."), { recursive: true })
      Fs.writeFileSync(join(path, name), content)
    }
    Fs.mkdirSync(path)
    for (const name of present) writeNow(name, "x")
    const source: Source = {
      name: "inbox",
      path,
      recursive: true,
      include: ["**"],
      exclude: ["**/*.tmp"],
      settle: 1000,
      marker: null,
      minAge: 0,
      symlinks: "skip",
      watch: "auto",
      pollInterval: 2000,
      rescan: 300_000,
      after: { _tag: "Keep" },
      onDead: { _tag: "Keep" },
      ...options
    }
    const journal = {
      admitted: new Array<Admission & { readonly ruleset: string }>(),
      batches: new Array<number>(),
      /** Whether it fails. */
      isFull: false,
      asked: 0,
      /** Runs before files are looked at. */
      beforeLook: () => {},
      scans: 0,
      rulesets: new Map<string, string>()
    }
    const unavailable = Effect.suspend(() =>
      journal.isFull ? Effect.fail(new JournalError({ reason: "the disk is full", cause: Option.none() })) : Effect.void
    )
    const layerJournal = Layer.mock(Journal, {
      id: "test",
      counters: Effect.succeed(extra.counters ?? new Map<string, number>()),
      ruleset: (digest, text) => Effect.sync(() => void journal.rulesets.set(digest, text)),
      unknown: (_source, ruleset, found) =>
        Effect.map(unavailable, () => {
          journal.asked += found.length
          return found.filter(
            ({ path, stamp }) =>
              !journal.admitted.some(
                (one) =>
                  one.file.path === path &&
                  one.file.stamp === stamp &&
                  (one.placements.length > 0 || one.ruleset === ruleset)
              )
          )
        }),
      admit: (ruleset, batch) =>
        Effect.map(unavailable, () => {
          journal.admitted.push(...batch.map((one) => ({ ...one, ruleset })))
          journal.batches.push(batch.length)
          return batch.some(({ placements }) => placements.length > 0) ? ["file"] : []
        })
    })
    const layerFiles = Layer.mock(Files, {
      scan: (options) =>
        Stream.suspend(() => {
          journal.scans += 1
          return FilesDirect.scan(options)
        }),
      look: (root, paths, symlinks) =>
        Effect.suspend(() => {
          journal.beforeLook()
          return FilesDirect.look(root, paths, symlinks)
        }),
      identity: FilesDirect.identity
    })
    const layerFacts = Layer.succeed(FileFacts, { of: (_, file) => extra.bytes?.(file.path) ?? unreadable })
    const first = settingsOf(source, extra.routes ?? [route("texts", ["txt"])])
    const context = yield* Layer.build(
      layerIntake.pipe(
        Layer.provideMerge(
          Layer.mergeAll(layerWatcher, layerSignals, layerJournal, layerFiles, layerFacts, MemoryPause.layer)
        ),
        Layer.provideMerge(layerSettings(first))
      )
    )
    const settings = yield* Effect.provide(CurrentSettings, context)
    const intake = yield* Effect.provide(Intake, context)
    const watcher = yield* Effect.provide(WatcherHandle, context)
    const signals = yield* Effect.provide(Signals, context)
    yield* TestClock.adjust(0)
    return {
      path,
      journal,
      source,
      /** Puts a changed config in force. */
      configure: (change: (settings: Settings) => Settings) =>
        Effect.zipRight(SubscriptionRef.update(settings, change), TestClock.adjust(200)),
      intake,
      signals,
      watcher,
      write: (name: string, content: string) => Effect.sync(() => writeNow(name, content)),
      /** As if the file had changed at the time of the test's clock. */
      touch: (name: string) =>
        Effect.map(Clock.currentTimeMillis, (now) => Fs.utimesSync(join(path, name), now / 1000, now / 1000)),
      /** Tells the intake that something may have changed there, and lets it look. */
      hint: (name: string) =>
        Effect.zipRight(watcher.push("inbox", { _tag: "Path", path: RelPath.make(name) }), TestClock.adjust(10)),
      names: () => journal.admitted.map(({ file }) => file.path).sort(),
      status: Effect.map(intake.status, ([status]) => {
        if (status === undefined) throw new Error("no source")
        return status
      })
    }
  })

const never = new FactsError({ file: "", reason: "nothing here can be read" })
const unreadable: Bytes = { mime: never, text: () => never, sha256: never }
