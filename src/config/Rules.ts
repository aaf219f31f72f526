/**
 * Makes rules of what a folder says of the files it takes, and finds matchers that no file can satisfy.
 */
import type { Rule } from "../domain/Rule.ts"
import { defaults } from "./defaults.ts"
import type { FolderEntry } from "./FolderFile.ts"
import * as GlobTails from "./globTails.ts"
import * as Issues from "./Issues.ts"
import type { MatchGroup } from "./MatchFile.ts"
import * as Regex from "./regex.ts"
import type { Report } from "./Report.ts"
import type * as YamlFile from "./YamlFile.ts"

export interface Matchers {
  /** Without the folder's own extensions. */
  readonly rules: ReadonlyArray<Rule>
  /** The named groups of its expressions; undefined where these could not be read. */
  readonly groups: ReadonlySet<string> | undefined
}

/** `sources`: the names of all that there are. */
export const resolve = (
  report: Report,
  path: YamlFile.Path,
  entry: FolderEntry,
  sources: ReadonlyArray<string>
): Matchers => {
  const at = new Resolver(report, sources)
  const { exclude, match, sources: own } = entry
  const extensions = normal(entry.extensions)
  const folder = at.group({ ...(exclude && { exclude }), ...(own && { sources: own }) }, path)
  const matched = match === undefined ? none : at.group(match, [...path, "match"], extensions, folder.rules)
  if (extensions !== undefined && match?.glob !== undefined)
    at.endings(match.glob, extensions, [...path, "match", "glob"])
  const isBroken = match === undefined && report.at([...path, "match"]) !== undefined
  return { rules: [...folder.rules, ...matched.rules], groups: isBroken ? undefined : new Set(matched.groups.keys()) }
}

/** Lower case, without a dot before them, each once. */
export const normal = (extensions: ReadonlyArray<string> | undefined): ReadonlyArray<string> | undefined =>
  extensions && Array.from(new Set(extensions.map(normalOne)))

export const normalOne = (extension: string): string => extension.replace(/^\./, "").toLowerCase()

interface Group {
  readonly rules: ReadonlyArray<Rule>
  /** The named groups, and the path of the expression that has each. */
  readonly groups: ReadonlyMap<string, YamlFile.Path>
}

const none: Group = { rules: [], groups: new Map() }

class Resolver {
  constructor(
    private readonly report: Report,
    private readonly sources: ReadonlyArray<string>
  ) {}

  /** `beside`: what else must hold where this group must. */
  group(
    group: MatchGroup,
    path: YamlFile.Path,
    beside: ReadonlyArray<string> | undefined = undefined,
    besides: ReadonlyArray<Rule> = []
  ): Group {
    const { age, content, exclude, glob, mime, regex, size } = group
    const rules: Array<Rule> = []
    const groups = new Map<string, YamlFile.Path>()
    if (group.sources !== undefined) rules.push(this.sourcesRule(group.sources, [...path, "sources"]))
    const extensions = normal(group.extensions)
    if (extensions !== undefined) {
      rules.push({ _tag: "Extensions", extensions })
      if (
        beside !== undefined &&
        !extensions.some((one) => beside.some((other) => GlobTails.agree(`.${one}`, `.${other}`)))
      ) {
        this.impossible([...path, "extensions"], `the folder's extensions are ${beside.join(", ")}`)
      }
      if (glob !== undefined) this.endings(glob, extensions, [...path, "glob"])
    }
    if (glob !== undefined) rules.push({ _tag: "Glob", globs: listOf(glob) })
    if (exclude !== undefined && exclude.length > 0) rules.push(this.excludeRule(exclude, glob, [...path, "exclude"]))
    if (regex !== undefined) {
      rules.push({ _tag: "Regex", pattern: regex })
      this.addGroups(groups, regex, [...path, "regex"])
    }
    if (size !== undefined) rules.push({ _tag: "Size", ...this.range(size, [...path, "size"]) })
    if (age !== undefined) rules.push({ _tag: "Age", ...this.range(age, [...path, "age"]) })
    if (group.any !== undefined) rules.push(this.anyRule(group.any, groups, [...path, "any"]))
    if (mime !== undefined) rules.push({ _tag: "Mime", types: listOf(mime).map((type) => type.toLowerCase()) })
    if (content !== undefined) rules.push(...this.contentRule(content, groups, [...path, "content"]))
    const wanted = [
      ...besides,
      ...(beside === undefined ? [] : [{ _tag: "Extensions", extensions: beside } as const]),
      ...rules
    ]
    if (group.not !== undefined) rules.push(...this.notRules(group.not, wanted, [...path, "not"]))
    if (Object.keys(group).length === 0 && path.length > 2) {
      this.report.problem(path, "it says nothing", "a matcher, such as glob, mime or size")
    }
    return { rules, groups }
  }

  /** Whether what globs match can end in one of the extensions. */
  endings(glob: NonNullable<MatchGroup["glob"]>, extensions: ReadonlyArray<string>, path: YamlFile.Path): void {
    const tails = listOf(glob).flatMap(GlobTails.tails)
    if (tails.every((tail) => extensions.every((one) => !GlobTails.agree(tail, `.${one}`)))) {
      this.impossible(path, `the extensions are ${extensions.join(", ")}`)
    }
  }

