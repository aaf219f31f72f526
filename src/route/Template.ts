/**
 * Templates: `/archive/{date:yyyy-MM-dd}/{relpath}` for paths, `{name}` for header fields.
 *
 * | variable | is |
 * |---|---|
 * | `{name}` | the file's name |
 * | `{stem}` `{ext}` | the name without its last extension, and that extension without its dot |
 * | `{relpath}` `{dir}` | the path below the source, and its directory (empty in a flat source) |
 * | `{source}` | the source's name |
 * | `{date}` `{date:yyyy-MM-dd}` | now in UTC; yyyy yy MM dd HH mm ss, and marks between them |
 * | `{mtime}` `{mtime:yyyy/MM}` | when the content last changed, likewise |
 * | `{size}` | bytes |
 * | `{sha256}` `{sha256:8}` | the content's hash in hex, or the beginning of it |
 * | `{mime}` | what the content is; in a path as `image_png` |
 * | `{counter}` `{counter:4}` | a number that is one higher for each file of a folder; at least so many digits |
 * | `{group}` | a named group of an expression that matched |
 *
 * Paths: `{{` and `}}` are plain braces. All up to the last `/` before the first variable is the root, and no file,
 * however hostile its name or its content, makes a path outside it. A template without a variable, or with a `/` at its
 * end, is a directory, and gets `/{relpath}` appended; any other must hold something that tells files apart.
 * - What the file has not (a group that took no part in the match, a type that nobody knows) is `_`; a name without an
 *   extension takes the dot before `{ext}` with it, and an empty `{dir}` its slash.
 * - What does not come from the file's path is one name, or a part of it: slashes, backslashes, control characters and
 *   those that turn the reading direction become `_`. The file's own path keeps its bytes.
 * - A name longer than 255 bytes is cut between characters, keeps its extension, and gets `~` and eight characters made
 *   from all of it.
 *
 * Text for header fields: only what is a variable is one, and other braces are plain; `{{name}}` is a plain `{name}`.
 * In the values of variables, all but printable ASCII is percent-encoded UTF-8, and so are `%`, `"` and `\`. What the
 * file has not is empty; a type that nobody knows is `application/octet-stream`.
 */
import { Data, Either } from "effect"
import * as Path from "node:path"
import * as RelPath from "../domain/RelPath.ts"
import * as Segments from "./TemplateSegments.ts"
import { isMeant, variable, type Context, type Needs, type Options, type Variable } from "./TemplateVariables.ts"

export type { Context, Needs, Options } from "./TemplateVariables.ts"

export class TemplateError extends Data.TaggedError("TemplateError")<{
  /** Where in the template. */
  readonly index: number
  readonly text: string
  readonly message: string
  readonly expected: string
}> {}

export interface Template {
  /** The directory that no rendered path leaves, without a trailing slash; empty for the current one. */
  readonly root: string
  /** The path for one file: a RelPath-like string that may begin with the root's `/`. */
  readonly render: (context: Context) => RelPath.RelPath
  /** The same template with its root taken relative to a directory, as text that compiles again. */
  readonly from: (directory: string) => string
  readonly needs: Needs
}

/** Text with variables in it, for a header field. */
export interface Text {
  /** There is nothing in it but what it is for every file. */
  readonly isPlain: boolean
  /** Visible ASCII, spaces, and what the template itself has: never a line end or NUL. */
  readonly render: (context: Context) => string
  readonly needs: Needs
}

export interface PathOptions extends Options {
  /** It is a path below something else: it may neither begin with a `/` nor go up. */
  readonly below?: boolean | undefined
}

