/**
 * What a config says of a target beyond its URL, in one line; no secrets.
 */
import { Option } from "effect"
import { formatBytes, formatRate } from "../config/Quantity.ts"
import type { RouteTarget } from "../domain/Settings.ts"
import * as RelPath from "../domain/RelPath.ts"

/** ` (verify hash, names portable, 10MiB/s)`; empty where all is as usual. */
export const saidOf = (one: RouteTarget): string => {
  const said = [...ofName(one), ...ofOptions(one), ...ofBandwidth(one), ...ofSecrets(one)]
  return said.length === 0 ? "" : ` (${said.join(", ")})`
}

/** What becomes of the file and its name on the way. */
const ofName = ({ rename, target: { options } }: RouteTarget): ReadonlyArray<string> => {
  const { age, compress, decompress } = options.transform ?? { age: [], compress: "none", decompress: null }
  return [
    ...(rename === "{relpath}" ? [] : [`rename ${RelPath.display(rename)}`]),
    ...(decompress === null ? [] : [`decompress up to ${formatBytes(decompress.limit)}`]),
    ...(compress === "none" ? [] : [`compress ${compress}`]),
    ...(age.length === 0 ? [] : [`encrypt for ${age.length} ${age.length === 1 ? "recipient" : "recipients"}`])
  ]
}

const ofOptions = ({ target: { options, scheme } }: RouteTarget): ReadonlyArray<string> => {
  const isHttp = scheme === "http" || scheme === "https"
  return [
    ...(options.conflict === "overwrite" ? [] : [`conflict ${options.conflict}`]),
    ...(options.verify === "auto" ? [] : [`verify ${options.verify}`]),
    ...(options.names === "strict" ? [] : [`names ${options.names}`]),
    ...(isHttp ? [`upload ${options.upload}${options.method === null ? "" : ` by ${options.method}`}`] : []),
    ...(options.idempotency ? ["idempotency"] : []),
    ...(options.expect ? ["expect"] : []),
    ...(options.secure === "none" ? [] : [`secure ${options.secure}`]),
    ...named("ca", options.ca),
    ...named("key", options.key),
    ...named("agent", options.agent),
    ...named("knownHosts", options.knownHosts),
    ...named("hostKey", options.hostKey),
    ...named("region", options.region),
    ...named("endpoint", options.endpoint),
    ...(options.pathStyle === null ? [] : [`pathStyle ${options.pathStyle}`]),
    ...(options.partSize === null ? [] : [`partSize ${formatBytes(options.partSize)}`])
  ]
}

const named = (key: string, value: string | null): ReadonlyArray<string> => (value === null ? [] : [`${key} ${value}`])

const ofBandwidth = ({ bandwidth: { lane, target } }: RouteTarget): ReadonlyArray<string> => [
  ...(target === null ? [] : [`bandwidth ${formatRate(target)}`]),
  ...(lane === null ? [] : [`bandwidth of its lane ${formatRate(lane)}`])
]

/** That there is one, never what. */
const ofSecrets = ({ secrets, target: { scheme } }: RouteTarget): ReadonlyArray<string> => [
  ...(Option.isNone(secrets.password) ? [] : [scheme === "s3" ? "with a secret key" : "with a password"]),
  ...(Option.isNone(secrets.token) ? [] : [scheme === "s3" ? "with a session token" : "with a token"]),
  ...(Option.isNone(secrets.passphrase) ? [] : ["with a passphrase"]),
  ...(secrets.headers.length === 0 ? [] : [`headers ${secrets.headers.map(([name]) => name).join(" and ")}`])
]
