/**
 * What the config says of the files that a folder takes.
 */
import { describe, expect } from "@effect/vitest"
import { Effect, Either, FastCheck, Schema } from "effect"
import { Rule } from "../../src/domain/Rule.ts"
import * as Router from "../../src/route/Router.ts"
import { check, it_, problems } from "./harness.ts"

const routes = (folders: string, head = "source: ./in\n") =>
  Effect.map(check(`${head}folders:\n${folders}`), ({ settings }) => settings.routes)

describe("matchers", () => {
  it_("become rules", () =>
    Effect.gen(function* () {
      const [first, second] = yield* routes(
        `
  - path: /a
    extensions: [.PDF]
    exclude: ["tmp/**"]
    sources: [in]
    match:
      extensions: [pdf, Tar.GZ]
      glob: "docs/**"
      regex: '^(?<kind>[a-z]+)-(?P<no>[0-9]+)'
      mime: [Image/*, application/pdf]
      size: { min: 1KiB, max: 10MiB }
      age: { max: 7d }
      content: { regex: 'Date: (?<year>20\\d\\d)', within: 1000 }
      not: [{ content: draft }, { glob: "*.x", size: { min: 0 } }]
      any:
        - { regex: "(?<who>x)" }
        - { content: { text: Y } , not: { any: [{ mime: text/plain }] } }
    rename: "{kind}/{year}/{no}-{who}.{ext}"
  - path: /b
    otherwise: "true"
    sources: [in]
`,
        `sources: [{ path: ./in }]\n`
      )
      expect(first).toMatchObject({ extensions: ["pdf"], otherwise: false })
      expect(first?.rules).toEqual([
        { _tag: "Sources", sources: ["in"] },
        { _tag: "Exclude", globs: ["tmp/**"] },
        { _tag: "Extensions", extensions: ["pdf", "tar.gz"] },
        { _tag: "Glob", globs: ["docs/**"] },
        { _tag: "Regex", pattern: "^(?<kind>[a-z]+)-(?P<no>[0-9]+)" },
        { _tag: "Size", min: 1024, max: 10 * 1024 ** 2 },
        { _tag: "Age", min: null, max: 7 * 86_400_000 },
        {
          _tag: "Any",
          rules: [
            { _tag: "Regex", pattern: "(?<who>x)" },
            {
              _tag: "All",
              rules: [
                { _tag: "Content", text: "Y", pattern: null, within: 65_536 },
                { _tag: "Not", rule: { _tag: "Any", rules: [{ _tag: "Mime", types: ["text/plain"] }] } }
              ]
            }
          ]
        },
        { _tag: "Mime", types: ["image/*", "application/pdf"] },
        { _tag: "Content", text: null, pattern: "Date: (?<year>20\\d\\d)", within: 1000 },
        { _tag: "Not", rule: { _tag: "Content", text: "draft", pattern: null, within: 65_536 } },
        {
          _tag: "Not",
          rule: {
            _tag: "All",
            rules: [
              { _tag: "Glob", globs: ["*.x"] },
              { _tag: "Size", min: 0, max: null }
            ]
          }
        }
      ])
      expect(first?.targets[0]?.rename).toBe("{kind}/{year}/{no}-{who}.{ext}")
      expect(second).toMatchObject({ otherwise: true, extensions: undefined })
    })
  )

  it_("may share a group in alternatives, and a glob with extensions that it can end in", () =>
    Effect.gen(function* () {
      const { settings, warnings } = yield* check(`source: ./in
folders:
  - { path: "/a/{y}/", match: { any: [{ regex: "(?<y>a)" }, { content: { regex: "(?<y>b)" } }] } }
  - { path: /b, extensions: [gz], match: { glob: ["*.tar.gz", "x/**"] } }
  - { path: /c, extensions: [tar.gz], match: { glob: "*.gz", extensions: [gz] } }
  - { path: /d, extensions: [pdf], match: { glob: "*.{png,PDF}" } }
  - { path: /e, extensions: [pdf], match: { glob: "*.[pP]df" } }
`)
      expect(settings.routes).toHaveLength(5)
      expect(warnings).toEqual([])
    })
  )
})

const simple = {
  glob: FastCheck.constantFrom("**/*.pdf", ["a/*", "b/{c,d}"]),
  regex: FastCheck.constantFrom("^a", "[0-9]+"),
  mime: FastCheck.constantFrom("image/*", ["Text/plain", "application/pdf"]),
  size: FastCheck.constantFrom({ min: "1KiB" }, { min: 1, max: 2 }),
  age: FastCheck.constant({ max: "7d" }),
  content: FastCheck.constantFrom("word", { regex: "w.*d", within: "1KiB" }),
  sources: FastCheck.constant(["in"]),
  exclude: FastCheck.constant(["tmp/**"])
}

