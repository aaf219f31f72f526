import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { createServer, type Socket } from "node:net"
import { join } from "node:path"
import { vi } from "vitest"
import * as Cli from "../../src/cli/Cli.ts"
import * as DoctorReport from "../../src/cli/DoctorReport.ts"
import type { Result } from "../../src/cli/DoctorProbe.ts"
import { noSecrets } from "../../src/domain/Settings.ts"
import { targetOptions } from "../contracts/destination.ts"
import { startFtpServer } from "../servers/ftp.ts"
import { portOf } from "../servers/http.ts"
import * as Process from "./process.ts"

vi.setConfig({ testTimeout: 60_000 })

/** A command line in this process: its exit code, and what it has written. One at a time. */
const run = (...args: ReadonlyArray<string>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const written = { stdout: "", stderr: "" }
      const spies = (["stdout", "stderr"] as const).map((name) =>
        vi.spyOn(process[name], "write").mockImplementation((text) => {
          written[name] += String(text)
          return true
        })
      )
      return { written, spies }
    }),
    ({ written }) => Effect.map(Cli.main(args), (code) => ({ code, ...written })),
    ({ spies }) => Effect.sync(() => spies.forEach((spy) => spy.mockRestore()))
  ).pipe(Effect.provide(NodeContext.layer))

/** A directory with an inbox, and a config of these targets. */
const project = (...folders: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const directory = yield* Process.directory
    mkdirSync(join(directory, "in"))
    mkdirSync(join(directory, "out"))
    const config = join(directory, "config.yml")
    writeFileSync(config, ["source: ./in", "db: ./state/journal.db", "folders:", ...folders].join("\n"))
    return { directory, config, out: join(directory, "out") }
  })

/** A server that takes connections and says nothing. */
const silent = Effect.gen(function* () {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => undefined)
  })
  yield* Effect.acquireRelease(
    Effect.async<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.async<void>((resume) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resume(Effect.void))
      })
  )
  return { port: portOf(server.address()), connections: () => sockets.size }
})

