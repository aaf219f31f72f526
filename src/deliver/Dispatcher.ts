/**
 * The dispatcher: feeds each lane from the journal as it has room, and supervises what happens there.
 */
import { Context, type Effect, type Stream } from "effect"
import type { DeliveryId, DeliveryState } from "../domain/Delivery.ts"
import type { JournalError } from "../store/Journal.ts"

export interface Sending {
  readonly delivery: DeliveryId
  /** The source path, for people. */
  readonly file: string
  readonly destination: string
  readonly size: number
  readonly bytes: number
  readonly started: number
}

/** An attempt that did not succeed. */
export interface LaneError {
  readonly time: number
  /** The source path, for people. */
  readonly file: string
  /** What went wrong, and what to do. */
  readonly reason: string
  readonly state: DeliveryState
}

export interface LaneStatus {
  readonly lane: string
  /** `down`: nothing is sent but a probe, from time to time. */
  readonly health: "up" | "down"
  /** Why it is down, and what to do. */
  readonly reason: string | null
  /** When it is probed next, in milliseconds since the epoch. */
  readonly probe: number | null
  /** Since when nothing new is sent, because somebody said so, in milliseconds since the epoch; null: it is not paused. */
  readonly paused: number | null
  /** How many deliveries the config lets it have under way at once. */
  readonly concurrency: number
  /** How many it has at most for now: fewer where the server has said that it takes no more. */
  readonly limit: number
  /** Claimed from the journal and waiting for a worker. */
  readonly queued: number
  readonly sending: ReadonlyArray<Sending>
  readonly delivered: number
  readonly failed: number
  /** Of the files that were delivered since the start. */
  readonly bytes: number
  /** The last one since the start. */
  readonly lastError: LaneError | null
}

/** What took one way since the start, as committed. */
export interface Flow {
  /** The source's directory, absolute. */
  readonly source: string
  readonly route: string
  readonly lane: string
  readonly delivered: number
  readonly failed: number
  readonly bytes: number
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
     * that is down or paused holds. Answers the lanes that are.
     */
    readonly settled: Effect.Effect<ReadonlyArray<LaneStatus>>
    /** What was concluded since the start: how much, and by which ways. Cheap. */
    readonly flows: Effect.Effect<{ readonly concluded: number; readonly flows: ReadonlyArray<Flow> }>
    /**
     * Sends nothing new there until it is resumed, over restarts too; what is under way is finished. Answers whether
     * that changes anything: one that is paused stays so since then.
     */
    readonly pause: (lane: string) => Effect.Effect<boolean, JournalError>
    readonly resume: (lane: string) => Effect.Effect<boolean, JournalError>
    /** The lanes that are paused, whether or not there is anything for them, and since when. */
    readonly paused: Effect.Effect<ReadonlyMap<string, number>>
    /** Tells of state changes that were committed elsewhere. */
    readonly tell: (events: ReadonlyArray<DispatcherEvent>) => Effect.Effect<void>
    /** State changes from now on; a slow reader misses old ones. */
    readonly events: Stream.Stream<DispatcherEvent>
    /** Ends with the failure that ended the pipeline; otherwise never. */
    readonly join: Effect.Effect<never>
  }
>() {}
