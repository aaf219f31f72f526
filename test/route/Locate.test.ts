import { describe, expect, it } from "@effect/vitest"
import { Either } from "effect"
import * as RelPath from "../../src/domain/RelPath.ts"
import { locate, type Options } from "../../src/route/Locate.ts"
import { source } from "./rules.ts"

const sources = [source("/in"), source("/in/sub"), source("/other")]

const places = (file: string, options: Partial<Options> = {}) =>
  Either.getOrThrow(locate({ sources }, RelPath.make(file), { directory: "/home", ...options })).map(
    ({ at, contained, path, source, supposed }) =>
      [source.name, path, `${at.directory}/${at.path}`, supposed ? "supposed" : "", contained].join(" ").trim()
  )

const fault = (file: string, options: Partial<Options> = {}) =>
  Either.getOrThrow(Either.flip(locate({ sources }, RelPath.make(file), { directory: "/home", ...options })))

describe("locate", () => {
  it("finds every source that a file lies in", () => {
    expect(places("/in/a")).toEqual(["in a /in/a  true"])
    expect(places("/in/sub/a")).toEqual(["in sub/a /in/sub/a  true", "sub a /in/sub/a  true"])
    expect(places("/in/x/../sub//a")).toEqual(places("/in/sub/a"))
    expect(places("../in/a")).toEqual(places("/in/a"))
    expect(places("/in/sub/a", { source: "sub" })).toEqual(["sub a /in/sub/a  true"])
  })

  it("takes what lies outside as if it lay in the first one, or the one that is named", () => {
    expect(places("/etc/x/passwd")).toEqual(["in passwd /etc/x/passwd supposed false"])
    expect(places("/input/a")).toEqual(["in a /input/a supposed false"])
    expect(places("/etc/passwd", { source: "other" })).toEqual(["other passwd /etc/passwd supposed false"])
    expect(places("/in/sub/a", { source: "other" })).toEqual(["other a /in/sub/a supposed true"])
    expect(places("x/a", { isThere: (path) => path === "/home/x/a" })).toEqual(["in x/a /home/x/a supposed false"])
  })

  it("takes a relative path that is nowhere as one below the source", () => {
    expect(places("x/a")).toEqual(["in x/a /in/x/a  true"])
    expect(places("../../x/a")).toEqual(["in x/a /in/x/a  true"])
    expect(places("in/a", { directory: null })).toEqual(["in in/a /in/in/a  true"])
    expect(places("../../etc/passwd", { directory: null })).toEqual(["in etc/passwd /in/etc/passwd  true"])
  })

  it("says what is no file", () => {
    expect(fault("a", { source: "no\u202ene" })).toBe(
      "there is no source no\\u{202e}ne; the sources are in, sub, other"
    )
    expect(fault("/in")).toBe("/in is a source: name a file in it")
    for (const path of ["", "/", "/in/", "x/", "a\0b"]) expect(fault(path)).toContain("is not the path of a file")
  })
})
