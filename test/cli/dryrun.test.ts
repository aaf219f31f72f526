import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import { list, project } from "../e2e/project.ts"
import { harmful } from "./harmful.ts"
import * as Process from "./process.ts"

vi.setConfig({ testTimeout: 120_000 })

it.scopedLive("--dry-run reads what the rules ask for, says what would be done, and does nothing", () =>
  Effect.gen(function* () {
    const { config, directory, inbox } = yield* project(
      "db: ./journal.db",
      "sources: [{ path: ./in, settle: 20ms, minAge: 1h, marker: '{name}.ok', after: delete }]",
      "folders:",
      "  - { name: letters, path: './letters/{counter}/', match: { content: { regex: '(?i)dear (?P<who>\\w+)' } }, rename: '{who}-{name}' }",
      "  - { path: ./zipped, extensions: [log], compress: gzip }"
    )
    const put = (name: string, text: string, { age = 2 * 3_600_000, marked = true } = {}) => {
      const time = new Date(Date.now() - age)
      fs.writeFileSync(join(inbox, name), text)
      fs.utimesSync(join(inbox, name), time, time)
      if (marked) fs.writeFileSync(join(inbox, `${name}.ok`), "")
    }
    put("a", "Dear Ada")
    put("b", "Dear Bob")
    put("c.log", "log")
    put("d", "no letter")
    put("new.log", "log", { age: 0 })
    put("alone.log", "log", { marked: false })
    put("bad\n\u001b[2J\u202e.log", "log")
    const before = list(directory)
    const ended = yield* Process.run(["-c", config, "--dry-run"])
    expect(ended.code, ended.stderr).toBe(0)
    const lines = ended.stdout.trimEnd().split("\n").toSorted()
    expect(lines.filter((line) => !/\/in\/[ab] ->/.test(line))).toEqual([
      `${inbox}/alone.log: waits for alone.log.ok`,
      `${inbox}/bad\\u{a}\\u{1b}[2J\\u{202e}.log -> ${directory}/zipped/bad\\u{a}\\u{1b}[2J\\u{202e}.log.gz`,
      `${inbox}/c.log -> ${directory}/zipped/c.log.gz`,
      `${inbox}/d: no folder matches`,
      `${inbox}/new.log: waits until it is 1h old`
    ])
    // numbers are given in the order in which files are found
    expect(lines.filter((line) => /\/in\/[ab] ->/.test(line)).join("\n")).toMatch(
      /letters\/1\/Ada-a\n.*letters\/2\/Bob-b$|letters\/2\/Ada-a\n.*letters\/1\/Bob-b$/
    )
    expect(ended.stdout).not.toMatch(harmful)
    expect(ended.stderr).toContain("7 files, 4 deliveries, 1 files match no folder. 2 would wait. Nothing was done.")
    expect(list(directory)).toEqual(before)
    expect(yield* Process.run(["-c", config, "--dry-run"])).toMatchObject({ stdout: ended.stdout })
  })
)
