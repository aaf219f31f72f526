import { rm, writeFile } from "node:fs/promises"
import { createServer } from "node:https"
import type { AddressInfo } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import * as WebDav from "../../../src/deliver/destination/WebDav.ts"
import type { Connection, Finding } from "../../../src/deliver/Destination.ts"
import type { DeliveryError } from "../../../src/domain/DeliveryError.ts"
import * as RelPath from "../../../src/domain/RelPath.ts"
import { noSecrets, unlimited, type RouteTarget, type Secrets } from "../../../src/domain/Settings.ts"
import type { Target, TargetOptions } from "../../../src/domain/Target.ts"
import { makeSource, makeTask, pattern, targetOptions, tempName } from "../../contracts/destination.ts"
import { hasOpenssl, makeCertificate } from "../../servers/certificate.ts"
import { hasDavExtension, hasNginx, startNginx } from "../../servers/nginx.ts"
import { startWebDavServer, type WebDavFault, type WebDavOptions } from "../../servers/webdav.ts"

const targetAt = (
  port: number,
  options: Partial<TargetOptions> = {},
  more: { readonly target?: Partial<Target>; readonly secrets?: Partial<Secrets> } = {}
): RouteTarget => ({
  target: {
    url: `webdav://127.0.0.1:${port}/up`,
    scheme: "webdav",
    lane: `webdav://127.0.0.1:${port}`,
    host: "127.0.0.1",
    port,
    username: null,
    path: "/up",
    options: targetOptions(options),
    ...more.target
  },
  secrets: { ...noSecrets, ...more.secrets },
  bandwidth: unlimited,
  rename: "{relpath}"
})

const connect = Effect.gen(function* () {
  const destination = yield* WebDav.make({ version: "1.2.3" })
  return yield* destination.open("lane", { concurrency: 4, sync: false })
})

const setUp = (options: WebDavOptions = {}) =>
  Effect.gen(function* () {
    const server = yield* startWebDavServer(options)
    const source = yield* makeSource
    const connection = yield* connect
    server.folders.add("/up")
    return { server, source, connection, to: targetAt(server.port) }
  })

const probe = (connection: Connection, { secrets, target }: RouteTarget): Effect.Effect<ReadonlyArray<Finding>> =>
  connection.probe?.({ target, secrets, temp: tempName(1, 1) }) ?? Effect.succeed([])

/** The error of one attempt that meets this fault, which has to leave nothing behind. */
const failing = (method: string, fault: WebDavFault, options: Partial<TargetOptions> = {}, size = 1000) =>
  Effect.gen(function* () {
    const { connection, server, source } = yield* setUp()
    const { generation } = yield* source.write("file.bin", pattern(size))
    server.faultNext(method, fault)
    const error = yield* Effect.flip(connection.deliver(makeTask(generation, targetAt(server.port, options))))
    expect(Array.from(server.files.keys())).toEqual([])
    return error
  })

const methods = (server: { readonly requests: ReadonlyArray<{ readonly method: string }> }) =>
  server.requests.map(({ method }) => method)

