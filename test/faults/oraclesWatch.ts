/**
 * What the standing oracles look at, and what they think of it. Everything that is seen is judged by the manifest as
 * it is read afterwards; what looks wrong is judged once more at the end, when the manifest is complete.
 */
import { Decrypter } from "age-encryption"
import fs from "node:fs"
import { basename, dirname, join } from "node:path"
import { gunzipSync } from "node:zlib"
import { Manifest, sha256, type There } from "./manifest.ts"
import { holdsOf, isTemp, type Place, type Violation, type Watched } from "./oracles.ts"

/** A file whose content is none at all: it could not be decoded. */
const broken = "broken"

interface Seen {
  /** Inode, size and times: the content is that of the last look while they are the same. */
  readonly stat: string
  readonly hash: string
}

interface Suspect extends Violation {
  readonly path: string
  readonly hash: string | null
}

export class Watch {
  sightings = 0
  gone = 0
  underWay = 0
  private readonly manifest: Manifest
  private readonly folders: ReadonlyArray<Folder>
  private readonly suspects: Array<Suspect> = []
  private readonly changed = new Set<string>()
  private readonly sourceFolders = new Set<string>()
  private readonly watchSources: () => void
  private wake: () => void = () => undefined
  private work: Promise<void> = Promise.resolve()

  constructor(
    private readonly watched: Watched,
    private readonly servers: Readonly<Record<"http" | "s3", ReadonlyMap<string, string>>>
  ) {
    this.manifest = new Manifest(watched.manifest)
    const tell = (path: string) => {
      this.changed.add(path)
      this.wake()
    }
    this.folders = watched.places.flatMap((place) =>
      typeof place.at === "string" ? [] : [new Folder(place, place.at.folder, tell)]
    )
    this.watchSources = () => {
      for (const { folder } of watched.sources) watchTree(folder, () => tell(""), this.sourceFolders)
    }
  }

