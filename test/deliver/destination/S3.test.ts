import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { appendFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Redacted } from "effect"
import * as S3 from "../../../src/deliver/destination/S3.ts"
import { proofOf } from "../../../src/deliver/destination/S3Verify.ts"
import { noHabits } from "../../../src/deliver/destination/S3Client.ts"
import * as S3Credentials from "../../../src/deliver/destination/S3Credentials.ts"
import { partSize } from "../../../src/deliver/destination/S3Multipart.ts"
import { parseError, parseParts } from "../../../src/deliver/destination/S3Xml.ts"
import type { Task } from "../../../src/deliver/Destination.ts"
import { noSecrets, unlimited, type RouteTarget } from "../../../src/domain/Settings.ts"
import type { TargetOptions } from "../../../src/domain/Target.ts"
import { makeSource, makeTask, pattern, sha256, targetOptions } from "../../contracts/destination.ts"
import { accessKey, bucketName, startS3Server, type Manners, type S3Fault } from "../../servers/s3.ts"

const mib = 1024 * 1024
const secret = "s3cret/key+"
const sessionToken = "t0ken=="

const setUp = (manners: Partial<Manners> = {}, concurrency = 4) =>
  Effect.gen(function* () {
    const server = yield* startS3Server(manners)
    const source = yield* makeSource
    const destination = yield* S3.make({ version: "1.2.3", environment: {} })
    const connection = yield* destination.open("lane", { concurrency, sync: false })
    const target = (options: Partial<TargetOptions> = {}): RouteTarget => ({
      target: {
        url: `s3://${accessKey}@${bucketName}/in`,
        scheme: "s3",
        lane: `s3://${accessKey}@${bucketName}`,
        host: bucketName,
        port: null,
        username: accessKey,
        path: "/in",
        options: targetOptions({ endpoint: server.url, region: "eu-west-1", ...options })
      },
      secrets: {
        ...noSecrets,
        password: Option.some(Redacted.make(secret)),
        token: Option.some(Redacted.make(sessionToken))
      },
      bandwidth: unlimited,
      rename: "{relpath}"
    })
    return { server, source, connection, target }
  })

type Lane = Effect.Effect.Success<ReturnType<typeof setUp>>

/** A task that keeps what it notes, for the next attempt. */
const noting = (task: Task) => {
  let resume: string | null = null
  const note = (value: string | null) =>
    Effect.sync(() => {
      resume = value
    })
  return {
    task: { ...task, note },
    resume: () => resume,
    again: (): Task => ({ ...task, note, delivery: { ...task.delivery, resume, attempts: 1 } })
  }
}

const failed = (lane: Lane, task: Task) =>
  Effect.map(Effect.flip(lane.connection.deliver(task)), (error) => {
    expect(`${error.message}${JSON.stringify(error)}`).not.toContain(secret)
    expect(`${error.message}${JSON.stringify(error)}`).not.toContain(sessionToken)
    return error
  })

const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString()

