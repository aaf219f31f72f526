/**
 * An S3 service that keeps what is put into it in memory, and misbehaves on demand. One bucket, path style.
 *
 * It checks the signature in full, and that the body is the one that was signed.
 */
import { createHash } from "node:crypto"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { Effect, type Scope } from "effect"
import { portOf } from "./http.ts"
import { isSigned } from "./s3Signature.ts"

export type Operation =
  | "HeadBucket"
  | "HeadObject"
  | "GetObject"
  | "PutObject"
  | "CopyObject"
  | "DeleteObject"
  | "CreateMultipartUpload"
  | "UploadPart"
  | "ListParts"
  | "CompleteMultipartUpload"
  | "AbortMultipartUpload"

export type S3Fault =
  /** Refused, with this code in the body. */
  | {
      readonly kind: "refuse"
      readonly status: number
      readonly code?: string
      readonly headers?: Record<string, string>
      readonly extra?: string
    }
  /** 200, and an error in the body; nothing was done. */
  | { readonly kind: "errorBody"; readonly code: string }
  /** The connection is cut when the body has come; with `after`, once all was done. */
  | { readonly kind: "cut"; readonly after?: boolean }
  /** A bit is kept other than it came. */
  | { readonly kind: "corrupt" }
  /** Only half of it is kept. */
  | { readonly kind: "truncate" }
  /** Reads everything and never answers. */
  | { readonly kind: "silent" }
  /** Does something of its own first. */
  | { readonly kind: "before"; readonly run: () => void }

export interface S3Object {
  readonly bytes: Uint8Array
  readonly etag: string
  readonly headers: Readonly<Record<string, string>>
  /** Base64. */
  readonly checksum: string | undefined
}

interface Upload {
  readonly key: string
  readonly headers: Readonly<Record<string, string>>
  readonly checksums: boolean
  readonly parts: Map<number, S3Object>
}

export interface S3Server {
  readonly url: string
  readonly port: number
  readonly objects: Map<string, S3Object>
  readonly uploads: Map<string, Upload>
  /** What was asked for, in order. */
  readonly calls: Array<{
    readonly operation: Operation
    readonly headers: IncomingMessage["headers"]
    readonly url: string
  }>
  readonly count: (operation: Operation) => number
  readonly put: (key: string, bytes: Uint8Array, headers?: Record<string, string>) => void
  /** The next of these calls meets it, after so many that don't. */
  readonly fault: (operation: Operation, fault: S3Fault, after?: number) => void
  readonly behave: (manners: Partial<Manners>) => void
  /** Cuts every connection. */
  readonly cut: () => void
}

export interface Manners {
  readonly checksums: "honoured" | "ignored" | "refused"
  readonly conditional: "honoured" | "ignored" | "refused"
  readonly etag: "md5" | "opaque" | "none"
  /** Parts can be listed. */
  readonly lists: boolean
  readonly metadata: boolean
  readonly server: string | undefined
}

export const accessKey = "AKIDEXAMPLE"
export const secretKey = "s3cret/key+"
export const bucketName = "bucket"

