/**
 * `ftp` and `ftps`: binary and passive, over a pool of connections per lane.
 *
 * A file is stored under a temp name in the folder of its final name, its size there is compared with what was sent
 * (vsftpd, for one, answers "226 Transfer complete" to half a file), and then it is renamed. So nobody sees a part of
 * it under its final name.
 *
 * FTP's rename has no flag that would keep it from overwriting. `skip`, `rename` and `fail` look before they rename; a
 * stranger's file that appears in between is overwritten. Where the server refuses to rename onto a file that is
 * there, `overwrite` deletes that one first, and for that moment there is none.
 */
import { Effect, type Layer, Option } from "effect"
import type { Receipt } from "../../domain/Delivery.ts"
import { PermanentError, SkippedError, TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import { location } from "../../domain/Target.ts"
import * as Destination from "../Destination.ts"
import * as SourceReader from "../SourceReader.ts"
import { makePool, readable, wire, type FtpClient, type FtpPool, type PoolOptions } from "./FtpClient.ts"

export type Options = PoolOptions

export const make = (options: Options = {}): Effect.Effect<Destination.Destination> =>
  Effect.succeed({
    schemes: ["ftp", "ftps"],
    protocol: "ftp",
    worker: "FTP worker",
    conflicts: ["overwrite", "skip", "rename", "fail"],
    open: () =>
      Effect.map(makePool(options), (pool) => {
        const lane: Lane = { pool, folders: new Set(), publishing: Effect.unsafeMakeSemaphore(1) }
        return { deliver: (task) => deliver(lane, task), recover: (task) => recover(lane, task) }
      })
  })

export const layer = (options: Options = {}): Layer.Layer<never, never, Destination.Destinations> =>
  Destination.layer(make(options))

interface Lane {
  readonly pool: FtpPool
  /** Folders at the server that are known to be there, as wire paths. */
  readonly folders: Set<string>
  /** Held from the look at a name until it is taken: two workers must not find the same one free. */
  readonly publishing: Effect.Semaphore
}

/** How long removing a temp file may hold up the end of an attempt, in milliseconds. */
const cleanupTimeout = 5_000
const maxKnownFolders = 10_000
const maxRenames = 1_000

const deliver = Effect.fn("Ftp.deliver")(function* (
  lane: Lane,
  task: Destination.Task
): Effect.fn.Return<Receipt, DeliveryError> {
  const { generation, target } = task.delivery
  yield* checkName(task)
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const reader = yield* SourceReader.open(generation)
      const client = yield* lane.pool.get(target, task.secrets)
      const place = yield* placeOf(client, task)

      // An earlier attempt got as far as the rename: it may be done.
      const adopted = yield* adopt(client, place, task)
      if (Option.isSome(adopted)) return adopted.value
      for (const stale of task.stale) yield* client.ask(`DELE ${place.folder}/${wire(stale)}`)

      const known = yield* ensureFolder(lane, client, place.folder)
      const early = yield* pickName(client, place, task)
      if (early._tag === "Skip") return yield* skipped(task)

      const temp = `${place.folder}/${wire(task.temp)}`
      return yield* Effect.gen(function* () {
        const answer = yield* client.store(reader.stream({ progress: task.progress }), temp).pipe(
          Effect.mapError((error) => Option.getOrElse<DeliveryError, DeliveryError>(reader.failure(), () => error)),
          Effect.mapError((error) => folderGone(lane, known, error))
        )
        const sent = yield* reader.finish
        const verified = yield* verifySize(client, temp, sent.bytes, task)
        yield* setModified(client, temp, generation.mtime)
        const said = readable(answer.message)
        if (target.options.conflict === "overwrite") {
          // There is nothing to be chosen, and to publish again does no harm.
          yield* publish(client, temp, place.at(early.name), true)
          return { bytes: sent.bytes, sha256: sent.sha256, said, verified, name: early.name }
        }
        return yield* Effect.gen(function* () {
          const picked = yield* pickName(client, place, task)
          if (picked._tag === "Skip") {
            yield* client.ask(`DELE ${temp}`)
            return yield* skipped(task)
          }
          yield* task.choose(picked.name)
          yield* publish(client, temp, place.at(picked.name), false)
          return { bytes: sent.bytes, sha256: sent.sha256, said, verified, name: picked.name }
        }).pipe(lane.publishing.withPermits(1))
      }).pipe(Effect.onError(() => removeTemp(lane, client, task, temp)))
    })
  )
})

/**
 * After a restart: removes the temp files, and adopts what a rename that was under way has made.
 *
 * That is known only where a name was chosen, because it was free when it was chosen: a file of the right size that is
 * there now, while no temp file is left, is ours. Under `overwrite` an older file of the same size could have been
 * there before; the server has no hash to ask for, and no time to rely on. So it is sent again, which does no harm.
 */
