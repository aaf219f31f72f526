import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { Collector } from "../../../src/files/facts/collector.ts"
import { clip, decode, encodingOf, type Encoding } from "../../../src/files/facts/encoding.ts"
import { readHtml } from "../../../src/files/facts/html.ts"
import { attribute, Markup } from "../../../src/files/facts/markup.ts"
import { readRtf } from "../../../src/files/facts/rtf.ts"

const events = (pieces: ReadonlyArray<string>): string => {
  let out = ""
  const markup = new Markup({
    text: (text) => (out += text),
    open: (name, attributes) => (out += `[${name}${attributes}]`),
    close: (name) => (out += `[/${name}]`)
  })
  for (const piece of pieces) markup.write(piece)
  markup.end()
  return out
}

describe("Markup", () => {
  it("passes over what is no text", () => {
    expect(events(["<?xml version='1'?><!DOCTYPE a><!-- <b> --><w:a x='1>2' y=\"</a>\">t</w:a>"])).toBe(
      "[a x='1>2' y=\"</a>\"]t[/a]"
    )
    expect(events(["<a/>x<b c=1/>"])).toBe("[a/][/a]x[b c=1/][/b]")
    expect(events(["a < b &amp;&lt;&#65;&#x42;&unknown; <![CDATA[<x>&amp;]]>"])).toBe("a < b &<AB&unknown; <x>&amp;")
    expect(events(["<a title=it's>don't</a>"])).toBe("[a title=it's]don't[/a]")
    expect(attribute(` text:c="3" d='x &amp; y'`, "c")).toBe("3")
    expect(attribute(` text:c="3" d='x &amp; y'`, "d")).toBe("x & y")
  })

  it("finds the same however it is cut into pieces", () => {
    const word = fc.constantFrom(
      "<p>",
      "</p>",
      "<br/>",
      "text",
      " ",
      "&amp;",
      "&#8364;",
      "<!-- c > d -->",
      "<![CDATA[ <x> ]]>",
      "<?pi ?>",
      '<a b="c>d">',
      "< ",
      "&",
      "]]>",
      "ü"
    )
    fc.assert(
      fc.property(fc.array(word, { maxLength: 30 }), fc.array(fc.nat(6), { maxLength: 40 }), (words, cuts) => {
        const whole = words.join("")
        const pieces: Array<string> = []
        let at = 0
        for (const cut of cuts) {
          pieces.push(whole.slice(at, at + cut + 1))
          at += cut + 1
        }
        expect(events([...pieces, whole.slice(at)])).toBe(events([whole]))
      })
    )
  })

  it("gives up a tag that has no end", () => {
    const markup = new Markup({ text: () => undefined, open: () => undefined, close: () => undefined })
    expect(() => {
      for (let count = 0; count < 100; count++) markup.write(count === 0 ? "<a b='" : "x".repeat(100_000))
    }).toThrow("a tag has no end")
  })
})

describe("readers of text", () => {
  it("take anything, and never give more than was asked for", () => {
    const part = fc.constantFrom(
      "<p>",
      "<script>",
      "</script>",
      "{\\rtf1",
      "{",
      "}",
      "\\u8364?",
      "\\'e4",
      "\\bin9",
      "\\*",
      "x "
    )
    fc.assert(
      fc.property(fc.array(fc.oneof(part, fc.string())), fc.nat(50), (parts, length) => {
        const source = parts.join("")
        for (const read of [
          (into: Collector) => readHtml(source, into),
          (into: Collector) => readRtf(Buffer.from(source), into)
        ]) {
          const into = new Collector(length)
          read(into)
          const { text } = into.result()
          expect(text.length).toBeLessThanOrEqual(length)
        }
      })
    )
  })
})

describe("encodings", () => {
  it("what is written as text is read as that text, whole or cut", () => {
    const char = fc.constantFrom("a", " ", "\n", "ü", "€", "👍", "語")
    const encodings: Record<string, (text: string) => Buffer> = {
      "utf-8": (text) => Buffer.from(text),
      "utf-16le": (text) => Buffer.from(`\ufeff${text}`, "utf16le"),
      "utf-16be": (text) => Buffer.from(`\ufeff${text}`, "utf16le").swap16()
    }
    fc.assert(
      fc.property(
        fc.array(char, { minLength: 1, maxLength: 60 }),
        fc.constantFrom<Encoding>("utf-8", "utf-16le", "utf-16be"),
        fc.nat(70),
        (chars, encoding, length) => {
          const text = chars.join("")
          const bytes = encodings[encoding]?.(text) ?? Buffer.alloc(0)
          expect(encodingOf(bytes, true)).toBe(encoding)
          const read = bytes.subarray(0, 3 * length + 4)
          const whole = read.length === bytes.length
          // as much of it as a sample may have
          expect(encodingOf(read, whole)).toBe(encoding)
          expect(decode(read, encoding, { length, whole })).toEqual(clip(text, length, false))
        }
      )
    )
  })
})
