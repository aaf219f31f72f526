/** Folders, files and rules for the tests of routing. */
import { Effect, Either, FastCheck as fc } from "effect"
import { defaults } from "../../src/config/ConfigFile.ts"
import { stamp, type Found } from "../../src/domain/Generation.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import type { Rule } from "../../src/domain/Rule.ts"
import type { Route, Settings, Source } from "../../src/domain/Settings.ts"
import type { Bytes, Text } from "../../src/files/FileFacts.ts"
import * as Regex from "../../src/route/Regex.ts"
import { route as folder, to as targetOf } from "./rules.ts"

export { folder, targetOf }

/** A folder by extensions. */
export const route = (
  name: string,
  extensions: ReadonlyArray<string> | undefined,
  ...urls: ReadonlyArray<string>
): Route =>
  folder(name, {
    extensions,
    targets: (urls.length > 0 ? urls : [`/out/${name}`]).map((url) => targetOf(url))
  })

export const source: Source = {
  ...defaults.source,
  name: "inbox",
  path: "/inbox",
  recursive: true,
  marker: null,
  minAge: 0,
  symlinks: "skip",
  after: { _tag: "Keep" },
  onDead: { _tag: "Keep" }
}

export type Rules = Pick<Settings, "routes" | "dispatch" | "sources">

export const settings = (routes: ReadonlyArray<Route>, more: Partial<Rules> = {}): Rules => ({
  routes,
  dispatch: "all",
  sources: [source],
  ...more
})

/** When all is looked at. */
export const now = Date.UTC(2026, 10, 23, 12)
export const day = 86_400_000

export const file = (path: string, more: Partial<Found> = {}): Found => ({
  path: RelPath.make(path),
  stamp: stamp({ dev: 1n, ino: 1n, size: 1n, mtimeNs: 1n, ctimeNs: 1n }),
  size: 1000,
  mtime: now - day,
  born: now - day,
  ...more
})

export interface Content {
  readonly mime: string | null
  /** Null: it has none. */
  readonly text: string | null
}

export const sha256 = "0123456789abcdef".repeat(4)

/** Bytes that remember what they were asked for. */
export const bytesOf = ({ mime, text }: Content): Bytes & { readonly asked: ReadonlyArray<string> } => {
  const asked: Array<string> = []
  const ask = <A>(what: string, answer: A) =>
    Effect.sync(() => {
      asked.push(what)
      return answer
    })
  const textOf = (length: number): Text =>
    text === null
      ? { _tag: "NoText", why: "it is an encrypted PDF" }
      : { _tag: "Text", text: text.slice(0, length), cut: text.length > length }
  return {
    asked,
    mime: ask("mime", mime),
    text: (length) => Effect.suspend(() => ask(`text ${length}`, textOf(length))),
    sha256: ask("sha256", sha256)
  }
}

// At random: few words, so that they meet.

const word = fc.constantFrom("a", "B", "inv", "invoice", "2026", "é", "\udc80", "x-1", "\u202e", "ſ", "K")
const ext = fc.constantFrom("a", "b", "tar.gz", "gz", "pdf", "é")
const segment = fc
  .array(fc.oneof(word, fc.constantFrom(".", "-", "_", " ")), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join(""))
  .filter((text) => text !== "." && text !== "..")

export const anyPath = fc
  .tuple(fc.array(segment, { maxLength: 2 }), segment, fc.option(ext))
  .map(([folders, name, end]) => [...folders, end === null ? name : `${name}.${end}`].join("/"))

const globPart = fc.oneof(
  { weight: 2, arbitrary: segment.map((text) => text.replace(/[\udc80]/g, "u")) },
  fc.constantFrom("*", "?", "[a-z]", "[!a]", "{a,inv}", "*(a|b)", "**", "invoice*", "*.pdf", "*.{a,b}", "*inv*", "!(a)")
)
export const anyGlob = fc.oneof(
  fc.constantFrom(
    "**",
    "**/*.pdf",
    "invoice/**",
    "**/*inv*",
    "**/a.pdf",
    "a/b.gz",
    "*/*.{a,b}",
    "**/inv*",
    "a/**/*.gz"
  ),
  fc
    .array(
      fc.array(globPart, { minLength: 1, maxLength: 2 }).map((parts) => parts.join("")),
      {
        minLength: 1,
        maxLength: 3
      }
    )
    .map((parts) => parts.join("/"))
)

