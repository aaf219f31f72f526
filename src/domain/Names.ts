/**
 * Names that every system can have, and how any other name is written as one, so that it can be got back.
 *
 * A byte that not every system takes is written as `%XX`, as in a URL: `a:b` becomes `a%3Ab`. So is a `%` that would
 * else be read as the beginning of one. Folders are kept: each part of a path is written by itself.
 */
import * as RelPath from "./RelPath.ts"

/** `strict`: the name as it is; `portable`: as every usual file system and protocol takes it. */
export type Rules = "strict" | "portable"

/** Bytes of one part of a path, as most file systems have it (NAME_MAX). */
const maxPart = 255
/** Bytes of a path (PATH_MAX). */
const maxPath = 4096

/**
 * The path with all in it written as `%XX` that is not portable. {@link decode} gets it back. What is longer than a name
 * may be by then is for {@link refusal} to say.
 */
export const encode = (path: RelPath.RelPath): RelPath.RelPath =>
  RelPath.make(path.split("/").map(encodePart).join("/"))

/** The inverse of {@link encode}; a `%` that no two hex digits follow is itself. */
export const decode = (path: RelPath.RelPath): RelPath.RelPath => {
  if (!path.includes("%")) return path
  const bytes = RelPath.toBytes(path)
  const out: Array<number> = []
  for (let index = 0; index < bytes.length; index += 1) {
    const digits = String.fromCharCode(bytes[index + 1] ?? 0, bytes[index + 2] ?? 0)
    if (bytes[index] === 0x25 && /^[0-9A-Fa-f]{2}$/.test(digits)) {
      out.push(Number.parseInt(digits, 16))
      index += 2
    } else out.push(bytes[index] ?? 0)
  }
  return RelPath.fromBytes(Uint8Array.from(out))
}

/** Why a path does not keep to the rules, as a sentence without a full stop; undefined: it does. */
export const problem = (path: string, rules: Rules): string | undefined => {
  const bad = refusal(path)
  if (bad !== undefined || rules === "strict") return bad
  for (const part of path.split("/")) {
    if (!RelPath.isText(part)) return "a byte of it is not UTF-8"
    const found = special.exec(part)?.[0]
    if (found !== undefined) return `not every system can have ${RelPath.display(found)} in a name`
    if (part.endsWith(".") || part.endsWith(" ")) return "not every system can have a dot or a space at a name's end"
    if (part.startsWith(" ")) return "not every system can have a space at a name's beginning"
    if (isDevice(part)) return `${RelPath.display(part)} is a device on some systems`
    if (isTemp(part)) return `${RelPath.display(part)} is what our own temp files are called`
  }
  return undefined
}

/** Why nothing can be sent to a path, as a sentence without a full stop; undefined: it may. */
export const refusal = (path: string): string | undefined => {
  // no character has more than three bytes for each of its UTF-16 units
  if (path.length * 3 <= maxPart) return undefined
  for (const part of path.split("/")) {
    const length = byteLength(part)
    if (length > maxPart) return `a name in its path has ${length} bytes, and ${maxPart} is the most there can be`
  }
  const length = byteLength(path)
  return length > maxPath ? `its path has ${length} bytes, and ${maxPath} is the most there can be` : undefined
}

const byteLength = (text: string): number => RelPath.toBytes(text).length

const encodePart = (part: string): string => {
  if (part === "") return part
  const text = part
    .replace(/%(?=[0-9A-Fa-f]{2})/g, "%25")
    .replace(specials, percent)
    .replace(loneByte, (char) => hex(char.charCodeAt(0) - 0xdc00))
    .replace(/[. ]$|^ /g, percent)
  return isDevice(part) || isTemp(part) ? `${percent(text.slice(0, 1))}${text.slice(1)}` : text
}

const percent = (text: string): string => Array.from(RelPath.toBytes(text), hex).join("")

const hex = (byte: number): string => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`

/** What Windows and its file systems take for themselves, and what hides or ends lines: controls, bidi embeddings. */
const range = String.raw`\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069<>:"\\|?*`
const special = new RegExp(`[${range}]`)
const specials = new RegExp(`[${range}]`, "g")

/** A byte that is not UTF-8, see {@link RelPath}. */
const loneByte = /(?<![\ud800-\udbff])[\udc80-\udcff]/g

/** CON, LPT1.txt and their like, which no folder of Windows can have. */
const isDevice = (part: string): boolean =>
  /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])[ ]*(?:\.|$)/i.test(part)

const isTemp = (part: string): boolean => part.startsWith(".fd-") && part.endsWith(".part")
