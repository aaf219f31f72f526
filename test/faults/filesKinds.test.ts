/**
 * What a source may hold beside ordinary files: FIFOs, sockets, devices, links to wherever; and files that are empty,
 * sparse or very large.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { execFileSync, fork } from "node:child_process"
import { createHash } from "node:crypto"
import fs from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { list, project } from "../e2e/project.ts"
import { noDisks, smallDisk } from "../servers/disk.ts"
import { startHttpServer } from "../servers/http.ts"
import { contentsOf } from "./filesFar.ts"
import { entriesIn, isTemp } from "./filesTools.ts"
import { long, tried } from "./report.ts"

const isRoot = process.getuid?.() === 0
const gib = 1024 ** 3

/** Fills a source with everything that can lie in a folder; answers what is to arrive, by path. */
const fill = (inbox: string, secret: string, follow: boolean, after: string) =>
  Effect.gen(function* () {
    const files = new Map<string, string>()
    const put = (path: string, content: string) => {
      fs.mkdirSync(join(inbox, path, ".."), { recursive: true })
      fs.writeFileSync(join(inbox, path), content)
      files.set(path, content)
    }
    put("ordinary", "x")
    put("empty", "")
    put("file.txt/in a folder called like a file", "y")
    put("d/inside", "z")
    put("hard", "links")
    fs.linkSync(join(inbox, "hard"), join(inbox, "d/hard too"))
    files.set("d/hard too", "links")
    execFileSync("mkfifo", [join(inbox, "fifo"), join(inbox, "d/fifo.txt")])
    // a socket is listened at
    const server = createServer()
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        server.listen(join(inbox, "socket"), () => resume(Effect.void))
      }),
      () => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
    )
    if (isRoot) {
      execFileSync("mknod", [join(inbox, "null"), "c", "1", "3"])
      execFileSync("mknod", [join(inbox, "zero"), "c", "1", "5"])
      execFileSync("mknod", [join(inbox, "loop0"), "b", "7", "0"])
    }
    for (const [name, to] of [
      ["to shadow", "/etc/shadow"],
      ["to passwd", "/etc/passwd"],
      ["to a secret", secret],
      ["climbing", "../secret/file"],
      ["to etc", "/etc"],
      ["to the secrets", join(secret, "..")],
      ["to proc", "/proc/self/environ"],
      ["to a device", "/dev/zero"],
      ["to a fifo", "fifo"],
      ["dangling", "nowhere"],
      ["one", "other"],
      ["other", "one"],
      ["self", "self"],
      ["here", "."],
      ["above", ".."],
      ["d/up", ".."],
      ["chain", "to shadow"],
      ["to what lies beside the source", "../in.secret"]
    ] as const) {
      fs.symlinkSync(to, join(inbox, name))
    }
    // where the files go away meanwhile, links to them come to lead nowhere
    if (after === "delete") return files
    fs.symlinkSync("ordinary", join(inbox, "to ordinary"))
    fs.symlinkSync("d", join(inbox, "to d"))
    if (follow) {
      files.set("to ordinary", "x")
      files.set("to d/inside", "z")
      files.set("to d/hard too", "links")
    }
    return files
  })

