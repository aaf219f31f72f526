/** What stands in the journal of a program that does not run: read from a copy, so that its own restart finds it as it was. */
import Database from "better-sqlite3"
import fs from "node:fs"
import { join } from "node:path"

export interface Delivery {
  readonly id: number
  readonly path: string
  /** Tells the targets apart. */
  readonly target: number
  readonly lane: string
  readonly state: string
  readonly generation: string
  /** What an attempt has left, or may have left. */
  readonly traces: number
  /** How many entries of the log there are for it, by what they say. */
  readonly succeeded: number
  readonly failed: number
}

export interface Journal {
  /** What the database says of itself. */
  readonly check: string
  readonly deliveries: ReadonlyArray<Delivery>
  /** Sources that were about to be deleted, archived or moved. */
  readonly disposing: number
  /** All entries of the log. */
  readonly entries: number
}

export const readJournal = (directory: string): Journal => {
  const copy = fs.mkdtempSync(join(directory, "copy-"))
  const file = join(copy, "journal.db")
  try {
    for (const suffix of ["", "-wal"]) {
      const from = join(directory, `journal.db${suffix}`)
      if (fs.existsSync(from)) fs.copyFileSync(from, `${file}${suffix}`)
    }
    if (!fs.existsSync(file)) return { check: "ok", deliveries: [], disposing: 0, entries: 0 }
    const database = new Database(file)
    try {
      const check = database.pragma("quick_check", { simple: true })
      const made = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'counters'").get() !== undefined
      if (!made) return { check: String(check), deliveries: [], disposing: 0, entries: 0 }
      const count = (sql: string) => database.prepare<[], { count: number }>(sql).get()?.count ?? 0
      return {
        check: String(check),
        deliveries: database
          .prepare<[], Delivery>(
            `SELECT d.id, COALESCE(json_extract(g.origin, '$[1]'), g.path) AS path, d.target, d.lane, d.state,
               g.state AS generation, (d.resume IS NOT NULL) + d.interrupted AS traces,
               COALESCE(succeeded, 0) AS succeeded, COALESCE(failed, 0) AS failed
             FROM deliveries d JOIN generations g ON g.id = d.generation
               LEFT JOIN (SELECT delivery, sum(status = 'SUCCEEDED') AS succeeded, sum(status = 'FAILED') AS failed
                 FROM logs GROUP BY delivery) l ON l.delivery = d.id
             ORDER BY d.id`
          )
          .all(),
        disposing: count("SELECT count(*) AS count FROM generations WHERE state IN ('DISPOSING', 'MOVING')"),
        entries: count("SELECT count(*) AS count FROM logs")
      }
    } finally {
      database.close()
    }
  } finally {
    fs.rmSync(copy, { recursive: true, force: true })
  }
}
