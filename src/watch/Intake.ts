/**
 * The intake: what a source's watcher hints at and its scans find is settled, routed, and admitted to the journal.
 */
import { Context, type Effect } from "effect"
import type { RelPath } from "../domain/RelPath.ts"
import type { JournalError } from "../store/Journal.ts"

export interface SourceStatus {
  readonly name: string
  readonly path: string
  /** `missing`: the directory is not there; it is looked for again and again. */
  readonly health: "starting" | "events" | "polling" | "missing"
  /** Why it is missing, or why it polls, and what to do. */
  readonly reason: string | null
  /** Since when nothing is accepted, because somebody said so, in milliseconds since the epoch; null: it is not paused. */
  readonly paused: number | null
  /** Files that are not quiet yet. */
  readonly settling: number
  /** Files that are quiet, and wait for their marker, for their age, or to be readable. */
  readonly waiting: number
  readonly lastScan: number | null
  /** When the system last told of a change. */
  readonly lastEvent: number | null
  /** Files that scans found since the start though events should have told of them, and did not; the least it can be. */
  readonly missed: number
  /**
   * What proves that events come: `events`, which named new files; `change`, one that was made to see whether it is told
   * of. Null where nothing does, or where files were missed since.
   */
  readonly proved: "events" | "change" | null
  /** Files accepted since the start. */
  readonly accepted: number
  /** Files seen since the start that no route wanted. */
  readonly unmatched: number
}

export class Intake extends Context.Tag("filedispatch/watch/Intake")<
  Intake,
  {
    /** Looks at one path again: its delivery found that the file had changed. `source` is the directory. */
    readonly hint: (source: string, path: RelPath) => Effect.Effect<void>
    readonly status: Effect.Effect<ReadonlyArray<SourceStatus>>
    /** The next number of a route: nobody else gets it from here on. It is for him who gets it to commit it with the file. */
    readonly counter: (route: string) => number
    /**
     * Accepts no new files of that source until it is resumed, over restarts too; what was accepted goes on. It is not
     * looked at meanwhile: what came is found by a scan once it is resumed. Answers whether that changes anything.
     */
    readonly pause: (source: string) => Effect.Effect<boolean, JournalError>
    readonly resume: (source: string) => Effect.Effect<boolean, JournalError>
    /** Waits until each source that is not paused has been scanned at least once and nothing is settling. */
    readonly settled: Effect.Effect<void>
    /** Ends with the failure that ended the pipeline; otherwise never. */
    readonly join: Effect.Effect<never>
  }
>() {}
