import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck as fc } from "effect"
import { Decrypter, generateX25519Identity, identityToRecipient } from "age-encryption"
import { createHash, randomBytes } from "node:crypto"
import {
  appendFileSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { spawnSync } from "node:child_process"
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from "node:zlib"
import { fromBuffer } from "yauzl"
import { stamp } from "../../src/domain/Generation.ts"
import type { Transform } from "../../src/domain/Target.ts"
import { parseName, type Job, type Result } from "../../src/deliver/transform/job.ts"
import { make, prove } from "../../src/deliver/transform/spoolFile.ts"
import * as Zstd from "../../src/deliver/transform/zstd.ts"
import { entryName } from "../../src/deliver/transform/zip.ts"
import * as Process from "../cli/process.ts"

const plain: Transform = { decompress: null, compress: "none", age: [] }
const unpacking: Transform = { ...plain, decompress: { limit: 2 ** 30 } }

const jobOf = (directory: string, name: string, transform: Transform): Job => {
  const stat = lstatSync(join(directory, name), { bigint: true })
  return {
    root: directory,
    path: name,
    stamp: stamp(stat),
    size: Number(stat.size),
    transform,
    entry: name,
    folder: directory,
    temp: "1-x.1.part",
    prefix: "1-x",
    sync: false
  }
}

const never = new AbortController().signal
const quiet = () => undefined

/** Writes a file and transforms it. */
const transformed = (name: string, content: Uint8Array, transform: Transform) =>
  Effect.gen(function* () {
    const directory = yield* Process.directory
    writeFileSync(join(directory, name), content)
    return yield* run(directory, name, transform)
  })

const run = (directory: string, name: string, transform: Transform) =>
  Effect.gen(function* () {
    const result = yield* Effect.promise(() => make(jobOf(directory, name, transform), quiet, never))
    return {
      directory,
      result,
      left: readdirSync(directory).filter((one) => one !== name),
      bytes: result._tag === "Made" ? readFileSync(join(directory, result.name)) : Buffer.alloc(0)
    }
  })

const reasonOf = (result: Result): string => (result._tag === "Failed" ? `${result.kind}: ${result.reason}` : "made")

const collect = async (chunks: AsyncIterable<Uint8Array>): Promise<Buffer> => {
  const all: Array<Uint8Array> = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}

const inPieces = async function* (bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size)
}

const unzip = (bytes: Buffer): Promise<{ readonly name: string; readonly mtime: Date; readonly content: Buffer }> =>
  new Promise((resolve, reject) => {
    fromBuffer(bytes, { lazyEntries: true, validateEntrySizes: true }, (failure, zip) => {
      if (failure !== null) return reject(failure)
      zip.on("error", reject)
      zip.on("entry", (entry) => {
        zip.openReadStream(entry, (error, stream) => {
          if (error !== null) return reject(error)
          collect(stream).then(
            (content) => resolve({ name: entry.fileName, mtime: entry.getLastModDate(), content }),
            reject
          )
        })
      })
      zip.readEntry()
    })
  })

const undo = async (bytes: Buffer, transform: Transform, identity: string): Promise<Buffer> => {
  let left = bytes
  if (transform.age.length > 0) {
    const decrypter = new Decrypter()
    decrypter.addIdentity(identity)
    left = Buffer.from(await decrypter.decrypt(left))
  }
  switch (transform.compress) {
    case "none":
      return left
    case "gzip":
      return gunzipSync(left)
    case "brotli":
      return brotliDecompressSync(left)
    case "zstd":
      return collect(Zstd.decompress(inPieces(left, 1000)))
    case "zip":
      return (await unzip(left)).content
  }
}

const zstdProgram = (bytes: Uint8Array, ...options: ReadonlyArray<string>) =>
  spawnSync("zstd", ["-c", "-q", ...options], { input: bytes, maxBuffer: 2 ** 28 })
const hasZstd = zstdProgram(Buffer.from("x")).status === 0

