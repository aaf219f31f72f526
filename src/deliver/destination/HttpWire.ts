/**
 * One request over node's HTTP client, as far as the wire is concerned: what went out, what came back, and how far it
 * got where nothing did. What follows from that is not known here.
 *
 * Bodies are streamed with back-pressure. An answer that comes while the body is still being sent is read. Time-outs
 * are of progress: making the connection, a stalled body, a missing answer and a stalled one each get the same time.
 */
import { Buffer } from "node:buffer"
import * as http from "node:http"
import * as https from "node:https"
import type { Socket } from "node:net"
import { pipeline, type Readable } from "node:stream"
import { TLSSocket, type ConnectionOptions, type PeerCertificate } from "node:tls"
import { Effect } from "effect"
import { isCut, lastWords } from "./network.ts"

export interface Call {
  readonly secure: boolean
  readonly host: string
  readonly port: number
  readonly method: string
  /** Path and query, encoded. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Readable | Uint8Array | undefined
  /** Milliseconds without progress. */
  readonly timeout: number
  /** Whether the body waits for "100 Continue". */
  readonly expect: boolean
  /** Gets the answer's body where that is 2xx. */
  readonly receive: ((chunk: Uint8Array) => void) | undefined
}

export interface Answer {
  readonly status: number
  /** For the receipt and for messages: "201 Created". */
  readonly said: string
  readonly header: (name: string) => string | undefined
  /** 1 MiB of it at most; empty where somebody else received it. */
  readonly body: Uint8Array
  /** Whether the whole request was sent. */
  readonly whole?: boolean
  /** What the server has shown of itself over TLS. To be asked soon, while the connection is there. */
  readonly certificate?: () => PeerCertificate | undefined
}

/** No answer came. */
export class Failure {
  readonly _tag = "Failure"
  constructor(
    readonly error: unknown,
    /** Whether there was a connection, so that the other side may have got some of it. */
    readonly connected: boolean,
    /** Whether the whole request was sent. */
    readonly whole: boolean
  ) {}
}

export type Tls = Pick<ConnectionOptions, "ca" | "cert" | "key" | "passphrase">

/** Connections that are kept for the next request; `destroy` closes all of them. */
export const makeAgent = (secure: boolean, tls: Tls): http.Agent =>
  secure ? new SecureAgent({ ...tls, keepAlive: true }) : new PlainAgent({ keepAlive: true })

export const send = (agent: http.Agent, call: Call): Effect.Effect<Answer, Failure> =>
  Effect.async((resume) => {
    const stop = start(agent, call, (result) =>
      resume(result instanceof Failure ? Effect.fail(result) : Effect.succeed(result))
    )
    return Effect.sync(stop)
  })

