/** A year at a glance: each day by how much was done. A table, in which every day can be read, and opened. */
import { ask } from "./api.ts"
import * as Buckets from "./buckets.ts"
import * as Format from "./format.ts"
import { Trouble, useLoaded } from "./parts.tsx"
import { hrefOf } from "./route.ts"

const weekdays = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
const monthName = new Intl.DateTimeFormat(undefined, { month: "short", timeZone: "UTC" })

export const HeatMap = () => {
  const to = Format.isoDay(Date.now())
  const from = Buckets.startOf(Format.isoDay(Date.now() - 364 * 86_400_000), "week")
  const [stats] = useLoaded(`year ${from} ${to}`, (signal) =>
    ask((client) => client.logs.stats({ urlParams: { interval: "day", from, to } }), signal)
  )
  const days = new Map<string, { files: number; failed: number }>()
  for (const { files, start, status } of stats.value ?? []) {
    const day = days.get(start) ?? { files: 0, failed: 0 }
    day.files += files
    if (status === "FAILED") day.failed += files
    days.set(start, day)
  }
  const most = Math.max(1, ...Array.from(days.values(), ({ files }) => files))
  const weeks = Buckets.starts(from, to, "week")
  // by its size: one day of a flood must not make all others look alike
  const level = (files: number): number =>
    files === 0 ? 0 : 1 + Math.floor((3.99 * Math.log(files)) / Math.log(Math.max(2, most)))
  return (
    <section aria-labelledby="year-title">
      <h2 id="year-title">The year</h2>
      {stats.state === "failed" && <Trouble problem={stats.problem} />}
      <div class="scroll" tabIndex={0} role="region" aria-labelledby="year-title">
        <table class="heat">
          <caption class="unseen">Files concluded on each day of the last year; days are in UTC</caption>
          <thead>
            <tr>
              <th scope="col">
                <span class="unseen">weekday</span>
              </th>
              {weeks.map((week, index) => {
                const month = week.slice(0, 7)
                const named = index === 0 || weeks[index - 1]?.slice(0, 7) !== month
                return (
                  <th key={week} scope="col">
                    <span class="unseen">week of {week}</span>
                    {named && <span aria-hidden="true">{monthName.format(Date.parse(`${week}T00:00:00Z`))}</span>}
                  </th>
                )
              })}
            </tr>
          </thead>
          <tbody>
            {weekdays.map((weekday, row) => (
              <tr key={weekday}>
                <th scope="row">{weekday}</th>
                {weeks.map((week) => {
                  const day = Format.isoDay(Date.parse(`${week}T00:00:00Z`) + row * 86_400_000)
                  if (day > to) return <td key={day} />
                  const { failed, files } = days.get(day) ?? { failed: 0, files: 0 }
                  const text = `${Format.date(day)}: ${Format.counted(files, "file")}${failed > 0 ? `, ${Format.count(failed)} failed` : ""}`
                  return (
                    <td key={day}>
                      {files === 0 ? (
                        <span class="day level-0" title={text}>
                          <span class="unseen">none</span>
                        </span>
                      ) : (
                        <a
                          class={`day level-${Math.min(4, level(files))}${failed > 0 ? " failed" : ""}`}
                          title={text}
                          href={hrefOf("log", { created__gte: day, created__lte: day })}
                        >
                          <span class="unseen">{text}</span>
                        </a>
                      )}
                    </td>
                  )
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="muted legend-line">
        less
        {[0, 1, 2, 3, 4].map((step) => (
          <span key={step} class={`day level-${step}`} aria-hidden="true" />
        ))}
        more; with a frame: something failed
      </p>
    </section>
  )
}
