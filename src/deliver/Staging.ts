/**
 * Staging at a server: what all destinations have in common whose protocol knows files, sizes and renames.
 *
 * A file is stored under a temp name in the folder of its final name, proved to have arrived whole, and only then
 * renamed. So nobody sees a part of it under its final name. A protocol brings a {@link Session} with a handful of
 * operations; conflict policies, verification, resuming, recovery and clearing up are written here, once.
 */
import type { Readable } from "node:stream"
import { Effect, Exit, Option, type Scope } from "effect"
import type { Delivery, Receipt } from "../domain/Delivery.ts"
import { PermanentError, TransientError, type DeliveryError } from "../domain/DeliveryError.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Secrets } from "../domain/Settings.ts"
import type { Target } from "../domain/Target.ts"
import type { Connection, OpenOptions, Task } from "./Destination.ts"
import * as Examine from "./Examine.ts"
import * as Probe from "./Probe.ts"
import * as Publish from "./Publish.ts"
import type { Place } from "./Publish.ts"
import * as Resume from "./Resume.ts"
import * as SourceReader from "./SourceReader.ts"
import * as StagingBatch from "./StagingBatch.ts"
import type { Quick } from "./StagingBatch.ts"
import { inMemory, onDisk, type Source } from "./StagingSource.ts"
import * as Verify from "./Verify.ts"

/** What is at a path. */
export interface Stat {
  /** Bytes; null where the server does not tell. */
  readonly size: number | null
  /** Milliseconds since the epoch, as exact as the server tells; null where it does not. */
  readonly mtime: number | null
  readonly folder: boolean
}

export interface Upload {
  readonly path: string
  /** To be taken once, and only where {@link content} is not. */
  readonly body: Readable
  /** May be called with a chunk of the body that is done with, so that its memory is used again. */
  readonly giveBack?: ((chunk: Uint8Array) => void) | undefined
  /** All of a small file. */
  readonly content?: Uint8Array | undefined
  /** Bytes that are there already and are kept: the body goes behind them. 0: whatever is there is replaced. */
  readonly offset: number
  /** Bytes of the whole file. */
  readonly size: number
  /** Whether it must be on the server's medium before this succeeds, where the protocol can say so. */
  readonly sync: boolean
  /** To be kept, best effort; milliseconds since the epoch. */
  readonly mtime: number
}

export interface Stored {
  /** What the server said, for the receipt. */
  readonly said: string
  /**
   * What the server says of the size of what lies there now; null: it does not tell; undefined: it is to be asked by
   * {@link Session.stat}.
   */
  readonly size?: number | null | undefined
  /** Its sha256 in hex, where the server says it unasked. */
  readonly sha256?: string | undefined
}

/**
 * A connection that is logged in, for the use of one attempt at a time. Paths are absolute at the server, in the form
 * of {@link RelPath} (bytes that are not UTF-8 survive), without a slash at their end; the root is the empty string.
 *
 * All of it fails with what follows for the delivery: a broken connection is a TransientError, and so on.
 */
export interface Session {
  /** The login folder, absolute. */
  readonly home: Effect.Effect<string, DeliveryError>
  /** Undefined: there is nothing. */
  readonly stat: (path: string) => Effect.Effect<Stat | undefined, DeliveryError>
  readonly store: (upload: Upload) => Effect.Effect<Stored, DeliveryError>
  /** That it is not there is fine. */
  readonly remove: (path: string) => Effect.Effect<void, DeliveryError>
  /**
   * `overwrite`: replaces a file that is there, in one step; `occupied` where the server can't. Without it: `occupied`
   * where there is one, as far as the protocol can do that in one step. It was looked for just before, so that no other look is needed.
   */
  readonly rename: (
    from: string,
    to: string,
    overwrite: boolean
  ) => Effect.Effect<"renamed" | "occupied", DeliveryError>
  /** One folder, whose parent is there. That it is there already is fine. */
  readonly makeFolder: (path: string) => Effect.Effect<void, DeliveryError>
  /** The names in a folder. */
  readonly names: (folder: string) => Effect.Effect<ReadonlyArray<string>, DeliveryError>
  /** The sha256, in hex, of a file or of its first `length` bytes, as the server computes it; undefined: it does not. */
  readonly hash: ((path: string, length?: number) => Effect.Effect<string | undefined, DeliveryError>) | undefined
  /** Reads back from `offset` to the end. */
  readonly read: (
    path: string,
    offset: number,
    receive: (chunk: Uint8Array) => void
  ) => Effect.Effect<void, DeliveryError>
  /** Where small files can be sent in fewer steps; without `hash`, which would be asked for otherwise. */
  readonly quick?: Quick | undefined
  /** Whether {@link store} takes an offset. */
  readonly appends: boolean
  /** Bytes before the end of what a cut upload has left in which there may be a hole; undefined: there is none. */
  readonly inFlight?: number | undefined
  /** For `doctor`, where the protocol tells: who is at the other end, as what was shown in the log-in. */
  readonly identity?: Identity | undefined
  /** For `doctor`: how many bytes a user may still store in a folder that is there; undefined: it does not tell. */
  readonly space?: ((folder: string) => Effect.Effect<number | undefined, DeliveryError>) | undefined
}

