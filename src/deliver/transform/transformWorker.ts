/**
 * The entry of a transform worker thread: several files at once, each by steps that wait for each other.
 */
import { parentPort } from "node:worker_threads"
import type { Reply, Request } from "./job.ts"
import { make, prove } from "./spoolFile.ts"

const underWay = new Map<number, AbortController>()
/** A beat more often than this tells nobody anything; milliseconds. */
const interval = 250

const tell = (reply: Reply): void => parentPort?.postMessage(reply)

const beating = (id: number): (() => void) => {
  let told = 0
  return () => {
    const now = performance.now()
    if (now - told < interval) return
    told = now
    tell({ id, _tag: "Beat" })
  }
}

parentPort?.on("message", (request: Request) => {
  const { id } = request
  switch (request._tag) {
    case "Stop":
      underWay.get(id)?.abort()
      return
    case "Make": {
      const controller = new AbortController()
      underWay.set(id, controller)
      void make(request.job, beating(id), controller.signal).then((result) => {
        underWay.delete(id)
        tell({ id, _tag: "Made", result })
      })
      return
    }
    case "Prove":
      void prove(request.found, beating(id)).then((made) => tell({ id, _tag: "Proved", made }))
  }
})
