/**
 * The daemon: this program started again in the background. Whoever starts it waits until it runs, and hears why not
 * where it does not.
 */
import { Effect, Option, Schema } from "effect"
import { spawn, type ChildProcess } from "node:child_process"
import { closeSync, mkdirSync, openSync } from "node:fs"
import { dirname } from "node:path"
import { Failure } from "./Failure.ts"
import * as Output from "./Output.ts"

/** What the daemon tells the process that started it, once. */
const Word = Schema.Union(
  Schema.TaggedStruct("Ready", {}),
  Schema.TaggedStruct("Failed", { code: Schema.Literal(1, 2, 3), message: Schema.String })
)
type Word = typeof Word.Type

const variable = "FILEDISPATCH_DAEMON"

/** Whether this process is the one in the background. */
export const isDaemon: boolean = process.env[variable] === "1" && process.send !== undefined

// not for the processes that this one may start
if (isDaemon) delete process.env[variable]

/** Starts this program in the background with the same arguments. Answers its pid once it runs. */
export const start = (logFile: string | undefined): Effect.Effect<number, Failure> =>
  Effect.acquireUseRelease(
    openLog(logFile),
    (log) =>
      Effect.acquireUseRelease(
        Effect.sync(() => launch(log ?? "ignore")),
        (child) => Effect.flatMap(firstWord(child), (word) => conclude(child, word, logFile)),
        // a daemon that is not known to run must not stay behind
        (child, exit) => Effect.sync(() => void (exit._tag === "Success" ? child.unref() : child.kill("SIGTERM")))
      ),
    (log) => Effect.sync(() => void (log !== undefined && closeSync(log)))
  )

/** In the daemon: all is up. Nothing elsewhere. */
export const ready: Effect.Effect<void> = Effect.suspend(() => tell({ _tag: "Ready" }))

/** In the daemon: why it ends, if that was not said already. Answers whether anybody listened. */
export const failed = (failure: Failure): Effect.Effect<boolean> =>
  Effect.suspend(() =>
    isDaemon && process.connected
      ? Effect.as(tell({ _tag: "Failed", code: failure.code, message: failure.message }), true)
      : Effect.succeed(false)
  )

const tell = (word: Word): Effect.Effect<void> =>
  Effect.async((resume) => {
    if (!isDaemon || !process.connected) return resume(Effect.void)
    // whoever started it may be gone; the daemon goes on
    process.send?.(word, undefined, undefined, () => {
      if (process.connected) process.disconnect()
      resume(Effect.void)
    })
  })

const launch = (output: number | "ignore"): ChildProcess =>
  spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    detached: true,
    env: { ...process.env, [variable]: "1" },
    stdio: ["ignore", output, output, "ipc"]
  })

/** The first thing that is heard of the child; none where it ended without a word. */
const firstWord = (child: ChildProcess): Effect.Effect<Option.Option<Word>> =>
  Effect.async((resume) => {
    child.once("error", (error) =>
      resume(Effect.succeed(Option.some<Word>({ _tag: "Failed", code: 1, message: error.message })))
    )
    child.once("message", (message) => resume(Effect.succeed(Schema.decodeUnknownOption(Word)(message))))
    child.once("exit", () => resume(Effect.succeed(Option.none())))
  })

const conclude = (child: ChildProcess, word: Option.Option<Word>, logFile: string | undefined) =>
  Option.match(word, {
    onNone: () =>
      new Failure({
        code: 1,
        message: `The daemon ended before it was ready. ${logFile === undefined ? "Start it without -d, or with --log-file, to see why." : `See ${logFile}.`}`
      }),
    onSome: (word) =>
      word._tag === "Ready" ? Effect.succeed(child.pid ?? 0) : new Failure({ code: word.code, message: word.message })
  })

/** For what is written past the log: the words of a crash. */
const openLog = (file: string | undefined): Effect.Effect<number | undefined, Failure> =>
  file === undefined
    ? Effect.as(
        Output.note("No log file is named (--log-file, or log.file in the config): the daemon's messages are lost."),
        undefined
      )
    : Effect.try({
        try: () => {
          mkdirSync(dirname(file), { recursive: true })
          return openSync(file, "a", 0o640)
        },
        catch: (error) =>
          new Failure({
            code: 1,
            message: `The log file ${file} can't be opened (${error instanceof Error ? error.message : String(error)}). Choose another place with --log-file.`
          })
      })
