/**
 * `filedispatch check`: what is wrong with a config, or what it means.
 */
import { Effect } from "effect"
import { statSync } from "node:fs"
import type { Settings } from "../domain/Settings.ts"
import type { Given } from "./CheckCommand.ts"
import { loadAndWarn } from "./Load.ts"
import * as Output from "./Output.ts"

export const check = Effect.fn("Check.check")(function* (given: Given) {
  const settings = yield* loadAndWarn(given.config)
  for (const source of settings.sources) {
    const problem = directoryProblem(source.path)
    if (problem !== undefined) yield* Output.note(`warning: the source ${source.path} ${problem}`)
  }
  yield* Output.line(summary(settings))
  return 0
})

const summary = (settings: Settings): string => {
  const targets = settings.routes.flatMap((route) => route.targets)
  const lanes = new Set(targets.map(({ target }) => target.lane))
  return [
    "ok",
    ...settings.sources.map((source) => `source  ${source.name}: ${source.path}`),
    ...settings.routes.flatMap((route) =>
      route.targets.map(
        ({ target }) => `folder  ${route.name}: ${route.extensions?.join(", ") ?? "every file"} -> ${target.url}`
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
