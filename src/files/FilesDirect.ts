/**
 * The plain functions of scan.ts, run on the spot. For tests, and for what is too small to be worth a worker thread.
 */
import { Effect, Layer, Option, Stream } from "effect"
import type { RelPath } from "../domain/RelPath.ts"
import type { Source } from "../domain/Settings.ts"
import * as Copy from "./copy.ts"
import { copyPaced, type Parts } from "./copyPaced.ts"
import * as Dispose from "./dispose.ts"
import { expire } from "./disposeExpired.ts"
import { examine } from "./examine.ts"
import { Files, FilesError, type CopyResult, type ScanBatch, type ScanOptions } from "./Files.ts"
import * as Scan from "./scan.ts"
import { checkUndo, undo } from "./undo.ts"

/** Everything on the calling thread. */
export const layer: Layer.Layer<Files> = Layer.sync(Files, () =>
  Files.of({
    scan: (options) => scan(options),
    look,
    identity: (directory) => identity(directory),
    copier: () =>
      Effect.succeed({
        copy: (job, progress, pace) =>
          pace !== undefined
            ? copyPaced(direct, job, progress, pace)
            : Effect.sync((): CopyResult => {
                const result = Copy.copyAll([job])[0] ?? { _tag: "Failed", fault: { kind: "transient", reason: "" } }
                if (result._tag === "Done") progress(result.receipt.bytes)
                return result
              }),
        copyAll: (jobs) => Effect.sync(() => Copy.copyAll(jobs)),
        recover: (job) => attempt(job.target, () => Copy.recover(job)),
        discard: (job) => attempt(job.target, () => Copy.discard(job)),
        examine: (places) => Effect.sync(() => examine(places))
      }),
    remove: (job) => attempt(job.root, () => Dispose.remove(job)),
    archive: (job, to) => attempt(job.root, () => Dispose.archive(job, to)),
    expire: (file, sync) => attempt(file.path, () => expire(file, sync)),
    checkUndo: (job) => attempt(job.root, () => checkUndo(job)),
    undo: (job) => attempt(job.root, () => undo(job))
  })
)

const direct: Parts<never> = {
  prepare: (job) => Effect.sync(() => Copy.prepare(job) ?? null),
  step: (job, offset, length) => Effect.sync(() => Copy.step(job, offset, length)),
  hash: (job) => Effect.sync(() => Copy.hash(job.root, job.path, job.stamp)),
  publish: (job, staged) => Effect.sync(() => Copy.publishOne(job, staged))
}

/** `Files.scan` on the calling thread, a batch at a time. */
export const scan = (options: ScanOptions): Stream.Stream<ScanBatch, FilesError> =>
  Stream.acquireRelease(
    Effect.sync(() => Scan.scan(options.root, options.recursive, options.symlinks)),
    (batches) => Effect.sync(() => batches.return())
  ).pipe(
    Stream.flatMap((batches) =>
      Stream.repeatEffectOption(
        attempt(options.root, () => batches.next()).pipe(
          Effect.mapError(Option.some),
          Effect.flatMap((step) =>
            step.done === true
              ? Effect.fail(Option.none())
              : Effect.succeed({ found: step.value.found, failed: step.value.failed.map(toFilesError) })
          )
        )
      )
    )
  )

/** `Files.look` on the calling thread. */
export const look = (root: string, paths: ReadonlyArray<RelPath>, symlinks?: Source["symlinks"]) =>
  attempt(root, () => Scan.look(root, paths, symlinks))

/** `Files.identity` on the calling thread. */
export const identity = (directory: string) => attempt(directory, () => Scan.identity(directory))

/** The typed error of a fault. */
export const toFilesError = (fault: Scan.Fault): FilesError => new FilesError(fault)

const attempt = <A>(path: string, run: () => A): Effect.Effect<A, FilesError> =>
  Effect.try({
    try: run,
    catch: (error) =>
      error instanceof Scan.FaultError
        ? toFilesError(error.fault)
        : new FilesError({ operation: "read", path, code: "UNKNOWN", reason: String(error) })
  })
