/**
 * The variables of templates, and what they are for one file.
 */
import { Either } from "effect"
import type { Facts } from "../domain/Facts.ts"
import { nearest } from "../domain/nearest.ts"
import * as RelPath from "../domain/RelPath.ts"

export interface Context {
  /** The path relative to the source. */
  readonly path: RelPath.RelPath
  /** The source's name. */
  readonly source: string
  /** Now, in milliseconds since the epoch. */
  readonly time: number
  /** Bytes. */
  readonly size: number
  /** When the content last changed, in milliseconds since the epoch. */
  readonly mtime: number
  readonly facts: Facts
}

/** What must have been learnt of a file before a template can be rendered. */
export interface Needs {
  readonly mime: boolean
  readonly sha256: boolean
  readonly counter: boolean
}

export interface Options {
  /** The named groups that may be used. */
  readonly groups?: ReadonlySet<string> | undefined
  /** Variables that are not available here, by name. */
  readonly without?: ReadonlyArray<string> | undefined
}

export interface Variable {
  /** As it stands between the braces. */
  readonly body: string
  readonly name: string
  /** Empty where the file has none. */
  readonly value: (context: Context) => string
  /**
   * Of the file's own path, whose bytes stay as they are. All else may come from anywhere, such as from inside a
   * document.
   */
  readonly isPath: boolean
  /** May be a path of several segments. */
  readonly isDeep: boolean
  /** Whether it tells files apart. */
  readonly tells: boolean
}

/** Why there can't be a variable. */
export interface Fault {
  readonly message: string
  readonly expected: string
}

/** How much of a group's text is used, in UTF-16 units. */
const groupLength = 1024

type Made = Omit<Variable, "body" | "name">
/** From what follows its colon; a fault says what may follow. */
type Make = (pattern: string | undefined) => Either.Either<Made, Fault>

const nothing = { isPath: false, isDeep: false, tells: false }

const builtIn: ReadonlyMap<string, Make> = new Map([
  ["name", path((context) => RelPath.basename(context.path))],
  ["stem", path((context) => split(context.path).stem)],
  ["ext", path((context) => split(context.path).ext, { tells: false })],
  ["dir", path((context) => RelPath.dirname(context.path), { tells: false, isDeep: true })],
  ["relpath", path((context) => context.path, { isDeep: true })],
  ["date", date((context) => context.time)],
  ["mtime", date((context) => context.mtime)],
  ["size", plain((context) => String(context.size), false)],
  ["sha256", number(64, (context, length) => (context.facts.sha256 ?? "").slice(0, length))],
  ["mime", plain((context) => context.facts.mime ?? "", false)],
  ["source", plain((context) => context.source, false)],
  [
    "counter",
    number(15, ({ facts: { counter } }, width) => (counter === null ? "" : String(counter).padStart(width ?? 1, "0")))
  ]
])

/** The variable that stands for this text between braces. */
export const variable = (body: string, options: Options): Either.Either<Variable, Fault> => {
  const colon = body.indexOf(":")
  const name = colon < 0 ? body : body.slice(0, colon)
  const pattern = colon < 0 ? undefined : body.slice(colon + 1)
  const make = builtIn.get(name)
  const isGroup = options.groups?.has(name) ?? false
  if (make !== undefined) {
    if (options.without?.includes(name) === true) {
      return fault(`{${name}} is not known here`, knownOf(options))
    }
    if (isGroup) {
      return fault(`{${name}} is a variable, and a group of an expression as well`, "another name for the group")
    }
    return Either.map(make(pattern), (made) => ({ body, name, ...made }))
  }
  if (isGroup && pattern === undefined) {
    return Either.right({ body, name, value: ({ facts }) => groupOf(facts, name), ...nothing, tells: true })
  }
  if (isGroup) return fault("nothing can follow a group's name", `{${name}}`)
  const guess = nearest(name, namesOf(options))
  const meant = guess === undefined ? "" : `, did you mean {${guess}}?`
  return fault(`there is no variable {${body}}${meant}`, knownOf(options))
}

