/** Who may ask: no Host, Origin, token, method or path opens what is closed, on any route that the program has. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { hostname } from "node:os"
import { type Answer, ask, type Attacked, attacked, auth, type Call, type Fields, send } from "./attack.ts"
import * as Process from "../cli/process.ts"
import { tried } from "./report.ts"

const token = "Attack-t0ken_9"

/** What needs no token: it tells of no file. */
const isOpen = (path: string): boolean =>
  path === "/" || path === "/healthz" || path === "/readyz" || path.startsWith("/dashboard/")

/** On every answer, whatever it is. */
const careful: Readonly<Record<string, string | RegExp>> = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "content-security-policy": /^default-src 'none'; (?:(?!https?:|\*|unsafe-eval|data:).)*frame-ancestors 'none'$/
}

/** Of the dashboard's page and its files: they run their own script, ask their own origin, and nothing else. */
const carefulPage: typeof careful = {
  ...careful,
  "cache-control": /^(no-cache|public, max-age=31536000, immutable)$/,
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

/** What is missing of it, and what grants another origin something. */
const careless = ({ headers, status }: Answer, path: string): ReadonlyArray<string> => [
  ...Object.entries(status === 200 && (path === "/" || path.startsWith("/dashboard/")) ? carefulPage : careful).flatMap(
    ([name, wanted]) => {
      const value = headers.get(name) ?? "(none)"
      return (typeof wanted === "string" ? value === wanted : wanted.test(value)) ? [] : [`${name}: ${value}`]
    }
  ),
  ...Array.from(headers).flatMap(([name, value]) => (name.startsWith("access-control") ? [`${name}: ${value}`] : []))
]

/** Of an answer that refuses: what is wrong with it. */
const faultsOf = (answer: Answer, status: number, path: string): ReadonlyArray<string> => {
  const faults = [...careless(answer, path)]
  if (answer.status !== status) faults.push(`${answer.status} instead of ${status}`)
  // all that it says is one sentence, as JSON
  if (!/^\{"detail":"[^]*"\}$/.test(answer.body) && answer.status >= 400) faults.push(`its body is ${answer.body}`)
  return faults
}

const nameOf = ({ method, template }: Call): string => `${method} ${template}`

const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "SEARCH", "PURGE"]

/** Every call as it is meant to be, and all of its other methods. */
const everything = (calls: ReadonlyArray<Call>): ReadonlyArray<readonly [method: string, path: string]> =>
  Array.from(new Set(calls.map(({ path }) => path))).flatMap((path) => methods.map((method) => [method, path] as const))

/** Asks all of it, eight at a time, and gives what is wrong. */
const attack = (
  { port }: Attacked,
  requests: ReadonlyArray<{
    readonly method: string
    readonly path: string
    readonly host?: string
    readonly headers?: Fields
    readonly status: number
  }>
) =>
  Effect.map(
    Effect.forEach(
      requests,
      ({ status, ...request }) =>
        Effect.map(ask(port, request), (answer) => {
          // HEAD has no body
          const body = request.method === "HEAD" ? { ...answer, body: `{"detail":""}` } : answer
          return faultsOf(body, status, request.path).map((fault) => ({
            ...request,
            fault,
            body: answer.body.slice(0, 200)
          }))
        }),
      { concurrency: 8 }
    ),
    (all) => all.flat()
  )

