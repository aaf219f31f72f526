/**
 * Transforms files in worker threads, because some of it is computing that would hold up everything else; on the spot
 * where the program runs from its TypeScript, for which there are no worker threads.
 */
import { Effect, Schedule, type Scope } from "effect"
import { availableParallelism } from "node:os"
import { Worker } from "node:worker_threads"
import * as RelPath from "../../domain/RelPath.ts"
import { below } from "../../files/names.ts"
import { workerUrl } from "../../files/workerUrl.ts"
import type { Found, Job, Made, Reply, Request, Result } from "./job.ts"
import * as spoolFile from "./spoolFile.ts"

export interface Transformer {
  /** Interruption stops it; its temp file is removed soon after. `beat` is called again and again while it goes on. */
  readonly make: (job: Job, beat: () => void) => Effect.Effect<Result>
  /** See {@link spoolFile.prove}. */
  readonly prove: (found: Found, beat: () => void) => Effect.Effect<Made | null>
}

/** Everything on the calling thread. */
export const direct: Transformer = {
  make: (job, beat) => Effect.promise((signal) => spoolFile.make(job, beat, signal)),
  prove: (found, beat) => Effect.promise(() => spoolFile.prove(found, beat))
}

/** A thread without work is ended after so long, in milliseconds. */
const idleFor = 60_000

/** As many threads as there are processors, started as they are needed; `url`: the compiled entry. */
export const inWorkers = (
  url: () => URL = () => workerUrl("deliver/transform/transformWorker")
): Effect.Effect<Transformer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const threads: Array<Thread> = []
    const most = Math.max(2, Math.min(availableParallelism(), 8))
    yield* Effect.addFinalizer(() => Effect.promise(() => Promise.all(threads.map((thread) => thread.stop()))))

    const pick = (): Thread => {
      const [least] = threads.sort((left, right) => left.load() - right.load())
      if (least !== undefined && (least.load() === 0 || threads.length >= most)) return least
      const started = new Thread(url(), () => {
        threads.splice(threads.indexOf(started), 1)
      })
      threads.push(started)
      return started
    }

    yield* Effect.forkScoped(
      Effect.sync(() => {
        for (const thread of threads.filter((one) => one.idleSince() < performance.now() - idleFor)) void thread.stop()
      }).pipe(Effect.repeat(Schedule.spaced(idleFor)))
    )

    const ask = (request: (id: number) => Request, beat: () => void): Effect.Effect<Reply> =>
      Effect.async((resume) => {
        const thread = pick()
        const id = thread.ask(request, beat, (reply) => resume(Effect.succeed(reply)))
        return Effect.sync(() => thread.forget(id))
      })

    return {
      make: (job, beat) =>
        Effect.map(
          ask((id) => ({ id, _tag: "Make", job }), beat),
          (reply) => (reply._tag === "Made" ? reply.result : lost(job))
        ),
      prove: (found, beat) =>
        Effect.map(
          ask((id) => ({ id, _tag: "Prove", found }), beat),
          (reply) => (reply._tag === "Proved" ? reply.made : null)
        )
    }
  })

/** In worker threads where there can be any. */
export const make: Effect.Effect<Transformer, never, Scope.Scope> = Effect.suspend(() =>
  import.meta.url.endsWith(".ts") ? Effect.succeed(direct) : inWorkers()
)

const lost = (job: Job): Result => ({
  _tag: "Failed",
  kind: "transient",
  reason: `${RelPath.display(below(job.root, job.path))} could not be prepared: the thread that did it ended. It is tried again.`
})

interface Waiting {
  readonly beat: () => void
  readonly done: (reply: Reply) => void
}

class Thread {
  private readonly waiting = new Map<number, Waiting>()
  private readonly worker: Worker
  private last = 0
  private since = performance.now()
  private over = false

  constructor(
    url: URL,
    private readonly ended: () => void
  ) {
    this.worker = new Worker(url, { stdin: false, name: "transform" })
    this.worker.on("message", (reply: Reply) => {
      const waiting = this.waiting.get(reply.id)
      if (reply._tag === "Beat") {
        waiting?.beat()
        return
      }
      this.waiting.delete(reply.id)
      this.since = performance.now()
      waiting?.done(reply)
    })
    this.worker.on("error", () => this.fail())
    this.worker.on("exit", () => this.fail())
    // whether the process lives is for its main thread to say
    this.worker.unref()
  }

  load(): number {
    return this.waiting.size
  }

  /** Infinity while it is not. */
  idleSince(): number {
    return this.waiting.size === 0 ? this.since : Infinity
  }

  ask(request: (id: number) => Request, beat: () => void, done: (reply: Reply) => void): number {
    this.last += 1
    this.waiting.set(this.last, { beat, done })
    this.worker.postMessage(request(this.last))
    return this.last
  }

  forget(id: number): void {
    if (this.waiting.delete(id)) this.worker.postMessage({ id, _tag: "Stop" } satisfies Request)
  }

  stop(): Promise<unknown> {
    this.fail()
    return this.worker.terminate()
  }

  private fail(): void {
    if (this.over) return
    this.over = true
    this.ended()
    for (const [id, { done }] of this.waiting) done({ id, _tag: "Proved", made: null })
    this.waiting.clear()
  }
}