/** Each in words, for people; no secrets. Undefined: there is none, or the protocol does not say. */
export interface Identity {
  /** What the server calls itself: "OpenSSH_9.2p1", "vsFTPd 3.0.3". */
  readonly server?: string | undefined
  /** What proved who it is, and how it is encrypted: "ssh-ed25519 SHA256:…", "TLSv1.3, certificate of ftp.example.org until 2027-01-01". */
  readonly security?: string | undefined
  /** As whom, and by what: "anna, by her key SHA256:…". */
  readonly authenticated?: string | undefined
}

/** What a protocol says of itself. */
export interface Traits {
  /** Connections, for as long as the scope of the lane is open. */
  readonly sessions: (lane: string, options: OpenOptions) => Effect.Effect<Sessions, never, Scope.Scope>
  /** Why a path can't be sent by this protocol, as the end of a sentence; undefined where it can. */
  readonly refuses: (path: string) => string | undefined
  /** Whether an upload's body is piped into a socket. */
  readonly drains: boolean
}

export interface Sessions {
  /** One for this scope; it is used again only if the scope ends without a failure. */
  readonly get: (target: Target, secrets: Secrets) => Effect.Effect<Session, DeliveryError, Scope.Scope>
}

/** Up to this size a file is read as a whole. */
const small = 64 * 1024

/** How long removing a temp file may hold up the end of an attempt, in milliseconds. */
const cleanupTimeout = 5_000
const maxKnownFolders = 10_000
interface Lane {
  readonly sessions: Sessions
  readonly refuses: Traits["refuses"]
  readonly drains: boolean
  /** Folders at the server that are known to be there. */
  readonly folders: Set<string>
  readonly publishing: Publish.Publishing
  /** Whether an upload that was resumed came out as it should, as far as is known. */
  resumable: boolean
  /** Whether its sessions can be quick; false while that is not known. */
  quick: boolean
}

/** The deliveries of a lane. */
export const open = (
  traits: Traits,
  name: string,
  options: OpenOptions
): Effect.Effect<Connection & { readonly sessions: Sessions }, never, Scope.Scope> =>
  Effect.map(traits.sessions(name, options), (sessions) => {
    const lane: Lane = {
      sessions,
      refuses: traits.refuses,
      drains: traits.drains,
      folders: new Set(),
      publishing: Publish.make(),
      resumable: true,
      quick: false
    }
    return {
      sessions,
      deliver: (task) => deliver(lane, task),
      batch: StagingBatch.make({
        workers: options.concurrency,
        deliver: (task) => deliver(lane, task),
        session: (task) => lane.sessions.get(task.delivery.target, task.secrets),
        root: rootOf,
        placeIn,
        quick: () => lane.quick,
        ready: (task, place) =>
          task.pace === undefined &&
          lane.folders.has(place.folder) &&
          lane.publishing.folds.get(place.root) === false &&
          nameFault(lane, task) === undefined
      }),
      recover: (task) => recover(lane, task),
      discard: (task) => discard(lane, task),
      probe: (task) => Probe.staged(sessions, task, { refuses: traits.refuses, rootOf }),
      examine: (task) =>
        Effect.scoped(
          Effect.gen(function* () {
            const session = yield* sessions.get(task.target, task.secrets)
            const root = yield* rootOf(session, task.target)
            return yield* Examine.staged(session, `${root}/${task.receipt.name}`, task)
          })
        )
    }
  })

/** The target's own folder, absolute. */
export const rootOf = (session: Session, target: Target): Effect.Effect<string, DeliveryError> => {
  const inHome = target.path === "~" || target.path.startsWith("~/")
  return Effect.map(inHome ? session.home : Effect.succeed(""), (home) => {
    const path = (inHome ? target.path.slice(1) : target.path).split("/").filter((segment) => segment !== "")
    return `${home}${path.map((segment) => `/${segment}`).join("")}`
  })
}

