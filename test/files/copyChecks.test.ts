/** What a copy does beside copying: it is read back, goes piece by piece, and keeps apart what a target can't. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { it as effectIt } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { spawnSync } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import fs from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { stamp } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Copy from "../../src/files/copy.ts"
import { Files, type CopyJob, type CopyResult } from "../../src/files/Files.ts"
import * as FilesDirect from "../../src/files/FilesDirect.ts"
import * as FilesWorker from "../../src/files/FilesWorker.ts"
import { tempName, twinAmong, withoutLetters } from "../../src/files/names.ts"
import { findWorker } from "../../src/files/workerUrl.ts"

let root: string
let inbox: string
let out: string

beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), "filedispatch-checks-"))
  inbox = join(root, "in")
  out = join(root, "out")
  fs.mkdirSync(inbox)
})
afterEach(() => {
  vi.restoreAllMocks()
  fs.rmSync(root, { recursive: true, force: true })
})

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")
const small = randomBytes(2_000_000)
const large = Buffer.concat([randomBytes(1000), Buffer.alloc(Copy.smallFile)])

const job = (name: string, content: Uint8Array | string, fields: Partial<CopyJob> = {}): CopyJob => {
  fs.writeFileSync(join(inbox, name), content)
  return {
    root: inbox,
    path: RelPath.make(name),
    stamp: stamp(fs.lstatSync(join(inbox, name), { bigint: true })),
    target: out,
    name: RelPath.make(name),
    temp: tempName("attempt 0"),
    stale: [],
    conflict: "overwrite",
    chosen: null,
    move: false,
    sync: true,
    verify: "auto",
    names: "strict",
    ...fields
  }
}

const copy = (one: CopyJob): CopyResult => {
  const [result] = Copy.copyAll([one])
  if (result === undefined) throw new Error("no result")
  return result._tag === "Choose" ? copy({ ...one, chosen: result.name }) : result
}

it("takes a directory that another thread makes at the same moment", () => {
  const one = job("first", "content", { move: true })
  const { renameSync } = fs
  vi.spyOn(fs, "renameSync").mockImplementationOnce((from, to) => {
    try {
      renameSync(from, to)
    } catch (error) {
      fs.mkdirSync(out)
      throw error
    }
  })
  expect(copy(one)._tag).toBe("Done")
  expect(fs.readdirSync(out)).toEqual(["first"])
})

/** Changes a byte of each temp file once it is written, as a bad disk would. */
const spoil = () => {
  const original = fs.futimesSync
  vi.spyOn(fs, "futimesSync").mockImplementation((fd, accessed, modified) => {
    const path = fs.readlinkSync(`/proc/self/fd/${fd}`)
    const other = fs.openSync(path, "r+")
    fs.writeSync(other, "!", 500)
    fs.closeSync(other)
    original(fd, accessed, modified)
  })
}

describe("a copy that is to be verified by its hash", () => {
  for (const [what, content] of [
    ["small", small],
    ["empty", Buffer.alloc(0)],
    ["large", large]
  ] as const) {
    it(`says so: ${what}`, () => {
      expect(copy(job("a", content, { verify: "hash" }))).toMatchObject({
        _tag: "Done",
        receipt: { verified: "hash", sha256: sha256(content) }
      })
      expect(copy(job("b", content, { verify: "hash", conflict: "rename" }))).toMatchObject({
        receipt: { verified: "hash" }
      })
      expect(copy(job("c", content, { verify: "size" }))).toMatchObject({ receipt: { verified: "size" } })
      expect(copy(job("d", content, { verify: "hash", move: true }))).toMatchObject({ receipt: { verified: "inode" } })
      expect(fs.readdirSync(out)).toEqual(["a", "b", "c", "d"])
    })
  }

  for (const [what, content] of [
    ["small", small],
    ["large", large]
  ] as const) {
    it(`is not published where it reads back differently: ${what}`, () => {
      spoil()
      const result = copy(job("a", content, { verify: "hash" }))
      expect(result).toMatchObject({ _tag: "Failed", fault: { kind: "transient" } })
      expect(result._tag === "Failed" ? result.fault.reason : "").toContain("reads back differently")
      expect(fs.readdirSync(out)).toEqual([])
      // the size alone does not tell
      expect(copy(job("a", content))).toMatchObject({ _tag: "Done" })
    })
  }

  it("is adopted after a restart only if it has the content", () => {
    const one = job("a", small, { verify: "hash" })
    expect(copy(one)).toMatchObject({ _tag: "Done" })
    expect(Copy.recover(one)).toMatchObject({ verified: "hash", sha256: sha256(small) })
    const { atime, mtime } = fs.statSync(join(out, "a"))
    const fd = fs.openSync(join(out, "a"), "r+")
    fs.writeSync(fd, "!", 500)
    fs.closeSync(fd)
    fs.utimesSync(join(out, "a"), atime, mtime)
    expect(Copy.recover(one)).toBeNull()
  })
})

