/**
 * What every destination must do. Each implementation runs this suite over its own far side; what a protocol can't do
 * is said in its {@link Capabilities}, and nowhere else.
 */
import { createHash } from "node:crypto"
import { appendFileSync, renameSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from "node:fs"
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, type Scope } from "effect"
import type { Connection, Destination, Task } from "../../src/deliver/Destination.ts"
import * as Examine from "../../src/deliver/Examine.ts"
import * as Findings from "../../src/deliver/Findings.ts"
import { DeliveryId, type Delivery, type Receipt, type Verified } from "../../src/domain/Delivery.ts"
import type { DeliveryError } from "../../src/domain/DeliveryError.ts"
import { GenerationId, stamp, type Generation } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { RouteTarget } from "../../src/domain/Settings.ts"
import { usualOptions, type Target, type TargetOptions, type Verify } from "../../src/domain/Target.ts"

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
  /** The names of all files below the target, temp files too, and uploads that were begun and are not files yet. */
  readonly list: (target: Target) => Effect.Effect<ReadonlyArray<string>>
  /** When the file was modified, in milliseconds since the epoch. */
  readonly modified?: (target: Target, name: string) => Effect.Effect<number | undefined>
  /** Sets that. */
  readonly touch?: (target: Target, name: string, mtime: number) => Effect.Effect<void>
  /** Cuts every connection, as a broken network would. */
  readonly cut?: Effect.Effect<void>
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
  /** How a delivery is proved under each `verify`. */
  readonly verifies?: Readonly<Record<Verify, Verified>>
  /**
   * Goes on with an upload of 20 MiB that was cut after 12. `temp`: from a temp file that {@link Task.note} has named;
   * `own`: by means of its own, of which the note is all that is known.
   */
  readonly resumes?: "temp" | "own"
  /** How a receipt is held against what is there, where not everything is read back; left out: nobody can tell. */
  readonly examines?: "hash" | "size"
  /** Takes small files in batches, once it knows the far side. */
  readonly batches?: boolean
  /** Waits for {@link Task.pace} before it hands on. */
  readonly paces?: boolean
  /** Keeps the time at which a file was modified, as exact as this, in milliseconds. Wants {@link FarSide.modified}. */
  readonly mtime?: number
  /** Its far side takes names for the same that differ by case only, and the destination heeds that. */
  readonly folds?: boolean
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
          after: { _tag: "Keep" },
          onDead: null,
          marker: null
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
      priority: 0,
      facts: null,
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

    /** After a first delivery, by which a destination learns what it needs to know of the far side. */
    const inBatches = (
      names: ReadonlyArray<string>,
      before: (far: FarSide, to: RouteTarget) => Effect.Effect<void> = () => Effect.void
    ) =>
      Effect.gen(function* () {
        const { connection, far, source } = yield* setUp
        const { batch } = connection
        const to = far.target()
        const first = yield* source.write("first.txt", "first")
        yield* connection.deliver(makeTask(first.generation, to))
        yield* before(far, to)
        const settled: Array<string> = []
        const tasks = yield* Effect.forEach(names, (name) =>
          Effect.map(source.write(name, `this is ${name}`), ({ generation }) =>
            makeTask(generation, to, { settle: (receipt) => void settled.push(receipt.name) })
          )
        )
        const accepted = batch !== undefined && tasks.every(({ delivery }) => batch.accepts(delivery))
        const exits = accepted ? yield* batch.deliver(tasks) : []
        expect(accepted).toBe(capabilities.batches ?? false)
        return { accepted, exits, far, settled, to }
      })

    it.scopedLive("delivers small files in batches as it does single ones", () =>
      Effect.gen(function* () {
        const names = Array.from({ length: 20 }, (_, index) => `small ${index} é.txt`)
        const { accepted, exits, far, to } = yield* inBatches(names, (far, to) =>
          // what is there is replaced
          far.put(to.target, "small 3 é.txt", Buffer.from("old"))
        )
        if (!accepted) return
        expect(exits).toHaveLength(20)
        for (const [index, name] of names.entries()) {
          const exit = exits[index]
          // one that was not begun is offered again
          if (exit === undefined) continue
          expect(exit).toMatchObject({ _tag: "Success", value: { bytes: Buffer.byteLength(`this is ${name}`), name } })
          expect(Buffer.from((yield* far.read(to.target, name)) ?? []).toString()).toBe(`this is ${name}`)
          if (exit._tag === "Success" && capabilities.hashes) {
            expect(exit.value.sha256).toBe(sha256(Buffer.from(`this is ${name}`)))
          }
        }
        const begun = names.filter((_, index) => exits[index] !== undefined)
        expect(begun.length).toBeGreaterThan(0)
        expect((yield* far.list(to.target)).toSorted()).toEqual(
          [...new Set(["first.txt", "small 3 é.txt", ...begun])].toSorted()
        )
      })
    )

    it.scopedLive("sends the others of a batch where one has changed or is gone", () =>
      Effect.gen(function* () {
        const names = ["a.txt", "b.txt", "c.txt", "d.txt"]
        const { connection, far, source } = yield* setUp
        const { batch } = connection
        const to = far.target()
        const first = yield* source.write("first.txt", "first")
        yield* connection.deliver(makeTask(first.generation, to))
        const files = yield* Effect.forEach(names, (name) => source.write(name, name))
        const tasks = files.map(({ generation }) => makeTask(generation, to))
        if (batch === undefined || !tasks.every(({ delivery }) => batch.accepts(delivery))) return
        appendFileSync(files[1]?.file ?? "", "more")
        rmSync(files[2]?.file ?? "")
        const exits = yield* batch.deliver(tasks)
        expect(exits.map((exit) => (exit === undefined ? "not begun" : exit._tag))).toEqual([
          "Success",
          "Failure",
          "Failure",
          "Success"
        ])
        expect((yield* far.list(to.target)).toSorted()).toEqual(["a.txt", "d.txt", "first.txt"])
      })
    )

    it.scopedLive("a batch goes on over a connection that was cut", () =>
      Effect.gen(function* () {
        const names = Array.from({ length: 8 }, (_, index) => `after-${index}.txt`)
        const { accepted, exits, far, settled, to } = yield* inBatches(names, (far) => far.cut ?? Effect.void)
        if (!accepted || far.cut === undefined) return
        const arrived = names.filter((_, index) => exits[index]?._tag === "Success")
        // whoever has not arrived says so, and has left nothing
        expect((yield* far.list(to.target)).toSorted()).toEqual(["first.txt", ...arrived].toSorted())
        for (const name of settled) expect(arrived).toContain(name)
        for (const exit of exits) {
          if (exit === undefined || exit._tag === "Success") continue
          expect(exit.cause._tag === "Fail" ? exit.cause.error._tag : "defect").toMatch(/Transient|LaneDown/)
        }
      })
    )

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

      it.scopedLive("`backup` keeps it under another name, and those that were kept before", () =>
        Effect.gen(function* () {
          const { connection, far, source } = yield* setUp
          if (!far.destination.conflicts.includes("backup")) return
          const to = far.target({ conflict: "backup" })
          yield* far.put(to.target, "a.b.txt", Buffer.from("a stranger's"))
          for (const content of ["first", "second"]) {
            const { generation } = yield* source.write("a.b.txt", content)
            expect(yield* connection.deliver(makeTask(generation, to))).toMatchObject({ name: "a.b.txt" })
          }
          const files = Array.from(yield* far.list(to.target)).sort()
          expect(files).toEqual(["a.b.txt", "a.b.txt.bak", "a.b.txt.bak1"])
          const contents = yield* Effect.forEach(files, (name) =>
            Effect.map(far.read(to.target, name), (bytes) => Buffer.from(bytes ?? []).toString())
          )
          expect(contents).toEqual(["second", "a stranger's", "first"])
        })
      )

      const times: ReadonlyArray<readonly [string, number, boolean]> = [
        ["replaces an older one", -60_000, true],
        ["leaves one alone of the same second", 0, false],
        ["leaves a newer one alone", 60_000, false]
      ]
      it.scopedLive.each(times)("`newer` %s", ([, difference, replaced]) =>
        Effect.gen(function* () {
          const { connection, far, source } = yield* setUp
          if (!far.destination.conflicts.includes("newer") || far.touch === undefined) return
          const to = far.target({ conflict: "newer" })
          const { generation } = yield* source.write("a.b.txt", "mine")
          yield* far.put(to.target, "a.b.txt", Buffer.from("a stranger's"))
          yield* far.touch(to.target, "a.b.txt", generation.mtime + difference)
          const exit = yield* Effect.exit(connection.deliver(makeTask(generation, to)))
          if (replaced) expect(exit).toMatchObject({ _tag: "Success", value: { name: "a.b.txt" } })
          else expect(exit).toMatchObject({ _tag: "Failure", cause: { error: { _tag: "SkippedError" } } })
          expect(yield* far.list(to.target)).toEqual(["a.b.txt"])
          const text = Buffer.from((yield* far.read(to.target, "a.b.txt")) ?? []).toString()
          expect(text).toBe(replaced ? "mine" : "a stranger's")
        })
      )
    })

    if (capabilities.folds === true) {
      it.scopedLive("tells a name from one that the target can't tell it from", () =>
        Effect.gen(function* () {
          const { connection, far, source } = yield* setUp
          const strict = far.target()
          const other = yield* source.write("Other.txt", "other")
          yield* connection.deliver(makeTask(other.generation, strict))
          const first = yield* source.write("File.txt", "first")
          yield* connection.deliver(makeTask(first.generation, strict))
          const second = yield* source.write("file.TXT", "second")
          const error = yield* failure(connection.deliver(makeTask(second.generation, strict)))
          expect(error._tag).toBe("PermanentError")
          expect(error.message).toContain("File.txt")
          expect(Array.from(yield* far.list(strict.target)).sort()).toEqual(["File.txt", "Other.txt"])

          const portable = far.target({ names: "portable" })
          const task = makeTask(second.generation, portable)
          const receipt = yield* connection.deliver(task)
          expect(receipt.name).toMatch(/^[%0-9A-F.]+$/)
          // again, as after an answer that was lost: the same name
          expect(yield* connection.deliver({ ...task, temp: tempName(lastDelivery, 2) })).toMatchObject({
            name: receipt.name
          })
          expect(Array.from(yield* far.list(strict.target)).sort()).toEqual([receipt.name, "File.txt", "Other.txt"])
          expect(Buffer.from((yield* far.read(strict.target, "File.txt")) ?? []).toString()).toBe("first")
          // and the one that was there first is still replaced by its own
          yield* connection.deliver(makeTask((yield* source.write("File.txt", "third")).generation, strict))
          expect(Buffer.from((yield* far.read(strict.target, "File.txt")) ?? []).toString()).toBe("third")
        })
      )
    }

    const { mtime, verifies } = capabilities
    if (verifies !== undefined) {
      it.scopedLive.each([
        ["auto", verifies.auto],
        ["size", verifies.size],
        ["hash", verifies.hash]
      ] as const)("under `verify: %s` it is proved by its %s", ([verify, verified]) =>
        Effect.gen(function* () {
          const { connection, far, source } = yield* setUp
          const { generation } = yield* source.write("file.bin", pattern(300_000))
          const receipt = yield* connection.deliver(makeTask(generation, far.target({ verify })))
          expect(receipt).toMatchObject({ bytes: 300_000, verified })
        })
      )
    }

    if (mtime !== undefined) {
      it.scopedLive("keeps the time at which a file was modified", () =>
        Effect.gen(function* () {
          const { connection, far, source } = yield* setUp
          const { file } = yield* source.write("file.txt", "text")
          utimesSync(file, new Date("2001-02-03T04:05:06.789Z"), new Date("2001-02-03T04:05:06.789Z"))
          const { generation } = yield* source.accept("file.txt")
          const to = far.target()
          yield* connection.deliver(makeTask(generation, to))
          const modified = (yield* far.modified?.(to.target, "file.txt") ?? Effect.succeed(0)) ?? 0
          expect(Math.abs(modified - generation.mtime)).toBeLessThan(mtime)
        })
      )
    }

    if (capabilities.paces === true) {
      it.scopedLive("waits until its bytes may go out, and counts them", () =>
        Effect.gen(function* () {
          const { connection, far, source } = yield* setUp
          const size = 1_000_000
          const content = pattern(size)
          const { generation } = yield* source.write("file.bin", content)
          const to = far.target()
          const asked = yield* Deferred.make<void>()
          let allow = () => {}
          const allowed = new Promise<void>((resolve) => {
            allow = resolve
          })
          const granted: Array<number> = []
          const task = makeTask(generation, to, {
            pace: {
              chunk: () => 64 * 1024,
              wait: async (bytes) => {
                Deferred.unsafeDone(asked, Effect.void)
                await allowed
                granted.push(bytes)
              }
            }
          })
          const fiber = yield* Effect.fork(connection.deliver(task))
          yield* Deferred.await(asked)
          expect(granted).toEqual([])
          expect((yield* far.read(to.target, "file.bin"))?.byteLength ?? 0).toBe(0)
          allow()
          expect(yield* Fiber.join(fiber)).toMatchObject({ bytes: size })
          expect(Math.max(...granted)).toBeLessThanOrEqual(64 * 1024)
          expect(granted.reduce((sum, bytes) => sum + bytes, 0)).toBeGreaterThanOrEqual(size)
          expect(sha256((yield* far.read(to.target, "file.bin")) ?? Buffer.of())).toBe(sha256(content))
        })
      )
    }

    const { resumes } = capabilities
    if (resumes !== undefined) {
      describe("a large upload that is cut", () => {
        const size = 20 * 1024 * 1024
        const cutAfter = 12 * 1024 * 1024

        /** The first attempt, which sends so many bytes and is cut then; and what it has noted. */
        const begin = (how: "interrupted" | "cut") =>
          Effect.gen(function* () {
            const { connection, far, source } = yield* setUp
            const to = far.target()
            const content = pattern(size)
            const { generation } = yield* source.write("large.bin", content)
            const reached = yield* Deferred.make<void>()
            let noted: string | null = null
            let notedFirst = true
            let sent = 0
            const note = (resume: string | null) =>
              Effect.sync(() => {
                if (sent > 0 && resume !== null && noted === null) notedFirst = false
                noted = resume
              })
            const first = makeTask(generation, to, {
              note,
              pace: {
                chunk: () => 256 * 1024,
                wait: (bytes) => {
                  if (sent + bytes <= cutAfter) {
                    sent += bytes
                    return Promise.resolve()
                  }
                  Deferred.unsafeDone(reached, Effect.void)
                  return new Promise(() => undefined)
                }
              }
            })
            const fiber = yield* Effect.fork(connection.deliver(first))
            yield* Deferred.await(reached)
            // what was handed on is on its way yet
            yield* Effect.sleep(200)
            if (how === "cut" && far.cut !== undefined) {
              yield* far.cut
              const error = yield* failure(Fiber.join(fiber))
              expect(["TransientError", "LaneDownError"]).toContain(error._tag)
            } else {
              yield* Fiber.interrupt(fiber)
            }
            expect(notedFirst).toBe(true)
            const resume: string | null = noted
            if (resume === null) return yield* Effect.dieMessage("nothing was noted")

            let again = 0
            const second: Task = {
              ...first,
              delivery: { ...first.delivery, attempts: 1, resume },
              temp: tempName(lastDelivery, 2),
              stale: [first.temp],
              pace: {
                chunk: () => 256 * 1024,
                wait: (bytes) => {
                  again += bytes
                  return Promise.resolve()
                }
              }
            }
            const whole = Effect.gen(function* () {
              const receipt = yield* connection.deliver(second)
              expect(receipt).toMatchObject({ bytes: size, name: "large.bin" })
              if (capabilities.hashes) expect(receipt.sha256).toBe(sha256(content))
              expect(yield* far.list(to.target)).toEqual(["large.bin"])
              expect(sha256((yield* far.read(to.target, "large.bin")) ?? Buffer.of())).toBe(sha256(content))
              return again
            })
            return { connection, far, to, resume, second, whole }
          })

        it.scopedLive.each(["interrupted", "cut"] as const)("goes on from there: %s", (how) =>
          Effect.gen(function* () {
            const begun = yield* begin(how)
            expect(yield* begun.whole).toBeLessThanOrEqual(size - 4 * 1024 * 1024)
          })
        )

        it.scopedLive("is not published before it is whole, and goes on after a restart as well", () =>
          Effect.gen(function* () {
            const { connection, far, second, to, whole } = yield* begin("interrupted")
            expect(yield* far.read(to.target, "large.bin")).toBeUndefined()
            const restarted = { ...second, delivery: { ...second.delivery, interrupted: true } }
            expect(yield* connection.recover(restarted)).toEqual(Option.none())
            expect(yield* whole).toBeLessThanOrEqual(size - 4 * 1024 * 1024)
          })
        )

        it.scopedLive("is cleared away once it is given up", () =>
          Effect.gen(function* () {
            const { connection, far, second, to } = yield* begin("interrupted")
            expect(connection.discard).toBeDefined()
            yield* connection.discard?.(second) ?? Effect.void
            expect(yield* far.list(to.target)).toEqual([])
            // that it is gone already is fine
            yield* connection.discard?.(second) ?? Effect.void
          })
        )

        if (resumes === "temp") {
          const wrong: ReadonlyArray<readonly [string, (there: Buffer) => Buffer]> = [
            ["something else", (there) => pattern(there.byteLength, 7)],
            ["longer than the file", (there) => Buffer.concat([there, pattern(size)])],
            ["gone", () => Buffer.of()]
          ]
          it.scopedLive.each(wrong)("is sent from the beginning where what lies there is %s", ([, change]) =>
            Effect.gen(function* () {
              const { far, resume, to, whole } = yield* begin("interrupted")
              const look = Effect.map(far.read(to.target, resume), (bytes) => Buffer.from(bytes ?? []))
              let there = yield* look
              // what was on its way may be written yet
              for (let before = -1; before !== there.byteLength; there = yield* look) {
                before = there.byteLength
                yield* Effect.sleep(100)
              }
              yield* far.put(to.target, resume, change(there))
              expect(yield* whole).toBeGreaterThanOrEqual(size)
            })
          )

          it.scopedLive("is cut again, and goes on from where it is then", () =>
            Effect.gen(function* () {
              const { connection, resume, second, whole } = yield* begin("interrupted")
              const reached = yield* Deferred.make<void>()
              let sent = 0
              const between = {
                ...second,
                pace: {
                  chunk: () => 256 * 1024,
                  wait: (bytes: number) => {
                    sent += bytes
                    if (sent <= 4 * 1024 * 1024) return Promise.resolve()
                    Deferred.unsafeDone(reached, Effect.void)
                    return new Promise<void>(() => undefined)
                  }
                }
              }
              const fiber = yield* Effect.fork(connection.deliver(between))
              yield* Deferred.await(reached)
              yield* Effect.sleep(200)
              yield* Fiber.interrupt(fiber)
              expect(between.delivery.resume).toBe(resume)
              expect(yield* whole).toBeLessThanOrEqual(size - 10 * 1024 * 1024)
            })
          )
        }
      })
    }

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
        let resume: string | null = null
        const first = makeTask(generation, to, {
          progress: () => Deferred.unsafeDone(begun, Effect.void),
          note: (value) =>
            Effect.sync(() => {
              resume = value
            })
        })
        const fiber = yield* Effect.fork(connection.deliver(first))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(fiber)
        const size1 = (yield* far.read(to.target, "large.bin"))?.byteLength
        expect([undefined, size]).toContain(size1)
        const second = {
          ...first,
          delivery: { ...first.delivery, resume },
          temp: tempName(lastDelivery, 2),
          stale: [first.temp],
          progress: () => undefined
        }
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

    if (capabilities.temps) {
      it.scopedLive(
        "clears away what earlier attempts left of a delivery that is given up, whatever its source is by now",
        () =>
          Effect.gen(function* () {
            const { connection, far, source } = yield* setUp
            const to = far.target()
            const { generation } = yield* source.write("file.txt", "text")
            const stale = [tempName(999_999, 1), tempName(999_999, 2)]
            const task = makeTask(generation, to, { stale, delivery: { interrupted: true } })
            for (const name of [...stale, task.temp, "file.txt"]) yield* far.put(to.target, name, Buffer.from("half"))
            yield* source.write("file.txt", "a newer text")
            expect(connection.discard).toBeDefined()
            // that it is gone already is fine
            for (let time = 0; time < 2; time++) {
              yield* connection.discard?.(task) ?? Effect.void
              expect(yield* far.list(to.target)).toEqual(["file.txt"])
            }
          })
      )
    }

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

    describe("with a receipt, later", () => {
      const content = pattern(10_000)
      const { examines } = capabilities

      /** A file that was delivered, and what becomes of its receipt. */
      const delivered = (name = "file.bin") =>
        Effect.gen(function* () {
          const { connection, far, source } = yield* setUp
          const to = far.target()
          const { generation } = yield* source.write(name, content)
          const receipt = yield* connection.deliver(makeTask(generation, to))
          const { examine, examineAll } = connection
          if (examine === undefined) return yield* Effect.dieMessage("it can't be asked")
          const judged = (verify: Verify, of: Partial<Receipt> = {}) =>
            Effect.gen(function* () {
              const asked = { ...receipt, ...of }
              const task = { ...to, receipt: asked, verify, progress: () => undefined }
              const found = yield* examine(task)
              // asked with others it says the same
              if (examineAll !== undefined) {
                expect(examineAll.accepts(asked)).toBe(true)
                expect(yield* examineAll.examine([task, task])).toEqual([found, found])
              }
              return Examine.judge(asked, found)
            })
          return { far, judged, to }
        })

      it.scopedLive("says that the file is there, and touches nothing", () =>
        Effect.gen(function* () {
          const { far, judged, to } = yield* delivered("a#b?c%20d é.bin")
          const unverifiable = { status: "unverifiable" }
          const present = (by: "hash" | "size") => (examines === undefined ? unverifiable : { status: "present", by })
          expect(yield* judged("size")).toMatchObject(present("size"))
          expect(yield* judged("auto")).toMatchObject(present(examines ?? "size"))
          expect(yield* judged("hash")).toMatchObject(present("hash"))
          // of what nobody has hashed there is nothing to compare with
          expect(yield* judged("hash", { sha256: null })).toMatchObject(present("size"))
          expect(yield* far.list(to.target)).toEqual(["a#b?c%20d é.bin"])
        })
      )

      if (examines === undefined) return

      it.scopedLive.each(["size", "auto", "hash"] as const)("says that its size is another one: %s", (verify) =>
        Effect.gen(function* () {
          const { far, judged, to } = yield* delivered()
          yield* far.put(to.target, "file.bin", content.subarray(1))
          expect(yield* judged(verify)).toMatchObject({ status: "changed", differs: "size" })
        })
      )

      it.scopedLive("says that its content is another one, of the same size", () =>
        Effect.gen(function* () {
          const { far, judged, to } = yield* delivered()
          yield* far.put(to.target, "file.bin", pattern(content.byteLength, 7))
          expect(yield* judged("size")).toEqual({ status: "present", by: "size" })
          expect(yield* judged("hash")).toMatchObject({ status: "changed", differs: "hash" })
          if (examines === "hash") expect(yield* judged("auto")).toMatchObject({ status: "changed", differs: "hash" })
        })
      )

      it.scopedLive("says that it is gone, or that a folder is in its place", () =>
        Effect.gen(function* () {
          const { far, judged, to } = yield* delivered()
          expect(yield* judged("auto", { name: RelPath.make("other.bin") })).toMatchObject({ status: "gone" })
          if (!capabilities.folders) return
          expect(yield* judged("hash", { name: RelPath.make("a/b/other.bin") })).toMatchObject({ status: "gone" })
          yield* far.put(to.target, "folder/below.bin", content)
          // where there are no folders, there is nothing of that name
          const found = yield* judged("hash", { name: RelPath.make("folder") })
          expect(["gone", "changed"]).toContain(found.status)
        })
      )

      it.scopedLive("says that the lane is down where nobody answers", () =>
        Effect.gen(function* () {
          const { connection, far } = yield* setUp
          if (far.down === undefined || connection.examine === undefined) return
          const name = RelPath.make("file.bin")
          const receipt: Receipt = { bytes: 1, sha256: null, said: "stored", verified: "size", name }
          const asked = connection.examine({ ...far.down, receipt, verify: "auto", progress: () => undefined })
          expect((yield* failure(asked))._tag).toBe("LaneDownError")
        })
      )
    })

    it.scopedLive("finds out what the target can do, in order, and leaves nothing and touches nothing", () =>
      Effect.gen(function* () {
        const { connection, far } = yield* setUp
        if (connection.probe === undefined) return
        const to = far.target()
        yield* far.put(to.target, "other.txt", Buffer.from("a stranger's"))
        const findings = yield* connection.probe({ ...to, temp: tempName(0, 0) })
        expect(findings.filter(({ state }) => state === "no")).toEqual([])
        expect(findings).toEqual(Findings.sorted(findings))
        expect(findings.map(({ what }) => what)).toContain("writable")
        expect(yield* far.list(to.target)).toEqual(["other.txt"])
        expect(Buffer.from((yield* far.read(to.target, "other.txt")) ?? []).toString()).toBe("a stranger's")
      })
    )

    it.scopedLive("finds out that nobody answers", () =>
      Effect.gen(function* () {
        const { connection, far } = yield* setUp
        if (connection.probe === undefined || far.down === undefined) return
        const findings = yield* connection.probe({ ...far.down, temp: tempName(0, 0) })
        expect(findings).toMatchObject([{ what: "reachable", state: "no" }])
        expect(findings[0]?.found).toContain("Check host and port")
      })
    )
  })
}
