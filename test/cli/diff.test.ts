import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import { list, project } from "../e2e/project.ts"
import * as Process from "./process.ts"
import { harmful } from "./harmful.ts"

vi.setConfig({ testTimeout: 120_000 })

const sources = "sources: [{ path: ./in, settle: 20ms, recursive: true }, { path: ./in/sub, settle: 20ms }]"

/** A project, and beside its config another one with these folders. */
const setUp = (...folders: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const all = yield* project(
      "db: ./journal.db",
      "log: { level: WARNING }",
      sources,
      "folders:",
      "  - { name: docs, path: ./docs, extensions: [pdf, txt] }",
      "  - { name: letters, path: ./letters, match: { content: dear } }"
    )
    const next = join(all.directory, "next.yml")
    fs.writeFileSync(next, ["db: ./journal.db", sources, "folders:", ...folders].join("\n"))
    return {
      ...all,
      next,
      diff: (...args: ReadonlyArray<string>) => Process.run(["diff", "--from", all.config, "--to", next, ...args])
    }
  })

const others = [
  "  - { name: docs, path: ./papers, extensions: [pdf] }",
  "  - { name: films, path: ./films, extensions: [mp4] }",
  "  - { name: letters, path: ./letters, match: { content: dear } }"
]

describe("diff", () => {
  it.scopedLive("tells of each file that is there what would become of it, and does nothing", () =>
    Effect.gen(function* () {
      const { diff, directory, inbox } = yield* setUp(...others)
      fs.mkdirSync(join(inbox, "sub"))
      for (const [name, text] of [
        ["a.pdf", "%PDF-"],
        ["b.txt", "x"],
        ["c.mp4", "x"],
        ["letter", "Dear Ada"],
        ["d.xyz", "x"],
        ["sub/once.txt", "x"],
        [".hidden.pdf", "x"]
      ] as const) {
        fs.writeFileSync(join(inbox, name), text)
      }
      const before = list(directory)
      const ended = yield* diff()
      expect(ended.code, ended.stderr).toBe(0)
      expect(ended.stdout.trimEnd().split("\n").toSorted()).toEqual([
        `dropped    ${inbox}/b.txt: ${directory}/docs/b.txt ->`,
        `dropped    ${inbox}/sub/once.txt: ${directory}/docs/sub/once.txt, ${directory}/docs/once.txt ->`,
        `elsewhere  ${inbox}/a.pdf: ${directory}/docs/a.pdf -> ${directory}/papers/a.pdf`,
        `new        ${inbox}/c.mp4: -> ${directory}/films/c.mp4`
      ])
      expect(ended.stderr).toContain(
        "6 files: 1 would go elsewhere, 2 would be dropped, 1 would be new, 2 unchanged. Nothing was done."
      )
      expect(list(directory)).toEqual(before)

      const json: unknown = JSON.parse((yield* diff("--json", "--exit-code", join(inbox, "sub"))).stdout)
      expect(json).toEqual({
        changes: [
          {
            kind: "dropped",
            file: `${inbox}/sub/once.txt`,
            from: [`${directory}/docs/sub/once.txt`, `${directory}/docs/once.txt`],
            to: []
          }
        ],
        summary: { files: 1, unchanged: 0, elsewhere: 0, dropped: 1, new: 0, undecided: 0 }
      })
    })
  )

  it.scopedLive("--exit-code, a directory outside, and wrong usage", () =>
    Effect.gen(function* () {
      const { config, diff, directory, next } = yield* setUp(...others)
      const outside = join(directory, "outside")
      fs.mkdirSync(outside)
      fs.writeFileSync(join(outside, "a.pdf"), "x")
      const ended = yield* diff("--exit-code", outside)
      expect(ended).toMatchObject({
        code: 1,
        stdout: `elsewhere  ${outside}/a.pdf: ${directory}/docs/a.pdf -> ${directory}/papers/a.pdf\n`
      })
      const same = yield* Process.run(["diff", "--from", config, "--to", config, "--exit-code", "--json", outside])
      expect(same.code, same.stderr).toBe(0)
      expect(JSON.parse(same.stdout)).toMatchObject({ changes: [], summary: { files: 1, unchanged: 1 } })
      const fault = yield* Process.run(["diff", "--from", config])
      expect(fault).toMatchObject({ code: 2, stdout: "" })
      expect(fault.stderr).toContain("Name both: diff --from OLD --to NEW")
      expect(yield* diff("--log", outside)).toMatchObject({ code: 2, stdout: "" })
      const noLog = yield* diff("--log")
      expect(noLog).toMatchObject({ code: 1, stdout: "" })
      expect(noLog.stderr).toContain("journal.db does not exist")
      expect(yield* diff(join(directory, "none"))).toMatchObject({ code: 1 })
      fs.writeFileSync(next, "folders: 3")
      expect(yield* diff()).toMatchObject({ code: 2, stdout: "" })
    })
  )

  it.scopedLive("--log replays what the journal remembers, also of files that are gone", () =>
    Effect.gen(function* () {
      const { diff, directory, inbox, next, once, put } = yield* setUp(...others)
      put("a.pdf", "x")
      put("c.mp4", "x")
      put("letter", "Dear Ada")
      put("kept letter", "Dear Bob")
      put("bad\n\u001b[2J\u202ename.txt", "x")
      fs.mkdirSync(join(inbox, "sub"))
      expect((yield* once).code).toBe(0)
      for (const name of ["a.pdf", "c.mp4", "letter"]) fs.rmSync(join(inbox, name))
      const ended = yield* diff("--log")
      expect(ended.code, ended.stderr).toBe(0)
      expect(ended.stdout).not.toMatch(harmful)
      expect(ended.stderr).not.toMatch(harmful)
      expect(ended.stdout.trimEnd().split("\n").toSorted()).toEqual([
        `dropped    ${inbox}/bad\\u{a}\\u{1b}[2J\\u{202e}name.txt: ${directory}/docs/bad\\u{a}\\u{1b}[2J\\u{202e}name.txt ->`,
        `elsewhere  ${inbox}/a.pdf: ${directory}/docs/a.pdf -> ${directory}/papers/a.pdf`,
        `new        ${inbox}/c.mp4: -> ${directory}/films/c.mp4`
      ])
      expect(ended.stderr).toContain("5 files: 1 would go elsewhere, 1 would be dropped, 1 would be new, 2 unchanged")

      // nobody has kept what was in those that are gone; the other is read again
      fs.writeFileSync(next, fs.readFileSync(next, "utf8").replace("path: ./letters", "path: ./mail"))
      const moved = yield* diff("--log")
      expect(moved.stdout).toContain(`${inbox}/kept letter: ${directory}/letters/kept letter -> ${directory}/mail/`)
      for (const name of ["a.pdf", "c.mp4", "letter"]) {
        expect(moved.stderr).toContain(`${inbox}/${name} can't be judged`)
      }
      expect(moved.stderr).toContain("3 can't be judged")
    })
  )
})
