/**
 * Look-ups of folders by what a file must have for them, see {@link RulesKeys}.
 */
import type { Text } from "../files/FileFacts.ts"
import type { Folder } from "./RouterPlaces.ts"
import type { Subject } from "./Rules.ts"
import { minPart, type Key, type Kind } from "./RulesKeys.ts"

/** A folder, and under which keys it is entered. */
export interface Entry {
  readonly folder: Folder
  readonly keys: ReadonlyArray<Key>
  /** Number of the look-up that has found it last. */
  lookUp: number
}

export const entry = (folder: Folder, keys: ReadonlyArray<Key>): Entry => ({ folder, keys, lookUp: 0 })

/** Folders that are found by what is read. */
export interface Waiting {
  readonly folders: ReadonlyArray<Folder>
  /** Whether the time may change what any of them wants. */
  readonly ages: boolean
}

const waiting = (entries: ReadonlyArray<Entry>): Waiting => ({
  folders: entries.map(({ folder }) => folder),
  ages: entries.some(({ folder }) => folder.node.ages)
})

/** Folders by one kind of key. */
class Table {
  readonly map = new Map<string, Array<Entry>>()

  constructor(entries: ReadonlyArray<Entry>, kind: Kind) {
    for (const entry of entries) {
      for (const value of new Set(entry.keys.filter((key) => key.kind === kind).map((key) => key.value))) {
        const list = this.map.get(value)
        if (list === undefined) this.map.set(value, [entry])
        else list.push(entry)
      }
    }
  }

  get isEmpty(): boolean {
    return this.map.size === 0
  }

  find(value: string, found: Found): void {
    const list = this.map.get(value)
    if (list !== undefined) for (const entry of list) found.add(entry)
  }
}

/** Gathers folders, each once: an entry remembers by which look-up it was found last. */
class Found {
  private lookUp = 0
  private into: Array<Folder> = []

  begin(into: Array<Folder>): void {
    this.lookUp += 1
    this.into = into
  }

  add(entry: Entry): void {
    if (entry.lookUp === this.lookUp) return
    entry.lookUp = this.lookUp
    this.into.push(entry.folder)
  }
}

/** A text, and where in it the three characters stand by which it is found. */
interface Part {
  readonly entry: Entry
  readonly text: string
  readonly offset: number
}

/**
 * Many texts, found in one pass over a longer one: each by those three of its characters that the fewest others have,
 * and then as a whole.
 */
class PartTable {
  private readonly parts = new Map<string, Array<Part>>()
  /** Whether any three characters with this sum are looked for: at most places of a text there are none. */
  private readonly sums = new Uint8Array(65_536)

  constructor(entries: ReadonlyArray<Entry>, kind: Kind) {
    const texts = entries.flatMap((entry) =>
      entry.keys.filter((key) => key.kind === kind).map(({ value }) => ({ entry, text: value }))
    )
    const uses = new Map<string, number>()
    for (const { text } of texts) for (const gram of new Set(grams(text))) uses.set(gram, (uses.get(gram) ?? 0) + 1)
    for (const { entry, text } of texts) {
      const all = grams(text)
      const counts = all.map((gram) => uses.get(gram) ?? 0)
      const offset = counts.indexOf(Math.min(...counts))
      const gram = all[offset]
      if (gram === undefined) continue
      const list = this.parts.get(gram)
      if (list === undefined) this.parts.set(gram, [{ entry, text, offset }])
      else list.push({ entry, text, offset })
      this.sums[sumOf(gram.charCodeAt(0), gram.charCodeAt(1), gram.charCodeAt(2))] = 1
    }
  }

  get isEmpty(): boolean {
    return this.parts.size === 0
  }

  find(text: string, found: Found): void {
    const { parts, sums } = this
    let one = text.charCodeAt(0)
    let two = text.charCodeAt(1)
    for (let index = 2; index < text.length; index += 1) {
      const three = text.charCodeAt(index)
      if (sums[sumOf(one, two, three)] === 1) {
        const begin = index - 2
        for (const part of parts.get(text.slice(begin, index + 1)) ?? none) {
          if (text.startsWith(part.text, begin - part.offset)) found.add(part.entry)
        }
      }
      one = two
      two = three
    }
  }
}

const none: ReadonlyArray<Part> = []

const grams = (text: string): ReadonlyArray<string> =>
  Array.from({ length: Math.max(0, text.length - minPart + 1) }, (_, index) => text.slice(index, index + minPart))

const sumOf = (one: number, two: number, three: number): number => (one * 961 + two * 31 + three) & 0xffff

/** At most so many folders are noted over all ranges. */
const maxNoted = 1_000_000

/** Folders by ranges of sizes: for each piece between two bounds, those whose range it is in. */
class SizeTable {
  /** Where the pieces begin. */
  private readonly begins: ReadonlyArray<number>
  private readonly pieces: ReadonlyArray<ReadonlyArray<Entry>>

