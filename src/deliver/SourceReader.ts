/**
 * Reads the source of a delivery, once, from one descriptor, and proves that what was read is the generation that was
 * accepted.
 *
 * The file is opened without blocking on a FIFO and without following a link out of the source, and its `fstat` must
 * give the generation's stamp. The same look is taken again after the last byte was read and before that byte is handed on: a
 * protocol that cannot take an upload back is cut short instead of completed with a torn file. Never more bytes are
 * sent than the generation has.
 */
import { createHash } from "node:crypto"
import { closeSync, fstatSync, readSync, type BigIntStats } from "node:fs"
import { statfs, type FileHandle } from "node:fs/promises"
import { Readable } from "node:stream"
import { Effect, Option, type Scope } from "effect"
import { SourceChangedError, SourceGoneError, TransientError } from "../domain/DeliveryError.ts"
import { stamp, type Generation } from "../domain/Generation.ts"
import * as RelPath from "../domain/RelPath.ts"
import { openSource, openSourceHandle } from "../files/links.ts"
import type { Pace } from "./Destination.ts"

/** What can be wrong with a source. `TransientError`: no descriptor left, or the disk failed to answer. */
export type SourceError = SourceChangedError | SourceGoneError | TransientError

/** What went out: bytes of the file itself, and their sha256 in hex. */
export interface Sent {
  readonly bytes: number
  readonly sha256: string
}

export interface Flow {
  /** Gets the bytes of each chunk as it is handed on, those of a frame included. */
  readonly progress: (bytes: number) => void
  /** Holds each chunk back until it may go out. */
  readonly pace?: Pace | undefined
}

export interface SourceReader {
  /** Bytes, of the file. */
  readonly size: number
  /**
   * Reads and hashes the first bytes without handing them on, and answers their sha256 in hex: of an upload that is
   * resumed, what is at the target already. To be called before anything else is read.
   */
  readonly skip: (bytes: number, flow: Flow) => Effect.Effect<string, SourceError>
  /**
   * The next bytes, fewer than `length` only at the end of the file; empty once there are none. For a protocol that
   * sends in parts of its own. Not beside {@link stream}, and one call at a time.
   */
  readonly read: (length: number, flow: Flow) => Effect.Effect<Uint8Array, SourceError>
  /**
   * The file, from where {@link skip} has left it, as a back-pressured stream of chunks of 1 MiB at most, between
   * `before` and `after`; one chunk at most is read ahead. To be taken once. It fails with a {@link SourceError}, and
   * it ends with the scope at the latest.
   *
   * `drains`: whoever takes it has done with a chunk before it takes the next but one, as a socket has that it is piped
   * into. The memory of a chunk is then used again.
   *
   * `lent`: for whoever says of each chunk when it has done with it, by putting it back there.
   */
  readonly stream: (
    options: Flow & {
      readonly before?: Uint8Array
      readonly after?: Uint8Array
      readonly drains?: boolean
      readonly lent?: Array<Uint8Array>
    }
  ) => Readable
  /** Why the stream failed, where the source was to blame: what a protocol library makes of it says less. */
  readonly failure: () => Option.Option<SourceError>
  /** Whether any byte was handed on. */
  readonly begun: () => boolean
  /** Whether the last byte, frame included, was handed on: the far side may have all of it. */
  readonly complete: () => boolean
  /** What was sent, of a stream that is complete: one consistent state of the file. Costs nothing. */
  readonly sent: Effect.Effect<Sent, SourceError>
  /** The same, after another look at the file: to be asked just before publishing. */
  readonly finish: Effect.Effect<Sent, SourceError>
}

