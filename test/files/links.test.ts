/** Links in a source: followed to what lies in it, and never out of it. */
import fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { stamp, type Stamp } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Dispose from "../../src/files/dispose.ts"
import { openSource, openSourceHandle } from "../../src/files/links.ts"
import { copyAll } from "../../src/files/copy.ts"
import { fsPath, tempName } from "../../src/files/names.ts"
import { look, scan } from "../../src/files/scan.ts"

let base = ""
let root = ""
beforeEach(() => {
  base = fs.mkdtempSync(join(tmpdir(), "links-"))
  root = join(base, "in")
  fs.mkdirSync(root)
  fs.mkdirSync(join(base, "outside"))
  fs.writeFileSync(join(base, "outside/secret"), "secret")
})
afterEach(() => fs.rmSync(base, { recursive: true, force: true }))

const write = (name: string, content = "x") => {
  fs.mkdirSync(join(root, name, ".."), { recursive: true })
  fs.writeFileSync(fsPath(`${root}/${name}`), content)
}
const link = (name: string, to: string | Buffer) => fs.symlinkSync(to, fsPath(`${root}/${name}`))
const scanned = (recursive = true) =>
  [...scan(root, recursive, "follow")].flatMap(({ found }) => found.map(({ path }) => path)).sort()
const at = (...names: ReadonlyArray<string>) =>
  look(
    root,
    names.map((name) => RelPath.make(name)),
    "follow"
  ).map((found) => found?.path ?? null)
const statOf = (path: string) => stamp(fs.statSync(fsPath(path), { bigint: true }))

describe("what links lead to", () => {
  it("is a file under the link's name, with the stamp of what it leads to", () => {
    write("store/a", "hello")
    link("b", "store/a")
    const [found] = look(root, [RelPath.make("b")], "follow")
    expect(found).toMatchObject({ path: "b", size: 5, stamp: statOf(join(root, "store/a")) })
    expect(scanned(false)).toEqual(["b"])
    expect(scanned()).toEqual(["b", "store/a"])
  })

  it("is nothing outside the source, by whatever way", () => {
    link("direct", join(base, "outside/secret"))
    link("climbing", "../outside/secret")
    link("directory", "../outside")
    link("chain", "climbing")
    fs.mkdirSync(join(base, "in-too"))
    fs.writeFileSync(join(base, "in-too/secret"), "x")
    link("prefix", "../in-too/secret")
    expect(scanned()).toEqual([])
    const names = ["direct", "climbing", "directory/secret", "chain", "prefix"]
    expect(at(...names)).toEqual(names.map(() => null))
    for (const name of names) {
      expect(() => openSource(root, name)).toThrow("ELOOP")
    }
  })

  it("is nothing where it dangles, or leads in a circle, or is no regular file", () => {
    link("dangling", "nowhere")
    link("one", "two")
    link("two", "one")
    link("self", "self")
    link("null", "/dev/null")
    expect(scanned()).toEqual([])
    expect(at("dangling", "one", "self", "null")).toEqual([null, null, null, null])
  })

  it("is entered once where it is a directory, and never where it lies in it", () => {
    write("a/x")
    write("b/y")
    link("a/to-b", "../b")
    link("b/to-a", "../a")
    link("a/up", "..")
    link("here", ".")
    const expected = ["a/to-b/y", "a/x", "b/to-a/x", "b/y"]
    expect(scanned()).toEqual(expected)
    expect(at(...expected)).toEqual(expected)
    expect(at("a/to-b/to-a/x", "a/up/b/y", "here/b/y")).toEqual([null, null, null])
  })

  it("is found by a name that is not UTF-8", () => {
    const odd = RelPath.fromBytes(Uint8Array.from([0x66, 0xff]))
    write(odd, "odd")
    link("link", Buffer.from(RelPath.toBytes(odd)))
    const oddLink = RelPath.fromBytes(Uint8Array.from([0x6c, 0xfe]))
    link(oddLink, Buffer.from(RelPath.toBytes(odd)))
    expect(scanned()).toEqual(["link", odd, oddLink].sort())
    expect(at(oddLink)).toEqual([oddLink])
    const fd = openSource(root, oddLink)
    expect(fs.readFileSync(fd, "utf8")).toBe("odd")
    fs.closeSync(fd)
  })

  it("is read", async () => {
    write("store/a", "hello")
    link("b", "store/a")
    const handle = await openSourceHandle(root, "b")
    expect(await handle.readFile("utf8")).toBe("hello")
    await handle.close()
    await expect(openSourceHandle(root, "missing")).rejects.toThrow("ENOENT")
    link("out", "../outside/secret")
    await expect(openSourceHandle(root, "out")).rejects.toThrow("ELOOP")
  })
})

const removed = (stamp: Stamp) => Dispose.remove({ root, path: RelPath.make("b"), stamp, marker: null, sync: true })

