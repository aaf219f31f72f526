/**
 * The production graph: the only place that chooses which implementation stands behind each service.
 */
import { Clock, Effect, Layer, Schedule, Stream, SubscriptionRef } from "effect"
import type { SqlClient } from "@effect/sql"
import * as CurrentSettings from "./config/CurrentSettings.ts"
import * as Reload from "./config/Reload.ts"
import * as Destination from "./deliver/Destination.ts"
import { Dispatcher } from "./deliver/Dispatcher.ts"
import * as DispatcherLive from "./deliver/DispatcherLive.ts"
import * as BuiltIn from "./deliver/destination/BuiltIn.ts"
import * as Leap from "./deliver/Leap.ts"
import * as Signals from "./deliver/Signals.ts"
import * as Vanished from "./deliver/Vanished.ts"
import * as Undo from "./deliver/Undo.ts"
import { markersOf } from "./deliver/UndoPlan.ts"
import type { Settings } from "./domain/Settings.ts"
import * as FileFactsLive from "./files/FileFactsLive.ts"
import { Files } from "./files/Files.ts"
import * as FilesWorker from "./files/FilesWorker.ts"
import * as Monitor from "./http/Monitor.ts"
import * as Server from "./http/Server.ts"
import * as Diff from "./route/Diff.ts"
import * as Database from "./store/Database.ts"
import { Deliveries } from "./store/Deliveries.ts"
import * as DeliveriesSql from "./store/DeliveriesSql.ts"
import { Journal, type JournalError } from "./store/Journal.ts"
import * as JournalSql from "./store/JournalSql.ts"
import * as Lock from "./store/Lock.ts"
import { LogRepo } from "./store/LogRepo.ts"
import * as PauseSql from "./store/PauseSql.ts"
import type { PauseRepo } from "./store/PauseRepo.ts"
import * as LogRepoSql from "./store/LogRepoSql.ts"
import * as ReadSql from "./store/ReadSql.ts"
import * as Remembered from "./store/Remembered.ts"
import type { UndoRepo } from "./store/UndoRepo.ts"
import * as UndoSql from "./store/UndoSql.ts"
import { Intake } from "./watch/Intake.ts"
import * as IntakeLive from "./watch/IntakeLive.ts"
import * as WatcherChokidar from "./watch/WatcherChokidar.ts"

export interface RunOptions {
  readonly settings: Settings
  /** Whether the HTTP API is served. */
  readonly webapp: boolean
  /** Whether the text console listens. */
  readonly monitor: boolean
  /** How the config file is loaded again; left out: never. */
  readonly reload?: Omit<Reload.Options, "summary"> | undefined
  /** Destinations beside the built-in ones: layers made by `Destination.layer`. */
  readonly destinations?: Layer.Layer<never, never, Destination.Destinations> | undefined
}

/** What the program is made of, as an embedding app can use it. */
export type Services =
  | CurrentSettings.CurrentSettings
  | Deliveries
  | Destination.Destinations
  | Dispatcher
  | Intake
  | Journal
  | LogRepo
  | Reload.Reload
  | Undo.Undo

/** Why the program could not start. */
export type AppError =
  Lock.JournalLockedError | Lock.LockError | Database.DatabaseError | JournalError | Server.ServerError

/**
 * Everything, running: the journal is locked for as long as the layer lives, sources are watched, lanes send. When its
 * scope closes, what is under way gets 10 s to finish; the rest is taken up again at the next start.
 */
export const layer = (options: RunOptions): Layer.Layer<Services, AppError> => {
  const { settings } = options
  const faces = Layer.mergeAll(
    options.webapp ? Server.layer : Layer.empty,
    options.monitor && settings.monitor.enabled ? Monitor.layer : Layer.empty
  )
  return faces.pipe(
    Layer.provideMerge(
      Layer.mergeAll(retention, pipeline(options.destinations ?? Layer.empty), reload(options.reload))
    ),
    Layer.provideMerge(undo(settings)),
    Layer.provideMerge(store(settings)),
    Layer.provide(Layer.mergeAll(FilesWorker.layer, FileFactsLive.layer)),
    Layer.provideMerge(CurrentSettings.layer(settings))
  )
}

