/**
 * A log file that is set aside when it has grown: `file`, `file.1`, …, `file.<keep>`, the newest first.
 */
import { Effect, type Scope } from "effect"
import { closeSync, fstatSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs"
import { dirname } from "node:path"
import { Failure } from "./Failure.ts"
import { noteUnsafe } from "./Output.ts"

export interface LogFile {
  /** Appends a line. Synchronous, so that the last words of a process that dies are there, too. */
  readonly append: (line: string) => void
}

/** `size` in bytes; `keep`: how many old ones. */
export const open = (
  file: string,
  rotate: { readonly size: number; readonly keep: number }
): Effect.Effect<LogFile, Failure, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.try({
        try: () => new Appender(file, rotate),
        catch: (error) =>
          new Failure({
            code: 1,
            message: `The log file ${file} can't be opened (${error instanceof Error ? error.message : String(error)}). Choose another place with --log-file, or log.file in the config.`
          })
      }),
      (appender) => Effect.sync(() => appender.close())
    ),
    (appender): LogFile => ({ append: (line) => appender.append(line) })
  )

class Appender {
  readonly #file: string
  readonly #rotate: { readonly size: number; readonly keep: number }
  #descriptor: number
  #size: number
  /** Said once, until a line can be written again. */
  #broken = false

  constructor(file: string, rotate: { readonly size: number; readonly keep: number }) {
    this.#file = file
    this.#rotate = rotate
    mkdirSync(dirname(file), { recursive: true })
    this.#descriptor = openSync(file, "a", 0o640)
    this.#size = fstatSync(this.#descriptor).size
  }

  append(line: string): void {
    const bytes = Buffer.from(`${line}\n`)
    try {
      if (this.#size > 0 && this.#size + bytes.length > this.#rotate.size) this.#setAside()
      writeSync(this.#descriptor, bytes)
      this.#size += bytes.length
      this.#broken = false
    } catch (error) {
      // a full disk must not stop deliveries; the line goes where it can still be seen
      if (!this.#broken) noteUnsafe(`the log file can't be written: ${String(error)}`)
      this.#broken = true
      noteUnsafe(line)
    }
  }

  close(): void {
    closeSync(this.#descriptor)
  }

  #setAside(): void {
    const { keep } = this.#rotate
    const old = (number: number) => (number === 0 ? this.#file : `${this.#file}.${number}`)
    rmSync(old(keep), { force: true })
    for (let number = keep - 1; number >= 0; number -= 1) {
      try {
        renameSync(old(number), old(number + 1))
      } catch {
        // it was never there, or somebody took it away
      }
    }
    const next = openSync(this.#file, "a", 0o640)
    closeSync(this.#descriptor)
    this.#descriptor = next
    this.#size = fstatSync(next).size
  }
}
