import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, Redacted } from "effect"
import * as Ftp from "../../../src/deliver/destination/Ftp.ts"
import { noSecrets, unlimited, type RouteTarget } from "../../../src/domain/Settings.ts"
import type { Target, TargetOptions } from "../../../src/domain/Target.ts"
import { makeSource, makeTask, pattern, tempName, targetOptions } from "../../contracts/destination.ts"
import { startFtpServer, type FtpFault, type FtpOptions } from "../../servers/ftp.ts"
import { hasVsftpd, startVsftpd } from "../../servers/vsftpd.ts"

const setUp = (serverOptions: FtpOptions = {}) =>
  Effect.gen(function* () {
    const server = yield* startFtpServer(serverOptions)
    const source = yield* makeSource
    const destination = yield* Ftp.make()
    const connection = yield* destination.open("lane", { concurrency: 4, sync: false })
    const target = (
      options: Partial<TargetOptions> = {},
      more: Partial<Target> & { readonly password?: string } = {}
    ): RouteTarget => {
      const { password, ...rest } = more
      return {
        target: {
          url: server.url,
          scheme: "ftp",
          lane: server.url,
          host: "127.0.0.1",
          port: server.port,
          username: null,
          path: "/in/box",
          options: targetOptions({ timeout: 1000, ...options }),
          ...rest
        },
        secrets: {
          ...noSecrets,
          password: password === undefined ? Option.none() : Option.some(Redacted.make(password))
        },
        bandwidth: unlimited,
        rename: "{relpath}"
      }
    }
    const file = yield* source.write("file.bin", pattern(1_000_000))
    return { server, source, connection, target, file }
  })

const failing = (fault: FtpFault, options: FtpOptions = {}, times = 1) =>
  Effect.gen(function* () {
    const { connection, file, server, target } = yield* setUp(options)
    for (let count = 0; count < times; count++) server.faultNext(fault)
    const error = yield* Effect.flip(connection.deliver(makeTask(file.generation, target())))
    expect(Array.from(server.files.keys())).toEqual([])
    // whatever happened, the next attempt finds a connection that works
    expect(yield* connection.deliver(makeTask(file.generation, target()))).toMatchObject({ bytes: 1_000_000 })
    expect(Array.from(server.files.keys())).toEqual(["/in/box/file.bin"])
    return error
  })