/** Small ones, and some around the sizes at which something begins anew. */
const contents = fc.oneof(
  { weight: 4, arbitrary: fc.uint8Array({ maxLength: 3000 }) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        fc.constantFrom(65_535, 65_536, 65_537, 131_072, 200_000, 400_000),
        fc.uint8Array({ minLength: 1, maxLength: 50 })
      )
      .map(([size, part]) => Buffer.alloc(size, part))
  }
)

describe("a transformation", () => {
  it.scoped(
    "can be undone, whatever the content and whatever the chain",
    () =>
      Effect.gen(function* () {
        const identity = yield* Effect.promise(() => generateX25519Identity())
        const recipient = yield* Effect.promise(() => identityToRecipient(identity))
        const directory = yield* Process.directory
        const chains = fc.record({
          packed: fc.constantFrom("none", "gzip", "brotli", "zstd"),
          compress: fc.constantFrom<Transform["compress"]>("none", "gzip", "brotli", "zstd", "zip"),
          encrypt: fc.boolean(),
          decompress: fc.boolean()
        })
        yield* Effect.promise(() =>
          fc.assert(
            fc.asyncProperty(contents, chains, async (content, { compress, decompress, encrypt, packed }) => {
              const source = decompress
                ? packed === "gzip"
                  ? gzipSync(content)
                  : packed === "brotli"
                    ? brotliCompressSync(content)
                    : packed === "zstd"
                      ? await collect(Zstd.compress(inPieces(content, 5000)))
                      : content
                : content
              const looksPacked = packed === "none" && [0x1f, 0x28].includes(content[0] ?? 0)
              fc.pre(!(decompress && looksPacked))
              const name = decompress && packed === "brotli" ? "file.br" : "file"
              const transform: Transform = {
                decompress: decompress ? { limit: 2 ** 30 } : null,
                compress,
                age: encrypt ? [recipient] : []
              }
              writeFileSync(join(directory, name), source)
              const result = await make(jobOf(directory, name, transform), quiet, never)
              expect(reasonOf(result)).toBe("made")
              if (result._tag !== "Made") return
              const bytes = readFileSync(join(directory, result.name))
              expect(result.size).toBe(bytes.byteLength)
              expect(result.sha256).toBe(createHash("sha256").update(bytes).digest("hex"))
              expect(result.sourceSha256).toBe(createHash("sha256").update(source).digest("hex"))
              expect((await undo(bytes, transform, identity)).equals(content)).toBe(true)
            }),
            { numRuns: 150 }
          )
        )
      }),
    120_000
  )

  it.scoped("keeps the times and the mode of the source, for targets that keep them", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      writeFileSync(join(directory, "a"), "content", { mode: 0o640 })
      utimesSync(join(directory, "a"), 1_600_000_000, 1_600_000_000)
      const { result } = yield* run(directory, "a", { ...plain, compress: "gzip" })
      const stat = statSync(join(directory, result._tag === "Made" ? result.name : ""))
      expect([stat.mode & 0o777, stat.mtimeMs]).toEqual([0o640, 1_600_000_000_000])
    })
  )

  it.scoped("names what it made by its hashes, and knows it again by its content only", () =>
    Effect.gen(function* () {
      const { directory, result } = yield* transformed("a", Buffer.from("content"), { ...plain, compress: "gzip" })
      if (result._tag !== "Made") return yield* Effect.dieMessage(result.reason)
      expect(parseName(result.name)).toEqual({
        prefix: "1-x",
        sourceSha256: result.sourceSha256,
        sha256: result.sha256
      })
      const found = { folder: directory, name: result.name }
      expect(yield* Effect.promise(() => prove(found, quiet))).toMatchObject({ size: result.size, stamp: result.stamp })
      truncateSync(join(directory, result.name), result.size - 1)
      expect(yield* Effect.promise(() => prove(found, quiet))).toBeNull()
    })
  )

  it.scoped("leaves nothing behind when it is stopped", () =>
    Effect.gen(function* () {
      for (const compress of ["none", "gzip", "zstd", "zip"] as const) {
        const directory = yield* Process.directory
        writeFileSync(join(directory, "a"), "")
        truncateSync(join(directory, "a"), 64 * 1024 * 1024)
        const controller = new AbortController()
        let beats = 0
        const result = yield* Effect.promise(() =>
          make(
            jobOf(directory, "a", { ...plain, compress }),
            () => {
              if ((beats += 1) === 5) controller.abort()
            },
            controller.signal
          )
        )
        expect(result._tag).toBe("Failed")
        expect(readdirSync(directory)).toEqual(["a"])
      }
    })
  )

  it.scoped("takes no file that changes meanwhile", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const path = join(directory, "a")
      writeFileSync(path, randomBytes(1024 * 1024))
      let beats = 0
      const result = yield* Effect.promise(() =>
        make(
          jobOf(directory, "a", { ...plain, compress: "gzip" }),
          () => {
            if ((beats += 1) === 2) appendFileSync(path, "more")
          },
          never
        )
      )
      expect(reasonOf(result)).toMatch(/^changed: .*changed after it was accepted/)
      expect(readdirSync(directory)).toEqual(["a"])
    })
  )

  it.scoped("says that a source is gone", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      writeFileSync(join(directory, "a"), "x")
      const job = { ...jobOf(directory, "a", { ...plain, compress: "gzip" }), path: "b" }
      const result = yield* Effect.promise(() => make(job, quiet, never))
      expect(reasonOf(result)).toMatch(/^gone: /)
    })
  )

  it.scoped("says that its folder can't be written", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      writeFileSync(join(directory, "a"), "x")
      const job = { ...jobOf(directory, "a", { ...plain, compress: "gzip" }), folder: join(directory, "none") }
      const result = yield* Effect.promise(() => make(job, quiet, never))
      expect(reasonOf(result)).toMatch(/^spool: .*nothing can be written there \(ENOENT\)/)
    })
  )

  const full = existsSync("/dev/full")
  it.scoped.skipIf(!full)("says that the disk is full", () =>
    Effect.gen(function* () {
      const { mkdirSync, symlinkSync } = yield* Effect.promise(() => import("node:fs"))
      const directory = yield* Process.directory
      mkdirSync(join(directory, "spool"))
      writeFileSync(join(directory, "a"), "x")
      const job = { ...jobOf(directory, "a", { ...plain, compress: "gzip" }), folder: join(directory, "spool") }
      // the temp file is created exclusively, so that a link there is refused as well
      symlinkSync("/dev/full", join(directory, "spool", job.temp))
      const result = yield* Effect.promise(() => make(job, quiet, never))
      expect(reasonOf(result)).toMatch(/^spool: /)
    })
  )
})

