/**
 * A real tus server in a process of its own, which can be killed and started again on the same port and folder.
 */
import { fork, type ChildProcess } from "node:child_process"
import { existsSync, readdirSync, statSync } from "node:fs"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, type Scope } from "effect"

export interface TusServer {
  readonly port: number
  /** The finished files, by the name in their metadata. */
  readonly list: () => ReadonlyArray<string>
  readonly read: (name: string) => Promise<Uint8Array | undefined>
  /** Where a finished file lies. */
  readonly place: (name: string) => string
  /** How many uploads there are, and how many bytes of them. */
  readonly uploads: () => { readonly count: number; readonly bytes: number }
  /** At once, in the middle of whatever it does. */
  readonly kill: Effect.Effect<void>
  /** On the same port and folder. */
  readonly restart: Effect.Effect<void>
}

export const startTusServer = (
  options: { readonly maxSize?: number } = {}
): Effect.Effect<TusServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "filedispatch-tus-"))),
      (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
    )
    let child: ChildProcess | undefined
    let port = 0
    const start = Effect.async<void>((resume) => {
      const args = [folder, String(port), String(options.maxSize ?? 0)]
      child = fork(new URL("./tus.mjs", import.meta.url), args, { execArgv: [] })
      child.once("message", (message) => {
        port = Number(message)
        resume(Effect.void)
      })
    })
    const kill = Effect.async<void>((resume) => {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
      child.once("exit", () => resume(Effect.void))
      child.kill("SIGKILL")
    })
    yield* Effect.acquireRelease(start, () => kill)
    const files = join(folder, "files")
    const uploads = join(folder, "uploads")
    return {
      port,
      list: () =>
        readdirSync(files, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name).slice(files.length + 1)),
      read: async (name) => (existsSync(join(files, name)) ? readFile(join(files, name)) : undefined),
      place: (name) => join(files, name),
      uploads: () => {
        const found = readdirSync(uploads).filter((name) => !name.endsWith(".json"))
        const bytes = found.reduce((sum, name) => sum + statSync(join(uploads, name)).size, 0)
        return { count: found.length, bytes }
      },
      kill,
      restart: Effect.zipRight(kill, start)
    }
  })
