import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { it as effectIt } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { spawnSync } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Stamp, stamp } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Copy from "../../src/files/copy.ts"
import { Files, type CopyJob, type CopyResult } from "../../src/files/Files.ts"
import { codeOf, targetFault } from "../../src/files/fault.ts"
import * as FilesDirect from "../../src/files/FilesDirect.ts"
import * as FilesWorker from "../../src/files/FilesWorker.ts"
import { fsPath, tempName } from "../../src/files/names.ts"

let root: string
let inbox: string
let out: string

beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), "filedispatch-copy-"))
  inbox = join(root, "in")
  out = join(root, "out")
  fs.mkdirSync(inbox)
})
afterEach(() => fs.rmSync(root, { recursive: true, force: true }))

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")
const stampAt = (path: string) => stamp(fs.lstatSync(fsPath(path), { bigint: true }))
const write = (name: string, content: string | Uint8Array = `content of ${name}`) =>
  fs.writeFileSync(fsPath(`${inbox}/${name}`), content)

const job = (name: string, fields: Partial<CopyJob> = {}): CopyJob => ({
  root: inbox,
  path: RelPath.make(name),
  stamp: stampAt(`${inbox}/${name}`),
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
})

const copy = (one: CopyJob): CopyResult => {
  const [result] = Copy.copyAll([one])
  if (result === undefined) throw new Error("no result")
  return result
}

/** As the destination does: the name that was picked is committed, and used. */
const copyChosen = (one: CopyJob): CopyResult => {
  const result = copy(one)
  return result._tag === "Choose" ? copyChosen({ ...one, chosen: result.name }) : result
}

/** All names below a directory, temp files too. */
const list = (directory: string): ReadonlyArray<string> =>
  fs.existsSync(directory)
    ? fs
        .readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter((entry) => !entry.isDirectory())
        .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
        .sort()
    : []

const read = (name: string) => fs.readFileSync(fsPath(`${out}/${name}`))
const large = (seed = 1) => Buffer.alloc(Copy.smallFile + 1_234_567, Buffer.from([seed, 2, 3, 4, 5, 6, 7]))

