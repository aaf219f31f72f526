/**
 * Makes settings of a config that is YAML: decodes it, and checks what depends on more than one value. It goes over the
 * whole file and collects what is wrong, so that one problem hides no other.
 */
import { Either, Option, Schema } from "effect"
import { createHash } from "node:crypto"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import type { After } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Route, RouteTarget, Settings, Source } from "../domain/Settings.ts"
import type { Conflict } from "../domain/Target.ts"
import * as Template from "../route/Template.ts"
import { formatPath, type Problem, whole } from "./ConfigError.ts"
import { ConfigFile, defaults, FolderEntry, SourceEntry, TargetEntry } from "./ConfigFile.ts"
import * as Issues from "./Issues.ts"
import { Logins, sameSecrets } from "./Logins.ts"
import * as Place from "./Place.ts"
import * as Scheme from "./Scheme.ts"
import { useless, type Fault as TargetFault } from "./targetFaults.ts"
import * as Targets from "./Targets.ts"
import type { Environment } from "./Variables.ts"
import type * as YamlFile from "./YamlFile.ts"
import { isRecord } from "./YamlFile.ts"

/** What the command line says, which wins over the file. Relative paths begin at the working directory. */
export interface Overrides {
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly db?: string | undefined
  readonly logFile?: string | undefined
  readonly logLevel?: Settings["log"]["level"] | undefined
  /** `after: delete` for every source. */
  readonly move?: boolean | undefined
  /** No HTTP server will be started, so that its address needs no token. */
  readonly noHttp?: boolean | undefined
  /** Variables for `${VAR}`; by default the process's own. */
  readonly env?: Environment | undefined
  /** Schemes that an embedding app brings, and the conflict policies that each can keep. */
  readonly schemes?: Readonly<Record<string, ReadonlyArray<Conflict>>> | undefined
}

type Sections = Partial<Omit<ConfigFile, "source" | "sources" | "folders">>

interface Located<A> {
  readonly path: YamlFile.Path
  readonly entry: A
}

export class Resolver {
  readonly problems: Array<Problem> = []
  readonly warnings: Array<Problem> = []
  private readonly directory: string

  constructor(
    private readonly yaml: YamlFile.YamlFile,
    private readonly value: Readonly<Record<string, unknown>>,
    private readonly file: string,
    private readonly overrides: Overrides
  ) {
    this.directory = Path.dirname(file)
  }

  /** Undefined only where problems were found. */
  settings(): Settings | undefined {
    const all = decode(ConfigFile, this.value)
    for (const issue of all.issues) this.report(issue)
    const sections: Sections =
      all.value ?? decode(ConfigFile.omit("source", "sources", "folders"), this.value, true).value ?? {}
    const sources = this.sources()
    const routes = this.routes(sources)
    this.checkSources(sources)
    const http = this.http(sections.http ?? {})
    const monitor = this.monitor(sections.monitor ?? true)
    if (http.port === monitor.port && http.port !== 0 && monitor.enabled && !this.overrides.noHttp) {
      this.problem(["monitor", "port"], `the port ${http.port} is that of http already`, "another port")
    }
    const log = this.log(sections.log ?? {})
    const db = this.db(sections.db)
    this.checkOwnFiles(sources, [
      [["db"], db],
      [["log", "file"], log.file]
    ])
    if (this.problems.length > 0) return undefined
    return {
      file: this.file,
      sources: sources.map(({ entry }) => entry),
      routes: routes.map(({ entry }) => entry),
      http,
      monitor,
      log,
      db,
      durability: sections.durability ?? defaults.durability
    }
  }

  private problem(path: YamlFile.Path, message: string, expected: string) {
    this.problems.push(this.yaml.problem(path, message, expected))
  }

