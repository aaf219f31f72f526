/**
 * Where the files of a folder end up: the targets, and the names below them.
 */
import { Either, Redacted } from "effect"
import { noFacts, type Facts } from "../domain/Facts.ts"
import type { Found } from "../domain/Generation.ts"
import * as Names from "../domain/Names.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Rule } from "../domain/Rule.ts"
import type { Order, Route, RouteTarget, Source } from "../domain/Settings.ts"
import { isOneObject, type Placement, type Target } from "../domain/Target.ts"
import * as Rules from "./Rules.ts"
import { suffixed } from "./Suffix.ts"
import * as Template from "./Template.ts"

/** A placement, and the route that it is of. */
export interface Placed extends Placement {
  readonly route: string
}

/** What must be known of a file before its places can be told. */
export type Needs = Template.Needs

/** One route, compiled. */
export interface Folder {
  /** Where it stands in the config. */
  readonly index: number
  readonly route: Route
  /** All that a file must be like. */
  readonly node: Rules.Node
  readonly needs: Needs
  readonly places: ReadonlyArray<Place>
}

export interface Place {
  readonly target: Target
  /** The template. */
  readonly rename: string
  readonly needs: Needs
  /** The path below the target. */
  readonly name: (context: Template.Context) => RelPath.RelPath
}

export const nothing: Needs = { mime: false, sha256: false, counter: false }

export const both = (left: Needs, right: Needs): Needs => ({
  mime: left.mime || right.mime,
  sha256: left.sha256 || right.sha256,
  counter: left.counter || right.counter
})

/** What is wrong with a rule or a template was refused with the config: it is a defect here. */
export const folders = (routes: ReadonlyArray<Route>): ReadonlyArray<Folder> => {
  const compiled = new Rules.Compiled()
  return routes.map((route, index) => folder(route, index, compiled))
}

const folder = (route: Route, index: number, compiled: Rules.Compiled): Folder => {
  const node = Rules.compile(rulesOf(route), compiled)
  const groups = new Set(node.groups)
  const places = route.targets.map((target) => place(target, groups))
  const headers = route.targets.flatMap(({ secrets }) =>
    secrets.headers.map(([, value]) => Template.compileText(Redacted.value(value), { groups }))
  )
  return {
    index,
    route,
    node,
    // a header in which there is no template needs nothing
    needs: [...places, ...headers.filter(Either.isRight).map(({ right }) => right)]
      .map((one) => one.needs)
      .reduce(both, nothing),
    places
  }
}

/** Its extensions and its other rules, as one list. */
export const rulesOf = ({ extensions, rules }: Route): ReadonlyArray<Rule> =>
  extensions === undefined ? rules : [{ _tag: "Extensions", extensions }, ...rules]

/** What the templates need by which a source disposes of its files. */
export const disposing = ({ after, onDead }: Source): Needs =>
  [after._tag === "Archive" ? after.template : null, onDead._tag === "Move" ? onDead.template : null]
    .flatMap((text) => (text === null ? [] : [Template.compile(text)]))
    .map((compiled) => (Either.isRight(compiled) ? compiled.right.needs : nothing))
    .reduce(both, nothing)

const place = ({ rename, target }: RouteTarget, groups: ReadonlySet<string>): Place => {
  const { names, transform } = target.options
  const arrives = (name: RelPath.RelPath): RelPath.RelPath => {
    const whole = suffixed(name, transform)
    return names === "portable" ? Names.encode(whole) : whole
  }
  if (rename === "{relpath}") return { target, rename, needs: nothing, name: ({ path }) => arrives(path) }
  const template = Either.getOrThrowWith(
    Template.compile(rename, { groups, below: true }),
    (error) => new Error(`${error.message}: ${rename}`)
  )
  return { target, rename, needs: template.needs, name: (context) => arrives(below(template.render(context))) }
}

/** Whatever a template is, its path stays below the target. */
const below = (name: RelPath.RelPath): RelPath.RelPath => {
  if (!/(?:^|\/)\.{0,2}(?:\/|$)/.test(name)) return name
  const parts = name.split("/").filter((part) => part !== "" && part !== "." && part !== "..")
  return RelPath.make(parts.join("/") || "_")
}

const rankOf: Readonly<Record<Order, (file: Pick<Found, "size" | "mtime">) => number>> = {
  arrival: () => 0,
  oldest: ({ mtime }) => mtime,
  smallest: ({ size }) => size,
  largest: ({ size }) => -size
}

export interface Learnt {
  /** Null: it was not learnt, or nobody can say. */
  readonly mime: string | null
  readonly sha256: string | null
  /** Whether anything of the file was read. */
  readonly read: boolean
}

/**
 * The placements of these folders, in the order of the config, {@link once} each or not. `counter` is asked once for
 * each folder of which a template wants a number.
 */
export const placed = (
  folders: ReadonlyArray<Folder>,
  source: Source,
  file: Found,
  subject: Rules.Subject,
  learnt: Learnt,
  counter: (route: string) => number | null
): ReadonlyArray<Placed> => {
  const all: Array<Placed> = []
  for (const { needs, node, places, route } of folders) {
    const facts = factsOf(node, subject, learnt, needs.counter ? counter(route.name) : null)
    const context: Template.Context = {
      path: file.path,
      source: source.name,
      time: subject.now,
      size: file.size,
      mtime: file.mtime,
      facts: facts ?? noFacts
    }
    for (const { name, target } of places) {
      all.push({
        route: route.name,
        target,
        name: name(context),
        priority: route.priority,
        rank: rankOf[route.order](file),
        facts
      })
    }
  }
  return all
}

const factsOf = (
  node: Rules.Node,
  subject: Rules.Subject,
  { mime, read, sha256 }: Learnt,
  counter: number | null
): Facts | null => {
  if (node.groups.length === 0 && !read && counter === null) return null
  const groups: Rules.Groups = new Map()
  node.collect(subject, groups)
  if (groups.size === 0 && !read && counter === null) return null
  return { mime, sha256, groups: Object.fromEntries(groups), counter }
}

/** Drops those whose place one before them has. */
export const once = (all: ReadonlyArray<Placed>): ReadonlyArray<Placed> => {
  if (all.length < 2) return all
  const seen = new Set<string>()
  return all.filter((one) => {
    const key = placeKey(one.target, one.name)
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

/** The same for two names below two targets that are one place. */
export const placeKey = (target: Target, name: string): string =>
  isOneObject(target) ? target.url : `${target.url}\0${name}`
