/** FTP over TLS, against a vsftpd that takes no data connection which does not go on with the control's session. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Ftp from "../../../src/deliver/destination/Ftp.ts"
import { noSecrets, unlimited, type RouteTarget } from "../../../src/domain/Settings.ts"
import type { TargetOptions } from "../../../src/domain/Target.ts"
import { makeSource, makeTask, pattern, sha256, targetOptions } from "../../contracts/destination.ts"
import { hasOpenssl, makeCertificateFor } from "../../servers/certificate.ts"
import { hasVsftpd, startVsftpdWith } from "../../servers/vsftpd.ts"

type Secure = TargetOptions["secure"]

const targetAt = (port: number, options: Partial<TargetOptions>, host = "127.0.0.1"): RouteTarget => ({
  target: {
    url: `ftps://${host}:${port}/upload`,
    scheme: "ftps",
    lane: `ftps://${host}:${port}`,
    host,
    port,
    username: null,
    path: "/upload",
    options: targetOptions(options)
  },
  secrets: noSecrets,
  bandwidth: unlimited,
  rename: "{relpath}"
})

/** A file with a certificate, as `ca` names one. */
const authorityFile = (cert: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "filedispatch-ca-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    ),
    (folder) => {
      const file = join(folder, "ca.pem")
      writeFileSync(file, cert)
      return file
    }
  )

const missing = hasVsftpd && hasOpenssl ? "" : " (skipped: vsftpd or openssl is not installed, or this is not root)"

describe.skipIf(missing !== "")(`ftps, vsftpd that requires its sessions to be resumed${missing}`, () => {
  const kinds: ReadonlyArray<readonly [Secure, "TLSv1.2" | "TLSv1.3"]> = [
    ["explicit", "TLSv1.2"],
    ["explicit", "TLSv1.3"],
    ["implicit", "TLSv1.2"],
    ["implicit", "TLSv1.3"]
  ]
  it.scopedLive.each(kinds)("%s, %s: takes many files, small and large", ([secure, maxVersion]) =>
    Effect.gen(function* () {
      const tls = yield* makeCertificateFor({})
      const server = yield* startVsftpdWith({ tls: { ...tls, implicit: secure === "implicit" } })
      const source = yield* makeSource
      const destination = yield* Ftp.make({ tls: { maxVersion } })
      const connection = yield* destination.open("lane", { concurrency: 4, sync: false })
      const to = targetAt(server.port, { secure, ca: yield* authorityFile(tls.cert) })
      const large = yield* source.write("large.bin", pattern(5_000_000))
      const small = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, index) => `${index}.txt`),
        (name) => source.write(name, name)
      )
      const receipts = yield* Effect.forEach(
        [large, ...small],
        ({ generation }) => connection.deliver(makeTask(generation, to)),
        { concurrency: 3 }
      )
      expect(receipts.every(({ verified }) => verified === "size")).toBe(true)
      expect((yield* server.list("/upload")).length).toBe(21)
      const arrived = (yield* server.read("/upload/large.bin")) ?? Buffer.of()
      expect(sha256(arrived)).toBe(sha256(pattern(5_000_000)))
      // reads back over the data connection, too
      const proved = yield* connection.deliver(
        makeTask(large.generation, {
          ...to,
          target: { ...to.target, options: { ...to.target.options, verify: "hash" } }
        })
      )
      expect(proved.verified).toBe("hash")
    })
  )

  const attempt = (
    certificate: { readonly names?: string; readonly days?: number },
    options: Partial<TargetOptions>,
    scheme = "ftps"
  ) =>
    Effect.gen(function* () {
      const tls = yield* makeCertificateFor(certificate)
      const ca = yield* authorityFile(tls.cert)
      const server = yield* startVsftpdWith({ tls })
      const source = yield* makeSource
      const { generation } = yield* source.write("file.txt", "text")
      const connection = yield* (yield* Ftp.make()).open("lane", { concurrency: 4, sync: false })
      const to = targetAt(server.port, { secure: "explicit", ca, ...options })
      const error = yield* Effect.flip(
        connection.deliver(makeTask(generation, { ...to, target: { ...to.target, scheme } }))
      )
      expect(yield* server.list("/upload")).toEqual([])
      return error
    })

  it.scopedLive("of an authority that nobody knows is not trusted", () =>
    Effect.gen(function* () {
      const error = yield* attempt({}, { ca: null })
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain("`ca` names its file")
    })
  )

  it.scopedLive("of another authority is not trusted", () =>
    Effect.gen(function* () {
      const other = yield* makeCertificateFor({})
      const error = yield* attempt({}, { ca: yield* authorityFile(other.cert) })
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain("that `ca` names the authority that has signed it")
    })
  )

  it.scopedLive("with a certificate that has expired is not trusted", () =>
    Effect.gen(function* () {
      const error = yield* attempt({ days: -1 }, {})
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain("have it renewed")
    })
  )

  it.scopedLive("with a certificate for another host is not trusted", () =>
    Effect.gen(function* () {
      const error = yield* attempt({ names: "DNS:ftp.example.org" }, {})
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain("instead of 127.0.0.1")
    })
  )

  it.scopedLive("says which file of an authority can't be read", () =>
    Effect.gen(function* () {
      const error = yield* attempt({}, { ca: "/nowhere/ca.pem" })
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain("/nowhere/ca.pem can't be read")
    })
  )

  it.scopedLive("of the wrong kind of `secure` is told apart from a wrong certificate", () =>
    Effect.gen(function* () {
      const error = yield* attempt({}, { secure: "implicit", timeout: 2000 })
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain("`explicit` or `implicit`")
    })
  )

  it.scopedLive("takes nothing in the clear, and says what it wants", () =>
    Effect.gen(function* () {
      const error = yield* attempt({}, { secure: "none" }, "ftp")
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain("`secure: explicit`")
    })
  )
})

describe.skipIf(!hasVsftpd)("a vsftpd that takes two connections", () => {
  it.scopedLive("is crowded by a third", () =>
    Effect.gen(function* () {
      const server = yield* startVsftpdWith({ clients: 2 })
      const source = yield* makeSource
      const connection = yield* (yield* Ftp.make()).open("lane", { concurrency: 4, sync: false })
      const ftp = targetAt(server.port, {})
      const to = { ...ftp, target: { ...ftp.target, scheme: "ftp" } }
      const files = yield* Effect.forEach(["a", "b", "c", "d"], (name) => source.write(name, pattern(3_000_000)))
      const exits = yield* Effect.forEach(
        files,
        ({ generation }) => Effect.either(connection.deliver(makeTask(generation, to))),
        { concurrency: 4 }
      )
      const errors = exits.flatMap((exit) => (exit._tag === "Left" ? [exit.left] : []))
      expect(errors.map(({ _tag }) => _tag)).toContain("CrowdedError")
      expect(errors.every(({ _tag }) => _tag === "CrowdedError")).toBe(true)
      expect((yield* server.list("/upload")).length).toBe(4 - errors.length)
    })
  )
})
