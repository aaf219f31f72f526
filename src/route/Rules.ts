/**
 * Rules made ready: each answers yes, no, or that the file must be read first, so that files of which names and sizes
 * say enough are judged at once, and the others are read no further than a rule asks.
 */
import { Either } from "effect"
import type { Found } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Rule } from "../domain/Rule.ts"
import type { Text } from "../files/FileFacts.ts"
import * as Glob from "./Glob.ts"
import * as Regex from "./Regex.ts"

/** Yes, no, or not known: the file must be read, or is not there. */
export type Answer = true | false | null

/** The groups that matches have found, by name; what was found first stays. */
export type Groups = Map<string, string>

/** One rule, compiled. */
export interface Node {
  readonly rule: Rule
  /** Its parts, in the order of the config; empty for a simple rule. */
  readonly parts: ReadonlyArray<Node>
  readonly cost: number
  /** Whether the time may change its answer. */
  readonly ages: boolean
  /** The names of its groups that can be found in a file that it matches. */
  readonly groups: ReadonlyArray<string>
  /** What it says as far as the subject is known. What it would have to read is noted there. */
  readonly test: (subject: Subject) => Answer
  /** Adds the groups that it finds in a file that it matches. */
  readonly collect: (subject: Subject, into: Groups) => void
  /** The first millisecond at which the answer, yes or no, may be another one; Infinity: it stays. */
  readonly until: (subject: Subject) => number
}

/** What a rule costs: names come before times and sizes, and those before bytes. */
export const cost = { name: 0, glob: 1, regex: 2, stat: 3, mime: 4, text: 5 } as const

/** Paths of more UTF-16 units can't be had anywhere, and match nothing. */
export const maxPath = 4096

/** One file, as far as it is known. */
export class Subject {
  readonly base: string
  /** Bytes; null: there is no file. */
  readonly size: number | null
  /** Milliseconds; a file from the future is new. */
  readonly age: number | null
  /** Undefined: not read yet; null: nobody can say. */
  mime: string | null | undefined = undefined
  /** Whether a rule has asked for the type since this was set to false. */
  wantsMime = false
  /** The most characters that a rule has asked for since this was set to 0. */
  wantsText = 0
  private readTexts: Map<number, Text> | undefined = undefined
  private foldedTexts: Map<number, string> | undefined = undefined

  constructor(
    readonly source: string,
    readonly path: string,
    readonly found: Pick<Found, "size" | "mtime"> | null,
    readonly now: number
  ) {
    this.base = RelPath.basename(path)
    this.size = found === null ? null : found.size
    this.age = found === null ? null : Math.max(0, now - found.mtime)
  }

  /** What was read, by how many characters were asked for. Most files are not read at all. */
  get texts(): Map<number, Text> {
    this.readTexts ??= new Map()
    return this.readTexts
  }

  /** The text in one case, so that another case is no other text. */
  folded(within: number, text: string): string {
    this.foldedTexts ??= new Map()
    const known = this.foldedTexts.get(within)
    if (known !== undefined) return known
    const folded = fold(text)
    this.foldedTexts.set(within, folded)
    return folded
  }
}

/** Upper case knows no exceptions at the end of a word, as lower case does. */
export const fold = (text: string): string => text.toUpperCase()

/** Globs and expressions that are compiled already: many folders have the same. */
export class Compiled {
  private readonly globs = new Map<string, (path: string) => boolean>()
  private readonly regexes = new Map<string, Regex.Regex>()

  glob(text: string): (path: string) => boolean {
    const known = this.globs.get(text)
    if (known !== undefined) return known
    const compiled = Glob.compile(text)
    this.globs.set(text, compiled)
    return compiled
  }

  regex(pattern: string, within?: number): Regex.Regex {
    const known = this.regexes.get(pattern)
    if (known !== undefined) return known
    const compiled = Either.getOrThrowWith(
      Regex.compile(pattern, within),
      ({ message }) => new Error(`${message}: ${pattern}`)
    )
    this.regexes.set(pattern, compiled)
    return compiled
  }
}

/** All of these must hold. What can't be compiled was refused with the config: it is a defect here. */
export const compile = (rules: ReadonlyArray<Rule>, compiled = new Compiled()): Node =>
  combine({ _tag: "All", rules }, compiled)

/** What follows each dot of a name in lower case, the longest first. */
export const suffixes = (name: string, parts: number): ReadonlyArray<string> => {
  const found: Array<string> = []
  let dot = name.lastIndexOf(".")
  // a leading dot is no beginning of an extension
  while (dot > 0 && found.length < parts) {
    found.push(name.slice(dot + 1).toLowerCase())
    dot = name.lastIndexOf(".", dot - 1)
  }
  return found.reverse()
}

/** Whether a name ends in one of these extensions; the longest that it ends in. */
export const extensionOf = (extensions: ReadonlySet<string>, name: string): string | undefined =>
  suffixes(name, Infinity).find((suffix) => extensions.has(suffix))

/** Which of the types it is, if any: `image/*` is all images. */
export const typeOf = (types: ReadonlyArray<string>, mime: string): string | undefined =>
  types.find((type) => type === mime || type === "*/*" || (type.endsWith("/*") && mime.startsWith(type.slice(0, -1))))

