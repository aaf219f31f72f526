/**
 * How much one file may cost that somebody else made. What needs more is not read, and the reason says so.
 */
const mebibyte = 1024 * 1024

/** Bytes of a document (PDF, Office, OpenDocument) at most: it is read as a whole. */
export const documentSize = 64 * mebibyte

/** Bytes that all parts of a document may unpack to, whatever they are said to be. */
export const unpackedSize = 128 * mebibyte

/** Milliseconds for one document, until its reader is ended: of a clock, so it has to do on a machine that is busy. */
export const documentTime = 60_000

/** MiB of JavaScript heap of the thread that reads documents. */
export const documentHeap = 256

/** Bytes that a single stream of a PDF may unpack to; beside the text of a page, these are fonts. */
export const streamSize = 32 * mebibyte

/** Bytes of all arrays together that are made for a PDF; growing ones count each time. */
export const arraysSize = 1024 * mebibyte

/** Characters of text that are given at most, however many are asked for. */
export const textLength = 4 * mebibyte

/** `64 MiB`, `10 GiB` */
export const inWords = (bytes: number): string => {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${Number(value.toFixed(1))} ${units[unit] ?? ""}`
}
