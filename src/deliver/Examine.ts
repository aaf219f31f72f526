/**
 * What receipts are worth today: what a destination finds at the place of one, and what follows from it.
 */
import { Effect } from "effect"
import type { Receipt } from "../domain/Delivery.ts"
import type { DeliveryError } from "../domain/DeliveryError.ts"
import type { Examination, ExamineTask } from "./Destination.ts"
import type { Session } from "./Staging.ts"
import { readBack } from "./Verify.ts"

/**
 * `present`: as the receipt says, as far as was looked. `changed`: something else is there. `gone`: nothing is.
 * `unverifiable`: it is in the nature of the target that nobody can tell. `unknown`: it could not be asked this time.
 */
export type Verdict =
  | { readonly status: "present"; readonly by: "hash" | "size" }
  | { readonly status: "changed"; readonly differs: "kind" | "size" | "hash"; readonly reason: string }
  | { readonly status: "gone" | "unverifiable" | "unknown"; readonly reason: string }

/** Compares what is there with the receipt. */
export const judge = (receipt: Receipt, found: Examination): Verdict => {
  switch (found._tag) {
    case "Nothing":
      return { status: "gone", reason: "There is nothing of that name." }
    case "Other":
      return { status: "changed", differs: "kind", reason: `There is ${found.what} in its place.` }
    case "Unverifiable":
      return { status: "unverifiable", reason: found.reason }
    case "File": {
      const { sha256, size } = found
      if (size !== null && size !== receipt.bytes) {
        return { status: "changed", differs: "size", reason: `Its size is ${size} bytes instead of ${receipt.bytes}.` }
      }
      if (sha256 !== undefined && receipt.sha256 !== null) {
        return sha256 === receipt.sha256
          ? { status: "present", by: "hash" }
          : { status: "changed", differs: "hash", reason: `Its sha256 is ${sha256} instead of ${receipt.sha256}.` }
      }
      if (size !== null) return { status: "present", by: "size" }
      return { status: "unverifiable", reason: "It is there, and its size is not told. --hash reads it back." }
    }
  }
}

/** Whether its hash is worth asking for: not where the size says already that it is another file. */
export const wantsHash = ({ receipt, verify }: ExamineTask, size: number | null): boolean =>
  verify !== "size" && receipt.sha256 !== null && (size === null || size === receipt.bytes)

/** A server that did not show a file when it had just taken it shows none now: that there is none is not said by that. */
export const neverShown: Examination = {
  _tag: "Unverifiable",
  reason: "The server does not show what it has, and did not when the file was delivered."
}

/** Of a server with files, as {@link Session} tells. */
export const staged = (session: Session, path: string, task: ExamineTask): Effect.Effect<Examination, DeliveryError> =>
  Effect.gen(function* (): Effect.fn.Return<Examination, DeliveryError> {
    const there = yield* session.stat(path)
    if (there === undefined) return task.receipt.verified === "status" ? neverShown : { _tag: "Nothing" }
    if (there.folder) return { _tag: "Other", what: "a folder" }
    const { size } = there
    if (!wantsHash(task, size)) return { _tag: "File", size, sha256: undefined }
    const told = session.hash === undefined ? undefined : yield* session.hash(path)
    const sha256 = told ?? (task.verify === "hash" ? yield* readBack(session, path, 0, task) : undefined)
    return { _tag: "File", size, sha256 }
  })
