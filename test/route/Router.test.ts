import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, FastCheck as fc, Redacted } from "effect"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { Rule } from "../../src/domain/Rule.ts"
import type { Route, Source } from "../../src/domain/Settings.ts"
import { FactsError } from "../../src/files/FileFacts.ts"
import * as Router from "../../src/route/Router.ts"
import { bytesOf, day, file, folder, now, route, settings, sha256, source, targetOf, type Content } from "./fixtures.ts"

/** What is decided without reading. */
const decided = (router: Router.Router, path: string, more: Parameters<typeof file>[1] = {}): Router.Decision => {
  const decision = router.route(source, file(path, more), now)
  if (decision === "read") throw new Error(`${path} had to be read`)
  return decision
}

const routed = (routes: ReadonlyArray<Route>, path: string) =>
  decided(Router.compile(settings(routes)), path).placed.map((one) => one.route)

const read = (router: Router.Router, path: string, content: Content, more: Parameters<typeof file>[1] = {}) => {
  const bytes = bytesOf(content)
  return Effect.map(router.read(source, file(path, more), now, bytes), (decision) => ({
    ...decision,
    routes: decision.placed.map((one) => one.route),
    names: decision.placed.map(({ name }) => name),
    asked: bytes.asked
  }))
}

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
    expect(decided(Router.compile(settings(routes)), "x/y/a.txt").placed[0]).toEqual({
      route: "docs",
      target: routes[0]?.targets[0]?.target,
      name: "x/y/a.txt",
      priority: 0,
      rank: 0,
      facts: null
    })
  })

  it("writes names as the target wants them", () => {
    const out = (options: Parameters<typeof targetOf>[1]) =>
      settings([folder("out", { targets: [targetOf("/out/strict"), targetOf("/out/portable", options)] })])
    const portable = out({ options: { names: "portable" } })
    const path = RelPath.make("a:b/c\u202ed\udcff")
    expect(decided(Router.compile(portable), path).placed.map(({ name }) => name)).toEqual([
      "a:b/c\u202ed\udcff",
      "a%3Ab/c%E2%80%AEd%FF"
    ])
    expect(Router.compile(portable).ruleset).not.toBe(Router.compile(out({})).ruleset)
  })

  it("sends a file to one place once", () => {
    const twice = [route("a", ["pdf"], "/out/x", "/out/y"), route("b", undefined, "/out/y", "/out/z")]
    const { placed } = decided(Router.compile(settings(twice)), "a.pdf")
    expect(placed.map((one) => [one.route, one.target.url])).toEqual([
      ["a", "/out/x"],
      ["a", "/out/y"],
      ["b", "/out/z"]
    ])
  })

  it("sends a file twice to one target under two names", () => {
    const out = (name: string, rename: string) => folder(name, { targets: [targetOf("/out", { rename })] })
    const { placed } = decided(
      Router.compile(settings([out("a", "{relpath}"), out("b", "copies/{name}"), out("c", "copies/{relpath}")])),
      "a.pdf"
    )
    expect(placed.map((one) => [one.route, one.name])).toEqual([
      ["a", "a.pdf"],
      ["b", "copies/a.pdf"]
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
      }),
      { numRuns: 500 }
    )
  })

  it("has a ruleset that changes with what decides, and with nothing else", () => {
    const ruleset = (routes: ReadonlyArray<Route>, more: Parameters<typeof settings>[1] = {}) =>
      Router.compile(settings(routes, more)).ruleset
    const rule = (...rules: ReadonlyArray<Rule>) => folder("a", { rules })
    const to = (options: Parameters<typeof targetOf>[1]) => folder("a", { targets: [targetOf("/out/a", options)] })
    const transform = { decompress: null, compress: "none", age: [] } as const
    const one = folder("a")
    const all = [
      ruleset([one]),
      ruleset([route("a", ["pdf"])]),
      ruleset([route("a", ["txt"])]),
      ruleset([route("b", undefined, "/out/a")]),
      ruleset([route("a", undefined, "/out/b")]),
      ruleset([one], { dispatch: "first" }),
      ruleset([folder("a", { otherwise: true })]),
      ruleset([rule({ _tag: "Glob", globs: ["*"] })]),
      ruleset([rule({ _tag: "Not", rule: { _tag: "Glob", globs: ["*"] } })]),
      ruleset([rule({ _tag: "Size", min: 1, max: null })]),
      ruleset([rule({ _tag: "Size", min: null, max: 1 })]),
      ruleset([to({ rename: "{name}" })]),
      ruleset([to({ options: { names: "portable" } })]),
      ruleset([to({ options: { transform: { ...transform, compress: "gzip" } } })]),
      ruleset([to({ options: { transform: { ...transform, compress: "zip" } } })]),
      ruleset([to({ options: { transform: { ...transform, age: ["age1"] } } })]),
      ruleset([to({ options: { transform: { ...transform, decompress: { limit: 1 } } } })]),
      ruleset([rule({ _tag: "Not", rule: { _tag: "Sources", sources: ["inbox"] } })]),
      ruleset([rule({ _tag: "Not", rule: { _tag: "Sources", sources: ["inbox"] } })], {
        sources: [{ ...source, path: "/other" }]
      })
    ]
    for (const digest of all) expect(digest).toMatch(/^[0-9a-f]{16}$/)
    expect(new Set(all).size).toBe(all.length)
    // what does not decide a place
    const order = folder("a", { priority: 9, order: "largest" })
    expect(ruleset([order], { sources: [{ ...source, path: "/other" }] })).toBe(all[0])
    // what is in a journal already stays known
    const usual = [
      route("docs", ["pdf", "txt"]),
      folder("all", { targets: [targetOf("/out/all"), targetOf("/out/portable", { options: { names: "portable" } })] })
    ]
    expect(ruleset(usual)).toBe("3afba4ca10561d38")
  })

  it("costs no more with a thousand folders than with ten", () => {
    const make = (count: number) =>
      Router.compile(settings(Array.from({ length: count }, (_, index) => route(`r${index}`, [`e${index}`]))))
    const files = Array.from({ length: 5000 }, (_, index) => file(`some/file-${index}.e${index % 10}`))
    const run = (router: Router.Router) => {
      const begin = process.cpuUsage().user
      for (const one of files) router.route(source, one, now)
      return process.cpuUsage().user - begin
    }
    const [ten, thousand] = [make(10), make(1000)]
    const best = (router: Router.Router) => Math.min(...Array.from({ length: 7 }, () => run(router)))
    run(ten)
    run(thousand)
    expect(best(thousand)).toBeLessThan(best(ten) * 3 + 20_000)
  })
})