describe("decompressing", () => {
  const content = Buffer.concat([Buffer.from("hello, hello, hello\n".repeat(5000)), randomBytes(5000)])

  it.scoped("takes all members of a gzip file", () =>
    Effect.gen(function* () {
      const members = Buffer.concat([gzipSync(content), gzipSync("second"), gzipSync("")])
      const { bytes } = yield* transformed("a.gz", members, unpacking)
      expect(bytes.equals(Buffer.concat([content, Buffer.from("second")]))).toBe(true)
    })
  )

  it.scoped("lets a file pass that is not compressed, and knows one by its bytes", () =>
    Effect.gen(function* () {
      expect((yield* transformed("a.txt", content, unpacking)).bytes.equals(content)).toBe(true)
      expect((yield* transformed("empty", Buffer.alloc(0), unpacking)).bytes.byteLength).toBe(0)
      expect((yield* transformed("a.txt", gzipSync(content), unpacking)).bytes.equals(content)).toBe(true)
    })
  )

  it.scoped("says what is wrong with a file, and leaves nothing of it", () =>
    Effect.gen(function* () {
      const gzip = gzipSync(content)
      const brotli = brotliCompressSync(content)
      const zstd = yield* Effect.promise(() => collect(Zstd.compress(inPieces(content, 1000))))
      const damagedGzip = Buffer.from(gzip)
      damagedGzip.fill(0xff, 60, 90)
      const cases: ReadonlyArray<readonly [name: string, bytes: Buffer, why: RegExp]> = [
        ["a.gz", gzip.subarray(0, -9), /as gzip: it ends in the middle\. Put a whole one there/],
        ["a.gz", damagedGzip, /as gzip: it is damaged/],
        ["a.br", brotli.subarray(0, -20), /as Brotli: it ends in the middle/],
        ["a.br", Buffer.from("no brotli at all, for sure"), /as Brotli: it is damaged/],
        ["a.zst", zstd.subarray(0, -3), /as Zstandard: it ends in the middle/],
        ["a.zst", zstd.subarray(0, 5), /as Zstandard: it ends in the middle/],
        ["a.zst", Buffer.concat([zstd, Buffer.from("junk")]), /something else follows its end/],
        ["a.gz", Buffer.from("plain text"), /its content is no gzip: it is damaged, or has the wrong name/],
        ["a.tgz", Buffer.alloc(0), /it is empty/],
        ["a.zst", gzip.subarray(2), /its content is no Zstandard/]
      ]
      for (const [name, bytes, why] of cases) {
        const { left, result } = yield* transformed(name, bytes, unpacking)
        expect(reasonOf(result)).toMatch(why)
        expect(reasonOf(result)).toMatch(/^permanent: /)
        expect(left).toEqual([])
      }
    })
  )

  it.scoped("stops a bomb at its limit", () =>
    Effect.gen(function* () {
      const zeros = Buffer.alloc(8 * 1024 * 1024)
      const bombs: ReadonlyArray<readonly [name: string, bytes: Uint8Array]> = [
        ["a.gz", gzipSync(zeros)],
        ["a.br", brotliCompressSync(zeros)],
        ["a.zst", yield* Effect.promise(() => collect(Zstd.compress(inPieces(zeros, 100_000))))]
      ]
      for (const [name, bytes] of bombs) {
        const { left, result } = yield* transformed(name, bytes, { ...plain, decompress: { limit: 1024 * 1024 } })
        expect(reasonOf(result)).toMatch(
          /^permanent: .*decompresses to more than 1 MiB, which is the limit of `decompress`/
        )
        expect(left).toEqual([])
        const just = yield* transformed(name, bytes, { ...plain, decompress: { limit: zeros.byteLength } })
        expect(just.bytes.equals(zeros)).toBe(true)
      }
    })
  )
})

