/**
 * A WebDAV server that keeps files in memory, and misbehaves on demand.
 *
 * Paths are RelPaths: bytes that are not UTF-8 survive. What is not asked of it otherwise is as RFC 4918 has it, with a
 * prefix of its own for `DAV:`.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { Effect, type Scope } from "effect"
import * as RelPath from "../../src/domain/RelPath.ts"
import { portOf } from "./http.ts"

export type WebDavFault =
  /** This answer instead of the real one; `early`: before the body is read, and then it closes; `done`: afterwards. */
  | {
      readonly kind: "answer"
      readonly status: number
      readonly headers?: Record<string, string>
      readonly body?: string
      readonly early?: boolean
      readonly done?: boolean
    }
  /** The connection is cut after so many bytes of the body; `done`: once all is done, instead of the answer. */
  | { readonly kind: "cut"; readonly bytes: number }
  | { readonly kind: "cutDone" }
  /** Keeps so many bytes, and says that all is well. */
  | { readonly kind: "short"; readonly bytes: number }
  /** Never answers; `drip`: a byte of the answer's body every so many milliseconds. */
  | { readonly kind: "silent" }
  | { readonly kind: "drip"; readonly every: number }
  /** Takes so many bytes of the body, and no more. */
  | { readonly kind: "deaf" }

export interface WebDavOptions {
  /** Methods that it does not have, and what it says then. */
  readonly without?: Readonly<Record<string, number>>
  /** Keeps and confirms `X-OC-Mtime`. */
  readonly mtime?: boolean
  /** Takes names for the same that differ by case only. */
  readonly folds?: boolean
  /** PROPFIND and HEAD do not find names that begin with a dot. */
  readonly hides?: boolean
  /** Refuses names that end in this. */
  readonly reserved?: string
  /** The host that it knows itself by: a `Destination` of another one is another server's. */
  readonly host?: string
  /** `quota-available-bytes` of every folder. */
  readonly free?: number
  /** `user:password`, for Basic. */
  readonly login?: string
}

export interface WebDavServer {
  readonly port: number
  readonly files: Map<string, { readonly bytes: Uint8Array; mtime: number }>
  readonly folders: Set<string>
  /** Method and path of all requests that were begun, and their headers. */
  readonly requests: ReadonlyArray<{
    readonly method: string
    readonly path: string
    readonly headers: IncomingMessage["headers"]
  }>
  /** The next requests of that method meet these, one each. */
  readonly faultNext: (method: string, ...faults: ReadonlyArray<WebDavFault>) => void
  /** Every request of that method meets it, until `null`. */
  readonly faultAlways: (method: string, fault: WebDavFault | null) => void
}

