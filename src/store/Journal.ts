/**
 * The journal: the durable state of all deliveries.
 *
 * Whatever it has answered is committed. Every call that changes state takes a batch and is one transaction, so that
 * durability is paid per batch and not per file.
 */
import { Context, Schema, type Effect } from "effect"
import type { Delivery, DeliveryId, Receipt } from "../domain/Delivery.ts"
import type { After, Found, Generation, GenerationId } from "../domain/Generation.ts"
import type { LogEntry } from "../domain/LogEntry.ts"
import type { Placement } from "../domain/Target.ts"

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

/** A settled file and where it goes; without placements it is remembered as one that no route wanted. */
export interface Admission {
  /** The source's directory, absolute. */
  readonly source: string
  readonly after: After
  readonly file: Found
  readonly placements: ReadonlyArray<Placement & { readonly route: string }>
}

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
      readonly started: number
      readonly ended: number
      /** An entry for what will not be tried again by itself. */
      readonly log: LogEntry | null
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
     * under another `ruleset` (a digest of the routes) than today's.
     */
    readonly unknown: (
      source: string,
      ruleset: string,
      found: ReadonlyArray<Found>
    ) => Effect.Effect<ReadonlyArray<Found>, JournalError>
    /**
     * Accepts files: from here on they are owed. Deliveries of older generations of the same path that have not begun
     * are superseded. A generation that is known already is left as it is. Answers the lanes that have new work.
     */
    readonly admit: (
      ruleset: string,
      batch: ReadonlyArray<Admission>
    ) => Effect.Effect<ReadonlyArray<string>, JournalError>
    /** Takes up to `limit` deliveries of a lane that are due at `now`, oldest first; they are SENDING from here on. */
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
     * Records outcomes and their log entries. Answers the generations of which every delivery is now DELIVERED and
     * which are to be deleted or archived: the intent is committed with the rest.
     */
    readonly conclude: (batch: ReadonlyArray<Conclusion>) => Effect.Effect<ReadonlyArray<Generation>, JournalError>
    /** Up to `limit` generations whose disposal is committed but not done. */
    readonly disposals: (limit: number) => Effect.Effect<ReadonlyArray<Generation>, JournalError>
    /** These sources are gone from where they were, or, with a note, could not or must not be removed. */
    readonly disposed: (
      batch: ReadonlyArray<{ readonly id: GenerationId; readonly note: string | null }>
    ) => Effect.Effect<void, JournalError>
    /** After a start: what was SENDING or PUBLISHING is PENDING and marked `interrupted`. Answers how many. */
    readonly recover: Effect.Effect<number, JournalError>
    /** The lanes that have open deliveries, with RETRY_WAIT times, and those that have litter. */
    readonly backlog: Effect.Effect<ReadonlyArray<LaneBacklog>, JournalError>
    /** When the lane's next RETRY_WAIT or BLOCKED delivery is due. */
    readonly nextDue: (lane: string) => Effect.Effect<number | null, JournalError>
    /** The lane works again: its BLOCKED deliveries are PENDING. */
    readonly unblock: (lane: string) => Effect.Effect<void, JournalError>
    /** Brings dead, ambiguous, skipped or cancelled deliveries back; answers the lanes of those that came. */
    readonly replay: (
      ids: ReadonlyArray<DeliveryId> | "all"
    ) => Effect.Effect<ReadonlyArray<{ readonly id: DeliveryId; readonly lane: string }>, JournalError>
    /** Gives deliveries up that are not under way; answers those it changed. */
    readonly cancel: (ids: ReadonlyArray<DeliveryId>) => Effect.Effect<ReadonlyArray<DeliveryId>, JournalError>
    /**
     * Forgets what was concluded before `before` and whose source is gone or replaced, but not what has left litter; up
     * to 1,000, answers how many.
     */
    readonly prune: (before: number) => Effect.Effect<number, JournalError>
  }
>() {}
