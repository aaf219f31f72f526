/**
 * The SSH File Transfer Protocol, version 3 (draft-ietf-secsh-filexfer-02), on a channel of an SSH connection.
 *
 * Many requests are under way at once, of many files. ssh2 has a client of its own, which sends each request by itself,
 * takes names as text only, and knows no `limits@openssh.com` and no `check-file`.
 */
import { Buffer } from "node:buffer"
import * as RelPath from "../../domain/RelPath.ts"
import { lengthOf, status, times, type, wirePath, type Attributes, type Output } from "./SftpCodec.ts"
import { SftpLink, StatusError } from "./SftpLink.ts"

export { flag, status } from "./SftpCodec.ts"
export type { Attributes } from "./SftpCodec.ts"
export { LostError, StatusError } from "./SftpLink.ts"

export interface Space {
  /** Bytes that this user may still write. */
  readonly free: number
  /** Files that may still be made; undefined where the server does not count them. */
  readonly names: number | undefined
  readonly readOnly: boolean
}

/** What every server takes (section 3 of the draft), and OpenSSH at most. */
const usualChunk = 32 * 1024
const largestChunk = 255 * 1024

export class SftpWire extends SftpLink {
  /** Bytes of one WRITE and of one READ. */
  writeChunk = usualChunk
  readChunk = usualChunk
  /** Whether the server keeps requests about one file in order, as it must (draft-ietf-secsh-filexfer-02, 6.1). */
  orderly = true

  /** Agrees on the version, and learns what the server takes. */
  async start(): Promise<void> {
    await this.agree()
    if (!this.extensions.has("limits@openssh.com")) return
    // https://cvsweb.openbsd.org/src/usr.bin/ssh/PROTOCOL, 4.8
    const reply = await this.extended("limits@openssh.com", 0, () => undefined).catch(() => undefined)
    if (reply === undefined) return
    const { body } = reply
    body.number64()
    this.readChunk = chunk(body.number64())
    this.writeChunk = chunk(body.number64())
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
      out.number(times)
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
        let count = reply.body.number()
        // a server that has no more must say so by its status, and one that does neither would be asked for ever
        if (count === 0) return found
        for (; count > 0; count--) {
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
    const files = body.number64()
    body.number64()
    const names = body.number64()
    body.number64()
    const readOnly = (body.number64() & 1) === 1
    return { free: blocks * blockSize, names: files === 0 ? undefined : names, readOnly }
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
}

/** The end of a file or of a list is told by a status. */
const orEnd = <A>(reply: Promise<A>): Promise<A | undefined> =>
  reply.catch((error: unknown) => {
    if (error instanceof StatusError && error.code === status.eof) return undefined
    throw error
  })

const chunk = (most: number): number => (most <= 0 ? usualChunk : Math.min(most, largestChunk))
