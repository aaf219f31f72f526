/**
 * A stream of node as one step of a transformation.
 */
import { pipeline } from "node:stream/promises"
import type { Transform } from "node:stream"

/** Bytes that a step hands on at once, about. */
export const chunkSize = 128 * 1024

/** What comes out of it; fails with what went wrong in it or before it. */
export const through = async function* (
  transform: Transform,
  input: AsyncIterable<Uint8Array>
): AsyncGenerator<Uint8Array> {
  // a failure destroys the stream, and is seen by who reads from it
  const fed = pipeline(input, transform).catch(() => undefined)
  try {
    yield* transform
  } finally {
    transform.destroy()
    await fed
  }
}
