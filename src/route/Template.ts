/**
 * Templates for paths: `/archive/{date:yyyy-MM-dd}/{relpath}`.
 *
 * | variable | is |
 * |---|---|
 * | `{name}` | the file's name |
 * | `{stem}` `{ext}` | the name without its last extension, and that extension without its dot |
 * | `{relpath}` `{dir}` | the path below the source, and its directory (empty in a flat source) |
 * | `{source}` | the source's name |
 * | `{date}` `{date:yyyy-MM-dd}` | the time in UTC; yyyy MM dd HH mm ss, and marks between them |
 *
 * `{{` and `}}` are plain braces. All up to the last `/` before the first variable is the root, and no file name, however
 * hostile, makes a path outside it. A template without a variable, or with a `/` at its end, is a directory, and gets
 * `/{relpath}` appended; any other must hold the file's name.
 */
import { Data, Either } from "effect"
import * as Path from "node:path"
import * as RelPath from "../domain/RelPath.ts"

export class TemplateError extends Data.TaggedError("TemplateError")<{
  /** Where in the template. */
  readonly index: number
  readonly text: string
  readonly message: string
  readonly expected: string
}> {}

export interface Context {
  /** The path relative to the source. */
  readonly path: RelPath.RelPath
  /** The source's name. */
  readonly source: string
  /** Milliseconds since the epoch. */
  readonly time: number
}

export interface Template {
  /** The directory that no rendered path leaves, without a trailing slash; empty for the current one. */
  readonly root: string
  /** The path for one file: a RelPath-like string that may begin with the root's `/`. */
  readonly render: (context: Context) => RelPath.RelPath
  /** The same template with its root taken relative to a directory, as text that compiles again. */
  readonly from: (directory: string) => string
}

export const compile = (text: string): Either.Either<Template, TemplateError> =>
  Either.gen(function* () {
    const parsed = yield* parse(text)
    const isDirectory = text.endsWith("/") || !parsed.some((part) => part._tag === "Variable")
    const parts = isDirectory
      ? [...parsed, literal(text.endsWith("/") ? "" : "/"), variable("relpath", (context) => context.path)]
      : parsed
    if (!parts.some((part) => part._tag === "Variable" && naming.has(part.text))) {
      return yield* Either.left(
        new TemplateError({
          index: 0,
          text,
          message: "every file would get the same path",
          expected: "{relpath}, {name} or {stem} in it, or a / at its end for a directory"
        })
      )
    }
    const [head, rest] = splitRoot(parts)
    if (rest.some((part) => part._tag === "Literal" && /(?:^|\/)\.\.(?:\/|$)/.test(part.text))) {
      return yield* Either.left(
        new TemplateError({
          index: text.lastIndexOf(".."),
          text: "..",
          message: "a path may not go up after a variable",
          expected: "the whole directory before the first variable"
        })
      )
    }
    const root = head === "/" ? "/" : head.replace(/\/+$/, "")
    const below = (context: Context): string => {
      let path = ""
      for (const part of rest) path += part._tag === "Literal" ? part.text : part.value(context)
      return contain(path)
    }
    return {
      root,
      render: (context) => RelPath.make(join(root, below(context))),
      from: (directory) => join(escape(Path.resolve(directory, root === "" ? "." : root)), source(rest))
    }
  })

type Part =
  | { readonly _tag: "Literal"; readonly text: string }
  | { readonly _tag: "Variable"; readonly text: string; readonly value: (context: Context) => string }

const literal = (text: string): Part => ({ _tag: "Literal", text })
const variable = (text: string, value: (context: Context) => string): Part => ({ _tag: "Variable", text, value })

const variables: ReadonlyMap<string, (context: Context) => string> = new Map([
  ["name", (context: Context) => RelPath.basename(context.path)],
  ["stem", (context: Context) => split(context.path).stem],
  ["ext", (context: Context) => split(context.path).ext],
  ["dir", (context: Context) => RelPath.dirname(context.path)],
  ["relpath", (context: Context) => context.path],
  ["source", (context: Context) => context.source.replaceAll("/", "_")]
])