describe("a small file", () => {
  it.scopedLive("is one request, proved by the server's own checksum, with what belongs to it", () =>
    Effect.gen(function* () {
      const lane = yield* setUp()
      const { generation } = yield* lane.source.write("a b+c(1)/ü.pdf", "text")
      const task = makeTask(generation, lane.target())
      const receipt = yield* lane.connection.deliver(task)
      expect(receipt).toMatchObject({ bytes: 4, sha256: sha256(Buffer.from("text")), verified: "hash", said: "200 OK" })
      expect(lane.server.calls.map(({ operation }) => operation)).toEqual(["PutObject"])
      expect(lane.server.calls[0]?.url).toBe("/bucket/in/a%20b%2Bc%281%29/%C3%BC.pdf")
      expect(lane.server.calls[0]?.headers).toMatchObject({
        "x-amz-security-token": sessionToken,
        "user-agent": "filedispatch/1.2.3"
      })
      expect(lane.server.calls[0]?.headers.authorization).toContain("/eu-west-1/s3/aws4_request")
      expect(lane.server.calls[0]?.headers["content-encoding"]).toBeUndefined()
      expect(lane.server.objects.get("in/a b+c(1)/ü.pdf")?.headers).toEqual({
        "content-type": "application/pdf",
        "x-amz-meta-mtime": String(generation.mtime / 1000),
        "x-amz-meta-sha256": sha256(Buffer.from("text")),
        "x-amz-meta-filedispatch-delivery": task.idempotencyKey
      })
    })
  )

  it.scopedLive("is proved by an md5 where the server refuses checksums, which is asked once", () =>
    Effect.gen(function* () {
      const lane = yield* setUp({ checksums: "refused" })
      for (const name of ["1.txt", "2.txt"]) {
        const { generation } = yield* lane.source.write(name, name)
        expect(yield* lane.connection.deliver(makeTask(generation, lane.target()))).toMatchObject({ verified: "hash" })
      }
      const sums = lane.server.calls.map(({ headers }) => headers["x-amz-checksum-sha256"] !== undefined)
      expect(sums).toEqual([true, false, false])
      expect(lane.server.calls[2]?.headers["content-md5"]).toBeDefined()
    })
  )

  it.scopedLive.each([
    ["auto", "hash", 1],
    ["hash", "hash", 2]
  ] as const)("is read back where an ETag is not what it seems, once: `verify: %s`", ([verify, verified, gets]) =>
    Effect.gen(function* () {
      const lane = yield* setUp({ checksums: "ignored", etag: "opaque" })
      const first = yield* lane.source.write("1.txt", "one")
      const to = lane.target({ verify })
      expect(yield* lane.connection.deliver(makeTask(first.generation, to))).toMatchObject({ verified })
      const second = yield* lane.source.write("2.txt", "two")
      expect(yield* lane.connection.deliver(makeTask(second.generation, to))).toMatchObject({
        verified: verify === "auto" ? "size" : "hash"
      })
      expect(lane.server.count("GetObject")).toBe(gets)
    })
  )

  it.scopedLive.each(["corrupt", "truncate"] as const)(
    "is removed and sent again where it is kept otherwise: %s",
    (kind) =>
      Effect.gen(function* () {
        for (const manners of [{}, { checksums: "ignored" }, { checksums: "ignored", etag: "none" }] as const) {
          const lane = yield* setUp(manners)
          const { generation } = yield* lane.source.write("a.txt", "some text")
          lane.server.fault("PutObject", { kind })
          const error = yield* failed(lane, makeTask(generation, lane.target({ verify: "hash" })))
          expect(error._tag).toBe("TransientError")
          expect(lane.server.objects.size).toBe(0)
        }
      })
  )

  it("knows that an ETag under a key of its own is no md5", () => {
    const answer = (encryption: string) => ({
      status: 200,
      said: "",
      body: Buffer.of(),
      header: (name: string) => ({ etag: `"${"0".repeat(32)}"`, "x-amz-server-side-encryption": encryption })[name]
    })
    const habits = { ...noHabits(), etag: "md5" as const }
    expect(proofOf(habits, answer("AES256"), "", () => "1").proof).toBe("no")
    expect(proofOf(habits, answer("aws:kms"), "", () => "1").proof).toBe("unknown")
  })
})

