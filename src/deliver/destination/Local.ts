/**
 * Local folders: `file:` URLs and plain paths.
 *
 * Whole or not at all by a temp file beside the final name and a rename. Mode and mtime are kept, missing directories
 * are made. On one file system the kernel copies (reflink, copy_file_range), and the only target of a file that is to
 * be deleted gets the file itself, by a rename.
 */
import { Effect, Exit, Option } from "effect"
import { availableParallelism } from "node:os"
import type { Receipt } from "../../domain/Delivery.ts"
import {
  LaneDownError,
  PermanentError,
  SkippedError,
  SourceChangedError,
  SourceGoneError,
  TransientError,
  type DeliveryError
} from "../../domain/DeliveryError.ts"
import { smallFile } from "../../files/copy.ts"
import {
  Files,
  type Copier,
  type CopyFault,
  type CopyJob,
  type CopyResult,
  type FilesError
} from "../../files/Files.ts"
import * as Destination from "../Destination.ts"
import * as LocalExamine from "./LocalExamine.ts"
import * as LocalProbe from "./LocalProbe.ts"

/**
 * Threads for each local lane. While one waits for the disk to sync, others go on; without syncs there is nothing to
 * wait for, and more threads than processors are in each other's way.
 */
const threads = ({ concurrency, sync }: Destination.OpenOptions): number =>
  sync ? Math.min(2 * concurrency, 8) : Math.min(concurrency, Math.max(2, availableParallelism() - 1))

/** Files that a thread is given at once: a hop between threads costs as much as a small file. */
const batch = 16

export const make = Effect.map(Files, (files): Destination.Destination => {
  const connect = (copier: Copier, workers: number, mount: string): Destination.Connection => {
    const toJob = jobOn(mount)
    const copy = (task: Destination.Task, job: CopyJob): Effect.Effect<Receipt, DeliveryError> =>
      Effect.flatMap(copier.copy(job, task.progress, limitOf(task)), (result) => conclude(task, result))

    const conclude = (task: Destination.Task, result: CopyResult): Effect.Effect<Receipt, DeliveryError> => {
      switch (result._tag) {
        case "Done":
          return Effect.succeed(result.receipt)
        case "Failed":
          return result.fault.kind === "gone" ? found(task, result.fault) : Effect.fail(toError(result.fault))
        case "Choose":
          return Effect.zipRight(task.choose(result.name), copy(task, { ...toJob(task), chosen: result.name }))
      }
    }

    /** Where a move was made and could not be recorded, the source is gone because it is where it belongs. */
    const found = (task: Destination.Task, fault: CopyFault): Effect.Effect<Receipt, DeliveryError> =>
      copier.recover(toJob(task)).pipe(
        Effect.orElseSucceed(() => null),
        Effect.flatMap((receipt) => (receipt === null ? Effect.fail(toError(fault)) : Effect.succeed(receipt)))
      )

    return {
      batch: {
        size: batch,
        workers,
        // no server counts them
        counted: false,
        accepts: ({ generation }) => generation.size <= smallFile,
        deliver: (tasks) =>
          Effect.flatMap(copier.copyAll(tasks.map(toJob)), (results) =>
            Effect.forEach(results, (result, index) => {
              const task = tasks[index]
              return result._tag === "Done" || task === undefined
                ? Effect.succeed(result._tag === "Done" ? Exit.succeed(result.receipt) : Exit.die("no such task"))
                : Effect.exit(conclude(task, result))
            })
          )
      },
      deliver: (task) => copy(task, toJob(task)),
      probe: LocalProbe.probe,
      examine: LocalExamine.examine,
      examineAll: LocalExamine.examineAll(copier),
      recover: (task) => copier.recover(toJob(task)).pipe(Effect.map(Option.fromNullable), Effect.mapError(unanswered)),
      discard: (task) =>
        copier.discard(toJob(task)).pipe(
          Effect.mapError(unanswered),
          Effect.flatMap((fault) => (fault === null ? Effect.void : Effect.fail(toError(fault))))
        )
    }
  }
  return {
    schemes: ["file"],
    protocol: "file",
    worker: "File worker",
    conflicts: ["overwrite", "skip", "rename", "fail", "newer", "backup"],
    open: (lane, options) =>
      Effect.map(files.copier(threads(options)), (copier) =>
        // a lane is a file system, and is called by where that is mounted
        connect(copier, 2 * threads(options), lane.slice("file:".length))
      )
  }
})

export const layer = Destination.layer(make)

const jobOn =
  (mount: string) =>
  ({ delivery, stale, sync, temp }: Destination.Task): CopyJob => ({
    mount: mount.startsWith("/") ? mount : undefined,
    root: delivery.generation.source,
    path: delivery.generation.path,
    stamp: delivery.generation.stamp,
    target: delivery.target.path,
    name: delivery.name,
    temp,
    stale,
    conflict: delivery.target.options.conflict,
    chosen: delivery.chosen,
    move: delivery.sole,
    sync,
    verify: delivery.target.options.verify,
    names: delivery.target.options.names
  })

/** A copy by the kernel can't be slowed down any more once it is begun, so that a later limit is for the next one. */
const limitOf = ({ pace }: Destination.Task): Destination.Pace | undefined =>
  pace !== undefined && Number.isFinite(pace.chunk()) ? pace : undefined

const unanswered = (error: FilesError): TransientError =>
  new TransientError({ reason: error.reason, cause: Option.some(error) })

const toError = ({ kind, reason }: CopyFault): DeliveryError => {
  const fields = { reason, cause: Option.none() }
  switch (kind) {
    case "transient":
      return new TransientError(fields)
    case "lane":
      return new LaneDownError(fields)
    case "permanent":
      return new PermanentError(fields)
    case "skipped":
      return new SkippedError(fields)
    case "changed":
      return new SourceChangedError(fields)
    case "gone":
      return new SourceGoneError(fields)
  }
}
