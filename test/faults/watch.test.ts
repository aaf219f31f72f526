/**
 * Events that really stop: a mount over a watched directory hides the one that is watched, and the system tells of
 * nothing that happens in the new one, as on a network share that other machines write to.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import fs from "node:fs"
import { join } from "node:path"
import * as Process from "../cli/process.ts"
import { list, project } from "../e2e/project.ts"
import { noDisks } from "../servers/disk.ts"
import { freePort } from "../servers/process.ts"
import { tried } from "./report.ts"

const mounted = (directory: string, ...args: ReadonlyArray<string>) => {
  const unmount = Effect.sync(() => {
    try {
      execFileSync("umount", ["--lazy", directory], { stdio: "ignore" })
    } catch {
      // it is not mounted any more
    }
  })
  return Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => void execFileSync("mount", [...args, directory])),
      () => unmount
    ),
    () => ({ unmount })
  )
}

const tmpfs = ["-t", "tmpfs", "-o", "size=16m", "filedispatch-test"]

/** The program over `in`, which holds `sub`, and how it says that its source is. */
const watching = (source: string) =>
  Effect.gen(function* () {
    const port = yield* freePort
    const made = yield* project(
      "sources:",
      `  - { path: ./in, recursive: true, settle: 0s, pollInterval: 500ms, rescan: 4s, after: delete${source} }`,
      "folders:",
      "  - { path: ./out }",
      `http: { port: ${port} }`,
      "db: ./journal.db",
      "log: { level: INFO }"
    )
    fs.mkdirSync(join(made.inbox, "sub"))
    const running = yield* Process.filedispatch(["-c", made.config, "--no-monitor"])
    let last: Record<string, unknown> = {}
    let asking = false
    const source0 = (): Record<string, unknown> => {
      if (!asking) {
        asking = true
        fetch(`http://127.0.0.1:${port}/api/v1/sources`)
          .then((answer) => answer.json())
          .then(
            (answer: unknown) => {
              if (Array.isArray(answer)) last = { ...answer[0] }
            },
            () => undefined
          )
          .finally(() => {
            asking = false
          })
      }
      return last
    }
    const is = (what: string, test: (source: Record<string, unknown>) => boolean) =>
      Process.until(
        () => test(source0()),
        () => `${what}: ${JSON.stringify(last)} ${running.stderr()}`,
        120
      )
    yield* is("it is watched", ({ health, last_scan: scan }) => health === "events" && scan !== null)
    const out = join(made.directory, "out")
    const arrives = (name: string) =>
      Process.until(
        () => fs.existsSync(join(out, name)),
        () => `${name} does not arrive: ${running.stderr()}`
      )
    return { ...made, running, is, out, arrives }
  })

describe.skipIf(noDisks !== undefined)(`events that stop${noDisks === undefined ? "" : `: ${noDisks}`}`, () => {
  it.scopedLive("a directory in which they stop is polled, and then watched again", () =>
    Effect.gen(function* () {
      const { arrives, inbox, is, out, put, running } = yield* watching("")
      const sub = join(inbox, "sub")
      put("first", "x", sub)
      yield* arrives("sub/first")
      yield* is("events name files", ({ proved }) => proved === "events")

      const { unmount } = yield* mounted(sub, ...tmpfs)
      // the scan that tells it of the mount is one that it has to wait for
      const hidden = Date.now()
      fs.writeFileSync(join(sub, "silent"), "x")
      yield* is("it is polled", ({ health, proved }) => health === "polling" && proved === null)
      const noticed = (Date.now() - hidden) / 1000
      yield* arrives("sub/silent")
      expect(running.stderr()).toMatch(/is polled, until events prove to come: sub\/silent was found/)
      // the change that it made to find out was seen by nobody, either
      expect(running.stderr()).toContain("was not told of, either: the watcher is restarted")

      // the new watcher watches what is mounted there
      const proving = Date.now()
      for (let index = 0; index < 5; index++) {
        put(`between ${index}`, "x")
        fs.writeFileSync(join(sub, `told ${index}`), "x")
        yield* arrives(`sub/told ${index}`)
      }
      yield* is("it is watched again", ({ health }) => health === "events")
      const proved = (Date.now() - proving) / 1000
      expect(running.stderr()).toContain("is watched by events again")

      // and the other way: what is mounted goes, and the directory below it is there again
      yield* unmount
      fs.writeFileSync(join(sub, "silent again"), "x")
      yield* arrives("sub/silent again")
      yield* is("it is polled again", ({ health, missed }) => health === "polling" && missed === 2)

      yield* running.kill("SIGTERM")
      const ended = yield* running.ended
      expect(ended.code, ended.stderr).toBe(0)
      expect(list(out).length).toBe(13)
      expect(list(inbox)).toEqual([])
      tried({
        section: "watch",
        what: "a file system mounted over a watched directory, so that no event comes of what arrives there; and unmounted",
        happened:
          `said so and polled ${noticed.toFixed(0)} s after the first silent file, with a rescan every 4 s; watched by ` +
          `events again ${proved.toFixed(0)} s after they named files there; noticed again after the unmount`,
        counts: { files: 13, lost: 0 }
      })
    })
  )

  it.scopedLive("files that others put below an overlay come without events: polled for as long as that is so", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const [lower, upper, work] = ["lower", "upper", "work"].map((name) => {
        fs.mkdirSync(join(directory, name))
        return join(directory, name)
      })
      const port = yield* freePort
      const {
        directory: home,
        config,
        inbox
      } = yield* project(
        "sources:",
        "  - { path: ./in, settle: 0s, pollInterval: 500ms, rescan: 4s }",
        "folders:",
        "  - { path: ./out }",
        `http: { port: ${port} }`,
        "db: ./journal.db",
        "log: { level: INFO }"
      )
      yield* mounted(inbox, "-t", "overlay", "-o", `lowerdir=${lower},upperdir=${upper},workdir=${work}`, "none")
      const running = yield* Process.filedispatch(["-c", config, "--no-monitor"])
      const said = (text: string) =>
        Process.until(
          () => running.stderr().includes(text),
          () => `it does not say "${text}": ${running.stderr()}`,
          120
        )
      yield* said("is watched")
      const out = join(home, "out")
      const late: Array<number> = []
      const putBelow = (name: string) =>
        Effect.gen(function* () {
          const at = Date.now()
          fs.writeFileSync(join(lower ?? "", name), "x")
          yield* Process.until(
            () => fs.existsSync(join(out, name)),
            () => `${name} does not arrive: ${running.stderr()}`
          )
          late.push((Date.now() - at) / 1000)
        })
      yield* putBelow("silent 0")
      yield* said("is polled, until events prove to come")
      // what it changes itself is told of, so it is the file system that is silent
      expect(running.stderr()).toContain("the system is silent about some")
      for (const name of ["silent 1", "silent 2", "silent 3"]) yield* putBelow(name)
      expect(running.stderr()).not.toContain("again: they have named")
      expect(list(out).length).toBe(4)
      const [first = 0, ...others] = late
      tried({
        section: "watch",
        what: "a file system that tells nothing of what others change: the lower layer of an overlay, as a network share",
        happened:
          `the first file came with the rescan, every 4 s here, after ${first.toFixed(1)} s; from then on polled every ` +
          `0.5 s: the others came after ${Math.max(...others).toFixed(1)} s at most`,
        counts: { files: 4, lost: 0 }
      })
    })
  )
})
