/**
 * One source: its watcher's hints and its scans end in Settle, and what is quiet goes to its {@link Acceptance}.
 *
 * Two loops share a little state. `oversee` keeps the watcher alive and scans; `follow` looks at what hints name. Both
 * hand over in batches and wait for the journal, so that a scan of 100,000 files holds no more of them than Settle does.
 */
import { Clock, Deferred, Effect, Either, FiberHandle, Random, Stream, type Context } from "effect"
import type { Found } from "../domain/Generation.ts"
import type * as RelPath from "../domain/RelPath.ts"
import type { Source } from "../domain/Settings.ts"
import type { Files, FilesError } from "../files/Files.ts"
import * as Marker from "../route/Marker.ts"
import * as Matcher from "../route/Matcher.ts"
import type { Journal } from "../store/Journal.ts"
import * as Acceptance from "./Acceptance.ts"
import * as Held from "./Held.ts"
import * as HintBuffer from "./HintBuffer.ts"
import type { SourceStatus } from "./Intake.ts"
import { monotonic, persistently } from "./pace.ts"
import * as Settle from "./Settle.ts"
import type { Hint, Watcher } from "./Watcher.ts"

export interface Services extends Acceptance.Services {
  readonly files: Pick<Context.Tag.Service<typeof Files>, "scan" | "look" | "identity">
  readonly journal: Pick<Context.Tag.Service<typeof Journal>, "unknown" | "admit">
  readonly watcher: Context.Tag.Service<typeof Watcher>
}

export interface SourceIntake {
  readonly source: Source
  readonly hint: (hint: Hint) => void
  readonly status: () => SourceStatus
  /** Whether it has been scanned (or is missing, and said so), and nothing is on its way or waits to be quiet. */
  readonly isSettled: () => boolean
  /** The router is another one: what no folder wanted is asked again. */
  readonly rerouted: () => void
  /** The source's work; ends only by a bug. */
  readonly run: Effect.Effect<never>
}

/** How many files are looked at at once. */
const batchSize = 500

/** For how long hints are gathered before the next look, so that a busy writer costs few of them. In milliseconds. */
const gather = 5

/** The least time between two scans that hints ask for; a long scan is followed by a longer pause. In milliseconds. */
const scanPause = 50

/** How long a scan waits for the watcher to watch. A large tree goes on after it, and asks for another scan. */
const watcherStart = "1 second"

