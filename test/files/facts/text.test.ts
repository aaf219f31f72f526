import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as FileFactsLive from "../../../src/files/FileFactsLive.ts"
import * as Documents from "./documents.ts"
import { place, textOf } from "./files.ts"

const live = Effect.provide(FileFactsLive.layer)

describe("plain text", () => {
  it.scoped("is read in its encoding", () =>
    Effect.gen(function* () {
      const { write } = yield* place
      expect(yield* textOf(write("a", "grüße 👍\n"))).toBe("grüße 👍\n")
      expect(yield* textOf(write("b", "\ufeffgrüße"))).toBe("grüße")
      expect(yield* textOf(write("c", Buffer.from("\ufeffgrüße 👍", "utf16le")))).toBe("grüße 👍")
      expect(yield* textOf(write("d", Buffer.from("\ufeffgrüße 👍", "utf16le").swap16()))).toBe("grüße 👍")
      expect(yield* textOf(write("e", Buffer.from("5 \x80 f\xfcr gr\xfc\xdfe", "latin1")))).toBe("5 € für grüße")
      expect(yield* textOf(write("f", ""))).toBe("")
      const late = Buffer.concat([Buffer.from("x".repeat(5000)), Buffer.from([0xfc])])
      expect(yield* textOf(write("g", late))).toBe(`${"x".repeat(5000)}ü`)
      expect(yield* textOf(write("h.xml", "<?xml version='1.0'?><a>b</a>"))).toBe("<?xml version='1.0'?><a>b</a>")
    }).pipe(live)
  )

  it.scoped("is cut where it was asked to be, and never within a character", () =>
    Effect.gen(function* () {
      const { write } = yield* place
      const read = (content: string | Uint8Array, length: number) => write("x", content).text(length)
      expect(yield* read("hello", 5)).toEqual({ _tag: "Text", text: "hello", cut: false })
      expect(yield* read("hello", 4)).toEqual({ _tag: "Text", text: "hell", cut: true })
      expect(yield* read("a👍b", 2)).toEqual({ _tag: "Text", text: "a", cut: true })
      expect(yield* read("a👍b", 3)).toEqual({ _tag: "Text", text: "a👍", cut: true })
      expect(yield* read("€".repeat(10_000), 9_999)).toEqual({ _tag: "Text", text: "€".repeat(9_999), cut: true })
      expect(yield* read("€".repeat(10_000), 10_000)).toEqual({ _tag: "Text", text: "€".repeat(10_000), cut: false })
      expect(yield* read("hello", 0)).toEqual({ _tag: "Text", text: "", cut: true })
      const wide = Buffer.from(`\ufeff${"ü".repeat(9000)}`, "utf16le")
      expect(yield* read(wide, 8999)).toEqual({ _tag: "Text", text: "ü".repeat(8999), cut: true })
    }).pipe(live)
  )

  it.scoped("is not there in what is no text", () =>
    Effect.gen(function* () {
      const { write } = yield* place
      expect(yield* textOf(write("a.txt", Documents.png()))).toBe("[it is not text (image/png)]")
      expect(yield* textOf(write("letter.docx", Documents.png()))).toBe("[it is not text (image/png)]")
      expect(yield* textOf(write("b.txt", Buffer.alloc(100)))).toBe("[it is not text (of a type that nobody knows)]")
      expect(yield* textOf(write("c.txt", Documents.exe()))).toBe("[it is not text (application/x-msdownload)]")
    }).pipe(live)
  )

  it.scoped("of a file of 4 GiB is its first part", () =>
    Effect.gen(function* () {
      const { at, root } = yield* place
      writeFileSync(join(root, "big.txt"), "invoice 4711\n".repeat(1000))
      truncateSync(join(root, "big.txt"), 4 * 1024 ** 3)
      expect(yield* at("big.txt").text(7)).toEqual({ _tag: "Text", text: "invoice", cut: true })
      writeFileSync(join(root, "zeros.txt"), "")
      truncateSync(join(root, "zeros.txt"), 4 * 1024 ** 3)
      expect(yield* textOf(at("zeros.txt"))).toBe("[it is not text (of a type that nobody knows)]")
      writeFileSync(join(root, "big.pdf"), Documents.pdf(["x"]))
      truncateSync(join(root, "big.pdf"), 4 * 1024 ** 3)
      expect(yield* at("big.pdf").mime).toBe("application/pdf")
      expect(yield* textOf(at("big.pdf"))).toBe(
        "[it is larger than 64 MiB, which is the most that a document may have to be read]"
      )
    }).pipe(live)
  )
})