describe("a copy", () => {
  for (const [what, content] of [
    ["small", Buffer.from("hello")],
    ["empty", Buffer.alloc(0)],
    ["of more than one read", randomBytes(2_500_000)],
    ["large", large()]
  ] as const) {
    it(`has the content, mode and mtime of its source: ${what}`, () => {
      write("a.bin", content)
      fs.chmodSync(join(inbox, "a.bin"), 0o640)
      fs.utimesSync(join(inbox, "a.bin"), 1_600_000_000, 1_500_000_000.123)
      const result = copy(job("a.bin", { name: RelPath.make("deep/er/a.bin") }))
      expect(result).toMatchObject({
        _tag: "Done",
        receipt: { bytes: content.length, verified: "size", name: "deep/er/a.bin" }
      })
      if (result._tag === "Done" && content.length <= Copy.smallFile) {
        expect(result.receipt.sha256).toBe(sha256(content))
      }
      expect(read("deep/er/a.bin").equals(content)).toBe(true)
      const stat = fs.statSync(join(out, "deep/er/a.bin"))
      expect(stat.mode & 0o777).toBe(0o640)
      expect(Math.abs(stat.mtimeMs - 1_500_000_000_123)).toBeLessThan(1)
      expect(list(out)).toEqual(["deep/er/a.bin"])
      expect(list(inbox)).toEqual(["a.bin"])
    })
  }

  for (const mode of [0o444, 0o777, 0o400, 0o666]) {
    it(`keeps mode ${mode.toString(8)}, of small and large files`, () => {
      write("small")
      write("large", large())
      for (const name of ["small", "large"]) {
        fs.chmodSync(join(inbox, name), mode)
        expect(copy(job(name))._tag).toBe("Done")
        expect(fs.statSync(join(out, name)).mode & 0o777).toBe(mode)
      }
    })
  }

  it("may be of any name that the file system has", () => {
    const raw = RelPath.fromBytes(Uint8Array.from([0x66, 0xff, 0xfe, 0x2e, 0x74]))
    const long = `${"é".repeat(125)}.text`
    expect(Buffer.byteLength(long)).toBe(255)
    for (const name of [raw, long, "a\nb\\c", "-rf", " ", "'\"$(x)`"]) {
      write(name, name)
      expect(copy(job(name)), name).toMatchObject({ _tag: "Done" })
      expect(read(name).toString()).toBe(Buffer.from(name).toString())
    }
    expect(list(out).length).toBe(6)
  })

  it("overwrites as a whole, and never writes into what is there", () => {
    write("a", "new")
    fs.mkdirSync(out)
    fs.writeFileSync(join(out, "other"), "old")
    fs.linkSync(join(out, "other"), join(out, "a"))
    expect(copy(job("a"))._tag).toBe("Done")
    expect(read("a").toString()).toBe("new")
    expect(read("other").toString()).toBe("old")
  })

  it("does not follow a link in the place of its source", () => {
    write("real")
    fs.symlinkSync("real", join(inbox, "link"))
    const result = copy(job("link"))
    expect(result).toMatchObject({ _tag: "Failed", fault: { kind: "changed" } })
    expect(list(out)).toEqual([])
  })

  it("replaces a link at the target instead of writing through it", () => {
    write("a")
    fs.mkdirSync(out)
    fs.writeFileSync(join(root, "precious"), "precious")
    fs.symlinkSync(join(root, "precious"), join(out, "a"))
    expect(copy(job("a"))._tag).toBe("Done")
    expect(fs.readFileSync(join(root, "precious"), "utf8")).toBe("precious")
    expect(fs.lstatSync(join(out, "a")).isFile()).toBe(true)
  })

  for (const move of [false, true]) {
    it(`of a source that changed or is gone is none${move ? ", nor is a move" : ""}`, () => {
      write("a")
      const accepted = job("a", { move })
      fs.writeFileSync(join(inbox, "a"), "something else")
      expect(copy(accepted)).toMatchObject({ _tag: "Failed", fault: { kind: "changed" } })
      expect(fs.readFileSync(join(inbox, "a"), "utf8")).toBe("something else")
      fs.rmSync(join(inbox, "a"))
      expect(copy(accepted)).toMatchObject({ _tag: "Failed", fault: { kind: "gone" } })
      fs.rmSync(inbox, { recursive: true })
      expect(copy(accepted)).toMatchObject({ _tag: "Failed", fault: { kind: "gone" } })
      expect(list(out)).toEqual([])
    })
  }

  it("removes what earlier attempts left, and only that", () => {
    write("a")
    fs.mkdirSync(out)
    for (const name of ["attempt 0", "attempt 1", "stranger"]) fs.writeFileSync(join(out, tempName(name)), "partial")
    expect(copy(job("a", { temp: tempName("attempt 1"), stale: [tempName("attempt 0")] }))._tag).toBe("Done")
    expect(list(out)).toEqual([tempName("stranger"), "a"].sort())
  })

  it("in a batch fails alone", () => {
    for (const name of ["a", "b", "c"]) write(name)
    const jobs = ["a", "b", "c"].map((name) => job(name, { temp: tempName(name) }))
    fs.rmSync(join(inbox, "b"))
    expect(Copy.copyAll(jobs).map(({ _tag }) => _tag)).toEqual(["Done", "Failed", "Done"])
    expect(list(out)).toEqual(["a", "c"])
  })
})

