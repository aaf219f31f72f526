/**
 * A zip file with one entry.
 */
import { PassThrough, Readable } from "node:stream"
import { ZipFile } from "yazl"
import * as RelPath from "../../domain/RelPath.ts"
import type { Stage } from "./job.ts"

export interface Entry {
  readonly name: string
  /** Milliseconds since the epoch. */
  readonly mtime: number
  /** Permission bits. */
  readonly mode: number
}

/** zip64 where the sizes need it; they stand behind the content, because they are not known before. */
export const zip = ({ mode, mtime, name }: Entry): Stage =>
  async function* (input) {
    const file = new ZipFile()
    const content = Readable.from(input, { objectMode: false, highWaterMark: 128 * 1024 })
    const output = new PassThrough()
    file.outputStream.pipe(output)
    // nobody else tells the far end that there is no more to come
    content.on("error", (error) => output.destroy(error))
    file.on("error", (error: Error) => output.destroy(error))
    try {
      file.addReadStream(content, entryName(name), { mtime: dateOf(mtime), mode: 0o100000 | mode, compress: true })
      file.end()
      yield* output
    } finally {
      content.destroy()
    }
  }

/**
 * As programs that unpack take it: a slash would be a folder, a backslash one on another system, and a drive letter
 * another disk. Bytes that are no text are spelled out.
 */
export const entryName = (name: string): string => {
  const text = RelPath.isText(name) ? name : RelPath.display(name)
  const safe = text.replace(/[\\/]/g, "_").replace(/^([A-Za-z]):/, "$1_")
  return safe === "" || safe === "." || safe === ".." ? "file" : safe
}

/** A file's time can be beyond what a date can hold. */
const dateOf = (mtime: number): Date => {
  const date = new Date(mtime)
  return Number.isNaN(date.getTime()) ? new Date(0) : date
}
