#!/usr/bin/env node
import { layer as fileSystem } from "@effect/platform-node/NodeFileSystem"
import { layer as path } from "@effect/platform-node/NodePath"
import { runMain } from "@effect/platform-node/NodeRuntime"
import { layer as terminal } from "@effect/platform-node/NodeTerminal"
import { Cause, Effect, Exit, Layer } from "effect"
import { setFlagsFromString } from "node:v8"
import { main } from "./cli/Cli.ts"

// V8 lets the heap grow by its own size before it collects: with a backlog of 100,000 files that was 80 MiB of garbage
setFlagsFromString("--heap-growing-percent=20")

// whoever reads may have had enough: `filedispatch logs | head`
process.stdout.on("error", (error) => process.exit("code" in error && error.code === "EPIPE" ? 0 : 1))

runMain(main(process.argv.slice(2)).pipe(Effect.provide(Layer.mergeAll(fileSystem, path, terminal))), {
  disableErrorReporting: true,
  disablePrettyLogger: true,
  // a signal interrupts, which is how a run is meant to end; runMain lets a second one end the process at once
  teardown: (exit) => {
    if (Exit.isSuccess(exit)) process.exit(typeof exit.value === "number" ? exit.value : 0)
    // 0, unless a command has said otherwise
    if (Cause.isInterruptedOnly(exit.cause)) process.exit()
    process.stderr.write(`filedispatch could not end in order:\n${Cause.pretty(exit.cause)}\n`)
    process.exit(1)
  }
})