describe("documents", () => {
  it.scoped("PDF: page by page, and no further than is needed", () =>
    Effect.gen(function* () {
      const { write } = yield* place
      const three = write("a.pdf", Documents.pdf(["Invoice (4711)", "second", "third"]))
      expect(yield* three.text(1000)).toEqual({ _tag: "Text", text: "Invoice (4711)\nsecond\nthird\n", cut: false })
      expect(yield* write("b.pdf", Documents.pdf(["Invoice 4711", "second"])).text(7)).toEqual({
        _tag: "Text",
        text: "Invoice",
        cut: true
      })
      expect(yield* textOf(write("scan.pdf", Documents.pdf(["", ""])))).toBe(
        "[none of its pages has text (they may be pictures)]"
      )
      expect(yield* textOf(write("secret.pdf", Documents.encryptedPdf()))).toBe("[it is an encrypted PDF]")
      expect(yield* textOf(write("cut.pdf", Documents.pdf(["x"]).subarray(0, 200)))).toBe(
        "[it is a truncated or damaged PDF]"
      )
      expect(yield* textOf(write("lie.pdf", "%PDF-1.7\nand nothing else"))).toBe("[it is a truncated or damaged PDF]")
    }).pipe(live)
  )

  it.scoped("Word: paragraphs, tabs, headers, and no text twice", () =>
    Effect.gen(function* () {
      const { write } = yield* place
      const body = [
        Documents.paragraph("Invoice &#52;711 &amp; more &lt;x&gt;"),
        "<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:instrText>PAGE</w:instrText><w:delText>gone</w:delText></w:r></w:p>",
        "<w:p><mc:AlternateContent><mc:Choice><w:t>box</w:t></mc:Choice><mc:Fallback><w:t>box</w:t></mc:Fallback></mc:AlternateContent></w:p>"
      ].join("")
      const header = `<w:hdr>${Documents.paragraph("ACME Ltd")}</w:hdr>`
      const docx = yield* Effect.promise(() => Documents.docx(body, { "word/header1.xml": header }))
      expect(yield* textOf(write("a.docx", docx))).toBe("Invoice 4711 & more <x>\na b\nc\nbox\nACME Ltd\n")
      expect(yield* write("b.docx", docx).text(7)).toEqual({ _tag: "Text", text: "Invoice", cut: true })
      expect(yield* textOf(write("c.docx", docx.subarray(0, docx.length - 30)))).toBe(
        "[it is a truncated or damaged zip]"
      )
      expect(yield* textOf(write("d.docx", Documents.compound(["Root Entry", "EncryptedPackage"])))).toBe(
        "[it is an encrypted Office document]"
      )
      const broken = Buffer.from(docx)
      broken.fill(0xff, 60, 120)
      expect(yield* textOf(write("e.docx", broken))).toBe("[it is a truncated or damaged zip]")
    }).pipe(live)
  )

  it.scoped("Excel, PowerPoint and OpenDocument", () =>
    Effect.gen(function* () {
      const { write } = yield* place
      expect(yield* textOf(write("a.xlsx", yield* Effect.promise(Documents.xlsx)))).toBe(
        "Customer\t4711\t\nBlumenhaus & Co\tinline\tTRUE\t\nsecond\t\n"
      )
      expect(yield* textOf(write("a.pptx", yield* Effect.promise(Documents.pptx)))).toBe("Offer\n4711\nsecond\nlast\n")
      const odt = yield* Effect.promise(() =>
        Documents.odt('<text:p>Number<text:s text:c="3"/>4711<text:tab/>x <text:span>y</text:span></text:p>')
      )
      expect(yield* textOf(write("a.odt", odt))).toBe("Invoice\nNumber   4711\tx y\n")
      const secret = yield* Effect.promise(() =>
        Documents.odt("", {
          "META-INF/manifest.xml": "<manifest:manifest><manifest:encryption-data/></manifest:manifest>"
        })
      )
      expect(yield* textOf(write("b.odt", secret))).toBe("[it is an encrypted OpenDocument file]")
    }).pipe(live)
  )

  it.scoped("HTML and RTF: what a reader sees", () =>
    Effect.gen(function* () {
      const { write } = yield* place
      const html = `<!doctype html><html><head><title>Invoice</title><style>p { color: red }</style>
        <script>if (1 < 2) document.write("<p>no</p>")</script></head>
        <body><h1>No. <b>47</b>11</h1><p>gr&uuml;&szlig;e &#8364;&nbsp;5 a < b<br>next</p><!-- no --><td>1</td><td>2</td></body>`
      expect(yield* textOf(write("a.html", html))).toBe("Invoice\nNo. 4711\ngrüße €\u00a05 a < b\nnext\n1 2\n")
      const rtf = String.raw`{\rtf1\ansi{\fonttbl{\f0 Arial;}}{\*\generator x;}{\info{\title no}}\f0 Invoice 4711\par gr\'fc\u223?e \{x\}\tab\u8364\'805{\pict 0102}\par}`
      expect(yield* textOf(write("a.rtf", rtf))).toBe("Invoice 4711\ngrüße {x}\t€5\n")
    }).pipe(live)
  )
})