describe("an upload", () => {
  it.scopedLive("is stored under the temp name, measured, dated, and renamed", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      // once for each target, it is asked for its folders and whether it tells cases apart
      yield* connection.deliver(makeTask(file.generation, target()))
      const before = server.commands.length
      const task = makeTask(file.generation, target())
      expect(yield* connection.deliver(task)).toMatchObject({ verified: "size", said: "226 Transfer complete." })
      const temp = `/in/box/${task.temp}`
      const seen = server.commands.slice(before).filter((line) => /^(CWD|STOR|SIZE|RNFR|RNTO)/.test(line))
      expect(seen).toEqual([`STOR ${temp}`, `SIZE ${temp}`, `RNFR ${temp}`, "RNTO /in/box/file.bin"])
      expect(server.mtimes.get(temp)).toMatch(/^\d{14}$/)
      expect(server.commands).toContain("TYPE I")
    })
  )

  it.scopedLive("that the server kept half of is not a success, whatever it says", () =>
    Effect.gen(function* () {
      const error = yield* failing({ verb: "STOR", kind: "half", bytes: 500_000 })
      expect(error._tag).toBe("TransientError")
      expect(error.message).toContain("kept 500000 of the 1000000 bytes")
    })
  )

  it.scopedLive("that is cut in the middle is transient", () =>
    Effect.map(failing({ verb: "STOR", kind: "cut", bytes: 100_000 }), (error) =>
      expect(error._tag).toBe("TransientError")
    )
  )

  const replies: ReadonlyArray<readonly [string, string]> = [
    ["421 Closing.", "TransientError"],
    ["425 No data connection.", "TransientError"],
    ["426 Aborted.", "TransientError"],
    ["450 Busy.", "TransientError"],
    ["451 Local error.", "TransientError"],
    ["452 Disk full.", "LaneDownError"],
    ["530 Log in first.", "LaneDownError"],
    ["532 Need account.", "PermanentError"],
    ["550 Permission denied.", "PermanentError"],
    ["552 Quota exceeded.", "LaneDownError"],
    ["553 Name not allowed.", "PermanentError"]
  ]
  it.scopedLive.each(replies)("answered by %s is a %s", ([line, tag]) =>
    Effect.map(failing({ verb: "STOR", kind: "reply", line }), (error) => {
      expect(error._tag).toBe(tag)
      expect(error.message).toContain(line)
    })
  )

  it.scopedLive.each(replies.filter(([line]) => /^4|^552/.test(line)))(
    "answered in the middle by %s is a %s",
    ([line, tag]) =>
      Effect.map(failing({ verb: "STOR", kind: "replyAfter", bytes: 100_000, line }), (error) =>
        expect(error._tag).toBe(tag)
      )
  )

  it.scopedLive.each(["deaf", "drip"] as const)(
    "to a server that stops reading (%s) is given up after the timeout",
    (kind) =>
      Effect.gen(function* () {
        const { connection, server, source, target } = yield* setUp()
        const { generation } = yield* source.sparse("large.bin", 50_000_000)
        server.faultNext({ verb: "STOR", kind })
        const error = yield* Effect.flip(connection.deliver(makeTask(generation, target({ timeout: 400 }))))
        expect(error._tag).toBe("TransientError")
      })
  )

  it.scopedLive("to a server that takes it all and answers nothing is given up after the timeout", () =>
    Effect.gen(function* () {
      const error = yield* failing({ verb: "STOR", kind: "mute" })
      expect(error._tag).toBe("TransientError")
      expect(error.message).toContain("no answer in time")
    })
  )

  it.scopedLive.each(["RNFR", "RNTO"])("that may not be renamed (%s) says what filedispatch needs", (verb) =>
    Effect.gen(function* () {
      const error = yield* failing({ verb, kind: "reply", line: "550 Permission denied." }, {}, verb === "RNFR" ? 2 : 1)
      expect(error._tag).toBe("PermanentError")
      expect(error.message).toContain(`answered ${verb} with "550 Permission denied."`)
      expect(error.message).toContain("may rename there")
    })
  )

  it.scopedLive("is proved by the answer alone where the temp file is hidden, and `verify: size` is refused", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp({ hides: true, without: ["SIZE"] })
      const refused = yield* Effect.flip(connection.deliver(makeTask(file.generation, target({ verify: "size" }))))
      expect(refused._tag).toBe("PermanentError")
      expect(refused.message).toContain("`verify: auto`")
      expect(Array.from(server.files.keys())).toEqual([])
      const receipt = yield* connection.deliver(makeTask(file.generation, target()))
      expect(receipt).toMatchObject({ verified: "status" })
      expect(Array.from(server.files.keys())).toEqual(["/in/box/file.bin"])
    })
  )

  it.scopedLive("goes to an account that may only write", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp({ writeOnly: true })
      const receipt = yield* connection.deliver(makeTask(file.generation, target()))
      expect(receipt).toMatchObject({ verified: "status" })
      expect(Array.from(server.files.keys())).toEqual(["/in/box/file.bin"])
    })
  )

  const wrongHash = `213 SHA-256 0-9 ${"0".repeat(64)} file`
  it.scopedLive.each([
    ["HASH", "HASH SHA-256*"],
    ["XSHA256", "XSHA256"]
  ] as const)("is proved by %s", ([verb, feature]) =>
    Effect.gen(function* () {
      const { connection, file, target } = yield* setUp({ features: [feature] })
      expect(yield* connection.deliver(makeTask(file.generation, target()))).toMatchObject({ verified: "hash" })
      const line = verb === "HASH" ? wrongHash : `250 ${"0".repeat(64)}`
      const error = yield* failing({ verb, kind: "reply", line }, { features: [feature] })
      expect(error._tag).toBe("TransientError")
      expect(error.message).toContain("is not what was sent")
    })
  )

  it.scopedLive("is not replaced by a newer one where the server does not tell how old it is", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp({ without: ["MDTM"] })
      server.put("/in/box/file.bin", Buffer.from("a stranger's"))
      const error = yield* Effect.flip(connection.deliver(makeTask(file.generation, target({ conflict: "newer" }))))
      expect(error._tag).toBe("PermanentError")
      expect(error.message).toContain("another `conflict`")
      expect(Array.from(server.files.keys())).toEqual(["/in/box/file.bin"])
    })
  )

  it.scopedLive.each([
    ["ignores", { forgetful: true }],
    ["refuses", {}]
  ] as const)("that can't go on because the server %s REST begins again, once and for all", ([how, options]) =>
    Effect.gen(function* () {
      const { connection, server, source, target } = yield* setUp(options)
      const size = 12 * 1024 * 1024
      const { generation } = yield* source.write("large.bin", pattern(size))
      let noted: string | null = null
      const note = (resume: string | null) =>
        Effect.sync(() => {
          noted = resume
        })
      const first = makeTask(generation, target(), { note })
      const cut = { verb: "STOR", kind: "cut", bytes: 10 * 1024 * 1024 } as const
      server.faultNext(cut)
      expect((yield* Effect.flip(connection.deliver(first)))._tag).toBe("TransientError")
      expect(noted).toBe(first.temp)
      if (how === "refuses") server.faultNext({ verb: "STOR", kind: "reply", line: "504 Not with REST." })
      const second = { ...first, delivery: { ...first.delivery, resume: first.temp }, temp: tempName(1, 2) }
      expect((yield* Effect.flip(connection.deliver(second)))._tag).toBe("TransientError")
      expect(noted).toBeNull()
      expect(Array.from(server.files.keys())).toEqual([])
      // and the next file does not try it again
      server.faultNext(cut)
      const third = { ...first, temp: tempName(1, 3) }
      expect((yield* Effect.flip(connection.deliver(third)))._tag).toBe("TransientError")
      expect(noted).toBeNull()
      expect(yield* connection.deliver({ ...first, temp: tempName(1, 4) })).toMatchObject({ bytes: size })
      expect(Array.from(server.files.keys())).toEqual(["/in/box/large.bin"])
    })
  )

  it.scopedLive("whose folder was removed meanwhile finds its way again", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      yield* connection.deliver(makeTask(file.generation, target()))
      server.removeFolder("/in/box")
      const error = yield* Effect.flip(connection.deliver(makeTask(file.generation, target())))
      expect(error._tag).toBe("TransientError")
      yield* connection.deliver(makeTask(file.generation, target()))
      expect(server.folders.has("/in/box")).toBe(true)
    })
  )

  it.scopedLive("whose folder can't be made is a permanent error with the server's line", () =>
    Effect.gen(function* () {
      const { connection, file, target } = yield* setUp({ readOnly: true })
      const error = yield* Effect.flip(connection.deliver(makeTask(file.generation, target())))
      expect(error._tag).toBe("PermanentError")
      expect(error.message).toContain('"550 Permission denied."')
    })
  )

  it.scopedLive("goes below the login folder where the path says so", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      yield* connection.deliver(makeTask(file.generation, target({}, { path: "~/deep er" })))
      yield* connection.deliver(makeTask(file.generation, target({}, { path: "~" })))
      expect(Array.from(server.files.keys()).sort()).toEqual(["/home/deep er/file.bin", "/home/file.bin"])
    })
  )

  it.scopedLive("removes its temp file when it is interrupted and the server has no REST", () =>
    Effect.gen(function* () {
      const { connection, server, source, target } = yield* setUp({ without: ["REST"] })
      const { generation } = yield* source.sparse("large.bin", 200_000_000)
      const begun = yield* Deferred.make<void>()
      const task = makeTask(generation, target(), { progress: () => Deferred.unsafeDone(begun, Effect.void) })
      const fiber = yield* Effect.fork(connection.deliver(task))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      expect(server.commands.at(-1)).toMatch(/^DELE \/in\/box\/\.fd-/)
    })
  )
})

