/** How much and how slowly: what can be read in two ways, too large, too slow, too often, or never read. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import * as Process from "../cli/process.ts"
import { list } from "../e2e/project.ts"
import { ask, type Attacked, attacked, auth, connection, type Connection, send } from "./attack.ts"
import { long, tried } from "./report.ts"

const mebibyte = 1024 * 1024

/** Resident memory of the program, in bytes. */
const memory = ({ running }: Attacked): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${running.pid}/status`, "utf8"))?.[1]) * 1024

const descriptors = ({ running }: Attacked): number => fs.readdirSync(`/proc/${running.pid}/fd`).length

/** Everybody else is still served: the API answers, and a file that is put there arrives. In milliseconds. */
const serves = (victim: Attacked, name: string) =>
  Effect.gen(function* () {
    const started = Date.now()
    victim.put(name, name)
    const { status, text, took } = yield* ask(victim.port, { path: "/healthz", patience: 20 })
    expect([name, status], `${text} after ${took} ms`).toEqual([name, 200])
    yield* Process.until(
      () => list(join(victim.directory, "out")).includes(name),
      () => `${name} does not arrive: ${victim.running.stderr()}`
    )
    return { api: took, file: Date.now() - started }
  })

const entry = (fields: Readonly<Record<string, unknown>> = {}): string =>
  JSON.stringify({
    filename: "a.txt",
    source: "/in",
    destination: "file:///out",
    protocol: "file",
    status: "SUCCEEDED",
    byte_size: 1,
    ...fields
  })

describe.concurrent("requests that can be read in two ways", () => {
  it.scopedLive("are read in none: no smuggled request is answered, and nothing is stored", () =>
    Effect.gen(function* () {
      const victim = yield* attacked()
      const { port } = victim
      const body = entry({ filename: "smuggled" })
      const own = "Host: localhost\r\nContent-Type: application/json\r\n"
      const inner = `POST /api/v1/logs HTTP/1.1\r\n${own}Content-Length: ${body.length}\r\n\r\n${body}`
      const post = "POST /api/v1/logs HTTP/1.1\r\n"
      const shapes: Readonly<Record<string, string>> = {
        "two lengths": `${post}${own}Content-Length: 0\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`,
        "two equal lengths": `${post}${own}Content-Length: ${body.length}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        "a list of lengths": `${post}${own}Content-Length: ${body.length}, ${body.length}\r\n\r\n${body}`,
        "length and chunks": `${post}${own}Content-Length: ${inner.length + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${inner}`,
        "chunks and length": `${post}${own}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${inner}`,
        "chunked behind a space": `${post}${own}Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${inner}`,
        "chunked behind a tab": `${post}${own}Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${inner}`,
        "chunked twice": `${post}${own}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${inner}`,
        "an unknown coding": `${post}${own}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${inner}`,
        "a folded header": `${post}${own}X-A: b\r\n Content-Length: 0\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        "a folded coding": `${post}${own}Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${inner}`,
        "bare line feeds": inner.replaceAll("\r", ""),
        "a bare carriage return": `${post}${own}X-A: b\rContent-Length: ${body.length}\r\n\r\n${body}`,
        "a NUL in a header": `${post}${own}X-A: b\0\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        "a header without a colon": `${post}${own}X-A\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        "a header without a name": `${post}${own}: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        "a space before the first header": `${post} ${own}Content-Length: ${body.length}\r\n\r\n${body}`,
        "a negative length": `${post}${own}Content-Length: -1\r\n\r\n${body}`,
        "a length with a sign": `${post}${own}Content-Length: +${body.length}\r\n\r\n${body}`,
        "a length in hex": `${post}${own}Content-Length: 0x${body.length.toString(16)}\r\n\r\n${body}`,
        "a length in other digits": `${post}${own}Content-Length: ١٢٣\r\n\r\n${body}`,
        "a length beyond all": `${post}${own}Content-Length: 184467440737095516${body.length}\r\n\r\n${body}`,
        "a chunk beyond all": `${post}${own}Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n${body}`,
        "a chunk with a sign": `${post}${own}Transfer-Encoding: chunked\r\n\r\n-1\r\n${body}`,
        "a chunk that says less": `${post}${own}Transfer-Encoding: chunked\r\n\r\n1\r\n${body}\r\n0\r\n\r\n`,
        "extensions of a chunk": `${post}${own}Transfer-Encoding: chunked\r\n\r\n1;${"x".repeat(100_000)}\r\n{\r\n0\r\n\r\n`,
        "another version": inner.replace("HTTP/1.1", "HTTP/1.9"),
        "no version": `POST /api/v1/logs\r\n\r\n${body}`,
        "a method in lower case": inner.replace("POST", "post"),
        "a space in the target": inner.replace("/api/v1/logs", "/api/v1/logs x"),
        "a target without its slash": inner.replace("/api", "api"),
        "a TLS greeting": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        nonsense: "\xff\xfe\0\0".repeat(2_000)
      }
      for (const [what, shape] of Object.entries(shapes)) {
        const { status, text, took } = yield* send(port, Buffer.from(shape, "utf8"), {
          patience: 12,
          until: (all) => /\r\n\r\n[^]*\}/.test(all)
        })
        expect([what, status >= 400 && status < 500], text).toEqual([what, true])
        expect([what, took < 12_000]).toEqual([what, true])
        // the parser's own answers are as careful as all others
        expect([what, /\r\nx-content-type-options: nosniff\r\n/i.test(text)]).toEqual([what, true])
        expect([what, /\{"detail":"[^"]+"\}/.test(text)]).toEqual([what, true])
      }
      expect((yield* ask(port, { path: "/api/v1/logs" })).body).toBe("[]")
      // or they are refused for something else
      expect((yield* send(port, inner, { until: (text) => text.includes("\r\n\r\n") })).status).toBe(201)
      yield* serves(victim, "after.txt")
      tried({
        section: "attack",
        what: "requests that can be read in two ways (lengths, chunks, folds, line ends)",
        happened: `${Object.keys(shapes).length} shapes, each refused; none smuggled an entry into the log`
      })
    })
  )

  it.scopedLive("are no larger than they may be, declared or not", () =>
    Effect.gen(function* () {
      const victim = yield* attacked()
      const { port } = victim
      const before = memory(victim)
      const status = (request: Parameters<typeof ask>[1]) => Effect.map(ask(port, request), (answer) => answer.status)
      expect(yield* status({ path: `/${"a".repeat(20_000)}` })).toBe(431)
      expect(yield* status({ path: `/api/v1/logs?filename=${"a".repeat(20_000)}` })).toBe(431)
      expect(yield* status({ path: "/healthz", headers: [["X-A", "a".repeat(20_000)]] })).toBe(431)
      expect(
        yield* status({ path: "/healthz", headers: Array.from({ length: 4_000 }, (_, at) => [`X${at}`, ""] as const) })
      ).toBe(431)
      // what stands behind a thousand others is not overlooked
      const many = Array.from({ length: 2_200 }, (_, at) => [at.toString(36), ""] as const)
      expect(
        yield* status({ method: "POST", path: "/api/v1/reload", headers: [...many, ["Origin", "http://e.example"]] })
      ).toBe(403)
      expect(yield* status({ method: "POST", path: "/api/v1/logs", body: " ".repeat(mebibyte + 1) })).toBe(413)
      // no end is in sight, and no length
      const flood = yield* connection(port)
      flood.socket.write("POST /api/v1/logs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
      const chunk = `100000\r\n${"x".repeat(mebibyte)}\r\n`
      for (let count = 0; count < 64 && !flood.closed(); count++) {
        yield* Effect.promise(() => new Promise((resolve) => flood.socket.write(chunk, resolve)))
      }
      expect(flood.text()).toMatch(/^HTTP\/1\.1 411 /)
      // a declared one that is too large is not kept, however much comes
      const declared = yield* connection(port)
      declared.socket.write(
        `POST /api/v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${2 ** 40}\r\n\r\n`
      )
      for (let count = 0; count < 64 && !declared.closed(); count++) {
        yield* Effect.promise(() => new Promise((resolve) => declared.socket.write(chunk, resolve)))
      }
      expect(declared.text()).toMatch(/^HTTP\/1\.1 413 /)
      // the parser of JSON is no way out either
      for (const body of [
        "[".repeat(500_000),
        `{"a":`.repeat(150_000),
        `{"file":"${"\\u0000".repeat(100_000)}"}`,
        `{"__proto__":{"file":"x"},"constructor":{"prototype":{}},"file":"/x"}`,
        `{"file":${"9".repeat(500_000)}}`,
        `{${Array.from({ length: 20_000 }, (_, at) => `"k${at}":0`).join(",")}}`,
        "\ufeff{}",
        "nul",
        ""
      ]) {
        const answer = yield* ask(port, { method: "POST", path: "/api/v1/explain", body })
        expect([body.slice(0, 20), answer.status], answer.body.slice(0, 500)).toEqual([body.slice(0, 20), 400])
        expect([body.slice(0, 20), answer.body.length < 10_000]).toEqual([body.slice(0, 20), true])
        expect(answer.took).toBeLessThan(20_000)
      }
      const grown = memory(victim) - before
      expect(grown).toBeLessThan(150 * mebibyte)
      yield* serves(victim, "after.txt")
      tried({
        section: "attack",
        what: "oversized URLs, headers and bodies, declared and in chunks, and JSON that is deep, wide or broken",
        happened: `all refused; 128 MiB of bodies sent, memory grew by ${Math.round(grown / mebibyte)} MiB`
      })
    })
  )
})

