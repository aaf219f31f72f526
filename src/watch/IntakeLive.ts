/**
 * The intake over all sources of the config: one supervised fiber each. When the config changes, sources that did not
 * go on undisturbed, and all of them route by the new rules from then on.
 */
import { Clock, Effect, FiberMap, Layer, Stream, SubscriptionRef } from "effect"
import { CurrentSettings } from "../config/CurrentSettings.ts"
import { Signals } from "../deliver/Signals.ts"
import type { Settings, Source } from "../domain/Settings.ts"
import { FileFacts } from "../files/FileFacts.ts"
import { Files } from "../files/Files.ts"
import * as Router from "../route/Router.ts"
import * as Ruleset from "../route/Ruleset.ts"
import { Journal } from "../store/Journal.ts"
import { PauseRepo } from "../store/PauseRepo.ts"
import { Intake, type SourceStatus } from "./Intake.ts"
import { persistently } from "./pace.ts"
import * as SourceIntake from "./SourceIntake.ts"
import { Watcher } from "./Watcher.ts"

export const layer: Layer.Layer<
  Intake,
  never,
  CurrentSettings | FileFacts | Files | Journal | PauseRepo | Signals | Watcher
> = Layer.scoped(
  Intake,
  Effect.gen(function* () {
    const config = yield* CurrentSettings
    const signals = yield* Signals
    const files = yield* Files
    const facts = yield* FileFacts
    const journal = yield* Journal
    const watcher = yield* Watcher
    const pauses = yield* PauseRepo
    const paused = new Map(yield* persistently(pauses.all("source")))
    /** Who changes what runs does so alone. */
    const one = yield* Effect.makeSemaphore(1)
    const fibers = yield* FiberMap.make<string, never, never>()

    // Those who wait for everything to come to rest; each answers whether it has.
    const waiters = new Set<() => boolean>()
    const progressed = (): void => {
      for (const waiter of waiters) if (waiter()) waiters.delete(waiter)
    }

    const counter = counterFrom(yield* persistently(journal.counters))
    /** By what they are: a source that has changed in any way is another one. */
    let sources: ReadonlyMap<string, SourceIntake.SourceIntake> = new Map()
    let router: Router.Router | null = null
    let applied: Settings | null = null

    const intakeOf = (source: Source, first: Router.Router) =>
      SourceIntake.make(source, {
        files,
        facts,
        journal,
        watcher,
        router: () => router ?? first,
        newWork: signals.newWork,
        progressed
      })

    const apply = (settings: Settings) =>
      Effect.gen(function* () {
        if (settings === applied) return
        const next = Router.compile(settings, { counter })
        const isOther = next.ruleset !== router?.ruleset
        if (isOther) yield* persistently(journal.ruleset(next.ruleset, Ruleset.encode(settings)))
        const wanted = new Map(settings.sources.map((source) => [JSON.stringify(source), source]))
        for (const key of sources.keys()) if (!wanted.has(key)) yield* FiberMap.remove(fibers, key)
        const kept = sources
        sources = new Map(Array.from(wanted, ([key, source]) => [key, kept.get(key) ?? intakeOf(source, next)]))
        router = next
        applied = settings
        for (const [key, intake] of sources) {
          if (paused.has(intake.source.name)) continue
          if (!kept.has(key)) yield* FiberMap.run(fibers, key, intake.run)
          else if (isOther) intake.rerouted()
        }
        progressed()
      }).pipe(one.withPermits(1))

    const entryOf = (name: string) => Array.from(sources).find(([, { source }]) => source.name === name)

    const pause = (name: string) =>
      Effect.gen(function* () {
        if (paused.has(name)) return false
        const since = yield* Clock.currentTimeMillis
        yield* pauses.pause("source", name, since)
        paused.set(name, since)
        const entry = entryOf(name)
        // as where the config has it no more: what is not accepted by now is found again
        if (entry !== undefined) yield* FiberMap.remove(fibers, entry[0])
        yield* Effect.logInfo(`Source ${name} is paused: no new files are accepted until it is resumed`)
        progressed()
        return true
      }).pipe(Effect.uninterruptible, one.withPermits(1))

    const resume = (name: string) =>
      Effect.gen(function* () {
        if (!paused.has(name)) return false
        yield* pauses.resume("source", name)
        paused.delete(name)
        const entry = entryOf(name)
        if (entry !== undefined && router !== null) {
          const [key, old] = entry
          // from the beginning: with a scan, and without what the old one had in hand
          const fresh = goOn(old, intakeOf(old.source, router))
          sources = new Map(sources).set(key, fresh)
          yield* FiberMap.run(fibers, key, Effect.interruptible(fresh.run))
        }
        yield* Effect.logInfo(`Source ${name} is resumed`)
        return true
      }).pipe(Effect.uninterruptible, one.withPermits(1))

    const status = (intake: SourceIntake.SourceIntake): SourceStatus => {
      const since = paused.get(intake.source.name) ?? null
      // nothing is looked at, so nothing is known to wait
      return { ...intake.status(), paused: since, ...(since === null ? {} : { settling: 0, waiting: 0 }) }
    }

    const hint = (directory: string, hint: Parameters<SourceIntake.SourceIntake["hint"]>[0]) =>
      Effect.sync(() => {
        for (const { hint: take, source } of sources.values()) {
          // of one that is paused a scan finds it later
          if (source.path === directory && !paused.has(source.name)) take(hint)
        }
      })

    for (const [name, since] of paused) {
      yield* Effect.logInfo(`Source ${name} is paused since ${new Date(since).toISOString()}: nothing is accepted`)
    }
    yield* apply(yield* SubscriptionRef.get(config))
    yield* FiberMap.run(fibers, "config", config.changes.pipe(Stream.runForEach(apply), Effect.zipRight(Effect.never)))
    yield* FiberMap.run(
      fibers,
      "changes",
      signals.changes.pipe(
        Stream.flattenIterables,
        Stream.runForEach(({ paths, source }) =>
          paths === null
            ? hint(source, { _tag: "Scan", reason: "many files changed while they were sent" })
            : Effect.forEach(paths, (path) => hint(source, { _tag: "Path", path }), { discard: true })
        ),
        Effect.zipRight(Effect.never)
      )
    )

    return {
      hint: (directory, path) => hint(directory, { _tag: "Path", path }),
      status: Effect.sync(() => Array.from(sources.values(), status)),
      pause,
      resume,
      counter,
      settled: Effect.async<void>((resume) => {
        const check = (): boolean => {
          const isSettled = Array.from(sources.values()).every(
            ({ isSettled, source }) => paused.has(source.name) || isSettled()
          )
          if (isSettled) resume(Effect.void)
          return isSettled
        }
        if (check()) return
        waiters.add(check)
        return Effect.sync(() => waiters.delete(check))
      }),
      join: Effect.zipRight(FiberMap.join(fibers), Effect.never)
    }
  })
)

/** What the old one has counted since the start is not forgotten. */
const goOn = (old: SourceIntake.SourceIntake, fresh: SourceIntake.SourceIntake): SourceIntake.SourceIntake => {
  const { accepted, missed, unmatched } = old.status()
  return {
    ...fresh,
    status: () => {
      const status = fresh.status()
      return {
        ...status,
        accepted: status.accepted + accepted,
        missed: status.missed + missed,
        unmatched: status.unmatched + unmatched
      }
    }
  }
}

/** The next number of a route, given in memory; the last one is committed with the file that has it. */
const counterFrom = (known: ReadonlyMap<string, number>): ((route: string) => number) => {
  const last = new Map(known)
  return (route) => {
    const next = (last.get(route) ?? 0) + 1
    last.set(route, next)
    return next
  }
}
