/**
 * The exchange of SFTP's messages over a channel: requests go out many at once, gathered into full packets, and each
 * answer finds the one who asked.
 */
import { Buffer } from "node:buffer"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { Fields, Output, status, type } from "./SftpCodec.ts"

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

export interface Reply {
  readonly type: number
  readonly body: Fields
}

interface Waiting {
  readonly request: string
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: Error) => void
}

/** The data of one SSH packet, as all servers take it (RFC 4253, 6.1). */
const packet = 32 * 1024
/** An answer that is longer is no answer. */
const largestReply = 1024 * 1024

export class SftpLink {
  /** What the server offers beside the protocol, by name; known once {@link agree} has succeeded. */
  readonly extensions = new Map<string, string>()
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

  /** Agrees on the version (3), and learns what the server offers. */
  protected agree(): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.version = { resolve, reject }
      this.send(Buffer.from([0, 0, 0, 5, type.init, 0, 0, 0, 3]))
    })
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

  protected extended(name: string, length: number, fill: (out: Output) => void): Promise<Reply> {
    const extension = Buffer.from(name)
    return this.request(name, type.extended, 4 + extension.byteLength + length, (out) => {
      out.bytes(extension)
      fill(out)
    })
  }

  protected request(
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
