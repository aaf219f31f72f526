/**
 * The intake over all sources of the config: one supervised fiber each.
 */
import { Effect, FiberSet, Layer, Stream, SubscriptionRef } from "effect"
import { CurrentSettings } from "../config/CurrentSettings.ts"
import { Signals } from "../deliver/Signals.ts"
import { Files } from "../files/Files.ts"
import * as Router from "../route/Router.ts"
import { Journal } from "../store/Journal.ts"
import { Intake } from "./Intake.ts"
import * as SourceIntake from "./SourceIntake.ts"
import { Watcher } from "./Watcher.ts"

export const layer: Layer.Layer<Intake, never, CurrentSettings | Files | Journal | Signals | Watcher> = Layer.scoped(
  Intake,
  Effect.gen(function* () {
    const settings = yield* SubscriptionRef.get(yield* CurrentSettings)
    const signals = yield* Signals
    const files = yield* Files
    const journal = yield* Journal
    const watcher = yield* Watcher
    const router = Router.compile(settings)

    // Those who wait for everything to come to rest; each answers whether it has.
    const waiters = new Set<() => boolean>()
    const progressed = (): void => {
      for (const waiter of waiters) if (waiter()) waiters.delete(waiter)
    }

    const sources = settings.sources.map((source) =>
      SourceIntake.make(source, { files, journal, watcher, router, newWork: signals.newWork, progressed })
    )

    const hint = (directory: string, hint: Parameters<SourceIntake.SourceIntake["hint"]>[0]) =>
      Effect.sync(() => {
        for (const one of sources) if (one.source.path === directory) one.hint(hint)
      })

    const fibers = yield* FiberSet.make<never, never>()
    for (const source of sources) yield* FiberSet.run(fibers, source.run)
    yield* FiberSet.run(
      fibers,
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
      status: Effect.sync(() => sources.map((source) => source.status())),
      settled: Effect.async<void>((resume) => {
        const check = (): boolean => {
          const isSettled = sources.every((source) => source.isSettled())
          if (isSettled) resume(Effect.void)
          return isSettled
        }
        if (check()) return
        waiters.add(check)
        return Effect.sync(() => waiters.delete(check))
      }),
      join: Effect.zipRight(FiberSet.join(fibers), Effect.never)
    }
  })
)
