/**
 * Whether bytes are text, and which characters they are: UTF-8, UTF-16 where it says so by a byte order mark, and else
 * Windows-1252, the superset of ISO 8859-1 that the web means by it (WHATWG Encoding), where that is clearly text.
 */
import { isUtf8 } from "node:buffer"

export type Encoding = "utf-8" | "utf-16le" | "utf-16be" | "windows-1252"

/** The encoding of a file that begins with these bytes; undefined: it is no text. `whole`: there are no others. */
export const encodingOf = (head: Uint8Array, whole: boolean): Encoding | undefined => {
  const wide =
    head[0] === 0xff && head[1] === 0xfe ? "utf-16le" : head[0] === 0xfe && head[1] === 0xff ? "utf-16be" : null
  if (wide !== null) return isWideText(head, wide) ? wide : undefined
  if (hasControls(head)) return undefined
  if (isUtf8(whole ? head : withoutTorn(head))) return "utf-8"
  return isWestern(head) ? "windows-1252" : undefined
}

/**
 * The first characters of a text, at most `length`, and whether that is all that the bytes have. Bytes that are not
 * UTF-8 after all, further on, are taken as Windows-1252.
 */
export const decode = (
  bytes: Uint8Array,
  encoding: Encoding,
  options: { readonly length: number; readonly whole: boolean }
): { readonly text: string; readonly cut: boolean } => {
  const text = decoded(bytes, encoding, options.whole)
  return clip(text, options.length, !options.whole)
}

/** No character is torn apart: of a pair of surrogates, both or none. */
export const clip = (text: string, length: number, more: boolean): { readonly text: string; readonly cut: boolean } => {
  if (text.length <= length) return { text, cut: more }
  const last = text.charCodeAt(length - 1)
  return { text: text.slice(0, last >= 0xd800 && last <= 0xdbff ? length - 1 : length), cut: true }
}

/** How many bytes hold so many characters for certain, the byte order mark included. */
export const bytesFor = (length: number): number => 3 * length + 4

const decoded = (bytes: Uint8Array, encoding: Encoding, whole: boolean): string => {
  if (encoding === "utf-8") {
    const sound = whole ? bytes : withoutTorn(bytes)
    // several times faster than a TextDecoder for each of many small files
    return isUtf8(sound) ? withoutMark(bufferOf(sound).toString("utf8")) : western(bytes)
  }
  if (encoding === "windows-1252") return western(bytes)
  return new TextDecoder(encoding).decode(bytes, { stream: !whole })
}

/** Node's own decoder takes 0x80 to 0x9f for control characters, as ISO 8859-1 does. */
export const western = (bytes: Uint8Array): string =>
  bufferOf(bytes)
    .toString("latin1")
    // oxlint-disable-next-line no-control-regex
    .replace(/[\x80-\x9f]/g, (char) => upper.charAt(char.charCodeAt(0) - 0x80))

const upper = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ"

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const withoutMark = (text: string): string => (text.startsWith("\ufeff") ? text.slice(1) : text)

/** What a text has beside the printable: BEL, BS, TAB, LF, VT, FF, CR and ESC, as file(1) sees it. */
const isControl = (byte: number): boolean => (byte < 0x20 && (byte < 7 || byte > 13) && byte !== 0x1b) || byte === 0x7f

const controls = Uint8Array.from({ length: 256 }, (_, byte) => (isControl(byte) ? 1 : 0))

const hasControls = (bytes: Uint8Array): boolean => {
  for (let at = 0; at < bytes.length; at++) if (controls[bytes[at] ?? 0] === 1) return true
  return false
}

/** Without the sequence of UTF-8 that the end of the sample has cut. */
const withoutTorn = (bytes: Uint8Array): Uint8Array => {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) break
    if (byte >= 0xc0) {
      const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      return back < needed ? bytes.subarray(0, bytes.length - back) : bytes
    }
  }
  return bytes
}

/** Most of it is ASCII, and nothing is undefined in Windows-1252. */
const isWestern = (bytes: Uint8Array): boolean => {
  let high = 0
  for (const byte of bytes) {
    if (byte === 0x81 || byte === 0x8d || byte === 0x8f || byte === 0x90 || byte === 0x9d) return false
    if (byte >= 0x80) high += 1
  }
  return high * 3 <= bytes.length
}

const isWideText = (head: Uint8Array, encoding: Encoding): boolean => {
  const even = head.subarray(0, head.length & ~1)
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(even, { stream: true })
    // U+FFFE and the rest of a file in UTF-32 are none either
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index)
      if ((code < 0x80 && isControl(code)) || code >= 0xfffe) return false
    }
    return true
  } catch {
    return false
  }
}
