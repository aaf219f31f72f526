/**
 * What can be wrong with the options of a target: they are another scheme's, it can't keep them, or they don't go
 * together.
 */
import { Option } from "effect"
import * as Fs from "node:fs"
import type { Secrets } from "../domain/Settings.ts"
import { isOneObject, usualOptions, type Target } from "../domain/Target.ts"
import { defaults } from "./defaults.ts"
import type { FolderEntry } from "./FolderFile.ts"
import * as Headers from "./headers.ts"
import * as Scheme from "./Scheme.ts"
import type { SchemeOption } from "./Scheme.ts"
import type { TargetEntry } from "./TargetFile.ts"
import * as TargetUrl from "./TargetUrl.ts"
import type { Environment } from "./Variables.ts"

export type Options = Omit<TargetEntry, "path">

/** What is wrong with a target. */
export interface Fault {
  /** The option that is to blame; undefined: the path. */
  readonly key: "conflict" | "verify" | "rename" | SchemeOption | undefined
  /** The part of its text that is to blame, where it is not all of it. */
  readonly part?: string
  /** The header field, where the key is `headers`. */
  readonly header?: string
  readonly message: string
  readonly expected: string
}

/** The options of a folder that none of its targets can use. */
export const useless = (
  folder: FolderEntry,
  targets: ReadonlyArray<string>,
  schemes: ReadonlyMap<string, Scheme.Scheme>
): ReadonlyArray<Fault> => {
  const names = targets.map((text) => Option.getOrElse(TargetUrl.schemeOf(text), () => "file"))
  return Scheme.schemeOptions
    .filter(
      (key) => folder[key] !== undefined && !names.some((name) => schemes.get(name)?.options.includes(key) ?? true)
    )
    .map((key) => misplaced(key, Array.from(new Set(names)).join(", "), schemes))
}

/** `own` are the options that are written at the target itself, `all` are those and its folder's that it knows. */
export const options = (
  name: string,
  all: Options,
  own: Options,
  schemes: ReadonlyMap<string, Scheme.Scheme>
): ReadonlyArray<Fault> => {
  const scheme = schemes.get(name)
  if (scheme === undefined) return []
  const faults: Array<Fault> = Scheme.schemeOptions
    .filter((key) => own[key] !== undefined && !scheme.options.includes(key))
    .map((key) => misplaced(key, name, schemes))
  faults.push(...unable(name, scheme, all, "conflict"), ...unable(name, scheme, all, "verify"))
  if (name === "ftps" && all.secure === "none") {
    faults.push({
      key: "secure",
      message: "ftps is never without security",
      expected: "explicit or implicit, or an ftp:// URL"
    })
  }
  if (all.upload === "tus" && all.method !== undefined) {
    faults.push({ key: "method", message: "upload: tus has methods of its own", expected: "no method, or upload: raw" })
  }
  if (all.passphrase !== undefined && all.key === undefined) {
    faults.push({ key: "passphrase", message: "a passphrase without a key", expected: "key: with the key's file" })
  }
  return [...faults, ...headers(all.headers ?? {})]
}

/** What does not go with the place, when that is known as well. */
export const place = (text: string, target: Target, secrets: Secrets, all: Options): ReadonlyArray<Fault> => {
  const faults: Array<Fault> = []
  if (isOneObject(target) && target.options.conflict !== "overwrite") {
    faults.push({
      key: "conflict",
      message: `the URL is that of one object, for which conflict: ${target.options.conflict} can't be kept`,
      expected: "overwrite, or a slash at the end of the URL's path"
    })
  }
  if (target.scheme === "s3") return [...faults, ...keys(text, target, secrets, all)]
  const authorization = Object.keys(all.headers ?? {}).find((name) => name.toLowerCase() === "authorization")
  if (all.token !== undefined && target.username !== null) {
    faults.push(both("token", "the URL has a user as well"))
  }
  if (authorization !== undefined && (all.token !== undefined || target.username !== null)) {
    faults.push({
      ...both("headers", all.token === undefined ? "the URL has a user as well" : "there is a token as well"),
      header: authorization
    })
  }
  return faults
}