describe.concurrent("what is no ordinary file", () => {
  for (const symlinks of ["skip", "follow"] as const) {
    for (const after of ["keep", "delete"] as const) {
      it.scopedLive(
        `FIFOs, sockets, devices and links are passed over: symlinks: ${symlinks}, after: ${after}${isRoot ? "" : " (without devices: only root can make them)"}`,
        () =>
          Effect.gen(function* () {
            const http = yield* startHttpServer()
            const { directory, inbox, once } = yield* project(
              `sources: [{ path: ./in, recursive: true, settle: 0s, exclude: [], symlinks: ${symlinks}, after: ${after} }]`,
              "folders:",
              "  - { path: ./out }",
              `  - { path: "${http.url}/up", upload: raw }`,
              "db: ./journal.db",
              "log: { level: WARNING }"
            )
            fs.mkdirSync(join(directory, "secret"))
            const secret = join(directory, "secret/file")
            fs.writeFileSync(secret, "SECRET")
            fs.writeFileSync(join(directory, "in.secret"), "SECRET")
            const files = yield* fill(inbox, secret, symlinks === "follow", after)
            const before = list(inbox)
            const ended = yield* once
            expect(ended.code, ended.stderr).toBe(0)
            const expected = Object.fromEntries(Array.from(files).sort())
            const out = Object.fromEntries(
              Array.from(contentsOf(join(directory, "out")), ([path, bytes]) => [
                path,
                Buffer.from(bytes).toString()
              ]).sort()
            )
            expect(out).toEqual(expected)
            const sent = Object.fromEntries(
              Array.from(http.files, ([path, bytes]) => [
                path.slice("/up/".length),
                Buffer.from(bytes).toString()
              ]).sort()
            )
            expect(sent).toEqual(expected)
            expect(entriesIn(directory).filter(({ status }) => status !== "SUCCEEDED")).toEqual([])
            if (after === "delete") {
              // the one hard link is another generation when the other has gone: it goes with the next run
              const again = yield* once
              expect(again.code, again.stderr).toBe(0)
            }
            // the rest is as it was, and nothing behind a link was touched
            expect(list(inbox)).toEqual(before.filter((path) => after === "keep" || !files.has(path)))
            expect(fs.readFileSync(secret, "utf8")).toBe("SECRET")
            expect(fs.existsSync("/etc/shadow") && fs.existsSync("/etc/passwd")).toBe(true)
            tried({
              section: "files",
              what: `FIFOs, a socket, ${isRoot ? "devices, " : ""}links to /etc/shadow, to /etc, to what lies beside the source, dangling, to themselves and in a loop, hard links, a folder called like a file; \`symlinks: ${symlinks}\`, \`after: ${after}\``,
              happened: `the ${files.size} ordinary files arrived at both targets and nothing else; nothing blocked, nothing from outside was read or removed`,
              counts: { files: files.size, lost: 0, secrets: 0 }
            })
          })
      )
    }
  }
})

/** A server of test/servers that counts and forgets; what it tells its parent. */
const sink = (script: string, ...args: ReadonlyArray<string>): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => fork(fileURLToPath(new URL(`../servers/${script}`, import.meta.url)), args)),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    return yield* Effect.async<string>((resume) => {
      child.once("message", (message) => resume(Effect.succeed(String(message))))
    })
  })

/** Of so many zeros, with a few bytes at the beginning, in the middle and at the end. */
const sparse = (path: string, size: number): void => {
  const file = fs.openSync(path, "wx")
  fs.ftruncateSync(file, size)
  for (const at of [0, Math.floor(size / 2), size - 1]) if (size > 0) fs.writeSync(file, "d", at)
  fs.closeSync(file)
}

const hashOf = (path: string): string => {
  const digest = createHash("sha256")
  const file = fs.openSync(path, "r")
  const buffer = Buffer.alloc(1024 * 1024)
  for (let length = 1; length > 0;) {
    length = fs.readSync(file, buffer)
    digest.update(buffer.subarray(0, length))
  }
  fs.closeSync(file)
  return digest.digest("hex")
}

const memory = Number(/MemAvailable:\s+(\d+)/.exec(fs.readFileSync("/proc/meminfo", "utf8"))?.[1] ?? 0) / 1024 ** 2

