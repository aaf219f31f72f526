/**
 * What `check` says of folders.
 */
import { describe, expect } from "@effect/vitest"
import { Effect } from "effect"
import { filesOf, orderOf } from "../../src/cli/FolderSaid.ts"
import { saidOf } from "../../src/cli/TargetSaid.ts"
import { check, it_ } from "../config/harness.ts"

const alice = "age1wfhndvn5435zw2celfzhftxpn4fpv7n84x3t4y9kcaaug3akzpeqalgfup"

describe("a folder in one line", () => {
  it_("says which files it takes, and what becomes of them", () =>
    Effect.gen(function* () {
      const { settings } = yield* check(`source: ./in
folders:
  - { path: /a }
  - { path: /b, extensions: [pdf, png], priority: -5 }
  - path: /c
    exclude: ["tmp/**"]
    sources: [in]
    match:
      glob: "x/**"
      regex: '^a\\.b'
      mime: image/*
      size: { min: 1KiB, max: 1MiB }
      age: { max: 7d }
      content: { regex: "b\\ta" }
      any: [{ extensions: [a] }, { size: { min: 1 }, mime: [a/b, c/d] }]
      not: { content: word }
    rename: "{stem}"
    compress: gzip
    decompress: true
    encrypt: { age: [${alice}] }
    order: oldest
  - { path: /d, otherwise: true }
  - { path: /e, otherwise: true, sources: [in] }
`)
      expect(
        settings.routes.map(
          (route) => `${filesOf(route)} ->${saidOf(route.targets[0] ?? expect.fail())}${orderOf(route)}`
        )
      ).toEqual([
        "every file ->",
        "pdf, png ->, priority -5",
        "from in; exclude tmp/**; glob x/**; regex ^a\\.b; size from 1KiB to 1MiB; age to 1w; any of (extensions a; size from 1 and mime a/b, c/d); mime image/*; content b\\u{9}a; not (content word) -> (rename {stem}, decompress up to 1GiB, compress gzip, encrypt for 1 recipient), oldest first",
        "what no other folder takes ->",
        "what no other folder takes; from in ->"
      ])
    })
  )
})
