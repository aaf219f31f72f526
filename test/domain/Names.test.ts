import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import * as Names from "../../src/domain/Names.ts"
import * as RelPath from "../../src/domain/RelPath.ts"

const encode = (path: string): string => Names.encode(RelPath.make(path))
const decode = (path: string): string => Names.decode(RelPath.make(path))

/** What is hard about names, in any mixture, and any bytes. */
const hard = fc.constantFrom(
  "%",
  "%2",
  "%41",
  "%zz",
  "aF",
  "0",
  ".",
  "..",
  " ",
  "CON",
  "com1",
  "LPT\u00b9",
  ".fd-",
  ".part",
  ":",
  "<\\",
  "\u00e9",
  "\u{1f600}",
  "\u202e\u2028",
  "\u2066",
  "\u0085\u007f",
  "\n\u0000",
  "\ufeff",
  "e\u0301"
)
const bytes = fc
  .uint8Array({ minLength: 1, maxLength: 12 })
  .map((array) => array.map((byte) => (byte === 47 ? 37 : byte)))
const part = fc
  .array(
    fc.oneof(
      hard.map((text) => Buffer.from(text)),
      bytes.map((array) => Buffer.from(array))
    ),
    {
      minLength: 1,
      maxLength: 8
    }
  )
  .map((parts) => RelPath.fromBytes(Buffer.concat(parts)))
const path = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => RelPath.make(parts.join("/")))

describe("a portable name", () => {
  it.each([
    ["report 2026.pdf", "report 2026.pdf"],
    ["a/b c/d.tar.gz", "a/b c/d.tar.gz"],
    ["Grüße, 世界 \u{1f600}.txt", "Grüße, 世界 \u{1f600}.txt"],
    ["50% of it", "50% of it"],
    ["100%", "100%"],
    ["%zz", "%zz"],
    ["%41", "%2541"],
    ["%e2%80", "%25e2%2580"],
    ['a<b>c:d"e\\f|g?h*i', "a%3Cb%3Ec%3Ad%22e%5Cf%7Cg%3Fh%2Ai"],
    ["a\tb\nc\u007fd", "a%09b%0Ac%7Fd"],
    ["a\u0085b", "a%C2%85b"],
    ["gpj.\u202eexe", "gpj.%E2%80%AEexe"],
    ["a\u2028b\u2066c", "a%E2%80%A8b%E2%81%A6c"],
    ["caf\udce9.txt", "caf%E9.txt"],
    ["a./b /.c", "a%2E/b%20/.c"],
    ["a..", "a.%2E"],
    [" a", "%20a"],
    [" ", "%20"],
    ["..", ".%2E"],
    ["CON", "%43ON"],
    ["d/con.txt", "d/%63on.txt"],
    ["Nul .tar.gz", "%4Eul .tar.gz"],
    ["LPT\u00b9", "%4CPT\u00b9"],
    ["com0.x/aux", "%63om0.x/%61ux"],
    ["console", "console"],
    ["com10", "com10"],
    ["a.con", "a.con"],
    [".fd-0123456789abcdefghij.part", "%2Efd-0123456789abcdefghij.part"],
    ["a.fd-x.part", "a.fd-x.part"]
  ])("%j is %j", (name, expected) => {
    expect(encode(name)).toBe(expected)
    expect(decode(expected)).toBe(name)
  })

  it("is got back exactly, whatever the name was", () => {
    fc.assert(
      fc.property(path, (name) => {
        expect(Names.decode(Names.encode(name))).toBe(name)
      }),
      { numRuns: 1000 }
    )
  })

  it("keeps to the rules, in as many folders, and no two are one", () => {
    fc.assert(
      fc.property(path, path, (one, other) => {
        const encoded = Names.encode(one)
        expect(Names.problem(encoded, "portable") ?? Names.refusal(encoded)).toBe(Names.refusal(encoded))
        expect(encoded.split("/")).toHaveLength(one.split("/").length)
        expect(RelPath.isText(encoded)).toBe(true)
        if (one !== other) expect(encoded).not.toBe(Names.encode(other))
      }),
      { numRuns: 1000 }
    )
  })

  it("is left alone where it is portable as it is", () => {
    fc.assert(
      fc.property(path, (name) => {
        fc.pre(Names.refusal(name) === undefined)
        const portable = Names.problem(name, "portable") === undefined && !/%[0-9a-f]{2}/i.test(name)
        expect(Names.encode(name) === name).toBe(portable)
      }),
      { numRuns: 1000 }
    )
  })

  it("is decoded from any text without harm", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        decode(text)
      })
    )
    expect(decode("%")).toBe("%")
    expect(decode("a%4")).toBe("a%4")
    expect(decode("%C3%A9")).toBe("é")
    expect(decode("%c3%a9")).toBe("é")
  })
})

describe("what can't be sent", () => {
  it("is a name of more than 255 bytes, and a path of more than 4,096", () => {
    expect(Names.refusal("x".repeat(255))).toBeUndefined()
    expect(Names.refusal("x".repeat(256))).toBe("a name in its path has 256 bytes, and 255 is the most there can be")
    expect(Names.refusal(`${"é".repeat(127)}x/a`)).toBeUndefined()
    expect(Names.refusal(`a/${"é".repeat(128)}`)).toContain("256 bytes")
    expect(Names.refusal("\udcff".repeat(255))).toBeUndefined()
    expect(Names.refusal("\u{1f600}".repeat(64))).toContain("256 bytes")
    const long = Array.from({ length: 17 }, () => "x".repeat(240)).join("/")
    expect(Names.refusal(long)).toBeUndefined()
    expect(Names.refusal(`${long}x`)).toBe("its path has 4097 bytes, and 4096 is the most there can be")
  })

  it("may be so only because of how it is written", () => {
    const name = ":".repeat(100)
    expect(Names.refusal(name)).toBeUndefined()
    expect(Names.refusal(encode(name))).toContain("300 bytes")
  })
})

describe("what is wrong with a name", () => {
  it.each([
    ["a.txt", undefined],
    ["a:b", "not every system can have : in a name"],
    ["a\nb", "not every system can have \\u{a} in a name"],
    ["a\udcff", "a byte of it is not UTF-8"],
    ["a.", "not every system can have a dot or a space at a name's end"],
    ["d /x", "not every system can have a dot or a space at a name's end"],
    [" a", "not every system can have a space at a name's beginning"],
    ["aux.c", "aux.c is a device on some systems"],
    [".fd-x.part", ".fd-x.part is what our own temp files are called"]
  ])("%j: %s", (name, expected) => {
    expect(Names.problem(name, "portable")).toBe(expected)
    expect(Names.problem(name, "strict")).toBeUndefined()
  })
})
