import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as PidFile from "../../src/cli/PidFile.ts"
import * as Process from "./process.ts"

describe("PidFile", () => {
  it.scoped("says what a file holds", () =>
    Effect.gen(function* () {
      const file = join(yield* Process.directory, "run.pid")
      expect(yield* PidFile.inspect(file)).toEqual({ _tag: "None" })
      const cases = [
        ["", { _tag: "None" }],
        [`${process.pid}\n${PidFile.startOf(process.pid)}\n`, { _tag: "Running", pid: process.pid }],
        [`${process.pid}\nlong ago\n`, { _tag: "Stranger", pid: process.pid }],
        [`${process.pid}`, { _tag: "Stranger", pid: process.pid }],
        // beyond every limit of process ids
        ["99999999\nlong ago\n", { _tag: "Stale", pid: 99_999_999 }],
        ["source: ./in\n", { _tag: "Garbage" }],
        ["-1\n", { _tag: "Garbage" }],
        ["0\n", { _tag: "Garbage" }]
      ] as const
      for (const [text, content] of cases) {
        writeFileSync(file, text)
        expect(yield* PidFile.inspect(file), text).toEqual(content)
      }
    })
  )

  it.scoped("is written whole, and goes with its scope", () =>
    Effect.gen(function* () {
      const directory = yield* Process.directory
      const file = join(directory, "run.pid")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { write } = yield* PidFile.hold(file)
          expect(existsSync(file)).toBe(false)
          yield* write
          expect(readdirSync(directory)).toEqual(["run.pid"])
          expect(yield* PidFile.inspect(file)).toEqual({ _tag: "Running", pid: process.pid })
        })
      )
      expect(readdirSync(directory)).toEqual([])
    })
  )

  it.scoped("is left alone at the end where it is another's by then", () =>
    Effect.gen(function* () {
      const file = join(yield* Process.directory, "run.pid")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { write } = yield* PidFile.hold(file)
          yield* write
          writeFileSync(file, "1\nanother\n")
        })
      )
      expect(readFileSync(file, "utf8")).toBe("1\nanother\n")
    })
  )
})
