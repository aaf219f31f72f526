/**
 * What destinations say of the place that a delivery goes to.
 */
import { Effect, Option } from "effect"
import { SkippedError } from "../domain/DeliveryError.ts"
import * as RelPath from "../domain/RelPath.ts"
import { location } from "../domain/Target.ts"
import type { Task } from "./Destination.ts"

/** The final place, for messages. */
export const targetOf = (task: Task): string => RelPath.display(location(task.delivery.target, task.delivery.name))

/** The conflict policy leaves what is there; `why` ends the sentence that begins with the place. */
export const skipped = (task: Task, why: string): Effect.Effect<never, SkippedError> =>
  Effect.fail(new SkippedError({ reason: `Skipped: the file ${targetOf(task)} ${why}`, cause: Option.none() }))
