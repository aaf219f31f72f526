/**
 * An HTTP server that keeps what is uploaded to it, and misbehaves on demand.
 *
 * A PUT stores its body under the decoded path; a multipart POST stores each file part under path + "/" + filename.
 * Paths are RelPaths: bytes that are not UTF-8 survive. HEAD, GET, DELETE and OPTIONS do what they do elsewhere.
 */
import { createHash } from "node:crypto"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { createServer as createSecureServer } from "node:https"
import type { AddressInfo, Socket } from "node:net"
import { Effect, type Scope } from "effect"
import * as RelPath from "../../src/domain/RelPath.ts"

export interface Part {
  /** As they came, each without its line end. */
  readonly headers: ReadonlyArray<string>
  readonly bytes: number
  readonly sha256: string
  readonly content: Uint8Array
}

export interface Received {
  readonly method: string
  /** The request target as it came. */
  readonly url: string
  readonly headers: IncomingMessage["headers"]
  readonly bytes: number
  readonly sha256: string
  /** Of a multipart body. */
  readonly parts: ReadonlyArray<Part>
}

export type HttpFault =
  /** This answer instead of 201; `early`: before the body is read, and then it closes. */
  | {
      readonly kind: "answer"
      readonly status: number
      readonly headers?: Record<string, string>
      readonly early?: boolean
    }
  /** The connection is cut after so many bytes of the body, or, with `after`, once all of it was read. */
  | { readonly kind: "cut"; readonly bytes: number }
  | { readonly kind: "cutAfter" }
  /** Reads everything and never answers. */
  | { readonly kind: "silent" }
  /** Never reads the body. */
  | { readonly kind: "deaf" }
  /** Reads everything, and then answers a byte every so many milliseconds. */
  | { readonly kind: "drip"; readonly every: number }
  /** Stores something else than what it is sent. */
  | { readonly kind: "store"; readonly bytes: Uint8Array }

export interface HttpServer {
  /** `http://127.0.0.1:port` */
  readonly url: string
  readonly port: number
  readonly files: Map<string, Uint8Array>
  /** `Last-Modified` of files, in milliseconds since the epoch. */
  readonly modified: Map<string, number>
  /** Requests that were received whole, in order. */
  readonly received: ReadonlyArray<Received>
  /** Requests that were begun. */
  readonly begun: () => number
  readonly connections: () => number
  /** The next requests meet these, one each. */
  readonly faultNext: (...faults: ReadonlyArray<HttpFault>) => void
  /** Every request meets it, until `null`. */
  readonly faultAlways: (fault: HttpFault | null) => void
}

