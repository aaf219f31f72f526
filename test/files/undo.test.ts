import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Stamp, stamp } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import { Files, type UndoJob, type UndoPlace } from "../../src/files/Files.ts"
import * as FilesWorker from "../../src/files/FilesWorker.ts"
import { fsPath } from "../../src/files/names.ts"
import { checkUndo, undo } from "../../src/files/undo.ts"

let root: string
let inbox: string
let out: string

beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), "filedispatch-undo-"))
  inbox = join(root, "in")
  out = join(root, "out")
  fs.mkdirSync(inbox)
  fs.mkdirSync(out)
})
afterEach(() => fs.rmSync(root, { recursive: true, force: true }))

const stampOf = (path: string) => stamp(fs.lstatSync(fsPath(path), { bigint: true }))
const read = (path: string) => fs.readFileSync(fsPath(path), "utf8")
const list = (directory: string) =>
  fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort()
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")

/** A file that was moved there. */
const moved = (path: string, content = "content"): UndoPlace => {
  fs.writeFileSync(fsPath(path), content)
  const [, ino = null, size = null, mtime = null] = stampOf(path).split(":")
  return { path, ino, size, mtime, sha256: null }
}

/** A copy that was made there. */
const copied = (path: string, content = "content"): UndoPlace => {
  fs.writeFileSync(path, content)
  return { path, ino: null, size: String(Buffer.byteLength(content)), mtime: null, sha256: sha256(content) }
}

const job = (from: UndoPlace, fields: Partial<UndoJob> = {}): UndoJob => ({
  root: inbox,
  path: RelPath.make("a.txt"),
  stamp: Stamp.make("1:2:3:4:5"),
  from,
  marker: null,
  others: [],
  sync: true,
  resumed: false,
  ...fields
})

describe("putting a file back", () => {
  it("brings it to where it was, as it was, and says so before", () => {
    const from = moved(join(out, "a (1).txt"))
    fs.chmodSync(from.path, 0o640)
    const before = fs.statSync(from.path)
    expect(checkUndo(job(from))).toEqual({ reason: null, stamp: stampOf(from.path) })
    expect(list(out)).toEqual(["a (1).txt"])
    const result = undo(job(from))
    expect(result).toEqual({ _tag: "Restored", stamp: stampOf(join(inbox, "a.txt")), left: [], warning: null })
    const after = fs.statSync(join(inbox, "a.txt"))
    expect([after.ino, after.mode, after.mtimeMs]).toEqual([before.ino, before.mode, before.mtimeMs])
    expect(list(out)).toEqual([])
    expect(list(inbox)).toEqual(["a.txt"])
  })

  it("whatever its name, and into a folder that has gone since", () => {
    const name = RelPath.fromBytes(Uint8Array.from([0x2d, 0xff, 0x0a]))
    const from = moved(`${out}/${name}`)
    expect(undo(job(from, { path: RelPath.make(`x/y/${name}`) }))._tag).toBe("Restored")
    expect(read(`${inbox}/x/y/${name}`)).toBe("content")
    const long = moved(join(out, "l".repeat(255)))
    expect(undo(job(long, { path: RelPath.make("l".repeat(255)) }))._tag).toBe("Restored")
  })

  it("takes other results back that are unchanged, and leaves those that are not", () => {
    const from = copied(join(out, "1"))
    const others = [copied(join(out, "2")), copied(join(out, "3")), copied(join(out, "4"))]
    fs.writeFileSync(join(out, "3"), "CONTENT")
    fs.rmSync(join(out, "4"))
    expect(undo(job(from, { others }))).toMatchObject({
      _tag: "Restored",
      left: [{ place: 1, reason: `${join(out, "3")} has changed since` }]
    })
    expect(list(out)).toEqual(["3"])
    expect(list(inbox)).toEqual(["a.txt"])
  })

  it("brings its marker, too", () => {
    const marker = { from: moved(join(out, "a (1).done"), ""), path: RelPath.make("ready/a.done") }
    expect(undo(job(moved(join(out, "a")), { marker }))).toMatchObject({ _tag: "Restored", warning: null })
    expect(list(inbox)).toEqual(["a.txt", "ready/a.done"])
    // one that is there is none to be overwritten
    const again = { from: moved(join(out, "a.done"), "new"), path: RelPath.make("ready/a.done") }
    const second = undo(job(moved(join(out, "b")), { path: RelPath.make("b"), marker: again }))
    expect(second).toMatchObject({
      _tag: "Restored",
      warning: expect.stringContaining("stays there: there is another")
    })
    expect(list(out)).toEqual(["a.done"])
    expect(read(join(inbox, "ready/a.done"))).toBe("")
  })
})

