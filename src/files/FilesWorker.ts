/**
 * The file system in worker threads: one that looks (scans, stats, disposals), and some for each copier.
 */
import { Effect, Exit, Layer, Option, Stream, type Scope } from "effect"
import { readFileSync } from "node:fs"
import { lstat } from "node:fs/promises"
import { Worker } from "node:worker_threads"
import type { RelPath } from "../domain/RelPath.ts"
import type { Source } from "../domain/Settings.ts"
import { smallFile } from "./copy.ts"
import { copyPaced, type Parts } from "./copyPaced.ts"
import { toFilesError } from "./FilesDirect.ts"
import { Files, FilesError, type Copier, type CopyJob, type CopyResult } from "./Files.ts"
import { below, fsPath, parent } from "./names.ts"
import type { Operation, Operations, Reply } from "./protocol.ts"
import { workerUrl } from "./workerUrl.ts"

export const layer: Layer.Layer<Files> = Layer.scoped(
  Files,
  Effect.gen(function* () {
    const looker = yield* thread
    return Files.of({
      scan: (options) =>
        Stream.acquireRelease(looker.call("scanOpen", options), (scan) =>
          Effect.ignoreLogged(looker.call("scanClose", { scan }))
        ).pipe(
          Stream.flatMap((scan) =>
            Stream.repeatEffectOption(
              looker.call("scanNext", { scan }).pipe(
                Effect.mapError(Option.some),
                Effect.flatMap((batch) =>
                  batch === null
                    ? Effect.fail(Option.none())
                    : Effect.succeed({ found: batch.found, failed: batch.failed.map(toFilesError) })
                )
              )
            )
          )
        ),
      look: (root: string, paths: ReadonlyArray<RelPath>, symlinks: Source["symlinks"] = "skip") =>
        looker.call("look", { root, paths, symlinks }),
      identity: (directory) => looker.call("identity", { directory }),
      copier: makeCopier,
      remove: (job) => looker.call("remove", { job }),
      archive: (job, to) => looker.call("archive", { job, to }),
      expire: (file, sync) => looker.call("expire", { file, sync }),
      // files may be read for it, which is not to hold up the looks at others
      checkUndo: (job) => Effect.scoped(Effect.flatMap(thread, (own) => own.call("checkUndo", { job }))),
      undo: (job) => Effect.scoped(Effect.flatMap(thread, (own) => own.call("undo", { job })))
    })
  })
)

/** A worker thread to ask. */
interface Thread {
  readonly call: <Name extends Operation>(
    operation: Name,
    input: Operations[Name]["in"]
  ) => Effect.Effect<Operations[Name]["out"], FilesError>
  readonly send: <Name extends Operation>(
    operation: Name,
    input: Operations[Name]["in"],
    done: (exit: Exit.Exit<Operations[Name]["out"], FilesError>) => void
  ) => void
}

const thread: Effect.Effect<Thread, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => startWorker()),
    (worker) => Effect.promise(() => worker.stop())
  ),
  ({ send }) => ({
    send,
    call: (operation, input) => Effect.async((resume) => send(operation, input, (exit) => resume(exit)))
  })
)

const startWorker = (): { readonly send: Thread["send"]; readonly stop: () => Promise<unknown> } => {
  const waiting = new Map<number, (reply: Reply) => void>()
  let last = 0
  /** Started when it is first needed: eight of them for one file would cost more than the file. */
  let worker: Worker | undefined

  function start(): Worker {
    const next = new Worker(workerUrl("files/worker"), { stdin: false, name: "files" })
    next.on("message", (reply: Reply) => {
      const done = waiting.get(reply.id)
      waiting.delete(reply.id)
      done?.(reply)
    })
    next.on("error", (error) => fail(next, error.message))
    next.on("exit", (code) => fail(next, `the worker thread ended with code ${code}`))
    // whether the process lives is for its main thread to say
    next.unref()
    return next
  }

  /** An error comes before the end. Another one is started for the next call: what ended this one may last. */
  function fail(ended: Worker, reason: string): void {
    if (worker !== ended) return
    worker = undefined
    for (const [id, done] of waiting) {
      done({ id, fault: { operation: "worker", path: "", code: "WORKER", reason } })
    }
    waiting.clear()
  }

  return {
    send: <Name extends Operation>(
      operation: Name,
      input: Operations[Name]["in"],
      done: (exit: Exit.Exit<Operations[Name]["out"], FilesError>) => void
    ) => {
      last += 1
      waiting.set(last, (reply) =>
        done("fault" in reply ? Exit.fail(new FilesError(reply.fault)) : Exit.succeed(answerOf<Name>(reply.value)))
      )
      worker ??= start()
      worker.postMessage({ id: last, operation, input })
    },
    stop: () => worker?.terminate() ?? Promise.resolve()
  }
}

/** The worker answers each operation with its own type: both ends are compiled from `Operations`. */
const answerOf = <Name extends Operation>(value: unknown): Operations[Name]["out"] => value as Operations[Name]["out"]

