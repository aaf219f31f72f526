/**
 * Why a file goes where it goes: for each rule what it wanted, what the file had, and how that came out.
 */
import { Schema } from "effect"

/** One condition of one rule. */
export const Predicate = Schema.Struct({
  /** The key of the config: `extensions`. */
  predicate: Schema.String,
  /** What it wants, in words. */
  wanted: Schema.String,
  /** What the file has, in words. */
  had: Schema.String,
  matched: Schema.Boolean
})
export interface Predicate extends Schema.Schema.Type<typeof Predicate> {}

/** What the source's own rules say of the file. */
export const SourceVerdict = Schema.Struct({
  name: Schema.String,
  /** The directory. */
  path: Schema.String,
  predicates: Schema.Array(Predicate),
  /** Whether the source takes the file at all. */
  accepted: Schema.Boolean
})
export interface SourceVerdict extends Schema.Schema.Type<typeof SourceVerdict> {}

/** What one folder says of the file. */
export const FolderVerdict = Schema.Struct({
  name: Schema.String,
  predicates: Schema.Array(Predicate),
  matched: Schema.Boolean,
  /** The final places, without secrets; empty where it does not match. */
  locations: Schema.Array(
    Schema.Struct({
      location: Schema.String,
      /** The folder that already sends the file to the same place, so that this one does not do it again. */
      sameAs: Schema.NullOr(Schema.String)
    })
  )
})
export interface FolderVerdict extends Schema.Schema.Type<typeof FolderVerdict> {}

export const Explanation = Schema.Struct({
  /** The path relative to the source, as readable text. */
  file: Schema.String,
  source: SourceVerdict,
  folders: Schema.Array(FolderVerdict),
  /** Where it ends up; empty where the source does not take it, or no folder wants it. */
  locations: Schema.Array(Schema.String),
  /** The whole in one sentence. */
  summary: Schema.String
})
export interface Explanation extends Schema.Schema.Type<typeof Explanation> {}