/** Puts files back; what a process that was killed had begun is carried out first. */
const undo = (settings: Settings) =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const { finish } = yield* Undo.Undo
      const tried = Effect.catchAll(finish, (error) => Effect.logError(`What is to be put back waits: ${error.reason}`))
      yield* tried.pipe(Effect.repeat(Schedule.spaced("5 minutes")), Effect.forkScoped)
    })
  ).pipe(
    Layer.provideMerge(
      Layer.unwrapEffect(
        Effect.map(CurrentSettings.CurrentSettings, (current) =>
          Undo.layer({
            sync: settings.durability === "power",
            markerOf: Effect.map(SubscriptionRef.get(current), markersOf)
          })
        )
      )
    )
  )

/** From the watchers to the lanes. */
const pipeline = (custom: Layer.Layer<never, never, Destination.Destinations>) =>
  IntakeLive.layer.pipe(
    // the intake is closed first, so that nothing new is accepted while the lanes drain
    Layer.provideMerge(DispatcherLive.layer),
    Layer.provideMerge(Layer.mergeAll(BuiltIn.layer, custom).pipe(Layer.provideMerge(Destination.layerRegistry))),
    Layer.provide(Layer.mergeAll(Signals.layer, WatcherChokidar.layer))
  )

/** Changes of the config, with a word on what they mean for files like the last ones. */
const reload = (
  options: RunOptions["reload"]
): Layer.Layer<Reload.Reload, never, CurrentSettings.CurrentSettings | Deliveries> =>
  options === undefined
    ? Reload.layerFixed
    : Layer.unwrapEffect(
        Effect.map(Deliveries, (deliveries) =>
          Reload.layer({ ...options, summary: (old, next) => rerouted(deliveries, old, next) })
        )
      )

/** How many of the files that were accepted last are asked about. */
const sampleSize = 1000

const rerouted = (deliveries: typeof Deliveries.Service, old: Settings, next: Settings): Effect.Effect<string | null> =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const files = Stream.map(Remembered.stream(deliveries, sampleSize), ({ bytes, ...file }) => ({
      ...file,
      now,
      bytes: () => bytes
    }))
    const summary = yield* Diff.summarize(Diff.compile(old, next), files)
    if (summary.files === 0) return null
    return [Diff.describe(summary), ...summary.examples.map(Diff.line)].join("; ")
  }).pipe(
    Effect.catchAll((error) =>
      Effect.as(Effect.logWarning(`What the new config changes can't be told: ${error.reason}`), null)
    )
  )

/** The journal and the log in the database, which this process alone may write. */
const store = (settings: Settings) =>
  tables(settings.db).pipe(
    Layer.provide(Database.layer({ file: settings.db, durability: settings.durability })),
    Layer.provide(Layer.scopedDiscard(Lock.acquire(settings.db)))
  )

const tables = (
  file: string
): Layer.Layer<Journal | LogRepo | Deliveries | PauseRepo | UndoRepo, JournalError, SqlClient.SqlClient> =>
  Layer.mergeAll(JournalSql.layer, DeliveriesSql.layer, PauseSql.layer, UndoSql.layer).pipe(
    Layer.provideMerge(LogRepoSql.layer),
    Layer.provide(ReadSql.layer(file))
  )

/** Forgets, once an hour, what is older than `log.retain`; once a day it looks for files that are gone by themselves. */
const retention = Layer.scopedDiscard(
  Effect.gen(function* () {
    const settings = yield* CurrentSettings.CurrentSettings
    const journal = yield* Journal
    const logs = yield* LogRepo
    const files = yield* Files
    let rounds = 0
    const prune = Effect.gen(function* () {
      const { log } = yield* SubscriptionRef.get(settings)
      const before = (yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - log.retain
      if (rounds++ % 24 === 0) yield* Vanished.sweep(files, journal, before)
      // in small pieces, so that no delivery waits long for its commit
      const generations = yield* journal.prune(before).pipe(Effect.repeat({ until: (count) => count < 1000 }))
      const entries = yield* logs.prune(before)
      if (generations + entries > 0) yield* Effect.logDebug(`Forgot ${entries} log entries of before the retention`)
    }).pipe(Effect.catchAll((error) => Effect.logWarning(`Old entries could not be removed: ${error.reason}`)))
    const leap = yield* Leap.make("log entries are not removed")
    yield* Effect.flatMap(leap.recently, (yes) => (yes ? Effect.void : prune)).pipe(
      Effect.repeat(Schedule.spaced("1 hour")),
      Effect.delay("1 minute"),
      Effect.forkScoped
    )
  })
)
