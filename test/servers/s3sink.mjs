/**
 * `node s3sink.mjs`: an S3 service that counts what it is sent and forgets it. It reads in pauses, so that a sender
 * without back-pressure piles up what it has. Tells its parent the port.
 */
import { createServer } from "node:http"

/** Bytes by path. */
const stored = new Map()

const drain = async (stream) => {
  let breath = 0
  let bytes = 0
  for await (const chunk of stream) {
    bytes += chunk.length
    breath += chunk.length
    if (breath > 4 * 1024 * 1024) {
      breath = 0
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  return bytes
}

const server = createServer((request, response) => {
  drain(request).then(
    (bytes) => {
      const { method, url = "" } = request
      const [path = ""] = url.split("?")
      if (method === "PUT") stored.set(path, (stored.get(path) ?? 0) + bytes)
      if (method === "HEAD") response.setHeader("content-length", String(stored.get(path) ?? 0))
      response.writeHead(200)
      response.end(
        method !== "POST"
          ? ""
          : url.endsWith("?uploads=")
            ? "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
            : "<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>"
      )
    },
    () => request.socket.destroy()
  )
})
server.listen(0, "127.0.0.1", () => process.send(server.address().port))
