/**
 * Makes settings of a config that is YAML: decodes it, and checks what depends on more than one value. It goes over the
 * whole file and collects what is wrong, so that one problem hides no other.
 */
import { Option } from "effect"
import { createHash } from "node:crypto"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import type { Settings } from "../domain/Settings.ts"
import type { Conflict } from "../domain/Target.ts"
import { whole } from "./ConfigError.ts"
import { ConfigFile, defaults } from "./ConfigFile.ts"
import * as Feeding from "./Feeding.ts"
import * as Overlaps from "./Overlaps.ts"
import * as Place from "./Place.ts"
import { decode, Report } from "./Report.ts"
import * as Routes from "./Routes.ts"
import * as Sources from "./Sources.ts"
import type { Environment } from "./Variables.ts"
import type * as YamlFile from "./YamlFile.ts"

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

export class Resolver {
  readonly report: Report
  private readonly directory: string

  constructor(
    yaml: YamlFile.YamlFile,
    value: Readonly<Record<string, unknown>>,
    private readonly file: string,
    private readonly overrides: Overrides
  ) {
    this.report = new Report(yaml, value)
    this.directory = Path.dirname(file)
  }

  /** Undefined only where problems were found. */
  settings(): Settings | undefined {
    const { report } = this
    const all = decode(ConfigFile, report.value)
    for (const issue of all.issues) report.issue(issue)
    const sections: Sections =
      all.value ?? decode(ConfigFile.omit("source", "sources", "folders"), report.value, true).value ?? {}
    const dispatch = sections.dispatch ?? defaults.dispatch
    const sources = Sources.resolve(report, { directory: this.directory, move: this.overrides.move ?? false })
    const routes = Routes.resolve(report, {
      directory: this.directory,
      env: this.overrides.env ?? process.env,
      sources: sources.map(({ entry }) => entry.name),
      schemes: this.overrides.schemes ?? {}
    })
    Overlaps.check(report, routes, sources, dispatch)
    const http = this.http(sections.http ?? {})
    const monitor = this.monitor(sections.monitor ?? true)
    if (http.port === monitor.port && http.port !== 0 && monitor.enabled && !this.overrides.noHttp) {
      report.problem(["monitor", "port"], `the port ${http.port} is that of http already`, "another port")
    }
    const log = this.log(sections.log ?? {})
    const db = this.db(sections.db)
    const own = [
      { path: ["db"], file: db },
      ...(log.file === undefined ? [] : [{ path: ["log", "file"], file: log.file }])
    ]
    const kept = Feeding.keepOut(report, sources, routes, own, this.file)
    if (report.problems.length > 0) return undefined
    return {
      file: this.file,
      sources: kept,
      routes: routes.map(({ entry }) => entry),
      dispatch,
      http,
      monitor,
      log,
      db,
      durability: sections.durability ?? defaults.durability
    }
  }

  private http(http: NonNullable<Sections["http"]>): Settings["http"] {
    const host = this.overrides.host ?? http.host?.trim() ?? defaults.http.host
    const token = Option.fromNullable(http.token)
    if (Option.isNone(token) && !isLoopback(host) && !this.overrides.noHttp) {
      const message = "on any other address than loopback a token is required"
      const expected = "http.token in the config, or 127.0.0.1"
      if (this.overrides.host === undefined) this.report.problem(["http", "host"], message, expected)
      else this.report.problems.push({ ...whole(message, expected), path: "--host", text: host })
    }
    return { host, port: this.overrides.port ?? http.port ?? defaults.http.port, token }
  }

  private monitor(monitor: NonNullable<Sections["monitor"]>): Settings["monitor"] {
    const given = typeof monitor === "boolean" ? { enabled: monitor } : monitor
    const resolved = { ...defaults.monitor, ...given }
    if (!isLoopback(resolved.host)) {
      this.report.problem(
        ["monitor", "host"],
        "the monitor asks for no password",
        "a loopback address such as 127.0.0.1"
      )
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
}

const isLoopback = (host: string): boolean => {
  const address = host.replace(/^\[|\]$/g, "")
  return (
    address.toLowerCase() === "localhost" || address === "::1" || (Net.isIPv4(address) && address.startsWith("127."))
  )
}
