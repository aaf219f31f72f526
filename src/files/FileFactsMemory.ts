/**
 * Facts that a test gives, by the path below the source; of other files nothing is known.
 */
import { Effect, Layer } from "effect"
import type { Found } from "../domain/Generation.ts"
import { FactsError, FileFacts, type Bytes } from "./FileFacts.ts"
import { clip } from "./facts/encoding.ts"

export interface Given {
  readonly mime?: string | null
  readonly text?: string
  readonly sha256?: string
  /** The file can't be read, for this reason. */
  readonly fault?: string
}

/** `reads` gets the path and what is asked, each time. */
export const layer = (
  files: Readonly<Record<string, Given>>,
  reads: (path: string, what: "mime" | "text" | "sha256") => void = () => undefined
): Layer.Layer<FileFacts> =>
  Layer.succeed(FileFacts, FileFacts.of({ of: (_, file) => bytesOf(file, files[file.path] ?? {}, reads) }))

const bytesOf = (file: Found, given: Given, reads: (path: string, what: "mime" | "text" | "sha256") => void): Bytes => {
  const answer = <A>(what: "mime" | "text" | "sha256", value: A): Effect.Effect<A, FactsError> =>
    Effect.suspend(() => {
      reads(file.path, what)
      return given.fault === undefined
        ? Effect.succeed(value)
        : Effect.fail(new FactsError({ file: file.path, reason: given.fault }))
    })
  return {
    mime: answer("mime", given.mime ?? null),
    text: (length) =>
      given.text === undefined
        ? answer("text", { _tag: "NoText", why: `it is not text (${given.mime ?? "of a type that nobody knows"})` })
        : answer("text", { _tag: "Text", ...clip(given.text, length, false) }),
    sha256: answer("sha256", given.sha256 ?? "0".repeat(64))
  }
}
