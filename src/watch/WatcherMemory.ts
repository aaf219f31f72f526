/**
 * A watcher that says what it is told to say, for tests and for embedding apps that know by themselves what changes.
 */
import { Context, Effect, Layer, Stream } from "effect"
import * as RelPath from "../domain/RelPath.ts"
import * as HintBuffer from "./HintBuffer.ts"
import { Watcher, type Hint } from "./Watcher.ts"

export class WatcherHandle extends Context.Tag("filedispatch/watch/WatcherHandle")<
  WatcherHandle,
  {
    /** Passes a hint to whoever watches the source of this name; without a watcher it is lost, as an event would be. */
    readonly push: (source: string, hint: Hint) => Effect.Effect<void>
    /** How often the source of this name has been started to be watched. */
    readonly starts: (source: string) => Effect.Effect<number>
    /** Says from now on that events can't be had, for this reason; null: they can again. */
    readonly refuse: (reason: string | null) => Effect.Effect<void>
    /** Whether changes that are made to see whether events come are told of from now on; null: none may be made. */
    readonly answer: (answers: boolean | null) => Effect.Effect<void>
  }
>() {}

export const layer: Layer.Layer<Watcher | WatcherHandle> = Layer.effectContext(
  Effect.sync(() => {
    const watching = new Map<string, HintBuffer.HintBuffer>()
    const starts = new Map<string, number>()
    let refused: string | null = null
    let answers: boolean | null = null
    return Context.make(Watcher, {
      stir: (source, directory) =>
        Effect.sync(() => {
          const path = RelPath.make(`${directory}/`)
          if (answers === true) watching.get(source.name)?.add({ _tag: "Path", path })
          return answers === null ? null : path
        }),
      watch: (source) =>
        Stream.acquireRelease(
          Effect.sync(() => {
            const buffer = HintBuffer.make()
            starts.set(source.name, (starts.get(source.name) ?? 0) + 1)
            if (refused === null) buffer.add({ _tag: "Scan", reason: "watching" })
            else buffer.add({ _tag: "Unavailable", reason: refused })
            watching.set(source.name, buffer)
            return buffer
          }),
          (buffer) =>
            Effect.sync(() => {
              if (watching.get(source.name) === buffer) watching.delete(source.name)
            })
        ).pipe(Stream.flatMap((buffer) => Stream.repeatEffect(buffer.take(1024)).pipe(Stream.flattenIterables)))
    }).pipe(
      Context.add(WatcherHandle, {
        push: (source, hint) => Effect.sync(() => watching.get(source)?.add(hint)),
        starts: (source) => Effect.sync(() => starts.get(source) ?? 0),
        refuse: (reason) =>
          Effect.sync(() => {
            refused = reason
          }),
        answer: (value) =>
          Effect.sync(() => {
            answers = value
          })
      })
    )
  })
)
