/**
 * What the soak measures of the program, and how it judges that.
 */
import fs from "node:fs"

const sizeOf = (file) => fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0

/** Of a process and its journal now; undefined where the process is gone. Sizes in MiB. */
export const sample = (pid, journal) => {
  try {
    const status = fs.readFileSync(`/proc/${pid}/status`, "utf8")
    const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? NaN)
    return {
      at: Date.now(),
      rss: field("VmRSS") / 1024,
      anon: field("RssAnon") / 1024,
      threads: field("Threads"),
      descriptors: fs.readdirSync(`/proc/${pid}/fd`).length,
      journal: sizeOf(journal) / 2 ** 20,
      wal: sizeOf(`${journal}-wal`) / 2 ** 20
    }
  } catch {
    return undefined
  }
}

/** The straight line through the values of these samples (least squares): how much it rises from the first to the last. */
const rise = (samples, name) => {
  const [x0, x1] = [samples[0].at, samples.at(-1).at]
  const xs = samples.map(({ at }) => (at - x0) / Math.max(1, x1 - x0))
  const ys = samples.map((one) => one[name])
  const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length
  const [mx, my] = [mean(xs), mean(ys)]
  const [top, bottom] = [
    xs.reduce((sum, x, index) => sum + (x - mx) * (ys[index] - my), 0),
    xs.reduce((sum, x) => sum + (x - mx) ** 2, 0)
  ]
  return bottom === 0 ? 0 : top / bottom
}

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]

/** A row for each figure, over what is left of one life of the process after its warm-up, and whether it is flat. */
export const judge = (lives, warmUp) => {
  const longest = lives
    .map((life) => life.filter(({ at }) => at - life[0].at >= warmUp))
    .toSorted((a, b) => (a.at(-1)?.at ?? 0) - (a[0]?.at ?? 0) - ((b.at(-1)?.at ?? 0) - (b[0]?.at ?? 0)))
    .at(-1)
  if (longest === undefined || longest.length < 6) return { minutes: 0, rows: [] }
  const minutes = (longest.at(-1).at - longest[0].at) / 60_000
  const row = (name, unit, bound) => {
    const values = longest.map((one) => one[name])
    const rises = rise(longest, name)
    const most = bound === undefined ? undefined : bound(median(values))
    return {
      name,
      unit,
      least: Math.min(...values),
      median: median(values),
      most: Math.max(...values),
      rises,
      allowed: most,
      holds: most === undefined || rises <= most
    }
  }
  return {
    minutes,
    rows: [
      // the collector lets it breathe by about that much
      row("rss", "MiB", (middle) => Math.max(16, middle * 0.1)),
      row("anon", "MiB", (middle) => Math.max(16, middle * 0.1)),
      row("descriptors", "", () => 4),
      row("threads", "", () => 1),
      row("wal", "MiB", () => 8),
      // rows are added until the first are old enough to be pruned, and their pages are used again from then on
      row("journal", "MiB")
    ]
  }
}
