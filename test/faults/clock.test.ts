/**
 * Clocks that leap by years, in both directions, while the program runs; and files from the past and the future.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import * as Process from "../cli/process.ts"
import { startHttpServer } from "../servers/http.ts"
import * as Machine from "./machine.ts"
import { list, project, type Project } from "./machine.ts"
import { tried } from "./report.ts"

vi.setConfig({ maxConcurrency: 3 })

const none = { lost: 0, partial: 0, duplicates: 0, temps: 0 }

const library = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"]
  .map((directory) => `${directory}/faketime/libfaketimeMT.so.1`)
  .find((file) => fs.existsSync(file))

/** A program whose clock can be set: by so many years from the real time. */
const withClock = (
  at: Project
): Effect.Effect<{ readonly running: Process.Running; readonly leap: (years: number) => void }, never, Scope.Scope> =>
  Effect.gen(function* () {
    const file = join(at.directory, "clock")
    const leap = (years: number) => {
      fs.writeFileSync(`${file}.new`, `${years < 0 ? "-" : "+"}${Math.abs(years)}y\n`)
      fs.renameSync(`${file}.new`, file)
    }
    leap(0)
    const running = yield* Machine.watching(at, {
      env: {
        LD_PRELOAD: library,
        FAKETIME_TIMESTAMP_FILE: file,
        FAKETIME_NO_CACHE: "1",
        FAKETIME_DONT_FAKE_MONOTONIC: "1",
        // files have their real times
        NO_FAKE_STAT: "1"
      }
    })
    return { running, leap }
  })

const title = library === undefined ? "clocks that leap (libfaketime is not installed)" : "clocks that leap"

describe.skipIf(library === undefined).concurrent(title, () => {
  it.scopedLive("ten years on: archived files that are kept for a while, and the log, are not removed for it", () =>
    Effect.gen(function* () {
      const at = yield* project(
        'sources: [{ path: ./in, settle: 20ms, after: { archive: "./done/{name}", keepFor: 30d } }]',
        "folders: [{ path: ./out }]",
        "db: ./journal.db"
      )
      const contents = new Map<string, Uint8Array>()
      const { leap, running } = yield* withClock(at)
      Machine.putAll(at.inbox, contents, "f", 10)
      yield* Process.until(
        () => list(join(at.directory, "done")).length === 10,
        () => running.stderr()
      )
      leap(10)
      // it looks for what is to be removed some seconds after the start, and at the log after a minute
      yield* Machine.says(
        running,
        /WARN .*clock has gone ahead by 36\d\d days: (archived files|log entries) are not removed for a day/
      )
      yield* Machine.calm(running, 1)
      yield* Machine.stop(running)
      Machine.holds(join(at.directory, "done"), contents)
      Machine.holds(join(at.directory, "out"), contents)
      Machine.loggedOnce(at, contents)
      tried({
        section: "fault",
        what: "the clock leaps by ten years, with archived files that are kept for 30 days",
        happened: `said; all ${contents.size} are still there`,
        counts: { files: contents.size, ...none }
      })
    })
  )

  for (const [what, years] of [
    ["ten years on", [10]],
    ["ten years back", [-10]],
    ["there and back again", [15, -5, 0]]
  ] as const) {
    it.scopedLive(`${what}: retries, probes, settling and scans go on in real time`, () =>
      Effect.gen(function* () {
        const http = yield* startHttpServer()
        const at = yield* project(
          "sources:",
          "  - { path: ./in, settle: 200ms, pollInterval: 300ms, rescan: 1s }",
          "  - { path: ./polled, settle: 200ms, watch: poll, pollInterval: 300ms, minAge: 1s, after: delete }",
          "folders:",
          "  - { path: ./out }",
          `  - { path: "${http.url}/up", upload: raw, retry: { attempts: 50, base: 2s, factor: 1, cap: 2s }, timeout: 5s }`,
          "db: ./journal.db"
        )
        const { directory, inbox } = at
        const polled = join(directory, "polled")
        fs.mkdirSync(polled)
        const { leap, running } = yield* withClock(at)
        const contents = new Map<string, Uint8Array>()
        Machine.putAll(inbox, contents, "before", 5)
        yield* Machine.delivered(running, at, contents.size * 2)
        for (const [round, by] of years.entries()) {
          http.faultAlways({ kind: "answer", status: 503 })
          Machine.putAll(inbox, contents, `fails${round}-`, 5)
          yield* Machine.says(running, new RegExp(`RETRY_WAIT: fails${round}-0 `))
          leap(by)
          Machine.putAll(inbox, contents, `after${round}-`, 5)
          Machine.putAll(polled, contents, `polled${round}-`, 5)
          yield* Effect.sleep("1500 millis")
          http.faultAlways(null)
          yield* Machine.delivered(running, at, contents.size * 2)
          yield* Process.until(
            () => list(polled).length === 0,
            () => running.stderr()
          )
        }
        yield* Machine.calm(running, 1)
        yield* Machine.stop(running)
        Machine.holds(join(directory, "out"), contents)
        expect(Array.from(http.files.keys()).sort()).toEqual(
          Array.from(contents.keys(), (name) => `/up/${name}`).sort()
        )
        Machine.loggedOnce(at, contents, 2)
        expect(running.stderr()).not.toContain("No progress for")
        tried({
          section: "fault",
          what: `the clock leaps while it runs: ${what}`,
          happened: `waits, settling and scans go by a clock that does not leap; ${contents.size} files, each there once at both targets`,
          counts: { files: contents.size, ...none }
        })
      })
    )
  }
})

it.scopedLive("files of 1901, 1970, 2038, 2106 and 2200", () =>
  Effect.gen(function* () {
    const at = yield* project(
      "sources: [{ path: ./in, settle: 20ms, minAge: 100ms, after: { archive: './done/{mtime:yyyy}/{name}', keepFor: 30d } }]",
      "folders: [{ path: './out/{mtime:yyyy}' }]",
      "db: ./journal.db"
    )
    const contents = new Map<string, Uint8Array>()
    const years = [1902, 1970, 2038, 2106, 2200]
    for (const year of years) {
      const name = `f${year}`
      fs.writeFileSync(join(at.directory, name), name)
      const time = Date.UTC(year, 5, 15) / 1000
      fs.utimesSync(join(at.directory, name), time, time)
      fs.renameSync(join(at.directory, name), join(at.inbox, name))
      // a file system may not be able to express it
      const real = new Date(fs.statSync(join(at.inbox, name)).mtimeMs).getUTCFullYear()
      contents.set(`${real}/${name}`, Buffer.from(name))
    }
    const ended = yield* at.once
    expect(ended.code, ended.stderr).toBe(0)
    const running = yield* Machine.watching(at)
    yield* Machine.delivered(running, at, contents.size)
    yield* Process.until(
      () => list(at.inbox).length === 0,
      () => running.stderr()
    )
    yield* Machine.stop(running)
    Machine.holds(join(at.directory, "out"), contents)
    Machine.holds(join(at.directory, "done"), contents)
    Machine.loggedOnce(at, contents)
    tried({
      section: "fault",
      what: `files whose time is in ${years.join(", ")}`,
      happened: `${contents.size} files, each there once, with its time`,
      counts: { files: contents.size, ...none }
    })
  })
)