describe("Zstandard", () => {
  const random = randomBytes(300_000)
  const samples: ReadonlyArray<Buffer> = [
    Buffer.alloc(0),
    Buffer.from("x"),
    Buffer.from("abc".repeat(100_000)),
    random,
    Buffer.concat([random, Buffer.alloc(500_000), random.subarray(0, 250_000)])
  ]

  it.effect.skipIf(!hasZstd)("reads what the zstd program writes, and is read by it", () =>
    Effect.promise(async () => {
      for (const sample of samples) {
        for (const options of [["-1"], ["-19", "--no-check"], ["--long=26"], ["--no-content-size"]]) {
          const theirs: Buffer = zstdProgram(sample, ...options).stdout
          for (const size of [7, 70_000]) {
            expect((await collect(Zstd.decompress(inPieces(theirs, size)))).equals(sample)).toBe(true)
          }
        }
        const ours = await collect(Zstd.compress(inPieces(sample, 60_000)))
        expect(zstdProgram(ours, "-d").stdout.equals(sample)).toBe(true)
      }
    })
  )

  it.effect.skipIf(!hasZstd)("compares the checksum", () =>
    Effect.promise(async () => {
      const bytes: Buffer = Buffer.from(zstdProgram(Buffer.from("text ".repeat(1000)), "--check").stdout)
      bytes.writeUInt8((bytes.at(-1) ?? 0) ^ 1, bytes.byteLength - 1)
      await expect(collect(Zstd.decompress(inPieces(bytes, 100)))).rejects.toThrow("checksum")
    })
  )

  it.effect("gives a frame no more memory than is usual", () =>
    Effect.promise(async () => {
      // one frame with a window of 2 GiB, and an empty block
      const frame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, (31 - 10) << 3, 0x01, 0x00, 0x00])
      await expect(collect(Zstd.decompress(inPieces(frame, 100)))).rejects.toThrow("2048 MiB of memory")
    })
  )

  it.effect("takes many small frames, and passes over what is to be passed over", () =>
    Effect.promise(async () => {
      const one = await collect(Zstd.compress(inPieces(Buffer.from("line\n"), 100)))
      const skipped = Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3])
      const many = Buffer.concat(Array.from({ length: 20_000 }, (_, index) => (index % 100 === 0 ? skipped : one)))
      expect((await collect(Zstd.decompress(inPieces(many, 65_536)))).byteLength).toBe(19_800 * 5)
    })
  )

  it.effect("ends with an error, whatever the bytes are", () =>
    Effect.promise(async () => {
      const whole = await collect(Zstd.compress(inPieces(samples[4] ?? Buffer.alloc(0), 60_000)))
      await fc.assert(
        fc.asyncProperty(fc.nat(whole.byteLength - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
          const damaged = Buffer.from(whole.subarray(0, 400_000))
          const index = at % damaged.byteLength
          damaged.writeUInt8((damaged[index] ?? 0) ^ flip, index)
          await collect(Zstd.decompress(inPieces(damaged, 65_536))).then(
            () => undefined,
            (error: unknown) => expect(error).toBeInstanceOf(Zstd.ZstdError)
          )
        }),
        { numRuns: 40 }
      )
    })
  )
})

