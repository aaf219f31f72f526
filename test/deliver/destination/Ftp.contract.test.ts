import { Effect } from "effect"
import * as Ftp from "../../../src/deliver/destination/Ftp.ts"
import { noSecrets, unlimited, type RouteTarget } from "../../../src/domain/Settings.ts"
import type { Target, TargetOptions } from "../../../src/domain/Target.ts"
import { destinationContract, targetOptions } from "../../contracts/destination.ts"
import { startFtpServer } from "../../servers/ftp.ts"
import { hasVsftpd, startVsftpd } from "../../servers/vsftpd.ts"

const targetAt =
  (port: number) =>
  (options?: Partial<TargetOptions>, folder?: string): RouteTarget => {
    const path = folder === undefined ? "/upload" : `/upload/${folder}`
    return {
      target: {
        url: `ftp://127.0.0.1:${port}${path}`,
        scheme: "ftp",
        lane: `ftp://127.0.0.1:${port}`,
        host: "127.0.0.1",
        port,
        username: null,
        path,
        options: targetOptions(options)
      },
      secrets: noSecrets,
      bandwidth: unlimited
    }
  }

const below = (target: Target, paths: Iterable<string>): ReadonlyArray<string> =>
  Array.from(paths)
    .filter((path) => path.startsWith(`${target.path}/`))
    .map((path) => path.slice(target.path.length + 1))

const capabilities = {
  folders: true,
  bytes: true,
  lineBreaks: false,
  streams: true,
  temps: true,
  adopts: "chosen",
  hashes: true
} as const

destinationContract({
  name: "ftp, a server in this process",
  capabilities,
  make: Effect.gen(function* () {
    const server = yield* startFtpServer()
    return {
      destination: yield* Ftp.make(),
      target: targetAt(server.port),
      down: targetAt(1)(),
      read: (target, name) => Effect.sync(() => server.read(`${target.path}/${name}`)),
      put: (target, name, bytes) => Effect.sync(() => server.put(`${target.path}/${name}`, bytes)),
      list: (target) => Effect.sync(() => below(target, server.files.keys()))
    }
  })
})

destinationContract({
  name: "ftp, without SIZE, EPSV and FEAT",
  capabilities,
  make: Effect.gen(function* () {
    const server = yield* startFtpServer({ without: ["SIZE", "EPSV", "FEAT"], noOverwrite: true })
    return {
      destination: yield* Ftp.make(),
      target: targetAt(server.port),
      read: (target, name) => Effect.sync(() => server.read(`${target.path}/${name}`)),
      put: (target, name, bytes) => Effect.sync(() => server.put(`${target.path}/${name}`, bytes)),
      list: (target) => Effect.sync(() => below(target, server.files.keys()))
    }
  })
})

destinationContract({
  name: "ftp, vsftpd",
  skip: hasVsftpd ? undefined : "vsftpd is not installed, or this is not root",
  capabilities,
  make: Effect.gen(function* () {
    const server = yield* startVsftpd
    return {
      destination: yield* Ftp.make(),
      target: targetAt(server.port),
      down: targetAt(1)(),
      read: (target, name) => server.read(`${target.path}/${name}`),
      put: (target, name, bytes) => server.put(`${target.path}/${name}`, bytes),
      list: (target) => Effect.map(server.list(target.path), (paths) => below(target, paths))
    }
  })
})
