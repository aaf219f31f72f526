import { Effect } from "effect"
import * as Ftp from "../../../src/deliver/destination/Ftp.ts"
import { noSecrets, unlimited, type RouteTarget } from "../../../src/domain/Settings.ts"
import type { Target, TargetOptions } from "../../../src/domain/Target.ts"
import { destinationContract, targetOptions, type Capabilities, type Subject } from "../../contracts/destination.ts"
import { startFtpServer, type FtpOptions } from "../../servers/ftp.ts"
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
      bandwidth: unlimited,
      rename: "{relpath}"
    }
  }

const below = (target: Target, paths: Iterable<string>): ReadonlyArray<string> =>
  Array.from(paths)
    .filter((path) => path.startsWith(`${target.path}/`))
    .map((path) => path.slice(target.path.length + 1))

const capabilities: Capabilities = {
  folders: true,
  bytes: true,
  lineBreaks: false,
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

const timeOf = (text: string | undefined): number | undefined =>
  text === undefined
    ? undefined
    : Date.parse(text.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/, "$1-$2-$3T$4:$5:$6Z"))

/** One in this process, which can be made to be as bare, or as well equipped, as any. */
const scripted = (options: FtpOptions): Subject["make"] =>
  Effect.gen(function* () {
    const server = yield* startFtpServer(options)
    const pathOf = (target: Target, name: string) => `${target.path}/${name}`
    return {
      destination: yield* Ftp.make(),
      target: targetAt(server.port),
      down: targetAt(1)(),
      read: (target, name) => Effect.sync(() => server.read(pathOf(target, name))),
      put: (target, name, bytes) => Effect.sync(() => server.put(pathOf(target, name), bytes)),
      list: (target) => Effect.sync(() => below(target, server.files.keys())),
      modified: (target, name) => Effect.sync(() => timeOf(server.mtimes.get(pathOf(target, name)))),
      touch: (target, name, mtime) => Effect.sync(() => server.touch(pathOf(target, name), mtime)),
      cut: Effect.sync(() => server.dropConnections())
    }
  })

destinationContract({ name: "ftp, a server in this process", capabilities, make: scripted({}) })

const { mtime: _mtime, resumes: _resumes, ...bare } = capabilities

destinationContract({
  name: "ftp, without SIZE, EPSV and FEAT",
  capabilities: bare,
  make: scripted({ without: ["SIZE", "EPSV", "FEAT"], noOverwrite: true })
})

destinationContract({
  name: "ftp, with MLST, HASH and names that fold",
  capabilities: {
    ...capabilities,
    folds: true,
    verifies: { auto: "hash", size: "size", hash: "hash" },
    examines: "hash",
    adopts: "any"
  },
  make: scripted({
    features: ["MLST Type*;Size*;Modify*;", "HASH SHA-1;SHA-256*", "RANG STREAM"],
    folds: true,
    greeting: "ProFTPD"
  })
})

destinationContract({
  name: "ftp, vsftpd",
  skip: hasVsftpd ? undefined : "vsftpd is not installed, or this is not root",
  capabilities: { ...capabilities, batches: true },
  make: Effect.gen(function* () {
    const server = yield* startVsftpd
    return {
      destination: yield* Ftp.make(),
      target: targetAt(server.port),
      down: targetAt(1)(),
      read: (target, name) => server.read(`${target.path}/${name}`),
      put: (target, name, bytes) => server.put(`${target.path}/${name}`, bytes),
      list: (target) => Effect.map(server.list(target.path), (paths) => below(target, paths)),
      modified: (target, name) => server.modified(`${target.path}/${name}`),
      touch: (target, name, mtime) => server.touch(`${target.path}/${name}`, mtime)
    }
  })
})
