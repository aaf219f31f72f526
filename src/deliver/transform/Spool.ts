/**
 * The spool: a private folder beside the journal's database, with the files that are to be sent in another form than
 * their sources have.
 *
 * A file is transformed once for a delivery, and what came of it is sent like any other file, by whatever protocol. All
 * attempts send the same bytes, so that an upload which was cut goes on, even after a restart: encryption makes others
 * each time. A file stays until its delivery is concluded; of what waits for another attempt only as many are kept as
 * a lane may have under way, because all can be made again.
 */
import { createHash } from "node:crypto"
import { chmod, lstat, mkdir, readdir, rm } from "node:fs/promises"
import { Clock, Effect, Option, type Context, type Scope } from "effect"
import { DeliveryId, type Delivery } from "../../domain/Delivery.ts"
import {
  PermanentError,
  SourceChangedError,
  SourceGoneError,
  TransientError,
  type DeliveryError
} from "../../domain/DeliveryError.ts"
import { Stamp, stamp as stampOf, type Generation } from "../../domain/Generation.ts"
import * as RelPath from "../../domain/RelPath.ts"
import type { Transform } from "../../domain/Target.ts"
import { below, fsPath } from "../../files/names.ts"
import type { Deliveries } from "../../store/Deliveries.ts"
import type { Conclusion } from "../../store/Journal.ts"
import type { Task } from "../Destination.ts"
import { resumable } from "../Resume.ts"
import * as SourceReader from "../SourceReader.ts"
import { parseName, type Job, type Made, type Result } from "./job.ts"
import type { Transformer } from "./Transformer.ts"

/** What is sent instead of the source. */
export interface Spooled {
  /** The file in the spool, as if it were a source file. */
  readonly generation: Generation
  /** Of it, in hex. */
  readonly sha256: string
  /** Of the source, in hex. */
  readonly sourceSha256: string
  /** What was begun at the target with bytes that are lost: no other bytes can go on with it. */
  readonly foreign: string | null
}

export interface Spool {
  /** Absolute. */
  readonly folder: string
  /** Makes the file for a delivery, or finds it. */
  readonly take: (task: Task, transform: Transform) => Effect.Effect<Spooled, DeliveryError>
  /** Something of it went out; `chosen`: it may have got its final name. */
  readonly sent: (id: DeliveryId, what: "bytes" | "chosen") => void
  /** What was begun with lost bytes is cleared away. */
  readonly cleared: (id: DeliveryId) => void
  /** The file is not what it was. */
  readonly drop: (id: DeliveryId) => Effect.Effect<void>
  /** These are committed. */
  readonly concluded: (batch: ReadonlyArray<Conclusion>) => Effect.Effect<void>
}

export interface Options {
  readonly folder: string
  /** That of the journal. */
  readonly journal: string
  readonly transformer: Transformer
  /** To ask what became of a delivery. */
  readonly deliveries: Pick<Context.Tag.Service<typeof Deliveries>, "get">
}

/** The transform that changes anything. */
export const transformOf = ({ target }: Pick<Delivery, "target">): Transform | undefined => {
  const { transform } = target.options
  if (transform === null) return undefined
  const { age, compress, decompress } = transform
  return decompress === null && compress === "none" && age.length === 0 ? undefined : transform
}

/** How often it is asked what became of deliveries that have files here; in milliseconds. */
const interval = 60_000
/** How long nothing is tried after the disk was found full; in milliseconds. */
const rest = 15_000

interface Entry {
  readonly name: string
  lane: string
  /** Undefined: it is of an earlier run, and not yet proved to be what its name says. */
  made: Made | undefined
  /** An attempt has it. */
  busy: boolean
  used: number
  /** The lane's. */
  concurrency: number
  sent: boolean
  chosen: boolean
  foreign: string | null
  delivery: Delivery | undefined
}

