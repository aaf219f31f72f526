/**
 * An FTP server in this process: enough of RFC 959, 2428 and 3659 for a client that uploads, with its files in memory,
 * and with faults on demand. The real one is in vsftpd.ts; this one does what a real one can't be made to do.
 */
import { createHash } from "node:crypto"
import { createServer, type Server, type Socket } from "node:net"
import { createSecureContext, TLSSocket } from "node:tls"
import { Effect, type Scope } from "effect"
import * as RelPath from "../../src/domain/RelPath.ts"
import { portOf } from "./http.ts"

/** One of these befalls the next command of that verb. */
export type FtpFault = { readonly verb: string } & (
  | { readonly kind: "reply"; readonly line: string }
  /** The control connection is closed instead of an answer. */
  | { readonly kind: "close" }
  /** The command is carried out, and the control connection is closed instead of an answer. */
  | { readonly kind: "doneThenClose" }
  | { readonly kind: "silent" }
  /** STOR: after so many bytes both connections are cut; what came is kept. */
  | { readonly kind: "cut"; readonly bytes: number }
  /** STOR: only so many bytes are kept, and the answer is 226 all the same, as vsftpd does. */
  | { readonly kind: "half"; readonly bytes: number }
  /** STOR: after so many bytes this line, and the data connection is closed. */
  | { readonly kind: "replyAfter"; readonly bytes: number; readonly line: string }
  /** STOR: the data connection is not read, or a byte each second. */
  | { readonly kind: "deaf" | "drip" }
  /** The answer comes a byte at a time, each after so many milliseconds. */
  | { readonly kind: "slowly"; readonly every: number }
  /** STOR: everything is read, and no answer comes. */
  | { readonly kind: "mute" }
)

export interface FtpOptions {
  readonly user?: string
  readonly password?: string
  /** Verbs that it does not know: answered 502. EPSV and MFMT are the interesting ones. */
  readonly without?: ReadonlyArray<string>
  /** The address that PASV answers, with commas. */
  readonly pasvAddress?: string
  /** RNTO onto an existing file fails, as on Windows. */
  readonly noOverwrite?: boolean
  /** RNFR is refused, always: a fault would go by with the first, which may be sent before it is needed. */
  readonly noRename?: boolean
  /** MKD, STOR and so on are refused. */
  readonly readOnly?: boolean
  /** Names for the same that differ by case only. */
  readonly folds?: boolean
  /** Temp files are left out of listings. */
  readonly hides?: boolean
  /** Files may be stored, and no more: not measured, listed, read or removed. */
  readonly writeOnly?: boolean
  /** More features, as FEAT says them: MLST, HASH SHA-256*, RANG STREAM, XSHA256. */
  readonly features?: ReadonlyArray<string>
  /** REST is taken, and ignored by STOR. */
  readonly forgetful?: boolean
  /** What the first line says of it. */
  readonly greeting?: string
  /** Received bytes are counted and dropped. */
  readonly discard?: boolean
  readonly port?: number
  /** Offers AUTH TLS, or speaks TLS from the start. */
  readonly tls?: { readonly key: string; readonly cert: string; readonly implicit?: boolean }
}

export interface FtpServer {
  /** `ftp://127.0.0.1:port` */
  readonly url: string
  readonly port: number
  /** By absolute path, a RelPath that starts with `/`. */
  readonly files: ReadonlyMap<string, Uint8Array>
  readonly read: (path: string) => Uint8Array | undefined
  readonly put: (path: string, bytes: Uint8Array) => void
  readonly folders: ReadonlySet<string>
  readonly removeFolder: (path: string) => void
  /** As MDTM says them. */
  readonly mtimes: ReadonlyMap<string, string>
  readonly touch: (path: string, mtime: number) => void
  /** Control lines received, as RelPaths, passwords included. */
  readonly commands: ReadonlyArray<string>
  /** Control connections that were opened, and those that are open. */
  readonly connections: () => number
  readonly open: () => number
  readonly dropConnections: () => void
  readonly faultNext: (...faults: ReadonlyArray<FtpFault>) => void
}