/** Opens the source of a generation; the descriptor is closed with the scope. */
export const open: (generation: Generation) => Effect.Effect<SourceReader, SourceError, Scope.Scope> = Effect.fn(
  "SourceReader.open"
)(function* (generation: Generation) {
  const handle = yield* handleOf(generation)
  const reader = new Reader(handle, generation)
  yield* Effect.addFinalizer(() => Effect.sync(() => reader.stop()))

  const sent = Effect.suspend(() => reader.sent())
  return {
    size: generation.size,
    skip: (bytes, flow) =>
      Effect.tryPromise({ try: () => reader.skip(bytes, flow), catch: (error) => reader.fail(error) }),
    read: (length, flow) =>
      Effect.tryPromise({ try: () => reader.read(length, flow), catch: (error) => reader.fail(error) }),
    stream: (options) => reader.stream(options),
    failure: () => reader.failure,
    begun: () => reader.begun,
    complete: () => reader.complete,
    sent,
    finish: Effect.zipRight(
      Effect.tryPromise({ try: () => verify(handle, generation), catch: (error) => readError(generation, error) }),
      sent
    )
  } satisfies SourceReader
})

/** One that is what it was when it was accepted. */
const handleOf = (generation: Generation): Effect.Effect<FileHandle, SourceError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () => openSourceHandle(generation.source, generation.path),
      catch: (error) => openError(generation, error)
    }),
    // a failure to close a descriptor that was only read from loses nothing
    (handle) => Effect.promise(() => handle.close().catch(() => undefined))
  ).pipe(
    Effect.tap((handle) =>
      Effect.tryPromise({
        try: () => verify(handle, generation),
        catch: (error) => readError(generation, error)
      })
    )
  )

/**
 * The sha256, in hex, of the bytes from `start` to `end` of a source, beside whatever else reads it. `progress` keeps
 * the watchdog quiet where that takes its time.
 */
export const peek = (
  generation: Generation,
  start: number,
  end: number,
  progress?: (bytes: number) => void
): Effect.Effect<string, SourceError> =>
  Effect.scoped(
    Effect.flatMap(handleOf(generation), (handle) =>
      Effect.tryPromise({
        try: async () => {
          const digest = createHash("sha256")
          for (let at = start; at < end;) {
            const length = Math.min(chunkSize, end - at)
            const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(length), 0, length, at)
            if (bytesRead === 0) throw changed(generation)
            digest.update(buffer.subarray(0, bytesRead))
            at += bytesRead
            progress?.(bytesRead)
          }
          await verify(handle, generation)
          return digest.digest("hex")
        },
        catch: (error) => readError(generation, error)
      })
    )
  )

/**
 * A small file as a whole, with the same proofs; `progress` and `pace` see it as it is read. On a disk of this machine
 * a few direct calls are several times faster than as many hops through the thread pool; a file system on a network
 * could hold up everything by them.
 */
export const whole = (generation: Generation, flow: Flow): Effect.Effect<Whole, SourceError> =>
  Effect.suspend(() => {
    const device = generation.stamp.slice(0, generation.stamp.indexOf(":"))
    const local = generation.size <= directly && flow.pace === undefined ? nearby.get(device) : false
    if (local === undefined) {
      return Effect.flatMap(isNearby(generation.source), (answer) => {
        nearby.set(device, answer)
        return whole(generation, flow)
      })
    }
    if (local) {
      return Effect.try({
        try: () => {
          const content = readDirectly(generation)
          flow.progress(content.byteLength)
          const sha256 = createHash("sha256").update(content).digest("hex")
          return { content, sent: { bytes: content.byteLength, sha256 } }
        },
        catch: (error) => (error instanceof SourceChangedError ? error : openError(generation, error))
      })
    }
    return Effect.scoped(
      Effect.flatMap(open(generation), (reader) =>
        Effect.flatMap(reader.read(generation.size, flow), (content) =>
          Effect.map(reader.sent, (sent) => ({ content, sent }))
        )
      )
    )
  })

/**
 * The same at once. Undefined where that could hold up everything, or where anything is not as it should be: {@link whole}
 * then says what.
 */
export const wholeNow = (generation: Generation): Whole | undefined => {
  const device = generation.stamp.slice(0, generation.stamp.indexOf(":"))
  if (generation.size > directly || nearby.get(device) !== true) return undefined
  try {
    const content = readDirectly(generation)
    return { content, sent: { bytes: content.byteLength, sha256: createHash("sha256").update(content).digest("hex") } }
  } catch {
    return undefined
  }
}

