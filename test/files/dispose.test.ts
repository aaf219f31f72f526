import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { spawnSync } from "node:child_process"
import fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { stamp } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Dispose from "../../src/files/dispose.ts"
import { fsPath, isTempName, tempName } from "../../src/files/names.ts"

let root: string
let inbox: string
let done: string

beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), "filedispatch-dispose-"))
  inbox = join(root, "in")
  done = join(root, "done")
  fs.mkdirSync(inbox)
})
afterEach(() => fs.rmSync(root, { recursive: true, force: true }))

const write = (name: string, content = name) => {
  fs.writeFileSync(fsPath(`${inbox}/${name}`), content)
  return stampOf(`${inbox}/${name}`)
}
const stampOf = (path: string) => stamp(fs.lstatSync(fsPath(path), { bigint: true }))
const list = (directory: string) => (fs.existsSync(directory) ? fs.readdirSync(directory).sort() : [])
/** What a process that was killed after the first rename leaves. */
const moveAside = (name: string, of: string) =>
  fs.renameSync(join(inbox, name), join(inbox, tempName(`dispose ${inbox}/${name} ${of}`)))

describe("removing a source", () => {
  it("removes it, whatever its name", () => {
    for (const name of ["a", RelPath.fromBytes(Uint8Array.from([0x66, 0xff])), "x".repeat(255)]) {
      expect(Dispose.remove(inbox, name, write(name), true)).toEqual({ note: null })
    }
    expect(list(inbox)).toEqual([])
  })

  it("removes no other generation", () => {
    const old = write("a", "old")
    write("a", "new one")
    expect(Dispose.remove(inbox, "a", old, true).note).toContain("changed")
    expect(fs.readFileSync(join(inbox, "a"), "utf8")).toBe("new one")
    expect(list(inbox)).toEqual(["a"])
  })

  it("is content with one that is gone, and with a source that is", () => {
    const old = write("a")
    fs.rmSync(join(inbox, "a"))
    expect(Dispose.remove(inbox, "a", old, true)).toEqual({ note: null })
    fs.rmSync(inbox, { recursive: true })
    expect(Dispose.remove(inbox, "a", old, true)).toEqual({ note: null })
  })

  it("goes on where a killed process left off, and does not touch what came since", () => {
    const old = write("a", "old")
    moveAside("a", old)
    write("a", "new")
    expect(Dispose.remove(inbox, "a", old, true)).toEqual({ note: null })
    expect(list(inbox)).toEqual(["a"])
    expect(fs.readFileSync(join(inbox, "a"), "utf8")).toBe("new")
  })
})

describe("archiving a source", () => {
  it("moves it, and makes the folders", () => {
    const old = write("a.txt", "content")
    fs.chmodSync(join(inbox, "a.txt"), 0o640)
    const now = stampOf(join(inbox, "a.txt"))
    expect(Dispose.archive(inbox, "a.txt", old, join(done, "x", "a.txt"), true).note).toContain("changed")
    expect(Dispose.archive(inbox, "a.txt", now, join(done, "x", "a.txt"), true)).toEqual({ note: null })
    expect(list(inbox)).toEqual([])
    expect(fs.readFileSync(join(done, "x", "a.txt"), "utf8")).toBe("content")
    expect(fs.statSync(join(done, "x", "a.txt")).mode & 0o777).toBe(0o640)
  })

  it("never overwrites", () => {
    for (const content of ["1", "2", "3"]) {
      expect(Dispose.archive(inbox, "a.txt", write("a.txt", content), join(done, "a.txt"), false)).toEqual({
        note: null
      })
    }
    expect(list(done)).toEqual(["a (1).txt", "a (2).txt", "a.txt"])
    expect(fs.readFileSync(join(done, "a.txt"), "utf8")).toBe("1")
    expect(fs.readFileSync(join(done, "a (2).txt"), "utf8")).toBe("3")
  })

  it("archives once, wherever a killed process left off", () => {
    const old = write("a", "old")
    moveAside("a", old)
    expect(Dispose.archive(inbox, "a", old, join(done, "a"), true)).toEqual({ note: null })
    expect(list(done)).toEqual(["a"])

    const second = write("b", "old")
    moveAside("b", second)
    fs.linkSync(join(inbox, list(inbox)[0] ?? ""), join(done, "b"))
    expect(Dispose.archive(inbox, "b", second, join(done, "b"), true)).toEqual({ note: null })
    expect(list(done)).toEqual(["a", "b"])
    expect(list(inbox)).toEqual([])
  })

  it("that can't be done leaves the source as it was, so that it is not sent again", () => {
    const old = write("a")
    fs.writeFileSync(join(root, "file"), "")
    const refused = Dispose.archive(inbox, "a", old, join(root, "file", "a"), true)
    expect(refused.note).toContain("was left where it is")
    expect(Dispose.archive(inbox, "a", old, join(done, "x".repeat(256)), true).note).toContain("ENAMETOOLONG")
    expect(stampOf(join(inbox, "a"))).toBe(old)
    expect(list(inbox)).toEqual(["a"])
  })

  it("to another file system copies, and neither loses nor doubles", (context) => {
    fs.mkdirSync(done)
    if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", done]).status !== 0) {
      return context.skip("no file system can be mounted here")
    }
    try {
      const to = join(done, "a")
      expect(Dispose.archive(inbox, "a", write("a", "first"), to, true)).toEqual({ note: null })
      expect(Dispose.archive(inbox, "a", write("a", "other"), to, true)).toEqual({ note: null })
      expect(list(done)).toEqual(["a", "a (1)"])
      expect(list(inbox)).toEqual([])

      // killed after the copy, and before or after the first rename
      for (const name of ["b", "c"]) {
        const old = write(name)
        expect(Dispose.archive(inbox, name, old, join(done, name), true)).toEqual({ note: null })
        const { atimeMs, mtimeMs } = fs.statSync(join(done, name))
        write(name)
        fs.utimesSync(join(inbox, name), atimeMs / 1000, mtimeMs / 1000)
        const again = stampOf(join(inbox, name))
        if (name === "c") moveAside("c", again)
        expect(Dispose.archive(inbox, name, again, join(done, name), true)).toEqual({ note: null })
      }
      expect(list(done)).toEqual(["a", "a (1)", "b", "c"])
      expect(list(inbox)).toEqual([])

      // the same size and time, and another content: not the same file
      const twin = write("d", "twin 1")
      const { atime, mtime } = fs.statSync(join(inbox, "d"))
      Dispose.archive(inbox, "d", twin, join(done, "d"), true)
      write("d", "twin 2")
      fs.utimesSync(join(inbox, "d"), atime, mtime)
      Dispose.archive(inbox, "d", stampOf(join(inbox, "d")), join(done, "d"), true)
      expect(fs.readFileSync(join(done, "d (1)"), "utf8")).toBe("twin 2")

      // the disk of the archive is full
      const large = write("large", "x".repeat(500_000))
      expect(Dispose.archive(inbox, "large", large, join(done, "large"), true).note).toContain("full")
      expect(stampOf(join(inbox, "large"))).toBe(large)
      expect(list(done).filter(isTempName)).toEqual([])
    } finally {
      spawnSync("umount", ["-l", done])
    }
  })
})