  /** Waits until something has changed, or for so long. */
  async news(milliseconds: number): Promise<void> {
    if (this.changed.size > 0) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds)
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.wake = () => undefined
  }

  /** Looks at what has told that it changed. */
  changes(): Promise<void> {
    return this.alone(async () => {
      const paths = Array.from(this.changed)
      this.changed.clear()
      for (const folder of this.folders) {
        for (const path of paths) if (folder.has(path)) await this.look(folder, path)
      }
      this.measure()
      await this.sources()
    })
  }

  /** Looks at everything. */
  all(): Promise<void> {
    return this.alone(async () => {
      this.changed.clear()
      this.watchSources()
      for (const folder of this.folders) {
        for (const path of new Set([...folder.seen.keys(), ...folder.list()])) await this.look(folder, path)
      }
      this.measure()
      await this.sources()
    })
  }

  /** One of the servers has this now, whole as far as it can tell. */
  stored(at: "http" | "s3", key: string, hash: string): void {
    this.sightings += 1
    for (const place of this.watched.places) if (place.at === at) this.judge(place, nameOf(place, key), hash)
  }

  violations(): ReadonlyArray<Violation> {
    this.manifest.read()
    return this.suspects
      .filter(({ hash, path }) => hash === null || this.manifest.versionOf(path, hash) === undefined)
      .map(({ kind, what }) => ({ kind, what }))
  }

  /** What the places hold, decoded, under the names of the inputs; under their own what is that of none. */
  held(): Readonly<Record<string, Readonly<Record<string, string>>>> {
    const named = (place: Place, files: Iterable<readonly [string, string]>) =>
      Object.fromEntries(Array.from(files, ([path, hash]) => [nameOf(place, path) ?? path, hash]))
    const inFolders = this.folders.map((folder) => {
      const files = Array.from(folder.seen, ([path, { hash }]) => [path.slice(folder.path.length + 1), hash] as const)
      return [folder.place.name, named(folder.place, files)] as const
    })
    const inServers = this.watched.places.flatMap((place) =>
      typeof place.at === "string" ? [[place.name, named(place, this.servers[place.at])] as const] : []
    )
    return Object.fromEntries([...inFolders, ...inServers])
  }

  /** One look after the other. */
  private alone(run: () => Promise<void>): Promise<void> {
    this.work = this.work.then(run)
    return this.work
  }

  private measure(): void {
    this.underWay = Math.max(0, ...this.folders.map((folder) => folder.underWay()))
  }

  private suspect(suspect: Suspect): void {
    this.suspects.push(suspect)
  }

  /** Looks at one file of a folder. */
  private async look(folder: Folder, path: string): Promise<void> {
    if (isTemp(path)) {
      folder.temp(path)
      return
    }
    await this.read(folder, path)
  }

  private judge(place: Place, name: string | undefined, hash: string): void {
    const path = name ?? "?"
    if (name === undefined || !this.manifest.knows(name) || this.manifest.versionOf(name, hash) === undefined) {
      this.manifest.read()
    }
    if (name === undefined || !this.manifest.knows(name)) {
      this.suspect({ kind: "unknown", path, hash: null, what: `${path} at ${place.name} was never produced` })
    } else if (this.manifest.versionOf(name, hash) === undefined) {
      const what = `${name} at ${place.name} is not whole: ${hash === broken ? "it can't be decoded" : hash}`
      this.suspect({ kind: "partial", path, hash, what })
    }
  }

  /** The hash of what a file holds, decoded; undefined where there is none. What is new of it is judged. */
  private async read(folder: Folder, path: string): Promise<Seen | undefined> {
    const known = folder.seen.get(path)
    let fd: number
    try {
      fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW)
    } catch {
      folder.seen.delete(path)
      return undefined
    }
    let bytes: Uint8Array
    let stat: string
    try {
      const found = fs.fstatSync(fd, { bigint: true })
      if (!found.isFile()) return undefined
      stat = `${found.ino}:${found.size}:${found.mtimeNs}:${found.ctimeNs}`
      if (known?.stat === stat) return known
      bytes = fs.readFileSync(fd)
    } finally {
      fs.closeSync(fd)
    }
    const seen = { stat, hash: await this.decoded(folder.place, bytes) }
    folder.seen.set(path, seen)
    this.sightings += 1
    this.judge(folder.place, nameOf(folder.place, path.slice(folder.path.length + 1)), seen.hash)
    return seen
  }

  private async decoded(place: Place, bytes: Uint8Array): Promise<string> {
    try {
      if (place.decode === "none") return sha256(bytes)
      if (place.decode === "gzip") return sha256(gunzipSync(bytes))
      const decrypter = new Decrypter()
      decrypter.addIdentity(this.watched.identity ?? "")
      return sha256(await decrypter.decrypt(bytes))
    } catch {
      return broken
    }
  }

  /**
   * Sources that are gone. First the manifest, then what is there: so what is missing was there before. Then the
   * places: so each of them has had time until after the source was gone, and none is blamed that had it in time.
   */
  private async sources(): Promise<void> {
    this.manifest.read()
    const there = this.manifest.there
    if (there.size === 0) return
    const directories = new Map<string, ReadonlySet<string>>()
    const listed = (directory: string) => {
      const names = directories.get(directory) ?? namesIn(directory)
      directories.set(directory, names)
      return names
    }
    for (const [path, one] of Array.from(there)) {
      const file = join(this.watched.sources[one.source]?.folder ?? "", path)
      if (!listed(dirname(file)).has(basename(file))) await this.missing(path, file, one, listed(dirname(file)))
    }
  }

  private async missing(path: string, file: string, one: There, names: ReadonlySet<string>): Promise<void> {
    // its own bytes may be on their way: aside, to be deleted or put back, or moved to where they are delivered
    const aside = Array.from(names)
      .filter((name) => isTemp(name))
      .map((name) => join(dirname(file), name))
    const moved = this.folders.flatMap((folder) => tempsIn(dirname(join(folder.path, path))))
    const onItsWay =
      aside.some((temp) => hasInode(temp, one.ino) !== false) || moved.some((temp) => hasInode(temp, one.ino))
    const lacking: Array<string> = []
    for (const place of this.watched.places) {
      if (holdsOf(place, path) && !(await this.holds(place, path, one.version))) lacking.push(place.name)
    }
    const kept = this.watched.sources[one.source]?.kept === true
    if (lacking.length > 0 || kept) {
      // put back, or replaced, in the meantime; or still on its way
      if (onItsWay || namesIn(dirname(file)).has(basename(file))) return
      if (!this.manifest.loose.has(path)) {
        const why = kept ? "though it was to be kept" : `and ${lacking.join(", ")} did not hold it`
        this.suspect({ kind: "early", path, hash: null, what: `${path} (version ${one.version}) was gone, ${why}` })
      }
    }
    this.gone += 1
    this.manifest.there.delete(path)
  }

  /** Whether that version is there, or a later one. */
  private async holds(place: Place, path: string, version: number): Promise<boolean> {
    const hash = await this.hashAt(place, path)
    if (hash === undefined) return false
    this.manifest.read()
    return (this.manifest.versionOf(path, hash) ?? -1) >= version
  }

  private async hashAt(place: Place, path: string): Promise<string | undefined> {
    if (typeof place.at === "string") return this.servers[place.at].get(`in/${path}${place.suffix}`)
    const folder = this.folders.find((one) => one.place === place)
    if (folder === undefined) return undefined
    return (await this.read(folder, join(folder.path, `${path}${place.suffix}`)))?.hash
  }
}

