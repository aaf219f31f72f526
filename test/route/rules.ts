/** Configs as tests write them, without a file. */
import { defaults } from "../../src/config/ConfigFile.ts"
import { Stamp, type Found } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import { noSecrets, unlimited, type Route, type RouteTarget, type Source } from "../../src/domain/Settings.ts"
import { usualOptions, type Target, type TargetOptions } from "../../src/domain/Target.ts"
import type { Rules } from "../../src/route/Ruleset.ts"

export const target = (url: string, options: Partial<TargetOptions> = {}): Target => {
  const scheme = /^([a-z0-9]+):\/\//.exec(url)?.[1] ?? "file"
  return {
    url,
    scheme,
    lane: scheme === "file" ? "file:/" : `${scheme}://host`,
    host: scheme === "file" ? "" : "host",
    port: null,
    username: null,
    path: url.replace(/^[a-z0-9]+:\/\/[^/]*/, ""),
    options: { ...usualOptions, ...defaults.target, method: null, secure: "none", ...options }
  }
}

export const to = (url: string, fields: Partial<RouteTarget> & { readonly options?: Partial<TargetOptions> } = {}) => {
  const { options, ...rest } = fields
  return { target: target(url, options), secrets: noSecrets, bandwidth: unlimited, rename: "{relpath}", ...rest }
}

/** A folder to `/out/NAME`, unless it says otherwise. */
export const route = (name: string, fields: Partial<Route> = {}): Route => ({
  name,
  extensions: undefined,
  rules: [],
  otherwise: false,
  priority: 0,
  order: "arrival",
  targets: [to(`/out/${name}`)],
  ...fields
})

export const source = (path: string, fields: Partial<Source> = {}): Source => ({
  path,
  name: path.slice(path.lastIndexOf("/") + 1),
  recursive: true,
  include: ["**"],
  exclude: [],
  settle: 0,
  marker: null,
  minAge: 0,
  symlinks: "skip",
  watch: "auto",
  pollInterval: 1000,
  rescan: 60_000,
  after: { _tag: "Keep" },
  onDead: { _tag: "Keep" },
  ...fields
})

export const rules = (routes: ReadonlyArray<Route>, fields: Partial<Rules> = {}): Rules => ({
  sources: [source("/in")],
  dispatch: "all",
  routes,
  ...fields
})

export const found = (path: string, fields: Partial<Found> = {}): Found => ({
  path: RelPath.make(path),
  stamp: Stamp.make("1:2:3:4:5"),
  size: 3,
  mtime: 0,
  born: 0,
  ...fields
})