describe("the conflict policy", () => {
  beforeEach(() => {
    write("a.txt", "new")
    fs.mkdirSync(out)
  })
  const there = (name = "a.txt", content = "old") => fs.writeFileSync(join(out, name), content)

  for (const move of [false, true]) {
    describe(move ? "of a move" : "of a copy", () => {
      it("skip leaves what is there", () => {
        there()
        expect(copy(job("a.txt", { conflict: "skip", move }))).toMatchObject({ fault: { kind: "skipped" } })
        expect(read("a.txt").toString()).toBe("old")
        expect(list(inbox)).toEqual(["a.txt"])
        fs.rmSync(join(out, "a.txt"))
        expect(copy(job("a.txt", { conflict: "skip", move }))._tag).toBe("Done")
      })
      it("fail fails for good, and leaves the source as it was", () => {
        there()
        const before = stampAt(join(inbox, "a.txt"))
        expect(copy(job("a.txt", { conflict: "fail", move }))).toMatchObject({ fault: { kind: "permanent" } })
        expect(read("a.txt").toString()).toBe("old")
        expect(stampAt(join(inbox, "a.txt"))).toBe(before)
        fs.rmSync(join(out, "a.txt"))
        expect(copy(job("a.txt", { conflict: "fail", move }))._tag).toBe("Done")
        expect(list(out)).toEqual(["a.txt"])
      })
      it("rename picks the first free name, and asks before it uses it", () => {
        there()
        there("a (1).txt")
        const one = job("a.txt", { conflict: "rename", move })
        expect(copy(one)).toEqual({ _tag: "Choose", name: "a (2).txt" })
        // taken meanwhile
        there("a (2).txt")
        const chosen: CopyJob = { ...one, chosen: RelPath.make("a (2).txt") }
        expect(copy(chosen)).toEqual({ _tag: "Choose", name: "a (3).txt" })
        expect(copy({ ...chosen, chosen: RelPath.make("a (3).txt") })).toMatchObject({
          _tag: "Done",
          receipt: { name: "a (3).txt" }
        })
        expect(read("a (3).txt").toString()).toBe("new")
        expect(list(out)).toEqual(["a (1).txt", "a (2).txt", "a (3).txt", "a.txt"])
        expect(list(inbox)).toEqual(move ? [] : ["a.txt"])
      })
      it("newer replaces only what is older", () => {
        there()
        fs.utimesSync(join(out, "a.txt"), 2_000_000_000, 2_000_000_000)
        expect(copy(job("a.txt", { conflict: "newer", move }))).toMatchObject({ fault: { kind: "skipped" } })
        fs.utimesSync(join(out, "a.txt"), 1_000_000_000, 1_000_000_000)
        expect(copy(job("a.txt", { conflict: "newer", move }))._tag).toBe("Done")
        expect(read("a.txt").toString()).toBe("new")
      })
      it("backup keeps what was there, each", () => {
        there()
        there("a.txt.bak", "older")
        expect(copy(job("a.txt", { conflict: "backup", move }))._tag).toBe("Done")
        expect(read("a.txt").toString()).toBe("new")
        expect(read("a.txt.bak").toString()).toBe("older")
        expect(read("a.txt.bak1").toString()).toBe("old")
        expect(list(out)).toEqual(["a.txt", "a.txt.bak", "a.txt.bak1"])
      })
    })
  }
})

