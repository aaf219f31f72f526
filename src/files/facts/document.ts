/**
 * The text of a document, or why there is none. Whatever is in the file, the answer is one of the two.
 */
import { clip, decode, encodingOf } from "./encoding.ts"
import { Collector } from "./collector.ts"
import { readHtml } from "./html.ts"
import * as Limits from "./limits.ts"
import { readOffice } from "./office.ts"
import type { DocumentKind, Subject, TextAnswer } from "./protocol.ts"
import { readRtf } from "./rtf.ts"
import { withFile } from "./subject.ts"
import { Unreadable } from "./unreadable.ts"

/** @throws SubjectError where the file is not the one that was found any more */
export const documentText = async (subject: Subject, kind: DocumentKind, length: number): Promise<TextAnswer> => {
  const inPart = kind === "html" || kind === "rtf"
  if (!inPart && subject.size > Limits.documentSize) {
    const most = Limits.inWords(Limits.documentSize)
    return { tag: "NoText", why: `it is larger than ${most}, which is the most that a document may have to be read` }
  }
  // all of it at once: nothing that changes later is read
  const bytes = withFile(subject, (file) => file.read(0, Limits.documentSize))
  const into = new Collector(length)
  try {
    await read(bytes, kind, into)
    return into.result(bytes.length < subject.size)
  } catch (error) {
    // what was read before it went wrong is text all the same, if it is all that was asked for
    if (into.full) return into.result()
    return { tag: "NoText", why: error instanceof Unreadable ? error.message : `its reader failed (${said(error)})` }
  }
}

const read = async (bytes: Buffer, kind: DocumentKind, into: Collector): Promise<void> => {
  switch (kind) {
    case "pdf": {
      const { readPdf } = await import("./pdf.ts")
      return readPdf(bytes, into)
    }
    case "html": {
      const encoding = encodingOf(bytes.subarray(0, 4096), bytes.length <= 4096) ?? "windows-1252"
      return readHtml(decode(bytes, encoding, { length: bytes.length, whole: true }).text, into)
    }
    case "rtf":
      return readRtf(bytes, into)
    default:
      return readOffice(bytes, kind, into)
  }
}

/** One line, and no more of it than people read. */
const said = (error: unknown): string =>
  clip((error instanceof Error ? error.message : String(error)).replace(/[\p{Cc}\p{Cf}\s]+/gu, " "), 200, false).text