describe("a conflict", () => {
  const policies: ReadonlyArray<readonly [TargetOptions["conflict"], string]> = [
    ["fail", "PermanentError"],
    ["skip", "SkippedError"]
  ]
  it.scopedLive.each(policies)("that arises during the upload is seen by the server under `%s`", ([conflict, tag]) =>
    Effect.gen(function* () {
      for (const size of [10, 3 * mib]) {
        const lane = yield* setUp()
        const { generation } = yield* lane.source.write("a.bin", pattern(size))
        const race: S3Fault = { kind: "before", run: () => lane.server.put("in/a.bin", Buffer.from("theirs")) }
        lane.server.fault(size === 10 ? "PutObject" : "CompleteMultipartUpload", race)
        const task = noting(makeTask(generation, lane.target({ conflict, partSize: mib })))
        expect((yield* failed(lane, task.task))._tag).toBe(tag)
        expect(text(lane.server.objects.get("in/a.bin")?.bytes)).toBe("theirs")
        expect(lane.server.uploads.size).toBe(0)
        expect(task.resume()).toBeNull()
      }
    })
  )

  it.scopedLive("under `rename` takes the next name", () =>
    Effect.gen(function* () {
      const lane = yield* setUp()
      const { generation } = yield* lane.source.write("a.bin", "mine")
      lane.server.fault("PutObject", {
        kind: "before",
        run: () => lane.server.put("in/a.bin", Buffer.from("theirs"))
      })
      const receipt = yield* lane.connection.deliver(makeTask(generation, lane.target({ conflict: "rename" })))
      expect(receipt.name).toBe("a (1).bin")
      expect(text(lane.server.objects.get("in/a.bin")?.bytes)).toBe("theirs")
    })
  )

  it.scopedLive.each(["ignored", "refused"] as const)("is looked for where the condition is %s", (conditional) =>
    Effect.gen(function* () {
      const lane = yield* setUp({ conditional })
      lane.server.put("in/a.bin", Buffer.from("theirs"))
      const { generation } = yield* lane.source.write("a.bin", "mine")
      const files = yield* Effect.forEach(
        [
          makeTask(generation, lane.target({ conflict: "rename" })),
          makeTask(generation, lane.target({ conflict: "rename" }))
        ],
        lane.connection.deliver,
        { concurrency: "unbounded" }
      )
      expect(files.map(({ name }) => name).sort()).toEqual(["a (1).bin", "a (2).bin"])
      expect(text(lane.server.objects.get("in/a.bin")?.bytes)).toBe("theirs")
    })
  )

  it.scopedLive("with what this delivery itself has put there is none: its answer was lost", () =>
    Effect.gen(function* () {
      for (const conflict of ["fail", "skip", "rename", "newer", "backup"] as const) {
        const lane = yield* setUp()
        const { generation } = yield* lane.source.write("a.bin", "mine")
        const task = makeTask(generation, lane.target({ conflict }))
        lane.server.fault("PutObject", { kind: "cut", after: true })
        expect((yield* failed(lane, task))._tag).toBe("TransientError")
        const receipt = yield* lane.connection.deliver(task)
        expect(receipt).toMatchObject({ name: "a.bin", sha256: sha256(Buffer.from("mine")) })
        expect(Array.from(lane.server.objects.keys())).toEqual(["in/a.bin"])
      }
    })
  )

  it.scopedLive("`newer` goes by the time of the file where that was kept", () =>
    Effect.gen(function* () {
      const lane = yield* setUp()
      const { generation } = yield* lane.source.write("a.bin", "mine")
      const seconds = (difference: number) => ({ "x-amz-meta-mtime": String(generation.mtime / 1000 + difference) })
      lane.server.put("in/a.bin", Buffer.from("theirs"), seconds(60))
      expect((yield* failed(lane, makeTask(generation, lane.target({ conflict: "newer" }))))._tag).toBe("SkippedError")
      lane.server.put("in/a.bin", Buffer.from("theirs"), seconds(-60))
      yield* lane.connection.deliver(makeTask(generation, lane.target({ conflict: "newer" })))
      expect(text(lane.server.objects.get("in/a.bin")?.bytes)).toBe("mine")
    })
  )

  it.scopedLive("`backup` makes one copy, however often it is tried, and none where the copy fails", () =>
    Effect.gen(function* () {
      const lane = yield* setUp()
      lane.server.put("in/a.bin", Buffer.from("theirs"))
      const { generation } = yield* lane.source.write("a.bin", "mine")
      const task = makeTask(generation, lane.target({ conflict: "backup" }))
      lane.server.fault("CopyObject", { kind: "errorBody", code: "InternalError" })
      expect((yield* failed(lane, task))._tag).toBe("TransientError")
      expect(text(lane.server.objects.get("in/a.bin")?.bytes)).toBe("theirs")
      lane.server.fault("PutObject", { kind: "refuse", status: 503, code: "SlowDown" })
      expect((yield* failed(lane, task))._tag).toBe("TransientError")
      yield* lane.connection.deliver(task)
      expect(Array.from(lane.server.objects.keys()).sort()).toEqual(["in/a.bin", "in/a.bin.bak"])
      expect(text(lane.server.objects.get("in/a.bin.bak")?.bytes)).toBe("theirs")
    })
  )
})

