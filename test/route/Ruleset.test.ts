import { expect, it } from "@effect/vitest"
import { Option, Redacted } from "effect"
import { noSecrets } from "../../src/domain/Settings.ts"
import * as Ruleset from "../../src/route/Ruleset.ts"
import { route, rules, source, to } from "./rules.ts"

it("rules come back as they were, without secrets and what has no part in them", () => {
  const secret = Redacted.make("tell nobody")
  const given = rules(
    [
      route("a", {
        extensions: ["pdf"],
        rules: [
          { _tag: "Not", rule: { _tag: "Any", rules: [{ _tag: "Glob", globs: ["*.x"] }] } },
          { _tag: "Content", text: null, pattern: "(?P<n>x)", within: 5 }
        ],
        otherwise: true,
        priority: -3,
        order: "largest",
        targets: [
          to("ftp://user@host/x", {
            rename: "{n}/{name}",
            secrets: { ...noSecrets, password: Option.some(secret), headers: [["x", secret]] }
          })
        ]
      })
    ],
    { dispatch: "first", sources: [source("/in", { marker: "{name}.ok", minAge: 5, after: { _tag: "Delete" } })] }
  )
  const text = Ruleset.encode(given)
  expect(text).not.toContain("tell nobody")
  const back = Option.getOrThrow(Ruleset.decode(text))
  const [only] = given.routes
  expect(back.dispatch).toBe("first")
  expect(back.routes).toEqual([
    { ...only, targets: only?.targets.map((target) => ({ ...target, secrets: noSecrets })) }
  ])
  expect(back.sources).toMatchObject([{ name: "in", marker: "{name}.ok", minAge: 5, after: { _tag: "Keep" } }])
  expect(Ruleset.encode(back)).toBe(text)
  for (const other of ["", "{}", "null", '{"dispatch":"some"}']) {
    expect(Option.isNone(Ruleset.decode(other))).toBe(true)
  }
})