/** The same without an effect; answers how it is stopped, after which nothing is heard of it. */
export const start = (agent: http.Agent, call: Call, resume: (result: Answer | Failure) => void): (() => void) => {
  let settled = false
  let connected = false
  let answerTimer: NodeJS.Timeout | undefined
  let bodyTimer: NodeJS.Timeout | undefined
  const settle = (result: Answer | Failure) => {
    if (settled) return
    settled = true
    clearTimeout(answerTimer)
    clearTimeout(bodyTimer)
    resume(result)
  }
  const fail = (error: unknown) => settle(new Failure(error, connected, outgoing.writableFinished))
  const begun = begin(agent, call)
  if (begun instanceof Failure) {
    resume(begun)
    return () => undefined
  }
  const outgoing = begun
  const stalled = () => {
    outgoing.destroy(new Stalled(call.timeout, connected))
  }

  outgoing.on("error", fail)
  outgoing.once("close", () => fail(new Error("the connection was closed")))
  outgoing.once("timeout", stalled)
  outgoing.once("socket", (socket) => {
    if (outgoing.reusedSocket) {
      connected = true
      return
    }
    readBeforeFailing(socket)
    socket.once(call.secure ? "secureConnect" : "connect", () => {
      connected = true
    })
  })
  // whoever drips a byte now and then has made no progress
  outgoing.once("finish", () => {
    if (!settled) answerTimer = setTimeout(stalled, call.timeout)
  })

  outgoing.once("response", (incoming) => {
    // it is taken away when the answer ends
    const { socket } = incoming
    const status = incoming.statusCode ?? 0
    const wanted = call.receive !== undefined && status >= 200 && status < 300
    const kept: Array<Uint8Array> = []
    let size = 0
    const done = () => {
      const whole = outgoing.writableFinished
      settle({
        status,
        // the server's own words for it mean nothing (RFC 9112, 4), and could be anything
        said: `${status} ${http.STATUS_CODES[status] ?? ""}`.trim(),
        header: (name) => first(incoming.headers[name]),
        body: kept.length === 1 && kept[0] !== undefined ? kept[0] : Buffer.concat(kept),
        whole,
        // of a connection that is gone there is none, whatever the types say
        certificate: () => (socket instanceof TLSSocket && !socket.destroyed ? socket.getPeerCertificate() : undefined)
      })
      // nobody reads the rest, so that the connection is of no further use
      if (!whole || !incoming.complete) outgoing.destroy()
    }
    // the status is the answer; its text only has to be out of the way, unless it is what was asked for
    const end = wanted ? fail : done
    outgoing.removeListener("timeout", stalled)
    outgoing.once("timeout", () => (wanted ? stalled() : done()))
    clearTimeout(answerTimer)
    answerTimer = wanted ? undefined : setTimeout(done, call.timeout)
    incoming.on("data", (chunk: Uint8Array) => {
      if (wanted) call.receive?.(chunk)
      else kept.push(chunk)
      size += chunk.byteLength
      if (!wanted && size >= maxKept) done()
    })
    incoming.once("end", () => (incoming.complete ? done() : end(new Error("the answer was cut short"))))
    incoming.once("error", end)
    incoming.once("close", () => end(new Error("the answer was cut short")))
  })

  const sendBody = once(() => {
    clearTimeout(bodyTimer)
    if (settled || outgoing.destroyed) return
    if (call.body === undefined || call.body instanceof Uint8Array) outgoing.end(call.body)
    else {
      pipeline(call.body, outgoing, (error) => {
        if (error !== null && error !== undefined && call.body !== undefined) outgoing.destroy(error)
      })
    }
  })
  if (call.expect) {
    outgoing.once("continue", sendBody)
    // not every server knows it (RFC 9110, 10.1.1)
    bodyTimer = setTimeout(sendBody, Math.min(continueTimeout, call.timeout / 2))
    outgoing.once("response", () => clearTimeout(bodyTimer))
    outgoing.flushHeaders()
  } else sendBody()

  return () => {
    settled = true
    clearTimeout(answerTimer)
    clearTimeout(bodyTimer)
    outgoing.destroy()
  }
}

/** Node refuses characters that a header or a request line can't have. */
const begin = (agent: http.Agent, call: Call): http.ClientRequest | Failure => {
  try {
    return (call.secure ? https : http).request({
      agent,
      hostname: call.host,
      port: call.port,
      method: call.method,
      path: call.path,
      headers: call.expect ? { ...call.headers, expect: "100-continue" } : call.headers,
      timeout: call.timeout
    })
  } catch (error) {
    return new Failure(error, false, false)
  }
}

const maxKept = 1024 * 1024

/** How long "100 Continue" is waited for, in milliseconds, before the body is sent without it. */
const continueTimeout = 1000

/** Shorter than any common server's: a POST on a connection that the server is just closing is ambiguous. */
const idleTimeout = 1000

// as node asks for it: https://nodejs.org/api/http.html#agentkeepsocketalivesocket

class PlainAgent extends http.Agent {
  keepSocketAlive(socket: Socket): boolean {
    return keep(socket)
  }
}

class SecureAgent extends https.Agent {
  keepSocketAlive(socket: Socket): boolean {
    return keep(socket)
  }
}

const keep = (socket: Socket): boolean => {
  socket.unref()
  socket.setTimeout(idleTimeout)
  return true
}

class Stalled extends Error {
  readonly code: string | undefined
  constructor(timeout: number, connected: boolean) {
    super(connected ? `nothing happened for ${timeout / 1000} s` : `no connection within ${timeout / 1000} s`)
    this.code = connected ? undefined : "ETIMEDOUT"
  }
}

const first = (header: string | ReadonlyArray<string> | undefined): string | undefined =>
  typeof header === "object" ? header[0] : header

const once = (run: () => void): (() => void) => {
  let done = false
  return () => {
    if (done) return
    done = true
    run()
  }
}

/**
 * A server that refuses an upload answers early and closes. The next write then fails with EPIPE, and node would throw
 * the socket away together with the answer that waits in it; so such a failure is held back until it can be read.
 */
const readBeforeFailing = (socket: Socket): void => {
  const late =
    (done: (error?: Error | null) => void) =>
    (error?: Error | null): void => {
      if (isCut(error)) setTimeout(() => done(error), lastWords).unref()
      else done(error)
    }
  const write = socket._write.bind(socket)
  socket._write = (chunk, encoding, done) => write(chunk, encoding, late(done))
  const writev = socket._writev?.bind(socket)
  if (writev !== undefined) socket._writev = (chunks, done) => writev(chunks, late(done))
}
