import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schedule } from "effect"
import type { Task } from "../../../src/deliver/Destination.ts"
import * as Http from "../../../src/deliver/destination/Http.ts"
import type { DeliveryError } from "../../../src/domain/DeliveryError.ts"
import { noSecrets, unlimited, type RouteTarget } from "../../../src/domain/Settings.ts"
import type { TargetOptions } from "../../../src/domain/Target.ts"
import { makeSource, makeTask, pattern, sha256, targetOptions, tempName } from "../../contracts/destination.ts"
import { startHttpServer, type HttpFault } from "../../servers/http.ts"
import { startTusServer } from "../../servers/tus.ts"

const targetAt = (port: number, options: Partial<TargetOptions> = {}): RouteTarget => ({
  target: {
    url: `http://127.0.0.1:${port}/root`,
    scheme: "http",
    lane: `http://127.0.0.1:${port}`,
    host: "127.0.0.1",
    port,
    username: null,
    path: "/root",
    options: targetOptions({ upload: "tus", ...options })
  },
  secrets: noSecrets,
  bandwidth: unlimited,
  rename: "{relpath}"
})

const connect = Effect.flatMap(Http.make(), (destination) => destination.open("lane", { concurrency: 4, sync: false }))

/** A task that remembers what it noted, as the journal does. */
const remembering = (task: Task) => {
  const notes: Array<string | null> = []
  const noting: Task = { ...task, note: (resume) => Effect.sync(() => void notes.push(resume)) }
  return {
    task: noting,
    notes,
    next: (): Task => ({ ...noting, delivery: { ...task.delivery, resume: notes.at(-1) ?? null } })
  }
}

const size = 24 * 1024 * 1024

const large = Effect.gen(function* () {
  const source = yield* makeSource
  const content = pattern(size)
  const { generation } = yield* source.write("large.bin", content)
  return { generation, hash: sha256(content) }
})

/** The server may keep an upload locked for a moment after the connection was cut. */
const persistently = <A>(effect: Effect.Effect<A, DeliveryError>): Effect.Effect<A, DeliveryError> =>
  Effect.retry(effect, {
    while: (error) => error._tag === "TransientError",
    schedule: Schedule.spaced("100 millis"),
    times: 50
  })

