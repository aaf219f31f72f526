/** The process of the standing oracles: see oracles.ts. */
import { Effect, Exit, Scope } from "effect"
import { startS3Server } from "../servers/s3.ts"
import { sha256 } from "./manifest.ts"
import type { Answer, Order, Status, Watched } from "./oracles.ts"
import { startSink } from "./oraclesSink.ts"
import { Watch } from "./oraclesWatch.ts"

/** How often everything is looked at, though nothing has told that it changed. In milliseconds. */
const interval = 250

const say = (answer: Answer): void => {
  process.send?.(answer)
}

const scope = Effect.runSync(Scope.make())
const s3 = await Effect.runPromise(startS3Server().pipe(Scope.extend(scope)))
/** What came before anybody told what to watch waits for nobody: there is nothing yet. */
let watch: Watch | undefined
const sink = await startSink((path, hash) => watch?.stored("http", path, hash))
const objects = new Map<string, string>()
const keep = s3.objects.set.bind(s3.objects)
s3.objects.set = (key, object) => {
  const hash = sha256(object.bytes)
  objects.set(key, hash)
  watch?.stored("s3", key, hash)
  return keep(key, object)
}

let last = ""
const tell = (status: Status): void => {
  const text = JSON.stringify(status)
  if (text !== last) say({ is: "status", ...status })
  last = text
}

const statusOf = (watch: Watch): Status => {
  const { gone, sightings, underWay } = watch
  return { sightings, gone, underWay: Math.max(underWay, sink.underWay()) }
}

const run = async (watched: Watched): Promise<never> => {
  const standing = new Watch(watched, { http: sink.files, s3: objects })
  watch = standing
  await standing.all()
  say({ is: "watching" })
  for (let full = Date.now(); ;) {
    await standing.news(interval)
    if (Date.now() - full >= interval) {
      await standing.all()
      full = Date.now()
    } else await standing.changes()
    tell(statusOf(standing))
  }
}

const report = async (): Promise<void> => {
  if (watch === undefined) throw new Error("Nothing is watched")
  await watch.all()
  say({
    is: "report",
    ...statusOf(watch),
    violations: watch.violations(),
    broken: sink.broken(),
    puts: sink.puts() + s3.count("PutObject") + s3.count("UploadPart"),
    held: watch.held(),
    unfinished: s3.uploads.size
  })
}

/** Ends this process, with what is wrong, so that nobody takes silence for a good sign. */
const fail = (error: unknown): void => {
  setImmediate(() => {
    throw error
  })
}

process.on("message", (order: Order) => {
  if (order.do === "watch") run(order.watched).catch(fail)
  else report().catch(fail)
})
process.once("disconnect", () => {
  Effect.runPromise(Scope.close(scope, Exit.void)).then(() => process.exit(0), fail)
})
say({ is: "ready", http: sink.port, s3: s3.port })