describe("an upload in parts", () => {
  const size = 5 * mib + 1000
  const content = pattern(size)
  const begin = (manners: Partial<Manners> = {}, options: Partial<TargetOptions> = {}, concurrency = 4) =>
    Effect.gen(function* () {
      const lane = yield* setUp(manners, concurrency)
      const { file, generation } = yield* lane.source.write("large.bin", content)
      const task = noting(makeTask(generation, lane.target({ partSize: mib, ...options })))
      const isWhole = () => {
        const there = lane.server.objects.get("in/large.bin")
        expect(sha256(there?.bytes ?? Buffer.of())).toBe(sha256(content))
        expect(there?.headers["x-amz-meta-filedispatch-delivery"]).toBe(task.task.idempotencyKey)
        expect(lane.server.uploads.size).toBe(0)
      }
      return { ...lane, file, task, isWhole }
    })

  const ways: ReadonlyArray<readonly [string, Partial<Manners>, "hash" | "size"]> = [
    ["the checksums of its parts", {}, "hash"],
    ["the md5 of its parts", { checksums: "ignored" }, "hash"],
    ["the md5 of its parts where checksums are refused", { checksums: "refused" }, "hash"],
    ["its size where there is no hash", { checksums: "ignored", etag: "none" }, "size"]
  ]
  it.scopedLive.each(ways)("is proved by %s", ([, manners, verified]) =>
    Effect.gen(function* () {
      const lane = yield* begin(manners)
      let noted = 0
      const task = {
        ...lane.task.task,
        note: (value: string | null) => {
          noted = lane.server.count("UploadPart")
          return lane.task.task.note(value)
        }
      }
      const receipt = yield* lane.connection.deliver(task)
      expect(receipt).toMatchObject({ bytes: size, sha256: sha256(content), verified })
      expect(lane.server.count("UploadPart")).toBe(6)
      expect(noted).toBe(0)
      lane.isWhole()
    })
  )

  it.scopedLive("reads a part twice where it would take too much memory", () =>
    Effect.gen(function* () {
      const lane = yield* begin({}, { partSize: 3 * mib }, 16)
      const receipt = yield* lane.connection.deliver(lane.task.task)
      expect(receipt).toMatchObject({ verified: "hash", sha256: sha256(content) })
      lane.isWhole()
    })
  )

  it.scopedLive.each([{}, { checksums: "ignored" }, { checksums: "refused" }] as const)(
    "goes on with the parts that arrived: %o",
    (manners) =>
      Effect.gen(function* () {
        const lane = yield* begin(manners, { partSize: 2 * mib }, 1)
        lane.server.fault("UploadPart", { kind: "cut" }, 2)
        expect(["TransientError", "LaneDownError"]).toContain((yield* failed(lane, lane.task.task))._tag)
        expect(lane.server.uploads.size).toBe(1)
        const kept = Array.from(lane.server.uploads.values(), ({ parts }) => parts.size)[0] ?? 0
        const before = lane.server.count("UploadPart")
        const receipt = yield* lane.connection.deliver(lane.task.again())
        expect(receipt).toMatchObject({ verified: "hash", sha256: sha256(content) })
        expect(kept).toBeGreaterThan(0)
        expect(lane.server.count("UploadPart") - before).toBe(3 - kept)
        lane.isWhole()
      })
  )

  it.scopedLive("sends a part again that is kept otherwise", () =>
    Effect.gen(function* () {
      for (const manners of [{}, { checksums: "ignored" }] as const) {
        const lane = yield* begin(manners)
        lane.server.fault("UploadPart", { kind: "corrupt" }, 4)
        expect((yield* failed(lane, lane.task.task))._tag).toBe("TransientError")
        expect(lane.server.objects.size).toBe(0)
        yield* lane.connection.deliver(lane.task.again())
        lane.isWhole()
      }
    })
  )

  it.scopedLive("begins again where its parts can't be listed, or the upload is gone", () =>
    Effect.gen(function* () {
      for (const change of ["unlisted", "gone"]) {
        const lane = yield* begin({ lists: change === "gone" })
        lane.server.fault("UploadPart", { kind: "cut" }, 3)
        yield* failed(lane, lane.task.task)
        if (change === "gone") lane.server.uploads.clear()
        yield* lane.connection.deliver(lane.task.again())
        lane.isWhole()
      }
    })
  )

  it.scopedLive.each([
    ["an error in an answer of success", { kind: "errorBody", code: "InternalError" }],
    ["a cut", { kind: "cut" }],
    ["a cut after it was done", { kind: "cut", after: true }],
    ["503", { kind: "refuse", status: 503, code: "SlowDown" }]
  ] as ReadonlyArray<readonly [string, S3Fault]>)("is completed by the next attempt after %s", ([, fault]) =>
    Effect.gen(function* () {
      for (const conflict of ["overwrite", "fail"] as const) {
        const lane = yield* begin({}, { conflict })
        lane.server.fault("CompleteMultipartUpload", fault)
        expect((yield* failed(lane, lane.task.task))._tag).toBe("TransientError")
        const receipt = yield* lane.connection.deliver(lane.task.again())
        expect(receipt).toMatchObject({ bytes: size, name: "large.bin" })
        expect(lane.server.count("UploadPart")).toBe(6)
        lane.isWhole()
      }
    })
  )

  it.scopedLive("that was completed before a restart is adopted", () =>
    Effect.gen(function* () {
      const lane = yield* begin()
      lane.server.fault("CompleteMultipartUpload", { kind: "cut", after: true })
      yield* failed(lane, lane.task.task)
      const again = lane.task.again()
      const task = { ...again, delivery: { ...again.delivery, interrupted: true } }
      expect(yield* lane.connection.recover(task)).toMatchObject({ _tag: "Some", value: { bytes: size } })
    })
  )

  it.scopedLive("is kept by an interruption, and aborted when it is given up", () =>
    Effect.gen(function* () {
      const lane = yield* begin()
      const reached = yield* Deferred.make<void>()
      lane.server.fault("UploadPart", { kind: "before", run: () => Deferred.unsafeDone(reached, Effect.void) }, 2)
      lane.server.fault("CompleteMultipartUpload", { kind: "silent" })
      const fiber = yield* Effect.fork(lane.connection.deliver(lane.task.task))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(fiber)
      expect(lane.server.uploads.size).toBe(1)
      const discard = lane.connection.discard?.(lane.task.again()) ?? Effect.void
      yield* discard
      expect(lane.server.uploads.size).toBe(0)
      yield* discard
    })
  )

  it.scopedLive("is aborted at once where no other attempt can help", () =>
    Effect.gen(function* () {
      const lane = yield* begin()
      lane.server.fault("CompleteMultipartUpload", { kind: "refuse", status: 400, code: "EntityTooSmall" })
      const error = yield* failed(lane, lane.task.task)
      expect(error._tag).toBe("PermanentError")
      expect(error.message).toContain("5 MiB")
      expect(lane.server.uploads.size).toBe(0)
      expect(lane.task.resume()).toBeNull()
    })
  )

  it.scopedLive("is aborted where the source changes meanwhile", () =>
    Effect.gen(function* () {
      const lane = yield* begin()
      let done = false
      const task = {
        ...lane.task.task,
        progress: () => {
          if (!done) appendFileSync(lane.file, "more")
          done = true
        }
      }
      expect((yield* failed(lane, task))._tag).toBe("SourceChangedError")
      expect(lane.server.objects.size).toBe(0)
      expect(lane.server.uploads.size).toBe(0)
    })
  )

  it("has parts that S3 takes", () => {
    expect(partSize(20 * mib, null)).toBe(8 * mib)
    expect(partSize(20 * mib, 5 * mib)).toBe(5 * mib)
    const large = 5 * 1024 * 1024 * mib
    expect(Math.ceil(large / partSize(large, 5 * mib))).toBeLessThanOrEqual(10_000)
  })
})

