/** Bars that stand on each other, and lines, over intervals of time. uPlot draws them. */
import { useEffect, useRef, useState } from "preact/hooks"
import uPlot from "uplot"
import * as Format from "./format.ts"

export interface Series {
  readonly name: string
  /** One for each label; null: there is none, and a line has a gap. */
  readonly values: ReadonlyArray<number | null>
  /** Its number among the colours; `good` and `bad` have their own. */
  readonly tone: number | "good" | "bad" | "others"
}

export interface ChartProps {
  readonly title: string
  readonly kind: "bars" | "lines"
  readonly labels: ReadonlyArray<string>
  readonly series: ReadonlyArray<Series>
  readonly format: (value: number) => string
  /** Whether there is nothing between two whole numbers. */
  readonly whole?: boolean
  /** Somebody wants to see what is in an interval. */
  readonly onPick?: (index: number) => void
}

const total = (values: ReadonlyArray<number | null>): number => values.reduce<number>((all, one) => all + (one ?? 0), 0)

/** Steps between the lines of an axis. */
const wholeSteps = [1, 2, 5]
  .flatMap((step) => Array.from({ length: 13 }, (_, power) => step * 10 ** power))
  .sort((one, other) => one - other)

/** What the chart says, for who can't see it. */
const summary = ({ format, labels, series, title }: ChartProps): string => {
  const totals = series.map(({ name, values }) => `${Format.plain(name)} ${format(total(values))}`)
  return `${title}, ${labels[0] ?? ""} to ${labels.at(-1) ?? ""}. In all: ${totals.slice(0, 10).join(", ")}.`
}

/** From the page's style, as it comes out in the light or in the dark. */
const colour = (name: string): string => {
  const probe = document.createElement("span")
  probe.style.color = `var(${name})`
  document.body.append(probe)
  const { color } = getComputedStyle(probe)
  probe.remove()
  return color
}
const toneOf = (tone: Series["tone"]): string =>
  colour(typeof tone === "number" ? `--series-${(tone % 8) + 1}` : `--series-${tone}`)

export const Chart = (props: ChartProps) => {
  const { format, kind, labels, onPick, series, title, whole = false } = props
  const place = useRef<HTMLDivElement>(null)
  const [at, setAt] = useState<number | undefined>(undefined)
  const [theme, setTheme] = useState(0)
  const pick = useRef(onPick)
  pick.current = onPick

  useEffect(() => {
    const changed = () => setTheme((before) => before + 1)
    const media = matchMedia("(prefers-color-scheme: dark)")
    window.addEventListener("themechange", changed)
    media.addEventListener("change", changed)
    return () => {
      window.removeEventListener("themechange", changed)
      media.removeEventListener("change", changed)
    }
  }, [])

  useEffect(() => {
    const host = place.current
    if (host === null || labels.length === 0) return
    const xs = labels.map((_, index) => index)
    // bars stand on each other: each is as high as all from itself on
    const heights = series.map(({ values }) => Array.from(values))
    if (kind === "bars") {
      for (let row = heights.length - 2; row >= 0; row--) {
        heights[row] = (heights[row] ?? []).map((value, index) => (value ?? 0) + (heights[row + 1]?.[index] ?? 0))
      }
    }
    const bars = uPlot.paths.bars?.({ size: [0.75, 60] })
    const lines = uPlot.paths.linear?.()
    const axis = {
      stroke: colour("--muted"),
      grid: { stroke: colour("--grid"), width: 1 },
      ticks: { show: false },
      font: "12px system-ui, sans-serif"
    }
    const plot = new uPlot(
      {
        width: Math.max(200, host.clientWidth),
        height: 220,
        legend: { show: false },
        padding: [12, 12, 0, 0],
        scales: {
          x: { time: false, range: [-0.6, labels.length - 0.4] },
          y: { range: (_, __, most) => [0, most > 0 ? most * 1.05 : 1] }
        },
        axes: [
          {
            ...axis,
            size: 30,
            grid: { show: false },
            splits: () => {
              const step = Math.max(1, Math.ceil(labels.length / Math.max(2, Math.floor(host.clientWidth / 100))))
              return xs.filter((index) => index % step === 0)
            },
            values: (_, splits) => splits.map((index) => labels[index] ?? "")
          },
          {
            ...axis,
            size: 72,
            ...(whole ? { incrs: wholeSteps } : {}),
            values: (_, splits) => splits.map((value) => format(value))
          }
        ],
        cursor: { y: false, drag: { x: false, y: false }, points: { show: kind === "lines" } },
        series: [
          {},
          ...series.map((one) => {
            const tone = toneOf(one.tone)
            const paths = kind === "bars" ? bars : lines
            return {
              label: one.name,
              stroke: tone,
              ...(kind === "bars" ? { fill: tone, width: 0 } : { width: 2 }),
              points: { show: kind === "lines" && labels.length < 40 },
              ...(paths === undefined ? {} : { paths })
            }
          })
        ],
        hooks: {
          setCursor: [(chart) => setAt(chart.cursor.idx ?? undefined)]
        }
      },
      [xs, ...heights],
      host
    )
    const click = () => {
      if (typeof plot.cursor.idx === "number") pick.current?.(plot.cursor.idx)
    }
    plot.over.addEventListener("click", click)
    if (onPick !== undefined) plot.over.style.cursor = "pointer"
    const watcher = new ResizeObserver(() => plot.setSize({ width: Math.max(200, host.clientWidth), height: 220 }))
    watcher.observe(host)
    return () => {
      watcher.disconnect()
      plot.destroy()
    }
  }, [kind, JSON.stringify([labels, series]), theme, format])

  const hovered = at === undefined ? undefined : labels[at]
  return (
    <figure class="chart">
      <div ref={place} role="img" aria-label={summary(props)} />
      <figcaption>
        <ul class="legend">
          {series.map((one) => (
            <li key={one.name}>
              <span
                class={`swatch tone-${typeof one.tone === "number" ? (one.tone % 8) + 1 : one.tone}`}
                aria-hidden="true"
              />
              {Format.plain(one.name)}
              <strong>
                {kind === "bars" || at !== undefined
                  ? format(at === undefined ? total(one.values) : (one.values[at] ?? 0))
                  : ""}
              </strong>
            </li>
          ))}
        </ul>
        <small class="muted">{hovered ?? "in all"}</small>
      </figcaption>
      <details>
        <summary>{title} as a table</summary>
        <div class="scroll" tabIndex={0} role="region" aria-label={`${title} as a table`}>
          <table>
            <thead>
              <tr>
                <th scope="col">from</th>
                {series.map(({ name }) => (
                  <th key={name} scope="col" class="number">
                    {Format.plain(name)}
                  </th>
                ))}
                {onPick !== undefined && <th scope="col">entries</th>}
              </tr>
            </thead>
            <tbody>
              {labels.map((label, index) => (
                <tr key={label}>
                  <th scope="row">{label}</th>
                  {series.map(({ name, values }) => (
                    <td key={name} class="number">
                      {format(values[index] ?? 0)}
                    </td>
                  ))}
                  {onPick !== undefined && (
                    <td>
                      <button type="button" class="link" onClick={() => onPick(index)}>
                        Show<span class="unseen"> the entries of {label}</span>
                      </button>
                    </td>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  )
}