describe("a move", () => {
  it("is the file itself", () => {
    write("a", large())
    const { ino } = fs.statSync(join(inbox, "a"))
    const result = copy(job("a", { move: true, name: RelPath.make("x/a") }))
    expect(result).toMatchObject({ _tag: "Done", receipt: { verified: "inode", sha256: null } })
    expect(fs.statSync(join(out, "x/a")).ino).toBe(ino)
    expect(list(inbox)).toEqual([])
  })

  it("that can't be published leaves the source untouched, so that it is no new generation", () => {
    write("a")
    fs.mkdirSync(join(out, "a"), { recursive: true })
    const before = stampAt(join(inbox, "a"))
    for (const conflict of ["overwrite", "fail", "skip", "newer"] as const) {
      expect(copy(job("a", { move: true, conflict }))._tag, conflict).toBe("Failed")
      expect(stampAt(join(inbox, "a"))).toBe(before)
    }
    const long = job("a", { move: true, name: RelPath.make("x".repeat(256)) })
    expect(copy(long)).toMatchObject({ fault: { kind: "permanent" } })
    expect(stampAt(join(inbox, "a"))).toBe(before)
  })

  it("that fails after all puts the source back, never over another", () => {
    write("a", "first")
    const one = job("a", { move: true, conflict: "fail" })
    const staged = Copy.stage(one)
    if (staged._tag !== "Staged") throw new Error("not staged")
    fs.writeFileSync(join(out, "a"), "a stranger was faster")
    write("a", "second")
    expect(Copy.publishOne(one, staged)).toMatchObject({ fault: { kind: "permanent" } })
    expect(fs.readFileSync(join(inbox, "a"), "utf8")).toBe("second")
    expect(fs.readFileSync(join(inbox, "a (1)"), "utf8")).toBe("first")
    expect(list(out)).toEqual(["a"])
  })

  for (const conflict of ["overwrite", "fail", "skip", "rename", "backup", "newer"] as const) {
    it(`that was cut between its two renames is finished after a restart: ${conflict}`, () => {
      write("a", "the only one")
      const one = job("a", { move: true, conflict })
      expect(Copy.stage(one)._tag).toBe("Staged")
      expect(list(inbox)).toEqual([])
      const receipt = Copy.recover(one)
      if (conflict === "rename") {
        expect(receipt).toBeNull()
        expect(copyChosen(one)).toMatchObject({ _tag: "Done" })
      } else {
        expect(receipt).toMatchObject({ verified: "inode", name: "a" })
      }
      expect(read("a").toString()).toBe("the only one")
      expect(list(out)).toEqual(["a"])
    })

    it(`that was cut after it was published is adopted: ${conflict}`, () => {
      write("a", "the only one")
      const one = job("a", { move: true, conflict })
      expect(copyChosen(one)._tag).toBe("Done")
      const again: CopyJob = conflict === "rename" ? { ...one, chosen: RelPath.make("a") } : one
      expect(Copy.recover(again)).toMatchObject({ verified: "inode" })
      expect(list(out)).toEqual(["a"])
    })
  }

  it("that was cut is not lost where the disk has got another number since", () => {
    write("a", "the only one")
    write("b", "another only one")
    const moves = [job("a", { move: true }), job("b", { move: true, temp: tempName("attempt b") })]
    for (const one of moves) expect(Copy.stage(one)._tag).toBe("Staged")
    expect(list(inbox)).toEqual([])
    // as after a restart of the system, or once it was mounted again
    const [first, second] = moves.map((one) => ({ ...one, stamp: Stamp.make(one.stamp.replace(/^\d+/, "999")) }))
    if (first === undefined || second === undefined) throw new Error("two were moved")
    expect(Copy.recover(first)).toMatchObject({ verified: "inode" })
    expect(copy({ ...second, stale: [second.temp], temp: tempName("attempt 1") })).toMatchObject({ _tag: "Done" })
    expect(list(out)).toEqual(["a", "b"])
    expect(read("a").toString()).toBe("the only one")
    expect(read("b").toString()).toBe("another only one")
  })

  for (const conflict of ["fail", "skip", "rename"] as const) {
    for (const move of [true, false]) {
      it(`or copy that was cut between link and unlink is one file, not two: ${conflict}, move ${move}`, () => {
        write("a", "the only one")
        const one = job("a", { move, conflict, chosen: conflict === "rename" ? RelPath.make("a") : null })
        expect(Copy.stage(one)._tag).toBe("Staged")
        fs.linkSync(join(out, one.temp), join(out, "a"))
        expect(Copy.recover(one)).toMatchObject({ name: "a" })
        expect(list(out)).toEqual(["a"])
        expect(list(inbox)).toEqual(move ? [] : ["a"])
      })
    }
  }

  it("goes on in the next attempt from where the last one was interrupted", () => {
    write("a", "the only one")
    const one = job("a", { move: true })
    expect(Copy.stage(one)._tag).toBe("Staged")
    expect(copy({ ...one, temp: tempName("attempt 1"), stale: [one.temp] })._tag).toBe("Done")
    expect(list(out)).toEqual(["a"])
    expect(read("a").toString()).toBe("the only one")
  })
})

