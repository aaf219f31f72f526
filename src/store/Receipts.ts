/**
 * The receipts of a journal as they are at one moment, for whoever goes back to the targets with them: reads only, and
 * in the way of nobody who writes.
 */
import { Context, type Effect, type Scope } from "effect"
import type { Delivery, DeliveryId, Receipt } from "../domain/Delivery.ts"
import type { JournalError } from "./Journal.ts"

/** A delivery that was made. */
export interface Delivered extends Delivery {
  readonly receipt: Receipt
}

/** A receipt that a later delivery has taken the place of. */
export interface Replaced {
  readonly delivered: Delivered
  /** The newest delivery to the same place. */
  readonly by: DeliveryId
}

export interface ReceiptFilter {
  /** Those of deliveries that were made then or later; milliseconds since the epoch. */
  readonly since?: number | undefined
  /** Those of this target, by its URL as the log shows it. */
  readonly destination?: string | undefined
}

/** Receipts of one target. Their numbers are those from `first` on, without a gap. */
export interface Group {
  readonly lane: string
  /** The target's URL, as the log shows it. */
  readonly destination: string
  readonly first: number
  readonly count: number
}

/** The receipts as they were when it was made. Those that were replaced have the numbers behind all others. */
export interface Snapshot {
  /** By lane and target. */
  readonly groups: ReadonlyArray<Group>
  readonly replaced: { readonly first: number; readonly count: number }
  /** When the oldest and the newest of them were delivered; null where there is none. */
  readonly oldest: number | null
  readonly newest: number | null
  /** Those with these numbers, in their order. Numbers whose receipt was forgotten since are left out. */
  readonly get: (numbers: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<Delivered>, JournalError>
  readonly getReplaced: (numbers: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<Replaced>, JournalError>
  /** The delivery that has taken its place since the snapshot, or that is just about to. */
  readonly replacedSince: (delivered: Delivered) => Effect.Effect<DeliveryId | undefined, JournalError>
}

export class Receipts extends Context.Tag("filedispatch/store/Receipts")<
  Receipts,
  {
    /** A million of them are rows in a temporary table of the reader's own, which goes with the scope. */
    readonly snapshot: (filter: ReceiptFilter) => Effect.Effect<Snapshot, JournalError, Scope.Scope>
  }
>() {}