describe("who gets it", () => {
  const pdf = route("pdf", ["pdf"])
  const big = folder("big", { rules: [{ _tag: "Size", min: 1000, max: null }] })
  const rest = folder("rest", { otherwise: true })

  it("is every folder that wants it, or with dispatch: first the first one", () => {
    expect(routed([pdf, big], "a.pdf")).toEqual(["pdf", "big"])
    const first = Router.compile(settings([big, pdf], { dispatch: "first" }))
    expect(decided(first, "a.pdf").placed.map((one) => one.route)).toEqual(["big"])
    expect(decided(first, "a.pdf", { size: 999 }).placed.map((one) => one.route)).toEqual(["pdf"])
  })

  it("is the folder with otherwise where no other wants it, wherever it stands", () => {
    expect(routed([rest, pdf], "a.pdf")).toEqual(["pdf"])
    expect(routed([rest, pdf], "a.txt")).toEqual(["rest"])
    expect(routed([folder("rest", { otherwise: true, extensions: ["txt"] }), pdf], "a.png")).toEqual([])
  })

  it("takes bounds of size and age as they stand", () => {
    const range = (rule: Rule) => Router.compile(settings([folder("a", { rules: [rule] })]))
    const size = range({ _tag: "Size", min: 10, max: 20 })
    expect([9, 10, 20, 21].map((bytes) => decided(size, "a", { size: bytes }).placed.length)).toEqual([0, 1, 1, 0])
    const age = range({ _tag: "Age", min: 10, max: 20 })
    expect([9, 10, 20, 21].map((old) => decided(age, "a", { mtime: now - old }).placed.length)).toEqual([0, 1, 1, 0])
    // a clock that is ahead makes a file new, not old
    expect(decided(range({ _tag: "Age", min: null, max: 5 }), "a", { mtime: now + day }).placed).toHaveLength(1)
  })

  it("says when age alone may change the answer", () => {
    const rules: ReadonlyArray<Rule> = [{ _tag: "Age", min: 30 * day, max: null }]
    const old = folder("old", { rules, extensions: ["log"] })
    const at = (routes: ReadonlyArray<Route>, path: string, more = {}) =>
      decided(Router.compile(settings(routes, more)), path).until
    expect(at([old], "a.log")).toBe(now + 29 * day)
    expect(at([old], "a.txt")).toBeNull()
    expect(at([old, pdf], "a.pdf")).toBeNull()
    expect(at([old, folder("all")], "a.log")).toBe(now + 29 * day)
    expect(at([folder("all"), old], "a.log", { dispatch: "first" })).toBeNull()
    expect(at([folder("new", { rules: [{ _tag: "Age", min: null, max: 2 * day }] })], "a.log")).toBeNull()
    const notNew: Rule = { _tag: "Not", rule: { _tag: "Age", min: null, max: 2 * day } }
    expect(at([folder("a", { rules: [notNew] })], "a.log")).toBe(now + day + 1)
    expect(at([folder("a", { rules: [notNew, ...rules] })], "a.log")).toBe(now + 29 * day)
    expect(at([folder("a", { rules: [{ _tag: "Any", rules: [notNew, ...rules] }] })], "a.log")).toBe(now + day + 1)
    expect(at([folder("a", { rules: [...rules, { _tag: "Size", min: 5000, max: null }] })], "a.log")).toBeNull()
  })

  it("is another at that time, and not before", () => {
    const at = fc.constantFrom(0, 1, 5, 1000, day)
    const age = fc.record({ min: fc.option(at), max: fc.option(at) }).map((range): Rule => ({ _tag: "Age", ...range }))
    const rule = fc.oneof(
      age,
      age.map((one): Rule => ({ _tag: "Not", rule: one })),
      fc.array(age, { minLength: 1, maxLength: 3 }).map((rules): Rule => ({ _tag: "Any", rules })),
      fc.array(age, { minLength: 1, maxLength: 3 }).map((rules): Rule => ({ _tag: "All", rules }))
    )
    fc.assert(
      fc.property(rule, fc.constantFrom(now, now - 1, now - 4.5, now + 3, now - day), (one, mtime) => {
        const router = Router.compile(settings([folder("a", { rules: [one] })]))
        const wants = (time: number) => {
          const decision = router.route(source, file("a", { mtime }), time)
          if (decision === "read") throw new Error("nothing is to be read")
          return decision
        }
        const { placed, until } = wants(now)
        if (placed.length > 0) return
        // whenever it wants it later, that is not before it was said
        for (const later of [1, 2, 4, 5, 6, 7, 10, 999, 1000, 1001, day, day + 1, 2 * day]) {
          if (wants(now + later).placed.length > 0) expect(until ?? Infinity).toBeLessThanOrEqual(now + later)
        }
        if (until !== null) expect(until).toBeGreaterThan(now)
      }),
      { numRuns: 400 }
    )
  })
})

