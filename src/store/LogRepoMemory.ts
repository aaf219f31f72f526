/**
 * The log in memory: for tests and for embedding without a database. It forgets everything with its scope.
 */
import { Effect, Layer, Option, Stream } from "effect"
import type { LogEntry } from "../domain/LogEntry.ts"
import * as LogCursor from "./LogCursor.ts"
import {
  boundedTotal,
  type ExtensionBucket,
  type FolderBucket,
  LogError,
  type LogFilter,
  type LogOrder,
  type LogQuery,
  LogRepo,
  type StatsBucket,
  type StatsInterval,
  type StatsRange,
  type TimeBucket
} from "./LogRepo.ts"
import { bucketTime, extensionKey, intervalStart, mostExtensions, otherExtensions, timeBucket } from "./logRollUps.ts"
import { fold } from "./LogSearch.ts"

interface Row {
  readonly seq: number
  readonly entry: LogEntry
}

export const layer: Layer.Layer<LogRepo> = Layer.sync(LogRepo, () => {
  const rows = new Map<string, Row>()
  // statistics outlive the entries that prune removes, so they are kept apart, by day
  const days = new Map<string, StatsBucket>()
  const folders = new Map<string, FolderBucket>()
  const extensions = new Map<string, ExtensionBucket>()
  const times = new Map<string, DayTime>()
  /** The extensions of each day that are counted by themselves. */
  const named = new Map<string, Set<string>>()
  let seq = 0

  /** What the entry's extension is counted as: itself, where its day has that, or has room for one that comes. */
  const counted = (start: string, name: string, sign: 1 | -1): string => {
    const key = extensionKey(name)
    const known = named.get(start) ?? new Set()
    if (sign > 0 && known.size < mostExtensions) named.set(start, known.add(key))
    return known.has(key) ? key : otherExtensions
  }

  const record = (entry: LogEntry, sign: 1 | -1): void => {
    const { status, destination, protocol } = entry
    const start = entry.created.slice(0, 10)
    const change = { files: sign, bytes: sign * entry.byte_size }
    add(days, [start, destination, protocol, status], { start, status, destination, protocol, ...change })
    const folder = entry.route ?? ""
    add(folders, [start, folder, status], { start, status, folder, ...change })
    const extension = counted(start, entry.extension, sign)
    add(extensions, [start, extension, status], { start, status, extension, ...change })
    if (status === "SUCCEEDED" && entry.duration_ms !== null) {
      const bucket = timeBucket(entry.duration_ms)
      add(times, [start, bucket], { start, bucket, ...change })
    }
  }

  const append = Effect.fnUntraced(function* (entries: ReadonlyArray<LogEntry>) {
    const ids = new Set(entries.map((entry) => entry.id))
    if (ids.size < entries.length || entries.some((entry) => rows.has(entry.id))) {
      return yield* new LogError({ reason: "the log has an entry with that id already", cause: Option.none() })
    }
    for (const entry of entries) {
      seq += 1
      rows.set(entry.id, { seq, entry })
      record(entry, 1)
    }
  })

  const find = (filter: LogFilter, order: LogOrder) =>
    Array.from(rows.values())
      .filter(({ entry }) => matches(filter, entry))
      .sort((left, right) => compare(order, keyOf(order, left), keyOf(order, right)))

  const query = (options: LogQuery) =>
    Effect.sync(() => {
      const after = options.cursor === undefined ? Option.none() : LogCursor.decode(options.order, options.cursor)
      if (options.cursor !== undefined && Option.isNone(after)) return Option.none()
      const matching = find(options.filter, options.order)
      const rest = Option.match(after, {
        onNone: () => matching,
        onSome: ([, value, seq]) =>
          matching.filter((row) => compare(options.order, keyOf(options.order, row), [value, seq]) > 0)
      })
      const page = rest.slice(0, options.limit)
      const last = page.at(-1)
      return Option.some({
        entries: page.map(({ entry }) => entry),
        total: options.total === "bounded" ? Math.min(matching.length, boundedTotal) : matching.length,
        next:
          rest.length > page.length && last !== undefined ? LogCursor.encode(options.order, last.entry, last.seq) : null
      })
    })

  return LogRepo.of({
    append,
    query,
    all: (filter, order) =>
      Stream.unwrap(Effect.sync(() => Stream.fromIterable(find(filter, order).map(({ entry }) => entry)))),
    get: (id) => Effect.sync(() => Option.map(Option.fromNullable(rows.get(id)), ({ entry }) => entry)),
    remove: (id) =>
      Effect.sync(() => {
        const row = rows.get(id)
        if (row === undefined) return false
        rows.delete(id)
        record(row.entry, -1)
        return true
      }),
    undone: (deliveries, _, at) =>
      Effect.sync(() => {
        const undone = new Date(at).toISOString()
        for (const [id, { entry, seq }] of rows) {
          const { delivery } = entry
          if (entry.undone !== undefined || !deliveries.some((one) => one === delivery)) continue
          rows.set(id, { seq, entry: { ...entry, undone } })
        }
      }),
    stats: (interval, range) =>
      Effect.sync(() =>
        summarise(days.values(), interval, range, (one) => [one.destination, one.protocol, one.status])
      ),
    folderStats: (interval, range) =>
      Effect.sync(() => summarise(folders.values(), interval, range, (one) => [one.folder, one.status])),
    extensionStats: (interval, range) =>
      Effect.sync(() => summarise(extensions.values(), interval, range, (one) => [one.extension, one.status])),
    timeStats: (interval, range) =>
      Effect.sync(() => percentiles(summarise(times.values(), interval, range, (one) => [one.bucket]))),
    prune: (before) =>
      Effect.sync(() => {
        const time = new Date(before).toISOString()
        const old = Array.from(rows.values()).filter(({ entry }) => entry.created < time)
        for (const { entry } of old) rows.delete(entry.id)
        return old.length
      })
  })
})

