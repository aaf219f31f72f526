import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Ftp from "../../../src/deliver/destination/Ftp.ts"
import * as Http from "../../../src/deliver/destination/Http.ts"
import type { Destination } from "../../../src/deliver/Destination.ts"
import type { TargetOptions } from "../../../src/domain/Target.ts"
import { makeSource, makeTask, pattern, targetOptions } from "../../contracts/destination.ts"
import { hasOpenssl, makeCertificate } from "../../servers/certificate.ts"
import { startFtpServer } from "../../servers/ftp.ts"
import { startHttpServer } from "../../servers/http.ts"
import { noSecrets, unlimited } from "../../../src/domain/Settings.ts"

const send = (
  destination: Effect.Effect<Destination>,
  server: { readonly port: number; readonly url: string },
  scheme: string,
  secure: TargetOptions["secure"]
) =>
  Effect.gen(function* () {
    const source = yield* makeSource
    const { generation } = yield* source.write("file.bin", pattern(700_000))
    const connection = yield* (yield* destination).open("lane", { concurrency: 4, sync: false })
    return yield* connection.deliver(
      makeTask(generation, {
        target: {
          url: server.url,
          scheme,
          lane: server.url,
          host: "127.0.0.1",
          port: server.port,
          username: null,
          path: "/",
          options: targetOptions({ secure })
        },
        secrets: noSecrets,
        bandwidth: unlimited,
        rename: "{relpath}"
      })
    )
  })

describe.skipIf(!hasOpenssl)("TLS", () => {
  it.scopedLive("https: an unknown authority takes the lane down; a known one is trusted", () =>
    Effect.gen(function* () {
      const tls = yield* makeCertificate
      const server = yield* startHttpServer({ tls })
      const error = yield* Effect.flip(send(Http.make(), server, "https", "none"))
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain("certificate")
      expect(server.begun()).toBe(0)
      expect(yield* send(Http.make({ tls: { ca: tls.cert } }), server, "https", "none")).toMatchObject({
        bytes: 700_000
      })
    })
  )

  const kinds: ReadonlyArray<readonly [string, TargetOptions["secure"]]> = [
    ["ftp", "explicit"],
    ["ftps", "none"],
    ["ftps", "implicit"]
  ]
  it.scopedLive.each(kinds)("%s, secure: %s", ([scheme, secure]) =>
    Effect.gen(function* () {
      const tls = yield* makeCertificate
      const server = yield* startFtpServer({ tls: { ...tls, implicit: secure === "implicit" } })
      const error = yield* Effect.flip(send(Ftp.make(), server, scheme, secure))
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain("certificate")
      expect(server.commands.filter((line) => line.startsWith("USER"))).toEqual([])
      const receipt = yield* send(Ftp.make({ tls: { ca: tls.cert } }), server, scheme, secure)
      expect(receipt).toMatchObject({ bytes: 700_000, verified: "size" })
      expect(server.commands).toContain("PROT P")
    })
  )
})
