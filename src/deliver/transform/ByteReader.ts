/**
 * Takes exact numbers of bytes from a stream of chunks.
 */
export class ByteReader {
  private readonly chunks: AsyncIterator<Uint8Array>
  private readonly held: Array<Uint8Array> = []
  private available = 0
  private ended = false

  constructor(input: AsyncIterable<Uint8Array>) {
    this.chunks = input[Symbol.asyncIterator]()
  }

  /** The next bytes, which stay; fewer only at the end. */
  async peek(length: number): Promise<Uint8Array> {
    while (this.available < length && !this.ended) await this.fill()
    const [first] = this.held
    if (first !== undefined && (first.byteLength >= length || this.held.length === 1)) return first.subarray(0, length)
    const all = Buffer.concat(this.held)
    this.held.splice(0, this.held.length, all)
    return all.subarray(0, length)
  }

  /** The next bytes; fewer only at the end. */
  async take(length: number): Promise<Uint8Array> {
    const bytes = await this.peek(length)
    this.drop(bytes.byteLength)
    return bytes
  }

  /** Leaves bytes out; answers how many there were. */
  async skip(length: number): Promise<number> {
    let left = length
    while (left > 0) {
      if (this.available === 0) await this.fill()
      if (this.available === 0) break
      const step = Math.min(left, this.available)
      this.drop(step)
      left -= step
    }
    return length - left
  }

  /** All that is left, in chunks as they come. */
  async *rest(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.held.shift()
      if (chunk !== undefined) {
        this.available -= chunk.byteLength
        yield chunk
      } else if (this.ended) return
      else await this.fill()
    }
  }

  /** Lets go of what is left. */
  async close(): Promise<void> {
    this.ended = true
    await this.chunks.return?.()
  }

  private async fill(): Promise<void> {
    const next = await this.chunks.next()
    if (next.done === true) this.ended = true
    else if (next.value.byteLength > 0) {
      this.held.push(next.value)
      this.available += next.value.byteLength
    }
  }

  private drop(length: number): void {
    this.available -= length
    let left = length
    while (left > 0) {
      const [first] = this.held
      if (first === undefined) return
      if (first.byteLength > left) {
        this.held[0] = first.subarray(left)
        return
      }
      left -= first.byteLength
      this.held.shift()
    }
  }
}