describe("a refusal", () => {
  const classes: ReadonlyArray<readonly [number, string | undefined, string, RegExp]> = [
    [403, "AccessDenied", "LaneDownError", /s3:PutObject/],
    [403, "SignatureDoesNotMatch", "LaneDownError", /secret key/],
    [403, "InvalidAccessKeyId", "LaneDownError", /access key/],
    [404, "NoSuchBucket", "LaneDownError", /no bucket bucket/],
    [400, "ExpiredToken", "LaneDownError", /session token/],
    [403, "RequestTimeTooSkewed", "LaneDownError", /clock of this machine: it is \d+ s ahead/],
    [403, "QuotaExceeded", "LaneDownError", /room/],
    [507, undefined, "LaneDownError", /room/],
    [302, undefined, "LaneDownError", /endpoint/],
    [503, "SlowDown", "TransientError", /SlowDown/],
    [429, undefined, "TransientError", /429/],
    [500, "InternalError", "TransientError", /500/],
    [409, "OperationAborted", "TransientError", /409/],
    [400, "RequestTimeout", "TransientError", /RequestTimeout/],
    [400, "EntityTooLarge", "PermanentError", /larger/],
    [400, "KeyTooLongError", "PermanentError", /name/],
    [418, "Teapot", "PermanentError", /as you wish/]
  ]
  it.scopedLive.each(classes)("%i %s is a %s", ([status, code, tag, words]) =>
    Effect.gen(function* () {
      const lane = yield* setUp()
      const { generation } = yield* lane.source.write("a.txt", "text")
      const headers = { date: "Thu, 01 Jan 2015 00:00:00 GMT", "retry-after": "7" }
      lane.server.fault("PutObject", { kind: "refuse", status, headers, ...(code === undefined ? {} : { code }) })
      const error = yield* failed(lane, makeTask(generation, lane.target()))
      expect(error._tag).toBe(tag)
      expect(error.message).toMatch(words)
      if (tag === "TransientError") expect(error).toMatchObject({ retryAfter: 7000 })
    })
  )

  it.scopedLive.each([
    [301, "PermanentRedirect", { "x-amz-bucket-region": "us-west-2" }, ""],
    [400, "AuthorizationHeaderMalformed", {}, "<Region>us-west-2</Region>"]
  ] as const)("%i %s names the right region", ([status, code, headers, extra]) =>
    Effect.gen(function* () {
      const lane = yield* setUp()
      const { generation } = yield* lane.source.write("a.txt", "text")
      lane.server.fault("PutObject", { kind: "refuse", status, code, headers, extra })
      const error = yield* failed(lane, makeTask(generation, lane.target()))
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain("`region: us-west-2`")
    })
  )

  it.scopedLive("of a look says why, though its answer has no body", () =>
    Effect.gen(function* () {
      const lane = yield* setUp()
      const { generation } = yield* lane.source.write("a.txt", "text")
      lane.server.fault("HeadObject", { kind: "refuse", status: 400, code: "ExpiredToken" })
      lane.server.fault("GetObject", { kind: "refuse", status: 400, code: "ExpiredToken" })
      const error = yield* failed(lane, makeTask(generation, lane.target({ conflict: "fail" })))
      expect(error.message).toContain("session token has expired")
    })
  )

  it.scopedLive("by silence is given up after the timeout", () =>
    Effect.gen(function* () {
      const lane = yield* setUp()
      const { generation } = yield* lane.source.write("a.txt", "text")
      lane.server.fault("PutObject", { kind: "silent" })
      expect((yield* failed(lane, makeTask(generation, lane.target({ timeout: 300 }))))._tag).toBe("TransientError")
    })
  )

  it.scopedLive("is our own for a key of more than 1,024 bytes", () =>
    Effect.gen(function* () {
      const lane = yield* setUp()
      const { generation } = yield* lane.source.write("a.txt", "text")
      const to = lane.target()
      const long = { ...to, target: { ...to.target, path: `/${"x".repeat(1020)}` } }
      const error = yield* failed(lane, makeTask(generation, long))
      expect(error._tag).toBe("PermanentError")
      expect(error.message).toContain("1026 bytes")
      expect(lane.server.calls).toEqual([])
    })
  )
})

