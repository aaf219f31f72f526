/**
 * Many small files through {@link Staging}: where a file is to be sent as most are (first attempt, `overwrite`, a folder
 * that is known to be there), the steps are always the same, and an effect for each of them costs more than the file.
 * So a session may bring {@link Quick}, which takes them all in one promise.
 *
 * Whatever is not as it mostly is, is not looked into here: that file is sent again by the careful way, step by step,
 * which finds out what is wrong and says so.
 */
import { Effect, type Scope } from "effect"
import type { Delivery, Receipt } from "../domain/Delivery.ts"
import type { DeliveryError } from "../domain/DeliveryError.ts"
import type { Target } from "../domain/Target.ts"
import * as Batch from "./Batch.ts"
import type { Connection, Task } from "./Destination.ts"
import type { Place } from "./Publish.ts"
import * as SourceReader from "./SourceReader.ts"
import type { Session } from "./Staging.ts"

export interface QuickFile {
  /** Absolute paths at the server. */
  readonly temp: string
  readonly final: string
  readonly content: Uint8Array
  /** To be kept, best effort; milliseconds since the epoch. */
  readonly mtime: number
  /** Whether it must be on the server's medium before it gets its final name. */
  readonly sync: boolean
}

export interface Quick {
  /** How many may be under way at once. */
  readonly width: number
  /**
   * Stores a small file under its temp name, compares the size, and renames it onto its final one. Answers what the
   * server said. Rejects where anything is not as it should be; nothing is under the final name then but what was there,
   * or all of this file.
   */
  readonly send: (file: QuickFile) => Promise<string>
  /** What is under way comes to no end any more. */
  readonly stop: () => void
}

export interface Options {
  readonly workers: number
  /** The careful way. */
  readonly deliver: (task: Task) => Batch.Outcome
  readonly session: (task: Task) => Effect.Effect<Session, DeliveryError, Scope.Scope>
  /** Of a target. */
  readonly root: (session: Session, target: Target) => Effect.Effect<string, DeliveryError>
  readonly placeIn: (root: string, delivery: Delivery) => Place
  /** Whether nothing has to be found out before this one is sent. */
  readonly ready: (task: Task, place: Place) => boolean
  /** Whether a session can be quick, as far as is known. */
  readonly quick: () => boolean
}

/** For so long after a failure everything goes the careful way, in milliseconds. */
const careful = 10_000

type Outcomes = Map<Task, Batch.Outcome>

export const make = (options: Options): NonNullable<Connection["batch"]> => {
  let carefulUntil = 0

  /** For one target: those of which the server has said that it has them, and no others. */
  const quickly = (tasks: ReadonlyArray<Task>, outcomes: Outcomes, until: number) =>
    Effect.gen(function* () {
      const [first] = tasks
      if (first === undefined || Date.now() < carefulUntil) return
      const session = yield* options.session(first)
      const { quick } = session
      if (quick === undefined) return
      const root = yield* options.root(session, first.delivery.target)
      const files: Array<readonly [Task, Place]> = []
      for (const task of tasks) {
        const place = options.placeIn(root, task.delivery)
        if (options.ready(task, place)) files.push([task, place])
      }
      yield* run(quick, files, outcomes, until)
    })

  const run = (quick: Quick, files: ReadonlyArray<readonly [Task, Place]>, outcomes: Outcomes, until: number) =>
    Effect.async<void>((resume) => {
      let next = 0
      let stopped = false
      const work = async (): Promise<void> => {
        for (let file = files[next++]; file !== undefined; file = files[next++]) {
          const [task, place] = file
          task.hold?.(false)
          const receipt = await one(quick, task, place)
          if (receipt !== undefined) {
            task.settle?.(receipt)
            outcomes.set(task, Effect.succeed(receipt))
          }
          if (stopped || Date.now() > until) return
        }
      }
      const failed = () => {
        // on this session nothing more is known
        stopped = true
        carefulUntil = Date.now() + careful
      }
      void Promise.all(Array.from({ length: Math.min(quick.width, files.length) }, () => work().catch(failed))).then(
        () => resume(Effect.void)
      )
      return Effect.sync(() => {
        stopped = true
        quick.stop()
      })
    })

  return Batch.make({
    workers: options.workers,
    deliver: options.deliver,
    accepts: ({ target }) => options.quick() && target.options.verify !== "hash",
    quickly: (tasks, until) =>
      Effect.gen(function* () {
        const outcomes: Outcomes = new Map()
        for (const group of byTarget(tasks)) {
          yield* Effect.ignore(Effect.scoped(quickly(group, outcomes, until)))
        }
        return outcomes
      })
  })
}

/** Undefined where the source is not as it should be. */
const one = async (quick: Quick, task: Task, place: Place): Promise<Receipt | undefined> => {
  const { generation, name } = task.delivery
  const whole = SourceReader.wholeNow(generation)
  if (whole === undefined) return undefined
  const said = await quick.send({
    temp: `${place.folder}/${task.temp}`,
    final: place.at(name),
    content: whole.content,
    mtime: generation.mtime,
    sync: task.sync
  })
  task.progress(whole.content.byteLength)
  return { ...whole.sent, said, verified: "size", name }
}

const byTarget = (tasks: ReadonlyArray<Task>): Iterable<ReadonlyArray<Task>> => {
  const groups = new Map<string, Array<Task>>()
  for (const task of tasks) {
    const { url } = task.delivery.target
    const group = groups.get(url)
    if (group === undefined) groups.set(url, [task])
    else group.push(task)
  }
  return groups.values()
}