describe("the rename", () => {
  it.scopedLive("deletes what is there where the server does not overwrite", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp({ noOverwrite: true })
      server.put("/in/box/file.bin", Buffer.from("old"))
      yield* connection.deliver(makeTask(file.generation, target()))
      expect(server.read("/in/box/file.bin")?.byteLength).toBe(1_000_000)
      expect(server.files.size).toBe(1)
    })
  )

  it.scopedLive("gives every worker a name of its own", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      const to = target({ conflict: "rename" })
      const choose = () => Effect.sleep(20)
      const tasks = Array.from({ length: 4 }, () => makeTask(file.generation, to, { choose }))
      yield* Effect.forEach(tasks, connection.deliver, { concurrency: 4 })
      expect(Array.from(server.files.keys()).sort()).toEqual([
        "/in/box/file (1).bin",
        "/in/box/file (2).bin",
        "/in/box/file (3).bin",
        "/in/box/file.bin"
      ])
    })
  )

  it.scopedLive("whose answer is lost is found to be done by the next attempt", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      server.faultNext({ verb: "RNTO", kind: "doneThenClose" })
      let chosen: string | null = null
      const first = makeTask(file.generation, target({ conflict: "fail" }), {
        choose: (name) =>
          Effect.sync(() => {
            chosen = name
          })
      })
      expect((yield* Effect.flip(connection.deliver(first)))._tag).toBe("TransientError")
      expect(chosen).toBe("file.bin")
      const second = { ...first, delivery: { ...first.delivery, chosen: first.delivery.name }, stale: [first.temp] }
      expect(yield* connection.deliver(second)).toMatchObject({ verified: "hash", bytes: 1_000_000 })
      expect(Array.from(server.files.keys())).toEqual(["/in/box/file.bin"])
    })
  )
})