describe("credentials", () => {
  const files = Effect.gen(function* () {
    const home = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "filedispatch-aws-"))),
      (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
    )
    yield* Effect.promise(async () => {
      await writeFile(
        join(home, "credentials"),
        "# mine\n[default]\naws_access_key_id = ID1\naws_secret_access_key=one=1\n[work]\naws_access_key_id = ID2\naws_secret_access_key = two\naws_session_token = tok\n"
      )
      await writeFile(
        join(home, "config"),
        "[default]\nregion = eu-north-1\n[profile work]\nregion=ap-south-1\ns3 =\n  endpoint_url = http://store:9000/base/\n[profile sso]\nsso_session = x\n"
      )
    })
    return {
      AWS_CONFIG_FILE: join(home, "config"),
      AWS_SHARED_CREDENTIALS_FILE: join(home, "credentials")
    }
  })

  const resolve = (
    environment: S3Credentials.Environment,
    options: { readonly username?: string; readonly password?: string; readonly target?: Partial<TargetOptions> } = {}
  ) =>
    S3Credentials.resolve(
      {
        url: "s3://my-bucket/in",
        scheme: "s3",
        lane: "s3://my-bucket",
        host: "my-bucket",
        port: null,
        username: options.username ?? null,
        path: "/in",
        options: targetOptions(options.target ?? {})
      },
      { ...noSecrets, password: Option.map(Option.fromNullable(options.password), Redacted.make) },
      environment,
      S3Credentials.readProfile(environment)
    )

  it.scopedLive("come from the URL, the environment, and the profile, in that order", () =>
    Effect.gen(function* () {
      const shared = yield* files
      const env = { ...shared, AWS_ACCESS_KEY_ID: "ID3", AWS_SECRET_ACCESS_KEY: "three", AWS_REGION: "us-east-2" }
      const fromUrl = yield* resolve(env, { username: "ID4", password: "four" })
      expect(fromUrl.account.accessKeyId).toBe("ID4")
      const fromEnv = yield* resolve(env)
      expect(fromEnv).toMatchObject({
        account: { accessKeyId: "ID3", sessionToken: Option.none() },
        region: "us-east-2",
        origin: "https://my-bucket.s3.us-east-2.amazonaws.com",
        base: ""
      })
      const fromFile = yield* resolve(shared)
      expect(fromFile).toMatchObject({ account: { accessKeyId: "ID1" }, region: "eu-north-1" })
      expect(Redacted.value(fromFile.account.secretAccessKey)).toBe("one=1")
      const fromProfile = yield* resolve({ ...shared, AWS_PROFILE: "work" })
      expect(fromProfile).toMatchObject({
        account: { accessKeyId: "ID2" },
        region: "ap-south-1",
        origin: "http://store:9000",
        base: "/base/my-bucket"
      })
      expect(Option.map(fromProfile.account.sessionToken, Redacted.value)).toEqual(Option.some("tok"))
      const secretElsewhere = yield* resolve(shared, { username: "ID1" })
      expect(Redacted.value(secretElsewhere.account.secretAccessKey)).toBe("one=1")
    })
  )

  it.scopedLive("that are missing take the lane down, with what to do", () =>
    Effect.gen(function* () {
      const none = { AWS_CONFIG_FILE: "/none", AWS_SHARED_CREDENTIALS_FILE: "/none" }
      const error = yield* Effect.flip(resolve(none))
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain("AWS_ACCESS_KEY_ID")
      expect((yield* Effect.flip(resolve(none, { username: "ID9" }))).message).toContain("access key ID9")
      const sso = yield* Effect.flip(resolve({ ...(yield* files), AWS_PROFILE: "sso" }))
      expect(sso.message).toContain("sso_session")
      const endpoint = yield* Effect.exit(
        resolve(none, { username: "a", password: "b", target: { endpoint: "ftp://x" } })
      )
      expect(Exit.isFailure(endpoint)).toBe(true)
    })
  )

  it.scopedLive("find the bucket in the path or in the host name", () =>
    Effect.gen(function* () {
      const account = { username: "a", password: "b" }
      const at = (target: Partial<TargetOptions>) => resolve({}, { ...account, target })
      const endpoint = "https://store.example:9000"
      expect(yield* at({ endpoint })).toMatchObject({ origin: endpoint, base: "/my-bucket" })
      expect(yield* at({ endpoint, pathStyle: false })).toMatchObject({
        origin: "https://my-bucket.store.example:9000",
        base: ""
      })
      expect(yield* at({ region: "cn-north-1", pathStyle: true })).toMatchObject({
        origin: "https://s3.cn-north-1.amazonaws.com.cn",
        base: "/my-bucket"
      })
    })
  )
})