interface State {
  readonly options: FtpOptions
  readonly files: Map<string, Uint8Array>
  readonly folders: Set<string>
  readonly mtimes: Map<string, string>
  readonly commands: Array<string>
  readonly faults: Array<FtpFault>
}

export const startFtpServer = (options: FtpOptions = {}): Effect.Effect<FtpServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const state: State = {
      options,
      files: new Map(),
      folders: new Set(["/", "/home"]),
      mtimes: new Map(),
      commands: [],
      faults: []
    }
    const sockets = new Set<Socket>()
    let connections = 0
    const server = createServer((socket) => {
      connections += 1
      sockets.add(socket)
      socket.once("close", () => sockets.delete(socket))
      new Session(state, socket).start()
    })
    yield* Effect.acquireRelease(listen(server, options.port ?? 0), () =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of sockets) socket.destroy()
      })
    )
    const port = portOf(server.address())
    return {
      url: `ftp://127.0.0.1:${port}`,
      port,
      files: state.files,
      read: (path) => state.files.get(path),
      put: (path, bytes) => {
        state.files.set(path, bytes)
        for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1))
          state.folders.add(path.slice(0, at))
      },
      folders: state.folders,
      removeFolder: (path) => {
        state.folders.delete(path)
      },
      mtimes: state.mtimes,
      touch: (path, mtime) => {
        state.mtimes.set(path, new Date(mtime).toISOString().replace(/\.\d+Z$|[-:T]/g, ""))
      },
      commands: state.commands,
      connections: () => connections,
      open: () => sockets.size,
      dropConnections: () => {
        for (const socket of sockets) socket.destroy()
      },
      faultNext: (...faults) => {
        state.faults.push(...faults)
      }
    }
  })

const listen = (server: Server, port: number) =>
  Effect.async<void>((resume) => {
    server.listen(port, "127.0.0.1", () => resume(Effect.void))
  })

class Session {
  private user = ""
  private loggedIn = false
  private renameFrom: string | undefined
  private folder = "/home"
  private buffered = ""
  private busy: Promise<void> = Promise.resolve()
  private passive: { readonly server: Server; readonly socket: Promise<Socket> } | undefined
  private protect = false
  /** Of the next transfer or hash. */
  private range: readonly [first: number, last: number] = [0, Number.NaN]

  constructor(
    private readonly state: State,
    private socket: Socket
  ) {}

  start() {
    const { tls } = this.state.options
    if (tls?.implicit === true) this.socket = secure(this.socket, tls)
    this.listen()
    const fault = this.fault("CONNECT")
    if (fault?.kind === "silent") return
    if (fault?.kind === "slowly") this.slowly(fault.every)
    this.reply(fault?.kind === "reply" ? fault.line : `220 ${this.state.options.greeting ?? "Test server"}`)
    if (fault?.kind === "reply") this.socket.end()
  }

  private listen() {
    this.socket.setEncoding("latin1")
    this.socket.on("error", () => undefined)
    this.socket.on("close", () => this.passive?.server.close())
    this.socket.on("data", (chunk: string) => {
      this.buffered += chunk
      let end = this.buffered.indexOf("\r\n")
      while (end >= 0) {
        const line = this.buffered.slice(0, end)
        this.buffered = this.buffered.slice(end + 2)
        this.busy = this.busy.then(() => this.command(line)).catch(() => void this.socket.destroy())
        end = this.buffered.indexOf("\r\n")
      }
    })
  }

  private slowly(every: number) {
    this.reply = (line) => {
      const bytes = Array.from(`${line}\r\n`)
      const timer = setInterval(() => {
        const next = bytes.shift()
        if (next === undefined || this.socket.destroyed) clearInterval(timer)
        else this.socket.write(next, "latin1")
      }, every)
    }
  }

