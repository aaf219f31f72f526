/**
 * The path of a target as the config writes it: a place that is the same for all files, and a template for what is below.
 *
 * The place is all up to the last `/` before the first variable: of `sftp://h/in/{date:yyyy}/` it is `sftp://h/in`, and
 * `{date:yyyy}/` is the beginning of the path below it. `{{` and `}}` are plain braces.
 */
import { Data, Either, Option } from "effect"
import * as TargetUrl from "./TargetUrl.ts"

export class PathTemplateError extends Data.TaggedError("PathTemplateError")<{
  /** The part that is to blame; empty for all of it. */
  readonly part: string
  readonly message: string
  readonly expected: string
}> {}

export interface PathTemplate {
  /** A path or URL without variables. */
  readonly place: string
  /** A template for the path below it, in which literal text is not percent-encoded; empty where there is none. */
  readonly rest: string
}

/** `names`: those of the groups that may be used; it is not checked here whether there are such variables. */
export const split = (
  text: string,
  names: ReadonlySet<string> = new Set()
): Either.Either<PathTemplate, PathTemplateError> =>
  Either.gen(function* () {
    if (!/[{}]/.test(text)) return { place: text, rest: "" }
    if (Option.isNone(TargetUrl.schemeOf(text))) {
      const { before, rest } = yield* cut(text, (literal) => Either.right(literal))
      return { place: rest === "" ? before : directoryOf(before), rest }
    }
    const [, head = "", authority = "", path = "", tail = ""] = /^([^:]+:\/\/)([^/?#]*)([^?#]*)(.*)$/s.exec(text) ?? []
    // a password with a / that was not encoded: the braces are its own, and it is refused for what it is
    if (authority.includes(":") && !authority.includes("@") && `${path}${tail}`.includes("@")) {
      return { place: text, rest: "" }
    }
    const host = authority.slice(authority.lastIndexOf("@") + 1)
    const user = authority.slice(0, Math.max(0, authority.lastIndexOf("@"))).split(":", 1)[0] ?? ""
    yield* noVariable(host, "host", names)
    yield* noVariable(user, "user", names)
    yield* noVariable(tail, "query", names)
    const { before, rest } = yield* cut(path, decode)
    if (rest === "") return { place: `${head}${authority}${before}${tail}`, rest }
    // a slash at the end says of a URL with a query that it is a folder
    const directory = before === "/" || tail !== "" ? before : before.replace(/\/+$/, "")
    return { place: `${head}${authority}${directory}${tail}`, rest }
  })

/** The template for all that is below the place. `rename` is the folder's own, if there is one. */
export const below = (rest: string, rename: string | undefined): Either.Either<string, PathTemplateError> => {
  const name = rename ?? "{relpath}"
  if (rest === "" || rest.endsWith("/")) return Either.right(`${rest}${name}`)
  if (!names.test(rest)) return Either.right(`${rest}/${name}`)
  if (rename === undefined) return Either.right(rest)
  return fail("", "its path says already what the files are called", "a / at the end of the path, or no rename")
}

/** A variable that tells a file from others, so that what stands there is a file and no directory. */
const names = /(?<!\{)(?:\{\{)*\{(?:name|stem|relpath|counter(?::\d+)?|sha256(?::(?:[89]|\d\d))?)\}/

type Decode = (literal: string) => Either.Either<string, PathTemplateError>

/** Cuts a path at the last `/` before its first variable. What is before stays as it is written. */
const cut = (
  path: string,
  decode: Decode
): Either.Either<{ readonly before: string; readonly rest: string }, PathTemplateError> =>
  Either.gen(function* () {
    let literal = ""
    let before: string | undefined
    let rest = ""
    const close = function* () {
      rest += escape(yield* decode(literal))
      literal = ""
    }
    for (const match of path.matchAll(/\{\{|\}\}|\{[^{}]*\}|[{}]|[^{}]+/g)) {
      const [piece] = match
      if (piece === "{{" || piece === "}}") literal += piece.slice(1)
      else if (piece === "{" || piece === "}") {
        const part = path.slice(match.index, match.index + 20)
        return yield* fail(part, `a single ${piece}`, `a variable in braces, or ${piece}${piece} for a plain brace`)
      } else if (piece.startsWith("{")) {
        if (before === undefined) {
          const slash = literal.lastIndexOf("/") + 1
          before = literal.slice(0, slash)
          literal = literal.slice(slash)
        }
        yield* close()
        rest += piece
      } else literal += piece
    }
    if (before === undefined) return { before: literal, rest: "" }
    yield* close()
    return { before, rest }
  })

const directoryOf = (before: string): string => (before === "" ? "." : before)

const decode: Decode = (literal) => {
  const decoded = Option.liftThrowable(decodeURIComponent)(literal)
  if (Option.isNone(decoded)) return fail("", "a bad percent-encoding in the path", "%25 for a plain %")
  // oxlint-disable-next-line no-control-regex
  return /[\u0000-\u001f\u007f]/.test(decoded.value)
    ? fail("", "a control character in the path", "plain text")
    : Either.right(decoded.value)
}

/** Braces in these are plain, as in a password; but a variable would be a surprise. */
const noVariable = (
  text: string,
  where: string,
  groups: ReadonlySet<string>
): Either.Either<void, PathTemplateError> => {
  for (const [part, name = ""] of text.matchAll(/\{([A-Za-z_][A-Za-z0-9_]*)(?::[^{}]*)?\}/g)) {
    if (known.has(name) || groups.has(name)) {
      // a query may be a secret
      return fail(where === "host" ? part : "", `a variable can't stand in the ${where}`, "variables in the path only")
    }
  }
  return Either.void
}

const known: ReadonlySet<string> = new Set([
  "name",
  "stem",
  "ext",
  "dir",
  "relpath",
  "date",
  "mtime",
  "size",
  "sha256",
  "mime",
  "source",
  "counter"
])

const escape = (text: string): string => text.replaceAll("{", "{{").replaceAll("}", "}}")

const fail = (part: string, message: string, expected: string): Either.Either<never, PathTemplateError> =>
  Either.left(new PathTemplateError({ part, message, expected }))
