/**
 * The expressions of users: RE2, which takes time in proportion to the text, whatever the expression is.
 *
 * Linear is not enough by itself: the time also grows with the expression, so its size is limited, and with it how
 * much text one may be asked to look at.
 */
import { Either } from "effect"
import { RE2JS, RE2JSException } from "re2js"

export interface Fault {
  readonly message: string
  readonly expected: string
}

export interface Regex {
  readonly pattern: string
  /** The names of its groups, in the order in which they stand. */
  readonly groups: ReadonlyArray<string>
  /** Whether it matches anywhere in the text. */
  readonly test: (text: string) => boolean
  /** What its named groups hold at the first match, without those that take no part in it; null: there is no match. */
  readonly capture: (text: string) => ReadonlyArray<readonly [name: string, value: string]> | null
}

/** Characters of an expression. */
const maxLength = 4096
/** Instructions that an expression may compile to. */
const maxSize = 5000
/** Instructions times characters, the worst that a match may cost: seconds at most. */
const maxWork = 64 * 1024 * 1024
/** Characters of a group that are kept: it goes into names and into the journal. */
const maxGroup = 1000

/** `within`: how many characters it may be asked to look at; by default as many as a name has. */
export const compile = (pattern: string, within = 4096): Either.Either<Regex, Fault> => {
  if (pattern === "") return fault("an empty expression", "an expression such as ^invoice-")
  if (pattern.length > maxLength) return fault("the expression is too long", `${maxLength} characters at most`)
  return Either.flatMap(parse(pattern), (regex) => {
    const size = regex.programSize()
    if (size > maxSize) {
      return fault(`it is too large: ${size} steps`, `${maxSize} at most: fewer or smaller repetitions`)
    }
    if (size * within > maxWork) {
      const most = Math.floor(maxWork / size)
      return fault(`it is too large for ${within} characters`, `fewer repetitions, or at most ${most} characters`)
    }
    return Either.right(make(pattern, regex))
  })
}

const make = (pattern: string, regex: RE2JS): Regex => {
  const groups = Object.entries(regex.namedGroups())
    .sort(([, left], [, right]) => left - right)
    .map(([name]) => name)
  const test = (text: string): boolean => regex.test(text)
  return {
    pattern,
    groups,
    test,
    capture: (text) => {
      if (groups.length === 0) return test(text) ? [] : null
      // the test alone runs on an automaton, in a long text many times as fast
      if (text.length > 1000 && !test(text)) return null
      const matcher = regex.matcher(text)
      if (!matcher.find()) return null
      return groups.flatMap((name) => {
        const value = matcher.group(name)
        return value === null ? [] : [[name, cut(value)] as const]
      })
    }
  }
}

const parse = (pattern: string): Either.Either<RE2JS, Fault> =>
  Either.try({
    try: () => RE2JS.compile(pattern),
    catch: (error) => {
      const said = error instanceof RE2JSException ? error.message : "it can't be compiled"
      return {
        message: said.replace(/^error parsing regexp: /, ""),
        expected: "an expression in RE2 syntax: no look-around, no back-references"
      }
    }
  })

/** Not in the middle of a character. */
const cut = (value: string): string => {
  if (value.length <= maxGroup) return value
  const last = value.charCodeAt(maxGroup - 1)
  return value.slice(0, last >= 0xd800 && last <= 0xdbff ? maxGroup - 1 : maxGroup)
}

const fault = (message: string, expected: string): Either.Either<never, Fault> => Either.left({ message, expected })