describe("what goes out", () => {
  it.scopedLive("is one PUT, one PROPFIND and one MOVE for each file of a known folder", () =>
    Effect.gen(function* () {
      const { connection, server, source, to } = yield* setUp()
      for (const name of ["a.txt", "b.txt"]) {
        const { generation } = yield* source.write(name, name)
        const receipt = yield* connection.deliver(makeTask(generation, to))
        expect(receipt).toMatchObject({ said: "201 Created", verified: "size" })
      }
      expect(methods(server).slice(-3)).toEqual(["PUT", "PROPFIND", "MOVE"])
      const [put, propfind, move] = server.requests.slice(-3)
      expect(put?.path).toMatch(/^\/up\/\.fd-.{20}\.tmp$/)
      expect(put?.headers["user-agent"]).toBe("filedispatch/1.2.3")
      expect(put?.headers["content-length"]).toBe("5")
      expect(propfind?.headers.depth).toBe("0")
      expect(move?.headers).toMatchObject({
        destination: `http://127.0.0.1:${server.port}/up/b.txt`,
        overwrite: "F"
      })
    })
  )

  it.scopedLive("has user and password, more headers and the query, and shows none of them", () =>
    Effect.gen(function* () {
      const { connection, server, source } = yield* setUp({ login: "jo:pa:ss" })
      const target = { username: "jo" }
      const query = Option.some(Redacted.make("?key=s3cret"))
      const headers = [["x-own", Redacted.make("s3cret")]] as const
      const { generation } = yield* source.write("a.txt", "text")
      const good = { password: Option.some(Redacted.make("pa:ss")), query, headers }
      yield* connection.deliver(makeTask(generation, targetAt(server.port, {}, { target, secrets: good })))
      expect(server.requests.every((request) => request.headers["x-own"] === "s3cret")).toBe(true)
      expect(String(server.requests.at(-1)?.headers.destination)).not.toContain("s3cret")
      const bad = { ...good, password: Option.some(Redacted.make("wr0ng")) }
      const error = yield* Effect.flip(
        connection.deliver(makeTask(generation, targetAt(server.port, {}, { target, secrets: bad })))
      )
      expect(error).toMatchObject({ _tag: "LaneDownError" })
      expect(error.message).toContain("Check the user and the password")
      expect(`${error.message}${JSON.stringify(error)}`).not.toMatch(/s3cret|wr0ng/)
    })
  )

  it.scopedLive("encodes every byte of a path, in the request and in Destination", () =>
    Effect.gen(function* () {
      const { connection, server, source, to } = yield* setUp()
      const name = RelPath.fromBytes(Uint8Array.from([0x66, 0x20, 0x25, 0x23, 0xff, 0x0d, 0x0a, 0x3f]))
      const { generation } = yield* source.write(name, "bytes")
      yield* connection.deliver(makeTask(generation, to))
      const move = server.requests.at(-1)
      expect(move?.headers.destination).toBe(`http://127.0.0.1:${server.port}/up/f%20%25%23%FF%0D%0A%3F`)
      expect(Array.from(server.files.keys())).toEqual([`/up/${name}`])
    })
  )

  it.scopedLive("tells the time of a file only to a server that accepts it", () =>
    Effect.gen(function* () {
      for (const mtime of [true, false]) {
        const { connection, server, source, to } = yield* setUp({ mtime })
        for (const name of ["a.txt", "b.txt"]) {
          const { generation } = yield* source.write(name, name)
          yield* connection.deliver(makeTask(generation, to))
        }
        const told = server.requests
          .filter(({ method }) => method === "PUT")
          .map(({ headers }) => headers["x-oc-mtime"])
        expect(told.map((value) => value !== undefined)).toEqual([true, mtime])
      }
    })
  )

  it.scopedLive("names a path alone to a server that does not know itself by its URL's host", () =>
    Effect.gen(function* () {
      const { connection, server, source, to } = yield* setUp({ host: "files.example" })
      for (const name of ["a.txt", "b.txt"]) {
        const { generation } = yield* source.write(name, name)
        yield* connection.deliver(makeTask(generation, to))
      }
      const destinations = server.requests.flatMap(({ headers }) => headers.destination ?? [])
      expect(destinations).toEqual([`http://127.0.0.1:${server.port}/up/a.txt`, "/up/a.txt", "/up/b.txt"])
    })
  )

  it.scopedLive("asks by HEAD where there is no PROPFIND, and for good where that is never taken", () =>
    Effect.gen(function* () {
      for (const status of [403, 405, 501]) {
        const { connection, server, source, to } = yield* setUp({ without: { PROPFIND: status } })
        for (const name of ["a.txt", "b.txt"]) {
          const { generation } = yield* source.write(name, name)
          expect(yield* connection.deliver(makeTask(generation, to))).toMatchObject({ verified: "size" })
        }
        if (status !== 403) expect(methods(server).filter((method) => method === "PROPFIND")).toHaveLength(1)
        expect(Array.from(server.files.keys())).toEqual(["/up/a.txt", "/up/b.txt"])
      }
    })
  )

  it.scopedLive("publishes what a server hides until then, as far as that can be proved", () =>
    Effect.gen(function* () {
      const { connection, server, source } = yield* setUp({ hides: true })
      const { generation } = yield* source.write("a.txt", "text")
      expect(yield* connection.deliver(makeTask(generation, targetAt(server.port)))).toMatchObject({
        verified: "status"
      })
      const error = yield* Effect.flip(
        connection.deliver(makeTask(generation, targetAt(server.port, { verify: "size" })))
      )
      expect(error._tag).toBe("PermanentError")
      expect(Array.from(server.files.keys())).toEqual(["/up/a.txt"])
    })
  )
})

