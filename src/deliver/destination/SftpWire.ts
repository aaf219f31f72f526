/**
 * The SSH File Transfer Protocol, version 3 (draft-ietf-secsh-filexfer-02), on a channel of an SSH connection.
 *
 * Many requests are under way at once, of many files; they are gathered into full packets before they go out. ssh2 has
 * a client of its own, which sends each request by itself, takes names as text only, and knows no `limits@openssh.com`
 * and no `check-file`.
 */
import type { Duplex } from "node:stream"
import type { Socket } from "node:net"
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

/** A request that the server has refused. */
export class StatusError extends Error {
  constructor(
    /** What was asked: "OPEN", "WRITE", … */
    readonly request: string,
    readonly code: number,
    /** The server's own words; from outside, and empty where it has none. */
    readonly text: string
  ) {
    super(`${request}: ${text === "" ? `status ${code}` : text}`)
  }
}

/** The connection is gone, and with it what was under way. */
export class LostError extends Error {}

export interface Attributes {
  readonly size: number | null
  /** Milliseconds since the epoch, of whole seconds. */
  readonly mtime: number | null
  readonly folder: boolean
}

export interface Space {
  /** Bytes that this user may still write. */
  readonly free: number
  readonly readOnly: boolean
}

interface Reply {
  readonly type: number
  readonly body: Fields
}

interface Waiting {
  readonly request: string
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: Error) => void
}