for (const [name, layer] of [
  ["FilesDirect", FilesDirect.layer],
  ["FilesWorker", FilesWorker.layer]
] as const) {
  const test = effectIt.scopedLive.skipIf(name === "FilesWorker" && findWorker("files/worker") === undefined)
  describe(`a copier of ${name}`, () => {
    const copier = Effect.gen(function* () {
      const files = yield* Effect.provide(Files, yield* Layer.build(layer))
      return yield* files.copier(1)
    })
    const paced = () => {
      const waits: Array<number> = []
      return { waits, chunk: () => 1_000_000, wait: (bytes: number) => Promise.resolve(void waits.push(bytes)) }
    }

    test("copies piece by piece under a limit, and tells of each", () =>
      Effect.gen(function* () {
        const { copy } = yield* copier
        for (const verify of ["auto", "hash"] as const) {
          const pace = paced()
          let progress = 0
          fs.rmSync(out, { recursive: true, force: true })
          const one = job("deep", large, { name: RelPath.make("x/y/deep"), verify })
          fs.chmodSync(join(inbox, "deep"), 0o440)
          const again = { ...one, stamp: stamp(fs.lstatSync(join(inbox, "deep"), { bigint: true })) }
          const result = yield* copy(again, (bytes) => (progress += bytes), pace)
          expect(result).toMatchObject({
            _tag: "Done",
            receipt: { sha256: sha256(large), verified: verify === "hash" ? "hash" : "size", bytes: large.length }
          })
          expect(pace.waits).toEqual([...Array.from({ length: 8 }, () => 1_000_000), large.length - 8_000_000])
          expect(progress).toBe(large.length)
          expect(fs.readFileSync(join(out, "x/y/deep")).equals(large)).toBe(true)
          expect(fs.statSync(join(out, "x/y/deep")).mode & 0o777).toBe(0o440)
          expect(fs.readdirSync(join(out, "x/y"))).toEqual(["deep"])
          fs.rmSync(join(inbox, "deep"))
        }
      }))

    test("ends a copy by pieces of a source that changes, and leaves nothing", () =>
      Effect.gen(function* () {
        const { copy } = yield* copier
        const pace = paced()
        const one = job("a", large)
        const result = yield* copy(one, () => undefined, {
          ...pace,
          wait: (bytes) => {
            if (pace.waits.length === 3) fs.appendFileSync(join(inbox, "a"), "more")
            return pace.wait(bytes)
          }
        })
        expect(result).toMatchObject({ fault: { kind: "changed" } })
        expect(pace.waits.length).toBe(4)
        expect(fs.readdirSync(out)).toEqual([])
      }))

    test("ends a copy by pieces of a source that is taken away, and leaves nothing", () =>
      Effect.gen(function* () {
        const { copy } = yield* copier
        const pace = paced()
        const one = job("a", large)
        const result = yield* copy(one, () => undefined, {
          ...pace,
          wait: (bytes) => {
            if (pace.waits.length === 3) fs.rmSync(join(inbox, "a"))
            return pace.wait(bytes)
          }
        })
        expect(result).toMatchObject({ fault: { kind: "gone" } })
        expect(fs.readdirSync(out)).toEqual([])
      }))

    test("copies small, empty and refused files under a limit, and moves what can be moved without", () =>
      Effect.gen(function* () {
        const { copy } = yield* copier
        const pace = paced()
        for (const content of ["", "hello"]) {
          expect(yield* copy(job("a", content), () => undefined, pace)).toMatchObject({
            receipt: { sha256: sha256(Buffer.from(content)) }
          })
          expect(fs.readFileSync(join(out, "a"), "utf8")).toBe(content)
        }
        expect(pace.waits).toEqual([5])
        expect(yield* copy(job("a", "other", { conflict: "skip" }), () => undefined, pace)).toMatchObject({
          fault: { kind: "skipped" }
        })
        const renamed = yield* copy(job("a", "other", { conflict: "rename" }), () => undefined, pace)
        expect(renamed).toMatchObject({ _tag: "Choose", name: "a (1)" })
        expect(yield* copy(job("m", "moved", { move: true }), () => undefined, pace)).toMatchObject({
          receipt: { verified: "inode" }
        })
      }))
  })
}

