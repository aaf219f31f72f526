/**
 * Documents as their programs would make them, small, and made here.
 */
import { Buffer } from "node:buffer"
import { deflateSync } from "node:zlib"
import { ZipFile } from "yazl"

/** A zip of these entries; those in `stored` are not compressed. */
export const zip = (entries: Readonly<Record<string, string | Buffer>>, stored: ReadonlyArray<string> = []) =>
  new Promise<Buffer>((resolve, reject) => {
    const file = new ZipFile()
    for (const [name, content] of Object.entries(entries)) {
      file.addBuffer(Buffer.from(content), name, { compress: !stored.includes(name) })
    }
    file.end()
    const chunks: Array<Buffer> = []
    file.outputStream.on("data", (chunk: Buffer) => chunks.push(chunk))
    file.outputStream.on("end", () => resolve(Buffer.concat(chunks)))
    file.outputStream.on("error", reject)
  })

const contentTypes = (part: string, type: string) =>
  `<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/><Override PartName="${part}" ContentType="${type}.main+xml"/></Types>`

export const wordType = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
export const sheetType = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
export const slidesType = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
export const odtType = "application/vnd.oasis.opendocument.text"

export const wordXml = (body: string) =>
  `<?xml version="1.0"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>${body}</w:body></w:document>`

export const paragraph = (text: string) => `<w:p><w:r><w:t xml:space="preserve">${text}</w:t></w:r></w:p>`

/** As LibreOffice does it: what the parts are comes last. */
export const docx = (body: string, more: Readonly<Record<string, string | Buffer>> = {}) =>
  zip({
    "word/document.xml": wordXml(body),
    ...more,
    "[Content_Types].xml": contentTypes("/word/document.xml", wordType)
  })

export const xlsx = () =>
  zip({
    "[Content_Types].xml": contentTypes("/xl/workbook.xml", sheetType),
    "xl/sharedStrings.xml": `<sst><si><t>Customer</t></si><si><r><t>Blu</t></r><r><t>menhaus &amp; Co</t></r><rPh><t>x</t></rPh></si></sst>`,
    "xl/worksheets/sheet1.xml": `<worksheet><sheetData><row r="1"><c t="s"><v>0</v></c><c><v>4711</v></c></row><row r="2"><c t="s"><v>1</v></c><c t="inlineStr"><is><t>inline</t></is></c><c t="b"><v>1</v></c></row></sheetData></worksheet>`,
    "xl/worksheets/sheet2.xml": `<worksheet><sheetData><row><c t="str"><f>A1&amp;B1</f><v>second</v></c></row></sheetData></worksheet>`
  })

export const pptx = () =>
  zip({
    "[Content_Types].xml": contentTypes("/ppt/presentation.xml", slidesType),
    "ppt/slides/slide10.xml": `<p:sld><a:p><a:r><a:t>last</a:t></a:r></a:p></p:sld>`,
    "ppt/slides/slide2.xml": `<p:sld><a:p><a:r><a:t>second</a:t></a:r></a:p></p:sld>`,
    "ppt/slides/slide1.xml": `<p:sld><a:p><a:r><a:t>Offer</a:t></a:r><a:br/><a:r><a:t>4711</a:t></a:r></a:p></p:sld>`
  })

export const odt = (text: string, more: Readonly<Record<string, string>> = {}) =>
  zip(
    {
      mimetype: odtType,
      "META-INF/manifest.xml": "<manifest:manifest/>",
      ...more,
      "content.xml": `<office:document-content><office:automatic-styles><x>not this</x></office:automatic-styles><office:body><office:text><text:tracked-changes><text:p>deleted</text:p></text:tracked-changes><text:h>Invoice</text:h>${text}</office:text></office:body></office:document-content>`
    },
    ["mimetype"]
  )

const escaped = (text: string) => text.replace(/[()\\]/g, "\\$&")

/** A page for each text. `extra` goes into the trailer; `streams` replace the pages' contents. */
export const pdf = (
  pages: ReadonlyArray<string>,
  options: { readonly trailer?: string; readonly objects?: ReadonlyArray<string>; readonly contents?: Buffer } = {}
): Buffer => {
  const parts: Array<Buffer> = [Buffer.from("%PDF-1.4\n")]
  const offsets: Array<number> = []
  let length = parts[0]?.length ?? 0
  const put = (part: Buffer | string) => {
    const bytes = Buffer.from(part)
    parts.push(bytes)
    length += bytes.length
  }
  const object = (body: Buffer | string) => {
    offsets.push(length)
    put(`${offsets.length} 0 obj\n`)
    put(body)
    put("\nendobj\n")
  }
  const stream = (dictionary: string, content: Buffer) =>
    Buffer.concat([
      Buffer.from(`<<${dictionary}/Length ${content.length}>>\nstream\n`),
      content,
      Buffer.from("\nendstream")
    ])
  object("<</Type/Catalog/Pages 2 0 R>>")
  object(`<</Type/Pages/Kids[${pages.map((_, index) => `${4 + 2 * index} 0 R`).join(" ")}]/Count ${pages.length}>>`)
  object("<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")
  pages.forEach((text, index) => {
    object(
      `<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents ${5 + 2 * index} 0 R/Resources<</Font<</F1 3 0 R>>>>>>`
    )
    const content = text === "" ? "" : `BT /F1 12 Tf 10 100 Td (${escaped(text)}) Tj ET`
    object(stream("/Filter/FlateDecode", options.contents ?? deflateSync(content)))
  })
  for (const body of options.objects ?? []) object(body)
  const start = length
  put(`xref\n0 ${offsets.length + 1}\n0000000000 65535 f \n`)
  for (const offset of offsets) put(`${String(offset).padStart(10, "0")} 00000 n \n`)
  put(`trailer\n<</Size ${offsets.length + 1}/Root 1 0 R${options.trailer ?? ""}>>\nstartxref\n${start}\n%%EOF\n`)
  return Buffer.concat(parts)
}

/** One whose passwords, of the user and the owner, nobody knows. */
export const encryptedPdf = (): Buffer =>
  pdf(["secret"], {
    trailer: "/Encrypt 6 0 R/ID[<00112233445566778899aabbccddeeff><00112233445566778899aabbccddeeff>]",
    objects: [`<</Filter/Standard/V 1/R 2/O<${"41".repeat(32)}>/U<${"42".repeat(32)}>/P -4>>`]
  })

/** An OLE compound file that has a directory with these names, and nothing else. */
export const compound = (names: ReadonlyArray<string>): Buffer => {
  const file = Buffer.alloc(512 * 3)
  Buffer.from("d0cf11e0a1b11ae1", "hex").copy(file)
  file.writeUInt16LE(9, 30)
  file.writeUInt32LE(1, 48)
  names.forEach((name, index) => {
    const at = 1024 + 128 * index
    file.write(name, at, "utf16le")
    file.writeUInt16LE(2 * name.length + 2, at + 64)
  })
  return file
}

export const png = (): Buffer =>
  Buffer.concat([
    Buffer.from("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489", "hex"),
    Buffer.from("0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082", "hex")
  ])

/** The beginning of a program for Windows. */
export const exe = (): Buffer => Buffer.concat([Buffer.from("MZ\x90\x00\x03\x00\x00\x00", "latin1"), Buffer.alloc(600)])
