/**
 * Resolves what a folder says of one target: its place, its options, and whether the two go together.
 */
import { Either, Option } from "effect"
import type { Redacted } from "effect"
import * as Path from "node:path"
import { noSecrets, unlimited, type Bandwidth, type RouteTarget, type Secrets } from "../domain/Settings.ts"
import { environmentAgent, usualOptions, type TargetOptions, type Transform } from "../domain/Target.ts"
import { defaults } from "./defaults.ts"
import type { FolderEntry } from "./FolderFile.ts"
import * as PathTemplate from "./PathTemplate.ts"
import * as Place from "./Place.ts"
import { schemeOptions, type Scheme, type SchemeOption } from "./Scheme.ts"
import { endpointOf } from "./TargetFile.ts"
import * as Faults from "./targetFaults.ts"
import type { Fault, Options } from "./targetFaults.ts"
import * as Templates from "./targetTemplates.ts"
import * as TargetUrl from "./TargetUrl.ts"
import type { Environment } from "./Variables.ts"

export interface Context {
  /** Where relative paths begin. */
  readonly directory: string
  readonly schemes: ReadonlyMap<string, Scheme>
  readonly env: Environment
  /** The named groups that templates may use; undefined where they are not known, so that templates are not checked. */
  readonly groups?: ReadonlySet<string> | undefined
}

export interface Resolved {
  /** As far as its place is right. */
  readonly target: RouteTarget | undefined
  readonly faults: ReadonlyArray<Fault>
  /** What is not wrong, but hardly meant. */
  readonly warnings: ReadonlyArray<Fault>
}

/**
 * The target, and all that is wrong with it. `own` are the options of a target that is written as a map; they win over
 * those of its folder.
 */
export const resolve = (text: string, own: Options, folder: FolderEntry, context: Context): Resolved => {
  const name = Option.getOrElse(TargetUrl.schemeOf(text), () => "file")
  const written = PathTemplate.split(text, context.groups)
  if (Either.isLeft(written)) {
    const { expected, message, part } = written.left
    return { target: undefined, faults: [{ key: undefined, part, message, expected }], warnings: [] }
  }
  const scheme = context.schemes.get(name)
  const all = merge(scheme, own, folder)
  const files = filesOf(all, context.directory)
  const faults = Faults.options(name, all, own, context.schemes)
  const warnings = Faults.warnings(scheme, all, {
    env: context.env,
    files,
    shared: own.ca === undefined && (folder.paths?.length ?? 0) > 1
  })
  const address =
    name === "file"
      ? localAddress(written.right.place, context.directory)
      : TargetUrl.parse(written.right.place, context.schemes, { secure: all.secure, username: all.accessKey })
  if (Either.isLeft(address)) {
    const { expected, message } = address.left
    return { target: undefined, faults: [{ key: undefined, message, expected }, ...faults], warnings }
  }
  const { secrets: inUrl, ...place } = address.right
  const options = { ...optionsOf(name, all), ...files, agent: agentOf(all, context.directory) }
  const target = { ...place, lane: laneOf(place, options), options }
  const secrets = secretsOf(inUrl, all)
  const { faults: ofTemplates, rename } = Templates.resolve(target, written.right.rest, all, context.groups)
  return {
    target: { target, secrets, bandwidth: bandwidthOf(all.bandwidth), rename },
    faults: [...faults, ...Faults.place(text, target, secrets, all), ...ofTemplates],
    warnings
  }
}

/** What counts for a target: its own options, and those of its folder that its scheme knows. */
const merge = (scheme: Scheme | undefined, own: Options, folder: FolderEntry): Options => {
  const {
    exclude: _exclude,
    extensions: _extensions,
    match: _match,
    name: _name,
    order: _order,
    otherwise: _otherwise,
    path: _path,
    paths: _paths,
    priority: _priority,
    sources: _sources,
    ...shared
  } = folder
  const all: Options = {
    ...shared,
    ...own,
    retry: { ...folder.retry, ...own.retry },
    ...(folder.headers === undefined ? {} : { headers: mergeHeaders(folder.headers, own.headers ?? {}) })
  }
  const known = (key: string): boolean =>
    scheme === undefined || !isSchemeOption(key) || scheme.options.some((one) => one === key)
  return Object.fromEntries(Object.entries(all).filter(([key]) => known(key)))
}

type HeaderTexts = Readonly<Record<string, Redacted.Redacted>>

/** The names of header fields have no case. */
const mergeHeaders = (folder: HeaderTexts, own: HeaderTexts): HeaderTexts => {
  const names = new Set(Object.keys(own).map((name) => name.toLowerCase()))
  return { ...Object.fromEntries(Object.entries(folder).filter(([name]) => !names.has(name.toLowerCase()))), ...own }
}

