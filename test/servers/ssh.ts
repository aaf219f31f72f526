/**
 * A scripted SSH server in this process, with files in memory: it does what OpenSSH does not, on demand. The SSH is
 * ssh2's; the SFTP is written here, so that names are bytes and every fault can be had.
 */
import { execFileSync } from "node:child_process"
import { createHash, timingSafeEqual } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import ssh2, { type AuthContext, type Connection, type ServerChannel } from "ssh2"
import * as RelPath from "../../src/domain/RelPath.ts"
import { portOf } from "./http.ts"

export interface SshFault {
  /** The request that it befalls: "WRITE", "OPEN", …, or the name of an extension. */
  readonly request: string
  /** How many of them are served first. */
  readonly after?: number
  /** Answers with this status; closes the connection; answers nothing; ends the session. */
  readonly kind: "status" | "cut" | "silence" | "end"
  readonly code?: number
  readonly text?: string
  /** Every one from then on, and not one only. */
  readonly always?: boolean
}

export interface SshOptions {
  readonly password?: string
  /** Asks for the password by a question. */
  readonly interactive?: boolean
  /** Public keys, as `ssh-ed25519 AAAA…`. */
  readonly keys?: ReadonlyArray<string>
  /** Public key first, then the password. */
  readonly both?: boolean
  /** Beside the protocol; of `posix-rename@openssh.com`, `fsync@openssh.com`, `statvfs@openssh.com`, `check-file`. */
  readonly extensions?: ReadonlyArray<string>
  readonly hostKeys?: ReadonlyArray<string>
  /** Serves no SFTP. */
  readonly noSftp?: boolean
  /** Opens no session. */
  readonly noSession?: boolean
  /** Closes files before the writes that came before it are done. */
  readonly disorderly?: boolean
  /** Prints this where SFTP should begin. */
  readonly motd?: string
  /** Bytes that it has room for, and that it calls free. */
  readonly free?: number
  /** Says this and ends every connection, before it says who it is. */
  readonly full?: string
}

export interface SshServer {
  readonly port: number
  readonly files: Map<string, { data: Buffer; mtime: number }>
  readonly folders: Set<string>
  /** The requests of SFTP, by name. */
  readonly requests: Array<string>
  /** Attempts to log in, `none` left out. */
  readonly logins: Array<string>
  /** All that there ever were. */
  readonly connections: () => number
  /** Those that are open. */
  readonly open: () => number
  /** `SHA256:…` of the first host key. */
  readonly fingerprint: string
  /** `ssh-ed25519 AAAA…` of the first host key. */
  readonly hostKey: string
  readonly fault: (fault: SshFault) => void
  readonly cut: Effect.Effect<void>
}

let sharedKey: string | undefined

/** A private key in OpenSSH's format. */
export const makePrivateKey = (kind: "ed25519" | "rsa" | "ecdsa" = "ed25519"): string => {
  const folder = mkdtempSync(join(tmpdir(), "filedispatch-key-"))
  try {
    execFileSync("ssh-keygen", ["-q", "-t", kind, "-N", "", "-f", join(folder, "key")], { stdio: "ignore" })
    return readFileSync(join(folder, "key"), "utf8")
  } finally {
    rmSync(folder, { recursive: true })
  }
}

export const publicOf = (privateKey: string): Buffer => {
  const parsed = ssh2.utils.parseKey(privateKey)
  if (parsed instanceof Error) throw parsed
  return parsed.getPublicSSH()
}

export const startSshServer = (options: SshOptions = {}): Effect.Effect<SshServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const hostKeys = options.hostKeys ?? [(sharedKey ??= makePrivateKey())]
    const blob = publicOf(hostKeys[0] ?? "")
    const state = new State(options)
    const server = new ssh2.Server({ hostKeys: [...hostKeys], ident: "scripted" }, (client) => {
      state.connections += 1
      accept(client, state)
    })
    server.on("error", () => undefined)
    const listener = createServer((socket) => {
      if (options.full === undefined) return server.injectSocket(socket)
      state.connections += 1
      socket.on("error", () => undefined).resume()
      socket.end(options.full)
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        listener.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.async<void>((resume) => {
          state.cutAll()
          listener.close(() => resume(Effect.void))
        })
    )
    return {
      port: portOf(listener.address()),
      files: state.files,
      folders: state.folders,
      requests: state.requests,
      logins: state.logins,
      connections: () => state.connections,
      open: () => state.clients.size,
      fingerprint: `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`,
      hostKey: `${blob.subarray(4, 4 + blob.readUInt32BE(0)).toString()} ${blob.toString("base64")}`,
      fault: (fault) => {
        state.faults.push({ ...fault, left: fault.after ?? 0 })
      },
      cut: Effect.sync(() => state.cutAll())
    }
  })

