/** From the API's counts to what charts draw: each interval of a range has its place, whether anything was in it or not. */
import type { Series } from "./Chart.tsx"
import { isoDay } from "./format.ts"

export type Interval = "day" | "week" | "month"

const parse = (day: string): number => Date.parse(`${day}T00:00:00Z`)

/** The first day of the interval in which a day lies; weeks begin on Monday. */
export const startOf = (day: string, interval: Interval): string => {
  if (interval === "day") return day
  if (interval === "month") return `${day.slice(0, 7)}-01`
  const time = new Date(parse(day))
  return isoDay(time.getTime() - ((time.getUTCDay() + 6) % 7) * 86_400_000)
}

/** The first day of the one after. */
export const nextOf = (start: string, interval: Interval): string => {
  const time = new Date(parse(start))
  if (interval === "month") time.setUTCMonth(time.getUTCMonth() + 1)
  else time.setUTCDate(time.getUTCDate() + (interval === "week" ? 7 : 1))
  return isoDay(time.getTime())
}

/** The last day of an interval. */
export const lastOf = (start: string, interval: Interval): string => isoDay(parse(nextOf(start, interval)) - 86_400_000)

/** The first days of all intervals that a range of days touches; 2,000 at most. */
export const starts = (from: string, to: string, interval: Interval): ReadonlyArray<string> => {
  const list: Array<string> = []
  for (let start = startOf(from, interval); start <= to && list.length < 2000; start = nextOf(start, interval))
    list.push(start)
  return list
}

/** As many as can be told apart by their colours. */
const most = 7

/** One series for each name, the largest first; what is too much for a chart is `others`. */
export const seriesOf = <A extends { readonly start: string }>(
  rows: ReadonlyArray<A>,
  labels: ReadonlyArray<string>,
  nameOf: (row: A) => string,
  valueOf: (row: A) => number,
  toneOf: (name: string, rank: number) => Series["tone"]
): ReadonlyArray<Series> => {
  const places = new Map(labels.map((label, index) => [label, index]))
  const found = new Map<string, Array<number>>()
  for (const row of rows) {
    const place = places.get(row.start)
    if (place === undefined) continue
    const name = nameOf(row)
    const values = found.get(name) ?? labels.map(() => 0)
    values[place] = (values[place] ?? 0) + valueOf(row)
    found.set(name, values)
  }
  const total = (values: ReadonlyArray<number>) => values.reduce((all, one) => all + one, 0)
  const ranked = Array.from(found, ([name, values]) => ({ name, values, total: total(values) })).sort(
    (one, other) => other.total - one.total || (one.name < other.name ? -1 : 1)
  )
  const kept = ranked.slice(0, ranked.length > most + 1 ? most : ranked.length)
  const rest = ranked.slice(kept.length)
  const series = kept.map(({ name, values }, rank): Series => ({ name, values, tone: toneOf(name, rank) }))
  if (rest.length === 0) return series
  const others = labels.map((_, index) => rest.reduce((all, { values }) => all + (values[index] ?? 0), 0))
  return [...series, { name: `${rest.length} others`, values: others, tone: "others" }]
}