/** Groups of matchers as a config may write them. */
const groupOf = (depth: number): FastCheck.Arbitrary<unknown> =>
  depth === 0
    ? FastCheck.record(simple, { requiredKeys: ["glob"] })
    : FastCheck.record(
        {
          ...simple,
          any: FastCheck.array(groupOf(depth - 1), { minLength: 1, maxLength: 2 }),
          not: groupOf(depth - 1)
        },
        { requiredKeys: ["glob"] }
      )

const decode = Schema.decodeUnknownEither(Schema.Array(Rule))

describe("matchers as the journal keeps them", () => {
  it_("are the same when they are read again, and the router knows them all", () =>
    Effect.gen(function* () {
      let tried = 0
      for (const match of FastCheck.sample(groupOf(2), { numRuns: 40, seed: 7 })) {
        const content = JSON.stringify({ source: "./in", folders: [{ path: "/out", match }] })
        const checked = yield* Effect.either(check(content))
        // what is wanted and forbidden at once is refused
        if (checked._tag === "Left") continue
        const { settings } = checked.right
        const rules = settings.routes[0]?.rules ?? []
        expect(decode(JSON.parse(JSON.stringify(rules)))).toEqual(Either.right(rules))
        expect(Router.compile(settings).ruleset).not.toBe("")
        tried += 1
      }
      expect(tried).toBeGreaterThan(20)
    })
  )
})