describe.concurrent("slow clients", () => {
  it.scopedLive("keep nobody else waiting, and are cut off", () =>
    Effect.gen(function* () {
      const victim = yield* attacked({ token: "t0ken" })
      const { port } = victim
      // the answer is worth not reading
      for (let count = 0; count < 40; count++) {
        const body = entry({ filename: "f".repeat(8_000), source: "s".repeat(8_000), reason: "r".repeat(8_000) })
        expect((yield* ask(port, { method: "POST", path: "/api/v1/logs", body, headers: auth("t0ken") })).status).toBe(
          201
        )
      }
      // with what the first delivery opens for good
      yield* serves(victim, "before.txt")
      const before = { memory: memory(victim), descriptors: descriptors(victim) }
      const bearer = "Host: localhost\r\nAuthorization: Bearer t0ken\r\n"
      const many = (count: number, make: (one: Connection, index: number) => void, reads = true) =>
        Effect.forEach(
          Array.from({ length: count }, (_, index) => index),
          (index) => Effect.tap(connection(port, { reads }), (one) => Effect.sync(() => make(one, index))),
          { concurrency: 32 }
        )
      // events that nobody reads, and answers that nobody takes
      const deafEvents = yield* many(
        10,
        ({ socket }) => socket.write(`GET /api/v1/events HTTP/1.1\r\n${bearer}\r\n`),
        false
      )
      const deaf = yield* many(
        30,
        ({ socket }) => socket.write(`GET /api/v1/logs?limit=1000 HTTP/1.1\r\n${bearer}\r\n`.repeat(3)),
        false
      )
      const slow: Array<Connection> = []
      const drip = setInterval(() => {
        for (const { closed, socket } of slow) if (!closed() && socket.writable) socket.write("x")
      }, 1_000)
      yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(drip)))
      // bodies and headers of a byte a second, and silence; more of them than there may be connections
      slow.push(
        ...(yield* many(60, ({ socket }) =>
          socket.write(
            `POST /api/v1/logs HTTP/1.1\r\n${bearer}Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{`
          )
        )),
        ...(yield* many(300, ({ socket }) => socket.write("GET /healthz HTTP/1.1\r\nX-Slow: ")))
      )
      // more at once than anybody asks for
      const greedy = yield* many(20, ({ socket }) =>
        socket.write(`GET /api/v1/logs?limit=1000 HTTP/1.1\r\n${bearer}\r\n`.repeat(500))
      )
      const silent = yield* many(long ? 1_000 : 300, () => {})
      const started = Date.now()
      let worst = 0
      let asked = 0
      let peak = 0
      let most = 0
      const all = [...deafEvents, ...deaf, ...greedy, ...slow, ...silent]
      // who does not read does not see its end either: the program's descriptors show it
      const left = () => descriptors(victim) - before.descriptors
      while (left() > deafEvents.length + 5 && Date.now() - started < 90_000) {
        most = Math.max(most, left())
        peak = Math.max(peak, memory(victim))
        const { api, file } = yield* serves(victim, `during ${asked}.txt`)
        worst = Math.max(worst, api, file)
        asked += 1
        yield* Effect.sleep(200)
      }
      const took = Math.round((Date.now() - started) / 1000)
      expect(left()).toBeLessThanOrEqual(deafEvents.length + 5)
      expect([...greedy, ...slow, ...silent].filter(({ closed }) => !closed())).toEqual([])
      expect(asked).toBeGreaterThan(5)
      expect(worst).toBeLessThan(30_000)
      // or nothing was tried
      expect(most).toBeGreaterThan(150)
      expect(most).toBeLessThan(300)
      const grown = peak - before.memory
      expect(grown).toBeLessThan(200 * mebibyte)
      yield* serves(victim, "after.txt")
      tried({
        section: "attack",
        what: `${all.length} slow clients at once: silent, headers and bodies of a byte a second, answers and events never read`,
        happened:
          `all cut off within ${took} s; in the meantime ${asked} files arrived and ${asked} requests were answered, ` +
          `the slowest in ${worst} ms; memory grew by ${Math.round(grown / mebibyte)} MiB`
      })
    })
  )

  it.scopedLive("of the monitor cost no more than their eight conversations", () =>
    Effect.gen(function* () {
      const victim = yield* attacked()
      const { monitor } = victim
      const before = { memory: memory(victim), descriptors: descriptors(victim) }
      // asks for ever, and never reads
      const deaf = yield* connection(monitor, { reads: false })
      for (let count = 0; count < 2_000 && !deaf.closed(); count++) {
        yield* Effect.promise(() => new Promise((resolve) => deaf.socket.write("ps\nlanes\n", resolve)))
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      }
      const many = yield* Effect.forEach(Array.from({ length: 200 }), () => connection(monitor), { concurrency: 32 })
      yield* Process.until(
        () => many.filter(({ closed }) => closed()).length >= 192,
        () => `${many.filter(({ closed }) => !closed()).length} conversations`
      )
      expect(descriptors(victim) - before.descriptors).toBeLessThan(40)
      const grown = memory(victim) - before.memory
      expect(grown).toBeLessThan(100 * mebibyte)
      // there is a way in for whoever does talk
      const { text } = yield* send(monitor, "lanes\nquit\n")
      expect(text).toContain("LANE")
      const page = yield* send(monitor, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\ndeliveries\n")
      expect(page.text).toContain("This is no HTTP server.")
      expect(page.text).not.toContain("DESTINATION")
      yield* serves(victim, "after.txt")
      tried({
        section: "attack",
        what: "the monitor: 200 silent conversations, one that asks without end and never reads, and a web page",
        happened: `all but 8 ended; memory grew by ${Math.round(grown / mebibyte)} MiB, and it still answers`
      })
    })
  )
})
