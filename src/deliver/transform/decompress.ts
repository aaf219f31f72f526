/**
 * Undoes gzip, brotli or zstd, as the bytes say.
 *
 * A file that is not compressed passes as it is. A name that says `.gz` or `.zst` while the bytes say otherwise is an
 * error, because such a file is damaged as a rule; brotli has nothing at its beginning to know it by, so that there the
 * name says it.
 */
import { constants, createBrotliDecompress, createGunzip } from "node:zlib"
import * as RelPath from "../../domain/RelPath.ts"
import { ByteReader } from "./ByteReader.ts"
import { Fault, type Stage } from "./job.ts"
import { chunkSize, through } from "./through.ts"
import * as Zstd from "./zstd.ts"

type Format = "gzip" | "brotli" | "zstd"

const suffixes: ReadonlyArray<readonly [RegExp, Format]> = [
  [/\.t?gz$/i, "gzip"],
  [/\.t?zst$/i, "zstd"],
  [/\.br$/i, "brotli"]
]

const words: { readonly [Name in Format]: string } = { gzip: "gzip", brotli: "Brotli", zstd: "Zstandard" }

/** `source`: the file, absolute. `limit`: bytes of the result. */
export const decompress = (source: string, limit: number): Stage =>
  async function* (input) {
    const reader = new ByteReader(input)
    try {
      const format = formatOf(source, await reader.peek(4))
      if (format === undefined) return yield* reader.rest()
      let bytes = 0
      for await (const chunk of decoded(source, format, reader.rest())) {
        bytes += chunk.byteLength
        if (bytes > limit) throw tooLarge(source, limit)
        yield chunk
      }
    } finally {
      await reader.close()
    }
  }

const formatOf = (source: string, head: Uint8Array): Format | undefined => {
  const named = suffixes.find(([suffix]) => suffix.test(RelPath.basename(source)))?.[1]
  if (named === "brotli") return named
  const found = head[0] === 0x1f && head[1] === 0x8b ? "gzip" : isZstd(head) ? "zstd" : undefined
  if (named === undefined || found !== undefined) return found
  throw new Fault(
    "permanent",
    `${RelPath.display(source)} is called what ${words[named]} files are called, but ${head.byteLength === 0 ? "it is empty" : `its content is no ${words[named]}`}: it is damaged, or has the wrong name. ${advice}`
  )
}

const isZstd = (head: Uint8Array): boolean => head.byteLength === 4 && (Zstd.isZstd(head) || Zstd.isSkippable(head))

const decoded = async function* (
  source: string,
  format: Format,
  input: AsyncIterable<Uint8Array>
): AsyncGenerator<Uint8Array> {
  try {
    yield* stages[format](input)
  } catch (error) {
    // what went wrong before this stage says so itself
    if (error instanceof Fault) throw error
    throw new Fault(
      "permanent",
      `${RelPath.display(source)} can't be decompressed as ${words[format]}: ${why(error)}. ${advice}`
    )
  }
}

const stages: { readonly [Name in Format]: Stage } = {
  gzip: (input) => through(createGunzip({ chunkSize }), input),
  brotli: (input) => through(createBrotliDecompress({ chunkSize }), input),
  zstd: Zstd.decompress
}

const advice = "Put a whole one there, or send it without `decompress`."

const why = (error: unknown): string => {
  if (error instanceof Zstd.ZstdError) return error.message
  if (!(error instanceof Error)) return "it is damaged"
  const code = "errno" in error ? error.errno : undefined
  return code === constants.Z_BUF_ERROR ? "it ends in the middle" : `it is damaged (${error.message})`
}

const tooLarge = (source: string, limit: number): Fault =>
  new Fault(
    "permanent",
    `${RelPath.display(source)} decompresses to more than ${inUnits(limit)}, which is the limit of \`decompress\`. Raise that if the file is to be trusted, or send it without \`decompress\`.`
  )

const inUnits = (bytes: number): string => {
  const unit = [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10]
  ].find(([, size]) => typeof size === "number" && bytes >= size && bytes % size === 0)
  return unit === undefined ? `${bytes} bytes` : `${bytes / Number(unit[1])} ${unit[0]}`
}