describe("a folder at the server", () => {
  it.scopedLive("is never replaced by a file of its name", () =>
    Effect.gen(function* () {
      const { connection, server, source, to } = yield* setUp()
      server.folders.add("/up/photos")
      server.files.set("/up/photos/1.jpg", { bytes: Buffer.from("a photo"), mtime: 0 })
      const { generation } = yield* source.write("photos", "a file")
      const error = yield* Effect.flip(connection.deliver(makeTask(generation, to)))
      expect(error._tag).toBe("PermanentError")
      expect(error.message).toContain("/up/photos")
      expect(error.message).toContain("is a folder")
      expect(Array.from(server.files.keys())).toEqual(["/up/photos/1.jpg"])
    })
  )

  it.scopedLive("that was removed meanwhile is made again", () =>
    Effect.gen(function* () {
      const { connection, server, source, to } = yield* setUp()
      const first = yield* source.write("a/1.txt", "1")
      yield* connection.deliver(makeTask(first.generation, to))
      const remove = () => {
        server.files.clear()
        server.folders.delete("/up/a")
      }
      remove()
      // below it: MKCOL finds the parent missing
      const deep = yield* source.write("a/b/2.txt", "2")
      yield* connection.deliver(makeTask(deep.generation, to))
      server.folders.delete("/up/a/b")
      remove()
      // in it: the PUT says so, and the next attempt looks
      const second = yield* source.write("a/3.txt", "3")
      const error = yield* Effect.flip(connection.deliver(makeTask(second.generation, to)))
      expect(error._tag).toBe("TransientError")
      expect(error.message).toContain("/up/a is not there")
      yield* connection.deliver(makeTask(second.generation, to))
      expect(Array.from(server.files.keys())).toEqual(["/up/a/3.txt"])
    })
  )

  it.scopedLive("is recognised by the redirect to its name with a slash", () =>
    Effect.gen(function* () {
      const { connection, server, source, to } = yield* setUp()
      server.faultNext("PROPFIND", { kind: "answer", status: 301, headers: { location: "https://other.example/up/" } })
      const { generation } = yield* source.write("a.txt", "text")
      yield* connection.deliver(makeTask(generation, to))
      expect(methods(server)).not.toContain("MKCOL")
    })
  )
})

const multistatus = (status: string) =>
  `<d:multistatus xmlns:d="DAV:"><d:response><d:href>/up/x</d:href><d:status>HTTP/1.1 ${status}</d:status></d:response></d:multistatus>`

const answers: ReadonlyArray<readonly [string, number, DeliveryError["_tag"], string]> = [
  ["PUT", 301, "PermanentError", "redirects"],
  ["PUT", 307, "PermanentError", "redirects"],
  ["PUT", 400, "PermanentError", "400"],
  ["PUT", 401, "LaneDownError", "Check the user"],
  ["PUT", 403, "LaneDownError", "what they may do there"],
  ["PUT", 405, "LaneDownError", "WebDAV is switched on"],
  ["PUT", 409, "PermanentError", "conflicts with what is there"],
  ["PUT", 413, "PermanentError", "too large"],
  ["PUT", 423, "TransientError", "lock"],
  ["PUT", 425, "TransientError", "425"],
  ["PUT", 429, "TransientError", "429"],
  ["PUT", 500, "TransientError", "500"],
  ["PUT", 502, "TransientError", "502"],
  ["PUT", 503, "TransientError", "503"],
  ["PUT", 504, "TransientError", "504"],
  ["PUT", 507, "LaneDownError", "no room left"],
  ["PROPFIND", 200, "LaneDownError", "no answer of a WebDAV server"],
  ["PROPFIND", 401, "LaneDownError", "Check the user"],
  ["PROPFIND", 503, "TransientError", "503"],
  ["PROPFIND", 207, "TransientError", "can't be understood"],
  ["MOVE", 400, "PermanentError", "Host"],
  ["MOVE", 403, "LaneDownError", "not renamed"],
  ["MOVE", 404, "TransientError", "not there any more"],
  ["MOVE", 405, "LaneDownError", "does not rename"],
  ["MOVE", 409, "TransientError", "folder"],
  ["MOVE", 423, "TransientError", "lock"],
  ["MOVE", 501, "LaneDownError", "does not rename"],
  ["MOVE", 502, "TransientError", "Host"],
  ["MOVE", 504, "TransientError", "504"],
  ["MOVE", 507, "LaneDownError", "no room left"]
]