const placeIn = (root: string, { name }: Delivery): Place => {
  const folder = RelPath.dirname(name)
  return { root, folder: folder === "" ? root : `${root}/${folder}`, at: (name) => `${root}/${name}` }
}

const placeOf = (session: Session, delivery: Delivery): Effect.Effect<Place, DeliveryError> =>
  Effect.map(rootOf(session, delivery.target), (root) => placeIn(root, delivery))

const deliver = Effect.fn("Staging.deliver")(function* (
  lane: Lane,
  task: Task
): Effect.fn.Return<Receipt, DeliveryError> {
  const { delivery } = task
  yield* checkName(lane, task)
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const flow = { progress: task.progress, pace: task.pace }
      const reader =
        delivery.generation.size <= small
          ? yield* Effect.map(SourceReader.whole(delivery.generation, flow), inMemory)
          : yield* Effect.map(SourceReader.open(delivery.generation), (opened) => onDisk(opened, flow, lane.drains))
      const session = yield* lane.sessions.get(delivery.target, task.secrets)
      lane.quick = session.quick !== undefined
      const place = yield* placeOf(session, delivery)

      // an earlier attempt got as far as the rename: it may be done
      const adopted = yield* Verify.adopt(session, place, task, Resume.traces(task))
      if (Option.isSome(adopted)) return adopted.value
      const resumes = lane.resumable && session.appends && reader.size >= Resume.resumable
      const resume = resumes ? Resume.resumeOf(delivery) : undefined
      for (const stale of Resume.traces(task)) {
        if (stale !== task.temp && stale !== resume) yield* removeStale(session, `${place.folder}/${stale}`)
      }
      const known = yield* ensureFolder(lane, session, place.folder)
      // what is not going to be published need not be sent
      yield* Publish.pickName(lane.publishing, session, place, task)

      const temp = resume ?? task.temp
      const path = `${place.folder}/${temp}`
      const state: State = { noted: delivery.resume !== null, sound: true }
      return yield* Effect.gen(function* () {
        const offset = resume === undefined ? 0 : yield* Resume.prefix(session, reader, path, task)
        if (resumes && delivery.resume !== temp) {
          yield* task.note(temp)
          state.noted = true
        }
        const stored = yield* store(session, reader, path, offset, task).pipe(
          Effect.catchTag("PermanentError", (error): Effect.Effect<never, DeliveryError> => {
            if (offset === 0) return Effect.fail(error)
            // it may refuse no more than to go on
            lane.resumable = false
            state.sound = false
            return Effect.fail(new TransientError({ reason: error.reason, cause: error.cause }))
          }),
          Effect.mapError((error) => folderGone(lane, known, error))
        )
        const sent = yield* reader.finish
        const verified = yield* Verify.verify(session, path, stored, sent, task).pipe(
          Effect.tapErrorTag("TransientError", (error) =>
            Effect.sync(() => {
              if (!Verify.isMismatch(error)) return
              state.sound = false
              // a server that does not append where it says that it does must not be given the chance again
              if (offset > 0) lane.resumable = false
            })
          )
        )
        const name = yield* Publish.publish(lane.publishing, session, place, path, task)
        const after = offset === 0 ? "" : ` (resumed after ${offset} bytes)`
        return { bytes: sent.bytes, sha256: sent.sha256, said: `${stored.said}${after}`, verified, name }
      }).pipe(
        Effect.onExit((exit) =>
          Exit.isSuccess(exit) || (resumes && state.sound && Resume.goesOn(exit))
            ? Effect.void
            : clear(lane, session, task, place.folder, temp, state)
        )
      )
    })
  )
})

interface State {
  /** Whether something is noted in the journal. */
  noted: boolean
  /** Whether what lies at the temp name may be a beginning of the file. */
  sound: boolean
}

const store = (
  session: Session,
  reader: Source,
  path: string,
  offset: number,
  task: Task
): Effect.Effect<Stored, DeliveryError> => {
  if (offset > 0 && offset === reader.size) return Effect.as(reader.end, { said: "all of it was there" })
  return Effect.suspend(() =>
    session.store({
      path,
      get body() {
        return reader.body()
      },
      giveBack: reader.giveBack,
      content: reader.content,
      offset,
      size: reader.size,
      sync: task.sync,
      mtime: task.delivery.generation.mtime
    })
  ).pipe(Effect.mapError((error) => Option.getOrElse<DeliveryError, DeliveryError>(reader.failure(), () => error)))
}

/**
 * After a restart: removes the temp files that can't be resumed, and adopts what a rename that was under way has made.
 */
