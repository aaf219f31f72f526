/**
 * YAML that is made to take for ever, and YAML that only looks like it.
 */
import { describe, expect } from "@effect/vitest"
import { Effect } from "effect"
import { check, it_, problems } from "./harness.ts"

const rest = "source: ./in\nfolders: [{ path: /out }]\n"

describe("a config that explodes", () => {
  const bomb = (item: (before: string) => string) =>
    Array.from({ length: 9 }, (_, index) =>
      index === 0 ? "a0: &a0 {k: 1}" : `a${index}: &a${index} ${item(`*a${index - 1}`)}`
    ).join("\n")
  const nine = (text: string) => Array.from({ length: 9 }, () => text).join(",")
  const aliases = "too many aliases (*name) of aliases; the values themselves"
  const table: ReadonlyArray<readonly [string, string, string]> = [
    ["by aliases of aliases", bomb((before) => `[${nine(before)}]`), `2:10 : ${aliases}`],
    ["by merges of merges", bomb((before) => `{<<: [${nine(before)}]}`), `2:15 : ${aliases}`],
    [
      "by an alias of itself",
      "source: ./in\nfolders: [{ path: /a, match: &m { any: [*m] } }]\n",
      "2:41 : an alias (*name) within what it stands for; the values themselves"
    ],
    [
      "by many aliases",
      Array.from({ length: 10_000 }, (_, index) => `k${index}: &k${index} 1\nj${index}: *k${index}`).join("\n"),
      `2:5 : ${aliases}`
    ],
    [
      "by lists in lists",
      `a: ${"[".repeat(20_000)}`,
      "1:68 : lists and maps are too deep in each other; 64 levels at most"
    ],
    [
      "by matchers in matchers",
      `source: ./in\nfolders: [{ path: /a, match: ${"{ not: ".repeat(5000)}{ glob: a }${" }".repeat(5001)}]\n`,
      "2:464 : lists and maps are too deep in each other; 64 levels at most"
    ]
  ]
  for (const [name, content, expected] of table) {
    it_(name, () =>
      Effect.gen(function* () {
        expect(yield* problems(content)).toEqual([expected])
      })
    )
  }

  it_("by its size", () =>
    Effect.gen(function* () {
      expect(yield* problems(`${rest}#${"x".repeat(4 * 1024 * 1024)}`)).toEqual([
        "0:0 : the file is too large for a config; 4 MiB at most"
      ])
    })
  )
})

describe("a config with anchors", () => {
  it_("may use one as often as it likes", () =>
    Effect.gen(function* () {
      const folders = Array.from({ length: 300 }, (_, index) => `  - { <<: *usual, path: /out/${index} }`)
      const { settings } = yield* check(
        `source: ./in\nfolders:\n  - &usual { path: /out, retry: { attempts: 3 }, extensions: [pdf] }\n${folders.join("\n")}\n`
      )
      expect(settings.routes).toHaveLength(301)
      expect(settings.routes.at(-1)?.targets[0]?.target.options.retry.attempts).toBe(3)
    })
  )

  it_("is told of each key that is there twice", () =>
    Effect.gen(function* () {
      expect(yield* problems(`${rest}http: { port: 1, port: 2 }\nsource: ./b\n`)).toEqual([
        '4:1 source: "source": the key is there twice; each key once',
        '3:18 http.port: "port": the key is there twice; each key once'
      ])
    })
  )
})