describe("the connection", () => {
  it.scopedLive("is used again, and each worker has one", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      for (let count = 0; count < 5; count++) yield* connection.deliver(makeTask(file.generation, target()))
      expect(server.connections()).toBe(1)
      yield* Effect.all(
        Array.from({ length: 3 }, () => connection.deliver(makeTask(file.generation, target()))),
        { concurrency: 3 }
      )
      expect(server.connections()).toBe(3)
    })
  )

  it.scopedLive("is made anew where the server has closed it", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      yield* connection.deliver(makeTask(file.generation, target()))
      server.dropConnections()
      yield* Effect.sleep(50)
      yield* connection.deliver(makeTask(file.generation, target()))
      expect(server.connections()).toBe(2)
    })
  )

  it.scopedLive("is closed with the lane", () =>
    Effect.gen(function* () {
      const server = yield* startFtpServer()
      const source = yield* makeSource
      const { generation } = yield* source.write("a.txt", "text")
      const destination = yield* Ftp.make()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* destination.open("lane", { concurrency: 4, sync: false })
          const to = {
            target: {
              url: server.url,
              scheme: "ftp",
              lane: server.url,
              host: "127.0.0.1",
              port: server.port,
              username: null,
              path: "/",
              options: targetOptions()
            },
            secrets: noSecrets,
            bandwidth: unlimited,
            rename: "{relpath}"
          }
          yield* connection.deliver(makeTask(generation, to))
          expect(server.open()).toBe(1)
        })
      )
      yield* Effect.repeat(Effect.sleep(5), { until: () => server.open() === 0 })
    }).pipe(Effect.timeout("5 seconds"))
  )

  it.scopedLive("ignores a foreign address in the answer to PASV", () =>
    Effect.gen(function* () {
      const { connection, file, target } = yield* setUp({ without: ["EPSV"], pasvAddress: "192,0,2,1" })
      expect(yield* connection.deliver(makeTask(file.generation, target()))).toMatchObject({ bytes: 1_000_000 })
    })
  )

  it.scopedLive("logs in with the user and the password as they are", () =>
    Effect.gen(function* () {
      const login = { user: "jörg@example.org", password: "p@ss: wörd%/" }
      const { connection, file, target } = yield* setUp(login)
      const to = target({}, { username: login.user, password: login.password })
      expect(yield* connection.deliver(makeTask(file.generation, to))).toMatchObject({ bytes: 1_000_000 })
    })
  )

  it.scopedLive("that is refused its login takes the lane down, and no password is told", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp({ user: "me", password: "right" })
      const to = target({}, { username: "me", password: "s3cret" })
      const error = yield* Effect.flip(connection.deliver(makeTask(file.generation, to)))
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain('"530 Login incorrect."')
      server.faultNext({ verb: "PASS", kind: "reply", line: "530 No s3cret is known here" })
      const repeated = yield* Effect.flip(connection.deliver(makeTask(file.generation, to)))
      expect(`${error.message}${repeated.message}${JSON.stringify([error, repeated])}`).not.toContain("s3cret")
    })
  )

  it.scopedLive("to a server that never answers is given up after the timeout", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      server.faultNext({ verb: "CONNECT", kind: "silent" })
      const error = yield* Effect.flip(connection.deliver(makeTask(file.generation, target({ timeout: 200 }))))
      expect(error._tag).toBe("TransientError")
      expect(error.message).toContain("no answer in time")
    })
  )

  const crowds: ReadonlyArray<readonly [string, string]> = [
    ["CONNECT", "421 There are too many connections from your internet address."],
    ["CONNECT", "421 Service not available."],
    ["USER", "421 50 users (the maximum) are already logged in, sorry"],
    ["PASS", "530 Sorry, the maximum number of clients (5) for this user are already connected."],
    ["EPSV", "421 Too many connections."]
  ]
  it.scopedLive.each(crowds)("is one too many: %s answered by %s", ([verb, line]) =>
    Effect.map(failing({ verb, kind: "reply", line }), (error) => {
      expect(error._tag).toBe("CrowdedError")
      expect(error.message).toContain(line)
      expect(error.message).toContain("`concurrency`")
    })
  )

  it.scopedLive("that is closed for having been idle is worth another attempt", () =>
    Effect.map(failing({ verb: "EPSV", kind: "reply", line: "421 Timeout." }), (error) =>
      expect(error._tag).toBe("TransientError")
    )
  )

  it.scopedLive.each(["CONNECT", "USER", "EPSV", "SIZE", "RNFR"])(
    "to a server that answers %s with a byte now and then is given up after the timeout",
    (verb) =>
      Effect.gen(function* () {
        const error = yield* failing({ verb, kind: "slowly", every: 250 })
        expect(error._tag).toBe("TransientError")
        expect(error.message).toContain("no answer in time")
      })
  )

  it.scopedLive("that must be secure is not made in the clear", () =>
    Effect.gen(function* () {
      const { connection, file, server, target } = yield* setUp()
      const to = target({ secure: "explicit" }, { username: "me", password: "s3cret" })
      const error = yield* Effect.flip(connection.deliver(makeTask(file.generation, to)))
      expect(error._tag).toBe("LaneDownError")
      expect(server.commands.join()).not.toContain("s3cret")
    })
  )
})

describe.skipIf(!hasVsftpd)("vsftpd", () => {
  it.scopedLive("takes a large file while others come and go", () =>
    Effect.gen(function* () {
      const server = yield* startVsftpd
      const source = yield* makeSource
      const destination = yield* Ftp.make()
      const connection = yield* destination.open("lane", { concurrency: 4, sync: false })
      const to: RouteTarget = {
        target: {
          url: `${server.url}/upload`,
          scheme: "ftp",
          lane: server.url,
          host: "127.0.0.1",
          port: server.port,
          username: null,
          path: "/upload",
          options: targetOptions()
        },
        secrets: noSecrets,
        bandwidth: unlimited,
        rename: "{relpath}"
      }
      const large = yield* source.sparse("large.bin", 200_000_000)
      const small = yield* Effect.forEach(
        Array.from({ length: 30 }, (_, index) => `${index}.txt`),
        (name) => source.write(name, name)
      )
      const receipts = yield* Effect.forEach(
        [large, ...small],
        ({ generation }) => connection.deliver(makeTask(generation, to)),
        { concurrency: 4 }
      )
      expect(receipts.every(({ verified }) => verified === "size")).toBe(true)
      expect((yield* server.list("/upload")).length).toBe(31)
    })
  )
})
