/**
 * What every destination must do. Each implementation runs this suite over its own far side; what a protocol can't do
 * is said in its {@link Capabilities}, and nowhere else.
 */
import { createHash } from "node:crypto"
import { appendFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, type Scope } from "effect"
import type { Connection, Destination, Task } from "../../src/deliver/Destination.ts"
import { DeliveryId, type Delivery } from "../../src/domain/Delivery.ts"
import type { DeliveryError } from "../../src/domain/DeliveryError.ts"
import { GenerationId, stamp, type Generation } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { RouteTarget } from "../../src/domain/Settings.ts"
import { usualOptions, type Target, type TargetOptions } from "../../src/domain/Target.ts"

/** The other end, as seen from outside of the destination. */
export interface FarSide {
  readonly destination: Destination
  /** A target below its root. */
  readonly target: (options?: Partial<TargetOptions>, folder?: string) => RouteTarget
  /** A target where nobody answers. */
  readonly down?: RouteTarget
  /** The file of that name below the target. */
  readonly read: (target: Target, name: string) => Effect.Effect<Uint8Array | undefined>
  /** A stranger's file. */
  readonly put: (target: Target, name: string, bytes: Uint8Array) => Effect.Effect<void>
  /** The names of all files below the target, temp files too. */
  readonly list: (target: Target) => Effect.Effect<ReadonlyArray<string>>
}

export interface Capabilities {
  /** Keeps the folders of a name. */
  readonly folders: boolean
  /** Keeps names that are not UTF-8; otherwise refuses them. */
  readonly bytes: boolean
  /** Keeps names with a line break; otherwise refuses them. */
  readonly lineBreaks: boolean
  /** Reports progress while it reads, so that a change in the middle can be provoked. */
  readonly streams: boolean
  /** Stages under a temp name. */
  readonly temps: boolean
  /** What it adopts after a restart: only a name that was chosen, any file that matches, nothing. */
  readonly adopts: "chosen" | "any" | "nothing"
  /** Knows the sha256 of what it sent. */
  readonly hashes: boolean
}

export interface Subject {
  readonly name: string
  readonly make: Effect.Effect<FarSide, never, Scope.Scope>
  readonly capabilities: Capabilities
  /** Where the suite can't run: the reason is part of the name that is shown. */
  readonly skip?: string | undefined
}

/** Options of a target, for tests. */
export const targetOptions = (options: Partial<TargetOptions> = {}): TargetOptions => ({
  ...usualOptions,
  conflict: "overwrite",
  retry: { attempts: 3, base: 10, factor: 2, cap: 100 },
  concurrency: 4,
  timeout: 10_000,
  fieldname: "file",
  upload: "multipart",
  method: null,
  secure: "none",
  ...options
})

export interface SourceFile {
  readonly file: string
  readonly generation: Generation
}

/** A source folder of its own, and files in it as accepted generations. */
export const makeSource = Effect.gen(function* () {
  const source = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "filedispatch-source-"))),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
  )
  let id = 0
  const accept = (path: string) =>
    Effect.promise(async (): Promise<SourceFile> => {
      const file = Buffer.concat([Buffer.from(`${source}/`), Buffer.from(RelPath.toBytes(path))])
      const found = await stat(file, { bigint: true })
      id += 1
      return {
        file: join(source, path),
        generation: {
          id: GenerationId.make(id),
          source,
          path: RelPath.make(path),
          stamp: stamp(found),
          size: Number(found.size),
          mtime: Number(found.mtimeMs),
          born: Number(found.birthtimeMs),
          after: { _tag: "Keep" }
        }
      }
    })
  return {
    source,
    accept,
    write: (path: string, content: Uint8Array | string) =>
      Effect.zipRight(
        Effect.promise(async () => {
          if (path.includes("/")) await mkdir(join(source, dirname(path)), { recursive: true })
          await writeFile(Buffer.concat([Buffer.from(`${source}/`), Buffer.from(RelPath.toBytes(path))]), content)
        }),
        accept(path)
      ),
    /** Of that size, without taking room. */
    sparse: (path: string, size: number) =>
      Effect.suspend(() => {
        writeFileSync(join(source, path), "")
        truncateSync(join(source, path), size)
        return accept(path)
      })
  }
})