describe("matchers that are wrong", () => {
  const table: ReadonlyArray<readonly [string, string, ReadonlyArray<string>]> = [
    [
      "globs",
      `
  - { path: /a, match: { glob: "[a" } }
  - { path: /b, match: { glob: ["*.pdf", "{a,b"] } }
  - { path: /c, exclude: ["/x"] }
  - { path: /d, match: { glob: [] } }
  - { path: /e, match: { glob: 5 } }
`,
      [
        `4:32 folders[0].match.glob: "[a": an unclosed [; each bracket closed, or \\ before it`,
        `5:42 folders[1].match.glob[1]: "{a,b": an unclosed {; each bracket closed, or \\ before it`,
        `6:27 folders[2].exclude[0]: "/x": it can match nothing: the path is relative to the source; a pattern without /, ./ or ../ at its beginning`,
        `7:32 folders[3].match.glob: an empty list; a glob, or a list of them`,
        `8:32 folders[4].match.glob: "5": a number can't stand here (quotes make it text); a glob, or a list of them`
      ]
    ],
    [
      "expressions",
      `
  - { path: /a, match: { regex: "(?<!a)b" } }
  - { path: /b, match: { regex: '(a)\\1' } }
  - { path: /c, match: { regex: "(?<x>a)(?<x>b)" } }
  - { path: /d, match: { regex: "*.pdf" } }
  - { path: /e, match: { regex: "(a" } }
  - { path: /f, match: { content: { regex: "a++" } } }
  - { path: /g, match: { regex: "(?<x>a)", content: { regex: "(?<x>b)" } } }
  - { path: /h, match: { content: { regex: "(a{100}){9}", within: 16MiB } } }
`,
      [
        `4:33 folders[0].match.regex: "(?<!a)b": it looks ahead or behind, which may take for ever, so that RE2 has it not; match.not for what must not be there`,
        `5:33 folders[1].match.regex: "(a)\\1": it refers back to a group, which may take for ever, so that RE2 has it not; an expression without \\1 and \\k`,
        `6:33 folders[2].match.regex: "(?<x>a)(?<x>b)": two of its groups are called x; a name of its own for each group`,
        `7:33 folders[3].match.regex: "*.pdf": nothing stands before its *; glob: for a pattern such as *.pdf`,
        expect.stringContaining('8:33 folders[4].match.regex: "(a": missing closing )'),
        `9:44 folders[5].match.content.regex: "a++": RE2 has no possessive or atomic parts; the plain form: nothing takes long here`,
        `10:66 folders[6].match.content.regex: "x": another expression of the folder has a group x, too; a name of its own for each group`,
        expect.stringContaining(
          '11:44 folders[7].match.content.regex: "(a{100}){9}": it is too large for 16777216 characters'
        )
      ]
    ],
    [
      "types, sizes and ages",
      `
  - { path: /a, match: { mime: pdf } }
  - { path: /b, match: { mime: ["*/*", "text/plain; charset=utf-8"] } }
  - { path: /c, match: { size: { min: 2, max: 1 } } }
  - { path: /d, match: { age: { min: 1d, max: 23h } } }
  - { path: /e, match: { size: {} } }
  - { path: /f, match: { size: 10MiB } }
  - { path: /g, match: { size: { min: -1 }, age: { min: soon, most: 1 } } }
`,
      [
        `4:32 folders[0].match.mime: "pdf": not a type; a type such as application/pdf or image/*; the ends of names stand in extensions`,
        `5:33 folders[1].match.mime[0]: "*/*": it says nothing: every file has a type; a type such as application/pdf or image/*`,
        `5:40 folders[1].match.mime[1]: "text/plain; charset=utf-8": a type with parameters; the type alone, such as text/plain`,
        `6:39 folders[2].match.size.min: "2": it is more than max, so that no file can match; at most as much as max`,
        `7:38 folders[3].match.age.min: "1d": it is more than max, so that no file can match; at most as much as max`,
        `8:32 folders[4].match.size: it says nothing; min, max, or both`,
        `9:32 folders[5].match.size: "10MiB": not valid; a map of min and max, such as { min: 1KiB, max: 10MiB }`,
        `10:39 folders[6].match.size.min: "-1": not valid; a size such as 0, 512KB, 10MiB or 1GB`,
        `10:57 folders[6].match.age.min: "soon": not valid; a duration such as 500ms, 1s, 5m, 2h or 90d (a bare number is seconds)`,
        `10:63 folders[6].match.age.most: "most": there is no such key; one of min, max`
      ]
    ],
    [
      "contents",
      `
  - { path: /a, match: { content: "" } }
  - { path: /b, match: { content: { text: a, regex: b } } }
  - { path: /c, match: { content: { within: 5 } } }
  - { path: /d, match: { content: { text: abc, within: 2 } } }
`,
      [
        `4:35 folders[0].match.content: an empty text; a text, or a map of text or regex, and within`,
        `5:35 folders[1].match.content: both text and regex are there; one of the two`,
        `6:35 folders[2].match.content: neither text nor regex is there; one of the two`,
        `7:56 folders[3].match.content.within: "2": no file can match: the text is longer than what is looked at; matchers that can hold together`
      ]
    ],
    [
      "what can't hold together",
      `
  - { path: /a, extensions: [pdf], match: { glob: "*.png" } }
  - { path: /b, match: { extensions: [tar.gz], glob: ["*.{png,gif}", "x.zip"] } }
  - { path: /c, extensions: [pdf], match: { extensions: [png] } }
  - { path: /d, extensions: [pdf], match: { not: { extensions: [PDF] } } }
  - { path: /e, exclude: ["**/*"] }
  - { path: /f, match: { glob: "*.pdf", exclude: ["*.doc", "*.pdf"] } }
  - { path: /g, match: { size: { max: 1 }, not: [{ mime: a/b }, { size: { max: 1 } }] } }
  - { path: /h, otherwise: true, extensions: [pdf] }
`,
      [
        `4:51 folders[0].match.glob: "*.png": no file can match: the extensions are pdf; matchers that can hold together`,
        `5:54 folders[1].match.glob: no file can match: the extensions are tar.gz; matchers that can hold together`,
        `6:57 folders[2].match.extensions: no file can match: the folder's extensions are pdf; matchers that can hold together`,
        `7:50 folders[3].match.not: no file can match: it forbids what the folder wants; matchers that can hold together`,
        `8:27 folders[4].exclude[0]: "**/*": no file can match: every file is excluded; matchers that can hold together`,
        `9:50 folders[5].match.exclude: no file can match: what glob takes is excluded; matchers that can hold together`,
        `10:65 folders[6].match.not[1]: no file can match: it forbids what the folder wants; matchers that can hold together`,
        `11:34 folders[7].extensions: "extensions": otherwise: true is for what no other folder takes, whatever it is; no extensions, or no otherwise`
      ]
    ],
    [
      "groups of matchers",
      `
  - { path: /a, match: {} }
  - { path: /b, match: { not: {} } }
  - { path: /c, match: { any: [] } }
  - { path: /d, match: { any: [{ glob: a }, { golb: b }] } }
  - { path: /e, match: { any: { glob: a } } }
  - { path: /f, match: { not: [{ not: [{ size: { min: 1, max: 0 } }] }] } }
`,
      [
        `4:24 folders[0].match: it says nothing; a matcher, such as glob, mime or size`,
        `5:31 folders[1].match.not: it says nothing; a matcher, such as glob, mime or size`,
        `6:31 folders[2].match.any: an empty list; a list of maps of matchers`,
        `7:47 folders[3].match.any[1].golb: "golb": there is no such key, did you mean glob?; `,
        `8:31 folders[4].match.any: a map can't stand here; a list of maps of matchers`,
        `9:55 folders[5].match.not[0].not[0].size.min: "1": it is more than max, so that no file can match; at most as much as max`
      ]
    ],
    [
      "keys in the wrong place, or not there yet",
      `
  - { path: /a, glob: "*.pdf" }
  - { path: /b, match: { language: de } }
  - { path: /c, label: invoice }
  - { path: /d, sources: [inn, elsewhere] }
  - { path: /e, priority: 1001, order: newest, otherwise: maybe }
  - { path: /f, priority: "-1000", order: largest }
`,
      [
        `4:17 folders[0].glob: "glob": it stands within match; match: { glob: … }`,
        `5:26 folders[1].match.language: "language": matching by language is not there yet; content, mime or another matcher`,
        `6:17 folders[2].label: "label": matching by label is not there yet; content, mime or another matcher`,
        `7:27 folders[3].sources[0]: "inn": there is no such source, did you mean in?; `,
        `7:32 folders[3].sources[1]: "elsewhere": there is no such source; one of in`,
        `8:27 folders[4].priority: "1001": not valid; a whole number from -1000 to 1000`,
        `8:40 folders[4].order: "newest": not valid; one of arrival, oldest, smallest, largest`,
        `8:59 folders[4].otherwise: "maybe": not valid; true or false`
      ]
    ]
  ]

  for (const [name, folders, expected] of table) {
    it_(name, () =>
      Effect.gen(function* () {
        expect(yield* problems(`source: ./in\nfolders:\n${folders}`)).toEqual(expected)
      })
    )
  }

  it_("are blamed once, and for nothing that follows from it", () =>
    Effect.gen(function* () {
      // the groups of an expression that can't be read are not known
      expect(
        yield* problems(`source: ./in\nfolders:\n  - { path: "/a/{x}/", match: { regex: "(?<x>a" }, rename: "{y}" }\n`)
      ).toEqual([expect.stringContaining("3:40 folders[0].match.regex")])
    })
  )
})

