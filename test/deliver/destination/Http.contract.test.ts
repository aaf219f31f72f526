import { writeFile } from "node:fs/promises"
import { Effect } from "effect"
import * as Http from "../../../src/deliver/destination/Http.ts"
import { noSecrets, unlimited, type RouteTarget } from "../../../src/domain/Settings.ts"
import type { TargetOptions } from "../../../src/domain/Target.ts"
import { destinationContract, targetOptions } from "../../contracts/destination.ts"
import { startHttpServer } from "../../servers/http.ts"
import { startTusServer } from "../../servers/tus.ts"

const targetAt =
  (upload: TargetOptions["upload"]) =>
  (port: number) =>
  (options?: Partial<TargetOptions>, folder?: string): RouteTarget => {
    const path = folder === undefined ? "/root" : `/root/${folder}`
    return {
      target: {
        url: `http://127.0.0.1:${port}${path}`,
        scheme: "http",
        lane: `http://127.0.0.1:${port}`,
        host: "127.0.0.1",
        port,
        username: null,
        path,
        options: targetOptions({ upload, ...options })
      },
      secrets: noSecrets,
      bandwidth: unlimited,
      rename: "{relpath}"
    }
  }

const farSide = (upload: TargetOptions["upload"]) =>
  Effect.gen(function* () {
    const server = yield* startHttpServer()
    const target = targetAt(upload)
    const destination = yield* Http.make({ version: "0.0.0" })
    return {
      // a form can't ask what is there
      destination: upload === "raw" ? destination : { ...destination, conflicts: ["overwrite"] as const },
      target: target(server.port),
      down: target(1)(),
      read: (to: { readonly path: string }, name: string) => Effect.sync(() => server.files.get(`${to.path}/${name}`)),
      put: (to: { readonly path: string }, name: string, bytes: Uint8Array) =>
        Effect.sync(() => void server.files.set(`${to.path}/${name}`, bytes)),
      list: (to: { readonly path: string }) =>
        Effect.sync(() =>
          Array.from(server.files.keys())
            .filter((key) => key.startsWith(`${to.path}/`))
            .map((key) => key.slice(to.path.length + 1))
        )
    }
  })

const common = { streams: true, temps: false, hashes: true } as const

destinationContract({
  name: "http, as a form",
  capabilities: { ...common, batches: true, adopts: "nothing", folders: false, bytes: false, lineBreaks: true },
  make: farSide("multipart")
})

destinationContract({
  name: "http, the bare body",
  capabilities: {
    ...common,
    examines: "size",
    batches: true,
    adopts: "chosen",
    folders: true,
    bytes: true,
    lineBreaks: true
  },
  make: farSide("raw")
})

destinationContract({
  name: "http, tus",
  capabilities: { ...common, adopts: "nothing", folders: true, bytes: false, lineBreaks: true },
  make: Effect.gen(function* () {
    const server = yield* startTusServer()
    const destination = yield* Http.make({ version: "0.0.0" })
    const target = targetAt("tus")
    return {
      destination: { ...destination, conflicts: ["overwrite"] as const },
      // its folder is the server's own business: a tus target has one place for all
      target: (options?: Partial<TargetOptions>) => target(server.port)(options),
      down: target(1)(),
      read: (_, name) => Effect.promise(() => server.read(name)),
      put: (_, name, bytes) => Effect.promise(() => writeFile(server.place(name), bytes)),
      list: () => Effect.sync(() => server.list())
    }
  })
})
