/** Pausing, with the built program, over a restart and with `--once`. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import { ask } from "../faults/attack.ts"
import * as Process from "../cli/process.ts"
import { freePort } from "../servers/process.ts"
import { list, project, type Project } from "./project.ts"

vi.setConfig({ testTimeout: 120_000 })

const lines = [
  "db: ./journal.db",
  "sources:",
  "  - { name: one, path: ./in, settle: 30s, pollInterval: 200ms }",
  "  - { name: two, path: ./in2, settle: 0s, pollInterval: 200ms }",
  "folders: [{ name: all, path: ./out }]"
]

const start = (place: Project) =>
  Effect.gen(function* () {
    const port = yield* freePort
    const running = yield* Process.filedispatch(["-c", place.config, "--no-monitor", "-P", String(port)])
    yield* Process.until(
      () => running.stderr().includes("Started;"),
      () => running.stderr()
    )
    const call = (method: string, path: string) =>
      Effect.map(ask(port, { method, path: `/api/v1/${path}` }), ({ body, status }) => {
        const json: unknown = JSON.parse(body)
        return { status, json }
      })
    return { running, call }
  })

const arrived = (running: Process.Running, file: string) =>
  Process.until(
    () => fs.existsSync(file),
    () => `${file} never came:\n${running.stderr()}`
  )

describe("a pause", () => {
  it.scopedLive("outlives the program; nothing is lost, and --once does not wait for it", () =>
    Effect.gen(function* () {
      const place = yield* project(...lines)
      const { directory } = place
      const [second, out] = [join(directory, "in2"), join(directory, "out")]
      fs.mkdirSync(second)
      const { call, running } = yield* start(place)
      place.put("quiet.txt", "is not quiet for long enough")
      const asked = Date.now()
      expect(yield* call("POST", "sources/pause?name=one")).toMatchObject({
        status: 200,
        json: { name: "one", paused: expect.any(String) }
      })
      // whatever the source waits for
      expect(Date.now() - asked).toBeLessThan(5_000)
      expect(yield* call("POST", "destinations/pause?lane=nothing")).toMatchObject({ status: 404 })
      place.put("a.txt", "a", second)
      yield* arrived(running, join(out, "a.txt"))
      const { json } = yield* call("GET", "now")
      const lane = /"lane":"(file:[^"]*)"/.exec(JSON.stringify(json))?.[1] ?? "none"
      expect(yield* call("POST", `destinations/pause?lane=${encodeURIComponent(lane)}`)).toMatchObject({
        status: 200,
        json: { lane, paused: expect.any(String), delivered: 1 }
      })
      place.put("b.txt", "b", second)
      yield* Process.until(
        () => running.stderr().includes("Lane") && fs.existsSync(join(second, "b.txt")),
        () => running.stderr()
      )
      yield* running.kill("SIGKILL")
      yield* running.ended

      const ended = yield* place.once
      expect(ended.code).toBe(1)
      expect(ended.stderr).toMatch(/The source \S+\/in is paused since \S+: nothing was taken from it\. Resume it/)
      expect(ended.stderr).toContain(`${lane} is paused since `)
      expect(ended.stderr).toContain("1 waiting")
      expect(list(out)).toEqual(["a.txt"])

      const again = yield* start(place)
      expect(again.running.stderr()).toContain(`Lane ${lane} is paused since `)
      expect(again.running.stderr()).toContain("Source one is paused since ")
      place.put("c.txt", "c", second)
      expect(yield* again.call("POST", `destinations/resume?lane=${encodeURIComponent(lane)}`)).toMatchObject({
        json: { paused: null }
      })
      for (const name of ["b.txt", "c.txt"]) yield* arrived(again.running, join(out, name))
      // by now it has been quiet for long, but that was not watched
      const text = fs.readFileSync(place.config, "utf8")
      fs.writeFileSync(place.config, text.replace("settle: 30s", "settle: 1s"))
      yield* Process.until(
        () => again.running.stderr().includes("source one has changed"),
        () => again.running.stderr()
      )
      expect(yield* again.call("GET", "sources")).toMatchObject({
        json: [
          { name: "one", paused: expect.any(String), accepted: 0 },
          { name: "two", paused: null }
        ]
      })
      expect(list(out)).toEqual(["a.txt", "b.txt", "c.txt"])
      yield* again.call("POST", "sources/resume?name=one")
      yield* arrived(again.running, join(out, "quiet.txt"))
      expect(again.running.stderr()).toContain("Source one is resumed")
      yield* again.running.kill("SIGTERM")
      expect((yield* again.running.ended).code).toBe(0)
    })
  )
})
