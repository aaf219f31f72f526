import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import * as RelPath from "../../src/domain/RelPath.ts"
import { FaultError, identity, look, scan } from "../../src/files/scan.ts"

let root = ""
beforeEach(() => {
  root = Fs.mkdtempSync(join(tmpdir(), "scan-"))
})
afterEach(() => Fs.rmSync(root, { recursive: true, force: true }))

const write = (name: string, content = "x") => {
  Fs.mkdirSync(join(root, name, ".."), { recursive: true })
  Fs.writeFileSync(join(root, name), content)
}
const found = (recursive = true) => [...scan(root, recursive)].flatMap((batch) => batch.found)
const paths = (recursive = true) =>
  found(recursive)
    .map((file) => file.path)
    .sort()
const at = (...names: ReadonlyArray<string>) =>
  look(
    root,
    names.map((name) => RelPath.make(name))
  )
/** A name with a byte that is not UTF-8, as the system has it, and as a RelPath. */
const oddBytes = Buffer.from([0x63, 0x61, 0x66, 0xe9])
const oddPath = RelPath.fromBytes(oddBytes)

describe("scan", () => {
  it("finds the regular files, with their sizes and times", () => {
    write("a.txt", "hello")
    Fs.utimesSync(join(root, "a.txt"), 1000, 2000)
    const [file] = found()
    const stat = Fs.lstatSync(join(root, "a.txt"), { bigint: true })
    expect(file).toEqual({
      path: "a.txt",
      stamp: `${stat.dev}:${stat.ino}:5:2000000000000:${stat.ctimeNs}`,
      size: 5,
      mtime: 2_000_000,
      born: Number(stat.birthtimeMs)
    })
  })

  it("goes into directories only where it is told to", () => {
    write("top.txt")
    write("one/two/deep.txt")
    expect(paths(true)).toEqual(["one/two/deep.txt", "top.txt"])
    expect(paths(false)).toEqual(["top.txt"])
  })

  it("leaves out what is not a regular file, and follows no link", () => {
    write("real.txt")
    write("sub/file.txt")
    Fs.symlinkSync(join(root, "real.txt"), join(root, "link.txt"))
    Fs.symlinkSync(join(root, "sub"), join(root, "linked"))
    Fs.symlinkSync("nowhere", join(root, "dangling"))
    execFileSync("mkfifo", [join(root, "pipe")])
    expect(paths()).toEqual(["real.txt", "sub/file.txt"])
  })

  it("keeps every name as it is, whatever its bytes", () => {
    write("Ünïcödé 文件.txt")
    write("back\\slash.txt")
    write("line\nbreak.txt")
    Fs.writeFileSync(Buffer.concat([Buffer.from(`${root}/`), oddBytes]), "x")
    Fs.mkdirSync(Buffer.concat([Buffer.from(`${root}/d`), oddBytes]))
    Fs.writeFileSync(Buffer.concat([Buffer.from(`${root}/d`), oddBytes, Buffer.from("/in.txt")]), "x")
    expect(paths()).toEqual(
      ["Ünïcödé 文件.txt", "back\\slash.txt", "line\nbreak.txt", oddPath, `d${oddPath}/in.txt`].sort()
    )
    expect(
      look(
        root,
        found().map((file) => file.path)
      ).every((file) => file !== null)
    ).toBe(true)
  })

  it("comes in batches", () => {
    for (let index = 0; index < 1201; index += 1) write(`file-${index}`)
    expect([...scan(root, false)].map((batch) => batch.found.length)).toEqual([500, 500, 201])
    expect(new Set(paths()).size).toBe(1201)
  })

  it("leaves out what vanishes while it reads", () => {
    for (let index = 0; index < 600; index += 1) write(`file-${index}`)
    write("sub/file")
    const batches = scan(root, true)
    expect(batches.next().done).toBe(false)
    Fs.rmSync(root, { recursive: true })
    expect([...batches].flatMap((batch) => batch.failed)).toEqual([])
  })

  it.skipIf(process.getuid?.() === 0)("reports a directory that can't be read, and goes on", () => {
    write("open.txt")
    write("closed/file.txt")
    Fs.chmodSync(join(root, "closed"), 0)
    const batches = [...scan(root, true)]
    Fs.chmodSync(join(root, "closed"), 0o700)
    expect(batches.flatMap((batch) => batch.found).map((file) => file.path)).toEqual(["open.txt"])
    expect(batches.flatMap((batch) => batch.failed)).toMatchObject([{ code: "EACCES", path: join(root, "closed") }])
  })

  it("reports a directory too deep for the system, and goes on", () => {
    write("a.txt")
    const name = "d".repeat(250)
    // each step is short, the whole is longer than a path may be
    const script = `cd "$0"; for i in $(seq 20); do mkdir "$1"; cd "$1"; done; touch bottom.txt`
    execFileSync("bash", ["-c", script, root, name])
    const batches = [...scan(root, true)]
    execFileSync("rm", ["-rf", join(root, name)])
    expect(batches.flatMap((batch) => batch.found).map((file) => file.path)).toEqual(["a.txt"])
    expect(batches.flatMap((batch) => batch.failed)).toMatchObject([{ code: "ENAMETOOLONG" }])
  })

  it("fails with a reason where the root is missing or is no directory", () => {
    write("file")
    for (const [path, code] of [
      [join(root, "missing"), "ENOENT"],
      [join(root, "file"), "ENOTDIR"]
    ] as const) {
      try {
        scan(path, true).next()
        expect.unreachable()
      } catch (error) {
        if (!(error instanceof FaultError)) throw error
        expect(error.fault.code).toBe(code)
        expect(error.fault.reason).toContain(path)
      }
    }
  })
})

describe("look", () => {
  it("answers for each path what a scan would", () => {
    write("a")
    write("sub/b")
    const all = new Map(found().map((file) => [file.path, file]))
    expect(at("sub/b", "missing", "a", "sub")).toEqual([
      all.get(RelPath.make("sub/b")),
      null,
      all.get(RelPath.make("a")),
      null
    ])
  })

  it("follows no link in any part of the path", () => {
    write("sub/deeper/b")
    Fs.symlinkSync(join(root, "sub"), join(root, "linked"))
    Fs.symlinkSync(join(root, "sub/deeper/b"), join(root, "link"))
    expect(at("linked/deeper/b", "link", "sub/deeper/b").map((file) => file?.path ?? null)).toEqual([
      null,
      null,
      "sub/deeper/b"
    ])
  })

  it("finds nothing where a path can't be", () => {
    write("file")
    expect(at("file/below", "x".repeat(300), "a/b/c")).toEqual([null, null, null])
  })
})

describe("identity", () => {
  it("tells a directory from another of the same name", () => {
    const path = join(root, "dir")
    Fs.mkdirSync(path)
    const before = identity(path)
    expect(identity(path)).toBe(before)
    Fs.renameSync(path, join(root, "old"))
    Fs.mkdirSync(path)
    expect(identity(path)).not.toBe(before)
    // most file systems give the inode number of a deleted directory to the next one
    const deleted = identity(path)
    Fs.rmdirSync(path)
    Fs.mkdirSync(path)
    expect(identity(path)).not.toBe(deleted)
  })
})
