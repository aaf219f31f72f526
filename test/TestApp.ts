/**
 * The tests' graph: the program of src/App.ts with other leaves. The journal and the log are in memory, the watcher says
 * what it is told, destinations are in memory, and the files lie in a directory that goes with the scope.
 */
import { Context, Effect, Layer, Option, Redacted, TestClock, type Scope } from "effect"
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as CurrentSettings from "../src/config/CurrentSettings.ts"
import * as Destination from "../src/deliver/Destination.ts"
import { Dispatcher } from "../src/deliver/Dispatcher.ts"
import * as DispatcherLive from "../src/deliver/DispatcherLive.ts"
import * as Local from "../src/deliver/destination/Local.ts"
import * as Memory from "../src/deliver/destination/Memory.ts"
import * as Signals from "../src/deliver/Signals.ts"
import type { Delivery } from "../src/domain/Delivery.ts"
import type { LogEntry } from "../src/domain/LogEntry.ts"
import * as RelPath from "../src/domain/RelPath.ts"
import { noSecrets, unlimited, type Route, type Settings, type Source } from "../src/domain/Settings.ts"
import type { Target, TargetOptions } from "../src/domain/Target.ts"
import type { Files } from "../src/files/Files.ts"
import * as FileFactsLive from "../src/files/FileFactsLive.ts"
import * as FilesDirect from "../src/files/FilesDirect.ts"
import { Deliveries } from "../src/store/Deliveries.ts"
import { Journal } from "../src/store/Journal.ts"
import { LogRepo } from "../src/store/LogRepo.ts"
import * as LogRepoMemory from "../src/store/LogRepoMemory.ts"
import * as MemoryDeliveries from "../src/store/MemoryDeliveries.ts"
import * as MemoryJournal from "../src/store/MemoryJournal.ts"
import * as MemoryPause from "../src/store/MemoryPause.ts"
import * as MemoryStore from "../src/store/MemoryStore.ts"
import { PauseRepo } from "../src/store/PauseRepo.ts"
import { Intake } from "../src/watch/Intake.ts"
import * as IntakeLive from "../src/watch/IntakeLive.ts"
import * as WatcherMemory from "../src/watch/WatcherMemory.ts"
import * as Process from "./cli/process.ts"
import { targetOptions } from "./contracts/journal.ts"

export interface Options {
  readonly source?: Partial<Source>
  /** By default every file goes to `memory://one/in`. */
  readonly routes?: ReadonlyArray<Route>
  readonly memory?: Memory.Options
  readonly destinations?: Layer.Layer<never, never, Destination.Destinations>
  readonly files?: Layer.Layer<Files>
  /** Stands between the program and its journal. */
  readonly journal?: (journal: Context.Tag.Service<Journal>) => Context.Tag.Service<Journal>
  readonly store?: Store
  readonly directory?: string
}

/** What survives the program, as a database would. */
export type Store = Context.Context<Journal | LogRepo | Deliveries | PauseRepo>

export const makeStore: Effect.Effect<Store, never, Scope.Scope> = Layer.build(
  Layer.mergeAll(MemoryJournal.layer, MemoryDeliveries.layer, MemoryPause.layer).pipe(
    Layer.provideMerge(Layer.merge(MemoryStore.layer, LogRepoMemory.layer))
  )
)

export const route = (name: string, targets: ReadonlyArray<Target>, extensions?: ReadonlyArray<string>): Route => ({
  name,
  extensions,
  rules: [],
  otherwise: false,
  priority: 0,
  order: "arrival",
  targets: targets.map((target) => ({ target, secrets: noSecrets, bandwidth: unlimited, rename: "{relpath}" }))
})

/** A local folder as a target. */
export const folder = (path: string, options: Partial<TargetOptions> = {}): Target => ({
  url: `file://${path}`,
  scheme: "file",
  lane: "file:/",
  host: "",
  port: null,
  username: null,
  path,
  options: targetOptions(options)
})

/** A target of the in-memory destination: `memory://host/folder`, with its lane. */
export const inMemory = (host: string, path = "in", options: Partial<TargetOptions> = {}): Target => ({
  url: `memory://${host}/${path}`,
  scheme: "memory",
  lane: `memory://${host}`,
  host,
  port: null,
  username: null,
  path: `/${path}`,
  options: targetOptions(options)
})