describe("an answer", () => {
  it.scopedLive.each(answers)("to %s of %i is a %s", ([method, status, tag, words]) =>
    Effect.gen(function* () {
      const { connection, server, source, to } = yield* setUp()
      const { generation } = yield* source.write("file.bin", pattern(1000))
      server.faultAlways(method, { kind: "answer", status, headers: { location: "http://other.example/?key=s3cret" } })
      const error = yield* Effect.flip(connection.deliver(makeTask(generation, to)))
      expect(error.message).toContain(words)
      expect(error._tag).toBe(tag)
      expect(error.message).not.toContain("s3cret")
      expect(Array.from(server.files.keys())).toEqual([])
    })
  )

  it.scopedLive("with Retry-After says when to come again", () =>
    Effect.gen(function* () {
      const fault = { kind: "answer", status: 429, headers: { "retry-after": "7" } } as const
      expect(yield* failing("PUT", fault)).toMatchObject({ _tag: "TransientError", retryAfter: 7000 })
    })
  )

  const parts: ReadonlyArray<readonly [string, DeliveryError["_tag"]]> = [
    [multistatus("423 Locked"), "TransientError"],
    [multistatus("507 Insufficient Storage"), "LaneDownError"],
    ["garbage", "TransientError"]
  ]
  it.scopedLive.each(parts)("of 207 to MOVE is what its parts say: %s", ([body, tag]) =>
    Effect.gen(function* () {
      expect((yield* failing("MOVE", { kind: "answer", status: 207, body }))._tag).toBe(tag)
    })
  )

  it.scopedLive("that asks for Digest says that this is not supported", () =>
    Effect.gen(function* () {
      const headers = { "www-authenticate": 'Digest realm="x", nonce="y"' }
      const error = yield* failing("PROPFIND", { kind: "answer", status: 401, headers })
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain("Digest")
    })
  )

  it.scopedLive("that comes before the body was read is understood", () =>
    Effect.gen(function* () {
      const error = yield* failing("PUT", { kind: "answer", status: 413, early: true }, {}, 8_000_000)
      expect(error).toMatchObject({ _tag: "PermanentError" })
      expect(error.message).toContain("too large")
    })
  )

  it.scopedLive("of success before the body was read is none", () =>
    Effect.gen(function* () {
      const error = yield* failing("PUT", { kind: "answer", status: 201, early: true }, {}, 8_000_000)
      expect(error).toMatchObject({ _tag: "TransientError" })
    })
  )

  const bombs: ReadonlyArray<readonly [string, string]> = [
    ["that is huge", `<multistatus>${"<response><href>/x</href></response>".repeat(30_000)}</multistatus>`],
    ["that is cut", '<multistatus xmlns="DAV:"><response><href>/up</href>'],
    ["that is nested", "<a>".repeat(50_000)],
    [
      "with entities in entities",
      `<!DOCTYPE a [<!ENTITY a "${"a".repeat(1000)}"><!ENTITY b "${"&a;".repeat(1000)}">]><multistatus>&b;</multistatus>`
    ]
  ]
  it.scopedLive.each(bombs)("to PROPFIND %s is an error, and soon", ([, body]) =>
    Effect.gen(function* () {
      const begun = Date.now()
      const error = yield* failing("PROPFIND", { kind: "answer", status: 207, body })
      expect(error._tag).toBe("TransientError")
      expect(Date.now() - begun).toBeLessThan(5000)
    })
  )
})

