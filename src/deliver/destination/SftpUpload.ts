/**
 * One file on its way to an SFTP server: as many writes under way as the line takes, and no more memory than those.
 */
import type { Readable } from "node:stream"
import { flag, LostError, status, StatusError, type SftpWire } from "./SftpWire.ts"

export interface Job {
  readonly path: string
  /** Not taken where {@link content} is there. */
  readonly body?: Readable
  /** All of a small file. */
  readonly content?: Uint8Array | undefined
  /** Takes back the memory of a chunk of the body. */
  readonly giveBack?: ((chunk: Uint8Array) => void) | undefined
  /** Bytes that are there and are kept. */
  readonly offset: number
  readonly sync: boolean
  /** Milliseconds since the epoch. */
  readonly mtime: number
}

/** Bytes of one file from the first one that is not yet answered for to the end of what was sent: a hole is in them. */
export const inFlight = 2 * 1024 * 1024
/** A file of no more is stored without waiting for anything but its handle. */
const small = 64 * 1024

export class SftpUpload {
  /** Bytes of the file that the server has then, as it says itself; undefined where it does not. */
  size: number | undefined
  /** Settles once nothing more is done for this upload, however it ended. */
  readonly done: Promise<void>
  private pending = 0
  /** Where the writes begin that are not answered for, from the first on. */
  private readonly unanswered = new Set<number>()
  private failure: unknown
  private aborted = false
  /** Whether everything was sent at once, and what that was. */
  private hurried = false
  private readonly kept: Array<Uint8Array> = []
  private wake: (() => void) | undefined

  constructor(
    private readonly wire: SftpWire,
    private readonly job: Job
  ) {
    this.done = this.run()
  }

  /** Sends nothing more; {@link done} fails. */
  abort(): void {
    this.aborted = true
    this.stopReading()
    this.wake?.()
  }

  private async run(): Promise<void> {
    try {
      await this.attempt(this.chunks())
    } catch (error) {
      if (!this.hurried || !(error instanceof StatusError)) throw error
      // perhaps a server that closes a file before it has written it: once more, one after the other
      this.wire.orderly = false
      this.hurried = false
      this.failure = undefined
      try {
        await this.attempt(this.kept)
      } catch (second) {
        // that was not it
        this.wire.orderly = true
        throw second
      }
    }
  }

  private chunks(): AsyncIterable<Uint8Array> | Iterable<Uint8Array> {
    const { content } = this.job
    if (content !== undefined) return content.byteLength === 0 ? [] : [content]
    return this.job.body ?? []
  }

  private stopReading(): void {
    if (this.job.content === undefined) this.job.body?.destroy()
  }

  private async attempt(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    const handle = await this.open()
    const forget = this.wire.onLost((error) => this.fail(error))
    try {
      const end = await this.send(handle, chunks)
      await this.finish(handle, end)
    } catch (error) {
      // before its temp file can be removed, some servers want it closed, and that after the last write
      while (this.pending > 0) await this.change()
      await this.wire.close(handle).catch(() => undefined)
      throw this.failure ?? error
    } finally {
      forget()
    }
  }

  /** A new file, and never one that somebody else has put there. */
  private async open(): Promise<Buffer> {
    const { offset, path } = this.job
    if (offset > 0) return this.wire.open(path, flag.write)
    const create = () => this.wire.open(path, flag.write | flag.create | flag.exclusive)
    try {
      return await create()
    } catch (error) {
      if (!(error instanceof StatusError) || (error.code !== status.failure && error.code !== status.exists))
        throw error
      try {
        await this.wire.remove(path)
      } catch (second) {
        // nothing is there: it was something else
        throw second instanceof LostError ? second : error
      }
      return create()
    }
  }

  /** Answers where the file ends. */
  private async send(handle: Buffer, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<number> {
    let at = this.job.offset
    for await (const chunk of chunks) {
      const keeps = chunks === this.kept || (this.wire.orderly && at + chunk.byteLength <= small)
      if (keeps && chunks !== this.kept) this.kept.push(chunk)
      let left = keeps ? Infinity : Math.max(1, chunk.byteLength)
      const answered = (bytes: number) => {
        left -= bytes
        if (left === 0) this.job.giveBack?.(chunk)
      }
      // pieces of one size, none of them tiny
      const pieces = Math.ceil(chunk.byteLength / this.wire.writeChunk)
      const most = Math.ceil(chunk.byteLength / Math.max(1, pieces))
      for (let from = 0; from < chunk.byteLength; from += most) {
        const piece = chunk.subarray(from, from + most)
        await this.until(() => this.pending === 0 || at + piece.byteLength - this.firstUnanswered(at) <= inFlight)
        this.check()
        this.write(handle, at, piece, answered)
        at += piece.byteLength
      }
    }
    this.check()
    return at
  }

  private write(handle: Buffer, at: number, piece: Uint8Array, done: (bytes: number) => void): void {
    this.pending += piece.byteLength
    this.unanswered.add(at)
    const answered = () => {
      this.pending -= piece.byteLength
      this.unanswered.delete(at)
      this.wake?.()
    }
    const written = () => {
      answered()
      done(piece.byteLength)
    }
    this.wire.write(handle, at, piece).then(written, (error: unknown) => {
      this.fail(error)
      answered()
    })
  }

  private firstUnanswered(end: number): number {
    for (const at of this.unanswered) return at
    return end
  }

  private fail(error: unknown): void {
    this.failure ??= error
    // whoever waits for the next piece of the file need not
    this.stopReading()
    this.wake?.()
  }

  /** Time, size, sync and close: all at once, behind the writes, where the server keeps them in order. */
  private async finish(handle: Buffer, end: number): Promise<void> {
    const { mtime, path, sync } = this.job
    const { wire } = this
    if (end > small || !wire.orderly) await this.written()
    const times = mtime >= 0 && mtime < 2 ** 32 * 1000
    const steps = [
      times ? wire.setTime(handle, mtime).catch(unlessLost) : undefined,
      wire.fstat(handle).then(({ size }) => (this.size = size ?? undefined), unlessLost),
      sync && wire.extensions.has("fsync@openssh.com") ? wire.sync(handle) : undefined
    ]
    const pipelined = this.pending > 0
    this.hurried = pipelined
    const closed = pipelined ? wire.close(handle) : undefined
    const results = await Promise.allSettled([...steps, closed])
    await this.written()
    const failed = results.find((result) => result.status === "rejected")
    if (failed !== undefined) throw failed.reason
    if (closed === undefined) await wire.close(handle)
    if (pipelined && this.size !== undefined && this.size !== end) {
      wire.orderly = false
      this.size = (await wire.stat(path)).size ?? undefined
    }
  }

  private async written(): Promise<void> {
    await this.until(() => this.pending === 0)
    this.check()
  }

  private check(): void {
    if (this.aborted) throw new Error("stopped")
    if (this.failure !== undefined) throw this.failure
  }

  private async until(condition: () => boolean): Promise<void> {
    while (!condition() && this.failure === undefined && !this.aborted) await this.change()
  }

  /** Of what is on its way. */
  private change(): Promise<void> {
    return new Promise((resolve) => (this.wake = resolve))
  }
}

/** What a server does not do is done without. */
const unlessLost = (error: unknown): void => {
  if (error instanceof LostError) throw error
}
