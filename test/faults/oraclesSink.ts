/** The HTTP server that files are PUT to: it keeps the hash of each body that came whole, and forgets the rest. */
import { createHash } from "node:crypto"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { portOf } from "../servers/http.ts"
import { refused } from "./oracles.ts"

export interface Sink {
  readonly port: number
  /** sha256 by path. */
  readonly files: ReadonlyMap<string, string>
  readonly puts: () => number
  readonly broken: () => number
  /** Bytes of the largest body that is not whole yet. */
  readonly underWay: () => number
}

export const startSink = async (stored: (path: string, sha256: string) => void): Promise<Sink> => {
  const files = new Map<string, string>()
  const open = new Map<IncomingMessage, number>()
  let puts = 0
  let broken = 0

  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = decodeURIComponent(request.url ?? "").replace(/^\/+/, "")
    if (request.method !== "PUT") {
      response.writeHead(405).end()
      return
    }
    if (path.includes(refused)) {
      puts += 1
      response.writeHead(413, { connection: "close" }).end("too large, as it were")
      response.once("finish", () => request.socket.destroySoon())
      return
    }
    const hash = createHash("sha256")
    let bytes = 0
    open.set(request, 0)
    try {
      for await (const chunk of request) {
        const data: Uint8Array = chunk
        hash.update(data)
        bytes += data.byteLength
        open.set(request, bytes)
      }
    } finally {
      open.delete(request)
      if (!request.complete) broken += 1
    }
    const length = request.headers["content-length"]
    if (!request.complete || (length !== undefined && Number(length) !== bytes)) {
      request.socket.destroy()
      return
    }
    puts += 1
    const sha256 = hash.digest("hex")
    files.set(path, sha256)
    stored(path, sha256)
    response.writeHead(201).end()
  }

  const server = createServer((request, response) => {
    take(request, response).catch(() => request.socket.destroy())
  })
  server.requestTimeout = 0
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    port: portOf(server.address()),
    files,
    puts: () => puts,
    broken: () => broken,
    underWay: () => Math.max(0, ...open.values())
  }
}