export const startWebDavServer = (options: WebDavOptions = {}): Effect.Effect<WebDavServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const store = new Store(options)
    const requests: Array<WebDavServer["requests"][number]> = []
    const faults = new Map<string, Array<WebDavFault>>()
    const always = new Map<string, WebDavFault>()
    const sockets = new Set<Socket>()
    const timers = new Set<NodeJS.Timeout>()

    const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      const method = request.method ?? ""
      const path = decodePath(request.url ?? "")
      requests.push({ method, path, headers: request.headers })
      const fault = faults.get(method)?.shift() ?? always.get(method)
      if (fault?.kind === "deaf") return
      if (fault?.kind === "answer" && fault.early === true) {
        response.writeHead(fault.status, { ...fault.headers, connection: "close" }).end(fault.body)
        response.once("finish", () => request.socket.destroySoon())
        return
      }
      const chunks: Array<Uint8Array> = []
      let size = 0
      for await (const chunk of request) {
        const data: Uint8Array = chunk
        chunks.push(data)
        size += data.byteLength
        if (fault?.kind === "cut" && size >= fault.bytes) {
          request.socket.destroy()
          return
        }
      }
      if (fault?.kind === "cut" || fault?.kind === "silent") {
        if (fault.kind === "cut") request.socket.destroy()
        return
      }
      if (fault?.kind === "answer" && fault.done !== true) {
        response.writeHead(fault.status, fault.headers).end(fault.body)
        return
      }
      const body = Buffer.concat(chunks)
      const answer = store.answer(request, path, fault?.kind === "short" ? body.subarray(0, fault.bytes) : body)
      if (fault?.kind === "cutDone") {
        request.socket.destroy()
        return
      }
      if (fault?.kind === "answer") {
        response.writeHead(fault.status, fault.headers).end(fault.body)
        return
      }
      const headers = { server: "Scripted/1.0", dav: "1, 2", ...answer.headers }
      if (fault?.kind === "drip") {
        response.writeHead(answer.status, { ...headers, "content-length": String(answer.body?.length ?? 0) })
        let at = 0
        const timer = setInterval(() => {
          const next = answer.body?.slice(at, at + 1) ?? ""
          at += 1
          if (next === "") {
            clearInterval(timer)
            response.end()
          } else response.write(next)
        }, fault.every)
        timers.add(timer)
        return
      }
      response.writeHead(answer.status, headers).end(answer.body)
    }

    const server = createServer((request, response) => {
      handle(request, response).catch(() => request.socket.destroy())
    })
    server.requestTimeout = 0
    server.on("connection", (socket) => {
      sockets.add(socket)
      socket.once("close", () => sockets.delete(socket))
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.async<void>((resume) => {
          for (const timer of timers) clearInterval(timer)
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    return {
      port: portOf(server.address()),
      files: store.files,
      folders: store.folders,
      requests,
      faultNext: (method, ...next) => {
        faults.set(method, [...(faults.get(method) ?? []), ...next])
      },
      faultAlways: (method, fault) => {
        if (fault === null) always.delete(method)
        else always.set(method, fault)
      }
    }
  })

interface Reply {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly body?: string | Uint8Array
}

class Store {
  readonly files = new Map<string, { readonly bytes: Uint8Array; mtime: number }>()
  readonly folders = new Set<string>([""])

  constructor(private readonly options: WebDavOptions) {}

  answer(request: IncomingMessage, wanted: string, body: Uint8Array): Reply {
    const { free, hides, host, login, mtime, reserved, without } = this.options
    const method = request.method ?? ""
    const { headers } = request
    if (login !== undefined && headers.authorization !== `Basic ${Buffer.from(login).toString("base64")}`) {
      return { status: 401, headers: { "www-authenticate": 'Basic realm="files"' } }
    }
    const refusal = without?.[method]
    if (refusal !== undefined) return { status: refusal }
    const slash = wanted.endsWith("/")
    const path = this.known(wanted.replace(/\/+$/, ""))
    const file = slash ? undefined : this.files.get(path)
    const folder = this.folders.has(path)
    const hidden = hides === true && RelPath.basename(path).startsWith(".")
    switch (method) {
      case "OPTIONS":
        return { status: 200 }
      case "PUT": {
        if (reserved !== undefined && path.toLowerCase().endsWith(reserved)) return { status: 400 }
        if (folder) return { status: 405 }
        if (!this.folders.has(RelPath.dirname(path))) return { status: 409 }
        const told = headers["x-oc-mtime"]
        const kept = mtime === true && typeof told === "string"
        this.files.set(path, { bytes: body, mtime: kept ? Number(told) * 1000 : Date.now() })
        return { status: file === undefined ? 201 : 204, headers: kept ? { "x-oc-mtime": "accepted" } : {} }
      }
      case "GET":
      case "HEAD":
        if (folder && !slash) return { status: 301, headers: { location: `http://other.example${request.url}/` } }
        if (file === undefined || hidden) return { status: folder ? 403 : 404 }
        return {
          status: 200,
          headers: {
            "last-modified": new Date(file.mtime).toUTCString(),
            "content-length": String(file.bytes.byteLength)
          },
          body: file.bytes
        }
      case "DELETE":
        if (file === undefined && !folder) return { status: 404 }
        for (const key of this.files.keys()) if (isAt(key, path)) this.files.delete(key)
        for (const key of this.folders) if (isAt(key, path)) this.folders.delete(key)
        return { status: 204 }
      case "MKCOL":
        if (file !== undefined || folder || this.files.has(path)) return { status: 405 }
        if (!this.folders.has(RelPath.dirname(path))) return { status: 409 }
        this.folders.add(path)
        return { status: 201 }
      case "MOVE": {
        const destination = String(headers.destination)
        const url = /^https?:\/\/([^/]+)(\/.*)$/.exec(destination)
        if (url !== null && url[1] !== (host ?? headers.host)) return { status: 502 }
        if (file === undefined) return { status: 404 }
        const to = this.known(decodePath(url?.[2] ?? destination))
        const occupied = this.files.has(to) || this.folders.has(to)
        if (occupied && headers.overwrite === "F") return { status: 412 }
        if (!this.folders.has(RelPath.dirname(to))) return { status: 409 }
        // as the RFC has it: what is there is deleted, with all that is in it
        for (const key of this.files.keys()) if (isAt(key, to)) this.files.delete(key)
        for (const key of this.folders) if (isAt(key, to)) this.folders.delete(key)
        this.files.delete(path)
        this.files.set(to, file)
        return { status: occupied ? 204 : 201 }
      }
      case "PROPFIND": {
        if ((file === undefined && !folder) || hidden) return { status: 404 }
        const members =
          headers.depth === "1" && folder
            ? [...this.files.keys(), ...this.folders].filter((key) => key !== "" && RelPath.dirname(key) === path)
            : []
        const parts = [path, ...members].map((key) => this.describe(key, free))
        const xml = `<?xml version="1.0"?>\n<lp1:multistatus xmlns:lp1="DAV:">${parts.join("")}</lp1:multistatus>`
        return { status: 207, headers: { "content-type": "application/xml" }, body: xml }
      }
      default:
        return { status: 501 }
    }
  }

  private describe(path: string, free: number | undefined): string {
    const file = this.files.get(path)
    const href = encodePath(file === undefined ? `${path}/` : path)
    const found =
      file === undefined
        ? `<lp1:resourcetype><lp1:collection/></lp1:resourcetype>${
            free === undefined ? "" : `<lp1:quota-available-bytes>${free}</lp1:quota-available-bytes>`
          }`
        : `<lp1:resourcetype/><lp1:getcontentlength>${file.bytes.byteLength}</lp1:getcontentlength>` +
          `<lp1:getlastmodified>${new Date(file.mtime).toUTCString()}</lp1:getlastmodified>`
    return (
      `<lp1:response><lp1:href>${href.replaceAll("&", "&amp;")}</lp1:href>` +
      "<lp1:propstat><lp1:prop><lp1:nothing/></lp1:prop><lp1:status>HTTP/1.1 404 Not Found</lp1:status></lp1:propstat>" +
      `<lp1:propstat><lp1:prop>${found}</lp1:prop><lp1:status>HTTP/1.1 200 OK</lp1:status></lp1:propstat></lp1:response>`
    )
  }

  /** The path under the name that it is known by. */
  private known(path: string): string {
    if (this.options.folds !== true) return path
    const fold = (text: string) => text.toLowerCase()
    return [...this.files.keys(), ...this.folders].find((key) => fold(key) === fold(path)) ?? path
  }
}

const isAt = (key: string, path: string): boolean => key === path || key.startsWith(`${path}/`)

const decodePath = (url: string): string => {
  const path = url.split("?")[0] ?? ""
  const bytes = path.replace(/%([\da-f]{2})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
  return RelPath.fromBytes(Buffer.from(bytes, "latin1"))
}

/** Only what must be. */
const encodePath = (path: string): string =>
  Array.from(RelPath.toBytes(path), (byte) =>
    /[\w./~!$&'()*+,;=:@-]/.test(String.fromCharCode(byte))
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).padStart(2, "0")}`
  ).join("")
