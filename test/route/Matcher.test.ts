import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc, Option } from "effect"
import { Minimatch } from "minimatch"
import { defaults } from "../../src/config/ConfigFile.ts"
import * as Glob from "../../src/route/Glob.ts"
import * as Matcher from "../../src/route/Matcher.ts"

const usual = Matcher.compile(defaults.source)

describe("Glob", () => {
  it("agrees with minimatch where it takes the short way", () => {
    const names = fc.array(fc.constantFrom("a", "b", ".", "~", "$", "-", "/", "\udc80", "😀"), {
      minLength: 1,
      maxLength: 8
    })
    const path = names.map((parts) => parts.join("")).filter((text) => !/^\/|\/$|\/\/|(^|\/)\.\.?(\/|$)/.test(text))
    fc.assert(
      fc.property(
        fc.constantFrom("**/*.a", "**/.*", "**/a", "**/*~", "**/~$*", "**/*b*", "**/a.b"),
        path,
        (glob, text) => {
          const slow = new Minimatch(glob, { nonegate: true, nocomment: true, dot: true, platform: "linux" })
          expect([glob, text, Glob.compile(glob)(text)]).toEqual([glob, text, slow.match(text)])
        }
      ),
      { numRuns: 3000 }
    )
  })

  it.each(["", " ", "[ab", "{a,b", "+(a", "a\\", "!a", "/a", "./a", "a/../b", "x".repeat(5000)])("refuses %s", (glob) =>
    expect(Option.isSome(Glob.fault(glob))).toBe(true)
  )

  it.each(["**", "*.pdf", "[!.]*", "[]]", "{a,b}/*", "!(a|b)", "#x#", "a(1)*", "\\[x"])("takes %s", (glob) =>
    expect(Option.isNone(Glob.fault(glob))).toBe(true)
  )

  it("is done at once with hostile patterns and names", () => {
    const glob = Glob.compile("*a*a*a*a*a*a*a*a*b")
    const begin = performance.now()
    expect(glob("a".repeat(5000))).toBe(false)
    expect(performance.now() - begin).toBeLessThan(1000)
  })
})

describe("Matcher", () => {
  it.each([".x", "a/.x", ".git/config", "a.part", "b/a.crdownload", "a~", "~$doc.docx", ".a.swp", "Safari.download/x"])(
    "leaves out %s by default",
    (path) => expect(usual.accepts(path)).toBe(false)
  )

  it.each(["a.pdf", "a/b.pdf", "part", "a.part.pdf", "#1.txt", "a\udc80\udcff.pdf", "\udcff"])(
    "takes %s by default",
    (path) => expect(usual.accepts(path)).toBe(true)
  )

  it("never takes our own temp files", () => {
    const all = Matcher.compile({ include: ["**"], exclude: [] })
    expect(all.accepts(".fd-0123456789abcdefghij.part")).toBe(false)
    expect(all.accepts("a/.fd-0123456789abcdefghij.part")).toBe(false)
    expect(all.accepts("a.part")).toBe(true)
    expect(all.accepts(".x")).toBe(true)
    expect(all.explain("a/.fd-0.part")).toEqual({ accepted: false, rule: "temp", glob: ".fd-*.part" })
  })

  it("says which glob decided, and agrees with itself", () => {
    const matcher = Matcher.compile({ include: ["*.pdf", "in/**"], exclude: ["**/secret*"] })
    expect(matcher.explain("a.pdf")).toEqual({ accepted: true, rule: "include", glob: "*.pdf" })
    expect(matcher.explain("in/x")).toEqual({ accepted: true, rule: "include", glob: "in/**" })
    expect(matcher.explain("secret.pdf")).toEqual({ accepted: false, rule: "exclude", glob: "**/secret*" })
    expect(matcher.explain("a.txt")).toEqual({ accepted: false, rule: "include", glob: null })
    for (const path of ["a.pdf", "in/x", "secret.pdf", "a.txt", "in/secret"]) {
      expect(matcher.accepts(path)).toBe(matcher.explain(path).accepted)
    }
  })

  it("prunes directories of which nothing can be taken", () => {
    expect(usual.prunes(".git")).toBe(true)
    expect(usual.prunes("a/.git")).toBe(true)
    expect(usual.prunes("a/git")).toBe(false)
  })
})
