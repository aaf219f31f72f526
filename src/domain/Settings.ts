/**
 * The decoded config: what the rest of the program sees. Paths are absolute, times in milliseconds, secrets Redacted.
 */
import type { Option, Redacted } from "effect"
import type { After } from "./Generation.ts"
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
  readonly watch: "auto" | "events" | "poll"
  readonly pollInterval: number
  readonly rescan: number
  readonly after: After
}

/** What a target needs on the wire and nobody else may see. */
export interface Secrets {
  readonly password: Option.Option<Redacted.Redacted>
  /** The URL's query with its `?`, which often is a credential. */
  readonly query: Option.Option<Redacted.Redacted>
}

export interface RouteTarget {
  readonly target: Target
  readonly secrets: Secrets
}

export interface Route {
  readonly name: string
  /** Lower case, without a leading dot; undefined: every file. */
  readonly extensions: ReadonlyArray<string> | undefined
  readonly targets: ReadonlyArray<RouteTarget>
}

export interface Settings {
  /** The config file. */
  readonly file: string
  readonly sources: ReadonlyArray<Source>
  readonly routes: ReadonlyArray<Route>
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
