/**
 * Why a file goes where it goes: for each rule what it wanted, what the file had, and how that came out.
 */
import { Schema } from "effect"

/** One condition of one rule. */
export interface Predicate {
  /** The key of the config: `extensions`, `mime`; `not`, `any` and `all` have parts. */
  readonly predicate: string
  /** What it wants, in words. */
  readonly wanted: string
  /** What the file has, in words. */
  readonly had: string
  /** Null: it can't be said, because the file is not there, or was not read. */
  readonly matched: boolean | null
  /** What it consists of, each with an outcome of its own. */
  readonly parts?: ReadonlyArray<Predicate>
}

const suspended = Schema.suspend((): Schema.Schema<Predicate> => Predicate).annotations({ identifier: "Predicate" })

export const Predicate: Schema.Schema<Predicate> = Schema.Struct({
  predicate: Schema.String,
  wanted: Schema.String,
  had: Schema.String,
  matched: Schema.NullOr(Schema.Boolean),
  parts: Schema.optionalWith(Schema.Array(suspended), { exact: true })
}).annotations({ identifier: "Predicate" })

/** What the source's own rules say of the file. */
export const SourceVerdict = Schema.Struct({
  name: Schema.String,
  /** The directory. */
  path: Schema.String,
  predicates: Schema.Array(Predicate),
  /** Whether the source takes the file, as far as that can be said. */
  accepted: Schema.Boolean
})
export interface SourceVerdict extends Schema.Schema.Type<typeof SourceVerdict> {}

/** One place to which a folder sends the file. */
export const PlaceVerdict = Schema.Struct({
  /** The final place, without secrets. */
  location: Schema.String,
  /** The folder that already sends the file to the same place, so that this one does not do it again. */
  sameAs: Schema.NullOr(Schema.String),
  /** The path below the target; the template itself, where it holds what is not known of the file. */
  name: Schema.String,
  /** What happens where a file of that name is there already, in words. */
  conflict: Schema.String,
  /** What is done to the file on its way, in words; null: it goes out as it is. */
  transform: Schema.NullOr(Schema.String)
})
export interface PlaceVerdict extends Schema.Schema.Type<typeof PlaceVerdict> {}

/** What one folder says of the file. */
export const FolderVerdict = Schema.Struct({
  name: Schema.String,
  predicates: Schema.Array(Predicate),
  /** Whether all of them hold; null: it can't be said. */
  matched: Schema.NullOr(Schema.Boolean),
  /** Whether it gets the file: of those that match, others may come first. Null: it can't be said. */
  gets: Schema.NullOr(Schema.Boolean),
  /** Why that is not what its own rules say, in one sentence; null: it is. */
  why: Schema.NullOr(Schema.String),
  /** Empty where it does not get the file. */
  locations: Schema.Array(PlaceVerdict)
})
export interface FolderVerdict extends Schema.Schema.Type<typeof FolderVerdict> {}

export const Explanation = Schema.Struct({
  /** The path relative to the source, as readable text. */
  file: Schema.String,
  /** Whether there is such a file. If not, all is said that can be said from its name. */
  exists: Schema.Boolean,
  source: SourceVerdict,
  dispatch: Schema.Literal("all", "first"),
  folders: Schema.Array(FolderVerdict),
  /** Where it ends up for sure; empty where the source does not take it, or no folder wants it. */
  locations: Schema.Array(Schema.String),
  /** Whether these are all; if not, some folder's answer is null. */
  decided: Schema.Boolean,
  /** When its age alone may bring it to one more folder, in milliseconds since the epoch; null: never. */
  until: Schema.NullOr(Schema.Number),
  /** The whole in one sentence. */
  summary: Schema.String
})
export interface Explanation extends Schema.Schema.Type<typeof Explanation> {}