const type = {
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

/** What every server takes (section 3 of the draft), and OpenSSH at most. */
const usualChunk = 32 * 1024
const largestChunk = 255 * 1024
/** The data of one SSH packet, as all servers take it (RFC 4253, 6.1). */
const packet = 32 * 1024
/** An answer that is longer is no answer. */
const largestReply = 1024 * 1024

export class SftpWire {
  /** What the server offers beside the protocol, by name; known once {@link start} has succeeded. */
  readonly extensions = new Map<string, string>()
  /** Bytes of one WRITE and of one READ. */
  writeChunk = usualChunk
  readChunk = usualChunk
  /** Whether the server keeps requests about one file in order, as it must (draft-ietf-secsh-filexfer-02, 6.1). */
  orderly = true
  /** Answers that came in, for whoever watches over progress. */
  answers = 0

  private readonly waiting = new Map<number, Waiting>()
  private lastId = 0
  private lost: LostError | undefined
  private readonly listeners = new Set<(error: LostError) => void>()
  private version: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined
  /** Requests that have not gone out yet. */
  private outgoing: Array<Buffer> = []
  private scheduled = false
  private incoming: ReadonlyArray<Buffer> = []
  private incomingLength = 0

  constructor(
    private readonly channel: Duplex,
    private readonly socket: Socket
  ) {
    channel.on("data", (data: Buffer) => this.receive(data))
  }

  /** Requests that are not answered yet. */
  get busy(): boolean {
    return this.waiting.size > 0 || this.version !== undefined
  }

  get closed(): boolean {
    return this.lost !== undefined
  }

  /** Agrees on the version, and learns what the server takes. */
  async start(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.version = { resolve, reject }
      this.send(Buffer.from([0, 0, 0, 5, type.init, 0, 0, 0, 3]))
    })
    if (!this.extensions.has("limits@openssh.com")) return
    // https://cvsweb.openbsd.org/src/usr.bin/ssh/PROTOCOL, 4.8
    const reply = await this.extended("limits@openssh.com", 0, () => undefined).catch(() => undefined)
    if (reply === undefined) return
    const { body } = reply
    body.number64()
    this.readChunk = chunk(body.number64())
    this.writeChunk = chunk(body.number64())
  }

  /** Calls back once the connection is gone, until it is told to stop that. */
  onLost(listener: (error: LostError) => void): () => void {
    if (this.lost !== undefined) listener(this.lost)
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Ends all that is under way with this error. */
  fail(error: LostError): void {
    if (this.lost !== undefined) return
    this.lost = error
    this.outgoing = []
    this.version?.reject(error)
    this.version = undefined
    const waiting = Array.from(this.waiting.values())
    this.waiting.clear()
    for (const { reject } of waiting) reject(error)
    for (const listener of this.listeners) listener(error)
    this.listeners.clear()
  }

  async open(path: string, flags: number): Promise<Buffer> {
    const name = wirePath(path)
    const reply = await this.request("OPEN", type.open, 4 + name.byteLength + 8, (out) => {
      out.bytes(name)
      out.number(flags)
      out.number(0)
    })
    return reply.body.bytes()
  }

  async close(handle: Buffer): Promise<void> {
    await this.request("CLOSE", type.close, 4 + handle.byteLength, (out) => out.bytes(handle))
  }

  /** At most {@link writeChunk} bytes, which must not change until this is done. */
  async write(handle: Buffer, offset: number, data: Uint8Array): Promise<void> {
    const length = 4 + handle.byteLength + 8 + 4
    const head = (out: Output) => {
      out.bytes(handle)
      out.number64(offset)
      out.number(data.byteLength)
    }
    await this.request("WRITE", type.write, length, head, data)
  }

  /** At most so many bytes; undefined at the end of the file. */
  async read(handle: Buffer, offset: number, length: number): Promise<Buffer | undefined> {
    const head = (out: Output) => {
      out.bytes(handle)
      out.number64(offset)
      out.number(length)
    }
    const reply = await orEnd(this.request("READ", type.read, 4 + handle.byteLength + 12, head))
    return reply?.body.bytes()
  }

  stat(path: string): Promise<Attributes> {
    return this.attributes("STAT", type.stat, wirePath(path))
  }

  /** Of a link itself. */
  lstat(path: string): Promise<Attributes> {
    return this.attributes("LSTAT", type.lstat, wirePath(path))
  }

  fstat(handle: Buffer): Promise<Attributes> {
    return this.attributes("FSTAT", type.fstat, handle)
  }

  /** Milliseconds since the epoch; access time the same. */
  async setTime(handle: Buffer, mtime: number): Promise<void> {
    const seconds = Math.floor(mtime / 1000)
    await this.request("FSETSTAT", type.fsetstat, 4 + handle.byteLength + 12, (out) => {
      out.bytes(handle)
      out.number(attribute.times)
      out.number(seconds)
      out.number(seconds)
    })
  }

  async sync(handle: Buffer): Promise<void> {
    await this.extended("fsync@openssh.com", 4 + handle.byteLength, (out) => out.bytes(handle))
  }

  async remove(path: string): Promise<void> {
    const name = wirePath(path)
    await this.request("REMOVE", type.remove, 4 + name.byteLength, (out) => out.bytes(name))
  }

  /** As the protocol has it: the new name must be free. */
  async rename(from: string, to: string): Promise<void> {
    const names = [wirePath(from), wirePath(to)]
    await this.request("RENAME", type.rename, lengthOf(names), (out) => names.forEach((name) => out.bytes(name)))
  }

  /** As POSIX has it: what has the new name is replaced. */
  async replace(from: string, to: string): Promise<void> {
    const names = [wirePath(from), wirePath(to)]
    await this.extended("posix-rename@openssh.com", lengthOf(names), (out) => names.forEach((name) => out.bytes(name)))
  }

  async makeFolder(path: string): Promise<void> {
    const name = wirePath(path)
    await this.request("MKDIR", type.mkdir, 4 + name.byteLength + 4, (out) => {
      out.bytes(name)
      out.number(0)
    })
  }

  /** Absolute. */
  async realPath(path: string): Promise<string> {
    const name = wirePath(path)
    const { body } = await this.request("REALPATH", type.realpath, 4 + name.byteLength, (out) => out.bytes(name))
    body.number()
    return RelPath.fromBytes(body.bytes())
  }

  /** Without `.` and `..`. */
  async names(folder: string): Promise<ReadonlyArray<string>> {
    const path = wirePath(folder)
    const opened = await this.request("OPENDIR", type.opendir, 4 + path.byteLength, (out) => out.bytes(path))
    const handle = opened.body.bytes()
    const found: Array<string> = []
    try {
      for (;;) {
        const reply = await orEnd(
          this.request("READDIR", type.readdir, 4 + handle.byteLength, (out) => out.bytes(handle))
        )
        if (reply === undefined) return found
        for (let count = reply.body.number(); count > 0; count--) {
          const name = RelPath.fromBytes(reply.body.bytes())
          reply.body.bytes()
          reply.body.attributes()
          if (name !== "." && name !== "..") found.push(name)
        }
      }
    } finally {
      this.close(handle).catch(() => undefined)
    }
  }

  /** `statvfs@openssh.com`, which must be offered. */
  async space(path: string): Promise<Space> {
    const name = wirePath(path)
    const { body } = await this.extended("statvfs@openssh.com", 4 + name.byteLength, (out) => out.bytes(name))
    body.number64()
    const blockSize = body.number64()
    for (let field = 0; field < 2; field++) body.number64()
    const blocks = body.number64()
    for (let field = 0; field < 4; field++) body.number64()
    return { free: blocks * blockSize, readOnly: (body.number64() & 1) === 1 }
  }

  /**
   * The sha256, in hex, of the first bytes of a file, or of all: `check-file-name`, which must be offered
   * (draft-ietf-secsh-filexfer-extensions-00, 3). Undefined where the server has no sha256.
   */
  async hash(path: string, length: number | undefined): Promise<string | undefined> {
    const name = wirePath(path)
    const algorithm = Buffer.from("sha256")
    const { body } = await this.extended("check-file-name", lengthOf([name, algorithm]) + 20, (out) => {
      out.bytes(name)
      out.bytes(algorithm)
      out.number64(0)
      out.number64(length ?? 0)
      out.number(0)
    })
    const first = body.bytes().toString("latin1")
    // some servers repeat the extension's name
    const used = first === "check-file" ? body.bytes().toString("latin1") : first
    const digest = body.rest()
    return used === "sha256" && digest.byteLength >= 32 ? digest.subarray(-32).toString("hex") : undefined
  }

  private async attributes(request: string, code: number, name: Buffer): Promise<Attributes> {
    return (await this.request(request, code, 4 + name.byteLength, (out) => out.bytes(name))).body.attributes()
  }

  private extended(name: string, length: number, fill: (out: Output) => void): Promise<Reply> {
    const extension = Buffer.from(name)
    return this.request(name, type.extended, 4 + extension.byteLength + length, (out) => {
      out.bytes(extension)
      fill(out)
    })
  }

  private request(
    request: string,
    code: number,
    length: number,
    fill: (out: Output) => void,
    data?: Uint8Array
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.lost !== undefined) return reject(this.lost)
      const id = (this.lastId = (this.lastId + 1) >>> 0)
      const out = new Output(9 + length)
      out.number(5 + length + (data?.byteLength ?? 0))
      out.byte(code)
      out.number(id)
      fill(out)
      this.waiting.set(id, { request, resolve, reject })
      this.send(out.buffer)
      if (data !== undefined && data.byteLength > 0) {
        this.outgoing.push(Buffer.from(data.buffer, data.byteOffset, data.byteLength))
      }
    })
  }

  private send(buffer: Buffer): void {
    this.outgoing.push(buffer)
    if (this.scheduled) return
    this.scheduled = true
    // what else comes up in this turn, of other files, goes out with it
    setImmediate(() => this.flush())
  }

  /** Requests are joined into full packets; a large one is not copied. */
  private flush(): void {
    this.scheduled = false
    if (this.lost !== undefined || this.channel.destroyed) return
    const buffers = this.outgoing
    this.outgoing = []
    this.socket.cork()
    let small: Array<Buffer> = []
    let length = 0
    const write = () => {
      const [only] = small
      if (length > 0) this.channel.write(small.length === 1 && only !== undefined ? only : Buffer.concat(small, length))
      small = []
      length = 0
    }
    for (let buffer of buffers) {
      if (length + buffer.byteLength > packet) {
        const head = packet - length
        small.push(buffer.subarray(0, head))
        length += head
        write()
        buffer = buffer.subarray(head)
        const whole = buffer.byteLength - (buffer.byteLength % packet)
        if (whole > 0) this.channel.write(buffer.subarray(0, whole))
        buffer = buffer.subarray(whole)
      }
      small.push(buffer)
      length += buffer.byteLength
    }
    write()
    process.nextTick(() => this.socket.uncork())
  }

  private receive(data: Buffer): void {
    if (this.lost !== undefined) return
    let buffer = data
    if (this.incoming.length > 0) {
      this.incoming = [...this.incoming, data]
      this.incomingLength += data.byteLength
      const [first] = this.incoming
      // the length is in the first four bytes: until they and all of it are there, nothing is joined
      if (first !== undefined && first.byteLength >= 4 && this.incomingLength < 4 + first.readUInt32BE(0)) return
      buffer = Buffer.concat(this.incoming, this.incomingLength)
      this.incoming = []
    }
    let at = 0
    while (buffer.byteLength - at >= 4) {
      const length = buffer.readUInt32BE(at)
      if (length < 1 || length > largestReply) {
        this.channel.destroy()
        const start = buffer.subarray(at, at + 80).toString("latin1")
        return this.fail(new LostError(`the server sent something that is not SFTP: "${start}"`))
      }
      if (buffer.byteLength - at < 4 + length) break
      this.answer(buffer.subarray(at + 4, at + 4 + length))
      at += 4 + length
    }
    if (at === buffer.byteLength) return
    this.incoming = [at === 0 ? buffer : buffer.subarray(at)]
    this.incomingLength = buffer.byteLength - at
  }

  private answer(message: Buffer): void {
    this.answers += 1
    try {
      const code = message.readUInt8(0)
      const body = new Fields(message, 1)
      if (this.version !== undefined) return this.begin(code, body)
      const id = body.number()
      const waiting = this.waiting.get(id)
      if (waiting === undefined) return
      this.waiting.delete(id)
      if (code !== type.status) return waiting.resolve({ type: code, body })
      const result = body.number()
      if (result === status.ok) return waiting.resolve({ type: code, body })
      waiting.reject(new StatusError(waiting.request, result, body.left > 0 ? body.bytes().toString() : ""))
    } catch {
      this.channel.destroy()
      this.fail(new LostError("the server sent an answer that ends too early"))
    }
  }

  private begin(code: number, body: Fields): void {
    const { version } = this
    this.version = undefined
    if (code !== type.version) return version?.reject(new LostError("the server does not speak SFTP"))
    body.number()
    while (body.left > 0) this.extensions.set(body.bytes().toString("latin1"), body.bytes().toString("latin1"))
    version?.resolve()
  }
}

/** The end of a file or of a list is told by a status. */
const orEnd = <A>(reply: Promise<A>): Promise<A | undefined> =>
  reply.catch((error: unknown) => {
    if (error instanceof StatusError && error.code === status.eof) return undefined
    throw error
  })

const chunk = (most: number): number => (most <= 0 ? usualChunk : Math.min(most, largestChunk))

const wirePath = (path: string): Buffer => Buffer.from(RelPath.toBytes(path === "" ? "/" : path))

const lengthOf = (names: ReadonlyArray<Buffer>): number =>
  names.reduce((length, name) => length + 4 + name.byteLength, 0)

const attribute = { size: 1, owner: 2, permissions: 4, times: 8, extended: 0x80000000 } as const
const [typeMask, folderType] = [0o170000, 0o040000]

class Output {
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
class Fields {
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
