/**
 * What becomes of the quiet files of one source: held back until they may be taken, routed, and admitted to the journal.
 *
 * `take` looks at what is due and asks the router, which answers at once for most files. Those whose bytes must be asked
 * go to a few readers, so that a slow document holds up nothing but other files that have to be read. `admit` commits
 * what is decided, many files at a time; whoever decides waits where the journal does not keep up.
 */
import { Clock, Effect, Either, type Context } from "effect"
import type { Found, Stamp } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Source } from "../domain/Settings.ts"
import type { FileFacts } from "../files/FileFacts.ts"
import type { Files } from "../files/Files.ts"
import type { Marker } from "../route/Marker.ts"
import type { Decision, Router } from "../route/Router.ts"
import type { Admission, Journal } from "../store/Journal.ts"
import type { Held } from "./Held.ts"
import { monotonic, persistently } from "./pace.ts"
import type { Settle, Waiting } from "./Settle.ts"

export interface Services {
  readonly files: Pick<Context.Tag.Service<typeof Files>, "look">
  readonly facts: Context.Tag.Service<typeof FileFacts>
  readonly journal: Pick<Context.Tag.Service<typeof Journal>, "admit">
  /** The one of today. */
  readonly router: () => Router
  /** These lanes have new work. */
  readonly newWork: (lanes: ReadonlyArray<string>) => Effect.Effect<void>
  /** Called whenever the source may have come to rest. */
  readonly progressed: () => void
}

export interface Acceptance {
  /** Ends only by a bug. */
  readonly run: Effect.Effect<never>
  /** There is something new in Settle. */
  readonly wake: () => void
  /** This marker may have come: the files that wait for it are looked at. */
  readonly marked: (path: RelPath.RelPath) => void
  /** Whether a file is held back as what it is now; what was held of it as something else is forgotten. */
  readonly holds: (file: Found) => boolean
  /** Holds a file back that is much too young; false where it is old enough, or will be by the time it is quiet. */
  readonly tooYoung: (file: Found, now: number) => boolean
  /** The file is gone. */
  readonly forget: (path: RelPath.RelPath) => void
  /** The router is another one: what it was asked before counts no more. A scan is to follow. */
  readonly rerouted: () => void
  /** Whether there is room again for files that could not be held back, so that a scan is to find them. */
  readonly lacks: () => boolean
  /** Whether there are files that could not be held back: every scan finds them anew. */
  readonly isShort: () => boolean
  readonly counts: () => { readonly accepted: number; readonly unmatched: number; readonly waiting: number }
}

/** How many files are looked at, or admitted, at once. */
const batchSize = 500

/** How many files are read at once, at most, to find out where they go. */
const readers = 4

/** After how long a file that can't be read, or whose time had come too early, is asked again. In milliseconds. */
const unreadablePause = 30_000
const leastPause = 1000

/** A sleeping clock may be behind the one on the wall, which may be set: look at that again so often. */
const longestSleep = 60_000

interface Decided {
  readonly router: Router
  readonly waiting: Waiting
  readonly admission: Admission
}