export const settingsOf = (directory: string, options: Options): Settings => ({
  file: join(directory, "config.yml"),
  sources: [
    {
      name: "inbox",
      path: join(directory, "in"),
      recursive: true,
      include: ["**"],
      exclude: [],
      settle: 1000,
      marker: null,
      minAge: 0,
      symlinks: "skip",
      watch: "auto",
      pollInterval: 2000,
      rescan: 300_000,
      after: { _tag: "Keep" },
      onDead: { _tag: "Keep" },
      ...options.source
    }
  ],
  routes: options.routes ?? [route("all", [inMemory("one")])],
  dispatch: "all",
  http: { host: "127.0.0.1", port: 0, token: Option.some(Redacted.make("token")) },
  monitor: { enabled: false, host: "127.0.0.1", port: 0 },
  log: { level: "INFO", format: "pretty", file: undefined, rotate: { size: 1, keep: 1 }, retain: 1e9 },
  db: join(directory, "journal.db"),
  durability: "crash"
})

/** Starts the program under the test's clock; it ends with the scope. */
export const start = (options: Options = {}) =>
  Effect.gen(function* () {
    const directory = options.directory ?? (yield* Process.directory)
    const inbox = join(directory, "in")
    mkdirSync(inbox, { recursive: true })
    const memory = Memory.make(options.memory)
    const store = options.store ?? (yield* makeStore)
    const journal = Context.get(store, Journal)
    const services = yield* Layer.build(
      IntakeLive.layer.pipe(
        Layer.provideMerge(DispatcherLive.layer),
        Layer.provide(Layer.mergeAll(Local.layer, memory.layer, options.destinations ?? Layer.empty)),
        Layer.provide(Destination.layerRegistry),
        Layer.provideMerge(WatcherMemory.layer),
        Layer.provide(Layer.mergeAll(Signals.layer, options.files ?? FilesDirect.layer, FileFactsLive.layer)),
        Layer.provide(Layer.succeed(Journal, options.journal?.(journal) ?? journal)),
        Layer.provide(Layer.succeed(Deliveries, Context.get(store, Deliveries))),
        Layer.provide(Layer.succeed(PauseRepo, Context.get(store, PauseRepo))),
        Layer.provideMerge(CurrentSettings.layer(settingsOf(directory, options)))
      )
    )
    const watcher = Context.get(services, WatcherMemory.WatcherHandle)
    const hint = (name: string) => watcher.push("inbox", { _tag: "Path", path: RelPath.make(name) })

    const write = (name: string, content = `content of ${name}`) =>
      Effect.suspend(() => {
        mkdirSync(join(inbox, name, ".."), { recursive: true })
        writeFileSync(join(inbox, name), content)
        return hint(name)
      })

    const deliveries: Effect.Effect<ReadonlyArray<Delivery>> = Effect.orDie(
      Context.get(store, Deliveries).list({ limit: 100_000 })
    )

    return {
      directory,
      inbox,
      memory,
      journal,
      store,
      watcher,
      dispatcher: Context.get(services, Dispatcher),
      /** The config as it is in force, to be changed while the program runs. */
      settings: Context.get(services, CurrentSettings.CurrentSettings),
      intake: Context.get(services, Intake),
      write,
      hint,
      deliveries,
      /** `DELIVERED a.txt memory://one/in`, oldest first. */
      states: Effect.map(deliveries, (all) =>
        all.map((one) => `${one.state} ${one.generation.path} ${one.target.url}`).reverse()
      ),
      logs: Effect.map(
        Effect.orDie(
          Effect.flatten(Context.get(store, LogRepo).query({ filter: {}, order: "created", limit: 100_000 }))
        ),
        (page): ReadonlyArray<LogEntry> => page.entries
      ),
      /** What is in the source now. */
      sources: () => readdirSync(inbox).sort()
    }
  })

/** Lets what is under way go on, in real time, until the condition holds; the test's clock stands still. */
export const until = <E, R>(condition: Effect.Effect<boolean, E, R>, what: string): Effect.Effect<void, E, R> =>
  Effect.gen(function* () {
    const deadline = Date.now() + 20_000
    while (!(yield* condition)) {
      if (Date.now() > deadline) return yield* Effect.dieMessage(`timed out: ${what}`)
      yield* breath
    }
  })

/** Lets the test's clock run, in small steps, until the condition holds; answers the milliseconds that it took. */
export const elapse = <E, R>(
  condition: Effect.Effect<boolean, E, R>,
  what: string,
  options: { readonly step?: number; readonly most?: number } = {}
): Effect.Effect<number, E, R> =>
  Effect.gen(function* () {
    const { most = 600_000, step = 250 } = options
    for (let elapsed = 0; ; elapsed += step) {
      if (yield* condition) return elapsed
      if (elapsed > most) return yield* Effect.dieMessage(`not after ${most} ms of the test's clock: ${what}`)
      yield* TestClock.adjust(step)
      yield* breath
    }
  })

/** Real time for files to be read and outcomes to be committed. */
export const breath: Effect.Effect<void> = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 12)))