export const make = (source: Source, services: Services): SourceIntake => {
  const { files, journal, progressed, router, watcher } = services
  const matcher = Matcher.compile(source)
  const marker = Marker.compile(source)
  const settle = Settle.make(source.settle)
  const acceptance = Acceptance.make(source, { settle, held: Held.make(), marker }, services)
  const hints = HintBuffer.make()
  const scanBell = Effect.unsafeMakeLatch(false)

  let health: SourceStatus["health"] = "starting"
  let reason: string | null = null
  let lastScan: number | null = null
  let scanned = false
  let scanning = false
  /** Why a scan is wanted; null: it is not. */
  let wanted: string | null = null
  /** Why there are no events, for the time being. */
  let unavailable: string | null = null
  let unreadable = new Set<string>()

  const wantScan = (why: string): void => {
    wanted ??= why
    scanBell.unsafeOpen()
  }

  // From a sighting to Settle.

  const consider = (found: ReadonlyArray<Found>) =>
    Effect.gen(function* () {
      const wantedFiles: Array<Found> = []
      for (const file of found) {
        if (marker?.is(file.path) === true) acceptance.marked(file.path)
        else if (matcher.accepts(file.path) && !acceptance.holds(file)) wantedFiles.push(file)
      }
      const fresh = wantedFiles.filter((file) => !settle.has(file.path))
      const ruleset = router().ruleset
      const unknown = fresh.length === 0 ? [] : yield* persistently(journal.unknown(source.path, ruleset, fresh))
      const now = yield* monotonic
      const wall = yield* Clock.currentTimeMillis
      for (const file of wantedFiles) if (settle.has(file.path)) settle.observe(file.path, file.stamp, now)
      for (const file of unknown) {
        if (!acceptance.tooYoung(file, wall)) settle.observe(file.path, file.stamp, now)
      }
      acceptance.wake()
    })

  // Hints.

  const follow = Effect.gen(function* () {
    const paths: Array<RelPath.RelPath> = []
    for (const hint of yield* hints.take(batchSize)) {
      if (hint._tag === "Path") {
        if (marker?.is(hint.path) === true) acceptance.marked(hint.path)
        else if (matcher.accepts(hint.path)) paths.push(hint.path)
      } else {
        if (hint._tag === "Unavailable") unavailable = hint.reason
        wantScan(hint.reason)
      }
    }
    if (paths.length > 0) {
      const looked = yield* Effect.either(files.look(source.path, paths, source.symlinks))
      if (Either.isLeft(looked)) {
        yield* Effect.logWarning(looked.left.message)
        wantScan(looked.left.reason)
      } else {
        for (const [index, path] of paths.entries()) {
          if (looked.right[index] !== null) continue
          settle.forget(path)
          acceptance.forget(path)
        }
        yield* consider(looked.right.filter((file) => file !== null))
      }
    }
    hints.done()
    progressed()
    yield* Effect.sleep(gather)
  })

  // Scans, and the watcher.

  const setHealth = (to: SourceStatus["health"], why: string | null) =>
    Effect.suspend(() => {
      if (to === health && why === reason) return Effect.void
      const from = health
      health = to
      reason = why
      progressed()
      if (to === "missing") return Effect.logWarning(`${why}. It is looked for every ${source.pollInterval} ms`)
      if (to === "polling" && unavailable !== null) {
        return Effect.logWarning(`${source.path} is polled, because events can't be had: ${unavailable}`)
      }
      return Effect.logInfo(`${source.path} is ${from === "missing" ? "back, and " : ""}watched by ${to}`)
    })

  const scan = (why: string) =>
    Effect.gen(function* () {
      const started = yield* monotonic
      yield* Effect.logDebug(`Scanning: ${why}`)
      const failed = new Set<string>()
      const result = yield* files
        .scan({ root: source.path, recursive: source.recursive, symlinks: source.symlinks })
        .pipe(
          Stream.runForEach((batch) =>
            Effect.zipRight(
              consider(batch.found),
              Effect.forEach(batch.failed, (error) => reportUnreadable(error, failed), { discard: true })
            )
          ),
          Effect.either
        )
      lastScan = yield* Clock.currentTimeMillis
      if (Either.isRight(result)) unreadable = failed
      return { result, took: (yield* monotonic) - started }
    })

  /** Logs what can't be read below the source: once, until it could be read again. */
  const reportUnreadable = (error: FilesError, failed: Set<string>) =>
    Effect.suspend(() => {
      failed.add(error.path)
      return unreadable.has(error.path) ? Effect.void : Effect.logWarning(error.message)
    })

  const oversee = Effect.gen(function* () {
    const watching = yield* FiberHandle.make<void, never>()
    /** The directory that is watched; null: none is. */
    let watched: string | null = null
    let seen: string | null = null
    let startAgain = 0
    let nextScan = 0
    let pauseUntil = 0

    const startWatcher = (identity: string) =>
      Effect.gen(function* () {
        yield* FiberHandle.clear(watching)
        const started = yield* Deferred.make<void>()
        let isStarting = true
        watched = identity
        unavailable = null
        const watch = watcher.watch(source).pipe(
          Stream.runForEach((hint) =>
            Effect.sync(() => {
              // The first hint to scan says no more than that it watches, and a scan is about to follow.
              if (hint._tag === "Unavailable") unavailable = hint.reason
              if (hint._tag === "Path" || !isStarting) hints.add(hint)
              Deferred.unsafeDone(started, Effect.void)
            })
          ),
          Effect.zipRight(
            Effect.sync(() => {
              watched = null
              wantScan("the watcher ended")
            })
          ),
          Effect.ensuring(Deferred.succeed(started, undefined))
        )
        yield* FiberHandle.run(watching, watch)
        yield* Effect.timeoutOption(Deferred.await(started), watcherStart)
        isStarting = false
      })

    const tick = Effect.gen(function* () {
      const identity = yield* Effect.either(files.identity(source.path))
      if (Either.isLeft(identity)) {
        yield* FiberHandle.clear(watching)
        watched = null
        seen = null
        startAgain = 0
        wanted = null
        scanBell.unsafeClose()
        scanned = true
        return yield* setHealth("missing", identity.left.reason)
      }
      if (identity.right !== seen) wantScan(seen === null ? "the source is there" : "the source was replaced")
      const now = yield* monotonic
      const isOther = watched !== null && watched !== identity.right
      if (source.watch !== "poll" && (isOther || identity.right !== seen || (watched === null && now >= startAgain))) {
        startAgain = now + source.pollInterval
        yield* startWatcher(identity.right)
        wantScan("watching from now on")
      }
      seen = identity.right
      const jitter = yield* Random.nextRange(0.9, 1.1)
      if (unavailable !== null && watched !== null) {
        yield* FiberHandle.clear(watching)
        watched = null
        startAgain = now + source.rescan * jitter
      }
      const polling = source.watch === "poll" || unavailable !== null
      if (now >= nextScan) wantScan("it is time to")
      if (acceptance.lacks()) wantScan("there is room again for files that wait")
      if (wanted === null) return
      if (pauseUntil > now) yield* Effect.sleep(Math.ceil(pauseUntil - now))
      const why = wanted
      scanning = true
      wanted = null
      scanBell.unsafeClose()
      const outcome = yield* Effect.zipLeft(
        scan(why),
        Effect.sync(() => {
          scanning = false
          scanned = true
        })
      )
      const ended = yield* monotonic
      pauseUntil = ended + Math.max(scanPause, Math.min(outcome.took * 2, source.rescan))
      if (Either.isLeft(outcome.result)) {
        nextScan = ended + source.pollInterval
        return yield* setHealth("missing", outcome.result.left.reason)
      }
      nextScan = ended + (polling && source.watch !== "events" ? source.pollInterval : source.rescan * jitter)
      yield* polling ? setHealth("polling", unavailable ?? "the config says watch: poll") : setHealth("events", null)
    })

    const loop = Effect.forever(
      tick.pipe(
        Effect.zipRight(Effect.sync(progressed)),
        Effect.zipRight(Effect.timeoutOption(scanBell.await, source.pollInterval))
      )
    )
    return yield* Effect.raceFirst(loop, Effect.zipRight(FiberHandle.join(watching), Effect.never))
  })

  return {
    source,
    hint: hints.add,
    status: () => ({
      name: source.name,
      path: source.path,
      health,
      reason,
      settling: settle.size(),
      lastScan,
      ...acceptance.counts()
    }),
    isSettled: () => scanned && !scanning && wanted === null && hints.isEmpty() && settle.size() === 0,
    rerouted: () => {
      acceptance.rerouted()
      wantScan("the config has changed")
    },
    run: Effect.all([Effect.forever(follow), acceptance.run, Effect.scoped(oversee)], {
      concurrency: "unbounded",
      discard: true
    }).pipe(Effect.zipRight(Effect.never), Effect.annotateLogs({ source: source.name }))
  }
}
