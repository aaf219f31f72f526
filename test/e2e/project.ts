/**
 * What the end-to-end tests share: a directory with a config, the built program over it, and what it left behind.
 */
import { Effect, type Scope } from "effect"
import Database from "better-sqlite3"
import fs from "node:fs"
import { join } from "node:path"
import * as Process from "../cli/process.ts"

export interface Project {
  readonly directory: string
  readonly config: string
  readonly inbox: string
  /** Puts a file there as a program would that does it well: whole, by a rename. */
  readonly put: (name: string, content: string | Uint8Array, inbox?: string) => void
  /** The program in the foreground, as soon as it watches. */
  readonly start: (...args: ReadonlyArray<string>) => Effect.Effect<Process.Running, never, Scope.Scope>
  readonly once: Effect.Effect<Process.Ended>
  /** `SUCCEEDED a.txt file:///…`, as the log has it. */
  readonly log: () => ReadonlyArray<string>
}

/** An empty project with these lines of config, in which `$DIR` stands for its directory. */
export const project = (...lines: ReadonlyArray<string>): Effect.Effect<Project, never, Scope.Scope> =>
  Effect.map(Process.directory, (directory) => {
    const inbox = join(directory, "in")
    const config = join(directory, "config.yml")
    fs.mkdirSync(inbox)
    fs.writeFileSync(config, lines.join("\n").replaceAll("$DIR", directory))
    const quiet = ["--no-webapp", "--no-monitor"]
    return {
      directory,
      config,
      inbox,
      put: (name, content, to = inbox) => {
        const temp = join(directory, "being-written")
        fs.writeFileSync(temp, content)
        fs.renameSync(temp, join(to, name))
      },
      start: (...args) =>
        Effect.gen(function* () {
          const running = yield* Process.filedispatch(["-c", config, ...quiet, ...args])
          yield* Process.until(
            () => running.stderr().includes("is watched") || running.stderr().includes("is back"),
            () => running.stderr() || "it says nothing"
          )
          return running
        }),
      once: Process.run(["-c", config, ...quiet, "--once"]),
      log: () => logOf(join(directory, "journal.db"))
    }
  })

const logOf = (file: string): ReadonlyArray<string> => {
  if (!fs.existsSync(file)) return []
  const database = new Database(file, { readonly: true })
  try {
    return database
      .prepare<[], { line: string }>(
        "SELECT status || ' ' || filename || ' ' || destination AS line FROM logs ORDER BY seq"
      )
      .all()
      .map(({ line }) => line)
  } catch {
    // its tables are not there yet
    return []
  } finally {
    database.close()
  }
}

/** Every file below a directory, temp files too, as relative paths. */
export const list = (directory: string): ReadonlyArray<string> =>
  fs.existsSync(directory)
    ? fs
        .readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter((entry) => !entry.isDirectory())
        .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
        .sort()
    : []

/** Numbers from 0 to 1 that a seed makes again. */
export const random = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