describe("what is given up", () => {
  for (const move of [false, true]) {
    it(`leaves no temp files: move ${move}`, () => {
      write("a", "newer")
      fs.mkdirSync(out)
      for (const name of ["attempt 0", "attempt 1", "a stranger"]) fs.writeFileSync(join(out, tempName(name)), "par")
      const one = job("a", { move, temp: tempName("attempt 1"), stale: [tempName("attempt 0")] })
      for (const stamp of [one.stamp, Stamp.make("1:2:3:4:5")]) expect(Copy.discard({ ...one, stamp })).toBeNull()
      expect(list(out)).toEqual([tempName("a stranger")])
      expect(list(inbox)).toEqual(["a"])
    })
  }

  it("gives a source back that was being moved, beside what has come there since", () => {
    write("a", "the only one")
    const one = job("a", { move: true })
    expect(Copy.stage(one)._tag).toBe("Staged")
    write("a", "another")
    expect(Copy.discard({ ...one, temp: tempName("attempt 1"), stale: [one.temp] })).toBeNull()
    expect(list(out)).toEqual([])
    expect(fs.readFileSync(join(inbox, "a"), "utf8")).toBe("another")
    expect(fs.readFileSync(join(inbox, "a (1)"), "utf8")).toBe("the only one")
  })

  it("is not given back where it has arrived", () => {
    write("a", "the only one")
    const one = job("a", { move: true, conflict: "fail" })
    expect(Copy.stage(one)._tag).toBe("Staged")
    fs.linkSync(join(out, one.temp), join(out, "a"))
    expect(Copy.discard(one)).toBeNull()
    expect([list(inbox), list(out)]).toEqual([[], ["a"]])
  })

  it("says what keeps it from being cleared away, and is fine where nothing was begun", () => {
    write("a")
    expect(Copy.discard(job("a"))).toBeNull()
    const temp = tempName("attempt 0")
    fs.mkdirSync(join(out, temp), { recursive: true })
    expect(Copy.discard(job("a", { temp }))).toMatchObject({ reason: expect.stringContaining(out) })
    // what is not mounted is not looked into
    expect(Copy.discard(job("a", { mount: out }))).toMatchObject({ kind: "lane" })
  })
})

describe("recovery of a copy", () => {
  it("removes its temp files, and begins again", () => {
    write("a")
    fs.mkdirSync(out)
    for (const name of ["attempt 0", "attempt 1"]) fs.writeFileSync(join(out, tempName(name)), "par")
    expect(Copy.recover(job("a", { temp: tempName("attempt 1"), stale: [tempName("attempt 0")] }))).toBeNull()
    expect(list(out)).toEqual([])
  })

  for (const content of [Buffer.from("small"), large()]) {
    it(`adopts what is there by size and mtime: ${content.length} bytes`, () => {
      write("a", content)
      fs.utimesSync(join(inbox, "a"), 1_700_000_000, 1_723_456_789.987654)
      expect(copy(job("a"))._tag).toBe("Done")
      expect(Copy.recover(job("a"))).toMatchObject({ bytes: content.length, verified: "size", name: "a" })
    })
  }

  it("adopts nothing else", () => {
    write("a", "12345")
    expect(Copy.recover(job("a"))).toBeNull()
    fs.mkdirSync(out)
    // of another time and content; the same content would do
    fs.writeFileSync(join(out, "a"), "54321")
    fs.utimesSync(join(out, "a"), 1_600_000_000, 1_600_000_000)
    expect(Copy.recover(job("a"))).toBeNull()
    fs.writeFileSync(join(out, "a"), "12345")
    fs.utimesSync(join(out, "a"), 1_600_000_000, 1_600_000_000)
    expect(Copy.recover(job("a"))).toMatchObject({ verified: "hash" })
    // of another size
    const { atime, mtime } = fs.statSync(join(inbox, "a"))
    fs.writeFileSync(join(out, "a"), "123456")
    fs.utimesSync(join(out, "a"), atime, mtime)
    expect(Copy.recover(job("a"))).toBeNull()
    // a folder, or a link
    fs.rmSync(join(out, "a"))
    fs.mkdirSync(join(out, "a"))
    expect(Copy.recover(job("a"))).toBeNull()
    expect(read("../in/a").toString()).toBe("12345")
  })

  it("does not take a stranger's file for one whose name was not chosen yet", () => {
    write("a", "12345")
    expect(copy(job("a"))._tag).toBe("Done")
    expect(Copy.recover(job("a", { conflict: "rename" }))).toBeNull()
    expect(Copy.recover(job("a", { conflict: "rename", chosen: RelPath.make("a") }))).not.toBeNull()
  })
})