export const startS3Server = (manners: Partial<Manners> = {}): Effect.Effect<S3Server, never, Scope.Scope> =>
  Effect.gen(function* () {
    let ways: Manners = {
      checksums: "honoured",
      conditional: "honoured",
      etag: "md5",
      lists: true,
      metadata: true,
      server: "Scripted/1.0",
      ...manners
    }
    const objects = new Map<string, S3Object>()
    const uploads = new Map<string, Upload>()
    const calls: Array<S3Server["calls"][number]> = []
    const faults: Array<{ operation: Operation; fault: S3Fault; after: number }> = []
    const sockets = new Set<Socket>()
    let ids = 0

    const faultFor = (operation: Operation): S3Fault | undefined => {
      const index = faults.findIndex((one) => one.operation === operation)
      const found = faults[index]
      if (found === undefined) return undefined
      if (found.after > 0) {
        found.after -= 1
        return undefined
      }
      faults.splice(index, 1)
      return found.fault
    }

    const tagOf = (bytes: Uint8Array) => {
      if (ways.etag === "md5") return md5(bytes)
      ids += 1
      return ways.etag === "none" ? "" : createHash("md5").update(`opaque ${ids}`).digest("hex")
    }

    const keep = (
      bytes: Uint8Array,
      headers: Readonly<Record<string, string>>,
      fault: S3Fault | undefined
    ): S3Object => {
      const kept = Buffer.from(fault?.kind === "truncate" ? bytes.subarray(0, bytes.byteLength / 2) : bytes)
      if (fault?.kind === "corrupt" && kept.byteLength > 0) kept[0] = (kept[0] ?? 0) ^ 1
      return {
        bytes: kept,
        etag: tagOf(kept),
        headers,
        checksum: ways.checksums === "honoured" ? sha256(kept) : undefined
      }
    }

    const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      const url = new URL(request.url ?? "/", "http://host")
      const [, bucket = "", ...rest] = url.pathname.split("/")
      const key = rest.map(decodeURIComponent).join("/")
      const query = url.searchParams
      const operation = operationOf(request, key, query)
      calls.push({ operation, headers: request.headers, url: request.url ?? "" })
      const chunks: Array<Uint8Array> = []
      for await (const chunk of request) chunks.push(chunk)
      const body = Buffer.concat(chunks)
      const fault = faultFor(operation)

      const common: Record<string, string> = ways.server === undefined ? {} : { server: ways.server }
      const answer = (status: number, headers: Record<string, string> = {}, content: string | Uint8Array = "") => {
        if (fault?.kind === "cut") {
          request.socket.destroy()
          return
        }
        response.writeHead(status, {
          ...common,
          "content-length": String(Buffer.byteLength(content)),
          ...headers
        })
        response.end(request.method === "HEAD" ? undefined : content)
      }
      const refuse = (status: number, code: string, extra = "", headers: Record<string, string> = {}) =>
        answer(
          status,
          { "content-type": "application/xml", ...headers },
          request.method === "HEAD"
            ? ""
            : `<?xml version="1.0"?>\n<Error><Code>${code}</Code><Message>${code}, as you wish</Message>${extra}</Error>`
        )

      if (fault?.kind === "silent") return
      if (fault?.kind === "cut" && fault.after !== true) {
        request.socket.destroy()
        return
      }
      if (fault?.kind === "refuse") {
        if (fault.code === undefined) return answer(fault.status, fault.headers)
        return refuse(fault.status, fault.code, fault.extra, fault.headers)
      }
      if (fault?.kind === "errorBody") {
        return answer(
          200,
          {},
          `<?xml version="1.0"?>\n  <Error><Code>${fault.code}</Code><Message>No</Message></Error>`
        )
      }
      if (fault?.kind === "before") fault.run()

      const authorization = request.headers.authorization ?? ""
      if (!authorization.startsWith(`AWS4-HMAC-SHA256 Credential=${accessKey}/`)) {
        return refuse(403, "InvalidAccessKeyId")
      }
      if (!isSigned(request, secretKey)) return refuse(403, "SignatureDoesNotMatch")
      if (request.headers["x-amz-content-sha256"] !== createHash("sha256").update(body).digest("hex")) {
        return refuse(400, "XAmzContentSHA256Mismatch")
      }
      if (bucket !== bucketName) return refuse(404, "NoSuchBucket")
      const sum = header(request, "x-amz-checksum-sha256")
      if (sum !== undefined || header(request, "x-amz-checksum-algorithm") !== undefined) {
        if (ways.checksums === "refused") return refuse(501, "NotImplemented")
        if (sum !== undefined && ways.checksums === "honoured" && sum !== sha256(body)) return refuse(400, "BadDigest")
      }
      const digest = header(request, "content-md5")
      if (digest !== undefined && digest !== Buffer.from(md5(body), "hex").toString("base64")) {
        return refuse(400, "BadDigest")
      }
      if (header(request, "if-none-match") === "*") {
        if (ways.conditional === "refused") return refuse(501, "NotImplemented")
        if (ways.conditional === "honoured" && objects.has(key)) return refuse(412, "PreconditionFailed")
      }
      const upload = uploads.get(query.get("uploadId") ?? "")

      switch (operation) {
        case "HeadBucket":
          return answer(200)
        case "PutObject": {
          const object = keep(body, ways.metadata ? keptHeaders(request) : {}, fault)
          objects.set(key, object)
          return answer(200, objectHeaders(object, sum === undefined))
        }
        case "CopyObject": {
          const source = decodeURIComponent(header(request, "x-amz-copy-source") ?? "").replace(/^\/?[^/]*\//, "")
          const object = objects.get(source)
          if (object === undefined) return refuse(404, "NoSuchKey")
          objects.set(key, object)
          return answer(200, {}, `\n<CopyObjectResult><ETag>&quot;${object.etag}&quot;</ETag></CopyObjectResult>`)
        }
        case "HeadObject":
        case "GetObject": {
          const object = objects.get(key)
          if (object === undefined) return refuse(404, "NoSuchKey")
          const asked = header(request, "x-amz-checksum-mode") !== undefined
          const headers = { ...object.headers, ...objectHeaders(object, !asked) }
          if (operation === "GetObject") return answer(200, headers, object.bytes)
          return answer(200, { ...headers, "content-length": String(object.bytes.byteLength) })
        }
        case "DeleteObject":
          objects.delete(key)
          return answer(204)
        case "CreateMultipartUpload": {
          ids += 1
          const id = `upload/${ids}&<"+`
          const checksums = ways.checksums === "honoured" && header(request, "x-amz-checksum-algorithm") === "SHA256"
          uploads.set(id, { key, headers: ways.metadata ? keptHeaders(request) : {}, checksums, parts: new Map() })
          return answer(
            200,
            checksums ? { "x-amz-checksum-algorithm": "SHA256" } : {},
            `<InitiateMultipartUploadResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><UploadId>${escape(id)}</UploadId></InitiateMultipartUploadResult>`
          )
        }
        case "UploadPart": {
          if (upload === undefined) return refuse(404, "NoSuchUpload")
          const part = keep(body, {}, fault)
          upload.parts.set(Number(query.get("partNumber")), part)
          return answer(200, objectHeaders(part, !upload.checksums))
        }
        case "ListParts": {
          if (!ways.lists) return refuse(501, "NotImplemented")
          if (upload === undefined) return refuse(404, "NoSuchUpload")
          // pages of two, so that there are some
          const after = Number(query.get("part-number-marker") ?? 0)
          const numbers = Array.from(upload.parts.keys())
            .filter((number) => number > after)
            .sort((left, right) => left - right)
          const page = numbers.slice(0, 2)
          const parts = page.map((number) => {
            const part = upload.parts.get(number)
            return `<Part><PartNumber>${number}</PartNumber><ETag>&quot;${part?.etag}&quot;</ETag><Size>${part?.bytes.byteLength}</Size>${
              upload.checksums ? `<ChecksumSHA256>${part?.checksum}</ChecksumSHA256>` : ""
            }</Part>`
          })
          return answer(
            200,
            {},
            `<?xml version="1.0"?><ListPartsResult><Key>${escape(key)}</Key><IsTruncated>${page.length < numbers.length}</IsTruncated><NextPartNumberMarker>${page.at(-1) ?? 0}</NextPartNumberMarker>${parts.join("")}</ListPartsResult>`
          )
        }
        case "CompleteMultipartUpload": {
          if (upload === undefined) return refuse(404, "NoSuchUpload")
          const wanted = Array.from(body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>([^<]*)<\/ETag>/g))
          const parts: Array<S3Object> = []
          for (const [, number, etag] of wanted) {
            const part = upload.parts.get(Number(number))
            if (part === undefined || part.etag !== etag) return refuse(400, "InvalidPart")
            parts.push(part)
          }
          const bytes = Buffer.concat(parts.map((part) => part.bytes))
          const tags = Buffer.concat(parts.map(({ etag }) => Buffer.from(etag, "hex")))
          const object: S3Object = {
            bytes,
            etag: ways.etag === "md5" ? `${md5(tags)}-${parts.length}` : tagOf(bytes),
            headers: upload.headers,
            checksum: upload.checksums
              ? `${sha256(Buffer.concat(parts.map(({ checksum }) => Buffer.from(checksum ?? "", "base64"))))}-${parts.length}`
              : undefined
          }
          objects.set(key, object)
          uploads.delete(query.get("uploadId") ?? "")
          const checksum = object.checksum === undefined ? "" : `<ChecksumSHA256>${object.checksum}</ChecksumSHA256>`
          return answer(
            200,
            {},
            `<?xml version="1.0"?>\n\n<CompleteMultipartUploadResult><ETag>&quot;${object.etag}&quot;</ETag>${checksum}</CompleteMultipartUploadResult>`
          )
        }
        case "AbortMultipartUpload":
          return uploads.delete(query.get("uploadId") ?? "") ? answer(204) : refuse(404, "NoSuchUpload")
      }
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
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    const port = portOf(server.address())
    return {
      url: `http://127.0.0.1:${port}`,
      port,
      objects,
      uploads,
      calls,
      count: (operation) => calls.filter((call) => call.operation === operation).length,
      put: (key, bytes, headers = {}) => {
        objects.set(key, keep(bytes, headers, undefined))
      },
      fault: (operation, fault, after = 0) => {
        faults.push({ operation, fault, after })
      },
      cut: () => {
        for (const socket of sockets) socket.destroy()
      },
      behave: (next) => {
        ways = { ...ways, ...next }
      }
    }
  })