describe("reading", () => {
  const image = folder("image", { rules: [{ _tag: "Mime", types: ["image/*"] }] })
  const invoice = folder("invoice", {
    extensions: ["pdf"],
    rules: [{ _tag: "Content", text: null, pattern: "Invoice (?P<nr>\\d+)", within: 1000 }]
  })
  const png = { mime: "image/png", text: null }
  const text = { mime: "application/pdf", text: "Invoice 4711" }

  it("is asked for only where a rule needs it, and nothing cheaper has decided", () => {
    const router = Router.compile(settings([invoice, route("txt", ["txt"])]))
    expect(router.route(source, file("a.txt"), now)).not.toBe("read")
    expect(router.route(source, file("a.pdf"), now)).toBe("read")
    const first = (routes: ReadonlyArray<Route>) => Router.compile(settings(routes, { dispatch: "first" }))
    expect(first([route("pdf", ["pdf"]), image]).route(source, file("a.pdf"), now)).not.toBe("read")
    expect(first([image, route("pdf", ["pdf"])]).route(source, file("a.pdf"), now)).toBe("read")
    const small = folder("small", {
      rules: [
        { _tag: "Mime", types: ["image/*"] },
        { _tag: "Size", min: null, max: 10 }
      ]
    })
    expect(Router.compile(settings([small])).route(source, file("a"), now)).not.toBe("read")
  })

  it.effect("goes by the bytes, reads each thing once, and no more than is asked", () =>
    Effect.gen(function* () {
      const router = Router.compile(
        settings([image, invoice, folder("pdf", { rules: [{ _tag: "Mime", types: ["application/pdf"] }] })])
      )
      expect(yield* read(router, "a.txt", png)).toMatchObject({ routes: ["image"], asked: ["mime"] })
      const both = yield* read(router, "a.pdf", text)
      expect(both).toMatchObject({ routes: ["invoice", "pdf"], asked: ["mime", "text 1000"] })
      expect(both.placed[0]?.facts).toEqual({
        mime: "application/pdf",
        sha256: null,
        groups: { nr: "4711" },
        counter: null
      })
      expect(yield* read(router, "a.pdf", { mime: null, text: null })).toMatchObject({ routes: [] })
      const first = Router.compile(settings([image, invoice], { dispatch: "first" }))
      expect(yield* read(first, "a.pdf", png)).toMatchObject({ routes: ["image"], asked: ["mime"] })
    })
  )

  it.effect("is asked for by the templates of those that want it", () =>
    Effect.gen(function* () {
      const named = folder("named", {
        extensions: ["bin"],
        targets: [targetOf("/out", { rename: "{mime}/{sha256:8}-{name}" })]
      })
      const router = Router.compile(settings([named, folder("all")]))
      expect(router.route(source, file("a.txt"), now)).not.toBe("read")
      expect(router.route(source, file("a.bin"), now)).toBe("read")
      const { asked, names } = yield* read(router, "a.bin", png)
      expect(names).toEqual([`image_png/${sha256.slice(0, 8)}-a.bin`, "a.bin"])
      expect(asked).toEqual(["mime", "sha256"])

      const header = {
        ...targetOf("/out"),
        secrets: { ...targetOf("/out").secrets, headers: [["x-type", Redacted.make("{mime}")] as const] }
      }
      const sent = Router.compile(settings([folder("header", { targets: [header] })]))
      expect(sent.route(source, file("a"), now)).toBe("read")
      expect((yield* read(sent, "a", png)).placed[0]?.facts?.mime).toBe("image/png")

      const archive: Source = { ...source, after: { _tag: "Archive", template: "/done/{mime}/{name}" } }
      const archived = Router.compile(settings([route("txt", ["txt"])], { sources: [archive] }))
      expect(archived.route(archive, file("a.txt"), now)).toBe("read")
      expect(archived.route(archive, file("a.bin"), now)).not.toBe("read")
    })
  )

  it.effect("that fails is nobody's no", () =>
    Effect.gen(function* () {
      const gone = new FactsError({ file: "a", reason: "it is gone" })
      const bytes = { mime: gone, text: () => gone, sha256: gone }
      const router = Router.compile(settings([image]))
      expect(yield* Effect.either(router.read(source, file("a"), now, bytes))).toEqual(Either.left(gone))
    })
  )
})

