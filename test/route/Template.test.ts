import { describe, expect, it } from "@effect/vitest"
import { Either, FastCheck as fc } from "effect"
import * as Path from "node:path"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Template from "../../src/route/Template.ts"

const time = Date.UTC(2026, 0, 2, 3, 4, 5)

const render = (template: string, path: string, source = "inbox") =>
  Either.getOrThrow(Template.compile(template)).render({ path: RelPath.make(path), source, time })

const fault = (template: string) => Either.getOrThrow(Either.flip(Template.compile(template)))

describe("Template", () => {
  it.each([
    ["/a/{name}", "x/b.tar.gz", "/a/b.tar.gz"],
    ["/a/{stem}-1.{ext}", "x/b.tar.gz", "/a/b.tar-1.gz"],
    ["/a/{stem}{ext}", ".hidden", "/a/.hidden"],
    ["/a/{dir}/{name}", "b.txt", "/a/b.txt"],
    ["/a/{dir}/{name}", "x/y/b.txt", "/a/x/y/b.txt"],
    ["/a/{source}/{relpath}", "x/b", "/a/inbox/x/b"],
    ["/a/{date}/{name}", "b", "/a/2026-01-02/b"],
    ["/a/{date:yyyyMMdd_HH.mm.ss}-{name}", "b", "/a/20260102_03.04.05-b"],
    ["/a/{date:yyyy/MM}/{name}", "b", "/a/2026/01/b"],
    ["/a", "x/b", "/a/x/b"],
    ["/a/", "x/b", "/a/x/b"],
    ["/a/{date:yyyy}/", "x/b", "/a/2026/x/b"],
    ["/{{a}}/{name}", "b", "/{a}/b"],
    ["/{name}", "b", "/b"]
  ])("%s of %s is %s", (template, path, expected) => expect(render(template, path)).toBe(expected))

  it.each([
    ["/a/{nmae}", 3, "there is no variable {nmae}"],
    ["/a/{name", 3, "a single {"],
    ["/a}/{name}", 2, "a single }"],
    ["/a/{date:yyyy-QQ}{name}", 3, "not a date pattern"],
    ["/a/{date}", 0, "every file would get the same path"],
    ["/a/{dir}/../{name}", 9, "a path may not go up after a variable"]
  ])("refuses %s", (template, index, message) => expect(fault(template)).toMatchObject({ index, message }))

  it("never leaves its root, whatever a file is called", () => {
    const segment = fc.oneof(fc.constantFrom("..", ".", "...", "..a", "", "a..", "{name}"), fc.string())
    const templates = [
      "/r/s/{stem}/{ext}",
      "/r/s/{relpath}",
      "/r/s/{dir}{name}",
      "/r/s/{source}/{name}",
      "/r/s/{ext}{stem}"
    ]
    fc.assert(
      fc.property(fc.constantFrom(...templates), fc.array(segment, { minLength: 1 }), segment, (text, path, source) => {
        const out = render(text, path.join("/"), source)
        expect(out === "/r/s/" || Path.posix.normalize(out).startsWith("/r/s")).toBe(true)
        expect(out.split("/")).not.toContain("..")
      })
    )
  })

  it("can be taken relative to a directory, and stays the same template", () => {
    const relative = Either.getOrThrow(Template.compile("../done/{{x}}-{name}"))
    const absolute = relative.from("/home/{me}/conf")
    expect(absolute).toBe("/home/{{me}}/done/{{x}}-{name}")
    expect(render(absolute, "b")).toBe("/home/{me}/done/{x}-b")
  })

  it("keeps names that are not text", () => {
    expect(render("/a/{name}", "b\udc80.txt")).toBe("/a/b\udc80.txt")
  })
})
