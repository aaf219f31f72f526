/**
 * Zstandard (RFC 8878), for a Node that does not have it.
 *
 * A file is compressed into frames of a few MiB each, which one after the other are a zstd file as well (RFC 8878, 3).
 * It is decompressed frame by frame: the frames are taken apart here, where the limits on memory and time are kept and
 * the checksums are compared, and their blocks are decoded by fzstd.
 */
import { ByteReader } from "./ByteReader.ts"
import type { Stage } from "./job.ts"
import { Xxh64 } from "./xxh64.ts"

/** Bytes of content of each frame. */
const frameSize = 8 * 1024 * 1024
const level = 3

/** Larger windows are refused, as the usual program refuses them unless told otherwise (RFC 8878, 3.1.1.1.2). */
const largestWindow = 128 * 1024 * 1024
const smallestWindow = 1024
const blockSize = 128 * 1024

/**
 * What was made to take for ever does so at a few bytes a second. Milliseconds of computing that anything may take, and
 * bytes, in and out, that each further millisecond must bring.
 */
const grace = 60_000
const slowest = 100

export const compress: Stage = async function* (input) {
  const zstd = await import("@bokuweb/zstd-wasm")
  await (ready ??= zstd.init())
  const reader = new ByteReader(input)
  try {
    for (let first = true; ; first = false) {
      const content = await reader.take(frameSize)
      // an empty file is one empty frame
      if (content.byteLength > 0 || first) yield zstd.compress(content, level)
      if (content.byteLength < frameSize) return
    }
  } finally {
    await reader.close()
  }
}

let ready: Promise<void> | undefined

/** The bytes are no zstd, or not all of it. As the end of a sentence. */
export class ZstdError extends Error {}

const cut = "it ends in the middle"
const damaged = "it is damaged"

export const decompress: Stage = async function* (input) {
  const { Decompress } = await import("fzstd")
  const reader = new ByteReader(input)
  let spent = 0
  let bytes = 0
  try {
    for (;;) {
      const magic = await exactly(reader, 4, true)
      if (magic === undefined) return
      if (isSkippable(magic)) {
        const length = numberIn(await exactly(reader, 4))
        if ((await reader.skip(length)) < length) throw new ZstdError(cut)
        continue
      }
      if (!isZstd(magic)) throw new ZstdError(bytes === 0 ? "it has no zstd frame" : "something else follows its end")
      const frame = await readHeader(reader)
      const digest = new Xxh64()
      let produced = 0
      let out: Array<Uint8Array> = []
      const decoder = new Decompress((chunk) => {
        if (chunk.byteLength === 0) return
        digest.update(chunk)
        produced += chunk.byteLength
        out.push(chunk)
      })
      for (let first = true, last = false; !last; first = false) {
        const block = await readBlock(reader)
        last = block.last
        const tail = last && frame.checksum ? await exactly(reader, 4) : none
        const header = first ? [frameHeader(frame, last)] : []
        const began = performance.now()
        try {
          decoder.push(Buffer.concat([...header, block.bytes, ...(last ? [noChecksum] : [])]), last)
        } catch {
          throw new ZstdError(damaged)
        }
        spent += performance.now() - began
        bytes += block.bytes.byteLength
        for (const chunk of out) {
          bytes += chunk.byteLength
          yield chunk
        }
        out = []
        if (frame.content !== undefined && produced > frame.content) throw new ZstdError(damaged)
        if (spent > grace + bytes / slowest) throw new ZstdError("it is made to take for ever")
        if (!last) continue
        if (frame.content !== undefined && produced !== frame.content) throw new ZstdError(damaged)
        if (frame.checksum && numberIn(tail) !== digest.digest()) {
          throw new ZstdError("its checksum is wrong, so that it is damaged")
        }
      }
    }
  } finally {
    await reader.close()
  }
}

const none = new Uint8Array(0)
/** fzstd skips the checksum; the block of a small frame is decoded only when it sees an end. */
const noChecksum = new Uint8Array(4)