  constructor(entries: ReadonlyArray<Entry>) {
    const ranges = entries.flatMap((entry) =>
      entry.keys
        .filter((key) => key.kind === "size")
        .map(({ value }) => {
          const [min = 0, max = Infinity] = value.split(":").map(Number)
          return { entry, min, max }
        })
    )
    // so many ranges one over the other: half of the bounds, each piece twice as wide, until they can be noted
    let begins = Array.from(new Set([0, ...ranges.flatMap(({ max, min }) => [min, max + 1])])).sort((a, b) => a - b)
    while (begins.length * ranges.length > maxNoted) begins = begins.filter((_, index) => index % 2 === 0)
    this.begins = begins
    this.pieces = begins.map((begin, index) => {
      const end = begins[index + 1] ?? Infinity
      return ranges.filter(({ max, min }) => min < end && max >= begin).map(({ entry }) => entry)
    })
  }

  get isEmpty(): boolean {
    return this.pieces.every((piece) => piece.length === 0)
  }

  find(size: number | null, found: Found): void {
    if (size === null) return
    let low = 0
    let high = this.begins.length
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if ((this.begins[middle] ?? Infinity) <= size) low = middle
      else high = middle
    }
    for (const entry of this.pieces[low] ?? []) found.add(entry)
  }
}

/** By name, place and size. */
export class NameTable {
  private readonly ext: Table
  private readonly end: Table
  private readonly base: Table
  private readonly path: Table
  private readonly part: PartTable
  private readonly source: Table
  private readonly size: SizeTable
  private readonly hasSizes: boolean
  private readonly extParts: number
  private readonly pathParts: number
  private readonly found = new Found()

  constructor(entries: ReadonlyArray<Entry>) {
    this.ext = new Table(entries, "ext")
    this.end = new Table(entries, "end")
    this.base = new Table(entries, "base")
    this.path = new Table(entries, "path")
    this.part = new PartTable(entries, "part")
    this.source = new Table(entries, "source")
    this.size = new SizeTable(entries)
    this.hasSizes = !this.size.isEmpty
    this.extParts = most(this.ext, ".")
    this.pathParts = most(this.path, "/")
  }

  find(subject: Subject, hits: Array<Folder>): void {
    const { base, path } = subject
    const { found } = this
    found.begin(hits)
    if (!this.ext.isEmpty) {
      let dot = base.lastIndexOf(".")
      for (let parts = 0; dot > 0 && parts < this.extParts; parts += 1) {
        this.ext.find(base.slice(dot + 1).toLowerCase(), found)
        dot = base.lastIndexOf(".", dot - 1)
      }
    }
    if (!this.end.isEmpty) {
      const dot = base.lastIndexOf(".")
      if (dot >= 0) this.end.find(base.slice(dot + 1), found)
    }
    if (!this.base.isEmpty) this.base.find(base, found)
    if (!this.path.isEmpty) {
      let slash = path.indexOf("/")
      for (let parts = 0; slash >= 0 && parts < this.pathParts; parts += 1) {
        this.path.find(path.slice(0, slash), found)
        slash = path.indexOf("/", slash + 1)
      }
      this.path.find(path, found)
    }
    if (!this.part.isEmpty) this.part.find(path, found)
    if (!this.source.isEmpty) this.source.find(subject.source, found)
    if (this.hasSizes) this.size.find(subject.size, found)
  }
}

/** Of how many parts the keys of a table are at most. */
const most = (table: Table, separator: string): number =>
  Array.from(table.map.keys()).reduce((max, value) => Math.max(max, value.split(separator).length), 0)

/** By what the bytes are. */
export class TypeTable implements Waiting {
  readonly folders: ReadonlyArray<Folder>
  readonly ages: boolean
  private readonly type: Table
  private readonly types: Table
  private readonly found = new Found()

  constructor(entries: ReadonlyArray<Entry>) {
    const { ages, folders } = waiting(entries)
    this.folders = folders
    this.ages = ages
    this.type = new Table(entries, "type")
    this.types = new Table(entries, "types")
  }

  find(mime: string | null): ReadonlyArray<Folder> {
    const hits: Array<Folder> = []
    if (mime === null) return hits
    this.found.begin(hits)
    this.type.find(mime, this.found)
    this.types.find(mime.slice(0, mime.indexOf("/") + 1), this.found)
    return hits
  }
}

/** One for each length of text that is looked at, the longest first: it holds the others. */
export const textTables = (entries: ReadonlyArray<Entry>): ReadonlyArray<TextTable> => {
  const lengths = new Set(entries.flatMap(({ keys }) => keys.map(({ within }) => within)))
  return Array.from(lengths)
    .sort((left, right) => right - left)
    .map((within) => new TextTable(within, entries))
}

/** By the text, of which so many characters are looked at. */
export class TextTable implements Waiting {
  readonly folders: ReadonlyArray<Folder>
  readonly ages: boolean
  private readonly folded: PartTable
  private readonly raw: PartTable
  private readonly found = new Found()

  constructor(
    readonly within: number,
    entries: ReadonlyArray<Entry>
  ) {
    const own = entries.filter(({ keys }) => keys.some((key) => key.within === within))
    const { ages, folders } = waiting(own)
    this.folders = folders
    this.ages = ages
    this.folded = new PartTable(own, "folded")
    this.raw = new PartTable(own, "raw")
  }

  find(subject: Subject, text: Text): ReadonlyArray<Folder> {
    const hits: Array<Folder> = []
    if (text._tag === "NoText") return hits
    this.found.begin(hits)
    if (!this.folded.isEmpty) this.folded.find(subject.folded(this.within, text.text), this.found)
    if (!this.raw.isEmpty) this.raw.find(text.text, this.found)
    return hits
  }
}
