/**
 * The request that carries a file.
 */
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import { Option } from "effect"
import { TransientError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import { location } from "../../domain/Target.ts"
import type { Task } from "../Destination.ts"
import * as SourceReader from "../SourceReader.ts"
import type * as Exchange from "./HttpExchange.ts"
import { digestField } from "./HttpLook.ts"
import type { Plan } from "./HttpPlan.ts"

/** `length` and `sha256` (in hex, where it is known) are those of the body. */
export const requestOf = (
  task: Task,
  plan: Plan,
  path: string,
  length: number,
  sha256: string | undefined
): Exchange.Request => ({
  target: task.delivery.target,
  secrets: task.secrets,
  method: plan.method,
  path,
  headers: {
    ...plan.headers,
    "content-length": String(length),
    "idempotency-key": task.idempotencyKey,
    ...(sha256 === undefined ? {} : { "content-digest": digestField(sha256) })
  },
  file: SourceReader.describe(task.delivery.generation),
  idempotent: plan.method === "PUT" || task.delivery.target.options.idempotency
})

/** A file that was read already. */
export const smallRequest = (
  task: Task,
  plan: Plan,
  path: string,
  { content, sent }: SourceReader.Whole
): Exchange.Request => {
  const { after, before } = plan.frame
  const body = before === undefined || after === undefined ? content : Buffer.concat([before, content, after])
  const sha256 = body === content ? sent.sha256 : createHash("sha256").update(body).digest("hex")
  return { ...requestOf(task, plan, path, body.byteLength, sha256), body }
}

/** It answered well, and can't have all of it. */
export const unfinished = (task: Task, name: RelPath.RelPath, { said }: Exchange.Answer): TransientError =>
  new TransientError({
    reason: `${RelPath.display(location(task.delivery.target, name))} answered ${said} before it had the whole file.`,
    cause: Option.none()
  })
