import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc, Schema } from "effect"
import { defaults } from "../../src/config/ConfigFile.ts"
import { Explanation } from "../../src/domain/Explanation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import { noSecrets, unlimited, type Route, type Source } from "../../src/domain/Settings.ts"
import { usualOptions, type Target } from "../../src/domain/Target.ts"
import * as Router from "../../src/route/Router.ts"

const target = (url: string): Target => ({
  url,
  scheme: "file",
  lane: "file:/",
  host: "",
  port: null,
  username: null,
  path: url,
  options: { ...usualOptions, ...defaults.target, method: null, secure: "none" }
})

const route = (name: string, extensions: ReadonlyArray<string> | undefined, ...urls: ReadonlyArray<string>): Route => ({
  name,
  extensions,
  targets: (urls.length > 0 ? urls : [`/out/${name}`]).map((url) => ({
    target: target(url),
    secrets: noSecrets,
    bandwidth: unlimited
  }))
})

const source: Source = { ...defaults.source, name: "inbox", path: "/inbox", recursive: true, after: { _tag: "Keep" } }

const routed = (routes: ReadonlyArray<Route>, path: string) =>
  Router.compile({ routes })
    .route(source, RelPath.make(path))
    .map((one) => one.route)

describe("Router", () => {
  const routes = [
    route("docs", ["pdf", "txt"]),
    route("all", undefined),
    route("tars", ["tar.gz"]),
    route("gzips", ["gz"]),
    route("more", ["pdf"])
  ]

  it.each([
    ["a.pdf", ["docs", "all", "more"]],
    ["A.PDF", ["docs", "all", "more"]],
    ["a.tar.gz", ["all", "tars", "gzips"]],
    ["a.TAR.GZ", ["all", "tars", "gzips"]],
    ["a.b.tar.gz", ["all", "tars", "gzips"]],
    ["tar.gz", ["all", "gzips"]],
    [".tar.gz", ["all", "gzips"]],
    [".pdf", ["all"]],
    ["pdf", ["all"]],
    ["a.", ["all"]],
    ["d.pdf/name", ["all"]],
    ["x/y/a.txt", ["docs", "all"]],
    ["a\udc80.pdf", ["docs", "all", "more"]]
  ])("%s goes to %s", (path, expected) => expect(routed(routes, path)).toEqual(expected))

  it("keeps the path below the source", () => {
    expect(Router.compile({ routes }).route(source, RelPath.make("x/y/a.txt"))[0]).toMatchObject({
      name: "x/y/a.txt",
      target: { url: "/out/docs" }
    })
  })

  it("writes names as the target wants them", () => {
    const out = route("out", undefined, "/out/strict", "/out/portable")
    const targets = out.targets.map((one, index) =>
      index === 0 ? one : { ...one, target: { ...one.target, options: { ...one.target.options, names: "portable" } } }
    ) satisfies Route["targets"]
    const settings = { routes: [{ ...out, targets }] }
    const path = RelPath.make("a:b/c\u202ed\udcff")
    expect(
      Router.compile(settings)
        .route(source, path)
        .map(({ name }) => name)
    ).toEqual(["a:b/c\u202ed\udcff", "a%3Ab/c%E2%80%AEd%FF"])
    expect(Router.explain(settings, source, path).locations).toEqual([
      "/out/strict/a:b/c\\u{202e}d\\xff",
      "/out/portable/a%3Ab/c%E2%80%AEd%FF"
    ])
    expect(Router.compile(settings).ruleset).not.toBe(Router.compile({ routes: [out] }).ruleset)
  })

  it("sends a file to one place once", () => {
    const twice = [route("a", ["pdf"], "/out/x", "/out/y"), route("b", undefined, "/out/y", "/out/z")]
    const placements = Router.compile({ routes: twice }).route(source, RelPath.make("a.pdf"))
    expect(placements.map((one) => [one.route, one.target.url])).toEqual([
      ["a", "/out/x"],
      ["a", "/out/y"],
      ["b", "/out/z"]
    ])
  })

  it("agrees with a loop over all folders", () => {
    const extension = fc
      .array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 3 })
      .map((parts) => parts.join("."))
    const folders = fc.array(fc.option(fc.array(extension, { minLength: 1, maxLength: 3 })), { maxLength: 6 })
    const name = fc
      .array(fc.constantFrom("a", "B", "c", ".", ".", "d"), { minLength: 1, maxLength: 9 })
      .map((parts) => parts.join(""))
    fc.assert(
      fc.property(folders, name, (lists, path) => {
        const made = lists.map((list, index) => route(`r${index}`, list ?? undefined))
        const naive = made.filter(
          ({ extensions }) =>
            extensions?.some((one) => path.length > one.length + 1 && path.toLowerCase().endsWith(`.${one}`)) ?? true
        )
        expect(routed(made, path)).toEqual(naive.map((one) => one.name))
        const explained = Router.explain({ routes: made }, { ...source, exclude: [] }, RelPath.make(path))
        expect(explained.folders.filter((one) => one.matched).map((one) => one.name)).toEqual(
          naive.map((one) => one.name)
        )
      }),
      { numRuns: 2000 }
    )
  })

  it("has a ruleset that changes with what decides, and with nothing else", () => {
    const ruleset = (...all: ReadonlyArray<Route>) => Router.compile({ routes: all }).ruleset
    const base = ruleset(route("a", ["pdf"]))
    expect(base).toMatch(/^[0-9a-f]{16}$/)
    expect(ruleset(route("a", ["pdf"]))).toBe(base)
    expect(ruleset(route("a", ["txt"]))).not.toBe(base)
    expect(ruleset(route("a", undefined))).not.toBe(base)
    expect(ruleset(route("b", ["pdf"], "/out/a"))).not.toBe(base)
    expect(ruleset(route("a", ["pdf"], "/out/b"))).not.toBe(base)
  })

  it("costs no more with a thousand folders than with ten", () => {
    const make = (count: number) =>
      Router.compile({ routes: Array.from({ length: count }, (_, index) => route(`r${index}`, [`e${index}`])) })
    const paths = Array.from({ length: 20_000 }, (_, index) => RelPath.make(`some/file-${index}.e${index % 10}`))
    const run = (router: Router.Router) => {
      const begin = performance.now()
      for (const path of paths) router.route(source, path)
      return performance.now() - begin
    }
    const [ten, thousand] = [make(10), make(1000)]
    const best = (router: Router.Router) => Math.min(...Array.from({ length: 7 }, () => run(router)))
    run(ten)
    run(thousand)
    expect(best(thousand)).toBeLessThan(best(ten) * 3 + 5)
  })
})

