/**
 * The entry of a file worker thread: synchronous file system calls, one request after the other.
 */
import { parentPort } from "node:worker_threads"
import * as RelPath from "../domain/RelPath.ts"
import * as Copy from "./copy.ts"
import * as Dispose from "./dispose.ts"
import { expire } from "./disposeExpired.ts"
import { examine } from "./examine.ts"
import { codeOf } from "./fault.ts"
import type { Operations, Reply, Request } from "./protocol.ts"
import * as Scan from "./scan.ts"
import { checkUndo, undo } from "./undo.ts"

const scans = new Map<number, Generator<Scan.Batch, void, void>>()
let lastScan = 0

const answer = (request: Request): Operations[Request["operation"]]["out"] => {
  switch (request.operation) {
    case "scanOpen":
      scans.set((lastScan += 1), Scan.scan(request.input.root, request.input.recursive, request.input.symlinks))
      return lastScan
    case "scanNext": {
      const step = scans.get(request.input.scan)?.next()
      return step === undefined || step.done === true ? null : step.value
    }
    case "scanClose":
      scans.get(request.input.scan)?.return()
      scans.delete(request.input.scan)
      return null
    case "look":
      return Scan.look(
        request.input.root,
        request.input.paths.map((path) => RelPath.make(path)),
        request.input.symlinks
      )
    case "identity":
      return Scan.identity(request.input.directory)
    case "copyAll":
      return Copy.copyAll(request.input.jobs)
    case "stage":
      return Copy.stage(request.input.job)
    case "prepare":
      return Copy.prepare(request.input.job) ?? null
    case "step":
      return Copy.step(request.input.job, request.input.offset, request.input.length)
    case "hash":
      return Copy.hash(request.input.root, request.input.path, request.input.stamp)
    case "publish":
      return Copy.publishOne(request.input.job, request.input.staged)
    case "recover":
      return Copy.recover(request.input.job)
    case "discard":
      return Copy.discard(request.input.job)
    case "examine":
      return examine(request.input.places)
    case "remove":
      return Dispose.remove(request.input.job)
    case "archive":
      return Dispose.archive(request.input.job, request.input.to)
    case "expire":
      return expire(request.input.file, request.input.sync)
    case "checkUndo":
      return checkUndo(request.input.job)
    case "undo":
      return undo(request.input.job)
  }
}

const reply = (request: Request): Reply => {
  try {
    return { id: request.id, value: answer(request) }
  } catch (error) {
    return {
      id: request.id,
      fault:
        error instanceof Scan.FaultError
          ? error.fault
          : {
              operation: request.operation,
              path: "",
              code: codeOf(error),
              reason: error instanceof Error ? error.message : String(error)
            }
    }
  }
}

parentPort?.on("message", (request: Request) => parentPort?.postMessage(reply(request)))
