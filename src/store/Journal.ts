/**
 * The journal: the durable state of all deliveries.
 *
 * Whatever it has answered is committed. Every call that changes state takes a batch and is one transaction, so that
 * durability is paid per batch and not per file.
 */
import { Context, Schema, type Effect } from "effect"
import type { Delivery, DeliveryId, Receipt } from "../domain/Delivery.ts"
import type { Facts } from "../domain/Facts.ts"
import type { After, Found, Generation, GenerationId, OnDead, Stamp } from "../domain/Generation.ts"
import type { LogEntry } from "../domain/LogEntry.ts"
import type { RelPath } from "../domain/RelPath.ts"
import type { Placement } from "../domain/Target.ts"
import type { Moved } from "../files/Files.ts"

/** The journal could not be read or written: nothing that was asked for has happened. */
export class JournalError extends Schema.TaggedError<JournalError>("filedispatch/JournalError")("JournalError", {
  /** One line for people: what happened, to which database, and what to do. */
  reason: Schema.String,
  cause: Schema.optionalWith(Schema.Defect, { as: "Option" })
}) {
  override get message() {
    return this.reason
  }
}

/** The last numbers that were given to files, by route. */
export type Counters = Readonly<Record<string, number>>

/** A settled file and where it goes; without placements it is remembered as one that no route wanted. */
export interface Admission {
  /** The source's directory, absolute. */
  readonly source: string
  readonly after: After
  readonly onDead: OnDead
  /** The file that said that this one is complete, relative to the source. */
  readonly marker: RelPath | null
  readonly file: Found
  readonly placements: ReadonlyArray<Placement & { readonly route: string }>
  /** Committed with the file; a number that is lower than the one that is known changes nothing. */
  readonly counters?: Counters
}

/** A generation whose deliveries are given up for new ones, by the rules of today. */
export interface Rerouting {
  readonly generation: GenerationId
  /** Where the file goes now; places where it is already, or is on its way to, are left out. */
  readonly placements: ReadonlyArray<Placement & { readonly route: string }>
  readonly counters?: Counters
}

/** All that were given up, or those of one lane; without what was undone, which is to be left alone unless it is named. */
export type GivenUp = "all" | { readonly lane: string }

/** What became of one attempt. */
export type Conclusion =
  | {
      readonly _tag: "Delivered"
      readonly delivery: Delivery
      readonly receipt: Receipt
      readonly log: LogEntry
    }
  | {
      readonly _tag: "NotDelivered"
      readonly delivery: Delivery
      readonly state: "PENDING" | "RETRY_WAIT" | "BLOCKED" | "DEAD" | "AMBIGUOUS" | "SKIPPED" | "SUPERSEDED"
      readonly reason: string
      /** For RETRY_WAIT: when it is due, in milliseconds since the epoch. */
      readonly due: number | null
      /** Whether it counts against the attempts of the retry policy. */
      readonly counts: boolean
      /** The file was not there, or was another: seen again as it was accepted, it is sent after all. */
      readonly lost?: boolean
      /** What an interrupted attempt may have left at the target was not looked for, and can be: see `litter`. */
      readonly traces?: boolean
      readonly started: number
      readonly ended: number
      /** An entry for what will not be tried again by itself. */
      readonly log: LogEntry | null
    }

/** Generations for which an outcome was the last that they waited for. */
export interface Concluded {
  /** Every target has it, and the source file is to be deleted or archived. */
  readonly dispose: ReadonlyArray<Generation>
  /** Nothing more is tried, a delivery is dead, and the source file is to be moved. */
  readonly dead: ReadonlyArray<Generation>
}

/** A committed intent to do something with a source file. */
export interface Disposal {
  readonly generation: Generation
  /** `done`: every target has it, and `after` says what to do; `dead`: a delivery of it is dead, and `onDead` says it. */
  readonly because: "done" | "dead"
  /** Where it was found: elsewhere than the generation, once that was moved. Templates go by this. */
  readonly origin: { readonly source: string; readonly path: RelPath }
  /** What is known of its content, from its routing and its receipts, where the file is to go by a template. */
  readonly facts: Facts | null
  /**
   * When the intent was committed, in milliseconds since the epoch. It is what templates take for now, so that a process
   * which goes on after a restart finds what was moved before it.
   */
  readonly since: number
}

