/**
 * The standing oracles: a process of its own that watches the places that files are delivered to, and the sources that
 * they come from, for as long as a kill loop runs, and says what it saw that must never be.
 *
 *   partial  a file under a final name whose content is no version of it that was ever produced
 *   unknown  a file of a name that was never produced
 *   early    a source that was gone while one of the places that had to hold it did not
 *
 * It also is the HTTP server and the S3 service that files are sent to, so that it judges each body as it is complete.
 */
import { build } from "esbuild"
import { Effect, type Scope } from "effect"
import { fork } from "node:child_process"
import fs from "node:fs"
import { join } from "node:path"
import { root } from "../cli/process.ts"

export interface Place {
  readonly name: string
  /** A folder on this machine, or what the oracle's own servers have taken. */
  readonly at: { readonly folder: string } | "http" | "s3"
  /** What names there end in beyond the input's own. */
  readonly suffix: string
  readonly decode: "none" | "gzip" | "age"
  /** The files that it must hold before their source may go: all, or those that the HTTP server takes, or refuses. */
  readonly holds: "all" | "taken" | "refused"
}

export interface Watched {
  /** See manifest.ts. */
  readonly manifest: string
  /** `kept`: nothing may go from there. */
  readonly sources: ReadonlyArray<{ readonly folder: string; readonly kept: boolean }>
  readonly places: ReadonlyArray<Place>
  /** Opens what is encrypted with age. */
  readonly identity: string | null
}

/** Files with this in their name are refused by the HTTP server, for good. */
export const refused = "refused"

/** The names of temp files, which may be anywhere while the program is at work. */
export const isTemp = (path: string): boolean => /(?:^|\/)\.fd-[0-9A-Za-z]{20}\.(?:part|tmp)$/.test(path)

/** Whether that place is to hold a file before its source may go. */
export const holdsOf = (place: Place, path: string): boolean =>
  place.holds === "all" || (place.holds === "refused") === path.includes(refused)

export interface Violation {
  readonly kind: "partial" | "unknown" | "early"
  readonly what: string
}

export interface Status {
  /** How many times a new file, or new content, was seen under a final name. */
  readonly sightings: number
  /** How many sources were seen to go. */
  readonly gone: number
  /** Bytes of the largest upload that is under way. */
  readonly underWay: number
}

export interface Report extends Status {
  readonly violations: ReadonlyArray<Violation>
  /** Bodies that broke off before their end. */
  readonly broken: number
  /** Requests to store something that came to their end. */
  readonly puts: number
  /** What each place holds by now: the sha256 of what was decoded, by the names of the inputs. */
  readonly held: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** Uploads in parts that nobody has completed or aborted. */
  readonly unfinished: number
}

export type Order = { readonly do: "watch"; readonly watched: Watched } | { readonly do: "report" }

export type Answer =
  | { readonly is: "ready"; readonly http: number; readonly s3: number }
  | { readonly is: "watching" }
  | ({ readonly is: "status" } & Status)
  | ({ readonly is: "report" } & Report)

export interface Oracles {
  /** Ports of its servers. */
  readonly http: number
  readonly s3: number
  readonly watch: (watched: Watched) => Effect.Effect<void>
  /** As of some milliseconds ago. */
  readonly status: () => Status
  /** Looks at everything once more, and says what was seen. */
  readonly report: Effect.Effect<Report>
}

export const startOracles: Effect.Effect<Oracles, never, Scope.Scope> = Effect.gen(function* () {
  const script = yield* bundled
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => fork(script, [], { execArgv: [] })),
    (child) =>
      Effect.async<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGKILL")
      })
  )
  let status: Status = { sightings: 0, gone: 0, underWay: 0 }
  child.on("message", (answer: Answer) => {
    if (answer.is === "status") status = answer
  })
  const answered = <A extends Answer["is"]>(is: A, order?: Order) =>
    Effect.async<Extract<Answer, { readonly is: A }>>((resume) => {
      const end = (exit: Effect.Effect<Extract<Answer, { readonly is: A }>>) => {
        child.off("message", hear)
        child.off("exit", ended)
        resume(exit)
      }
      const isWanted = (answer: Answer): answer is Extract<Answer, { readonly is: A }> => answer.is === is
      const hear = (answer: Answer) => {
        if (isWanted(answer)) end(Effect.succeed(answer))
      }
      const ended = (code: number | null) => end(Effect.die(new Error(`The oracles have ended with ${code}`)))
      if (child.exitCode !== null || child.signalCode !== null) return ended(child.exitCode)
      child.on("message", hear)
      child.on("exit", ended)
      if (order !== undefined) child.send(order)
    })
  const { http, s3 } = yield* answered("ready")
  return {
    http,
    s3,
    watch: (watched) => Effect.asVoid(answered("watching", { do: "watch", watched })),
    status: () => status,
    report: answered("report", { do: "report" })
  }
})

/** Node 20 runs no TypeScript: one script for all that this test file starts, beside the packages that it imports. */
const bundled = Effect.acquireRelease(
  Effect.promise(async () => {
    const folder = join(root, "node_modules", ".cache", "filedispatch")
    fs.mkdirSync(folder, { recursive: true })
    const script = join(fs.mkdtempSync(join(folder, "oracles-")), "oracles.mjs")
    await build({
      absWorkingDir: root,
      entryPoints: [join(root, "test", "faults", "oraclesMain.ts")],
      outfile: script,
      bundle: true,
      format: "esm",
      platform: "node",
      target: "node20",
      packages: "external",
      logLevel: "warning"
    })
    return script
  }),
  (script) => Effect.sync(() => fs.rmSync(join(script, ".."), { recursive: true, force: true }))
)
