/**
 * What the journal knows of files that are to be put back in their sources.
 *
 * A file that is about to be put back is marked as such before it is touched, under the path at which it will be; one
 * that is back stays in the journal as known. So the watcher takes neither for a new file: see `isUndoneAs` in journalRules.
 */
import { Context, Schema, type Effect, type Option } from "effect"
import type { Delivery, DeliveryId } from "../domain/Delivery.ts"
import { Stamp, type Generation, type GenerationId } from "../domain/Generation.ts"
import { RelPath } from "../domain/RelPath.ts"
import type { Moved } from "../files/Files.ts"
import type { JournalError } from "./Journal.ts"

/** What a generation has come to. */
export const GenerationState = Schema.Literal(
  "OPEN",
  "DONE",
  "DISPOSING",
  "DISPOSED",
  "MOVING",
  "MOVED",
  "REPLACED",
  "UNDOING",
  "UNDONE"
)
export type GenerationState = typeof GenerationState.Type

/** What became of the file of a delivery. */
export interface Fate {
  readonly generation: Generation
  readonly state: GenerationState
  /** Why the file was left where it was, if it was. */
  readonly note: string | null
  /** Where it was found: elsewhere than the generation, once that was moved. */
  readonly origin: { readonly source: string; readonly path: RelPath }
  /** Where it was archived; null where it was not, or by a version that did not write that down. */
  readonly archived: Moved | null
  /** When it came to this state, in milliseconds since the epoch. */
  readonly since: number
  /** Without those that were routed anew, oldest first. */
  readonly deliveries: ReadonlyArray<Delivery>
}

/** A file that is in its source again. */
export interface Undone {
  /** Null: another file is there, or none, by now. */
  readonly stamp: Stamp | null
  readonly marker: RelPath | null
  /** Those whose results are gone from their targets. */
  readonly taken: ReadonlyArray<DeliveryId>
  /** Why those are cancelled. */
  readonly reason: string
}

export class UndoRepo extends Context.Tag("filedispatch/store/UndoRepo")<
  UndoRepo,
  {
    /** None where the journal does not know the delivery, or not any more. */
    readonly find: (id: DeliveryId) => Effect.Effect<Option.Option<Fate>, JournalError>
    /** Of the files that were taken away from their sources last, newest first: one delivery each. */
    readonly last: (limit: number) => Effect.Effect<ReadonlyArray<DeliveryId>, JournalError>
    /**
     * The file is about to be put back there; `intent` says how, in the caller's words. False, and nothing is changed,
     * where it is not away from its source, or a delivery of it is still owed.
     */
    readonly begin: (
      id: GenerationId,
      place: { readonly source: string; readonly path: RelPath; readonly stamp: Stamp },
      intent: string
    ) => Effect.Effect<boolean, JournalError>
    /** It is back, with all that has changed by that. */
    readonly end: (id: GenerationId, undone: Undone) => Effect.Effect<void, JournalError>
    /** It was not put back: all is as it was before `begin`. */
    readonly rollBack: (id: GenerationId) => Effect.Effect<void, JournalError>
    /** What was begun and neither ended nor rolled back. */
    readonly begun: Effect.Effect<ReadonlyArray<{ readonly id: GenerationId; readonly intent: string }>, JournalError>
  }
>() {}

/** What `begin` changes, to be changed back. */
export const Before = Schema.Struct({
  source: Schema.String,
  path: RelPath,
  stamp: Stamp,
  state: GenerationState
})
export interface Before extends Schema.Schema.Type<typeof Before> {}
