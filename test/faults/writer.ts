/**
 * Files with known content, as programs bring them: renamed in whole, replaced by a newer version, or written where
 * they are, with pauses. Which, how large and when is chosen by a seed.
 */
import { Effect, Schedule, type Scope } from "effect"
import { createCipheriv, createHash } from "node:crypto"
import fs from "node:fs"
import { dirname, join } from "node:path"
import { append, sha256 } from "./manifest.ts"

export interface Written {
  readonly path: string
  /** Index of the source that it was put into. */
  readonly source: number
  readonly version: number
  readonly sha256: string
  readonly size: number
}

export interface Writer {
  /** The last version of each file, by path. */
  readonly files: ReadonlyMap<string, Written>
  /** Files of which nothing is asked: see manifest.ts. */
  readonly loose: ReadonlySet<string>
  /** How many versions there were of a file. */
  readonly versionsOf: (path: string) => number
  /** So many files, at once; some are newer versions of files that were there before. */
  readonly burst: (count: number) => void
  /** One of 9 MB or more; some are replaced while they are under way. */
  readonly large: Effect.Effect<void>
  /** One that is written in pieces where it is. */
  readonly slow: Effect.Effect<void>
  /** Waits until nothing is being written any more. */
  readonly rest: Effect.Effect<void>
}

export interface WriterOptions {
  /** What it does by itself ends with this, and goes on whatever becomes of the program. */
  readonly scope: Scope.Scope
  readonly seed: number
  readonly random: () => number
  readonly manifest: string
  /** Where files are written before they are renamed; on the file system of the sources. */
  readonly desk: string
  /** The source that files are renamed into, and the one that they are written in. */
  readonly sources: readonly [string, string]
  /** The quiet time of the second source, in milliseconds. */
  readonly settle: number
  /** Whether files are replaced by newer versions. */
  readonly replaces: boolean
  /** A part of a name, and of how many names it is. */
  readonly mark: { readonly text: string; readonly share: number } | null
}

export const makeWriter = (options: WriterOptions): Writer => {
  const { desk, manifest, mark, random, replaces, scope, seed, settle, sources } = options
  const files = new Map<string, Written>()
  const loose = new Set<string>()
  const small: Array<string> = []
  let writing = 0

  const some = (from: number, to: number) => Math.floor(from + random() * (to - from))

  const newName = (kind: string): string => {
    const folder = random() < 0.2 ? ["a", "a/b", "ä ö"][some(0, 3)] : undefined
    const marked = mark !== null && random() < mark.share ? ` ${mark.text}` : ""
    const name = `${kind} ${files.size}${marked}.${random() < 0.5 ? "bin" : "txt"}`
    return folder === undefined ? name : `${folder}/${name}`
  }

  const smallSize = () => {
    const dice = random()
    return dice < 0.1 ? 0 : dice < 0.7 ? some(1, 20_000) : some(20_000, 400_000)
  }
  const largeSize = () => some(9_000_000, 12_000_000)

  /** The next version of a file: its content, which the manifest knows from now on. */
  const next = (path: string, source: number, size: number): { readonly bytes: Buffer; readonly file: Written } => {
    const version = (files.get(path)?.version ?? 0) + 1
    const bytes = contentOf(`${seed} ${path} ${version}`, size)
    const file = { path, source, version, sha256: sha256(bytes), size }
    append(manifest, { is: "version", path, version, sha256: file.sha256 })
    files.set(path, file)
    return { bytes, file }
  }

  const rename = (path: string, size: number): void => {
    const { bytes, file } = next(path, 0, size)
    const temp = join(desk, "being written")
    const final = join(sources[0], path)
    fs.writeFileSync(temp, bytes)
    const { ino } = fs.statSync(temp)
    fs.mkdirSync(dirname(final), { recursive: true })
    fs.renameSync(temp, final)
    append(manifest, { is: "there", path, version: file.version, source: 0, ino })
  }

  const burst = (count: number): void => {
    for (let index = 0; index < count; index++) {
      const old = replaces && random() < 0.15 ? small[some(0, small.length)] : undefined
      const path = old ?? newName("file")
      if (old === undefined) small.push(path)
      rename(path, smallSize())
    }
  }

  const large = Effect.suspend(() => {
    const path = newName("large")
    rename(path, largeSize())
    const again = replaces && random() < 0.4
    const [size, pause] = [random() < 0.5 ? largeSize() : smallSize(), some(50, 900)]
    return again
      ? later(
          Effect.delay(
            Effect.sync(() => rename(path, size)),
            pause
          )
        )
      : Effect.void
  })

  const slow = Effect.suspend(() => {
    const { bytes, file } = next(newName("slow"), 1, some(1000, 600_000))
    const { path, version } = file
    const pieces = some(2, 7)
    const pauses = Array.from({ length: pieces }, () => some(10, settle / 6))
    return later(
      Effect.promise(async () => {
        const final = join(sources[1], path)
        await fs.promises.mkdir(dirname(final), { recursive: true })
        const began = Date.now()
        const handle = await fs.promises.open(final, "wx")
        const { ino } = await handle.stat()
        let at = 0
        let before = began
        for (const [index, pause] of pauses.entries()) {
          await new Promise((resolve) => setTimeout(resolve, pause))
          const end = Math.ceil((bytes.byteLength * (index + 1)) / pieces)
          await handle.write(bytes, at, end - at, at)
          const now = Date.now()
          // the machine was busy, or the clock was set: it may rightly have been taken for complete
          if (Math.abs(now - before) > settle / 2) {
            loose.add(path)
            append(manifest, { is: "loose", path })
            append(manifest, { is: "version", path, version: 0, sha256: sha256(bytes.subarray(0, at)) })
          }
          before = now
          at = end
        }
        await handle.close()
        append(manifest, { is: "there", path, version, source: 1, ino })
      })
    )
  })

  const later = (work: Effect.Effect<void>) =>
    Effect.suspend(() => {
      writing += 1
      const done = Effect.sync(() => (writing -= 1))
      return Effect.asVoid(Effect.forkIn(Effect.ensuring(work, done), scope))
    })

  return {
    files,
    loose,
    versionsOf: (path) => files.get(path)?.version ?? 0,
    burst,
    large,
    slow,
    rest: Effect.suspend(() => (writing === 0 ? Effect.void : Effect.fail("not yet"))).pipe(
      Effect.retry({ schedule: Schedule.spaced(20), times: 6000 }),
      Effect.orDie
    )
  }
}

/** Bytes that look like chance and are made again by their name. */
const contentOf = (name: string, size: number): Buffer => {
  const key = createHash("md5").update(name).digest()
  return createCipheriv("aes-128-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(size))
}