type Key = readonly [value: string | number, seq: number]

const keyOf = (order: LogOrder, { entry, seq }: Row): Key => [
  order === "created" || order === "-created" ? entry.created : entry.byte_size,
  seq
]

const compare = (order: LogOrder, left: Key, right: Key): number => {
  const ascending = left[0] < right[0] ? -1 : left[0] > right[0] ? 1 : left[1] - right[1]
  return order.startsWith("-") ? -ascending : ascending
}

const matches = (filter: LogFilter, entry: LogEntry): boolean => {
  const day = entry.created.slice(0, 10)
  const equal = <A>(wanted: A | undefined, value: A) => wanted === undefined || wanted === value
  return (
    equal(filter.status, entry.status) &&
    equal(filter.destination, entry.destination) &&
    equal(filter.filename, entry.filename) &&
    (filter.search === undefined || fold(entry.filename).includes(fold(filter.search))) &&
    equal(filter.route, entry.route ?? "") &&
    equal(filter.source, entry.source) &&
    equal(filter.extension, entry.extension) &&
    equal(filter.protocol, entry.protocol) &&
    equal(filter.byte_size, entry.byte_size) &&
    (filter.byte_size__lte === undefined || entry.byte_size <= filter.byte_size__lte) &&
    (filter.byte_size__gte === undefined || entry.byte_size >= filter.byte_size__gte) &&
    equal(filter.created, day) &&
    (filter.created__lte === undefined || day <= filter.created__lte) &&
    (filter.created__gte === undefined || day >= filter.created__gte)
  )
}

interface Totals {
  readonly start: string
  readonly files: number
  readonly bytes: number
}

type DayTime = Totals & { readonly bucket: number }

/** Adds to what is there under that key; what counts nothing any more goes. */
const add = <A extends Totals>(all: Map<string, A>, key: ReadonlyArray<string | number>, change: A): void => {
  const name = JSON.stringify(key)
  const sum = all.get(name)
  const files = (sum?.files ?? 0) + change.files
  if (files > 0) all.set(name, { ...change, files, bytes: (sum?.bytes ?? 0) + change.bytes })
  else all.delete(name)
}

const summarise = <A extends Totals>(
  days: Iterable<A>,
  interval: StatsInterval,
  range: StatsRange | undefined,
  keyOf: (day: A) => ReadonlyArray<string | number>
): ReadonlyArray<A> => {
  const sums = new Map<string, A>()
  for (const day of days) {
    if (day.start < (range?.from ?? "") || day.start > (range?.to ?? "U")) continue
    const start = intervalStart(interval, day.start)
    add(sums, [start, ...keyOf(day)], { ...day, start })
  }
  const sorted = Array.from(sums.values(), (sum) => ({ sum, key: [sum.start, ...keyOf(sum)] }))
  return sorted.sort((left, right) => compareKeys(left.key, right.key)).map(({ sum }) => sum)
}

const compareKeys = (left: ReadonlyArray<string | number>, right: ReadonlyArray<string | number>): number => {
  for (const [index, value] of left.entries()) {
    const other = right[index] ?? ""
    if (value !== other) return value < other ? -1 : 1
  }
  return 0
}

/** Of buckets in the order of their starts and times. */
const percentiles = (buckets: ReadonlyArray<DayTime>): ReadonlyArray<TimeBucket> =>
  Array.from(new Set(buckets.map(({ start }) => start)), (start) => {
    const own = buckets.filter((one) => one.start === start)
    const files = own.reduce((sum, one) => sum + one.files, 0)
    const at = (percent: number): number => {
      let below = 0
      for (const one of own) {
        below += one.files
        if (below * 100 >= files * percent) return bucketTime(one.bucket)
      }
      return 0
    }
    return { start, files, median_ms: at(50), p95_ms: at(95) }
  })
