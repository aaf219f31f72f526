/**
 * Hostile names, to every kind of target: each arrives under exactly its bytes, or is refused for a reason, before
 * anything of it is sent; nothing lands elsewhere; and nobody's terminal is written to.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { isUtf8 } from "node:buffer"
import { execFileSync } from "node:child_process"
import fs from "node:fs"
import { join } from "node:path"
import * as Names from "../../src/domain/Names.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Process from "../cli/process.ts"
import { project } from "../e2e/project.ts"
import { contentsOf, type FarKind, ftp, http, latin1, local, s3, sftp, skipped, webdav } from "./filesFar.ts"
import { entriesIn } from "./filesTools.ts"
import { hostileFolders, hostileNames } from "./namesList.ts"
import { judgeNames, nothingWrong } from "./namesOracle.ts"
import { long, tried } from "./report.ts"

const kinds = [local, sftp, ftp, webdav, s3, http]

const inbox = (directory: string, path: string) =>
  Buffer.concat([Buffer.from(`${directory}/in/`), Buffer.from(path, "latin1")])

/** Makes all of them below `in`, each with its own name as content; answers their paths as latin1. */
const makeAll = (directory: string): ReadonlyArray<string> => {
  const paths: Array<string> = []
  const put = (path: string) => {
    fs.writeFileSync(inbox(directory, path), Buffer.from(path, "latin1"))
    paths.push(path)
  }
  for (const name of hostileNames) put(name.toString("latin1"))
  for (const folder of hostileFolders) {
    const path = folder.toString("latin1")
    fs.mkdirSync(inbox(directory, path))
    put(`${path}/f`)
  }
  const deep = Array.from({ length: 100 }, (_, level) => `d${level}`).join("/")
  fs.mkdirSync(inbox(directory, deep), { recursive: true })
  put(`${deep}/deep`)
  return paths
}

/** What can't be had there: an FTP command is one line, a key of S3 is UTF-8, and a code may be longer than a name. */
const mayRefuse = (kind: FarKind, names: Names.Rules, path: string): boolean => {
  if (names === "portable") {
    const written = latin1(Names.encode(RelPath.fromBytes(Buffer.from(path, "latin1"))))
    return written.split("/").some((part) => part.length > 255)
  }
  if (kind === ftp) return /[\r\n]/.test(path)
  return kind === s3 && !isUtf8(Buffer.from(path, "latin1"))
}

/** Characters that do something to a terminal or a log: none may come out, but the ends of our own lines. */
// oxlint-disable-next-line no-control-regex
const raw = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffd]/u

const rawIn = (text: string): string | undefined => {
  const found = raw.exec(text)
  return found === null ? undefined : JSON.stringify(text.slice(Math.max(0, found.index - 60), found.index + 20))
}

/** A config that takes everything, whatever it is called. */
const lines = (folder: string) => [
  "sources: [{ path: ./in, recursive: true, settle: 0s, exclude: [] }]",
  "folders:",
  `  - { ${folder}, retry: { attempts: 2, base: 50ms } }`,
  "db: ./journal.db",
  "log: { level: DEBUG }"
]

