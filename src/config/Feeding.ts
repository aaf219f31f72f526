/**
 * What must not feed itself: places to which we write, and that a source would take files from. Where such a place lies
 * below a recursive source it is excluded there, with a notice; where the source can't do without it, it is a problem.
 */
import { Either } from "effect"
import * as Path from "node:path"
import { noFacts } from "../domain/Facts.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { RouteTarget, Source } from "../domain/Settings.ts"
import * as Matcher from "../route/Matcher.ts"
import * as Template from "../route/Template.ts"
import { formatPath } from "./ConfigError.ts"
import * as GlobTails from "./globTails.ts"
import * as Place from "./Place.ts"
import type { Located, Report } from "./Report.ts"
import type { LocatedRoute } from "./Routes.ts"
import type { LocatedSource } from "./Sources.ts"
import type * as YamlFile from "./YamlFile.ts"

/** A file that the program itself writes. */
export interface OwnFile {
  readonly path: YamlFile.Path
  readonly file: string
}

/** The sources, each without what must not be taken from it. `file` is the config's own. */
export const keepOut = (
  report: Report,
  sources: ReadonlyArray<LocatedSource>,
  routes: ReadonlyArray<LocatedRoute>,
  own: ReadonlyArray<OwnFile>,
  file: string
): ReadonlyArray<Source> => {
  const keeper = new Keeper(report, sources)
  for (const route of routes) {
    for (const [index, one] of route.entry.targets.entries()) {
      if (one.target.scheme !== "file") continue
      keeper.keepDirectory(placesOf(one, route, sources), route.targets[index] ?? route.path, "delivered")
    }
  }
  for (const { base, entry } of sources) {
    const { after, onDead } = entry
    if (after._tag === "Archive") {
      keeper.keepTemplate(after.template, entry, [...base, "after", "archive"], "archived")
    }
    if (onDead._tag === "Move") keeper.keepTemplate(onDead.template, entry, [...base, "onDead", "move"], "moved")
  }
  for (const one of own) keeper.keepFile(one)
  keeper.keepConfig(file)
  const kept = keeper.sources()
  checkOverlaps(report, sources, kept)
  return kept
}

class Keeper {
  private readonly globs: ReadonlyArray<Set<string>>
  private readonly roots: ReadonlyArray<string>
  private readonly matchers: ReadonlyArray<Matcher.Matcher>

  constructor(
    private readonly report: Report,
    private readonly all: ReadonlyArray<LocatedSource>
  ) {
    this.globs = all.map(() => new Set())
    this.roots = all.map(({ entry }) => Place.canonical(entry.path))
    this.matchers = all.map(({ entry }) => Matcher.compile(entry))
  }

  sources(): ReadonlyArray<Source> {
    return this.all.map(({ entry }, index) => {
      const globs = Array.from(this.globs[index] ?? [])
      return globs.length === 0 ? entry : { ...entry, exclude: [...entry.exclude, ...globs] }
    })
  }

  keepDirectory({ directory, keepsFolders, samples }: Places, path: YamlFile.Path, what: string): void {
    const place = Place.canonical(directory)
    for (const [index, source] of this.all.entries()) {
      const root = this.roots[index] ?? ""
      if (source.entry.recursive && place !== root && Place.contains(root, place)) {
        this.exclude(index, Path.relative(root, place), path)
      } else if (samples.some((sample) => sees(source.entry, root, Place.canonical(sample)))) {
        this.report.problem(
          path,
          `what is ${what} there would be taken again: ${describe(source)}`,
          source.entry.recursive
            ? "a directory of its own, in the source or outside"
            : "a directory outside every source"
        )
        return
      } else if (keepsFolders && source.entry.recursive && place !== root && Place.contains(place, root)) {
        const below = RelPath.display(Path.relative(place, root))
        this.report.warning(
          path,
          `${formatPath(source.path)} lies in it, so that what is in a folder ${below} of a source would be taken again`,
          "a directory that no source lies in"
        )
      }
    }
  }

  /** `template` is absolute. */
  keepTemplate(template: string, from: Source, path: YamlFile.Path, what: string): void {
    const compiled = Template.compile(template)
    if (Either.isLeft(compiled)) return
    const { render, root } = compiled.right
    const samples = samplesOf(render, [from.name])
    this.keepDirectory({ directory: root, samples, keepsFolders: folders.test(template) }, path, what)
  }

  /** What lies beside a source's own files is an error, for its name may be wanted; below them it is excluded. */
  keepFile({ file, path }: OwnFile): void {
    for (const [index, source] of this.all.entries()) {
      const root = this.roots[index] ?? ""
      const place = Place.canonical(file)
      const relative = toGlob(Path.relative(root, place))
      if (!sees(source.entry, root, Path.dirname(place))) continue
      if (this.matchers[index]?.accepts(Path.relative(root, place)) === false) continue
      if (Path.dirname(place) === root) {
        this.report.problem(path, `our own file would be taken: ${describe(source)}`, "a path outside every source")
        return
      }
      this.add(index, `${relative}*`, path)
    }
  }

