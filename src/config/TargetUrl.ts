/**
 * Takes a target's URL apart into what may be shown and what may not.
 *
 * It reads the text by itself instead of `new URL`, which treats ftps and unknown schemes in other ways than http, drops
 * default ports, and turns a stray `#` or `\` into something that was not meant.
 */
import { Data, Either, Option, Redacted } from "effect"
import * as Path from "node:path"
import { noSecrets, type Secrets } from "../domain/Settings.ts"
import type { Scheme } from "./Scheme.ts"

export class TargetUrlError extends Data.TaggedError("TargetUrlError")<{
  readonly message: string
  readonly expected: string
}> {}

export interface Address {
  readonly scheme: string
  /** Without password, the query as `?…`. */
  readonly url: string
  /** Without the brackets of an IPv6 address; the bucket of s3; empty where there is none. */
  readonly host: string
  /** What the URL says, or else the scheme's own. */
  readonly port: number | null
  /** Percent-decoded. */
  readonly username: string | null
  readonly path: string
  readonly secrets: Secrets
}

/** `ftp`, for text that begins as a URL does; a Windows drive and a plain path have none. */
export const schemeOf = (text: string): Option.Option<string> => {
  const match = /^([A-Za-z][A-Za-z0-9+.-]+):/.exec(text)
  return match?.[1] === undefined || !text.startsWith("//", match[0].length)
    ? Option.none()
    : Option.some(match[1].toLowerCase())
}

