/**
 * What each URL scheme can keep, as far as the config has to know it.
 */
import { Conflict, type TargetOptions, type Verify } from "../domain/Target.ts"

/** Options that only some schemes know. */
export const schemeOptions = [
  "fieldname",
  "upload",
  "method",
  "headers",
  "token",
  "idempotency",
  "expect",
  "secure",
  "ca",
  "key",
  "passphrase",
  "agent",
  "knownHosts",
  "hostKey",
  "region",
  "endpoint",
  "pathStyle",
  "partSize",
  "accessKey",
  "secretKey",
  "sessionToken"
] as const
export type SchemeOption = (typeof schemeOptions)[number]

export type Upload = TargetOptions["upload"]

/** What can be kept. */
export interface Abilities {
  readonly conflicts: ReadonlyArray<Conflict>
  readonly verify: ReadonlyArray<Verify>
}

export interface Scheme extends Abilities {
  /** Where it depends on how a file is uploaded; `posted`: the bare body, by another method than PUT. */
  readonly uploads?: Readonly<Record<Upload | "posted", Abilities>>
  readonly options: ReadonlyArray<SchemeOption>
  /** Undefined where there is none. */
  readonly port: number | undefined
  /** What stands where a host stands: one that is needed, one that may be left out, or the name of a bucket. */
  readonly authority: "host" | "optional" | "bucket"
  /** Whether a `?query` is part of the address. */
  readonly query: boolean
  /** Whether `/~/x` is below the login folder. */
  readonly login: boolean
  /** Whether the connection is encrypted by TLS, so that an authority can be trusted for it; `secure`: if that says so. */
  readonly tls: boolean | "secure"
}

const everything: Abilities = { conflicts: Conflict.literals, verify: ["auto", "size", "hash"] }

const plain: Omit<Scheme, "port" | "options"> = {
  ...everything,
  authority: "host",
  query: false,
  login: false,
  tls: false
}

/** What is posted goes to the program behind the URL, which says neither what it has nor where. */
const posted: Abilities = { conflicts: ["overwrite"], verify: ["auto"] }

const http: Omit<Scheme, "port"> = {
  ...plain,
  uploads: {
    multipart: posted,
    raw: { ...everything, conflicts: ["overwrite", "skip", "rename", "fail", "newer"] },
    posted,
    tus: { ...everything, conflicts: ["overwrite"] }
  },
  options: ["fieldname", "upload", "method", "headers", "token", "idempotency", "expect", "ca"],
  query: true
}

const ftp: Omit<Scheme, "port"> = { ...plain, options: ["secure", "ca"], login: true, tls: "secure" }

const webdav: Omit<Scheme, "port"> = { ...plain, options: ["headers", "token"] }

export const schemes: ReadonlyMap<string, Scheme> = new Map<string, Scheme>([
  ["file", { ...plain, options: [], port: undefined, authority: "optional" }],
  ["http", { ...http, port: 80 }],
  ["https", { ...http, port: 443, tls: true }],
  ["ftp", { ...ftp, port: 21 }],
  ["ftps", { ...ftp, port: 990, tls: true }],
  [
    "sftp",
    {
      ...plain,
      options: ["key", "passphrase", "agent", "knownHosts", "hostKey"],
      port: 22,
      login: true
    }
  ],
  ["webdav", { ...webdav, port: 80 }],
  ["webdavs", { ...webdav, options: [...webdav.options, "ca"], port: 443, tls: true }],
  [
    "s3",
    {
      ...plain,
      options: ["region", "endpoint", "pathStyle", "partSize", "accessKey", "secretKey", "sessionToken", "ca"],
      port: undefined,
      authority: "bucket",
      tls: true
    }
  ]
])

/** What a target of this scheme can keep, uploaded in this way. */
export const abilitiesOf = (scheme: Scheme, upload: Upload, method: TargetOptions["method"]): Abilities =>
  scheme.uploads?.[upload === "raw" && method !== null && method !== "PUT" ? "posted" : upload] ?? scheme

/** A scheme of an embedding app, which is asked for nothing. */
export const custom = (conflicts: ReadonlyArray<Conflict>): Scheme => ({
  ...plain,
  conflicts,
  options: [],
  port: undefined,
  authority: "optional",
  query: true
})
