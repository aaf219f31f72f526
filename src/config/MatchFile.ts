/**
 * What the config file says of the files that a folder takes.
 */
import { Option, Schema } from "effect"
import * as Glob from "../route/Glob.ts"
import { defaults } from "./defaults.ts"
import * as Regex from "./regex.ts"
import { checked, duration, key, list, oneOrMore, sizeFrom, text } from "./Values.ts"

/** An extension as the file may write it: any case, a leading dot tolerated. */
const extension = Schema.String.pipe(
  Schema.filter((value) => /^\.?[^./\\*?,\s](?:[^./\\*?,]*[^./\\*?,\s])?(?:\.[^./\\*?,\s]+)*$/.test(value))
).annotations({
  title: "an extension such as pdf or tar.gz, without wildcards",
  // YAML reads 7 and 001 as numbers; they are taken as they are written
  jsonSchema: { type: ["string", "number"] }
})

export const glob = checked("a glob, such as **/*.pdf", (value) => Option.getOrUndefined(Glob.fault(value)))

export const globs = list(glob, 'a list of globs, such as ["**/*.pdf"]')

const regex = checked(Regex.title, (value) => Regex.fault(value))

const mimeTitle = "a type such as application/pdf or image/*"

const mime = checked(mimeTitle, (value) => {
  if (/^[a-z0-9!#$&^_.+-]+\/(?:\*|[a-z0-9!#$&^_.+-]+)$/i.test(value) && !value.startsWith("*")) return undefined
  if (value.includes(";")) return { message: "a type with parameters", expected: "the type alone, such as text/plain" }
  if (/^\*\/?\*?$/.test(value)) return { message: "it says nothing: every file has a type", expected: mimeTitle }
  return /^\.?[a-z0-9]+$/i.test(value)
    ? { message: "not a type", expected: `${mimeTitle}; the ends of names stand in extensions` }
    : { message: "not a type", expected: mimeTitle }
})

const anySize = sizeFrom(0, Number.MAX_SAFE_INTEGER, "a size such as 0, 512KB, 10MiB or 1GB")

const size = Schema.Struct({
  min: key(anySize, "The smallest."),
  max: key(anySize, "The largest.")
}).annotations({ title: "a map of min and max, such as { min: 1KiB, max: 10MiB }" })

const age = Schema.Struct({
  min: key(duration(), "For how long at least."),
  max: key(duration(), "For how long at most.")
}).annotations({ title: "a map of min and max, such as { min: 1h, max: 7d }" })

const contentTitle = "a text, or a map of text or regex, and within"

const content = Schema.Union(
  text("a text"),
  Schema.Struct({
    text: key(text("a text"), "What stands in it, in any case."),
    regex: key(regex, "An expression that it has a match of."),
    within: key(
      sizeFrom(1, 16 * 1024 * 1024, "a number of characters from 1 to 16MiB"),
      "How many characters from the beginning are looked at.",
      defaults.within
    )
  })
).annotations({ title: contentTitle })

export const extensions = key(
  list(extension, "a list of extensions, such as [pdf, tar.gz]", 1),
  "By the end of the name, in any case. Without it: all files."
)

export const exclude = key(globs, "Globs on the path relative to the source: these files are not taken.")

export const sources = key(
  list(text("the name of a source"), "a list of the names of sources", 1),
  "Only files from these sources, by name."
)

const fields = {
  extensions,
  glob: key(oneOrMore(glob, "a glob, or a list of them"), "On the path relative to the source."),
  regex: key(
    regex,
    "An expression (RE2) that the file's name has a match of. Its named groups are variables of the folder's templates."
  ),
  mime: key(
    oneOrMore(mime, `${mimeTitle}, or a list of these`),
    "What the bytes are, whatever the name says: application/pdf, or image/*."
  ),
  size: key(size, "How large it is."),
  age: key(age, "How long ago its content last changed."),
  content: key(
    content,
    "What stands in the text of the file: of plain text, and of PDF and office documents. As a text: in any case."
  ),
  exclude,
  sources
}

/** Matchers, all of which hold. */
export interface MatchGroup extends Schema.Struct.Type<typeof fields> {
  readonly not?: MatchGroup | ReadonlyArray<MatchGroup>
  readonly any?: ReadonlyArray<MatchGroup>
}

export interface MatchGroupEncoded extends Schema.Struct.Encoded<typeof fields> {
  readonly not?: MatchGroupEncoded | ReadonlyArray<MatchGroupEncoded>
  readonly any?: ReadonlyArray<MatchGroupEncoded>
}

const inner = Schema.suspend((): Schema.Schema<MatchGroup, MatchGroupEncoded> => MatchGroup)

/** What can stand in a group. */
export const matchKeys: ReadonlyArray<string> = [...Object.keys(fields), "not", "any"]

export const MatchGroup = Schema.Struct({
  ...fields,
  not: key(
    oneOrMore(inner, "a map of matchers, or a list of them"),
    "Matchers that must not all hold; of a list, no group may."
  ),
  any: key(list(inner, "a list of maps of matchers", 1), "Groups of matchers, one of which holds at least.")
}).annotations({ title: "a map of matchers, such as { glob: …, size: … }", identifier: "Matchers" })
