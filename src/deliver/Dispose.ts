/**
 * What happens to a source file when all its targets have proved that they have it.
 */
import { Clock, Effect, Schedule, type Scope } from "effect"
import type { Generation, GenerationId } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import { Files } from "../files/Files.ts"
import * as Template from "../route/Template.ts"
import { Journal } from "../store/Journal.ts"

export interface Dispose {
  /** These sources were moved to their only target: they are where they belong already. */
  readonly moved: (ids: ReadonlyArray<GenerationId>) => Effect.Effect<void>
  /** There are committed intents. */
  readonly wake: Effect.Effect<void>
  readonly idle: Effect.Effect<boolean>
  /** Carries out what the journal says is to be disposed of, for ever. */
  readonly run: Effect.Effect<never>
}

export const make = (options: {
  readonly sync: boolean
  /** The name of the source with that directory, for templates. */
  readonly sourceName: (directory: string) => Effect.Effect<string>
}): Effect.Effect<Dispose, never, Files | Journal | Scope.Scope> =>
  Effect.gen(function* () {
    const files = yield* Files
    const journal = yield* Journal
    const bell = yield* Effect.makeLatch(true)
    let working = true
    /** How often it was asked for. */
    let wakes = 0

    const dispose = (generation: Generation) =>
      Effect.gen(function* () {
        const { after, path, source, stamp } = generation
        if (after._tag === "Keep") return { id: generation.id, note: null }
        if (after._tag === "Delete") return yield* files.remove(source, path, stamp, options.sync)
        const template = yield* Template.compile(after.template)
        const to = template.render({
          path,
          source: yield* options.sourceName(source),
          time: yield* Clock.currentTimeMillis
        })
        return yield* files.archive(source, path, stamp, to, options.sync)
      }).pipe(
        Effect.catchAll((error) =>
          Effect.succeed({
            note: `The source file ${RelPath.display(generation.path)} was left where it is: ${error.message}`
          })
        ),
        Effect.tap(({ note }) => (note === null ? Effect.void : Effect.logWarning(note))),
        Effect.map(({ note }) => ({ id: generation.id, note }))
      )

    const step = Effect.gen(function* () {
      yield* bell.await
      yield* bell.close
      working = true
      const asked = wakes
      for (;;) {
        const generations = yield* journal.disposals(batchSize)
        if (generations.length === 0) break
        yield* journal.disposed(yield* Effect.forEach(generations, dispose, { concurrency: 8 }))
      }
      working = wakes !== asked
    }).pipe(
      Effect.tapError((error) => Effect.logError(`Sources wait to be removed or archived: ${error.reason}`)),
      Effect.retry(Schedule.spaced("5 seconds").pipe(Schedule.tapInput(() => bell.open))),
      Effect.orDie
    )

    return {
      moved: (ids) =>
        ids.length === 0
          ? Effect.void
          : Effect.catchAll(journal.disposed(ids.map((id) => ({ id, note: null }))), () => bell.open),
      wake: Effect.zipRight(
        Effect.sync(() => {
          working = true
          wakes += 1
        }),
        bell.open
      ),
      idle: Effect.sync(() => !working),
      run: Effect.forever(step)
    }
  })

const batchSize = 128