describe("a link to a local target", () => {
  it("is copied, also where the source is to be moved there, and only while it leads to what was accepted", () => {
    write("store/a", "hello")
    link("b", "store/a")
    const job = {
      root,
      path: RelPath.make("b"),
      stamp: statOf(join(root, "b")),
      target: join(base, "out"),
      name: RelPath.make("b"),
      temp: tempName("test"),
      stale: [],
      conflict: "overwrite",
      chosen: null,
      move: true,
      sync: false,
      verify: "auto",
      names: "strict"
    } as const
    const [result] = copyAll([job])
    expect(result).toMatchObject({ _tag: "Done", receipt: { bytes: 5, verified: "size" } })
    expect(fs.lstatSync(join(base, "out/b")).isFile()).toBe(true)
    expect(fs.readFileSync(join(base, "out/b"), "utf8")).toBe("hello")
    expect(fs.readlinkSync(join(root, "b"))).toBe("store/a")
    fs.rmSync(join(root, "b"))
    link("b", "../outside/secret")
    expect(copyAll([{ ...job, name: RelPath.make("c") }])).toMatchObject([
      { _tag: "Failed", fault: { kind: "changed" } }
    ])
    expect(fs.readdirSync(join(base, "out"))).toEqual(["b"])
  })
})

describe("a link whose file was sent", () => {
  it("is removed by itself", () => {
    write("store/a")
    link("b", "store/a")
    expect(removed(statOf(join(root, "b")))).toMatchObject({ note: null })
    expect(fs.readdirSync(root)).toEqual(["store"])
    expect(fs.readdirSync(join(root, "store"))).toEqual(["a"])
  })

  it("stays where it leads to something else by now, or to nothing", () => {
    write("store/a")
    write("store/c", "other")
    link("b", "store/a")
    const sent = statOf(join(root, "b"))
    fs.rmSync(join(root, "b"))
    link("b", "store/c")
    expect(removed(sent).note).toContain("leads to something else")
    fs.rmSync(join(root, "store/c"))
    expect(removed(sent).note).toContain("b")
    expect(fs.readdirSync(root).sort()).toEqual(["b", "store"])
  })
})

/** A look had found `d/secret` there, because `d` was swapped for a link just then. */
describe("a directory that was swapped for a link out of the source", () => {
  const job = (more: object = {}) => ({
    root,
    path: RelPath.make("d/secret"),
    stamp: statOf(join(base, "outside/secret")),
    target: join(base, "out"),
    name: RelPath.make("secret"),
    temp: tempName("test"),
    stale: [],
    conflict: "overwrite" as const,
    chosen: null,
    sync: true,
    verify: "auto" as const,
    names: "strict" as const,
    marker: null,
    move: false,
    ...more
  })
  const untouched = () => {
    expect(fs.readdirSync(join(base, "outside"))).toEqual(["secret"])
    expect(fs.existsSync(join(base, "out/secret"))).toBe(false)
    expect(list(join(base, "out")).concat(list(join(base, "done")))).toEqual([])
  }
  const list = (directory: string) => (fs.existsSync(directory) ? fs.readdirSync(directory) : [])

  it("is not read", async () => {
    link("d", "../outside")
    expect(() => openSource(root, "d/secret")).toThrow("ELOOP")
    await expect(openSourceHandle(root, "d/secret")).rejects.toThrow("ELOOP")
    expect(copyAll([job()])).toMatchObject([{ _tag: "Failed", fault: { kind: "changed" } }])
    untouched()
  })

  it("is not moved from, and nothing is put back there", () => {
    link("d", "../outside")
    expect(copyAll([job({ move: true })])).toMatchObject([{ _tag: "Failed", fault: { kind: "changed" } }])
    untouched()
  })

  it("is not disposed of", () => {
    link("d", "../outside")
    expect(Dispose.remove(job()).note).toContain("leads out of the source")
    expect(Dispose.remove(job({ path: RelPath.make("d/x"), marker: RelPath.make("d/secret") })).note).toContain("ELOOP")
    expect(Dispose.archive(job(), join(base, "done/secret")).note).toContain(`${root}/d`)
    untouched()
  })

  it("loses no marker", () => {
    write("x")
    const sent = statOf(join(root, "x"))
    link("d", "../outside")
    const { note, warning } = Dispose.remove(
      job({ path: RelPath.make("x"), stamp: sent, marker: RelPath.make("d/secret") })
    )
    expect({ note, warning }).toEqual({ note: null, warning: expect.stringContaining("leads out of the source") })
    untouched()
  })

  it("is one that lies in it, whatever way leads to the source", () => {
    write("d/a", "hello")
    fs.symlinkSync("in", join(base, "way"))
    const path = RelPath.make("d/a")
    const stamp = statOf(join(root, "d/a"))
    const there = { root: join(base, "way"), path, name: path, stamp }
    expect(copyAll([job(there)])).toMatchObject([{ _tag: "Done" }])
    expect(fs.readFileSync(join(base, "out/d/a"), "utf8")).toBe("hello")
    expect(Dispose.archive(job(there), join(base, "done/d/a"))).toMatchObject({ note: null })
    expect(fs.readFileSync(join(base, "done/d/a"), "utf8")).toBe("hello")
    expect(fs.readdirSync(join(root, "d"))).toEqual([])
  })
})
