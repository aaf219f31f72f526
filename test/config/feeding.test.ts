/**
 * Places to which we write, and that a source would take files from.
 */
import { FileSystem } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import { toGlob } from "../../src/config/Feeding.ts"
import * as Glob from "../../src/route/Glob.ts"
import * as Matcher from "../../src/route/Matcher.ts"
import { check, it_, problems, write } from "./harness.ts"

const added = (content: string) =>
  Effect.map(check(content), ({ settings, warnings }) => ({
    excludes: settings.sources.map(({ exclude }) => exclude),
    warnings: warnings.map((text) => text.replace(/^\d+:\d+ /, "")).sort()
  }))

describe("what lies in a recursive source", () => {
  it_("is excluded there by itself, with a notice", () =>
    Effect.gen(function* () {
      const { excludes, warnings } = yield* added(`sources:
  - path: ./in
    recursive: true
    exclude: []
    after: { archive: "./in/done/{date:yyyy}/{relpath}" }
    onDead: { move: "in/failed [x]/" }
  - { path: ./other, recursive: true, exclude: ["mine/**"] }
folders:
  - { path: ./in/out }
  - { path: ./in, rename: "sorted/{ext}/{name}" }
  - { path: "./in/a{{b}}/{ext}/" }
  - { path: ./other/mine/deep }
  - { path: /elsewhere }
db: in/state/x.db
log: { file: in/state/x.log }
`)
      expect(excludes).toEqual([
        ["out/**", "sorted/**", "a\\{b\\}/**", "done/**", "failed \\[x\\]/**", "state/x.db*", "state/x.log*"],
        ["mine/**"]
      ])
      const watches = "sources[0].path watches DIR/in and all below it; so"
      expect(warnings).toEqual([
        `db: ${watches} state/x.db* is excluded there by itself`,
        `folders[0].path: ${watches} out/** is excluded there by itself`,
        `folders[1].path: ${watches} sorted/** is excluded there by itself`,
        `folders[2].path: ${watches} a\\{b\\}/** is excluded there by itself`,
        `log.file: ${watches} state/x.log* is excluded there by itself`,
        `sources[0].after.archive: ${watches} done/** is excluded there by itself`,
        `sources[0].onDead.move: ${watches} failed \\[x\\]/** is excluded there by itself`
      ])
    })
  )

  it_("is found through links, too", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const { directory } = yield* write("")
      yield* fs.makeDirectory(`${directory}/in/real`, { recursive: true })
      yield* fs.symlink(`${directory}/in/real`, `${directory}/link`)
      yield* fs.symlink(`${directory}/in`, `${directory}/also`)
      const { settings } = yield* check(`source: { path: ${directory}/also, recursive: true, exclude: [] }
folders: [{ path: ${directory}/link/x }]
`)
      expect(settings.sources[0]?.exclude).toEqual(["real/x/**"])
      const found = yield* problems(`source: ${directory}/also\nfolders: [{ path: ${directory}/in }]\n`)
      expect(found).toEqual([expect.stringContaining("what is delivered there would be taken again")])
    })
  )

  it_("is the config, which is never sent", () =>
    Effect.gen(function* () {
      const { settings, warnings } = yield* check("source: { path: ., recursive: false }\nfolders: [{ path: /out }]\n")
      expect(settings.sources[0]?.exclude.at(-1)).toBe("config.yml")
      expect(warnings).toEqual(["1:17 source.path: this config lies in it, and is excluded by itself: config.yml"])
      const quiet = yield* check('source: { path: ., include: ["*.pdf"] }\nfolders: [{ path: /out }]\n')
      expect(quiet.warnings).toEqual([])
    })
  )

  it_("may lie the other way round, which is warned of where folders are kept", () =>
    Effect.gen(function* () {
      const { warnings } = yield* added(`sources: [{ path: ./a/in, recursive: true }, ./a/flat]
folders: [{ path: ./a }, { path: "./a/{name}" }]
`)
      expect(warnings).toEqual([
        "folders[0].path: sources[0].path lies in it, so that what is in a folder in of a source would be taken again"
      ])
    })
  )

  it("is matched by its glob, and nothing else is", () => {
    const segment = FastCheck.string({
      minLength: 1,
      maxLength: 6,
      unit: FastCheck.constantFrom(
        "a",
        "*",
        "?",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        "!",
        "+",
        "@",
        "|",
        "\\",
        ",",
        "ü",
        "#",
        " "
      )
    })
    const name = segment.filter((text) => text.trim() !== "")
    FastCheck.assert(
      FastCheck.property(name, name, (left, right) => {
        const glob = `${toGlob(left)}/**`
        const matches = Glob.compile(glob)
        expect(matches(`${left}/x/y.txt`)).toBe(true)
        expect(matches(`${right}/x`)).toBe(left === right)
        expect(Matcher.compile({ include: ["**"], exclude: [glob] }).prunes(left)).toBe(true)
      })
    )
  })
})