describe("names that a target can't tell apart", () => {
  it("are found and encoded in a way that can be read", () => {
    expect(twinAmong(["b", "a.txt"], "A.TXT")).toBe("a.txt")
    expect(twinAmong(["a.txt", "A.txt"], "A.txt")).toBeUndefined()
    expect(twinAmong(["Ä"], "a\u0308")).toBe("Ä")
    expect(withoutLetters("Dir/A1 ä%.b")).toBe("Dir/%411 %C3%A4%25.%62")
    expect(decodeURIComponent("%411 %C3%A4%25.%62")).toBe("A1 ä%.b")
  })

  const scenes = () => {
    fs.mkdirSync(out, { recursive: true })
    fs.writeFileSync(join(out, "a.txt"), "the other")
    for (const move of [false, true]) {
      for (const conflict of ["overwrite", "backup"] as const) {
        const strict = copy(job("A.txt", "ours", { conflict, move }))
        expect(strict).toMatchObject({ fault: { kind: "permanent" } })
        expect(strict._tag === "Failed" ? strict.fault.reason : "").toMatch(
          /A\.txt can't be told from a\.txt.*portable/
        )
        expect(fs.readdirSync(out)).toEqual(["a.txt"])
        expect(fs.readFileSync(join(inbox, "A.txt"), "utf8")).toBe("ours")
        const portable = copy(job("A.txt", "ours", { conflict, move, names: "portable" }))
        expect(portable).toMatchObject({ receipt: { name: "%41.%74%78%74" } })
        expect(fs.readFileSync(join(out, "%41.%74%78%74"), "utf8")).toBe("ours")
        expect(fs.readFileSync(join(out, "a.txt"), "utf8")).toBe("the other")
        fs.rmSync(join(out, "%41.%74%78%74"))
      }
    }
    // its own name is overwritten, and what is no twin is not touched
    expect(copy(job("a.txt", "newer"))).toMatchObject({ receipt: { name: "a.txt" } })
    expect(copy(job("B.txt", "ours"))).toMatchObject({ receipt: { name: "B.txt" } })
    expect(fs.readFileSync(join(out, "a.txt"), "utf8")).toBe("newer")
  }

  it("are not written over each other, as far as the look at a file says", () => {
    // a file system that folds case, as a stat shows it
    const original = fs.lstatSync
    vi.spyOn(fs, "lstatSync").mockImplementation(((path: string, options: fs.StatSyncOptions) => {
      const found = original(path, options)
      if (found !== undefined || !fs.existsSync(dirname(path))) return found
      const twin = fs.readdirSync(dirname(path)).find((name) => name.toLowerCase() === basename(path).toLowerCase())
      return twin === undefined ? found : original(join(dirname(path), twin), options)
    }) as typeof fs.lstatSync)
    out = join(root, "folding")
    scenes()
  })

  const mounted = (): string | undefined => {
    if (process.getuid?.() !== 0) return undefined
    const folder = fs.mkdtempSync(join(tmpdir(), "filedispatch-folding-"))
    const image = join(folder, "image")
    fs.closeSync(fs.openSync(image, "w"))
    fs.truncateSync(image, 8 * 1024 * 1024)
    fs.mkdirSync(join(folder, "mnt"))
    const made = spawnSync("mkfs.ext4", ["-q", "-O", "casefold", "-E", "encoding=utf8", image])
    if (made.status === 0 && spawnSync("mount", ["-o", "loop", image, join(folder, "mnt")]).status === 0) {
      fs.mkdirSync(join(folder, "mnt", "out"))
      if (spawnSync("chattr", ["+F", join(folder, "mnt", "out")]).status === 0) return folder
      spawnSync("umount", ["-l", join(folder, "mnt")])
    }
    fs.rmSync(folder, { recursive: true, force: true })
    return undefined
  }

  const place = mounted()
  it.skipIf(place === undefined)(
    `are not written over each other on a file system that folds case${place === undefined ? " (skipped: none can be mounted here)" : ""}`,
    () => {
      if (place === undefined) return
      try {
        out = join(place, "mnt", "out")
        scenes()
      } finally {
        spawnSync("umount", ["-l", join(place, "mnt")])
        fs.rmSync(place, { recursive: true, force: true })
      }
    }
  )
})
