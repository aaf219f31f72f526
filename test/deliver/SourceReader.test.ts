import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { createHash, randomBytes } from "node:crypto"
import { appendFileSync, lstatSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Writable } from "node:stream"
import { pipeline } from "node:stream/promises"
import * as SourceReader from "../../src/deliver/SourceReader.ts"
import { GenerationId, stamp, type Generation } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Process from "../cli/process.ts"

const chunk = 256 * 1024
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")
const noProgress = { progress: () => undefined }

const source = (content: Uint8Array) =>
  Effect.map(Process.directory, (directory): Generation & { readonly file: string } => {
    const file = join(directory, "a")
    writeFileSync(file, content)
    const stat = lstatSync(file, { bigint: true })
    return {
      file,
      id: GenerationId.make(1),
      source: directory,
      path: RelPath.make("a"),
      stamp: stamp(stat),
      size: content.byteLength,
      mtime: Number(stat.mtimeMs),
      born: 0,
      after: { _tag: "Keep" },
      onDead: null,
      marker: null
    }
  })

/** All that the stream gives, its chunks' sizes, and the progress that was told. */
const drain = (reader: SourceReader.SourceReader, options: Partial<Parameters<typeof reader.stream>[0]> = {}) =>
  Effect.promise(async () => {
    const chunks: Array<Uint8Array> = []
    let progress = 0
    const body = reader.stream({ progress: (bytes) => (progress += bytes), ...options })
    try {
      for await (const data of body) if (data instanceof Uint8Array) chunks.push(data)
      return { content: Buffer.concat(chunks), sizes: chunks.map((data) => data.byteLength), progress, failed: false }
    } catch {
      return { content: Buffer.concat(chunks), sizes: [], progress, failed: true }
    }
  })

const sizes = [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 3 * chunk + 5, 24 * chunk + 7]

