/**
 * What was learnt of a file beyond its name and its times: by reading it, and by the matches of expressions. It stays
 * with the generation, so that a retry, a template and an explanation need not read the file again.
 */
import { Schema } from "effect"

export const Facts = Schema.Struct({
  /** What the bytes are, lower case, without parameters; null where nobody asked, or nobody can say. */
  mime: Schema.NullOr(Schema.String),
  /** Hex; null where nobody asked. */
  sha256: Schema.NullOr(Schema.String),
  /** The named groups of the expressions that matched, by name; of one route. */
  groups: Schema.Record({ key: Schema.String, value: Schema.String }),
  /** The number that the file has in its route; null where no template asks. */
  counter: Schema.NullOr(Schema.Int)
})
export interface Facts extends Schema.Schema.Type<typeof Facts> {}

export const noFacts: Facts = { mime: null, sha256: null, groups: {}, counter: null }
