/**
 * Resolves the sources of a config: where they are, what they take, and what becomes of their files.
 */
import { Either } from "effect"
import * as Os from "node:os"
import * as Path from "node:path"
import type { After, OnDead } from "../domain/Generation.ts"
import type { Source } from "../domain/Settings.ts"
import * as Marker from "../route/Marker.ts"
import * as Template from "../route/Template.ts"
import { formatPath } from "./ConfigError.ts"
import { defaults, SourceEntry } from "./ConfigFile.ts"
import * as Place from "./Place.ts"
import { decode, Names, type Located, type Report } from "./Report.ts"
import type * as YamlFile from "./YamlFile.ts"

/** `path` is the place of its directory, `base` that of all it says. */
export interface LocatedSource extends Located<Source> {
  readonly base: YamlFile.Path
}

interface Context {
  /** Where relative paths begin. */
  readonly directory: string
  /** `after: delete` for every source. */
  readonly move: boolean
}

export const resolve = (report: Report, context: Context): ReadonlyArray<LocatedSource> => {
  const { source, sources } = report.value
  if (source !== undefined && sources !== undefined) {
    report.keyProblem(["sources"], "source is there as well", "only one of source and sources")
  }
  if (source === undefined && sources === undefined) {
    report.problem(["source"], "it is missing", "source: with the directory to watch")
  }
  const entries = [...entriesOf(report, "source"), ...entriesOf(report, "sources")]
  const names = new Names(
    entries.map(({ entry, path }) => [[...path, "name"], entry.name]),
    (path, name) =>
      report.problem(path, `there is another source with the name ${JSON.stringify(name)}`, "a name of its own")
  )
  const seen = new Map<string, string>()
  return entries.map(({ entry, path: base }) => {
    const directory = Place.resolve(context.directory, entry.path)
    const path = typeof report.at(base) === "string" ? base : [...base, "path"]
    const other = seen.get(Place.canonical(directory))
    if (other !== undefined) report.problem(path, `it is the same directory as ${other}`, "each directory once")
    seen.set(Place.canonical(directory), formatPath(path))
    const name = entry.name?.trim() ?? names.make(Path.basename(directory) || "root")
    return { path, base, entry: sourceOf(report, base, context, { ...entry, name, path: directory }) }
  })
}

const sourceOf = (
  report: Report,
  base: YamlFile.Path,
  context: Context,
  { after, marker, onDead, ...entry }: SourceEntry & { readonly name: string }
): Source => ({
  ...usual,
  ...entry,
  marker: markerOf(report, [...base, "marker"], entry.name, marker ?? null),
  after: afterOf(report, [...base, "after", "archive"], context, after ?? defaults.source.after),
  onDead: onDeadOf(report, [...base, "onDead", "move"], context, onDead ?? defaults.source.onDead)
})

const { after: _after, marker: _marker, onDead: _onDead, ...usual } = defaults.source

const entriesOf = (report: Report, key: "source" | "sources"): ReadonlyArray<Located<SourceEntry>> => {
  const value = report.value[key]
  const items = Array.isArray(value)
    ? value.map((item: unknown, index): readonly [YamlFile.Path, unknown] => [[key, index], item])
    : [[[key], value] as const]
  return items.flatMap(([path, item]) => {
    const entry = decode(SourceEntry, typeof item === "string" ? { path: item } : item, true).value
    return entry === undefined ? [] : [{ path, entry }]
  })
}

const afterOf = (
  report: Report,
  path: YamlFile.Path,
  { directory, move }: Context,
  after: NonNullable<SourceEntry["after"]>
): After => {
  if (move) return { _tag: "Delete" }
  if (after === "keep") return { _tag: "Keep" }
  if (after === "delete") return { _tag: "Delete" }
  const template = placeTemplate(report, path, directory, after.archive)
  if (template === undefined) return { _tag: "Keep" }
  return after.keepFor === undefined
    ? { _tag: "Archive", template }
    : { _tag: "Archive", template, keepFor: after.keepFor }
}

const onDeadOf = (
  report: Report,
  path: YamlFile.Path,
  { directory }: Context,
  onDead: NonNullable<SourceEntry["onDead"]>
): OnDead => {
  const template = onDead === "keep" ? undefined : placeTemplate(report, path, directory, onDead.move)
  return template === undefined ? { _tag: "Keep" } : { _tag: "Move", template }
}

/** A template for a path on this machine, absolute. It is of the source: folders, their groups and numbers are unknown. */
const placeTemplate = (report: Report, path: YamlFile.Path, directory: string, text: string): string | undefined => {
  const home = text.replace(/^~(?=\/|$)/, () => Os.homedir().replaceAll("{", "{{").replaceAll("}", "}}"))
  return Either.match(Template.compile(home, { without: unknownToSource }), {
    onLeft: (error) => {
      report.template(path, error)
      return undefined
    },
    onRight: (template) => template.from(directory)
  })
}

const unknownToSource: ReadonlyArray<string> = ["counter"]

/** A marker belongs to a name: what can change or must be read is no part of it. */
const unknownToMarker: ReadonlyArray<string> = ["counter", "sha256", "mime", "size", "mtime", "date"]

const markerOf = (report: Report, path: YamlFile.Path, name: string, marker: string | null): string | null => {
  if (marker === null) return null
  const compiled = Template.compile(marker, { below: true, without: unknownToMarker })
  if (Either.isLeft(compiled)) {
    report.template(path, compiled.left)
    return null
  }
  if (!/(?<!\{)\{[a-z]/.test(marker)) {
    report.problem(path, "all files would share one marker", "the file's {name} or {stem} in it, such as {name}.done")
    return null
  }
  if (Marker.compile({ name, marker })?.is("directory/sample.with") === true) {
    report.problem(path, "every file would be taken for a marker", "a name of its own, such as {name}.done")
    return null
  }
  return marker
}
