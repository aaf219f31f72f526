/**
 * The log: what people read, one entry for each concluded delivery.
 */
import { Context, Schema, type Effect, type Option, type Stream } from "effect"
import type { DeliveryId } from "../domain/Delivery.ts"
import type { LogEntry, LogStatus } from "../domain/LogEntry.ts"

/** The log could not be read or written. */
export class LogError extends Schema.TaggedError<LogError>("filedispatch/LogError")("LogError", {
  reason: Schema.String,
  cause: Schema.optionalWith(Schema.Defect, { as: "Option" })
}) {
  override get message() {
    return this.reason
  }
}

export type LogOrder = "created" | "-created" | "byte_size" | "-byte_size"

/** Filters of `GET /logs`; dates are `YYYY-MM-DD` in UTC, and `created` alone means that day. */
export interface LogFilter {
  readonly status?: LogStatus | undefined
  readonly destination?: string | undefined
  readonly filename?: string | undefined
  /** A part of the name. Case does not matter, in any script, nor whether an accented letter is one character or two. */
  readonly search?: string | undefined
  /** The config's folder; empty: entries of none. */
  readonly route?: string | undefined
  readonly source?: string | undefined
  readonly extension?: string | undefined
  readonly protocol?: string | undefined
  readonly byte_size?: number | undefined
  readonly byte_size__lte?: number | undefined
  readonly byte_size__gte?: number | undefined
  readonly created?: string | undefined
  readonly created__lte?: string | undefined
  readonly created__gte?: string | undefined
}

export interface LogPage {
  readonly entries: ReadonlyArray<LogEntry>
  /** All that match, not only those of this page; at most {@link boundedTotal} where that was asked for. */
  readonly total: number
  /** Pass it back for the page after this one; null on the last. */
  readonly next: string | null
}

/** Where a bounded total ends, which then means: so many or more. */
export const boundedTotal = 10_000

export interface LogQuery {
  readonly filter: LogFilter
  readonly order: LogOrder
  readonly limit: number
  readonly cursor?: string | undefined
  /** `bounded` is found sooner where many match. */
  readonly total?: "exact" | "bounded" | undefined
}

export type StatsInterval = "day" | "week" | "month"

export interface StatsBucket {
  /** The first day of the interval, `YYYY-MM-DD`; weeks begin on Monday (ISO 8601). */
  readonly start: string
  readonly status: LogStatus
  readonly destination: string
  readonly protocol: string
  readonly files: number
  readonly bytes: number
}

/** Days, `YYYY-MM-DD`, both included. */
export interface StatsRange {
  readonly from?: string | undefined
  readonly to?: string | undefined
}

export interface FolderBucket {
  readonly start: string
  readonly status: LogStatus
  /** The log's `route`; empty where there is none. */
  readonly folder: string
  readonly files: number
  readonly bytes: number
}

export interface ExtensionBucket {
  readonly start: string
  readonly status: LogStatus
  /** `*`: those of unusual length or characters, and those of a day that has very many. */
  readonly extension: string
  readonly files: number
  readonly bytes: number
}

/** How long deliveries took that succeeded, exact to 2.5 %. */
export interface TimeBucket {
  readonly start: string
  readonly files: number
  readonly median_ms: number
  readonly p95_ms: number
}

export class LogRepo extends Context.Tag("filedispatch/store/LogRepo")<
  LogRepo,
  {
    /** Stores entries, in the caller's transaction where there is one. */
    readonly append: (entries: ReadonlyArray<LogEntry>) => Effect.Effect<void, LogError>
    /** A cursor that is not one of ours is a LogError of the caller's making: `Option.none`. */
    readonly query: (options: LogQuery) => Effect.Effect<Option.Option<LogPage>, LogError>
    /** All that match, page by page, so that it takes no more memory than one of them. */
    readonly all: (filter: LogFilter, order: LogOrder) => Stream.Stream<LogEntry, LogError>
    readonly get: (id: string) => Effect.Effect<Option.Option<LogEntry>, LogError>
    /** False where there was none. */
    readonly remove: (id: string) => Effect.Effect<boolean, LogError>
    /**
     * Marks the entries of these deliveries: their file was put back in its source. `since` and `at` in milliseconds since
     * the epoch: none of the entries is older than that; and when it was. In the caller's transaction where there is one.
     */
    readonly undone: (deliveries: ReadonlyArray<DeliveryId>, since: number, at: number) => Effect.Effect<void, LogError>
    readonly stats: (interval: StatsInterval, range?: StatsRange) => Effect.Effect<ReadonlyArray<StatsBucket>, LogError>
    readonly folderStats: (
      interval: StatsInterval,
      range?: StatsRange
    ) => Effect.Effect<ReadonlyArray<FolderBucket>, LogError>
    readonly extensionStats: (
      interval: StatsInterval,
      range?: StatsRange
    ) => Effect.Effect<ReadonlyArray<ExtensionBucket>, LogError>
    readonly timeStats: (
      interval: StatsInterval,
      range?: StatsRange
    ) => Effect.Effect<ReadonlyArray<TimeBucket>, LogError>
    /** Removes entries concluded before that time (milliseconds since the epoch); the totals of stats stay. */
    readonly prune: (before: number) => Effect.Effect<number, LogError>
  }
>() {}