describe("folders that take from each other", () => {
  const warnings = (folders: string, head = "source: ./in\n") =>
    Effect.map(check(`${head}folders:\n${folders}`), (checked) => checked.warnings)

  it_("are warned of where the first one gets it all", () =>
    Effect.gen(function* () {
      const folders = `
  - { path: /a, extensions: [pdf, gz] }
  - { path: /b, extensions: [doc, PDF, tar.gz] }
  - { path: /c, extensions: [gz] }
  - { path: /d, extensions: [png], match: { size: { min: 1 } } }
  - { path: /e, extensions: [png] }
  - { path: /f, extensions: [png], match: { size: { min: 1 } } }
  - { path: /g, otherwise: true }
  - { path: /h, otherwise: true }
`
      expect(yield* warnings(folders)).toEqual([])
      expect(yield* warnings(folders, "source: ./in\ndispatch: first\n")).toEqual([
        "12:28 folders[7].otherwise: nothing is left for it: with dispatch: first, folders[6] takes it",
        "6:29 folders[1].extensions: with dispatch: first, folders[0] takes pdf before",
        "6:29 folders[1].extensions: with dispatch: first, folders[0] takes tar.gz before",
        "7:5 folders[2]: it never gets a file: with dispatch: first, folders[0] takes them",
        "10:5 folders[5]: it never gets a file: with dispatch: first, folders[4] takes them"
      ])
    })
  )

  it_("are warned of where nothing is left for the rest", () =>
    Effect.gen(function* () {
      expect(yield* warnings("  - { path: /a }\n  - { path: /b, otherwise: true }\n")).toEqual([
        "4:28 folders[1].otherwise: nothing is left for it: folders[0] takes every file"
      ])
      expect(
        yield* warnings("  - { path: /a }\n  - { path: /b, extensions: [pdf] }\n", "source: ./in\ndispatch: first\n")
      ).toEqual(["5:5 folders[1]: it never gets a file: with dispatch: first, folders[0] takes them"])
    })
  )

  it_("are warned of where their files mix in two orders, and where a source has none", () =>
    Effect.gen(function* () {
      expect(
        yield* warnings(
          `
  - { path: "ftp://h/a", order: oldest, sources: [a] }
  - { path: "ftp://h/b", sources: [a] }
  - { path: "ftp://h/c", order: smallest, priority: 1, sources: [a] }
  - { path: "ftp://h2/c", order: smallest, sources: [a] }
`,
          "sources: [{ path: ./a }, { path: ./b }]\n"
        )
      ).toEqual([
        "5:5 folders[1].order: folders[0] sends to the same place in order oldest, so that they mix",
        "1:26 sources[1]: no folder takes files from it"
      ])
    })
  )
})
