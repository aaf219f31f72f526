/** Sources → folders → destinations, with what went along each line since the start. */
import { open } from "../domain/Delivery.ts"
import type { Now } from "../http/ApiSchema.ts"
import * as Format from "./format.ts"
import { Empty } from "./parts.tsx"
import { flowKey, type Rates, sum } from "./rates.ts"

const size = { width: 960, box: 230, height: 44, gap: 14 }

interface Line {
  readonly from: string
  readonly to: string
  delivered: number
  failed: number
  rate: number
}

/** What goes between two columns, added up. */
const linesOf = (
  known: Now,
  rates: Rates,
  ends: (flow: Now["flows"][number]) => readonly [string, string]
): ReadonlyArray<Line> => {
  const lines = new Map<string, Line>()
  for (const flow of known.flows) {
    const [from, to] = ends(flow)
    const key = JSON.stringify([from, to])
    const line = lines.get(key) ?? { from, to, delivered: 0, failed: 0, rate: 0 }
    line.delivered += flow.delivered
    line.failed += flow.failed
    line.rate += rates.flows.get(flowKey(flow)) ?? 0
    lines.set(key, line)
  }
  return Array.from(lines.values())
}

const short = (text: string, length: number): string => {
  const plain = Format.plain(text)
  return plain.length <= length ? plain : `${plain.slice(0, length - 1)}…`
}

export const FlowPicture = ({ known, rates }: { readonly known: Now; readonly rates: Rates }) => {
  const sources = known.sources.map(({ name }) => name)
  const folders = Array.from(new Set(known.flows.map(({ folder }) => folder)))
  const lanes = Array.from(new Set(known.flows.map(({ lane }) => lane)))
  if (folders.length === 0) {
    return (
      <Empty title="No folder takes anything.">
        <p>Name one below `folders` in the config.</p>
      </Empty>
    )
  }
  const rows = Math.max(sources.length, folders.length, lanes.length)
  const height = rows * (size.height + size.gap) + size.gap
  const columns = [0, (size.width - size.box) / 2, size.width - size.box]
  const middle = (list: ReadonlyArray<string>, name: string): number =>
    ((list.indexOf(name) + 0.5) * height) / list.length
  const health = (lane: string): string => {
    const known_ = known.destinations.find((each) => each.lane === lane)
    return known_ === undefined ? "" : known_.paused !== null ? "warn" : known_.health === "down" ? "bad" : "good"
  }
  const waits = (lane: string): number =>
    sum(known.destinations.find((each) => each.lane === lane)?.waiting ?? {}, open)
  const sides = [
    {
      lines: linesOf(known, rates, ({ folder, source }) => [source, folder]),
      left: sources,
      right: folders,
      column: 0
    },
    { lines: linesOf(known, rates, ({ folder, lane }) => [folder, lane]), left: folders, right: lanes, column: 1 }
  ]
  return (
    <figure class="flow">
      <div class="wide" aria-hidden="true">
        <svg viewBox={`0 0 ${size.width} ${height}`} style={{ minHeight: `${Math.min(height, 140)}px` }}>
          {sides.map(({ column, left, lines, right }) =>
            lines.map((line) => {
              const [x1, x2] = [(columns[column] ?? 0) + size.box, columns[column + 1] ?? 0]
              const [y1, y2] = [middle(left, line.from), middle(right, line.to)]
              const bend = (x2 - x1) / 2
              return (
                <g key={`${line.from}\n${line.to}`}>
                  <path
                    class={line.rate > 0 ? "line moving" : line.delivered > 0 ? "line used" : "line"}
                    d={`M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`}
                  />
                  {(line.delivered > 0 || line.failed > 0) && (
                    // near the end at which it is alone
                    <text
                      class="on-line"
                      x={left.length >= right.length ? x1 + 8 : x2 - 8}
                      y={(left.length >= right.length ? y1 : y2) - 6}
                      text-anchor={left.length >= right.length ? "start" : "end"}
                    >
                      {Format.count(line.delivered)}
                      {line.failed > 0 && <tspan class="bad"> · {Format.count(line.failed)} failed</tspan>}
                    </text>
                  )}
                </g>
              )
            })
          )}
          {[
            {
              list: sources,
              note: (name: string) => known.sources.find((each) => each.name === name)?.path ?? "",
              tone: (name: string) =>
                known.sources.find((each) => each.name === name)?.health === "missing" ? "bad" : "good",
              label: (name: string) => name
            },
            { list: folders, note: () => "folder", tone: () => "", label: (name: string) => name },
            {
              list: lanes,
              note: (name: string) => Format.counted(waits(name), "waits", "wait"),
              tone: health,
              label: Format.laneName
            }
          ].map(({ label, list, note, tone }, column) =>
            list.map((name) => (
              <g
                key={`${column} ${name}`}
                class={`box ${tone(name)}`}
                transform={`translate(${columns[column] ?? 0} ${middle(list, name) - size.height / 2})`}
              >
                <rect width={size.box} height={size.height} rx="8" />
                <text x="14" y="19">
                  {short(label(name), 26)}
                </text>
                <text x="14" y="35" class="small">
                  {short(note(name), 32)}
                </text>
              </g>
            ))
          )}
        </svg>
      </div>
      <table class="narrow">
        <caption class="unseen">
          The flow: from which source by which folder to which destination, since the start
        </caption>
        <thead>
          <tr>
            <th scope="col">source</th>
            <th scope="col">folder</th>
            <th scope="col">destination</th>
            <th scope="col" class="number">
              delivered
            </th>
            <th scope="col" class="number">
              failed
            </th>
          </tr>
        </thead>
        <tbody>
          {known.flows.map((flow) => (
            <tr key={flowKey(flow)}>
              <td>{Format.plain(flow.source)}</td>
              <td>{Format.plain(flow.folder)}</td>
              <td>{Format.plain(Format.laneName(flow.lane))}</td>
              <td class="number">{Format.count(flow.delivered)}</td>
              <td class="number">{Format.count(flow.failed)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </figure>
  )
}