describe.concurrent("hostile names", () => {
  for (const kind of kinds) {
    // what is encoded is the same for all of them
    const rules =
      long || kind === local || kind === ftp || kind === http
        ? (["strict", "portable"] as const)
        : (["strict"] as const)
    for (const names of rules) {
      it.scopedLive.skipIf(typeof kind.missing === "string")(
        `to ${kind.name}, names: ${names}: exactly as they are, or refused with a reason${skipped(kind)}`,
        () =>
          Effect.gen(function* () {
            const far = yield* kind.start("$DIR")
            const { config, directory, once } = yield* project(...lines(`${far.line}, names: ${names}`))
            const paths = makeAll(directory)
            const before = new Set(far.around())
            const ended = yield* once
            const target = kind === local ? contentsOf(join(directory, "out")) : far.files()
            const log = entriesIn(directory)
            const failed = log.filter(({ status }) => status === "FAILED")
            const landed =
              kind === local
                ? fs.readdirSync(directory).filter((name) => !/^(?:in|out|config\.yml|journal\.db.*)$/.test(name))
                : far.around().filter((path) => !before.has(path) && !/^(?:in\/|\/in\/|upload\/in\/)/.test(path))
            const found = judgeNames({
              paths,
              names,
              target,
              failed,
              mayRefuse: (path) => mayRefuse(kind, names, path)
            })
            expect({ ...found, landed }).toEqual({ ...nothingWrong, landed: [] })
            expect(target.size + failed.length).toBe(paths.length)
            expect(ended.code, ended.stderr.slice(-2000)).toBe(failed.length > 0 ? 1 : 0)

            const said = [ended.stdout, ended.stderr]
            const run = (...args: ReadonlyArray<string>) => Process.run([...args, "-c", config])
            // of the one that takes all, and of one that refuses some
            if (names === "strict" && (kind === local || kind === ftp)) {
              const table = (yield* run("logs", "--limit", "1000")).stdout
              // a tab stands between columns, and nowhere else
              expect(
                new Set(
                  table
                    .replace(/\n$/, "")
                    .split("\n")
                    .map((line) => line.split("\t").length)
                ).size
              ).toBe(1)
              said.push(table.replaceAll("\t", " "))
              for (const args of [["logs", "--limit", "1000", "--json"], ["status"]]) {
                const { stderr, stdout } = yield* run(...args)
                expect(stderr.includes("at file:"), stderr).toBe(false)
                said.push(stdout, stderr)
              }
            }
            for (const text of said) expect(rawIn(text)).toBeUndefined()
            expect(said.some((text) => text.includes("\\u{1b}[2J"))).toBe(true)
            expect(fs.existsSync(join(directory, "pwned")) || fs.existsSync(join(Process.root, "pwned"))).toBe(false)
            tried({
              section: "files",
              what: `hostile names to ${kind.name}, \`names: ${names}\``,
              happened: `of ${paths.length} names ${target.size} arrived ${
                names === "strict" ? "under exactly their bytes" : "so that they can be decoded to exactly their bytes"
              }, ${failed.length} were refused for a reason; nothing beside the target; no control character in what it says`,
              counts: { files: paths.length, lost: 0, duplicates: 0, temps: 0 }
            })
          })
      )
    }
  }

  it.scopedLive("a path that is longer than the system takes", () =>
    Effect.gen(function* () {
      const { directory, start } = yield* project(
        ...lines("path: ./out").map((line) =>
          line.replace("settle: 0s", "settle: 0s, watch: poll, pollInterval: 500ms")
        )
      )
      // as no single call can
      yield* Effect.addFinalizer(() => Effect.sync(() => execFileSync("rm", ["-rf", directory])))
      fs.writeFileSync(join(directory, "in", "before"), "x")
      const running = yield* start()
      // made from within, because no call takes the path as a whole
      const name = "n".repeat(250)
      const made = yield* Effect.scoped(
        Effect.flatMap(
          Process.node([
            "-e",
            `const fs = require("node:fs")
             process.chdir(${JSON.stringify(join(directory, "in"))})
             let levels = 0
             for (; levels < 20; levels++) { fs.mkdirSync(${JSON.stringify(name)}); process.chdir(${JSON.stringify(name)}); fs.writeFileSync("f", String(levels)) }
             process.stdout.write(String(levels))`
          ]),
          (running) => running.ended
        )
      )
      expect(made.stdout, made.stderr).toBe("20")
      fs.writeFileSync(join(directory, "in", "after"), "x")
      // all that can be reached, and those beside it
      const reachable = Array.from({ length: 20 }, (_, level) => level).filter(
        (level) =>
          Buffer.byteLength(join(directory, "in", ...Array.from({ length: level + 1 }, () => name), "f")) < 4096
      )
      const arrived = () =>
        entriesIn(directory).filter(({ filename, status }) => filename === "f" && status === "SUCCEEDED").length
      const out = join(directory, "out")
      const all = reachable.filter(
        (level) =>
          Buffer.byteLength(
            join(out, ...Array.from({ length: level + 1 }, () => name), ".fd-12345678901234567890.part")
          ) < 4096
      )
      yield* Process.until(
        () =>
          fs.existsSync(join(out, "after")) && arrived() >= all.length && running.stderr().includes("too long for the"),
        () => `${arrived()} of ${all.length}: ${running.stderr().slice(-2000)}`
      )
      expect(Process.alive(running.pid)).toBe(true)
      yield* running.kill("SIGTERM")
      const ended = yield* running.ended
      expect(ended.code, ended.stderr.slice(-2000)).toBe(0)
      expect(fs.readFileSync(join(out, name, "f"), "utf8")).toBe("0")
      // what can't be reached is told of, and no more than once for each
      expect(ended.stderr).toContain("its path is too long for the system")
      tried({
        section: "files",
        what: "20 directories of 250 bytes in each other, a file in each",
        happened: `the ${arrived()} files whose paths fit in 4096 bytes arrived, the others are told of, and hold up nothing`,
        counts: { files: 22, lost: 0 }
      })
    })
  )
})
