/**
 * The log in memory: for tests and for embedding without a database. It forgets everything with its scope.
 */
import { Effect, Layer, Option } from "effect"
import type { LogEntry } from "../domain/LogEntry.ts"
import * as LogCursor from "./LogCursor.ts"
import { LogError, type LogFilter, type LogOrder, LogRepo, type StatsBucket, type StatsInterval } from "./LogRepo.ts"

interface Row {
  readonly seq: number
  readonly entry: LogEntry
}

export const layer: Layer.Layer<LogRepo> = Layer.sync(LogRepo, () => {
  const rows = new Map<string, Row>()
  // statistics outlive the entries that prune removes, so they are kept apart, by day
  const days = new Map<string, StatsBucket>()
  let seq = 0

  const record = (entry: LogEntry, sign: 1 | -1): void => {
    const { status, destination, protocol } = entry
    const start = entry.created.slice(0, 10)
    const key = JSON.stringify([start, destination, protocol, status])
    const files = (days.get(key)?.files ?? 0) + sign
    const bytes = (days.get(key)?.bytes ?? 0) + sign * entry.byte_size
    if (files > 0) days.set(key, { start, status, destination, protocol, files, bytes })
    else days.delete(key)
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

  const query = (options: {
    readonly filter: LogFilter
    readonly order: LogOrder
    readonly limit: number
    readonly cursor?: string | undefined
  }) =>
    Effect.sync(() => {
      const after = options.cursor === undefined ? Option.none() : LogCursor.decode(options.order, options.cursor)
      if (options.cursor !== undefined && Option.isNone(after)) return Option.none()
      const matching = Array.from(rows.values())
        .filter(({ entry }) => matches(options.filter, entry))
        .sort((left, right) => compare(options.order, keyOf(options.order, left), keyOf(options.order, right)))
      const rest = Option.match(after, {
        onNone: () => matching,
        onSome: ([, value, seq]) =>
          matching.filter((row) => compare(options.order, keyOf(options.order, row), [value, seq]) > 0)
      })
      const page = rest.slice(0, options.limit)
      const last = page.at(-1)
      return Option.some({
        entries: page.map(({ entry }) => entry),
        total: matching.length,
        next:
          rest.length > page.length && last !== undefined ? LogCursor.encode(options.order, last.entry, last.seq) : null
      })
    })

  return LogRepo.of({
    append,
    query,
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
    stats: (interval) => Effect.sync(() => summarise(days.values(), interval)),
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

const summarise = (days: Iterable<StatsBucket>, interval: StatsInterval): ReadonlyArray<StatsBucket> => {
  const sums = new Map<string, StatsBucket>()
  for (const day of days) {
    const start = intervalStart(interval, day.start)
    const key = JSON.stringify([start, day.destination, day.protocol, day.status])
    const sum = sums.get(key)
    sums.set(key, { ...day, start, files: (sum?.files ?? 0) + day.files, bytes: (sum?.bytes ?? 0) + day.bytes })
  }
  return Array.from(sums)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([, sum]) => sum)
}

const intervalStart = (interval: StatsInterval, day: string): string => {
  switch (interval) {
    case "day":
      return day
    case "month":
      return `${day.slice(0, 7)}-01`
    case "week": {
      const date = new Date(`${day}T00:00:00.000Z`)
      date.setUTCDate(date.getUTCDate() - ((date.getUTCDay() + 6) % 7))
      return date.toISOString().slice(0, 10)
    }
  }
}
