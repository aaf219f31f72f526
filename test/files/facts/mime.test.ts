import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { gzipSync } from "node:zlib"
import * as FileFactsLive from "../../../src/files/FileFactsLive.ts"
import * as Documents from "./documents.ts"
import { place } from "./files.ts"

const cases = (all: ReadonlyArray<readonly [string, string | Uint8Array, string | null]>) =>
  Effect.gen(function* () {
    const { write } = yield* place
    const said: Record<string, string | null> = {}
    for (const [name, content] of all) said[name] = yield* write(name, content).mime
    expect(said).toEqual(Object.fromEntries(all.map(([name, , type]) => [name, type])))
  }).pipe(Effect.provide(FileFactsLive.layer))

describe("mime", () => {
  it.scoped("goes by the bytes and not by the name", () =>
    cases([
      ["holiday.png", Documents.exe(), "application/x-msdownload"],
      ["real.exe", Documents.png(), "image/png"],
      ["letter.docx", Documents.png(), "image/png"],
      ["notes.pdf", "just text\n", "text/plain"],
      ["photo.jpg", "a,b\n1,2\n", "text/plain"],
      ["page.txt", "<!DOCTYPE html><html><body>x", "text/html"],
      ["table.csv", Documents.pdf(["x"]), "application/pdf"],
      ["a.zip", Buffer.from("PK\x05\x06" + "\0".repeat(18), "latin1"), "application/zip"],
      ["noise", Buffer.from([0, 1, 2, 3, 250, 251, 252, 200, 0, 0, 9]), null]
    ])
  )

  it.scoped("knows text from what only begins like something else", () =>
    cases([
      ["a", "BM is not always a bitmap", "text/plain"],
      ["b", "MZ is a prefix for Zimbabwe's neighbour", "text/plain"],
      ["c", "GIF89a is what a picture begins with", "text/plain"],
      ["d", "%PDF is what a document begins with", "text/plain"],
      ["e", "grüße\n", "text/plain"],
      ["f", Buffer.from("gr\xfc\xdfe aus K\xf6ln\n", "latin1"), "text/plain"],
      ["g", Buffer.from("\ufeffHello", "utf16le"), "text/plain"],
      ["h", Buffer.from("\ufeffHello", "utf16le").swap16(), "text/plain"],
      ["i", "\x1b[31mred\x1b[0m\n", "text/plain"],
      ["j", `${"x".repeat(4095)}ü`, "text/plain"],
      ["k", Buffer.concat([Buffer.from("text\n"), Buffer.alloc(20)]), null],
      ["l", Buffer.from([0xff, 0xfe, 0, 0, 0x41, 0, 0, 0]), null],
      ["m", Buffer.from([0xe4, 0xf6, 0xfc, 0xdf, 0xc4]), null]
    ])
  )

  it.scoped("tells kinds of text by strong signs, and those that look alike by their names", () =>
    cases([
      ["a.csv", "a,b\n", "text/csv"],
      ["b.md", "# Title\n", "text/markdown"],
      ["B.MD", "# Title\n", "text/markdown"],
      ["c.ts", "const a = 1\n", "text/plain"],
      ["d.json", '{"a": [1, 2]}', "application/json"],
      ["e", '{"a": [1, 2]}', "application/json"],
      ["f.json", "{ not json at all", "text/plain"],
      ["g", `[{"id": 1, "text": "${"x".repeat(9000)}"}]`, "application/json"],
      ["h.log", "[2026-01-01] started\n", "text/plain"],
      ["i", '<?xml version="1.0"?>\n<!-- x --><invoice/>', "application/xml"],
      ["j", '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml"],
      ["k.txt", "<svg xmlns='http://www.w3.org/2000/svg'></svg>", "image/svg+xml"],
      ["l", "\ufeff \n<!-- c --><HTML lang=en>", "text/html"],
      ["m.html", "no markup", "text/plain"],
      ["n.html", "<p>a fragment", "text/html"],
      ["o.txt", "<p>a fragment", "text/plain"],
      ["p", "BEGIN:VCARD\r\nVERSION:4.0\r\n", "text/vcard"],
      ["q", "BEGIN:VCALENDAR\r\n", "text/calendar"],
      ["r", "{\\rtf1 x}", "application/rtf"],
      ["s", "%!PS-Adobe-3.0\n", "application/postscript"],
      ["t", "-----BEGIN PGP MESSAGE-----\n", "application/pgp-encrypted"],
      ["u.eml", "From: a\n\nb", "message/rfc822"],
      ["v.png", "", "application/x-empty"],
      ["w.geojson", '{"type": "Point"}', "application/geo+json"]
    ])
  )

  it.scoped("looks into zips and compound files", () =>
    Effect.gen(function* () {
      const word = yield* Effect.promise(() => Documents.docx(Documents.paragraph("x")))
      const plain = yield* Effect.promise(() => Documents.zip({ "a.txt": "x", "word/notes.txt": "y" }))
      yield* cases([
        ["a.bin", word, Documents.wordType],
        ["b.bin", yield* Effect.promise(Documents.xlsx), Documents.sheetType],
        ["c.bin", yield* Effect.promise(Documents.pptx), Documents.slidesType],
        ["d.bin", yield* Effect.promise(() => Documents.odt("")), Documents.odtType],
        ["e.docx", plain, "application/zip"],
        ["f.docx", word.subarray(0, 100), "application/zip"],
        ["g.xls", Documents.compound(["Root Entry", "WordDocument"]), "application/msword"],
        ["h.doc", Documents.compound(["Root Entry", "Workbook"]), "application/vnd.ms-excel"],
        ["i.docx", Documents.compound(["Root Entry", "EncryptedPackage"]), "application/x-ole-storage"],
        ["j.gz", gzipSync("x"), "application/gzip"]
      ])
    })
  )
})
