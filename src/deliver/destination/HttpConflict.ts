/**
 * Conflict policies over plain HTTP: HEAD before the PUT, and `If-None-Match: *` with it (RFC 9110, 13.1.2), because
 * not every server heeds that.
 *
 * The chosen name is committed before the PUT. So what is there under it later, and is the same, is what an earlier
 * attempt has sent.
 */
import { Effect, Option } from "effect"
import type { Receipt } from "../../domain/Delivery.ts"
import { PermanentError, SkippedError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import { numbered } from "../../files/names.ts"
import type { Task } from "../Destination.ts"
import * as SourceReader from "../SourceReader.ts"
import type { Exchange } from "./HttpExchange.ts"
import { contentOf, look, type Found } from "./HttpLook.ts"
import { targetOf } from "../place.ts"

/** The path and query of a name below the target. */
type PathOf = (name: string) => string

export interface Picked {
  readonly name: RelPath.RelPath
  /** Nothing was there: nothing may be replaced. */
  readonly exclusive: boolean
}

/** Names that are tried for `rename`. */
const maxRenames = 1000

/** What an earlier attempt has brought there. */
export const adopt = (
  exchange: Exchange,
  task: Task,
  pathOf: PathOf
): Effect.Effect<Option.Option<Receipt>, DeliveryError> => {
  const { chosen, generation, target } = task.delivery
  if (chosen === null || target.options.conflict === "overwrite") return Effect.succeed(Option.none())
  return Effect.gen(function* () {
    const found = yield* look(exchange, task, pathOf(chosen))
    if (found?.size !== generation.size) return Option.none()
    if (target.options.conflict === "newer" && !isNewer(found, task)) return Option.none()
    // somebody else may have taken the name meanwhile, with a file of the same size
    const theirs = found.sha256 ?? (yield* contentOf(exchange, task, pathOf(chosen)))
    const ours = theirs === undefined ? null : yield* SourceReader.peek(generation, 0, generation.size, task.progress)
    if (ours !== null && ours !== theirs) return Option.none()
    return Option.some({
      bytes: generation.size,
      sha256: ours,
      said: "found at the target after an earlier attempt",
      verified: ours === null ? ("size" as const) : ("hash" as const),
      name: chosen
    })
  })
}

/** The name to send to, as the policy says. */
export const pick = (exchange: Exchange, task: Task, pathOf: PathOf): Effect.Effect<Picked, DeliveryError> =>
  Effect.gen(function* () {
    const { conflict } = task.delivery.target.options
    const name = task.delivery.chosen ?? task.delivery.name
    if (conflict === "overwrite") return { name, exclusive: false }
    const found = yield* look(exchange, task, pathOf(name))
    if (found === undefined) return { name, exclusive: true }
    if (conflict === "newer" && !isNewer(found, task)) {
      if (found.modified !== null) return { name, exclusive: false }
      return yield* new PermanentError({
        reason: `${targetOf(task)} is there, and the server does not say since when (no Last-Modified), so that \`conflict: newer\` can't be kept. Use another policy.`,
        cause: Option.none()
      })
    }
    if (conflict !== "rename") return yield* occupied(task)
    for (let number = 1; number <= maxRenames; number++) {
      const next = numbered(task.delivery.name, number)
      if ((yield* look(exchange, task, pathOf(next))) === undefined) {
        return { name: RelPath.make(next), exclusive: true }
      }
    }
    return yield* new PermanentError({
      reason: `${targetOf(task)} is there already, and so are its first ${maxRenames} numbered names. Clean up there.`,
      cause: Option.none()
    })
  })

/** What the policy makes of a name that is taken. */
export const occupied = (task: Task): Effect.Effect<never, PermanentError | SkippedError> => {
  const { conflict } = task.delivery.target.options
  const cause = Option.none()
  if (conflict === "skip") {
    return new SkippedError({ reason: `${targetOf(task)} is there already, and \`conflict: skip\` leaves it.`, cause })
  }
  if (conflict === "newer") {
    const reason = `${targetOf(task)} is there already and no older, and \`conflict: newer\` leaves it.`
    return new SkippedError({ reason, cause })
  }
  const reason = `${targetOf(task)} is there already, and \`conflict: ${conflict}\` forbids to replace it. Remove or rename it there, then retry.`
  return new PermanentError({ reason, cause })
}

/** Whether what is there is as new as the file; HTTP's dates are in seconds. */
const isNewer = ({ modified }: Found, task: Task): boolean =>
  modified !== null && modified >= Math.floor(task.delivery.generation.mtime / 1000) * 1000
