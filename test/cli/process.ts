/**
 * Child processes for tests: the built program, or a script of the test's own. Scoped: what was started is killed, by
 * its pid, when the scope ends.
 */
import { Effect, type Scope } from "effect"
import { spawn, type ChildProcess } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../..", import.meta.url))
/** Another build than that of this checkout can be tested, too. */
export const bin = process.env["FILEDISPATCH_BIN"] ?? join(root, "dist", "bin.js")

/** How a process ended. `code` is null where a signal ended it. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly pid: number
  readonly stdout: () => string
  readonly stderr: () => string
  readonly kill: (signal: NodeJS.Signals) => Effect.Effect<void>
  readonly ended: Effect.Effect<Ended>
}

export interface Options {
  readonly cwd?: string | undefined
  readonly env?: NodeJS.ProcessEnv | undefined
  /** A program with its arguments that runs it, and then is it: `prlimit --nofile=64`, `strace -D …`. */
  readonly under?: ReadonlyArray<string> | undefined
}

/** Starts Node with these arguments. */
export const node = (args: ReadonlyArray<string>, options: Options = {}): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => start(args, options)),
      ({ child, exit }) =>
        Effect.promise(() => {
          if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL")
          return exit
        })
    ),
    ({ running }) => running
  )

/** Starts the built program with these arguments. */
export const filedispatch = (args: ReadonlyArray<string>, options: Options = {}) => node([bin, ...args], options)

/** Runs the built program to its end. */
export const run = (args: ReadonlyArray<string>, options: Options = {}): Effect.Effect<Ended> =>
  Effect.scoped(Effect.flatMap(filedispatch(args, options), (running) => running.ended))

/** A directory that is removed with the scope. */
export const directory: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "filedispatch-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** Waits in real time until the condition holds; dies with what `describe` says where it does not within `seconds`. */
export const until = (condition: () => boolean, describe: () => string, seconds = 60): Effect.Effect<void> =>
  Effect.promise(async () => {
    const deadline = Date.now() + seconds * 1000
    while (!condition()) {
      if (Date.now() > deadline) throw new Error(`timed out: ${describe()}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })

/** Whether a process of this id is there. */
export const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const start = (args: ReadonlyArray<string>, options: Options) => {
  const [command = process.execPath, ...rest] = [...(options.under ?? []), process.execPath, ...args]
  const child: ChildProcess = spawn(command, rest, {
    cwd: options.cwd ?? root,
    env: { ...process.env, NO_COLOR: "1", ...options.env },
    stdio: ["ignore", "pipe", "pipe"]
  })
  let stdout = ""
  let stderr = ""
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text))
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text))
  const exit = new Promise<Ended>((resolve) =>
    child.once("close", (code, signal) => resolve({ code, signal, stdout, stderr }))
  )
  const running: Running = {
    pid: child.pid ?? -1,
    stdout: () => stdout,
    stderr: () => stderr,
    kill: (signal) => Effect.sync(() => void child.kill(signal)),
    ended: Effect.promise(() => exit)
  }
  return { child, exit, running }
}
