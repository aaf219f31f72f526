/**
 * `filedispatch explain`: where files would go, and why.
 */
import { Effect } from "effect"
import { isAbsolute, relative, resolve } from "node:path"
import type { Explanation, Predicate } from "../domain/Explanation.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Settings, Source } from "../domain/Settings.ts"
import * as Router from "../route/Router.ts"
import type { Given } from "./ExplainCommand.ts"
import { Failure } from "./Failure.ts"
import { load } from "./Load.ts"
import * as Output from "./Output.ts"

export const explain = Effect.fn("Explain.explain")(function* (given: Given) {
  const settings = yield* load(given.config)
  const name = given.source
  const chosen = settings.sources.filter((source) => name === undefined || source.name === name)
  if (chosen.length === 0) {
    const known = settings.sources.map((source) => source.name).join(", ")
    return yield* new Failure({ code: 2, message: `There is no source "${name}" in ${settings.file}, but: ${known}.` })
  }
  const places = yield* Effect.forEach(given.files, (file) => locate(file, chosen, settings))
  const explanations = places.flat().map(({ path, source }) => Router.explain(settings, source, RelPath.make(path)))
  yield* Output.line(given.json ? JSON.stringify(explanations, null, 2) : explanations.map(describe).join("\n\n"))
  return 0
})

interface Place {
  readonly source: Source
  /** Relative to the source. */
  readonly path: string
}

/** A file below a source is that source's; any other relative path is taken as one below each source. */
const locate = (
  file: string,
  sources: ReadonlyArray<Source>,
  settings: Settings
): Effect.Effect<ReadonlyArray<Place>, Failure> => {
  const inside = sources
    .map((source): Place => ({ source, path: relative(source.path, resolve(file)) }))
    .filter(({ path }) => path !== "" && path !== ".." && !path.startsWith("../") && !isAbsolute(path))
    // of sources in each other, the inner one
    .sort((left, right) => right.source.path.length - left.source.path.length)
  if (inside[0] !== undefined) return Effect.succeed([inside[0]])
  const below = relative("/", resolve("/", file))
  if (isAbsolute(file) || below === "") {
    return new Failure({
      code: 2,
      message: `${file} lies in no source of ${settings.file}: ${sources.map((source) => source.path).join(", ")}.`
    })
  }
  return Effect.succeed(sources.map((source): Place => ({ source, path: below })))
}

const describe = ({ folders, source, summary }: Explanation): string =>
  [
    summary,
    `  source ${source.name} (${source.path})`,
    ...source.predicates.map(predicateLine),
    ...folders.flatMap((folder) => [
      `  folder ${folder.name}: ${folder.matched ? "matches" : "does not match"}`,
      ...folder.predicates.map(predicateLine),
      ...folder.locations.map(({ location, sameAs }) =>
        sameAs === null ? `    -> ${location}` : `    -> ${location} (the folder ${sameAs} sends it there already)`
      )
    ])
  ].join("\n")

const predicateLine = ({ had, matched, predicate, wanted }: Predicate): string =>
  `    ${matched ? "yes" : "no "}  ${predicate}: wants ${wanted}; has ${had}`
