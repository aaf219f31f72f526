import { describe, expect, it } from "@effect/vitest"
import { Either, FastCheck as fc } from "effect"
import * as Regex from "../../src/route/Regex.ts"
import { literals } from "../../src/route/RegexLiterals.ts"
import { anyPath, anyRegex } from "./fixtures.ts"

const compiled = (pattern: string, within?: number) => Either.getOrThrow(Regex.compile(pattern, within))

const fault = (pattern: string, within?: number) => Either.getOrThrow(Either.flip(Regex.compile(pattern, within)))

describe("Regex", () => {
  it.each([
    ["", "an empty expression"],
    ["a(b", "missing closing )"],
    ["(?=a)", "invalid or unsupported"],
    ["(a)\\1", "invalid escape"],
    ["(?P<a>x)(?P<a>y)", "duplicate"],
    ["(x{1000}){1000}", "invalid repeat count"],
    ["x".repeat(5000), "too long"],
    [`(?:${"\\pL{30}".repeat(40)}){20}`, "too large"],
    ["(".repeat(3000) + ")".repeat(1000), ""]
  ])("refuses %s in words", (pattern, message) => expect(fault(pattern).message).toContain(message))

  it("refuses what could take minutes with so much text", () => {
    const pattern = "((a{1,30}){1,30})$"
    expect(Either.isRight(Regex.compile(pattern))).toBe(true)
    expect(fault(pattern, 1_000_000)).toMatchObject({ message: "it is too large for 1000000 characters" })
  })

  it("minds case unless it is told not to, and is found anywhere", () => {
    expect(compiled("invoice").test("my invoice")).toBe(true)
    expect(compiled("invoice").test("Invoice")).toBe(false)
    expect(compiled("(?i)invoice").test("INVOICE")).toBe(true)
    expect(compiled("^invoice$").test("invoices")).toBe(false)
  })

  it("answers the groups that took part, by name, of any name", () => {
    const regex = compiled("(?P<__proto__>\\d+)-(?<constructor>x)?(\\w)")
    expect(regex.groups).toEqual(["__proto__", "constructor"])
    expect(regex.capture("12-a")).toEqual([["__proto__", "12"]])
    expect(regex.capture("none")).toBeNull()
    expect(compiled("a").capture("a")).toEqual([])
  })

  it("keeps no more of a group than a name can use, and whole characters", () => {
    const [found] = compiled("(?P<all>(?s).*)").capture(`${"a".repeat(999)}😀${"b".repeat(10_000)}`) ?? []
    expect(found?.[1]).toBe("a".repeat(999))
  })

  it.each(["(a+)+$", "(a|aa)+$", "([a-z]+)*[0-9]", "(.*a){20}", "(?P<g>a*)*b"])(
    "is done soon with %s and a long text",
    (pattern) => {
      const regex = compiled(pattern, 65_536)
      const text = `${"a".repeat(65_535)}!`
      const begin = performance.now()
      regex.capture(text)
      expect(performance.now() - begin).toBeLessThan(20_000)
    }
  )
})

describe("literals", () => {
  it("are in every text that matches", () => {
    fc.assert(
      fc.property(anyRegex, anyPath, (pattern, text) => {
        if (!compiled(pattern).test(text)) return
        expect([pattern, text, literals(pattern).filter((literal) => !text.includes(literal))]).toEqual([
          pattern,
          text,
          []
        ])
      }),
      { numRuns: 1000 }
    )
  })

  it.each([
    ["^invoice-(\\d+)\\.pdf$", ["invoice-", ".pdf"]],
    ["abc*d", ["ab", "d"]],
    ["ab+c", ["ab", "c"]],
    ["a|b", []],
    ["(?i)abc", []],
    ["x(?i:abc)y", ["x", "y"]],
    ["x(a|b)y", ["x", "y"]],
    ["x(ab)?y", ["x", "y"]],
    ["x(ab)+y", ["x", "ab", "y"]],
    ["x(?P<n>ab)y", ["x", "ab", "y"]],
    ["a{b", []],
    ["\\Qa.b\\E", []],
    ["(\\Qa)b\\E", []],
    ["x\\x41y", []],
    ["[abc]x[^]]y", ["x", "y"]],
    ["[[:alpha:]]x[]a]y", ["x", "y"]]
  ])("of %s", (pattern, expected) => expect(literals(pattern)).toEqual(expected))
})