  private impossible(path: YamlFile.Path, why: string): void {
    this.report.problem(path, `no file can match: ${why}`, "matchers that can hold together")
  }

  private sourcesRule(names: ReadonlyArray<string>, path: YamlFile.Path): Rule {
    const sources = names.map((name) => name.trim())
    sources.forEach((name, index) => {
      if (this.sources.includes(name)) return
      const guess = Issues.nearest(name, this.sources)
      this.report.problem(
        [...path, index],
        `there is no such source${guess === undefined ? "" : `, did you mean ${guess}?`}`,
        guess === undefined ? `one of ${this.sources.join(", ")}` : ""
      )
    })
    return { _tag: "Sources", sources: Array.from(new Set(sources)) }
  }

  private excludeRule(globs: ReadonlyArray<string>, wanted: MatchGroup["glob"], path: YamlFile.Path): Rule {
    globs.forEach((glob, index) => {
      if (/^(?:\*\*\/)*\*\*?$/.test(glob) && glob !== "*") this.impossible([...path, index], "every file is excluded")
    })
    if (wanted !== undefined && listOf(wanted).every((glob) => globs.includes(glob))) {
      this.impossible(path, "what glob takes is excluded")
    }
    return { _tag: "Exclude", globs }
  }

  private range(
    { max, min }: { readonly min?: number; readonly max?: number },
    path: YamlFile.Path
  ): { readonly min: number | null; readonly max: number | null } {
    if (min === undefined && max === undefined) this.report.problem(path, "it says nothing", "min, max, or both")
    if (min !== undefined && max !== undefined && min > max) {
      this.report.problem([...path, "min"], "it is more than max, so that no file can match", "at most as much as max")
    }
    return { min: min ?? null, max: max ?? null }
  }

  private anyRule(members: ReadonlyArray<MatchGroup>, groups: Map<string, YamlFile.Path>, path: YamlFile.Path): Rule {
    const before = new Set(groups.keys())
    const rules = members.map((member, index) => {
      const inner = this.group(member, [...path, index])
      // what one alternative calls a name, another may, too: only one of them need hold
      for (const [name, place] of inner.groups) {
        if (before.has(name)) this.twice(name, place)
        groups.set(name, place)
      }
      return all(inner.rules)
    })
    return { _tag: "Any", rules }
  }

  private notRules(
    not: NonNullable<MatchGroup["not"]>,
    wanted: ReadonlyArray<Rule>,
    path: YamlFile.Path
  ): ReadonlyArray<Rule> {
    const has = new Set(wanted.map((rule) => JSON.stringify(rule)))
    const members: ReadonlyArray<readonly [YamlFile.Path, MatchGroup]> = isGroup(not)
      ? [[path, not]]
      : not.map((member, index) => [[...path, index], member])
    return members.map(([at, member]) => {
      const { rules } = this.group(member, at)
      if (rules.length > 0 && rules.every((rule) => has.has(JSON.stringify(rule)))) {
        this.impossible(at, "it forbids what the folder wants")
      }
      return { _tag: "Not", rule: all(rules) }
    })
  }

  private contentRule(
    content: NonNullable<MatchGroup["content"]>,
    groups: Map<string, YamlFile.Path>,
    path: YamlFile.Path
  ): ReadonlyArray<Rule> {
    if (typeof content === "string") {
      return [{ _tag: "Content", text: content, pattern: null, within: defaults.within }]
    }
    const { regex, text, within = defaults.within } = content
    if ((text === undefined) === (regex === undefined)) {
      const message = text === undefined ? "neither text nor regex is there" : "both text and regex are there"
      this.report.problem(path, message, "one of the two")
      return []
    }
    if (text !== undefined && text.length > within) {
      this.impossible([...path, "within"], "the text is longer than what is looked at")
    }
    if (regex !== undefined) {
      this.addGroups(groups, regex, [...path, "regex"])
      const fault = Regex.fault(regex, within)
      if (fault !== undefined) this.report.problem([...path, "regex"], fault.message, fault.expected)
    }
    return [{ _tag: "Content", text: text ?? null, pattern: regex ?? null, within }]
  }

  private addGroups(groups: Map<string, YamlFile.Path>, pattern: string, path: YamlFile.Path): void {
    for (const name of Regex.groupsOf(pattern)) {
      if (groups.has(name)) this.twice(name, path)
      groups.set(name, path)
    }
  }

  private twice(name: string, path: YamlFile.Path): void {
    const message = `another expression of the folder has a group ${name}, too`
    this.report.problems.push(this.report.yaml.partProblem(path, name, message, "a name of its own for each group"))
  }
}

const all = (rules: ReadonlyArray<Rule>): Rule => {
  const [only, ...others] = rules
  return only !== undefined && others.length === 0 ? only : { _tag: "All", rules }
}

const listOf = (value: string | ReadonlyArray<string>): ReadonlyArray<string> =>
  typeof value === "string" ? [value] : value

const isGroup = (not: NonNullable<MatchGroup["not"]>): not is MatchGroup => !Array.isArray(not)
