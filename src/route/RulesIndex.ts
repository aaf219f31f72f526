/**
 * Finds the folders that want a file, without asking all of them.
 *
 * Each folder is entered under what a file must have for it: an extension, a directory, a few characters of the name, a
 * type, a few characters of the text. A file is looked up under what it has, and only the folders that are found are
 * asked. Those of which nothing can be looked up are asked always.
 */
import { Effect } from "effect"
import type { Bytes, FactsError } from "../files/FileFacts.ts"
import type { Folder } from "./RouterPlaces.ts"
import { maxPath, type Subject } from "./Rules.ts"
import { idOf, keysOf, needOf, pick } from "./RulesKeys.ts"
import { entry, NameTable, textTables, TypeTable, type Entry, type Waiting } from "./RulesTables.ts"

export interface Verdict {
  /** In the order of the config. */
  readonly matched: ReadonlyArray<Folder>
  /** The first millisecond at which the age of the file may make another folder want it; Infinity: none. */
  readonly until: number
}

export interface Index {
  readonly isEmpty: boolean
  /** By what is known without reading. */
  readonly judge: (subject: Subject, first: boolean) => Verdict | "read"
  /** With the file at hand: reads what the rules ask for that are not decided yet. `first`: only the first folder. */
  readonly read: (subject: Subject, first: boolean, bytes: Bytes) => Effect.Effect<Verdict, FactsError>
}

export const make = (folders: ReadonlyArray<Folder>): Index => {
  const { always, byName, byText, byType } = sort(folders)
  const names = new NameTable(byName)
  const types = new TypeTable(byType)
  const texts = textTables(byText)
  /** Only their bytes can say more of them: those that nothing cheaper may decide come first. */
  const unread = [...byType, ...byText].map(({ folder }) => folder)

  return {
    isEmpty: folders.length === 0,
    judge: (subject, first) => {
      const tally = new Tally(first)
      if (subject.path.length > maxPath) return tally
      names.find(subject, tally.hits)
      if (!tally.ask(subject, tally.hits) || !tally.ask(subject, always) || !tally.ask(subject, unread)) return "read"
      return tally.isOpen() ? "read" : tally.sorted()
    },
    read: (subject, first, bytes) =>
      Effect.gen(function* () {
        const tally = new Tally(first, true)
        if (subject.path.length > maxPath) return tally
        names.find(subject, tally.hits)
        tally.ask(subject, tally.hits)
        tally.ask(subject, always)
        if (tally.mayWant(subject, types)) {
          if (subject.mime === undefined) subject.mime = yield* bytes.mime
          tally.ask(subject, types.find(subject.mime))
        }
        yield* settle(tally, subject, bytes)
        for (const table of texts) {
          if (!tally.mayWant(subject, table)) continue
          const text = subject.texts.get(table.within) ?? (yield* bytes.text(table.within))
          subject.texts.set(table.within, text)
          tally.ask(subject, table.find(subject, text))
        }
        yield* settle(tally, subject, bytes)
        return tally.sorted()
      })
  }
}

/** Reads for those that are still open, the cheapest first, until none is. */
const settle = (tally: Tally, subject: Subject, bytes: Bytes): Effect.Effect<void, FactsError> =>
  Effect.gen(function* () {
    for (;;) {
      subject.wantsMime = false
      subject.wantsText = 0
      const open = tally.takeOpen()
      tally.ask(subject, open)
      if (!tally.isOpen()) return
      if (subject.wantsMime) subject.mime = yield* bytes.mime
      else subject.texts.set(subject.wantsText, yield* bytes.text(subject.wantsText))
    }
  })

/** What the folders have said of one file so far. */
class Tally implements Verdict {
  readonly hits: Array<Folder> = []
  matched: Array<Folder> = []
  until = Infinity
  private open: Array<Folder> = []
  /** With `first`: where the first one stands that wants it. Those after it don't matter. */
  private best = Infinity

  constructor(
    private readonly first: boolean,
    private readonly reads = false
  ) {}

  /** False: some of them can't say without reading, and that is all there is to know. */
  ask(subject: Subject, folders: ReadonlyArray<Folder>): boolean {
    for (const folder of folders) {
      if (folder.index > this.best) continue
      const answer = folder.node.test(subject)
      if (answer === null) {
        if (!this.first && !this.reads) return false
        this.open.push(folder)
      } else if (answer) {
        if (this.first) {
          this.best = folder.index
          this.matched = [folder]
        } else this.matched.push(folder)
      } else if (folder.node.ages) this.until = Math.min(this.until, folder.node.until(subject))
    }
    return true
  }

  isOpen(): boolean {
    return this.open.some(({ index }) => index < this.best)
  }

  takeOpen(): ReadonlyArray<Folder> {
    const { open } = this
    this.open = []
    return open
  }

  /** Whether any of them could still be the one, or one of those, that want it. */
  mayWant(subject: Subject, { ages, folders }: Waiting): boolean {
    let may = false
    for (const folder of folders) {
      if (folder.index > this.best) continue
      if (folder.node.test(subject) !== false) {
        may = true
        if (!ages) break
      } else if (folder.node.ages) this.until = Math.min(this.until, folder.node.until(subject))
    }
    return may
  }

  sorted(): Verdict {
    if (this.matched.length > 1) this.matched.sort((left, right) => left.index - right.index)
    return this
  }
}

// Under which keys a folder is entered.

interface Sorted {
  readonly byName: ReadonlyArray<Entry>
  readonly byType: ReadonlyArray<Entry>
  readonly byText: ReadonlyArray<Entry>
  /** What can't be looked up. */
  readonly always: ReadonlyArray<Folder>
}

const sort = (folders: ReadonlyArray<Folder>): Sorted => {
  const needs = folders.map(({ node }) => needOf(node.rule))
  const uses = new Map<string, number>()
  for (const need of needs) {
    for (const id of new Set(keysOf(need).map(idOf))) uses.set(id, (uses.get(id) ?? 0) + 1)
  }
  const sorted = {
    byName: new Array<Entry>(),
    byType: new Array<Entry>(),
    byText: new Array<Entry>(),
    always: new Array<Folder>()
  }
  for (const [index, folder] of folders.entries()) {
    const need = needs[index]
    const name = pick(need, "name", uses)
    const type = name === undefined ? pick(need, "type", uses) : undefined
    const text = name === undefined && type === undefined ? pick(need, "text", uses) : undefined
    if (name !== undefined) sorted.byName.push(entry(folder, name.keys))
    else if (type !== undefined) sorted.byType.push(entry(folder, type.keys))
    else if (text !== undefined && text.keys.every((key) => key.within === text.keys[0]?.within)) {
      sorted.byText.push(entry(folder, text.keys))
    } else sorted.always.push(folder)
  }
  return sorted
}
