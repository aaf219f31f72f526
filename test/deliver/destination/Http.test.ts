import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, Redacted } from "effect"
import * as Http from "../../../src/deliver/destination/Http.ts"
import { retryAfterMillis } from "../../../src/deliver/destination/HttpExchange.ts"
import { noSecrets, unlimited, type RouteTarget } from "../../../src/domain/Settings.ts"
import type { TargetOptions } from "../../../src/domain/Target.ts"
import { makeSource, makeTask, pattern, sha256, targetOptions } from "../../contracts/destination.ts"
import { startHttpServer, type HttpFault } from "../../servers/http.ts"

const setUp = Effect.gen(function* () {
  const server = yield* startHttpServer()
  const source = yield* makeSource
  const destination = yield* Http.make({ version: "1.2.3" })
  const connection = yield* destination.open("lane", { concurrency: 4, sync: false })
  const target = (options: Partial<TargetOptions> = {}): RouteTarget => ({
    target: {
      url: `${server.url}/in box/?…`,
      scheme: "http",
      lane: server.url,
      host: "127.0.0.1",
      port: server.port,
      username: "jörg",
      path: "/in box/",
      options: targetOptions(options)
    },
    secrets: {
      ...noSecrets,
      password: Option.some(Redacted.make("pa:ss wörd")),
      query: Option.some(Redacted.make("?token=s3cret&x=a%20b"))
    },
    bandwidth: unlimited,
    rename: "{relpath}"
  })
  return { server, source, connection, target }
})

/** The error of one attempt that meets this fault. */
const failing = (
  fault: HttpFault,
  options: { readonly size?: number; readonly target?: Partial<TargetOptions> } = {}
) =>
  Effect.gen(function* () {
    const { connection, server, source, target } = yield* setUp
    const { generation } = yield* source.write("file.bin", pattern(options.size ?? 1000))
    server.faultNext(fault)
    const error = yield* Effect.flip(connection.deliver(makeTask(generation, target(options.target))))
    expect(`${error.message}${JSON.stringify(error)}`).not.toMatch(/s3cret|pa:ss/)
    return error
  })

describe("the request", () => {
  it.scopedLive("is a form with one file part, whose length is known", () =>
    Effect.gen(function* () {
      const { connection, server, source, target } = yield* setUp
      const content = pattern(1_000_000)
      const { generation } = yield* source.write('pho"to\r\n%22.JPG', content)
      const task = makeTask(generation, target({ fieldname: 'docu"ment' }))
      const receipt = yield* connection.deliver(task)
      expect(receipt).toMatchObject({ said: "201 Created", verified: "status", bytes: 1_000_000 })
      const request = server.received[0]
      expect(request?.method).toBe("POST")
      expect(request?.url).toBe("/in%20box/?token=s3cret&x=a%20b")
      expect(request?.headers["content-length"]).toBe(String(request?.bytes))
      expect(request?.headers["transfer-encoding"]).toBeUndefined()
      expect(request?.headers["user-agent"]).toBe("filedispatch/1.2.3")
      expect(request?.headers["idempotency-key"]).toBe(task.idempotencyKey)
      expect(request?.headers.authorization).toBe(`Basic ${Buffer.from("jörg:pa:ss wörd").toString("base64")}`)
      expect(request?.parts).toMatchObject([
        {
          headers: [
            'Content-Disposition: form-data; name="docu%22ment"; filename="pho%22to%0D%0A%22.JPG"',
            "Content-Type: image/jpeg"
          ],
          sha256: sha256(content)
        }
      ])
    })
  )

  it.scopedLive("is the bare body below the target's path with `upload: raw`", () =>
    Effect.gen(function* () {
      const { connection, server, source, target } = yield* setUp
      const { generation } = yield* source.write("a b/c?d#.pdf", "text")
      yield* connection.deliver(makeTask(generation, target({ upload: "raw" })))
      expect(server.received[0]).toMatchObject({
        method: "PUT",
        url: "/in%20box/a%20b/c%3Fd%23.pdf?token=s3cret&x=a%20b",
        bytes: 4
      })
      expect(server.received[0]?.headers["content-type"]).toBe("application/pdf")
    })
  )

  it.scopedLive("uses the method that was asked for", () =>
    Effect.gen(function* () {
      const { connection, server, source, target } = yield* setUp
      const { generation } = yield* source.write("a.txt", "text")
      yield* connection.deliver(makeTask(generation, target({ method: "PUT" })))
      yield* connection.deliver(makeTask(generation, target({ upload: "raw", method: "POST" })))
      expect(server.received.map(({ method }) => method)).toEqual(["PUT", "POST"])
      expect(server.received.map(({ parts }) => parts.length)).toEqual([1, 0])
    })
  )

  it.scopedLive("goes over one connection after another", () =>
    Effect.gen(function* () {
      const { connection, server, source, target } = yield* setUp
      const { generation } = yield* source.write("a.txt", "text")
      for (let count = 0; count < 5; count++) yield* connection.deliver(makeTask(generation, target()))
      expect(server.connections()).toBe(1)
    })
  )
})