describe("who may ask", () => {
  it.scopedLive("with a token, on every address: nobody without it, of another host, or from another origin", () =>
    Effect.gen(function* () {
      const victim = yield* attacked({ token, host: "0.0.0.0" })
      const { calls, port } = victim
      // or there is nothing to attack
      expect(calls.length).toBeGreaterThanOrEqual(20)
      const all = everything(calls)
      const right = auth(token)
      let count = 0
      const none = (requests: Parameters<typeof attack>[1]) =>
        Effect.map(attack(victim, requests), (faults) => {
          count += requests.length
          expect(faults).toEqual([])
        })

      // no token: nothing but what says nothing, and there only what is possible at all
      const possible = (method: string, path: string) =>
        (method === "GET" || method === "HEAD") && calls.some((call) => call.path === path)
          ? // of the dashboard's files there is none of that name
            path.startsWith("/dashboard/")
            ? 404
            : 200
          : 405
      yield* none(
        all
          .map(([method, path]) => ({
            method,
            path,
            status: isOpen(path) ? (path === "/readyz" ? 405 : possible(method, path)) : 401
          }))
          .filter(({ method, path }) => path !== "/readyz" || (method !== "GET" && method !== "HEAD"))
      )
      // an almost right one, wherever one could stand
      const almost: ReadonlyArray<Fields> = [
        ...[
          token.slice(0, -1),
          `${token}x`,
          token.toUpperCase(),
          token.toLowerCase(),
          `${token} ${token}`,
          `"${token}"`,
          `${token},`,
          token.replace("0", "o"),
          encodeURIComponent(token).replace("-", "%2D"),
          Buffer.from(token).toString("base64"),
          "null",
          "undefined",
          "*",
          "%00",
          "' OR '1'='1"
        ].map((text): Fields => [["Authorization", `Bearer ${text}`]]),
        [["Authorization", token]],
        [["Authorization", `Basic ${Buffer.from(`admin:${token}`).toString("base64")}`]],
        [["Authorization", `Token ${token}`]],
        [["Authorization", "Bearer"]],
        [
          ["Authorization", "Bearer wrong"],
          ["Authorization", `Bearer ${token}`]
        ],
        [
          ["Authorization", `Bearer ${token}`],
          ["Authorization", "Bearer wrong"]
        ],
        [["X-Token", `${token}x`]],
        [["X-Token", ""]],
        [
          ["X-Token", "wrong"],
          ["X-Token", token]
        ],
        [["Cookie", `token=${token}`]],
        [["X-Api-Key", token]],
        [["X-Original-URL", "/healthz"]],
        [["X-Rewrite-URL", "/healthz"]],
        [
          ["X-Forwarded-For", "127.0.0.1"],
          ["X-Real-IP", "127.0.0.1"],
          ["Forwarded", "for=127.0.0.1"]
        ],
        [["X-HTTP-Method-Override", "GET"]]
      ]
      const closed = calls.filter(({ path }) => !isOpen(path))
      yield* none(
        closed.flatMap(({ method, path }) => almost.map((headers) => ({ method, path, headers, status: 401 })))
      )
      yield* none(
        closed.flatMap(({ method, path }) =>
          [`token=${token}`, `access_token=${token}`, `/healthz`].map((query) => ({
            method,
            path: `${path}?${query}`,
            status: 401
          }))
        )
      )

      // another host, as a page that had its name pointed here would have it, with the token and without
      const hosts = [
        "evil.example",
        `evil.example:${port}`,
        `127.0.0.1.evil.example:${port}`,
        `localhost.evil.example`,
        `127.0.0.1:${port}@evil.example`,
        `evil.example#127.0.0.1`,
        "192.0.2.1",
        "169.254.169.254",
        "2130706433",
        "0x7f.1",
        "127.0.0.1, evil.example",
        "[::ffff:192.0.2.1]",
        "localhost\\.evil.example",
        ""
      ]
      yield* none(
        calls.flatMap(({ method, path }) =>
          hosts.map((host, index) => ({ method, path, host, headers: index % 2 === 0 ? right : [], status: 421 }))
        )
      )
      yield* none(
        calls.flatMap(({ method, path }) => [
          // the target says another host than the header, or there are two headers
          { method, path: `http://evil.example${path}`, headers: right, status: 421 },
          { method, path: `http://127.0.0.1:${port}${path}`, host: "evil.example", headers: right, status: 421 },
          { method, path, headers: [["Host", "evil.example"], ...right], status: 421 },
          { method, path, host: "evil.example", headers: [["Host", "localhost"], ...right], status: 421 },
          { method, path, host: "evil.example", headers: [["X-Forwarded-Host", "localhost"], ...right], status: 421 }
        ])
      )
      for (const host of ["localhost", "127.0.0.1", `127.0.0.1:${port}`, "[::1]", hostname().toLowerCase()]) {
        expect([host, (yield* ask(port, { path: "/healthz", host })).status]).toEqual([host, 200])
      }

      // another origin, with the token, as if the page had stolen it: neither to change nor to read anything
      const own = `127.0.0.1:${port}`
      const origins: ReadonlyArray<Fields> = [
        [["Origin", "http://evil.example"]],
        [["Origin", "null"]],
        [["Origin", `http://127.0.0.1:${port + 1}`]],
        [["Origin", `http://127.0.0.1:${port}.evil.example`]],
        [["Origin", `http://evil.example/127.0.0.1:${port}`]],
        [["Origin", `http://evil.example@127.0.0.1:${port}`]],
        [["Origin", `http://localhost:${port}`]],
        [["Origin", ""]],
        [
          ["Origin", `http://${own}`],
          ["Origin", "http://evil.example"]
        ],
        [
          ["Sec-Fetch-Site", "cross-site"],
          ["Sec-Fetch-Mode", "no-cors"]
        ],
        [
          ["Sec-Fetch-Site", "same-site"],
          ["Sec-Fetch-Mode", "cors"]
        ],
        [["Sec-Fetch-Site", "cross-site"]],
        [["Sec-Fetch-Site", "nonsense"]],
        [
          ["Origin", "http://evil.example"],
          ["Sec-Fetch-Mode", "navigate"],
          ["Sec-Fetch-Site", "cross-site"]
        ]
      ]
      yield* none(
        calls.flatMap(({ method, path }) =>
          origins.map((fields) => ({ method, path, headers: [...right, ...fields], status: 403 }))
        )
      )
      // a link to a page is followed, a form that is sent is not
      const navigate: Fields = [
        ["Sec-Fetch-Site", "cross-site"],
        ["Sec-Fetch-Mode", "navigate"]
      ]
      yield* none([
        { method: "GET", path: "/", headers: navigate, status: 200 },
        ...calls
          .filter(({ method }) => method !== "GET")
          .map(({ method, path }) => ({ method, path, headers: [...right, ...navigate], status: 403 }))
      ])

      // the right token does open all of them, or nothing above has shown anything; and what is done is answered with
      // the same care as what is refused
      victim.put("a.txt", "content")
      yield* Process.until(
        () => victim.log().some((line) => line.startsWith("SUCCEEDED a.txt")),
        () => victim.running.stderr()
      )
      const logs = yield* ask(port, { path: "/api/v1/logs", headers: right })
      const entry = /"id":"([0-9a-f-]{36})"/.exec(logs.body)?.[1] ?? "no entry"
      const page = yield* ask(port, { path: "/" })
      const script = /\/dashboard\/[\w.-]+\.js/.exec(page.body)?.[0] ?? "no script"
      // what is read, what is done, and what is done away with in the end
      const order = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
      const done: Array<string> = []
      for (const { method, template } of calls.toSorted(
        (one, other) => order.indexOf(one.method) - order.indexOf(other.method)
      )) {
        const path = template.startsWith("/dashboard/")
          ? script
          : template.replace(/\{\w+\}/g, template.includes("/logs/") ? entry : "1")
        const query = template.endsWith("/export") ? "?format=json" : ""
        const answer = yield* ask(port, { method, path: `${path}${query}`, headers: right })
        expect([method, path, careless(answer, path)]).toEqual([method, path, []])
        if (answer.status === 200 || answer.status === 204) done.push(`${method} ${template}`)
      }
      expect(done).toEqual(expect.arrayContaining(calls.filter(({ method }) => method === "GET").map(nameOf)))
      expect(done).toEqual(expect.arrayContaining(["POST /api/v1/reload", "DELETE /api/v1/logs/{id}"]))
      tried({
        section: "attack",
        what: "wrong Host, Origin, Sec-Fetch-Site, token and method, on every route",
        happened: `${count} requests to ${calls.length} routes, all refused, all with the careful headers`
      })
    })
  )

  it.scopedLive("no spelling of a path goes past the token, the host or the origin", () =>
    Effect.gen(function* () {
      const { calls, port } = yield* attacked({ token })
      const closed = calls.filter(({ path }) => !isOpen(path))
      const spellings = ({ path }: Call): ReadonlyArray<string> => {
        const [, ...segments] = path.split("/")
        const last = segments.at(-1) ?? ""
        const encode = (text: string) => Array.from(text, (char) => `%${char.charCodeAt(0).toString(16)}`).join("")
        return [
          `/healthz/..${path}`,
          `/healthz/%2e%2e${path}`,
          `/healthz;${path}`,
          `/healthz;/..${path}`,
          `/healthz%00${path}`,
          `/healthz%3f${path}`,
          `/healthz#${path}`,
          `/healthz%23/..${path}`,
          `/healthz/../../..${path}`,
          `/;/..${path}`,
          `/%2e${path}`,
          `/.${path}`,
          `/${path}`,
          `//${path}`,
          `/\\..${path}`,
          `/..%2f${path.slice(1)}`,
          `/%252e%252e${path}`,
          `/%c0%ae%c0%ae${path}`,
          `/%e0%80%ae${path}`,
          path.toUpperCase(),
          `${path}/`,
          `${path}/.`,
          `${path}/..;/healthz`,
          `${path}%2f..%2f..%2f..%2fhealthz`,
          `${path}/../../../healthz`,
          `${path}%00`,
          `${path}.json`,
          `${path};.css`,
          `${path}?/healthz`,
          `/${segments.map(encode).join("/")}`,
          `/${segments.slice(0, -1).join("//")}//${last}`,
          `http://127.0.0.1:${port}${path}`,
          `http://127.0.0.1:${port}/healthz/..${path}`,
          `HTTP://LOCALHOST${path}`,
          `*`
        ]
      }
      const requests = closed.flatMap((call) =>
        spellings(call).flatMap((path) => [call.method, "HEAD"].map((method) => ({ method, path })))
      )
      const faults = yield* Effect.forEach(
        requests,
        ({ method, path }) =>
          Effect.map(ask(port, { method, path }), ({ body, status }) =>
            status === 401 || status === 400 ? [] : [{ method, path, status, body: body.slice(0, 100) }]
          ),
        { concurrency: 8 }
      )
      expect(faults.flat()).toEqual([])
      // a foreign host is refused whatever the path is
      const foreign = yield* Effect.forEach(
        requests.filter(({ path }) => path.startsWith("/")),
        ({ method, path }) =>
          Effect.map(ask(port, { method, path, host: "evil.example", headers: auth(token) }), ({ status }) =>
            status === 421 || status === 400 ? [] : [{ method, path, status }]
          ),
        { concurrency: 8 }
      )
      expect(foreign.flat()).toEqual([])
      // with the token such a path is at best nothing, and never another route's
      const within = yield* Effect.forEach(
        requests.filter(({ method }) => method === "GET"),
        ({ method, path }) =>
          Effect.map(ask(port, { method, path, headers: auth(token) }), ({ headers, status }) =>
            status < 500 && (status !== 200 || headers.get("content-security-policy") !== undefined)
              ? []
              : [{ method, path, status }]
          ),
        { concurrency: 8 }
      )
      expect(within.flat()).toEqual([])
      tried({
        section: "attack",
        what: "paths spelled with .., %2e, //, ;, %00, #, in capitals, overlong and as whole URLs",
        happened: `${requests.length * 2} requests, none of which went past the token or the Host`
      })
    })
  )

  it.scopedLive("CONNECT, an upgrade and HTTP/2 get nothing more than a plain request", () =>
    Effect.gen(function* () {
      const { port } = yield* attacked({ token })
      const host = "Host: localhost\r\n"
      const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
      const ends = { patience: 2 }
      expect((yield* send(port, `CONNECT 127.0.0.1:22 HTTP/1.1\r\n${host}\r\n`, ends)).text).toBe("")
      expect((yield* send(port, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ends)).status).toBe(400)
      for (const path of ["/api/v1/logs", "/api/v1/events", "/metrics"]) {
        const key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        expect((yield* send(port, `GET ${path} HTTP/1.1\r\n${host}${upgrade}${key}\r\n`, ends)).status).toBe(401)
        expect(
          (yield* send(port, `GET ${path} HTTP/1.1\r\nHost: evil.example\r\n${upgrade}${key}\r\n`, ends)).status
        ).toBe(421)
        const h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
        expect((yield* send(port, `GET ${path} HTTP/1.1\r\n${host}${h2c}\r\n`, ends)).status).toBe(401)
      }
      expect((yield* ask(port, { path: "/healthz" })).status).toBe(200)
    })
  )
})
