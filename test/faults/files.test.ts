/**
 * Files that change: written with pauses, preallocated, truncated, appended, replaced, renamed, deleted, before they are
 * sent and while they are. All of it at once for a folder, FTP, SFTP and HTTP, under the eyes of somebody who looks at
 * the target all the while.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import fs from "node:fs"
import { join } from "node:path"
import * as Process from "../cli/process.ts"
import { list, project, random } from "../e2e/project.ts"
import { ftp, http, local, sftp, skipped, type Far } from "./filesFar.ts"
import { entriesIn, isTemp, openIn, sha256, watchFolder } from "./filesTools.ts"
import { seed, tried } from "./report.ts"

const mib = 1024 * 1024
const kinds = [local, ftp, sftp, http]

/** Of so many bytes, unlike any other. */
const bytes = (next: () => number, size: number): Buffer => {
  const block = Buffer.from(Array.from({ length: 997 }, () => Math.floor(next() * 256)))
  return Buffer.alloc(size, block)
}

/** All versions of each name that anybody may see at the target, as sha256. */
class Versions {
  readonly known = new Map<string, Set<string>>()
  readonly last = new Map<string, string>()
  add(name: string, content: Uint8Array) {
    const digest = sha256(content)
    this.known.set(name, (this.known.get(name) ?? new Set()).add(digest))
    this.last.set(name, digest)
  }
  gone(name: string) {
    this.last.delete(name)
  }
}

/** What is at the target now, by name, as sha256. */
const finals = (far: Far): Record<string, string> =>
  Object.fromEntries(
    Array.from(far.files(), ([name, content]): [string, string] => [name, sha256(content)])
      .filter(([name]) => !isTemp(name))
      .sort()
  )

const wanted = (versions: Versions): Record<string, string> => Object.fromEntries(Array.from(versions.last).sort())