describe("a source reader", () => {
  for (const size of sizes) {
    it.scopedLive(`streams ${size} bytes, framed, in pieces that are not too large, with their hash`, () =>
      Effect.gen(function* () {
        const content = randomBytes(size)
        const generation = yield* source(content)
        const reader = yield* SourceReader.open(generation)
        expect(reader.begun()).toBe(false)
        const [before, after] = [Buffer.from("--before\r\n"), Buffer.from("\r\n--after")]
        const got = yield* drain(reader, { before, after })
        expect(got.content.equals(Buffer.concat([before, content, after]))).toBe(true)
        expect(Math.max(...got.sizes)).toBeLessThanOrEqual(chunk + before.length + after.length)
        expect(got.progress).toBe(got.content.length)
        expect([reader.begun(), reader.complete()]).toEqual([true, true])
        expect(yield* reader.finish).toEqual({ bytes: size, sha256: sha256(content) })
      })
    )

    it.scopedLive(`lends ${size} bytes of its own memory to what drains, and takes it back no sooner`, () =>
      Effect.gen(function* () {
        const content = randomBytes(size)
        const generation = yield* source(content)
        for (const chunk of [Infinity, 100_000, 10_000]) {
          const reader = yield* SourceReader.open(generation)
          const pace = { chunk: () => chunk, wait: () => Promise.resolve() }
          const body = reader.stream({ ...noProgress, pace, drains: true })
          const parts: Array<Buffer> = []
          const late = new Writable({
            // as a socket: what it was given is looked at when there is room for it
            write: (data: Uint8Array, _, done) => {
              setTimeout(() => {
                parts.push(Buffer.from(data))
                done()
              }, 2)
            }
          })
          yield* Effect.promise(() => pipeline(body, late))
          expect(Buffer.concat(parts).equals(content)).toBe(true)
          expect(yield* reader.finish).toEqual({ bytes: size, sha256: sha256(content) })
        }
      })
    )

    it.scopedLive(`reads ${size} bytes in parts of any size`, () =>
      Effect.gen(function* () {
        const content = randomBytes(size)
        const generation = yield* source(content)
        for (const length of [1 + Math.floor(size / 3), chunk, 10 * chunk]) {
          const reader = yield* SourceReader.open(generation)
          const parts: Array<Uint8Array> = []
          let progress = 0
          while (true) {
            const part = yield* reader.read(length, { progress: (bytes) => (progress += bytes) })
            if (part.byteLength === 0) break
            parts.push(part)
          }
          expect(Buffer.concat(parts).equals(content)).toBe(true)
          // short only at the end
          expect(parts.slice(0, -1).every((part) => part.byteLength === length)).toBe(true)
          expect(progress).toBe(size)
          expect(reader.complete()).toBe(true)
          expect(yield* reader.finish).toEqual({ bytes: size, sha256: sha256(content) })
        }
      })
    )

    it.scopedLive(`goes on with the rest of ${size} bytes, behind what is there`, () =>
      Effect.gen(function* () {
        const content = randomBytes(size)
        const generation = yield* source(content)
        for (const skipped of new Set([0, Math.min(1, size), Math.floor(size / 2), Math.max(0, size - 1), size])) {
          const reader = yield* SourceReader.open(generation)
          let progress = 0
          const there = yield* reader.skip(skipped, { progress: (bytes) => (progress += bytes) })
          expect(there).toBe(sha256(content.subarray(0, skipped)))
          expect(progress).toBe(skipped)
          // nothing was handed on by that
          expect(reader.begun()).toBe(false)
          const got = yield* drain(reader)
          expect(got.content.equals(content.subarray(skipped))).toBe(true)
          // the hash is that of all of it
          expect(yield* reader.finish).toEqual({ bytes: size, sha256: sha256(content) })

          const other = yield* SourceReader.open(generation)
          yield* other.skip(skipped, noProgress)
          const rest = yield* other.read(size + 1, noProgress)
          expect(Buffer.from(rest).equals(content.subarray(skipped))).toBe(true)
          expect((yield* other.finish).sha256).toBe(sha256(content))
        }
      })
    )
  }

  it.scopedLive("hashes any piece of a file beside whatever else reads it", () =>
    Effect.gen(function* () {
      const content = randomBytes(2 * chunk + 17)
      const generation = yield* source(content)
      for (const [from, to] of [
        [0, 0],
        [0, content.length],
        [5, 6],
        [chunk - 1, 2 * chunk + 1],
        [chunk, content.length]
      ] as const) {
        expect(yield* SourceReader.peek(generation, from, to)).toBe(sha256(content.subarray(from, to)))
      }
      // beyond its end there is nothing
      const beyond = yield* Effect.flip(SourceReader.peek(generation, 0, content.length + 1))
      expect(beyond._tag).toBe("SourceChangedError")
      appendFileSync(generation.file, "more")
      expect((yield* Effect.flip(SourceReader.peek(generation, 0, 5)))._tag).toBe("SourceChangedError")
      rmSync(generation.file)
      expect((yield* Effect.flip(SourceReader.peek(generation, 0, 5)))._tag).toBe("SourceGoneError")
    })
  )

  it.scopedLive("hands on no chunk before its pace allows it, and none that is larger", () =>
    Effect.gen(function* () {
      const content = randomBytes(100_000)
      const generation = yield* source(content)
      const paced = () => {
        const asked: Array<number> = []
        let allow = 0
        const pace = {
          chunk: () => 30_000,
          wait: async (bytes: number) => {
            asked.push(bytes)
            allow += bytes
            await new Promise(setImmediate)
          }
        }
        return { asked, pace, allowed: () => allow }
      }
      for (const way of ["stream", "read"] as const) {
        const { allowed, asked, pace } = paced()
        const reader = yield* SourceReader.open(generation)
        let out = 0
        const progress = (bytes: number) => {
          out += bytes
          expect(out).toBeLessThanOrEqual(allowed())
        }
        if (way === "stream") yield* drain(reader, { pace, progress })
        else yield* reader.read(content.length, { pace, progress })
        expect(asked).toEqual([30_000, 30_000, 30_000, 10_000])
        expect(out).toBe(content.length)
        expect((yield* reader.finish).sha256).toBe(sha256(content))
      }
      // without a limit for the moment
      const reader = yield* SourceReader.open(generation)
      const all = yield* reader.read(content.length, {
        ...noProgress,
        pace: { chunk: () => Infinity, wait: async () => {} }
      })
      expect(all.byteLength).toBe(content.length)
    })
  )

  const changes = {
    grows: (file: string) => appendFileSync(file, "more"),
    shrinks: (file: string) => truncateSync(file, chunk),
    "is written anew in its place": (file: string) => writeFileSync(file, randomBytes(4 * chunk))
  }
  for (const [what, change] of Object.entries(changes)) {
    it.scopedLive(`completes nothing of a file that ${what} meanwhile`, () =>
      Effect.gen(function* () {
        for (const way of ["stream", "read", "skip"] as const) {
          const content = randomBytes(4 * chunk)
          const generation = yield* source(content)
          const reader = yield* SourceReader.open(generation)
          if (way !== "stream") {
            yield* way === "skip" ? reader.skip(chunk, noProgress) : reader.read(chunk, noProgress)
            change(generation.file)
            const exit = yield* Effect.exit(reader.read(10 * chunk, noProgress))
            expect(Exit.isFailure(exit)).toBe(true)
          } else {
            let seen = 0
            const got = yield* drain(reader, {
              progress: (bytes) => {
                if (seen === 0) change(generation.file)
                seen += bytes
              }
            })
            expect(got.failed).toBe(true)
            // the last byte was kept back
            expect(got.content.length).toBeLessThan(content.length)
          }
          expect(reader.complete()).toBe(false)
          expect(reader.failure()).toMatchObject({ _tag: "Some", value: { _tag: "SourceChangedError" } })
          expect((yield* Effect.flip(reader.finish))._tag).toBe("SourceChangedError")
        }
      })
    )
  }

  it.scopedLive("does not take another file for its own", () =>
    Effect.gen(function* () {
      const content = randomBytes(1000)
      const generation = yield* source(content)
      const reader = yield* SourceReader.open(generation)
      // one that is moved away and replaced is still read from the descriptor that was opened
      renameSync(generation.file, `${generation.file}.away`)
      writeFileSync(generation.file, randomBytes(1000))
      const got = yield* drain(reader)
      // a rename changes the ctime, by which it is another generation; whatever it is, it is not the new file's content
      expect(got.failed || got.content.equals(content)).toBe(true)
      expect((yield* Effect.flip(SourceReader.open(generation)))._tag).toBe("SourceChangedError")
      rmSync(generation.file)
      symlinkSync(`${generation.file}.away`, generation.file)
      expect((yield* Effect.flip(SourceReader.open(generation)))._tag).toBe("SourceChangedError")
      rmSync(generation.file)
      expect((yield* Effect.flip(SourceReader.open(generation)))._tag).toBe("SourceGoneError")
    })
  )
})
