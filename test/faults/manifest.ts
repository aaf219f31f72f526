/**
 * What the writer of a kill loop has produced: a file of lines that it appends to and that the oracles read.
 *
 * A version is named in it before a byte of it can be seen anywhere, and is said to be there once it is; so whatever is
 * found at a target and not in the manifest by then was never produced, and a source that is said to be there and is
 * not has gone since.
 */
import { createHash } from "node:crypto"
import fs from "node:fs"

export type Line =
  | { readonly is: "version"; readonly path: string; readonly version: number; readonly sha256: string }
  | {
      readonly is: "there"
      readonly path: string
      readonly version: number
      /** Index of the source. */
      readonly source: number
      readonly ino: number
    }
  /** Its writer paused for so long that the file may rightly have been taken for complete: nothing is asked of it. */
  | { readonly is: "loose"; readonly path: string }

export const append = (file: string, line: Line): void => fs.appendFileSync(file, `${JSON.stringify(line)}\n`)

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

export interface There {
  readonly version: number
  readonly source: number
  readonly ino: number
}

export class Manifest {
  /** By path and hash. */
  private readonly versions = new Map<string, Map<string, number>>()
  /** The sources that are to be there, by path. */
  readonly there = new Map<string, There>()
  readonly loose = new Set<string>()
  private at = 0
  private rest = ""

  constructor(private readonly file: string) {}

  /** Takes in what was appended since. */
  read(): void {
    const fd = fs.openSync(this.file, "r")
    try {
      const bytes = Buffer.alloc(Math.max(0, fs.fstatSync(fd).size - this.at))
      this.at += fs.readSync(fd, bytes, 0, bytes.length, this.at)
      const lines = `${this.rest}${bytes.toString("utf8")}`.split("\n")
      this.rest = lines.pop() ?? ""
      for (const line of lines) this.add(JSON.parse(line))
    } finally {
      fs.closeSync(fd)
    }
  }

  knows(path: string): boolean {
    return this.versions.has(path)
  }

  versionOf(path: string, hash: string): number | undefined {
    return this.versions.get(path)?.get(hash)
  }

  private add(line: Line): void {
    const { path } = line
    if (line.is === "loose") this.loose.add(path)
    else if (line.is === "there") this.there.set(path, line)
    else {
      const known = this.versions.get(path)
      if (known === undefined) this.versions.set(path, new Map([[line.sha256, line.version]]))
      else known.set(line.sha256, line.version)
    }
  }
}
