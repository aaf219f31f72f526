/**
 * Deliveries are stored without secrets, and connections are shared by lane: either must find its own again. So targets
 * of one lane log in in one way, and targets of one URL have the same secrets.
 */
import { Equivalence, Option, Redacted } from "effect"
import type { RouteTarget, Secrets } from "../domain/Settings.ts"
import type { TargetOptions } from "../domain/Target.ts"

export interface Fault {
  readonly message: string
  readonly expected: string
}

export class Logins {
  private readonly lanes = new Map<string, Seen>()
  private readonly urls = new Map<string, Seen>()

  /** What of it does not go with the targets that came before. `at` is its place in the config. */
  add(one: RouteTarget, at: string): ReadonlyArray<Fault> {
    const { lane, url } = one.target
    const faults: Array<Fault> = []
    const sameLane = this.lanes.get(lane)
    const sameUrl = this.urls.get(url)
    if (sameLane !== undefined) {
      const other = connection.find(([, same]) => !same(sameLane.one, one))
      if (other !== undefined) {
        const who = one.target.username === null ? "the same server" : "the same user at the same server"
        faults.push({
          message: `${who} has another ${other[0]} in ${sameLane.at}`,
          expected: `one ${other[0]} for it everywhere`
        })
      }
    }
    if (sameUrl !== undefined) {
      const { endpoint } = sameUrl.one.target.options
      if (endpoint !== one.target.options.endpoint) {
        faults.push({
          message: `it is the same bucket and prefix as ${sameUrl.at}, at another endpoint`,
          expected: "a prefix of its own, or another access key, for each endpoint"
        })
      } else if (!sameText(sameUrl.one.secrets.query, one.secrets.query)) {
        faults.push({
          message: `it differs from ${sameUrl.at} in its query only`,
          expected: "a path of its own for each query"
        })
      }
      // of one lane it has been said already
      const other = lane === sameUrl.one.target.lane ? undefined : secrets.find(([, same]) => !same(sameUrl.one, one))
      if (other !== undefined) {
        faults.push({
          message: `it is the same URL as ${sameUrl.at}, with another ${other[0]}`,
          expected: `one ${other[0]} for it everywhere`
        })
      }
      if (!sameHeaders(sameUrl.one.secrets.headers, one.secrets.headers)) {
        faults.push({
          message: `it differs from ${sameUrl.at} in its headers only`,
          expected: "the same headers for the same URL"
        })
      }
    }
    if (sameLane === undefined) this.lanes.set(lane, { at, one })
    if (sameUrl === undefined) this.urls.set(url, { at, one })
    return faults
  }
}

interface Seen {
  readonly at: string
  readonly one: RouteTarget
}

const sameRedacted = Redacted.getEquivalence<string>(Equivalence.strict())

/** Whether two secrets are one. */
export const sameText: Equivalence.Equivalence<Secrets["password"]> = Option.getEquivalence(sameRedacted)

/** Whether two targets have the same secrets. */
export const sameSecrets = (left: Secrets, right: Secrets): boolean =>
  sameText(left.query, right.query) && sameHeaders(left.headers, right.headers)

const sameHeaders = (left: Secrets["headers"], right: Secrets["headers"]): boolean =>
  left.length === right.length &&
  left.every(([name, value], index) => {
    const other = right[index]
    return other !== undefined && other[0] === name && sameRedacted(other[1], value)
  })

type Same = (left: RouteTarget, right: RouteTarget) => boolean

const option =
  (key: keyof TargetOptions): Same =>
  (left, right) =>
    left.target.options[key] === right.target.options[key]

const secret =
  (key: "password" | "token" | "passphrase"): Same =>
  (left, right) =>
    sameText(left.secrets[key], right.secrets[key])

const secrets: ReadonlyArray<readonly [name: string, same: Same]> = [
  ["password", secret("password")],
  ["token", secret("token")],
  ["passphrase", secret("passphrase")]
]

/** What belongs to the connection, and what it is called. */
const connection: ReadonlyArray<readonly [name: string, same: Same]> = [
  ...secrets,
  ...(["secure", "ca", "key", "agent", "knownHosts", "hostKey", "region", "endpoint", "pathStyle"] as const).map(
    (key) => [key, option(key)] as const
  )
]
