import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { build } from "esbuild"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { program } from "../../scratchpad/embed.ts"
import * as Process from "../cli/process.ts"

it.live("an app of its own, with its own destination, gets the file, and goes on", () =>
  Effect.gen(function* () {
    const { event, log, notes } = yield* program
    expect(Array.from(notes)).toEqual([["/notes/hello.txt", "Hello from another app"]])
    expect(event).toMatchObject({
      state: "DELIVERED",
      file: "hello.txt",
      destination: "memo://desk/notes/hello.txt",
      size: 22
    })
    expect(log).toMatchObject([
      { status: "SUCCEEDED", filename: "hello.txt", protocol: "memo", worker: "Memo worker", verified: "hash" }
    ])
  })
)

it.scopedLive("the same as a program by itself prints what it got, and ends", () =>
  Effect.gen(function* () {
    // in dist, where it finds the worker threads
    const outfile = join(Process.root, "dist", `embed-${process.pid}.js`)
    yield* Effect.acquireRelease(
      Effect.promise(() =>
        build({
          entryPoints: [join(Process.root, "scratchpad", "embed.ts")],
          bundle: true,
          platform: "node",
          format: "esm",
          target: "node20",
          packages: "external",
          outfile,
          logLevel: "error"
        })
      ),
      () => Effect.sync(() => rmSync(outfile, { force: true }))
    )
    const ended = yield* Effect.flatMap(Process.node([outfile]), (running) => running.ended)
    expect(ended.code, ended.stderr).toBe(0)
    expect(ended.stdout).toContain("/notes/hello.txt: Hello from another app")
    expect(ended.stdout).toContain("DELIVERED hello.txt -> memo://desk/notes/hello.txt")
    expect(ended.stdout).toContain("SUCCEEDED hello.txt by the Memo worker")
  })
)