export interface Whole {
  readonly content: Uint8Array
  readonly sent: Sent
}

/** Up to this size a read takes less than a hop. */
const directly = 64 * 1024

/** By device. */
const nearby = new Map<string, boolean>()

/** The usual file systems of disks and of memory, by their magic numbers (statfs(2)). */
const disks = new Set([0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x2fc12fc1, 0x01021994, 0x794c7630, 0xca451a4e])

const isNearby = (folder: string): Effect.Effect<boolean> =>
  Effect.promise(() =>
    statfs(folder).then(
      ({ type }) => disks.has(type),
      () => false
    )
  )

const readDirectly = (generation: Generation): Uint8Array => {
  const file = openSource(generation.source, generation.path)
  try {
    check(generation, fstatSync(file, { bigint: true }))
    const content = Buffer.allocUnsafe(generation.size)
    for (let at = 0; at < content.byteLength;) {
      const bytes = readSync(file, content, at, content.byteLength - at, at)
      if (bytes === 0) throw changed(generation)
      at += bytes
    }
    check(generation, fstatSync(file, { bigint: true }))
    return content
  } finally {
    closeSync(file)
  }
}

/** The source file, for people. */
export const describe = (generation: Generation): string => RelPath.display(`${generation.source}/${generation.path}`)

const chunkSize = 256 * 1024
const smallestChunk = 64 * 1024
const largestChunk = 1024 * 1024

/** Large ones cost less, but a slow line is to show that it moves; `took`: the last one, in milliseconds. */
const nextSize = (size: number, most: number, took: number): number => {
  if (took < 20) return Math.min(most, size * 2)
  return took > 500 ? Math.max(smallestChunk, size / 2) : size
}

class Reader {
  failure: Option.Option<SourceError> = Option.none()
  begun = false
  complete = false
  private bytes = 0
  private readonly hash = createHash("sha256")
  private digest: string | undefined
  private body: Readable | undefined

  constructor(
    private readonly handle: FileHandle,
    private readonly generation: Generation
  ) {}

  async skip(bytes: number, { progress }: Flow): Promise<string> {
    while (this.bytes < bytes) {
      const chunk = await this.next(Math.min(chunkSize, bytes - this.bytes))
      if (chunk === undefined) throw changed(this.generation)
      progress(chunk.byteLength)
    }
    return this.hash.copy().digest("hex")
  }

  async read(length: number, { pace, progress }: Flow): Promise<Uint8Array> {
    const part = Buffer.allocUnsafeSlow(Math.min(length, this.generation.size - this.bytes))
    let at = 0
    while (at < part.byteLength) {
      const most = Math.min(chunkSize, pace?.chunk() ?? chunkSize, part.byteLength - at)
      const chunk = await this.next(most, part.subarray(at))
      if (chunk === undefined) break
      await pace?.wait(chunk.byteLength)
      this.begun = true
      progress(chunk.byteLength)
      at += chunk.byteLength
    }
    await this.finishIfLast()
    return part.subarray(0, at)
  }

  fail(error: unknown): SourceError {
    const failure = readError(this.generation, error)
    this.failure = Option.some(failure)
    return failure
  }

  /** Once everything was read: only a file that is still the same may be completed. */
  private async finishIfLast(): Promise<boolean> {
    if (this.bytes < this.generation.size || this.complete) return this.complete
    await verify(this.handle, this.generation)
    this.digest = this.hash.digest("hex")
    this.complete = true
    return true
  }

