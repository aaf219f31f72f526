import { Effect, Layer, type Context } from "effect"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import * as Local from "../../../src/deliver/destination/Local.ts"
import { Files } from "../../../src/files/Files.ts"
import * as FilesDirect from "../../../src/files/FilesDirect.ts"
import * as FilesWorker from "../../../src/files/FilesWorker.ts"
import { below, fsPath } from "../../../src/files/names.ts"
import { findWorker } from "../../../src/files/workerUrl.ts"
import * as RelPath from "../../../src/domain/RelPath.ts"
import type { Target } from "../../../src/domain/Target.ts"
import { destinationContract, targetOptions, type Subject } from "../../contracts/destination.ts"
import { noSecrets, unlimited } from "../../../src/domain/Settings.ts"

const over = (name: string, files: Layer.Layer<Files>, skip?: string): Subject => ({
  name,
  skip,
  capabilities: {
    batches: true,
    folders: true,
    bytes: true,
    lineBreaks: true,
    streams: false,
    temps: true,
    adopts: "any",
    hashes: true,
    examines: "hash"
  },
  make: Effect.gen(function* () {
    const root = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "filedispatch-local-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    )
    const context: Context.Context<Files> = yield* Layer.build(files)
    const destination = yield* Effect.provide(Local.make, context)
    const at = (target: Target, name: string) => fsPath(below(target.path, name))
    return {
      destination,
      target: (options, folder = "folder") => ({
        target: {
          url: join(root, folder),
          scheme: "file",
          lane: "file:/",
          host: "",
          port: null,
          username: null,
          path: join(root, folder),
          options: targetOptions(options)
        },
        secrets: noSecrets,
        bandwidth: unlimited,
        rename: "{relpath}"
      }),
      read: (target, name) =>
        Effect.sync(() => (existsSync(at(target, name)) ? readFileSync(at(target, name)) : undefined)),
      put: (target, name, bytes) =>
        Effect.sync(() => {
          mkdirSync(dirname(below(target.path, name)), { recursive: true })
          writeFileSync(at(target, name), bytes)
        }),
      list: (target) => Effect.sync(() => (existsSync(target.path) ? filesBelow(target.path, "") : []))
    }
  })
})

const filesBelow = (root: string, directory: string): ReadonlyArray<string> =>
  readdirSync(fsPath(below(root, directory)), { withFileTypes: true, encoding: "buffer" }).flatMap((entry) => {
    const name = RelPath.fromBytes(entry.name)
    const path = directory === "" ? name : `${directory}/${name}`
    return entry.isDirectory() ? filesBelow(root, path) : [path]
  })

destinationContract(over("local, on the calling thread", FilesDirect.layer))
destinationContract(
  over(
    "local, in worker threads",
    FilesWorker.layer,
    findWorker("files/worker") === undefined ? "there is no build" : undefined
  )
)
