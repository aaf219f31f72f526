/**
 * The last step of {@link Staging}: a file that lies whole under its temp name gets its final one, as the conflict
 * policy says, on a target that may not tell `A.txt` from `a.txt`.
 */
import { Effect, Option } from "effect"
import { PermanentError, TransientError, type DeliveryError } from "../domain/DeliveryError.ts"
import * as RelPath from "../domain/RelPath.ts"
import { numbered, swapCase, withoutLetters } from "../files/names.ts"
import type { Task } from "./Destination.ts"
import type { Session } from "./Staging.ts"
import { skipped, targetOf } from "./place.ts"

/** Where a delivery goes at the server: absolute paths. */
export interface Place {
  readonly root: string
  readonly folder: string
  /** The place of a name below the target. */
  readonly at: (name: string) => string
}

/** What the deliveries of a lane share. */
export interface Publishing {
  /** Whether the target takes names for the same that differ by case only; by root. */
  readonly folds: Map<string, boolean>
  /** Held from the look at a name until it is taken: two workers must not find the same one free. */
  readonly lock: Effect.Semaphore
}

export const make = (): Publishing => ({ folds: new Map(), lock: Effect.unsafeMakeSemaphore(1) })

const maxRenames = 1_000
/** How often a name is looked for that nobody takes in between. */
const maxRounds = 10

/** Brings the temp file under its final name; answers that. */
export const publish = (
  lane: Publishing,
  session: Session,
  place: Place,
  temp: string,
  task: Task
): Effect.Effect<RelPath.RelPath, DeliveryError> =>
  Effect.gen(function* () {
    const { conflict } = task.delivery.target.options
    const folds = yield* foldsCase(lane, session, place, temp)
    if (conflict === "overwrite" && !folds) {
      // there is nothing to be chosen, and to publish again does no harm
      const name = task.delivery.chosen ?? task.delivery.name
      yield* replace(session, temp, place.at(name))
      return name
    }
    const attempt = Effect.gen(function* () {
      const name = yield* pickName(lane, session, place, task)
      // what is chosen now was free then, which is how it is known again after a restart
      if (conflict === "backup") yield* backUp(session, place.at(name))
      yield* task.choose(name)
      if (conflict === "overwrite" || conflict === "newer") {
        yield* replace(session, temp, place.at(name))
        return Option.some(name)
      }
      const renamed = yield* session.rename(temp, place.at(name), false)
      // somebody was faster: the next look finds it
      return renamed === "renamed" ? Option.some(name) : Option.none()
    })
    return yield* Effect.gen(function* () {
      for (let round = 0; round < maxRounds; round++) {
        const name = yield* attempt
        if (Option.isSome(name)) return name.value
      }
      return yield* new TransientError({
        reason: `${targetOf(task)}: every name that was free was taken a moment later. Something else writes there.`,
        cause: Option.none()
      })
    }).pipe(lane.lock.withPermits(1))
  })

/** Where the server can't do it in one step, the old one is removed first: for that moment there is none. */
const replace = (session: Session, temp: string, final: string): Effect.Effect<void, DeliveryError> =>
  Effect.gen(function* () {
    if ((yield* session.rename(temp, final, true)) === "renamed") return
    yield* session.remove(final)
    if ((yield* session.rename(temp, final, false)) === "renamed") return
    return yield* new PermanentError({
      reason: `${RelPath.display(final)} is there already, and the server lets nobody rename onto it or remove it. Check what the user may do there, or choose another \`conflict\`.`,
      cause: Option.none()
    })
  })

/** `a.txt` → `a.txt.bak`, `a.txt.bak1`, … */
const backUp = (session: Session, final: string): Effect.Effect<void, DeliveryError> =>
  Effect.gen(function* () {
    if ((yield* session.stat(final)) === undefined) return
    for (let number = 0; number <= maxRenames; number++) {
      const backup = `${final}.bak${number === 0 ? "" : number}`
      if ((yield* session.stat(backup)) !== undefined) continue
      if ((yield* session.rename(final, backup, false)) === "renamed") return
    }
    return yield* new PermanentError({
      reason: `${RelPath.display(final)} and ${maxRenames} backups of it are there already. Clean up there.`,
      cause: Option.none()
    })
  })

