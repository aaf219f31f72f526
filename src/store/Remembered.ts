/**
 * The files that the journal knows, for questions of what would become of them by other rules, without the files
 * themselves: their names, sizes and times, and what was learnt of them when they were routed.
 */
import { Effect, Option, Stream, type Context } from "effect"
import type { Facts } from "../domain/Facts.ts"
import { Stamp, type Found } from "../domain/Generation.ts"
import { FactsError, type Bytes } from "../files/FileFacts.ts"
import type { Deliveries, Routed } from "./Deliveries.ts"
import type { JournalError } from "./Journal.ts"

/** A file as it was; its stamp says nothing. */
export interface Remembered {
  /** The source's directory, absolute. */
  readonly directory: string
  readonly found: Found
  /** What is known of its content; asked further, it fails. */
  readonly bytes: Bytes
}

/** The newest first, page by page; at most `limit` of them. */
export const stream = (
  deliveries: Pick<Context.Tag.Service<typeof Deliveries>, "routed">,
  limit = Number.POSITIVE_INFINITY
): Stream.Stream<Remembered, JournalError> =>
  Stream.paginateEffect(start(limit), ({ before, left }) =>
    Effect.map(deliveries.routed({ before, limit: Math.min(left, pageSize) }), (page) => {
      const last = page.at(-1)
      const rest = left - page.length
      return [
        page.map(remember),
        last === undefined || rest <= 0 || page.length < pageSize
          ? Option.none()
          : Option.some({ before: last.id, left: rest })
      ]
    })
  ).pipe(Stream.flattenIterables)

/** What was learnt of a file is all that can be said of its content now. */
export const bytesOf = (file: string, known: ReadonlyArray<Facts | null>): Bytes => {
  const fail = (what: string) => new FactsError({ file, reason: `the journal has not kept ${what}` })
  const mime = known.find((facts) => facts !== null && facts.mime !== null)?.mime
  const sha256 = known.find((facts) => facts !== null && facts.sha256 !== null)?.sha256
  return {
    mime: mime === undefined ? fail("its type") : Effect.succeed(mime),
    text: () => fail("its text"),
    sha256: sha256 === undefined || sha256 === null ? fail("its hash") : Effect.succeed(sha256)
  }
}

const pageSize = 1000

interface Cursor {
  readonly before: Routed["id"] | undefined
  readonly left: number
}

const start = (left: number): Cursor => ({ before: undefined, left })

const remember = ({ born, deliveries, mtime, path, size, source }: Routed): Remembered => ({
  directory: source,
  found: { path, stamp: unknownStamp, size, mtime, born },
  bytes: bytesOf(
    path,
    deliveries.map(({ facts }) => facts)
  )
})

const unknownStamp = Stamp.make("0:0:0:0:0")
