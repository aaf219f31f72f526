/**
 * Two configs over the same files: which of them would go elsewhere, which nobody would want any more, and which
 * somebody would want now.
 *
 * Nothing is sent, written or counted. A file costs two look-ups, and is read only where a rule of either config asks
 * for its bytes; it is forgotten once it has been told, so that a million files take no more memory than one.
 */
import { Chunk, Effect, Either, Stream } from "effect"
import type { Found } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import { noSecrets, type Source } from "../domain/Settings.ts"
import { location, shown, type Placement } from "../domain/Target.ts"
import { FactsError, type Bytes } from "../files/FileFacts.ts"
import * as Marker from "./Marker.ts"
import * as Matcher from "./Matcher.ts"
import * as Router from "./Router.ts"
import type { Rules } from "./Ruleset.ts"
import { suppose, type Kind } from "./Suppose.ts"

/** A file to be judged by both configs. */
export interface Seen {
  /** The directory that `found.path` is relative to, absolute. */
  readonly directory: string
  readonly found: Found
  /** The time by which it is judged, in milliseconds since the epoch. */
  readonly now: number
  /** Asked for only where a rule looks into the file; null: it can't be looked into any more. */
  readonly bytes: () => Bytes | null
}

export interface Change {
  readonly kind: "elsewhere" | "dropped" | "new"
  /** The absolute path, as readable text. */
  readonly file: string
  /** The places that the first config sends it to, without secrets. */
  readonly from: ReadonlyArray<string>
  /** Those of the second one. */
  readonly to: ReadonlyArray<string>
}

/** How many of the files that a source takes came out how. */
export interface Summary {
  readonly files: number
  /** They go where they went, or still nowhere. */
  readonly unchanged: number
  readonly elsewhere: number
  readonly dropped: number
  readonly new: number
  /** A rule asks for what is in them, and that can't be read. */
  readonly undecided: number
  /** The first few changes of each kind. */
  readonly examples: ReadonlyArray<Change>
}

export interface Comparison {
  /** What becomes of a file; null: no change; "read": its bytes must be asked; "untaken": no source of either takes it. */
  readonly compare: (seen: Seen) => Change | null | "read" | "untaken"
  /**
   * The same with its bytes. Where they can't be had, the answer is still given if it is the same whatever is in them, as
   * far as both configs are supposed to say the same of it.
   */
  readonly read: (seen: Seen, bytes: Bytes) => Effect.Effect<Change | null, FactsError>
}

export const compile = (from: Rules, to: Rules): Comparison => {
  const direct = pair(from, to)
  const supposed = new Map<number, ReadonlyArray<Comparison>>()
  const supposing = (level: number): ReadonlyArray<Comparison> => {
    const known = supposed.get(level)
    if (known !== undefined) return known
    const kinds = unknowns[level] ?? []
    const made = [false, true].map((answer) => pair(suppose(from, kinds, answer), suppose(to, kinds, answer)))
    supposed.set(level, made)
    return made
  }
  const whatever = (seen: Seen, bytes: Bytes, error: FactsError) =>
    Effect.gen(function* () {
      for (const level of unknowns.keys()) {
        const answers = yield* Effect.either(Effect.forEach(supposing(level), (one) => one.read(seen, bytes)))
        if (Either.isLeft(answers)) continue
        const [no = null, yes = null] = answers.right
        return isSameMove(no, yes) ? no : yield* error
      }
      return yield* error
    })
  return {
    compare: direct.compare,
    read: (seen, bytes) => Effect.catchAll(direct.read(seen, bytes), (error) => whatever(seen, bytes, error))
  }
}

/** What may not be known of a file. */
const unknowns: ReadonlyArray<ReadonlyArray<Kind>> = [["Content"], ["Mime", "Content"]]