  private report(issue: Issues.Issue) {
    switch (issue._tag) {
      case "Wrong":
        return this.problem(issue.path, issue.message, issue.expected)
      case "Missing":
        return this.problem(issue.path, "it is missing", issue.expected)
      case "Unknown": {
        const guess = Issues.nearest(String(issue.path.at(-1)), issue.known)
        this.problems.push(
          guess === undefined
            ? this.yaml.keyProblem(issue.path, "there is no such key", `one of ${issue.known.join(", ")}`)
            : this.yaml.keyProblem(issue.path, `there is no such key, did you mean ${guess}?`, "")
        )
      }
    }
  }

  // Sources

  private sources(): ReadonlyArray<Located<Source>> {
    const { source, sources } = this.value
    if (source !== undefined && sources !== undefined) {
      this.problems.push(this.yaml.keyProblem(["sources"], "source is there as well", "only one of source and sources"))
    }
    if (source === undefined && sources === undefined) {
      this.problem(["source"], "it is missing", "source: with the directory to watch")
    }
    const entries = [...this.sourceEntries("source"), ...this.sourceEntries("sources")]
    const names = new Names(
      entries.map(({ entry, path }) => [[...path, "name"], entry.name]),
      (path, name) =>
        this.problem(path, `there is another source with the name ${JSON.stringify(name)}`, "a name of its own")
    )
    const seen = new Map<string, string>()
    return entries.map(({ entry, path }) => {
      const directory = Place.resolve(this.directory, entry.path)
      const at = typeof this.at(path) === "string" ? path : [...path, "path"]
      const other = seen.get(Place.canonical(directory))
      if (other !== undefined) this.problem(at, `it is the same directory as ${other}`, "each directory once")
      seen.set(Place.canonical(directory), formatPath(at))
      const name = entry.name?.trim() ?? names.make(Path.basename(directory) || "root")
      return {
        path: at,
        entry: {
          name,
          path: directory,
          recursive: entry.recursive ?? defaults.source.recursive,
          include: entry.include ?? defaults.source.include,
          exclude: entry.exclude ?? defaults.source.exclude,
          settle: entry.settle ?? defaults.source.settle,
          watch: entry.watch ?? defaults.source.watch,
          pollInterval: entry.pollInterval ?? defaults.source.pollInterval,
          rescan: entry.rescan ?? defaults.source.rescan,
          after: this.after(entry.after ?? defaults.source.after, [...path, "after", "archive"])
        }
      }
    })
  }

  private sourceEntries(key: "source" | "sources"): ReadonlyArray<Located<SourceEntry>> {
    const value = this.value[key]
    const items = Array.isArray(value)
      ? value.map((item: unknown, index): readonly [YamlFile.Path, unknown] => [[key, index], item])
      : [[[key], value] as const]
    return items.flatMap(([path, item]) => {
      const entry = decode(SourceEntry, typeof item === "string" ? { path: item } : item, true).value
      return entry === undefined ? [] : [{ path, entry }]
    })
  }

  private after(after: NonNullable<SourceEntry["after"]>, path: YamlFile.Path): After {
    if (this.overrides.move) return { _tag: "Delete" }
    if (after === "keep") return { _tag: "Keep" }
    if (after === "delete") return { _tag: "Delete" }
    const home = after.archive.replace(/^~(?=\/|$)/, () => Os.homedir().replaceAll("{", "{{").replaceAll("}", "}}"))
    return Either.match(Template.compile(home), {
      onLeft: ({ expected, message, text }) => {
        this.problem(path, text === after.archive ? message : `${text}: ${message}`, expected)
        return { _tag: "Keep" } as const
      },
      onRight: (template) => ({ _tag: "Archive", template: template.from(this.directory) }) as const
    })
  }

  // Folders

