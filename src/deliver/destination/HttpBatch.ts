/**
 * Many small uploads over HTTP, one after the other by each worker: a promise for each, where an effect for each step
 * would cost more than the request.
 *
 * What an answer means is the same as for a single one, and nothing is sent a second time that would not be then:
 * only what was not sent at all goes the other way.
 */
import { Effect, Either } from "effect"
import type { Receipt } from "../../domain/Delivery.ts"
import type { DeliveryError } from "../../domain/DeliveryError.ts"
import * as Batch from "../Batch.ts"
import type { Connection, Task } from "../Destination.ts"
import * as SourceReader from "../SourceReader.ts"
import * as Exchange from "./HttpExchange.ts"
import { provenBy } from "./HttpLook.ts"
import { planOf } from "./HttpPlan.ts"
import { smallRequest, unfinished } from "./HttpUpload.ts"

export interface Options {
  readonly exchange: Exchange.Exchange
  readonly workers: number
  /** The way of a single one. */
  readonly deliver: (task: Task) => Batch.Outcome
}

export const make = ({ deliver, exchange, workers }: Options): NonNullable<Connection["batch"]> =>
  Batch.make({
    workers,
    deliver,
    accepts: ({ target: { options } }) => options.upload !== "tus" && options.verify === "auto" && !options.expect,
    quickly: (tasks, until) => run(exchange, tasks, deliver, until)
  })

const run = (
  exchange: Exchange.Exchange,
  tasks: ReadonlyArray<Task>,
  deliver: Options["deliver"],
  until: number
): Effect.Effect<ReadonlyMap<Task, Batch.Outcome>> =>
  Effect.async((resume) => {
    const outcomes = new Map<Task, Batch.Outcome>()
    let stopped = false
    let stop = (): void => undefined
    const work = async (): Promise<void> => {
      for (const task of tasks) {
        task.hold?.(false)
        const sending = begin(exchange, task, deliver)
        if (sending === undefined) continue
        stop = sending.stop
        outcomes.set(task, await sending.outcome)
        if (stopped || Date.now() > until) return
      }
    }
    void work().then(
      () => resume(Effect.succeed(outcomes)),
      (defect: unknown) => resume(Effect.die(defect))
    )
    return Effect.sync(() => {
      stopped = true
      stop()
    })
  })

/** Undefined where nothing was sent, and the other way may find out why. */
const begin = (exchange: Exchange.Exchange, task: Task, deliver: Options["deliver"]) => {
  const plan = planOf(task)
  if (task.pace !== undefined || Either.isLeft(plan)) return undefined
  const whole = SourceReader.wholeNow(task.delivery.generation)
  if (whole === undefined) return undefined
  const { name } = task.delivery
  const request = smallRequest(task, plan.right, plan.right.pathOf(name), whole)
  const begun = exchange.begin(request)
  if (begun === undefined) return undefined
  task.progress(whole.content.byteLength)
  const outcome = begun.answer.then(
    (answer): Batch.Outcome => {
      const { said, status } = answer
      // it was sent elsewhere, and nothing was done here
      if (status === 307 || status === 308) return deliver(task)
      if (status < 200 || status > 299) return Exchange.refused(request, answer)
      if (answer.whole !== true) return unfinished(task, name, answer)
      const receipt: Receipt = { ...whole.sent, said, verified: provenBy(answer, whole.sent), name }
      task.settle?.(receipt)
      return Effect.succeed(receipt)
    },
    (error: DeliveryError): Batch.Outcome => Effect.fail(error)
  )
  return { outcome, stop: begun.stop }
}
