/**
 * `filedispatch explain`: where files would go, and why; or why the file of a log entry went where it went.
 */
import { Effect, Either, Option } from "effect"
import { existsSync } from "node:fs"
import type { Explanation, FolderVerdict, Predicate } from "../domain/Explanation.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Settings } from "../domain/Settings.ts"
import { FileFacts } from "../files/FileFacts.ts"
import * as FileFactsLive from "../files/FileFactsLive.ts"
import { look } from "../files/FilesDirect.ts"
import { explainFile } from "../route/ExplainFile.ts"
import { locate } from "../route/Locate.ts"
import type { Given } from "./ExplainCommand.ts"
import { Failure, from, usage } from "./Failure.ts"
import { load } from "./Load.ts"
import * as Output from "./Output.ts"

export const explain = Effect.fn("Explain.explain")(function* (given: Given) {
  const { files, log } = given
  if (log === undefined && files.length === 0) {
    return yield* usage("Which files? Name them: explain -c CONFIG FILE...", "explain")
  }
  if (log !== undefined && (files.length > 0 || given.source !== undefined)) {
    return yield* usage("--log explains one entry of the log: it takes neither a FILE nor a --source.", "explain")
  }
  const settings = yield* load(given.config, { db: given.db })
  const explanations = yield* log === undefined ? ofFiles(settings, given) : ofEntry(settings, log)
  yield* Output.line(given.json ? JSON.stringify(explanations, null, 2) : explanations.map(describe).join("\n\n"))
  return 0
})

const ofFiles = (settings: Settings, { files, source }: Given) =>
  Effect.gen(function* () {
    const facts = yield* FileFacts
    const now = Date.now()
    const places = yield* Effect.forEach(files, (file) =>
      locate(settings, named(file), { source, directory: process.cwd(), isThere: existsSync }).pipe(
        Either.mapLeft((problem) => new Failure({ code: 2, message: `${settings.file}: ${problem}.` }))
      )
    )
    return yield* Effect.forEach(places.flat(), (place) => explainFile({ look, facts }, settings, place, now))
  }).pipe(Effect.mapError(from), Effect.provide(FileFactsLive.layer))

/** As it stands where there is such a file; otherwise it may be written as it is shown. */
const named = (file: string): RelPath.RelPath => (existsSync(file) ? RelPath.make(file) : RelPath.parse(file))

const ofEntry = (settings: Settings, id: string) =>
  Effect.gen(function* () {
    const fail = (message: string) => new Failure({ code: 1, message })
    if (!existsSync(settings.db)) return yield* fail(`There is no log yet: ${settings.db} does not exist.`)
    const [{ layer }, { explainEntry }, { Deliveries }, { LogRepo }] = yield* Effect.promise(() =>
      Promise.all([
        import("./ReadOnly.ts"),
        import("../store/explainEntry.ts"),
        import("../store/Deliveries.ts"),
        import("../store/LogRepo.ts")
      ])
    )
    const explained = yield* Effect.gen(function* () {
      return yield* explainEntry({ logs: yield* LogRepo, deliveries: yield* Deliveries }, id.toLowerCase())
    }).pipe(Effect.provide(layer(settings.db)), Effect.mapError(from))
    if (Option.isNone(explained)) return yield* fail(`There is no log entry with the id ${RelPath.display(id)}.`)
    const explanation = yield* Either.mapLeft(explained.value, (reason) => fail(`Nothing can be said: ${reason}.`))
    return [explanation]
  })

/** The sentence, then all that led to it, with the outcomes in one column. */
const describe = ({ folders, source, summary }: Explanation): string => {
  const rows = [
    { left: "", text: `source ${RelPath.display(source.name)} (${RelPath.display(source.path)})` },
    ...source.predicates.flatMap((one) => predicateRows(one, 1)),
    ...folders.flatMap((folder) => [
      { left: "", text: `folder ${RelPath.display(folder.name)}: ${outcome(folder)}` },
      ...folder.predicates.flatMap((one) => predicateRows(one, 1)),
      ...folder.locations.flatMap((place) => [
        {
          left: "->",
          text: place.sameAs === null ? place.location : `${place.location}, by the folder ${place.sameAs}`
        },
        ...(place.transform === null ? [] : [{ left: "", text: `    ${place.transform}` }]),
        ...(place.sameAs === null ? [{ left: "", text: `    if it is taken: ${place.conflict}` }] : [])
      ])
    ])
  ]
  return [summary, ...rows.map(({ left, text }) => `  ${left.padEnd(marks)}${text}`.trimEnd())].join("\n")
}

const outcome = ({ gets, matched, why }: FolderVerdict): string => {
  const said = matched === null ? "can't be said without the file" : matched ? "matches" : "does not match"
  if (why === null) return said
  return gets === null ? `${said}; ${why}` : `${said}, but ${why}`
}

interface Row {
  readonly left: string
  readonly text: string
}

const marks = 5

const predicateRows = (predicate: Predicate, depth: number): ReadonlyArray<Row> => [
  {
    left: predicate.matched === null ? "?" : predicate.matched ? "yes" : "no",
    text: `${"  ".repeat(depth)}${predicate.predicate}: wants ${predicate.wanted}; has ${predicate.had}`
  },
  ...(predicate.parts ?? []).flatMap((part) => predicateRows(part, depth + 1))
]