describe("a document", () => {
  it("is read with XML's own entities and no others", () => {
    const bomb = `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><Error><Code>&b;</Code></Error>`
    expect(parseError(Buffer.from(bomb))?.Code ?? "").not.toContain("aaaa")
    expect(parseError(Buffer.from("<Error><Code>A&amp;B&#x41;</Code></Error>"))?.Code).toBe("A&BA")
    expect(parseError(Buffer.from("<html>no</html>"))).toBeUndefined()
    expect(parseError(Buffer.from("<Error><Code>"))?.Code ?? "").toBe("")
    expect(parseParts(Buffer.from("<ListPartsResult></ListPartsResult>"))).toEqual({ parts: [], next: undefined })
  })
})

describe("a probe", () => {
  const states = (manners: Partial<Manners>) =>
    Effect.gen(function* () {
      const { connection, server, target } = yield* setUp(manners)
      const findings = yield* connection.probe?.({ ...target(), temp: ".fd-probe.part" }) ?? Effect.succeed([])
      expect(server.objects.size).toBe(0)
      expect(server.uploads.size).toBe(0)
      return { findings, of: (what: string) => findings.find((one) => one.what === what) }
    })

  it.scopedLive("tells what a service can do", () =>
    Effect.gen(function* () {
      const able = yield* states({})
      for (const what of ["reachable", "identity", "authenticated", "folder", "writable", "rename", "verification"]) {
        expect(able.of(what)?.state).toBe("yes")
      }
      expect(able.of("identity")?.found).toContain("Scripted/1.0")
      expect(able.of("resume")?.state).toBe("yes")
      const unable = yield* states({
        checksums: "refused",
        conditional: "ignored",
        etag: "opaque",
        lists: false,
        metadata: false
      })
      for (const what of ["rename", "verification", "resume", "mtime"]) expect(unable.of(what)?.state).toBe("limit")
    })
  )

  it.scopedLive("tells why nothing can be written", () =>
    Effect.gen(function* () {
      const { connection, server, target } = yield* setUp()
      server.fault("PutObject", { kind: "refuse", status: 403, code: "AccessDenied" })
      const findings = yield* connection.probe?.({ ...target(), temp: ".fd-probe.part" }) ?? Effect.succeed([])
      expect(findings.find(({ what }) => what === "writable")).toMatchObject({ state: "no" })
    })
  )
})
