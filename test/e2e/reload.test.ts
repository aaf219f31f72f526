/** The config is changed while the built program runs. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { request } from "node:http"
import { join } from "node:path"
import { vi } from "vitest"
import * as Process from "../cli/process.ts"
import { startHttpServer } from "../servers/http.ts"
import { list, project, type Project } from "./project.ts"

vi.setConfig({ testTimeout: 120_000 })

const head = ["db: ./journal.db", "monitor: false"]
const source = "sources: [{ path: ./in, settle: 0s, pollInterval: 200ms }]"
const config = (...lines: ReadonlyArray<string>) => [...head, ...lines].join("\n")

/** As an editor does it: a new file takes the place of the old one. */
const edit = ({ config: file, directory }: Project, text: string) => {
  fs.writeFileSync(join(directory, ".config.yml.new"), text.replaceAll("$DIR", directory))
  fs.renameSync(join(directory, ".config.yml.new"), file)
}

const said = (running: Process.Running, text: string) =>
  Process.until(
    () => running.stderr().includes(text),
    () => `it never said "${text}":\n${running.stderr()}`
  )

const arrived = (running: Process.Running, file: string) =>
  Process.until(
    () => fs.existsSync(file),
    () => `${file} never came:\n${running.stderr()}`
  )

describe("a config that changes", () => {
  it.scopedLive("is loaded on SIGHUP, and files that nobody wanted go where they are wanted now", () =>
    Effect.gen(function* () {
      const place = yield* project(...head, source, "folders: [{ name: texts, path: ./texts, extensions: [txt] }]")
      const running = yield* place.start()
      place.put("a.txt", "a")
      place.put("b.pdf", "b")
      yield* arrived(running, join(place.directory, "texts/a.txt"))
      // in place, so that only the signal tells of it at once
      fs.writeFileSync(
        place.config,
        config(
          source,
          "folders:",
          "  - { name: texts, path: ./texts, extensions: [txt] }",
          "  - { name: pdf, path: ./pdf, extensions: [pdf] }"
        )
      )
      yield* running.kill("SIGHUP")
      yield* said(running, "folder pdf is new")
      yield* arrived(running, join(place.directory, "pdf/b.pdf"))
      expect(running.stderr()).toContain("2 files: 1 would be new, 1 unchanged")
      // the source went on as it was
      expect(running.stderr().match(/is watched by/g)?.length).toBe(1)
      place.put("c.pdf", "c")
      yield* arrived(running, join(place.directory, "pdf/c.pdf"))
      yield* running.kill("SIGTERM")
      expect((yield* running.ended).code).toBe(0)
      expect(list(join(place.directory, "texts"))).toEqual(["a.txt"])
    })
  )

  it.scopedLive("is loaded when an editor has replaced the file; a broken one changes nothing", () =>
    Effect.gen(function* () {
      const place = yield* project(...head, source, "folders: [{ path: ./one }]")
      const running = yield* place.start()
      edit(place, config(source, "folders: [{ path: ./two, extensionz: [pdf] }]"))
      yield* said(running, "the old one stays")
      expect(running.stderr()).toMatch(/config\.yml:4:\d+: folders\[0\]/)
      place.put("a", "a")
      yield* arrived(running, join(place.directory, "one/a"))
      edit(place, config(source, "folders: [{ path: ./two }]"))
      yield* said(running, "folder two is new")
      place.put("b", "b")
      yield* arrived(running, join(place.directory, "two/b"))
      expect(list(join(place.directory, "one"))).toEqual(["a"])
    })
  )

  it.scopedLive("starts a source that is new or has changed, and ends one that is gone", () =>
    Effect.gen(function* () {
      const place = yield* project(
        ...head,
        "sources: [{ path: ./in, name: first, settle: 0s }]",
        "folders: [{ path: ./out }]"
      )
      const running = yield* place.start()
      fs.mkdirSync(join(place.directory, "in2"))
      fs.writeFileSync(join(place.directory, "in2/early"), "x")
      edit(
        place,
        config(
          "sources:",
          "  - { path: ./in, name: first, settle: 0s, exclude: ['*.tmp', 'b*'] }",
          "  - { path: ./in2, name: second, settle: 0s }",
          "folders: [{ path: ./out }]"
        )
      )
      yield* said(running, "source first has changed")
      yield* arrived(running, join(place.directory, "out/early"))
      place.put("b", "x")
      place.put("c", "x")
      yield* arrived(running, join(place.directory, "out/c"))
      edit(place, config("sources: [{ path: ./in2, name: second, settle: 0s }]", "folders: [{ path: ./out }]"))
      yield* said(running, "source first is gone")
      place.put("d", "x")
      place.put("e", "x", join(place.directory, "in2"))
      yield* arrived(running, join(place.directory, "out/e"))
      expect(list(join(place.directory, "out"))).toEqual(["c", "e", "early"])
    })
  )

  it.scopedLive("delivers what waits for a folder that is gone, and asks no more for it", () =>
    Effect.gen(function* () {
      const server = yield* startHttpServer()
      const place = yield* project(
        ...head,
        source,
        "folders:",
        `  - { name: web, path: '${server.url}/in', retry: { attempts: 100, base: 200ms, cap: 1s } }`
      )
      const running = yield* place.start()
      server.faultAlways({ kind: "answer", status: 503 })
      place.put("a", "a")
      yield* Process.until(
        () => server.begun() > 0,
        () => running.stderr()
      )
      edit(place, config(source, "folders: [{ name: local, path: ./out }]"))
      yield* said(running, "folder web is gone")
      place.put("b", "b")
      yield* arrived(running, join(place.directory, "out/b"))
      server.faultAlways(null)
      yield* Process.until(
        () => place.log().some((line) => line.startsWith("SUCCEEDED a http")),
        () => `${place.log().join("\n")}\n${running.stderr()}`
      )
      expect(list(join(place.directory, "out"))).toEqual(["b"])
    })
  )

  it.scopedLive("loses nothing and sends nothing twice while files pour in", () =>
    Effect.gen(function* () {
      const folders = (round: number) => `folders: [{ name: all, path: ./out, priority: ${round} }]`
      const place = yield* project(...head, source, folders(0))
      const running = yield* place.start()
      const total = 3000
      let written = 0
      for (let round = 1; round <= 6; round += 1) {
        for (; written < (total / 6) * round; written += 1) place.put(`file-${written}`, `content ${written}`)
        // the source is another one each time, too
        edit(place, config(`sources: [{ path: ./in, settle: ${round % 2}ms, pollInterval: 200ms }]`, folders(round)))
        yield* running.kill("SIGHUP")
        yield* Effect.sleep("100 millis")
      }
      const out = join(place.directory, "out")
      yield* Process.until(
        () => place.log().length >= total,
        () => `${place.log().length} of ${total}\n${running.stderr().slice(-2000)}`
      )
      yield* running.kill("SIGTERM")
      yield* running.ended
      // several changes in a row may be seen as one
      expect(running.stderr().match(/loaded again/g)?.length).toBeGreaterThan(0)
      expect(place.log().length).toBe(total)
      expect(list(out).length).toBe(total)
      for (const name of list(out)) {
        expect(fs.readFileSync(join(out, name), "utf8")).toBe(`content ${name.slice("file-".length)}`)
      }
    })
  )

  it.scopedLive("says over HTTP what is in force, loads it when it is asked, and needs a restart for some of it", () =>
    Effect.gen(function* () {
      const place = yield* project(...head, source, "http: { port: 0 }", "folders: [{ path: ./one }]")
      const port = yield* freePort
      const running = yield* Process.filedispatch(["-c", place.config, "--no-monitor", "-P", String(port)])
      yield* said(running, "is watched")
      expect(yield* call(port, "GET", "/api/v1/status")).toMatchObject({
        status: 200,
        json: { config: { file: fs.realpathSync(place.config), error: null, restart: [] } }
      })
      edit(place, config(source, "http: { port: 0 }", "folders: [{ path: ./one }, {}]"))
      const refused = yield* call(port, "POST", "/api/v1/reload")
      expect(refused.status).toBe(409)
      expect(JSON.stringify(refused.json)).toContain("config.yml:5:")
      const broken = yield* call(port, "GET", "/api/v1/status")
      expect(JSON.stringify(broken.json)).toContain("folders[1]")
      edit(place, config(source, "durability: crash", "folders: [{ path: ./two }]"))
      expect(yield* call(port, "POST", "/api/v1/reload")).toMatchObject({
        status: 200,
        json: { restart: ["durability"], applied: ["folder two is new", expect.stringContaining("folder one is gone")] }
      })
      expect(yield* call(port, "GET", "/api/v1/status")).toMatchObject({
        json: { config: { error: null, restart: ["durability"] } }
      })
    })
  )

  it.scopedLive("is loaded by a daemon that is asked by its pid file, with what its command line said", () =>
    Effect.gen(function* () {
      const place = yield* project(...head, source, "folders: [{ path: ./one }]")
      const pidfile = join(place.directory, "run.pid")
      expect(yield* Process.run(["reload", "-p", pidfile])).toMatchObject({ code: 1 })
      expect(yield* Process.run(["reload"])).toMatchObject({ code: 2 })
      const running = yield* place.start("-m", "-p", pidfile)
      yield* Process.until(
        () => fs.existsSync(pidfile),
        () => running.stderr()
      )
      fs.writeFileSync(place.config, config(source, "folders: [{ path: ./two }]"))
      expect(yield* Process.run(["reload", "-p", pidfile])).toMatchObject({ code: 0 })
      yield* said(running, "folder two is new")
      place.put("a", "a")
      yield* arrived(running, join(place.directory, "two/a"))
      yield* Process.until(
        () => list(place.inbox).length === 0,
        () => running.stderr()
      )
    })
  )
})

const freePort = Effect.promise(async () => {
  const { createServer } = await import("node:net")
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === "object" && address !== null ? address.port : 0
})

const call = (port: number, method: string, path: string) =>
  Effect.async<{ readonly status: number; readonly json: unknown }, Error>((resume) => {
    const sent = request({ host: "127.0.0.1", port, method, path, agent: false }, (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
      response.on("end", () => resume(Effect.succeed({ status: response.statusCode ?? 0, json: JSON.parse(text) })))
    })
    sent.on("error", (error) => resume(Effect.fail(error)))
    sent.end()
  })
