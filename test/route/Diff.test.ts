import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, FastCheck as fc, Stream } from "effect"
import type { Route, Source } from "../../src/domain/Settings.ts"
import { FactsError, FileFacts } from "../../src/files/FileFacts.ts"
import * as FileFactsMemory from "../../src/files/FileFactsMemory.ts"
import * as Diff from "../../src/route/Diff.ts"
import type { Rules } from "../../src/route/Ruleset.ts"
import { found, route, rules, source, to } from "./rules.ts"

const noBytes = () => null

const seen = (path: string, directory = "/in"): Diff.Seen => ({
  directory,
  found: found(path),
  now: 1_000_000,
  bytes: noBytes
})

const compare = (from: Rules, into: Rules, path: string, directory?: string) =>
  Diff.compile(from, into).compare(seen(path, directory))

const pdfs = route("pdfs", { extensions: ["pdf"] })
const texts = route("texts", { extensions: ["txt"] })

describe("Diff.compile", () => {
  const before = rules([pdfs, texts])

  it("tells what goes elsewhere, is dropped, is new, and stays", () => {
    const after = rules([
      route("pdfs", { extensions: ["pdf"], targets: [to("/out/papers")] }),
      route("films", { extensions: ["mp4"] })
    ])
    expect(compare(before, after, "x/a.pdf")).toEqual({
      kind: "elsewhere",
      file: "/in/x/a.pdf",
      from: ["/out/pdfs/x/a.pdf"],
      to: ["/out/papers/x/a.pdf"]
    })
    expect(compare(before, after, "a.txt")).toMatchObject({ kind: "dropped", from: ["/out/texts/a.txt"], to: [] })
    expect(compare(before, after, "a.mp4")).toMatchObject({ kind: "new", from: [], to: ["/out/films/a.mp4"] })
    expect(compare(before, after, "a.xyz")).toBe(null)
    expect(compare(before, before, "a.pdf")).toBe(null)
  })

  it("a place more or less is a change; another order, another folder or another number is none", () => {
    const twice = (...urls: ReadonlyArray<string>) => rules([route("pdfs", { targets: urls.map((url) => to(url)) })])
    expect(compare(twice("/a", "/b"), twice("/a"), "f")).toMatchObject({ kind: "elsewhere" })
    expect(compare(twice("/a"), twice("/a", "/b"), "f")).toMatchObject({ kind: "elsewhere" })
    expect(compare(twice("/a", "/b"), twice("/b", "/a"), "f")).toBe(null)
    expect(compare(twice("/a"), rules([route("other", { targets: [to("/a")] })]), "f")).toBe(null)
    const numbered = [route("n", { targets: [to("/a", { rename: "{counter}-{name}" })] })]
    const comparison = Diff.compile(rules(numbered), rules([pdfs, ...numbered]))
    for (const name of ["a.pdf", "b.txt", "c.txt"]) {
      const change = comparison.compare(seen(name))
      expect(typeof change === "object" ? change?.kind : change).toBe(name === "a.pdf" ? "elsewhere" : undefined)
    }
  })

  it("a name, and what a file is on its way to, are part of the place", () => {
    const named = (rename: string) => rules([route("r", { targets: [to("/a", { rename })] })])
    expect(compare(named("{relpath}"), named("new/{name}"), "x/f")).toMatchObject({ to: ["/a/new/f"] })
    const zipped = rules([
      route("r", {
        targets: [to("/a", { options: { transform: { decompress: null, compress: "gzip", age: [] } } })]
      })
    ])
    expect(compare(named("{relpath}"), zipped, "f")).toMatchObject({ from: ["/a/f"], to: ["/a/f.gz"] })
    const form = (rename: string) => rules([route("r", { targets: [to("https://host/up", { rename })] })])
    expect(compare(form("{relpath}"), form("new-{name}"), "f")).toMatchObject({
      from: ["https://host/up as f"],
      to: ["https://host/up as new-f"]
    })
  })

  it("sources are those of each config, by their directories", () => {
    const of = (...sources: ReadonlyArray<Source>) => rules([route("all")], { sources })
    // a source less, one more, one that excludes it, that no longer goes below
    expect(compare(of(source("/in")), of(source("/other")), "f")).toMatchObject({ kind: "dropped" })
    expect(compare(of(source("/other")), of(source("/in")), "f")).toMatchObject({ kind: "new" })
    expect(compare(of(source("/in")), of(source("/in", { exclude: ["*.tmp"] })), "f.tmp")).toMatchObject({
      kind: "dropped"
    })
    expect(compare(of(source("/in")), of(source("/in", { recursive: false })), "x/f")).toMatchObject({
      kind: "dropped"
    })
    expect(compare(of(source("/in")), of(source("/in", { marker: "{name}.done" })), "f.done")).toMatchObject({
      kind: "dropped"
    })
    // another root is another path below the target
    expect(compare(of(source("/in")), of(source("/in/x")), "x/f")).toMatchObject({
      from: ["/out/all/x/f"],
      to: ["/out/all/f"]
    })
    // both take it
    expect(compare(of(source("/in")), of(source("/in"), source("/in/x")), "x/f")).toMatchObject({
      kind: "elsewhere",
      to: ["/out/all/x/f", "/out/all/f"]
    })
    expect(compare(of(source("/in", { exclude: ["**"] })), of(source("/in", { exclude: ["**"] })), "f")).toBe("untaken")
  })

  it("what lies in no source is judged as if it lay in the first", () => {
    expect(compare(before, rules([texts, pdfs], { sources: [source("/else")] }), "a.pdf", "/home")).toBe(null)
    expect(compare(before, rules([texts]), "a.pdf", "/home")).toMatchObject({
      kind: "dropped",
      file: "/home/a.pdf",
      from: ["/out/pdfs/a.pdf"]
    })
    expect(compare(before, rules([texts], { sources: [source("/in2")] }), "a.pdf", "/in2")).toBe(null)
  })

  it("a name can't end a line, move a cursor, or turn the direction", () => {
    const name = "a\nb\u001b[2J\u202egpj.\u0085\udcff\\"
    const after = rules([route("new", { targets: [to("/new", { rename: "{stem}-{name}" })] })])
    const change = compare(rules([route("all")]), after, name)
    expect(change).toMatchObject({ file: "/in/a\\u{a}b\\u{1b}[2J\\u{202e}gpj.\\u{85}\\xff\\\\" })
    const text = typeof change === "object" && change !== null ? Diff.line(change) + JSON.stringify(change) : ""
    // oxlint-disable-next-line no-control-regex
    expect(text).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ud800-\udfff]/)
  })
})