describe("doctor", () => {
  it.scopedLive("looks at all targets of a config, each once, and touches nothing", () =>
    Effect.gen(function* () {
      const { config, directory, out } = yield* project(
        "  - { name: pdfs, path: ./out, extensions: [pdf] }",
        "  - { name: all, paths: [./out, ./later/on] }"
      )
      const ended = yield* run("doctor", "-c", config)
      expect(ended.code, ended.stderr).toBe(0)
      expect(ended.stderr).toBe("2 targets: nothing stands in the way.\n")
      const blocks = ended.stdout.split("\n\n")
      expect(blocks[0]).toMatch(new RegExp(`^${out} \\(pdfs, all\\)\n`))
      expect(blocks[0]).toMatch(/^ {2}yes {5}writable {6}A small file could be stored and removed again\.$/m)
      expect(blocks[0]).toMatch(/^ {2}Files can be delivered there\.$/m)
      expect(blocks[1]).toContain(`${directory}/later/on (all)`)
      expect(blocks[1]).toMatch(/will be made/)
      expect(ended.stdout).not.toContain("\u001b")
      expect(readdirSync(directory).sort()).toEqual(["config.yml", "in", "out"])
      expect(readdirSync(out)).toEqual([])
    })
  )

  it.scopedLive("one FTP server by its URL: all is tried, nothing is left, and no password is shown", () =>
    Effect.gen(function* () {
      const server = yield* startFtpServer({ user: "anna", password: "p@ss w/rd" })
      server.put("/in/other", Buffer.from("a stranger's"))
      process.env["DOCTOR_PASSWORD"] = "p@ss w/rd"
      const ended = yield* run("doctor", "--json", `ftp://anna:\${DOCTOR_PASSWORD}@127.0.0.1:${server.port}/in`).pipe(
        Effect.ensuring(Effect.sync(() => delete process.env["DOCTOR_PASSWORD"]))
      )
      expect(ended.code, ended.stdout).toBe(0)
      expect(ended.stdout + ended.stderr).not.toContain("w/rd")
      const [one]: ReadonlyArray<Pick<Result, "findings"> & { readonly ok: boolean }> = JSON.parse(ended.stdout)
      expect(one).toMatchObject({ ok: true, target: `ftp://anna@127.0.0.1:${server.port}/in`, folders: [] })
      const states = Object.fromEntries(one?.findings.map(({ state, what }) => [what, state]) ?? [])
      expect(states).toMatchObject({
        reachable: "yes",
        authenticated: "yes",
        folder: "yes",
        writable: "yes",
        rename: "yes",
        verification: "yes",
        case: "yes"
      })
      expect(Array.from(server.files.keys())).toEqual(["/in/other"])
    })
  )

  it.scopedLive("a refused login and a server that is not there: said, and 1", () =>
    Effect.gen(function* () {
      const server = yield* startFtpServer({ user: "anna", password: "right" })
      const { config } = yield* project(
        "  - path: ./out",
        `  - path: ftp://anna:wrong-one@127.0.0.1:${server.port}/in`,
        "  - path: ftp://127.0.0.1:1/in"
      )
      for (const command of [
        ["doctor", "-c", config],
        ["check", "-c", config, "--probe"]
      ]) {
        const ended = yield* run(...command)
        expect(ended.code).toBe(1)
        expect(ended.stdout).toMatch(/^ {2}no {6}authenticated {2}.*530/m)
        expect(ended.stdout).toMatch(/^ {2}no {6}reachable {2}.*ECONNREFUSED/m)
        expect(ended.stdout).toMatch(/^ {2}Files can be delivered there\.$/m)
        expect(ended.stdout + ended.stderr).not.toContain("wrong-one")
        expect(ended.stderr).toContain(
          `3 targets: nothing can be delivered to ftp://anna@127.0.0.1:${server.port}/in, ftp`
        )
      }
    })
  )

  it.scopedLive("check --probe: 0 where all can be delivered to; without it nobody is asked", () =>
    Effect.gen(function* () {
      const { config } = yield* project("  - path: ./out")
      const probed = yield* run("check", "-c", config, "--probe")
      expect(probed).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ok\n[^]*Files can be delivered there/) })
      const far = yield* project("  - path: ftp://127.0.0.1:1/in")
      const unasked = yield* run("check", "-c", far.config)
      expect(unasked).toMatchObject({ code: 0, stdout: expect.not.stringContaining("reachable") })
    })
  )

  it.scopedLive("a server that says nothing: given up after the target's time-out", () =>
    Effect.gen(function* () {
      const { port } = yield* silent
      const { out } = yield* project()
      const ended = yield* run("doctor", "--timeout", "1s", `ftp://127.0.0.1:${port}/in`, out)
      expect(ended.code).toBe(1)
      expect(ended.stdout).toContain("Files can be delivered there.")
      expect(ended.stdout).toMatch(/^ {2}no {6}reachable {2}/m)
    })
  )

  it.scopedLive("interrupted, it ends at once, and bin.ts ends with 1", () =>
    Effect.gen(function* () {
      const { connections, port } = yield* silent
      const fiber = yield* Effect.fork(run("doctor", `ftp://127.0.0.1:${port}/in`))
      yield* Process.until(
        () => connections() > 0,
        () => "it does not connect"
      )
      const started = Date.now()
      yield* Fiber.interrupt(fiber)
      expect(Date.now() - started).toBeLessThan(10_000)
      expect(process.exitCode).toBe(1)
    }).pipe(Effect.ensuring(Effect.sync(() => (process.exitCode = undefined))))
  )

  it.scopedLive("the program: a signal ends it with 1, never with 0", () =>
    Effect.gen(function* () {
      const { connections, port } = yield* silent
      const running = yield* Process.filedispatch(["doctor", `ftp://127.0.0.1:${port}/in`])
      yield* Process.until(() => connections() > 0 || running.stderr() !== "", running.stderr)
      yield* running.kill("SIGINT")
      expect(yield* running.ended).toMatchObject({ code: 1, signal: null, stdout: "" })
    })
  )

  const wrong: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
    [[], "Which target?"],
    [["-c", "x.yml", "ftp://h/"], "exclude each other"],
    [["-c", "x.yml", "--key", "x"], "Options of a target are for a URL"],
    [["gopher://h/"], "there is no destination for gopher:"],
    [["ftp://u:secret-one@h/?x"], "a ? ends a path"],
    [["ftp://u:${NO_SUCH_VARIABLE}@h/"], "NO_SUCH_VARIABLE is not set"],
    [["--secure", "maybe", "ftp://h/"], "--secure: not valid; expected one of none, explicit, implicit"],
    [["--known-hosts", "x", "ftp://h/"], "--known-hosts: knownHosts means nothing to ftp"],
    [["--timeout", "soon", "ftp://h/"], "--timeout: not valid"]
  ]
  for (const [args, expected] of wrong) {
    it.effect(`doctor ${args.join(" ")}: 2`, () =>
      Effect.gen(function* () {
        const ended = yield* run("doctor", ...args)
        expect(ended).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining(expected) })
        expect(ended.stderr).not.toContain("secret-one")
        expect(ended.stderr).toMatch(/Try: filedispatch doctor --help\n$/)
      })
    )
  }

  it("the report: marks on a terminal, colours where they are wanted, words otherwise", () => {
    const result: Result = {
      target: {
        url: "test://h",
        scheme: "test",
        lane: "test://h",
        host: "h",
        port: null,
        username: null,
        path: "/",
        options: targetOptions()
      },
      secrets: noSecrets,
      folders: [],
      sync: true,
      findings: [
        { what: "reachable", state: "yes", found: "it answers", therefore: "" },
        { what: "rename", state: "limit", found: "No.", therefore: "So what." },
        { what: "writable", state: "no", found: "Never.", therefore: "" },
        { what: "space", state: "unknown", found: "Who knows.", therefore: "" }
      ]
    }
    expect(DoctorReport.block(result, true, false)).toBe(
      [
        "test://h",
        "  ✓ reachable  It answers.",
        "  ! rename     No.",
        "               → So what.",
        "  ✗ writable   Never.",
        "  ? space      Who knows.",
        "  Nothing can be delivered there as it is.",
        ""
      ].join("\n")
    )
    expect(DoctorReport.block(result, true, true)).toContain("\u001b[31m✗\u001b[0m writable")
    expect(DoctorReport.block(result, false, false)).toContain(
      "  limit   rename     No.\n                     So what.\n"
    )
  })
})