describe("a placement", () => {
  it("has the priority and the rank of its folder", () => {
    const order = (one: Route["order"]) =>
      decided(Router.compile(settings([folder("a", { order: one, priority: 7 })])), "a", { size: 5, mtime: 9 })
        .placed[0]
    expect(order("arrival")).toMatchObject({ priority: 7, rank: 0 })
    expect(order("oldest")).toMatchObject({ rank: 9 })
    expect(order("smallest")).toMatchObject({ rank: 5 })
    expect(order("largest")).toMatchObject({ rank: -5 })
  })

  it("has the groups of what matched as variables, and not those of what did not", () => {
    const rules: ReadonlyArray<Rule> = [
      {
        _tag: "Any",
        rules: [
          { _tag: "Regex", pattern: "^order-(?P<order>\\d+)" },
          { _tag: "Regex", pattern: "^(?P<kind>invoice|letter)-(?P<nr>\\d+)(?P<none>x)?" }
        ]
      }
    ]
    const out = folder("a", { rules, targets: [targetOf("/out", { rename: "{kind}/{nr}/{name}" })] })
    const [placed] = decided(Router.compile(settings([out])), "in/invoice-12.pdf").placed
    expect(placed).toMatchObject({
      name: "invoice/12/invoice-12.pdf",
      facts: { groups: { kind: "invoice", nr: "12" } }
    })
    expect(placed?.facts?.groups).not.toHaveProperty("order")
    expect(placed?.facts?.groups).not.toHaveProperty("none")
  })

  it("is counted once for each file and folder, and only where a template wants a number", () => {
    const asked: Array<string> = []
    const counter = (name: string) => asked.push(name)
    const counted = folder("c", {
      extensions: ["txt"],
      targets: [targetOf("/out", { rename: "{counter:3}-{name}" }), targetOf("/two", { rename: "{counter}/{name}" })]
    })
    const router = Router.compile(settings([counted, folder("all")]), { counter })
    expect(decided(router, "a.txt").placed.map(({ name }) => name)).toEqual(["001-a.txt", "1/a.txt", "a.txt"])
    expect(decided(router, "b.txt").placed.map(({ name }) => name)).toEqual(["002-b.txt", "2/b.txt", "b.txt"])
    expect(decided(router, "b.pdf").placed).toHaveLength(1)
    expect(asked).toEqual(["c", "c"])
  })

  it("has the suffix of what is done on the way", () => {
    const gzip = { decompress: null, compress: "gzip", age: ["age1"] } as const
    const out = folder("a", { targets: [targetOf("/out", { options: { transform: gzip, names: "portable" } })] })
    expect(decided(Router.compile(settings([out])), "x/CON").placed[0]?.name).toBe("x/%43ON.gz.age")
  })
})

describe("hostile names and rules", () => {
  it.each(["(a+)+$", "(a|a)*b", "(.*)*(.*)*(.*)*x", "(?P<g>(?:a{1,30}){1,30})$"])("%s takes no time", (pattern) => {
    const router = Router.compile(settings([folder("a", { rules: [{ _tag: "Regex", pattern }] })]))
    const begin = performance.now()
    for (const name of ["a".repeat(255), `${"a".repeat(254)}!`, "a".repeat(16_000)])
      router.route(source, file(name), now)
    expect(performance.now() - begin).toBeLessThan(20_000)
  })

  it("a path longer than any can be is nobody's", () => {
    const rules: ReadonlyArray<Rule> = [{ _tag: "Exclude", globs: ["*a*a*a*a*b"] }]
    const given = settings([folder("a", { rules }), folder("all")])
    const long = "ab/".repeat(3_500_000)
    const begin = performance.now()
    expect(decided(Router.compile(given), long).placed).toEqual([])
    const explained = Effect.runSync(
      Router.explain(
        given,
        source,
        { path: RelPath.make(long), found: file(long) },
        now,
        bytesOf({ mime: null, text: "" })
      )
    )
    expect(explained.locations).toEqual([])
    expect(performance.now() - begin).toBeLessThan(20_000)
  })

  it("a name that is not UTF-8 is matched by what can be said of it", () => {
    const by = (rule: Rule) => routed([folder("a", { rules: [rule] })], "dir/x\udcff\udc80.pdf").length
    expect(by({ _tag: "Glob", globs: ["**/x*.pdf"] })).toBe(1)
    expect(by({ _tag: "Glob", globs: ["**/x??.pdf"] })).toBe(1)
    expect(by({ _tag: "Regex", pattern: "^x..\\.pdf$" })).toBe(1)
    expect(by({ _tag: "Regex", pattern: "^x[[:ascii:]]+$" })).toBe(0)
    expect(by({ _tag: "Regex", pattern: "\\x{ff}" })).toBe(0)
    expect(by({ _tag: "Extensions", extensions: ["pdf"] })).toBe(1)
  })
})
