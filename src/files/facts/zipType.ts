/**
 * What a zip file is: an Office document, an OpenDocument, an e-book, or just an archive. Its directory, at the end of
 * the file, is what counts, as for every program that opens it.
 */
import { Readable } from "node:stream"
import { fromRandomAccessReaderPromise, RandomAccessReader, type Entry, type ZipFile } from "yauzl"
import type { Detected, DocumentKind } from "./protocol.ts"
import type { Opened } from "./subject.ts"

export const zipType = async (file: Opened): Promise<Detected> => {
  try {
    const zip = await fromRandomAccessReaderPromise(new FileReader(file), file.size, {
      autoClose: false,
      decodeStrings: false
    })
    return (await told(zip)) ?? { mime: "application/zip" }
  } catch {
    return { mime: "application/zip", why: "it is a truncated or damaged zip" }
  }
}

/** More entries than any document has before the one that says what it is. */
const mostEntries = 2_000

const told = async (zip: ZipFile): Promise<Detected | undefined> => {
  let count = 0
  for await (const entry of zip.eachEntry()) {
    const name = entry.fileNameRaw.toString("latin1")
    if (name === "mimetype") {
      const type = await content(zip, entry, 200)
      if (/^[a-z]+\/[\w.+-]+$/.test(type)) return typed(type.toLowerCase())
    }
    if (name === "[Content_Types].xml") {
      const type = officeType(await content(zip, entry, 1024 * 1024))
      if (type !== undefined) return typed(type)
    }
    count += 1
    if (count === mostEntries) break
  }
  return undefined
}

const typed = (mime: string): Detected => {
  const kind = kindOf(mime)
  return kind === undefined ? { mime } : { mime, kind }
}

const kindOf = (mime: string): DocumentKind | undefined => {
  if (mime.startsWith("application/vnd.oasis.opendocument.")) return "opendocument"
  if (/^application\/vnd\.(?:openxmlformats-officedocument\.wordprocessingml|ms-word)\./.test(mime)) return "word"
  if (/^application\/vnd\.(?:openxmlformats-officedocument\.spreadsheetml|ms-excel)\./.test(mime)) return "sheet"
  if (/^application\/vnd\.(?:openxmlformats-officedocument\.presentationml|ms-powerpoint)\./.test(mime)) return "slides"
  return undefined
}

/** The main part's type (ECMA-376-2, section 10) is that of the document, with `.main+xml` behind it. */
const officeType = (types: string): string | undefined => {
  const main =
    /"(application\/vnd\.(?:openxmlformats-officedocument\.(?:wordprocessing|spreadsheet|presentation)ml|ms-(?:word|excel|powerpoint))\.[\w.]{1,60})\.main\+xml"/i
      .exec(types)?.[1]
      ?.toLowerCase()
  if (main === undefined) return undefined
  // the registered names of documents with macros have a version, and those of templates no second "template"
  return main.includes(".macroenabled") ? `${main.replace("macroenabledtemplate", "macroenabled")}.12` : main
}

/** The first bytes of an entry, as latin1. */
const content = async (zip: ZipFile, entry: Entry, most: number): Promise<string> => {
  if (entry.isEncrypted()) return ""
  const stream = await zip.openReadStreamPromise(entry)
  let text = ""
  for await (const chunk of stream) {
    if (Buffer.isBuffer(chunk)) text += chunk.toString("latin1")
    if (text.length > most) break
  }
  return text.slice(0, most)
}

/** Reads at once, so that nothing is under way when the file is closed. */
class FileReader extends RandomAccessReader {
  private readonly file: Opened

  constructor(file: Opened) {
    super()
    this.file = file
  }

  override read(buffer: Buffer, offset: number, length: number, position: number, done: (error: Error | null) => void) {
    try {
      const bytes = this.file.read(position, length)
      bytes.copy(buffer, offset)
      done(bytes.length < length ? new Error("unexpected EOF") : null)
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)))
    }
  }

  override _readStreamForRange(start: number, end: number): Readable {
    const { file } = this
    let at = start
    return new Readable({
      highWaterMark: chunkSize,
      read() {
        const bytes = at < end ? file.read(at, Math.min(chunkSize, end - at)) : Buffer.alloc(0)
        at += bytes.length
        this.push(bytes.length === 0 ? null : bytes)
      }
    })
  }
}

const chunkSize = 64 * 1024
