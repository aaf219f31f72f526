/**
 * A destination in memory, for tests and for trying things out: it keeps whole files by their location, and can be
 * told to fail.
 */
import { createHash } from "node:crypto"
import { Effect, Exit, type Layer, Option } from "effect"
import type { Receipt } from "../../domain/Delivery.ts"
import { PermanentError, SkippedError, TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import { location } from "../../domain/Target.ts"
import * as Destination from "../Destination.ts"
import { wantsHash } from "../Examine.ts"
import * as SourceReader from "../SourceReader.ts"

export interface Options {
  /** The URL scheme; `memory` unless said otherwise. It is the protocol as well. */
  readonly scheme?: string
  readonly worker?: string
  /** Runs at the start of every attempt, and may fail it, delay it or block it for good. */
  readonly before?: (task: Destination.Task) => Effect.Effect<void, DeliveryError>
  /** How many attempts are made in one batch, one after the other until one fails; without it there are no batches. */
  readonly batch?: number
  /** Clears away what was noted for a delivery; without it there is no such thing here. */
  readonly discard?: (task: Destination.Task) => Effect.Effect<void, DeliveryError>
}

export interface Memory {
  readonly destination: Destination.Destination
  /** Registers it. */
  readonly layer: Layer.Layer<never, never, Destination.Destinations>
  /** What is stored, by `Target.location`. */
  readonly files: ReadonlyMap<string, Uint8Array>
  /** Every attempt so far, failed ones too. */
  readonly attempts: ReadonlyArray<Destination.Task>
  /** Puts a file there, as a stranger would. */
  readonly put: (location: string, bytes: Uint8Array) => void
  /** The next attempts fail with these, one each. */
  readonly failNext: (...errors: ReadonlyArray<DeliveryError>) => void
}

export const make = (options: Options = {}): Memory => {
  const scheme = options.scheme ?? "memory"
  const files = new Map<string, Uint8Array>()
  const attempts: Array<Destination.Task> = []
  const failures: Array<DeliveryError> = []

  const deliver = Effect.fn("Memory.deliver")(function* (
    task: Destination.Task
  ): Effect.fn.Return<Receipt, DeliveryError> {
    const { generation, name, target } = task.delivery
    attempts.push(task)
    const failure = failures.shift()
    if (failure !== undefined) return yield* failure
    if (options.before !== undefined) yield* options.before(task)
    if (name.split("/").some((segment) => segment === "" || segment === "." || segment === "..")) {
      return yield* new PermanentError({
        reason: `${SourceReader.describe(generation)} can't be sent to ${target.url}: its name has an empty part, . or ...`,
        cause: Option.none()
      })
    }
    return yield* Effect.scoped(
      Effect.gen(function* () {
        const reader = yield* SourceReader.open(generation)
        const body = reader.stream({ progress: task.progress, pace: task.pace })
        const chunks = yield* Effect.tryPromise({
          try: async () => {
            const chunks: Array<Uint8Array> = []
            for await (const chunk of body) chunks.push(chunk)
            return chunks
          },
          catch: (error) =>
            Option.getOrElse(
              reader.failure(),
              (): DeliveryError =>
                new TransientError({
                  reason: `${SourceReader.describe(generation)} could not be read: ${String(error)}`,
                  cause: Option.some(error)
                })
            )
        })
        const sent = yield* reader.finish
        const picked = pick(files, task)
        if (picked === "skip") {
          const reason = `Skipped: there is a file ${RelPath.display(location(target, name))} already`
          return yield* new SkippedError({ reason, cause: Option.none() })
        }
        if (picked === "fail") {
          return yield* new PermanentError({
            reason: `${RelPath.display(location(target, name))} is there already. Remove it there, or choose another \`conflict\`.`,
            cause: Option.none()
          })
        }
        if (target.options.conflict !== "overwrite") yield* task.choose(picked)
        yield* Effect.sync(() => files.set(location(target, picked), Buffer.concat(chunks)))
        return { bytes: sent.bytes, sha256: sent.sha256, said: "stored", verified: "hash" as const, name: picked }
      })
    )
  })

  const deliverAll = (tasks: ReadonlyArray<Destination.Task>) =>
    Effect.gen(function* () {
      const exits: Array<Exit.Exit<Receipt, DeliveryError>> = []
      for (const task of tasks) task.hold?.(true)
      for (const task of tasks) {
        task.hold?.(false)
        const exit = yield* Effect.exit(deliver(task))
        exits.push(exit)
        if (Exit.isFailure(exit)) break
        task.settle?.(exit.value)
      }
      return tasks.map((_, index) => exits[index])
    })

  const destination: Destination.Destination = {
    schemes: [scheme],
    protocol: scheme,
    worker: options.worker ?? "Memory worker",
    conflicts: ["overwrite", "skip", "rename", "fail"],
    open: () =>
      Effect.succeed({
        deliver,
        ...(options.discard === undefined ? {} : { discard: options.discard }),
        ...(options.batch === undefined
          ? {}
          : {
              batch: {
                size: options.batch,
                workers: 1,
                counted: true,
                accepts: ({ target }) => target.options.conflict === "overwrite",
                deliver: deliverAll
              }
            }),
        recover: (task) =>
          Effect.sync(() => {
            const { chosen, generation, target } = task.delivery
            const there = chosen === null ? undefined : files.get(location(target, chosen))
            return chosen !== null && there?.byteLength === generation.size
              ? Option.some({
                  bytes: generation.size,
                  sha256: null,
                  said: "found at the target after a restart",
                  verified: "size",
                  name: chosen
                })
              : Option.none()
          }),
        examine: (task) =>
          Effect.suspend(() => {
            const { receipt, target } = task
            const failure = failures.shift()
            if (failure !== undefined) return Effect.fail(failure)
            const there = files.get(location(target, receipt.name))
            return Effect.succeed<Destination.Examination>(
              there === undefined
                ? { _tag: "Nothing" }
                : {
                    _tag: "File",
                    size: there.byteLength,
                    sha256: wantsHash(task, there.byteLength)
                      ? createHash("sha256").update(there).digest("hex")
                      : undefined
                  }
            )
          })
      })
  }

  return {
    destination,
    layer: Destination.layer(Effect.succeed(destination)),
    files,
    attempts,
    put: (location, bytes) => {
      files.set(location, bytes)
    },
    failNext: (...errors) => {
      failures.push(...errors)
    }
  }
}

const pick = (files: ReadonlyMap<string, Uint8Array>, task: Destination.Task): RelPath.RelPath | "skip" | "fail" => {
  const { chosen, name, target } = task.delivery
  const wanted = chosen ?? name
  const taken = (candidate: string) => files.has(location(target, candidate))
  if (target.options.conflict === "overwrite" || !taken(wanted)) return wanted
  if (target.options.conflict !== "rename") return target.options.conflict === "skip" ? "skip" : "fail"
  const base = RelPath.basename(name)
  const dot = base.lastIndexOf(".")
  const stem = name.length - base.length + (dot > 0 ? dot : base.length)
  let index = 1
  const numbered = () => RelPath.make(`${name.slice(0, stem)} (${index})${name.slice(stem)}`)
  while (taken(numbered())) index += 1
  return numbered()
}
