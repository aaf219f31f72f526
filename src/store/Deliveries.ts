/**
 * What people and programs may ask of the journal: reads only, never in the way of a delivery.
 */
import { Context, type Effect, type Option } from "effect"
import type { Attempt, Delivery, DeliveryId, DeliveryState } from "../domain/Delivery.ts"
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

export class Deliveries extends Context.Tag("filedispatch/store/Deliveries")<
  Deliveries,
  {
    /** Newest first. */
    readonly list: (filter: DeliveryFilter) => Effect.Effect<ReadonlyArray<Delivery>, JournalError>
    readonly get: (id: DeliveryId) => Effect.Effect<Option.Option<Delivery>, JournalError>
    /** The attempts that did not succeed, oldest first. */
    readonly attempts: (id: DeliveryId) => Effect.Effect<ReadonlyArray<Attempt>, JournalError>
    /** By lane and state, without DELIVERED: those are many, only ever grow, and are what the log's statistics count. */
    readonly counts: Effect.Effect<ReadonlyArray<LaneCount>, JournalError>
  }
>() {}