export const compile = (text: string, options: PathOptions = {}): Either.Either<Template, TemplateError> =>
  Either.gen(function* () {
    const parsed = yield* parse(text, options)
    const isDirectory = text.endsWith("/") || !parsed.some(isVariable)
    const parts = isDirectory ? [...parsed, literal(text.endsWith("/") ? "" : "/"), relpath] : parsed
    if (!parts.some((part) => isVariable(part) && part.variable.tells)) {
      return yield* fault(
        text,
        0,
        text,
        "every file would get the same path",
        "{relpath}, {name} or {stem} in it, or a / at its end for a directory"
      )
    }
    const [head, rest] = splitRoot(parts)
    if (rest.some((part) => part._tag === "Literal" && goesUp.test(part.text))) {
      return yield* fault(
        text,
        text.lastIndexOf(".."),
        "..",
        "a path may not go up after a variable",
        "the whole directory before the first variable"
      )
    }
    if (options.below === true && (text.startsWith("/") || goesUp.test(head))) {
      return yield* fault(
        text,
        text.startsWith("/") ? 0 : text.indexOf(".."),
        text,
        "it would lead out of where the files go",
        "a path below it, without a / at its beginning, and without .."
      )
    }
    const root = options.below === true ? downward(head) : head === "/" ? "/" : head.replace(/\/+$/, "")
    const below = belowOf(rest)
    return {
      root,
      render: (context) => RelPath.make(join(root, below(context))),
      from: (directory) => join(escape(Path.resolve(directory, root === "" ? "." : root)), source(rest)),
      needs: needsOf(parts)
    }
  })

/** A header field's value. Braces that hold nothing like a variable are as they stand, as in JSON. */
export const compileText = (text: string, options: Options = {}): Either.Either<Text, TemplateError> =>
  Either.gen(function* () {
    const parts: Array<Part> = []
    let end = 0
    for (const match of text.matchAll(/\{\{([^{}]*)\}\}|\{([^{}]*)\}/g)) {
      const [piece, escaped, single] = match
      const body = escaped ?? single ?? ""
      if (!isMeant(body, options)) continue
      parts.push(literal(text.slice(end, match.index)))
      end = match.index + piece.length
      parts.push(escaped === undefined ? yield* parseVariable(body, match.index, options) : literal(`{${body}}`))
    }
    parts.push(literal(text.slice(end)))
    return {
      isPlain: parts.length === 1,
      render: (context) =>
        parts
          .map((part) => (part._tag === "Literal" ? part.text : fieldText(part.variable, context)))
          .join("")
          .replace(/[\r\n\0]/g, ""),
      needs: needsOf(parts)
    }
  })

type Part =
  { readonly _tag: "Literal"; readonly text: string } | { readonly _tag: "Variable"; readonly variable: Variable }

const literal = (text: string): Part => ({ _tag: "Literal", text })
const isVariable = (part: Part): part is Extract<Part, { readonly _tag: "Variable" }> => part._tag === "Variable"

const relpath: Part = { _tag: "Variable", variable: Either.getOrThrow(variable("relpath", {})) }

const goesUp = /(?:^|\/)\.\.(?:\/|$)/

/** A path that goes down, without what says nothing. */
const downward = (path: string): string =>
  path
    .split("/")
    .filter((segment) => segment !== "" && segment !== ".")
    .join("/")

const fault = (
  all: string,
  index: number,
  text: string,
  message: string,
  expected: string
): Either.Either<never, TemplateError> =>
  Either.left(new TemplateError({ index: Math.min(index, all.length), text, message, expected }))

const parse = (text: string, options: Options): Either.Either<ReadonlyArray<Part>, TemplateError> =>
  Either.gen(function* () {
    const parts: Array<Part> = []
    for (const match of text.matchAll(/\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+/g)) {
      const [piece, body] = match
      if (piece === "{{" || piece === "}}") parts.push(literal(piece.slice(1)))
      else if (body !== undefined) parts.push(yield* parseVariable(body, match.index, options))
      else if (piece === "{" || piece === "}") {
        return yield* fault(
          text,
          match.index,
          text.slice(match.index, match.index + 20),
          `a single ${piece}`,
          `a variable in braces, or ${piece}${piece} for a plain brace`
        )
      } else parts.push(literal(piece))
    }
    return merged(parts)
  })

/** Neighbouring literals as one. */
const merged = (parts: ReadonlyArray<Part>): ReadonlyArray<Part> => {
  const out: Array<Part> = []
  for (const part of parts) {
    const last = out.at(-1)
    if (part._tag === "Literal" && last?._tag === "Literal") out.splice(-1, 1, literal(last.text + part.text))
    else out.push(part)
  }
  return out
}