const recover = Effect.fn("Ftp.recover")(function* (
  lane: Lane,
  task: Destination.Task
): Effect.fn.Return<Option.Option<Receipt>, DeliveryError> {
  yield* checkName(task)
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const client = yield* lane.pool.get(task.delivery.target, task.secrets)
      const place = yield* placeOf(client, task)
      const adopted = yield* adopt(client, place, task)
      for (const temp of [task.temp, ...task.stale]) yield* client.ask(`DELE ${place.folder}/${wire(temp)}`)
      return adopted
    })
  )
})

const adopt = (
  client: FtpClient,
  place: Place,
  task: Destination.Task
): Effect.Effect<Option.Option<Receipt>, DeliveryError> =>
  Effect.gen(function* () {
    const { chosen, generation } = task.delivery
    if (chosen === null) return Option.none()
    for (const temp of [task.temp, ...task.stale]) {
      if ((yield* sizeOf(client, `${place.folder}/${wire(temp)}`)) !== "absent") return Option.none()
    }
    if ((yield* sizeOf(client, place.at(chosen))) !== generation.size) return Option.none()
    return Option.some({
      bytes: generation.size,
      sha256: null,
      said: "found at the target after a restart",
      verified: "size",
      name: chosen
    })
  })

/** Where a delivery goes at the server: wire paths, absolute. */
interface Place {
  readonly folder: string
  /** The place of a name below the target. */
  readonly at: (name: string) => string
}

const placeOf = (client: FtpClient, task: Destination.Task): Effect.Effect<Place, DeliveryError> => {
  const { name, target } = task.delivery
  const inHome = target.path === "~" || target.path.startsWith("~/")
  return Effect.map(inHome ? client.home : Effect.succeed(""), (home) => {
    const path = (inHome ? target.path.slice(1) : target.path).split("/").filter((segment) => segment !== "")
    const root = `${home}${path.map((segment) => `/${wire(segment)}`).join("")}`
    const folder = RelPath.dirname(name)
    return { folder: folder === "" ? root : `${root}/${wire(folder)}`, at: (name) => `${root}/${wire(name)}` }
  })
}

/** Before anything is sent: what a command line can't carry, and what would lead out of the target. */
const checkName = (task: Destination.Task): Effect.Effect<void, PermanentError> => {
  const { chosen, generation, name, target } = task.delivery
  const paths = [name, ...(chosen === null ? [] : [chosen])]
  const refuse = (why: string) =>
    Effect.fail(
      new PermanentError({
        reason: `${SourceReader.describe(generation)} can't be sent to ${target.url}: ${why}. Rename the file.`,
        cause: Option.none()
      })
    )
  // oxlint-disable-next-line no-control-regex
  if (paths.some((path) => /[\r\n\0]/.test(path)) || /[\r\n\0]/.test(target.path)) {
    return refuse("its name has a line break or a NUL in it, which FTP can't carry")
  }
  const segments = paths.flatMap((path) => path.split("/"))
  if (segments.some((segment) => segment === "" || segment === "." || segment === "..")) {
    return refuse("its name has an empty part, . or ..")
  }
  return Effect.void
}

/** The size of a file in bytes; `unknown` where the server won't say. */
const sizeOf = (client: FtpClient, path: string): Effect.Effect<number | "absent" | "unknown", DeliveryError> =>
  Effect.gen(function* () {
    const answer = yield* client.ask(`SIZE ${path}`)
    const size = answer.code === 213 ? /^213[ -]\s*(\d+)/.exec(answer.message)?.[1] : undefined
    if (size !== undefined) return Number(size)
    if (answer.code === 550) return "absent"
    return yield* listedSize(client, path, "absent" as const)
  })

/** The same by listing the folder, for servers without SIZE. */
const listedSize = <A extends "absent" | "unknown">(
  client: FtpClient,
  path: string,
  otherwise: A
): Effect.Effect<number | A | "unknown", DeliveryError> =>
  client.list(path.slice(0, path.lastIndexOf("/")) || "/").pipe(
    Effect.map((entries) => {
      const name = path.slice(path.lastIndexOf("/") + 1)
      return entries.find((entry) => entry.name === name)?.size ?? otherwise
    }),
    Effect.catchTag("PermanentError", () => Effect.succeed("unknown" as const))
  )

const verifySize = (
  client: FtpClient,
  temp: string,
  sent: number,
  task: Destination.Task
): Effect.Effect<"size" | "status", DeliveryError> =>
  Effect.gen(function* () {
    const asked = yield* sizeOf(client, temp)
    // A write-only account may be refused the size of what is there.
    const size = asked === "absent" ? yield* listedSize(client, temp, "unknown" as const) : asked
    if (size === "unknown") return "status"
    if (size === sent) return "size"
    return yield* new TransientError({
      reason: `${targetOf(task)}: the server kept ${size} of the ${sent} bytes that were sent; they were removed again.`,
      cause: Option.none()
    })
  })

