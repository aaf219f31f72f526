import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Http from "../../../src/deliver/destination/Http.ts"
import { noSecrets, unlimited } from "../../../src/domain/Settings.ts"
import type { TargetOptions } from "../../../src/domain/Target.ts"
import { makeSource, makeTask, pattern, targetOptions, tempName } from "../../contracts/destination.ts"
import { hasOpenssl, makeCertificateFor } from "../../servers/certificate.ts"
import { startHttpServer } from "../../servers/http.ts"

const setUp = (certificate: Parameters<typeof makeCertificateFor>[0], options: Partial<TargetOptions> = {}) =>
  Effect.gen(function* () {
    const tls = yield* makeCertificateFor(certificate)
    const server = yield* startHttpServer({ tls, headers: { server: "test/1" } })
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "filedispatch-ca-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    )
    const ca = join(folder, "ca.pem")
    writeFileSync(ca, tls.cert)
    const connection = yield* (yield* Http.make()).open("lane", { concurrency: 4, sync: false })
    const to = {
      target: {
        url: server.url,
        scheme: "https",
        lane: server.url,
        host: "127.0.0.1",
        port: server.port,
        username: null,
        path: "/",
        options: targetOptions({ upload: "raw", ca, ...options })
      },
      secrets: noSecrets,
      bandwidth: unlimited,
      rename: "{relpath}"
    }
    const source = yield* makeSource
    const { generation } = yield* source.write("file.bin", pattern(1000))
    return { connection, server, to, attempt: connection.deliver(makeTask(generation, to)) }
  })

describe.skipIf(!hasOpenssl)("https", () => {
  it.scopedLive("trusts the authority that `ca` names", () =>
    Effect.gen(function* () {
      const { attempt } = yield* setUp({})
      expect(yield* attempt).toMatchObject({ bytes: 1000 })
    })
  )

  it.scopedLive.each([
    ["an expired certificate", { days: -1 }, {}],
    ["a certificate of another host", { names: "DNS:elsewhere.example" }, {}],
    ["an unknown authority", {}, { ca: null }]
  ] as const)("takes the lane down for %s, before anything is sent", ([, certificate, options]) =>
    Effect.gen(function* () {
      const { attempt, server } = yield* setUp(certificate, options)
      const error = yield* Effect.flip(attempt)
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toMatch(/no secure connection .*Check the server's certificate/)
      expect(server.begun()).toBe(0)
    })
  )

  it.scopedLive("takes the lane down where the authority's file can't be read", () =>
    Effect.gen(function* () {
      const { attempt } = yield* setUp({}, { ca: "/no/such/ca.pem" })
      const error = yield* Effect.flip(attempt)
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain("/no/such/ca.pem can't be read (ENOENT). Check `ca`")
    })
  )

  it.scopedLive("does not follow a redirect to http", () =>
    Effect.gen(function* () {
      const { attempt, server } = yield* setUp({})
      const location = `http://127.0.0.1:${server.port}/file.bin`
      server.faultNext({ kind: "answer", status: 307, headers: { location } })
      const error = yield* Effect.flip(attempt)
      expect(error._tag).toBe("PermanentError")
      expect(error.message).toContain(`redirects to ${location}`)
      expect(server.begun()).toBe(1)
    })
  )

  it.scopedLive("a probe shows the certificate", () =>
    Effect.gen(function* () {
      const { connection, to } = yield* setUp({})
      const findings = yield* connection.probe?.({ ...to, temp: tempName(1, 1) }) ?? Effect.succeed([])
      const identity = findings.find(({ what }) => what === "identity")
      expect(identity?.found).toMatch(/^test\/1; certificate of test by test, valid until .*GMT$/)
    })
  )
})