const recover = Effect.fn("Staging.recover")(function* (
  lane: Lane,
  task: Task
): Effect.fn.Return<Option.Option<Receipt>, DeliveryError> {
  yield* checkName(lane, task)
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const session = yield* lane.sessions.get(task.delivery.target, task.secrets)
      const place = yield* placeOf(session, task.delivery)
      const adopted = yield* Verify.adopt(session, place, task, Resume.traces(task))
      for (const temp of Resume.traces(task)) {
        if (temp !== Resume.resumeOf(task.delivery)) yield* removeStale(session, `${place.folder}/${temp}`)
      }
      return adopted
    })
  )
})

/** An account that may not delete can still deliver. */
const removeStale = (session: Session, path: string): Effect.Effect<void, DeliveryError> =>
  Effect.catchTag(session.remove(path), "PermanentError", (error) =>
    Effect.logDebug(`${RelPath.display(path)} can't be removed`, error)
  )

/** Clears away what an upload that will not go on has left. */
const discard = (lane: Lane, task: Task): Effect.Effect<void, DeliveryError> =>
  Effect.scoped(
    Effect.gen(function* () {
      if (task.delivery.resume === null && !task.delivery.interrupted) return
      const session = yield* lane.sessions.get(task.delivery.target, task.secrets)
      const place = yield* placeOf(session, task.delivery)
      for (const temp of Resume.traces(task)) yield* session.remove(`${place.folder}/${temp}`)
    })
  )

/**
 * At the end of an attempt that failed; over another connection where this one is broken. What can't be removed now is
 * noted, so that it is tried again later.
 */
const clear = (
  lane: Lane,
  session: Session,
  task: Task,
  folder: string,
  temp: string,
  state: State
): Effect.Effect<void> =>
  session.remove(`${folder}/${temp}`).pipe(
    Effect.catchAll(() =>
      Effect.scoped(
        Effect.flatMap(lane.sessions.get(task.delivery.target, task.secrets), (fresh) =>
          fresh.remove(`${folder}/${temp}`)
        )
      )
    ),
    Effect.zipRight(Effect.suspend(() => (state.noted ? task.note(null) : Effect.void))),
    Effect.interruptible,
    Effect.timeout(cleanupTimeout),
    Effect.catchAllCause((cause) =>
      Effect.zipRight(
        Effect.logDebug(`${RelPath.display(`${folder}/${temp}`)} could not be removed yet`, cause),
        Effect.ignore(task.note(`${Resume.spoilt}${temp}`))
      )
    )
  )

/** Before anything is sent: what the protocol can't carry, and what would lead out of the target. */
const checkName = (lane: Lane, task: Task): Effect.Effect<void, PermanentError> => {
  const { generation, target } = task.delivery
  const why = nameFault(lane, task)
  if (why === undefined) return Effect.void
  return new PermanentError({
    reason: `${SourceReader.describe(generation)} can't be sent to ${target.url}: ${why}. Rename the file, or use \`names: portable\`.`,
    cause: Option.none()
  })
}

const nameFault = (lane: Lane, task: Task): string | undefined => {
  const { chosen, name, target } = task.delivery
  for (const path of [name, ...(chosen === null ? [] : [chosen]), target.path]) {
    const why = path.includes("\0") ? "its name has a NUL in it" : lane.refuses(path)
    if (why !== undefined) return why
  }
  const segments = [name, chosen ?? name].flatMap((path) => path.split("/"))
  return segments.some((segment) => segment === "" || segment === "." || segment === "..")
    ? "its name has an empty part, . or .."
    : undefined
}

/** Makes the folder and those above it. Answers whether it was only remembered to be there. */
const ensureFolder = (lane: Lane, session: Session, folder: string): Effect.Effect<boolean, DeliveryError> =>
  Effect.gen(function* () {
    if (folder === "" || lane.folders.has(folder)) return true
    const there = yield* session.stat(folder)
    if (there === undefined) {
      yield* ensureFolder(lane, session, folder.slice(0, folder.lastIndexOf("/")))
      yield* session.makeFolder(folder)
    } else if (!there.folder) {
      return yield* new PermanentError({
        reason: `${RelPath.display(folder)} at the server is a file where a folder is needed. Rename it there, or change the target's path.`,
        cause: Option.none()
      })
    }
    if (lane.folders.size >= maxKnownFolders) lane.folders.clear()
    lane.folders.add(folder)
    return false
  })

/** A folder that was remembered may have been removed since: then it is worth another attempt, which looks. */
const folderGone = (lane: Lane, known: boolean, error: DeliveryError): DeliveryError => {
  if (!known || error._tag !== "PermanentError" || lane.folders.size === 0) return error
  lane.folders.clear()
  return new TransientError({ reason: error.reason, cause: error.cause })
}
