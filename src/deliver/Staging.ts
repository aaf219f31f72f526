/**
 * Staging at a server: what all destinations have in common whose protocol knows files, sizes and renames.
 *
 * A file is stored under a temp name in the folder of its final name, proved to have arrived whole, and only then
 * renamed. So nobody sees a part of it under its final name. A protocol brings a {@link Session} with a handful of
 * operations; conflict policies, verification, resuming, recovery and clearing up are written here, once.
 */
import { createHash } from "node:crypto"
import type { Readable } from "node:stream"
import { Effect, Exit, Option, type Scope } from "effect"
import type { Delivery, Receipt, Verified } from "../domain/Delivery.ts"
import { PermanentError, SkippedError, TransientError, type DeliveryError } from "../domain/DeliveryError.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Secrets } from "../domain/Settings.ts"
import { location, type Target } from "../domain/Target.ts"
import { numbered } from "../files/names.ts"
import type { Connection, OpenOptions, Task } from "./Destination.ts"
import * as SourceReader from "./SourceReader.ts"

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
  readonly body: Readable
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
  /** What the server says of the size of what lies there now; undefined: it is to be asked by {@link Session.stat}. */
  readonly size?: number | undefined
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
   * where there is one, as far as the protocol can do that in one step; see {@link Traits.exclusive}.
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
  /** Whether {@link store} takes an offset. */
  readonly appends: boolean
}

/** What a protocol says of itself. */
export interface Traits {
  /** Connections, for as long as the scope of the lane is open. */
  readonly sessions: (lane: string, options: OpenOptions) => Effect.Effect<Sessions, never, Scope.Scope>
  /** Why a path can't be sent by this protocol, as the end of a sentence; undefined where it can. */
  readonly refuses: (path: string) => string | undefined
}

export interface Sessions {
  /** One for this scope; it is used again only if the scope ends without a failure. */
  readonly get: (target: Target, secrets: Secrets) => Effect.Effect<Session, DeliveryError, Scope.Scope>
}

/** From this size on what is left of an upload that broke is kept, to go on from there. */
export const resumable = 8 * 1024 * 1024

/** How long removing a temp file may hold up the end of an attempt, in milliseconds. */
const cleanupTimeout = 5_000
const maxKnownFolders = 10_000
const maxRenames = 1_000
/** So many bytes before the end of what is there are read back where a server has no hash. */
const tail = 256 * 1024

interface Lane {
  readonly sessions: Sessions
  readonly refuses: Traits["refuses"]
  /** Folders at the server that are known to be there. */
  readonly folders: Set<string>
  /** Whether the target tells names apart that differ by case only; by root. */
  readonly folds: Map<string, boolean>
  /** Held from the look at a name until it is taken: two workers must not find the same one free. */
  readonly publishing: Effect.Semaphore
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
      folders: new Set(),
      folds: new Map(),
      publishing: Effect.unsafeMakeSemaphore(1)
    }
    return {
      sessions,
      deliver: (task) => deliver(lane, task),
      recover: (task) => recover(lane, task),
      discard: (task) => discard(lane, task)
    }
  })

/** Where a delivery goes at the server: absolute paths. */
interface Place {
  readonly root: string
  readonly folder: string
  /** The place of a name below the target. */
  readonly at: (name: string) => string
}

/** The target's own folder, absolute. */
export const rootOf = (session: Session, target: Target): Effect.Effect<string, DeliveryError> => {
  const inHome = target.path === "~" || target.path.startsWith("~/")
  return Effect.map(inHome ? session.home : Effect.succeed(""), (home) => {
    const path = (inHome ? target.path.slice(1) : target.path).split("/").filter((segment) => segment !== "")
    return `${home}${path.map((segment) => `/${segment}`).join("")}`
  })
}

const placeOf = (session: Session, { name, target }: Delivery): Effect.Effect<Place, DeliveryError> =>
  Effect.map(rootOf(session, target), (root) => {
    const folder = RelPath.dirname(name)
    return { root, folder: folder === "" ? root : `${root}/${folder}`, at: (name) => `${root}/${name}` }
  })