/** Whether this text between braces is meant for a variable where braces may just as well be plain. */
export const isMeant = (body: string, options: Options): boolean => {
  const name = body.split(":", 1)[0] ?? ""
  return (
    /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && nearest(name, [...builtIn.keys(), ...(options.groups ?? [])]) !== undefined
  )
}

const namesOf = ({ groups, without }: Options): ReadonlyArray<string> => [
  ...Array.from(builtIn.keys()).filter((name) => without?.includes(name) !== true),
  ...(groups ?? [])
]

const knownOf = (options: Options): string =>
  namesOf(options)
    .map((name) => (name === "date" ? "{date:yyyy-MM-dd}" : `{${name}}`))
    .join(", ")

const fault = (message: string, expected: string): Either.Either<never, Fault> => Either.left({ message, expected })

function path(value: Variable["value"], more: Partial<Pick<Variable, "tells" | "isDeep">> = {}): Make {
  return noPattern({ value, ...nothing, isPath: true, tells: true, ...more })
}

function plain(value: Variable["value"], tells: boolean): Make {
  return noPattern({ value, ...nothing, tells })
}

function noPattern(made: Made): Make {
  return (pattern) =>
    pattern === undefined ? Either.right(made) : fault("nothing can follow its name", "the name alone, in braces")
}

function number(most: number, value: (context: Context, length: number | undefined) => string): Make {
  return (pattern) => {
    const length = pattern === undefined ? undefined : Number(pattern)
    return length !== undefined && !(/^\d{1,2}$/.test(pattern ?? "") && length >= 1 && length <= most)
      ? fault("not a number of digits", `from 1 to ${most}`)
      : Either.right({
          value: (context: Context) => value(context, length),
          ...nothing,
          // as a counter does with any number of digits; so short a hash does not
          tells: most < 64 || length === undefined || length >= 8
        })
  }
}

function date(time: (context: Context) => number): Make {
  return (pattern = "yyyy-MM-dd") =>
    pattern === "" || /[A-Za-z]/.test(pattern.replace(dateTokens, ""))
      ? fault("not a date pattern", "yyyy, yy, MM, dd, HH, mm and ss, as in {date:yyyy-MM-dd}")
      : Either.right({
          value: inSecond((at) => formatDate(pattern, at), time),
          ...nothing,
          // slashes of the pattern are the template's own
          isPath: true,
          isDeep: true
        })
}

const dateTokens = /yyyy|yy|MM|dd|HH|mm|ss/g

/** Many files in a row have the same second. */
const inSecond = (format: (time: number) => string, time: (context: Context) => number): Variable["value"] => {
  let second = Number.NaN
  let text = ""
  return (context) => {
    const at = time(context)
    const its = Math.floor(at / 1000)
    if (its !== second) {
      second = its
      text = format(at)
    }
    return text
  }
}

/** In UTC; the times of files can be beyond what a date can hold, and then there is none. */
const formatDate = (pattern: string, time: number): string => {
  const date = new Date(time)
  if (Number.isNaN(date.getTime())) return ""
  const two = (value: number) => String(value).padStart(2, "0")
  const year = String(Math.abs(date.getUTCFullYear())).padStart(4, "0")
  const values: Record<string, string> = {
    yyyy: year,
    yy: year.slice(-2),
    MM: two(date.getUTCMonth() + 1),
    dd: two(date.getUTCDate()),
    HH: two(date.getUTCHours()),
    mm: two(date.getUTCMinutes()),
    ss: two(date.getUTCSeconds())
  }
  return pattern.replace(dateTokens, (token) => values[token] ?? token)
}

/** A group that took no part in the match has no text. What is far too long for a name is cut. */
const groupOf = ({ groups }: Facts, name: string): string =>
  Object.hasOwn(groups, name) ? (groups[name] ?? "").slice(0, groupLength) : ""

const split = (path: RelPath.RelPath): { readonly stem: string; readonly ext: string } => {
  const name = RelPath.basename(path)
  const dot = name.lastIndexOf(".")
  return dot > 0 ? { stem: name.slice(0, dot), ext: name.slice(dot + 1) } : { stem: name, ext: "" }
}
