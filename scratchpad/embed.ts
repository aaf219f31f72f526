/**
 * filedispatch inside another Effect app, with a destination of the app's own: `memo://` takes notes.
 *
 *     npx esbuild scratchpad/embed.ts --bundle --platform=node --format=esm --packages=external \
 *       --outfile=dist/embed.js && node dist/embed.js
 */
import { Context, Effect, Layer, Option, Stream } from "effect"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { App, Config, Destination, Dispatcher, LogRepo, SourceReader, type Receipt } from "../src/index.ts"

/** A destination that keeps texts in a map, by their path. */
const memo = (notes: Map<string, string>): Destination.Destination => ({
  schemes: ["memo"],
  protocol: "memo",
  worker: "Memo worker",
  conflicts: ["overwrite"],
  open: () =>
    Effect.succeed({
      deliver: ({ delivery: { generation, name, target }, progress }) =>
        Effect.gen(function* () {
          const reader = yield* SourceReader.open(generation)
          const body = reader.stream({ progress })
          const chunks = yield* Effect.promise(() => body.toArray()).pipe(
            // the file is the only thing that can fail here: it says why
            Effect.catchAllDefect((defect) =>
              Option.match(reader.failure(), { onNone: () => Effect.die(defect), onSome: Effect.fail })
            )
          )
          const { bytes, sha256 } = yield* reader.finish
          notes.set(`${target.path}/${name}`, Buffer.concat(chunks).toString("utf8"))
          return { bytes, sha256, said: "noted", verified: "hash", name } satisfies Receipt
        }).pipe(Effect.scoped),
      // a note that is taken twice is the same note
      recover: () => Effect.succeed(Option.none())
    })
})

/** Delivers one file, and answers what the destination got and what the log says. */
export const program = Effect.gen(function* () {
  const directory = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "filedispatch-embed-"))),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  )
  const config = join(directory, "config.yml")
  yield* Effect.promise(async () => {
    await mkdir(join(directory, "inbox"))
    await writeFile(
      config,
      [
        "sources: [{ path: ./inbox, settle: 50ms }]",
        "folders: [{ path: memo://desk/notes, extensions: [txt] }]",
        "db: ./journal.db"
      ].join("\n")
    )
  })

  const settings = yield* Config.load(config, { schemes: { memo: ["overwrite"] } })
  const notes = new Map<string, string>()
  const services = yield* Layer.build(
    App.layer({
      settings,
      webapp: false,
      monitor: false,
      destinations: Destination.layer(Effect.succeed(memo(notes)))
    })
  )
  const dispatcher = Context.get(services, Dispatcher)
  const delivered = yield* Effect.fork(Stream.runHead(dispatcher.events))
  yield* Effect.yieldNow()

  yield* Effect.promise(() => writeFile(join(directory, "inbox", "hello.txt"), "Hello from another app"))
  const event = yield* Effect.raceFirst(delivered, dispatcher.join)
  const page = yield* Context.get(services, LogRepo).query({ filter: {}, order: "-created", limit: 10 })
  return {
    notes,
    event: Option.getOrUndefined(event),
    log: Option.match(page, { onNone: () => [], onSome: ({ entries }) => entries })
  }
}).pipe(Effect.scoped)

// run by itself, and not imported
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { event, log, notes } = await Effect.runPromise(program)
  for (const [name, text] of notes) console.log(`${name}: ${text}`)
  console.log(`${event?.state} ${event?.file} -> ${event?.destination}`)
  for (const entry of log) console.log(`${entry.status} ${entry.filename} by the ${entry.worker}, ${entry.size}`)
}
