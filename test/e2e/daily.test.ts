import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import * as Process from "../cli/process.ts"
import { startFtpServer } from "../servers/ftp.ts"
import { startHttpServer } from "../servers/http.ts"
import { list, project } from "./project.ts"

vi.setConfig({ testTimeout: 60_000 })

const short = ["db: ./journal.db", "sources: [{ path: ./in, settle: 50ms, pollInterval: 200ms }]", "folders:"]

describe("the original tool's config", () => {
  it.scopedLive("does what it always did: each extension to its server, by FTP, by HTTP, to folders", () =>
    Effect.gen(function* () {
      const ftp = yield* startFtpServer({ user: "user", password: "pass@word" })
      const http = yield* startHttpServer()
      const { directory, inbox, log, start } = yield* project(
        "source: $DIR/in",
        "folders:",
        `  - path: ftp://user:pass%40word@127.0.0.1:${ftp.port}/home/user/videos`,
        "    extensions: [mp4, flv, avi, mov, wmv, webm, mkv]",
        `  - path: ${http.url}/documents/audios`,
        "    extensions: [mp3, wav, ogg]",
        "    fieldname: document",
        "  - path: file://$DIR/documents/ebooks",
        "    extensions: [pdf, djvu, epub]",
        "  - path: $DIR/documents/images",
        "    extensions: [png, jpg, jpeg, gif, svg]"
      )
      // it has no db key: the journal lies where the program puts it by itself
      const running = yield* start("--db", join(directory, "journal.db"))
      const files = {
        "film.mkv": "/home/user/videos/film.mkv",
        "song.MP3": "/documents/audios/song.MP3",
        "book.pdf": "documents/ebooks/book.pdf",
        "cat.jpeg": "documents/images/cat.jpeg",
        "none.xyz": ""
      }
      for (const name of Object.keys(files)) fs.writeFileSync(join(inbox, name), `this is ${name}`)
      yield* Process.until(
        () => log().length === 4,
        () => `${log().join("\n")}\n${running.stderr()}`
      )
      expect(Buffer.from(ftp.read("/home/user/videos/film.mkv") ?? []).toString()).toBe("this is film.mkv")
      const [upload] = http.received
      expect(upload).toMatchObject({ method: "POST", url: "/documents/audios" })
      expect(upload?.parts.length).toBe(1)
      expect(upload?.parts[0]?.headers.join("\n")).toContain('name="document"; filename="song.MP3"')
      expect(Buffer.from(upload?.parts[0]?.content ?? []).toString()).toBe("this is song.MP3")
      expect(list(join(directory, "documents"))).toEqual(["ebooks/book.pdf", "images/cat.jpeg"])
      expect(fs.readFileSync(join(directory, "documents/ebooks/book.pdf"), "utf8")).toBe("this is book.pdf")
      // nothing is taken away
      expect(list(inbox)).toEqual(Object.keys(files).sort())
      expect(log().toSorted()).toEqual([
        `SUCCEEDED book.pdf ${directory}/documents/ebooks`,
        `SUCCEEDED cat.jpeg ${directory}/documents/images`,
        `SUCCEEDED film.mkv ftp://user@127.0.0.1:${ftp.port}/home/user/videos`,
        `SUCCEEDED song.MP3 ${http.url}/documents/audios`
      ])
      expect(running.stdout() + running.stderr()).not.toContain("pass@word")
      expect(running.stdout() + running.stderr()).not.toContain("pass%40word")
    })
  )
})

it.scopedLive("a second process on the same journal ends with 3, and the first goes on", () =>
  Effect.gen(function* () {
    const { config, directory, put, start } = yield* project(...short, "  - { path: ./out }")
    const first = yield* start()
    const second = yield* Process.run(["-c", config, "--no-webapp", "--no-monitor"])
    expect(second.code).toBe(3)
    expect(second.stderr).toContain(`process ${first.pid}`)
    expect(second.stderr.trimEnd().split("\n").length).toBe(1)
    put("a", "a")
    yield* Process.until(
      () => list(join(directory, "out")).length === 1,
      () => first.stderr()
    )
  })
)

it.scopedLive("files that arrive while it is down are delivered when it is back", () =>
  Effect.gen(function* () {
    const { directory, log, put, start } = yield* project(...short, "  - { path: ./out }")
    put("before", "before")
    const first = yield* start()
    yield* Process.until(
      () => log().length === 1,
      () => first.stderr()
    )
    yield* first.kill("SIGTERM")
    yield* first.ended
    put("meanwhile", "meanwhile")
    put("before", "before, but newer")
    const second = yield* start()
    yield* Process.until(
      () => log().length === 3,
      () => second.stderr()
    )
    expect(list(join(directory, "out"))).toEqual(["before", "meanwhile"])
    expect(fs.readFileSync(join(directory, "out", "before"), "utf8")).toBe("before, but newer")
  })
)

