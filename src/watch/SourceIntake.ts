/**
 * One source: its watcher's hints and its scans end in Settle, and what is quiet goes to its {@link Acceptance}.
 *
 * Two loops share a little state. `oversee` keeps the watcher alive and scans; `follow` looks at what hints name. Both
 * hand over in batches and wait for the journal, so that a scan of 100,000 files holds no more of them than Settle does.
 */
import { Clock, Effect, Either, Random, Stream, type Context } from "effect"
import type { Found } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
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
import * as Proof from "./Proof.ts"
import * as Settle from "./Settle.ts"
import type { Hint, Watcher } from "./Watcher.ts"
import * as Watching from "./Watching.ts"

export interface Services extends Acceptance.Services {
  readonly files: Pick<Context.Tag.Service<typeof Files>, "scan" | "look" | "identity">
  readonly journal: Pick<Context.Tag.Service<typeof Journal>, "unknown" | "admit">
  readonly watcher: Context.Tag.Service<typeof Watcher>
}

export interface SourceIntake {
  readonly source: Source
  readonly hint: (hint: Hint) => void
  readonly status: () => Omit<SourceStatus, "paused">
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

/** How long events that are there may take to be taken in, before files are said to have been missed. */
const takenIn = "100 millis"

/** The longest time between two restarts of a watcher in doubt. In milliseconds. */
const longestRest = 3_600_000

/** How many paths that others than the watcher named are told from those that it did. */
const mostForeign = 10_000

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
  const proof = Proof.make()
  /** Why events are not to be relied on. */
  let doubt: string | null = null
  let answered = false
  let lastEvent: number | null = null
  /** What hints named that are being looked at. */
  let inHand: ReadonlyArray<RelPath.RelPath> = []
  /** Paths that others than the watcher named. */
  const foreign = new Set<RelPath.RelPath>()
  let unreadable = new Set<string>()

  const wantScan = (why: string): void => {
    wanted ??= why
    scanBell.unsafeOpen()
  }

  /** A scan that finds what was known, or not to be looked for, before: nothing is held against the watcher. */
  const wantScanAnew = (why: string): void => {
    proof.excuse()
    wantScan(why)
  }

  // From a sighting to Settle.

