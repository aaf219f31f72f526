/**
 * A destination: the service that can deliver to the targets of one URL scheme.
 *
 * It knows neither the dispatcher nor the journal, and retries nothing: it stages, verifies, publishes, and says what
 * happened. Retry, limits, timeouts and logging are wrapped around it from outside. Each implementation is a layer
 * that registers itself in {@link Destinations}, and an embedding app can register its own.
 */
import { Context, Effect, HashMap, Layer, Option, Ref, type Exit, type Scope } from "effect"
import type { Delivery, Receipt } from "../domain/Delivery.ts"
import type { DeliveryError } from "../domain/DeliveryError.ts"
import type { Secrets } from "../domain/Settings.ts"
import type { Conflict, Target, Verify } from "../domain/Target.ts"
import type { RelPath } from "../domain/RelPath.ts"
import { discreet } from "./Discreet.ts"

/** One attempt at one delivery. */
export interface Task {
  readonly delivery: Delivery
  readonly secrets: Secrets
  /** The temp name of this attempt, to be created exclusively in the directory of the final name. */
  readonly temp: string
  /** Temp names that earlier attempts may have left there; to be removed, best effort, before this one begins. */
  readonly stale: ReadonlyArray<string>
  /** The same for all attempts at this delivery (draft-ietf-httpapi-idempotency-key-header). */
  readonly idempotencyKey: string
  /** Whether data must be on the medium before it counts as delivered. */
  readonly sync: boolean
  /** Tells the watchdog and the progress display that this many more bytes went out. Cheap; call it per chunk. */
  readonly progress: (bytes: number) => void
  /** Tells the watchdog that it waits for others of its batch, or no longer. */
  readonly hold?: (held: boolean) => void
  /** It arrived: that counts, whatever becomes of the others of its batch. */
  readonly settle?: (receipt: Receipt) => void
  /**
   * For what is done with the file here, such as compressing it, before the destination is asked for anything. No matter
   * of a destination.
   */
  readonly preparing?: Preparing
  /** Bandwidth: to be awaited before so many bytes go out; undefined where there is no limit. */
  readonly pace: Pace | undefined
  /** Commits the final name that a conflict policy chose. Must be awaited before publishing under it. */
  readonly choose: (name: RelPath) => Effect.Effect<void, DeliveryError>
  /**
   * Commits what is being begun at the target and is not cleared away by itself: the next attempt finds it in
   * `delivery.resume` and goes on from there, and {@link Connection.discard} clears it away where there is none. `null`
   * when there is nothing left of it.
   */
  readonly note: (resume: string | null) => Effect.Effect<void, DeliveryError>
}

export interface Preparing {
  /** It has begun, or goes on: keeps the watchdog quiet. Cheap. */
  readonly beat: () => void
  /** It is over, and so many bytes are going to be sent. */
  readonly done: (size: number) => void
}

export interface Pace {
  /**
   * At most so many bytes at once, so that the flow is even and the watchdog sees it; Infinity while there is no limit
   * (one may come, by a change of the config).
   */
  readonly chunk: () => number
  /** Resolves when so many more bytes may go out. */
  readonly wait: (bytes: number) => Promise<void>
}

/** One thing that a probe found out about a target. */
export interface Finding {
  readonly what:
    | "reachable"
    | "identity"
    | "authenticated"
    | "folder"
    | "writable"
    | "rename"
    | "verification"
    | "resume"
    | "mtime"
    | "case"
    | "names"
    | "space"
  /** `no`: nothing can be delivered. `limit`: something can't be had. `unknown`: it can't be asked. */
  readonly state: "yes" | "limit" | "no" | "unknown"
  /** What was found, in words: "OpenSSH_9.2, ssh-ed25519 SHA256:…". */
  readonly found: string
  /** What filedispatch will therefore do, or what the user should do; empty where nothing follows. */
  readonly therefore: string
}

/** What a probe is given: no delivery, but a place and a name that nobody else uses. */
export interface ProbeTask {
  readonly target: Target
  readonly secrets: Secrets
  /** The temp name to try with. */
  readonly temp: string
}

/** A receipt that is taken back to where it is from. */
export interface ExamineTask {
  readonly target: Target
  readonly secrets: Secrets
  readonly receipt: Receipt
  /**
   * How close it is looked at: `size`; `auto`, its hash as well where that costs no traffic; `hash`, which reads it back
   * where the hash can't be had otherwise.
   */
  readonly verify: Verify
  /** Tells the watchdog that it goes on. Cheap; call it per chunk. */
  readonly progress: (bytes: number) => void
}

/** What is at the place of a receipt. */
export type Examination =
  | { readonly _tag: "Nothing" }
  /** Something, and no file: "a folder". */
  | { readonly _tag: "Other"; readonly what: string }
  | {
      readonly _tag: "File"
      /** Bytes; null where the far side does not tell. */
      readonly size: number | null
      /** Hex; undefined where it was not asked for, or can't be had. */
      readonly sha256: string | undefined
    }
  /** It can't be asked, whatever is tried: no failure. Why, as a sentence. */
  | { readonly _tag: "Unverifiable"; readonly reason: string }

