/**
 * A watcher says where something may have changed. Its events are hints, and a scan is the truth: a hint may be
 * missing, late, doubled or wrong, and costs at most a look at one path.
 */
import { Context, type Effect, type Stream } from "effect"
import type { RelPath } from "../domain/RelPath.ts"
import type { Source } from "../domain/Settings.ts"

export type Hint =
  /** This path, relative to the source, may have changed. */
  | { readonly _tag: "Path"; readonly path: RelPath }
  /** Something may have been missed, or can't be named: scan. `reason` is for the log. */
  | { readonly _tag: "Scan"; readonly reason: string }
  /** Events come, but not of every change, as far as is known: poll as well, until they prove to. With the reason. */
  | { readonly _tag: "Doubtful"; readonly reason: string }
  /** Events can't be had (watch limit, file system without them): poll, with the reason and what to do. */
  | { readonly _tag: "Unavailable"; readonly reason: string }

export class Watcher extends Context.Tag("filedispatch/watch/Watcher")<
  Watcher,
  {
    /**
     * Hints for as long as it is run. It never fails: what goes wrong is a hint, too, and an end means that it must be
     * started again. The first hint says that it watches from now on (a `Scan`: what came before must be looked for)
     * or can't (`Unavailable`).
     */
    readonly watch: (source: Source) => Stream.Stream<Hint>
    /**
     * Makes a change in a directory of a source (relative to it, `""` for itself) that a living watcher must name, and
     * that no other program need mind; the path that is to be named, null where the source does not allow such a change.
     */
    readonly stir?: (source: Source, directory: RelPath) => Effect.Effect<RelPath | null>
  }
>() {}