class State {
  readonly files = new Map<string, { data: Buffer; mtime: number }>()
  readonly folders = new Set(["", "/"])
  readonly requests: Array<string> = []
  readonly logins: Array<string> = []
  readonly clients = new Set<Connection>()
  readonly faults: Array<SshFault & { left: number }> = []
  connections = 0

  constructor(readonly options: SshOptions) {}

  cutAll() {
    for (const client of this.clients) client.end()
  }

  /** The fault that befalls this request. */
  faultOf(request: string): SshFault | undefined {
    const index = this.faults.findIndex((fault) => fault.request === request)
    const fault = this.faults[index]
    if (fault === undefined) return undefined
    if (fault.left > 0) {
      fault.left -= 1
      return undefined
    }
    if (fault.always !== true) this.faults.splice(index, 1)
    return fault
  }

  get used(): number {
    return Array.from(this.files.values()).reduce((sum, { data }) => sum + data.byteLength, 0)
  }
}

const accept = (client: Connection, state: State): void => {
  const { options } = state
  state.clients.add(client)
  client.on("error", () => undefined)
  client.on("close", () => state.clients.delete(client))
  let keyShown = false
  client.on("authentication", (context: AuthContext) => {
    const { interactive, keys, password } = options
    const offered: Array<"password" | "publickey" | "keyboard-interactive"> = []
    if (keys !== undefined && !keyShown) offered.push("publickey")
    if (password !== undefined && (options.both !== true || keyShown)) {
      offered.push(interactive === true ? "keyboard-interactive" : "password")
    }
    if (context.method === "none") {
      if (keys === undefined && password === undefined) context.accept()
      else context.reject(offered)
      return
    }
    state.logins.push(context.method)
    if (context.method === "password" && interactive !== true && same(context.password, password)) context.accept()
    else if (context.method === "keyboard-interactive" && interactive === true) {
      context.prompt([{ prompt: "Password: ", echo: false }], (answers) => {
        if (same(answers[0], password)) context.accept()
        else context.reject(offered)
      })
    } else if (
      context.method === "publickey" &&
      keys?.some((key) => key.endsWith(` ${context.key.data.toString("base64")}`)) === true
    ) {
      if (options.both === true && context.signature !== undefined) {
        keyShown = true
        context.reject([interactive === true ? "keyboard-interactive" : "password"], true)
      } else context.accept()
    } else context.reject(offered)
  })
  client.on("session", (acceptSession, reject) => {
    if (options.noSession === true) {
      reject()
      return
    }
    const session = acceptSession()
    session.on("subsystem", (acceptSubsystem: () => ServerChannel, rejectSubsystem: () => void) => {
      if (options.noSftp === true) {
        rejectSubsystem()
        return
      }
      const channel = acceptSubsystem()
      channel.on("error", () => undefined)
      if (options.motd !== undefined) channel.write(options.motd)
      serve(channel, client, state)
    })
  })
}

const same = (left: string | undefined, right: string | undefined): boolean =>
  left !== undefined &&
  right !== undefined &&
  timingSafeEqual(createHash("sha256").update(left).digest(), createHash("sha256").update(right).digest())

const names = new Map([
  [1, "INIT"],
  [3, "OPEN"],
  [4, "CLOSE"],
  [5, "READ"],
  [6, "WRITE"],
  [7, "LSTAT"],
  [8, "FSTAT"],
  [10, "FSETSTAT"],
  [11, "OPENDIR"],
  [12, "READDIR"],
  [13, "REMOVE"],
  [14, "MKDIR"],
  [16, "REALPATH"],
  [17, "STAT"],
  [18, "RENAME"]
])

