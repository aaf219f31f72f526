import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, FastCheck as fc, Schema } from "effect"
import { Explanation } from "../../src/domain/Explanation.ts"
import type { Found } from "../../src/domain/Generation.ts"
import * as Glob from "../../src/route/Glob.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { Rule } from "../../src/domain/Rule.ts"
import * as Regex from "../../src/route/Regex.ts"
import * as Router from "../../src/route/Router.ts"
import * as Rules from "../../src/route/Rules.ts"
import {
  anyContent,
  anyFile,
  anyFolders,
  anyRule,
  bytesOf,
  folder,
  now,
  settings,
  source,
  type Content
} from "./fixtures.ts"

const compiledGlobs = new Map<string, (path: string) => boolean>()
const compiledRegexes = new Map<string, Regex.Regex>()

const globMatches = (glob: string, path: string): boolean => {
  const matches = compiledGlobs.get(glob) ?? Glob.compile(glob)
  compiledGlobs.set(glob, matches)
  return matches(path)
}

const regexMatches = (pattern: string, text: string): boolean => {
  const regex = compiledRegexes.get(pattern) ?? Either.getOrThrow(Regex.compile(pattern))
  compiledRegexes.set(pattern, regex)
  return regex.test(text)
}

/** What the rules mean, said as plainly as can be. */
const holds = (rule: Rule, file: Found, content: Content): boolean => {
  const name = file.path.slice(file.path.lastIndexOf("/") + 1)
  const age = Math.max(0, now - file.mtime)
  const within = (value: number, { max, min }: { min: number | null; max: number | null }) =>
    value >= (min ?? -Infinity) && value <= (max ?? Infinity)
  switch (rule._tag) {
    case "All":
      return rule.rules.every((one) => holds(one, file, content))
    case "Any":
      return rule.rules.some((one) => holds(one, file, content))
    case "Not":
      return !holds(rule.rule, file, content)
    case "Extensions":
      return rule.extensions.some((one) => name.length > one.length + 1 && name.toLowerCase().endsWith(`.${one}`))
    case "Glob":
      return rule.globs.some((glob) => globMatches(glob, file.path))
    case "Exclude":
      return !rule.globs.some((glob) => globMatches(glob, file.path))
    case "Sources":
      return rule.sources.includes(source.name)
    case "Regex":
      return regexMatches(rule.pattern, name)
    case "Size":
      return within(file.size, rule)
    case "Age":
      return within(age, rule)
    case "Mime":
      return (
        content.mime !== null &&
        rule.types.some((type) =>
          type === "*/*"
            ? true
            : type.endsWith("/*")
              ? content.mime?.startsWith(type.slice(0, -1))
              : type === content.mime
        )
      )
    case "Content": {
      const text = content.text?.slice(0, rule.within)
      if (text === undefined) return false
      if (rule.text !== null && !text.toUpperCase().includes(rule.text.toUpperCase())) return false
      return rule.pattern === null || regexMatches(rule.pattern, text)
    }
  }
}

describe("rules", () => {
  it("mean the same ready-made as said plainly, and never less than is known", () => {
    fc.assert(
      fc.property(anyRule, anyFile, anyContent, (rule, file, content) => {
        const node = Rules.compile([rule])
        const subject = new Rules.Subject(source.name, file.path, file, now)
        const before = node.test(subject)
        subject.mime = content.mime
        for (const within of [5, 100, 1000]) {
          const read = Effect.runSync(bytesOf(content).text(within))
          subject.texts.set(within, read)
        }
        const after = node.test(subject)
        expect(after).toBe(holds(rule, file, content))
        if (before !== null) expect(before).toBe(after)
      }),
      { numRuns: 1000 }
    )
  })

  it("send a file to those folders whose rules hold, whichever way they are found", () => {
    fc.assert(
      fc.property(
        anyFolders,
        anyFile,
        anyContent,
        fc.constantFrom("all" as const, "first" as const),
        (routes, file, content, dispatch) => {
          const wants = routes.filter(
            ({ extensions, rules }) =>
              (extensions === undefined || holds({ _tag: "Extensions", extensions }, file, content)) &&
              rules.every((rule) => holds(rule, file, content))
          )
          const wanting = wants.filter(({ otherwise }) => !otherwise)
          const got = wanting.length > 0 ? wanting : wants
          const expected = (dispatch === "first" ? got.slice(0, 1) : got).map(({ name }) => name)

          const given = settings(routes, { dispatch })
          const router = Router.compile(given)
          const read = Effect.runSync(router.read(source, file, now, bytesOf(content)))
          const early = router.route(source, file, now)
          if (early !== "read") expect(early.placed).toEqual(read.placed)

          const explained = Effect.runSync(
            Router.explain(given, source, { path: file.path, found: file }, now, bytesOf(content))
          )
          expect(explained.folders.filter(({ gets }) => gets).map(({ name }) => name)).toEqual(expected)
          expect(explained.folders.filter(({ matched }) => matched).map(({ name }) => name)).toEqual(
            wants.map(({ name }) => name)
          )
          expect(explained.decided).toBe(true)
          const said = explained.folders.flatMap(({ locations, name }) =>
            locations.filter(({ sameAs }) => sameAs === null).map((one) => [name, one.name])
          )
          expect(said).toEqual(read.placed.map((one) => [one.route, RelPath.display(one.name)]))
          expect(explained.until).toBe(read.until)
          expect(Schema.encodeSync(Explanation)(explained)).toEqual(explained)
        }
      ),
      { numRuns: 300 }
    )
  })

  it("find their files among those of many folders", () => {
    const rules = fc.sample(fc.array(anyRule, { minLength: 1, maxLength: 2 }), { numRuns: 300, seed: 7 })
    const routes = rules.map((list, index) => folder(`r${index}`, { rules: list }))
    const contents = fc.sample(anyContent, { numRuns: 150, seed: 8 })
    const files = fc.sample(anyFile, { numRuns: 150, seed: 9 })
    const router = Router.compile(settings(routes))
    for (const [index, file] of files.entries()) {
      const content = contents[index] ?? { mime: null, text: null }
      const { placed } = Effect.runSync(router.read(source, file, now, bytesOf(content)))
      const expected = routes.filter(({ rules: list }) => list.every((rule) => holds(rule, file, content)))
      expect(placed.map((one) => one.route)).toEqual(expected.map(({ name }) => name))
    }
  })
})