describe("what feeds itself", () => {
  const table: ReadonlyArray<readonly [string, string, ReadonlyArray<string>]> = [
    [
      "a target that is the source",
      `source: { path: ./in, recursive: true }
folders: [{ path: ./in }, { path: "./in/{ext}/" }, { path: ./in, rename: "x-{name}" }]
`,
      [
        `folders[0].path: "./in": what is delivered there would be taken again: source.path watches DIR/in and all below it; a directory of its own, in the source or outside`,
        `folders[1].path: "./in/{ext}/": what is delivered there would be taken again`,
        `folders[2].path: "./in": what is delivered there would be taken again`
      ]
    ],
    [
      "a flat source in which a variable may be empty",
      `source: ./in
folders: [{ path: "./in/{dir}/" }, { path: "./in/{ext}/" }, { path: "./in/{date:yyyy}/" }, { path: ./in/sub }]
`,
      [
        `folders[0].path: "./in/{dir}/": what is delivered there would be taken again: source watches DIR/in; a directory outside every source`
      ]
    ],
    [
      "a path into which the source's name leads",
      `sources: [{ path: ./data/in, recursive: true, after: { archive: "./data/{source}/x" } }]
folders: [{ path: "./data/{source}/{name}" }, { path: "./data/{source}/{name}", sources: [in] }]
`,
      [
        `sources[0].after.archive: "./data/{source}/x": every file would get the same path`,
        `folders[0].path: "./data/{source}/{name}": what is delivered there would be taken again`,
        `folders[1].path: "./data/{source}/{name}": what is delivered there would be taken again`
      ]
    ],
    [
      "archives, what is dead, and our own files",
      `sources:
  - { path: ./in, recursive: true, after: { archive: "./in/{relpath}" }, onDead: { move: ./flat } }
  - ./flat
folders: [{ path: /out }]
db: ./in/x.db
log: { file: flat/x.log }
`,
      [
        `sources[0].after.archive: "./in/{relpath}": what is archived there would be taken again: sources[0].path watches DIR/in and all below it`,
        `sources[0].onDead.move: "./flat": what is moved there would be taken again: sources[1] watches DIR/flat`,
        `db: "./in/x.db": our own file would be taken: sources[0].path watches DIR/in and all below it; a path outside every source`,
        `log.file: "flat/x.log": our own file would be taken: sources[1] watches DIR/flat`
      ]
    ],
    [
      "two sources that take the same files, of which one removes them",
      `sources:
  - { path: ./a, recursive: true, after: delete }
  - { path: ./a/b, after: keep }
  - { path: ./c, recursive: true }
  - { path: ./c/d, onDead: { move: ./x } }
  - { path: ./e, recursive: true, exclude: ["f/**"], after: delete }
  - { path: ./e/f/g }
  - { path: ./h, recursive: true, include: ["**/*.pdf"], after: delete }
  - { path: ./h/i, include: ["*.{png,gif}"] }
folders: [{ path: /out }]
`,
      [
        `sources[1].path: "./a/b": it lies in sources[0].path, so that its files are taken twice, and sources[0].path removes them; exclude: ["b/**"] there`,
        `sources[3].path: "./c/d": it lies in sources[2].path, so that its files are taken twice, and sources[3].path removes them; exclude: ["d/**"] there`
      ]
    ]
  ]

  for (const [name, content, expected] of table) {
    it_(name, () =>
      Effect.gen(function* () {
        const found = yield* problems(content)
        expect(found.map((text) => text.replace(/^\d+:\d+ /, ""))).toEqual(
          expected.map((text) => expect.stringContaining(text))
        )
      })
    )
  }
})

describe("a marker", () => {
  it_("is a name of its own", () =>
    Effect.gen(function* () {
      const { settings } = yield* check(`sources:
  - { path: ./a, marker: "{name}.done" }
  - { path: ./b, marker: "ready/{relpath}" }
  - { path: ./c, marker: null }
folders: [{ path: /out }]
`)
      expect(settings.sources.map(({ marker }) => marker)).toEqual(["{name}.done", "ready/{relpath}", null])
      const found = yield* problems(`sources:
  - { path: ./a, marker: "{name}" }
  - { path: ./b, marker: "{stem}.{ext}" }
  - { path: ./c, marker: READY }
  - { path: ./d, marker: "{stem}-{date}.ok" }
  - { path: ./e, marker: "../{name}.ok" }
  - { path: ./f, marker: "{nmae}.ok" }
  - { path: ./g, marker: "{dir}.ok" }
folders: [{ path: /out }]
`)
      expect(found.map((text) => text.replace(/^\d+:\d+ /, "").replace(/;.*$/, ""))).toEqual([
        `sources[0].marker: "{name}": every file would be taken for a marker`,
        `sources[1].marker: "{stem}.{ext}": every file would be taken for a marker`,
        `sources[2].marker: "READY": all files would share one marker`,
        `sources[3].marker: "{date}": {date} is not known here`,
        `sources[4].marker: "../{name}.ok": it would lead out of where the files go`,
        `sources[5].marker: "{nmae}": there is no variable {nmae}, did you mean {name}?`,
        `sources[6].marker: "{dir}.ok": every file would get the same path`
      ])
    })
  )
})