/** The two halves of an account at S3. */
const keys = (text: string, target: Target, secrets: Secrets, all: Options): ReadonlyArray<Fault> => {
  const login = /^[^:]+:\/\/([^/?#@:]*)(:)?[^/?#]*@/.exec(text)
  if (login !== null && login[1] !== "" && all.accessKey !== undefined) {
    return [both("accessKey", "the URL has an access key as well")]
  }
  if (login?.[2] !== undefined && all.secretKey !== undefined) {
    return [both("secretKey", "the URL has a secret key as well")]
  }
  if (target.username !== null || Option.isNone(secrets.password)) return []
  return [
    {
      key: all.secretKey === undefined ? undefined : "secretKey",
      message: "a secret key without its access key",
      expected: "accessKey, or neither of them: then the usual variables count (AWS_ACCESS_KEY_ID and so on)"
    }
  ]
}

/** What is not wrong, but hardly meant. `shared`: its folder's options may be meant for other targets. */
export const warnings = (
  scheme: Scheme.Scheme | undefined,
  all: Options,
  { env, files, shared }: { readonly env: Environment; readonly files: Files; readonly shared: boolean }
): ReadonlyArray<Fault> => {
  const found: Array<Fault> = []
  const encrypted = scheme?.tls === "secure" ? all.secure !== undefined && all.secure !== "none" : scheme?.tls
  if (!shared && all.ca !== undefined && scheme !== undefined && encrypted !== true) {
    found.push({
      key: "ca",
      message: "the connection is not encrypted, so that it counts for nothing",
      expected: scheme.tls === "secure" ? "secure: explicit or implicit" : "a URL with an s at the end of its scheme"
    })
  }
  if (all.agent === true && (env["SSH_AUTH_SOCK"] ?? "") === "") {
    found.push({
      key: "agent",
      message: "the variable SSH_AUTH_SOCK is not set",
      expected: "it in the environment, or the path of the agent's socket"
    })
  }
  for (const key of ["ca", "key", "knownHosts"] as const) {
    const file = files[key]
    // with accept-new it is made when the first key is accepted
    if (file === null || (key === "knownHosts" && all.hostKey === "accept-new")) continue
    if (!isFile(file)) found.push({ key, message: `there is no file ${file}`, expected: "the path of a file" })
  }
  return found
}

/** The absolute paths of the files that options name. */
export type Files = Readonly<Record<"ca" | "key" | "knownHosts", string | null>>

const isFile = (path: string): boolean => {
  try {
    return Fs.statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
  } catch {
    return false
  }
}

const both = (key: SchemeOption, message: string): Fault => ({ key, message, expected: "only one of the two" })

const unable = (
  name: string,
  scheme: Scheme.Scheme,
  all: Options,
  key: "conflict" | "verify"
): ReadonlyArray<Fault> => {
  const upload = all.upload ?? defaults.target.upload
  const method = all.method ?? null
  const wanted = all[key] ?? (key === "conflict" ? defaults.target.conflict : usualOptions.verify)
  const kept = (abilities: Scheme.Abilities): ReadonlyArray<string> =>
    key === "conflict" ? abilities.conflicts : abilities.verify
  const here = kept(Scheme.abilitiesOf(scheme, upload, method))
  if (here.includes(wanted)) return []
  const { uploads } = scheme
  const how =
    uploads === undefined
      ? ""
      : upload === "raw" && method !== null && method !== "PUT"
        ? ` with method: ${method}`
        : ` with upload: ${upload}`
  const others = uploads !== undefined && kept(uploads.raw).includes(wanted) ? ["upload: raw with method: PUT"] : []
  return [
    {
      key,
      message: `${name} can't keep ${key}: ${wanted}${how}`,
      expected: [here.join(", "), ...others].join("; or ")
    }
  ]
}

const misplaced = (key: SchemeOption, name: string, schemes: ReadonlyMap<string, Scheme.Scheme>): Fault => ({
  key,
  message: `${key} means nothing to ${name}`,
  expected: `${key} for ${Array.from(schemes)
    .filter(([, scheme]) => scheme.options.includes(key))
    .map(([one]) => one)
    .join(", ")
    .replace(/, (?=[^,]*$)/, " and ")} only`
})

const headers = (given: Readonly<Record<string, unknown>>): ReadonlyArray<Fault> => {
  const seen = new Set<string>()
  return Object.keys(given).flatMap((header): ReadonlyArray<Fault> => {
    const fault = Headers.nameFault(header)
    if (fault !== undefined) return [{ key: "headers", header, ...fault }]
    const twice = seen.has(header.toLowerCase())
    seen.add(header.toLowerCase())
    return twice
      ? [{ key: "headers", header, message: "the header field is there twice", expected: "each field once" }]
      : []
  })
}