describe("empty and large files", () => {
  const sizes = long ? [0, 1, gib, 5 * gib + 3] : [0, 1, gib]

  it.scopedLive(
    `sparse, of ${sizes.join(", ")} bytes: whole, with the right size, by FTP${long ? ", SFTP" : ""} and HTTP`,
    () =>
      Effect.gen(function* () {
        const http = yield* startHttpServer({ discard: true })
        const ftp = yield* sink("sink.mjs", "ftp")
        const [port, fingerprint] = long ? (yield* sink("sshsink.mjs")).split(" ") : []
        const { directory, inbox, once } = yield* project(
          "sources: [{ path: ./in, settle: 0s }]",
          "folders:",
          `  - { path: "${http.url}/up", upload: raw }`,
          `  - { path: "ftp://u:p@127.0.0.1:${ftp}/up", concurrency: 1 }`,
          ...(long
            ? [`  - { path: "sftp://u:p@127.0.0.1:${port}/up", hostKey: "${fingerprint}", concurrency: 1 }`]
            : []),
          "db: ./journal.db",
          "log: { level: WARNING }"
        )
        for (const size of sizes) sparse(join(inbox, String(size)), size)
        expect(fs.statSync(join(inbox, String(gib))).blocks * 512).toBeLessThan(gib / 100)
        const ended = yield* once
        expect(ended.code, ended.stderr).toBe(0)
        const targets = long ? 3 : 2
        const log = entriesIn(directory)
        expect(log.length).toBe(sizes.length * targets)
        for (const { bytes, filename, sha256: digest, status } of log) {
          expect([status, bytes]).toEqual(["SUCCEEDED", Number(filename)])
          if (digest !== null && bytes <= gib) expect(digest).toBe(hashOf(join(inbox, filename)))
        }
        expect(http.received.map(({ bytes }) => bytes).toSorted((left, right) => left - right)).toEqual(sizes)
        tried({
          section: "files",
          what: `empty, and sparse up to ${long ? "5 GiB" : "1 GiB"}, by FTP${long ? ", SFTP" : ""} and HTTP`,
          happened: `${sizes.length} files to each, of ${sizes.join(", ")} bytes, as the log says, too; the receipts have the right sha256`,
          counts: { files: sizes.length, lost: 0 }
        })
      }),
    900_000
  )

  it.scopedLive("sparse, of 5 GiB: a move takes it as it is, and it stays sparse", () =>
    Effect.gen(function* () {
      const size = 5 * gib + 3
      const { directory, inbox, once } = yield* project(
        "sources: [{ path: ./in, settle: 0s, after: delete }]",
        "folders: [{ path: ./out }]",
        "db: ./journal.db",
        "log: { level: WARNING }"
      )
      sparse(join(inbox, "large"), size)
      fs.writeFileSync(join(inbox, "empty"), "")
      const ended = yield* once
      expect(ended.code, ended.stderr).toBe(0)
      const { blocks, size: arrived } = fs.statSync(join(directory, "out/large"))
      expect(arrived).toBe(size)
      expect(blocks * 512).toBeLessThan(gib / 100)
      expect(fs.statSync(join(directory, "out/empty")).size).toBe(0)
      expect(list(inbox)).toEqual([])
      expect(list(join(directory, "out"))).toEqual(["empty", "large"])
      expect(
        entriesIn(directory)
          .map(({ bytes, filename }) => [filename, bytes])
          .sort()
      ).toEqual([
        ["empty", 0],
        ["large", size]
      ])
      tried({
        section: "files",
        what: "sparse, of 5 GiB, and empty, moved to a folder",
        happened: "there, of the right size, and still sparse",
        counts: { files: 2, lost: 0, temps: 0 }
      })
    })
  )

  const room = memory > 8
  it.scopedLive.skipIf(!long || noDisks !== undefined || !room)(
    `sparse, of 5 GiB, copied to a folder${!long ? " (skipped: with --long only)" : noDisks !== undefined ? ` (skipped: ${noDisks})` : room ? "" : " (skipped: 8 GiB of free memory are needed)"}`,
    () =>
      Effect.gen(function* () {
        const size = 5 * gib + 3
        const { directory, inbox, once } = yield* project(
          "sources: [{ path: ./in, settle: 0s }]",
          "folders: [{ path: ./out }]",
          "db: ./journal.db",
          "log: { level: WARNING }"
        )
        yield* smallDisk(join(directory, "out"), "size=6g")
        sparse(join(inbox, "large"), size)
        const ended = yield* once
        expect(ended.code, ended.stderr).toBe(0)
        expect(fs.statSync(join(directory, "out/large")).size).toBe(size)
        const [entry] = entriesIn(directory)
        expect(entry).toMatchObject({ status: "SUCCEEDED", bytes: size })
        expect(hashOf(join(directory, "out/large"))).toBe(hashOf(join(inbox, "large")))
        expect(list(join(directory, "out")).filter(isTemp)).toEqual([])
        tried({
          section: "files",
          what: "sparse, of 5 GiB, copied to a folder",
          happened: "there, of the right size and hash",
          counts: { files: 1, lost: 0, temps: 0 }
        })
      }),
    900_000
  )
})
