/**
 * Globs on paths relative to a source, the same on every platform: `/` separates, a dot is a character like any other,
 * `#` and `!` at the beginning mean nothing special.
 */
import { braceExpand, Minimatch } from "minimatch"
import { Option } from "effect"

const options = { nonegate: true, nocomment: true, dot: true, platform: "linux", braceExpandMax: 1000 } as const

/** One compiled glob. Bounded in time for every path; a name that is not text (see RelPath) is matched as it is held. */
export const compile = (glob: string): ((path: string) => boolean) => {
  const simple = compileSimple(glob) ?? compileStars(glob)
  if (simple !== undefined) return simple
  const compiled = new Minimatch(glob, options)
  return (path) => compiled.match(path)
}

export interface Fault {
  readonly message: string
  readonly expected: string
}

/** Why this can't be meant as a glob, if so. */
export const fault = (glob: string): Option.Option<Fault> => {
  if (glob.trim() === "") return Option.some({ message: "an empty glob", expected: "a pattern such as **/*.pdf" })
  if (glob.length > 4096) return Option.some({ message: "the glob is too long", expected: "4096 characters at most" })
  if (glob.startsWith("!") && !glob.startsWith("!(")) {
    return Option.some({
      message: "a glob can't be negated",
      expected: "the other list, or [!] for a name that begins with !"
    })
  }
  if (glob.startsWith("/") || glob.startsWith("./") || glob.split("/").includes("..")) {
    return Option.some({
      message: "it can match nothing: the path is relative to the source",
      expected: "a pattern without /, ./ or ../ at its beginning"
    })
  }
  const open = unclosed(glob)
  if (open !== undefined) return Option.some({ message: open, expected: "each bracket closed, or \\ before it" })
  return Option.liftThrowable(compile)(glob).pipe(
    Option.match({
      onNone: () => Option.some({ message: "not a glob", expected: "a pattern such as **/*.pdf" }),
      onSome: () => Option.none<Fault>()
    })
  )
}

/** What is left open: a bracket, a brace, an extended glob, or an escape. */
const unclosed = (glob: string): string | undefined => {
  const braces: Array<string> = []
  for (let index = 0; index < glob.length; index += 1) {
    const char = glob[index]
    if (char === "\\") {
      if (index === glob.length - 1) return "a \\ with nothing after it"
      index += 1
    } else if (char === "[") {
      const end = glob.indexOf("]", glob[index + 1] === "!" || glob[index + 1] === "^" ? index + 3 : index + 2)
      if (end < 0) return "an unclosed ["
      index = end
    } else if (char === "{") braces.push("{")
    else if (char === "(" && index > 0 && "?*+@!".includes(glob[index - 1] ?? "")) braces.push("(")
    else if (char === "}" && braces.at(-1) === "{") braces.pop()
    else if (char === ")" && braces.at(-1) === "(") braces.pop()
  }
  return braces.length > 0 ? `an unclosed ${braces.at(-1)}` : undefined
}

/**
 * The shapes that excludes mostly have, without a regular expression: a scan of 100,000 files asks each glob 100,000
 * times. Everywhere a name, its beginning, its end, or a part of it.
 */
const compileSimple = (glob: string): ((path: string) => boolean) | undefined => {
  const match = /^\*\*\/(\*?)([^*?[\]{}()|\\/]+)(\*?)$/.exec(glob)
  const text = match?.[2]
  if (match === null || text === undefined || text === "." || text === "..") return undefined
  const anyBefore = match[1] !== ""
  const anyAfter = match[3] !== ""
  const begin = (path: string) => path.lastIndexOf("/") + 1
  if (anyBefore && anyAfter) return (path) => path.includes(text, begin(path))
  if (anyAfter) return (path) => path.startsWith(text, begin(path))
  if (anyBefore) return (path) => path.endsWith(text)
  return (path) => path.length - begin(path) === text.length && path.endsWith(text)
}

/**
 * What else globs mostly are: names and stars, and braces around some of them. It is slower than a regular expression
 * that is warm, but of a thousand globs most are cold.
 */
const compileStars = (glob: string): ((path: string) => boolean) | undefined => {
  if (/[?[\]()|\\]/.test(glob)) return undefined
  const plain = glob.includes("{") ? braceExpand(glob, { braceExpandMax: options.braceExpandMax }) : [glob]
  const compiled = plain.map(parseStars)
  const all = compiled.filter((one) => one !== undefined)
  const [only] = all
  if (only === undefined || all.length < compiled.length || all.length > 16) return undefined
  return all.length === 1 ? (path) => matchStars(only, path) : (path) => all.some((one) => matchStars(one, path))
}

/** The texts between the stars of a segment, of which there may be none at either end; null: any segments. */
type Segment = ReadonlyArray<string> | null

const parseStars = (glob: string): ReadonlyArray<Segment> | undefined => {
  const segments = glob.split("/")
  const isOther = (segment: string) => /^\.{0,2}$|[{}]/.test(segment) || (segment !== "**" && segment.includes("**"))
  if (segments.some(isOther)) return undefined
  return segments.map((segment) => (segment === "**" ? null : segment.split("*")))
}

/** Of the places that can be tried again, the last is enough: time grows with both lengths, at most. */
const matchStars = (glob: ReadonlyArray<Segment>, path: string): boolean => {
  let index = 0
  let begin = 0
  let again = -1
  let againBegin = 0
  for (;;) {
    const segment = glob[index]
    if (segment === null) {
      if (index === glob.length - 1) return begin <= path.length
      again = index
      againBegin = begin
      index += 1
      continue
    }
    if (begin > path.length) return segment === undefined
    if (segment !== undefined) {
      const slash = path.indexOf("/", begin)
      const end = slash < 0 ? path.length : slash
      if (matchSegment(segment, path, begin, end)) {
        begin = end + 1
        index += 1
        continue
      }
    }
    const next = again < 0 ? -1 : path.indexOf("/", againBegin)
    if (next < 0) return false
    againBegin = next + 1
    begin = againBegin
    index = again + 1
  }
}

const matchSegment = (texts: ReadonlyArray<string>, path: string, begin: number, end: number): boolean => {
  const first = texts[0] ?? ""
  if (!path.startsWith(first, begin)) return false
  if (texts.length === 1) return begin + first.length === end
  const last = texts[texts.length - 1] ?? ""
  const stop = end - last.length
  let at = begin + first.length
  if (at > stop || !path.startsWith(last, stop)) return false
  for (let index = 1; index < texts.length - 1; index += 1) {
    const text = texts[index] ?? ""
    const found = path.indexOf(text, at)
    if (found < 0 || found + text.length > stop) return false
    at = found + text.length
  }
  return true
}