describe("a server that is down", () => {
  it.scopedLive("at the start gets everything when it comes, and delays no other", () =>
    Effect.gen(function* () {
      // ports that nobody listens on, for now
      const scope = yield* Scope.make()
      const ports = yield* Effect.all([startHttpServer(), startFtpServer()]).pipe(Scope.extend(scope))
      yield* Scope.close(scope, Exit.void)
      const [{ port: httpPort }, { port: ftpPort }] = ports
      const { directory, log, put, start } = yield* project(
        ...short,
        `  - { path: "http://127.0.0.1:${httpPort}/up", upload: raw }`,
        `  - { path: "ftp://127.0.0.1:${ftpPort}/up" }`,
        "  - { path: ./out }"
      )
      const names = Array.from({ length: 200 }, (_, index) => `f${index}`).sort()
      for (const name of names) put(name, name)
      const running = yield* start()
      const began = Date.now()
      yield* Process.until(
        () => list(join(directory, "out")).length === 200,
        () => running.stderr()
      )
      expect(Date.now() - began).toBeLessThan(5000)
      yield* Process.until(
        () => (running.stderr().match(/is down/g) ?? []).length >= 2,
        () => running.stderr()
      )
      const http = yield* startHttpServer({ port: httpPort })
      const ftp = yield* startFtpServer({ port: ftpPort })
      yield* Process.until(
        () => log().length === 600,
        () => `${log().length}: ${running.stderr()}`
      )
      expect(http.received.length).toBe(200)
      expect(Array.from(ftp.files.keys()).sort()).toEqual(names.map((name) => `/up/${name}`))
      expect(log().filter((entry) => entry.startsWith("FAILED"))).toEqual([])
    })
  )

  it.scopedLive("because it never answers delays no other, and no stop", () =>
    Effect.gen(function* () {
      const http = yield* startHttpServer()
      http.faultAlways({ kind: "silent" })
      const { directory, put, start } = yield* project(
        ...short,
        `  - { path: "${http.url}/up", upload: raw }`,
        "  - { path: ./out }"
      )
      const running = yield* start()
      for (let index = 0; index < 50; index++) put(`f${index}`, "x")
      yield* Process.until(
        () => list(join(directory, "out")).length === 50 && http.begun() > 0,
        () => running.stderr()
      )
      const began = Date.now()
      yield* running.kill("SIGTERM")
      const ended = yield* running.ended
      expect(ended.code, ended.stderr).toBe(0)
      expect(Date.now() - began).toBeLessThan(14_000)
    })
  )
})

it.scopedLive("a source that vanishes and comes back is watched again", () =>
  Effect.gen(function* () {
    const { directory, inbox, log, put, start } = yield* project(...short, "  - { path: ./out }")
    const running = yield* start()
    put("first", "1")
    yield* Process.until(
      () => log().length === 1,
      () => running.stderr()
    )
    fs.rmSync(inbox, { recursive: true })
    yield* Process.until(
      () => /It is looked for/.test(running.stderr()),
      () => running.stderr()
    )
    fs.mkdirSync(inbox)
    put("second", "2")
    yield* Process.until(
      () => log().length === 2,
      () => running.stderr()
    )
    put("third", "3")
    yield* Process.until(
      () => log().length === 3,
      () => running.stderr()
    )
    expect(list(join(directory, "out"))).toEqual(["first", "second", "third"])
  })
)

it.scopedLive("a file that is written slowly arrives whole, and once", () =>
  Effect.gen(function* () {
    const { directory, inbox, log, start } = yield* project(
      "db: ./journal.db",
      "sources: [{ path: ./in, settle: 500ms }]",
      "folders:",
      "  - { path: ./out }"
    )
    const running = yield* start()
    const out = join(directory, "out")
    for (let index = 0; index < 15; index++) {
      fs.appendFileSync(join(inbox, "slow"), `line ${index}\n`)
      yield* Effect.sleep("100 millis")
      expect(list(out)).toEqual([])
    }
    yield* Process.until(
      () => log().length === 1,
      () => running.stderr()
    )
    expect(fs.readFileSync(join(out, "slow"), "utf8").trimEnd().split("\n").length).toBe(15)
    expect(list(out)).toEqual(["slow"])
  })
)
