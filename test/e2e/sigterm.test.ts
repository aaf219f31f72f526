/** The built program is told to stop while it works: what is under way comes to its end, and the rest waits. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { join } from "node:path"
import { vi } from "vitest"
import * as Process from "../cli/process.ts"
import { startHttpServer } from "../servers/http.ts"
import { list, project } from "./project.ts"

vi.setConfig({ testTimeout: 240_000 })

it.scopedLive("SIGTERM in the middle loses nothing and doubles nothing", () =>
  Effect.gen(function* () {
    const http = yield* startHttpServer()
    const { directory, inbox, log, once, put, start } = yield* project(
      "sources: [{ path: ./in, settle: 0s, after: delete }]",
      "folders:",
      "  - { path: ./out }",
      `  - { path: "${http.url}/up", upload: raw, concurrency: 2 }`,
      "db: ./journal.db",
      "log: { level: WARNING }"
    )
    const names = Array.from({ length: 400 }, (_, index) => `f${index}`).sort()
    for (const name of names) put(name, name.repeat(1000))
    for (const some of [1, 100]) {
      const running = yield* start("--log-level", "INFO")
      const before = http.files.size
      yield* Process.until(
        () => http.files.size >= Math.min(before + some, 400),
        () => `${http.files.size}: ${running.stderr()}`
      )
      yield* running.kill("SIGTERM")
      const ended = yield* running.ended
      expect(ended.code, ended.stderr).toBe(0)
      // what was under way came to its end: what was sent is in the log
      expect(log().filter((entry) => entry.includes("http")).length).toBe(http.received.length)
    }
    expect(http.files.size).toBeLessThan(400)
    const ended = yield* once
    expect(ended.code, ended.stderr).toBe(0)
    expect(http.received.length).toBe(400)
    expect(list(join(directory, "out"))).toEqual(names)
    expect(list(inbox)).toEqual([])
    expect(new Set(log()).size).toBe(800)
  })
)
