/** What `upload: raw` and `upload: multipart` promise beyond one plain request. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import * as Http from "../../../src/deliver/destination/Http.ts"
import { RelPath } from "../../../src/domain/RelPath.ts"
import { noSecrets, unlimited, type RouteTarget, type Secrets } from "../../../src/domain/Settings.ts"
import type { TargetOptions } from "../../../src/domain/Target.ts"
import { makeSource, makeTask, pattern, sha256, targetOptions, tempName } from "../../contracts/destination.ts"
import { startHttpServer } from "../../servers/http.ts"

type ServerOptions = Parameters<typeof startHttpServer>[0]

const setUp = (serverOptions: ServerOptions = {}) =>
  Effect.gen(function* () {
    const server = yield* startHttpServer(serverOptions)
    const source = yield* makeSource
    const connection = yield* (yield* Http.make()).open("lane", { concurrency: 4, sync: false })
    const target = (options: Partial<TargetOptions> = {}, secrets: Partial<Secrets> = {}): RouteTarget => ({
      target: {
        url: `${server.url}/in`,
        scheme: "http",
        lane: server.url,
        host: "127.0.0.1",
        port: server.port,
        username: null,
        path: "/in",
        options: targetOptions({ upload: "raw", ...options })
      },
      secrets: { ...noSecrets, ...secrets },
      bandwidth: unlimited,
      rename: "{relpath}"
    })
    const file = (size = 1000, name = "file.bin") =>
      Effect.map(source.write(name, pattern(size)), ({ generation }) => generation)
    const methods = () => server.received.map(({ method }) => method)
    return { server, source, connection, target, file, methods }
  })

const base64 = (bytes: Uint8Array) => Buffer.from(sha256(bytes), "hex").toString("base64")
const large = 3 * 1024 * 1024

describe("a request", () => {
  it.scopedLive("to a pre-signed URL goes exactly there", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      const query = "?X-Sig=a%2Fb+c~d%3d&e=%c3%a4"
      const to = target({}, { query: Option.some(Redacted.make(query)) })
      const signed = { ...to, target: { ...to.target, url: `${server.url}/b/a%2Bb(1)'.bin?…`, path: "/b/a+b(1)'.bin" } }
      const receipt = yield* connection.deliver(makeTask(yield* file(), signed))
      expect(server.received[0]).toMatchObject({ method: "PUT", url: `/b/a%2Bb(1)'.bin${query}` })
      expect(JSON.stringify(receipt)).not.toContain("X-Sig")
      // no name can be chosen there
      const other = {
        ...signed,
        target: { ...signed.target, options: targetOptions({ upload: "raw", conflict: "fail" }) }
      }
      const error = yield* Effect.flip(connection.deliver(makeTask(yield* file(), other)))
      expect(error._tag).toBe("PermanentError")
      expect(error.message).toContain("the URL is that of one object")
    })
  )

  it.scopedLive("carries a bearer token and the headers of the config", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      const secrets = {
        token: Option.some(Redacted.make("t0ken")),
        headers: [
          ["x-api-key", Redacted.make("k3y")],
          ["content-type", Redacted.make("application/x-signed")]
        ] as const
      }
      yield* connection.deliver(makeTask(yield* file(), target({}, secrets)))
      expect(server.received[0]?.headers).toMatchObject({
        authorization: "Bearer t0ken",
        "x-api-key": "k3y",
        "content-type": "application/x-signed"
      })
      const bad = { token: Option.some(Redacted.make("t0k\nen")) }
      const error = yield* Effect.flip(connection.deliver(makeTask(yield* file(), target({}, bad))))
      expect(error._tag).toBe("PermanentError")
      expect(`${error.message}${JSON.stringify(error)}`).not.toContain("t0k")
    })
  )

  it.scopedLive("says the sha256 of its content, where that costs nothing or is asked for", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp({ digests: true })
      yield* connection.deliver(makeTask(yield* file(), target()))
      yield* connection.deliver(makeTask(yield* file(), target({ upload: "multipart" })))
      yield* connection.deliver(makeTask(yield* file(large), target()))
      yield* connection.deliver(makeTask(yield* file(large), target({ verify: "hash" })))
      const [raw, form, big, hashed] = server.received
      expect(raw?.headers["content-digest"]).toBe(`sha-256=:${base64(pattern(1000))}:`)
      expect(form?.headers["content-digest"]).toBe(
        `sha-256=:${Buffer.from(form?.sha256 ?? "", "hex").toString("base64")}:`
      )
      expect(big?.headers["content-digest"]).toBeUndefined()
      expect(hashed?.headers["content-digest"]).toBe(`sha-256=:${base64(pattern(large))}:`)
    })
  )

  it.scopedLive("waits with its body for `100 Continue`, so that a refusal costs nothing", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      const to = target({ expect: true })
      expect(yield* connection.deliver(makeTask(yield* file(large), to))).toMatchObject({ bytes: large })
      expect(server.received[0]?.headers.expect).toBe("100-continue")
      server.faultNext({ kind: "answer", status: 401, early: true })
      let sent = 0
      const task = makeTask(yield* file(large), to, { progress: (bytes) => (sent += bytes) })
      expect((yield* Effect.flip(connection.deliver(task)))._tag).toBe("LaneDownError")
      expect(sent).toBe(0)
      server.faultNext({ kind: "answer", status: 417, early: true })
      const error = yield* Effect.flip(connection.deliver(makeTask(yield* file(large), to)))
      expect(error.message).toContain("take that out of the config")
    })
  )

  it.scopedLive("does not wait for `100 Continue` for ever", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp({ noContinue: true })
      const to = target({ expect: true, timeout: 1000 })
      expect(yield* connection.deliver(makeTask(yield* file(large), to))).toMatchObject({ bytes: large })
      expect(server.files.get("/in/file.bin")?.byteLength).toBe(large)
    })
  )
})

describe("a redirect", () => {
  it.scopedLive.each([
    [307, "raw", 1000, false],
    [308, "raw", large, true],
    [307, "multipart", large, false],
    [308, "multipart", 1000, true]
  ] as const)("%i within the origin takes method and body along (%s, %i bytes)", ([status, upload, size, early]) =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      server.faultNext({ kind: "answer", status, headers: { location: "/there/x?y" }, early })
      expect(yield* connection.deliver(makeTask(yield* file(size), target({ upload })))).toMatchObject({
        bytes: size,
        sha256: sha256(pattern(size))
      })
      const last = server.received.at(-1)
      expect(last).toMatchObject({ method: upload === "raw" ? "PUT" : "POST", url: "/there/x?y" })
      expect((last?.parts[0] ?? last)?.sha256).toBe(sha256(pattern(size)))
    })
  )

  it.scopedLive("is not followed for ever", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      server.faultAlways({ kind: "answer", status: 307, headers: { location: "/round" } })
      const error = yield* Effect.flip(connection.deliver(makeTask(yield* file(), target())))
      expect(error._tag).toBe("PermanentError")
      expect(error.message).toContain("again and again")
      expect(server.begun()).toBe(6)
    })
  )

  it.scopedLive.each([301, 302, 303])("%i is not followed, even within the origin", (status) =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      server.faultNext({ kind: "answer", status, headers: { location: "/there" } })
      expect((yield* Effect.flip(connection.deliver(makeTask(yield* file(), target()))))._tag).toBe("PermanentError")
      expect(server.begun()).toBe(1)
    })
  )
})

describe("an answer that is lost", () => {
  it.scopedLive("is worth another attempt where the server keeps the Idempotency-Key", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      const to = target({ upload: "multipart", idempotency: true })
      const task = makeTask(yield* file(), to)
      server.faultNext({ kind: "cutAfter" })
      expect((yield* Effect.flip(connection.deliver(task)))._tag).toBe("TransientError")
      yield* connection.deliver(task)
      const keys = server.received.map(({ headers }) => headers["idempotency-key"])
      expect(keys).toEqual([task.idempotencyKey, task.idempotencyKey])
    })
  )

  it.scopedLive.each([
    ["silent", { kind: "silent" }],
    ["dripping", { kind: "drip", every: 50 }]
  ] as const)("of a %s server is not waited for longer than the timeout", ([, fault]) =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      server.faultNext(fault, fault)
      const started = Date.now()
      const options = { timeout: 300, upload: "multipart" } as const
      expect((yield* Effect.flip(connection.deliver(makeTask(yield* file(), target(options)))))._tag).toBe(
        "AmbiguousError"
      )
      expect((yield* Effect.flip(connection.deliver(makeTask(yield* file(large), target(options)))))._tag).toBe(
        "AmbiguousError"
      )
      expect(Date.now() - started).toBeLessThan(5000)
    })
  )

  it.scopedLive("because the body was not read is transient", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      server.faultNext({ kind: "deaf" })
      const task = makeTask(yield* file(20_000_000), target({ timeout: 500, upload: "multipart" }))
      const error = yield* Effect.flip(connection.deliver(task))
      expect(error._tag).toBe("TransientError")
      expect(error.message).toContain("before the whole file was sent")
    })
  )
})

describe("the proof", () => {
  it.scopedLive("is the size with `verify: size`, and what is not as large is sent again", () =>
    Effect.gen(function* () {
      const { connection, file, methods, server, target } = yield* setUp()
      const to = target({ verify: "size" })
      expect((yield* connection.deliver(makeTask(yield* file(), to))).verified).toBe("size")
      expect(methods()).toEqual(["PUT", "HEAD"])
      server.faultNext({ kind: "store", bytes: pattern(999) })
      const error = yield* Effect.flip(connection.deliver(makeTask(yield* file(), to)))
      expect(error._tag).toBe("TransientError")
      expect(error.message).toContain("999 bytes instead of 1000")
    })
  )

  it.scopedLive.each([true, false])("is the hash with `verify: hash`; the server gives one: %s", (digests) =>
    Effect.gen(function* () {
      const { connection, file, methods, server, target } = yield* setUp({ digests })
      const to = target({ verify: "hash" })
      expect((yield* connection.deliver(makeTask(yield* file(), to))).verified).toBe("hash")
      expect(methods()).toEqual(digests ? ["PUT", "HEAD"] : ["PUT", "HEAD", "GET"])
      server.faultNext({ kind: "store", bytes: pattern(1000, 2) })
      const error = yield* Effect.flip(connection.deliver(makeTask(yield* file(), to)))
      expect(error._tag).toBe("TransientError")
      expect(error.message).toContain("sha256")
    })
  )

  it.scopedLive("is taken from the answer where that has it", () =>
    Effect.gen(function* () {
      const headers = { "repr-digest": `sha-256=:${base64(pattern(1000))}:` }
      const { connection, file, methods, target } = yield* setUp({ headers })
      expect((yield* connection.deliver(makeTask(yield* file(1000), target()))).verified).toBe("hash")
      expect((yield* connection.deliver(makeTask(yield* file(999), target()))).verified).toBe("status")
      expect(methods()).toEqual(["PUT", "PUT"])
    })
  )

  it.scopedLive("that can't be had is said", () =>
    Effect.gen(function* () {
      const { connection, file, target } = yield* setUp({ without: ["HEAD"] })
      const error = yield* Effect.flip(connection.deliver(makeTask(yield* file(), target({ verify: "size" }))))
      expect(error._tag).toBe("PermanentError")
      expect(error.message).toContain("405 Method Not Allowed to HEAD. Use `verify: auto`")
    })
  )
})

describe("what a form can't do", () => {
  it.scopedLive.each([{ verify: "size" }, { verify: "hash" }, { conflict: "rename" }, { conflict: "skip" }] as const)(
    "is refused before anything is sent: %j",
    (options) =>
      Effect.gen(function* () {
        const { connection, file, server, target } = yield* setUp()
        const error = yield* Effect.flip(
          connection.deliver(makeTask(yield* file(), target({ upload: "multipart", ...options })))
        )
        expect(error._tag).toBe("PermanentError")
        expect(error.message).toContain("`upload: raw`")
        expect(server.begun()).toBe(0)
      })
  )
})

describe("conflicts", () => {
  it.scopedLive("`newer` replaces what is older, and leaves what is not", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      const generation = yield* file()
      const to = target({ conflict: "newer" })
      server.files.set("/in/file.bin", pattern(7))
      server.modified.set("/in/file.bin", generation.mtime + 1000)
      expect((yield* Effect.flip(connection.deliver(makeTask(generation, to))))._tag).toBe("SkippedError")
      server.modified.set("/in/file.bin", generation.mtime - 5000)
      yield* connection.deliver(makeTask(generation, to))
      expect(server.files.get("/in/file.bin")?.byteLength).toBe(1000)
    })
  )

  it.scopedLive("a name that was taken after it was found free is left alone", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      const chosen: Array<string> = []
      const taken = (policy: TargetOptions["conflict"]) =>
        Effect.gen(function* () {
          server.files.set("/in/file.bin", pattern(7))
          server.faultNext({ kind: "answer", status: 404 })
          const task = makeTask(yield* file(), target({ conflict: policy }), {
            choose: (name) => Effect.sync(() => void chosen.push(name))
          })
          return yield* connection.deliver(task)
        })
      expect((yield* Effect.flip(taken("fail")))._tag).toBe("PermanentError")
      expect((yield* Effect.flip(taken("skip")))._tag).toBe("SkippedError")
      expect((yield* taken("rename")).name).toBe("file (1).bin")
      expect(chosen).toEqual(["file.bin", "file.bin", "file.bin", "file (1).bin"])
      expect(server.files.get("/in/file.bin")?.byteLength).toBe(7)
    })
  )

  it.scopedLive("a file of the same size that somebody else brought there is one, though the name was chosen", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      const generation = yield* file()
      const theirs = Buffer.alloc(generation.size)
      server.files.set("/in/file.bin", theirs)
      const delivery = { attempts: 1, chosen: RelPath.make("file.bin") }
      for (const [conflict, tag] of [
        ["fail", "PermanentError"],
        ["skip", "SkippedError"]
      ] as const) {
        const task = makeTask(generation, target({ conflict }), { delivery })
        expect((yield* Effect.flip(connection.deliver(task)))._tag).toBe(tag)
        const after = makeTask(generation, target({ conflict }), { delivery: { ...delivery, interrupted: true } })
        expect(yield* connection.recover(after)).toEqual(Option.none())
      }
    })
  )

  it.scopedLive("what an earlier attempt brought there is no conflict", () =>
    Effect.gen(function* () {
      const { connection, file, methods, server, target } = yield* setUp()
      const generation = yield* file()
      const delivery = { chosen: RelPath.make("file.bin") }
      server.files.set("/in/file.bin", pattern(1000))
      const receipt = yield* connection.deliver(makeTask(generation, target({ conflict: "fail" }), { delivery }))
      expect(receipt).toMatchObject({ name: "file.bin", verified: "hash", bytes: 1000 })
      expect(methods()).toEqual(["HEAD", "GET"])
    })
  )

  it.scopedLive("`backup` is refused", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      const error = yield* Effect.flip(connection.deliver(makeTask(yield* file(), target({ conflict: "backup" }))))
      expect(error._tag).toBe("PermanentError")
      expect(server.begun()).toBe(0)
    })
  )
})

describe("a probe", () => {
  const probed = (upload: TargetOptions["upload"], options: ServerOptions = {}) =>
    Effect.gen(function* () {
      const { connection, methods, server, target } = yield* setUp(options)
      const task = { ...target({ upload }), temp: tempName(1, 1) }
      const findings = yield* connection.probe?.(task) ?? Effect.succeed([])
      expect(server.files.size).toBe(0)
      return { methods: methods(), states: Object.fromEntries(findings.map(({ state, what }) => [what, state])) }
    })

  it.scopedLive("tries a bare body, and leaves nothing", () =>
    Effect.gen(function* () {
      const { methods, states } = yield* probed("raw")
      expect(methods).toEqual(["OPTIONS", "PUT", "HEAD", "DELETE"])
      expect(states).toMatchObject({ reachable: "yes", writable: "yes", verification: "yes", rename: "limit" })
    })
  )

  it.scopedLive("tries nothing that could stay", () =>
    Effect.gen(function* () {
      const raw = yield* probed("raw", { without: ["DELETE"] })
      expect(raw.methods).toEqual(["OPTIONS"])
      expect(raw.states).toMatchObject({ reachable: "yes", writable: "unknown" })
      const form = yield* probed("multipart")
      expect(form.methods).toEqual(["OPTIONS"])
      expect(form.states).toMatchObject({ reachable: "yes", writable: "unknown" })
      expect((yield* probed("tus")).states).toMatchObject({ writable: "no" })
    })
  )

  it.scopedLive("says that nobody is there, or nobody may in", () =>
    Effect.gen(function* () {
      const { connection, server, target } = yield* setUp()
      const to = target()
      server.faultNext({ kind: "answer", status: 401 })
      const denied = yield* connection.probe?.({ ...to, temp: tempName(1, 1) }) ?? Effect.succeed([])
      expect(denied).toContainEqual(expect.objectContaining({ what: "authenticated", state: "no" }))
      const away = { ...to, target: { ...to.target, port: 1 }, temp: tempName(1, 1) }
      expect(yield* connection.probe?.(away) ?? Effect.succeed([])).toMatchObject([{ what: "reachable", state: "no" }])
    })
  )
})