describe("it is refused, and all stays as it was,", () => {
  const refused = (of: UndoJob, reason: string) => {
    const before = [list(root), fs.existsSync(of.from.path) ? stampOf(of.from.path) : ""]
    expect(checkUndo(of).reason).toContain(reason)
    expect(undo(of)).toMatchObject({ _tag: "Refused", reason: expect.stringContaining(reason) })
    expect([list(root), fs.existsSync(of.from.path) ? stampOf(of.from.path) : ""]).toEqual(before)
  }

  it("where something is at its old place: a file, a folder, a link that leads nowhere", () => {
    const from = moved(join(out, "a"))
    const source = join(inbox, "a.txt")
    fs.writeFileSync(source, "somebody else's")
    refused(job(from), `there is another file ${source} by now`)
    expect(read(source)).toBe("somebody else's")
    fs.rmSync(source)
    fs.mkdirSync(source)
    refused(job(from), "there is another file")
    fs.rmdirSync(source)
    fs.symlinkSync("nowhere", source)
    refused(job(from), "there is another file")
  })

  it("where it is gone, or its source is", () => {
    const from = moved(join(out, "a"))
    refused(job(from, { root: join(root, "none") }), `its source ${join(root, "none")} is not there`)
    fs.rmSync(from.path)
    refused(job(from), `${from.path} is gone`)
  })

  it("where it has changed: by size, time, inode, hash, or kind", () => {
    const from = moved(join(out, "a"))
    const changed = `${from.path} has changed since`
    const { atime, mtime } = fs.statSync(from.path)
    fs.writeFileSync(from.path, "longer than it was")
    fs.utimesSync(from.path, atime, mtime)
    refused(job(from), changed)
    fs.writeFileSync(from.path, "CONTENT")
    refused(job(from), changed)
    const hashed = copied(join(out, "h"))
    fs.writeFileSync(hashed.path, "CONTENT")
    refused(job(hashed), `${hashed.path} has changed since`)
    const other = moved(join(out, "i"))
    refused(job({ ...other, ino: "1" }), `${other.path} has changed since`)
    const linked = moved(join(out, "l"))
    fs.rmSync(linked.path)
    fs.symlinkSync(join(out, "h"), linked.path)
    refused(job(linked), `${linked.path} has changed since`)
  })

  it("where its folder leads out of the source by now", () => {
    const from = moved(join(out, "a"))
    fs.mkdirSync(join(root, "elsewhere"))
    fs.symlinkSync(join(root, "elsewhere"), join(inbox, "x"))
    const of = job(from, { path: RelPath.make("x/a.txt") })
    expect(undo(of)).toMatchObject({ _tag: "Refused", reason: expect.stringContaining("out of the source") })
    expect(list(join(root, "elsewhere"))).toEqual([])
    expect(list(out)).toEqual(["a"])
  })

  it("where somebody is faster", () => {
    const from = moved(join(out, "a"))
    const link = fs.linkSync
    Reflect.set(fs, "linkSync", (...given: Parameters<typeof fs.linkSync>) => {
      Reflect.set(fs, "linkSync", link)
      fs.writeFileSync(join(inbox, "a.txt"), "faster")
      return link(...given)
    })
    expect(undo(job(from))).toMatchObject({ _tag: "Refused", reason: expect.stringContaining("by now") })
    expect(read(join(inbox, "a.txt"))).toBe("faster")
    expect(list(out)).toEqual(["a"])
    expect(read(from.path)).toBe("content")
  })
})

describe("to and from another file system", () => {
  /** Runs it with `out` on a file system of its own; false: none can be mounted here. */
  const onItsOwn = (run: () => void): boolean => {
    if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", out]).status !== 0) return false
    try {
      run()
    } finally {
      spawnSync("umount", ["-l", out])
    }
    return true
  }

  it("it is copied, verified, and overwrites nothing", (context) => {
    const done = onItsOwn(() => {
      const from = moved(join(out, "a"))
      fs.chmodSync(from.path, 0o600)
      const { mtimeMs } = fs.statSync(from.path)
      expect(undo(job(from))).toMatchObject({ _tag: "Restored", stamp: stampOf(join(inbox, "a.txt")) })
      const is = fs.statSync(join(inbox, "a.txt"))
      expect(Math.abs(is.mtimeMs - mtimeMs)).toBeLessThan(0.01)
      expect(is.mode & 0o777).toBe(0o600)
      expect([list(inbox), list(out)]).toEqual([["a.txt"], []])
      const second = moved(join(out, "b"))
      expect(undo(job(second))._tag).toBe("Refused")
      expect([list(inbox), list(out)]).toEqual([["a.txt"], ["b"]])
    })
    if (!done) context.skip("no file system can be mounted here")
  })

  it("killed at any call, it is there once", (context) => {
    const done = onItsOwn(() => {
      const calls = killedAnywhere(prepare, again)
      expect(calls).toBeGreaterThan(20)
    })
    if (!done) context.skip("no file system can be mounted here")
  })
})