export const startHttpServer = (
  options: {
    /** Bodies are counted and forgotten. */
    readonly discard?: boolean
    readonly port?: number
    /** Speaks https. */
    readonly tls?: { readonly key: string; readonly cert: string }
    /** Gives `Repr-Digest`, where it is asked for the file. */
    readonly digests?: boolean
    /** Does not know `If-None-Match`. */
    readonly unconditional?: boolean
    /** Methods that are answered by 405, and not in `Allow`. */
    readonly without?: ReadonlyArray<string>
    /** Never says "100 Continue". */
    readonly noContinue?: boolean
    /** Sent with every answer. */
    readonly headers?: Record<string, string>
  } = {}
): Effect.Effect<HttpServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const files = new Map<string, Uint8Array>()
    const modified = new Map<string, number>()
    const received: Array<Received> = []
    const faults: Array<HttpFault> = []
    let always: HttpFault | null = null
    let begun = 0
    let connections = 0
    const sockets = new Set<Socket>()

    const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      begun += 1
      for (const [name, value] of Object.entries(options.headers ?? {})) response.setHeader(name, value)
      const fault = faults.shift() ?? always
      if (fault?.kind === "deaf") return
      if (fault?.kind === "answer" && fault.early === true) {
        response.writeHead(fault.status, { ...fault.headers, connection: "close" })
        response.end("no")
        response.once("finish", () => request.socket.destroySoon())
        return
      }
      if (/^100-continue$/i.test(request.headers.expect ?? "") && options.noContinue !== true) response.writeContinue()
      const hash = createHash("sha256")
      const chunks: Array<Uint8Array> = []
      let bytes = 0
      for await (const chunk of request) {
        const data: Uint8Array = chunk
        bytes += data.byteLength
        if (fault?.kind === "cut" && bytes >= fault.bytes) {
          request.socket.destroy()
          return
        }
        if (options.discard !== true) {
          hash.update(data)
          chunks.push(data)
        }
      }
      const body = Buffer.concat(chunks)
      const parts = partsOf(request, body)
      received.push({
        method: request.method ?? "",
        url: request.url ?? "",
        headers: request.headers,
        bytes,
        sha256: hash.digest("hex"),
        parts
      })
      if (fault?.kind === "silent") return
      if (fault?.kind === "cutAfter") {
        request.socket.destroy()
        return
      }
      if (fault?.kind === "answer") {
        response.writeHead(fault.status, fault.headers)
        response.end("as you wish")
        return
      }
      if (fault?.kind === "drip") {
        const drip = setInterval(() => request.socket.write("H"), fault.every)
        request.socket.once("close", () => clearInterval(drip))
        return
      }
      const path = decodePath(request.url ?? "")
      if (options.without?.includes(request.method ?? "") === true) {
        response.writeHead(405).end()
        return
      }
      const there = files.get(path)
      switch (request.method) {
        case "OPTIONS":
          response.setHeader("allow", methods.filter((one) => options.without?.includes(one) !== true).join(", "))
          response.writeHead(204).end()
          return
        case "DELETE":
          response.writeHead(files.delete(path) ? 204 : 404).end()
          return
        case "HEAD":
        case "GET":
          if (there === undefined) {
            response.writeHead(404).end()
            return
          }
          response.setHeader("content-length", there.byteLength)
          response.setHeader("last-modified", new Date(modified.get(path) ?? Date.now()).toUTCString())
          if (options.digests === true) {
            response.setHeader("repr-digest", `sha-256=:${createHash("sha256").update(there).digest("base64")}:`)
          }
          response.writeHead(200).end(request.method === "GET" ? there : undefined)
          return
      }
      if (request.headers["if-none-match"] === "*" && there !== undefined && options.unconditional !== true) {
        response.writeHead(412).end()
        return
      }
      if (options.discard !== true) {
        if (parts.length === 0) files.set(path, fault?.kind === "store" ? fault.bytes : body)
        for (const part of parts) files.set(`${path.replace(/\/$/, "")}/${filenameOf(part)}`, part.content)
      }
      response.writeHead(201).end("stored")
    }

    const listener = (request: IncomingMessage, response: ServerResponse) => {
      handle(request, response).catch(() => request.socket.destroy())
    }
    const server = options.tls === undefined ? createServer(listener) : createSecureServer(options.tls, listener)
    server.requestTimeout = 0
    // it is up to the handler to say "100 Continue"
    server.on("checkContinue", listener)
    server.on("connection", (socket) => {
      connections += 1
      sockets.add(socket)
      socket.once("close", () => sockets.delete(socket))
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        server.listen(options.port ?? 0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    const port = portOf(server.address())
    return {
      url: `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
      port,
      files,
      modified,
      received,
      begun: () => begun,
      connections: () => connections,
      faultNext: (...next) => {
        faults.push(...next)
      },
      faultAlways: (fault) => {
        always = fault
      }
    }
  })

const methods = ["OPTIONS", "HEAD", "GET", "PUT", "POST", "PATCH", "DELETE"]

export const portOf = (address: AddressInfo | string | null): number =>
  typeof address === "object" && address !== null ? address.port : 0

const decodePath = (url: string): string => {
  const path = url.split("?")[0] ?? ""
  const bytes: Array<number> = []
  for (let index = 0; index < path.length; index++) {
    if (path[index] === "%") {
      bytes.push(Number.parseInt(path.slice(index + 1, index + 3), 16))
      index += 2
    } else bytes.push(path.charCodeAt(index))
  }
  return RelPath.fromBytes(Uint8Array.from(bytes))
}

const filenameOf = (part: Part): string => {
  const disposition = part.headers.find((line) => /^content-disposition:/i.test(line)) ?? ""
  const quoted = /filename="([^"]*)"/.exec(disposition)?.[1] ?? ""
  return quoted.replace(/%(22|0D|0A)/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
}

const partsOf = (request: IncomingMessage, body: Buffer): ReadonlyArray<Part> => {
  const boundary = /^multipart\/form-data; boundary=(.+)$/.exec(request.headers["content-type"] ?? "")?.[1]
  if (boundary === undefined) return []
  const parts: Array<Part> = []
  const mark = Buffer.from(`\r\n--${boundary}`)
  // with a line end before it, the first boundary is like the others
  const whole = Buffer.concat([Buffer.from("\r\n"), body])
  let at = whole.indexOf(mark)
  while (at >= 0) {
    const start = at + mark.length
    const next = whole.indexOf(mark, start)
    if (next < 0) break
    const head = whole.indexOf("\r\n\r\n", start)
    const content = whole.subarray(head + 4, next)
    parts.push({
      headers: whole
        .subarray(start + 2, head)
        .toString("utf8")
        .split("\r\n"),
      bytes: content.byteLength,
      sha256: createHash("sha256").update(content).digest("hex"),
      content
    })
    at = next
  }
  if (whole.subarray(at + mark.length).toString() !== "--\r\n") throw new Error("the form has no end")
  return parts
}
