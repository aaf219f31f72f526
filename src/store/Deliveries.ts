/**
 * What people and programs may ask of the journal: reads only, never in the way of a delivery.
 */
import { Context, type Effect, type Option } from "effect"
import type { Attempt, Delivery, DeliveryId, DeliveryState } from "../domain/Delivery.ts"
import type { Facts } from "../domain/Facts.ts"
import type { Generation, GenerationId } from "../domain/Generation.ts"
import type { RelPath } from "../domain/RelPath.ts"
import type { Target } from "../domain/Target.ts"
import type { JournalError } from "./Journal.ts"

export interface DeliveryFilter {
  readonly states?: ReadonlyArray<DeliveryState> | undefined
  readonly lane?: string | undefined
  /** Deliveries with a smaller id: the page after that one (newest first). */
  readonly before?: DeliveryId | undefined
  readonly limit: number
}

export interface LaneCount {
  readonly lane: string
  readonly state: DeliveryState
  readonly count: number
}

/** By what a delivery came to be. */
export interface Judged {
  /** Where the file lies, as far as the journal knows. */
  readonly generation: Generation
  /** Where it was found: elsewhere than the generation, once that was moved. */
  readonly origin: { readonly source: string; readonly path: RelPath }
  /** When it was judged, in milliseconds since the epoch. */
  readonly at: number
  /** The digest of the rules. */
  readonly ruleset: string
  /** The rules, as JSON; null where they were not kept. */
  readonly rules: string | null
  /** All deliveries of the generation by these rules, oldest first. */
  readonly deliveries: ReadonlyArray<Delivery>
}

/** A file that the journal knows, and where it went. */
export interface Routed {
  readonly id: GenerationId
  /** The directory and the path in it where the file was found. */
  readonly source: string
  readonly path: RelPath
  readonly size: number
  readonly mtime: number
  readonly born: number
  /** The digest of the rules. */
  readonly ruleset: string
  /** Empty where no route wanted it; without those that were routed anew. */
  readonly deliveries: ReadonlyArray<{
    readonly id: DeliveryId
    readonly route: string
    readonly target: Target
    /** The path below the target. */
    readonly name: RelPath
    readonly state: DeliveryState
    readonly facts: Facts | null
  }>
}

export class Deliveries extends Context.Tag("filedispatch/store/Deliveries")<
  Deliveries,
  {
    /** Newest first. */
    readonly list: (filter: DeliveryFilter) => Effect.Effect<ReadonlyArray<Delivery>, JournalError>
    readonly get: (id: DeliveryId) => Effect.Effect<Option.Option<Delivery>, JournalError>
    /** The attempts that did not succeed, oldest first. */
    readonly attempts: (id: DeliveryId) => Effect.Effect<ReadonlyArray<Attempt>, JournalError>
    /** By which rules, and on what facts, a delivery came to be. */
    readonly judged: (id: DeliveryId) => Effect.Effect<Option.Option<Judged>, JournalError>
    /**
     * The files that were accepted or seen, newest first, without those that a newer generation has replaced. `before`:
     * the page after the one that ended with that id.
     */
    readonly routed: (page: {
      readonly before?: GenerationId | undefined
      readonly limit: number
    }) => Effect.Effect<ReadonlyArray<Routed>, JournalError>
    /** By lane and state, without DELIVERED: those are many, only ever grow, and are what the log's statistics count. */
    readonly counts: Effect.Effect<ReadonlyArray<LaneCount>, JournalError>
  }
>() {}