const clear = () => {
  for (const directory of [inbox, out]) {
    for (const name of fs.readdirSync(directory)) fs.rmSync(join(directory, name), { recursive: true })
  }
}

let given: UndoJob
const prepare = () => {
  clear()
  given = job(moved(join(out, "a")), {
    path: RelPath.make("x/a.txt"),
    marker: { from: moved(join(out, "a.done"), ""), path: RelPath.make("x/a.txt.done") },
    others: [copied(join(out, "b"))]
  })
  return () => undo(given)
}

const again = () => {
  const result = undo({ ...given, resumed: true })
  expect(result).toEqual({ _tag: "Restored", stamp: stampOf(join(inbox, "x", "a.txt")), left: [], warning: null })
  expect(list(root)).toEqual(["in/x/a.txt", "in/x/a.txt.done"])
  expect(read(join(inbox, "x", "a.txt"))).toBe("content")
  // and once more, for a process that was killed before it had written down that it was done
  expect(undo({ ...given, resumed: true })).toEqual(result)
}

/** Runs what is to be killed at its n-th call of the file system, for each n, and calls `again` after it. */
const killedAnywhere = (prepare: () => () => unknown, again: () => void): number => {
  const calls = [
    "lstatSync",
    "statSync",
    "fstatSync",
    "renameSync",
    "linkSync",
    "unlinkSync",
    "mkdirSync",
    "fsyncSync",
    "openSync",
    "readSync",
    "writeSync",
    "futimesSync"
  ] as const
  for (let most = 0; ; most += 1) {
    const run = prepare()
    let count = 0
    const originals = calls.map((name) => {
      const original: unknown = Reflect.get(fs, name)
      Reflect.set(fs, name, (...given: ReadonlyArray<unknown>): unknown => {
        // from there on nothing happens any more
        if (count >= most || typeof original !== "function") throw new Error("killed")
        count += 1
        return Reflect.apply(original, fs, given)
      })
      return { name, original }
    })
    try {
      run()
    } catch {
      // killed
    } finally {
      for (const { name, original } of originals) Reflect.set(fs, name, original)
    }
    // the file itself is whole under one of its names, whenever it is looked for
    expect(list(root).filter((name) => ["content"].includes(read(join(root, name)))).length).toBeGreaterThan(0)
    again()
    if (count < most) return most
  }
}

describe("killed at any call of the file system, and called again", () => {
  it("it is in its source once, with its marker, and nowhere else", () => {
    expect(killedAnywhere(prepare, again)).toBeGreaterThan(20)
  })

  it("it is back, whatever came to its places since", () => {
    const from = moved(join(out, "a"))
    const of = job(from)
    expect(undo(of)._tag).toBe("Restored")
    // a later file at the target, and the one that is back was not committed yet
    fs.writeFileSync(from.path, "the next one")
    expect(undo({ ...of, resumed: true })).toMatchObject({ _tag: "Restored", stamp: stampOf(join(inbox, "a.txt")) })
    expect(read(from.path)).toBe("the next one")
    fs.rmSync(from.path)
    fs.writeFileSync(join(inbox, "a.txt"), "written to since")
    expect(undo({ ...of, resumed: true })).toMatchObject({ _tag: "Restored", stamp: null })
    fs.rmSync(join(inbox, "a.txt"))
    expect(undo({ ...of, resumed: true })).toMatchObject({ _tag: "Restored", stamp: null })
  })

  it("a file that was aside goes back where its source is gone", () => {
    const from = moved(join(out, "a"))
    const of = job(from, { path: RelPath.make("x/a.txt") })
    const link = fs.linkSync
    Reflect.set(fs, "linkSync", () => {
      throw new Error("killed")
    })
    fs.mkdirSync(join(inbox, "x"))
    const result = undo(of)
    Reflect.set(fs, "linkSync", link)
    expect(result._tag).toBe("Stuck")
    fs.rmSync(inbox, { recursive: true })
    expect(undo({ ...of, resumed: true })._tag).toBe("Refused")
    expect(list(out)).toEqual(["a"])
  })
})

describe("in a worker thread", () => {
  it("it is all the same", () =>
    Effect.gen(function* () {
      const files = yield* Files
      const of = job(moved(join(out, "a")))
      expect((yield* files.checkUndo(of)).reason).toBe(null)
      expect((yield* files.undo(of))._tag).toBe("Restored")
      expect((yield* files.undo(of))._tag).toBe("Refused")
      expect(list(inbox)).toEqual(["a.txt"])
    }).pipe(Effect.provide(FilesWorker.layer), Effect.scoped, Effect.runPromise))
})
