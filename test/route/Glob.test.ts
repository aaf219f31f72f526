import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc, Option } from "effect"
import { Minimatch } from "minimatch"
import * as Glob from "../../src/route/Glob.ts"

const slow = (glob: string, path: string): boolean =>
  new Minimatch(glob, { nonegate: true, nocomment: true, dot: true, platform: "linux" }).match(path)

const path = fc
  .array(fc.constantFrom("a", "b", ".", "~", "$", "-", "/", "/", "\udc80", "😀"), { minLength: 1, maxLength: 8 })
  .map((parts) => parts.join(""))
  .filter((text) => !/^\/|\/$|\/\/|(^|\/)\.\.?(\/|$)/.test(text))

describe("Glob", () => {
  it("agrees with minimatch where it takes the short way", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("**/*.a", "**/.*", "**/a", "**/*~", "**/~$*", "**/*b*", "**/a.b"),
        path,
        (glob, text) => {
          expect([glob, text, Glob.compile(glob)(text)]).toEqual([glob, text, slow(glob, text)])
        }
      ),
      { numRuns: 1000 }
    )
  })

  it("agrees with minimatch on names, stars and braces", () => {
    const part = fc.constantFrom("a", "b", ".", "*", "*", "**", "{a,b}", "{a,*.b}", "😀", "-", "!", "#", "+", "@", "~")
    const glob = fc
      .array(
        fc.oneof(
          fc.constant("**"),
          fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(""))
        ),
        { minLength: 1, maxLength: 4 }
      )
      .map((segments) => segments.join("/"))
      .filter((text) => Option.isNone(Glob.fault(text)))
    fc.assert(
      fc.property(glob, path, (pattern, text) => {
        expect([pattern, text, Glob.compile(pattern)(text)]).toEqual([pattern, text, slow(pattern, text)])
      }),
      { numRuns: 5000 }
    )
  })

  it.each(["", " ", "[ab", "{a,b", "+(a", "a\\", "!a", "/a", "./a", "a/../b", "x".repeat(5000)])("refuses %s", (glob) =>
    expect(Option.isSome(Glob.fault(glob))).toBe(true)
  )

  it.each(["**", "*.pdf", "[!.]*", "[]]", "{a,b}/*", "!(a|b)", "#x#", "a(1)*", "\\[x"])("takes %s", (glob) =>
    expect(Option.isNone(Glob.fault(glob))).toBe(true)
  )

  it.each([
    "*a*a*a*a*a*a*a*a*b",
    "**/a/**/a/**/a/**/a/**/b",
    "*(*(*(a)))b",
    "{a,b}*{a,b}*{a,b}*{a,b}*x",
    "[a]*[a]*[a]*[a]*b"
  ])("is done at once with %s and hostile names", (glob) => {
    const matches = Glob.compile(glob)
    const begin = performance.now()
    expect(matches("a".repeat(5000))).toBe(false)
    expect(matches("a/".repeat(2000))).toBe(false)
    expect(performance.now() - begin).toBeLessThan(3000)
  })
})
