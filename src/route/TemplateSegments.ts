/**
 * What a path may be made of: whatever is put in, the result stays below where it begins, and each of its names is one
 * that a file system can have.
 */
import { createHash } from "node:crypto"
import * as RelPath from "../domain/RelPath.ts"

/** Bytes of one name, as most file systems have it (NAME_MAX). */
const maxName = 255
/** Bytes of an extension that is kept where a name is cut. */
const maxExtension = 32

/** The name for a place of which nothing is known. */
export const unknown = "_"

/**
 * A path that goes nowhere but down: no segment is empty, `.` or `..`, or longer than a name may be. What ends in a slash
 * has `_` for its name.
 */
export const contain = (path: string): RelPath.RelPath => {
  if (!suspicious.test(path) && path.length * 3 <= maxName) return canonical(path)
  const segments = path.replaceAll("\0", "_").split("/")
  const last = segments.pop() ?? ""
  return canonical(
    [...segments.filter((segment) => segment !== ""), last === "" ? unknown : last]
      .map((segment) => fit(segment === "." || segment === ".." ? "_".repeat(segment.length) : segment))
      .join("/")
  )
}

/** An empty segment, `.`, `..` or a NUL. */
// oxlint-disable-next-line no-control-regex
const suspicious = /(?:^|\/)\.{0,2}(?:\/|$)|\0/

/** Bytes of two names that together are a character become one: a path is spelled in one way. */
const canonical = (path: string): RelPath.RelPath =>
  RelPath.isText(path) ? RelPath.make(path) : RelPath.fromBytes(RelPath.toBytes(path))

/**
 * Text from anywhere as a part of one name: what would end it, can't be seen, or turns the reading direction is `_`, and
 * so is a backslash, which is a slash elsewhere. Spaces around it go.
 */
export const ofText = (text: string): string => text.trim().replace(unfit, "_")

// oxlint-disable-next-line no-control-regex
const unfit = /[/\\\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\p{Surrogate}/gu

/**
 * A name of at most so many bytes. A longer one keeps its beginning and its extension, and gets a few characters made
 * from all of it, so that names that differ only where they were cut stay apart.
 */
export const fit = (name: string, most = maxName): string => {
  if (name.length * 3 <= most || byteLength(name) <= most) return name
  const dot = name.lastIndexOf(".")
  const found = dot > 0 ? name.slice(dot) : ""
  const extension = byteLength(found) <= Math.min(maxExtension, most / 4) ? found : ""
  const mark = `~${createHash("sha256").update(RelPath.toBytes(name)).digest("hex").slice(0, 8)}`
  return `${cut(name.slice(0, name.length - extension.length), most - byteLength(extension) - mark.length)}${mark}${extension}`
}

/** As many whole characters as fit into so many bytes. */
const cut = (text: string, most: number): string => {
  let bytes = 0
  let end = 0
  for (const char of text) {
    bytes += byteLength(char)
    if (bytes > most) break
    end += char.length
  }
  return text.slice(0, end)
}

const byteLength = (text: string): number => RelPath.toBytes(text).length
