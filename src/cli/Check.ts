/**
 * `filedispatch check`: what is wrong with a config, or what it means.
 */
import { Effect } from "effect"
import { statSync } from "node:fs"
import type { Settings } from "../domain/Settings.ts"
import type { Given } from "./CheckCommand.ts"
import { filesOf, orderOf } from "./FolderSaid.ts"
import { loadAndWarn } from "./Load.ts"
import * as Output from "./Output.ts"
import * as SourceSaid from "./SourceSaid.ts"
import { saidOf } from "./TargetSaid.ts"

export const check = Effect.fn("Check.check")(function* (given: Given) {
  const settings = yield* loadAndWarn(given.config)
  for (const source of settings.sources) {
    const problem = directoryProblem(source.path)
    if (problem !== undefined) yield* Output.note(`warning: the source ${source.path} ${problem}`)
  }
  yield* Output.line(summary(settings))
  if (!given.probe) return 0
  const [{ examine }, { patients }] = yield* Effect.promise(() =>
    Promise.all([import("./Doctor.ts"), import("./DoctorProbe.ts")])
  )
  yield* Output.line("")
  return yield* examine(patients(settings), false)
})

const summary = (settings: Settings): string => {
  const targets = settings.routes.flatMap((route) => route.targets)
  const lanes = new Set(targets.map(({ target }) => target.lane))
  return [
    "ok",
    ...settings.sources.map((source) => `source  ${source.name}: ${source.path}${SourceSaid.saidOf(source)}`),
    ...(settings.dispatch === "first" ? ["folders: the first one that matches gets the file"] : []),
    ...settings.routes.flatMap((route) =>
      route.targets.map(
        (one) => `folder  ${route.name}: ${filesOf(route)}${orderOf(route)} -> ${one.target.url}${saidOf(one)}`
      )
    ),
    `lanes   ${[...lanes].join(", ")}`,
    `db      ${settings.db}`
  ].join("\n")
}

const directoryProblem = (path: string): string | undefined => {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return "is not there; it will be waited for"
  return stat.isDirectory() ? undefined : "is not a directory"
}
