/**
 * Under which key a delivery appears: the conflict policies, and what an earlier attempt has made already.
 */
import { Effect, Option, type Scope } from "effect"
import type { Receipt } from "../../domain/Delivery.ts"
import { PermanentError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import type { Target } from "../../domain/Target.ts"
import { numbered } from "../../files/names.ts"
import type * as Destination from "../Destination.ts"
import * as SourceReader from "../SourceReader.ts"
import * as Client from "./S3Client.ts"
import { beat } from "./S3Verify.ts"
import { skipped, targetOf } from "../place.ts"

/** Keys that `rename` has found free and that are being sent to, of a lane. */
export type Claimed = Set<string>

/** Bytes. */
export const maxKey = 1024
const maxRenames = 1000
const maxCopy = 5 * 1024 ** 3

export const keyOf = (target: Target, name: string): string =>
  [...target.path.split("/"), name].filter((segment) => segment !== "").join("/")

export interface Pick {
  readonly _tag: "free"
  readonly name: RelPath.RelPath
  /** Whether there must be nothing of that name. */
  readonly create: boolean
  /** Whether that was asked. */
  readonly looked: boolean
  /** What is there, and is to be kept under another name. */
  readonly old: Client.Found | undefined
}

/** The final name under the conflict policy, as things are now; or that an earlier attempt has got through. */
export const pickName = (
  claimed: Claimed,
  at: Client.Bucket,
  task: Destination.Task
): Effect.Effect<Pick | { readonly _tag: "ours"; readonly receipt: Receipt }, DeliveryError, Scope.Scope> =>
  Effect.gen(function* () {
    const { chosen, generation, name, target } = task.delivery
    const { conflict } = target.options
    const wanted = chosen ?? name
    const free = (name: RelPath.RelPath, create: boolean, old?: Client.Found): Pick => ({
      _tag: "free",
      name,
      create,
      old,
      looked: conflict !== "overwrite"
    })
    if (conflict === "overwrite") return free(wanted, false)
    const there = yield* Client.head(at, keyOf(target, wanted))
    if (there === undefined) {
      if (conflict !== "rename" || (yield* claim(claimed, keyOf(target, wanted)))) return free(wanted, true)
    } else {
      const receipt = yield* adopted(at, there, wanted, task)
      if (receipt !== undefined) return { _tag: "ours", receipt }
    }
    switch (conflict) {
      case "backup":
        return free(wanted, false, there)
      case "skip":
        return yield* skipped(task, "is there already")
      case "newer":
        // the time of an upload is known to the second
        return there === undefined || there.mtime === null || there.mtime < Math.floor(generation.mtime / 1000) * 1000
          ? free(wanted, false)
          : yield* skipped(task, "is as new or newer there")
      case "fail":
        return yield* new PermanentError({
          reason: `${targetOf(task)} is there already. Remove it there, or choose another \`conflict\`.`,
          cause: Option.none()
        })
      case "rename":
        for (let index = 1; index <= maxRenames; index++) {
          const next = RelPath.make(numbered(name, index))
          const key = keyOf(target, next)
          if (claimed.has(key) || (yield* Client.head(at, key)) !== undefined) continue
          if (yield* claim(claimed, key)) return free(next, true)
        }
        return yield* new PermanentError({
          reason: `${targetOf(task)} is there already, and so are its first ${maxRenames} numbered names. Clean up there.`,
          cause: Option.none()
        })
    }
  })

/** Two deliveries of a lane must not find the same name free. */
const claim = (claimed: Claimed, key: string): Effect.Effect<boolean, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      if (claimed.has(key)) return false
      claimed.add(key)
      return true
    }),
    (mine) => Effect.sync(() => (mine ? claimed.delete(key) : false))
  )

/** Before anything appears under the name: commits it, and keeps what is there where the policy says so. */
export const commit = (
  at: Client.Bucket,
  { name, old }: Pick,
  task: Destination.Task
): Effect.Effect<void, DeliveryError> =>
  Effect.gen(function* () {
    const { conflict } = task.delivery.target.options
    if (conflict === "overwrite") return
    yield* task.choose(name)
    if (conflict === "backup" && old !== undefined) yield* backUp(at, name, old, task)
  })

/** `a.txt` → `a.txt.bak`, `a.txt.bak1`, …, unless an earlier attempt has done that. */
const backUp = (
  at: Client.Bucket,
  name: string,
  old: Client.Found,
  task: Destination.Task
): Effect.Effect<void, DeliveryError> =>
  Effect.gen(function* () {
    const { target } = task.delivery
    const refuse = (why: string) =>
      Effect.fail(new PermanentError({ reason: `${targetOf(task)} can't be backed up: ${why}`, cause: Option.none() }))
    if (old.size !== null && old.size > maxCopy)
      return yield* refuse("S3 copies 5 GiB at most. Copy it by other means.")
    for (let number = 0; number <= maxRenames; number++) {
      const backup = `${keyOf(target, name)}.bak${number === 0 ? "" : number}`
      if (Buffer.byteLength(backup) > maxKey) return yield* refuse("the name of its backup is too long.")
      const there = yield* Client.head(at, backup)
      if (there === undefined) return yield* Client.copy(at, keyOf(target, name), backup, beat(task))
      if (there.etag === old.etag && there.size === old.size && there.etag !== "") return
    }
    return yield* refuse(`${maxRenames} backups of it are there already. Clean up there.`)
  })

/** The receipt, where an object was made by this delivery. */
export const adopted = (
  at: Client.Bucket,
  object: Client.Found,
  name: RelPath.RelPath,
  task: Destination.Task
): Effect.Effect<Receipt | undefined, DeliveryError> =>
  Effect.gen(function* () {
    const { generation, target } = task.delivery
    if (object.size !== generation.size) return undefined
    if (object.meta("filedispatch-delivery") !== task.idempotencyKey) return undefined
    const receipt = { bytes: generation.size, said: "found at the target, after its answer was lost", name }
    if (target.options.verify !== "hash") {
      return { ...receipt, sha256: object.meta("sha256") ?? null, verified: "size" as const }
    }
    const ours = yield* SourceReader.peek(generation, 0, generation.size)
    const theirs = object.sha256 ?? (yield* Client.readBack(at, keyOf(target, name), beat(task)))
    return ours === theirs ? { ...receipt, sha256: ours, verified: "hash" as const } : undefined
  })