export const make = (options: Options): Effect.Effect<Spool, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { deliveries, folder, transformer } = options
    const entries = new Map<DeliveryId, Entry>()
    let uses = 0
    let temps = 0
    let ready = false
    let full: { readonly until: number; readonly reason: (file: Generation) => string } | undefined

    const unlink = (name: string): Effect.Effect<void> =>
      Effect.promise(() => rm(fsPath(below(folder, name)), { force: true }).catch(() => undefined))

    const remove = (id: DeliveryId): Effect.Effect<void> =>
      Effect.suspend(() => {
        const entry = entries.get(id)
        entries.delete(id)
        return entry === undefined ? Effect.void : unlink(entry.name)
      })

    // what an earlier run has left

    const left = new Map<DeliveryId, ReadonlyArray<string>>()
    for (const name of yield* Effect.promise(() => readdir(fsPath(folder)).catch(() => []))) {
      const id = idOf(name)
      if (id === undefined) continue
      if (parseName(name) === undefined) yield* unlink(name)
      else left.set(id, [...(left.get(id) ?? []), name])
    }
    for (const [id, [name, ...others]] of left) {
      if (name === undefined) continue
      if (others.length === 0) entries.set(id, { ...blank, name })
      // nobody can tell which of them went out
      else yield* Effect.forEach([name, ...others], unlink, { discard: true })
    }

    /** Removes what belongs to no open delivery: one that was cancelled, or that was concluded just before a crash. */
    const tidy = Effect.gen(function* () {
      for (const [id, entry] of Array.from(entries)) {
        if (entry.busy) continue
        const found = yield* Effect.option(deliveries.get(id))
        if (Option.isNone(found) || entries.get(id) !== entry || entry.busy) continue
        const isOpen = Option.exists(found.value, (one) => open.has(one.state) && hasPrefix(entry, one))
        if (!isOpen) yield* remove(id)
      }
    })

    const hasPrefix = (entry: Entry, delivery: Delivery): boolean => {
      const transform = transformOf(delivery)
      return transform !== undefined && entry.name.startsWith(`${prefixOf(options.journal, delivery, transform)}.`)
    }

    const isIntact = ({ name, stamp }: Made): Effect.Effect<boolean> =>
      Effect.promise(() =>
        lstat(fsPath(below(folder, name)), { bigint: true }).then(
          (stat) => stampOf(stat) === stamp,
          () => false
        )
      )

    // making

    const prepareFolder = Effect.tryPromise({
      try: async () => {
        await mkdir(fsPath(folder), { recursive: true, mode: 0o700 })
        const stat = await lstat(fsPath(folder))
        if (!stat.isDirectory()) throw new Error("it is no folder")
        if ((stat.mode & 0o077) !== 0) await chmod(fsPath(folder), 0o700)
        ready = true
      },
      catch: (error) =>
        new TransientError({
          reason: `The folder ${RelPath.display(folder)}, in which files are prepared before they are sent, can't be used (${SourceReader.codeOf(error) ?? String(error)}). Let this user write there; it goes on by itself.`,
          cause: Option.some(error),
          retryAfter: rest,
          counts: false
        })
    })

    /** What waits for another attempt can be made again. */
    const makeRoom = Effect.suspend(() =>
      Effect.forEach(
        Array.from(entries).filter(([, entry]) => !entry.busy && !isNeeded(entry)),
        ([id]) => remove(id),
        { discard: true }
      )
    )

    const fresh = (task: Task, transform: Transform): Effect.Effect<Entry, DeliveryError> =>
      Effect.gen(function* () {
        const { delivery } = task
        const now = yield* Clock.currentTimeMillis
        if (full !== undefined && now < full.until) return yield* spoolError(full.reason(delivery.generation))
        if (!ready) yield* prepareFolder
        const { generation } = delivery
        const prefix = prefixOf(options.journal, delivery, transform)
        const job: Job = {
          root: generation.source,
          path: generation.path,
          stamp: generation.stamp,
          size: generation.size,
          transform,
          entry: entryOf(delivery),
          folder,
          temp: `${prefix}.${(temps += 1)}.part`,
          prefix,
          // only what takes long to send is worth that: after a power cut a smaller one is simply made again
          sync: task.sync && generation.size >= resumable
        }
        const result = yield* transformer.make(job, () => task.preparing?.beat())
        if (result._tag === "Failed") {
          if (result.kind === "spool") {
            ready = false
            // whoever comes next need not find that out by writing until there is no space again
            const file = SourceReader.describe(generation)
            full = {
              until: now + rest,
              reason: (other) => result.reason.replaceAll(file, SourceReader.describe(other))
            }
            yield* makeRoom
          }
          return yield* toError(result)
        }
        full = undefined
        return {
          ...blank,
          name: result.name,
          made: result,
          foreign: delivery.resume
        }
      })

    /** What an earlier attempt has used; undefined: there is none, or it is of no use. */
    const known = (task: Task): Effect.Effect<Entry | undefined, DeliveryError> =>
      Effect.gen(function* () {
        const { delivery } = task
        const entry = entries.get(delivery.id)
        if (entry === undefined) return undefined
        entry.busy = true
        if (hasPrefix(entry, delivery)) {
          const beat = () => task.preparing?.beat()
          entry.made ??= (yield* transformer.prove({ folder, name: entry.name }, beat)) ?? undefined
          if (entry.made !== undefined && (yield* isIntact(entry.made))) {
            yield* unchanged(delivery.generation)
            return entry
          }
        }
        yield* remove(delivery.id)
        return undefined
      })

    const take: Spool["take"] = (task, transform) =>
      Effect.gen(function* () {
        const { delivery } = task
        const entry = (yield* known(task)) ?? (yield* fresh(task, transform))
        const { made } = entry
        if (made === undefined) return yield* Effect.dieMessage("a file of the spool was not proved")
        entries.set(delivery.id, entry)
        entry.busy = true
        entry.used = uses += 1
        entry.lane = delivery.target.lane
        entry.concurrency = delivery.target.options.concurrency
        entry.delivery = delivery
        return {
          generation: {
            ...delivery.generation,
            source: folder,
            path: RelPath.make(made.name),
            stamp: Stamp.make(made.stamp),
            size: made.size,
            after: { _tag: "Keep" },
            onDead: null,
            marker: null
          },
          sha256: made.sha256,
          sourceSha256: made.sourceSha256,
          foreign: entry.foreign
        }
      })

    /** It waits for another attempt: kept, as long as there is room. */
    const waits = ({ id, target: { lane } }: Delivery): Effect.Effect<void> =>
      Effect.suspend(() => {
        const entry = entries.get(id)
        if (entry === undefined) return Effect.void
        entry.busy = false
        const waiting = Array.from(entries).filter(([, one]) => !one.busy && one.lane === lane)
        const surplus = waiting
          .filter(([, one]) => !isNeeded(one))
          .sort(([, left], [, right]) => left.used - right.used)
          .slice(0, Math.max(0, waiting.length - entry.concurrency))
        return Effect.forEach(surplus, ([other]) => remove(other), { discard: true })
      })

    yield* Effect.forkScoped(Effect.forever(Effect.zipRight(tidy, Effect.sleep(interval))))

    return {
      folder,
      take,
      sent: (id, what) => {
        const entry = entries.get(id)
        if (entry === undefined) return
        entry.sent = true
        if (what === "chosen") entry.chosen = true
      },
      cleared: (id) => {
        const entry = entries.get(id)
        if (entry !== undefined) entry.foreign = null
      },
      drop: remove,
      concluded: (batch) =>
        Effect.suspend(() =>
          entries.size === 0
            ? Effect.void
            : Effect.forEach(
                batch,
                (conclusion) =>
                  conclusion._tag === "NotDelivered" && open.has(conclusion.state)
                    ? waits(conclusion.delivery)
                    : remove(conclusion.delivery.id),
                { discard: true }
              )
        )
    }
  })