describe("tus, a real server", () => {
  it.scopedLive("goes on where it was after the server was killed and started again", () =>
    Effect.gen(function* () {
      const server = yield* startTusServer()
      const connection = yield* connect
      const { generation, hash } = yield* large
      const killed = yield* Deferred.make<void>()
      let sent = 0
      const { next, notes, task } = remembering(
        makeTask(generation, targetAt(server.port), {
          progress: (bytes) => {
            sent += bytes
            if (sent > size / 2) Deferred.unsafeDone(killed, Effect.void)
          }
        })
      )
      yield* Effect.fork(Effect.zipRight(Deferred.await(killed), server.kill))
      expect((yield* Effect.flip(connection.deliver(task)))._tag).toMatch(/^(Transient|LaneDown)Error$/)
      expect(notes).toEqual([expect.stringMatching(/^\/root\/.+/)])
      expect(server.list()).toEqual([])
      expect(yield* Effect.flip(connection.deliver(next()))).toMatchObject({ _tag: "LaneDownError" })

      yield* server.restart
      sent = 0
      const receipt = yield* persistently(connection.deliver(next()))
      expect(receipt).toMatchObject({ bytes: size, sha256: hash, verified: "size" })
      expect(receipt.said).toMatch(/^204 No Content \(resumed after \d+ bytes\)$/)
      expect(server.uploads()).toEqual({ count: 1, bytes: size })
      expect(sha256((yield* Effect.promise(() => server.read("large.bin"))) ?? Buffer.of())).toBe(hash)
    })
  )

  it.scopedLive("goes on where it was after this process died", () =>
    Effect.gen(function* () {
      const server = yield* startTusServer()
      const { generation, hash } = yield* large
      const half = yield* Deferred.make<void>()
      let sent = 0
      const { next, task } = remembering(
        makeTask(generation, targetAt(server.port), {
          progress: (bytes) => {
            sent += bytes
            if (sent > size / 2) Deferred.unsafeDone(half, Effect.void)
          }
        })
      )
      const fiber = yield* Effect.fork(Effect.scoped(Effect.flatMap(connect, (first) => first.deliver(task))))
      yield* Deferred.await(half)
      yield* Fiber.interrupt(fiber)
      const second = yield* connect
      expect((yield* persistently(second.recover(next())))._tag).toBe("None")
      expect(yield* persistently(second.deliver(next()))).toMatchObject({ bytes: size, sha256: hash })
      expect(server.uploads()).toEqual({ count: 1, bytes: size })
    })
  )

  it.scopedLive("takes an upload that is complete for delivered: its last answer was lost", () =>
    Effect.gen(function* () {
      const server = yield* startTusServer()
      const connection = yield* connect
      const source = yield* makeSource
      const { generation } = yield* source.write("a/b.txt", "text")
      const { next, task } = remembering(makeTask(generation, targetAt(server.port)))
      yield* connection.deliver(task)
      expect(server.list()).toEqual(["a/b.txt"])
      expect(yield* connection.recover(next())).toMatchObject({ _tag: "Some", value: { bytes: 4, verified: "size" } })
      const receipt = yield* connection.deliver(next())
      expect(receipt).toMatchObject({ bytes: 4, sha256: sha256(Buffer.from("text")) })
      expect(server.uploads().count).toBe(1)
    })
  )

  it.scopedLive("begins anew where the server has forgotten the upload", () =>
    Effect.gen(function* () {
      const server = yield* startTusServer()
      const connection = yield* connect
      const source = yield* makeSource
      const { generation } = yield* source.write("b.txt", "text")
      const { notes, task } = remembering(
        makeTask(generation, targetAt(server.port), { delivery: { resume: "/root/forgotten" } })
      )
      expect(yield* connection.deliver(task)).toMatchObject({ said: "204 No Content" })
      expect(notes.at(-1)).toMatch(/^\/root\/(?!forgotten)/)
    })
  )

  it.scopedLive("terminates what is given up, and does not mind if it is gone", () =>
    Effect.gen(function* () {
      const server = yield* startTusServer()
      const connection = yield* connect
      const { generation } = yield* large
      const begun = yield* Deferred.make<void>()
      const { next, task } = remembering(
        makeTask(generation, targetAt(server.port), { progress: () => Deferred.unsafeDone(begun, Effect.void) })
      )
      const fiber = yield* Effect.fork(connection.deliver(task))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      expect(server.uploads().count).toBe(1)
      yield* persistently(connection.discard?.(next()) ?? Effect.void)
      expect(server.uploads().count).toBe(0)
      yield* connection.discard?.(next()) ?? Effect.void
    })
  )

  it.scopedLive("says what the server's largest file is", () =>
    Effect.gen(function* () {
      const server = yield* startTusServer({ maxSize: 1000 })
      const connection = yield* connect
      const source = yield* makeSource
      const { generation } = yield* source.write("c.bin", pattern(1001))
      const error = yield* Effect.flip(connection.deliver(makeTask(generation, targetAt(server.port))))
      expect(error._tag).toBe("PermanentError")
      expect(error.message).toContain("c.bin with its 1001 bytes is too large")
    })
  )

  it.scopedLive("is probed, and nothing is left", () =>
    Effect.gen(function* () {
      const server = yield* startTusServer({ maxSize: 1000 })
      const connection = yield* connect
      const findings = yield* (
        connection.probe?.({ ...targetAt(server.port), temp: tempName(1, 1) }) ?? Effect.succeed([])
      )
      expect(Object.fromEntries(findings.map(({ state, what }) => [what, state]))).toMatchObject({
        reachable: "yes",
        writable: "yes",
        resume: "yes",
        verification: "limit"
      })
      expect(server.uploads().count).toBe(0)
    })
  )
})