const filesOf = ({ ca, key, knownHosts }: Options, directory: string): Faults.Files => {
  const absolute = (path: string | undefined) => (path === undefined ? null : Place.resolve(directory, path))
  return { ca: absolute(ca), key: absolute(key), knownHosts: absolute(knownHosts) }
}

const agentOf = ({ agent }: Options, directory: string): string | null => {
  if (agent === undefined || agent === false) return null
  return agent === true ? environmentAgent : Place.resolve(directory, agent)
}

const optionsOf = (name: string, all: Options): TargetOptions => ({
  ...usualOptions,
  conflict: all.conflict ?? defaults.target.conflict,
  retry: { ...defaults.target.retry, ...all.retry },
  concurrency: all.concurrency ?? defaults.target.concurrency,
  timeout: all.timeout ?? defaults.target.timeout,
  verify: all.verify ?? usualOptions.verify,
  names: all.names ?? usualOptions.names,
  fieldname: all.fieldname ?? defaults.target.fieldname,
  upload: all.upload ?? defaults.target.upload,
  method: all.method ?? null,
  idempotency: all.idempotency ?? usualOptions.idempotency,
  expect: all.expect ?? usualOptions.expect,
  secure: all.secure ?? (name === "ftps" ? "implicit" : "none"),
  hostKey: all.hostKey?.replace(/=$/, "") ?? null,
  region: all.region ?? null,
  endpoint: all.endpoint === undefined ? null : endpointText(all.endpoint),
  pathStyle: all.pathStyle ?? null,
  partSize: all.partSize ?? null,
  transform: transformOf(all)
})

const transformOf = ({ compress = "none", decompress = false, encrypt }: Options): Transform | null => {
  if (compress === "none" && decompress === false && encrypt === undefined) return null
  const limit =
    typeof decompress === "boolean" ? defaults.decompressLimit : (decompress.limit ?? defaults.decompressLimit)
  return { decompress: decompress === false ? null : { limit }, compress, age: encrypt?.age ?? [] }
}

const endpointText = (text: string): string =>
  Option.match(endpointOf(text), {
    onNone: () => text,
    onSome: (url) => `${url.origin}${url.pathname.replace(/\/+$/, "")}`
  })

const secretsOf = (inUrl: Secrets, all: Options): Secrets => ({
  ...inUrl,
  password: Option.orElse(inUrl.password, () => Option.fromNullable(all.secretKey)),
  token: Option.fromNullable(all.token ?? all.sessionToken),
  passphrase: Option.fromNullable(all.passphrase),
  headers: Object.entries(all.headers ?? {})
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .sort(([left], [right]) => (left < right ? -1 : 1))
})

const bandwidthOf = (bandwidth: Options["bandwidth"]): Bandwidth => {
  const limit = (value: number | "unlimited" | undefined) => (typeof value === "number" ? value : null)
  if (bandwidth === undefined || bandwidth === "unlimited") return unlimited
  return typeof bandwidth === "number"
    ? { target: bandwidth, lane: null }
    : { target: limit(bandwidth.target), lane: limit(bandwidth.lane) }
}

const localAddress = (text: string, directory: string) =>
  Either.gen(function* () {
    if (/^(?:https?|ftps?|sftp|webdavs?|s3|file)(?::|\/\/)/i.test(text) && Option.isNone(TargetUrl.schemeOf(text))) {
      return yield* notPath("a URL without its ://", "scheme://host/path, or ./ before a plain path")
    }
    if (/^[^/.~][^/]*:[^/]*@/.test(text)) {
      return yield* notPath(
        "it looks like a URL without a scheme",
        "scheme://user:password@host/path, or ./ before a plain path"
      )
    }
    const path = Place.resolve(directory, yield* TargetUrl.localPath(text))
    return {
      scheme: "file",
      url: path,
      host: "",
      port: null,
      username: null,
      path,
      secrets: noSecrets
    } satisfies TargetUrl.Address
  })

const notPath = (message: string, expected: string) => Either.left(new TargetUrl.TargetUrlError({ message, expected }))

const laneOf = (place: Omit<TargetUrl.Address, "secrets">, { endpoint }: TargetOptions): string => {
  if (place.scheme === "file") return `file:${Place.mountPoint(place.path)}`
  const user = place.username === null ? "" : `${encodeURIComponent(place.username)}@`
  const host = place.host.includes(":") ? `[${place.host}]` : place.host
  // buckets of one server are lanes of their own: what holds one up may hold for it alone
  const server = endpoint === null ? host : `${new URL(endpoint).host}/${host}`
  return `${place.scheme}://${user}${server}${place.port === null ? "" : `:${place.port}`}`
}

/** A name for what has none: the last part of its path, or the host. */
export const nameOf = ({ target }: RouteTarget): string =>
  (target.scheme === "file" ? Path.basename(target.path) : Path.posix.basename(target.path)).replace(/^~$/, "") ||
  target.host ||
  "files"

const isSchemeOption = (key: string): key is SchemeOption => schemeOptions.some((one) => one === key)