let lastDelivery = 0

/** One attempt at a delivery, of which a test says what matters to it. */
export const makeTask = (
  generation: Generation,
  to: RouteTarget,
  options: Partial<Omit<Task, "delivery">> & { readonly delivery?: Partial<Delivery> } = {}
): Task => {
  lastDelivery += 1
  const { delivery, ...task } = options
  return {
    delivery: {
      id: DeliveryId.make(lastDelivery),
      generation,
      route: "route",
      target: to.target,
      name: generation.path,
      state: "SENDING",
      attempts: 0,
      due: null,
      reason: null,
      chosen: null,
      resume: null,
      sole: false,
      interrupted: false,
      receipt: null,
      created: 0,
      updated: 0,
      ...delivery
    },
    secrets: to.secrets,
    temp: tempName(lastDelivery, 1),
    stale: [],
    idempotencyKey: `key-${lastDelivery}`,
    sync: false,
    progress: () => undefined,
    pace: undefined,
    choose: () => Effect.void,
    note: () => Effect.void,
    ...task
  }
}

export const tempName = (delivery: number, attempt: number): string =>
  `.fd-${String(delivery).padStart(10, "0")}${String(attempt).padStart(10, "0")}.part`

/** Bytes that no mistake reproduces: the same for the same size and seed. */
export const pattern = (size: number, seed = 1): Buffer => {
  const bytes = Buffer.allocUnsafe(size)
  let state = seed >>> 0
  for (let index = 0; index < size; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[index] = state >>> 24
  }
  return bytes
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

const opaque = RelPath.fromBytes(Uint8Array.from([0x66, 0xe9, 0xff, 0xfe, 0x2e, 0x74, 0x78, 0x74]))

const names: ReadonlyArray<readonly [string, string]> = [
  ["plain", "plain.txt"],
  ["spaces", "two  words here.txt"],
  ["a space at either end", " edge "],
  ["quotes", `"double" 'single' \`back\`.txt`],
  ["a per cent sign", "100%.txt"],
  ["a per cent code", "a%20b%2Fc.txt"],
  ["URL characters", "a#b?c&d=e+f;g@h:i.txt"],
  ["glob characters", "[a]*{b,c}?!.txt"],
  ["a backslash", "back\\slash.txt"],
  ["a leading dash", "-rf"],
  ["a leading tilde", "~root"],
  ["a leading dot", ".hidden"],
  ["letters of many scripts", "grüße-日本語-עברית-🎉.txt"],
  ["composed", "caf\u00e9.txt"],
  ["decomposed", "cafe\u0301.txt"],
  ["240 bytes", `${"n".repeat(196)}${"é".repeat(20)}.txt`]
]

export const destinationContract = (subject: Subject): void => {
  const { capabilities } = subject
  const title = subject.skip === undefined ? subject.name : `${subject.name} (skipped: ${subject.skip})`

  /** Everything that a test needs, for as long as it runs. */
  const setUp = Effect.gen(function* () {
    const far = yield* subject.make
    const source = yield* makeSource
    const connection: Connection = yield* far.destination.open("lane", { concurrency: 4, sync: false })
    return { far, source, connection }
  })

  /** The failure of an attempt that must not succeed. */
  const failure = <A>(effect: Effect.Effect<A, DeliveryError>): Effect.Effect<DeliveryError> =>
    Effect.flatMap(Effect.exit(effect), (exit) =>
      Exit.isFailure(exit) && exit.cause._tag === "Fail"
        ? Effect.succeed(exit.cause.error)
        : Effect.dieMessage(`expected a failure: ${JSON.stringify(exit)}`)
    )

  describe.skipIf(subject.skip !== undefined)(`a destination: ${title}`, () => {
    for (const size of [0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 5 * 1024 * 1024]) {
      it.scopedLive(`delivers ${size} bytes as they are, and says so`, () =>
        Effect.gen(function* () {
          const { connection, far, source } = yield* setUp
          const content = pattern(size)
          const { generation } = yield* source.write("file.bin", content)
          const to = far.target()
          let progress = 0
          const receipt = yield* connection.deliver(
            makeTask(generation, to, {
              progress: (bytes) => {
                progress += bytes
              }
            })
          )
          const arrived = yield* far.read(to.target, "file.bin")
          expect(arrived?.byteLength).toBe(size)
          expect(sha256(arrived ?? Buffer.of())).toBe(sha256(content))
          expect(receipt).toMatchObject({ bytes: size, name: "file.bin" })
          if (capabilities.hashes) expect(receipt.sha256).toBe(sha256(content))
          expect(progress).toBeGreaterThanOrEqual(size)
          expect(yield* far.list(to.target)).toEqual(["file.bin"])
        })
      )
    }

    it.scopedLive.each(names)("keeps a name with %s", ([, name]) =>
      Effect.gen(function* () {
        const { connection, far, source } = yield* setUp
        const { generation } = yield* source.write(name, name)
        const to = far.target()
        const receipt = yield* connection.deliver(makeTask(generation, to))
        expect(receipt.name).toBe(name)
        expect(yield* far.list(to.target)).toEqual([name])
        expect(Buffer.from((yield* far.read(to.target, name)) ?? []).toString()).toBe(name)
      })
    )

    it.scopedLive(`${capabilities.bytes ? "keeps" : "refuses"} a name that is not UTF-8`, () =>
      Effect.gen(function* () {
        const { connection, far, source } = yield* setUp
        const { generation } = yield* source.write(opaque, "bytes")
        const to = far.target()
        const attempt = connection.deliver(makeTask(generation, to))
        if (capabilities.bytes) {
          yield* attempt
          expect(yield* far.list(to.target)).toEqual([opaque])
        } else {
          expect(yield* failure(attempt)).toMatchObject({ _tag: "PermanentError" })
          expect(yield* far.list(to.target)).toEqual([])
        }
      })
    )

    it.scopedLive(`${capabilities.lineBreaks ? "keeps" : "refuses"} a name with a line break`, () =>
      Effect.gen(function* () {
        const { connection, far, source } = yield* setUp
        const name = "a\r\nDELE b.txt"
        const { generation } = yield* source.write(name, "text")
        const to = far.target()
        const attempt = connection.deliver(makeTask(generation, to))
        if (capabilities.lineBreaks) {
          yield* attempt
          expect(yield* far.list(to.target)).toEqual([name])
        } else {
          const error = yield* failure(attempt)
          expect(error._tag).toBe("PermanentError")
          expect(error.message).not.toContain("\n")
          expect(yield* far.list(to.target)).toEqual([])
        }
        // and the next one is none the worse for it
        const next = yield* source.write("next.txt", "next")
        yield* connection.deliver(makeTask(next.generation, to))
        expect(yield* far.read(to.target, "next.txt")).toBeDefined()
      })
    )

    it.scopedLive.each(["../up.txt", "a/../../up.txt", "/absolute.txt", "a//b.txt", "./here.txt"])(
      "refuses %s, which leads elsewhere",
      (name) =>
        Effect.gen(function* () {
          const { connection, far, source } = yield* setUp
          const { generation } = yield* source.write("file.txt", "text")
          const to = far.target({}, "deep/er")
          const task = makeTask(generation, to, { delivery: { name: RelPath.make(name) } })
          expect(yield* failure(connection.deliver(task))).toMatchObject({ _tag: "PermanentError" })
          expect(yield* far.list(far.target().target)).toEqual([])
        })
    )

    if (capabilities.folders) {
      it.scopedLive("makes the folders of a name, many at once", () =>
        Effect.gen(function* () {
          const { connection, far, source } = yield* setUp
          const to = far.target({}, "new/root")
          const wanted = ["x/1.txt", "x/y/2.txt", "x/y/z z/3.txt", "w/4.txt"]
          const files = yield* Effect.forEach(wanted, (name) => source.write(name, name))
          yield* Effect.forEach(files, ({ generation }) => connection.deliver(makeTask(generation, to)), {
            concurrency: "unbounded"
          })
          expect(Array.from(yield* far.list(to.target)).sort()).toEqual(Array.from(wanted).sort())
        })
      )
    }

    it.scopedLive("overwrites what is there, and a second delivery leaves one result", () =>
      Effect.gen(function* () {
        const { connection, far, source } = yield* setUp
        const to = far.target()
        yield* far.put(to.target, "file.txt", Buffer.from("a stranger's, and longer"))
        const { generation } = yield* source.write("file.txt", "mine")
        const task = makeTask(generation, to)
        yield* connection.deliver(task)
        yield* connection.deliver({ ...task, temp: tempName(lastDelivery, 2), stale: [task.temp] })
        expect(yield* far.list(to.target)).toEqual(["file.txt"])
        expect(Buffer.from((yield* far.read(to.target, "file.txt")) ?? []).toString()).toBe("mine")
      })
    )

    it.scopedLive("delivers several at once", () =>
      Effect.gen(function* () {
        const { connection, far, source } = yield* setUp
        const to = far.target()
        const files = yield* Effect.forEach(
          Array.from({ length: 20 }, (_, index) => `${index}.bin`),
          (name, index) => source.write(name, pattern(300_000, index))
        )
        const receipts = yield* Effect.forEach(
          files,
          ({ generation }) => connection.deliver(makeTask(generation, to)),
          { concurrency: 5 }
        )
        expect(receipts.map(({ bytes }) => bytes)).toEqual(files.map(() => 300_000))
        for (const [index, { generation }] of files.entries()) {
          expect(sha256((yield* far.read(to.target, generation.path)) ?? Buffer.of())).toBe(
            sha256(pattern(300_000, index))
          )
        }
      })
    )

    describe("with a file of that name at the target", () => {
      const conflict = (policy: TargetOptions["conflict"], chosen: string | null = null) =>
        Effect.gen(function* () {
          const { connection, far, source } = yield* setUp
          if (!far.destination.conflicts.includes(policy)) return undefined
          const to = far.target({ conflict: policy })
          yield* far.put(to.target, "a.b.txt", Buffer.from("a stranger's"))
          const { generation } = yield* source.write("a.b.txt", "mine")
          const seen: Array<{ readonly name: string; readonly files: ReadonlyArray<string> }> = []
          const exit = yield* Effect.exit(
            connection.deliver(
              makeTask(generation, to, {
                delivery: { chosen: chosen === null ? null : RelPath.make(chosen) },
                choose: (name) =>
                  Effect.gen(function* () {
                    yield* Effect.sleep(30)
                    const files = yield* far.list(to.target)
                    seen.push({ name, files: files.filter((file) => !file.startsWith(".fd-")) })
                  })
              })
            )
          )
          const files = Array.from(yield* far.list(to.target)).sort()
          const text = (name: string) =>
            Effect.map(far.read(to.target, name), (bytes) => Buffer.from(bytes ?? []).toString())
          return { exit, files, seen, text }
        })

      it.scopedLive("`rename` takes the first free name, and commits it before it publishes", () =>
        Effect.gen(function* () {
          const result = yield* conflict("rename")
          if (result === undefined) return
          expect(result.exit).toMatchObject({ _tag: "Success", value: { name: "a.b (1).txt" } })
          expect(result.files).toEqual(["a.b (1).txt", "a.b.txt"])
          expect(result.seen).toEqual([{ name: "a.b (1).txt", files: ["a.b.txt"] }])
          expect(yield* result.text("a.b.txt")).toBe("a stranger's")
          expect(yield* result.text("a.b (1).txt")).toBe("mine")
        })
      )

      it.scopedLive("`rename` keeps to a name that was chosen before", () =>
        Effect.gen(function* () {
          const result = yield* conflict("rename", "a.b (7).txt")
          if (result === undefined) return
          expect(result.exit).toMatchObject({ _tag: "Success", value: { name: "a.b (7).txt" } })
          expect(result.files).toEqual(["a.b (7).txt", "a.b.txt"])
        })
      )

      it.scopedLive("`skip` leaves it alone", () =>
        Effect.gen(function* () {
          const result = yield* conflict("skip")
          if (result === undefined) return
          // no receipt: a file that was not delivered is no reason to remove its source
          expect(result.exit).toMatchObject({ _tag: "Failure", cause: { error: { _tag: "SkippedError" } } })
          expect(result.files).toEqual(["a.b.txt"])
          expect(yield* result.text("a.b.txt")).toBe("a stranger's")
        })
      )

      it.scopedLive("`fail` is a permanent error", () =>
        Effect.gen(function* () {
          const result = yield* conflict("fail")
          if (result === undefined) return
          expect(result.exit).toMatchObject({ _tag: "Failure", cause: { error: { _tag: "PermanentError" } } })
          expect(result.files).toEqual(["a.b.txt"])
          expect(yield* result.text("a.b.txt")).toBe("a stranger's")
        })
      )
    })

    it.scopedLive("does not send a source that has changed, is gone, or is no longer a file", () =>
      Effect.gen(function* () {
        const { connection, far, source } = yield* setUp
        const to = far.target()
        const changed = yield* source.write("changed.txt", "before")
        appendFileSync(changed.file, " and after")
        expect((yield* failure(connection.deliver(makeTask(changed.generation, to))))._tag).toBe("SourceChangedError")
        const gone = yield* source.write("gone.txt", "here")
        rmSync(gone.file)
        expect((yield* failure(connection.deliver(makeTask(gone.generation, to))))._tag).toBe("SourceGoneError")
        const link = yield* source.write("link.txt", "a file")
        renameSync(link.file, `${link.file}.moved`)
        symlinkSync(`${link.file}.moved`, link.file)
        expect((yield* failure(connection.deliver(makeTask(link.generation, to))))._tag).toBe("SourceChangedError")
        expect(yield* far.list(to.target)).toEqual([])
      })
    )

    if (capabilities.streams) {
      it.scopedLive.each(["grows", "shrinks", "is rewritten"])(
        "publishes nothing of a source that %s meanwhile",
        (how) =>
          Effect.gen(function* () {
            const { connection, far, source } = yield* setUp
            const to = far.target()
            const { file, generation } = yield* source.write("file.bin", pattern(3_000_000))
            let done = false
            const task = makeTask(generation, to, {
              progress: () => {
                if (done) return
                done = true
                if (how === "grows") appendFileSync(file, "more")
                else if (how === "shrinks") truncateSync(file, 1_000_000)
                else writeFileSync(file, pattern(3_000_000, 2))
              }
            })
            expect((yield* failure(connection.deliver(task)))._tag).toBe("SourceChangedError")
            expect(yield* far.list(to.target)).toEqual([])
          })
      )
    }

    it.scopedLive("leaves no part of a file under its name when it is interrupted, and sends it again", () =>
      Effect.gen(function* () {
        const { connection, far, source } = yield* setUp
        const to = far.target()
        const size = 64 * 1024 * 1024
        const { generation } = yield* source.sparse("large.bin", size)
        const begun = yield* Deferred.make<void>()
        const first = makeTask(generation, to, { progress: () => Deferred.unsafeDone(begun, Effect.void) })
        const fiber = yield* Effect.fork(connection.deliver(first))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(fiber)
        const size1 = (yield* far.read(to.target, "large.bin"))?.byteLength
        expect([undefined, size]).toContain(size1)
        const second = { ...first, temp: tempName(lastDelivery, 2), stale: [first.temp], progress: () => undefined }
        expect(yield* connection.deliver(second)).toMatchObject({ bytes: size })
        expect(yield* far.list(to.target)).toEqual(["large.bin"])
      })
    )

    it.scopedLive("removes what earlier attempts left", () =>
      Effect.gen(function* () {
        const { connection, far, source } = yield* setUp
        const to = far.target()
        const { generation } = yield* source.write("file.txt", "text")
        const task = makeTask(generation, to, { stale: [tempName(999_999, 1), tempName(999_999, 2)] })
        if (capabilities.temps) yield* far.put(to.target, tempName(999_999, 1), Buffer.from("half"))
        yield* connection.deliver(task)
        expect(yield* far.list(to.target)).toEqual(["file.txt"])
      })
    )

    describe("after a restart", () => {
      const interrupted = (there: "nothing" | "half" | "whole" | "another", chosen: boolean) =>
        Effect.gen(function* () {
          const { connection, far, source } = yield* setUp
          const policy = chosen && far.destination.conflicts.includes("rename") ? "rename" : "overwrite"
          const to = far.target({ conflict: policy })
          const content = pattern(10_000)
          const { generation } = yield* source.write("file.bin", content)
          const task = makeTask(generation, to, {
            delivery: { interrupted: true, chosen: chosen ? RelPath.make("file.bin") : null }
          })
          if (there === "half") yield* far.put(to.target, task.temp, content.subarray(0, 5_000))
          if (there === "whole") yield* far.put(to.target, "file.bin", content)
          if (there === "another") yield* far.put(to.target, "file.bin", pattern(9_999, 3))
          const recovered = yield* connection.recover(task)
          return { recovered, files: yield* far.list(to.target) }
        })

      it.scopedLive("finds nothing where nothing was published", () =>
        Effect.gen(function* () {
          const { files, recovered } = yield* interrupted("nothing", true)
          expect(recovered).toEqual(Option.none())
          expect(files).toEqual([])
        })
      )

      it.scopedLive("does not adopt a file of another size", () =>
        Effect.gen(function* () {
          const { files, recovered } = yield* interrupted("another", true)
          expect(recovered).toEqual(Option.none())
          expect(files).toEqual(["file.bin"])
        })
      )

      if (capabilities.adopts === "nothing") return

      it.scopedLive("adopts what was published under the name that was chosen", () =>
        Effect.gen(function* () {
          const { recovered } = yield* interrupted("whole", true)
          expect(recovered).toMatchObject({ _tag: "Some", value: { bytes: 10_000, name: "file.bin" } })
        })
      )

      if (capabilities.temps) {
        it.scopedLive("removes the temp file", () =>
          Effect.gen(function* () {
            const { files, recovered } = yield* interrupted("half", true)
            expect(recovered).toEqual(Option.none())
            expect(files).toEqual([])
          })
        )
      }

      if (capabilities.adopts === "chosen") {
        it.scopedLive("does not adopt what may have been there before", () =>
          Effect.gen(function* () {
            const { files, recovered } = yield* interrupted("whole", false)
            expect(recovered).toEqual(Option.none())
            expect(files).toEqual(["file.bin"])
          })
        )
      }
    })

    it.scopedLive("says that the lane is down where nobody answers", () =>
      Effect.gen(function* () {
        const { connection, far, source } = yield* setUp
        if (far.down === undefined) return
        const { generation } = yield* source.write("file.txt", "text")
        const error = yield* failure(connection.deliver(makeTask(generation, far.down)))
        expect(error._tag).toBe("LaneDownError")
        expect(error.message).toContain("Check host and port")
      })
    )
  })
}