/** A text that may be a URL, without its password and query, whether or not it is valid. */
export const safeText = (text: string): string => {
  const [, head = "", authority = "", rest = ""] = /^([^/?#]*\/\/)?([^/?#]*)(.*)$/s.exec(text) ?? []
  const end = `${authority}${rest}`.lastIndexOf("@")
  // a : with an @ behind it, wherever, may be a password that was not encoded
  const colon = authority.indexOf(":")
  if (end < 0 || colon < 0 || colon > end) return `${head}${authority}${head === "" ? rest : hideQuery(rest)}`
  return `${head}${authority.slice(0, colon)}:…${hideQuery(`${authority}${rest}`.slice(end))}`
}

const hideQuery = (text: string): string => text.replace(/[?#].*$/s, "?…")

/** What the config says beside the URL, and yet is of the address. */
export interface Beside {
  /** Decides the port of FTP. */
  readonly secure?: "none" | "explicit" | "implicit" | undefined
  /** A user that does not stand in the URL. */
  readonly username?: string | undefined
}

export const parse = (
  text: string,
  schemes: ReadonlyMap<string, Scheme>,
  { secure, username: otherUser = "" }: Beside = {}
): Either.Either<Address, TargetUrlError> =>
  Either.gen(function* () {
    const name = Option.getOrElse(schemeOf(text), () => "")
    const scheme = schemes.get(name)
    if (scheme === undefined) {
      return yield* fail(
        `there is no destination for ${name}:`,
        `a plain path, or a URL with ${Array.from(schemes.keys(), (one) => `${one}://`).join(", ")}`
      )
    }
    const match = /^[^:]+:\/\/([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(text)
    if (match === null) return yield* fail("not a URL", "scheme://user:password@host/path")
    const [, authority = "", rawPath = "", query, fragment] = match
    if (fragment !== undefined) return yield* fail("a # ends a URL", "%23 for a # in a password or path")
    if (query !== undefined && !scheme.query) return yield* fail("a ? ends a path", "%3F for a ? in a password or path")
    const at = authority.lastIndexOf("@")
    const login = at < 0 ? undefined : authority.slice(0, at)
    const colon = login?.indexOf(":") ?? -1
    const ownUser = login === undefined ? "" : yield* decode(colon < 0 ? login : login.slice(0, colon), "user")
    const username = ownUser === "" ? otherUser : ownUser
    const password =
      login === undefined || colon < 0
        ? Option.none()
        : Option.some(Redacted.make(yield* decode(login.slice(colon + 1), "password")))
    const { host, port } = yield* scheme.authority === "bucket"
      ? parseBucket(authority.slice(at + 1), name)
      : parseHost(authority.slice(at + 1), name, scheme)
    const path = yield* parsePath(rawPath, scheme)
    const usual =
      secure !== undefined && scheme.options.includes("secure") ? (secure === "implicit" ? 990 : 21) : scheme.port
    const shownPort = port === undefined || port === usual ? "" : `:${port}`
    const shownUser = username === "" ? "" : `${encodeURIComponent(username)}@`
    const shownHost = host.includes(":") ? `[${host}]` : host
    return {
      scheme: name,
      url: `${name}://${shownUser}${shownHost}${shownPort}${path.shown}${query === undefined ? "" : "?…"}`,
      host,
      port: port ?? usual ?? null,
      username: username === "" ? null : username,
      path: path.decoded,
      secrets: {
        ...noSecrets,
        password,
        query: query === undefined ? Option.none() : Option.some(Redacted.make(query))
      }
    }
  })

/** The path of a `file:` URL, or the text itself where it is a plain path. Relative paths stay so. */
export const localPath = (text: string): Either.Either<string, TargetUrlError> => {
  if (!/^file:/i.test(text)) return Either.right(text)
  const match = /^file:\/\/([^/?#]*)(\/[^?#]*)$/is.exec(text)
  const [, host = "", path = ""] = match ?? []
  if (match === null || (host !== "" && host.toLowerCase() !== "localhost")) {
    return fail(
      host === "" ? "not a path" : `a file URL has no host, and ${JSON.stringify(host)} stands where it would be`,
      "file:///path, with %23 for # and %3F for ?, or the plain path"
    )
  }
  return Either.map(decode(path, "path"), (decoded) => (/^\/[A-Za-z]:[\\/]/.test(decoded) ? decoded.slice(1) : decoded))
}

const fail = (message: string, expected: string) => Either.left(new TargetUrlError({ message, expected }))

const decode = (text: string, what: string): Either.Either<string, TargetUrlError> => {
  const decoded = Option.liftThrowable(decodeURIComponent)(text)
  if (Option.isNone(decoded)) {
    return fail(`a bad percent-encoding in the ${what}`, "%25 for a plain %, and %40, %3A, %2F for @ : and /")
  }
  // a line end in a command of FTP or a header of HTTP would be a command or header of its own
  // oxlint-disable-next-line no-control-regex
  return /[\u0000-\u001f\u007f]/.test(decoded.value)
    ? fail(`a control character in the ${what}`, "plain text")
    : Either.right(decoded.value)
}

const parseHost = (
  text: string,
  name: string,
  scheme: Scheme
): Either.Either<{ readonly host: string; readonly port: number | undefined }, TargetUrlError> => {
  const match = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/s.exec(text)
  const rawHost = match?.[1] ?? ""
  const rawPort = match?.[2] ?? ""
  if (rawHost === "" && scheme.authority === "host") return fail("a URL without a host", `${name}://host/path`)
  if (match === null || (rawPort !== "" && !/^\d+$/.test(rawPort))) {
    return fail("not a host and port", `${name}://host:port/path, with %3A, %2F and %40 for : / @ in a password`)
  }
  const port = rawPort === "" ? undefined : Number(rawPort)
  if (port !== undefined && (port < 1 || port > 65_535))
    return fail("the port is out of range", "a port from 1 to 65535")
  if (rawHost === "") return Either.right({ host: "", port })
  // the host itself is read as http does: lower case, punycode, IPv4 and IPv6 in their usual form
  const parsed = Option.liftThrowable((host: string) => new URL(`http://${host}/`).hostname)(rawHost)
  return Option.match(/[\s\\%<>^|]/.test(rawHost) ? Option.none() : parsed, {
    onNone: () => fail("not a host", "a host name or an IP address, an IPv6 one in []"),
    onSome: (host) => Either.right({ host: host.replace(/^\[|\]$/g, ""), port })
  })
}

/** Older servers allow more than S3 does now: capitals and underscores, and names of up to 255 characters. */
const parseBucket = (
  text: string,
  name: string
): Either.Either<{ readonly host: string; readonly port: undefined }, TargetUrlError> => {
  const expected = `${name}://bucket/prefix, with the server's address in endpoint, and %2F for a / in a secret key`
  if (text === "") return fail("a URL without a bucket", expected)
  if (text.includes(":")) return fail("a bucket has no port, this looks like a server", expected)
  if (/^\d+(?:\.\d+){3}$/.test(text)) return fail("an IP address where the bucket stands", expected)
  return /^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/.test(text) && !text.includes("..")
    ? Either.right({ host: text, port: undefined })
    : fail("not the name of a bucket", "3 to 63 characters of a-z 0-9 . and -, the first and last a letter or digit")
}

const parsePath = (
  raw: string,
  scheme: Scheme
): Either.Either<{ readonly decoded: string; readonly shown: string }, TargetUrlError> =>
  Either.gen(function* () {
    const decoded = yield* decode(raw === "" ? "/" : raw, "path")
    if (scheme.query) {
      // http: the path is the server's own business, up to the way it is encoded
      const shown = Option.liftThrowable((path: string) => new URL(`http://h${path}`).pathname)(raw === "" ? "/" : raw)
      return { decoded, shown: raw === "" ? "" : Option.getOrElse(shown, () => raw) }
    }
    const normal = Path.posix.normalize(decoded)
    const path = normal.length > 1 ? normal.replace(/\/$/, "") : normal
    const shown = path.split("/").map(encodeSegment).join("/")
    if (scheme.login && (path === "/~" || path.startsWith("/~/"))) {
      return { decoded: `~/${path.slice(3)}`, shown }
    }
    return { decoded: path, shown: shown === "/" ? "" : shown }
  })

/** As encodeURIComponent, but for the marks that are plain in a path. */
const encodeSegment = (segment: string): string =>
  encodeURIComponent(segment).replace(/%(?:24|26|2B|2C|3A|3B|3D|40)/g, decodeURIComponent)