const regexPart = fc.constantFrom(
  "a",
  "inv",
  "invoice",
  "2026",
  "é",
  ".",
  "\\.",
  "\\d",
  "[a-z]",
  "[^a]",
  "(?P<g>\\d+)",
  "(?<h>inv)?",
  "(inv|B)",
  "(?:oice)",
  "(?i:B)",
  "x-1",
  "\\w+",
  "pdf",
  "[]a]",
  "[[:alpha:]]",
  "(?:a(?:b|c)d)"
)
export const anyRegex = fc
  .tuple(
    fc.constantFrom("", "", "^", "(?i)", "(?s)"),
    fc.array(
      fc
        .tuple(regexPart, fc.constantFrom("", "", "", "*", "+", "?", "{2}", "{0,1}", "+?"))
        .map((parts) => parts.join("")),
      { minLength: 1, maxLength: 4 }
    ),
    fc.constantFrom("", "", "$", "|a")
  )
  .map(([head, parts, tail]) => {
    // a name may be given once
    const seen = new Set<string>()
    const once = parts.filter((part) => {
      const name = /<(\w)>/.exec(part)?.[1]
      if (name === undefined) return true
      if (seen.has(name)) return false
      seen.add(name)
      return true
    })
    return `${head}${once.join("") || "a"}${tail}`
  })
  .filter((pattern) => Either.isRight(Regex.compile(pattern)))

const bound = fc.option(fc.constantFrom(0, 10, 999, 1000, 1001, 5000))
const ageBound = fc.option(fc.constantFrom(0, 1, day - 1, day, day + 1, 30 * day))

export const anyRule = fc.letrec<{ rule: Rule }>((tie) => {
  const list = fc.array(tie("rule"), { minLength: 1, maxLength: 3 })
  return {
    rule: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.array(ext, { minLength: 1, maxLength: 3 }).map((extensions): Rule => ({ _tag: "Extensions", extensions })),
      fc.array(anyGlob, { minLength: 1, maxLength: 2 }).map((globs): Rule => ({ _tag: "Glob", globs })),
      fc.array(anyGlob, { minLength: 1, maxLength: 2 }).map((globs): Rule => ({ _tag: "Exclude", globs })),
      fc
        .array(fc.constantFrom("inbox", "other"), { minLength: 1, maxLength: 2 })
        .map((sources): Rule => ({ _tag: "Sources", sources })),
      anyRegex.map((pattern): Rule => ({ _tag: "Regex", pattern })),
      fc.record({ min: bound, max: bound }).map((range): Rule => ({ _tag: "Size", ...range })),
      fc.record({ min: ageBound, max: ageBound }).map((range): Rule => ({ _tag: "Age", ...range })),
      fc
        .array(fc.constantFrom("image/*", "image/png", "text/plain", "*/*", "application/pdf"), {
          minLength: 1,
          maxLength: 2
        })
        .map((types): Rule => ({ _tag: "Mime", types })),
      fc
        .tuple(fc.constantFrom("INVOICE", "é", "strasse", "2026"), fc.constantFrom(5, 100, 1000))
        .map(([text, within]): Rule => ({ _tag: "Content", text, pattern: null, within })),
      fc
        .tuple(anyRegex, fc.constantFrom(5, 100))
        .map(([pattern, within]): Rule => ({ _tag: "Content", text: null, pattern, within })),
      list.map((rules): Rule => ({ _tag: "All", rules })),
      list.map((rules): Rule => ({ _tag: "Any", rules })),
      tie("rule").map((rule): Rule => ({ _tag: "Not", rule }))
    )
  }
}).rule

export const anyFile = fc
  .record({
    path: anyPath,
    size: fc.constantFrom(0, 10, 999, 1000, 1001, 5001),
    mtime: fc.constantFrom(now - day, now - day - 1, now - 31 * day, now, now + day, now - 0.5)
  })
  .map(({ path, ...more }) => file(path, more))

export const anyContent: fc.Arbitrary<Content> = fc.record({
  mime: fc.option(fc.constantFrom("image/png", "text/plain", "application/pdf", "image")),
  text: fc.option(
    fc
      .array(fc.constantFrom("Invoice", "straße", "2026", "É", " ", "\n", "inv", "aB", "\ud83d\ude00"), {
        maxLength: 8
      })
      .map((parts) => parts.join(""))
  )
})

export const anyFolders = fc
  .array(
    fc.record({
      rules: fc.array(anyRule, { maxLength: 2 }),
      extensions: fc.option(fc.array(ext, { minLength: 1, maxLength: 2 }), { nil: undefined, freq: 2 }),
      otherwise: fc.boolean().map((one) => one),
      url: fc.constantFrom("/out/a", "/out/b", "/out/c"),
      rename: fc.constantFrom(
        "{relpath}",
        "{relpath}",
        "{name}",
        "{source}/{mime}/{name}",
        "{sha256:8}-{name}",
        "{stem}-{size}"
      ),
      order: fc.constantFrom("arrival" as const, "oldest" as const, "smallest" as const, "largest" as const),
      priority: fc.constantFrom(0, 5)
    }),
    { maxLength: 6 }
  )
  .map((all) =>
    all.map(({ rename, url, ...more }, index) =>
      folder(`r${index}`, {
        ...more,
        otherwise: more.otherwise && index % 2 === 1,
        targets: [targetOf(url, { rename })]
      })
    )
  )
