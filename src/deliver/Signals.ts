/**
 * What the intake and the dispatcher tell each other, so that neither needs to know the other: lanes that have new
 * work in the journal, and source files that turned out to have changed while they were sent.
 *
 * Both directions coalesce and never block. They are hints: the truth is in the journal and on the disk.
 */
import { Context, Effect, Layer, Stream } from "effect"
import type { RelPath } from "../domain/RelPath.ts"

/** Files of one source that must be looked at again; `null`: so many that the source must be scanned. */
export interface Changed {
  /** The source's directory. */
  readonly source: string
  readonly paths: ReadonlyArray<RelPath> | null
}

export class Signals extends Context.Tag("filedispatch/deliver/Signals")<
  Signals,
  {
    /** These lanes have new work in the journal. */
    readonly newWork: (lanes: ReadonlyArray<string>) => Effect.Effect<void>
    /** The lanes told of since the last time, for one reader. */
    readonly lanes: Stream.Stream<ReadonlyArray<string>>
    /** This source file is no longer the generation that was accepted. */
    readonly changed: (source: string, path: RelPath) => Effect.Effect<void>
    /** The changes told of since the last time, for one reader. */
    readonly changes: Stream.Stream<ReadonlyArray<Changed>>
  }
>() {}

/** More changed files than this in one source, and it is scanned instead. */
const maxPaths = 10_000

export const layer: Layer.Layer<Signals> = Layer.sync(Signals, () => {
  const lanes = new Set<string>()
  const changed = new Map<string, Set<RelPath> | null>()
  const lanesBell = Effect.unsafeMakeLatch(false)
  const changedBell = Effect.unsafeMakeLatch(false)
  return {
    newWork: (names) =>
      Effect.suspend(() => {
        for (const name of names) lanes.add(name)
        return names.length === 0 ? Effect.void : lanesBell.open
      }),
    lanes: drained(lanesBell, () => {
      const all = [...lanes]
      lanes.clear()
      return all
    }),
    changed: (source, path) =>
      Effect.suspend(() => {
        const paths = changed.get(source)
        if (paths === undefined) changed.set(source, new Set([path]))
        else if (paths !== null && paths.add(path).size > maxPaths) changed.set(source, null)
        return changedBell.open
      }),
    changes: drained(changedBell, () => {
      const all = Array.from(changed, ([source, paths]) => ({ source, paths: paths === null ? null : [...paths] }))
      changed.clear()
      return all
    })
  }
})

/** What `take` empties, each time that the bell has rung. */
const drained = <A>(bell: Effect.Latch, take: () => A): Stream.Stream<A> =>
  Stream.repeatEffect(
    bell.await.pipe(
      Effect.zipRight(bell.close),
      Effect.map(() => take())
    )
  )
