/**
 * A target: one destination URL of a route, with its options, free of secrets, so that it can be stored and shown.
 */
import { Schema } from "effect"
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

export const TargetOptions = Schema.Struct({
  conflict: Conflict,
  retry: RetryPolicy,
  /** How many deliveries its lane may have under way at once; the largest of a lane's targets counts. */
  concurrency: Schema.Int,
  /** Milliseconds without progress after which an attempt is given up. */
  timeout: Schema.Number,
  /** http: the multipart field. */
  fieldname: Schema.String,
  /** http: one part of a form, or the bare body. */
  upload: Schema.Literal("multipart", "raw"),
  /** http: the method; null for the usual one of the upload (POST for multipart, PUT for raw). */
  method: Schema.NullOr(Schema.Literal("POST", "PUT", "PATCH")),
  /** ftp: how the control connection is secured. */
  secure: Schema.Literal("none", "explicit", "implicit")
})
export interface TargetOptions extends Schema.Schema.Type<typeof TargetOptions> {}

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

/** A target and the path below it that one file gets. */
export interface Placement {
  readonly target: Target
  readonly name: RelPath
}

/** The final place, for people and as the key by which two deliveries to one place are kept apart. */
export const location = (target: Target, name: string): string => {
  const query = target.scheme === "file" ? -1 : target.url.indexOf("?")
  const root = query < 0 ? target.url : target.url.slice(0, query)
  return `${root.endsWith("/") ? root : `${root}/`}${name}${query < 0 ? "" : target.url.slice(query)}`
}

/** The final place as it is shown: a form is posted to the target itself, whatever the file is called. */
export const shown = (target: Target, name: string): string =>
  target.options.upload === "multipart" && (target.scheme === "http" || target.scheme === "https")
    ? target.url
    : location(target, name)
