import { describe, expect, it } from "@effect/vitest"
import { Either, FastCheck as fc } from "effect"
import { noFacts, type Facts } from "../../src/domain/Facts.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import * as Template from "../../src/route/Template.ts"

const time = Date.UTC(2026, 0, 2, 3, 4, 5)
const mtime = Date.UTC(1999, 11, 31, 23, 59, 58)
const sha256 = "0123456789abcdef".repeat(4)

interface Given {
  readonly path?: string
  readonly source?: string
  readonly mtime?: number
  readonly facts?: Partial<Facts>
  readonly options?: Template.PathOptions
}

const context = ({ facts, mtime: at = mtime, path = "x/b.txt", source = "inbox" }: Given): Template.Context => ({
  path: RelPath.make(path),
  source,
  time,
  size: 5,
  mtime: at,
  facts: { ...noFacts, ...facts }
})

const rendered = (template: string, given: Given = {}) =>
  Either.getOrThrow(Template.compile(template, given.options)).render(context(given))

const render = (template: string, path: string, source = "inbox") => rendered(template, { path, source })

const fault = (template: string, options?: Template.PathOptions) =>
  Either.getOrThrow(Either.flip(Template.compile(template, options)))

const bytesOf = (text: string) => RelPath.toBytes(text).length

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

  const facts: Partial<Facts> = { mime: "image/png", sha256, counter: 7, groups: { year: "2019", none: "" } }
  const options = { groups: new Set(["year", "none", "absent", "constructor"]) }

  it.each([
    ["/a/{mtime}/{name}", "/a/1999-12-31/b.txt"],
    ["/a/{mtime:yy.MM.dd HHmmss}/{name}", "/a/99.12.31 235958/b.txt"],
    ["/a/{size}-{name}", "/a/5-b.txt"],
    ["/a/{sha256}", `/a/${sha256}`],
    ["/a/{sha256:8}.{ext}", "/a/01234567.txt"],
    ["/a/{mime}/{name}", "/a/image_png/b.txt"],
    ["/a/{counter}", "/a/7"],
    ["/a/{counter:4}.{ext}", "/a/0007.txt"],
    ["/a/{year}/{name}", "/a/2019/b.txt"],
    ["{year}.pdf", "2019.pdf"],
    ["x/{year}/", "x/2019/x/b.txt"],
    // what the file has not
    ["/a/{none}/{name}", "/a/_/b.txt"],
    ["/a/{absent}{name}", "/a/_b.txt"],
    ["/a/{constructor}/{name}", "/a/_/b.txt"]
  ])("%s of a file with facts is %s", (template, expected) =>
    expect(rendered(template, { facts, options })).toBe(expected)
  )

  it.each([
    ["{mime}/{sha256}-{counter:3}", "b", "_/_-_"],
    ["{mtime}-{name}", "b", "_-b"],
    ["{stem}.{ext}", "README", "README"],
    ["{stem}-old.{ext}", "README", "README-old"],
    ["{stem}.{ext}", ".hidden", ".hidden"],
    ["{stem}.old.{ext}.x", "b", "b.old.x"],
    ["{ext}/{name}", "README", "_/README"],
    ["x/.{ext}/{name}", "README", "x/_/README"],
    ["{name}/{ext}", "README", "README/_"],
    ["{dir}/{name}", "b", "b"],
    ["{dir}{name}", "x/b", "xb"],
    ["{name}//x", "b", "b/x"]
  ])("%s of %s, of which nothing more is known, is %s", (template, path, expected) =>
    expect(rendered(template, { path, mtime: Number.MAX_VALUE })).toBe(expected)
  )

  it.each([
    ["/a/{nmae}", 3, "there is no variable {nmae}, did you mean {name}?"],
    ["/a/{name", 3, "a single {"],
    ["/a}/{name}", 2, "a single }"],
    ["/a/{date:yyyy-QQ}{name}", 3, "not a date pattern"],
    ["/a/{date}", 0, "every file would get the same path"],
    ["/a/{dir}/../{name}", 9, "a path may not go up after a variable"]
  ])("refuses %s", (template, index, message) => expect(fault(template)).toMatchObject({ index, message }))

  it.each([
    ["{size:3}", "nothing can follow its name", "the name alone, in braces"],
    ["{name:3}", "nothing can follow its name", "the name alone, in braces"],
    ["{sha256:0}", "not a number of digits", "from 1 to 64"],
    ["{sha256:65}", "not a number of digits", "from 1 to 64"],
    ["{sha256:x}", "not a number of digits", "from 1 to 64"],
    ["{counter:16}", "not a number of digits", "from 1 to 15"],
    ["{counter: 4}", "not a number of digits", "from 1 to 15"],
    ["{mtime:}", "not a date pattern", "yyyy, yy, MM, dd, HH, mm and ss, as in {date:yyyy-MM-dd}"],
    ["{year:4}{name}", "nothing can follow a group's name", "{year}"]
  ])("refuses %s", (template, message, expected) =>
    expect(fault(template, { groups: new Set(["year"]) })).toMatchObject({ message, expected })
  )

  it("refuses what is not there, and says what is", () => {
    const groups = new Set(["invoice", "size"])
    expect(fault("{name}-{nonsense}", { groups })).toMatchObject({
      index: 7,
      text: "{nonsense}",
      message: "there is no variable {nonsense}",
      expected:
        "{name}, {stem}, {ext}, {dir}, {relpath}, {date:yyyy-MM-dd}, {mtime}, {size}, {sha256}, {mime}, {source}, {counter}, {invoice}, {size}"
    })
    expect(fault("{invioce}", { groups }).message).toBe("there is no variable {invioce}, did you mean {invoice}?")
    expect(fault("{invoice}").message).toBe("there is no variable {invoice}")
    expect(fault("{counter}", { without: ["counter"] }).message).toBe("{counter} is not known here")
    expect(fault("{counter}", { without: ["counter"] }).expected).not.toContain("{counter}")
    expect(fault("{name}-{size}", { groups }).message).toBe(
      "{size} is a variable, and a group of an expression as well"
    )
  })

  it("must tell files apart", () => {
    for (const text of ["{date}", "{size}", "{mime}.{ext}", "{source}", "{dir}/x", "{sha256:7}"]) {
      expect(fault(text).message).toBe("every file would get the same path")
    }
    for (const text of ["{counter}", "{sha256:8}", "{sha256}", "{stem}"]) {
      expect(Either.isRight(Template.compile(text))).toBe(true)
    }
  })

  it("may be kept below what it is a path of", () => {
    for (const text of ["/{name}", "../{name}", "x/../../{name}", "/", "../", ".."]) {
      expect(fault(text, { below: true }).message).toBe("it would lead out of where the files go")
    }
    expect(rendered("./x..y//..z/{name}", { options: { below: true } })).toBe("x..y/..z/b.txt")
  })

  it("says what it needs", () => {
    const needs = (text: string) => Either.getOrThrow(Template.compile(text)).needs
    expect(needs("{name}")).toEqual({ mime: false, sha256: false, counter: false })
    expect(needs("{mime}/{sha256:8}-{counter}")).toEqual({ mime: true, sha256: true, counter: true })
  })

  it.each([
    ["a/b\\c", "a_b_c"],
    ["..", "__"],
    [".", "_"],
    ["../../etc/passwd", ".._.._etc_passwd"],
    ["line\r\nend\u0000", "line__end_"],
    ["\u202egpj.exe", "_gpj.exe"],
    ["  spaces  ", "spaces"],
    [" \n ", "_"],
    ["\udcff\ud800x", "__x"],
    ["ünïcödé 😀", "ünïcödé 😀"]
  ])("takes %j from a document as %j", (text, expected) => {
    const given = { facts: { groups: { text } }, options: { groups: new Set(["text"]) } }
    expect(rendered("r/{text}", given)).toBe(`r/${expected}`)
  })

  it("cuts names that are too long between characters, and keeps them apart", () => {
    const options = { groups: new Set(["text"]) }
    const long = (text: string) => rendered("{text}-{name}", { facts: { groups: { text } }, options })
    const one = long("ä".repeat(10_000_000))
    expect(one).toMatch(/^ä+~[0-9a-f]{8}\.txt$/)
    expect(bytesOf(one)).toBeLessThanOrEqual(255)
    expect(bytesOf(one)).toBeGreaterThan(250)
    expect(long(`${"ä".repeat(200)}x`)).not.toBe(long(`${"ä".repeat(200)}y`))
    expect(bytesOf(rendered("{name}-{name}", { path: `${"\udcff".repeat(250)}.😀` }))).toBeLessThanOrEqual(255)
    // an extension that is none
    expect(rendered("{text}", { facts: { groups: { text: `a.${"x".repeat(300)}` } }, options })).toMatch(
      /x~[0-9a-f]{8}$/
    )
  })

  it("goes by the second", () => {
    const template = Either.getOrThrow(Template.compile("{mtime:ss}-{name}"))
    const at = (mtime: number) => template.render(context({ path: "b", mtime }))
    expect([1000, 1999, 2000, Number.NaN, Number.NaN, 1000].map(at)).toEqual([
      "01-b",
      "01-b",
      "02-b",
      "_-b",
      "_-b",
      "01-b"
    ])
  })

  it("spells two halves of a character as that character", () => {
    expect(rendered("{stem}{ext}", { path: "a\udcc3.\udca9" })).toBe("aé")
  })

  it("never leaves its root, whatever the file and its content are", () => {
    const hostile = fc.oneof(
      fc.constantFrom("..", ".", "...", "..a", "", "a..", "{name}", "/", "//", "../..", "/..", "\0", "\\..\\", "a\n"),
      fc.string(),
      fc.string({ unit: "binary" }),
      // bytes that are not UTF-8
      fc.uint8Array({ maxLength: 20 }).map((bytes) => RelPath.fromBytes(bytes)),
      fc.string({ minLength: 200, maxLength: 400 }),
      fc
        .array(fc.constantFrom("\ud800", "\udc80", "\udcff", "ä", "\u202e", ".", "/"), { maxLength: 300 })
        .map((all) => all.join(""))
    )
    const variables = fc.constantFrom(
      ..."name stem ext dir relpath date date:yyyy/MM date:./../dd mtime size sha256 sha256:8 mime source counter counter:4 g h".split(
        " "
      )
    )
    const part = fc.oneof(
      variables.map((name) => `{${name}}`),
      fc.constantFrom("/", "/", ".", "-", "x", "{{", "}}")
    )
    const groups = new Set(["g", "h"])
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1, maxLength: 8 }),
        fc.array(hostile, { minLength: 1, maxLength: 5 }),
        fc.record({ source: hostile, mime: hostile, g: hostile, h: fc.option(hostile) }),
        fc.record({ size: fc.nat(), mtime: fc.double(), counter: fc.option(fc.nat()) }),
        (parts, segments, texts, numbers) => {
          for (const root of ["/r/s", "r", ""]) {
            const compiled = Template.compile(`${root}${root === "" ? "" : "/"}${parts.join("")}`, { groups })
            if (Either.isLeft(compiled)) continue
            // what stands before the first variable is the template's own
            const own = compiled.right.root
            if (!own.startsWith(root)) expect(own).toBe(root)
            const path = compiled.right.render({
              path: RelPath.make(segments.join("/")),
              source: texts.source,
              time,
              size: numbers.size,
              mtime: numbers.mtime,
              facts: {
                mime: texts.mime,
                sha256: null,
                counter: numbers.counter,
                groups: texts.h === null ? { g: texts.g } : { g: texts.g, h: texts.h }
              }
            })
            const outside = own === "" || own === "/" ? own : `${own}/`
            const inside = path.slice(outside.length)
            const wrong = inside.split("/").filter((one) => /^\.{0,2}$/.test(one) || bytesOf(one) > 255)
            expect({ below: path.startsWith(outside), wrong, nul: path.includes("\0") }).toEqual({
              below: true,
              wrong: [],
              nul: false
            })
            // it is spelled the one way there is
            expect(RelPath.fromBytes(RelPath.toBytes(path))).toBe(path)
          }
        }
      ),
      { numRuns: 400 }
    )
  })

  it("leaves a path as it is, whatever bytes it has", () => {
    const name = fc
      .uint8Array({ minLength: 1, maxLength: 255 })
      .map((bytes) => RelPath.fromBytes(bytes.map((byte) => (byte === 0x2f || byte === 0 ? 0x61 : byte))))
      .filter((one) => one !== "." && one !== "..")
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 4 }), (segments) => {
        expect(rendered("{relpath}", { path: segments.join("/") })).toBe(segments.join("/"))
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

describe("text with variables", () => {
  const text = (template: string, given: Given = {}, options?: Template.Options) =>
    Either.getOrThrow(Template.compileText(template, options)).render(context(given))
  const textFault = (template: string, options?: Template.Options) =>
    Either.getOrThrow(Either.flip(Template.compileText(template, options)))

  it.each([
    ["{name}", "b.txt"],
    ["sha-256={sha256}; of {size} bytes", `sha-256=${sha256}; of 5 bytes`],
    ["{mime}", "image/png"],
    ["{relpath}", "x/b.txt"],
    ["{dir}", "x"],
    ["{date:yyyy-MM-dd HH:mm:ss}", "2026-01-02 03:04:05"],
    ["{{name}} is {name}", "{name} is b.txt"],
    // plain braces are what they were
    ['{"a":{"b":[1,{}]}}', '{"a":{"b":[1,{}]}}'],
    ["{", "{"],
    ["}{", "}{"],
    ["{{", "{{"],
    ["{}", "{}"],
    ["{whatever}", "{whatever}"],
    ["Bearer abc{def", "Bearer abc{def"]
  ])("%s is %s", (template, expected) =>
    expect(text(template, { facts: { mime: "image/png", sha256, counter: 7 } })).toBe(expected)
  )

  it("refuses what was meant for a variable, and only that", () => {
    expect(textFault("a {nmae}")).toMatchObject({
      index: 2,
      text: "{nmae}",
      message: "there is no variable {nmae}, did you mean {name}?"
    })
    expect(textFault("{date:QQ}").message).toBe("not a date pattern")
    expect(textFault("{counter}", { without: ["counter"] }).message).toBe("{counter} is not known here")
    expect(textFault("{invioce}", { groups: new Set(["invoice"]) }).message).toContain("did you mean {invoice}?")
  })

  it("is empty for what a file has not, but for its type", () => {
    const options = { groups: new Set(["g"]) }
    expect(text("[{sha256}{counter}{g}]", {}, options)).toBe("[]")
    expect(text("{mime}")).toBe("application/octet-stream")
  })

  it("percent-encodes what a header field can't have", () => {
    expect(text("{name}", { path: "Rechnung für 100%.pdf" })).toBe("Rechnung f%C3%BCr 100%25.pdf")
    expect(text('"{name}"', { path: 'a"b\\c' })).toBe('"a%22b%5Cc"')
    expect(text("{name}", { path: " a " })).toBe("%20a%20")
    expect(text("{name}", { path: "\udcff" })).toBe("%FF")
  })

  it("says whether it is the same for all, and what it needs", () => {
    const one = (template: string) => Either.getOrThrow(Template.compileText(template))
    expect(one('{"a":1}').isPlain).toBe(true)
    expect(one("{{name}}").isPlain).toBe(false)
    expect(one("{sha256}{mime}").needs).toEqual({ mime: true, sha256: true, counter: false })
  })

  it("is one line of ASCII that can be decoded, whatever the file is called", () => {
    const options = { groups: new Set(["g"]) }
    const any = fc.oneof(fc.string({ unit: "binary" }), fc.string(), fc.constantFrom("\r\n", "\0", "a\r\nX-Evil: 1"))
    fc.assert(
      fc.property(any, any, any, (path, g, source) => {
        const out = text("{relpath}|{g}|{source}|{mime}", { path, source, facts: { mime: g, groups: { g } } }, options)
        expect(out).toMatch(/^[\x20-\x7e]*$/)
        const [first = ""] = out.split("|")
        if (!path.includes("|")) expect(decodeURIComponent(first)).toBe(path.toWellFormed())
      })
    )
  })
})