const parseVariable = (body: string, index: number, options: Options): Either.Either<Part, TemplateError> =>
  Either.mapBoth(variable(body, options), {
    onLeft: ({ expected, message }) => new TemplateError({ index, text: `{${body}}`, message, expected }),
    onRight: (found): Part => ({ _tag: "Variable", variable: found })
  })

const needsOf = (parts: ReadonlyArray<Part>): Needs => {
  const names = new Set(parts.flatMap((part) => (isVariable(part) ? [part.variable.name] : [])))
  return { mime: names.has("mime"), sha256: names.has("sha256"), counter: names.has("counter") }
}

/** Splits at the last `/` before the first variable. */
const splitRoot = (parts: ReadonlyArray<Part>): readonly [string, ReadonlyArray<Part>] => {
  const first = parts.findIndex(isVariable)
  const before = parts
    .slice(0, first)
    .map((part) => (part._tag === "Literal" ? part.text : ""))
    .join("")
  const slash = before.lastIndexOf("/") + 1
  return [before.slice(0, slash), merged([literal(before.slice(slash)), ...parts.slice(first)])]
}

const belowOf = (parts: ReadonlyArray<Part>): ((context: Context) => RelPath.RelPath) => {
  const pieces = parts
    .filter((part) => part._tag === "Variable" || part.text !== "")
    .map((part, index, all) => pieceOf(part, all[index - 1], all[index + 1]))
  const [first] = pieces
  if (first !== undefined && pieces.length === 1) return (context) => Segments.contain(first(context, ""))
  return (context) => {
    let path = ""
    for (const piece of pieces) path = piece(context, path)
    return Segments.contain(path)
  }
}

/** Appends a part to what there is. */
const pieceOf = (
  part: Part,
  before: Part | undefined,
  after: Part | undefined
): ((context: Context, path: string) => string) => {
  if (part._tag === "Literal") return (_, path) => path + part.text
  const { isDeep, isPath, name, value } = part.variable
  if (name === "dir" || name === "relpath") return (context, path) => path + value(context)
  if (name !== "ext") {
    return (context, path) => {
      const found = value(context)
      return path + ((isDeep || isPath ? found : Segments.ofText(found)) || Segments.unknown)
    }
  }
  const begins = before === undefined || (before._tag === "Literal" && before.text.endsWith("/"))
  const ends = after === undefined || (after._tag === "Literal" && after.text.startsWith("/"))
  // the dot is the extension's own where something stands before it
  const hasDot = before?._tag === "Literal" && /(?:^|[^/])\.$/.test(before.text)
  return (context, path) => {
    const found = value(context)
    if (found !== "") return path + found
    if (hasDot && !/(?:^|\/)\.$/.test(path)) return path.slice(0, -1)
    return begins && ends ? path + Segments.unknown : path
  }
}

/** All but what is visible in ASCII as percent-encoded UTF-8, and so what would end a quoted string, or the encoding. */
const fieldText = ({ name, value }: Variable, context: Context): string => {
  const found = value(context)
  if (found === "") return name === "mime" ? "application/octet-stream" : ""
  return /^[\x21\x23-\x24\x26-\x5b\x5d-\x7e]*$/.test(found)
    ? found
    : Array.from(RelPath.toBytes(found), (byte, index) => encodeByte(byte, index === 0))
        .join("")
        .replace(/ $/, "%20")
}

const encodeByte = (byte: number, isFirst: boolean): string =>
  byte < 0x20 || byte > 0x7e || byte === 0x25 || byte === 0x22 || byte === 0x5c || (byte === 0x20 && isFirst)
    ? `%${byte.toString(16).toUpperCase().padStart(2, "0")}`
    : String.fromCharCode(byte)

const join = (root: string, below: string): string =>
  root === "" ? below : root.endsWith("/") ? `${root}${below}` : `${root}/${below}`

const escape = (text: string): string => text.replaceAll("{", "{{").replaceAll("}", "}}")

const source = (parts: ReadonlyArray<Part>): string =>
  parts.map((part) => (part._tag === "Literal" ? escape(part.text) : `{${part.variable.body}}`)).join("")
