/**
 * What a file's bytes say: its type, its text, its hash. Each is read when it is first asked for, and once per file.
 */
import { Context, Data, type Effect } from "effect"
import type { Found } from "../domain/Generation.ts"

/** The file could not be read, or is no longer the one that was found: it is to be looked at again. */
export class FactsError extends Data.TaggedError("FactsError")<{
  readonly file: string
  /** One line for people: what happened, and what to do. */
  readonly reason: string
}> {
  override get message() {
    return this.reason
  }
}

/** The text of a file, or why there is none. A document that lies about its type, is encrypted or broken is no error. */
export type Text =
  | {
      readonly _tag: "Text"
      /** At most as many characters as were asked for. */
      readonly text: string
      /** Whether there is more of it. */
      readonly cut: boolean
    }
  /** As the end of a sentence: "it is an encrypted PDF", "it is not text (image/png)". */
  | { readonly _tag: "NoText"; readonly why: string }

/** One file, opened lazily. */
export interface Bytes {
  /** What the bytes are, lower case, without parameters: `application/pdf`, `text/plain`; null: nobody can say. */
  readonly mime: Effect.Effect<string | null, FactsError>
  /** The first `length` characters of its text, also of a document's. */
  readonly text: (length: number) => Effect.Effect<Text, FactsError>
  /** Of the whole file, in hex. */
  readonly sha256: Effect.Effect<string, FactsError>
}

export class FileFacts extends Context.Tag("filedispatch/files/FileFacts")<
  FileFacts,
  {
    /** `source`: the directory, absolute. Opens nothing yet; what was read is remembered for as long as this is held. */
    readonly of: (source: string, file: Found) => Bytes
  }
>() {}
