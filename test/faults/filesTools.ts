/**
 * What the tests of files as they are share: a look at a target all the while, programs that play with files, and what
 * a project's log says of each.
 */
import { Effect, type Scope } from "effect"
import Database from "better-sqlite3"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import fs from "node:fs"
import { join } from "node:path"

export const sha256 = (content: string | Uint8Array): string => createHash("sha256").update(content).digest("hex")

/** Whether a name is one that the program gives to what is not finished yet. */
export const isTemp = (path: string): boolean => /(?:^|\/)\.fd-[0-9A-Za-z]{20}\.(?:part|tmp)$/.test(path)

/** What a look at a target all the while has seen. */
export interface Seen {
  /** How often it looked. */
  readonly looks: () => number
  /** The contents that each final name had, in order, as sha256. */
  readonly contents: () => ReadonlyMap<string, ReadonlyArray<string>>
  /** Names, and what was under them, that are none of the versions that were written: partial or foreign. */
  readonly wrong: () => ReadonlyArray<string>
  /** Temp files that are there now. */
  readonly temps: () => ReadonlyArray<string>
}

/** Looks at all files below a folder every few milliseconds; `known`: every version that may be seen, as sha256. */
export const watchFolder = (
  folder: string,
  known: ReadonlyMap<string, ReadonlySet<string>>
): Effect.Effect<Seen, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new Looker(folder, known)),
      (looker) => Effect.sync(() => looker.stop())
    ),
    (looker) => looker
  )

class Looker implements Seen {
  private count = 0
  private readonly found = new Map<string, Array<string>>()
  private readonly stamps = new Map<string, string>()
  private readonly bad: Array<string> = []
  private timer: NodeJS.Timeout

  constructor(
    private readonly folder: string,
    private readonly known: ReadonlyMap<string, ReadonlySet<string>>
  ) {
    const again = () => {
      this.look()
      this.timer = setTimeout(again, 3)
    }
    this.timer = setTimeout(again, 0)
  }

  stop() {
    clearTimeout(this.timer)
    this.look()
  }

  looks = () => this.count
  contents = () => this.found
  wrong = () => this.bad
  temps = () => filesBelow(this.folder).filter(isTemp)

  private look() {
    this.count += 1
    for (const path of filesBelow(this.folder)) {
      if (isTemp(path)) continue
      let file: number
      try {
        file = fs.openSync(join(this.folder, path), "r")
      } catch {
        continue
      }
      try {
        const { ctimeMs, ino, size } = fs.fstatSync(file)
        const stamp = `${ino}:${size}:${ctimeMs}`
        if (this.stamps.get(path) === stamp) continue
        this.stamps.set(path, stamp)
        const digest = sha256(fs.readFileSync(file))
        const before = this.found.get(path) ?? []
        if (before.at(-1) !== digest) this.found.set(path, [...before, digest])
        if (this.known.get(path)?.has(digest) !== true) this.bad.push(`${path}: ${size} bytes, ${digest}`)
      } finally {
        fs.closeSync(file)
      }
    }
  }
}

/** Every file below a folder, relative to it; what vanishes meanwhile is left out. */
export const filesBelow = (folder: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  const walk = (path: string) => {
    let entries: ReadonlyArray<fs.Dirent>
    try {
      entries = fs.readdirSync(join(folder, path), { withFileTypes: true })
    } catch {
      return
    }
    for (const entry of entries) {
      const below = path === "" ? entry.name : `${path}/${entry.name}`
      if (entry.isDirectory()) walk(below)
      else found.push(below)
    }
  }
  walk("")
  return found
}

/** A program of one's own that does this in a loop, until the scope ends; `body` is synchronous, with `fs` at hand. */
export const loop = (
  body: string,
  options: { readonly setup?: string; readonly pause?: number } = {}
): Effect.Effect<{ readonly end: Effect.Effect<number> }, never, Scope.Scope> =>
  Effect.gen(function* () {
    const script = `
      const fs = require("node:fs")
      ${options.setup ?? ""}
      let rounds = 0, over = false
      process.once("SIGTERM", () => { over = true })
      const turn = () => {
        const until = Date.now() + 5
        do { ${body}; rounds++ } while (Date.now() < until)
        if (over) { process.stdout.write(String(rounds), () => process.exit(0)); return }
        setTimeout(turn, ${options.pause ?? 0})
      }
      turn()`
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] })),
      (child) =>
        Effect.sync(() => {
          if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL")
        })
    )
    let said = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text))
    const closed = new Promise<void>((resolve) => child.once("close", () => resolve()))
    return {
      /** Lets it end its turn; how often it went round. */
      end: Effect.promise(async () => {
        child.kill("SIGTERM")
        await closed
        return Number(said)
      })
    }
  })

/** An entry of a project's log. */
export interface Entry {
  readonly filename: string
  readonly status: string
  readonly reason: string | null
  readonly destination: string
  readonly bytes: number
  readonly sha256: string | null
}

export const entriesIn = (directory: string): ReadonlyArray<Entry> => {
  const file = join(directory, "journal.db")
  if (!fs.existsSync(file)) return []
  const database = new Database(file, { readonly: true })
  try {
    return database
      .prepare<[], Entry>(
        "SELECT filename, status, reason, destination, byte_size AS bytes, sha256 FROM logs ORDER BY seq"
      )
      .all()
  } catch {
    // its tables are not there yet
    return []
  } finally {
    database.close()
  }
}

/** How many deliveries of a project have not come to an end. */
export const openIn = (directory: string): number => {
  const file = join(directory, "journal.db")
  if (!fs.existsSync(file)) return 0
  const database = new Database(file, { readonly: true })
  try {
    return (
      database
        .prepare<[], { open: number }>(
          "SELECT count(*) AS open FROM deliveries WHERE state IN ('PENDING', 'SENDING', 'PUBLISHING', 'RETRY_WAIT', 'BLOCKED')"
        )
        .get()?.open ?? 0
    )
  } catch {
    return 0
  } finally {
    database.close()
  }
}
