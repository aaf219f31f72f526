/** How much there is, and how fast things go, from what was told before and what is told now. */
import { useRef } from "preact/hooks"
import type { Now } from "../http/ApiSchema.ts"

export interface Rate {
  /** A second. */
  readonly files: number
  readonly bytes: number
}

export interface Rates {
  readonly total: Rate
  readonly lanes: ReadonlyMap<string, Rate>
  /** Bytes a second, by delivery. */
  readonly sending: ReadonlyMap<number, number>
  /** Files a second, by {@link flowKey}. */
  readonly flows: ReadonlyMap<string, number>
}

const none: Rates = { total: { files: 0, bytes: 0 }, lanes: new Map(), sending: new Map(), flows: new Map() }

export const flowKey = (flow: { readonly source: string; readonly folder: string; readonly lane: string }): string =>
  JSON.stringify([flow.source, flow.folder, flow.lane])

/** Over how many milliseconds they are taken, so that one slow second is no standstill. */
const span = 10_000

/** How many of a destination's deliveries are in one of these states. */
export const sum = (waiting: Readonly<Record<string, number>>, states: ReadonlyArray<string>): number =>
  states.reduce((total, state) => total + (waiting[state] ?? 0), 0)

/** What was delivered, and what is on its way. */
const moved = ({ bytes, sending }: Now["destinations"][number]): number =>
  sending.reduce((all, one) => all + one.bytes, bytes)

/** The rates between the first and the last of what was told of one life of the program, oldest first. */
export const ratesOf = (told: ReadonlyArray<Now>): Rates => {
  const [first, last] = [told[0], told.at(-1)]
  if (first === undefined || last === undefined) return none
  const seconds = (Date.parse(last.time) - Date.parse(first.time)) / 1000
  if (seconds <= 0) return none
  const lanes = new Map<string, Rate>()
  const sending = new Map<number, number>()
  const total = { files: 0, bytes: 0 }
  for (const lane of last.destinations) {
    const before = first.destinations.find((each) => each.lane === lane.lane)
    const rate = {
      files: Math.max(0, lane.delivered - (before?.delivered ?? 0)) / seconds,
      bytes: Math.max(0, moved(lane) - (before === undefined ? 0 : moved(before))) / seconds
    }
    lanes.set(lane.lane, rate)
    total.files += rate.files
    total.bytes += rate.bytes
    for (const one of lane.sending) {
      const began = before?.sending.find(({ delivery }) => delivery === one.delivery)
      // one that began meanwhile did so at its own time
      const since = began === undefined ? (Date.parse(last.time) - Date.parse(one.started)) / 1000 : seconds
      if (since > 0) sending.set(one.delivery, Math.max(0, one.bytes - (began?.bytes ?? 0)) / since)
    }
  }
  const known = new Map(first.flows.map((flow) => [flowKey(flow), flow.delivered]))
  const flows = new Map(
    last.flows.map((flow) => [flowKey(flow), Math.max(0, flow.delivered - (known.get(flowKey(flow)) ?? 0)) / seconds])
  )
  return { total, lanes, sending, flows }
}

export const useRates = (known: Now | undefined): Rates => {
  const told = useRef<Array<Now>>([])
  const list = told.current
  if (known !== undefined && list.at(-1) !== known) {
    // another start counts from nothing
    if (list.at(-1)?.started !== known.started) list.length = 0
    list.push(known)
    while (list.length > 2 && Date.parse(known.time) - Date.parse(list[0]?.time ?? known.time) > span) list.shift()
  }
  return ratesOf(list)
}