const combine = (rule: Extract<Rule, { readonly _tag: "All" | "Any" }>, compiled: Compiled): Node => {
  const parts = rule.rules.map((part) => node(part, compiled))
  const cheapFirst = parts.toSorted((left, right) => left.cost - right.cost)
  /** The answer that one part is enough for. */
  const decisive = rule._tag === "Any"
  const untils = (subject: Subject, answer: boolean): ReadonlyArray<number> =>
    parts.filter((part) => part.test(subject) === answer).map((part) => part.until(subject))
  const [only] = parts
  const test = (subject: Subject): Answer => {
    let answer: Answer = !decisive
    for (const part of cheapFirst) {
      const one = part.test(subject)
      if (one === decisive) return decisive
      if (one === null) answer = null
    }
    return answer
  }
  return {
    rule,
    parts,
    cost: Math.max(0, ...parts.map((part) => part.cost)),
    ages: parts.some((part) => part.ages),
    groups: parts.flatMap((part) => part.groups),
    test: parts.length === 1 && only !== undefined ? only.test : test,
    collect: (subject, into) => {
      // nothing is read for a group where something cheaper has decided
      const decided = decisive ? cheapFirst.find((part) => part.test(subject) === true) : undefined
      for (const part of parts) {
        if (part.groups.length === 0 || (decided !== undefined && part.cost > decided.cost)) continue
        if (part.test(subject) === true) part.collect(subject, into)
      }
    },
    until: (subject) => {
      const answer = test(subject)
      if (answer === null) return Infinity
      // a decisive part must fall, and all that are, before the whole does
      return answer === decisive ? Math.max(...untils(subject, answer)) : Math.min(Infinity, ...untils(subject, answer))
    }
  }
}

const node = (rule: Rule, compiled: Compiled): Node => {
  switch (rule._tag) {
    case "All":
    case "Any":
      return combine(rule, compiled)
    case "Not": {
      const part = node(rule.rule, compiled)
      return {
        rule,
        parts: [part],
        cost: part.cost,
        ages: part.ages,
        // what is not there has no groups
        groups: [],
        test: (subject) => {
          const answer = part.test(subject)
          return answer === null ? null : !answer
        },
        collect: () => {},
        until: part.until
      }
    }
    case "Sources": {
      const sources = new Set(rule.sources)
      return simple(rule, cost.name, (subject) => sources.has(subject.source))
    }
    case "Extensions": {
      const extensions = new Set(rule.extensions)
      return simple(rule, cost.name, (subject) => extensionOf(extensions, subject.base) !== undefined)
    }
    case "Glob": {
      const globs = rule.globs.map((glob) => compiled.glob(glob))
      return simple(rule, cost.glob, ({ path }) => globs.some((matches) => matches(path)))
    }
    case "Exclude": {
      const globs = rule.globs.map((glob) => compiled.glob(glob))
      return simple(rule, cost.glob, ({ path }) => !globs.some((matches) => matches(path)))
    }
    case "Regex": {
      const regex = compiled.regex(rule.pattern)
      return {
        ...simple(rule, cost.regex, (subject) => regex.test(subject.base)),
        groups: regex.groups,
        collect: (subject, into) => keep(regex.capture(subject.base), into)
      }
    }
    case "Size": {
      const { max, min } = rule
      return simple(rule, cost.stat, ({ size }) =>
        size === null ? null : (min === null || size >= min) && (max === null || size <= max)
      )
    }
    case "Age": {
      const { max, min } = rule
      return {
        ...simple(rule, cost.stat, ({ age }) =>
          age === null ? null : (min === null || age >= min) && (max === null || age <= max)
        ),
        ages: true,
        until: ({ found, now }) => {
          if (found === null) return Infinity
          const begins = min === null ? Infinity : Math.ceil(found.mtime + min)
          const ends = max === null ? Infinity : Math.floor(found.mtime + max) + 1
          return Math.min(begins > now ? begins : Infinity, ends > now ? ends : Infinity)
        }
      }
    }
    case "Mime": {
      const { types } = rule
      return simple(rule, cost.mime, (subject) => {
        if (subject.mime === undefined) {
          subject.wantsMime = true
          return null
        }
        return subject.mime !== null && typeOf(types, subject.mime) !== undefined
      })
    }
    case "Content":
      return content(rule, compiled)
  }
}

const content = (rule: Extract<Rule, { readonly _tag: "Content" }>, compiled: Compiled): Node => {
  const { pattern, within } = rule
  const text = rule.text === null ? null : fold(rule.text)
  const regex = pattern === null ? null : compiled.regex(pattern, within)
  const has = (subject: Subject, read: string): boolean =>
    (text === null || subject.folded(within, read).includes(text)) && (regex === null || regex.test(read))
  return {
    ...simple(rule, cost.text, (subject) => {
      const read = subject.texts.get(within)
      if (read === undefined) {
        subject.wantsText = Math.max(subject.wantsText, within)
        return null
      }
      return read._tag === "Text" && has(subject, read.text)
    }),
    groups: regex === null ? [] : regex.groups,
    collect: (subject, into) => {
      const read = subject.texts.get(within)
      if (regex !== null && read?._tag === "Text") keep(regex.capture(read.text), into)
    }
  }
}

const simple = (rule: Rule, cost: number, test: (subject: Subject) => Answer): Node => ({
  rule,
  parts: [],
  cost,
  ages: false,
  groups: [],
  test,
  collect: () => {},
  until: () => Infinity
})

const keep = (found: ReadonlyArray<readonly [string, string]> | null, into: Groups): void => {
  for (const [name, value] of found ?? []) if (!into.has(name)) into.set(name, value)
}
