/**
 * The router: which targets a file goes to.
 *
 * It is compiled once, so that a file costs a few look-ups and the rules of those folders that its name allows, however
 * many there are. Most files are judged by their names, times and sizes alone; only where a rule asks for more, and
 * nothing cheaper has decided, is a file read.
 */
import { Effect } from "effect"
import type { Explanation } from "../domain/Explanation.ts"
import type { Found } from "../domain/Generation.ts"
import type { Settings, Source } from "../domain/Settings.ts"
import type { Bytes, FactsError } from "../files/FileFacts.ts"
import * as Explain from "./Explain.ts"
import * as Places from "./RouterPlaces.ts"
import { digest } from "./RulesDigest.ts"
import * as RulesIndex from "./RulesIndex.ts"
import * as Rules from "./Rules.ts"

export type { Placed } from "./RouterPlaces.ts"

export interface Decision {
  /**
   * In the order of the config; empty where no folder wants the file. A place that several folders name gets it from
   * the first of them.
   */
  readonly placed: ReadonlyArray<Places.Placed>
  /**
   * When a folder that does not want the file now may want it, only because it is older by then: in milliseconds since
   * the epoch, later than now. Null: never, or with `dispatch: first` it has found its folder.
   */
  readonly until: number | null
}

export interface Router {
  /** A digest of all that decides where a file goes. */
  readonly ruleset: string
  /**
   * Where a file of this source goes; `read`: its bytes must be asked. Whether the source takes the file is `Matcher`'s
   * to say. `now` in milliseconds since the epoch.
   */
  readonly route: (source: Source, file: Found, now: number) => Decision | "read"
  /** The same, with the file at hand. What can be said without reading is. */
  readonly read: (source: Source, file: Found, now: number, bytes: Bytes) => Effect.Effect<Decision, FactsError>
}

export interface Options {
  /** The next number of a route; asked only where a template wants one, once for each file. */
  readonly counter?: ((route: string) => number) | undefined
}

/** What of the settings decides. */
export type Given = Pick<Settings, "routes" | "dispatch" | "sources">

/** What is wrong with a rule or a template was refused with the config: here it is a defect, and thrown. */
export const compile = (settings: Given, options: Options = {}): Router =>
  make(settings, Places.folders(settings.routes), options, Places.once)

/**
 * Why a file of this source goes where it goes; `found` is null where it does not exist. `bytes` null: the file is not
 * read, and what only it could say is left open; else all that any rule asks for is read. What it says is what `read`
 * does, but that no number is used up: `{counter}` stands for it.
 */
export const explain = (
  settings: Given,
  source: Source,
  file: Explain.File,
  now: number,
  bytes: Bytes | null
): Effect.Effect<Explanation, FactsError> =>
  Effect.suspend(() => {
    const { folders, router } = explaining(settings)
    const decide = (found: Found) => {
      if (bytes !== null) return router.read(source, found, now, bytes)
      const decision = router.route(source, found, now)
      return Effect.succeed(decision === "read" ? null : decision)
    }
    return Explain.explain({ dispatch: settings.dispatch, folders, decide }, source, file, now, bytes)
  })

interface Explaining {
  readonly folders: ReadonlyArray<Places.Folder>
  readonly router: Router
}

/** Who explains one file of a config mostly explains more of them. */
const known = new WeakMap<Given, Explaining>()

const explaining = (settings: Given): Explaining => {
  const before = known.get(settings)
  if (before !== undefined) return before
  const folders = Places.folders(settings.routes)
  const made = { folders, router: make(settings, folders, { counter: () => Explain.someNumber }, (all) => all) }
  known.set(settings, made)
  return made
}

const make = (
  settings: Given,
  folders: ReadonlyArray<Places.Folder>,
  options: Options,
  /** Which of the placements count. */
  choose: (all: ReadonlyArray<Places.Placed>) => ReadonlyArray<Places.Placed>
): Router => {
  const first = settings.dispatch === "first"
  const wanting = RulesIndex.make(folders.filter(({ route }) => !route.otherwise))
  const otherwise = RulesIndex.make(folders.filter(({ route }) => route.otherwise))
  const disposing = new Map(settings.sources.map((source) => [source.name, Places.disposing(source)]))
  const counter = options.counter ?? (() => null)

  const needsOf = (source: Source, matched: ReadonlyArray<Places.Folder>): Places.Needs =>
    matched.length === 0
      ? Places.nothing
      : matched.reduce<Places.Needs>(
          (needs, folder) => (folder.needs === Places.nothing ? needs : Places.both(needs, folder.needs)),
          disposing.get(source.name) ?? Places.nothing
        )

  const route: Router["route"] = (source, file, now) => {
    const subject = new Rules.Subject(source.name, file.path, file, now)
    const verdict = wanting.judge(subject, first)
    if (verdict === "read") return "read"
    if (verdict.matched.length === 0 && !otherwise.isEmpty) {
      const rest = otherwise.judge(subject, first)
      if (rest === "read") return "read"
      return decide(source, file, subject, rest.matched, Math.min(verdict.until, rest.until))
    }
    return decide(source, file, subject, verdict.matched, verdict.until)
  }

  const decide = (
    source: Source,
    file: Found,
    subject: Rules.Subject,
    matched: ReadonlyArray<Places.Folder>,
    until: number
  ): Decision | "read" => {
    const { mime, sha256 } = needsOf(source, matched)
    return mime || sha256 ? "read" : decision(source, file, subject, matched, until, null)
  }

  const decision = (
    source: Source,
    file: Found,
    subject: Rules.Subject,
    matched: ReadonlyArray<Places.Folder>,
    until: number,
    sha256: string | null
  ): Decision => {
    const learnt = { mime: subject.mime ?? null, sha256, read: subject.mime !== undefined || sha256 !== null }
    return {
      placed: matched.length === 0 ? none : choose(Places.placed(matched, source, file, subject, learnt, counter)),
      until: until === Infinity || (first && matched.length > 0) ? null : until
    }
  }

  return {
    ruleset: digest(settings),
    route,
    read: Effect.fnUntraced(function* (source, file, now, bytes) {
      const subject = new Rules.Subject(source.name, file.path, file, now)
      let { matched, until } = yield* wanting.read(subject, first, bytes)
      if (matched.length === 0 && !otherwise.isEmpty) {
        const rest = yield* otherwise.read(subject, first, bytes)
        matched = rest.matched
        until = Math.min(until, rest.until)
      }
      const needs = needsOf(source, matched)
      if (needs.mime && subject.mime === undefined) subject.mime = yield* bytes.mime
      const sha256 = needs.sha256 ? yield* bytes.sha256 : null
      return decision(source, file, subject, matched, until, sha256)
    })
  }
}

const none: ReadonlyArray<Places.Placed> = []
