import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import { freePort } from "../servers/process.ts"
import { list, project } from "../e2e/project.ts"
import * as Process from "./process.ts"

vi.setConfig({ testTimeout: 120_000 })

describe("retry --reroute", () => {
  /** A dead delivery of a.txt, and then a config that sends it elsewhere. */
  const setUp = Effect.gen(function* () {
    const port = yield* freePort
    const all = yield* project(
      "db: ./journal.db",
      "log: { level: WARNING }",
      `http: { port: ${port} }`,
      "monitor: false",
      "sources: [{ path: ./in, settle: 20ms, after: delete }]",
      "folders: [{ name: out, path: ./out, conflict: fail }]"
    )
    fs.mkdirSync(join(all.directory, "out"))
    fs.writeFileSync(join(all.directory, "out", "a.txt"), "somebody else's")
    all.put("a.txt", "ours")
    expect((yield* all.once).code).toBe(1)
    const text = fs.readFileSync(all.config, "utf8")
    fs.writeFileSync(all.config, text.replace("path: ./out", "path: './new/{stem}/'"))
    return all
  })

  it.scopedLive("in the journal, for the next start", () =>
    Effect.gen(function* () {
      const { config, directory, log, once } = yield* setUp
      const missing = yield* Process.run(["retry", "-c", config, "--reroute", "99"])
      expect(missing).toMatchObject({ code: 1, stdout: "" })
      expect(missing.stderr).toContain("99 is left as it is: there is no such delivery.")
      const retried = yield* Process.run(["retry", "-c", config, "--reroute", "1"])
      expect(retried).toMatchObject({ code: 0, stdout: "2\n" })
      expect(retried.stderr).toContain("1 sent where the config says now, for the next start.")
      const again = yield* once
      expect(again.code, again.stderr).toBe(0)
      expect(fs.readFileSync(join(directory, "new", "a", "a.txt"), "utf8")).toBe("ours")
      expect(fs.readFileSync(join(directory, "out", "a.txt"), "utf8")).toBe("somebody else's")
      expect(list(join(directory, "in"))).toEqual([])
      expect(log()).toEqual([`FAILED a.txt ${directory}/out`, `SUCCEEDED a.txt ${directory}/new`])
    })
  )

  it.scopedLive("in the running daemon", () =>
    Effect.gen(function* () {
      const { config, directory } = yield* setUp
      const running = yield* Process.filedispatch(["-c", config, "--log-level", "info"])
      yield* Process.until(
        () => running.stderr().includes("is watched"),
        () => running.stderr()
      )
      const retried = yield* Process.run(["retry", "-c", config, "--reroute", "1", "99"])
      expect(retried).toMatchObject({ code: 1, stdout: "2\n" })
      expect(retried.stderr).toContain("99 is left as it is: there is no delivery 99.")
      yield* Process.until(
        () => fs.existsSync(join(directory, "new", "a", "a.txt")),
        () => running.stderr()
      )
      expect(yield* Process.run(["retry", "-c", config, "--all", "--reroute"])).toMatchObject({ code: 0, stdout: "" })
    })
  )
})
