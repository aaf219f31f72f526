/**
 * What folders take from each other, so that one of them never gets what it was meant for.
 */
import type { Rule } from "../domain/Rule.ts"
import type { Settings } from "../domain/Settings.ts"
import { formatPath } from "./ConfigError.ts"
import type { Report } from "./Report.ts"
import type { LocatedRoute } from "./Routes.ts"
import type { LocatedSource } from "./Sources.ts"
import type * as YamlFile from "./YamlFile.ts"

export const check = (
  report: Report,
  routes: ReadonlyArray<LocatedRoute>,
  sources: ReadonlyArray<LocatedSource>,
  dispatch: Settings["dispatch"]
): void => {
  checkOtherwise(report, routes, dispatch)
  if (dispatch === "first") checkFirst(report, routes)
  checkOrders(report, routes)
  checkUnused(report, routes, sources)
}

/** Where one folder takes everything, nothing is left for others. */
const checkOtherwise = (report: Report, routes: ReadonlyArray<LocatedRoute>, dispatch: Settings["dispatch"]): void => {
  const everything = routes.find(
    ({ entry }) => !entry.otherwise && entry.extensions === undefined && entry.rules.length === 0
  )
  let before: LocatedRoute | undefined
  for (const route of routes) {
    if (!route.entry.otherwise) continue
    const path = [...route.path, "otherwise"]
    if (everything !== undefined) {
      report.warning(path, `nothing is left for it: ${formatPath(everything.path)} takes every file`, "matchers there")
    } else if (dispatch === "first" && before !== undefined) {
      report.warning(
        path,
        `nothing is left for it: with dispatch: first, ${formatPath(before.path)} takes it`,
        "only one of them"
      )
    }
    before ??= route
  }
}

/** With `dispatch: first`, what an earlier folder always takes comes no further. */
const checkFirst = (report: Report, routes: ReadonlyArray<LocatedRoute>): void => {
  const takers = new Takers()
  for (const route of routes) {
    const { extensions, otherwise } = route.entry
    if (otherwise) continue
    const before = (extensions ?? [undefined]).map((extension) => takers.of(route, extension))
    const known = before.filter((taker) => taker !== undefined)
    if (known.length === before.length) {
      report.warning(
        route.path,
        `it never gets a file: with dispatch: first, ${Array.from(new Set(known.map(formatPath))).join(" and ")} takes them`,
        "another order, or dispatch: all"
      )
    } else {
      before.forEach((taker, index) => {
        if (taker === undefined) return
        report.warning(
          [...route.path, "extensions"],
          `with dispatch: first, ${formatPath(taker)} takes ${extensions?.[index]} before`,
          "each extension once, or dispatch: all"
        )
      })
    }
    takers.add(route)
  }
}

/**
 * The first folder that takes all files of an extension (or all files), among those that ask for nothing else, and those
 * that ask for the same else.
 */
class Takers {
  private readonly first = new Map<string, YamlFile.Path>()

  add({ entry: { extensions, rules }, path }: LocatedRoute): void {
    for (const extension of extensions ?? [undefined]) {
      const key = keyOf(rules, extension)
      if (!this.first.has(key)) this.first.set(key, path)
    }
  }

  /** Who takes what the folder wants of this extension; undefined as extension: all that it wants. */
  of({ entry: { rules } }: LocatedRoute, extension: string | undefined): YamlFile.Path | undefined {
    const ends = extension === undefined ? [undefined] : [undefined, ...suffixesOf(extension)]
    const keys = [[], rules].flatMap((one) => ends.map((end) => keyOf(one, end)))
    return keys.map((key) => this.first.get(key)).find((taker) => taker !== undefined)
  }
}

const keyOf = (rules: ReadonlyArray<Rule>, extension: string | undefined): string =>
  JSON.stringify([rules, extension ?? null])

/** `tar.gz` and `gz`: what ends in the first ends in the second. */
const suffixesOf = (extension: string): ReadonlyArray<string> => {
  const parts = extension.split(".")
  return parts.map((_, index) => parts.slice(index).join("."))
}

/** The files of one lane and priority are in one queue. */
const checkOrders = (report: Report, routes: ReadonlyArray<LocatedRoute>): void => {
  const queues = new Map<string, LocatedRoute>()
  for (const route of routes) {
    const { order, priority, targets } = route.entry
    for (const lane of new Set(targets.map(({ target }) => target.lane))) {
      const key = JSON.stringify([lane, priority])
      const before = queues.get(key)
      if (before === undefined) queues.set(key, route)
      else if (before.entry.order !== order) {
        report.warning(
          [...route.path, "order"],
          `${formatPath(before.path)} sends to the same place in order ${before.entry.order}, so that they mix`,
          "one order for both, or another priority"
        )
        break
      }
    }
  }
}

/** A source from which nothing goes anywhere. */
const checkUnused = (
  report: Report,
  routes: ReadonlyArray<LocatedRoute>,
  sources: ReadonlyArray<LocatedSource>
): void => {
  if (routes.length === 0) return
  for (const { base, entry } of sources) {
    const isUsed = routes.some(({ entry: { rules } }) =>
      rules.every((rule) => rule._tag !== "Sources" || rule.sources.includes(entry.name))
    )
    if (!isUsed) report.warning(base, "no folder takes files from it", "its name in the sources of a folder")
  }
}
