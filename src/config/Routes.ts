/**
 * Resolves the folders of a config: what each takes, and its targets.
 */
import type { Route, RouteTarget } from "../domain/Settings.ts"
import type { Conflict } from "../domain/Target.ts"
import { formatPath, type Problem } from "./ConfigError.ts"
import { defaults, FolderEntry, TargetEntry } from "./ConfigFile.ts"
import { Logins, sameSecrets } from "./Logins.ts"
import { decode, Names, type Located, type Report } from "./Report.ts"
import * as Rules from "./Rules.ts"
import * as Scheme from "./Scheme.ts"
import { useless, type Fault as TargetFault } from "./targetFaults.ts"
import * as Targets from "./Targets.ts"
import type { Environment } from "./Variables.ts"
import { isRecord } from "./YamlFile.ts"
import type * as YamlFile from "./YamlFile.ts"

export interface LocatedRoute extends Located<Route> {
  /** The named groups of its expressions. */
  readonly groups: ReadonlySet<string> | undefined
  /** The place of each target. */
  readonly targets: ReadonlyArray<YamlFile.Path>
}

interface Context {
  /** Where relative paths begin. */
  readonly directory: string
  readonly env: Environment
  /** The names of the sources. */
  readonly sources: ReadonlyArray<string>
  /** Schemes that an embedding app brings, and the conflict policies that each can keep. */
  readonly schemes: Readonly<Record<string, ReadonlyArray<Conflict>>>
}

export const resolve = (report: Report, context: Context): ReadonlyArray<LocatedRoute> => {
  const { folders } = report.value
  if (!Array.isArray(folders)) return []
  const entries = folders.flatMap((value: unknown, index): ReadonlyArray<Located<FolderEntry>> => {
    const entry = decode(FolderEntry, value, true).value
    return entry === undefined ? [] : [{ path: ["folders", index], entry }]
  })
  const names = new Names(
    entries.map(({ entry, path }) => [[...path, "name"], entry.name]),
    (path, name) =>
      report.problem(path, `there is another folder with the name ${JSON.stringify(name)}`, "a name of its own")
  )
  const logins = new Logins()
  const schemes = new Map([
    ...Scheme.schemes,
    ...Object.entries(context.schemes).map(([name, conflicts]) => [name, Scheme.custom(conflicts)] as const)
  ])
  return entries.flatMap(({ entry, path }) => {
    const { groups, rules } = Rules.resolve(report, path, entry, context.sources)
    const targets = targetsOf(report, entry, path, logins, { ...context, schemes, groups })
    checkOtherwise(report, entry, path)
    const first = targets[0]
    if (first === undefined) return []
    return [
      {
        path,
        groups,
        targets: targets.map((one) => one.path),
        entry: {
          name: entry.name?.trim() ?? names.make(Targets.nameOf(first.entry)),
          extensions: extensionsOf(report, entry, path),
          rules,
          otherwise: entry.otherwise ?? false,
          priority: entry.priority ?? defaults.folder.priority,
          order: entry.order ?? defaults.folder.order,
          targets: targets.map((one) => one.entry)
        }
      }
    ]
  })
}

const extensionsOf = (report: Report, entry: FolderEntry, path: YamlFile.Path): ReadonlyArray<string> | undefined => {
  const seen = new Set<string>()
  entry.extensions?.forEach((text, index) => {
    const extension = Rules.normalOne(text)
    if (seen.has(extension)) {
      report.warning([...path, "extensions", index], "it is in this list twice", "each extension once")
    }
    seen.add(extension)
  })
  return Rules.normal(entry.extensions)
}

const checkOtherwise = (report: Report, entry: FolderEntry, path: YamlFile.Path): void => {
  if (entry.otherwise !== true) return
  const beside = (["extensions", "match", "exclude"] as const).find((key) => entry[key] !== undefined)
  if (beside !== undefined) {
    report.keyProblem(
      [...path, beside],
      "otherwise: true is for what no other folder takes, whatever it is",
      `no ${beside}, or no otherwise`
    )
  }
}

const targetsOf = (
  report: Report,
  entry: FolderEntry,
  path: YamlFile.Path,
  logins: Logins,
  context: Targets.Context
): ReadonlyArray<Located<RouteTarget>> => {
  const raw = report.at(path)
  const given = isRecord(raw) ? raw : {}
  if (given["path"] !== undefined && given["paths"] !== undefined) {
    report.keyProblem([...path, "paths"], "path is there as well", "only one of path and paths")
  }
  if (given["path"] === undefined && given["paths"] === undefined) {
    report.problem([...path, "path"], "it is missing", "path: with a directory or a URL")
  }
  const written = entriesOf(report, entry, path)
  const texts = written.map((one) => one.entry.path)
  if (texts.length > 0) {
    for (const fault of useless(entry, texts, context.schemes)) {
      report.problem([...path, fault.key ?? "path"], fault.message, fault.expected)
    }
  }
  const places = new Map<string, RouteTarget>()
  return written.flatMap(({ entry: { path: text, ...own }, path: at }) => {
    const here = typeof report.at(at) === "string" ? at : [...at, "path"]
    const { faults, target: one, warnings } = Targets.resolve(text, own, entry, context)
    const locate = ({ expected, header, key, message, part = "" }: TargetFault): Problem => {
      if (key === undefined) return report.yaml.partProblem(here, part, message, expected)
      if (header === undefined) {
        return report.yaml.partProblem([...(own[key] === undefined ? path : at), key], part, message, expected)
      }
      const holder = own.headers?.[header] === undefined ? path : at
      return report.yaml.keyProblem([...holder, key, header], message, expected)
    }
    report.problems.push(...faults.map(locate))
    report.warnings.push(...warnings.map(locate))
    if (one === undefined) return []
    const place = placeOf(one)
    const before = places.get(place)
    if (before === undefined) places.set(place, one)
    else if (sameSecrets(before.secrets, one.secrets) && before.target.lane === one.target.lane) {
      report.problem(here, "this folder has it already", "each target once")
    }
    for (const { expected, message } of logins.add(one, formatPath(here))) report.problem(here, message, expected)
    return [{ path: here, entry: one }]
  })
}

/** Two targets of which this is the same would write the same files. */
const placeOf = ({ rename, target: { options, url } }: RouteTarget): string => {
  const { transform } = options
  const suffixes = transform && [transform.decompress !== null, transform.compress, transform.age.length > 0]
  return JSON.stringify([url, rename, suffixes])
}

/** What a folder writes as its targets, with the place of each. */
const entriesOf = (report: Report, entry: FolderEntry, path: YamlFile.Path): ReadonlyArray<Located<TargetEntry>> => {
  const raw = report.at([...path, "paths"])
  const several = Array.isArray(raw)
    ? raw.flatMap((item: unknown, index): ReadonlyArray<Located<TargetEntry>> => {
        const target = decode(TargetEntry, typeof item === "string" ? { path: item } : item, true).value
        return target === undefined ? [] : [{ path: [...path, "paths", index], entry: target }]
      })
    : []
  return [...(entry.path === undefined ? [] : [{ path: [...path, "path"], entry: { path: entry.path } }]), ...several]
}
