import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import * as PidFile from "../../src/cli/PidFile.ts"
import * as Process from "./process.ts"

// each starts several processes, on machines that may be busy
vi.setConfig({ testTimeout: 120_000 })

/** A project, and whatever daemon it leaves behind is killed by the pid that it printed. */
const project = Effect.gen(function* () {
  const directory = yield* Process.directory
  mkdirSync(join(directory, "in"))
  const config = join(directory, "config.yml")
  writeFileSync(
    config,
    [
      "sources: [{ path: ./in, settle: 50ms }]",
      "folders: [{ path: ./out }]",
      "db: ./state/journal.db",
      "http: { port: 0 }",
      "monitor: { port: 0 }"
    ].join("\n")
  )
  const pids: Array<number> = []
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const pid of pids.filter(Process.alive)) process.kill(pid, "SIGKILL")
    })
  )
  const start = (...args: ReadonlyArray<string>) =>
    Process.run(["-c", "config.yml", "-d", ...args], { cwd: directory }).pipe(
      Effect.tap(({ stdout }) => {
        if (/^\d+\n$/.test(stdout)) pids.push(Number(stdout))
      })
    )
  return { directory, config, start, pidfile: join(directory, "run.pid"), log: join(directory, "run.log") }
})

describe("the daemon", () => {
  it.scopedLive("starts, says its pid, works, keeps its pid file and log, and is stopped without a config", () =>
    Effect.gen(function* () {
      const { directory, log, pidfile, start } = yield* project
      const started = yield* start("-p", "run.pid", "--log-file", "run.log", "--log-level", "DEBUG")
      expect(started.code, started.stderr).toBe(0)
      const pid = Number(started.stdout)
      expect(Process.alive(pid)).toBe(true)
      // it runs before its parent ends, so all this is there
      expect(readFileSync(pidfile, "utf8").split("\n")[0]).toBe(String(pid))
      expect(yield* PidFile.inspect(pidfile)).toEqual({ _tag: "Running", pid })

      writeFileSync(join(directory, "in", "a.txt"), "a")
      yield* Process.until(
        () => existsSync(join(directory, "out", "a.txt")),
        () => readFileSync(log, "utf8")
      )

      const again = yield* start("-p", "run.pid")
      expect(again).toMatchObject({ code: 1, stdout: "" })
      expect(again.stderr).toContain(`runs already, as process ${pid}`)
      const other = yield* start("-p", "other.pid")
      expect(other).toMatchObject({ code: 3, stdout: "" })
      expect(other.stderr).toContain("journal.db")
      expect(existsSync(join(directory, "other.pid"))).toBe(false)

      const stopped = yield* Process.run(["-x", "-p", pidfile])
      expect(stopped.code, stopped.stderr).toBe(0)
      expect(Process.alive(pid) && PidFile.startOf(pid) !== undefined).toBe(false)
      expect(existsSync(pidfile)).toBe(false)
      expect(readFileSync(log, "utf8")).toContain("is watched")
      expect(readFileSync(log, "utf8")).toContain("Stopping")

      expect(yield* Process.run(["-x", "-p", pidfile])).toMatchObject({ code: 1, stdout: "" })
    })
  )

  it.scopedLive("says why it does not start, with the exit code of the reason", () =>
    Effect.gen(function* () {
      const { config, directory, start } = yield* project
      const unwritable = yield* start("-p", join("config.yml", "run.pid"))
      expect(unwritable).toMatchObject({ code: 1, stdout: "" })
      expect(unwritable.stderr).toContain("pid file")
      expect(existsSync(join(directory, "state"))).toBe(false)

      // the config is no pid file, and is not overwritten by one
      const before = readFileSync(config, "utf8")
      expect(yield* start("-p", "config.yml")).toMatchObject({ code: 2, stdout: "" })
      expect(readFileSync(config, "utf8")).toBe(before)

      writeFileSync(join(directory, "none.db"), "this is no database, and long enough to be one. ".repeat(100))
      const broken = yield* start("--db", "none.db", "-p", "run.pid", "--log-file", "run.log")
      expect(broken).toMatchObject({ code: 1, stdout: "" })
      expect(broken.stderr).toContain("none.db")
      expect(existsSync(join(directory, "run.pid"))).toBe(false)

      writeFileSync(config, "nonsense: true")
      expect(yield* start()).toMatchObject({ code: 2, stdout: "" })
    })
  )

  it.scopedLive("replaces a stale pid file and one with a stranger's pid, and says so", () =>
    Effect.gen(function* () {
      const { pidfile, start } = yield* project
      // this process is alive, but did not start when the file says
      writeFileSync(pidfile, `${process.pid}\nlong ago\n`)
      const started = yield* start("-p", "run.pid")
      expect(started.code, started.stderr).toBe(0)
      expect(started.stderr).toContain(`process ${process.pid}, which is not the one that wrote it`)
      // killed, it leaves its pid file behind
      const first = Number(started.stdout)
      process.kill(first, "SIGKILL")
      yield* Process.until(
        () => PidFile.startOf(first) === undefined,
        () => "still there"
      )
      const again = yield* start("-p", "run.pid")
      expect(again.code, again.stderr).toBe(0)
      expect(again.stderr).toContain(`left by process ${first}, which is gone`)
      expect((yield* Process.run(["-x", "-p", pidfile])).code).toBe(0)
    })
  )

  it.scopedLive("-x kills no stranger, and tidies up after the dead", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const pidfile = join(directory, "run.pid")
      const stranger = yield* Process.node(["-e", "setInterval(() => {}, 1000)"])
      for (const second of ["long ago", ""]) {
        writeFileSync(pidfile, `${stranger.pid}\n${second}\n`)
        const refused = yield* Process.run(["-x", "-p", pidfile])
        expect(refused).toMatchObject({ code: 1, stdout: "" })
        expect(refused.stderr).toContain(`process ${stranger.pid} is not the one`)
        expect(Process.alive(stranger.pid)).toBe(true)
      }
      yield* stranger.kill("SIGKILL")
      yield* stranger.ended
      const stale = yield* Process.run(["-x", "-p", pidfile])
      expect(stale).toMatchObject({ code: 1, stdout: "" })
      expect(stale.stderr).toContain("is gone")
      expect(existsSync(pidfile)).toBe(false)
    })
  )

  it.scopedLive("in the foreground, -p keeps a pid file just the same", () =>
    Effect.gen(function* () {
      const { directory, pidfile } = yield* project
      const running = yield* Process.filedispatch(["-c", "config.yml", "-p", pidfile], { cwd: directory })
      yield* Process.until(() => existsSync(pidfile), running.stderr)
      expect(readFileSync(pidfile, "utf8").split("\n")[0]).toBe(String(running.pid))
      yield* running.kill("SIGINT")
      expect(yield* running.ended).toMatchObject({ code: 0 })
      expect(existsSync(pidfile)).toBe(false)
    })
  )

  it.scopedLive("retry goes through the daemon that has the journal, or says why it can't", () =>
    Effect.gen(function* () {
      const { config, directory, start } = yield* project
      mkdirSync(join(directory, "out"))
      writeFileSync(join(directory, "out", "a.txt"), "somebody else's")
      writeFileSync(join(directory, "in", "a.txt"), "ours")
      writeFileSync(config, readFileSync(config, "utf8").replace("path: ./out", "path: ./out, conflict: fail"))
      const port = String(20_000 + (process.pid % 20_000))
      const started = yield* start("-P", port, "-p", "run.pid")
      expect(started.code, started.stderr).toBe(0)
      const failed = Effect.map(Process.run(["logs", "-c", config, "--status", "FAILED"]), ({ stdout }) =>
        stdout.split("\n").filter((line) => line !== "")
      )
      yield* Effect.repeat(failed, { until: (lines) => lines.length === 1 })

      const unreachable = yield* Process.run(["retry", "-c", config, "1", "-P", "1"])
      expect(unreachable).toMatchObject({ code: 1, stdout: "" })
      expect(unreachable.stderr).toContain("http://127.0.0.1:1 ")

      expect(yield* Process.run(["retry", "-c", config, "1", "-P", port])).toMatchObject({ code: 0, stdout: "1\n" })
      yield* Effect.repeat(failed, { until: (lines) => lines.length === 2 })
      expect((yield* Process.run(["retry", "-c", config, "77", "-P", port])).code).toBe(1)
      expect((yield* Process.run(["retry", "-c", config, "--all", "-P", port])).stderr).toContain("1 brought back")
      expect((yield* Process.run(["-x", "-p", join(directory, "run.pid")])).code).toBe(0)
    })
  )
})
