import type { Delivery } from "../domain/Delivery.ts"
import type { Settings } from "../domain/Settings.ts"
import type { Target, TargetOptions } from "../domain/Target.ts"

/** Which server it is and how it is talked to: the same for all targets of a lane, see Logins. */
type Connecting = Pick<
  TargetOptions,
  "secure" | "ca" | "key" | "agent" | "knownHosts" | "hostKey" | "region" | "endpoint" | "pathStyle"
>

interface Known {
  readonly lanes: ReadonlyMap<string, Connecting>
  /** Targets as deliveries have them, which are the same few objects, and as they are configured. */
  readonly targets: WeakMap<Target, Target>
}

const known = new WeakMap<Settings, Known>()

/**
 * A delivery is what it was when it was accepted, but its server is reached as the config has it today: a host key or a
 * certificate authority that was put right must help what waits for it.
 */
export const asConfigured = (settings: Settings, delivery: Delivery): Delivery => {
  if (delivery.target.scheme === "file") return delivery
  const { lanes, targets } = knownOf(settings)
  const target = targets.get(delivery.target) ?? targetOf(delivery.target, lanes.get(delivery.target.lane))
  targets.set(delivery.target, target)
  return target === delivery.target ? delivery : { ...delivery, target }
}

const knownOf = (settings: Settings): Known => {
  const found = known.get(settings)
  if (found !== undefined) return found
  const made = { lanes: connectingOf(settings), targets: new WeakMap<Target, Target>() }
  known.set(settings, made)
  return made
}

const targetOf = (target: Target, connecting: Connecting | undefined): Target =>
  connecting === undefined ? target : { ...target, options: { ...target.options, ...connecting } }

const connectingOf = (settings: Settings): ReadonlyMap<string, Connecting> =>
  new Map(
    settings.routes.flatMap(({ targets }) =>
      targets.map(({ target: { lane, options } }) => {
        const { agent, ca, endpoint, hostKey, key, knownHosts, pathStyle, region, secure } = options
        return [lane, { agent, ca, endpoint, hostKey, key, knownHosts, pathStyle, region, secure }] as const
      })
    )
  )

/** The most that any target of the lane asks for; what the config no longer has is sent with care. */
export const concurrencyOf = (settings: Settings, lane: string): number =>
  settings.routes
    .flatMap(({ targets }) => targets)
    .reduce((most, { target }) => (target.lane === lane ? Math.max(most, target.options.concurrency) : most), 1)