  /** Nobody wants a file with passwords in it to be sent. */
  keepConfig(file: string): void {
    for (const [index, source] of this.all.entries()) {
      const root = this.roots[index] ?? ""
      const relative = Path.relative(root, file)
      if (!sees(source.entry, root, Path.dirname(file)) || this.matchers[index]?.accepts(relative) === false) continue
      this.globs[index]?.add(toGlob(relative))
      this.report.warning(source.path, `this config lies in it, and is excluded by itself: ${toGlob(relative)}`, "")
    }
  }

  private exclude(index: number, relative: string, path: YamlFile.Path): void {
    if (!isPruned(this.matchers[index], relative)) this.add(index, `${toGlob(relative)}/**`, path)
  }

  private add(index: number, glob: string, path: YamlFile.Path): void {
    const source = this.all[index]
    if (source === undefined) return
    this.globs[index]?.add(glob)
    this.report.warning(path, `${describe(source)}; so ${glob} is excluded there by itself`, "")
  }
}

/** Where files come to. */
interface Places {
  /** None of them leaves it. */
  readonly directory: string
  /** Directories in it that some really come to. */
  readonly samples: ReadonlyArray<string>
  /** Whether folders of the source are made there, too. */
  readonly keepsFolders: boolean
}

const folders = /\{(?:relpath|dir)\}/

/** Where a target's files come to: the directory that none of them leaves, and samples below it. */
const placesOf = (
  { rename, target }: RouteTarget,
  { entry, groups }: LocatedRoute,
  sources: ReadonlyArray<LocatedSource>
): Places => {
  const keepsFolders = folders.test(rename)
  const compiled = rename === "{relpath}" ? undefined : Template.compile(rename, { groups, below: true })
  if (compiled === undefined || Either.isLeft(compiled)) {
    return { directory: target.path, samples: [target.path], keepsFolders }
  }
  const { render, root } = compiled.right
  const from = entry.rules.flatMap((rule) => (rule._tag === "Sources" ? rule.sources : []))
  const names = from.length > 0 ? from : sources.map((one) => one.entry.name)
  return {
    keepsFolders,
    directory: Path.join(target.path, root),
    samples: samplesOf(render, names).map((sample) => Path.join(target.path, sample))
  }
}

/** The directories of some rendered files: what stands in a path decides, and what its variables can't be without. */
const samplesOf = (render: Template.Template["render"], sources: ReadonlyArray<string>): ReadonlyArray<string> =>
  sources.flatMap((source) =>
    ["sample", "sample.txt"].map((name) =>
      Path.dirname(
        render({ path: RelPath.make(name), source, time: Date.now(), size: 1, mtime: Date.now(), facts: noFacts })
      )
    )
  )

/** Files that two sources take: one of them may be sent on after the other has removed it. */
const checkOverlaps = (report: Report, sources: ReadonlyArray<LocatedSource>, kept: ReadonlyArray<Source>): void => {
  for (const [index, { path }] of sources.entries()) {
    const inner = kept[index]
    if (inner === undefined) continue
    const outerIndex = kept.findIndex((outer) => outer !== inner && takesFrom(outer, inner))
    const outer = kept[outerIndex]
    if (outer === undefined) continue
    const where = formatPath(sources[outerIndex]?.path ?? [])
    const message = `it lies in ${where}, so that its files are taken twice`
    const relative = Path.relative(Place.canonical(outer.path), Place.canonical(inner.path))
    const expected = `exclude: ["${toGlob(relative)}/**"] there`
    if (removes(inner) || removes(outer)) {
      const who = formatPath(sources[removes(outer) ? outerIndex : index]?.path ?? [])
      report.problem(path, `${message}, and ${who} removes them`, expected)
    } else report.warning(path, message, expected)
  }
}

const takesFrom = (outer: Source, inner: Source): boolean => {
  const root = Place.canonical(outer.path)
  const path = Place.canonical(inner.path)
  return (
    outer.recursive &&
    path !== root &&
    Place.contains(root, path) &&
    !isPruned(Matcher.compile(outer), Path.relative(root, path)) &&
    !GlobTails.disjoint(outer.include, inner.include)
  )
}

const removes = ({ after, onDead }: Source): boolean => after._tag !== "Keep" || onDead._tag !== "Keep"

/** Whether a directory, or one that it lies in, is excluded with all below it. */
const isPruned = (matcher: Matcher.Matcher | undefined, relative: string): boolean => {
  const segments = relative.split(Path.sep)
  return segments.some((_, index) => matcher?.prunes(segments.slice(0, index + 1).join("/")) ?? false)
}

/** Whether a source would take a file that is put into this directory. Both are real paths. */
const sees = ({ recursive }: Source, root: string, directory: string): boolean =>
  recursive ? Place.contains(root, directory) : root === directory

/** A glob that matches this path and no other. */
export const toGlob = (relative: string): string =>
  relative
    .split(Path.sep)
    .join("/")
    .replace(/[\\*?[\]{}()!+@|]/g, "\\$&")

const describe = ({ entry, path }: Located<Source>): string =>
  `${formatPath(path)} watches ${entry.path}${entry.recursive ? " and all below it" : ""}`
