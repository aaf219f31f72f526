/**
 * Who may ask what, before anything else looks at a request.
 *
 * A web page anywhere can make its reader's browser send requests to this machine. So the Host header must be one that
 * is served here (a name that an attacker points at 127.0.0.1 is not), of another origin only a link is followed, and off
 * loopback every request needs the token. Answers say that they are nobody else's, and bodies are bounded.
 */
import { HttpIncomingMessage, type HttpApp, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { NodeHttpServerRequest } from "@effect/platform-node"
import { Effect, Option, Redacted, SubscriptionRef } from "effect"
import { createHash, timingSafeEqual } from "node:crypto"
import { BlockList, isIP } from "node:net"
import { hostname, networkInterfaces } from "node:os"
import { CurrentSettings } from "../config/CurrentSettings.ts"
import { failure, maxBody, tooLarge } from "./failures.ts"

/** Whether only this machine can reach that address. */
export const isLoopback = (host: string): boolean => {
  const bare = host.toLowerCase().replace(/^\[(.*)\]$/, "$1")
  const family = isIP(bare)
  return family === 0
    ? bare === "localhost" || bare.endsWith(".localhost")
    : loopback.check(bare, `ipv${family === 6 ? 6 : 4}`)
}

/** Lets through what is allowed, with careful headers on every answer. */
export const secure = <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<E, R | CurrentSettings> =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    // of many requests in one packet the rest still comes when the connection is gone; nobody waits for the answer
    if (NodeHttpServerRequest.toIncomingMessage(request).socket.destroyed) return HttpServerResponse.empty()
    const { http } = yield* Effect.flatMap(CurrentSettings, SubscriptionRef.get)
    const refused =
      refuseHost(request, http.host) ?? refuseOrigin(request) ?? refuseToken(request, http.token) ?? refuseBody(request)
    const response = refused ?? (yield* HttpIncomingMessage.withMaxBodySize(app, Option.some(maxBody)))
    return HttpServerResponse.setHeaders(response, { ...carefulHeaders, ...response.headers })
  })

type Request = HttpServerRequest.HttpServerRequest
type Refusal = HttpServerResponse.HttpServerResponse | undefined

const loopback = new BlockList()
loopback.addSubnet("127.0.0.0", 8, "ipv4")
loopback.addAddress("::1", "ipv6")

/** What needs no token: it says nothing about the files. */
const open = /^\/(?:healthz|readyz|dashboard\/[\w.-]+)?$/

/** On every answer: it is what it says it is, belongs in no other page, loads nothing, and is kept nowhere. */
export const carefulHeaders = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "content-security-policy":
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "cache-control": "no-store"
}

const refuseHost = (request: Request, configured: string): Refusal => {
  const host = request.headers["host"]
  if (host === undefined) return failure(400, "the Host header is missing")
  // a target may be a whole URL, and then says whom it is for as well
  const other = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(request.originalUrl)?.[1]
  const foreign = [other ?? host, host].find((text) => !isServed(hostName(text), configured))
  return foreign === undefined
    ? undefined
    : failure(
        421,
        `this server does not answer for ${JSON.stringify(foreign.slice(0, 200))}: use the address it listens on`
      )
}

/** The name in a Host header, without its port. */
const hostName = (host: string): string | undefined =>
  /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$/.exec(host.toLowerCase())?.[1]?.replace(/^\[(.*)\]$/, "$1")

const isServed = (name: string | undefined, configured: string): boolean => {
  if (name === undefined) return false
  if (name === configured.toLowerCase().replace(/^\[(.*)\]$/, "$1")) return true
  if (isLoopback(configured)) return isLoopback(name)
  if (configured !== "0.0.0.0" && configured !== "::") return false
  return isLoopback(name) || name === hostname().toLowerCase() || isOwnAddress(name)
}

const isOwnAddress = (name: string): boolean =>
  isIP(name) !== 0 &&
  Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === name) === true)

/** A browser says whence a request comes. Others say nothing, and are no page's tool. */
const refuseOrigin = (request: Request): Refusal => {
  const { host, origin, "sec-fetch-mode": mode, "sec-fetch-site": site } = request.headers
  const foreign =
    origin === undefined ? site !== undefined && site !== "same-origin" && site !== "none" : hostOf(origin) !== host
  // a link, whose answer only its reader sees
  const followed = request.method === "GET" && origin === undefined && mode === "navigate"
  return foreign && !followed
    ? failure(
        403,
        `a page of another origin${origin === undefined ? "" : ` (${origin.slice(0, 200)})`} can't ask for anything here`
      )
    : undefined
}

const hostOf = (origin: string): string | undefined => /^https?:\/\/([^/]+)$/.exec(origin)?.[1]

const refuseToken = (request: Request, token: Option.Option<Redacted.Redacted>): Refusal => {
  if (Option.isNone(token) || open.test(request.originalUrl.replace(/\?.*$/s, ""))) return undefined
  const bearer = /^bearer +(\S+)$/i.exec(request.headers["authorization"] ?? "")?.[1]
  const given = bearer ?? request.headers["x-token"]
  if (given !== undefined && sameText(given, Redacted.value(token.value))) return undefined
  const detail =
    given === undefined
      ? "a token is needed: send it as Authorization: Bearer <token>"
      : "the token is not the one in http.token"
  return failure(401, detail, { "www-authenticate": 'Bearer realm="filedispatch"' })
}

/** In a time that does not depend on what is equal. */
const sameText = (left: string, right: string): boolean => timingSafeEqual(digest(left), digest(right))

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

const refuseBody = (request: Request): Refusal => {
  const length = Number(request.headers["content-length"] ?? 0)
  if (length > maxBody) return failure(413, tooLarge)
  if (request.headers["transfer-encoding"] !== undefined) {
    return failure(411, "the body must say how long it is, with Content-Length")
  }
  const type = request.headers["content-type"] ?? ""
  return length > 0 && !/^application\/json *(;|$)/i.test(type)
    ? failure(415, `the body must be application/json, and was ${type === "" ? "not named" : type.slice(0, 100)}`)
    : undefined
}