  stream(options: Parameters<SourceReader["stream"]>[0]): Readable {
    const { drains = false, lent = [] } = options
    /** What was handed on last, which a socket may be writing yet. */
    let newest: Uint8Array | undefined
    let size = chunkSize
    const most = drains ? largestChunk : chunkSize
    let last = performance.now()
    const pull = async (body: Readable) => {
      if (this.complete) return
      const before = this.begun ? undefined : options.before
      const now = performance.now()
      size = nextSize(size, most, now - last)
      last = now
      const wanted = Math.min(size, options.pace?.chunk() ?? size)
      const chunk = await this.next(wanted, bufferOf(lent.pop()))
      if (drains) {
        if (newest !== undefined) lent.push(newest)
        // a socket is asked to drain by no less
        newest = wanted >= smallestChunk ? chunk : undefined
      }
      if (chunk !== undefined) await options.pace?.wait(chunk.byteLength)
      const ended = await this.finishIfLast()
      this.begun = true
      // One push for each read, or node reads again in the middle of it.
      const data = joined([before, chunk, ended ? options.after : undefined])
      options.progress(data.byteLength)
      if (data.byteLength > 0) body.push(data)
      if (ended) body.push(null)
    }
    this.body = new Readable({
      // whatever is there is enough
      highWaterMark: 1,
      read() {
        pull(this).catch((error: unknown) => fail(this, error))
      }
    })
    const fail = (body: Readable, error: unknown) => {
      body.destroy(this.fail(error))
    }
    return this.body
  }

  sent(): Effect.Effect<Sent, SourceError> {
    if (Option.isSome(this.failure)) return Effect.fail(this.failure.value)
    return this.digest === undefined
      ? Effect.dieMessage("the source was not read to its end")
      : Effect.succeed({ bytes: this.bytes, sha256: this.digest })
  }

  stop() {
    if (this.body === undefined || this.body.destroyed) return
    // whoever read it may have taken its listeners away
    this.body.on("error", () => undefined)
    this.body.destroy()
  }

  private async next(most: number, into?: Buffer): Promise<Uint8Array | undefined> {
    const wanted = Math.min(most, this.generation.size - this.bytes)
    if (wanted === 0) return undefined
    const buffer = into !== undefined && into.byteLength >= wanted ? into : Buffer.allocUnsafeSlow(wanted)
    const { bytesRead } = await this.handle.read(buffer, 0, wanted, this.bytes)
    if (bytesRead === 0) throw changed(this.generation)
    const chunk = buffer.subarray(0, bytesRead)
    this.hash.update(chunk)
    this.bytes += bytesRead
    return chunk
  }
}

/** All the memory of a chunk that was given back. */
const bufferOf = (chunk: Uint8Array | undefined): Buffer | undefined =>
  chunk === undefined || chunk.buffer.byteLength < smallestChunk ? undefined : Buffer.from(chunk.buffer)

const joined = (parts: ReadonlyArray<Uint8Array | undefined>): Uint8Array => {
  const present = parts.filter((part) => part !== undefined)
  return present.length === 1 && present[0] !== undefined ? present[0] : Buffer.concat(present)
}

const verify = async (handle: FileHandle, generation: Generation): Promise<void> => {
  check(generation, await handle.stat({ bigint: true }))
}

const check = (generation: Generation, stat: BigIntStats): void => {
  if (!stat.isFile() || stamp(stat) !== generation.stamp) throw changed(generation)
}

const changed = (generation: Generation): SourceChangedError =>
  new SourceChangedError({
    reason: `${describe(generation)} changed after it was accepted; it will be sent as it ends up.`,
    cause: Option.none()
  })

const openError = (generation: Generation, error: unknown): SourceError => {
  switch (codeOf(error)) {
    case "ENOENT":
    case "ENOTDIR":
      return new SourceGoneError({
        reason: `${describe(generation)} is gone; it was removed or renamed before it could be sent.`,
        cause: Option.some(error)
      })
    case "EACCES":
    case "EPERM":
      return new SourceGoneError({
        reason: `${describe(generation)} can't be read: permission denied. Give the user of filedispatch read access to it.`,
        unreadable: true,
        cause: Option.some(error)
      })
    // a link, a socket or a device has taken the place of the file
    case "ELOOP":
    case "ENXIO":
    case "ENODEV":
      return changed(generation)
    default:
      return readError(generation, error)
  }
}

const readError = (generation: Generation, error: unknown): SourceError =>
  error instanceof SourceChangedError
    ? error
    : new TransientError({
        reason: `${describe(generation)} could not be read (${codeOf(error) ?? "unknown error"}); it will be tried again.`,
        cause: Option.some(error)
      })

/** The system's code in an error of node. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined
