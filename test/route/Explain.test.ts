import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Schema } from "effect"
import { Explanation } from "../../src/domain/Explanation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { Rule } from "../../src/domain/Rule.ts"
import type { Source } from "../../src/domain/Settings.ts"
import type { Bytes } from "../../src/files/FileFacts.ts"
import * as ExplainRules from "../../src/route/ExplainRules.ts"
import * as Router from "../../src/route/Router.ts"
import {
  anyContent,
  anyFile,
  anyFolders,
  bytesOf,
  day,
  file,
  folder,
  now,
  route,
  settings,
  source,
  targetOf,
  type Rules
} from "./fixtures.ts"

interface Known {
  readonly exists?: boolean
  readonly bytes?: Bytes | null
  readonly source?: Source
}

const explain = (given: Rules, path: string, { bytes = null, exists = true, source: from = source }: Known = {}) =>
  Effect.runSync(
    Router.explain(given, from, { path: RelPath.make(path), found: exists ? file(path) : null }, now, bytes)
  )

const image: Rule = { _tag: "Mime", types: ["image/*"] }
const png = bytesOf({ mime: "image/png", text: null })

describe("explain", () => {
  const given = settings([
    route("docs", ["pdf"], "/out/x"),
    route("all", undefined, "/out/x", "/out/y"),
    route("img", ["png"])
  ])

  it("says for each folder what it wanted and what the file had", () => {
    const explained = explain(given, "a.PDF")
    expect(Schema.encodeSync(Explanation)(explained)).toEqual(explained)
    expect(explained.locations).toEqual(["/out/x/a.PDF", "/out/y/a.PDF"])
    expect(explained.folders.map((one) => one.matched)).toEqual([true, true, false])
    expect(explained.folders[1]?.locations).toMatchObject([
      { location: "/out/x/a.PDF", sameAs: "docs" },
      { location: "/out/y/a.PDF", sameAs: null }
    ])
    expect(explained.folders[2]?.predicates).toEqual([
      { predicate: "extensions", wanted: "one of png", had: "pdf", matched: false }
    ])
    expect(explained.summary).toBe("a.PDF goes to /out/x/a.PDF, /out/y/a.PDF.")
  })

  it("names the glob of the source that leaves it out", () => {
    const explained = explain(given, "a.part")
    expect(explained.locations).toEqual([])
    expect(explained.source).toMatchObject({
      accepted: false,
      predicates: [{ predicate: "exclude", had: "a.part matches **/*.part" }]
    })
    expect(explained.summary).toContain("is not taken from inbox")
  })

  it("says so where no folder wants it, and where a flat source does not look", () => {
    const none = explain(settings([route("img", ["png"])]), "a.b.c")
    expect(none.summary).toBe("a.b.c stays where it is: none of 1 folder wants c, b.c.")
    const flat = explain(given, "d/a.pdf", { source: { ...source, recursive: false } })
    expect(flat.source.accepted).toBe(false)
    expect(flat.source.predicates.at(-1)).toMatchObject({ predicate: "recursive", matched: false })
  })

  it("says what the source still waits for", () => {
    const young = explain(given, "a.pdf", { source: { ...source, minAge: 2 * day, marker: "{name}.done" } })
    expect(young.source.accepted).toBe(false)
    expect(young.source.predicates.slice(-2)).toEqual([
      { predicate: "minAge", wanted: "at least 2d", had: "1d", matched: false },
      {
        predicate: "marker",
        wanted: "a file {name}.done that says it is complete",
        had: "unknown: it was not looked for",
        matched: null
      }
    ])
  })

  it("shows every predicate, also those that were decided without it, and the parts of groups", () => {
    const rules: ReadonlyArray<Rule> = [
      { _tag: "Size", min: 2048, max: null },
      { _tag: "Any", rules: [image, { _tag: "Not", rule: { _tag: "Glob", globs: ["*.pdf"] } }] },
      { _tag: "Age", min: null, max: 2 * day },
      { _tag: "Content", text: "Order", pattern: null, within: 100 }
    ]
    const { folders } = explain(settings([folder("a", { rules })]), "x.pdf", { bytes: png })
    expect(folders[0]?.predicates).toEqual([
      { predicate: "extensions", wanted: "any", had: "pdf", matched: true },
      { predicate: "size", wanted: "at least 2 KiB", had: "1000 bytes", matched: false },
      {
        predicate: "any",
        wanted: "one of its parts",
        had: "1 of 2 holds",
        matched: true,
        parts: [
          { predicate: "mime", wanted: "one of image/*", had: "image/png", matched: true },
          {
            predicate: "not",
            wanted: "not its part",
            had: "1 of 1 holds",
            matched: false,
            parts: [{ predicate: "glob", wanted: "one of *.pdf", had: "x.pdf matches *.pdf", matched: true }]
          }
        ]
      },
      { predicate: "age", wanted: "at most 2d", had: "1d", matched: true },
      {
        predicate: "content",
        wanted: '"Order" in any case in the first 100 characters',
        had: "it is an encrypted PDF",
        matched: false
      }
    ])
  })

  it("leaves open what only a file can say that is not there, or was not read", () => {
    const small = folder("small", { rules: [{ _tag: "Size", min: null, max: 10 }] })
    const photos = folder("photos", { rules: [image], targets: [targetOf("/p", { rename: "{mime}/{name}" })] })
    const named = settings([small, photos, route("txt", ["txt"])])
    const absent = explain(named, "a.txt", { exists: false })
    expect(absent).toMatchObject({ exists: false, decided: false, locations: ["/out/txt/a.txt"] })
    expect(absent.folders.map(({ gets }) => gets)).toEqual([null, null, true])
    expect(absent.folders[0]?.predicates[1]).toMatchObject({ had: "unknown: there is no such file", matched: null })
    expect(absent.folders[1]?.locations).toMatchObject([{ name: "{mime}/{name}" }])
    expect(absent.summary).toBe(
      "a.txt goes to /out/txt/a.txt; what small, photos would do can't be said without the file."
    )
    const unread = explain(named, "a.txt")
    expect(unread.folders.map(({ gets }) => gets)).toEqual([false, null, true])
    expect(unread.folders[1]?.predicates[1]).toMatchObject({ had: "unknown: it was not read" })
  })

  it("says in words why a folder that matches does not get it", () => {
    const rest = folder("rest", { otherwise: true })
    const why = (routes: Parameters<typeof settings>[0], dispatch: "all" | "first", known: Known = {}) =>
      explain(settings(routes, { dispatch }), "a.pdf", known).folders.map(({ gets, why: text }) => [gets, text])
    const pdf = route("pdf", ["pdf"])
    const photos = folder("photos", { rules: [image] })
    const first = "dispatch is first, and the folder pdf took it before"
    expect(why([pdf, folder("all"), rest], "first")).toEqual([
      [true, null],
      [false, first],
      [false, "it takes only what no other folder wants, and the folder pdf does"]
    ])
    expect(why([photos, pdf, rest], "first")).toEqual([
      [null, null],
      [null, "dispatch is first, and the folder photos may take it before"],
      [false, "it takes only what no other folder wants, and the folder pdf does"]
    ])
    expect(why([photos, rest], "all")).toEqual([
      [null, null],
      [null, "it takes only what no other folder wants, and the folder photos may"]
    ])
  })

  it("says what would happen on a conflict, and what is done on the way", () => {
    const transform = { decompress: { limit: 1 }, compress: "zstd", age: ["age1", "age2"] } as const
    const out = folder("a", {
      targets: [
        targetOf("/out", { rename: "{counter:4}-{name}", options: { conflict: "skip", transform } }),
        targetOf("/two", { rename: "{stem}-{counter}" })
      ]
    })
    expect(explain(settings([out]), "a.txt").folders[0]?.locations).toEqual([
      {
        location: "/out/{counter}-a.txt.zst.age",
        sameAs: null,
        name: "{counter}-a.txt.zst.age",
        conflict: "the file that is there stays, and this one is not sent",
        transform: "decompressed, then compressed with zstd, then encrypted with age to 2 recipients"
      },
      {
        location: "/two/a-{counter}",
        sameAs: null,
        name: "a-{counter}",
        conflict: "the file that is there is overwritten",
        transform: null
      }
    ])
  })

  it("says when its age will bring it elsewhere", () => {
    const old = folder("old", { rules: [{ _tag: "Age", min: 3 * day, max: null }] })
    expect(explain(settings([old]), "a").until).toBe(now + 2 * day)
    expect(explain(given, "a").until).toBeNull()
  })

  it("has nothing in it that moves a cursor or ends a line", () => {
    const hostile = "a\u001b[2J\n\u202eb\udcff"
    const rules: ReadonlyArray<Rule> = [
      { _tag: "Glob", globs: [hostile] },
      { _tag: "Regex", pattern: "(?P<all>(?s).*)" },
      { _tag: "Content", text: hostile, pattern: "(?P<text>(?s).*)", within: 100 }
    ]
    const bytes = bytesOf({ mime: hostile, text: hostile })
    const given = settings([folder("a", { rules: [...rules, image] })], { sources: [source] })
    const said = JSON.stringify(explain(given, `d/${hostile}`, { bytes }))
    expect(JSON.parse(said)).toBeDefined()
    expect(
      // oxlint-disable-next-line no-control-regex
      Object.values(strings(JSON.parse(said))).filter((text) => /[\u0000-\u001f\u202e\ud800-\udfff]/.test(text))
    ).toEqual([])
  })

  it("never says of a file that is not there what it does not do once it is", () => {
    fc.assert(
      fc.property(
        anyFolders,
        anyFile,
        anyContent,
        fc.constantFrom("all" as const, "first" as const),
        (routes, one, content, dispatch) => {
          const given = settings(routes, { dispatch })
          const known = (found: boolean, bytes: Bytes | null) =>
            Effect.runSync(
              Router.explain(given, source, { path: one.path, found: found ? one : null }, now, bytes)
            ).folders.map(({ gets }) => gets)
          const all = known(true, bytesOf(content))
          expect(all).not.toContain(null)
          for (const some of [known(false, null), known(true, null)]) {
            expect(some.map((gets, index) => (gets === null ? all[index] : gets))).toEqual(all)
          }
        }
      ),
      { numRuns: 150 }
    )
  })
})

/** All texts in it. */
const strings = (value: unknown): ReadonlyArray<string> =>
  typeof value === "string"
    ? [value]
    : typeof value === "object" && value !== null
      ? Object.values(value).flatMap(strings)
      : []

describe("in words", () => {
  it.each([
    [0, "0 bytes"],
    [1, "1 byte"],
    [1000, "1000 bytes"],
    [1024, "1 KiB"],
    [1536, "1536 bytes"],
    [10 * 1024 ** 2, "10 MiB"],
    [1024 ** 4, "1 TiB"]
  ])("%d is %s", (size, expected) => expect(ExplainRules.bytes(size)).toBe(expected))

  it.each([
    [0, "0s"],
    [1, "1ms"],
    [90_000, "1m 30s"],
    [day + 1, "1d 1ms"],
    [30 * day, "30d"]
  ])("%d ms are %s", (time, expected) => expect(ExplainRules.duration(time)).toBe(expected))
})
