/**
 * Which ways files took since the start: counted when their outcomes are committed.
 */
import type { Conclusion } from "../store/Journal.ts"
import type { Flow } from "./Dispatcher.ts"

export interface Flows {
  readonly add: (batch: ReadonlyArray<Conclusion>) => void
  readonly status: () => { readonly concluded: number; readonly flows: ReadonlyArray<Flow> }
}

export const make = (): Flows => {
  // as many as the configs have had since the start
  const flows = new Map<string, { -readonly [Key in keyof Flow]: Flow[Key] }>()
  let concluded = 0
  return {
    add: (batch) => {
      for (const conclusion of batch) {
        // what is tried again by itself has no end yet, and no log entry
        if (conclusion.log === null) continue
        concluded += 1
        const { generation, route, target } = conclusion.delivery
        const key = JSON.stringify([generation.source, route, target.lane])
        let flow = flows.get(key)
        if (flow === undefined) {
          flow = { source: generation.source, route, lane: target.lane, delivered: 0, failed: 0, bytes: 0 }
          flows.set(key, flow)
        }
        if (conclusion._tag === "Delivered") {
          flow.delivered += 1
          flow.bytes += generation.size
        } else flow.failed += 1
      }
    },
    status: () => ({ concluded, flows: Array.from(flows.values(), (flow) => ({ ...flow })) })
  }
}
