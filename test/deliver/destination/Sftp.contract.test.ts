import { Effect, Option, Redacted } from "effect"
import * as Sftp from "../../../src/deliver/destination/Sftp.ts"
import { noSecrets, unlimited, type RouteTarget } from "../../../src/domain/Settings.ts"
import type { TargetOptions } from "../../../src/domain/Target.ts"
import { destinationContract, targetOptions, type Capabilities } from "../../contracts/destination.ts"
import { listAt, modifiedAt, putAt, readAt, touchAt } from "../../servers/folder.ts"
import { hasOpenssh, startOpenssh } from "../../servers/openssh.ts"
import { startSshServer, type SshOptions } from "../../servers/ssh.ts"

const capabilities: Capabilities = {
  folders: true,
  bytes: true,
  lineBreaks: true,
  streams: true,
  temps: true,
  adopts: "chosen",
  hashes: true,
  verifies: { auto: "size", size: "size", hash: "hash" },
  examines: "size",
  resumes: "temp",
  paces: true,
  mtime: 1000
}

const onDisk = {
  read: (target: RouteTarget["target"], name: string) => readAt(`${target.path}/${name}`),
  put: (target: RouteTarget["target"], name: string, bytes: Uint8Array) => putAt(`${target.path}/${name}`, bytes),
  list: (target: RouteTarget["target"]) => listAt(target.path),
  modified: (target: RouteTarget["target"], name: string) => modifiedAt(`${target.path}/${name}`),
  touch: (target: RouteTarget["target"], name: string, mtime: number) => touchAt(`${target.path}/${name}`, mtime)
}

destinationContract({
  name: "sftp, OpenSSH",
  skip: hasOpenssh ? undefined : "OpenSSH is not installed",
  capabilities: { ...capabilities, batches: true },
  make: Effect.gen(function* () {
    const server = yield* startOpenssh()
    const targetAt =
      (port: number) =>
      (options: Partial<TargetOptions> = {}, folder = "box"): RouteTarget => ({
        target: {
          url: `sftp://${server.user}@127.0.0.1:${port}${server.root}/${folder}`,
          scheme: "sftp",
          lane: `sftp://${server.user}@127.0.0.1:${port}`,
          host: "127.0.0.1",
          port,
          username: server.user,
          path: `${server.root}/${folder}`,
          options: targetOptions({ key: server.key, knownHosts: server.knownHosts, ...options })
        },
        secrets: noSecrets,
        bandwidth: unlimited,
        rename: "{relpath}"
      })
    return {
      destination: yield* Sftp.make(),
      target: targetAt(server.port),
      down: targetAt(1)(),
      cut: server.cut,
      ...onDisk
    }
  })
})

const scripted = (options: SshOptions) =>
  Effect.gen(function* () {
    const server = yield* startSshServer({ password: "secret", ...options })
    const target = (more: Partial<TargetOptions> = {}, folder = "box"): RouteTarget => ({
      target: {
        url: `sftp://user@127.0.0.1:${server.port}/in/${folder}`,
        scheme: "sftp",
        lane: `sftp://user@127.0.0.1:${server.port}`,
        host: "127.0.0.1",
        port: server.port,
        username: "user",
        path: `/in/${folder}`,
        options: targetOptions({ hostKey: server.fingerprint, ...more })
      },
      secrets: { ...noSecrets, password: Option.some(Redacted.make("secret")) },
      bandwidth: unlimited,
      rename: "{relpath}"
    })
    const below = (path: string) => Array.from(server.files.keys()).filter((file) => file.startsWith(`${path}/`))
    return {
      destination: yield* Sftp.make(),
      target,
      cut: server.cut,
      read: (to: RouteTarget["target"], name: string) =>
        Effect.sync(() => server.files.get(`${to.path}/${name}`)?.data),
      put: (to: RouteTarget["target"], name: string, bytes: Uint8Array) =>
        Effect.sync(() => {
          const path = `${to.path}/${name}`
          for (let at = path.indexOf("/", 1); at > 0; at = path.indexOf("/", at + 1))
            server.folders.add(path.slice(0, at))
          server.files.set(path, { data: Buffer.from(bytes), mtime: 0 })
        }),
      list: (to: RouteTarget["target"]) =>
        Effect.sync(() => below(to.path).map((path) => path.slice(to.path.length + 1))),
      modified: (to: RouteTarget["target"], name: string) =>
        Effect.sync(() => {
          const file = server.files.get(`${to.path}/${name}`)
          return file === undefined ? undefined : file.mtime * 1000
        }),
      touch: (to: RouteTarget["target"], name: string, mtime: number) =>
        Effect.sync(() => {
          const file = server.files.get(`${to.path}/${name}`)
          if (file !== undefined) file.mtime = Math.floor(mtime / 1000)
        })
    }
  })

destinationContract({
  name: "sftp, a server without extensions",
  capabilities,
  make: scripted({})
})

destinationContract({
  name: "sftp, a server with check-file that keeps no order",
  capabilities: {
    ...capabilities,
    adopts: "any",
    verifies: { auto: "hash", size: "size", hash: "hash" },
    examines: "hash"
  },
  make: scripted({ extensions: ["posix-rename@openssh.com", "fsync@openssh.com", "check-file"], disorderly: true })
})