describe("explain", () => {
  const routes = [route("docs", ["pdf"], "/out/x"), route("all", undefined, "/out/x", "/out/y"), route("img", ["png"])]

  it("says for each folder what it wanted and what the file had", () => {
    const explained = Router.explain({ routes }, source, RelPath.make("a.PDF"))
    expect(Schema.encodeSync(Explanation)(explained)).toEqual(explained)
    expect(explained.locations).toEqual(["/out/x/a.PDF", "/out/y/a.PDF"])
    expect(explained.folders.map((one) => one.matched)).toEqual([true, true, false])
    expect(explained.folders[1]?.locations).toEqual([
      { location: "/out/x/a.PDF", sameAs: "docs" },
      { location: "/out/y/a.PDF", sameAs: null }
    ])
    expect(explained.folders[2]?.predicates).toEqual([
      { predicate: "extensions", wanted: "one of png", had: "pdf", matched: false }
    ])
  })

  it("names the glob of the source that leaves it out", () => {
    const explained = Router.explain({ routes }, source, RelPath.make("a.part"))
    expect(explained.locations).toEqual([])
    expect(explained.source).toMatchObject({
      accepted: false,
      predicates: [{ predicate: "exclude", had: "a.part matches **/*.part" }]
    })
    expect(explained.summary).toContain("is not taken from inbox")
  })

  it("says so where no folder wants it, and where a flat source does not look", () => {
    const none = Router.explain({ routes: [route("img", ["png"])] }, source, RelPath.make("a.b.c"))
    expect(none.summary).toBe("a.b.c stays where it is: none of 1 folders wants c, b.c.")
    const flat = Router.explain({ routes }, { ...source, recursive: false }, RelPath.make("d/a.pdf"))
    expect(flat.source.accepted).toBe(false)
    expect(flat.source.predicates.at(-1)).toMatchObject({ predicate: "recursive", matched: false })
  })
})
