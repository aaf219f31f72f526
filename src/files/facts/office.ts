/**
 * The text of Office (ECMA-376) and OpenDocument files: zips of XML, of which the parts with text are unpacked piece by
 * piece, and no further than is needed.
 */
import { fromBufferPromise, type Entry, type ZipFile } from "yauzl"
import type { Collector } from "./collector.ts"
import * as Limits from "./limits.ts"
import { attribute, Markup, type Handler } from "./markup.ts"
import type { DocumentKind } from "./protocol.ts"
import { readStrings, sheetHandler } from "./sheet.ts"
import { Unreadable } from "./unreadable.ts"

export type OfficeKind = Extract<DocumentKind, "word" | "sheet" | "slides" | "opendocument">

export const readOffice = async (bytes: Buffer, kind: OfficeKind, into: Collector): Promise<void> => {
  const parts = await openParts(bytes)
  switch (kind) {
    case "word":
      await parts.read(/^word\/document\d*\.xml$/i, () => paragraphs(into), into)
      return parts.read(/^word\/(?:header|footer|footnotes|endnotes)\d*\.xml$/i, () => paragraphs(into), into)
    case "slides":
      await parts.read(/^ppt\/slides\/slide\d+\.xml$/i, () => paragraphs(into), into)
      return parts.read(/^ppt\/notesSlides\/notesSlide\d+\.xml$/i, () => paragraphs(into), into)
    case "sheet": {
      const strings = readStrings()
      await parts.read(/^xl\/sharedStrings\.xml$/i, () => strings.handler, strings)
      return parts.read(/^xl\/worksheets\/sheet\d+\.xml$/i, () => sheetHandler(strings.at, into), into)
    }
    case "opendocument": {
      await parts.refuse(/^META-INF\/manifest\.xml$/i, "encryption-data", "it is an encrypted OpenDocument file")
      return parts.read(/^content\.xml$/i, () => openDocument(into), into)
    }
  }
}

interface Parts {
  /** Unpacks the parts of these names, in the order of their numbers, until the reader is full. */
  readonly read: (names: RegExp, handler: () => Handler, until: { readonly full: boolean }) => Promise<void>
  /** Gives up, for this reason, where an element of that name is in the part. */
  readonly refuse: (names: RegExp, element: string, why: string) => Promise<void>
}

/** Parts that are looked at, of those that the directory has. */
const mostParts = 20_000

const openParts = async (bytes: Buffer): Promise<Parts> => {
  const entries: Array<{ readonly name: string; readonly entry: Entry }> = []
  const zip = await damaged(async () => {
    const opened = await fromBufferPromise(bytes, { decodeStrings: false })
    for await (const entry of opened.eachEntry()) {
      if (entries.length === mostParts) break
      entries.push({ name: entry.fileNameRaw.toString("latin1"), entry })
    }
    return opened
  })
  let unpacked = 0
  const budget = (count: number): void => {
    unpacked += count
    if (unpacked > Limits.unpackedSize) {
      throw new Unreadable(`it unpacks to more than ${most}, which is the most that is unpacked of a document`)
    }
  }

  const read: Parts["read"] = async (names, handler, until) => {
    const wanted = entries
      .filter(({ name }) => names.test(name))
      .sort((left, right) => left.name.localeCompare(right.name, "en", { numeric: true }))
    for (const { name, entry } of wanted) {
      if (until.full) return
      if (entry.isEncrypted()) throw new Unreadable("it is an encrypted zip")
      if (entry.uncompressedSize > Limits.unpackedSize) {
        const size = Limits.inWords(entry.uncompressedSize)
        throw new Unreadable(`its ${name} unpacks to ${size}, and ${most} is the most that is unpacked of a document`)
      }
      await damaged(() => unpack(zip, entry, budget, new Markup(handler()), until))
    }
  }
  return {
    read,
    refuse: async (names, element, why) => {
      let found = false
      const handler: Handler = { text: ignore, close: ignore, open: (name) => (found ||= name === element) }
      await read(names, () => handler, {
        get full() {
          return found
        }
      })
      if (found) throw new Unreadable(why)
    }
  }
}

const most = Limits.inWords(Limits.unpackedSize)

const ignore = (): void => undefined

const unpack = async (
  zip: ZipFile,
  entry: Entry,
  budget: (count: number) => void,
  markup: Markup,
  until: { readonly full: boolean }
): Promise<void> => {
  const stream = await zip.openReadStreamPromise(entry)
  const decoder = new TextDecoder()
  for await (const chunk of stream) {
    if (!Buffer.isBuffer(chunk)) continue
    budget(chunk.length)
    markup.write(decoder.decode(chunk, { stream: true }))
    // leaving the loop ends the stream
    if (until.full) return
  }
  markup.write(decoder.decode())
  markup.end()
}

/** What goes wrong in a zip is a fault of the file, whatever its reader calls it. */
const damaged = async <A>(use: () => Promise<A>): Promise<A> => {
  try {
    return await use()
  } catch (error) {
    if (error instanceof Unreadable || error instanceof RangeError) throw error
    throw new Unreadable("it is a truncated or damaged zip")
  }
}

/** Word and PowerPoint: runs of text in `t`, in paragraphs. */
const paragraphs = (into: Collector): Handler => {
  let inText = false
  // a text box is there twice: once for readers that don't know its newer form
  let fallback = 0
  return {
    text: (text) => {
      if (inText && fallback === 0) into.add(text)
    },
    open: (name) => {
      if (name === "t") inText = true
      else if (name === "fallback") fallback += 1
      else if (fallback > 0) return
      else if (name === "tab") into.space()
      else if (name === "br" || name === "cr") into.line()
    },
    close: (name) => {
      if (name === "t") inText = false
      else if (name === "fallback") fallback = Math.max(0, fallback - 1)
      else if (name === "p") into.line()
      else if (name === "tc") into.space()
    }
  }
}

/** All text is in paragraphs and headings; blanks beyond the first are elements. */
const openDocument = (into: Collector): Handler => {
  let depth = 0
  let hidden = 0
  return {
    text: (text) => {
      if (depth > 0 && hidden === 0) into.add(text.replace(/[ \t\r\n]+/g, " "))
    },
    open: (name, attributes) => {
      if (name === "tracked-changes") hidden += 1
      else if (name === "p" || name === "h") depth += 1
      else if (depth === 0) return
      else if (name === "s") into.add(" ".repeat(Math.min(Number(attribute(attributes, "c") ?? 1) || 1, 1000)))
      else if (name === "tab") into.add("\t")
      else if (name === "line-break") into.line()
    },
    close: (name) => {
      if (name === "tracked-changes") hidden = Math.max(0, hidden - 1)
      else if (name === "p" || name === "h") {
        depth = Math.max(0, depth - 1)
        into.line()
      }
    }
  }
}
