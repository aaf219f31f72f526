import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Marker from "../../src/route/Marker.ts"

const compile = (marker: string) => {
  const compiled = Marker.compile({ name: "inbox", marker })
  if (compiled === null) throw new Error(`${marker} is no marker`)
  return compiled
}

describe("Marker", () => {
  it.each([
    ["{name}.done", "a.txt", "a.txt.done"],
    ["{name}.done", "deep/er/a.txt", "deep/er/a.txt.done"],
    ["{stem}.ok", "deep/a.tar.gz", "deep/a.tar.ok"],
    ["ready/{stem}.ok", "deep/a.txt", "ready/a.ok"],
    ["{dir}/ready/{name}", "deep/a.txt", "deep/ready/a.txt"],
    ["{dir}/ready/{name}", "a.txt", "ready/a.txt"],
    ["{relpath}.done", "deep/a.txt", "deep/a.txt.done"]
  ])("%s of %s is %s", (template, path, marker) => {
    expect(compile(template).of(RelPath.make(path))).toBe(marker)
  })

  it("knows every marker that a file can have", () => {
    const segment = fc.stringMatching(/^[a-z.]{1,8}$/).filter((name) => name !== "." && name !== "..")
    const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => RelPath.make(parts.join("/")))
    const template = fc.constantFrom(
      "{name}.done",
      "{stem}.ok",
      "x-{stem}-{ext}-y",
      "ready/{stem}.ok",
      "{dir}/ready/{name}.z",
      "a/{dir}/b/{name}",
      "{relpath}.done",
      "{source}/{ext}/{stem}"
    )
    fc.assert(
      fc.property(template, path, (template, path) => {
        const marker = compile(template)
        expect(marker.is(marker.of(path))).toBe(true)
      }),
      { numRuns: 1000 }
    )
  })

  it.each([
    ["{name}.done", "a.txt"],
    ["ready/{stem}.ok", "a.ok"],
    ["ready/{stem}.ok", "other/a.ok"],
    ["ready/{stem}.ok", "deep/ready/a.ok"],
    ["{dir}/ready/{name}.z", "a.z"],
    ["x{stem}x", "x"]
  ])("%s is never called %s", (template, path) => {
    expect(compile(template).is(path)).toBe(false)
  })

  it("is null where none is waited for", () => {
    expect(Marker.compile({ name: "inbox", marker: null })).toBeNull()
  })
})