const operationOf = (request: IncomingMessage, key: string, query: URLSearchParams): Operation => {
  const inUpload = query.has("uploadId")
  switch (request.method) {
    case "HEAD":
      return key === "" ? "HeadBucket" : "HeadObject"
    case "GET":
      return inUpload ? "ListParts" : "GetObject"
    case "POST":
      return inUpload ? "CompleteMultipartUpload" : "CreateMultipartUpload"
    case "DELETE":
      return inUpload ? "AbortMultipartUpload" : "DeleteObject"
    default:
      return inUpload ? "UploadPart" : header(request, "x-amz-copy-source") === undefined ? "PutObject" : "CopyObject"
  }
}

const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("hex")
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("base64")

const header = (request: IncomingMessage, name: string): string | undefined => {
  const value = request.headers[name]
  return Array.isArray(value) ? value[0] : value
}

const keptHeaders = (request: IncomingMessage): Record<string, string> =>
  Object.fromEntries(
    Object.entries(request.headers).flatMap(([name, value]) =>
      (name === "content-type" || name.startsWith("x-amz-meta-")) && typeof value === "string" ? [[name, value]] : []
    )
  )

const objectHeaders = ({ checksum, etag }: S3Object, hidden: boolean): Record<string, string> => ({
  ...(etag === "" ? {} : { etag: `"${etag}"` }),
  "last-modified": new Date().toUTCString(),
  ...(checksum === undefined || hidden ? {} : { "x-amz-checksum-sha256": checksum })
})

const escape = (text: string): string =>
  text.replace(/[<>&"]/g, (char) => (char === "<" ? "&lt;" : char === ">" ? "&gt;" : char === "&" ? "&amp;" : "&#34;"))