/** What a destination gives a lane to work with, for as long as the lane's scope is open. */
export interface Connection {
  /**
   * One attempt: stage, verify, publish. Interruption stops it and leaves no partial file under the final name; a
   * temp file that could not be removed is named by `stale` next time.
   */
  readonly deliver: (task: Task) => Effect.Effect<Receipt, DeliveryError>
  /**
   * After a restart, for a delivery that was under way: removes its temp files, and answers the receipt if the target
   * already holds this file (same size at least), so that it is adopted and not sent again.
   */
  readonly recover: (task: Task) => Effect.Effect<Option.Option<Receipt>, DeliveryError>
  /**
   * Clears away what `delivery.resume` names, and what an interrupted attempt may have left, of a delivery that was given
   * up. That it is gone already is fine. Required
   * of a destination that calls {@link Task.note}.
   */
  readonly discard?: (task: Task) => Effect.Effect<void, DeliveryError>
  /**
   * Finds out what the target can do, by trying it with a small temp file that is removed again. What fails is a
   * finding; the findings come in the order in which they are listed there.
   */
  readonly probe?: (task: ProbeTask) => Effect.Effect<ReadonlyArray<Finding>>
  /**
   * Goes back to where a file was delivered and says what is there now. Reads only. What keeps it from being asked is a
   * failure, as for {@link deliver}. Without it, nothing of this destination can be verified later.
   */
  readonly examine?: (task: ExamineTask) => Effect.Effect<Examination, DeliveryError>
  /**
   * Several questions at once, for a destination whose answers are so quick that the asking costs as much. One answer
   * for each, in their order, without any words of the far side; undefined: that one is to be asked by itself, because it
   * takes longer, or to say why it can't be asked.
   */
  readonly examineAll?: {
    readonly size: number
    /** Whether this one is quick. */
    readonly accepts: (receipt: Receipt) => boolean
    readonly examine: (
      tasks: ReadonlyArray<ExamineTask>
    ) => Effect.Effect<ReadonlyArray<Exclude<Examination, { readonly _tag: "Unverifiable" }> | undefined>>
  }
  /**
   * Several attempts at once, for a destination whose attempts are so short that the hand-over costs as much: first
   * attempts only, with nothing to look for or to clear away. One exit for each task, in their order; undefined: it was
   * not begun, because the others took long.
   */
  readonly batch?: {
    readonly size: number
    /** How many of them may be under way at once. */
    readonly workers: number
    /** Whether each of them takes one of the connections that the lane may have. */
    readonly counted: boolean
    /** Whether this one is short enough. */
    readonly accepts: (delivery: Delivery) => boolean
    readonly deliver: (
      tasks: ReadonlyArray<Task>
    ) => Effect.Effect<ReadonlyArray<Exit.Exit<Receipt, DeliveryError> | undefined>>
  }
}

export interface OpenOptions {
  /** How many attempts the config lets the lane have under way at once. */
  readonly concurrency: number
  /** Whether data must be on the medium before it counts as delivered. */
  readonly sync: boolean
}

export interface Destination {
  /** URL schemes, without the colon. */
  readonly schemes: ReadonlyArray<string>
  /** `file`, `http`, `ftp`, …: the log entry's `protocol`. */
  readonly protocol: string
  /** `File worker`, …: the log entry's `worker`. */
  readonly worker: string
  /** The conflict policies that it can keep. */
  readonly conflicts: ReadonlyArray<Conflict>
  /** Loads what it needs, for a config that has targets for it: the first file should not wait for that. */
  readonly prepare?: Effect.Effect<void>
  /** Opens what a lane's deliveries share (pools, agents). Connects lazily, so that it cannot fail. */
  readonly open: (lane: string, options: OpenOptions) => Effect.Effect<Connection, never, Scope.Scope>
}

/** Which destination serves which scheme. */
export class Destinations extends Context.Tag("filedispatch/deliver/Destinations")<
  Destinations,
  {
    readonly register: (destination: Destination) => Effect.Effect<void>
    readonly get: (scheme: string) => Effect.Effect<Option.Option<Destination>>
    readonly all: Effect.Effect<ReadonlyArray<Destination>>
  }
>() {}

export const layerRegistry: Layer.Layer<Destinations> = Layer.effect(
  Destinations,
  Effect.gen(function* () {
    const schemes = yield* Ref.make(HashMap.empty<string, Destination>())
    return {
      register: (destination: Destination) => {
        const registered = discreet(destination)
        return Ref.update(schemes, (map) =>
          destination.schemes.reduce((acc, scheme) => HashMap.set(acc, scheme, registered), map)
        )
      },
      get: (scheme: string) => Effect.map(Ref.get(schemes), HashMap.get(scheme)),
      all: Effect.map(Ref.get(schemes), (map) => Array.from(new Set(HashMap.values(map))))
    }
  })
)

/** A layer that registers what `make` builds. */
export const layer = <E, R>(
  make: Effect.Effect<Destination, E, R>
): Layer.Layer<never, E, Destinations | Exclude<R, Scope.Scope>> =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const destinations = yield* Destinations
      yield* destinations.register(yield* make)
    })
  )