/** Where an archived file lies, to be removed later. */
export interface Archived {
  /** Absolute, in the form of RelPath. */
  readonly path: string
  /** By which it is found to be that very file still, such as a stamp. */
  readonly identity: string
  /** When it is to be removed, in milliseconds since the epoch. */
  readonly until: number
}

export interface LaneBacklog {
  readonly lane: string
  /** 0 where there is nothing left but what was given up and has to be cleared away at the target. */
  readonly open: number
  /** When the next RETRY_WAIT is due; null where none waits. */
  readonly nextDue: number | null
}

export class Journal extends Context.Tag("filedispatch/store/Journal")<
  Journal,
  {
    /** Unlike that of any other journal: temp names and idempotency keys are made from it. */
    readonly id: string
    /**
     * Those of `found` that are not known yet: no generation with that path and stamp, or one that no route wanted
     * under another `ruleset` (a digest of the routes) than today's, or one that was lost and is back.
     */
    readonly unknown: (
      source: string,
      ruleset: string,
      found: ReadonlyArray<Found>
    ) => Effect.Effect<ReadonlyArray<Found>, JournalError>
    /**
     * Accepts files: from here on they are owed. Deliveries of older generations of the same path that have not begun
     * are superseded. A generation that is known already is left as it is, but what was lost of it is owed again.
     * Answers the lanes that have new work.
     */
    readonly admit: (
      ruleset: string,
      batch: ReadonlyArray<Admission>
    ) => Effect.Effect<ReadonlyArray<string>, JournalError>
    /** The last numbers given to files, by route. */
    readonly counters: Effect.Effect<ReadonlyMap<string, number>, JournalError>
    /** Keeps the rules (JSON) of that digest for as long as a generation was judged by them. */
    readonly ruleset: (digest: string, text: string) => Effect.Effect<void, JournalError>
    /**
     * Takes up to `limit` deliveries of a lane; they are SENDING from here on. First those that have waited for a time
     * which has come at `now`. Of the others those of the highest priority, then of the least rank, then the oldest;
     * but every fourth is the one that has waited longest, so that none waits for ever.
     */
    readonly claim: (lane: string, limit: number, now: number) => Effect.Effect<ReadonlyArray<Delivery>, JournalError>
    /** Gives claimed deliveries back that were not begun. */
    readonly release: (ids: ReadonlyArray<DeliveryId>) => Effect.Effect<void, JournalError>
    /** PUBLISHING under this name: committed before the rename that makes it visible. */
    readonly choose: (id: DeliveryId, name: string) => Effect.Effect<void, JournalError>
    /** What an attempt has begun at the target, or null where nothing of it is left; see `Task.note`. */
    readonly note: (id: DeliveryId, resume: string | null) => Effect.Effect<void, JournalError>
    /**
     * What a delivery that was given up had left at the target (`resume`, or an interrupted attempt) is gone. Nothing is changed where it was
     * brought back meanwhile: who has claimed it knows of `resume`, and must find that in the journal, too.
     */
    readonly cleared: (id: DeliveryId, resume: string | null) => Effect.Effect<void, JournalError>
    /**
     * Up to `limit` deliveries of a lane that were given up and have left something at the target, or may have: those
     * whose last attempt was cut short by the end of the process.
     */
    readonly litter: (lane: string, limit: number) => Effect.Effect<ReadonlyArray<Delivery>, JournalError>
    /**
     * Records outcomes and their log entries. Answers the generations that are now to be disposed of: the intent is
     * committed with the rest. One that is AMBIGUOUS or SUPERSEDED keeps the file where it is.
     */
    readonly conclude: (batch: ReadonlyArray<Conclusion>) => Effect.Effect<Concluded, JournalError>
    /** Whether a newer generation has taken its place. */
    readonly replaced: (id: GenerationId) => Effect.Effect<boolean, JournalError>
    /** Up to `limit` intents that are committed, but neither carried out nor put off. */
    readonly disposals: (limit: number) => Effect.Effect<ReadonlyArray<Disposal>, JournalError>
    /**
     * These sources are gone from where they were, or, with a note, could not or must not be moved or removed.
     * `archived`: where one lies now. `later`: not now; the intent stays, and is put off.
     */
    readonly disposed: (
      batch: ReadonlyArray<{
        readonly id: GenerationId
        readonly note: string | null
        readonly later?: boolean | undefined
        readonly archived?: Moved | undefined
      }>
    ) => Effect.Effect<void, JournalError>
    /** What was put off is to be carried out. */
    readonly retryDisposals: Effect.Effect<void, JournalError>
    /**
     * The clock was set back: what was to wait until some time does not wait for the clock to get there again, but for
     * as long as it was to wait.
     */
    readonly clockSetBack: Effect.Effect<void, JournalError>
    /**
     * The dead file lies there now, and is read there if a delivery of it is tried again; `source` is a directory,
     * absolute. What is found at its old path is new. A file is moved once: dead again, it stays.
     */
    readonly moved: (
      id: GenerationId,
      place: {
        readonly source: string
        readonly path: RelPath
        readonly stamp: Stamp
        /** Relative to that source. */
        readonly marker: RelPath | null
      }
    ) => Effect.Effect<void, JournalError>
    /** The archived file is to be removed at that time. To be called before `disposed`, so that it is not forgotten. */
    readonly archived: (
      id: GenerationId,
      path: Archived["path"],
      identity: Archived["identity"],
      until: Archived["until"]
    ) => Effect.Effect<void, JournalError>
    /** Up to `limit` archived files whose time has come, the longest overdue first. */
    readonly expired: (
      now: number,
      limit: number
    ) => Effect.Effect<ReadonlyArray<Archived & { readonly id: GenerationId }>, JournalError>
    /** These archived files are gone, or are others by now. */
    readonly expunged: (ids: ReadonlyArray<GenerationId>) => Effect.Effect<void, JournalError>
    /** After a start: what was SENDING or PUBLISHING is PENDING and marked `interrupted`. Answers how many. */
    readonly recover: Effect.Effect<number, JournalError>
    /** The lanes that have open deliveries, with RETRY_WAIT times, and those that have litter. */
    readonly backlog: Effect.Effect<ReadonlyArray<LaneBacklog>, JournalError>
    /** When the lane's next RETRY_WAIT or BLOCKED delivery is due. */
    readonly nextDue: (lane: string) => Effect.Effect<number | null, JournalError>
    /** The lane works again: its BLOCKED deliveries are PENDING. */
    readonly unblock: (lane: string) => Effect.Effect<void, JournalError>
    /**
     * Brings dead, ambiguous, skipped or cancelled deliveries back; answers those that came. Not those that were routed
     * anew, nor those of a file that is about to be moved because it is dead: they can be brought back once it is.
     */
    readonly replay: (
      which: ReadonlyArray<DeliveryId> | GivenUp
    ) => Effect.Effect<ReadonlyArray<{ readonly id: DeliveryId; readonly lane: string }>, JournalError>
    /**
     * Gives up what `replay` would bring back, for new deliveries by other rules; answers the new ones. A generation is
     * left as it is where it has nothing to bring back, goes nowhere by the new rules, or was replaced.
     */
    readonly reroute: (
      ruleset: string,
      batch: ReadonlyArray<Rerouting>
    ) => Effect.Effect<ReadonlyArray<{ readonly id: DeliveryId; readonly lane: string }>, JournalError>
    /** Gives deliveries up that are not under way; answers those it changed. */
    readonly cancel: (ids: ReadonlyArray<DeliveryId>) => Effect.Effect<ReadonlyArray<DeliveryId>, JournalError>
    /**
     * Of some generations after that id (0: from the first) those whose file was left where it was, and whose deliveries
     * were over before `before`; `next`: where to go on, null at the end.
     */
    readonly aged: (
      before: number,
      after: number
    ) => Effect.Effect<{ readonly generations: ReadonlyArray<Generation>; readonly next: number | null }, JournalError>
    /**
     * Forgets what was concluded before `before` and whose source is gone, moved or replaced, but not what has left
     * litter; up to 1,000, answers how many. Rules by which nothing that is left was judged go, too.
     */
    readonly prune: (before: number) => Effect.Effect<number, JournalError>
  }
>() {}
