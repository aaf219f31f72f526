/**
 * What the tests of faults of the machine share: a project on small disks of its own, the built program under another
 * program (strace, prlimit, …), and the standing oracle over what it did.
 */
import { expect } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import Database from "better-sqlite3"
import { createCipheriv } from "node:crypto"
import { execFileSync, spawnSync } from "node:child_process"
import fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Process from "../cli/process.ts"
import { list, project, type Project } from "../e2e/project.ts"

/** Why nothing can be mounted here, for titles; undefined where it can. */
export { noDisks } from "../servers/disk.ts"

/** Whether a program of that name is installed. */
export const has = (program: string): boolean => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0

// disks

/** A tmpfs that can be filled, made read-only, taken away and brought back, as the test goes on. */
export interface Disk {
  readonly path: string
  /** Takes all the room that there is. */
  readonly fill: () => void
  /** Gives it back. */
  readonly free: () => void
  readonly remount: (options: string) => void
  /** Takes it away, whoever uses it; what is on it is kept for {@link Disk.attach}. */
  readonly detach: () => void
  readonly attach: () => void
}

/** At this folder, which is made if it is not there; `options` as of tmpfs(5). Needs {@link noDisks} to be undefined. */
export const disk = (path: string, options: string): Effect.Effect<Disk, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      // the tmpfs lives at a place of its own, so that it outlives being taken away from the other
      const home = fs.mkdtempSync(join(tmpdir(), "filedispatch-disk-"))
      fs.mkdirSync(path, { recursive: true })
      mount("-t", "tmpfs", "-o", options, "tmpfs", home)
      mount("--bind", home, path)
      const filler = join(home, ".filler")
      return {
        home,
        disk: {
          path,
          fill: () => pad(filler),
          free: () => fs.rmSync(filler),
          remount: (options: string) => {
            mount("-o", `remount,bind,${options}`, path)
          },
          detach: () => unmount(path),
          attach: () => mount("--bind", home, path)
        }
      }
    }),
    ({ disk, home }) =>
      Effect.sync(() => {
        for (const place of [disk.path, home]) if (isMounted(place)) unmount(place)
        fs.rmdirSync(home)
      })
  ).pipe(Effect.map(({ disk }) => disk))

/** Makes a file longer until there is no room for another byte. */
export const pad = (path: string): void => {
  const file = fs.openSync(path, "a")
  try {
    for (let size = 1 << 20; size >= 1; size >>= 1) {
      try {
        for (;;) if (fs.writeSync(file, Buffer.alloc(size)) < size) break
      } catch {
        // no room for so much: for less, perhaps
      }
    }
  } finally {
    fs.closeSync(file)
  }
}

const mount = (...args: ReadonlyArray<string>) => execFileSync("mount", args, { stdio: "ignore" })
/** Even while somebody has a file there. */
const unmount = (path: string) => execFileSync("umount", ["-l", path], { stdio: "ignore" })

const isMounted = (path: string): boolean =>
  fs
    .readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .some((line) => line.split(" ")[4] === path)

// the program

/** In the foreground, over the project's config. */
export const starting = (
  { config }: Pick<Project, "config">,
  options: Process.Options = {}
): Effect.Effect<Process.Running, never, Scope.Scope> =>
  Process.filedispatch(["-c", config, "--no-webapp", "--no-monitor"], options)

/** As soon as it watches. */
export const watching = (
  project: Pick<Project, "config">,
  options: Process.Options = {}
): Effect.Effect<Process.Running, never, Scope.Scope> =>
  Effect.gen(function* () {
    const running = yield* starting(project, options)
    yield* says(running, "is watched|watched by|is polled|It is looked for", 0, 180)
    return running
  })

/** Waits until it has said something that matches, after what it had said at `from` characters. */
export const says = (
  running: Process.Running,
  pattern: string | RegExp,
  from = 0,
  seconds?: number
): Effect.Effect<void> => {
  const expression = new RegExp(pattern)
  return Process.until(
    () => expression.test(running.stderr().slice(from)),
    () => `it does not say ${String(pattern)}: ${running.stderr().slice(-4000) || "nothing at all"}`,
    seconds
  )
}