  private routes(sources: ReadonlyArray<Located<Source>>): ReadonlyArray<Located<Route>> {
    const { folders } = this.value
    if (!Array.isArray(folders)) return []
    const entries = folders.flatMap((value: unknown, index): ReadonlyArray<Located<FolderEntry>> => {
      const entry = decode(FolderEntry, value, true).value
      return entry === undefined ? [] : [{ path: ["folders", index], entry }]
    })
    const names = new Names(
      entries.map(({ entry, path }) => [[...path, "name"], entry.name]),
      (path, name) =>
        this.problem(path, `there is another folder with the name ${JSON.stringify(name)}`, "a name of its own")
    )
    const logins = new Logins()
    return entries.flatMap(({ entry, path }) => {
      const targets = this.targets(entry, path, logins)
      this.checkSelf(targets, sources)
      const first = targets[0]
      if (first === undefined) return []
      return [
        {
          path,
          entry: {
            name: entry.name?.trim() ?? names.make(Targets.nameOf(first.entry)),
            extensions: this.extensions(entry, path),
            targets: targets.map((one) => one.entry)
          }
        }
      ]
    })
  }

  private extensions(entry: FolderEntry, path: YamlFile.Path): ReadonlyArray<string> | undefined {
    const seen = new Set<string>()
    entry.extensions?.forEach((text, index) => {
      const extension = text.replace(/^\./, "").toLowerCase()
      if (seen.has(extension)) {
        this.warnings.push(
          this.yaml.problem([...path, "extensions", index], "it is in this list twice", "each extension once")
        )
      }
      seen.add(extension)
    })
    return entry.extensions === undefined ? undefined : Array.from(seen)
  }

  private targets(entry: FolderEntry, path: YamlFile.Path, logins: Logins): ReadonlyArray<Located<RouteTarget>> {
    const raw = this.at(path)
    const given = isRecord(raw) ? raw : {}
    if (given["path"] !== undefined && given["paths"] !== undefined) {
      this.problems.push(
        this.yaml.keyProblem([...path, "paths"], "path is there as well", "only one of path and paths")
      )
    }
    if (given["path"] === undefined && given["paths"] === undefined) {
      this.problem([...path, "path"], "it is missing", "path: with a directory or a URL")
    }
    const written = this.targetEntries(entry, path)
    const context = {
      directory: this.directory,
      env: this.overrides.env ?? process.env,
      schemes: new Map([
        ...Scheme.schemes,
        ...Object.entries(this.overrides.schemes ?? {}).map(
          ([name, conflicts]) => [name, Scheme.custom(conflicts)] as const
        )
      ])
    }
    const texts = written.map((one) => one.entry.path)
    if (texts.length > 0) {
      for (const fault of useless(entry, texts, context.schemes)) {
        this.problem([...path, fault.key ?? "path"], fault.message, fault.expected)
      }
    }
    const places = new Map<string, RouteTarget>()
    return written.flatMap(({ entry: { path: text, ...own }, path: at }) => {
      const here = typeof this.at(at) === "string" ? at : [...at, "path"]
      const { faults, target: one, warnings } = Targets.resolve(text, own, entry, context)
      const locate = ({ expected, header, key, message }: TargetFault): Problem => {
        if (key === undefined) return this.yaml.problem(here, message, expected)
        if (header === undefined) {
          return this.yaml.problem([...(own[key] === undefined ? path : at), key], message, expected)
        }
        const holder = own.headers?.[header] === undefined ? path : at
        return this.yaml.keyProblem([...holder, key, header], message, expected)
      }
      this.problems.push(...faults.map(locate))
      this.warnings.push(...warnings.map(locate))
      if (one === undefined) return []
      const before = places.get(one.target.url)
      if (before === undefined) places.set(one.target.url, one)
      else if (sameSecrets(before.secrets, one.secrets) && before.target.lane === one.target.lane) {
        this.problem(here, "this folder has it already", "each target once")
      }
      for (const { expected, message } of logins.add(one, formatPath(here))) this.problem(here, message, expected)
      return [{ path: here, entry: one }]
    })
  }

