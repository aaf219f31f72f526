/**
 * What a file is, by its bytes: an executable that is called `.png` is an executable.
 *
 * An empty file is `application/x-empty`, as file(1) once called it: it is no text and no picture, whatever its name.
 * Text is told from all else by its characters; what is left goes by the signatures that file-type knows.
 */
import { basename } from "../../domain/RelPath.ts"
import { compoundType } from "./compound.ts"
import { clip, decode, encodingOf, type Encoding } from "./encoding.ts"
import type { Detected, Subject } from "./protocol.ts"
import type { Opened } from "./subject.ts"
import { textType } from "./textType.ts"
import { zipType } from "./zipType.ts"

/** With the encoding where it is plain text, to be read as it is. */
export interface Sniffed extends Detected {
  readonly encoding?: Encoding
}

/** By the first bytes, if they say enough. */
export const detectSoon = (file: Opened, subject: Subject): Sniffed | undefined => {
  if (file.size === 0) return { mime: "application/x-empty", encoding: "utf-8" }
  const head = file.read(0, sampleSize)
  return signed(head) ?? text(file, subject, head)
}

/** Of the others. */
export const detectBinary = async (file: Opened): Promise<Sniffed> => {
  const head = file.read(0, 8)
  if (startsWith(head, "PK\x03\x04") || startsWith(head, "PK\x05\x06")) {
    const type = await zipType(file)
    return type.mime === "application/zip" ? { ...type, mime: (await byType(file)) ?? type.mime } : type
  }
  if (startsWith(head, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")) return compoundType(file)
  return { mime: await byType(file) }
}

/** Bytes that decide whether a file is text. */
const sampleSize = 4096

/** Bytes that file-type gets to see; it reads no further, however a file lies about its parts. */
const signatureSize = 64 * 1024

/** What begins in a way that no other file does, though it may look like text. */
const signed = (head: Buffer): Sniffed | undefined => {
  if (startsWith(head, "%PDF-")) return { mime: "application/pdf", kind: "pdf" }
  if (startsWith(head, "{\\rtf")) return { mime: "application/rtf", kind: "rtf" }
  if (startsWith(head, "%!PS-Adobe-")) {
    return { mime: head.subarray(0, 40).includes(" EPSF-") ? "application/eps" : "application/postscript" }
  }
  if (startsWith(head, "\x1f\x8b\x08")) return { mime: "application/gzip" }
  if (startsWith(head, "\xff\xfe\0\0")) return { mime: null, why: "its text is in UTF-32, which is not read" }
  return undefined
}

const text = (file: Opened, subject: Subject, head: Buffer): Sniffed | undefined => {
  const whole = head.length === file.size
  const encoding = encodingOf(head, whole)
  if (encoding === undefined) return undefined
  const sample = decode(head, encoding, { length: sampleSize, whole }).text
  const type = textType({ text: sample, whole, name: basename(subject.path) })
  if (type === "text/html" || type === "application/xhtml+xml") return { mime: type, kind: "html", encoding }
  return { mime: type, encoding }
}

const byType = async (file: Opened): Promise<string | null> => {
  const { fileTypeFromBuffer } = await import("file-type")
  try {
    const type = await fileTypeFromBuffer(file.read(0, signatureSize))
    return type === undefined ? null : (/^[^;\s]+/.exec(type.mime)?.[0].toLowerCase() ?? null)
  } catch {
    // the signature promised more than there is
    return null
  }
}

const startsWith = (head: Buffer, signature: string): boolean =>
  head.toString("latin1", 0, signature.length) === signature

/** The text of a file that is read as it is: all of its characters, or as many as were asked for. */
export const plainText = (file: Opened, encoding: Encoding, length: number, bytes: number) => {
  const read = file.read(0, bytes)
  const whole = read.length === file.size
  const { text, cut } = decode(read, encoding, { length, whole })
  return clip(text, length, cut)
}