const blank = {
  lane: "",
  made: undefined,
  busy: false,
  used: 0,
  concurrency: 1,
  sent: false,
  chosen: false,
  foreign: null,
  delivery: undefined
}

const open: ReadonlySet<string> = new Set(["PENDING", "SENDING", "PUBLISHING", "RETRY_WAIT", "BLOCKED"])

/**
 * Whether no other bytes will do: they may be at the target under a name that is found again by its content, or a
 * server may have been told what to expect under an idempotency key.
 */
const isNeeded = ({ chosen, delivery, sent }: Entry): boolean => {
  if (delivery === undefined) return true
  const encrypts = (transformOf(delivery)?.age.length ?? 0) > 0
  return encrypts && sent && (chosen || delivery.chosen !== null || delivery.target.options.idempotency)
}

/** The same for all attempts at a delivery, and for no other delivery of any journal. */
const prefixOf = (journal: string, { generation, id, name }: Delivery, transform: Transform): string => {
  const { path, source, stamp } = generation
  const { age, compress, decompress } = transform
  const key = JSON.stringify([journal, id, source, path, stamp, name, decompress?.limit ?? null, compress, age])
  return `${id}-${createHash("sha256").update(key).digest("hex").slice(0, 24)}`
}

/** Nothing but our own files is ever removed. */
const idOf = (name: string): DeliveryId | undefined => {
  const id = /^(\d{1,15})-[0-9a-f]{24}\./.exec(name)?.[1]
  return id === undefined ? undefined : DeliveryId.make(Number(id))
}

/** In a zip file a file is called what it would be called at the target without it. */
const entryOf = ({ generation, name }: Delivery): string => {
  const stem = RelPath.basename(name)
    .replace(/(?:\.age)?$/, "")
    .replace(/\.zip$/i, "")
  return stem === "" ? RelPath.basename(generation.path) : stem
}

/** Whether the source still is the generation that was transformed. */
const unchanged = (generation: Generation): Effect.Effect<void, DeliveryError> =>
  Effect.scoped(Effect.asVoid(SourceReader.open(generation)))

const spoolError = (reason: string): TransientError =>
  new TransientError({ reason, cause: Option.none(), retryAfter: rest, counts: false })

const toError = ({ kind, reason }: Extract<Result, { _tag: "Failed" }>) => {
  const fields = { reason, cause: Option.none() }
  switch (kind) {
    case "changed":
      return new SourceChangedError(fields)
    case "gone":
      return new SourceGoneError(fields)
    case "permanent":
      return new PermanentError(fields)
    case "transient":
      return new TransientError(fields)
    case "spool":
      return spoolError(reason)
  }
}