const serve = (channel: ServerChannel, client: Connection, state: State): void => {
  const { files, folders, options } = state
  const handles = new Map<string, string>()
  const listed = new Set<string>()
  let lastHandle = 0
  let incoming: Buffer = Buffer.alloc(0)

  const send = (type: number, ...parts: ReadonlyArray<Buffer>) => {
    const body = Buffer.concat([Buffer.from([type]), ...parts])
    channel.write(Buffer.concat([u32(body.byteLength), body]))
  }
  const status = (id: number, code: number, text = "") => send(101, u32(id), u32(code), str(text), str(""))
  const attributes = (path: string): Buffer | undefined => {
    const file = files.get(path)
    if (file !== undefined) {
      return Buffer.concat([u32(13), u64(file.data.byteLength), u32(0o100644), u32(file.mtime), u32(file.mtime)])
    }
    return folders.has(path) ? Buffer.concat([u32(4), u32(0o040755)]) : undefined
  }
  const parent = (path: string) => path.slice(0, path.lastIndexOf("/"))

  const handle = (request: string, id: number, body: Fields): void => {
    switch (request) {
      case "OPEN": {
        const path = body.path()
        const flags = body.u32()
        if (!folders.has(parent(path))) return status(id, 2, "No such file")
        if ((flags & 32) !== 0 && files.has(path)) return status(id, 4, "Failure")
        if ((flags & 8) === 0 && !files.has(path)) return status(id, 2, "No such file")
        if (!files.has(path)) files.set(path, { data: Buffer.from(new ArrayBuffer(64)).subarray(0, 0), mtime: 0 })
        handles.set(String(++lastHandle), path)
        return send(102, u32(id), str(String(lastHandle)))
      }
      case "CLOSE":
        handles.delete(body.text())
        return status(id, 0)
      case "WRITE": {
        const path = handles.get(body.text())
        const offset = body.u64()
        const data = body.bytes()
        const file = path === undefined ? undefined : files.get(path)
        if (file === undefined) return status(id, 4, "Invalid handle")
        if (options.free !== undefined && state.used + data.byteLength > options.free) return status(id, 4, "Failure")
        file.data = written(file.data, offset, data)
        return status(id, 0)
      }
      case "READ": {
        const file = files.get(handles.get(body.text()) ?? "")
        const offset = body.u64()
        // never all that was asked for
        const length = Math.min(body.u32(), 20_000)
        if (file === undefined) return status(id, 4, "Invalid handle")
        if (offset >= file.data.byteLength) return status(id, 1, "End of file")
        return send(103, u32(id), str(file.data.subarray(offset, offset + length)))
      }
      case "FSTAT": {
        const found = attributes(handles.get(body.text()) ?? "-")
        return found === undefined ? status(id, 4, "Invalid handle") : send(105, u32(id), found)
      }
      case "STAT":
      case "LSTAT": {
        const found = attributes(body.path())
        return found === undefined ? status(id, 2, "No such file") : send(105, u32(id), found)
      }
      case "FSETSTAT": {
        const file = files.get(handles.get(body.text()) ?? "")
        if (body.u32() === 8 && file !== undefined) {
          body.u32()
          file.mtime = body.u32()
        }
        return status(id, 0)
      }
      case "OPENDIR": {
        const path = body.path()
        if (!folders.has(path)) return status(id, 2, "No such file")
        handles.set(String(++lastHandle), path)
        return send(102, u32(id), str(String(lastHandle)))
      }
      case "READDIR": {
        const text = body.text()
        const folder = handles.get(text) ?? ""
        if (listed.has(text)) return status(id, 1, "End of file")
        listed.add(text)
        const found = [...files.keys(), ...folders].filter((path) => path !== folder && parent(path) === folder)
        const entries = found.map((path) => {
          const name = Buffer.from(RelPath.toBytes(path.slice(folder.length + 1)))
          return Buffer.concat([str(name), str(""), attributes(path) ?? u32(0)])
        })
        return send(104, u32(id), u32(entries.length), ...entries)
      }
      case "REMOVE":
        return files.delete(body.path()) ? status(id, 0) : status(id, 2, "No such file")
      case "MKDIR": {
        const path = body.path()
        if (folders.has(path) || files.has(path)) return status(id, 4, "Failure")
        if (!folders.has(parent(path))) return status(id, 2, "No such file")
        folders.add(path)
        return status(id, 0)
      }
      case "REALPATH":
        return send(104, u32(id), u32(1), str("/home/user"), str(""), u32(0))
      case "RENAME":
      case "posix-rename@openssh.com": {
        const [from, to] = [body.path(), body.path()]
        const file = files.get(from)
        if (file === undefined) return status(id, 2, "No such file")
        if (request === "RENAME" && files.has(to)) return status(id, 4, "Failure")
        files.delete(from)
        files.set(to, file)
        return status(id, 0)
      }
      case "fsync@openssh.com":
        return status(id, 0)
      case "statvfs@openssh.com": {
        const free = Math.max(0, (options.free ?? 1e12) - state.used)
        const fields = [1, 1, 1e12, free, free, 1, 1, 1, 1, 0, 255]
        return send(201, u32(id), ...fields.map(u64))
      }
      case "check-file-name": {
        const file = files.get(body.path())
        body.text()
        body.u64()
        const length = body.u64()
        if (file === undefined) return status(id, 2, "No such file")
        const data = length === 0 ? file.data : file.data.subarray(0, length)
        return send(201, u32(id), str("sha256"), createHash("sha256").update(data).digest())
      }
      default:
        return status(id, 8, "Unsupported")
    }
  }

  const receive = (message: Buffer): void => {
    const body = new Fields(message, 1)
    const type = message.readUInt8(0)
    if (type === 1) {
      const offered = (options.extensions ?? []).flatMap((name) => [
        str(name),
        str(name.startsWith("statvfs") ? "2" : "1")
      ])
      send(2, u32(3), ...offered)
      return
    }
    const id = body.u32()
    const request = type === 200 ? body.text() : (names.get(type) ?? String(type))
    state.requests.push(request)
    const fault = state.faultOf(request)
    switch (fault?.kind) {
      case "status":
        status(id, fault.code ?? 4, fault.text ?? "")
        return
      case "cut":
        client.end()
        return
      case "end":
        channel.close()
        return
      case "silence":
        return
    }
    // a server that hands requests to threads of its own
    if (options.disorderly === true && request === "WRITE") setTimeout(() => handle(request, id, body), 5)
    else handle(request, id, body)
  }

  channel.on("data", (data: Buffer) => {
    incoming = incoming.byteLength === 0 ? data : Buffer.concat([incoming, data])
    while (incoming.byteLength >= 4 && incoming.byteLength >= 4 + incoming.readUInt32BE(0)) {
      const length = incoming.readUInt32BE(0)
      const message = incoming.subarray(4, 4 + length)
      incoming = incoming.subarray(4 + length)
      receive(message)
    }
  })
}