describe("an answer", () => {
  const classes: ReadonlyArray<readonly [number, string]> = [
    [408, "TransientError"],
    [425, "TransientError"],
    [429, "TransientError"],
    [500, "TransientError"],
    [502, "TransientError"],
    [503, "TransientError"],
    [504, "TransientError"],
    [401, "LaneDownError"],
    [403, "LaneDownError"],
    [407, "LaneDownError"],
    [507, "LaneDownError"],
    [400, "PermanentError"],
    [404, "PermanentError"],
    [405, "PermanentError"],
    [409, "PermanentError"],
    [410, "PermanentError"],
    [411, "PermanentError"],
    [413, "PermanentError"],
    [414, "PermanentError"],
    [415, "PermanentError"],
    [422, "PermanentError"],
    [501, "PermanentError"]
  ]
  it.scopedLive.each(classes)("%i is a %s", ([status, tag]) =>
    Effect.map(failing({ kind: "answer", status }), (error) => {
      expect(error._tag).toBe(tag)
      expect(error.message).toContain(String(status))
    })
  )

  it.scopedLive.each([301, 302, 303, 307, 308])(
    "%i is not followed, and its place is shown without secrets",
    (status) =>
      Effect.gen(function* () {
        const error = yield* failing({
          kind: "answer",
          status,
          headers: { location: "https://me:s3cret@elsewhere.example/there?token=s3cret" }
        })
        expect(error._tag).toBe("PermanentError")
        expect(error.message).toContain("https://elsewhere.example/there?…")
      })
  )

  it.scopedLive("may ask for time", () =>
    Effect.gen(function* () {
      const error = yield* failing({ kind: "answer", status: 503, headers: { "retry-after": "7" } })
      expect(error).toMatchObject({ _tag: "TransientError", retryAfter: 7000 })
    })
  )

  it("asks for time in seconds, or by a date, and not for ever", () => {
    const now = Date.parse("2026-01-01T00:00:00Z")
    expect(retryAfterMillis(undefined, now)).toBeUndefined()
    expect(retryAfterMillis("soon", now)).toBeUndefined()
    expect(retryAfterMillis("0", now)).toBe(0)
    expect(retryAfterMillis("120", now)).toBe(120_000)
    expect(retryAfterMillis("99999999999999999999", now)).toBe(3_600_000)
    expect(retryAfterMillis("Thu, 01 Jan 2026 00:01:00 GMT", now)).toBe(60_000)
    expect(retryAfterMillis("Thu, 01 Jan 2015 00:01:00 GMT", now)).toBe(0)
    expect(retryAfterMillis("Thu, 01 Jan 2099 00:01:00 GMT", now)).toBe(3_600_000)
  })

  it.scopedLive("that comes while the body is still being sent is read", () =>
    Effect.gen(function* () {
      for (let count = 0; count < 5; count++) {
        const error = yield* failing({ kind: "answer", status: 413, early: true }, { size: 20_000_000 })
        expect(error._tag).toBe("PermanentError")
        expect(error.message).toContain("413")
      }
    })
  )

  it.scopedLive("of success does not count before the whole body was sent", () =>
    Effect.gen(function* () {
      const error = yield* failing({ kind: "answer", status: 200, early: true }, { size: 20_000_000 })
      expect(error._tag).toBe("TransientError")
    })
  )
})

describe("no answer", () => {
  it.scopedLive("is transient where the connection is cut in the middle", () =>
    Effect.gen(function* () {
      expect(yield* failing({ kind: "cut", bytes: 1_000_000 }, { size: 50_000_000 })).toMatchObject({
        _tag: "TransientError"
      })
    })
  )

  it.scopedLive("is ambiguous after a whole POST", () =>
    Effect.gen(function* () {
      const error = yield* failing({ kind: "cutAfter" })
      expect(error._tag).toBe("AmbiguousError")
      expect(error.message).toContain("file.bin was sent whole")
    })
  )

  it.scopedLive("is transient after a whole PUT, which may be sent again", () =>
    Effect.gen(function* () {
      expect((yield* failing({ kind: "cutAfter" }, { target: { upload: "raw" } }))._tag).toBe("TransientError")
    })
  )

  it.scopedLive("is given up after the timeout", () =>
    Effect.gen(function* () {
      const error = yield* failing({ kind: "silent" }, { target: { upload: "raw", timeout: 300 } })
      expect(error._tag).toBe("TransientError")
    })
  )

  it.scopedLive("of a host that does not exist takes the lane down", () =>
    Effect.gen(function* () {
      const { connection, source, target } = yield* setUp
      const { generation } = yield* source.write("a.txt", "text")
      const to = target()
      const away = {
        ...to,
        target: { ...to.target, host: "no-such-host.invalid", url: "http://no-such-host.invalid/" }
      }
      const error = yield* Effect.flip(connection.deliver(makeTask(generation, away)))
      expect(error._tag).toBe("LaneDownError")
    })
  )

  it.scopedLive("does not keep an interruption waiting", () =>
    Effect.gen(function* () {
      const { connection, server, source, target } = yield* setUp
      const { generation } = yield* source.write("a.bin", pattern(1000))
      server.faultNext({ kind: "silent" })
      const begun = yield* Deferred.make<void>()
      const task = makeTask(generation, target(), { progress: () => Deferred.unsafeDone(begun, Effect.void) })
      const fiber = yield* Effect.fork(connection.deliver(task))
      yield* Deferred.await(begun)
      const started = Date.now()
      yield* Fiber.interrupt(fiber)
      expect(Date.now() - started).toBeLessThan(1000)
    })
  )
})