describe("a target that fails", () => {
  const fault = (fields: Partial<CopyJob>) => {
    const result = copy(job("a", fields))
    if (result._tag !== "Failed") throw new Error(result._tag)
    expect(result.fault.reason).not.toContain("\n")
    return result.fault
  }
  beforeEach(() => write("a"))

  for (const move of [false, true]) {
    it(`is told apart by what helps: move ${move}`, () => {
      fs.mkdirSync(out)
      fs.writeFileSync(join(out, "file"), "")
      fs.mkdirSync(join(out, "folder"))
      expect(fault({ move, name: RelPath.make("file/a") })).toMatchObject({ kind: "permanent" })
      expect(fault({ move, name: RelPath.make("file/a") }).reason).toContain("ENOTDIR")
      expect(fault({ move, name: RelPath.make("folder") })).toMatchObject({ kind: "permanent" })
      expect(fault({ move, name: RelPath.make("folder") }).reason).toContain("EISDIR")
      expect(fault({ move, name: RelPath.make("x".repeat(256)) })).toMatchObject({ kind: "permanent" })
      expect(list(out)).toEqual(["file"])
      expect(list(inbox)).toEqual(["a"])
    })
  }

  it.skipIf(process.getuid?.() !== 0 || process.seteuid === undefined)("may be forbidden for now", () => {
    fs.mkdirSync(out)
    fs.chmodSync(root, 0o755)
    fs.chmodSync(out, 0o555)
    process.seteuid?.(65_534)
    try {
      expect(fault({})).toMatchObject({ kind: "transient" })
      expect(fault({}).reason).toContain("permission denied")
      expect(fault({ name: RelPath.make("new/a") })).toMatchObject({ kind: "transient" })
    } finally {
      process.seteuid?.(0)
    }
  })

  it.skipIf(process.getuid?.() !== 0 || process.seteuid === undefined)(
    "takes a large file that its owner can't write",
    () => {
      write("big", large())
      fs.chmodSync(join(inbox, "big"), 0o400)
      fs.chownSync(join(inbox, "big"), 65_534, 65_534)
      fs.mkdirSync(out)
      for (const directory of [root, inbox, out]) fs.chmodSync(directory, 0o777)
      process.seteuid?.(65_534)
      try {
        expect(copy(job("big"))).toMatchObject({ _tag: "Done" })
      } finally {
        process.seteuid?.(0)
      }
    }
  )

  it.runIf(process.platform === "linux")("has a name for its trouble, also where node has none", () => {
    const error = Object.assign(new Error("Unknown system error -122"), {
      code: "Unknown system error -122",
      errno: -122
    })
    expect(codeOf(error)).toBe("EDQUOT")
    expect(codeOf({ code: "UNKNOWN", errno: -116 })).toBe("ESTALE")
    expect(codeOf({ code: "UNKNOWN", errno: -9999 })).toBe("UNKNOWN")
    expect(targetFault(error, "/out/a")).toMatchObject({ kind: "lane" })
  })

  it("is not written to where its file system is not mounted", () => {
    write("a")
    const folder = join(out, "nas")
    fs.mkdirSync(folder, { recursive: true })
    const result = copy(job("a", { target: join(folder, "sub"), mount: folder }))
    expect(result).toMatchObject({ _tag: "Failed", fault: { kind: "lane" } })
    expect(JSON.stringify(result)).toContain(`the file system ${folder} is not mounted: mount it again`)
    expect(list(out)).toEqual([])
    expect(Copy.recover(job("a", { target: folder, mount: folder }))).toBeNull()
    expect(copy(job("a", { target: folder, mount: "/" }))._tag).toBe("Done")
  })

  it("is full, which is the lane's trouble, and leaves nothing behind", (context) => {
    fs.mkdirSync(out)
    if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", out]).status !== 0) {
      return context.skip("no file system can be mounted here")
    }
    try {
      for (const content of [Buffer.alloc(200_000), large()]) {
        write("a", content)
        for (const move of [false, true]) {
          expect(fault({ move })).toMatchObject({ kind: "lane" })
          expect(fault({ move }).reason).toContain("full")
          expect(list(out)).toEqual([])
        }
      }
      write("a", "small enough, and moved by a copy, because the file system is another")
      expect(copy(job("a", { move: true }))).toMatchObject({ _tag: "Done", receipt: { verified: "size" } })
      expect(spawnSync("mount", ["-o", "remount,ro", out]).status).toBe(0)
      expect(fault({ name: RelPath.make("b") })).toMatchObject({ kind: "lane" })
      expect(fault({ name: RelPath.make("b") }).reason).toContain("read-only")
    } finally {
      spawnSync("umount", ["-l", out])
    }
  })
})