const deliver = Effect.fn("Staging.deliver")(function* (
  lane: Lane,
  task: Task
): Effect.fn.Return<Receipt, DeliveryError> {
  const { delivery } = task
  yield* checkName(lane, task)
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const reader = yield* SourceReader.open(delivery.generation)
      const session = yield* lane.sessions.get(delivery.target, task.secrets)
      const place = yield* placeOf(session, delivery)

      // an earlier attempt got as far as the rename: it may be done
      const adopted = yield* adopt(session, place, task)
      if (Option.isSome(adopted)) return adopted.value
      const resumes = session.appends && reader.size >= resumable
      for (const stale of traces(task)) {
        if (stale !== task.temp && !(resumes && stale === delivery.resume)) {
          yield* session.remove(`${place.folder}/${stale}`)
        }
      }
      const known = yield* ensureFolder(lane, session, place.folder)
      // what is not going to be published need not be sent
      yield* pickName(lane, session, place, task)

      const temp = resumes && delivery.resume !== null ? delivery.resume : task.temp
      const path = `${place.folder}/${temp}`
      const done = { sound: false }
      return yield* Effect.gen(function* () {
        const offset = resumes ? yield* prefix(session, reader, path, task) : 0
        if (resumes && delivery.resume === null) yield* task.note(temp)
        const upload: Upload = {
          path,
          body: reader.stream({ progress: task.progress, pace: task.pace }),
          offset,
          size: reader.size,
          sync: task.sync,
          mtime: delivery.generation.mtime
        }
        const stored = yield* session.store(upload).pipe(
          Effect.mapError((error) => Option.getOrElse<DeliveryError, DeliveryError>(reader.failure(), () => error)),
          Effect.mapError((error) => folderGone(lane, known, error)),
          // as far as it got it is a part of this file, as long as that does not change
          Effect.tapErrorCause(() => Effect.sync(() => (done.sound = resumes && Option.isNone(reader.failure()))))
        )
        const sent = yield* reader.finish
        const verified = yield* verify(session, path, stored, sent, task)
        const name = yield* publish(lane, session, place, path, task)
        const after = offset === 0 ? "" : ` (resumed after ${offset} bytes)`
        return { bytes: sent.bytes, sha256: sent.sha256, said: `${stored.said}${after}`, verified, name }
      }).pipe(
        Effect.onExit((exit) =>
          Exit.isSuccess(exit) || (done.sound && !isFinal(exit)) ? Effect.void : clear(lane, task, place.folder, temp)
        )
      )
    })
  )
})

/** Whether an attempt failed in a way that no other can mend. */
const isFinal = (exit: Exit.Exit<unknown, DeliveryError>): boolean =>
  Exit.isFailure(exit) &&
  exit.cause._tag === "Fail" &&
  (exit.cause.error._tag === "PermanentError" || exit.cause.error._tag === "SkippedError")

/** Temp names that attempts at this delivery may have left. */
const traces = ({ delivery, stale, temp }: Task): ReadonlySet<string> =>
  new Set([...stale, temp, ...(delivery.resume === null ? [] : [delivery.resume])])

/**
 * How many bytes at the temp name are the beginning of this file; the reader is behind them. By the server's hash of
 * them, or else by their end, read back; what is not a beginning of it is overwritten.
 */
const prefix = (
  session: Session,
  reader: SourceReader.SourceReader,
  path: string,
  task: Task
): Effect.Effect<number, DeliveryError> =>
  Effect.gen(function* () {
    if (task.delivery.resume === null) return 0
    const size = (yield* session.stat(path))?.size ?? 0
    if (size === 0 || size > reader.size) return 0
    const offset = Math.max(0, size - tail)
    const theirs = session.hash === undefined ? undefined : yield* session.hash(path, size)
    const ours = yield* SourceReader.peek(task.delivery.generation, theirs === undefined ? offset : 0, size)
    const there = theirs ?? (yield* readBack(session, path, offset))
    if (there !== ours) return 0
    yield* reader.skip(size, { progress: task.progress })
    return size
  })

const readBack = (session: Session, path: string, offset: number): Effect.Effect<string, DeliveryError> =>
  Effect.suspend(() => {
    const digest = createHash("sha256")
    return Effect.map(
      session.read(path, offset, (chunk) => digest.update(chunk)),
      () => digest.digest("hex")
    )
  })

/** The ladder of proofs: a hash, where there is one or one is asked for; the size; that the server said so. */
const verify = (
  session: Session,
  path: string,
  stored: Stored,
  sent: SourceReader.Sent,
  task: Task
): Effect.Effect<Verified, DeliveryError> =>
  Effect.gen(function* () {
    const mode = task.delivery.target.options.verify
    const size = stored.size ?? (yield* session.stat(path))?.size ?? null
    if (size !== null && size !== sent.bytes) {
      return yield* new TransientError({
        reason: `${targetOf(task)}: the server kept ${size} of the ${sent.bytes} bytes that were sent; they were removed again.`,
        cause: Option.none()
      })
    }
    const offered =
      stored.sha256 ?? (mode === "size" || session.hash === undefined ? undefined : yield* session.hash(path))
    const sha256 = offered ?? (mode === "hash" ? yield* readBack(session, path, 0) : undefined)
    if (sha256 !== undefined && sha256 !== sent.sha256) {
      return yield* new TransientError({
        reason: `${targetOf(task)}: what the server kept is not what was sent (sha256 ${sha256} instead of ${sent.sha256}); it was removed again.`,
        cause: Option.none()
      })
    }
    if (sha256 !== undefined) return "hash"
    if (size !== null) return "size"
    if (mode === "auto") return "status"
    return yield* new PermanentError({
      reason: `${targetOf(task)}: the server does not tell the size of what it has, so that \`verify: ${mode}\` can't be kept. Use \`verify: auto\`, or let the user list the folder.`,
      cause: Option.none()
    })
  })