type Picked = { readonly _tag: "Name"; readonly name: RelPath.RelPath } | { readonly _tag: "Skip" }

/** The final name under the conflict policy, as things are now. */
const pickName = (client: FtpClient, place: Place, task: Destination.Task): Effect.Effect<Picked, DeliveryError> =>
  Effect.gen(function* () {
    const { chosen, name, target } = task.delivery
    const conflict = target.options.conflict
    const wanted = chosen ?? name
    if (conflict === "overwrite") return { _tag: "Name", name: wanted }
    if ((yield* sizeOf(client, place.at(wanted))) === "absent") return { _tag: "Name", name: wanted }
    if (conflict === "skip") return { _tag: "Skip" }
    if (conflict === "rename") {
      for (let index = 1; index <= maxRenames; index++) {
        const next = numbered(name, index)
        if ((yield* sizeOf(client, place.at(next))) === "absent") return { _tag: "Name", name: next }
      }
    }
    return yield* new PermanentError({
      reason:
        conflict === "rename"
          ? `${targetOf(task)} is there already, and so are its first ${maxRenames} numbered names. Clean up there.`
          : `${targetOf(task)} is there already. Remove it there, or choose another \`conflict\`.`,
      cause: Option.none()
    })
  })

/** `a/b.txt` → `a/b (1).txt` */
const numbered = (name: string, index: number): RelPath.RelPath => {
  const base = RelPath.basename(name)
  const dot = base.lastIndexOf(".")
  const stem = dot > 0 ? base.slice(0, dot) : base
  return RelPath.make(`${name.slice(0, name.length - base.length)}${stem} (${index})${base.slice(stem.length)}`)
}

const publish = (
  client: FtpClient,
  temp: string,
  final: string,
  overwrite: boolean
): Effect.Effect<void, DeliveryError> => {
  const rename = Effect.zipRight(client.command(`RNFR ${temp}`), client.command(`RNTO ${final}`))
  return rename.pipe(
    Effect.catchTag("PermanentError", (error) =>
      overwrite
        ? Effect.flatMap(sizeOf(client, final), (there) =>
            typeof there === "number" ? Effect.zipRight(client.command(`DELE ${final}`), rename) : Effect.fail(error)
          )
        : Effect.fail(error)
    ),
    Effect.asVoid
  )
}

/** Best effort: the time is a courtesy, and not every server can set it. */
const setModified = (client: FtpClient, path: string, mtime: number): Effect.Effect<void, DeliveryError> => {
  if (!client.features.has("MFMT") || !Number.isFinite(mtime)) return Effect.void
  const time = new Date(mtime).toISOString().replace(/\.\d+Z$|[-:T]/g, "")
  return Effect.asVoid(client.ask(`MFMT ${time} ${path}`))
}

/** Makes the folder and those above it. Answers whether it was only remembered to be there. */
const ensureFolder = (lane: Lane, client: FtpClient, folder: string): Effect.Effect<boolean, DeliveryError> =>
  Effect.gen(function* () {
    if (folder === "" || lane.folders.has(folder)) return true
    const entered = yield* client.ask(`CWD ${folder}`)
    if (entered.code >= 500) {
      yield* ensureFolder(lane, client, folder.slice(0, folder.lastIndexOf("/")))
      const made = yield* client.ask(`MKD ${folder}`)
      // Another worker may have been faster.
      if (made.code >= 500 && (yield* client.ask(`CWD ${folder}`)).code >= 500) {
        return yield* new PermanentError({
          reason: `The folder ${readable(folder)} is not at the server and could not be made there: "${readable(made.message)}". Check the target's path and that the user may write there.`,
          cause: Option.none()
        })
      }
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

const removeTemp = (lane: Lane, client: FtpClient, task: Destination.Task, temp: string): Effect.Effect<void> =>
  Effect.suspend(() =>
    client.closed()
      ? Effect.scoped(
          Effect.flatMap(lane.pool.get(task.delivery.target, task.secrets), (fresh) => fresh.ask(`DELE ${temp}`))
        )
      : client.ask(`DELE ${temp}`)
  ).pipe(
    Effect.interruptible,
    Effect.timeout(cleanupTimeout),
    // it is named among the stale ones next time
    Effect.catchAllCause((cause) => Effect.logDebug(`${readable(temp)} could not be removed`, cause))
  )

const skipped = (task: Destination.Task): SkippedError =>
  new SkippedError({ reason: `Skipped: there is a file ${targetOf(task)} already`, cause: Option.none() })

const targetOf = (task: Destination.Task): string => RelPath.display(location(task.delivery.target, task.delivery.name))
