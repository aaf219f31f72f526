import { dirname } from "node:path"
import { Effect } from "effect"
import * as WebDav from "../../../src/deliver/destination/WebDav.ts"
import { noSecrets, unlimited, type RouteTarget } from "../../../src/domain/Settings.ts"
import type { Target, TargetOptions } from "../../../src/domain/Target.ts"
import { destinationContract, targetOptions } from "../../contracts/destination.ts"
import { hasDavExtension, hasNginx, startNginx } from "../../servers/nginx.ts"
import { startWebDavServer, type WebDavOptions } from "../../servers/webdav.ts"

const targetAt =
  (port: number) =>
  (options?: Partial<TargetOptions>, folder?: string): RouteTarget => {
    const path = folder === undefined ? "/up load" : `/up load/${folder}`
    return {
      target: {
        url: `webdav://127.0.0.1:${port}${path}`,
        scheme: "webdav",
        lane: `webdav://127.0.0.1:${port}`,
        host: "127.0.0.1",
        port,
        username: null,
        path,
        options: targetOptions(options)
      },
      secrets: noSecrets,
      bandwidth: unlimited,
      rename: "{relpath}"
    }
  }

const below = (target: Target, paths: Iterable<string>): ReadonlyArray<string> =>
  Array.from(paths)
    .filter((path) => path.startsWith(`${target.path}/`))
    .map((path) => path.slice(target.path.length + 1))

/** Temp files have another ending at a WebDAV server. */
const at = (target: Target, name: string): string => `${target.path}/${name.replace(/^(\.fd-.{20})\.part$/, "$1.tmp")}`

const capabilities = {
  batches: true,
  folders: true,
  bytes: true,
  lineBreaks: true,
  streams: true,
  temps: true,
  adopts: "chosen",
  hashes: true,
  verifies: { auto: "size", size: "size", hash: "hash" },
  examines: "size",
  paces: true
} as const

const nginx = (lists: boolean) =>
  Effect.gen(function* () {
    const server = yield* startNginx({ lists })
    return {
      destination: yield* WebDav.make({ version: "0.0.0" }),
      target: targetAt(server.port),
      down: targetAt(1)(),
      read: (target: Target, name: string) => server.read(at(target, name)),
      put: (target: Target, name: string, bytes: Uint8Array) => server.put(at(target, name), bytes),
      list: (target: Target) => Effect.map(server.list(target.path), (paths) => below(target, paths)),
      modified: (target: Target, name: string) => server.modified(at(target, name)),
      touch: (target: Target, name: string, mtime: number) => server.touch(at(target, name), mtime)
    }
  })

const scripted = (options: WebDavOptions) =>
  Effect.gen(function* () {
    const server = yield* startWebDavServer(options)
    return {
      destination: yield* WebDav.make({ version: "0.0.0" }),
      target: targetAt(server.port),
      down: targetAt(1)(),
      read: (target: Target, name: string) => Effect.sync(() => server.files.get(at(target, name))?.bytes),
      put: (target: Target, name: string, bytes: Uint8Array) =>
        Effect.sync(() => {
          const path = at(target, name)
          for (let folder = dirname(path); folder !== "/"; folder = dirname(folder)) server.folders.add(folder)
          server.files.set(path, { bytes, mtime: Date.now() })
        }),
      list: (target: Target) => Effect.sync(() => below(target, server.files.keys())),
      modified: (target: Target, name: string) => Effect.sync(() => server.files.get(at(target, name))?.mtime),
      touch: (target: Target, name: string, mtime: number) =>
        Effect.sync(() => {
          const file = server.files.get(at(target, name))
          if (file !== undefined) file.mtime = mtime
        })
    }
  })

destinationContract({
  name: "webdav, nginx that lists",
  skip: hasDavExtension ? undefined : "nginx or its dav-ext module is not installed",
  capabilities,
  make: nginx(true)
})

destinationContract({
  name: "webdav, nginx without PROPFIND",
  skip: hasNginx ? undefined : "nginx is not installed",
  capabilities,
  make: nginx(false)
})

destinationContract({
  name: "webdav, a server in this process that keeps times",
  capabilities: { ...capabilities, mtime: 1000 },
  make: scripted({ mtime: true, reserved: ".part" })
})

destinationContract({
  name: "webdav, a server in this process that takes no account of case",
  capabilities: { ...capabilities, folds: true },
  make: scripted({ folds: true, host: "files.example" })
})