/** Brings the temp file under its final name, as the conflict policy says; answers that. */
const publish = (
  lane: Lane,
  session: Session,
  place: Place,
  temp: string,
  task: Task
): Effect.Effect<RelPath.RelPath, DeliveryError> =>
  Effect.gen(function* () {
    const conflict = task.delivery.target.options.conflict
    const folds = yield* foldsCase(lane, session, place, temp)
    if (conflict === "overwrite" && !folds) {
      // there is nothing to be chosen, and to publish again does no harm
      const name = task.delivery.chosen ?? task.delivery.name
      yield* replace(session, temp, place.at(name))
      return name
    }
    const attempt = Effect.gen(function* () {
      const name = yield* pickName(lane, session, place, task)
      yield* task.choose(name)
      if (conflict === "overwrite" || conflict === "newer") {
        yield* replace(session, temp, place.at(name))
        return Option.some(name)
      }
      if (conflict === "backup") yield* backUp(session, place.at(name))
      const renamed = yield* session.rename(temp, place.at(name), false)
      // somebody was faster: the next look finds it
      return renamed === "renamed" ? Option.some(name) : Option.none()
    })
    return yield* Effect.gen(function* () {
      for (let round = 0; round < 10; round++) {
        const name = yield* attempt
        if (Option.isSome(name)) return name.value
      }
      return yield* new TransientError({
        reason: `${targetOf(task)}: every name that was free was taken a moment later. Something else writes there.`,
        cause: Option.none()
      })
    }).pipe(lane.publishing.withPermits(1))
  })

