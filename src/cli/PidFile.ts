/**
 * The pid file: which process is the daemon, for people and for `-x`. It is information and never the lock.
 *
 * The first line is the process id, the second says when that process was started, so that a stranger that was given
 * the same id later is told apart.
 */
import { Effect, type Scope } from "effect"
import { execFileSync } from "node:child_process"
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { Failure } from "./Failure.ts"

export type Content =
  | { readonly _tag: "None" }
  /** The daemon that wrote it is alive. */
  | { readonly _tag: "Running"; readonly pid: number }
  /** Whoever wrote it is gone. */
  | { readonly _tag: "Stale"; readonly pid: number }
  /** A process of that id is alive, but it is not, or can't be shown to be, the one that wrote it. */
  | { readonly _tag: "Stranger"; readonly pid: number }
  | { readonly _tag: "Garbage" }

/** What the pid file says, and whether it is still true. */
export const inspect = (file: string): Effect.Effect<Content, Failure> =>
  Effect.map(read(file), (text): Content => {
    if (text === undefined || text.trim() === "") return { _tag: "None" }
    const [first = "", second = ""] = text.split("\n")
    const pid = Number(first.trim())
    if (!/^\d{1,10}$/.test(first.trim()) || pid < 1) return { _tag: "Garbage" }
    const start = startOf(pid)
    if (start === undefined) return { _tag: "Stale", pid }
    return { _tag: second.trim() === start ? "Running" : "Stranger", pid }
  })

/**
 * Before anything starts: that there is no live daemon of this pid file, and that it can be written. Answers what there
 * is to say about an old one, which will be replaced.
 */
export const prepare = (file: string): Effect.Effect<string | undefined, Failure> =>
  Effect.gen(function* () {
    const content = yield* inspect(file)
    if (content._tag === "Running") {
      return yield* new Failure({
        code: 1,
        message: `The daemon of ${file} runs already, as process ${content.pid}. Stop it with: filedispatch -x -p ${file}`
      })
    }
    if (content._tag === "Garbage") {
      return yield* new Failure({
        code: 2,
        message: `${file} is there and is no pid file, so it is left alone. Name another file with --pidfile, or remove it.`
      })
    }
    yield* attempt(file, "written", () => {
      writeFileSync(temporary(file), "", { flag: "w" })
      rmSync(temporary(file))
    })
    switch (content._tag) {
      case "Stale":
        return `${file} was left by process ${content.pid}, which is gone; it is replaced.`
      case "Stranger":
        return `${file} names process ${content.pid}, which is not the one that wrote it; it is replaced.`
      case "None":
        return undefined
    }
  })

/** The pid file of this process, from `write` until the scope ends. */
export const hold = (
  file: string
): Effect.Effect<{ readonly write: Effect.Effect<void, Failure> }, never, Scope.Scope> =>
  Effect.as(
    // only our own is removed: it may have been replaced
    Effect.addFinalizer(() =>
      read(file).pipe(
        Effect.flatMap((text) => (text?.startsWith(`${process.pid}\n`) ? remove(file) : Effect.void)),
        Effect.catchAll((failure) => Effect.logWarning(failure.message))
      )
    ),
    {
      write: attempt(file, "written", () => {
        writeFileSync(temporary(file), `${process.pid}\n${startOf(process.pid) ?? ""}\n`)
        renameSync(temporary(file), file)
      })
    }
  )

/** Removes the pid file of a process that is gone. */
export const remove = (file: string): Effect.Effect<void, Failure> =>
  attempt(file, "removed", () => rmSync(file, { force: true }))

/**
 * When a process was started, in a form that is only compared; undefined where there is no such process (one that is
 * dead and not yet waited for counts as gone).
 */
export const startOf = (pid: number): string | undefined => {
  try {
    // the name in the second field may hold anything, a parenthesis too
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    if (fields[0] === "Z" || fields[0] === "X") return undefined
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim()}/${fields[19] ?? ""}`
  } catch {
    return signalable(pid) ? (startByPs(pid) ?? "unknown") : undefined
  }
}

/** Where there is no /proc. */
const startByPs = (pid: number): string | undefined => {
  try {
    const out = execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], {
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C" },
      stdio: ["ignore", "pipe", "ignore"]
    })
    return out.trim() === "" ? undefined : out.trim()
  } catch {
    return undefined
  }
}

const signalable = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === "EPERM"
  }
}

/** Beside it, so that a rename makes it appear whole. */
const temporary = (file: string): string => `${file}.${process.pid}.tmp`

const read = (file: string): Effect.Effect<string | undefined, Failure> =>
  attempt(file, "read", () => {
    try {
      return readFileSync(file, "utf8")
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined
      throw error
    }
  })

const attempt = <A>(file: string, verb: string, body: () => A): Effect.Effect<A, Failure> =>
  Effect.try({
    try: body,
    catch: (error) =>
      new Failure({
        code: 1,
        message: `The pid file ${file} can't be ${verb} (${error instanceof Error ? error.message : String(error)}). Choose another place with --pidfile.`
      })
  })

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : ""