  private fault(verb: string): FtpFault | undefined {
    const index = this.state.faults.findIndex((fault) => fault.verb === verb)
    return index < 0 ? undefined : this.state.faults.splice(index, 1)[0]
  }

  /** The name as it is there already, where cases are not told apart. */
  private spelled(path: string): string {
    if (this.state.options.folds !== true || this.state.files.has(path)) return path
    for (const other of this.state.files.keys()) if (other.toLowerCase() === path.toLowerCase()) return other
    return path
  }

  private reply(line: string) {
    if (!this.socket.destroyed) this.socket.write(`${line}\r\n`, "latin1")
  }

  private async command(line: string): Promise<void> {
    this.state.commands.push(RelPath.fromBytes(Buffer.from(line, "latin1")))
    const space = line.indexOf(" ")
    const verb = (space < 0 ? line : line.slice(0, space)).toUpperCase()
    const argument = space < 0 ? "" : RelPath.fromBytes(Buffer.from(line.slice(space + 1), "latin1"))
    const fault = this.fault(verb)
    switch (fault?.kind) {
      case "reply":
        return this.reply(fault.line)
      case "close":
        return void this.socket.destroy()
      case "silent":
        return
      case "doneThenClose": {
        this.reply = () => undefined
        await this.run(verb, argument, undefined)
        return void this.socket.destroy()
      }
      case "slowly":
        this.slowly(fault.every)
        return this.run(verb, argument, undefined)
      default:
        return this.run(verb, argument, fault)
    }
  }

  private async run(verb: string, argument: string, fault: FtpFault | undefined): Promise<void> {
    const { options } = this.state
    if (options.without?.includes(verb) === true) return this.reply("502 Command not implemented.")
    switch (verb) {
      case "USER":
        this.user = argument
        return this.reply("331 Password please")
      case "PASS": {
        this.loggedIn =
          (options.user === undefined || options.user === this.user) &&
          (options.password === undefined || options.password === argument)
        return this.reply(this.loggedIn ? "230 Welcome" : `530 Login incorrect.`)
      }
      case "AUTH": {
        if (options.tls === undefined) return this.reply("502 No TLS here")
        this.reply("234 Go ahead")
        this.socket.removeAllListeners("data")
        this.socket = secure(this.socket, options.tls)
        return this.listen()
      }
      case "PBSZ":
        return this.reply("200 OK")
      case "PROT":
        this.protect = argument === "P"
        return this.reply("200 OK")
      case "FEAT":
        return this.reply(
          [
            "211-Features",
            ...["UTF8", "EPSV", "SIZE", "MDTM", "MFMT", "REST STREAM", ...(options.features ?? [])].filter(
              (f) => options.without?.includes(f.replace(/ .*/, "")) !== true
            ),
            "211 End"
          ]
            .join("\r\n ")
            .replace("\r\n 211", "\r\n211")
        )
      case "OPTS":
      case "TYPE":
      case "NOOP":
        return this.reply("200 OK")
      case "QUIT":
        this.reply("221 Bye")
        return void this.socket.end()
      default:
        return this.loggedIn ? this.runLoggedIn(verb, argument, fault) : this.reply("530 Please login")
    }
  }

