/**
 * What a folder's matchers ask of a file. A rule is plain data without secrets, so that the journal can keep those by
 * which a file was once judged.
 */
import { Schema } from "effect"

/** Inclusive bounds; null: none on that side. */
const Range = { min: Schema.NullOr(Schema.Number), max: Schema.NullOr(Schema.Number) }

const Simple = Schema.Union(
  /** The name ends in one of these: lower case, without a leading dot. */
  Schema.TaggedStruct("Extensions", { extensions: Schema.Array(Schema.String) }),
  /** The path relative to the source matches one of these. */
  Schema.TaggedStruct("Glob", { globs: Schema.Array(Schema.String) }),
  /** The path relative to the source matches none of these. */
  Schema.TaggedStruct("Exclude", { globs: Schema.Array(Schema.String) }),
  /** The file is from one of these sources, by name. */
  Schema.TaggedStruct("Sources", { sources: Schema.Array(Schema.String) }),
  /** The file's name has a match of this expression (RE2); its named groups are variables of templates. */
  Schema.TaggedStruct("Regex", { pattern: Schema.String }),
  /** Bytes. */
  Schema.TaggedStruct("Size", Range),
  /** Milliseconds since the last change of the content. */
  Schema.TaggedStruct("Age", Range),
  /** What the bytes are: `image/png`, or `image/*`; lower case. */
  Schema.TaggedStruct("Mime", { types: Schema.Array(Schema.String) }),
  /**
   * The text has it: as it stands, in any case (`text`), or as a match of an expression (RE2), whose named groups are
   * variables of templates. `within`: how many characters from the beginning are looked at.
   */
  Schema.TaggedStruct("Content", {
    text: Schema.NullOr(Schema.String),
    pattern: Schema.NullOr(Schema.String),
    within: Schema.Int
  })
)

export type Rule =
  | typeof Simple.Type
  | { readonly _tag: "All"; readonly rules: ReadonlyArray<Rule> }
  | { readonly _tag: "Any"; readonly rules: ReadonlyArray<Rule> }
  | { readonly _tag: "Not"; readonly rule: Rule }

const suspended = Schema.suspend((): Schema.Schema<Rule> => Rule)

export const Rule: Schema.Schema<Rule> = Schema.Union(
  ...Simple.members,
  Schema.TaggedStruct("All", { rules: Schema.Array(suspended) }),
  Schema.TaggedStruct("Any", { rules: Schema.Array(suspended) }),
  Schema.TaggedStruct("Not", { rule: suspended })
)
