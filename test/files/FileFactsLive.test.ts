import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { deflateSync } from "node:zlib"
import * as RelPath from "../../src/domain/RelPath.ts"
import { FactsError } from "../../src/files/FileFacts.ts"
import * as FileFactsLive from "../../src/files/FileFactsLive.ts"
import { until } from "../cli/process.ts"
import * as Documents from "./facts/documents.ts"
import { place, textOf } from "./facts/files.ts"

const live = Effect.provide(FileFactsLive.layer)

/** The processes that this one has started. */
const children = (): ReadonlyArray<number> =>
  readdirSync("/proc/self/task").flatMap((thread) =>
    readFileSync(`/proc/self/task/${thread}/children`, "utf8")
      .split(" ")
      .filter((pid) => pid !== "")
      .map(Number)
  )

const reason = <A>(effect: Effect.Effect<A, FactsError>) => Effect.map(Effect.flip(effect), (error) => error.reason)

const sha256 = (content: string | Uint8Array) => createHash("sha256").update(content).digest("hex")

/** What a process has used of the processor, in hundredths of a second (proc(5)). */
const cpuTicks = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ")
  return Number(fields[11]) + Number(fields[12])
}

describe("FileFactsLive", () => {
  it.scoped("hashes small files and large ones", () =>
    Effect.gen(function* () {
      const { write } = yield* place
      const large = Buffer.alloc(5 * 1024 * 1024 + 3, "abc")
      expect(yield* write("a", "x").sha256).toBe(sha256("x"))
      expect(yield* write("b", "").sha256).toBe(sha256(""))
      expect(yield* write("c", large).sha256).toBe(sha256(large))
    }).pipe(live)
  )

  it.scoped("reads each thing once", () =>
    Effect.gen(function* () {
      const { root, write } = yield* place
      const bytes = write("a.txt", "hello world")
      const docx = write("a.docx", yield* Effect.promise(() => Documents.docx(Documents.paragraph("hello"))))
      expect(yield* bytes.text(5)).toEqual({ _tag: "Text", text: "hello", cut: true })
      expect(yield* bytes.mime).toBe("text/plain")
      expect(yield* bytes.sha256).toBe(sha256("hello world"))
      expect(yield* textOf(docx)).toBe("hello\n")
      unlinkSync(join(root, "a.txt"))
      unlinkSync(join(root, "a.docx"))
      expect(yield* bytes.text(4)).toEqual({ _tag: "Text", text: "hell", cut: true })
      expect(yield* bytes.mime).toBe("text/plain")
      expect(yield* bytes.sha256).toBe(sha256("hello world"))
      // there is no more of it than that
      expect(yield* docx.text(1_000_000)).toEqual({ _tag: "Text", text: "hello\n", cut: false })
      expect(yield* docx.mime).toBe(Documents.wordType)
      expect(yield* reason(bytes.text(6))).toContain("a.txt is gone")
    }).pipe(live)
  )

  it.scoped("says where the file is not the one that was found", () =>
    Effect.gen(function* () {
      const { root, write } = yield* place
      const swaps: Record<string, (path: string) => void> = {
        changed: (path) => appendFileSync(path, "x"),
        touched: (path) => utimesSync(path, 1, 1),
        replaced: (path) => {
          writeFileSync(`${path}~`, "other")
          renameSync(`${path}~`, path)
        },
        linked: (path) => {
          unlinkSync(path)
          symlinkSync("/etc/passwd", path)
        },
        "linked back": (path) => {
          renameSync(path, `${path}~`)
          symlinkSync(`${path}~`, path)
        },
        piped: (path) => {
          unlinkSync(path)
          execFileSync("mkfifo", [path])
        },
        directory: (path) => {
          unlinkSync(path)
          mkdirSync(path)
        }
      }
      for (const [name, swap] of Object.entries(swaps)) {
        const bytes = write(name, "hello")
        swap(join(root, name))
        const changed = `${root}/${name} changed after it was found; it will be looked at again.`
        expect(yield* reason(bytes.mime)).toBe(changed)
        expect(yield* reason(bytes.text(10))).toBe(changed)
        expect(yield* reason(bytes.sha256)).toBe(changed)
      }
      const gone = write("gone", "hello")
      unlinkSync(join(root, "gone"))
      expect(yield* reason(gone.mime)).toBe(`${root}/gone is gone; it was removed or renamed before it could be read.`)
      const docx = write("changed.docx", yield* Effect.promise(() => Documents.docx(Documents.paragraph("hello"))))
      expect(yield* docx.mime).toBe(Documents.wordType)
      utimesSync(join(root, "changed.docx"), 1, 1)
      expect(yield* reason(docx.text(10))).toContain("changed after it was found")
    }).pipe(live)
  )

  it.scoped("says where a file changes while it is hashed", () =>
    Effect.gen(function* () {
      const { at, root } = yield* place
      writeFileSync(join(root, "big"), "")
      truncateSync(join(root, "big"), 128 * 1024 ** 2)
      const hashing = yield* Effect.fork(Effect.exit(at("big").sha256))
      yield* Effect.yieldNow()
      // by the time that something else has been read, it is under way
      expect(yield* at("big").mime).toBe(null)
      appendFileSync(join(root, "big"), "x")
      const exit = yield* Fiber.join(hashing)
      expect(Exit.isFailure(exit) && String(exit.cause)).toContain("changed after it was found")
    }).pipe(live)
  )

  it.scoped("reads files whose names are not UTF-8, and shows them as text", () =>
    Effect.gen(function* () {
      const { facts, root } = yield* place
      const name = Buffer.from([0x61, 0xff, 0x0a, 0x2e, 0x63, 0x73, 0x76])
      const path = Buffer.concat([Buffer.from(`${root}/`), name])
      writeFileSync(path, "a,b\n")
      const { found } = yield* Effect.promise(() => import("./facts/files.ts"))
      const bytes = facts.of(root, found(root, RelPath.fromBytes(name)))
      expect(yield* bytes.mime).toBe("text/csv")
      expect(yield* textOf(bytes)).toBe("a,b\n")
      unlinkSync(path)
      expect(yield* reason(bytes.sha256)).toContain("/a\\xff\\u{a}.csv is gone")
    }).pipe(live)
  )

  it.scoped("stops a hash that nobody waits for", () =>
    Effect.gen(function* () {
      const { at, root } = yield* place
      for (const name of ["one", "two"]) {
        writeFileSync(join(root, name), "")
        truncateSync(join(root, name), 1024 ** 4)
        const hashing = yield* Effect.fork(at(name).sha256)
        yield* Effect.yieldNow()
        yield* at(name).mime
        yield* Fiber.interrupt(hashing)
      }
      writeFileSync(join(root, "three"), "x")
      // with the places of the two, which would take hours
      expect(yield* at("three").sha256).toBe(sha256("x"))
    }).pipe(live)
  )
})