const pair = (from: Rules, to: Rules): Comparison => {
  const sides = [sideOf(from), sideOf(to)] as const
  const [before, after] = sides
  /** What lies in no source of either is judged as if it lay in the first one of each. */
  const sitesOf = ({ directory, found: { path } }: Seen) => {
    const sites = sides.map((side) => side.sites(directory, path))
    const isOutside = sites.every((one) => one.length === 0) && !sides.some((side) => side.holds(directory, path))
    return isOutside ? sides.map((side) => side.first(path)) : sites
  }
  return {
    compare: (seen) => {
      const [left = [], right = []] = sitesOf(seen)
      if (left.length === 0 && right.length === 0) return "untaken"
      const old = before.judge(left, seen)
      const next = after.judge(right, seen)
      return old === "read" || next === "read" ? "read" : changeOf(seen, old, next)
    },
    read: (seen, bytes) =>
      Effect.gen(function* () {
        const [left = [], right = []] = sitesOf(seen)
        const old = yield* before.read(left, seen, bytes)
        const next = yield* after.read(right, seen, bytes)
        return changeOf(seen, old, next)
      })
  }
}

/**
 * Compares all of the files, tells each change as it is found, and what could not be judged, and answers the counts.
 */
export const summarize = <E, R, R2 = never>(
  comparison: Comparison,
  files: Stream.Stream<Seen, E, R>,
  tell: {
    readonly change?: (change: Change) => Effect.Effect<void, never, R2>
    readonly undecided?: (file: string, reason: string) => Effect.Effect<void, never, R2>
  } = {}
): Effect.Effect<Summary, E, R | R2> =>
  Effect.suspend(() => {
    const counts = { files: 0, unchanged: 0, elsewhere: 0, dropped: 0, new: 0, undecided: 0 }
    const examples: Array<Change> = []
    const count = (change: Change | null) => {
      if (change === null) counts.unchanged += 1
      else {
        counts[change.kind] += 1
        if (counts[change.kind] <= exampleCount) examples.push(change)
      }
    }
    const undecided = (seen: Seen, reason: string) => {
      counts.undecided += 1
      return tell.undecided?.(fileOf(seen), reason) ?? Effect.void
    }
    const read = (seen: Seen) =>
      Effect.matchEffect(comparison.read(seen, seen.bytes() ?? noBytes(seen)), {
        onFailure: ({ reason }) => undecided(seen, reason),
        onSuccess: (change) => {
          count(change)
          return change === null ? Effect.void : (tell.change?.(change) ?? Effect.void)
        }
      })
    return files.pipe(
      Stream.runForEachChunk((chunk) => {
        // most files are judged at once: no fiber has to hear of those
        const later: Array<Effect.Effect<void, never, R2>> = []
        for (const seen of Chunk.toReadonlyArray(chunk)) {
          const change = comparison.compare(seen)
          if (change === "untaken") continue
          counts.files += 1
          if (change === "read") later.push(read(seen))
          else {
            count(change)
            if (change !== null && tell.change !== undefined) later.push(tell.change(change))
          }
        }
        return Effect.all(later, { discard: true })
      }),
      Effect.map((): Summary => ({ ...counts, examples }))
    )
  })

/** In one line: `3 files: 1 would go elsewhere, 1 would be dropped, 1 unchanged`. */
export const describe = (summary: Summary): string => {
  const parts = [
    ...part(summary.elsewhere, "would go elsewhere"),
    ...part(summary.dropped, "would be dropped"),
    ...part(summary.new, "would be new"),
    ...part(summary.undecided, "can't be judged"),
    `${summary.unchanged} unchanged`
  ]
  return `${summary.files} file${summary.files === 1 ? "" : "s"}: ${parts.join(", ")}`
}

/** `/in/a.pdf: /old/a.pdf -> /new/a.pdf`; what stays as it is, is left out. */
export const line = (change: Change): string => {
  const { gained, lost } = moveOf(change)
  return `${change.file}: ${[lost.join(", "), "->", gained.join(", ")].filter((text) => text !== "").join(" ")}`
}

const moveOf = ({ from, to }: Pick<Change, "from" | "to">) => ({
  lost: from.filter((place) => !to.includes(place)),
  gained: to.filter((place) => !from.includes(place))
})

const noMove = moveOf({ from: [], to: [] })

const isSameMove = (left: Change | null, right: Change | null): boolean => {
  const one = left === null ? noMove : moveOf(left)
  const other = right === null ? noMove : moveOf(right)
  return isSame(one.lost, other.lost) && isSame(one.gained, other.gained)
}

const isSame = (left: ReadonlyArray<string>, right: ReadonlyArray<string>): boolean =>
  left.length === right.length && left.every((place) => right.includes(place))

