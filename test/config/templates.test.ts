/**
 * The templates and transforms of targets, as the config writes them.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, FastCheck } from "effect"
import * as PathTemplate from "../../src/config/PathTemplate.ts"
import * as Recipients from "../../src/config/recipients.ts"
import { noFacts } from "../../src/domain/Facts.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Template from "../../src/route/Template.ts"
import { check, it_, problems } from "./harness.ts"

const alice = "age1wfhndvn5435zw2celfzhftxpn4fpv7n84x3t4y9kcaaug3akzpeqalgfup"

const targets = (folders: string) =>
  Effect.map(check(`source: ./in\nfolders:\n${folders}`), ({ directory, settings }) =>
    settings.routes.flatMap((route) =>
      route.targets.map(({ rename, target }) => [target.url.replace(directory, "DIR"), target.path, rename])
    )
  )

describe("the path of a target", () => {
  it_("is a place that is the same for all files, and a template for what is below", () =>
    Effect.gen(function* () {
      const found = yield* targets(
        `
  - /out
  - { path: "./out/{ext}/" }
  - { path: "./out/{date:yyyy}/{name}" }
  - { path: "./out/{date:yyyy}" }
  - { path: "./out/x-{ext}/y", rename: "{stem}.x" }
  - { path: "{mime}/" }
  - { path: "/a{{b}}/c" , rename: "sub/" }
  - { path: "/a{{b}}/{ext}/d}}" }
  - { path: "file:///srv/a%20b/{ext}%20c/" }
  - { path: "sftp://u@h/~/in/{date:yyyy}/" }
  - { path: "ftp://h/{sha256:2}" }
  - { path: "ftp://h/x/{sha256}.{ext}" }
  - { path: "https://h/up/{dir}/?sig", upload: raw }
  - { path: "https://h/up/{stem}", upload: raw }
  - { path: "s3://bucket/{date:yyyy}/%7B{mime}" }
  - { path: "webdav://h/{counter:4}-{name}" }
`.replace("- /out", "- { path: /out }")
      )
      expect(found).toEqual([
        ["/out", "/out", "{relpath}"],
        ["DIR/out", expect.any(String), "{ext}/{relpath}"],
        ["DIR/out", expect.any(String), "{date:yyyy}/{name}"],
        ["DIR/out", expect.any(String), "{date:yyyy}/{relpath}"],
        ["DIR/out", expect.any(String), "x-{ext}/y/{stem}.x"],
        ["DIR", expect.any(String), "{mime}/{relpath}"],
        ["/a{b}/c", "/a{b}/c", "sub/"],
        ["/a{b}", "/a{b}", "{ext}/d}}/{relpath}"],
        ["/srv/a b", "/srv/a b", "{ext} c/{relpath}"],
        ["sftp://u@h/~/in", "~/in", "{date:yyyy}/{relpath}"],
        ["ftp://h", "/", "{sha256:2}/{relpath}"],
        ["ftp://h/x", "/x", "{sha256}.{ext}"],
        ["https://h/up/?…", "/up/", "{dir}/{relpath}"],
        ["https://h/up", "/up", "{stem}"],
        ["s3://bucket", "/", "{date:yyyy}/{{{mime}/{relpath}"],
        ["webdav://h", "/", "{counter:4}-{name}"]
      ])
    })
  )

  it_("leaves braces in a password and a query alone", () =>
    Effect.gen(function* () {
      expect(
        yield* targets(`
  - { path: "ftp://u:p{name}{x@h/in" }
  - { path: "http://h/{{a}}?b={c}" }
`)
      ).toEqual([
        ["ftp://u@h/in", "/in", "{relpath}"],
        ["http://h/%7Ba%7D?…", "/{a}", "{relpath}"]
      ])
    })
  )

  it_("may use the groups of its folder, and several times the same place", () =>
    Effect.gen(function* () {
      const found = yield* targets(`
  - match: { regex: "(?<year>20..)" }
    paths: ["/out/{year}", "/out/{date:yyyy}", /out, { path: /out, compress: gzip }, { path: /out, rename: "{year}/{name}" }]
`)
      expect(found.map(([, , rename]) => rename)).toEqual([
        "{year}/{relpath}",
        "{date:yyyy}/{relpath}",
        "{relpath}",
        "{relpath}",
        "{year}/{name}"
      ])
    })
  )

  it("never lets a literal become a variable", () => {
    const text = FastCheck.string({ unit: FastCheck.constantFrom("a", "{", "}", "/", "%", "name", "ü") })
    FastCheck.assert(
      FastCheck.property(text, (literal) => {
        const escaped = literal.replaceAll("{", "{{").replaceAll("}", "}}")
        const split = Either.getOrThrow(PathTemplate.split(`./root/${escaped}{ext}-`))
        const rename = Either.getOrThrow(PathTemplate.below(split.rest, undefined))
        const template = Either.getOrThrow(Template.compile(`r/${split.rest}x/{relpath}`))
        const rendered = template.render({
          path: RelPath.make("f.e"),
          source: "s",
          time: 0,
          size: 0,
          mtime: 0,
          facts: noFacts
        })
        const before = `./root/${literal}`
        const slash = before.lastIndexOf("/") + 1
        expect(split.place).toBe(before.slice(0, slash))
        expect(rename.endsWith("/{relpath}")).toBe(true)
        expect(rendered).toBe(`r/${before.slice(slash)}e-x/f.e`)
      })
    )
  })
})

describe("templates that are wrong", () => {
  const table: ReadonlyArray<readonly [string, string, ReadonlyArray<string>]> = [
    [
      "variables",
      `
  - { path: "/a/{nmae}/" }
  - { path: /b, rename: "x-{stm}" }
  - { path: /c, match: { regex: "(?<no>a)", not: { regex: "(?<bad>b)" } }, rename: "{no}-{bad}-{name}" }
  - { paths: [{ path: /d, rename: "{date:bla}/" }] }
  - { path: /e, match: { regex: "(?<name>a)" }, rename: "{name}" }
  - { path: /f, rename: "{sha256:99}-{name}" }
`,
      [
        `4:1 folders[0].path: "{nmae}": there is no variable {nmae}, did you mean {name}?;`,
        `5:1 folders[1].rename: "{stm}": there is no variable {stm}, did you mean {stem}?;`,
        `6:1 folders[2].rename: "{bad}": there is no variable {bad}`,
        `7:1 folders[3].paths[0].rename: "{date:bla}": not a date pattern;`,
        `8:1 folders[4].rename: "{name}": {name} is a variable, and a group of an expression as well;`,
        `9:1 folders[5].rename: "{sha256:99}": not a number of digits;`
      ]
    ],
    [
      "braces and ends",
      `
  - { path: "/a/{" }
  - { path: "/b/x}y" }
  - { path: /c, rename: "{name" }
  - { path: /d, rename: report.pdf }
  - { path: /e, rename: "{ext}" }
  - { path: /f, rename: "../{name}" }
  - { path: /g, rename: "/{name}" }
  - { path: /h, rename: "{ext}/../../{name}" }
  - { path: "/i/{ext}/../../{name}" }
  - { path: "/j/{name}", rename: "{stem}" }
  - { path: "ftp://h/{ext}%zz/" }
  - { path: "ftp://h/{ext}%0d%0aDELE/" }
  - { path: "/k/x", rename: "{ext}/" }
`,
      [
        `4:1 folders[0].path: "{": a single {; a variable in braces, or {{ for a plain brace`,
        `5:1 folders[1].path: "}y": a single }; a variable in braces, or }} for a plain brace`,
        `6:1 folders[2].rename: "{name": a single {; a variable in braces, or {{ for a plain brace`,
        `7:1 folders[3].rename: "report.pdf": every file would get the same path; {name} or {stem} in it, or a / at its end for a directory`,
        `8:1 folders[4].rename: "{ext}": every file would get the same path;`,
        `9:1 folders[5].rename: "../{name}": it would lead out of where the files go;`,
        `10:1 folders[6].rename: "/{name}": it would lead out of where the files go;`,
        `11:1 folders[7].rename: "..": a path may not go up after a variable;`,
        `12:1 folders[8].path: "..": a path may not go up after a variable;`,
        `13:1 folders[9].rename: "{stem}": its path says already what the files are called; a / at the end of the path, or no rename`,
        `14:1 folders[10].path: "ftp://h/{ext}%zz/": a bad percent-encoding in the path;`,
        `15:1 folders[11].path: "ftp://h/{ext}%0d%0aDELE/": a control character in the path;`
      ]
    ],
    [
      "places that have no variables",
      `
  - { path: "ftp://{source}.example.org/x" }
  - { path: "ftp://{source}:hunter2@h/x" }
  - { path: "https://h/x?name={name}", upload: raw }
  - { path: "s3://{ext}/x" }
  - { path: "https://h/{name}" }
  - { path: "https://h2/{name}", upload: tus }
  - { path: "https://h3/one?sig", upload: raw, rename: "{name}" }
`,
      [
        `4:1 folders[0].path: "{source}": a variable can't stand in the host; variables in the path only`,
        `5:1 folders[1].path: "ftp://{source}:…@h/x": a variable can't stand in the user; variables in the path only`,
        `6:1 folders[2].path: "https://h/x?…": a variable can't stand in the query; variables in the path only`,
        `7:1 folders[3].path: "{ext}": a variable can't stand in the host; variables in the path only`,
        `8:1 folders[4].path: "https://h/{name}": with upload: multipart all files go to one URL, so that its path has no variables; upload: raw, which puts each file at a URL of its own`,
        `9:1 folders[5].path: "https://h2/{name}": with upload: tus all files go to one URL, so that its path has no variables; upload: raw, which puts each file at a URL of its own`,
        `10:1 folders[6].rename: "{name}": the URL is that of one object, whatever the file is called; no rename, or a slash at the end of the URL's path`
      ]
    ],
    [
      "header fields, of which nothing is shown",
      `
  - path: https://h/x
    headers: { X-A: "hunter2{nmae:hunter2}", X-B: "{date:hunter2}", X-C: '{"json": "{"}', X-D: "{{name}} {hunter2hunter2}" }
`,
      [
        `5:1 folders[0].headers.X-A: "X-A": a variable in its value that there is not, or not in this way; {name}`,
        `5:1 folders[0].headers.X-B: "X-B": a variable in its value that there is not, or not in this way; yyyy`
      ]
    ],
    [
      "transforms",
      `
  - { path: /a, compress: bzip2 }
  - { path: /b, decompress: { limit: 1 } }
  - { path: /c, decompress: { max: 1GiB } }
  - { path: /d, encrypt: { age: [] } }
  - { path: /e, encrypt: {} }
  - { path: /f, encrypt: { age: [ssh-ed25519 AAAA, age1abc, ${alice}x] } }
  - { path: /g, encrypt: { age: [AGE-SECRET-KEY-1HUNTER2HUNTER2] } }
`,
      [
        `4:1 folders[0].compress: "bzip2": not valid; one of none, gzip, brotli, zstd, zip`,
        `5:1 folders[1].decompress.limit: "1": not valid; a size of at least 1KiB, such as 1GiB`,
        `6:1 folders[2].decompress.max: "max": there is no such key; one of limit`,
        `7:1 folders[3].encrypt.age: an empty list; a list of age recipients`,
        `8:1 folders[4].encrypt.age: it is missing; a list of age recipients`,
        `9:1 folders[5].encrypt.age[0]: "ssh-ed25519 AAAA": it is a key of SSH;`,
        `9:1 folders[5].encrypt.age[1]: "age1abc": its checksum is wrong`,
        `9:1 folders[5].encrypt.age[2]: "${alice}x": its checksum is wrong`,
        `10:1 folders[6].encrypt.age[0]: "AGE-SECRET-KEY-…": it is a secret key; its public half, age1…, as age-keygen -y shows it`
      ]
    ]
  ]

  for (const [name, folders, expected] of table) {
    it_(name, () =>
      Effect.gen(function* () {
        const found = yield* problems(`source: ./in\nfolders:\n${folders}`)
        expect(found.map((text) => text.replace(/^(\d+):\d+/, "$1:1"))).toEqual(
          expected.map((text) => expect.stringContaining(text))
        )
        expect(found.join("\n").toLowerCase()).not.toContain("hunter2")
      })
    )
  }

  it_("are not looked for in a password that was not encoded", () =>
    Effect.gen(function* () {
      const found = yield* problems(
        'source: ./in\nfolders: [{ path: "ftp://u:a/{hunter2}@h/x" }, { path: "ftp://u:a/{hunter2@h/x" }]\n'
      )
      expect(found).toHaveLength(2)
      expect(found.join("\n")).not.toContain("hunter2")
    })
  )

  it_("are shown where they stand", () =>
    Effect.gen(function* () {
      expect(yield* problems(`source: ./in\nfolders:\n  - path: "/a/b-{nmae}/"\n`)).toEqual([
        expect.stringMatching(/^3:17 folders\[0\].path: "\{nmae\}": there is no variable/)
      ])
    })
  )
})

describe("transforms", () => {
  it_("belong to the target, which wins over its folder", () =>
    Effect.gen(function* () {
      const { settings } = yield* check(`source: ./in
folders:
  - compress: gzip
    encrypt: { age: [${alice}] }
    paths:
      - /a
      - { path: /b, compress: none, decompress: { limit: 5KiB } }
      - { path: "s3://bucket/x", compress: zstd, decompress: true }
  - { path: /c, compress: none, decompress: false }
`)
      expect(settings.routes.flatMap((route) => route.targets).map(({ target }) => target.options.transform)).toEqual([
        { decompress: null, compress: "gzip", age: [alice] },
        { decompress: { limit: 5120 }, compress: "none", age: [alice] },
        { decompress: { limit: 1024 ** 3 }, compress: "zstd", age: [alice] },
        null
      ])
    })
  )

  it("take a recipient only as it is, character by character", () => {
    expect(Recipients.fault(alice)).toBeUndefined()
    const index = FastCheck.integer({ min: 4, max: alice.length - 1 })
    const char = FastCheck.constantFrom(..."qpzry9x8gf2tvdw0s3jn54khce6mua7l")
    FastCheck.assert(
      FastCheck.property(index, char, (at, other) => {
        const changed = `${alice.slice(0, at)}${other}${alice.slice(at + 1)}`
        expect(Recipients.fault(changed) === undefined).toBe(changed === alice)
      })
    )
  })
})