/**
 * Small files go to a thread many at a time; each batch costs one hop and shares its directory syncs. A large file is
 * staged by one thread while another takes its hash.
 */
const makeCopier = (threads: number): Effect.Effect<Copier, never, Scope.Scope> =>
  Effect.gen(function* () {
    const idle: Array<Thread> = []
    for (let count = 0; count < (fewDescriptors ? 1 : Math.max(threads, 2)); count++) {
      const one = yield* thread
      // two places each, so that a thread has its next work at hand while the main one still takes in the last
      idle.push(one)
      idle.unshift(one)
    }
    const waiting: Array<(thread: Thread) => void> = []

    const call = <Name extends Operation>(
      operation: Name,
      input: Operations[Name]["in"]
    ): Effect.Effect<Operations[Name]["out"], FilesError> =>
      Effect.async((resume) => {
        const start = (free: Thread): void =>
          free.send(operation, input, (exit) => {
            const next = waiting.shift()
            if (next === undefined) idle.push(free)
            else next(free)
            resume(exit)
          })
        const free = idle.pop()
        if (free === undefined) waiting.push(start)
        else start(free)
        return Effect.sync(() => forget(waiting, start))
      })

    const copyAll = (jobs: ReadonlyArray<CopyJob>): Effect.Effect<ReadonlyArray<CopyResult>> =>
      Effect.catchAll(call("copyAll", { jobs }), (error) => Effect.succeed(jobs.map(() => broken(error))))

    const copySmall = (job: CopyJob): Effect.Effect<CopyResult> =>
      Effect.map(copyAll([job]), ([result]) => result ?? lost)

    const copyLarge = (job: CopyJob, told: (bytes: number) => void): Effect.Effect<CopyResult> =>
      Effect.gen(function* () {
        let seen = 0
        const progress = (bytes: number): void => {
          seen += bytes
          told(bytes)
        }
        const [staged, sha256] = yield* Effect.all(
          [
            call("stage", { job }),
            // a move reads nothing, so there is nothing to hash
            job.move ? Effect.succeed(null) : call("hash", { root: job.root, path: job.path, stamp: job.stamp })
          ],
          { concurrency: 2 }
        ).pipe(Effect.raceFirst(watchGrowth(job, progress)))
        if (staged._tag !== "Staged") return staged
        progress(sizeOf(job) - seen)
        return yield* call("publish", { job, staged: { ...staged, sha256: sha256 ?? staged.sha256 } })
      }).pipe(Effect.catchAll((error) => Effect.succeed(broken(error))))

    const parts: Parts<FilesError> = {
      prepare: (job) => call("prepare", { job }),
      step: (job, offset, length) => call("step", { job, offset, length }),
      hash: (job) => call("hash", { root: job.root, path: job.path, stamp: job.stamp }),
      publish: (job, staged) => call("publish", { job, staged })
    }

    return {
      copy: (job, progress, pace) =>
        pace !== undefined
          ? Effect.catchAll(copyPaced(parts, job, progress, pace), (error) => Effect.succeed(broken(error)))
          : sizeOf(job) > smallFile
            ? copyLarge(job, progress)
            : Effect.tap(copySmall(job), (result) =>
                Effect.sync(() => {
                  if (result._tag === "Done") progress(result.receipt.bytes)
                })
              ),
      copyAll,
      recover: (job) => call("recover", { job }),
      discard: (job) => call("discard", { job }),
      examine: (places) => call("examine", { places })
    }
  })

/** Each thread takes some descriptors: where there are few, the files need them. */
const fewDescriptors: boolean = (() => {
  try {
    const [, limit] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? []
    return limit !== undefined && Number(limit) < 256
  } catch {
    // not Linux
    return false
  }
})()

const broken = (error: FilesError): CopyResult => ({
  _tag: "Failed",
  fault: { kind: "transient", reason: error.reason }
})

const lost: CopyResult = {
  _tag: "Failed",
  fault: { kind: "transient", reason: "The thread that copied ended before it answered" }
}

const sizeOf = (job: CopyJob): number => Number(job.stamp.split(":")[2])

const forget = <A>(list: Array<A>, entry: A): void => {
  const index = list.indexOf(entry)
  if (index >= 0) list.splice(index, 1)
}

/** The kernel copies in one call and tells nothing meanwhile; the size of the temp file does. Never ends by itself. */
const watchGrowth = (job: CopyJob, progress: (bytes: number) => void): Effect.Effect<never> => {
  const temp = fsPath(below(parent(below(job.target, job.chosen ?? job.name)), job.temp))
  let seen = 0
  return Effect.promise(() => lstat(temp).catch(() => undefined)).pipe(
    Effect.map((stat) => {
      const size = stat?.size ?? 0
      if (size > seen) progress(size - seen)
      seen = Math.max(seen, size)
    }),
    Effect.delay("500 millis"),
    Effect.forever
  )
}
