import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Stamp, stamp } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Dispose from "../../src/files/dispose.ts"
import { expire, identityOf } from "../../src/files/disposeExpired.ts"
import { copyAcross } from "../../src/files/disposeTo.ts"
import { Files, type DisposeJob } from "../../src/files/Files.ts"
import * as FilesWorker from "../../src/files/FilesWorker.ts"
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
/** As it was before a restart of the system, or before the file system was mounted again. */
const otherDevice = (of: string) => of.replace(/^\d+/, "999")
/** What a process that was killed after the first rename leaves. */
const moveAside = (name: string, of: string) =>
  fs.renameSync(join(inbox, name), join(inbox, tempName(`dispose ${inbox}/${name} ${of}`)))

const job = (name: string, of: string, marker: string | null = null): DisposeJob => ({
  root: inbox,
  path: RelPath.make(name),
  stamp: Stamp.make(of),
  marker: marker === null ? null : RelPath.make(marker),
  sync: true
})
const remove = (name: string, of: string, marker?: string) => Dispose.remove(job(name, of, marker))
const archive = (name: string, of: string, to: string, marker?: string) => Dispose.archive(job(name, of, marker), to)

describe("removing a source", () => {
  it("removes it, whatever its name", () => {
    for (const name of ["a", RelPath.fromBytes(Uint8Array.from([0x66, 0xff])), "x".repeat(255)]) {
      expect(remove(name, write(name))).toMatchObject({ note: null, warning: null })
    }
    expect(list(inbox)).toEqual([])
  })

  it("removes no other generation", () => {
    const old = write("a", "old")
    write("a", "new one")
    expect(remove("a", old).note).toContain("changed")
    expect(fs.readFileSync(join(inbox, "a"), "utf8")).toBe("new one")
    expect(list(inbox)).toEqual(["a"])
  })

  it("is content with one that is gone, and with a source that is", () => {
    const old = write("a")
    fs.rmSync(join(inbox, "a"))
    expect(remove("a", old)).toMatchObject({ note: null, warning: null })
    fs.rmSync(inbox, { recursive: true })
    expect(remove("a", old)).toMatchObject({ note: null, warning: null })
  })

  it("goes on where a killed process left off, and does not touch what came since", () => {
    const old = write("a", "old")
    moveAside("a", old)
    write("a", "new")
    expect(remove("a", old)).toMatchObject({ note: null, warning: null })
    expect(list(inbox)).toEqual(["a"])
    expect(fs.readFileSync(join(inbox, "a"), "utf8")).toBe("new")
  })

  it("knows a source again whose disk has got another number since it was sent, also behind a link", () => {
    expect(remove("a", otherDevice(write("a")))).toMatchObject({ note: null, warning: null })
    const sent = otherDevice(write("b"))
    fs.symlinkSync(join(inbox, "b"), join(inbox, "link"))
    expect(remove("link", sent)).toMatchObject({ note: null, warning: null })
    expect(list(inbox)).toEqual(["b"])
    expect(archive("b", sent, join(done, "b"))).toMatchObject({ note: null, moved: { path: join(done, "b") } })
    expect(list(inbox)).toEqual([])
  })

  it("goes on where a killed process left off, and the disk has got another number since", () => {
    const old = otherDevice(write("a"))
    moveAside("a", old)
    expect(remove("a", old)).toMatchObject({ note: null, warning: null })
    expect(list(inbox)).toEqual([])
  })
})

describe("archiving a source", () => {
  it("moves it, and makes the folders", () => {
    const old = write("a.txt", "content")
    fs.chmodSync(join(inbox, "a.txt"), 0o640)
    const now = stampOf(join(inbox, "a.txt"))
    expect(archive("a.txt", old, join(done, "x", "a.txt")).note).toContain("changed")
    expect(archive("a.txt", now, join(done, "x", "a.txt"))).toMatchObject({ note: null, warning: null })
    expect(list(inbox)).toEqual([])
    expect(fs.readFileSync(join(done, "x", "a.txt"), "utf8")).toBe("content")
    expect(fs.statSync(join(done, "x", "a.txt")).mode & 0o777).toBe(0o640)
  })

  it("never overwrites", () => {
    for (const content of ["1", "2", "3"]) {
      expect(archive("a.txt", write("a.txt", content), join(done, "a.txt"))).toMatchObject({
        note: null,
        warning: null
      })
    }
    expect(list(done)).toEqual(["a (1).txt", "a (2).txt", "a.txt"])
    expect(fs.readFileSync(join(done, "a.txt"), "utf8")).toBe("1")
    expect(fs.readFileSync(join(done, "a (2).txt"), "utf8")).toBe("3")
  })

  it("archives once, wherever a killed process left off", () => {
    const old = write("a", "old")
    moveAside("a", old)
    expect(archive("a", old, join(done, "a"))).toMatchObject({ note: null, warning: null })
    expect(list(done)).toEqual(["a"])

    const second = write("b", "old")
    moveAside("b", second)
    fs.linkSync(join(inbox, list(inbox)[0] ?? ""), join(done, "b"))
    expect(archive("b", second, join(done, "b"))).toMatchObject({ note: null, warning: null })
    expect(list(done)).toEqual(["a", "b"])
    expect(list(inbox)).toEqual([])
  })

  it("archives once, wherever a killed process left off, and the disk has got another number since", () => {
    const aside = otherDevice(write("a"))
    moveAside("a", aside)
    expect(archive("a", aside, join(done, "a"))).toMatchObject({ note: null, warning: null })
    const moved = otherDevice(write("b"))
    fs.renameSync(join(inbox, "b"), join(done, "b"))
    expect(archive("b", moved, join(done, "b"))).toMatchObject({ note: null, moved: { path: join(done, "b") } })
    expect(list(done)).toEqual(["a", "b"])
    expect(list(inbox)).toEqual([])
  })

  it("that can't be done leaves the source as it was, so that it is not sent again", () => {
    const old = write("a")
    fs.writeFileSync(join(root, "file"), "")
    const refused = archive("a", old, join(root, "file", "a"))
    expect(refused.note).toContain("was left where it is")
    expect(archive("a", old, join(done, "x".repeat(256))).note).toContain("ENAMETOOLONG")
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
      expect(archive("a", write("a", "first"), to)).toMatchObject({ note: null, warning: null })
      expect(archive("a", write("a", "other"), to)).toMatchObject({ note: null, warning: null })
      expect(list(done)).toEqual(["a", "a (1)"])
      expect(list(inbox)).toEqual([])

      // killed after the copy, and before or after the first rename
      for (const name of ["b", "c"]) {
        const old = write(name)
        expect(archive(name, old, join(done, name))).toMatchObject({ note: null, warning: null })
        const { atimeMs, mtimeMs } = fs.statSync(join(done, name))
        write(name)
        fs.utimesSync(join(inbox, name), atimeMs / 1000, mtimeMs / 1000)
        const again = stampOf(join(inbox, name))
        if (name === "c") moveAside("c", again)
        expect(archive(name, again, join(done, name))).toMatchObject({ note: null, warning: null })
      }
      expect(list(done)).toEqual(["a", "a (1)", "b", "c"])
      expect(list(inbox)).toEqual([])

      // the same size and time, and another content: not the same file
      const twin = write("d", "twin 1")
      const { atime, mtime } = fs.statSync(join(inbox, "d"))
      archive("d", twin, join(done, "d"))
      write("d", "twin 2")
      fs.utimesSync(join(inbox, "d"), atime, mtime)
      archive("d", stampOf(join(inbox, "d")), join(done, "d"))
      expect(fs.readFileSync(join(done, "d (1)"), "utf8")).toBe("twin 2")

      // the disk of the archive is full
      const large = write("large", "x".repeat(500_000))
      expect(archive("large", large, join(done, "large")).note).toContain("full")
      expect(stampOf(join(inbox, "large"))).toBe(large)
      expect(list(done).filter(isTempName)).toEqual([])
    } finally {
      spawnSync("umount", ["-l", done])
    }
  })
})

describe("where a source has been moved", () => {
  it("is said, with its stamp, which is that of the file as it lies there", () => {
    const to = join(done, "a.txt")
    const { moved } = archive("a.txt", write("a.txt"), to)
    expect(moved).toEqual({ path: to, stamp: stampOf(to), marker: null })
    const second = archive("a.txt", write("a.txt"), to)
    expect(second.moved?.path).toBe(join(done, "a (1).txt"))
  })

  it("is found again after a process was killed, by the file, and not by the name", () => {
    const to = join(done, "a")
    archive("a", write("a", "older"), to)
    const old = write("a", "old")
    const first = archive("a", old, to)
    expect(first.moved?.path).toBe(join(done, "a (1)"))
    expect(archive("a", old, to)).toEqual(first)
    // and where a new file has come to its old place meanwhile
    write("a", "new")
    expect(archive("a", old, to)).toEqual(first)
    expect(fs.readFileSync(join(inbox, "a"), "utf8")).toBe("new")
    expect(list(done)).toEqual(["a", "a (1)"])
  })

  it("is nowhere where somebody else has removed it", () => {
    const old = write("a")
    fs.rmSync(join(inbox, "a"))
    expect(archive("a", old, join(done, "a"))).toEqual({ note: null, moved: null, warning: null })
    expect(list(done)).toEqual([])
  })

  it("may be a name as long as there can be, also a second time", () => {
    const name = `${"ä".repeat(125)}.txt`
    for (const number of [1, 2, 3]) archive("a", write("a", String(number)), join(done, name))
    expect(list(done)).toHaveLength(3)
    expect(list(done).every((one) => one.endsWith(".txt") && Buffer.byteLength(one) <= 255)).toBe(true)
  })

  it("is in a folder that was removed because it was empty", () => {
    const old = write("a")
    const link = vi.spyOn(fs, "linkSync").mockImplementationOnce((from, to) => {
      fs.rmdirSync(join(done, "x"))
      link.mockRestore()
      fs.linkSync(from, to)
    })
    expect(archive("a", old, join(done, "x", "a")).moved?.path).toBe(join(done, "x", "a"))
  })
})

describe("the marker", () => {
  it("goes after its file, also where it lies elsewhere", () => {
    for (const marker of ["a.done", "ready/a.ok"]) {
      fs.mkdirSync(join(inbox, "ready"), { recursive: true })
      write(marker)
      expect(remove("a", write("a"), marker)).toEqual({ note: null, moved: null, warning: null })
      expect(list(inbox)).toEqual(["ready"])
      expect(list(join(inbox, "ready"))).toEqual([])
    }
  })

  it("is moved beside its file, over nothing", () => {
    fs.mkdirSync(join(inbox, "ready"))
    for (const number of [1, 2]) {
      write("ready/a.ok", String(number))
      const { moved } = archive("a", write("a"), join(done, "x", `a-${number}`), "ready/a.ok")
      expect(moved?.marker?.path).toBe(join(done, "x", number === 1 ? "a.ok" : "a (1).ok"))
      expect(moved?.marker?.stamp).toBe(stampOf(moved?.marker?.path ?? ""))
    }
    expect(list(join(done, "x"))).toEqual(["a (1).ok", "a-1", "a-2", "a.ok"])
    expect(fs.readFileSync(join(done, "x", "a (1).ok"), "utf8")).toBe("2")
  })

  it("may be gone already, and stays with a file that stays", () => {
    expect(remove("a", write("a"), "a.done")).toEqual({ note: null, moved: null, warning: null })
    const old = write("a", "old")
    write("a", "new one")
    write("a.done")
    expect(remove("a", old, "a.done").note).toContain("changed")
    expect(archive("a", old, join(done, "a"), "a.done").note).toContain("changed")
    expect(list(inbox)).toEqual(["a", "a.done"])
  })

  it("goes where a process was killed in between, but not that of a new file", () => {
    const old = write("a")
    write("a.done")
    expect(remove("a", old)).toMatchObject({ note: null })
    expect(remove("a", old, "a.done")).toMatchObject({ note: null })
    expect(list(inbox)).toEqual([])

    const second = write("b")
    remove("b", second)
    write("b", "the next")
    write("b.done")
    const marker = stampOf(join(inbox, "b.done"))
    expect(remove("b", second, "b.done").note).toContain("changed")
    expect(stampOf(join(inbox, "b.done"))).toBe(marker)

    // the next one comes while the marker is looked at
    const third = write("c")
    write("c.done")
    fs.renameSync(join(inbox, "c.done"), join(inbox, tempName(`marker ${inbox}/c.done ${third}`)))
    moveAside("c", third)
    write("c", "the next")
    expect(remove("c", third, "c.done")).toMatchObject({ note: null, warning: null })
    expect(list(inbox).filter((one) => one.startsWith("c"))).toEqual(["c", "c.done"])
  })

  it("that can't be removed does not keep its file", () => {
    fs.mkdirSync(join(inbox, "a.done"))
    expect(remove("a", write("a"), "a.done")).toEqual({ note: null, moved: null, warning: null })
    write("b.done")
    fs.mkdirSync(join(inbox, tempName(`marker ${inbox}/b.done ${write("b")}`)))
    const old = stampOf(join(inbox, "b"))
    expect(remove("b", old, "b.done").warning).toContain("b.done was left where it is")
    expect(list(inbox)).not.toContain("b")
  })
})

describe("an archived file whose time is over", () => {
  const archived = (name: string) => {
    const { moved } = archive(name, write(name), join(done, "2026", "01", name))
    return { path: moved?.path ?? "", identity: identityOf(moved?.stamp ?? ""), root: done }
  }

  it("is removed, with the folders that are empty then, up to the root", () => {
    const [one, other] = [archived("a"), archived("b")]
    fs.mkdirSync(join(done, "2025"))
    expect(expire(one, true)).toBe("removed")
    expect(list(join(done, "2026", "01"))).toEqual(["b"])
    expect(expire(one, true)).toBe("gone")
    expect(expire(other, true)).toBe("removed")
    expect(list(done)).toEqual(["2025"])
    expect(expire(other, true)).toBe("gone")
    expect(list(root)).toEqual(["done", "in"])
  })

  it("is not, where it is another file by now", () => {
    const one = archived("a")
    fs.appendFileSync(one.path, "more")
    expect(expire(one, true)).toBe("other")
    fs.rmSync(one.path)
    fs.symlinkSync(join(inbox, "x"), one.path)
    expect(expire(one, true)).toBe("other")
    fs.rmSync(one.path)
    fs.mkdirSync(one.path)
    expect(expire(one, true)).toBe("other")
    expect(list(join(done, "2026", "01"))).toEqual(["a"])
  })

  it("is known after its mode, its links or the number of its file system have changed", () => {
    const one = archived("a")
    fs.chmodSync(one.path, 0o400)
    fs.linkSync(one.path, join(root, "link"))
    const [, ...rest] = stampOf(one.path).split(":")
    expect(identityOf(["99", ...rest].join(":"))).toBe(one.identity)
    expect(expire(one, true)).toBe("removed")
    expect(list(root)).toContain("link")
  })

  it("is removed where a killed process had it aside, and put back where that is another", () => {
    const one = archived("a")
    const temp = join(done, "2026", "01", tempName(`expire ${one.path} ${one.identity}`))
    fs.renameSync(one.path, temp)
    fs.writeFileSync(one.path, "new")
    expect(expire(one, true)).toBe("removed")
    expect(list(join(done, "2026", "01"))).toEqual(["a"])
    fs.renameSync(one.path, temp)
    expect(expire(one, true)).toBe("other")
    expect(fs.readFileSync(one.path, "utf8")).toBe("new")
  })

  it("waits where not even its root is there", () => {
    const one = archived("a")
    fs.renameSync(done, join(root, "unmounted"))
    expect(expire(one, true)).toBe("unreachable")
    fs.renameSync(join(root, "unmounted"), done)
    expect(expire(one, true)).toBe("removed")
  })

  it("stays where it can't be removed", () => {
    const one = archived("a")
    fs.renameSync(join(done, "2026"), join(done, "moved"))
    fs.writeFileSync(join(done, "2026"), "")
    expect(() => expire(one, true)).toThrow("ENOTDIR")
  })
})

/** Runs what is to be killed at its n-th call of the file system, for each n, and calls `again` after it. */
const killedAnywhere = (prepare: () => () => unknown, again: (calls: number) => void) => {
  const calls = ["lstatSync", "renameSync", "linkSync", "unlinkSync", "rmdirSync", "fsyncSync", "openSync"] as const
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
    again(most)
    if (count < most) return most
  }
}

it("a copy on another file system is found again, and its temp name goes", () => {
  fs.mkdirSync(done)
  const [from, to] = [join(inbox, "a"), join(done, "a")]
  const given = write("a")
  expect(copyAcross(from, to, given, true)).toBe(to)
  fs.linkSync(to, join(done, tempName(`archive ${to} ${given}`)))
  expect(copyAcross(from, to, given, true)).toBe(to)
  expect(list(done)).toEqual(["a"])
})

it("the folders of an archive are known to last before the source goes", () => {
  const stampNow = write("a")
  const seen: Array<string> = []
  const opened = new Map<unknown, string>()
  const calls = ["mkdirSync", "openSync", "fsyncSync", "renameSync", "linkSync", "unlinkSync"] as const
  const originals = calls.map((name) => {
    const original: unknown = Reflect.get(fs, name)
    Reflect.set(fs, name, (...given: ReadonlyArray<unknown>): unknown => {
      const answer: unknown = typeof original === "function" ? Reflect.apply(original, fs, given) : undefined
      if (name === "openSync") opened.set(answer, String(given[0]))
      else seen.push(`${name} ${opened.get(given[0]) ?? String(given[0])}`.replace(root, ""))
      return answer
    })
    return { name, original }
  })
  try {
    expect(archive("a", stampNow, join(done, "2026", "01", "a")).note).toBe(null)
  } finally {
    for (const { name, original } of originals) Reflect.set(fs, name, original)
  }
  const gone = seen.findIndex((one) => one.startsWith("unlinkSync /in/"))
  expect(gone).toBeGreaterThan(0)
  for (const [made, around] of [
    ["/done", ""],
    ["/done/2026", "/done"],
    ["/done/2026/01", "/done/2026"]
  ]) {
    const at = seen.indexOf(`mkdirSync ${made}`)
    expect(at).toBeGreaterThanOrEqual(0)
    const synced = seen.indexOf(`fsyncSync ${around}`, at)
    expect(synced).toBeGreaterThan(at)
    expect(synced).toBeLessThan(gone)
  }
})

describe("killed at any call of the file system, and called again", () => {
  const clear = () => {
    for (const name of list(root)) fs.rmSync(join(root, name), { recursive: true })
    fs.mkdirSync(inbox)
  }

  it("removing has removed file and marker, and nothing else", () => {
    let old = ""
    const calls = killedAnywhere(
      () => {
        clear()
        old = write("a")
        write("a.done")
        return () => remove("a", old, "a.done")
      },
      () => {
        // where it could be put back, it is another generation by its ctime, and a new one for the next scan
        const { note } = remove("a", old, "a.done")
        if (note === null) expect(list(inbox)).toEqual([])
        else expect(list(inbox)).toEqual(["a", "a.done"])
      }
    )
    expect(calls).toBeGreaterThan(5)
  })

  it("archiving has archived both once, and says where", () => {
    let old = ""
    const calls = killedAnywhere(
      () => {
        clear()
        fs.mkdirSync(done)
        fs.writeFileSync(join(done, "a"), "there before")
        old = write("a")
        write("a.done")
        return () => archive("a", old, join(done, "a"), "a.done")
      },
      () => {
        const { moved, note } = archive("a", old, join(done, "a"), "a.done")
        expect(note).toBe(null)
        expect(moved?.path).toBe(join(done, "a (1)"))
        expect(moved?.stamp).toBe(stampOf(join(done, "a (1)")))
        expect(list(inbox)).toEqual([])
        expect(list(done)).toEqual(["a", "a (1)", "a.done"])
      }
    )
    expect(calls).toBeGreaterThan(10)
  })

  it("an expired file is gone, with its folders", () => {
    let given = { path: "", identity: "", root: "" }
    killedAnywhere(
      () => {
        clear()
        const { moved } = archive("a", write("a"), join(done, "x", "a"))
        given = { path: moved?.path ?? "", identity: identityOf(moved?.stamp ?? ""), root: done }
        return () => expire(given, true)
      },
      () => {
        expect(["removed", "gone"]).toContain(expire(given, true))
        expect(list(done)).toEqual([])
      }
    )
  })
})

describe("in a worker thread", () => {
  it("it is all the same", () =>
    Effect.gen(function* () {
      const files = yield* Files
      const old = write("a")
      write("a.done")
      const { moved } = yield* files.archive(job("a", old, "a.done"), join(done, "x", "a"))
      expect(list(join(done, "x"))).toEqual(["a", "a.done"])
      const given = { path: moved?.path ?? "", identity: identityOf(moved?.stamp ?? ""), root: done }
      expect(yield* files.expire(given, true)).toBe("removed")
      expect(list(join(done, "x"))).toEqual(["a.done"])
      expect(yield* files.remove(job("b", write("b")))).toEqual({ note: null, moved: null, warning: null })
      expect(list(inbox)).toEqual([])
    }).pipe(Effect.provide(FilesWorker.layer), Effect.scoped, Effect.runPromise))
})
