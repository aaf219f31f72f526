/**
 * `node tussink.mjs`: a tus server that counts what it is sent and forgets it. It rests for a second in each 64 MiB, so that a sender
 * without back-pressure piles up what it has. Tells its parent the port.
 */
import { createServer } from "node:http"

let size = 0
const server = createServer(async (request, response) => {
  const headers = { "tus-resumable": "1.0.0", "cache-control": "no-store" }
  // the first rest comes at once
  let breath = 64 * 1024 * 1024
  try {
    for await (const chunk of request) {
      size += chunk.length
      breath += chunk.length
      if (breath > 64 * 1024 * 1024) {
        breath = 0
        await new Promise((resolve) => setTimeout(resolve, 1000))
      }
    }
  } catch {
    return
  }
  switch (request.method) {
    case "POST":
      size = 0
      return response.writeHead(201, { ...headers, location: "/root/upload" }).end()
    case "PATCH":
      return response.writeHead(204, { ...headers, "upload-offset": size }).end()
    default:
      return response.writeHead(200, { ...headers, "upload-offset": size }).end()
  }
})
server.listen(0, "127.0.0.1", () => process.send(server.address().port))
