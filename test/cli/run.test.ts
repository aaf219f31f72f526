import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { vi } from "vitest"
import * as Process from "./process.ts"

// each starts several processes, on machines that may be busy
vi.setConfig({ testTimeout: 120_000 })

/** A directory with an inbox `in`, and a config of these further lines. */
const project = (...lines: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const directory = yield* Process.directory
    const inbox = join(directory, "in")
    mkdirSync(inbox)
    const config = join(directory, "config.yml")
    writeFileSync(
      config,
      [
        "sources: [{ path: ./in, settle: 50ms }]",
        "db: ./state/journal.db",
        "http: { port: 0 }",
        "monitor: { port: 0 }",
        ...lines
      ].join("\n")
    )
    return { directory, config, inbox }
  })

const pdfs = ["folders:", "  - { path: ./out, extensions: [pdf] }"]

/** A running daemon in the foreground, up to where it watches. */
const foreground = (config: string, ...args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const running = yield* Process.filedispatch(["-c", config, ...args])
    yield* Process.until(
      () => running.stderr().includes("is watched"),
      () => running.stderr() || "it says nothing"
    )
    return running
  })

describe("the run command", () => {
  it.scopedLive("--once delivers what is there, a line for each, and ends with 0", () =>
    Effect.gen(function* () {
      const { config, directory, inbox } = yield* project(...pdfs)
      for (const name of ["a.pdf", "b.PDF", "c.zip"]) writeFileSync(join(inbox, name), name)
      const ended = yield* Process.run(["-c", config, "--once"])
      expect(ended.code, ended.stderr).toBe(0)
      expect(ended.stdout.trimEnd().split("\n").sort()).toEqual([
        `DELIVERED a.pdf -> ${directory}/out/a.pdf`,
        `DELIVERED b.PDF -> ${directory}/out/b.PDF`
      ])
      expect(ended.stdout + ended.stderr).not.toContain("\u001b")
      expect(ended.stderr).toContain("2 delivered")
      expect(ended.stderr).toContain("1 matched no folder")
      expect(readFileSync(join(directory, "out", "a.pdf"), "utf8")).toBe("a.pdf")

      // known files are not sent again
      const again = yield* Process.run(["-c", config, "--once"])
      expect(again).toMatchObject({ code: 0, stdout: "" })

      const logs = yield* Process.run(["logs", "-c", config, "--status", "succeeded", "--extension", ".PDF"])
      expect(logs.code).toBe(0)
      const rows = logs.stdout.trimEnd().split("\n")
      expect(rows.map((row) => row.split("\t")[1])).toEqual(["SUCCEEDED", "SUCCEEDED"])
      const json: unknown = JSON.parse((yield* Process.run(["logs", "-c", config, "--json", "--limit", "1"])).stdout)
      expect(json).toMatchObject([{ status: "SUCCEEDED", protocol: "file" }])
      expect((yield* Process.run(["logs", "-c", config, "--filename", "none.pdf"])).stdout).toBe("")
    })
  )

  it.scopedLive("--once -m deletes what it has delivered; --db and --no-webapp are obeyed", () =>
    Effect.gen(function* () {
      const { config, directory, inbox } = yield* project(...pdfs)
      writeFileSync(join(inbox, "a.pdf"), "a")
      const db = join(directory, "elsewhere", "other.db")
      const ended = yield* Process.run(["-c", config, "--once", "-m", "--no-webapp", "--no-monitor", "--db", db])
      expect(ended.code, ended.stderr).toBe(0)
      expect(readdirSync(inbox)).toEqual([])
      expect(readdirSync(join(directory, "out"))).toEqual(["a.pdf"])
      expect(existsSync(db)).toBe(true)
      expect(existsSync(join(directory, "state"))).toBe(false)
    })
  )

  it.scopedLive("--once ends with 1 where a delivery is dead, and retry brings it back", () =>
    Effect.gen(function* () {
      const { config, directory, inbox } = yield* project(
        "folders:",
        "  - { path: ./out, extensions: [pdf], conflict: fail }"
      )
      mkdirSync(join(directory, "out"))
      writeFileSync(join(directory, "out", "a.pdf"), "somebody else's")
      writeFileSync(join(inbox, "a.pdf"), "ours")
      const ended = yield* Process.run(["-c", config, "--once"])
      expect(ended.code).toBe(1)
      expect(ended.stdout).toMatch(/^DEAD a\.pdf -> .*\/out\/a\.pdf: .+\n$/)
      expect(ended.stderr).toContain("1 failed")
      expect(readFileSync(join(directory, "out", "a.pdf"), "utf8")).toBe("somebody else's")

      expect((yield* Process.run(["retry", "-c", config, "999"])).code).toBe(1)
      const retried = yield* Process.run(["retry", "-c", config, "--all"])
      expect(retried).toMatchObject({ code: 0, stdout: "1\n" })
      expect((yield* Process.run(["-c", config, "--once"])).code).toBe(1)
    })
  )

  it.scopedLive("--once ends with 1 where a lane is down, and says which", () =>
    Effect.gen(function* () {
      const { config, inbox } = yield* project("folders:", "  - { path: 'http://127.0.0.1:1/', extensions: [pdf] }")
      writeFileSync(join(inbox, "a.pdf"), "a")
      const ended = yield* Process.run(["-c", config, "--once"])
      expect(ended).toMatchObject({ code: 1, stdout: "" })
      expect(ended.stderr).toContain("http://127.0.0.1:1 is down")
      expect(ended.stderr).toContain("1 waiting")
    })
  )

  it.scopedLive("--once ends with 1 where a source is missing", () =>
    Effect.gen(function* () {
      const { config, directory } = yield* project(...pdfs, "")
      writeFileSync(config, readFileSync(config, "utf8").replace("./in", "./absent"))
      const ended = yield* Process.run(["-c", config, "--once"])
      expect(ended).toMatchObject({ code: 1, stdout: "" })
      expect(ended.stderr).toContain(join(directory, "absent"))
    })
  )

  it.scopedLive("delivers what arrives, and ends with 0 on SIGTERM and on SIGINT", () =>
    Effect.gen(function* () {
      const { config, directory, inbox } = yield* project(...pdfs)
      for (const [index, signal] of (["SIGTERM", "SIGINT"] as const).entries()) {
        const running = yield* foreground(config)
        writeFileSync(join(inbox, `${index}.pdf`), "x")
        yield* Process.until(() => existsSync(join(directory, "out", `${index}.pdf`)), running.stderr)
        yield* running.kill(signal)
        expect(yield* running.ended).toMatchObject({ code: 0, signal: null, stdout: "" })
      }
    })
  )

  it.scopedLive("a second signal ends it at once, even in the middle of a delivery", () =>
    Effect.gen(function* () {
      // a server that takes the connection and never answers
      const sockets: Array<{ readonly destroy: () => void }> = []
      const server = yield* Effect.acquireRelease(
        Effect.async<{ readonly port: number; readonly close: () => void }>((resume) => {
          const server = createServer((socket) => sockets.push(socket.on("error", () => {})))
          server.listen(0, "127.0.0.1", () => {
            const address = server.address()
            const port = typeof address === "object" && address !== null ? address.port : 0
            resume(Effect.succeed({ port, close: () => server.close() }))
          })
        }),
        ({ close }) =>
          Effect.sync(() => {
            for (const socket of sockets) socket.destroy()
            close()
          })
      )
      const { config, inbox } = yield* project("folders:", `  - { path: 'http://127.0.0.1:${server.port}/' }`)
      const running = yield* foreground(config)
      writeFileSync(join(inbox, "a.pdf"), "a")
      yield* Process.until(() => sockets.length > 0, running.stderr)
      yield* running.kill("SIGTERM")
      yield* Process.until(() => running.stderr().includes("Stopping"), running.stderr)
      const asked = Date.now()
      yield* running.kill("SIGTERM")
      expect(yield* running.ended).toMatchObject({ signal: "SIGTERM" })
      expect(Date.now() - asked).toBeLessThan(3000)
    })
  )

  it.scopedLive("a second process on the same journal ends with 3, and the first goes on", () =>
    Effect.gen(function* () {
      const { config, directory, inbox } = yield* project(...pdfs)
      const first = yield* foreground(config)
      const second = yield* Process.run(["-c", config])
      expect(second).toMatchObject({ code: 3, stdout: "" })
      expect(second.stderr).toContain(join(directory, "state", "journal.db"))
      if (existsSync("/proc/locks")) expect(second.stderr).toContain(`process ${first.pid} `)
      expect(second.stderr).not.toMatch(/^\s+at /m)
      expect((yield* Process.run(["logs", "-c", config])).code).toBe(0)
      writeFileSync(join(inbox, "a.pdf"), "x")
      yield* Process.until(() => existsSync(join(directory, "out", "a.pdf")), first.stderr)
    })
  )

  it.scopedLive("a killed process leaves a journal that the next one can use", () =>
    Effect.gen(function* () {
      const { config } = yield* project(...pdfs)
      const first = yield* foreground(config)
      yield* first.kill("SIGKILL")
      yield* first.ended
      expect((yield* Process.run(["-c", config, "--once"])).code).toBe(0)
    })
  )

  it.scopedLive("a port in use, a database that is none: a message and 1", () =>
    Effect.gen(function* () {
      const { config, directory } = yield* project(...pdfs)
      const taken = yield* Effect.acquireRelease(
        Effect.async<{ readonly port: number; readonly close: () => void }>((resume) => {
          const server = createServer()
          server.listen(0, "127.0.0.1", () => {
            const address = server.address()
            const port = typeof address === "object" && address !== null ? address.port : 0
            resume(Effect.succeed({ port, close: () => server.close() }))
          })
        }),
        ({ close }) => Effect.sync(close)
      )
      const port = yield* Process.run(["-c", config, "-P", String(taken.port)])
      expect(port).toMatchObject({ code: 1, stdout: "" })
      expect(port.stderr).toContain(String(taken.port))
      expect(port.stderr).not.toMatch(/^\s+at /m)

      const none = join(directory, "none.db")
      writeFileSync(none, "this is no database, and long enough to be one. ".repeat(100))
      const database = yield* Process.run(["-c", config, "--db", none])
      expect(database).toMatchObject({ code: 1, stdout: "" })
      expect(database.stderr).toContain(none)
      expect(database.stderr).not.toMatch(/^\s+at /m)
    })
  )

  it.scopedLive("--log-level is obeyed in any case", () =>
    Effect.gen(function* () {
      const { config } = yield* project(...pdfs)
      const quiet = yield* Process.run(["-c", config, "--once", "--log-level", "Error"])
      expect(quiet.stderr).not.toContain("INFO")
      const loud = yield* Process.run(["-c", config, "--once", "--log-level=debug"])
      expect(loud.stderr).toContain("DEBUG")
    })
  )

  it.scopedLive("messages are JSON where the config says so", () =>
    Effect.gen(function* () {
      const { config } = yield* project(...pdfs, "log: { format: json }")
      const running = yield* foreground(config)
      const [line = ""] = running.stderr().split("\n")
      expect(JSON.parse(line)).toMatchObject({ logLevel: "INFO" })
    })
  )
})