describe("a zip file", () => {
  it.scoped("has the file under its name, with its time", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      writeFileSync(join(directory, "Grüße.txt"), "hello")
      utimesSync(join(directory, "Grüße.txt"), 1_600_000_000, 1_600_000_000)
      const { bytes } = yield* run(directory, "Grüße.txt", { ...plain, compress: "zip" })
      const entry = yield* Effect.promise(() => unzip(bytes))
      expect(entry).toEqual({ name: "Grüße.txt", mtime: new Date(1_600_000_000_000), content: Buffer.from("hello") })
    })
  )

  it("has no entry that leads elsewhere", () => {
    expect(["a\\b", "..", ".", "", "C:x", "a/b", "a\udcffb"].map(entryName)).toEqual([
      "a_b",
      "file",
      "file",
      "file",
      "C_x",
      "a_b",
      "a_xffb"
    ])
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (name) => {
        const entry = entryName(name)
        return !/[\\/]/.test(entry) && entry !== "" && entry !== ".." && !/^[a-z]:/i.test(entry) && entry.isWellFormed()
      })
    )
  })
})

describe("encryption", () => {
  it.scoped("is for each of the recipients, and different each time", () =>
    Effect.gen(function* () {
      const identities = yield* Effect.promise(() => Promise.all([generateX25519Identity(), generateX25519Identity()]))
      const recipients = yield* Effect.promise(() => Promise.all(identities.map((one) => identityToRecipient(one))))
      const transform = { ...plain, age: recipients }
      const [first, second] = [
        yield* transformed("a", Buffer.from("secret"), transform),
        yield* transformed("a", Buffer.from("secret"), transform)
      ]
      expect(first.bytes.equals(second.bytes)).toBe(false)
      for (const identity of identities) {
        expect(String(yield* Effect.promise(() => undo(first.bytes, transform, identity)))).toBe("secret")
      }
    })
  )
})

const peak = (): number => process.memoryUsage().rss

it.scoped(
  "takes no more memory for a large file than for a small one",
  () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const identity = yield* Effect.promise(() => generateX25519Identity())
      const recipient = yield* Effect.promise(() => identityToRecipient(identity))
      writeFileSync(join(directory, "sparse"), "")
      truncateSync(join(directory, "sparse"), 2 ** 30)
      const job = jobOf(directory, "sparse", { ...plain, compress: "gzip", age: [recipient] })
      yield* Effect.promise(() => make({ ...job, size: 1 }, quiet, never))
      const before = peak()
      let most = 0
      const result = yield* Effect.promise(() =>
        make(
          job,
          () => {
            most = Math.max(most, peak())
          },
          never
        )
      )
      expect(reasonOf(result)).toBe("made")
      expect((most - before) / 2 ** 20).toBeLessThan(150)
    }),
  120_000
)
