/**
 * How the sources, the destinations and the ways between them are shown over HTTP.
 */
import type { ConfigStatus } from "../config/Reload.ts"
import type { Flow, LaneStatus } from "../deliver/Dispatcher.ts"
import type { Settings } from "../domain/Settings.ts"
import type { LaneCount } from "../store/Deliveries.ts"
import type { SourceStatus } from "../watch/Intake.ts"
import type { DestinationView, FlowView, SourceView } from "./ApiSchema.ts"

export const iso = (time: number): string => new Date(time).toISOString()

export const isoOrNull = (time: number | null): string | null => (time === null ? null : iso(time))

export const sourceView = ({ lastEvent, lastScan, paused, ...source }: SourceStatus): SourceView => ({
  ...source,
  paused: isoOrNull(paused),
  last_scan: isoOrNull(lastScan),
  last_event: isoOrNull(lastEvent)
})

/** In the order of the config; those as well that had nothing to do yet, and behind them those that it has no more. */
export const destinationViews = (
  settings: Settings,
  lanes: ReadonlyArray<LaneStatus>,
  paused: ReadonlyMap<string, number>,
  counts: ReadonlyArray<LaneCount>
): ReadonlyArray<DestinationView> => {
  const configured = configuredLanes(settings)
  const open = new Map(lanes.map((lane) => [lane.lane, lane]))
  const waiting = new Map<string, Record<string, number>>()
  for (const { count, lane, state } of counts) {
    const known = waiting.get(lane)
    if (known === undefined) waiting.set(lane, { [state]: count })
    else known[state] = count
  }
  return Array.from(new Set([...configured.keys(), ...open.keys(), ...paused.keys()]), (name) => {
    const { lastError, ...lane } = open.get(name) ?? idle(name, configured.get(name) ?? 1, paused.get(name) ?? null)
    return {
      ...lane,
      probe: isoOrNull(lane.probe),
      paused: isoOrNull(lane.paused),
      sending: lane.sending.map((sending) => ({ ...sending, started: iso(sending.started) })),
      last_error: lastError === null ? null : { ...lastError, time: iso(lastError.time) },
      waiting: waiting.get(name) ?? {}
    }
  })
}

/** The lanes of the config, each with how many deliveries it may have under way at once. */
const configuredLanes = (settings: Settings): ReadonlyMap<string, number> => {
  const lanes = new Map<string, number>()
  for (const { targets } of settings.routes) {
    for (const { target } of targets) {
      lanes.set(target.lane, Math.max(lanes.get(target.lane) ?? 1, target.options.concurrency))
    }
  }
  return lanes
}

/** A lane that had nothing to do since the start. */
const idle = (lane: string, concurrency: number, paused: number | null): LaneStatus => ({
  lane,
  health: "up",
  reason: null,
  probe: null,
  paused,
  concurrency,
  limit: concurrency,
  queued: 0,
  sending: [],
  delivered: 0,
  failed: 0,
  bytes: 0,
  lastError: null
})

/** Every way that files can take by the config, with what took it. */
export const flowViews = (settings: Settings, counted: ReadonlyArray<Flow>): ReadonlyArray<FlowView> => {
  const known = new Map(counted.map((flow) => [keyOf(flow.source, flow.route, flow.lane), flow]))
  return settings.sources.flatMap((source) =>
    settings.routes
      .filter(({ rules }) => rules.every((rule) => rule._tag !== "Sources" || rule.sources.includes(source.name)))
      .flatMap(({ name, targets }) =>
        Array.from(new Set(targets.map(({ target }) => target.lane)), (lane) => {
          const flow = known.get(keyOf(source.path, name, lane))
          return {
            source: source.name,
            folder: name,
            lane,
            delivered: flow?.delivered ?? 0,
            failed: flow?.failed ?? 0,
            bytes: flow?.bytes ?? 0
          }
        })
      )
  )
}

const keyOf = (source: string, route: string, lane: string): string => `${source}\0${route}\0${lane}`

export const configStatusView = ({ error, file, loadedAt, restart }: ConfigStatus) => ({
  file,
  loaded: iso(loadedAt),
  error,
  restart
})