describe("the hash of a large file", () => {
  it("is that of the generation, or none", () => {
    const content = large()
    write("a", content)
    const before = stampAt(join(inbox, "a"))
    expect(Copy.hash(inbox, "a", before)).toBe(sha256(content))
    fs.appendFileSync(join(inbox, "a"), "more")
    expect(Copy.hash(inbox, "a", before)).toBeNull()
    expect(Copy.hash(inbox, "gone", before)).toBeNull()
  })
})

for (const [name, layer] of [
  ["FilesDirect", FilesDirect.layer],
  ["FilesWorker", FilesWorker.layer]
] as const) {
  describe(`a copier of ${name}`, () => {
    effectIt.scopedLive("copies small and large files, and reports progress", () =>
      Effect.gen(function* () {
        const context = yield* Layer.build(layer)
        const files = yield* Effect.provide(Files, context)
        const copier = yield* files.copier(2)
        const content = large()
        write("large", content)
        const names = Array.from({ length: 100 }, (_, index) => `small-${index}`)
        for (const one of names) write(one)
        const progress = new Map<string, number>()
        const results = yield* Effect.forEach(
          ["large", ...names],
          (one) =>
            copier.copy(job(one, { temp: tempName(one), sync: false }), (bytes) =>
              progress.set(one, (progress.get(one) ?? 0) + bytes)
            ),
          { concurrency: "unbounded" }
        )
        expect(results.every(({ _tag }) => _tag === "Done")).toBe(true)
        expect(list(out)).toEqual(["large", ...names].sort())
        expect(read("large").equals(content)).toBe(true)
        expect(read("small-7").toString()).toBe("content of small-7")
        expect(progress.get("small-7")).toBe("content of small-7".length)
        const [first] = results
        if (name === "FilesWorker" && first?._tag === "Done") expect(first.receipt.sha256).toBe(sha256(content))
        expect(yield* copier.recover(job("large", { temp: tempName("large") }))).toMatchObject({ verified: "size" })
        // one that fails
        const gone = job("small-1")
        fs.rmSync(join(inbox, "small-1"))
        expect(yield* copier.copy(gone, () => undefined)).toMatchObject({ fault: { kind: "gone" } })
      })
    )

    effectIt.scopedLive("moves a large file", () =>
      Effect.gen(function* () {
        const files = yield* Effect.provide(Files, yield* Layer.build(layer))
        const copier = yield* files.copier(1)
        write("large", large(9))
        expect(yield* copier.copy(job("large", { move: true }), () => undefined)).toMatchObject({
          receipt: { verified: "inode" }
        })
        expect(list(inbox)).toEqual([])
        expect(list(out)).toEqual(["large"])
      })
    )
  })
}
