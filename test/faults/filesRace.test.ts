/**
 * Somebody swaps files and directories of a source for links to what lies outside, as fast as can be, while the program
 * looks, reads, moves and deletes: nothing from outside is delivered, moved or deleted.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import * as Process from "../cli/process.ts"
import { startHttpServer } from "../servers/http.ts"
import { list, project } from "../e2e/project.ts"
import { filesBelow, isTemp, loop, sha256 } from "./filesTools.ts"
import { long, tried } from "./report.ts"

const seconds = long ? 60 : 5

/** So many files, that some are met in the moment between a look and a reading. */
const count = 100

const swaps = {
  directory: {
    what: "a directory of the source",
    names: Array.from({ length: count }, (_, index) => `d/f${index}`),
    /** `d` is the directory, then a link to the other one, and so on; now and then its files are new ones. */
    body: `
      fs.renameSync("d", "../d.real"); fs.renameSync("../d.link", "d")
      hold()
      fs.renameSync("d", "../d.link"); fs.renameSync("../d.real", "d")
      hold()
      if (rounds % 20 === 0) {
        const n = rounds / 20 % ${count}
        fs.writeFileSync("../being-written", "ours " + n + " " + rounds); fs.renameSync("../being-written", "d/f" + n)
      }`
  },
  file: {
    what: "a file",
    names: Array.from({ length: count }, (_, index) => `f${index}`),
    body: `
      const n = rounds % ${count}
      hold()
      fs.symlinkSync(process.cwd() + "/../secret/f" + n, "../link"); fs.renameSync("../link", "f" + n)
      fs.writeFileSync("../being-written", "ours " + n + " " + rounds); fs.renameSync("../being-written", "f" + n)`
  }
} as const

const cases = [
  ["directory", "keep", "skip", "a folder and HTTP"],
  ["directory", "delete", "skip", "a folder, by a move"],
  ["directory", '{ archive: "$DIR/done/{relpath}" }', "skip", "a folder"],
  ...(long
    ? ([
        ["directory", "delete", "skip", "a folder and HTTP"],
        ["directory", "keep", "follow", "a folder and HTTP"],
        ["file", "delete", "skip", "a folder and HTTP"],
        ["file", "keep", "follow", "a folder and HTTP"]
      ] as const)
    : [])
] as const

describe.concurrent("links that come and go", () => {
  for (const [kind, after, symlinks, to] of cases) {
    const { body, names, what } = swaps[kind]
    it.scopedLive(`${what} swapped for a link out of it: to ${to}, after: ${after}, symlinks: ${symlinks}`, () =>
      Effect.gen(function* () {
        const http = yield* startHttpServer()
        const { config, directory, inbox } = yield* project(
          "sources:",
          `  - { path: ./in, recursive: true, settle: 0s, watch: poll, pollInterval: 20ms, after: ${after}, symlinks: ${symlinks} }`,
          "folders:",
          "  - { path: ./out }",
          ...(to.includes("HTTP") ? [`  - { path: "${http.url}/up", upload: raw }`] : []),
          "db: ./journal.db",
          "log: { level: ERROR }"
        )
        const secret = join(directory, "secret")
        fs.mkdirSync(secret)
        fs.mkdirSync(join(inbox, "d"))
        for (let index = 0; index < count; index++) fs.writeFileSync(join(secret, `f${index}`), `SECRET ${index}`)
        fs.symlinkSync(secret, join(directory, "d.link"))
        const before = list(secret)
        const swapper = yield* loop(body, {
          setup: `process.chdir(${JSON.stringify(inbox)})
            const hold = () => { for (const until = performance.now() + Math.random() * 0.5; performance.now() < until;); }`,
          pause: 1
        })
        const running = yield* Process.filedispatch(["-c", config, "--no-webapp", "--no-monitor"])
        const out = join(directory, "out")
        const outside: Array<string> = []
        const deadline = Date.now() + seconds * 1000
        while (Date.now() < deadline) {
          // a temp name among the secrets would be one of them on its way
          for (const path of filesBelow(secret)) if (isTemp(path)) outside.push(path)
          for (const [place, folder] of [
            ["out", out],
            ["done", join(directory, "done")]
          ] as const) {
            for (const path of filesBelow(folder)) {
              const content = read(join(folder, path))
              if (content.includes("SECRET")) outside.push(`${place}/${path}`)
            }
          }
          yield* Effect.sleep(20)
        }
        const rounds = yield* swapper.end
        // what is there now is there to stay, and arrives
        for (const [index, name] of names.entries()) {
          fs.writeFileSync(join(directory, "being-written"), `last ${index}`)
          fs.renameSync(join(directory, "being-written"), join(inbox, name))
        }
        const isThere = (name: string, index: number) =>
          read(join(out, name)) === `last ${index}` &&
          (!to.includes("HTTP") || Buffer.from(http.files.get(`/up/${name}`) ?? []).toString() === `last ${index}`)
        yield* Process.until(
          () => names.every(isThere),
          () => `${names.filter((name, index) => !isThere(name, index)).join(", ")}: ${running.stderr()}`
        )
        yield* running.kill("SIGTERM")
        yield* running.ended
        for (const [path, bytes] of http.files) {
          if (Buffer.from(bytes).includes("SECRET")) outside.push(path)
        }
        const sent = http.received.filter(({ sha256 }) => secrets.has(sha256)).length
        expect({ outside: Array.from(new Set(outside)), sent, secrets: list(secret) }).toEqual({
          outside: [],
          sent: 0,
          secrets: before
        })
        expect(list(out).filter(isTemp)).toEqual([])
        expect(rounds).toBeGreaterThan(10)
        tried({
          section: "files",
          what: `${what} swapped for a link out of the source and back, to ${to}, \`after: ${after}\`, \`symlinks: ${symlinks}\``,
          happened: `${rounds} swaps; nothing from outside sent, moved or deleted, the files of the source there as they ended up`,
          counts: { lost: 0, temps: 0, secrets: 0 }
        })
      })
    )
  }
})

const secrets = new Set(Array.from({ length: count }, (_, index) => sha256(`SECRET ${index}`)))

const read = (path: string): string => {
  try {
    return fs.readFileSync(path, "utf8")
  } catch {
    return ""
  }
}
