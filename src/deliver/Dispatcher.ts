/**
 * The dispatcher: feeds each lane from the journal as it has room, and supervises what happens there.
 */
import { Context, type Effect, type Stream } from "effect"
import type { DeliveryId } from "../domain/Delivery.ts"

export interface Sending {
  readonly delivery: DeliveryId
  /** The source path, for people. */
  readonly file: string
  readonly destination: string
  readonly size: number
  readonly bytes: number
  readonly started: number
}

export interface LaneStatus {
  readonly lane: string
  /** `down`: nothing is sent but a probe, from time to time. */
  readonly health: "up" | "down"
  /** Why it is down, and what to do. */
  readonly reason: string | null
  /** When it is probed next, in milliseconds since the epoch. */
  readonly probe: number | null
  /** How many deliveries the config lets it have under way at once. */
  readonly concurrency: number
  /** How many it has at most for now: fewer where the server has said that it takes no more. */
  readonly limit: number
  /** Claimed from the journal and waiting for a worker. */
  readonly queued: number
  readonly sending: ReadonlyArray<Sending>
  readonly delivered: number
  readonly failed: number
}

/** A delivery changed its state, as committed. */
export interface DispatcherEvent {
  readonly delivery: DeliveryId
  readonly state: string
  readonly file: string
  readonly destination: string
  readonly size: number
  readonly reason: string | null
}

export class Dispatcher extends Context.Tag("filedispatch/deliver/Dispatcher")<
  Dispatcher,
  {
    /** These lanes have new work in the journal; lanes it did not know are opened. Cheap. */
    readonly notify: (lanes: ReadonlyArray<string>) => Effect.Effect<void>
    readonly status: Effect.Effect<ReadonlyArray<LaneStatus>>
    /**
     * Waits until no lane has anything that it could still do by itself now: all is concluded, but for what a lane
     * that is down holds. Answers the lanes that are down.
     */
    readonly settled: Effect.Effect<ReadonlyArray<LaneStatus>>
    /** Tells of state changes that were committed elsewhere. */
    readonly tell: (events: ReadonlyArray<DispatcherEvent>) => Effect.Effect<void>
    /** State changes from now on; a slow reader misses old ones. */
    readonly events: Stream.Stream<DispatcherEvent>
    /** Ends with the failure that ended the pipeline; otherwise never. */
    readonly join: Effect.Effect<never>
  }
>() {}
