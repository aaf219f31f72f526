/**
 * The built program under strace: what it asks of the system, in order, and the same with faults injected.
 *
 * strace counts the calls of an injection (`when=`) for each thread by itself. The journal is written by the main thread;
 * what is copied, scanned and disposed of has threads of its own. So name the path as well, where you can.
 */
import { spawnSync } from "node:child_process"
import fs from "node:fs"
import type { Effect, Scope } from "effect"
import * as Process from "../cli/process.ts"

/** Why it can't be used; undefined where it can. */
export const noStrace: string | undefined = (() => {
  if (process.platform !== "linux") return "strace is for Linux"
  const tried = spawnSync("strace", ["-D", "-f", "-qq", "-o", "/dev/null", "true"], { stdio: "ignore" })
  if (tried.error !== undefined) return "strace is not installed"
  return tried.status === 0 ? undefined : "strace may trace nothing here"
})()

export interface Tracing {
  /** The system calls to look at. Those that an injection names are looked at in any case. */
  readonly calls?: ReadonlyArray<string>
  /** As strace(1) has it behind `-e inject=`: `fsync:error=EIO:when=2`, `rename:signal=SIGKILL` (which comes before it). */
  readonly inject?: ReadonlyArray<string>
  /** Only calls that have to do with one of these, absolute: by name (of a rename, the old one), or by a descriptor. */
  readonly paths?: ReadonlyArray<string>
  /** A file for what is seen; see {@link read}. */
  readonly log?: string
}

/** The command that runs another one so, and becomes it: its process id is that of the program, and so is its end. */
export const under = (tracing: Tracing): ReadonlyArray<string> => {
  const { calls = [], inject = [], log = "/dev/null", paths = [] } = tracing
  const all = new Set([...calls, ...inject.flatMap((one) => one.slice(0, one.indexOf(":")).split(","))])
  // a signal that is injected at a stop of the filter is lost, or comes too late
  const filter = inject.some((one) => one.includes("signal=")) ? [] : ["--seccomp-bpf"]
  return [
    "strace",
    "-D",
    "-f",
    "-qq",
    "-y",
    "-s0",
    ...filter,
    `--trace=${Array.from(all).join(",")}`,
    "--signal=none",
    ...inject.map((one) => `--inject=${one}`),
    ...paths.map((path) => `--trace-path=${path}`),
    `--output=${log}`
  ]
}

/** The built program with these arguments, traced. */
export const filedispatch = (
  args: ReadonlyArray<string>,
  tracing: Tracing,
  options: Process.Options = {}
): Effect.Effect<Process.Running, never, Scope.Scope> =>
  Process.filedispatch(args, { ...options, under: under(tracing) })

/** The same, to its end. */
export const run = (
  args: ReadonlyArray<string>,
  tracing: Tracing,
  options: Process.Options = {}
): Effect.Effect<Process.Ended> => Process.run(args, { ...options, under: under(tracing) })

/** A call that has come back, or by which the process was killed. In the order in which they began. */
export interface Call {
  readonly thread: number
  readonly name: string
  /** Absolute paths of its arguments and its descriptors, in their order. */
  readonly paths: ReadonlyArray<string>
  /** As strace has them. */
  readonly args: string
  /** What it answered: `0`, `-1 ENOENT (No such file or directory)`; `?` where it never came back. */
  readonly result: string
  /** Where it stands in the order of all that began or came back. What never came back has `ended` infinite. */
  readonly began: number
  readonly ended: number
}

/** What strace has written. */
export const read = (log: string): ReadonlyArray<Call> => {
  const calls: Array<{ -readonly [Key in keyof Call]: Call[Key] }> = []
  const unfinished = new Map<number, number>()
  let now = 0
  for (const line of fs.readFileSync(log, "latin1").split("\n")) {
    const [, pid = "", rest = ""] = /^(\d+) +(.*)$/.exec(line) ?? []
    const thread = Number(pid)
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)?.[1]
    const begun = /^(\w+)\((.*)$/.exec(rest)
    const text = resumed ?? begun?.[2]
    if (text === undefined) continue
    const whole = /^(.*)\) += (.*)$/.exec(text)
    const args = (whole?.[1] ?? text).replace(/ <unfinished \.\.\.>$/, "")
    const result = whole?.[2] ?? "?"
    if (resumed === undefined) {
      if (whole === null) unfinished.set(thread, calls.length)
      calls.push({ thread, name: begun?.[1] ?? "", paths: [], args, result, began: (now += 1), ended: Infinity })
    }
    const call = calls[resumed === undefined ? calls.length - 1 : (unfinished.get(thread) ?? -1)]
    if (call === undefined) continue
    if (resumed !== undefined) {
      call.args += args
      call.result = result
      unfinished.delete(thread)
    }
    if (whole !== null && result !== "?") call.ended = now += 1
    const paths = Array.from(
      call.args.matchAll(/"((?:[^"\\]|\\.)*)"|<(\/[^>]*)>/g),
      ([, name, open]) => name ?? open ?? ""
    )
    // of a buffer nothing is shown
    call.paths = paths.filter((path) => path !== "")
  }
  return calls
}