  /** What a folder writes as its targets, with the place of each. */
  private targetEntries(entry: FolderEntry, path: YamlFile.Path): ReadonlyArray<Located<TargetEntry>> {
    const raw = this.at([...path, "paths"])
    const several = Array.isArray(raw)
      ? raw.flatMap((item: unknown, index): ReadonlyArray<Located<TargetEntry>> => {
          const target = decode(TargetEntry, typeof item === "string" ? { path: item } : item, true).value
          return target === undefined ? [] : [{ path: [...path, "paths", index], entry: target }]
        })
      : []
    return [...(entry.path === undefined ? [] : [{ path: [...path, "path"], entry: { path: entry.path } }]), ...several]
  }

  // What must not feed itself

  private checkSelf(targets: ReadonlyArray<Located<RouteTarget>>, sources: ReadonlyArray<Located<Source>>) {
    for (const { entry, path } of targets) {
      if (entry.target.scheme !== "file") continue
      const seen = sources.find((source) => sees(source.entry, entry.target.path))
      if (seen !== undefined) {
        this.problem(
          path,
          `what is delivered there would be taken again: ${describe(seen)}`,
          "a directory outside every source"
        )
      }
    }
  }

  private checkSources(sources: ReadonlyArray<Located<Source>>) {
    for (const { entry, path } of sources) {
      const after = entry.after
      if (after._tag === "Archive") {
        const at = path.at(-1) === "path" ? [...path.slice(0, -1), "after", "archive"] : path
        const seen = sources.find((source) => archivesInto(after.template, entry, source.entry))
        if (seen !== undefined) {
          this.problem(
            at,
            `what is archived there would be taken again: ${describe(seen)}`,
            "a directory outside every source"
          )
        }
      }
      const outer = sources.find(
        (one) => one.entry !== entry && one.entry.recursive && Place.contains(one.entry.path, entry.path)
      )
      if (outer !== undefined) {
        this.warnings.push(
          this.yaml.problem(
            path,
            `it lies in ${formatPath(outer.path)}, so that its files are taken twice`,
            "an exclude there"
          )
        )
      }
    }
  }

  private checkOwnFiles(
    sources: ReadonlyArray<Located<Source>>,
    files: ReadonlyArray<readonly [YamlFile.Path, string | undefined]>
  ) {
    for (const [path, file] of files) {
      const seen = file === undefined ? undefined : sources.find(({ entry }) => sees(entry, Path.dirname(file)))
      if (seen !== undefined)
        this.problem(path, `our own file would be taken: ${describe(seen)}`, "a path outside every source")
    }
  }

  // The rest

  private http(http: NonNullable<Sections["http"]>): Settings["http"] {
    const host = this.overrides.host ?? http.host?.trim() ?? defaults.http.host
    const token = Option.fromNullable(http.token)
    if (Option.isNone(token) && !isLoopback(host) && !this.overrides.noHttp) {
      const message = "on any other address than loopback a token is required"
      const expected = "http.token in the config, or 127.0.0.1"
      if (this.overrides.host === undefined) this.problem(["http", "host"], message, expected)
      else this.problems.push({ ...whole(message, expected), path: "--host", text: host })
    }
    return { host, port: this.overrides.port ?? http.port ?? defaults.http.port, token }
  }

  private monitor(monitor: NonNullable<Sections["monitor"]>): Settings["monitor"] {
    const given = typeof monitor === "boolean" ? { enabled: monitor } : monitor
    const resolved = { ...defaults.monitor, ...given }
    if (!isLoopback(resolved.host)) {
      this.problem(["monitor", "host"], "the monitor asks for no password", "a loopback address such as 127.0.0.1")
    }
    return resolved
  }