  private async runLoggedIn(verb: string, argument: string, fault: FtpFault | undefined): Promise<void> {
    const { files, folders, mtimes, options } = this.state
    const path = this.spelled(argument.startsWith("/") ? argument : `${this.folder}/${argument}`)
    const parent = path.slice(0, path.lastIndexOf("/")) || "/"
    switch (verb) {
      case "PWD":
        return this.reply(`257 "${this.folder.replaceAll('"', '""')}" is the current directory`)
      case "CWD":
        return this.reply(folders.has(path) ? "250 OK" : "550 Failed to change directory.")
      case "MKD":
        if (options.readOnly === true) return this.reply("550 Permission denied.")
        if (folders.has(path) || !folders.has(parent)) return this.reply("550 Create directory operation failed.")
        folders.add(path)
        return this.reply("257 created")
      case "SIZE": {
        const file = options.writeOnly === true ? undefined : files.get(path)
        return this.reply(file === undefined ? "550 Could not get file size." : `213 ${file.byteLength}`)
      }
      case "MFMT": {
        const space = argument.indexOf(" ")
        mtimes.set(argument.slice(space + 1), argument.slice(0, space))
        return this.reply(`213 Modify=${argument.slice(0, space)}`)
      }
      case "MDTM": {
        const file = files.get(path)
        if (file === undefined || options.writeOnly === true) return this.reply("550 Could not get file time.")
        return this.reply(`213 ${mtimes.get(path) ?? "20200101000000"}`)
      }
      case "MLST": {
        const file = files.get(path)
        if (file === undefined && !folders.has(path)) return this.reply("550 Nothing there.")
        const facts =
          file === undefined
            ? "Type=dir;Modify=20200101000000;"
            : `Type=file;Size=${file.byteLength};Modify=${mtimes.get(path) ?? "20200101000000"}.250;`
        return this.reply(`250-Here it is\r\n ${facts} ${path}\r\n250 End`)
      }
      case "RANG":
      case "REST": {
        const [first = 0, last = Number.NaN] = argument.split(" ").map(Number)
        this.range = [first, last]
        return this.reply("350 OK")
      }
      case "HASH":
      case "XSHA256": {
        const file = files.get(path)
        if (file === undefined) return this.reply("550 Nothing there.")
        const [first, last] = this.range
        this.range = [0, Number.NaN]
        const bytes = Number.isNaN(last) ? file : file.subarray(first, last + 1)
        const digest = createHash("sha256").update(bytes).digest("hex")
        return this.reply(
          verb === "HASH"
            ? `213 SHA-256 ${first}-${first + bytes.byteLength} ${digest} ${path}`
            : `250 ${digest.toUpperCase()}`
        )
      }
      case "RETR":
        return this.send(path)
      case "DELE":
        if (options.writeOnly === true) return this.reply("550 Permission denied.")
        return this.reply(files.delete(path) ? "250 Deleted" : "550 Delete operation failed.")
      case "RNFR":
        if (options.noRename === true) return this.reply("550 Permission denied.")
        this.renameFrom = path
        return this.reply(files.has(path) ? "350 Ready for RNTO." : "550 RNFR command failed.")
      case "RNTO": {
        const file = this.renameFrom === undefined ? undefined : files.get(this.renameFrom)
        if (file === undefined || this.renameFrom === undefined) return this.reply("503 RNFR required first.")
        if (options.noOverwrite === true && files.has(path)) return this.reply("550 File already exists.")
        files.delete(this.renameFrom)
        files.set(path, file)
        const mtime = mtimes.get(this.renameFrom)
        if (mtime !== undefined) mtimes.set(path, mtime)
        return this.reply("250 Rename successful.")
      }
      case "EPSV": {
        const port = await this.openPassive()
        return this.reply(`229 Entering Extended Passive Mode (|||${port}|)`)
      }
      case "PASV": {
        const port = await this.openPassive()
        return this.reply(
          `227 Entering Passive Mode (${options.pasvAddress ?? "127,0,0,1"},${port >> 8},${port & 255}).`
        )
      }
      case "LIST":
        return this.list(argument.replace(/^-a ?/, "") || this.folder)
      case "STOR":
        if (options.readOnly === true || !folders.has(parent)) return this.reply("553 Could not create file.")
        return this.store(path, fault)
      default:
        return this.reply("500 Unknown command.")
    }
  }

