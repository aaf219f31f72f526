/**
 * The decoded config: what the rest of the program sees. Paths are absolute, times in milliseconds, secrets Redacted.
 */
import { Option, type Redacted } from "effect"
import type { After, OnDead } from "./Generation.ts"
import type { Rule } from "./Rule.ts"
import type { Target } from "./Target.ts"

export interface Source {
  readonly name: string
  /** Absolute. */
  readonly path: string
  readonly recursive: boolean
  /** Globs on the path relative to the source; a file must match one of `include` and none of `exclude`. */
  readonly include: ReadonlyArray<string>
  readonly exclude: ReadonlyArray<string>
  /** How long a file must have been quiet before it is taken. */
  readonly settle: number
  /** A template for the path of the file that says that another is complete; null: none is waited for. */
  readonly marker: string | null
  /** How long ago its content must have changed for a file to be taken. */
  readonly minAge: number
  /** Whether links are followed to files that lie in the source, too. */
  readonly symlinks: "skip" | "follow"
  readonly watch: "auto" | "events" | "poll"
  readonly pollInterval: number
  readonly rescan: number
  readonly after: After
  readonly onDead: OnDead
}

/** What a target needs on the wire and nobody else may see. */
export interface Secrets {
  readonly password: Option.Option<Redacted.Redacted>
  /** The URL's query with its `?`, which often is a credential. */
  readonly query: Option.Option<Redacted.Redacted>
  /** http: a bearer token; s3: the session token. */
  readonly token: Option.Option<Redacted.Redacted>
  /** sftp: of the private key. */
  readonly passphrase: Option.Option<Redacted.Redacted>
  /** http: more header fields, their names in lower case; as a rule there is a credential among them. */
  readonly headers: ReadonlyArray<readonly [name: string, value: Redacted.Redacted]>
}

export const noSecrets: Secrets = {
  password: Option.none(),
  query: Option.none(),
  token: Option.none(),
  passphrase: Option.none(),
  headers: []
}

/** Bytes a second; null: as many as it takes. */
export interface Bandwidth {
  /** Of all deliveries to this target together. */
  readonly target: number | null
  /** Of all deliveries of its lane together; the smallest of a lane's targets counts. */
  readonly lane: number | null
}

export const unlimited: Bandwidth = { target: null, lane: null }

export interface RouteTarget {
  readonly target: Target
  readonly secrets: Secrets
  /** Not part of the target: what waits in the journal follows today's config. */
  readonly bandwidth: Bandwidth
  /**
   * A template for the path below the target; `{relpath}` as a rule. A template in the config's path begins it, so that
   * the target itself is the same for all files.
   */
  readonly rename: string
}

/** In which order the waiting files of one priority are sent. */
export type Order = "arrival" | "oldest" | "smallest" | "largest"

export interface Route {
  readonly name: string
  /** Lower case, without a leading dot; undefined: every file. */
  readonly extensions: ReadonlyArray<string> | undefined
  /** What a file must be like, beside its extension: all of them hold. */
  readonly rules: ReadonlyArray<Rule>
  /** Takes only what no other route wants. */
  readonly otherwise: boolean
  /** Higher ones are sent first; 0 as a rule. */
  readonly priority: number
  readonly order: Order
  readonly targets: ReadonlyArray<RouteTarget>
}

export interface Settings {
  /** The config file. */
  readonly file: string
  readonly sources: ReadonlyArray<Source>
  readonly routes: ReadonlyArray<Route>
  /** Whether every route that matches gets the file, or the first one only. */
  readonly dispatch: "all" | "first"
  readonly http: { readonly host: string; readonly port: number; readonly token: Option.Option<Redacted.Redacted> }
  readonly monitor: { readonly enabled: boolean; readonly host: string; readonly port: number }
  readonly log: {
    readonly level: "TRACE" | "DEBUG" | "INFO" | "WARNING" | "ERROR" | "FATAL" | "NONE"
    readonly format: "pretty" | "json"
    readonly file: string | undefined
    readonly rotate: { readonly size: number; readonly keep: number }
    /** Milliseconds for which concluded entries are kept. */
    readonly retain: number
  }
  /** The journal's database file, absolute. */
  readonly db: string
  /** `power`: synced before it counts as delivered; `crash`: survives a kill, not a power cut. */
  readonly durability: "power" | "crash"
}
