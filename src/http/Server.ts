/**
 * The HTTP server: the API on the address of the config.
 */
import { HttpApiBuilder, HttpRouter, HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer, Option, SubscriptionRef } from "effect"
import { createServer, type Server } from "node:http"
import type { Duplex } from "node:stream"
import { CurrentSettings } from "../config/CurrentSettings.ts"
import { Api } from "./Api.ts"
import * as ConfigHandlers from "./ConfigHandlers.ts"
import * as Connections from "./Connections.ts"
import * as DeliveriesHandlers from "./DeliveriesHandlers.ts"
import { answerFailures } from "./failures.ts"
import * as HealthHandlers from "./HealthHandlers.ts"
import { ListenError, listenError } from "./Listen.ts"
import * as LogsHandlers from "./LogsHandlers.ts"
import * as RoutingHandlers from "./RoutingHandlers.ts"
import { carefulHeaders, isLoopback, secure } from "./Security.ts"
import * as SystemHandlers from "./SystemHandlers.ts"
import * as UndoHandlers from "./UndoHandlers.ts"

/** Why the server could not start. */
export type ServerError = ListenError

/** How long requests that are under way may take to end when the program does. */
const grace = 3_000

const listen = Effect.gen(function* () {
  const { http } = yield* Effect.flatMap(CurrentSettings, SubscriptionRef.get)
  if (!isLoopback(http.host) && Option.isNone(http.token)) {
    return yield* new ListenError({
      host: http.host,
      port: http.port,
      reason: `other machines can reach ${http.host}: set http.token, or listen on 127.0.0.1 with -H or http.host`,
      cause: Option.none()
    })
  }
  const address = { ...http, portSetting: "-P or http.port", hostSetting: "-H or http.host" }
  const server = makeServer()
  const listening = yield* NodeHttpServer.make(() => server, {
    host: http.host.replace(/^\[(.*)\]$/, "$1"),
    port: http.port
  }).pipe(Effect.mapError((error) => listenError(address, error.cause)))
  yield* Effect.addFinalizer(() => close(server))
  return listening
})

/** Listens, but answers nothing by itself. */
export const layerListen: Layer.Layer<HttpServer.HttpServer, ListenError, CurrentSettings> = Layer.scoped(
  HttpServer.HttpServer,
  listen
)

/** Around all handlers, before their failures are turned into answers that say too little. */
const guard = HttpApiBuilder.middleware((app) => secure(answerFailures(app)), { withContext: true })

/** As written: by default `//` in a query is one slash, `/HEALTHZ` is `/healthz`, and `/logs/` is `/logs`. */
const exactPaths = HttpRouter.setRouterConfig({
  ignoreDuplicateSlashes: false,
  ignoreTrailingSlash: false,
  caseSensitive: true,
  maxParamLength: 200
})

/** Listens and answers. The `HttpServer` that it gives tells the address, which matters where the port was 0. */
export const layer = HttpApiBuilder.serve().pipe(
  Layer.provide(HttpApiBuilder.api(Api)),
  Layer.provide([
    LogsHandlers.layer,
    DeliveriesHandlers.layer,
    UndoHandlers.layer,
    HealthHandlers.layer,
    ConfigHandlers.layer,
    RoutingHandlers.layer,
    SystemHandlers.layerSchema,
    SystemHandlers.layerSystem,
    guard
  ]),
  Layer.provide(exactPaths),
  Layer.provideMerge(layerListen),
  Layer.provide(NodeHttpServer.layerContext)
)

/** Every size and time is bounded: slow or greedy clients are cut off. What can be read in two ways is not read. */
const makeServer = (): Server => {
  const server = createServer({
    maxHeaderSize: 16 * 1024,
    headersTimeout: 10_000,
    requestTimeout: 30_000,
    keepAliveTimeout: 5_000,
    connectionsCheckingInterval: 5_000,
    // a second Host or token makes one that is neither, where the first would win by default
    joinDuplicateHeaders: true,
    // its answer would have none of our headers: Security asks for it
    requireHostHeader: false
  })
  // the size bounds it; beyond a number the rest would be dropped in silence
  server.maxHeadersCount = 0
  Connections.bound(server)
  server.on("clientError", (error: Error & { readonly code?: string }, socket) => refuse(error.code ?? "", socket))
  server.on("checkExpectation", (_request, response) => {
    const body = JSON.stringify({ detail: "the only Expect that is understood is 100-continue" })
    response.writeHead(417, { ...carefulHeaders, "content-type": "application/json", connection: "close" }).end(body)
  })
  return server
}

/** What the parser can't read is answered in the same form as everything else. */
const refuse = (code: string, socket: Duplex): void => {
  if (!socket.writable || code === "ECONNRESET") {
    socket.destroy()
    return
  }
  const [status, detail] =
    code === "HPE_HEADER_OVERFLOW"
      ? ["431 Request Header Fields Too Large", "the headers are too large: 16 KiB at most"]
      : code === "HPE_CHUNK_EXTENSIONS_OVERFLOW"
        ? ["413 Payload Too Large", "the extensions of the body's chunks are too large"]
        : code === "ERR_HTTP_REQUEST_TIMEOUT"
          ? ["408 Request Timeout", "the request took too long to arrive"]
          : ["400 Bad Request", "that is not a valid HTTP request"]
  const body = JSON.stringify({ detail })
  const headers = {
    ...carefulHeaders,
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    connection: "close"
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${status}\r\n${lines.join("")}\r\n${body}`, () => socket.destroy())
}

/** No new requests; those under way have some time. */
const close = (server: Server): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const timer = setTimeout(() => server.closeAllConnections(), grace)
    server.close(() => {
      clearTimeout(timer)
      resume(Effect.void)
    })
    server.closeIdleConnections()
  })
