/**
 * Who is paused: sources by their names, and lanes. It is kept until somebody resumes them, over restarts and changes of
 * the config.
 */
import { Context, type Effect } from "effect"
import type { JournalError } from "./Journal.ts"

export type Pausable = "source" | "lane"

export class PauseRepo extends Context.Tag("filedispatch/store/PauseRepo")<
  PauseRepo,
  {
    /** The names of those that are paused, and since when, in milliseconds since the epoch. */
    readonly all: (what: Pausable) => Effect.Effect<ReadonlyMap<string, number>, JournalError>
    /** One that is paused already stays so since then. */
    readonly pause: (what: Pausable, name: string, since: number) => Effect.Effect<void, JournalError>
    readonly resume: (what: Pausable, name: string) => Effect.Effect<void, JournalError>
  }
>() {}
