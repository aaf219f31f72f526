/**
 * `node sink.mjs http|ftp|webdav`: counts what it is sent and forgets it. It reads in pauses, so that a sender without
 * back-pressure piles up what it has. Tells its parent the port.
 */
import { createServer as createHttpServer } from "node:http"
import { createServer } from "node:net"

/** 16 MiB at a time, and then a breath. */
const drain = async (stream) => {
  let bytes = 0
  let breath = 0
  for await (const chunk of stream) {
    bytes += chunk.length
    breath += chunk.length
    if (breath > 16 * 1024 * 1024) {
      breath = 0
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  return bytes
}

const ftp = () => {
  let size = 0
  return createServer((control) => {
    const reply = (line) => control.write(`${line}\r\n`)
    control.on("error", () => undefined)
    reply("220 Sink")
    let data
    control.setEncoding("latin1").on("data", async (text) => {
      for (const line of text.split("\r\n").filter((line) => line !== "")) {
        const verb = line.split(" ")[0]
        if (verb === "EPSV") {
          const server = createServer()
          data = new Promise((resolve) => server.once("connection", resolve)).finally(() => server.close())
          await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
          reply(`229 Entering (|||${server.address().port}|)`)
        } else if (verb === "STOR") {
          reply("150 Go")
          size = await drain(await data)
          reply("226 Forgotten")
        } else if (verb === "SIZE") reply(line.includes(".fd-") ? `213 ${size}` : "550 No such file")
        else if (verb === "RNFR") reply("350 Go on")
        else if (verb === "FEAT") reply("502 None")
        else reply(verb === "PASS" ? "230 Welcome" : verb === "DELE" ? "550 No such file" : "250 OK")
      }
    })
  })
}

const http = () =>
  createHttpServer((request, response) => {
    drain(request).then(
      () => response.writeHead(201).end(),
      () => request.socket.destroy()
    )
  })

/** As a WebDAV server that does not list: only the size of what was stored last is remembered. */
const webdav = () => {
  let size = 0
  return createHttpServer((request, response) => {
    if (request.method === "HEAD" && request.url.endsWith(".tmp")) {
      response.writeHead(200, { "content-length": size }).end()
      return
    }
    drain(request).then(
      (bytes) => {
        if (request.method === "PUT") size = bytes
        response.writeHead({ PROPFIND: 405, HEAD: 404 }[request.method] ?? 201).end()
      },
      () => request.socket.destroy()
    )
  })
}

const server = { ftp, webdav, http }[process.argv[2]]()
server.listen(0, "127.0.0.1", () => process.send(server.address().port))
