#!/usr/bin/env node
import { layer as fileSystem } from "@effect/platform-node/NodeFileSystem"
import { layer as path } from "@effect/platform-node/NodePath"
import { runMain } from "@effect/platform-node/NodeRuntime"
import { layer as terminal } from "@effect/platform-node/NodeTerminal"
import { Cause, Effect, Exit, Layer } from "effect"
import { setFlagsFromString } from "node:v8"
import { main } from "./cli/Cli.ts"
import { flushed } from "./cli/Output.ts"

// V8 lets the heap grow by its own size before it collects: with a backlog of 100,000 files that was 80 MiB of garbage.
// To collect more often costs a tenth of the time, so that it is begun where there is something to win.
const thrift = setInterval(() => {
  if (process.memoryUsage.rss() < 160 * 1024 * 1024) return
  setFlagsFromString("--heap-growing-percent=20")
  clearInterval(thrift)
}, 1000)
thrift.unref()

// whoever reads may have had enough: `filedispatch logs | head`
process.stdout.on("error", (error) => process.exit("code" in error && error.code === "EPIPE" ? 0 : 1))

// nobody listens to spans here, and to make them costs a tenth of a small file
const program = main(process.argv.slice(2)).pipe(
  Effect.withTracerEnabled(false),
  Effect.provide(Layer.mergeAll(fileSystem, path, terminal))
)

/** Without a code it is the one that a command has set. */
const end = (code?: number): void => {
  void flushed().then(() => (code === undefined ? process.exit() : process.exit(code)))
}

runMain(program, {
  disableErrorReporting: true,
  disablePrettyLogger: true,
  // a signal interrupts, which is how a run is meant to end; runMain lets a second one end the process at once
  teardown: (exit) => {
    if (Exit.isSuccess(exit)) return end(typeof exit.value === "number" ? exit.value : 0)
    // 0, unless a command has said otherwise
    if (Cause.isInterruptedOnly(exit.cause)) return end()
    process.stderr.write(`filedispatch could not end in order:\n${Cause.pretty(exit.cause)}\n`)
    end(1)
  }
})
