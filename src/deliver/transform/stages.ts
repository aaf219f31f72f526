/**
 * The steps of a transformation, in their order: decompress, compress, encrypt.
 */
import { constants, createBrotliCompress, createGzip } from "node:zlib"
import type { Transform } from "../../domain/Target.ts"
import * as Age from "./age.ts"
import { decompress } from "./decompress.ts"
import type { Stage } from "./job.ts"
import { chunkSize, through } from "./through.ts"
import { zip, type Entry } from "./zip.ts"
import * as Zstd from "./zstd.ts"

/** Of what is fast enough for a file on its way; the highest levels are hundreds of times slower for a few percent. */
const brotliQuality = 5

/** `source`: the file, absolute. `entry`: for a zip file. */
export const stagesOf = (transform: Transform, source: string, entry: Entry): ReadonlyArray<Stage> => [
  ...(transform.decompress === null ? [] : [decompress(source, transform.decompress.limit)]),
  ...compressing(transform.compress, entry),
  ...(transform.age.length === 0 ? [] : [Age.encrypt(transform.age)])
]

const compressing = (format: Transform["compress"], entry: Entry): ReadonlyArray<Stage> => {
  switch (format) {
    case "none":
      return []
    case "gzip":
      return [(input) => through(createGzip({ chunkSize }), input)]
    case "brotli":
      return [(input) => through(createBrotliCompress({ chunkSize, params: brotli }), input)]
    case "zstd":
      return [Zstd.compress]
    case "zip":
      return [zip(entry)]
  }
}

const brotli = { [constants.BROTLI_PARAM_QUALITY]: brotliQuality }