/** Seconds of processor time that a process has taken. */
export const cpu = (pid: number): number => {
  const fields = fs
    .readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ")
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/**
 * What must hold while a fault lasts: it lives, and waits instead of running in circles, both with the processor and
 * with its tongue. Answers the share of one processor that it took.
 */
export const calm = (running: Process.Running, seconds = 2): Effect.Effect<number> =>
  Effect.gen(function* () {
    // what the fault itself has set off is over by then
    yield* Effect.sleep("500 millis")
    const [before, said, at] = [cpu(running.pid), running.stderr().length, process.hrtime.bigint()]
    yield* Effect.sleep(`${seconds} seconds`)
    const took = Number(process.hrtime.bigint() - at) / 1e9
    const share = (cpu(running.pid) - before) / took
    expect(share, `of a processor, while it waits: ${running.stderr().slice(-2000)}`).toBeLessThan(0.5)
    const lines = running.stderr().slice(said).split("\n").length - 1
    expect(lines, running.stderr().slice(said)).toBeLessThan(20 * seconds)
    polite(running.stderr())
    return share
  })

/** No message is for the authors instead of the user. */
export const polite = (said: string): void => {
  expect(said).not.toMatch(/\n\s+at .*[:(]\d+|This is a bug|UnhandledPromise|uncaught|\[object Object\]|undefined/)
}

/** Ends it as a user does. */
export const stop = (running: Process.Running): Effect.Effect<Process.Ended> =>
  Effect.gen(function* () {
    yield* running.kill("SIGTERM")
    const ended = yield* running.ended
    expect(ended.code, ended.stderr.slice(-2000)).toBe(0)
    polite(ended.stderr)
    return ended
  })

// the oracle

/** What went in, by name. */
export type Contents = ReadonlyMap<string, Uint8Array>

/** Each file is there once, whole, and nothing else is. */
export const holds = (folder: string, contents: Contents): void => {
  const names = Array.from(contents.keys()).sort()
  expect(list(folder)).toEqual(names)
  const wrong = names.filter(
    (name) => !Buffer.from(contents.get(name) ?? []).equals(fs.readFileSync(join(folder, name)))
  )
  expect(wrong).toEqual([])
}

/** The log has each of these files once for each of so many targets, and nothing that failed. */
export const loggedOnce = ({ log }: Pick<Project, "log">, contents: Contents, targets = 1): void => {
  const entries = log()
  expect(entries.filter((entry) => !entry.startsWith("SUCCEEDED "))).toEqual([])
  expect(new Set(entries).size).toBe(entries.length)
  expect(entries.length).toBe(contents.size * targets)
}

/** Waits until the log has so many entries. */
export const delivered = (
  running: Process.Running,
  { log }: Pick<Project, "log">,
  count: number
): Effect.Effect<void> =>
  Process.until(
    () => log().length >= count,
    () => `${log().length} of ${count} entries: ${running.stderr().slice(-3000)}`
  )

/** `SUCCEEDED a.txt file:///…`, for each entry of the log in this database. */
export const logOf = (file: string): ReadonlyArray<string> =>
  texts(file, "SELECT status || ' ' || filename || ' ' || destination FROM logs ORDER BY seq")

/** The texts that a question to a database answers; none while it has no tables yet. */
export const texts = (file: string, question: string): ReadonlyArray<string> => {
  if (!fs.existsSync(file)) return []
  const database = new Database(file, { readonly: true })
  try {
    return database.prepare(question).pluck().all().map(String)
  } catch {
    return []
  } finally {
    database.close()
  }
}

/** The number that a question to the journal's database answers. */
export const ask = (file: string, question: string): number => {
  const database = new Database(file, { readonly: true })
  try {
    return Number(database.prepare(question).pluck().get())
  } finally {
    database.close()
  }
}

/** Bytes that no compression makes smaller, and that are the same for the same name. */
export const bytesFor = (name: string, size: number): Buffer => {
  const bytes = Buffer.alloc(size)
  createCipheriv("aes-128-ctr", Buffer.alloc(16, name), Buffer.alloc(16)).update(bytes).copy(bytes)
  return bytes
}

/** Puts a file there whole, by a rename within the directory, which may be a disk of its own. */
export const putInto = (inbox: string, name: string, bytes: Uint8Array): void => {
  fs.writeFileSync(join(inbox, ".being-written"), bytes)
  fs.renameSync(join(inbox, ".being-written"), join(inbox, name))
}

/** Puts so many small files there, named by what they are for, and adds them to what went in. */
export const putAll = (
  inbox: string,
  contents: Map<string, Uint8Array>,
  prefix: string,
  count: number,
  size: (index: number) => number = (index) => 100 + index
): void => {
  for (let index = 0; index < count; index++) {
    const name = `${prefix}${index}`
    const bytes = bytesFor(name, size(index))
    contents.set(name, bytes)
    putInto(inbox, name, bytes)
  }
}

export { list, project, type Project }
