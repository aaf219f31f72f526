/**
 * The router: which targets a file goes to, and why.
 *
 * It is compiled once, so that a file costs one look-up for each dot in its name that can matter, however many folders
 * there are.
 */
import { createHash } from "node:crypto"
import type { Explanation, FolderVerdict, Predicate, SourceVerdict } from "../domain/Explanation.ts"
import type { Route, Settings, Source } from "../domain/Settings.ts"
import { location, type Placement, type Target } from "../domain/Target.ts"
import * as Names from "../domain/Names.ts"
import * as RelPath from "../domain/RelPath.ts"
import * as Matcher from "./Matcher.ts"

export interface Router {
  /** A digest of all that decides where a file goes. */
  readonly ruleset: string
  /**
   * Where a file of this source goes, in the order of the config; empty where no route wants it. A place that several
   * routes name gets the file from the first of them. Whether the source takes the file is `Matcher`'s to say.
   */
  readonly route: (source: Source, path: RelPath.RelPath) => ReadonlyArray<Placement & { readonly route: string }>
}

export const compile = (settings: Pick<Settings, "routes">): Router => {
  const { routes } = settings
  const everywhere = destinationsOf(routes.filter((route) => route.extensions === undefined))
  const table = new Map<string, ReadonlyArray<Destination>>()
  let parts = 0
  for (const extension of new Set(routes.flatMap((route) => route.extensions ?? []))) {
    // whatever ends in .tar.gz ends in .gz, too, so the longest entry that a name finds holds all that match it
    const ends = new Set(suffixes(`x.${extension}`, Infinity))
    const matching = routes.filter((route) => route.extensions?.some((one) => ends.has(one)) ?? true)
    table.set(extension, destinationsOf(matching))
    parts = Math.max(parts, extension.split(".").length)
  }
  const lookUp = (path: string): ReadonlyArray<Destination> => {
    for (const suffix of suffixes(RelPath.basename(path), parts)) {
      const found = table.get(suffix)
      if (found !== undefined) return found
    }
    return everywhere
  }
  return {
    ruleset: digest(routes),
    route: (_, path) => lookUp(path).map(({ route, target }) => ({ route, target, name: nameAt(target, path) }))
  }
}

/** Why a file of this source goes where it goes. */
export const explain = (settings: Pick<Settings, "routes">, source: Source, path: RelPath.RelPath): Explanation => {
  const verdict = explainSource(source, path)
  const senders = new Map<string, string>()
  const folders = settings.routes.map((route) => explainRoute(route, path, senders))
  const locations = verdict.accepted ? Array.from(senders.keys()) : []
  return {
    file: RelPath.display(path),
    source: verdict,
    folders,
    locations,
    summary: summarize(RelPath.display(path), verdict, folders, locations)
  }
}

/** The path below the target that a file gets. */
const nameAt = (target: Target, path: RelPath.RelPath): RelPath.RelPath =>
  target.options.names === "portable" ? Names.encode(path) : path

interface Destination {
  readonly route: string
  readonly target: Target
}

/** The targets of these routes, a place that several of them name only once. */
const destinationsOf = (routes: ReadonlyArray<Route>): ReadonlyArray<Destination> => {
  const places = new Map<string, Destination>()
  for (const route of routes) {
    for (const { target } of route.targets) {
      if (!places.has(target.url)) places.set(target.url, { route: route.name, target })
    }
  }
  return Array.from(places.values())
}

/** What follows each dot of a name in lower case, the longest first, of at most so many parts. A leading dot is none. */
const suffixes = (name: string, parts: number): ReadonlyArray<string> => {
  const found: Array<string> = []
  let dot = name.lastIndexOf(".")
  while (dot > 0 && found.length < parts) {
    found.push(name.slice(dot + 1).toLowerCase())
    dot = name.lastIndexOf(".", dot - 1)
  }
  return found.reverse()
}

const digest = (routes: ReadonlyArray<Route>): string =>
  createHash("sha256")
    .update(
      JSON.stringify(
        routes.map((route) => [
          route.name,
          route.extensions ?? null,
          // other names are other places; where they are as ever, the digest is, too
          route.targets.map(({ target: { options, url } }) =>
            options.names === "portable" ? [url, options.names] : url
          )
        ])
      )
    )
    .digest("hex")
    .slice(0, 16)

const explainSource = (source: Source, path: RelPath.RelPath): SourceVerdict => {
  const verdict = Matcher.compile(source).explain(path)
  const file = RelPath.display(path)
  const predicates: Array<Predicate> = []
  if (verdict.rule === "temp") {
    predicates.push({
      predicate: "temp",
      wanted: "not a temp file of ours",
      had: `${file} is ${verdict.glob}`,
      matched: false
    })
  } else {
    const excluded = verdict.rule === "exclude"
    predicates.push({
      predicate: "exclude",
      wanted: `none of ${listOf(source.exclude)}`,
      had: excluded ? `${file} matches ${verdict.glob}` : `${file} matches none`,
      matched: !excluded
    })
    if (!excluded) {
      predicates.push({
        predicate: "include",
        wanted: `one of ${listOf(source.include)}`,
        had: verdict.accepted ? `${file} matches ${verdict.glob}` : `${file} matches none`,
        matched: verdict.accepted
      })
    }
  }
  const nested = path.includes("/") && !source.recursive
  if (nested) {
    predicates.push({
      predicate: "recursive",
      wanted: "a file directly in the source",
      had: `it is below ${RelPath.display(RelPath.dirname(path))}`,
      matched: false
    })
  }
  return { name: source.name, path: source.path, predicates, accepted: verdict.accepted && !nested }
}

const explainRoute = (route: Route, path: RelPath.RelPath, senders: Map<string, string>): FolderVerdict => {
  const had = suffixes(RelPath.basename(path), Infinity)
  const hit = route.extensions === undefined ? undefined : had.find((suffix) => route.extensions?.includes(suffix))
  const matched = route.extensions === undefined || hit !== undefined
  const predicate: Predicate = {
    predicate: "extensions",
    wanted: route.extensions === undefined ? "any" : `one of ${listOf(route.extensions)}`,
    had:
      hit ??
      (had
        .map((suffix) => RelPath.display(suffix))
        .reverse()
        .join(", ") ||
        "no extension"),
    matched
  }
  const locations = (matched ? route.targets : []).map(({ target }) => {
    const place = location(target, RelPath.display(nameAt(target, path)))
    const sameAs = senders.get(place) ?? null
    if (sameAs === null) senders.set(place, route.name)
    return { location: place, sameAs }
  })
  return { name: route.name, predicates: [predicate], matched, locations }
}

const listOf = (values: ReadonlyArray<string>): string => (values.length === 0 ? "(nothing)" : values.join(", "))

const summarize = (
  file: string,
  source: SourceVerdict,
  folders: ReadonlyArray<FolderVerdict>,
  locations: ReadonlyArray<string>
): string => {
  const no = source.predicates.find((one) => !one.matched)
  if (no !== undefined)
    return `${file} is not taken from ${source.name}: ${no.predicate} wants ${no.wanted}; ${no.had}.`
  if (locations.length === 0) {
    const had = folders[0]?.predicates[0]?.had ?? "no extension"
    return `${file} stays where it is: none of ${folders.length} folders wants ${had}.`
  }
  return `${file} goes to ${locations.join(", ")}.`
}