export const make = (
  source: Source,
  state: { readonly settle: Settle; readonly held: Held; readonly marker: Marker | null },
  services: Services
): Acceptance => {
  const { facts, files, journal, newWork, progressed, router } = services
  const { held, marker, settle } = state
  const bell = Effect.unsafeMakeLatch(false)
  const readBell = Effect.unsafeMakeLatch(false)
  const decidedBell = Effect.unsafeMakeLatch(false)
  const room = Effect.unsafeMakeLatch(true)

  let accepted = 0
  let unmatched = 0
  /** Quiet files that are to be looked at; for Settle they are handed out. */
  let quiet: Array<Waiting> = []
  /** Quiet files whose bytes are to be asked. */
  let unread: Array<Waiting> = []
  let decided: Array<Decided> = []
  /** Markers that were told of while it is looked for some; null: it is not. */
  let told: Set<RelPath.RelPath> | null = null
  /** Files whose last change is still to come, and when they were seen so. */
  const fromTheFuture = new Map<RelPath.RelPath, { readonly stamp: Stamp; readonly at: number }>()
  /** Files that could not be read, which is said once. */
  let unreadable = new Set<RelPath.RelPath>()

  /** When it is old enough. */
  const oldAt = (file: Found, now: number): number => {
    const changed = changedAt(file)
    if (changed <= now) return changed + source.minAge
    // the clock was set back since: all that can be known of its age is when it was seen first
    const seen = fromTheFuture.get(file.path)
    if (seen?.stamp === file.stamp && seen.at <= now) return seen.at + source.minAge
    if (fromTheFuture.size >= 10_000) fromTheFuture.clear()
    fromTheFuture.set(file.path, { stamp: file.stamp, at: now })
    return now + source.minAge
  }

  const release = (waiting: ReadonlyArray<Waiting>): void => {
    // one that is in Settle has changed, and comes from there
    for (const file of waiting) if (settle.adopt(file)) quiet.push(file)
    if (quiet.length > 0) bell.unsafeOpen()
  }

  const holdBack = (waiting: Waiting, stamp: Stamp, until: number | null, marker: RelPath.RelPath | null): void => {
    settle.done(waiting)
    // it was observed to have changed meanwhile
    if (!settle.has(waiting.path)) held.hold({ path: waiting.path, stamp }, until, marker)
    bell.unsafeOpen()
  }

  const look = (paths: ReadonlyArray<RelPath.RelPath>) =>
    paths.length === 0 ? Effect.succeed([]) : files.look(source.path, paths, source.symlinks)

  /** They are looked at again after a while: the source could not be read. */
  const later = (due: ReadonlyArray<Waiting>, message: string) =>
    Effect.gen(function* () {
      yield* Effect.logWarning(message)
      yield* Effect.sleep(source.pollInterval)
      const now = yield* monotonic
      for (const file of due) settle.again(file, now)
      bell.unsafeOpen()
    })

  const decide = (router: Router, waiting: Waiting, file: Found, { placed, until }: Decision, now: number): void => {
    if (placed.length === 0 && until !== null) {
      return holdBack(waiting, file.stamp, Math.max(until, now + leastPause), null)
    }
    const counters: Record<string, number> = {}
    for (const { facts, route } of placed) if (facts !== null && facts.counter !== null) counters[route] = facts.counter
    const admission = {
      source: source.path,
      after: source.after,
      onDead: source.onDead,
      marker: marker?.of(file.path) ?? null,
      file,
      placements: placed,
      counters
    }
    decided.push({ router, waiting, admission })
    if (decided.length >= batchSize) room.unsafeClose()
    decidedBell.unsafeOpen()
  }

  // From Settle to the router.

  const take = Effect.gen(function* () {
    yield* room.await
    const now = yield* monotonic
    const wall = yield* Clock.currentTimeMillis
    release(held.due(wall, batchSize))
    const due = quiet.splice(0, batchSize)
    if (due.length < batchSize) due.push(...settle.due(now, batchSize - due.length))
    if (due.length === 0) {
      bell.unsafeClose()
      const settles = settle.nextDue()
      const ends = held.nextDue()
      if (settles === null && ends === null) return yield* bell.await
      const pause = Math.min(settles === null ? Infinity : settles - now, ends === null ? Infinity : ends - wall)
      return yield* Effect.timeoutOption(bell.await, Math.ceil(Math.max(0, Math.min(pause, longestSleep))))
    }
    const looked = yield* Effect.either(look(due.map((file) => file.path)))
    if (Either.isLeft(looked)) return yield* later(due, looked.left.message)
    const seen = yield* monotonic
    const ready: Array<Ready> = []
    for (const [index, waiting] of due.entries()) {
      const file = looked.right[index] ?? null
      if (file === null) settle.done(waiting)
      else if (file.stamp !== waiting.stamp && source.settle > 0) settle.observe(file.path, file.stamp, seen)
      else {
        const old = oldAt(file, wall)
        if (source.minAge > 0 && old > wall) holdBack(waiting, file.stamp, old, null)
        else ready.push({ waiting, file })
      }
    }
    const complete = marker === null ? Either.right(ready) : yield* Effect.either(marked(marker, ready))
    if (Either.isLeft(complete)) {
      return yield* later(
        ready.map(({ waiting }) => waiting),
        complete.left.message
      )
    }
    const current = router()
    for (const { file, waiting } of complete.right) {
      const decision = current.route(source, file, wall)
      if (decision !== "read") decide(current, waiting, file, decision, wall)
      else {
        unread.push(waiting)
        readBell.unsafeOpen()
      }
    }
    progressed()
  })

  /** Those whose marker is there; the others are held back until it is. */
  const marked = (marker: Marker, ready: ReadonlyArray<Ready>) =>
    Effect.gen(function* () {
      const markers = ready.map(({ file }) => marker.of(file.path))
      const meanwhile = new Set<RelPath.RelPath>()
      told = meanwhile
      const looked = yield* Effect.ensuring(
        look(markers),
        Effect.sync(() => {
          told = null
        })
      )
      return ready.filter(({ file, waiting }, index) => {
        const path = markers[index]
        if (path === undefined || looked[index] != null) return true
        if (meanwhile.has(path)) quiet.push(waiting)
        else holdBack(waiting, file.stamp, null, path)
        return false
      })
    })

  // Files whose bytes are asked.

  const read = Effect.gen(function* () {
    yield* Effect.zipRight(readBell.await, room.await)
    const waiting = nextUnread()
    if (waiting === undefined) return
    const looked = yield* Effect.either(look([waiting.path]))
    if (Either.isLeft(looked)) return yield* later([waiting], looked.left.message)
    const file = looked.right[0] ?? null
    if (file === null) settle.done(waiting)
    else if (file.stamp !== waiting.stamp && source.settle > 0) {
      settle.observe(file.path, file.stamp, yield* monotonic)
      bell.unsafeOpen()
    } else yield* ask(waiting, file)
    progressed()
  })

  const ask = (waiting: Waiting, file: Found) =>
    Effect.gen(function* () {
      const current = router()
      const now = yield* Clock.currentTimeMillis
      const decision = yield* Effect.either(current.read(source, file, now, facts.of(source.path, file)))
      if (Either.isRight(decision)) {
        unreadable.delete(waiting.path)
        return decide(current, waiting, file, decision.right, now)
      }
      // gone or changed, as the next look will find, or not to be read, which may be put right
      const after = yield* Effect.orElseSucceed(look([waiting.path]), () => [file])
      const is = after[0] ?? null
      if (is === null) return settle.done(waiting)
      if (is.stamp !== file.stamp && source.settle > 0) {
        settle.observe(is.path, is.stamp, yield* monotonic)
        return bell.unsafeOpen()
      }
      const pause = is.stamp === file.stamp ? unreadablePause : leastPause
      holdBack(waiting, is.stamp, now + pause, null)
      if (is.stamp !== file.stamp || unreadable.has(waiting.path)) return
      if (unreadable.size > 1000) unreadable = new Set()
      unreadable.add(waiting.path)
      const place = RelPath.display(waiting.path)
      yield* Effect.logWarning(`${place} waits, because it can't be told where it goes: ${decision.left.message}`)
    })

  let nextIndex = 0
  const nextUnread = (): Waiting | undefined => {
    const next = unread[nextIndex]
    nextIndex += 1
    if (nextIndex >= unread.length) {
      unread = []
      nextIndex = 0
      readBell.unsafeClose()
    } else if (nextIndex >= 4096) {
      unread = unread.slice(nextIndex)
      nextIndex = 0
    }
    return next
  }

  // From the router to the journal.

  const admit = Effect.gen(function* () {
    yield* decidedBell.await
    const current = router()
    const batch = decided.slice(0, batchSize)
    decided = decided.slice(batchSize)
    if (decided.length === 0) decidedBell.unsafeClose()
    if (decided.length < batchSize) room.unsafeOpen()
    // by rules that are not in force any more: they are asked anew
    const stale = batch.filter((one) => one.router !== current).map((one) => one.waiting)
    const valid = stale.length === 0 ? batch : batch.filter((one) => one.router === current)
    if (valid.length > 0) {
      const admissions = valid.map((one) => one.admission)
      yield* persistently(journal.admit(current.ruleset, admissions)).pipe(
        Effect.flatMap(newWork),
        // it may have been committed all the same, and the lanes must know
        Effect.onInterrupt(() => newWork(lanesOf(admissions)))
      )
      const changed = router() !== current
      for (const { admission, waiting } of valid) {
        if (admission.placements.length > 0) accepted += 1
        else if (!changed) unmatched += 1
        else {
          stale.push(waiting)
          continue
        }
        settle.done(waiting)
      }
      yield* Effect.logDebug(`Accepted ${valid.length} files`)
    }
    if (stale.length > 0) {
      quiet = quiet.concat(stale)
      bell.unsafeOpen()
    }
    progressed()
  })

  return {
    run: Effect.all(
      [Effect.forever(take), Effect.forever(admit), ...Array.from({ length: readers }, () => Effect.forever(read))],
      { concurrency: "unbounded", discard: true }
    ).pipe(Effect.zipRight(Effect.never)),
    wake: () => {
      if (settle.nextDue() !== null) bell.unsafeOpen()
    },
    marked: (path) => {
      told?.add(path)
      release(held.marked(path))
    },
    holds: (file) => {
      if (held.has(file.path, file.stamp)) return true
      held.forget(file.path)
      return false
    },
    tooYoung: (file, now) => {
      const old = oldAt(file, now)
      if (source.minAge === 0 || old - now <= source.settle) return false
      held.hold(file, old, null)
      bell.unsafeOpen()
      return true
    },
    forget: held.forget,
    rerouted: held.clear,
    lacks: held.lacks,
    isShort: held.isShort,
    counts: () => ({ accepted, unmatched, waiting: held.size() })
  }
}

interface Ready {
  readonly waiting: Waiting
  readonly file: Found
}

/** When the content changed last. A time to come is none that anybody can have seen: then it counts when it came. */
const changedAt = (file: Found): number => {
  const changed = Number(file.stamp.slice(file.stamp.lastIndexOf(":") + 1)) / 1e6
  return Math.min(file.mtime, changed)
}

const lanesOf = (admissions: ReadonlyArray<Admission>): ReadonlyArray<string> =>
  Array.from(new Set(admissions.flatMap(({ placements }) => placements.map(({ target }) => target.lane))))