/** The variables of which one must be there, or all files would land on one path. */
const naming: ReadonlySet<string> = new Set(["name", "stem", "relpath"])

const known = `${Array.from(variables.keys(), (name) => `{${name}}`).join(", ")}, {date:yyyy-MM-dd}`

const parse = (text: string): Either.Either<ReadonlyArray<Part>, TemplateError> =>
  Either.gen(function* () {
    const parts: Array<Part> = []
    for (const match of text.matchAll(/\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+/g)) {
      const [piece, body] = match
      if (piece === "{{" || piece === "}}") parts.push(literal(piece.slice(1)))
      else if (body !== undefined) parts.push(yield* parseVariable(body, match.index))
      else if (piece === "{" || piece === "}") {
        return yield* Either.left(
          new TemplateError({
            index: match.index,
            text: text.slice(match.index, match.index + 20),
            message: `a single ${piece}`,
            expected: `a variable in braces, or ${piece}${piece} for a plain brace`
          })
        )
      } else parts.push(literal(piece))
    }
    return parts
  })

const parseVariable = (body: string, index: number): Either.Either<Part, TemplateError> => {
  const value = variables.get(body)
  if (value !== undefined) return Either.right(variable(body, value))
  const text = `{${body}}`
  if (body === "date") return Either.right(variable(body, (context) => formatDate("yyyy-MM-dd", context.time)))
  if (!body.startsWith("date:")) {
    return Either.left(new TemplateError({ index, text, message: `there is no variable ${text}`, expected: known }))
  }
  const pattern = body.slice("date:".length)
  return pattern === "" || /[A-Za-z]/.test(pattern.replace(dateTokens, ""))
    ? Either.left(
        new TemplateError({
          index,
          text,
          message: "not a date pattern",
          expected: "yyyy, MM, dd, HH, mm and ss, as in {date:yyyy-MM-dd}"
        })
      )
    : Either.right(variable(body, (context) => formatDate(pattern, context.time)))
}

const dateTokens = /yyyy|MM|dd|HH|mm|ss/g

const formatDate = (pattern: string, time: number): string => {
  const date = new Date(time)
  const two = (value: number) => String(value).padStart(2, "0")
  const values: Record<string, string> = {
    yyyy: String(date.getUTCFullYear()).padStart(4, "0"),
    MM: two(date.getUTCMonth() + 1),
    dd: two(date.getUTCDate()),
    HH: two(date.getUTCHours()),
    mm: two(date.getUTCMinutes()),
    ss: two(date.getUTCSeconds())
  }
  return pattern.replace(dateTokens, (token) => values[token] ?? token)
}

/** Splits at the last `/` before the first variable. */
const splitRoot = (parts: ReadonlyArray<Part>): readonly [string, ReadonlyArray<Part>] => {
  const first = parts.findIndex((part) => part._tag === "Variable")
  const before = parts
    .slice(0, first)
    .map((part) => part.text)
    .join("")
  const slash = before.lastIndexOf("/") + 1
  return [before.slice(0, slash), [literal(before.slice(slash)), ...parts.slice(first)]]
}

const split = (path: RelPath.RelPath): { readonly stem: string; readonly ext: string } => {
  const name = RelPath.basename(path)
  const dot = name.lastIndexOf(".")
  return dot > 0 ? { stem: name.slice(0, dot), ext: name.slice(dot + 1) } : { stem: name, ext: "" }
}

/** Segments that would stay in place or go up become underscores; empty ones go. */
const contain = (path: string): string =>
  path
    .split("/")
    .filter((segment) => segment !== "")
    .map((segment) => (segment === "." || segment === ".." ? "_".repeat(segment.length) : segment))
    .join("/")

const join = (root: string, below: string): string =>
  root === "" ? below : root.endsWith("/") ? `${root}${below}` : `${root}/${below}`

const escape = (text: string): string => text.replaceAll("{", "{{").replaceAll("}", "}}")

const source = (parts: ReadonlyArray<Part>): string =>
  parts.map((part) => (part._tag === "Literal" ? escape(part.text) : `{${part.text}}`)).join("")
