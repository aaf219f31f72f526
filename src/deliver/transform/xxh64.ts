/**
 * XXH64, the checksum at the end of a zstd frame (RFC 8878, 3.1.1; the algorithm is that of xxHash's specification,
 * doc/xxhash_spec.md). 64-bit numbers are pairs of 32-bit halves here: BigInt is ten times slower.
 */

type Pair = readonly [high: number, low: number]

const prime1: Pair = [0x9e3779b1, 0x85ebca87]
const prime2: Pair = [0xc2b2ae3d, 0x27d4eb4f]
const prime3: Pair = [0x165667b1, 0x9e3779f9]
const prime4: Pair = [0x85ebca77, 0xc2b2ae63]
const prime5: Pair = [0x27d4eb2f, 0x165667c5]

/** Of the last operation below: two numbers are returned without making an object for each. */
let high = 0
let low = 0

const stripe = 32

/** Of bytes that come in pieces, with the seed 0. */
export class Xxh64 {
  /** Four accumulators, each as its high and its low half. */
  private readonly lanes = new Int32Array(8)
  private readonly rest = new Uint8Array(stripe)
  private readonly restView = new DataView(this.rest.buffer)
  private kept = 0
  private length = 0

  constructor() {
    add(prime1[0], prime1[1], prime2[0], prime2[1])
    this.set(0)
    this.lanes[2] = prime2[0]
    this.lanes[3] = prime2[1]
    subtract(0, 0, prime1[0], prime1[1])
    this.set(3)
  }

  update(bytes: Uint8Array): void {
    this.length += bytes.byteLength
    let at = 0
    if (this.kept > 0) {
      at = Math.min(stripe - this.kept, bytes.byteLength)
      this.rest.set(bytes.subarray(0, at), this.kept)
      this.kept += at
      if (this.kept < stripe) return
      this.stripes(this.restView, 0, stripe)
      this.kept = 0
    }
    const end = at + Math.floor((bytes.byteLength - at) / stripe) * stripe
    this.stripes(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at, end)
    this.rest.set(bytes.subarray(end))
    this.kept = bytes.byteLength - end
  }

  /** The lower 32 bits, which is what a frame has. To be asked once, at the end. */
  digest(): number {
    if (this.length >= stripe) {
      high = low = 0
      for (const [lane, bits] of [1, 7, 12, 18].entries()) {
        const sum: Pair = [high, low]
        rotate(this.high(lane), this.low(lane), bits)
        add(high, low, sum[0], sum[1])
      }
      for (let lane = 0; lane < 4; lane++) this.merge(lane)
    } else {
      high = prime5[0]
      low = prime5[1]
    }
    add(high, low, Math.floor(this.length / 2 ** 32), this.length)
    let at = 0
    for (; at + 8 <= this.kept; at += 8) {
      const hash: Pair = [high, low]
      round(0, 0, this.restView.getInt32(at + 4, true), this.restView.getInt32(at, true))
      rotate(high ^ hash[0], low ^ hash[1], 27)
      multiply(high, low, prime1)
      add(high, low, prime4[0], prime4[1])
    }
    if (at + 4 <= this.kept) {
      const hash: Pair = [high, low]
      multiply(0, this.restView.getInt32(at, true), prime1)
      rotate(high ^ hash[0], low ^ hash[1], 23)
      multiply(high, low, prime2)
      add(high, low, prime3[0], prime3[1])
      at += 4
    }
    for (; at < this.kept; at++) {
      const hash: Pair = [high, low]
      multiply(0, this.rest[at] ?? 0, prime5)
      rotate(high ^ hash[0], low ^ hash[1], 11)
      multiply(high, low, prime1)
    }
    low ^= high >>> 1
    multiply(high, low, prime2)
    shifted(29)
    multiply(high, low, prime3)
    low ^= high
    return low >>> 0
  }

  private stripes(view: DataView, start: number, end: number): void {
    for (let at = start; at < end; at += stripe) {
      for (let lane = 0; lane < 4; lane++) {
        const here = at + lane * 8
        round(this.high(lane), this.low(lane), view.getInt32(here + 4, true), view.getInt32(here, true))
        this.set(lane)
      }
    }
  }

  private merge(lane: number): void {
    const hash: Pair = [high, low]
    round(0, 0, this.high(lane), this.low(lane))
    multiply(high ^ hash[0], low ^ hash[1], prime1)
    add(high, low, prime4[0], prime4[1])
  }

  private high(lane: number): number {
    return this.lanes[lane * 2] ?? 0
  }

  private low(lane: number): number {
    return this.lanes[lane * 2 + 1] ?? 0
  }

  private set(lane: number): void {
    this.lanes[lane * 2] = high
    this.lanes[lane * 2 + 1] = low
  }
}

/** The accumulator with eight bytes of input. */
const round = (accHigh: number, accLow: number, inHigh: number, inLow: number): void => {
  multiply(inHigh, inLow, prime2)
  add(accHigh, accLow, high, low)
  rotate(high, low, 31)
  multiply(high, low, prime1)
}

const add = (h1: number, l1: number, h2: number, l2: number): void => {
  const sum = (l1 >>> 0) + (l2 >>> 0)
  low = sum | 0
  high = (h1 + h2 + (sum > 0xffffffff ? 1 : 0)) | 0
}

const subtract = (h1: number, l1: number, h2: number, l2: number): void => {
  low = (l1 - l2) | 0
  high = (h1 - h2 - (l1 >>> 0 < l2 >>> 0 ? 1 : 0)) | 0
}

const multiply = (h: number, l: number, [ph, pl]: Pair): void => {
  const l0 = l & 0xffff
  const l1 = l >>> 16
  const p0 = pl & 0xffff
  const p1 = pl >>> 16
  // the upper half of l × pl, from products of 16 bits
  const middle = (Math.imul(l1, p0) >>> 0) + (Math.imul(l0, p0) >>> 16)
  const cross = (Math.imul(l0, p1) >>> 0) + (middle & 0xffff)
  const upper = Math.imul(l1, p1) + Math.floor(middle / 65536) + Math.floor(cross / 65536)
  high = (upper + Math.imul(h, pl) + Math.imul(l, ph)) | 0
  low = Math.imul(l, pl)
}

/** To the left, by 1 to 31 bits. */
const rotate = (h: number, l: number, bits: number): void => {
  high = (h << bits) | (l >>> (32 - bits))
  low = (l << bits) | (h >>> (32 - bits))
}

/** The number, exclusive or itself shifted to the right. */
const shifted = (bits: number): void => {
  low ^= (low >>> bits) | (high << (32 - bits))
  high ^= high >>> bits
}
