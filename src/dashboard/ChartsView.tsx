/** What was done, by day, week or month. */
import { Effect, Either } from "effect"
import type { Client } from "../http/Client.ts"
import { ask } from "./api.ts"
import * as Buckets from "./buckets.ts"
import { Chart } from "./Chart.tsx"
import * as Format from "./format.ts"
import { HeatMap } from "./HeatMap.tsx"
import { Empty, Trouble, useLoaded } from "./parts.tsx"
import { adjust, go } from "./route.ts"

const ranges = {
  "7": "the last 7 days",
  "30": "the last 30 days",
  "90": "the last 90 days",
  "365": "the last year",
  other: "from … to …"
} as const
const intervals = { day: "days", week: "weeks", month: "months" } as const
const kinds = { status: "status", destination: "destination", folder: "folder", extension: "extension" } as const
const measures = { files: "files", bytes: "bytes" } as const

const chosen = <A extends string>(
  options: Readonly<Record<A, string>>,
  text: string | undefined,
  otherwise: NoInfer<A>
): A => {
  for (const key in options) if (key === text) return key
  return otherwise
}
const isDay = (text: string | undefined): text is string =>
  text !== undefined && /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text))

/** What the four kinds of counts have in common. */
interface Row {
  readonly start: string
  readonly status: "SUCCEEDED" | "FAILED"
  readonly name: string
  readonly files: number
  readonly bytes: number
}

export const ChartsView = ({ params }: { readonly params: Readonly<Record<string, string>> }) => {
  const range = chosen(ranges, params["range"], "30")
  const interval = chosen(intervals, params["interval"], range === "365" ? "week" : "day")
  const kind = chosen(kinds, params["by"], "status")
  const measure = chosen(measures, params["measure"], "files")
  const today = Format.isoDay(Date.now())
  const back = (days: number) => Format.isoDay(Date.now() - (days - 1) * 86_400_000)
  const from =
    range === "other" && isDay(params["from"]) ? params["from"] : back(range === "other" ? 30 : Number(range))
  const to = range === "other" && isDay(params["to"]) ? params["to"] : today
  const set = (changes: Readonly<Record<string, string>>) => adjust("charts", { ...params, ...changes })
  const question = { interval, from, to }
  const text = JSON.stringify([question, kind])
  const [counts, again] = useLoaded<{ readonly rows: ReadonlyArray<Row>; readonly kind: keyof typeof kinds }>(
    text,
    async (signal) =>
      Either.map(await ask((client) => rowsOf(client, kind, question), signal), (rows) => ({ kind, rows }))
  )
  const [times] = useLoaded(`times ${JSON.stringify(question)}`, (signal) =>
    ask((client) => client.logs.timeStats({ urlParams: question }), signal)
  )
  const choice = <A extends string>(label: string, key: string, options: Readonly<Record<A, string>>, value: A) => (
    <label>
      {label}
      <select value={value} onChange={(event) => set({ [key]: event.currentTarget.value })}>
        {Object.entries<string>(options).map(([option, name]) => (
          <option key={option} value={option}>
            {name}
          </option>
        ))}
      </select>
    </label>
  )
  const labels = Buckets.starts(from, to, interval)
  const days = labels.map((start) => (interval === "month" ? start.slice(0, 7) : start))
  const show = (more: Readonly<Record<string, string>>) => (index: number) => {
    const start = labels[index]
    if (start !== undefined) go("log", { ...more, created__gte: start, created__lte: Buckets.lastOf(start, interval) })
  }
  const rows = counts.value?.rows ?? []
  const series = Buckets.seriesOf(
    rows,
    labels,
    ({ name }) => name,
    (row) => row[measure],
    (name, rank) => (kind === "status" ? (name === Format.stateName("FAILED") ? "bad" : "good") : rank)
  )
  const failures = Buckets.seriesOf(
    rows.filter(({ status }) => status === "FAILED"),
    labels,
    () => "failed",
    ({ files }) => files,
    () => "bad"
  )
  const took = times.value ?? []
  const at = new Map(took.map((row) => [row.start, row]))
  return (
    <>
      <form class="filters" aria-label="What is drawn" onSubmit={(event) => event.preventDefault()}>
        {choice("Range", "range", ranges, range)}
        {range === "other" && (
          <>
            <label>
              From (day in UTC)
              <input type="date" value={from} onInput={(event) => set({ from: event.currentTarget.value })} />
            </label>
            <label>
              To
              <input type="date" value={to} onInput={(event) => set({ to: event.currentTarget.value })} />
            </label>
          </>
        )}
        {choice("By", "interval", intervals, interval)}
        {choice("Split by", "by", kinds, kind)}
        {choice("Count", "measure", measures, measure)}
      </form>
      {counts.state === "failed" && <Trouble problem={counts.problem} retry={again} />}
      {counts.state === "there" && rows.length === 0 ? (
        <Empty title="Nothing was concluded in that time.">
          <p>Choose another range, or put a file into a source.</p>
        </Empty>
      ) : (
        <>
          <section aria-labelledby="counts-title">
            <h2 id="counts-title">
              {measure === "files" ? "Files" : "Bytes"} by {kinds[kind]}
            </h2>
            <Chart
              title={`${measure === "files" ? "Files" : "Bytes"} by ${kinds[kind]}`}
              kind="bars"
              labels={days}
              series={series}
              format={measure === "files" ? Format.count : Format.bytes}
              onPick={show({})}
            />
          </section>
          <div class="two">
            <section aria-labelledby="times-title">
              <h2 id="times-title">How long it took</h2>
              <Chart
                title="How long deliveries took"
                kind="lines"
                labels={days}
                series={[
                  { name: "median", values: labels.map((start) => at.get(start)?.median_ms ?? 0), tone: 0 },
                  { name: "95th percentile", values: labels.map((start) => at.get(start)?.p95_ms ?? 0), tone: 1 }
                ]}
                format={Format.duration}
                onPick={show({ status: "SUCCEEDED" })}
              />
            </section>
            <section aria-labelledby="failures-title">
              <h2 id="failures-title">Failures</h2>
              {failures.length === 0 ? (
                <Empty title="None in that time." />
              ) : (
                <Chart
                  title="Failures"
                  kind="bars"
                  labels={days}
                  series={failures}
                  format={Format.count}
                  onPick={show({ status: "FAILED" })}
                />
              )}
            </section>
          </div>
        </>
      )}
      <HeatMap />
    </>
  )
}

type Question = { readonly interval: Buckets.Interval; readonly from: string; readonly to: string }

/** The counts by one of their kinds, with their names in words. */
const rowsOf = (client: Client, kind: keyof typeof kinds, urlParams: Question) => {
  const named =
    <A extends Omit<Row, "name">>(nameOf: (row: A) => string) =>
    (rows: ReadonlyArray<A>): ReadonlyArray<Row> =>
      rows.map((row) => ({ ...row, name: nameOf(row) }))
  switch (kind) {
    case "status":
      return Effect.map(
        client.logs.stats({ urlParams }),
        named((row) => Format.stateName(row.status))
      )
    case "destination":
      return Effect.map(
        client.logs.stats({ urlParams }),
        named((row) => row.destination)
      )
    case "folder":
      return Effect.map(
        client.logs.folderStats({ urlParams }),
        named((row) => row.folder || "no folder")
      )
    case "extension":
      return Effect.map(
        client.logs.extensionStats({ urlParams }),
        named(({ extension }) => (extension === "*" ? "long ones" : extension || "no extension"))
      )
  }
}
