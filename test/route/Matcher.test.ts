import { describe, expect, it } from "@effect/vitest"
import { defaults } from "../../src/config/ConfigFile.ts"
import * as Matcher from "../../src/route/Matcher.ts"

const usual = Matcher.compile(defaults.source)

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