/** The final name under the conflict policy, as things are now. */
export const pickName = (
  lane: Publishing,
  session: Session,
  place: Place,
  task: Task
): Effect.Effect<RelPath.RelPath, DeliveryError> =>
  Effect.gen(function* () {
    const { chosen, generation, name, target } = task.delivery
    const { conflict } = target.options
    const folds = lane.folds.get(place.root) ?? false
    const first = chosen ?? name
    if (conflict === "overwrite" && !folds) return first
    const wanted = folds ? yield* unfolded(session, place, first, task) : first
    const there = yield* session.stat(place.at(wanted))
    if (there === undefined) return wanted
    switch (conflict) {
      case "overwrite":
      case "backup":
        return wanted
      case "skip":
        return yield* skipped(task, "is there already")
      case "newer":
        if (there.mtime === null) {
          return yield* new PermanentError({
            reason: `${targetOf(task)} is there already, and the server does not tell from when it is. Use another \`conflict\` than \`newer\` for it.`,
            cause: Option.none()
          })
        }
        return there.mtime < wholeSeconds(generation.mtime) ? wanted : yield* skipped(task, "is as new or newer there")
      case "fail":
        return yield* new PermanentError({
          reason: `${targetOf(task)} is there already. Remove it there, or choose another \`conflict\`.`,
          cause: Option.none()
        })
      case "rename":
        for (let index = 1; index <= maxRenames; index++) {
          const next = numbered(name, index)
          if ((yield* session.stat(place.at(next))) === undefined) return RelPath.make(next)
        }
        return yield* new PermanentError({
          reason: `${targetOf(task)} is there already, and so are its first ${maxRenames} numbered names. Clean up there.`,
          cause: Option.none()
        })
    }
  })

/** Most protocols tell times in seconds. */
export const wholeSeconds = (mtime: number): number => Math.floor(mtime / 1000) * 1000

/** Asked once for each target, of a temp file that is there: whether it is there under the other case, too. */
const foldsCase = (
  lane: Publishing,
  session: Session,
  place: Place,
  temp: string
): Effect.Effect<boolean, DeliveryError> =>
  Effect.suspend(() => {
    const known = lane.folds.get(place.root)
    if (known !== undefined) return Effect.succeed(known)
    const slash = temp.lastIndexOf("/") + 1
    return Effect.map(session.stat(`${temp.slice(0, slash)}${swapCase(temp.slice(slash))}`), (found) => {
      const folds = found !== undefined && !found.folder
      lane.folds.set(place.root, folds)
      return folds
    })
  })

/**
 * On a target that can't tell cases apart: the name itself, unless another one that it would be taken for is there.
 * Then, where the user allows that, the same name with its letters percent-encoded.
 */
const unfolded = (
  session: Session,
  place: Place,
  name: RelPath.RelPath,
  task: Task
): Effect.Effect<RelPath.RelPath, DeliveryError> =>
  Effect.gen(function* () {
    if ((yield* session.stat(place.at(name))) === undefined) return name
    const base = RelPath.basename(name)
    const folder = RelPath.dirname(name)
    const names = yield* session.names(folder === "" ? place.root : place.at(folder))
    const twin = names.includes(base) ? undefined : names.find((other) => folded(other) === folded(base))
    if (twin === undefined) return name
    if (task.delivery.target.options.names === "portable") {
      return RelPath.make(`${name.slice(0, name.length - base.length)}${withoutLetters(base)}`)
    }
    return yield* new PermanentError({
      reason: `${targetOf(task)}: the server can't tell it from ${RelPath.display(twin)}, which is there. Rename one of them, or use \`names: portable\`.`,
      cause: Option.none()
    })
  })

const folded = (text: string): string => text.normalize("NFC").toLowerCase()
