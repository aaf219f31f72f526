/**
 * A worker thread with bounds of memory, silent, and without the environment: a parser has no business with it.
 */
import { Worker } from "node:worker_threads"
import type { Answer } from "./protocol.ts"
import type { Death, Events, Port } from "./asker.ts"

/** `heap`: MiB of JavaScript objects. */
export const startThread = (entry: URL, heap: number, events: Events): Port => {
  const worker = new Worker(entry, {
    env: {},
    stdin: false,
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: heap, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 }
  })
  worker.stdout.resume()
  worker.stderr.resume()
  worker.on("message", (answers: ReadonlyArray<Answer>) => events.answered(answers))
  worker.on("error", (error) => events.ended(deathBy(error)))
  worker.on("exit", (code) => events.ended({ cause: "crash", why: `its thread ended with code ${code}` }))
  // whether the process lives is for its main thread to say
  worker.unref()
  return { post: (message) => worker.postMessage(message), end: () => worker.terminate() }
}

const deathBy = (error: Error): Death => ({
  cause: "code" in error && error.code === "ERR_WORKER_OUT_OF_MEMORY" ? "memory" : "crash",
  why: error.message
})
