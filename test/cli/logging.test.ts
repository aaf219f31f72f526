import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as LogFile from "../../src/cli/LogFile.ts"
import * as Logging from "../../src/cli/Logging.ts"
import * as Process from "./process.ts"

const settings = (file: string, more: { readonly level?: "INFO" | "DEBUG"; readonly format?: "json" } = {}) => ({
  level: more.level ?? ("INFO" as const),
  format: more.format ?? ("pretty" as const),
  file,
  rotate: { size: 1_000_000, keep: 2 },
  retain: 0
})

describe("Logging", () => {
  it.scoped("writes plain lines with annotations, and only from the level on", () =>
    Effect.gen(function* () {
      const file = join(yield* Process.directory, "sub", "run.log")
      yield* Effect.logDebug("hidden").pipe(
        Effect.zipRight(Effect.logWarning("two words")),
        Effect.annotateLogs({ source: "in box", delivery: 7 }),
        Effect.provide(Logging.layer(settings(file)))
      )
      const lines = readFileSync(file, "utf8").split("\n")
      expect(lines).toHaveLength(2)
      expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z WARN {2}two words (?=.*source="in box")(?=.*delivery=7)/)
    })
  )

  it.scoped("lets no name break a line or colour a terminal", () =>
    Effect.gen(function* () {
      const file = join(yield* Process.directory, "run.log")
      yield* Effect.logInfo("a\nb\u001b[31m").pipe(
        Effect.annotateLogs({ file: "x\ny\u001b" }),
        Effect.provide(Logging.layer(settings(file)))
      )
      const text = readFileSync(file, "utf8")
      expect(text.split("\n")).toHaveLength(2)
      expect(text).not.toContain("\u001b")
    })
  )

  it.scoped("writes JSON where that is asked for", () =>
    Effect.gen(function* () {
      const file = join(yield* Process.directory, "run.log")
      yield* Effect.logInfo("hello").pipe(Effect.provide(Logging.layer(settings(file, { format: "json" }))))
      expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ message: "hello", logLevel: "INFO" })
    })
  )
})

describe("LogFile", () => {
  it.scoped("sets the file aside when it has grown, keeps so many, and loses no line of those", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const file = join(directory, "run.log")
      writeFileSync(file, "before\n")
      const { append } = yield* LogFile.open(file, { size: 30, keep: 2 })
      for (let line = 0; line < 10; line += 1) append(`line ${line} xxx`)
      expect(readdirSync(directory).sort()).toEqual(["run.log", "run.log.1", "run.log.2"])
      const kept = ["run.log.2", "run.log.1", "run.log"].map((name) => readFileSync(join(directory, name), "utf8"))
      expect(kept).toEqual(["line 4 xxx\nline 5 xxx\n", "line 6 xxx\nline 7 xxx\n", "line 8 xxx\nline 9 xxx\n"])
    })
  )

  it.scoped("keeps none where none is to be kept", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const { append } = yield* LogFile.open(join(directory, "run.log"), { size: 10, keep: 0 })
      for (let line = 0; line < 5; line += 1) append(`line ${line}`)
      expect(readdirSync(directory)).toEqual(["run.log"])
      expect(readFileSync(join(directory, "run.log"), "utf8")).toBe("line 4\n")
    })
  )

  it.scoped("says which file can't be opened", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      writeFileSync(join(directory, "file"), "")
      const failure = yield* Effect.flip(LogFile.open(join(directory, "file", "run.log"), { size: 1, keep: 1 }))
      expect(failure).toMatchObject({ code: 1 })
      expect(failure.message).toContain(join(directory, "file", "run.log"))
      expect(existsSync(join(directory, "file", "run.log"))).toBe(false)
    })
  )
})