describe("tus, a scripted server", () => {
  const answer = (status: number, headers: Record<string, string> = {}): HttpFault => ({
    kind: "answer",
    status,
    headers
  })
  const options = answer(204, { "tus-version": "1.0.0", "tus-extension": "creation" })
  const checked = answer(204, {
    "tus-version": "1.0.0",
    "tus-extension": "creation,checksum",
    "tus-checksum-algorithm": "md5,sha1,sha256"
  })
  const created = answer(201, { location: "up/1?key" })

  const scripted = (faults: ReadonlyArray<HttpFault>, more: Partial<TargetOptions> = {}) =>
    Effect.gen(function* () {
      const server = yield* startHttpServer()
      server.faultNext(...faults)
      const connection = yield* connect
      const source = yield* makeSource
      const { generation } = yield* source.write("ä b.pdf", pattern(1000))
      const outcome = yield* Effect.either(connection.deliver(makeTask(generation, targetAt(server.port, more))))
      const log = server.received.map(({ bytes, method, url }) => `${method} ${url} ${bytes}`)
      return { log, outcome, received: server.received }
    })

  it.scopedLive("names and measures the file as the protocol says", () =>
    Effect.gen(function* () {
      const { log, outcome, received } = yield* scripted([options, created, answer(204, { "upload-offset": "1000" })])
      expect(outcome).toMatchObject({ _tag: "Right", right: { verified: "size" } })
      expect(log).toEqual(["OPTIONS /root 0", "POST /root 0", "PATCH /up/1?key 1000"])
      const base64 = (text: string) => Buffer.from(text).toString("base64")
      expect(received[1]?.headers).toMatchObject({
        "tus-resumable": "1.0.0",
        "upload-length": "1000",
        "upload-metadata": `filename ${base64("ä b.pdf")},filetype ${base64("application/pdf")}`
      })
      expect(received[2]?.headers).toMatchObject({
        "content-type": "application/offset+octet-stream",
        "upload-offset": "0"
      })
    })
  )

  it.scopedLive("asks where the server is where it has got to another offset, or took less than all", () =>
    Effect.gen(function* () {
      const at = (offset: number) => answer(200, { "upload-offset": String(offset), "upload-length": "1000" })
      const { log, outcome } = yield* scripted([
        options,
        created,
        answer(409),
        at(400),
        answer(204, { "upload-offset": "700" }),
        at(700),
        answer(204, { "upload-offset": "1000" })
      ])
      expect(outcome).toMatchObject({ _tag: "Right", right: { sha256: sha256(pattern(1000)) } })
      expect(log.slice(2)).toEqual([
        "PATCH /up/1?key 1000",
        "HEAD /up/1?key 0",
        "PATCH /up/1?key 600",
        "HEAD /up/1?key 0",
        "PATCH /up/1?key 300"
      ])
    })
  )

  it.scopedLive("sends a checksum where the server takes one", () =>
    Effect.gen(function* () {
      const { outcome, received } = yield* scripted([checked, created, answer(204, { "upload-offset": "1000" })], {
        verify: "hash"
      })
      expect(outcome).toMatchObject({ _tag: "Right", right: { verified: "hash" } })
      const digest = Buffer.from(sha256(pattern(1000)), "hex").toString("base64")
      expect(received[2]?.headers["upload-checksum"]).toBe(`sha256 ${digest}`)
      const damaged = yield* scripted([checked, created, answer(460)])
      expect(damaged.outcome).toMatchObject({ _tag: "Left", left: { _tag: "TransientError" } })
      const without = yield* scripted([options], { verify: "hash" })
      expect(without.outcome).toMatchObject({ _tag: "Left", left: { _tag: "PermanentError" } })
      expect(without.log.length).toBe(1)
    })
  )

  it.scopedLive.each([
    ["an upload elsewhere", answer(201, { location: "https://elsewhere.example/up?k3y" }), "PermanentError"],
    ["no upload", answer(200), "PermanentError"],
    ["another version", answer(412, { "tus-version": "0.2.2" }), "PermanentError"],
    ["a lost answer to the creation", { kind: "cutAfter" }, "TransientError"],
    ["no permission", answer(403), "LaneDownError"]
  ] as const)("%s", ([, fault, tag]) =>
    Effect.gen(function* () {
      const { log, outcome } = yield* scripted([options, fault])
      expect(outcome).toMatchObject({ _tag: "Left", left: { _tag: tag } })
      expect(JSON.stringify(outcome)).not.toContain("k3y")
      expect(log.length).toBe(2)
    })
  )

  it.scopedLive("waits for an upload that is locked", () =>
    Effect.gen(function* () {
      const { outcome } = yield* scripted([options, created, answer(423)])
      expect(outcome).toMatchObject({ _tag: "Left", left: { _tag: "TransientError" } })
    })
  )

  it.scopedLive.each([{ conflict: "skip" }, { method: "PUT" }] as const)("refuses what it can't keep: %j", (more) =>
    Effect.gen(function* () {
      const { log, outcome } = yield* scripted([], more)
      expect(outcome).toMatchObject({ _tag: "Left", left: { _tag: "PermanentError" } })
      expect(log).toEqual([])
    })
  )
})
