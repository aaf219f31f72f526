/**
 * What SFTP's messages are made of (draft-ietf-secsh-filexfer-02, 3 to 7).
 */
import { Buffer } from "node:buffer"
import * as RelPath from "../../domain/RelPath.ts"

/** Codes of a status answer; those above 8 are of later versions, and some servers use them in version 3, too. */
export const status = {
  ok: 0,
  eof: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  badMessage: 5,
  noConnection: 6,
  connectionLost: 7,
  unsupported: 8,
  noSuchPath: 10,
  exists: 11,
  writeProtect: 12,
  noSpace: 14,
  quotaExceeded: 15
} as const

/** Bits of an `open`. */
export const flag = { read: 1, write: 2, create: 8, truncate: 16, exclusive: 32 } as const

/** Of messages. */
export const type = {
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  realpath: 16,
  stat: 17,
  rename: 18,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attributes: 105,
  extended: 200,
  extendedReply: 201
} as const

export interface Attributes {
  readonly size: number | null
  /** Milliseconds since the epoch, of whole seconds. */
  readonly mtime: number | null
  readonly folder: boolean
}

export const wirePath = (path: string): Buffer => Buffer.from(RelPath.toBytes(path === "" ? "/" : path))

export const lengthOf = (names: ReadonlyArray<Buffer>): number =>
  names.reduce((length, name) => length + 4 + name.byteLength, 0)

/** Which of the attributes of a file follow: this bit stands for its times. */
export const times = 8
const attribute = { size: 1, owner: 2, permissions: 4, times, extended: 0x80000000 } as const
const [typeMask, folderType] = [0o170000, 0o040000]

export class Output {
  readonly buffer: Buffer
  private at = 0

  constructor(length: number) {
    this.buffer = Buffer.allocUnsafe(length)
  }

  byte(value: number) {
    this.at = this.buffer.writeUInt8(value, this.at)
  }

  number(value: number) {
    this.at = this.buffer.writeUInt32BE(value >>> 0, this.at)
  }

  number64(value: number) {
    this.number(Math.floor(value / 2 ** 32))
    this.number(value % 2 ** 32)
  }

  bytes(value: Uint8Array) {
    this.number(value.byteLength)
    this.buffer.set(value, this.at)
    this.at += value.byteLength
  }
}

/** Throws where there is less than what should be there. */
export class Fields {
  constructor(
    private readonly message: Buffer,
    private at: number
  ) {}

  get left(): number {
    return this.message.byteLength - this.at
  }

  number(): number {
    const value = this.message.readUInt32BE(this.at)
    this.at += 4
    return value
  }

  /** Beyond 2^53 not exact. */
  number64(): number {
    return this.number() * 2 ** 32 + this.number()
  }

  bytes(): Buffer {
    const length = this.number()
    if (length > this.left) throw new RangeError("too short")
    const value = this.message.subarray(this.at, this.at + length)
    this.at += length
    return value
  }

  rest(): Buffer {
    return this.message.subarray(this.at)
  }

  attributes(): Attributes {
    const flags = this.number()
    const size = (flags & attribute.size) === 0 ? null : this.number64()
    if ((flags & attribute.owner) !== 0) this.at += 8
    const permissions = (flags & attribute.permissions) === 0 ? null : this.number()
    let mtime: number | null = null
    if ((flags & attribute.times) !== 0) {
      this.at += 4
      mtime = this.number() * 1000
    }
    if ((flags & attribute.extended) !== 0) {
      for (let count = this.number(); count > 0; count--) {
        this.bytes()
        this.bytes()
      }
    }
    return { size, mtime, folder: permissions !== null && (permissions & typeMask) === folderType }
  }
}
