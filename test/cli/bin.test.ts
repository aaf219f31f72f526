import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import * as Process from "./process.ts"

// each starts several processes, on machines that may be busy
vi.setConfig({ testTimeout: 120_000 })

const version: unknown = JSON.parse(readFileSync(join(Process.root, "package.json"), "utf8")).version

/** A directory with an inbox and a config that sends PDFs to `out`. */
const project = Effect.gen(function* () {
  const directory = yield* Process.directory
  mkdirSync(join(directory, "in"))
  const config = join(directory, "config.yml")
  writeFileSync(
    config,
    [
      "source: ./in",
      "folders:",
      "  - { path: ./out, extensions: [pdf] }",
      "  - { path: ./both, extensions: [pdf, txt] }",
      "db: ./state/journal.db"
    ].join("\n")
  )
  return { directory, config, inbox: join(directory, "in") }
})

describe("the program", () => {
  it.live("says its version", () =>
    Effect.gen(function* () {
      for (const flag of ["-v", "--version"]) {
        expect(yield* Process.run([flag])).toMatchObject({ code: 0, stdout: `${String(version)}\n`, stderr: "" })
      }
    })
  )

  it.live("helps, without colours where it is piped", () =>
    Effect.gen(function* () {
      for (const args of [["-h"], ["--help"], ["check", "--help"], ["logs", "-h"]]) {
        const ended = yield* Process.run(args)
        expect(ended).toMatchObject({ code: 0, stderr: "" })
        expect(ended.stdout).toContain("Usage:")
        expect(ended.stdout).not.toContain("\u001b")
      }
    })
  )

  it.scopedLive("says all of it into a pipe, however much it is", () =>
    Effect.gen(function* () {
      const { config, directory } = yield* project
      const folders = Array.from(
        { length: 1500 },
        (_, index) => `  - { path: ./out/${index}, name: "${"n".repeat(400)}${index}" }`
      )
      writeFileSync(config, ["source: ./in", "folders:", ...folders, "db: ./state/journal.db"].join("\n"))
      const ended = yield* Process.run(["check", "-c", config])
      expect(ended.code).toBe(0)
      expect(ended.stdout.match(/^folder /gm)).toHaveLength(1500)
      expect(ended.stdout).toMatch(new RegExp(`^db +${directory}/state/journal.db\n$`, "m"))
    })
  )

  it.live("answers wrong usage with 2, one message, and a hint", () =>
    Effect.gen(function* () {
      const wrong = [
        [],
        ["--nonsense"],
        ["nonsense"],
        ["-c"],
        ["-d"],
        ["-x"],
        ["-c", "x", "--port", "http"],
        ["-c", "x", "--log-level", "loud"],
        ["-c", "x", "-d", "--once"],
        ["-c", "x", "--once", "--dry-run"],
        ["check"],
        ["explain", "-c", "x"],
        ["retry", "-c", "x"],
        ["retry", "-c", "x", "one"],
        ["retry", "-c", "x", "--all", "1"],
        ["check", "-c", "x", "extra"],
        ["logs", "-c", "x", "--status", "GOOD"]
      ]
      const results = yield* Effect.forEach(wrong, (args) => Process.run(args), { concurrency: 2 })
      for (const [index, ended] of results.entries()) {
        const args = wrong[index]?.join(" ")
        expect(ended, args).toMatchObject({ code: 2, stdout: "" })
        expect(ended.stderr, args).toMatch(/^.+\nTry: filedispatch.* --help\n$/)
      }
    })
  )

  it.scopedLive("check: ok, with what the config means", () =>
    Effect.gen(function* () {
      const { config, directory, inbox } = yield* project
      const ended = yield* Process.run(["check", "-c", config])
      expect(ended).toMatchObject({ code: 0, stderr: "" })
      expect(ended.stdout.split("\n")[0]).toBe("ok")
      for (const part of [inbox, join(directory, "out"), join(directory, "state", "journal.db"), "pdf, txt"]) {
        expect(ended.stdout).toContain(part)
      }
    })
  )

  it.scopedLive("check: a source that is not there is a warning", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const config = join(directory, "config.yml")
      writeFileSync(config, "source: ./absent\nfolders:\n  - path: ./out\n")
      const ended = yield* Process.run(["check", "-c", config])
      expect(ended.code).toBe(0)
      expect(ended.stderr).toContain(`warning: the source ${join(directory, "absent")} is not there`)
    })
  )

  it.scopedLive("check and run: every problem of the config at once, and 2", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const config = join(directory, "config.yml")
      writeFileSync(config, "sourc: ./in\nfolders:\n  - path: ./out\n    extensions: pdf\n")
      for (const args of [
        ["check", "-c", config],
        ["-c", config]
      ]) {
        const ended = yield* Process.run(args)
        expect(ended).toMatchObject({ code: 2, stdout: "" })
        expect(ended.stderr).toContain(`${config}:1:1`)
        expect(ended.stderr).toContain(`${config}:4:17`)
        expect(ended.stderr).not.toMatch(/^\s+at /m)
      }
    })
  )

  it.scopedLive("a config that is missing, a directory, empty, or not YAML: a message and 2", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      writeFileSync(join(directory, "empty.yml"), "")
      writeFileSync(join(directory, "broken.yml"), "source: [\n\tno")
      for (const name of ["absent.yml", ".", "empty.yml", "broken.yml"]) {
        const ended = yield* Process.run(["-c", join(directory, name)])
        expect(ended.code, name).toBe(2)
        expect(ended.stderr, name).toContain(directory)
        expect(ended.stderr, name).not.toMatch(/^\s+at /m)
      }
    })
  )

  it.scopedLive("--dry-run says what would be done, and touches nothing", () =>
    Effect.gen(function* () {
      const { config, directory, inbox } = yield* project
      for (const name of ["a.pdf", "b.TXT", "c.zip", ".hidden.pdf"]) writeFileSync(join(inbox, name), "x")
      const ended = yield* Process.run(["-c", config, "--dry-run"])
      expect(ended.code).toBe(0)
      expect(ended.stdout.trimEnd().split("\n").sort()).toEqual([
        `${inbox}/a.pdf -> ${directory}/both/a.pdf`,
        `${inbox}/a.pdf -> ${directory}/out/a.pdf`,
        `${inbox}/b.TXT -> ${directory}/both/b.TXT`,
        `${inbox}/c.zip: no folder matches`
      ])
      expect(ended.stderr).toContain("Nothing was done")
      expect(readdirSync(directory).sort()).toEqual(["config.yml", "in"])
    })
  )

  it.scopedLive("explain says where a file goes and why, for people and as JSON", () =>
    Effect.gen(function* () {
      const { config, directory, inbox } = yield* project
      const text = yield* Process.run(["explain", "-c", config, join(inbox, "a.pdf"), "b.zip"])
      expect(text.code).toBe(0)
      expect(text.stdout).toContain(`a.pdf goes to ${directory}/out/a.pdf, ${directory}/both/a.pdf.`)
      expect(text.stdout).toContain("folder out: does not match")

      const json = yield* Process.run(["explain", "-c", config, "a.pdf", "--json"], { cwd: inbox })
      expect(JSON.parse(json.stdout)).toMatchObject([
        { file: "a.pdf", locations: [`${directory}/out/a.pdf`, `${directory}/both/a.pdf`] }
      ])
      const outside = yield* Process.run(["explain", "-c", config, "/elsewhere/a.pdf"])
      expect(outside.code).toBe(0)
      expect(outside.stdout).toContain("judged as if it lay in in")
      const unknown = yield* Process.run(["explain", "-c", config, "--source", "nobody", "a.pdf"])
      expect(unknown).toMatchObject({ code: 2, stdout: "" })
      expect(existsSync(join(directory, "state"))).toBe(false)
    })
  )

  it.scopedLive("logs before the first run: nothing, and no database is made", () =>
    Effect.gen(function* () {
      const { config, directory } = yield* project
      expect(yield* Process.run(["logs", "-c", config])).toMatchObject({ code: 0, stdout: "" })
      expect(JSON.parse((yield* Process.run(["logs", "-c", config, "--json"])).stdout)).toEqual([])
      expect((yield* Process.run(["retry", "-c", config, "--all"])).code).toBe(1)
      expect(existsSync(join(directory, "state"))).toBe(false)
    })
  )
})