describe("Diff.summarize", () => {
  const contents = route("letters", {
    rules: [{ _tag: "Content", text: "dear", pattern: null, within: 100 }]
  })
  const images = route("images", { rules: [{ _tag: "Mime", types: ["image/*"] }] })

  it.effect("reads a file where a rule asks, once for both configs; what can't be read is said", () => {
    const reads: Array<string> = []
    return Effect.gen(function* () {
      const { of } = yield* FileFacts
      const files = ["a.pdf", "b", "c", "gone"].map((path): Diff.Seen => {
        const file = found(path)
        return { directory: "/in", found: file, now: 0, bytes: () => of("/in", file) }
      })
      const told: Array<string> = []
      const undecided: Array<string> = []
      const summary = yield* Diff.summarize(
        Diff.compile(rules([pdfs, images]), rules([pdfs, contents, images])),
        Stream.fromIterable([...files, seen("forgotten")]),
        {
          change: (change) => Effect.sync(() => told.push(Diff.line(change))),
          undecided: (file, reason) => Effect.sync(() => undecided.push(`${file}: ${reason}`))
        }
      )
      expect(told).toEqual(["/in/a.pdf: -> /out/letters/a.pdf", "/in/b: -> /out/letters/b"])
      expect(undecided).toEqual(["/in/gone: it is gone", "/in/forgotten: it can't be read any more"])
      expect(summary).toMatchObject({ files: 5, unchanged: 1, elsewhere: 1, new: 1, dropped: 0, undecided: 2 })
      expect(Diff.describe(summary)).toBe(
        "5 files: 1 would go elsewhere, 1 would be new, 2 can't be judged, 1 unchanged"
      )
    }).pipe(
      Effect.provide(
        FileFactsMemory.layer(
          {
            "a.pdf": { mime: "application/pdf", text: "Dear Sir" },
            b: { mime: "text/plain", text: "Dear Madam" },
            c: { mime: "image/png" },
            gone: { fault: "it is gone" }
          },
          (path, what) => reads.push(`${path} ${what}`)
        )
      )
    )
  })

  it.effect("what nobody can look into any more is judged where that makes no difference", () =>
    Effect.gen(function* () {
      const letters = (place: string) =>
        route("letters", {
          rules: [{ _tag: "Content", text: null, pattern: "dear (?P<who>\\w+)", within: 100 }],
          targets: [to(place, { rename: "{who}/{name}" })]
        })
      const judge = (from: Rules, into: Rules, path: string) =>
        Effect.either(
          Diff.compile(from, into).read(seen(path), {
            mime: new FactsError({ file: path, reason: "no type" }),
            text: () => new FactsError({ file: path, reason: "no text" }),
            sha256: Effect.succeed("")
          })
        )
      const papers = route("papers", { extensions: ["pdf"] })
      // the letters stay as they are
      const before = rules([pdfs, letters("/letters"), images])
      const after = rules([papers, letters("/letters"), images])
      expect(yield* judge(before, after, "a.pdf")).toEqual(
        Either.right({ kind: "elsewhere", file: "/in/a.pdf", from: ["/out/pdfs/a.pdf"], to: ["/out/papers/a.pdf"] })
      )
      expect(yield* judge(before, after, "a.txt")).toEqual(Either.right(null))
      // they go elsewhere, if it is one
      expect(yield* judge(before, rules([pdfs, letters("/mail"), images]), "a.txt")).toMatchObject({
        left: { _tag: "FactsError" }
      })
      expect(yield* judge(before, rules([pdfs, images]), "a.txt")).toMatchObject({ left: { _tag: "FactsError" } })
      // the first one takes it, whichever that is
      const first = { dispatch: "first" } as const
      expect(
        yield* judge(rules([letters("/letters"), pdfs], first), rules([letters("/letters"), papers], first), "a.pdf")
      ).toMatchObject({ left: { _tag: "FactsError" } })
    })
  )

  it.effect("asks for no bytes that only headers and the source's end need", () =>
    Effect.gen(function* () {
      const archived: ReadonlyArray<Source> = [
        source("/in", { after: { _tag: "Archive", template: "/done/{sha256:8}/{name}" } })
      ]
      const summary = yield* Diff.summarize(
        Diff.compile(rules([pdfs], { sources: archived }), rules([texts], { sources: archived })),
        Stream.make(seen("a.pdf"))
      )
      expect(summary).toMatchObject({ dropped: 1, undecided: 0 })
    })
  )

  it.effect("keeps some examples of each kind, whatever the number", () =>
    Effect.gen(function* () {
      const summary = yield* Diff.summarize(
        Diff.compile(rules([pdfs]), rules([texts])),
        Stream.range(1, 20_000).pipe(Stream.map((index) => seen(index % 2 === 0 ? `${index}.pdf` : `${index}.txt`)))
      )
      expect(summary).toMatchObject({ files: 20_000, dropped: 10_000, new: 10_000, unchanged: 0 })
      expect(summary.examples.map(({ kind }) => kind).toSorted()).toEqual([
        "dropped",
        "dropped",
        "dropped",
        "new",
        "new",
        "new"
      ])
    })
  )

  const anyRoute = fc
    .record({
      name: fc.constantFrom("a", "b", "c"),
      extensions: fc.constantFrom(undefined, ["pdf"], ["txt", "pdf"]),
      otherwise: fc.boolean(),
      place: fc.constantFrom("/x", "/y", "/z")
    })
    .map(({ place, ...fields }): Route => route(fields.name, { ...fields, targets: [to(place)] }))
  const anyRules = fc
    .tuple(fc.array(anyRoute, { maxLength: 4 }), fc.constantFrom("all" as const, "first" as const))
    .map(([routes, dispatch]) => rules(routes, { dispatch }))
  const anyPath = fc.constantFrom("a.pdf", "b.txt", "c", "x/d.pdf")

  it("a config differs in nothing from itself, and backwards a change is its opposite", () => {
    fc.assert(
      fc.property(anyRules, anyRules, anyPath, (one, other, path) => {
        expect(compare(one, one, path)).toBe(null)
        const there = compare(one, other, path)
        const back = compare(other, one, path)
        if (there === null || typeof there === "string") {
          expect(back).toBe(there)
          return
        }
        const opposite = { elsewhere: "elsewhere", dropped: "new", new: "dropped" } as const
        expect(back).toEqual({ ...there, kind: opposite[there.kind], from: there.to, to: there.from })
      })
    )
  })
})
