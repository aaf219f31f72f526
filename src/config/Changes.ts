/**
 * What is other in a config that was loaded again, and what of it can take effect while the program runs.
 */
import { Option, Redacted } from "effect"
import type { Route, Secrets, Settings } from "../domain/Settings.ts"

export interface Changes {
  /** What takes effect, one sentence each, without secrets. */
  readonly applied: ReadonlyArray<string>
  /** The keys whose new values need a restart. */
  readonly restart: ReadonlyArray<string>
  /** Whether files may go elsewhere. */
  readonly routing: boolean
}

/** From the settings in force to those that were loaded. */
export const between = (old: Settings, next: Settings): Changes => {
  const sources = named("source", old.sources, next.sources, JSON.stringify, {
    gone: "what was accepted from it is still delivered",
    changed: "it is started anew"
  })
  const folders = named("folder", old.routes, next.routes, rulesOf, {
    gone: "what waits for it is still delivered",
    changed: "what was accepted keeps its target"
  })
  const dispatch = old.dispatch === next.dispatch ? [] : [`dispatch is ${next.dispatch} now`]
  const secrets = next.routes
    .filter((route) => old.routes.some((one) => one.name === route.name && !sameCredentials(one, route)))
    .map(({ name }) => `folder ${name} has other credentials`)
  const rest = [
    ...(old.log.retain === next.log.retain ? [] : ["log.retain has changed"]),
    ...(sameToken(old, next) ? [] : ["http.token has changed"])
  ]
  return {
    applied: [...sources, ...folders, ...dispatch, ...secrets, ...rest],
    restart: fixed
      .filter(([, value]) => JSON.stringify(value(old)) !== JSON.stringify(value(next)))
      .map(([key]) => key),
    routing: sources.length + folders.length + dispatch.length > 0
  }
}

/** The new settings, but for what needs a restart: that is as it was. */
export const inForce = (old: Settings, next: Settings): Settings => ({
  ...next,
  http: {
    host: old.http.host,
    port: old.http.port,
    // an address that others can reach is never left without one
    token: next.http.host === old.http.host ? next.http.token : Option.orElse(next.http.token, () => old.http.token)
  },
  monitor: old.monitor,
  log: { ...old.log, retain: next.log.retain },
  db: old.db,
  durability: old.durability
})

/** What is taken once, at the start. */
const fixed: ReadonlyArray<readonly [key: string, value: (settings: Settings) => unknown]> = [
  ["http.host", ({ http }) => http.host],
  ["http.port", ({ http }) => http.port],
  ["monitor", ({ monitor }) => monitor],
  ["log.level", ({ log }) => log.level],
  ["log.format", ({ log }) => log.format],
  ["log.file", ({ log }) => log.file ?? null],
  ["log.rotate", ({ log }) => log.rotate],
  ["db", ({ db }) => db],
  ["durability", ({ durability }) => durability]
]

const named = <A extends { readonly name: string }>(
  kind: string,
  old: ReadonlyArray<A>,
  next: ReadonlyArray<A>,
  textOf: (one: A) => string,
  words: { readonly gone: string; readonly changed: string }
): ReadonlyArray<string> => {
  const before = new Map(old.map((one) => [one.name, textOf(one)]))
  const after = new Map(next.map((one) => [one.name, textOf(one)]))
  const lines: Array<string> = []
  for (const [name, text] of after) {
    const was = before.get(name)
    if (was === undefined) lines.push(`${kind} ${name} is new`)
    else if (was !== text) lines.push(`${kind} ${name} has changed: ${words.changed}`)
  }
  for (const name of before.keys()) if (!after.has(name)) lines.push(`${kind} ${name} is gone: ${words.gone}`)
  const order = (all: ReadonlyMap<string, string>, other: ReadonlyMap<string, string>) =>
    Array.from(all.keys()).filter((name) => other.has(name))
  if (order(before, after).join("\n") !== order(after, before).join("\n")) {
    lines.push(`the order of the ${kind}s has changed`)
  }
  return lines
}

/** All of a folder but its secrets. */
const rulesOf = ({ targets, ...route }: Route): string =>
  JSON.stringify([route, targets.map(({ bandwidth, rename, target }) => [target, bandwidth, rename])])

const sameCredentials = (one: Route, other: Route): boolean =>
  one.targets.every(({ secrets, target }) => {
    const match = other.targets.find((candidate) => candidate.target.url === target.url)
    return match === undefined || revealed(secrets) === revealed(match.secrets)
  })

/** For a comparison, never to be shown. */
const revealed = ({ headers, passphrase, password, query, token }: Secrets): string =>
  JSON.stringify([
    ...[password, query, token, passphrase].map((one) => Option.getOrNull(Option.map(one, Redacted.value))),
    headers.map(([name, value]) => [name, Redacted.value(value)])
  ])

const sameToken = (old: Settings, next: Settings): boolean =>
  Option.getEquivalence(Redacted.getEquivalence<string>((left, right) => left === right))(
    old.http.token,
    inForce(old, next).http.token
  )