  private async openPassive(): Promise<number> {
    this.passive?.server.close()
    const server = createServer()
    const socket = new Promise<Socket>((resolve) => {
      server.once("connection", (socket) => {
        server.close()
        socket.on("error", () => undefined)
        resolve(socket)
      })
    })
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve)
    })
    this.passive = { server, socket }
    return portOf(server.address())
  }

  private async data(): Promise<Socket | undefined> {
    const raw = await this.passive?.socket
    this.passive = undefined
    const { tls } = this.state.options
    return raw !== undefined && this.protect && tls !== undefined ? secure(raw, tls) : raw
  }

  private async send(path: string) {
    if (this.passive === undefined) return this.reply("425 Use EPSV or PASV first.")
    const file = this.state.options.writeOnly === true ? undefined : this.state.files.get(path)
    if (file === undefined) return this.reply("550 Failed to open file.")
    this.reply("150 Here it comes")
    const data = await this.data()
    const [offset] = this.range
    this.range = [0, Number.NaN]
    data?.end(file.subarray(offset))
    return this.reply("226 Done")
  }

  private async list(folder: string) {
    if (this.state.options.writeOnly === true) return this.reply("550 Permission denied.")
    if (this.passive === undefined) return this.reply("425 Use EPSV or PASV first.")
    this.reply("150 Here it comes")
    const data = await this.data()
    const lines = Array.from(this.state.files, ([path, bytes]) =>
      path.slice(0, path.lastIndexOf("/")) === folder && !(this.state.options.hides === true && path.includes("/.fd-"))
        ? `-rw-r--r-- 1 ftp ftp ${String(bytes.byteLength).padStart(12)} Jan 01 00:00 ${path.slice(path.lastIndexOf("/") + 1)}\r\n`
        : ""
    )
    data?.end(Buffer.from(RelPath.toBytes(lines.join(""))))
    return this.reply("226 Done")
  }

  private async store(path: string, fault: FtpFault | undefined) {
    if (this.passive === undefined) return this.reply("425 Use EPSV or PASV first.")
    const { files, options } = this.state
    const [offset] = options.forgetful === true ? [0] : this.range
    this.range = [0, Number.NaN]
    const before = (files.get(path) ?? Buffer.of()).subarray(0, offset)
    files.set(path, before)
    // as on a disk, what comes in for a file that was deleted meanwhile goes nowhere
    const keep = (bytes: Uint8Array) => {
      if (files.has(path)) files.set(path, offset === 0 ? bytes : Buffer.concat([before, bytes]))
    }
    this.reply("150 Ok to send data.")
    const data = await this.data()
    if (data === undefined) return
    if (fault?.kind === "deaf") {
      data.pause()
      return
    }
    if (fault?.kind === "drip") {
      data.pause()
      const timer = setInterval(() => data.read(1), 1000)
      data.once("close", () => clearInterval(timer))
      return
    }
    const chunks: Array<Buffer> = []
    let bytes = 0
    try {
      for await (const chunk of data) {
        const buffer: Buffer = chunk
        bytes += buffer.byteLength
        if (options.discard !== true) chunks.push(buffer)
        if (fault?.kind === "cut" && bytes >= fault.bytes) {
          keep(Buffer.concat(chunks))
          data.destroy()
          this.socket.destroy()
          return
        }
        if (fault?.kind === "replyAfter" && bytes >= fault.bytes) {
          keep(Buffer.concat(chunks))
          this.reply(fault.line)
          data.destroy()
          return
        }
      }
    } catch {
      keep(Buffer.concat(chunks))
      return this.reply("426 Failure reading network stream.")
    }
    if (options.discard === true) keep(new Weightless(bytes))
    else keep(Buffer.concat(chunks).subarray(0, fault?.kind === "half" ? fault.bytes : bytes))
    if (fault?.kind === "mute") return
    return this.reply("226 Transfer complete.")
  }
}

/** Stands for content that was dropped: only its length is true. */
class Weightless extends Uint8Array {
  constructor(private readonly claimed: number) {
    super(0)
  }
  override get byteLength() {
    return this.claimed
  }
}

const secure = (socket: Socket, tls: { readonly key: string; readonly cert: string }): TLSSocket => {
  const secured = new TLSSocket(socket, { isServer: true, secureContext: createSecureContext(tls) })
  secured.on("error", () => undefined)
  return secured
}
