/**
 * Hints from the system's events, by chokidar.
 *
 * Only directories are watched: a hint needs a name, not a stat, and a watcher that tracks every file costs more than
 * everything else together. So the `raw` events are taken, which name the file, and what chokidar does beside them
 * (reading the directory again, with a stat for each entry) is switched off. The directories below a recursive source
 * are found here, by a look at what a `rename` event named.
 *
 * What can't be watched is found by scans: a directory whose name is not UTF-8 has no path that node could watch.
 */
import { FSWatcher, type Throttler } from "chokidar"
import { Chunk, Effect, Layer, Option, Stream } from "effect"
import { closeSync, constants, fchmodSync, fstatSync, openSync, readFileSync } from "node:fs"
import { lstat, opendir, realpath } from "node:fs/promises"
import { basename } from "node:path"
import * as RelPath from "../domain/RelPath.ts"
import type { Source } from "../domain/Settings.ts"
import { fileSystemOf } from "./fileSystems.ts"
import * as HintBuffer from "./HintBuffer.ts"
import { Watcher, type Hint } from "./Watcher.ts"

export const layer: Layer.Layer<Watcher> = Layer.succeed(Watcher, {
  stir: (source, directory) => Effect.promise(() => stir(source, directory)),
  watch: (source) =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const hints = HintBuffer.make()
        let ended = false
        const end = (): void => {
          ended = true
          hints.add({ _tag: "Scan", reason: "the watcher ended" })
        }
        const tree = yield* Effect.acquireRelease(
          Effect.sync(() => new WatchedTree(source.path, source.recursive, hints.add, end)),
          (tree) => Effect.promise(() => tree.close())
        )
        yield* Effect.promise(() => tree.start()).pipe(
          Effect.zipRight(
            Effect.forever(
              Effect.zipRight(
                tree.waits,
                Effect.promise(() => tree.discover())
              )
            )
          ),
          Effect.catchAllCause((cause) =>
            Effect.logError("The watcher failed and is started again", cause).pipe(
              Effect.annotateLogs({ source: source.name })
            )
          ),
          Effect.ensuring(Effect.sync(end)),
          Effect.forkScoped
        )
        const next = hints.waits.pipe(Effect.zipRight(turn), Effect.zipRight(hints.take(1024)))
        return Stream.repeatEffectChunkOption(
          Effect.suspend(() => (ended && hints.isEmpty() ? Effect.fail(Option.none()) : next)).pipe(
            Effect.map((batch) => {
              hints.done()
              return Chunk.unsafeFromArray(batch)
            })
          )
        )
      })
    )
})

/** The next turn of the event loop: all events that are there come before it, and a burst makes few batches. */
const turn = Effect.async<void>((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})

/**
 * chokidar 5.0.0 asks `_throttle("readdir", …)` before it reads a directory, when it starts to watch it and after each
 * event; with 10,000 files in it, that cost 87 ms an event. Told that it has just read it, it never does: all that is
 * left is one `fs.watch` for each directory, its errors, and its end. The version is pinned; a test measures this.
 */
class DirectoryWatcher extends FSWatcher {
  override _throttle(): Throttler | false {
    return false
  }

  /** Watches this one directory. Unlike `add`, it takes a path as it is, backslashes included. */
  async watchDirectory(path: string): Promise<void> {
    await this._nodeFsHandler._addToNodeFs(path, true, undefined, 0)
  }

  /** Unlike `unwatch`, it leaves no trace: a directory of that name can come again. */
  unwatchDirectory(path: string): void {
    this._closeFile(path)
    this._watched.delete(path)
  }
}

/**
 * Notices when the kernel's queue of events may have run over. libuv drops the event that says so, but hands out all
 * that was in the queue in one turn of the event loop, and one queue serves all watchers of the process: so many events
 * in one turn mean that there may have been more.
 */
const queue = {
  trees: new Set<WatchedTree>(),
  /** Half of what fits, because others may have events in the queue as well. */
  most: Math.min(queueLimit(), 16_384) / 2,
  inThisTurn: 0,
  count(): void {
    this.inThisTurn += 1
    if (this.inThisTurn > 1) return
    setImmediate(() => {
      const isFull = this.inThisTurn >= this.most
      this.inThisTurn = 0
      if (isFull) for (const tree of this.trees) tree.scan("so much changed at once that events may have been lost")
    })
  }
}

/**
 * Sets the permissions of a directory to what they are: the system reports that to whoever watches the directory, and
 * nothing is left of it but the time of its status change. A file would be seen, or even taken, by other programs that
 * watch the directory, would change its mtime, and could be left behind. Only on a local file system, because others may
 * keep access lists that a change of permissions replaces, and only in a directory of one's own.
 */
