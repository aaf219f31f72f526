/**
 * What the fault suite says at its end: each test tells what it tried and what it measured, and `npm run test:faults`
 * makes a table of it.
 */
import fs from "node:fs"
import { dirname } from "node:path"

/** Names the random choices of a run; `FILEDISPATCH_SEED` makes them again. */
export const seed = Number(process.env["FILEDISPATCH_SEED"] ?? Date.now() % 1_000_000)

/** Whether this is the longer run, `npm run test:faults -- --long`. */
export const long = process.env["FILEDISPATCH_LONG"] !== undefined

export type Section = "kill" | "step" | "fault" | "files" | "attack" | "watch"

export interface Tried {
  readonly section: Section
  /** What was done to the program: "killed 100 times, to FTP". */
  readonly what: string
  /** What happened, measured: "412 files, each there once and whole; 37 kills in the middle of a delivery". */
  readonly happened: string
  /** Counts that are summed up over the whole run. All but `kills` and `files` must be zero. */
  readonly counts?: {
    /** How often the program was killed. */
    readonly kills?: number
    /** How many files went in. */
    readonly files?: number
    /** Files that arrived nowhere, or not whole, in the end. */
    readonly lost?: number
    /** Sightings of a part of a file under a final name. */
    readonly partial?: number
    /** Results beyond the first of a delivery to a target with paths. */
    readonly duplicates?: number
    /** Temp files that were left. */
    readonly temps?: number
    /** Places where a secret was found. */
    readonly secrets?: number
  }
}

/** To be called once the test's expectations have held. */
export const tried = (one: Tried): void => {
  const file = process.env["FILEDISPATCH_FAULTS_REPORT"]
  if (file === undefined) return
  fs.mkdirSync(dirname(file), { recursive: true })
  fs.appendFileSync(file, `${JSON.stringify(one)}\n`)
}