describe.concurrent(`files that change while they are sent (seed ${seed})`, () => {
  for (const kind of kinds) {
    for (const after of ["keep", "delete"] as const) {
      it.scopedLive.skipIf(typeof kind.missing === "string")(
        `to ${kind.name}, after: ${after}: the target ends up with what the source ends up as${skipped(kind)}`,
        () =>
          Effect.gen(function* () {
            const next = random(seed)
            const directory = yield* Process.directory
            const far = yield* kind.start(directory)
            const {
              inbox,
              start,
              directory: home
            } = yield* project(
              `sources: [{ path: ./in, settle: 250ms, after: ${after} }]`,
              "folders:",
              // long enough under way for all that is done to the files meanwhile, and all of them at once
              `  - { ${far.line.replace("./out", `${directory}/out`)}, bandwidth: 1500KiB/s, concurrency: 16, retry: { base: 100ms } }`,
              // or a folder would get them by a move
              ...(kind === local ? ["  - { path: ./also }"] : []),
              "db: ./journal.db",
              "log: { level: WARNING }"
            )
            const versions = new Versions()
            const at = (name: string) => join(inbox, name)
            const put = (name: string, content: Uint8Array) => {
              versions.add(name, content)
              fs.writeFileSync(join(home, "being-written"), content)
              fs.renameSync(join(home, "being-written"), at(name))
            }
            const first = new Map<string, Buffer>()
            const changes: Record<string, (name: string, content: Buffer) => void> = {
              truncated: (name, content) => {
                fs.truncateSync(at(name), 300_000)
                versions.add(name, content.subarray(0, 300_000))
              },
              emptied: (name) => {
                fs.truncateSync(at(name), 0)
                versions.add(name, Buffer.alloc(0))
              },
              appended: (name, content) => {
                fs.appendFileSync(at(name), "the end")
                versions.add(name, Buffer.concat([content, Buffer.from("the end")]))
              },
              overwritten: (name, content) => {
                // in its middle, of the same size
                const file = fs.openSync(at(name), "r+")
                fs.writeSync(file, "here", content.byteLength / 2)
                fs.closeSync(file)
                const changed = Buffer.from(content)
                changed.write("here", content.byteLength / 2)
                versions.add(name, changed)
              },
              disguised: (name, content) => {
                // the same size and mtime: only the ctime tells
                const { atime, mtime } = fs.statSync(at(name))
                const changed = Buffer.from(content).fill(7, content.byteLength - 1000)
                fs.writeFileSync(at(name), changed)
                fs.utimesSync(at(name), atime, mtime)
                versions.add(name, changed)
              },
              replaced: (name) => put(name, bytes(next, 700_000)),
              renamed: (name, content) => {
                fs.renameSync(at(name), at("renamed to"))
                versions.add("renamed to", content)
                versions.gone(name)
              },
              "moved out": (name) => {
                fs.renameSync(at(name), join(home, "moved out"))
                versions.gone(name)
              },
              deleted: (name) => {
                fs.rmSync(at(name))
                versions.gone(name)
              },
              "now a FIFO": (name) => {
                fs.rmSync(at(name))
                execFileSync("mkfifo", [at(name)])
                versions.gone(name)
              },
              "now a link to a secret": (name) => {
                fs.symlinkSync("/etc/shadow", join(home, "link"))
                fs.renameSync(join(home, "link"), at(name))
                versions.gone(name)
              },
              touched: (name) => fs.utimesSync(at(name), new Date(), new Date()),
              "of another mode": (name) => fs.chmodSync(at(name), 0o640)
            }
            const names = Object.keys(changes)
            for (const name of names) {
              const content = bytes(next, mib)
              first.set(name, content)
              put(name, content)
            }
            put("left alone", bytes(next, mib))
            const seen = far.folder === undefined ? undefined : yield* watchFolder(far.folder, versions.known)
            const running = yield* start("--log-level", "INFO")
            // all of them but one are under way, and none has come to its end
            const underWay = () =>
              far.folder === undefined
                ? far.begun()
                : list(far.folder).filter((path) => isTemp(path) && sizeOf(join(far.folder ?? "", path)) > 0).length
            yield* Process.until(
              () => underWay() >= names.length,
              () => `${underWay()} are under way: ${running.stderr()}`
            )
            // on a machine that is too busy some may have come to their end all the same, and be gone
            const late = names.filter((name) => finals(far)[name] !== undefined || !fs.existsSync(at(name)))
            for (const name of names)
              if (!late.includes(name)) changes[name]?.(name, first.get(name) ?? Buffer.alloc(0))
            // some must have been caught in the middle, or nothing was tried
            expect(late.length).toBeLessThan(names.length)

            /** What had been read to its end before it was taken away may be there. */
            const isThere = () =>
              Object.fromEntries(
                Object.entries(finals(far)).filter(
                  ([name, digest]) => versions.last.has(name) || versions.known.get(name)?.has(digest) !== true
                )
              )
            /** What is none of the program's business. */
            const none = names.filter((name) => name.startsWith("now a") && !late.includes(name))
            const rest = () => list(inbox).filter((name) => !none.includes(name))
            const isRight = () => JSON.stringify(isThere()) === JSON.stringify(wanted(versions))
            yield* Process.until(
              () => isRight() && openIn(home) === 0 && (after === "keep" || rest().length === 0),
              () =>
                `${names.filter((name) => finals(far)[name] !== versions.last.get(name)).join(", ")} are not as they ended up; ${list(inbox).join(", ")} in the source: ${running.stderr()}`
            )
            yield* running.kill("SIGTERM")
            const ended = yield* running.ended
            expect(ended.code, ended.stderr).toBe(0)
            // what it ended with is what is there, once, and nothing else
            expect(isThere()).toEqual(wanted(versions))
            expect(Array.from(far.files().keys()).filter(isTemp)).toEqual([])
            expect(seen?.wrong() ?? []).toEqual([])
            // nothing was removed that was not sent, and what was taken out of the source is as it was
            expect(none.filter((name) => !list(inbox).includes(name))).toEqual([])
            expect(rest()).toEqual(after === "delete" ? [] : Array.from(versions.last.keys()).sort())
            if (!late.includes("moved out")) {
              expect(sha256(fs.readFileSync(join(home, "moved out")))).toBe(sha256(first.get("moved out") ?? ""))
            }
            const log = entriesIn(home)
            const sentOf = (name: string) => log.filter((one) => one.filename === name && one.status === "SUCCEEDED")
            const failed = log.filter((one) => one.status !== "SUCCEEDED").map((one) => one.filename)
            // only of what is not there any more
            expect(failed.filter((name) => versions.last.has(name))).toEqual([])
            for (const [name, digest] of versions.last) {
              expect([name, sentOf(name).at(-1)?.sha256 ?? digest]).toEqual([name, digest])
            }
            tried({
              section: "files",
              what: `changed during the upload to ${kind.name}, \`after: ${after}\`: ${names.join(", ")}`,
              happened: `${late.length === 0 ? "" : `${late.length} had come to their end before; `}each there as it ended up${after === "delete" ? ", and then gone from the source" : ""}; ${
                seen === undefined
                  ? "no request was completed with anything else"
                  : `${seen.looks()} looks at the target saw no other content`
              }`,
              counts: { files: names.length + 1, lost: 0, partial: 0, duplicates: 0, temps: 0 }
            })
          }),
        // on a busy machine all of them may be there before anything could be done to them
        { retry: 2 }
      )
    }
  }
})