const stir = async (source: Source, directory: RelPath.RelPath): Promise<RelPath.RelPath | null> => {
  try {
    const path = await realpath(directory === "" ? source.path : `${source.path}/${directory}`)
    const name = basename(path)
    if (name === "" || (await fileSystemOf(path))?.kind !== "local") return null
    const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants
    const handle = openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    try {
      const { mode, uid } = fstatSync(handle)
      const user = process.geteuid?.()
      if (user !== uid && user !== 0) return null
      fchmodSync(handle, mode & 0o7777)
    } finally {
      closeSync(handle)
    }
    // the system names the directory itself
    return RelPath.make(join(directory, name))
  } catch {
    return null
  }
}

/** More changed names than this in one directory, and it is read as a whole instead of looking at each. */
const maxNames = 256

/** A name that can't be told from another by its string. */
const isGarbled = (name: string): boolean => name.includes("\ufffd")

class WatchedTree {
  /** Waits until something may be a new directory, or one that is gone. */
  readonly waits: Effect.Effect<void>
  readonly #watcher = new DirectoryWatcher({
    persistent: true,
    followSymlinks: false,
    atomic: false,
    usePolling: false
  })
  /** By path relative to the root, `""` for the root itself. */
  readonly #directories = new Map<string, { readonly identity: string; readonly children: Set<string> }>()
  /** Names in a directory that may be directories; `null`: all that are in it. */
  readonly #candidates = new Map<string, Set<string> | null>()
  readonly #bell = Effect.unsafeMakeLatch(false)
  readonly #source: string
  readonly #recursive: boolean
  readonly #hint: (hint: Hint) => void
  readonly #end: () => void
  #root = ""
  #ready = false
  /** Something happened to the root itself. */
  #isRootTouched = false

  constructor(source: string, recursive: boolean, hint: (hint: Hint) => void, end: () => void) {
    this.#source = source
    this.#recursive = recursive
    this.#hint = hint
    this.#end = end
    this.waits = this.#bell.await
    this.#watcher.on("raw", (event, name: string | null, details) => this.#onEvent(event, name, details))
    this.#watcher.on("error", (error) => this.#onError(error))
  }

  close(): Promise<void> {
    queue.trees.delete(this)
    return this.#watcher.close()
  }

  async start(): Promise<void> {
    queue.trees.add(this)
    this.#root = await realpath(this.#source).catch(() => this.#source)
    const identity = await directoryIdentity(this.#root)
    if (identity === null) {
      this.scan(`${this.#source} is not there`)
      return this.#end()
    }
    await this.#enter("", identity)
    this.#ready = true
    this.scan("watching from now on")
    const fileSystem = await fileSystemOf(this.#root)
    if (fileSystem?.kind === "shared") this.#hint({ _tag: "Doubtful", reason: doubtful(fileSystem.name) })
  }

  /** Asks for a scan. */
  scan(reason: string): void {
    this.#hint({ _tag: "Scan", reason })
  }

  /** Looks at what may be a directory that came or went. */
  async discover(): Promise<void> {
    this.#bell.unsafeClose()
    if (this.#isRootTouched) {
      this.#isRootTouched = false
      const identity = await directoryIdentity(this.#root)
      if (identity !== this.#directories.get("")?.identity) this.scan("the directory itself was moved or deleted")
    }
    const candidates = [...this.#candidates]
    this.#candidates.clear()
    for (const [directory, names] of candidates) {
      const known = this.#directories.get(directory)
      if (known === undefined) continue
      if (names === null) for (const name of known.children) await this.#examine(join(directory, name))
      for (const name of names ?? (await this.#read(directory, false))) await this.#examine(join(directory, name))
    }
  }

  async #examine(directory: string): Promise<void> {
    if (this.#watcher.closed) return
    const identity = await directoryIdentity(this.#locate(directory))
    if (this.#directories.get(directory)?.identity === (identity ?? undefined)) return
    this.#leave(directory)
    if (identity !== null) await this.#enter(directory, identity)
  }

  /** Watches a directory and those below it, and once it does, names what is in there already. */
  async #enter(directory: string, identity: string): Promise<void> {
    const stack = [{ directory, identity }]
    for (let next = stack.pop(); next !== undefined && !this.#watcher.closed; next = stack.pop()) {
      this.#directories.set(next.directory, { identity: next.identity, children: new Set() })
      if (next.directory !== "") {
        this.#directories.get(RelPath.dirname(next.directory))?.children.add(RelPath.basename(next.directory))
      }
      await this.#watcher.watchDirectory(this.#locate(next.directory))
      if (!this.#recursive) return
      for (const name of await this.#read(next.directory, this.#ready)) {
        const below = join(next.directory, name)
        const identity = await directoryIdentity(this.#locate(below))
        if (identity !== null && !this.#directories.has(below)) stack.push({ directory: below, identity })
      }
    }
  }

  #leave(directory: string): void {
    const known = this.#directories.get(directory)
    if (known === undefined) return
    for (const name of known.children) this.#leave(join(directory, name))
    this.#directories.delete(directory)
    this.#directories.get(RelPath.dirname(directory))?.children.delete(RelPath.basename(directory))
    this.#watcher.unwatchDirectory(this.#locate(directory))
  }

  /** The names of the directories in a directory; gives hints at its files, if so told. */
  async #read(directory: string, hintFiles: boolean): Promise<ReadonlyArray<string>> {
    const directories: Array<string> = []
    try {
      for await (const entry of await opendir(this.#locate(directory), { bufferSize: 1024 })) {
        if (isGarbled(entry.name)) this.scan("a name that is not UTF-8 arrived")
        else if (entry.isDirectory()) directories.push(entry.name)
        else if (hintFiles && entry.isFile()) {
          this.#hint({ _tag: "Path", path: RelPath.make(join(directory, entry.name)) })
        }
      }
    } catch (error) {
      // A scan says what can't be read, and why.
      if (codeOf(error) !== "ENOENT") this.scan(`${this.#locate(directory)} could not be read: ${messageOf(error)}`)
    }
    return directories
  }

  #onEvent(event: string, name: string | null, details: unknown): void {
    queue.count()
    const directory = this.#directoryOf(details)
    if (name === null || directory === null) return this.scan("an event without a name")
    if (isGarbled(name)) return this.scan("a name that is not UTF-8 changed")
    this.#hint({ _tag: "Path", path: RelPath.make(join(directory, name)) })
    if (event !== "rename") return
    // The system reports what happens to the directory itself under its own name.
    if (directory === "" && name === basename(this.#root)) {
      this.#isRootTouched = true
      this.#bell.unsafeOpen()
    }
    if (!this.#recursive) return
    const names = this.#candidates.get(directory)
    if (names === undefined) this.#candidates.set(directory, new Set([name]))
    else if (names !== null && names.add(name).size > maxNames) this.#candidates.set(directory, null)
    this.#bell.unsafeOpen()
  }

  #onError(error: unknown): void {
    const code = codeOf(error)
    const limit = limits[code]
    if (limit !== undefined) return this.#hint({ _tag: "Unavailable", reason: limit })
    this.scan(`the watcher reported an error: ${messageOf(error)}`)
    // A directory that may not be read has no events, and all others still have theirs.
    if (code !== "EACCES" && code !== "EPERM") this.#end()
  }

  #locate(directory: string): string {
    if (directory === "") return this.#root
    return this.#root === "/" ? `/${directory}` : `${this.#root}/${directory}`
  }

  /** The watched directory that an event comes from, relative to the root. */
  #directoryOf(details: unknown): string | null {
    if (typeof details !== "object" || details === null || !("watchedPath" in details)) return null
    const path = details.watchedPath
    if (typeof path !== "string" || !path.startsWith(this.#root)) return null
    return path.slice(this.#root === "/" ? 1 : this.#root.length + 1)
  }
}

/** Null where there is no directory. With the birth time, because inode numbers are used again at once. */
const directoryIdentity = async (path: string): Promise<string | null> => {
  try {
    const stat = await lstat(path, { bigint: true })
    return stat.isDirectory() ? `${stat.dev}:${stat.ino}:${stat.birthtimeNs}` : null
  } catch {
    return null
  }
}

/** How many events the kernel keeps for us before it drops any. */
function queueLimit(): number {
  try {
    const limit = Number(readFileSync("/proc/sys/fs/inotify/max_queued_events", "utf8"))
    return limit > 0 ? limit : 16_384
  } catch {
    // Not Linux, or not allowed to know: its usual value.
    return 16_384
  }
}

const join = (directory: string, name: string): string => (directory === "" ? name : `${directory}/${name}`)

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "UNKNOWN"

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const doubtful = (fileSystem: string): string =>
  `it is on ${fileSystem}, and the system tells of no change there that another machine makes. Where all files come ` +
  "from this one, events are relied on as soon as they prove to come; otherwise watch: poll says so for good"

const limits: { readonly [code: string]: string | undefined } = {
  ENOSPC:
    "the system's limit of watched directories is reached: raise it (sysctl fs.inotify.max_user_watches), or set " +
    "watch: poll",
  EMFILE:
    "the system's limit of watchers or of open files is reached: raise it (sysctl fs.inotify.max_user_instances, " +
    "ulimit -n), or set watch: poll",
  ENFILE: "the system's limit of open files is reached: raise it (sysctl fs.file-max), or set watch: poll"
}
