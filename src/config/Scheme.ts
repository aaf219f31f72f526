/**
 * What each URL scheme can keep, as far as the config has to know it.
 */
import type { Conflict } from "../domain/Target.ts"

/** Options that only some schemes know. */
export type SchemeOption = "fieldname" | "upload" | "method" | "secure"

export interface Scheme {
  readonly conflicts: ReadonlyArray<Conflict>
  readonly options: ReadonlyArray<SchemeOption>
  /** Undefined where there is none. */
  readonly port: number | undefined
  /** Whether a URL needs a host. */
  readonly host: boolean
  /** Whether a `?query` is part of the address. */
  readonly query: boolean
  /** Whether `/~/x` is below the login folder. */
  readonly login: boolean
}

const http: Omit<Scheme, "port"> = {
  conflicts: ["overwrite"],
  options: ["fieldname", "upload", "method"],
  host: true,
  query: true,
  login: false
}

const ftp: Omit<Scheme, "port"> = {
  conflicts: ["overwrite", "skip", "rename", "fail"],
  options: ["secure"],
  host: true,
  query: false,
  login: true
}

export const schemes: ReadonlyMap<string, Scheme> = new Map([
  [
    "file",
    {
      conflicts: ["overwrite", "skip", "rename", "fail", "newer", "backup"],
      options: [],
      port: undefined,
      host: false,
      query: false,
      login: false
    } satisfies Scheme
  ],
  ["http", { ...http, port: 80 }],
  ["https", { ...http, port: 443 }],
  ["ftp", { ...ftp, port: 21 }],
  ["ftps", { ...ftp, port: 990 }]
])

/** A scheme of an embedding app, which is asked for nothing. */
export const custom = (conflicts: ReadonlyArray<Conflict>): Scheme => ({
  conflicts,
  options: [],
  port: undefined,
  host: false,
  query: true,
  login: false
})