  private log(log: NonNullable<Sections["log"]>): Settings["log"] {
    const { logFile } = this.overrides
    return {
      level: this.overrides.logLevel ?? log.level ?? defaults.log.level,
      format: log.format ?? defaults.log.format,
      file:
        logFile !== undefined
          ? Path.resolve(logFile)
          : log.file === undefined || log.file === null
            ? undefined
            : Place.resolve(this.directory, log.file),
      rotate: { ...defaults.log.rotate, ...log.rotate },
      retain: log.retain ?? defaults.log.retain
    }
  }

  private db(db: string | undefined): string {
    if (this.overrides.db !== undefined) return Path.resolve(this.overrides.db)
    if (db !== undefined) return Place.resolve(this.directory, db)
    const env = this.overrides.env ?? process.env
    const state = env["XDG_STATE_HOME"]
    const base = state !== undefined && Path.isAbsolute(state) ? state : Path.join(Os.homedir(), ".local", "state")
    const digest = createHash("sha256").update(this.file).digest("hex").slice(0, 8)
    return Path.join(base, "filedispatch", `${Path.parse(this.file).name}-${digest}.db`)
  }

  private at(path: YamlFile.Path): unknown {
    return path.reduce<unknown>((value, key) => {
      if (Array.isArray(value)) return value[Number(key)]
      return isRecord(value) ? value[String(key)] : undefined
    }, this.value)
  }
}

/**
 * Decodes with all issues. `lenient`: where keys of a map are wrong, they are left out and the rest is decoded, so that
 * it can be checked further; the issues have been reported by then.
 */
const decode = <A, I>(
  schema: Schema.Schema<A, I>,
  value: unknown,
  lenient = false
): { readonly value: A | undefined; readonly issues: ReadonlyArray<Issues.Issue> } => {
  const first = Schema.decodeUnknownEither(schema, { errors: "all", onExcessProperty: "error" })(value)
  if (Either.isRight(first)) return { value: first.right, issues: [] }
  const issues = Issues.fromParseIssue(first.left.issue)
  if (!lenient || !isRecord(value)) return { value: undefined, issues }
  const wrong = new Set(issues.map((issue) => issue.path[0]))
  const rest = Object.fromEntries(Object.entries(value).filter(([key]) => !wrong.has(key)))
  return { value: Option.getOrUndefined(Schema.decodeUnknownOption(schema)(rest)), issues }
}

/** Gives out names that nobody has chosen. */
class Names {
  private readonly taken = new Set<string>()

  constructor(
    chosen: ReadonlyArray<readonly [YamlFile.Path, string | undefined]>,
    onTwice: (path: YamlFile.Path, name: string) => void
  ) {
    for (const [path, text] of chosen) {
      const name = text?.trim()
      if (name === undefined) continue
      if (this.taken.has(name)) onTwice(path, name)
      this.taken.add(name)
    }
  }

  make(wish: string): string {
    let name = wish
    for (let number = 2; this.taken.has(name); number += 1) name = `${wish}-${number}`
    this.taken.add(name)
    return name
  }
}

/** Whether a source would take a file that is put into this directory. */
const sees = (source: Source, directory: string): boolean => {
  const root = Place.canonical(source.path)
  const path = Place.canonical(directory)
  return source.recursive ? Place.contains(root, path) : root === path
}

/** Tried with a sample: what stands in a path decides, not what its variables hold. */
const archivesInto = (template: string, from: Source, into: Source): boolean =>
  Either.match(Template.compile(template), {
    onLeft: () => false,
    onRight: ({ render }) => sees(into, Path.dirname(render({ path: sample, source: from.name, time: Date.now() })))
  })

const sample = RelPath.make("sample.txt")

const describe = ({ entry, path }: Located<Source>): string =>
  `${formatPath(path)} watches ${entry.path}${entry.recursive ? " and all below it" : ""}`

const isLoopback = (host: string): boolean => {
  const address = host.replace(/^\[|\]$/g, "")
  return (
    address.toLowerCase() === "localhost" || address === "::1" || (Net.isIPv4(address) && address.startsWith("127."))
  )
}
