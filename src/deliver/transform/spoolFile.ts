/**
 * Makes one file of the spool: read once from one descriptor, transformed, written under a temp name, and renamed when
 * it is complete. Runs in any thread; memory does not depend on the file's size.
 */
import { createHash } from "node:crypto"
import { constants, type BigIntStats } from "node:fs"
import { lstat, open, rename, rm, type FileHandle } from "node:fs/promises"
import { stamp as stampOf } from "../../domain/Generation.ts"
import * as RelPath from "../../domain/RelPath.ts"
import { codeOf, sourceFault } from "../../files/fault.ts"
import { openSourceHandle } from "../../files/links.ts"
import { below, fsPath } from "../../files/names.ts"
import { Fault, parseName, spooledName, type Found, type Job, type Made, type Result } from "./job.ts"
import { stagesOf } from "./stages.ts"
import { chunkSize } from "./through.ts"

/** `beat` is called again and again while it goes on. Never rejects. */
export const make = async (job: Job, beat: () => void, signal: AbortSignal): Promise<Result> => {
  const temp = below(job.folder, job.temp)
  try {
    return { _tag: "Made", ...(await transform(job, temp, beat, signal)) }
  } catch (error) {
    await rm(fsPath(temp), { force: true }).catch(() => undefined)
    const failure =
      error instanceof Fault
        ? error.failure
        : ({
            kind: "transient",
            reason: `${describe(job)} could not be prepared: ${error instanceof Error ? error.message : String(error)}`
          } as const)
    return { _tag: "Failed", ...failure }
  }
}

const transform = async (job: Job, temp: string, beat: () => void, signal: AbortSignal): Promise<Made> => {
  const source = await Source.open(job)
  try {
    const chunks = stagesOf(job.transform, sourceOf(job), {
      name: job.entry,
      mtime: Number(source.stat.mtimeMs),
      mode: source.mode
    }).reduce<AsyncIterable<Uint8Array>>((input, stage) => stage(input), source.chunks(beat, signal))
    const digest = createHash("sha256")
    let size = 0
    await written(job, temp, source, async (write) => {
      for await (const chunk of chunks) {
        signal.throwIfAborted()
        digest.update(chunk)
        await write(chunk)
        size += chunk.byteLength
        beat()
      }
    })
    // a step may have had enough before the end, but it is all of the file that is delivered
    const sourceSha256 = await source.finish(beat, signal)
    const sha256 = digest.digest("hex")
    const name = spooledName(job.prefix, sourceSha256, sha256)
    const path = fsPath(below(job.folder, name))
    const stat = await writing(job, () => rename(fsPath(temp), path).then(() => lstat(path, { bigint: true })))
    return { name, stamp: stampOf(stat), size, sha256, sourceSha256 }
  } finally {
    await source.close()
  }
}

/** The temp file, with the times and the mode of the source: a target that keeps those takes them from there. */
const written = async (
  job: Job,
  temp: string,
  source: Source,
  fill: (write: (chunk: Uint8Array) => Promise<void>) => Promise<void>
): Promise<void> => {
  const file = await writing(job, () => open(fsPath(temp), "wx", 0o600))
  try {
    await fill((chunk) => writing(job, () => writeAll(file, chunk)))
    await writing(job, async () => {
      const seconds = Number(source.stat.mtimeNs) / 1e9
      await file.utimes(seconds, seconds)
      // nobody else gets as far as this file: the folder is for its owner alone
      await file.chmod(source.mode | 0o400)
      if (job.sync) await file.sync()
    })
  } finally {
    await file.close().catch(() => undefined)
  }
}

const writeAll = async (file: FileHandle, chunk: Uint8Array): Promise<void> => {
  for (let at = 0; at < chunk.byteLength;) {
    const { bytesWritten } = await file.write(chunk, at, chunk.byteLength - at)
    at += bytesWritten
  }
}

const writing = async <A>(job: Job, write: () => Promise<A>): Promise<A> => {
  try {
    return await write()
  } catch (error) {
    throw new Fault("spool", spoolReason(job, error))
  }
}

