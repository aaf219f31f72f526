/**
 * A target: one destination URL of a route, with its options, free of secrets, so that it can be stored and shown.
 */
import { Schema } from "effect"
import type { Facts } from "./Facts.ts"
import { RelPath } from "./RelPath.ts"

/** What to do where a file of that name is there already. */
export const Conflict = Schema.Literal("overwrite", "skip", "rename", "fail", "newer", "backup")
export type Conflict = typeof Conflict.Type

/** How often, and after how long, a failed delivery is tried again. Times in milliseconds. */
export const RetryPolicy = Schema.Struct({
  attempts: Schema.Int,
  base: Schema.Number,
  factor: Schema.Number,
  cap: Schema.Number
})
export interface RetryPolicy extends Schema.Schema.Type<typeof RetryPolicy> {}

/** How a finished upload is to be proved: `auto` takes the best that the protocol has to offer for nothing. */
export const Verify = Schema.Literal("auto", "size", "hash")
export type Verify = typeof Verify.Type

/** What is done to a file on its way. The order is: decompress, compress, encrypt. */
export const Transform = Schema.Struct({
  /** Undoes gzip, brotli or zstd (as the bytes say), up to so many bytes of result; null: leaves the file as it is. */
  decompress: Schema.NullOr(Schema.Struct({ limit: Schema.Number })),
  compress: Schema.Literal("none", "gzip", "brotli", "zstd", "zip"),
  /** age recipients (`age1…`); empty: it is not encrypted. */
  age: Schema.Array(Schema.String)
})
export interface Transform extends Schema.Schema.Type<typeof Transform> {}

/** What the deliveries that are waiting in a journal were stored without has the value that it had then. */
const added = <A, I>(schema: Schema.Schema<A, I>, value: A) =>
  Schema.optionalWith(schema, { default: () => value, exact: true })

const nullable = added(Schema.NullOr(Schema.String), null)

export const TargetOptions = Schema.Struct({
  conflict: Conflict,
  retry: RetryPolicy,
  /** How many deliveries its lane may have under way at once; the largest of a lane's targets counts. */
  concurrency: Schema.Int,
  /** Milliseconds without progress after which an attempt is given up. */
  timeout: Schema.Number,
  /** http: the multipart field. */
  fieldname: Schema.String,
  /** http: one part of a form, the bare body, or a resumable upload (tus 1.0). */
  upload: Schema.Literal("multipart", "raw", "tus"),
  /** http: the method; null for the usual one of the upload (POST for multipart, PUT for raw). */
  method: Schema.NullOr(Schema.Literal("POST", "PUT", "PATCH")),
  /** ftp: how the control connection is secured. */
  secure: Schema.Literal("none", "explicit", "implicit"),
  verify: added(Verify, "auto"),
  /** Whether a name that the target can't express is refused, or encoded. */
  names: added(Schema.Literal("strict", "portable"), "strict"),
  /** http: whether the server keeps an `Idempotency-Key`, so that a POST may be sent again. */
  idempotency: added(Schema.Boolean, false),
  /** http: whether the body waits for "100 Continue" (RFC 9110, 10.1.1). */
  expect: added(Schema.Boolean, false),
  /** TLS: the file of a certificate authority, in PEM. */
  ca: nullable,
  /** sftp: the file of a private key. */
  key: nullable,
  /** sftp: the socket of an agent; see {@link environmentAgent}. */
  agent: nullable,
  /** sftp: the file of known host keys; null for the user's own. */
  knownHosts: nullable,
  /** sftp: a pinned fingerprint (`SHA256:…`), or `accept-new`; null: the host must be known. */
  hostKey: nullable,
  /** s3: the region, for the signature. */
  region: nullable,
  /** s3: the service's URL; null for Amazon's. */
  endpoint: nullable,
  /** s3: whether the bucket is in the path or in the host name; null: in the path where there is an endpoint. */
  pathStyle: added(Schema.NullOr(Schema.Boolean), null),
  /** s3: bytes of each part of a multipart upload; null: as the file's size asks for. */
  partSize: added(Schema.NullOr(Schema.Number), null),
  /** Null: the file goes out as it is. */
  transform: added(Schema.NullOr(Transform), null)
})
export interface TargetOptions extends Schema.Schema.Type<typeof TargetOptions> {}

/**
 * As `agent`: the socket that this variable names at the time of use. It is another one after each login, and deliveries
 * wait for longer than that.
 */
export const environmentAgent = "SSH_AUTH_SOCK"

/** What holds of the options that most targets leave alone. */
export const usualOptions = {
  verify: "auto",
  names: "strict",
  idempotency: false,
  expect: false,
  ca: null,
  key: null,
  agent: null,
  knownHosts: null,
  hostKey: null,
  region: null,
  endpoint: null,
  pathStyle: null,
  partSize: null,
  transform: null
} as const satisfies Partial<TargetOptions>

/**
 * The root that a route sends to. `lane` names all that share a fate: `ftp://user@host:21`, `https://host:443`, and
 * `file` for local paths (lanes per file system are told apart by the dispatcher).
 */
export const Target = Schema.Struct({
  /** For people, and the key under which the config finds the secrets again: no password, the query as `?…`. */
  url: Schema.String,
  /** The URL's scheme without the colon; `file` for plain paths. */
  scheme: Schema.String,
  lane: Schema.String,
  host: Schema.String,
  port: Schema.NullOr(Schema.Int),
  username: Schema.NullOr(Schema.String),
  /** Percent-decoded; absolute at the server, or below the login folder where it starts with `~/`. */
  path: Schema.String,
  options: TargetOptions
})
export interface Target extends Schema.Schema.Type<typeof Target> {}

/** The URL scheme of a lane's name: of `ftp://user@host:21` and `file:/mount` alike. */
export const schemeOf = (lane: string): string => lane.slice(0, Math.max(0, lane.indexOf(":")))

/** A target and the path below it that one file gets. */
export interface Placement {
  readonly target: Target
  readonly name: RelPath
  /** Higher ones are sent first. */
  readonly priority: number
  /** Within a priority the smallest first; equal ones by arrival. */
  readonly rank: number
  /** What templates at the time of sending need; null where nothing was learnt. */
  readonly facts: Facts | null
}

const isHttp = (target: Target): boolean => target.scheme === "http" || target.scheme === "https"

/** Whether its URL is that of one object, as a pre-signed one is: it has a query, and no slash at the end of its path. */
export const isOneObject = (target: Target): boolean =>
  target.options.upload === "raw" && isHttp(target) && target.url.includes("?") && !/(?:^|\/)$/.test(target.path)

/** The final place, for people and as the key by which two deliveries to one place are kept apart. */
export const location = (target: Target, name: string): string => {
  if (isOneObject(target)) return target.url
  const query = target.scheme === "file" ? -1 : target.url.indexOf("?")
  const root = query < 0 ? target.url : target.url.slice(0, query)
  return `${root.endsWith("/") ? root : `${root}/`}${name}${query < 0 ? "" : target.url.slice(query)}`
}

/**
 * Where what is sent to it lies, as a key: targets that lead into one folder differ in what is behind a slash only. Null:
 * it is not known where a file is once it is there.
 */
export const folderOf = (target: Target): string | null => {
  const { method, upload } = target.options
  if (isHttp(target) && (upload !== "raw" || (method ?? "PUT") !== "PUT" || isOneObject(target))) return null
  const segments = target.path.split("/").filter((segment) => segment !== "")
  // which file system a folder is on may change with what is mounted
  const root = target.scheme === "file" ? "file:" : target.lane
  const below = target.path.startsWith("~") || target.scheme === "s3" ? root : `${root}/`
  return [below, ...segments].join("/")
}

/** The final place as it is shown: a form is posted to the target itself, whatever the file is called. */
export const shown = (target: Target, name: string): string =>
  target.options.upload !== "raw" && isHttp(target) ? target.url : location(target, name)
