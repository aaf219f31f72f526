/**
 * Whatever a file is called, no output can be made to end a line early, move the cursor, or turn the reading direction.
 */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import * as RelPath from "../../src/domain/RelPath.ts"
import { list, project } from "../e2e/project.ts"
import { freePort } from "../servers/process.ts"
import { harmful } from "./harmful.ts"
import * as Process from "./process.ts"

vi.setConfig({ testTimeout: 120_000 })

const names = [
  "line\nbreak\r.txt",
  "\u001b[2J\u001b]0;title\u0007.txt",
  "\u202egnp.exe\u2066\u2069\u200f\u061c.txt",
  "\u0085\u009b31m\u2028.txt",
  "back\\slash\\u{a}.txt"
].map((name) => Buffer.from(name))
const bytes = Buffer.from("not \xff utf-8 \x80.txt", "latin1")

it.scopedLive("the command line, the log and the API show names that do no harm, and all of them arrive", () =>
  Effect.gen(function* () {
    const port = yield* freePort
    const { config, directory, inbox } = yield* project(
      "db: ./journal.db",
      `http: { port: ${port} }`,
      "monitor: false",
      "sources: [{ path: ./in, settle: 20ms }]",
      "folders:",
      "  - { name: out, path: './out/{stem}-{name}' }",
      "  - { name: refused, path: ./refused, conflict: fail }"
    )
    const refused = Buffer.from(join(directory, "refused/"))
    fs.mkdirSync(refused)
    for (const name of [...names, bytes]) {
      fs.writeFileSync(Buffer.concat([Buffer.from(`${inbox}/`), name]), "x")
      fs.writeFileSync(Buffer.concat([refused, name]), "taken")
    }
    const outputs: Array<string> = []
    const run = (...args: ReadonlyArray<string>) =>
      Effect.map(Process.run(args), (ended) => {
        outputs.push(ended.stdout, ended.stderr)
        return ended
      })
    yield* run("-c", config, "--dry-run")
    const once = yield* run("-c", config, "--once", "--no-webapp", "--log-level", "debug")
    expect(once.code, once.stderr).toBe(1)
    expect(list(join(directory, "out")).length).toBe(names.length + 1)
    for (const args of [[], ["--json"]]) {
      const logs = yield* run("logs", "-c", config, ...args)
      expect(logs.stdout.split("FAILED").length - 1).toBe(names.length + 1)
    }
    yield* run("explain", "-c", config, ...names.map((name) => join(inbox, name.toString())))

    const running = yield* Process.filedispatch(["-c", config])
    yield* Process.until(
      () => running.stderr().includes("is watched"),
      () => running.stderr()
    )
    for (const path of ["logs", "deliveries", "destinations", "sources"]) {
      const text = yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${port}/api/v1/${path}`).then((response) => response.text())
      )
      expect(text.startsWith("[")).toBe(true)
      outputs.push(text)
    }
    yield* running.kill("SIGTERM")
    yield* running.ended
    outputs.push(running.stdout(), running.stderr())
    // a tab stands between the columns of a table, and in no name
    for (const output of outputs) expect(output.replaceAll("\t", "")).not.toMatch(harmful)
    const all = outputs.join("\n")
    for (const name of [...names, bytes]) expect(all).toContain(RelPath.display(RelPath.fromBytes(name)))
  })
)
