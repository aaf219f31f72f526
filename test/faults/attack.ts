/**
 * What the attacks share: the built program with its HTTP server and its monitor, and a client that sends what no
 * well-behaved client would send.
 */
import { Effect, type Scope } from "effect"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import * as Process from "../cli/process.ts"
import { project, type Project } from "../e2e/project.ts"
import { freePort } from "../servers/process.ts"

export interface Attacked extends Project {
  readonly running: Process.Running
  readonly port: number
  readonly monitor: number
  readonly db: string
  /** Every call that the program says it has: its own OpenAPI document, so that a later one is attacked as well. */
  readonly calls: ReadonlyArray<Call>
}

export interface Call {
  readonly method: string
  /** As the document has it: `/api/v1/logs/{id}`. */
  readonly template: string
  /** With something in place of what is in braces. */
  readonly path: string
  /** The names of its query's parameters. */
  readonly query: ReadonlyArray<string>
}

export interface Options {
  readonly token?: string
  readonly host?: string
  /** More lines of config. `$DIR` is the project's directory. */
  readonly lines?: ReadonlyArray<string>
  readonly folders?: ReadonlyArray<string>
  readonly env?: NodeJS.ProcessEnv
  readonly args?: ReadonlyArray<string>
}

/** The program as a victim: everything that comes into `in` goes to `out`. */
export const attacked = ({
  args = [],
  env,
  folders = ["{ name: out, path: ./out }"],
  host = "127.0.0.1",
  lines = [],
  token
}: Options = {}): Effect.Effect<Attacked, never, Scope.Scope> =>
  Effect.gen(function* () {
    const port = yield* freePort
    const monitor = yield* freePort
    const one = yield* project(
      "db: ./journal.db",
      `http: { host: ${host}, port: ${port}${token === undefined ? "" : `, token: ${JSON.stringify(token)}`} }`,
      `monitor: { port: ${monitor} }`,
      "sources: [{ name: inbox, path: ./in, settle: 20ms }]",
      ...lines,
      "folders:",
      ...folders.map((folder) => `  - ${folder}`)
    )
    const running = yield* Process.filedispatch(["-c", one.config, ...args], { env })
    yield* Process.until(
      () => running.stderr().includes("is watched"),
      () => running.stderr() || "it says nothing"
    )
    const spec = yield* ask(port, { path: "/api/v1/schema/spec", headers: auth(token) })
    return { ...one, running, port, monitor, db: join(one.directory, "journal.db"), calls: callsOf(spec.body) }
  })

export const auth = (token: string | undefined): Fields =>
  token === undefined ? [] : [["Authorization", `Bearer ${token}`]]

const callsOf = (spec: string): ReadonlyArray<Call> => {
  const calls: Array<Call> = []
  for (const [template, methods] of entries(field(JSON.parse(spec), "paths"))) {
    for (const [method, operation] of entries(methods)) {
      const query = items(field(operation, "parameters"))
        .filter((parameter) => field(parameter, "in") === "query")
        .map((parameter) => String(field(parameter, "name")))
      const id = template.includes("/logs/") ? "01890000-0000-7000-8000-000000000001" : "1"
      calls.push({ method: method.toUpperCase(), template, path: template.replace(/\{\w+\}/g, id), query })
    }
  }
  return calls
}

const field = (value: unknown, name: string): unknown => new Map<string, unknown>(entries(value)).get(name)
const entries = (value: unknown): ReadonlyArray<readonly [string, unknown]> =>
  typeof value === "object" && value !== null ? Object.entries(value) : []
const items = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

export type Fields = ReadonlyArray<readonly [name: string, value: string]>

export interface Request {
  readonly method?: string
  /** As it is to stand in the request line. */
  readonly path: string
  /** By default the Host that is asked. */
  readonly host?: string
  readonly headers?: Fields
  readonly body?: string
  /** In seconds. */
  readonly patience?: number
}

export interface Answer {
  /** 0 where there is no answer. */
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
  /** All that came, as Latin-1. */
  readonly text: string
  /** In milliseconds. */
  readonly took: number
}

/** Asks over a connection of its own, and reads to the end; of a stream of events, the headers. */
export const ask = (
  port: number,
  { body, headers = [], host = `127.0.0.1:${port}`, method = "GET", path, patience = 60 }: Request
): Effect.Effect<Answer> => {
  const fields: Fields = [
    ["Host", host],
    ["Connection", "close"],
    ...headers,
    ...(body === undefined
      ? []
      : ([
          ["Content-Type", "application/json"],
          ["Content-Length", String(Buffer.byteLength(body))]
        ] as const))
  ]
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")
  return send(port, `${method} ${path} HTTP/1.1\r\n${lines}\r\n${body ?? ""}`, {
    patience,
    until: (text) => /\r\ncontent-type: text\/event-stream\r\n[^]*\r\n\r\n/i.test(text)
  })
}

/** Sends these bytes, and gives what comes until the other side closes, or `until` holds, or the patience ends. */
export const send = (
  port: number,
  bytes: string | Buffer,
  {
    patience = 60,
    until = () => false
  }: { readonly patience?: number; readonly until?: (text: string) => boolean } = {}
): Effect.Effect<Answer> =>
  Effect.async((resume) => {
    const started = Date.now()
    let text = ""
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes))
    const end = () => {
      clearTimeout(timer)
      socket.destroy()
      resume(Effect.succeed(parse(text, Date.now() - started)))
    }
    const timer = setTimeout(end, patience * 1000)
    socket.setEncoding("latin1")
    socket.on("data", (chunk) => {
      text += String(chunk)
      if (until(text)) end()
    })
    socket.on("error", end)
    socket.on("close", end)
  })

const parse = (text: string, took: number): Answer => {
  const end = text.indexOf("\r\n\r\n")
  const [first = "", ...lines] = text.slice(0, Math.max(0, end)).split("\r\n")
  const headers = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(":")
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim())
  }
  const rest = Buffer.from(end < 0 ? "" : text.slice(end + 4), "latin1")
  const body = headers.get("transfer-encoding") === "chunked" ? unchunk(rest) : rest
  return {
    status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1] ?? 0),
    headers,
    body: body.toString("utf8"),
    text,
    took
  }
}

const unchunk = (bytes: Buffer): Buffer => {
  const parts: Array<Buffer> = []
  let at = 0
  for (;;) {
    const end = bytes.indexOf("\r\n", at)
    const size = Number.parseInt(bytes.subarray(at, Math.max(at, end)).toString("latin1"), 16)
    if (end < 0 || Number.isNaN(size) || size === 0) return Buffer.concat(parts)
    parts.push(bytes.subarray(end + 2, end + 2 + size))
    at = end + 2 + size + 2
  }
}

/** A connection that sends what it is told, and reads only if `reads`. Ends with the scope. */
export const connection = (
  port: number,
  { reads = true }: { readonly reads?: boolean } = {}
): Effect.Effect<Connection, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<Connection>((resume) => {
      let text = ""
      let closed = false
      const socket: Socket = connect(port, "127.0.0.1", () => resume(Effect.succeed(self)))
      const self: Connection = {
        socket,
        text: () => text,
        closed: () => closed
      }
      socket.setEncoding("latin1")
      if (reads) socket.on("data", (chunk) => (text += String(chunk)))
      else socket.pause()
      socket.on("error", () => {
        closed = true
        resume(Effect.succeed(self))
      })
      socket.on("close", () => (closed = true))
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

export interface Connection {
  readonly socket: Socket
  readonly text: () => string
  readonly closed: () => boolean
}
