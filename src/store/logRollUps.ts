/**
 * What the log's totals by day are kept by.
 */
import type { StatsInterval } from "./LogRepo.ts"

/** In place of extensions that are not counted by themselves. */
export const otherExtensions = "*"

/** About how many extensions a day are counted by themselves; later ones are counted together. */
export const mostExtensions = 200

/** Names of files come from anywhere: what is no usual extension is counted together, so that nobody fills the tables. */
export const extensionKey = (extension: string): string =>
  /^[\p{L}\p{N}_-]{0,16}$/u.test(extension) ? extension : otherExtensions

/**
 * Times are counted in buckets, each {@link growth} times as wide as the one before, so that percentiles over any number
 * of days come from sums: what is said of a time is off by 2.5 % at most, between a tenth of a millisecond and a year.
 * Shorter and longer ones are counted with those.
 */
const error = 0.025
const growth = (1 + error) / (1 - error)
const shortest = 0.1
const longest = 365 * 86_400_000

/** Bucket `i` has the times above `growth ** (i - 1)` and up to `growth ** i` milliseconds. */
export const timeBucket = (ms: number): number =>
  Math.ceil(Math.log(Math.min(Math.max(ms, shortest), longest)) / Math.log(growth))

/** The time in milliseconds that is the nearest to all of a bucket, in three digits. */
export const bucketTime = (bucket: number): number => Number(((2 * growth ** bucket) / (growth + 1)).toPrecision(3))

/** What a migration needs to do the same in SQL. */
export const timeScale = { shortest, longest, logGrowth: Math.log(growth) }

/** The first day of the interval that a day belongs to. */
export const intervalStart = (interval: StatsInterval, day: string): string => {
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