/** Where the server can't do it in one step, the old one is removed first: for that moment there is none. */
const replace = (session: Session, temp: string, final: string): Effect.Effect<void, DeliveryError> =>
  Effect.gen(function* () {
    if ((yield* session.rename(temp, final, true)) === "renamed") return
    yield* session.remove(final)
    yield* session.rename(temp, final, false)
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
const pickName = (
  lane: Lane,
  session: Session,
  place: Place,
  task: Task
): Effect.Effect<RelPath.RelPath, DeliveryError> =>
  Effect.gen(function* () {
    const { chosen, generation, name, target } = task.delivery
    const { conflict } = target.options
    const wanted = chosen ?? name
    const folds = lane.folds.get(place.root) ?? false
    if (conflict === "overwrite" && !folds) return wanted
    const there = yield* session.stat(place.at(wanted))
    if (there === undefined) return wanted
    if (folds) {
      const twin = yield* twinOf(session, place, wanted)
      if (twin !== undefined) return yield* unfolded(task, wanted, twin)
    }
    switch (conflict) {
      case "overwrite":
      case "backup":
        return wanted
      case "skip":
        return yield* skipped(task, "is there already")
      case "newer":
        return there.mtime === null || there.mtime < Math.floor(generation.mtime / 1000) * 1000
          ? wanted
          : yield* skipped(task, "is as new or newer there")
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

/** `.fd-aBc.part` → `.FD-AbC.PART` */
const swapCase = (text: string): string =>
  text.replace(/[a-z]/gi, (letter) => (letter === letter.toUpperCase() ? letter.toLowerCase() : letter.toUpperCase()))

/** Asked once for each target, of a temp file that is there: whether it is there under the other case, too. */
const foldsCase = (lane: Lane, session: Session, place: Place, temp: string): Effect.Effect<boolean, DeliveryError> =>
  Effect.gen(function* () {
    const known = lane.folds.get(place.root)
    if (known !== undefined) return known
    const slash = temp.lastIndexOf("/") + 1
    const found = yield* session.stat(`${temp.slice(0, slash)}${swapCase(temp.slice(slash))}`)
    lane.folds.set(place.root, found !== undefined)
    return found !== undefined
  })

/** The name that a target holds for another name's sake, where it can't tell the two apart. */
const twinOf = (session: Session, place: Place, name: string): Effect.Effect<string | undefined, DeliveryError> => {
  const base = RelPath.basename(name)
  const folder = RelPath.dirname(name)
  const fold = (text: string) => text.normalize("NFC").toLowerCase()
  return Effect.map(session.names(folder === "" ? place.root : place.at(folder)), (names) =>
    names.includes(base) ? undefined : names.find((other) => fold(other) === fold(base))
  )
}

/** A name for a file that its target would take for another one: its letters percent-encoded. */
const unfolded = (task: Task, name: string, twin: string): Effect.Effect<RelPath.RelPath, PermanentError> => {
  const base = RelPath.basename(name)
  if (task.delivery.target.options.names === "portable") {
    const encoded = base.replace(/\p{L}/gu, (letter) =>
      Array.from(Buffer.from(letter), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("")
    )
    return Effect.succeed(RelPath.make(`${name.slice(0, name.length - base.length)}${encoded}`))
  }
  return Effect.fail(
    new PermanentError({
      reason: `${targetOf(task)}: the server can't tell it from ${RelPath.display(twin)}, which is there. Rename one of them, or use \`names: portable\`.`,
      cause: Option.none()
    })
  )
}

/**
 * After a restart: removes the temp files that can't be resumed, and adopts what a rename that was under way has made.
 *
 * That is known only where a name was chosen, because it was free when it was chosen: a file of the right size that is
 * there now, while no temp file is left, is ours. Under `overwrite` an older file of the same size could have been
 * there before; where the server has a hash, that tells. Otherwise it is sent again, which does no harm.
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
      const adopted = yield* adopt(session, place, task)
      for (const temp of traces(task)) {
        if (temp !== task.delivery.resume) yield* session.remove(`${place.folder}/${temp}`)
      }
      return adopted
    })
  )
})

const adopt = (session: Session, place: Place, task: Task): Effect.Effect<Option.Option<Receipt>, DeliveryError> =>
  Effect.gen(function* () {
    const { chosen, generation, interrupted, name } = task.delivery
    const byHash = chosen === null && interrupted && session.hash !== undefined
    if (chosen === null && !byHash) return Option.none()
    for (const temp of traces(task)) {
      if ((yield* session.stat(`${place.folder}/${temp}`)) !== undefined) return Option.none()
    }
    const final = chosen ?? name
    const there = yield* session.stat(place.at(final))
    if (there?.size !== generation.size || there.folder) return Option.none()
    const proof = session.hash === undefined || !interrupted ? undefined : yield* session.hash(place.at(final))
    const ours = proof === undefined ? undefined : yield* SourceReader.peek(generation, 0, generation.size)
    if (proof !== ours || (chosen === null && proof === undefined)) return Option.none()
    return Option.some({
      bytes: generation.size,
      sha256: ours ?? null,
      said: "found at the target after a restart",
      verified: ours === undefined ? ("size" as const) : ("hash" as const),
      name: final
    })
  })

/** Clears away what an upload that will not go on has left. */
const discard = (lane: Lane, task: Task): Effect.Effect<void, DeliveryError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { resume } = task.delivery
      if (resume === null) return
      const session = yield* lane.sessions.get(task.delivery.target, task.secrets)
      const place = yield* placeOf(session, task.delivery)
      yield* session.remove(`${place.folder}/${resume}`)
    })
  )

/** At the end of an attempt that failed. What can't be removed now is noted, so that it is tried again later. */
const clear = (lane: Lane, task: Task, folder: string, temp: string): Effect.Effect<void> =>
  Effect.scoped(
    Effect.flatMap(lane.sessions.get(task.delivery.target, task.secrets), (session) =>
      session.remove(`${folder}/${temp}`)
    )
  ).pipe(
    Effect.zipRight(Effect.suspend(() => task.note(null))),
    Effect.interruptible,
    Effect.timeout(cleanupTimeout),
    Effect.catchAllCause((cause) =>
      Effect.zipRight(
        Effect.logDebug(`${RelPath.display(`${folder}/${temp}`)} could not be removed yet`, cause),
        Effect.ignore(task.note(temp))
      )
    )
  )

/** Before anything is sent: what the protocol can't carry, and what would lead out of the target. */
const checkName = (lane: Lane, task: Task): Effect.Effect<void, PermanentError> => {
  const { chosen, generation, name, target } = task.delivery
  const refuse = (why: string) =>
    Effect.fail(
      new PermanentError({
        reason: `${SourceReader.describe(generation)} can't be sent to ${target.url}: ${why}. Rename the file, or use \`names: portable\`.`,
        cause: Option.none()
      })
    )
  for (const path of [name, ...(chosen === null ? [] : [chosen]), target.path]) {
    const why = path.includes("\0") ? "its name has a NUL in it" : lane.refuses(path)
    if (why !== undefined) return refuse(why)
  }
  const segments = [name, chosen ?? name].flatMap((path) => path.split("/"))
  return segments.some((segment) => segment === "" || segment === "." || segment === "..")
    ? refuse("its name has an empty part, . or ..")
    : Effect.void
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

const skipped = (task: Task, why: string): Effect.Effect<never, SkippedError> =>
  Effect.fail(new SkippedError({ reason: `Skipped: the file ${targetOf(task)} ${why}`, cause: Option.none() }))

const targetOf = (task: Task): string => RelPath.display(location(task.delivery.target, task.delivery.name))