/** The input's own name; undefined where it is that of none. */
const nameOf = (place: Place, path: string): string | undefined => {
  const name = typeof place.at === "string" ? path.replace(/^in\//, "") : path
  return name.endsWith(place.suffix) ? name.slice(0, name.length - place.suffix.length) : undefined
}

/** One call to the system, which nothing can be renamed during: a true picture. */
const namesIn = (directory: string): ReadonlySet<string> => {
  try {
    return new Set(fs.readdirSync(directory))
  } catch {
    return new Set()
  }
}

const tempsIn = (directory: string): ReadonlyArray<string> =>
  Array.from(namesIn(directory))
    .filter((name) => isTemp(name))
    .map((name) => join(directory, name))

/** Undefined where the file is not there any more. */
const hasInode = (path: string, ino: number): boolean | undefined => {
  const found = fs.lstatSync(path, { throwIfNoEntry: false })
  return found === undefined ? undefined : found.ino === ino
}

/** A folder that files are delivered to, with those below it. */
class Folder {
  readonly seen = new Map<string, Seen>()
  private readonly directories = new Set<string>()
  private readonly sizes = new Map<string, number>()

  constructor(
    readonly place: Place,
    readonly path: string,
    private readonly tell: (path: string) => void
  ) {}

  has(path: string): boolean {
    return path.startsWith(`${this.path}/`)
  }

  /** All that is there. */
  list(): ReadonlyArray<string> {
    watchTree(this.path, this.tell, this.directories)
    this.sizes.clear()
    return Array.from(this.directories).flatMap((directory) => filesIn(directory))
  }

  /** How far an upload has got. */
  temp(path: string): void {
    const found = fs.lstatSync(path, { throwIfNoEntry: false })
    if (found === undefined) this.sizes.delete(path)
    else this.sizes.set(path, found.size)
  }

  underWay(): number {
    return Math.max(0, ...this.sizes.values())
  }
}

const entriesIn = (directory: string): ReadonlyArray<fs.Dirent> => {
  try {
    return fs.readdirSync(directory, { withFileTypes: true })
  } catch {
    return []
  }
}

const filesIn = (directory: string): ReadonlyArray<string> =>
  entriesIn(directory)
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(directory, entry.name))

/** Has the kernel tell of changes in a folder, and in those below it that are there by now. */
const watchTree = (directory: string, tell: (path: string) => void, known: Set<string>): void => {
  if (!known.has(directory)) {
    try {
      const watcher = fs.watch(directory, (_, name) => tell(name === null ? directory : join(directory, name)))
      watcher.on("error", () => known.delete(directory))
      known.add(directory)
    } catch {
      // it is not there yet
      return
    }
  }
  for (const entry of entriesIn(directory)) {
    if (entry.isDirectory()) watchTree(join(directory, entry.name), tell, known)
  }
}
