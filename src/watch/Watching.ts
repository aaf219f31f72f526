/**
 * The watcher of one source while it runs: started, started anew, and asked for a sign of life.
 */
import { Deferred, Effect, FiberHandle, Option, Stream, type Context, type Scope } from "effect"
import type { RelPath } from "../domain/RelPath.ts"
import type { Source } from "../domain/Settings.ts"
import type { Hint, Watcher } from "./Watcher.ts"

export interface Watching {
  /** The identity of the directory that is watched; null: none is. */
  readonly watched: () => string | null
  /** Whether events come: the watcher has said that it watches. */
  readonly isReady: () => boolean
  /** Watches this directory, and nothing else. Waits until it does, though not long for a large tree. */
  readonly start: (identity: string) => Effect.Effect<void>
  readonly stop: Effect.Effect<void>
  /**
   * Whether the watcher tells of a change that is made in a directory to find out; null where the source does not
   * allow one. A path relative to the source, `""` for itself.
   */
  readonly answers: (directory: RelPath) => Effect.Effect<boolean | null>
  /** Ends only with the failure of a watcher. */
  readonly join: Effect.Effect<never>
}

/** How long a scan waits for the watcher to watch. A large tree goes on after it, and asks for another scan. */
const watcherStart = "1 second"

/** How long a sign of life may take on a busy machine, and how long events that are there may take to be taken in. */
const answerWithin = "5 seconds"
const takenIn = "100 millis"

/** So many names are a sign of life, too. */
const mostHeard = 10_000

export const make = (
  source: Source,
  watcher: Context.Tag.Service<typeof Watcher>,
  on: { readonly hint: (hint: Hint) => void; readonly ended: () => void }
): Effect.Effect<Watching, never, Scope.Scope> =>
  Effect.gen(function* () {
    const fiber = yield* FiberHandle.make<void, never>()
    let watched: string | null = null
    let isReady = false
    /** What is named while a sign of life is waited for; null: none is. */
    let heard: Set<RelPath> | null = null
    const hears = Effect.unsafeMakeLatch(false)

    const ended = (): void => {
      watched = null
      isReady = false
    }

    const stop = Effect.suspend(() => {
      ended()
      return FiberHandle.clear(fiber)
    })

    const start = (identity: string) =>
      Effect.gen(function* () {
        yield* stop
        const started = yield* Deferred.make<void>()
        let isStarting = true
        watched = identity
        const watch = watcher.watch(source).pipe(
          Stream.runForEach((hint) =>
            Effect.sync(() => {
              isReady = true
              // The first hint to scan says no more than that it watches, and a scan is about to follow.
              if (hint._tag !== "Scan" || !isStarting) on.hint(hint)
              if (heard !== null && hint._tag === "Path" && heard.size < mostHeard) {
                heard.add(hint.path)
                hears.unsafeOpen()
              }
              Deferred.unsafeDone(started, Effect.void)
            })
          ),
          Effect.zipRight(Effect.sync(ended)),
          Effect.zipRight(Effect.sync(on.ended)),
          Effect.ensuring(Deferred.succeed(started, undefined))
        )
        yield* FiberHandle.run(fiber, watch)
        yield* Effect.timeoutOption(Deferred.await(started), watcherStart)
        isStarting = false
      })

    const isHeard = (path: RelPath, names: ReadonlySet<RelPath>): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (names.has(path)) return Effect.void
        hears.unsafeClose()
        return Effect.zipRight(hears.await, isHeard(path, names))
      })

    const answers = (directory: RelPath) =>
      Effect.gen(function* () {
        if (watcher.stir === undefined || !isReady) return null
        const names = new Set<RelPath>()
        heard = names
        const path = yield* watcher.stir(source, directory)
        if (path === null) return null
        const answer = yield* Effect.timeoutOption(isHeard(path, names), answerWithin)
        if (Option.isSome(answer)) return true
        // the process may have slept through that time, with the event waiting
        return Option.isSome(yield* Effect.timeoutOption(isHeard(path, names), takenIn)) || names.size >= mostHeard
      }).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            heard = null
          })
        )
      )

    return {
      watched: () => watched,
      isReady: () => isReady,
      start,
      stop,
      answers,
      join: Effect.zipRight(FiberHandle.join(fiber), Effect.never)
    }
  })

/** What a watcher that named nothing of a change, made to find out, is said to do. */
export const silence = "no event came of a change that was made to see whether any do. Nothing is lost by that"

/** What follows from whether a change that was made to find out was named. */
export const verdict = (answers: boolean | null): string =>
  answers === true
    ? "A change that was made here to see whether events come was told of: the system is silent about some, as it is " +
      "about those that other machines make on a network share. Where that is so, watch: poll says it for good"
    : answers === false
      ? "A change that was made to see whether events come was not told of, either: the watcher is restarted"
      : "The watcher is restarted. On a network share, where no events come of what other machines do, set watch: poll"