export const isZstd = (bytes: Uint8Array): boolean => startsWith(bytes, [0x28, 0xb5, 0x2f, 0xfd])

/** A frame of something else, which is to be passed over (RFC 8878, 3.1.2). */
export const isSkippable = (bytes: Uint8Array): boolean =>
  ((bytes[0] ?? 0) & 0xf0) === 0x50 && startsWith(bytes.subarray(1), [0x2a, 0x4d, 0x18])

const startsWith = (bytes: Uint8Array, magic: ReadonlyArray<number>): boolean =>
  magic.every((byte, index) => bytes[index] === byte)

interface Frame {
  readonly window: number
  /** Bytes, where the frame says so. */
  readonly content: number | undefined
  readonly checksum: boolean
}

/** RFC 8878, 3.1.1.1; what follows the magic number. */
const readHeader = async (reader: ByteReader): Promise<Frame> => {
  const [descriptor = 0] = await exactly(reader, 1)
  if ((descriptor & 0x08) !== 0) throw new ZstdError(damaged)
  const single = (descriptor & 0x20) !== 0
  const sizeFlag = descriptor >> 6
  let size = 0
  if (!single) {
    const [byte = 0] = await exactly(reader, 1)
    const base = 2 ** (10 + (byte >> 3))
    size = base + (base / 8) * (byte & 7)
  }
  const dictionary = await exactly(reader, [0, 1, 2, 4][descriptor & 3] ?? 0)
  if (dictionary.some((byte) => byte !== 0)) throw new ZstdError("it needs a dictionary")
  const field = await exactly(reader, sizeFlag === 0 ? (single ? 1 : 0) : 2 ** sizeFlag)
  const content = field.byteLength === 0 ? undefined : numberIn(field) + (sizeFlag === 1 ? 256 : 0)
  if (single) size = content ?? 0
  if (size > largestWindow) {
    throw new ZstdError(
      `it takes ${Math.ceil(size / 2 ** 20)} MiB of memory, and at most ${largestWindow / 2 ** 20} MiB are given to it`
    )
  }
  return { window: size, content, checksum: (descriptor & 0x04) !== 0 }
}

/**
 * The header that fzstd gets: without a size, and with a window no larger than needed, because it fills that for each
 * frame anew. Where there is one block, its own size is enough.
 */
const frameHeader = ({ window: size }: Frame, single: boolean): Uint8Array => {
  const needed = Math.max(smallestWindow, single ? Math.min(size, blockSize) : size)
  const exponent = Math.max(10, Math.floor(Math.log2(needed)))
  const base = 2 ** exponent
  const mantissa = Math.ceil((needed - base) / (base / 8))
  const byte = mantissa > 7 ? (exponent - 9) << 3 : ((exponent - 10) << 3) | mantissa
  // with a checksum, so that it waits for four bytes after the last block
  return Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0x04, byte])
}

/** RFC 8878, 3.1.1.2: the block, its header included. */
const readBlock = async (reader: ByteReader): Promise<{ readonly last: boolean; readonly bytes: Uint8Array }> => {
  const header = numberIn(await exactly(reader, 3, false, true))
  const type = (header >> 1) & 3
  const size = header >> 3
  if (type === 3 || size > blockSize) throw new ZstdError(damaged)
  return { last: (header & 1) === 1, bytes: await exactly(reader, 3 + (type === 1 ? 1 : size)) }
}

/** Little-endian. */
const numberIn = (bytes: Uint8Array): number => bytes.reduceRight((sum, byte) => sum * 256 + byte, 0)

function exactly(reader: ByteReader, length: number, end?: false, peek?: boolean): Promise<Uint8Array>
function exactly(reader: ByteReader, length: number, end: true): Promise<Uint8Array | undefined>
async function exactly(reader: ByteReader, length: number, end = false, peek = false): Promise<Uint8Array | undefined> {
  const bytes = await (peek ? reader.peek(length) : reader.take(length))
  if (bytes.byteLength === length) return bytes
  if (bytes.byteLength === 0 && end) return undefined
  throw new ZstdError(cut)
}
