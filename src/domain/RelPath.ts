/**
 * A path below a source or a target, as the bytes that the file system has, held in a string.
 *
 * Bytes that are valid UTF-8 are the characters they spell. A byte that is not is held as the lone surrogate
 * U+DC80..U+DCFF (the `surrogateescape` scheme of Python's PEP 383), so that every name survives the way from the
 * source to the target unchanged, and almost every name is an ordinary string. Segments are joined by `/`.
 */
import * as Brand from "effect/Brand"
import * as Schema from "effect/Schema"

// imported by module and marked as pure, so that the bundle of a worker thread leaves Schema out: 20 MB less each
export const RelPath = /* @__PURE__ */ Schema.String.pipe(/* @__PURE__ */ Schema.brand("filedispatch/RelPath"))
export type RelPath = typeof RelPath.Type

/** Brands a string that is known to be in this form already. */
export const make: (value: string) => RelPath = /* @__PURE__ */ Brand.nominal<RelPath>()

const utf8 = new TextEncoder()
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Whether the name is text, that is, whether its bytes are valid UTF-8. */
export const isText = (path: string): boolean => path.isWellFormed()

/** The path that these bytes spell. */
export const fromBytes = (bytes: Uint8Array): RelPath => {
  try {
    return make(strictUtf8.decode(bytes))
  } catch {
    return make(decodeLossless(bytes))
  }
}

/** The bytes of a path: the inverse of {@link fromBytes}. */
export const toBytes = (path: string): Uint8Array => {
  if (isText(path)) return utf8.encode(path)
  const out: Array<number> = []
  for (const char of path) {
    const code = char.codePointAt(0) ?? 0
    if (code >= 0xdc80 && code <= 0xdcff) out.push(code - 0xdc00)
    else out.push(...utf8.encode(char))
  }
  return Uint8Array.from(out)
}

/**
 * The path as readable text, for people, logs, JSON and the database: a byte that is not UTF-8 is `\xNN`, a backslash
 * `\\`, a control or bidirectional-formatting character `\u{N}`. Nothing in it can move a cursor or end a line, and
 * {@link parse} gets the same path back.
 */
export const display = (path: string): string =>
  plain.test(path) ? path : path.replace(special, (char) => escapeChar(char)).replace(loneSurrogate, escapeByte)

/** The inverse of {@link display}. What is not an escape that it makes stays as it is. */
export const parse = (text: string): RelPath => make(text.includes("\\") ? text.replace(escaped, unescape) : text)

/** The last segment. */
export const basename = (path: string): RelPath => make(path.slice(path.lastIndexOf("/") + 1))

/** Everything before the last segment; empty for a plain name. */
export const dirname = (path: string): RelPath => make(path.slice(0, Math.max(0, path.lastIndexOf("/"))))

// oxlint-disable-next-line no-control-regex
const plain = /^[^\\\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]*$/
// oxlint-disable-next-line no-control-regex
const special = /[\\\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g
const loneSurrogate = /(?<![\ud800-\udbff])[\udc80-\udcff]/g

const escaped = /\\(?:\\|x([89a-f][0-9a-f])|u\{([0-9a-f]{1,4})\})/g

const unescape = (all: string, byte: string | undefined, code: string | undefined): string => {
  if (byte !== undefined) return String.fromCharCode(0xdc00 + Number.parseInt(byte, 16))
  if (code === undefined) return "\\"
  const char = String.fromCharCode(Number.parseInt(code, 16))
  return isText(char) ? char : all
}

const escapeChar = (char: string): string =>
  char === "\\" ? "\\\\" : `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`

const escapeByte = (char: string): string => `\\x${(char.charCodeAt(0) - 0xdc00).toString(16)}`

/** Decodes valid sequences (RFC 3629) as characters and every other byte by itself. */
const decodeLossless = (bytes: Uint8Array): string => {
  let out = ""
  let index = 0
  while (index < bytes.length) {
    const length = sequenceLength(bytes, index)
    if (length === 0) {
      out += String.fromCharCode(0xdc00 + (bytes[index] ?? 0))
      index += 1
    } else {
      out += strictUtf8.decode(bytes.subarray(index, index + length))
      index += length
    }
  }
  return out
}

const sequenceLength = (bytes: Uint8Array, index: number): number => {
  const first = bytes[index] ?? 0
  const length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : 4
  if (first >= 0x80 && (first < 0xc2 || first > 0xf4)) return 0
  if (index + length > bytes.length) return 0
  try {
    strictUtf8.decode(bytes.subarray(index, index + length))
    return length
  } catch {
    return 0
  }
}