/** Grows by doubling: a file is written in many pieces. */
const written = (file: Buffer, offset: number, data: Buffer): Buffer => {
  const end = Math.max(file.byteLength, offset + data.byteLength)
  const room = file.buffer.byteLength
  const whole = file.byteOffset === 0 && end <= room ? Buffer.from(file.buffer, 0, room) : Buffer.alloc(end * 2)
  if (whole.buffer !== file.buffer) file.copy(whole)
  data.copy(whole, offset)
  return whole.subarray(0, end)
}

const u32 = (value: number): Buffer => {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32BE(value >>> 0)
  return buffer
}

const u64 = (value: number): Buffer => Buffer.concat([u32(Math.floor(value / 2 ** 32)), u32(value % 2 ** 32)])

const str = (value: string | Buffer): Buffer => {
  const bytes = Buffer.from(value)
  return Buffer.concat([u32(bytes.byteLength), bytes])
}

class Fields {
  constructor(
    private readonly message: Buffer,
    private at: number
  ) {}

  u32(): number {
    this.at += 4
    return this.message.readUInt32BE(this.at - 4)
  }

  u64(): number {
    return this.u32() * 2 ** 32 + this.u32()
  }

  bytes(): Buffer {
    const length = this.u32()
    this.at += length
    return this.message.subarray(this.at - length, this.at)
  }

  text(): string {
    return this.bytes().toString("latin1")
  }

  path(): string {
    return RelPath.fromBytes(this.bytes())
  }
}
