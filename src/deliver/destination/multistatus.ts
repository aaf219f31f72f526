/**
 * What a WebDAV server says of its resources: the body of a 207 (RFC 4918, 13).
 *
 * It comes from outside and is read with care: no entity of its own is expanded, what it may take up is bounded by who
 * reads it, and what is not well formed is nothing. The bytes are taken one by one (latin1), so that a name that is not
 * UTF-8 survives, percent-encoded or not.
 */
import { Buffer } from "node:buffer"
import { XMLParser } from "fast-xml-parser"
import * as RelPath from "../../domain/RelPath.ts"

export interface Resource {
  /** Where it is: absolute, without the slash at the end of a folder's. */
  readonly path: string
  /** Of this resource, where it is not the one of its properties. */
  readonly status: number | undefined
  readonly folder: boolean
  /** Bytes. */
  readonly size: number | null
  /** Milliseconds since the epoch. */
  readonly mtime: number | null
  /** Bytes that the user may still store there (RFC 4331). */
  readonly free: number | undefined
}

/** Undefined: it is no multistatus, or says nothing. */
export const parse = (body: Uint8Array): readonly [Resource, ...ReadonlyArray<Resource>] | undefined => {
  const [first, ...others] = list(field(field(parsed(body), "multistatus"), "response")).map(resourceOf)
  return first === undefined ? undefined : [first, ...others]
}

/** The places that it speaks of, in their order, of as many as there may be: what {@link parse} is too slow for. */
export const paths = (body: Uint8Array): ReadonlyArray<string> =>
  Array.from(textOf(body).matchAll(/<(?:[\w.-]+:)?href(?:\s[^<>]*)?>([^<]*)</g), ([, href = ""]) => pathOf(href))

/** Properties are found by their local names: the prefix of `DAV:` is as each server likes it. */
const parser = new XMLParser({
  removeNSPrefix: true,
  ignoreAttributes: true,
  ignoreDeclaration: true,
  ignorePiTags: true,
  parseTagValue: false,
  processEntities: false,
  maxNestedTags: 32,
  isArray: (name) => name === "response" || name === "propstat"
})

const parsed = (body: Uint8Array): unknown => {
  try {
    return parser.parse(textOf(body), true)
  } catch {
    return undefined
  }
}

const textOf = (body: Uint8Array): string =>
  Buffer.from(body.buffer, body.byteOffset, body.byteLength)
    .toString("latin1")
    // a byte order mark
    .replace(/^\xef\xbb\xbf/, "")

const resourceOf = (response: unknown): Resource => {
  const found = list(field(response, "propstat")).filter((propstat) => {
    const status = statusOf(field(propstat, "status"))
    return status === undefined || (status >= 200 && status < 300)
  })
  const property = (name: string): unknown => {
    for (const propstat of found) {
      const value = field(field(propstat, "prop"), name)
      if (value !== undefined) return value
    }
    return undefined
  }
  const modified = Date.parse(text(property("getlastmodified")))
  const type = property("resourcetype")
  return {
    path: pathOf(text(field(response, "href"))),
    status: statusOf(field(response, "status")),
    folder: field(type, "collection") !== undefined,
    size: count(property("getcontentlength")) ?? null,
    mtime: Number.isNaN(modified) ? null : modified,
    free: count(property("quota-available-bytes"))
  }
}

const count = (value: unknown): number | undefined => {
  const digits = /^\d{1,15}$/.exec(text(value))?.[0]
  return digits === undefined ? undefined : Number(digits)
}

/** `HTTP/1.1 423 Locked` */
const statusOf = (value: unknown): number | undefined => {
  const code = /^HTTP\/\S+\s+(\d{3})/i.exec(text(value))?.[1]
  return code === undefined ? undefined : Number(code)
}

const field = (value: unknown, name: string): unknown => {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined
  const found: unknown = Reflect.get(value, name)
  return found
}

const list = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

const text = (value: unknown): string => (typeof value === "string" ? value.trim() : "")

/** The path of a URL, or an absolute path, as it stands in an href. */
const pathOf = (href: string): string => {
  const url = href.trim().replace(/&(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[\da-f]{1,6});/gi, unescape)
  return decodePath(url.replace(/^[a-z][a-z\d+.-]*:\/\/[^/]*/i, "")).replace(/\/+$/, "")
}

/** Percent-encoded bytes as those bytes; what is none stays as it is. */
export const decodePath = (path: string): RelPath.RelPath =>
  RelPath.fromBytes(
    Buffer.from(
      path.replace(/%([\da-f]{2})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16))),
      "latin1"
    )
  )

const named: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" }

const unescape = (entity: string): string => {
  const name = entity.slice(1, -1).toLowerCase()
  if (!name.startsWith("#")) return named[name] ?? entity
  const code = name.startsWith("#x") ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1))
  // as the bytes of the character, because all else is bytes here
  return code > 0x10ffff ? entity : Buffer.from(String.fromCodePoint(code)).toString("latin1")
}