const noBytes = (seen: Seen): Bytes => {
  const error = new FactsError({ file: fileOf(seen), reason: "it can't be read any more" })
  return { mime: error, text: () => error, sha256: error }
}

const exampleCount = 3

const part = (count: number, words: string): ReadonlyArray<string> => (count === 0 ? [] : [`${count} ${words}`])

/** A source of one config that takes the file, and the file's path below it. */
interface Site {
  readonly source: Source
  readonly path: RelPath.RelPath
}

/** Without what has no part in where a file goes, but may ask for its bytes: headers, and what becomes of the source. */
const placesOnly = ({ dispatch, routes, sources }: Rules): Rules => ({
  dispatch,
  routes: routes.map((route) => ({
    ...route,
    targets: route.targets.map((target) => ({ ...target, secrets: noSecrets }))
  })),
  sources: sources.map((source) => ({ ...source, after: { _tag: "Keep" }, onDead: { _tag: "Keep" } }))
})

const sideOf = (rules: Rules) => {
  // the same number for all, so that a counter makes no difference
  const router = Router.compile(placesOnly(rules), { counter: () => 1 })
  const sources = rules.sources.map((source) => ({
    source,
    matcher: Matcher.compile(source),
    marker: Marker.compile(source)
  }))
  const [primary] = sources
  const takes = ({ marker, matcher, source }: (typeof sources)[number], path: RelPath.RelPath): boolean =>
    (source.recursive || !path.includes("/")) && matcher.accepts(path) && marker?.is(path) !== true
  return {
    /** Whether the file lies in a source, taken or not. */
    holds: (directory: string, path: string): boolean =>
      sources.some(({ source }) => below(source.path, directory, path) !== undefined),
    sites: (directory: string, path: RelPath.RelPath): ReadonlyArray<Site> => {
      const sites: Array<Site> = []
      for (const one of sources) {
        const relative = below(one.source.path, directory, path)
        if (relative !== undefined && takes(one, relative)) sites.push({ source: one.source, path: relative })
      }
      return sites
    },
    first: (path: RelPath.RelPath): ReadonlyArray<Site> =>
      primary !== undefined && takes(primary, path) ? [{ source: primary.source, path }] : [],
    judge: (sites: ReadonlyArray<Site>, { found, now }: Seen): ReadonlyArray<string> | "read" => {
      const places = new Set<string>()
      for (const { path, source } of sites) {
        const decision = router.route(source, path === found.path ? found : { ...found, path }, now)
        if (decision === "read") return "read"
        for (const placed of decision.placed) places.add(placeOf(placed))
      }
      return Array.from(places)
    },
    read: (sites: ReadonlyArray<Site>, { found, now }: Seen, bytes: Bytes) =>
      Effect.map(
        Effect.forEach(sites, ({ path, source }) => {
          const file = path === found.path ? found : { ...found, path }
          const decision = router.route(source, file, now)
          return decision === "read" ? router.read(source, file, now, bytes) : Effect.succeed(decision)
        }),
        (decisions) => Array.from(new Set(decisions.flatMap(({ placed }) => placed.map(placeOf))))
      )
  }
}

/** The path of a file below a source's directory; undefined where it does not lie in it. */
const below = (source: string, directory: string, path: string): RelPath.RelPath | undefined => {
  if (source === directory) return RelPath.make(path)
  const file = join(directory, path)
  const root = source.endsWith("/") ? source : `${source}/`
  return file.startsWith(root) ? RelPath.make(file.slice(root.length)) : undefined
}

const join = (directory: string, path: string): string => (directory.endsWith("/") ? directory : `${directory}/`) + path

const fileOf = ({ directory, found }: Seen): string => RelPath.display(join(directory, found.path))

/** A form goes to the same URL whatever the file is called, so that its name has to be said. */
const placeOf = ({ name, target }: Placement): string => {
  const text = RelPath.display(name)
  const place = shown(target, text)
  return place === location(target, text) ? place : `${place} as ${text}`
}

const changeOf = (seen: Seen, from: ReadonlyArray<string>, to: ReadonlyArray<string>): Change | null => {
  if (isSame(from, to)) return null
  const kind = from.length === 0 ? "new" : to.length === 0 ? "dropped" : "elsewhere"
  return { kind, file: fileOf(seen), from, to }
}
