/**
 * Files that were to stay in their source, and that somebody has removed since: the journal need not know them for ever.
 *
 * A disk that is not mounted looks as if all were gone. So a file counts as gone only where the nearest directory that
 * is left of its path lies on the same device as the file did: what comes back with its disk is known, and not sent
 * again.
 */
import { Array, Effect, Either, type Context } from "effect"
import type { Generation } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Files } from "../files/Files.ts"
import type { Journal, JournalError } from "../store/Journal.ts"

type FilesService = Pick<Context.Tag.Service<typeof Files>, "look" | "identity">
type JournalService = Pick<Context.Tag.Service<typeof Journal>, "aged" | "disposed">

/**
 * Marks those whose deliveries were over before `before`, in milliseconds since the epoch, as gone, for the journal's
 * next pruning; answers how many.
 */
export const sweep = (
  files: FilesService,
  journal: JournalService,
  before: number
): Effect.Effect<number, JournalError> =>
  Effect.gen(function* () {
    let gone = 0
    for (let from: number | null = 0; from !== null;) {
      const page: { readonly generations: ReadonlyArray<Generation>; readonly next: number | null } =
        yield* journal.aged(before, from)
      for (const [source, generations] of Object.entries(Array.groupBy(page.generations, (one) => one.source))) {
        const vanished = yield* vanishedOf(files, source, generations)
        if (vanished.length > 0) yield* journal.disposed(vanished.map(({ id }) => ({ id, note: null })))
        gone += vanished.length
      }
      from = page.next
    }
    return gone
  })

const vanishedOf = (files: FilesService, source: string, generations: ReadonlyArray<Generation>) =>
  Effect.gen(function* () {
    const looked = yield* Effect.either(
      files.look(
        source,
        generations.map(({ path }) => path),
        "follow"
      )
    )
    // what can't be looked at may be there
    if (Either.isLeft(looked)) return []
    const absent = generations.filter((_, index) => looked.right[index] === null)
    const devices = new Map<string, string | null>()
    return yield* Effect.filter(absent, ({ path, stamp }) =>
      Effect.map(deviceOf(files, source, RelPath.dirname(path), devices), (device) => device === deviceIn(stamp))
    )
  })

/** The device of the nearest directory that is there, not above the source; null where there is none. */
const deviceOf = (
  files: FilesService,
  source: string,
  directory: RelPath.RelPath,
  known: Map<string, string | null>
): Effect.Effect<string | null> =>
  Effect.gen(function* () {
    const found = known.get(directory)
    if (found !== undefined) return found
    const identity = yield* Effect.option(files.identity(directory === "" ? source : `${source}/${directory}`))
    const device =
      identity._tag === "Some"
        ? deviceIn(identity.value)
        : directory === ""
          ? null
          : yield* deviceOf(files, source, RelPath.dirname(directory), known)
    known.set(directory, device)
    return device
  })

/** A stamp and the identity of a directory both begin with it. */
const deviceIn = (text: string): string => text.slice(0, text.indexOf(":"))
