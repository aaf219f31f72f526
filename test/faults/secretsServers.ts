/** Servers that say back whatever they are told, to see whether it is repeated. */
import { Effect, type Scope } from "effect"
import { createServer as createHttpServer, type IncomingMessage } from "node:http"
import { createServer, type Server, type Socket } from "node:net"
import { portOf } from "../servers/http.ts"

/** All that a request has, as the server sees it, and its login in the clear. */
const told = ({ headers, rawHeaders, url = "" }: IncomingMessage): string => {
  const login = Buffer.from(/^Basic (.*)$/i.exec(headers.authorization ?? "")?.[1] ?? "", "base64").toString()
  return `no: ${url} ${rawHeaders.join(" ")} ${login} ${decodeURIComponent(login.replace(/%(?![0-9a-f]{2})/gi, "%25"))}`
}

const listening = <S extends Server>(make: () => S, sockets: Set<Socket>) =>
  Effect.acquireRelease(
    Effect.async<S>((resume) => {
      const server = make()
      server.on("connection", (socket: Socket) => {
        sockets.add(socket)
        socket.on("error", () => undefined)
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.async<void>((resume) => {
        sockets.forEach((socket) => socket.destroy())
        server.close(() => resume(Effect.void))
      })
  )

/**
 * HTTP that answers every request by what its path names: `/ok/…` 201, `/redirect/…` with the login in its Location,
 * and `/401/…`, `/500/…` and the like with that status; all with everything that they were told in the status line, in
 * headers and in the body.
 */
export const startEchoingHttp: Effect.Effect<
  { readonly port: number; readonly seen: Array<string> },
  never,
  Scope.Scope
> = Effect.gen(function* () {
  const seen: Array<string> = []
  const server = yield* listening(
    () =>
      createHttpServer((request, response) => {
        const text = told(request)
        seen.push(`${request.method ?? ""} ${text}`)
        const safe = encodeURIComponent(text)
        const [, first = ""] = (request.url ?? "").split("/")
        const status = first === "ok" ? 201 : first === "redirect" ? 302 : Number(first) || 500
        request.resume().on("end", () => {
          response.writeHead(status, text.replace(/[^ -~]/g, "?").slice(0, 2_000), {
            "content-type": "application/json",
            "www-authenticate": `Basic realm="${safe}"`,
            location: `http://${safe}@127.0.0.1:9/${safe}?${safe}`,
            etag: `"${safe}"`,
            "x-echo": safe
          })
          response.end(JSON.stringify({ error: text, Code: text, message: text }))
        })
      }),
    new Set()
  )
  return { port: portOf(server.address()), seen }
})

/** FTP that repeats the password when it refuses it; or, with `accepts`, when it refuses everything after it. */
export const startEchoingFtp = (
  accepts: boolean
): Effect.Effect<{ readonly port: number; readonly seen: Array<string> }, never, Scope.Scope> =>
  Effect.gen(function* () {
    const seen: Array<string> = []
    const server = yield* listening(
      () =>
        createServer((socket) => {
          let password = ""
          socket.write("220 echo\r\n")
          socket.setEncoding("utf8").on("data", (text) => {
            for (const line of String(text).split("\r\n").filter(Boolean)) {
              seen.push(line)
              const [command = ""] = line.split(" ")
              if (command === "USER") socket.write(`331 password for ${line}\r\n`)
              else if (command === "PASS") {
                password = line.slice(5)
                socket.write(accepts ? `230 welcome with ${password}\r\n` : `530 ${password} is not right: ${line}\r\n`)
              } else if (command === "QUIT") socket.end("221 bye\r\n")
              else socket.write(`550 ${command} not with ${password}\r\n`)
            }
          })
        }),
      new Set()
    )
    return { port: portOf(server.address()), seen }
  })