describe("a connection", () => {
  it.scopedLive("that is cut in the middle of the body leaves nothing", () =>
    Effect.gen(function* () {
      const error = yield* failing("PUT", { kind: "cut", bytes: 100_000 }, {}, 8_000_000)
      expect(error._tag).toBe("TransientError")
      expect(error.message).toContain("broke before the whole file was sent")
    })
  )

  it.scopedLive("that is cut after the PUT leaves nothing, and the next attempt sends it again", () =>
    Effect.gen(function* () {
      const { connection, server, source, to } = yield* setUp()
      const { generation } = yield* source.write("file.bin", pattern(1000))
      const task = makeTask(generation, to)
      server.faultNext("PUT", { kind: "cutDone" })
      expect((yield* Effect.flip(connection.deliver(task)))._tag).toBe("TransientError")
      expect(Array.from(server.files.keys())).toEqual([])
      yield* connection.deliver(task)
      expect(Array.from(server.files.keys())).toEqual(["/up/file.bin"])
    })
  )

  it.scopedLive("that is cut after the MOVE makes one file, which the next attempt finds", () =>
    Effect.gen(function* () {
      const { connection, server, source } = yield* setUp()
      const to = targetAt(server.port, { conflict: "rename" })
      const { generation } = yield* source.write("file.bin", pattern(1000))
      let chosen: RelPath.RelPath | null = null
      const task = makeTask(generation, to, {
        choose: (name) =>
          Effect.sync(() => {
            chosen = name
          })
      })
      server.faultNext("MOVE", { kind: "cutDone" })
      expect((yield* Effect.flip(connection.deliver(task)))._tag).toBe("TransientError")
      expect(Array.from(server.files.keys())).toEqual(["/up/file.bin"])
      const puts = methods(server).filter((method) => method === "PUT").length
      const again = { ...task, delivery: { ...task.delivery, attempts: 1, chosen } }
      expect(yield* connection.deliver(again)).toMatchObject({ name: "file.bin", bytes: 1000 })
      expect(Array.from(server.files.keys())).toEqual(["/up/file.bin"])
      expect(methods(server).filter((method) => method === "PUT").length).toBe(puts)
    })
  )

  it.scopedLive.each(["PUT", "PROPFIND", "MOVE"])("on which %s is never answered is given up", (method) =>
    Effect.gen(function* () {
      const error = yield* failing(method, { kind: "silent" }, { timeout: 300 })
      expect(error._tag).toBe("TransientError")
      expect(error.message).toContain("webdav://127.0.0.1")
    })
  )

  it.scopedLive("that takes no more of the body is given up", () =>
    Effect.gen(function* () {
      const error = yield* failing("PUT", { kind: "deaf" }, { timeout: 300 }, 64_000_000)
      expect(error._tag).toBe("TransientError")
    })
  )

  it.scopedLive("that drips its answer is given up, however much comes", () =>
    Effect.gen(function* () {
      const error = yield* failing("PROPFIND", { kind: "drip", every: 50 }, { timeout: 300 })
      expect(error._tag).toBe("TransientError")
      expect(error.message).toContain("webdav://127.0.0.1")
    })
  )

  it.scopedLive("to a server that keeps less than it was sent is an error that names both sizes", () =>
    Effect.gen(function* () {
      const error = yield* failing("PUT", { kind: "short", bytes: 400 })
      expect(error._tag).toBe("TransientError")
      expect(error.message).toContain("400 of the 1000 bytes")
    })
  )
})

describe("a probe", () => {
  it.scopedLive("says what the server is, what it can do, and how much room there is, and leaves nothing", () =>
    Effect.gen(function* () {
      const { connection, server, to } = yield* setUp({ mtime: true, free: 3 * 1024 ** 3 })
      const findings = yield* probe(connection, to)
      const found = (what: string) => findings.find((finding) => finding.what === what)
      expect(found("identity")?.found).toContain("Scripted/1.0, DAV 1, 2")
      expect(found("writable")?.state).toBe("yes")
      expect(found("rename")?.state).toBe("yes")
      expect(found("mtime")?.state).toBe("yes")
      expect(found("space")?.found).toMatch(/3(?:\.0+)? GiB/)
      expect(server.files.size).toBe(0)
    })
  )

  it.scopedLive("says why nothing can be had", () =>
    Effect.gen(function* () {
      const { connection, to } = yield* setUp({ login: "jo:pass" })
      const findings = yield* probe(connection, to)
      expect(findings.some(({ found, state }) => state === "no" && found.includes("401"))).toBe(true)
    })
  )
})

