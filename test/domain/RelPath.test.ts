import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import * as RelPath from "../../src/domain/RelPath.ts"

/** Bytes that are valid UTF-8 in places and broken in others. */
const bytes = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 6 }),
      fc.string({ unit: "binary", maxLength: 6 }).map((text) => new TextEncoder().encode(text)),
      fc.constantFrom(
        Uint8Array.of(0xed, 0xa0, 0x80),
        Uint8Array.of(0xed, 0xb2, 0x80),
        Uint8Array.of(0xf4, 0x90, 0x80, 0x80),
        Uint8Array.of(0xef, 0xbb, 0xbf),
        Uint8Array.of(0x5c, 0x78, 0x38, 0x30)
      )
    ),
    { maxLength: 8 }
  )
  .map((parts) => Uint8Array.from(parts.flatMap((part) => Array.from(part))))

describe("RelPath", () => {
  it("gives back the bytes it was made of", () => {
    fc.assert(
      fc.property(bytes, (input) => {
        expect(RelPath.toBytes(RelPath.fromBytes(input))).toEqual(input)
      }),
      {
        numRuns: 2000
      }
    )
  })

  it("gives back the path that it displays", () => {
    fc.assert(
      fc.property(bytes, (input) => {
        const path = RelPath.fromBytes(input)
        expect(RelPath.parse(RelPath.display(path))).toBe(path)
      }),
      { numRuns: 2000 }
    )
  })

  it("displays well-formed text in which nothing moves a cursor", () => {
    fc.assert(
      fc.property(bytes, (input) => {
        const shown = RelPath.display(RelPath.fromBytes(input))
        expect(shown.isWellFormed()).toBe(true)
        expect(shown).not.toMatch(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/u)
      }),
      { numRuns: 500 }
    )
  })

  it("leaves escapes that display does not make as they are", () => {
    for (const text of ["\\x41", "\\u{ffffffff}", "\\u{d800}", "\\q", "a\\"]) expect(RelPath.parse(text)).toBe(text)
  })
})
