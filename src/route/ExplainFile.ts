/**
 * Where a file goes, and why, as the command line and the API ask it: found, looked at, and read where a rule asks.
 */
import { Effect, type Context } from "effect"
import { lstat } from "node:fs/promises"
import type { Explanation, Predicate } from "../domain/Explanation.ts"
import type { Found } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Source } from "../domain/Settings.ts"
import type { Bytes, FileFacts } from "../files/FileFacts.ts"
import type { Files, FilesError } from "../files/Files.ts"
import type { Place } from "./Locate.ts"
import * as Marker from "./Marker.ts"
import * as Router from "./Router.ts"
import type { Rules } from "./Ruleset.ts"

export interface Services {
  readonly look: Context.Tag.Service<typeof Files>["look"]
  readonly facts: Context.Tag.Service<typeof FileFacts>
}

/** `now`: milliseconds since the epoch. Reads no file where a link leads to it that its source does not follow. */
export const explainFile = (
  { facts, look }: Services,
  rules: Rules,
  place: Place,
  now: number
): Effect.Effect<Explanation, FilesError> =>
  Effect.gen(function* () {
    const { at, path, source } = place
    const marker = Marker.compile(source)
    const [seen = null, mark = null] = yield* look(
      at.directory,
      marker === null ? [at.path] : [at.path, marker.of(at.path)],
      source.symlinks
    ).pipe(
      // a source that is not there has no files
      Effect.catchIf(
        ({ code }) => code === "ENOENT" || code === "ENOTDIR",
        () => Effect.succeed([])
      )
    )
    const found = seen === null ? null : { ...seen, path }
    const bytes = seen === null ? null : facts.of(at.directory, seen)
    const explained = yield* explainAll(rules, source, { path, found }, now, bytes)
    const kind = seen === null ? yield* Effect.promise(() => kindOf(at.directory, at.path)) : null
    const told = found === null ? explained : toldMarker(explained, mark !== null)
    return kind === null ? elsewhere(told, place) : notTaken(told, "file", "a regular file", kind)
  })

/** Of a path alone, whatever is there. */
export const explainPath = (rules: Rules, place: Place, now: number): Effect.Effect<Explanation> =>
  Effect.map(explainAll(rules, place.source, { path: place.path, found: null }, now, null), (explanation) =>
    elsewhere(explanation, place)
  )

/** A file that can't be read is judged as far as that is possible without. */
const explainAll = (
  rules: Rules,
  source: Source,
  file: { readonly path: RelPath.RelPath; readonly found: Found | null },
  now: number,
  bytes: Bytes | null
): Effect.Effect<Explanation> =>
  Router.explain(rules, source, file, now, bytes).pipe(
    Effect.catchTag("FactsError", ({ reason }) =>
      Router.explain(rules, source, file, now, null).pipe(
        // nothing is read
        Effect.orDie,
        Effect.map((explanation) => ({ ...explanation, summary: `${explanation.summary} ${reason}` }))
      )
    ),
    Effect.map((explanation) =>
      Marker.compile(source)?.is(file.path) === true
        ? notTaken(explanation, "marker", "a file that is no marker", `its name is one of ${plain(source.marker)}`)
        : explanation
    )
  )

const plain = (text: string | null): string => RelPath.display(text ?? "")

/** It waits for its marker, or does not. */
const toldMarker = (explanation: Explanation, isThere: boolean): Explanation => {
  const { source } = explanation
  const predicates = source.predicates.map((one): Predicate =>
    one.predicate === "marker" && one.matched === null
      ? { ...one, had: isThere ? "it is there" : "it is not there", matched: isThere }
      : one
  )
  const told = { ...explanation, source: { ...source, predicates } }
  const waits = predicates.find((one) => one.predicate === "marker" && one.matched === false)
  return waits === undefined ? told : notTaken(told, null, waits.wanted, waits.had)
}

const elsewhere = (explanation: Explanation, { source, supposed }: Place): Explanation =>
  supposed
    ? {
        ...explanation,
        summary: `${explanation.summary} It lies elsewhere, and is judged as if it lay in ${RelPath.display(source.name)}.`
      }
    : explanation

/** The source does not take it, for a reason that the rules know nothing of. `predicate` null: it is there already. */
const notTaken = (explanation: Explanation, predicate: string | null, wanted: string, had: string): Explanation => {
  const { file, source } = explanation
  const predicates =
    predicate === null ? source.predicates : [...source.predicates, { predicate, wanted, had, matched: false }]
  return {
    ...explanation,
    source: { ...source, predicates, accepted: false },
    locations: [],
    summary: source.accepted
      ? `${file} is not taken from ${source.name}: ${predicate ?? "marker"} wants ${wanted}; ${had}.`
      : explanation.summary
  }
}

/** What there is where no regular file is; null: nothing. Goes through no link, so that nothing is said of elsewhere. */
const kindOf = async (directory: string, path: RelPath.RelPath): Promise<string | null> => {
  const segments = path.split("/")
  for (const index of segments.keys()) {
    const isLast = index === segments.length - 1
    const full = `${directory}/${segments.slice(0, index + 1).join("/")}`
    const stat = await lstat(Buffer.from(RelPath.toBytes(full))).catch(() => null)
    if (stat === null) return null
    if (stat.isSymbolicLink()) return isLast ? "a link" : "behind a link"
    if (stat.isDirectory()) {
      if (isLast) return "a directory"
    } else if (!isLast) return null
    else return stat.isFile() ? null : "a device, a pipe or a socket"
  }
  return null
}