const spoolReason = (job: Job, error: unknown): string => {
  const code = codeOf(error)
  const what = `${describe(job)} is prepared in ${RelPath.display(job.folder)} before it is sent, but`
  if (code === "ENOSPC" || code === "EDQUOT") {
    return `${what} there is no space left (${code}). Free some there, or move the journal (\`db\`) to a larger disk; it goes on by itself.`
  }
  const why = code === "" ? String(error) : code
  return `${what} nothing can be written there (${why}). Let this user write there; it goes on by itself.`
}

const sourceOf = ({ path, root }: Job): string => below(root, path)

/** The source file, for people. */
const describe = (job: Job): string => RelPath.display(sourceOf(job))

/** A source file: what is read is hashed, and proved to be of one generation. */
class Source {
  private readonly digest = createHash("sha256")
  private bytes = 0

  private constructor(
    private readonly job: Job,
    private readonly handle: FileHandle,
    readonly stat: BigIntStats
  ) {}

  static async open(job: Job): Promise<Source> {
    const handle = await reading(job, () => openSourceHandle(job.root, job.path))
    try {
      const source = new Source(job, handle, await reading(job, () => handle.stat({ bigint: true })))
      source.check(source.stat)
      return source
    } catch (error) {
      await handle.close().catch(() => undefined)
      throw error
    }
  }

  /** Permission bits. */
  get mode(): number {
    return Number(this.stat.mode) & 0o777
  }

  async *chunks(beat: () => void, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = await this.next(beat, signal)
      if (chunk === undefined) return
      yield chunk
    }
  }

  /** Reads what is left; the sha256 in hex, if the file is still what it was. */
  async finish(beat: () => void, signal: AbortSignal): Promise<string> {
    for (;;) if ((await this.next(beat, signal)) === undefined) break
    this.check(await reading(this.job, () => this.handle.stat({ bigint: true })))
    return this.digest.digest("hex")
  }

  close(): Promise<void> {
    // a failure to close a descriptor that was only read from loses nothing
    return this.handle.close().catch(() => undefined)
  }

  private async next(beat: () => void, signal: AbortSignal): Promise<Uint8Array | undefined> {
    signal.throwIfAborted()
    const wanted = Math.min(chunkSize, this.job.size - this.bytes)
    if (wanted === 0) return undefined
    const buffer = Buffer.allocUnsafeSlow(wanted)
    const { bytesRead } = await reading(this.job, () => this.handle.read(buffer, 0, wanted, this.bytes))
    if (bytesRead === 0) throw changed(this.job)
    const chunk = buffer.subarray(0, bytesRead)
    this.digest.update(chunk)
    this.bytes += bytesRead
    beat()
    return chunk
  }

  private check(stat: BigIntStats): void {
    if (!stat.isFile() || stampOf(stat) !== this.job.stamp) throw changed(this.job)
  }
}

const reading = async <A>(job: Job, read: () => Promise<A>): Promise<A> => {
  try {
    return await read()
  } catch (error) {
    const { kind, reason } = sourceFault(error, sourceOf(job))
    throw new Fault(kind === "gone" || kind === "changed" ? kind : "transient", reason)
  }
}

const changed = (job: Job): Fault =>
  new Fault("changed", `${describe(job)} changed after it was accepted; it will be sent as it ends up.`)

/** A file of the spool that an earlier run of the program has left; null where it is not what its name says. */
export const prove = async (found: Found, beat: () => void): Promise<Made | null> => {
  const named = parseName(found.name)
  if (named === undefined) return null
  try {
    const path = fsPath(below(found.folder, found.name))
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
    try {
      const digest = createHash("sha256")
      const buffer = Buffer.allocUnsafeSlow(chunkSize)
      let size = 0
      for (;;) {
        const { bytesRead } = await file.read(buffer, 0, chunkSize, size)
        if (bytesRead === 0) break
        digest.update(buffer.subarray(0, bytesRead))
        size += bytesRead
        beat()
      }
      if (digest.digest("hex") !== named.sha256) return null
      return { ...named, name: found.name, size, stamp: stampOf(await file.stat({ bigint: true })) }
    } finally {
      await file.close()
    }
  } catch {
    return null
  }
}