describe("bounds", () => {
  const spaces = (mebibytes: number) => Buffer.alloc(mebibytes * 1024 * 1024, " ")

  it.scoped(
    "a document that unpacks to too much is not unpacked",
    () =>
      Effect.gen(function* () {
        const { write } = yield* place
        const bomb = yield* Effect.promise(() =>
          Documents.zip({
            "word/document.xml": Buffer.concat([Buffer.from("<w:document>"), spaces(130)]),
            "[Content_Types].xml": `<Types><Override ContentType="${Documents.wordType}.main+xml"/></Types>`
          })
        )
        expect(bomb.length).toBeLessThan(1024 * 1024)
        expect(yield* textOf(write("declared.docx", bomb))).toBe(
          "[its word/document.xml unpacks to 130 MiB, and 128 MiB is the most that is unpacked of a document]"
        )
        // one that says that it is small
        const lying = Buffer.from(bomb)
        lying.writeUInt32LE(1000, lying.indexOf("PK\x01\x02", 0, "latin1") + 24)
        expect(yield* textOf(write("lying.docx", lying))).toBe("[it is a truncated or damaged zip]")
        // parts that are small, and many
        const many = yield* Effect.promise(() =>
          Documents.docx("", {
            "word/header1.xml": spaces(45),
            "word/header2.xml": spaces(45),
            "word/header3.xml": spaces(45)
          })
        )
        expect(yield* textOf(write("many.docx", many))).toBe(
          "[it unpacks to more than 128 MiB, which is the most that is unpacked of a document]"
        )
      }).pipe(live),
    90_000
  )

  it.scoped(
    "a PDF that unpacks to too much is not unpacked",
    () =>
      Effect.gen(function* () {
        const { write } = yield* place
        const contents = deflateSync(deflateSync(spaces(40)))
        const bomb = Documents.pdf(["bomb"], { contents })
        const text = bomb.toString("latin1").replace("/Filter/FlateDecode", "/Filter[/FlateDecode/FlateDecode]")
        expect(text.length).toBeLessThan(10_000)
        expect(yield* textOf(write("bomb.pdf", Buffer.from(text, "latin1")))).toMatch(
          /^\[a stream of it unpacks to more than 32 MiB/
        )
      }).pipe(live),
    90_000
  )

  it.scoped("a document that takes too long is given up, and holds nothing up meanwhile", () =>
    Effect.gen(function* () {
      const { write } = yield* place
      const slow = yield* Effect.promise(() => Documents.docx("<w:p/>".repeat(4_000_000)))
      const bytes = write("slow.docx", slow)
      let ticks = 0
      const timer = setInterval(() => (ticks += 1), 5)
      expect(yield* textOf(bytes)).toBe("[reading it took longer than 0.3 s]")
      clearInterval(timer)
      // the main thread went on meanwhile
      expect(ticks).toBeGreaterThan(10)
    }).pipe(Effect.provide(FileFactsLive.layerWith({ documentTime: 300 })))
  )

  const withJunk = (junk: string) =>
    Buffer.from(Documents.pdf(["x"]).toString("latin1").replace("/Kids[", `/Junk ${junk}/Kids[`), "latin1")

  it.scoped(
    "a document that takes too much memory ends its reader, and nothing else",
    () =>
      Effect.gen(function* () {
        const { write } = yield* place
        const texts = yield* Effect.all(
          [
            textOf(write("many.pdf", withJunk(`[${"<<>>".repeat(5_000_000)}]`))),
            textOf(write("other.pdf", Documents.pdf(["other"]))),
            textOf(write("next.pdf", Documents.pdf(["next"])))
          ],
          { concurrency: "unbounded" }
        )
        expect(texts).toEqual(["[reading it took more than 256 MiB of memory]", "other\n", "next\n"])
      }).pipe(live),
    90_000
  )

  it.scoped(
    "a reader that is ended from outside ends nothing else",
    () =>
      Effect.gen(function* () {
        const { write } = yield* place
        const slow = yield* Effect.promise(() =>
          Documents.docx(Documents.paragraph("slow") + "<w:p/>".repeat(2_000_000))
        )
        const reading = yield* Effect.fork(textOf(write("1.docx", slow)))
        const killed = (signal: NodeJS.Signals, but: number) =>
          Effect.gen(function* () {
            const others = () => children().filter((pid) => pid !== but)
            yield* until(
              () => others().length > 0,
              () => "no process reads"
            )
            const [pid = 0] = others()
            // one that waits for work is another matter
            const begun = cpuTicks(pid)
            yield* until(
              () => cpuTicks(pid) > begun + 5,
              () => "the process does nothing"
            )
            process.kill(pid, signal)
            return pid
          })
        // once may be an accident
        const first = yield* killed("SIGSEGV", 0)
        expect(yield* Fiber.join(reading)).toBe("slow\n")
        expect(children()).not.toContain(first)
        // and so V8 ends a process that is short of memory
        const aborted = yield* Effect.fork(textOf(write("2.docx", slow)))
        yield* killed("SIGABRT", 0)
        expect(yield* Fiber.join(aborted)).toBe("[reading it took more than 256 MiB of memory]")
        expect(yield* textOf(write("next.pdf", Documents.pdf(["next"])))).toBe("next\n")
        // what the terminal or the system sends to all is not for it
        const asked = yield* Effect.fork(textOf(write("3.docx", slow)))
        yield* until(
          () => children().length > 0,
          () => "no process reads"
        )
        for (const pid of children())
          for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.kill(pid, signal)
        expect(yield* Fiber.join(asked)).toBe("slow\n")
      }).pipe(live),
    90_000
  )

  it.scoped(
    "many documents at once wait for their turn, and an interrupted one makes room",
    () =>
      Effect.gen(function* () {
        const { write } = yield* place
        const slow = yield* Effect.promise(() => Documents.docx("<w:p/>".repeat(4_000_000)))
        const stuck = yield* Effect.forkAll([textOf(write("1.docx", slow)), textOf(write("2.docx", slow))])
        const pdfs = Array.from({ length: 30 }, (_, index) => write(`${index}.pdf`, Documents.pdf([`page ${index}`])))
        const all = yield* Effect.fork(Effect.forEach(pdfs, (bytes) => textOf(bytes), { concurrency: "unbounded" }))
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(stuck)
        expect(yield* Fiber.join(all)).toEqual(pdfs.map((_, index) => `page ${index}\n`))
      }).pipe(live),
    90_000
  )

  it.scoped("damaged documents of every kind are answered", () =>
    Effect.gen(function* () {
      const { root, write } = yield* place
      const documents = {
        "a.pdf": Documents.pdf(["Invoice 4711"]),
        "a.docx": yield* Effect.promise(() => Documents.docx(Documents.paragraph("Invoice 4711"))),
        "a.xlsx": yield* Effect.promise(Documents.xlsx),
        "a.odt": yield* Effect.promise(() => Documents.odt("<text:p>4711</text:p>")),
        "a.rtf": Buffer.from("{\\rtf1 {\\b Invoice} 4711\\par}"),
        "a.html": Buffer.from("<!doctype html><html><script>x</script><p>4711")
      }
      let seed = 4711
      const random = (below: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % below
      for (const [name, whole] of Object.entries(documents)) {
        for (let round = 0; round < 25; round++) {
          const bytes = Buffer.from(whole)
          for (let count = 0; count < 4; count++) bytes[8 + random(bytes.length - 8)] = random(256)
          const said = yield* Effect.either(write(name, bytes.subarray(0, bytes.length - random(20))).text(100))
          expect(said._tag).toBe("Right")
        }
        rmSync(join(root, name))
      }
    }).pipe(live)
  )
})

describe("threads and processes", () => {
  it.live("start with the first question, and end with the scope", () =>
    Effect.gen(function* () {
      const resources = new Set(["MessagePort", "ProcessWrap"])
      const threads = () => process.getActiveResourcesInfo().filter((name) => resources.has(name)).length
      const before = threads()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { write } = yield* place
          expect(threads()).toBe(before)
          expect(yield* textOf(write("a.pdf", Documents.pdf(["x"])))).toBe("x\n")
        }).pipe(live)
      )
      yield* until(
        () => threads() === before,
        () => `${threads()} are there, and ${before} before`
      )
    })
  )
})