describe.concurrent("files that are not finished", () => {
  const settle = 1500

  for (const kind of kinds) {
    it.scopedLive.skipIf(typeof kind.missing === "string")(
      `to ${kind.name}: nothing goes before it is quiet${skipped(kind)}`,
      () =>
        Effect.gen(function* () {
          const next = random(seed + 1)
          const directory = yield* Process.directory
          const far = yield* kind.start(directory)
          const {
            inbox,
            start,
            directory: home
          } = yield* project(
            `sources: [{ path: ./in, settle: ${settle}ms, after: delete }]`,
            "folders:",
            `  - { ${far.line.replace("./out", `${directory}/out`)} }`,
            "db: ./journal.db",
            "log: { level: WARNING }"
          )
          const versions = new Versions()
          const at = (name: string) => join(inbox, name)
          const seen = far.folder === undefined ? undefined : yield* watchFolder(far.folder, versions.known)
          const running = yield* start("--log-level", "INFO")
          /** The longest time for which nothing was done to a file that was not finished. */
          let pause = 0
          let last = performance.now()
          const pieces = Array.from({ length: 10 }, () => bytes(next, 30_000))
          const whole = Buffer.concat(pieces)
          const inPieces = ["half-written", "preallocated", "grown by truncate", "with an old mtime"]
          for (const name of inPieces) versions.add(name, whole)
          execFileSync("fallocate", ["-l", String(whole.byteLength), at("preallocated")])
          fs.writeFileSync(at("grown by truncate"), "")
          fs.truncateSync(at("grown by truncate"), whole.byteLength)
          // what is done to it before it has been quiet
          for (const name of ["truncated", "appended", "replaced", "renamed", "moved out", "deleted", "touched"]) {
            fs.writeFileSync(at(name), whole)
          }
          for (const [index, piece] of pieces.entries()) {
            for (const name of inPieces) {
              const file = fs.openSync(at(name), fs.constants.O_CREAT | fs.constants.O_WRONLY)
              fs.writeSync(file, piece, 0, piece.byteLength, index * piece.byteLength)
              fs.closeSync(file)
              if (name === "with an old mtime") fs.utimesSync(at(name), 1_000_000_000, 1_000_000_000)
            }
            if (index === 2) {
              versions.add("truncated", whole.subarray(0, 1000))
              versions.add("appended", Buffer.concat([whole, Buffer.from("more")]))
              versions.add("replaced", Buffer.from("other"))
              versions.add("renamed to", whole)
              versions.add("touched", whole)
              fs.truncateSync(at("truncated"), 1000)
              fs.appendFileSync(at("appended"), "more")
              fs.writeFileSync(join(home, "other"), "other")
              fs.renameSync(join(home, "other"), at("replaced"))
              fs.renameSync(at("renamed"), at("renamed to"))
              fs.renameSync(at("moved out"), join(home, "moved out"))
              fs.rmSync(at("deleted"))
              fs.utimesSync(at("touched"), new Date(), new Date())
            }
            pause = Math.max(pause, performance.now() - last)
            last = performance.now()
            yield* Effect.sleep(300)
          }
          const isRight = () => JSON.stringify(finals(far)) === JSON.stringify(wanted(versions))
          yield* Process.until(
            () => isRight() && list(inbox).length === 0 && openIn(home) === 0,
            () => `${Object.keys(finals(far)).join(", ")}: ${running.stderr()}`
          )

          // written on after it was quiet for longer: sent as it was, and again as it ends up
          const growing = ["growing on", "grown on"]
          for (const name of growing) versions.add(name, pieces[0] ?? whole)
          for (const name of growing) fs.writeFileSync(at(name), pieces[0] ?? whole)
          yield* Process.until(
            () =>
              growing.every((name) => finals(far)[name] !== undefined) &&
              list(inbox).length === 0 &&
              openIn(home) === 0,
            () => `${Object.keys(finals(far)).join(", ")}: ${running.stderr()}`
          )
          for (const name of growing) versions.add(name, whole)
          for (const name of growing) fs.writeFileSync(at(name), whole)
          yield* Process.until(
            () => isRight() && list(inbox).length === 0 && openIn(home) === 0,
            () => `${Object.keys(finals(far)).join(", ")}: ${running.stderr()}`
          )
          yield* running.kill("SIGTERM")
          const ended = yield* running.ended
          expect(ended.code, ended.stderr).toBe(0)
          expect(finals(far)).toEqual(wanted(versions))
          expect(Array.from(far.files().keys()).filter(isTemp)).toEqual([])
          expect(fs.readFileSync(join(home, "moved out")).equals(whole)).toBe(true)
          // a machine that was too busy to write in time made pauses that were none of ours
          const log = entriesIn(home).map(({ filename, status }) => `${status} ${filename}`)
          if (pause < settle) {
            expect(seen?.wrong() ?? []).toEqual([])
            expect(log.toSorted()).toEqual(
              [...versions.last.keys(), ...growing].map((name) => `SUCCEEDED ${name}`).toSorted()
            )
          }
          tried({
            section: "files",
            what: `not finished, to ${kind.name}: half-written with pauses shorter and longer than \`settle\`, preallocated, grown by truncate, with an old mtime; truncated, appended, replaced, renamed, moved out, deleted, touched before they were quiet`,
            happened: `${versions.last.size} files, each sent once and as it ended up (pauses of up to ${Math.round(pause)} ms, settle ${settle} ms); those written on after a longer one twice`,
            counts: { files: versions.last.size, lost: 0, partial: 0, duplicates: 0, temps: 0 }
          })
        })
    )
  }
})

const sizeOf = (path: string): number => fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0
