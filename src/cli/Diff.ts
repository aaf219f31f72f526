/**
 * `filedispatch diff`: the same files through two configs. Touches nothing: no database is made, no lock is taken.
 */
import { Effect, Stream } from "effect"
import { existsSync } from "node:fs"
import { resolve } from "node:path"
import type { Found } from "../domain/Generation.ts"
import type { Settings } from "../domain/Settings.ts"
import { FileFacts, type Bytes } from "../files/FileFacts.ts"
import * as FileFactsLive from "../files/FileFactsLive.ts"
import { scan } from "../files/FilesDirect.ts"
import * as Diff from "../route/Diff.ts"
import type { Given } from "./DiffCommand.ts"
import { Failure, from as failureOf, usage } from "./Failure.ts"
import { load } from "./Load.ts"
import * as Output from "./Output.ts"

export const diff = Effect.fn("Diff.diff")(function* (given: Given) {
  const { from: oldFile, to: newFile } = given
  if (oldFile === undefined || newFile === undefined) {
    return yield* usage("Which configs? Name both: diff --from OLD --to NEW", "diff")
  }
  if (given.log && given.directories.length > 0) {
    return yield* usage("--log and a DIR exclude each other.", "diff")
  }
  const before = yield* load(oldFile, { noHttp: true })
  const after = yield* load(newFile, { noHttp: true })
  yield* warnOfStrangers(before, after)
  const facts = yield* FileFacts
  const files = given.log ? yield* remembered(given.db ?? before.db, facts) : present(given, before, after, facts)
  const print = given.json ? json() : text
  yield* print.begin
  const summary = yield* Diff.summarize(Diff.compile(before, after), files, {
    change: print.change,
    undecided: (file, reason) => Output.note(`warning: ${file} can't be judged: ${reason}`)
  }).pipe(Effect.mapError(failureOf))
  yield* print.end(summary)
  yield* Output.note(`${Diff.describe(summary)}. Nothing was done.`)
  const changes = summary.elsewhere + summary.dropped + summary.new
  return given.exitCode && changes > 0 ? 1 : 0
}, Effect.provide(FileFactsLive.layer))

type Facts = typeof FileFacts.Service

/** Those that the journal knows. Where a rule asks for what was not kept of one, it is read, if it still is what it was. */
const remembered = (file: string, facts: Facts): Effect.Effect<Stream.Stream<Diff.Seen, Failure>, Failure> =>
  Effect.gen(function* () {
    if (!existsSync(file)) {
      return yield* new Failure({ code: 1, message: `There is nothing to replay: ${file} does not exist.` })
    }
    const [{ layer }, Remembered, { Deliveries }, { look }] = yield* Effect.promise(() =>
      Promise.all([
        import("./ReadOnly.ts"),
        import("../store/Remembered.ts"),
        import("../store/Deliveries.ts"),
        import("../files/scan.ts")
      ])
    )
    const live = (directory: string, { mtime, path, size }: Found): Bytes | null => {
      try {
        const [found] = look(directory, [path])
        return found && found.size === size && found.mtime === mtime ? facts.of(directory, found) : null
      } catch {
        return null
      }
    }
    const now = Date.now()
    return Stream.unwrap(Effect.map(Deliveries, (deliveries) => Remembered.stream(deliveries))).pipe(
      Stream.map(({ bytes, directory, found }): Diff.Seen => ({
        directory,
        found,
        now,
        bytes: () => either(bytes, live(directory, found))
      })),
      Stream.provideLayer(layer(file)),
      Stream.mapError(failureOf)
    )
  })

/** What the first knows; what it does not, the second says. */
const either = (first: Bytes, second: Bytes | null): Bytes =>
  second === null
    ? first
    : {
        mime: Effect.orElse(first.mime, () => second.mime),
        text: (length) => Effect.orElse(first.text(length), () => second.text(length)),
        sha256: Effect.orElse(first.sha256, () => second.sha256)
      }

/** The files that are there now, each once, however many sources it lies in. */
const present = (
  { directories }: Given,
  before: Settings,
  after: Settings,
  facts: Facts
): Stream.Stream<Diff.Seen, Failure> => {
  const named = directories.map(
    (directory) => ({ path: resolve(directory), recursive: true, symlinks: "skip" }) as const
  )
  const roots = named.length > 0 ? named : [...before.sources, ...after.sources]
  return Stream.fromIterable(roots.map((root, index) => ({ root, earlier: roots.slice(0, index) }))).pipe(
    Stream.flatMap(({ earlier, root: { path: directory, recursive, symlinks } }) => {
      if (earlier.some((one) => one.path === directory && (one.recursive || !recursive))) return Stream.empty
      const others = earlier.map((one) => ({ ...one, prefix: one.path.endsWith("/") ? one.path : `${one.path}/` }))
      const prefix = directory.endsWith("/") ? directory : `${directory}/`
      /** Whether it was among those of an earlier root. */
      const isKnown = (path: string): boolean =>
        others.some(
          (one) =>
            `${prefix}${path}`.startsWith(one.prefix) &&
            (one.recursive || !`${prefix}${path}`.slice(one.prefix.length).includes("/"))
        )
      return scan({ root: directory, recursive, symlinks }).pipe(
        Stream.tap(({ failed }) =>
          Effect.forEach(failed, (error) => Output.note(`warning: ${error.message}`), { discard: true })
        ),
        Stream.map(({ found }) => {
          const now = Date.now()
          return found
            .filter(({ path }) => !isKnown(path))
            .map((file): Diff.Seen => ({ directory, found: file, now, bytes: () => facts.of(directory, file) }))
        }),
        Stream.flattenIterables,
        Stream.catchTag("FilesError", (error) =>
          // a source may come later; a directory that was named is meant
          named.length > 0
            ? new Failure({ code: 1, message: error.message })
            : Stream.drain(Stream.fromEffect(Output.note(`warning: ${error.message}`)))
        )
      )
    })
  )
}

/** Relative paths begin where their config lies: a copy elsewhere has other sources. */
const warnOfStrangers = (before: Settings, after: Settings): Effect.Effect<void> =>
  before.sources.some(({ path }) => after.sources.some((source) => source.path === path))
    ? Effect.void
    : Output.note(
        `warning: ${before.file} and ${after.file} have no source in common. Relative paths begin at each config's own directory.`
      )

const text = {
  begin: Effect.void,
  change: (change: Diff.Change) => Output.line(`${change.kind.padEnd(9)}  ${Diff.line(change)}`),
  end: () => Effect.void
}

const json = () => {
  let first = true
  return {
    begin: Output.raw('{"changes":['),
    change: (change: Diff.Change) =>
      Effect.suspend(() => {
        const separator = first ? "\n" : ",\n"
        first = false
        return Output.raw(`${separator}${JSON.stringify(change)}`)
      }),
    end: (summary: Diff.Summary) =>
      // the examples are among the changes
      Output.line(`\n],"summary":${JSON.stringify({ ...summary, examples: undefined })}}`)
  }
}