  /** Answers those that nobody knew of. */
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
      const news = unknown.flatMap(({ path }) => (settle.has(path) ? [] : [path]))
      for (const file of wantedFiles) if (settle.has(file.path)) settle.observe(file.path, file.stamp, now)
      for (const file of unknown) {
        if (!acceptance.tooYoung(file, wall)) settle.observe(file.path, file.stamp, now)
      }
      acceptance.wake()
      return news
    })

  // Hints.

  const follow = Effect.gen(function* () {
    const paths: Array<RelPath.RelPath> = []
    let isEvent = false
    for (const hint of yield* hints.take(batchSize)) {
      if (hint._tag === "Path") {
        isEvent ||= foreign.size === 0 || !foreign.has(hint.path)
        if (marker?.is(hint.path) === true) acceptance.marked(hint.path)
        else if (matcher.accepts(hint.path)) paths.push(hint.path)
      } else if (hint._tag === "Doubtful") {
        if (proof.counts().named === 0 && !proof.inDoubt()) {
          proof.doubt(yield* monotonic)
          doubt = hint.reason
          wantScan("events are in doubt")
        }
      } else {
        if (hint._tag === "Unavailable") unavailable = hint.reason
        wantScanAnew(hint.reason)
      }
    }
    if (isEvent) lastEvent = yield* Clock.currentTimeMillis
    if (paths.length > 0) {
      inHand = paths
      proof.named(paths)
      const looked = yield* Effect.either(files.look(source.path, paths, source.symlinks))
      if (Either.isLeft(looked)) {
        yield* Effect.logWarning(looked.left.message)
        wantScanAnew(looked.left.reason)
      } else {
        for (const [index, path] of paths.entries()) {
          if (looked.right[index] !== null) continue
          settle.forget(path)
          acceptance.forget(path)
        }
        const news = yield* consider(looked.right.filter((file) => file !== null))
        proof.arrived(foreign.size === 0 ? news : news.filter((path) => !foreign.has(path)))
      }
      for (const path of foreign.size === 0 ? [] : paths) foreign.delete(path)
      inHand = []
    }
    hints.done()
    progressed()
    yield* Effect.sleep(gather)
  })

  // Scans, and the watcher.

  const setHealth = (to: SourceStatus["health"], why: string | null, because = "") =>
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
      if (why !== null && why === doubt) {
        const what = to === "polling" ? "polled, until events prove to come" : "watched by events that are in doubt"
        return Effect.logWarning(`${source.path} is ${what}: ${doubt}`)
      }
      return Effect.logInfo(`${source.path} is ${from === "missing" ? "back, and " : ""}watched by ${to}${because}`)
    })

  /** How a source is that is there. */
  const tellHealth = (because?: string) => {
    if (unavailable !== null) return setHealth("polling", unavailable)
    if (source.watch === "poll") return setHealth("polling", "the config says watch: poll")
    return setHealth(doubt !== null && source.watch === "auto" ? "polling" : "events", doubt, because)
  }

  const scan = (why: string, isWatched: boolean) =>
    Effect.gen(function* () {
      const started = yield* monotonic
      yield* Effect.logDebug(`Scanning: ${why}`)
      proof.scanBegins(inHand, isWatched)
      const failed = new Set<string>()
      const result = yield* files
        .scan({ root: source.path, recursive: source.recursive, symlinks: source.symlinks })
        .pipe(
          Stream.runForEach((batch) =>
            Effect.zipRight(
              Effect.flatMap(consider(batch.found), heldAgainstEvents),
              Effect.forEach(batch.failed, (error) => reportUnreadable(error, failed), { discard: true })
            )
          ),
          Effect.either
        )
      lastScan = yield* Clock.currentTimeMillis
      // what was found and could not be kept is found again
      proof.scanEnds(Either.isRight(result) && !acceptance.isShort())
      if (Either.isRight(result)) unreadable = failed
      return { result, took: (yield* monotonic) - started }
    })

  const heldAgainstEvents = (news: ReadonlyArray<RelPath.RelPath>) =>
    news.length === 0 ? Effect.void : Effect.map(monotonic, (now) => proof.found(news, now))

  /** Logs what can't be read below the source: once, until it could be read again. */
  const reportUnreadable = (error: FilesError, failed: Set<string>) =>
    Effect.suspend(() => {
      failed.add(error.path)
      return unreadable.has(error.path) ? Effect.void : Effect.logWarning(error.message)
    })

  const oversee = Effect.gen(function* () {
    const watching = yield* Watching.make(source, watcher, {
      hint: (hint) => {
        if (hint._tag === "Unavailable") unavailable = hint.reason
        hints.add(hint)
      },
      ended: () => wantScanAnew("the watcher ended")
    })
    let seen: string | null = null
    let startAgain = 0
    let nextScan = 0
    let pauseUntil = 0
    /** Whether the watcher has yet to show that it lives. */
    let isNew = false
    /** When a watcher in doubt is restarted, at the next miss, and how long it is left alone after that. */
    let restartAt = 0
    let rest = source.rescan

    const startWatcher = (identity: string) =>
      Effect.gen(function* () {
        unavailable = null
        isNew = true
        yield* watching.start(identity)
        wantScanAnew("watching from now on")
      })

    const isDoubtful = (why: string) =>
      Effect.gen(function* () {
        proof.doubt(yield* monotonic)
        doubt = why
        nextScan = 0
        yield* tellHealth()
      })

    /** Whether the files that scans found were named by events, too, as they should be; and if they are again. */
    const judge = Effect.gen(function* () {
      const suspects = proof.suspects(yield* monotonic)
      if (suspects.length > 0) {
        yield* Effect.sleep(takenIn)
        // no events come from behind a link; otherwise a file counts that is gone since, as those are that were delivered
        const followed = source.symlinks === "follow"
        const looked = followed ? yield* Effect.either(files.look(source.path, suspects, "skip")) : Either.right(null)
        if (Either.isLeft(looked) || !watching.isReady()) return
        const now = yield* monotonic
        const [first, ...others] = proof.judge(
          suspects,
          (path, index) => (looked.right === null || looked.right[index] != null) && !hints.holds(path),
          now
        )
        if (first === undefined) return
        if (doubt === null) {
          const answers = yield* watching.answers(RelPath.dirname(first))
          const what = others.length === 0 ? "was" : `and ${others.length} more were`
          yield* isDoubtful(
            `${RelPath.display(first)} ${what} found, and no event had told of it. ${Watching.verdict(answers)}`
          )
        }
        const identity = watching.watched()
        if (now < restartAt || identity === null) return
        restartAt = now + rest
        rest = Math.min(rest * 2, longestRest)
        return yield* startWatcher(identity)
      }
      const named = proof.counts().named
      if (!proof.recovers(yield* monotonic)) return
      doubt = null
      rest = source.rescan
      nextScan = 0
      yield* tellHealth(` again: they have named new files, ${named} in all, and scans found none that they had not`)
    })

    const prove = Effect.gen(function* () {
      isNew = false
      const answers = yield* watching.answers(RelPath.make(""))
      if (answers === true) answered = true
      else if (answers === false && doubt === null && unavailable === null) yield* isDoubtful(Watching.silence)
    })

    let wall = 0

    const tick = Effect.gen(function* () {
      const before = wall
      wall = yield* Clock.currentTimeMillis
      if (wall < before - 1000) {
        // what is held until a time would wait until the clock is there for the second time
        acceptance.rerouted()
        wantScan("the clock was set back")
      }
      const identity = yield* Effect.either(files.identity(source.path))
      if (Either.isLeft(identity)) {
        yield* watching.stop
        proof.excuse()
        seen = null
        startAgain = 0
        wanted = null
        scanBell.unsafeClose()
        scanned = true
        return yield* setHealth("missing", identity.left.reason)
      }
      if (identity.right !== seen) wantScanAnew(seen === null ? "the source is there" : "the source was replaced")
      const now = yield* monotonic
      const watched = watching.watched()
      const isOther = watched !== null && watched !== identity.right
      if (source.watch !== "poll" && (isOther || identity.right !== seen || (watched === null && now >= startAgain))) {
        startAgain = now + source.pollInterval
        yield* startWatcher(identity.right)
      }
      seen = identity.right
      const jitter = yield* Random.nextRange(0.9, 1.1)
      if (unavailable !== null && watching.watched() !== null) {
        yield* watching.stop
        startAgain = now + source.rescan * jitter
      }
      if (health === "events" || health === "polling") yield* judge
      if (now >= nextScan) wantScan("it is time to")
      if (acceptance.lacks()) wantScanAnew("there is room again for files that wait")
      if (wanted === null) return
      if (pauseUntil > now) yield* Effect.sleep(Math.ceil(pauseUntil - now))
      const why = wanted
      scanning = true
      wanted = null
      scanBell.unsafeClose()
      const outcome = yield* Effect.zipLeft(
        scan(why, watching.isReady()),
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
      const polls = source.watch === "poll" || (source.watch === "auto" && (unavailable ?? doubt) !== null)
      nextScan = ended + (polls ? source.pollInterval : source.rescan * jitter)
      yield* tellHealth()
      progressed()
      if (isNew && watching.isReady()) yield* prove
    })

    const loop = Effect.forever(
      tick.pipe(
        Effect.zipRight(Effect.sync(progressed)),
        Effect.zipRight(Effect.timeoutOption(scanBell.await, source.pollInterval))
      )
    )
    return yield* Effect.raceFirst(loop, watching.join)
  })

  return {
    source,
    hint: (hint) => {
      if (hint._tag === "Path" && foreign.size < mostForeign) foreign.add(hint.path)
      hints.add(hint)
    },
    status: () => ({
      name: source.name,
      path: source.path,
      health,
      reason,
      settling: settle.size(),
      lastScan,
      lastEvent,
      missed: proof.counts().missed,
      proved: doubt !== null ? null : proof.counts().named > 0 ? "events" : answered ? "change" : null,
      ...acceptance.counts()
    }),
    isSettled: () => scanned && !scanning && wanted === null && hints.isEmpty() && settle.size() === 0,
    rerouted: () => {
      acceptance.rerouted()
      wantScanAnew("the config has changed")
    },
    run: Effect.all([Effect.forever(follow), acceptance.run, Effect.scoped(oversee)], {
      concurrency: "unbounded",
      discard: true
    }).pipe(Effect.zipRight(Effect.never), Effect.annotateLogs({ source: source.name }))
  }
}