describe("webdavs", () => {
  const skip = !hasDavExtension || !hasOpenssl
  it.scopedLive.skipIf(skip)(
    `${skip ? "(skipped: nginx, its dav-ext module or openssl is not installed) " : ""}trusts who it is told to trust, and no other`,
    () =>
      Effect.gen(function* () {
        const certificate = yield* makeCertificate
        const server = yield* startNginx({ lists: true, tls: certificate })
        const source = yield* makeSource
        const connection = yield* connect
        const ca = `${source.source}/ca.pem`
        yield* Effect.promise(() => writeFile(ca, certificate.cert))
        const target = { scheme: "webdavs", url: `webdavs://127.0.0.1:${server.port}/up` }
        const { generation } = yield* source.write("a.txt", "text")
        const stranger = targetAt(server.port, {}, { target })
        const error = yield* Effect.flip(connection.deliver(makeTask(generation, stranger)))
        expect(error._tag).toBe("LaneDownError")
        expect(error.message).toContain("`ca`")
        const known = targetAt(server.port, {}, { target: { ...target, options: targetOptions({ ca }) } })
        expect(yield* connection.deliver(makeTask(generation, known))).toMatchObject({ verified: "size" })
        expect(yield* server.list("/up")).toEqual(["/up/a.txt"])
        const findings = yield* probe(connection, known)
        expect(findings.find(({ what }) => what === "identity")?.found).toMatch(/nginx.*certificate of localhost until/)
        expect(yield* server.list("/up")).toEqual(["/up/a.txt"])
      })
  )
})

describe("a refusal over TLS on a connection that is closed with it", () => {
  const skip = !hasOpenssl
  it.scopedLive.skipIf(skip)(`${skip ? "(skipped: openssl is not installed) " : ""}is told as what it is`, () =>
    Effect.gen(function* () {
      const certificate = yield* makeCertificate
      const server = createServer(certificate, (_, response) => {
        // too much to be read to its end
        response.writeHead(401).end(Buffer.alloc(4 * 1024 * 1024))
      })
      const listening = Effect.async<number>((resume) => {
        server.listen(0, "127.0.0.1", () => {
          const address: AddressInfo | string | null = server.address()
          resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
        })
      })
      const port = yield* Effect.acquireRelease(listening, () =>
        Effect.sync(() => {
          server.closeAllConnections()
          server.close()
        })
      )
      const source = yield* makeSource
      const ca = `${source.source}/ca.pem`
      yield* Effect.promise(() => writeFile(ca, certificate.cert))
      const { generation } = yield* source.write("a.txt", "text")
      const target = { scheme: "webdavs", url: `webdavs://127.0.0.1:${port}/up`, options: targetOptions({ ca }) }
      const error = yield* Effect.flip((yield* connect).deliver(makeTask(generation, targetAt(port, {}, { target }))))
      expect(error).toMatchObject({ _tag: "LaneDownError" })
      expect(error.message).toContain("401")
    })
  )
})

describe("nginx", () => {
  const setUpNginx = (lists: boolean, lines: ReadonlyArray<string> = []) =>
    Effect.gen(function* () {
      const server = yield* startNginx({ lists, lines })
      const source = yield* makeSource
      return { server, source, connection: yield* connect, to: targetAt(server.port) }
    })
  const reason = "nginx or its dav-ext module is not installed"

  it.scopedLive.skipIf(!hasDavExtension)(
    `${hasDavExtension ? "" : `(skipped: ${reason}) `}says 500 to a PUT into a folder that was removed, which is made again`,
    () =>
      Effect.gen(function* () {
        const { connection, server, source, to } = yield* setUpNginx(true)
        const first = yield* source.write("a/1.txt", "1")
        yield* connection.deliver(makeTask(first.generation, to))
        yield* Effect.promise(() => rm(`${server.root}/up`, { recursive: true }))
        const second = yield* source.write("a/2.txt", "2")
        const error = yield* Effect.flip(connection.deliver(makeTask(second.generation, to)))
        expect(error).toMatchObject({ _tag: "TransientError" })
        expect(error.message).toContain("/up/a is not there")
        yield* connection.deliver(makeTask(second.generation, to))
        expect(yield* server.list("/up")).toEqual(["/up/a/2.txt"])
      })
  )

  it.scopedLive.skipIf(!hasNginx)(
    `${hasNginx ? "" : `(skipped: ${reason}) `}without WebDAV is a lane that is down, and says so`,
    () =>
      Effect.gen(function* () {
        const { connection, source, to } = yield* setUpNginx(false, ["limit_except GET { deny all; }"])
        const { generation } = yield* source.write("a.txt", "text")
        expect((yield* Effect.flip(connection.deliver(makeTask(generation, to))))._tag).toBe("LaneDownError")
      })
  )
})
