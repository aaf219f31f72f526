import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { createServer, connect } from "node:net"
import { generateKeyPairSync } from "node:crypto"
import { userInfo } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Option, Redacted, Schedule, TestClock, type Scope } from "effect"
import type { Task } from "../../../src/deliver/Destination.ts"
import * as Sftp from "../../../src/deliver/destination/Sftp.ts"
import * as HostKey from "../../../src/deliver/destination/SshHostKey.ts"
import { noSecrets, unlimited, type RouteTarget } from "../../../src/domain/Settings.ts"
import type { TargetOptions } from "../../../src/domain/Target.ts"
import { makeSource, makeTask, pattern, sha256, targetOptions, tempName } from "../../contracts/destination.ts"
import { noDisks, smallDisk } from "../../servers/disk.ts"
import { startDrip, type Drip } from "../../servers/drip.ts"
import { portOf } from "../../servers/http.ts"
import { hasOpenssh, startAgent, startOpenssh, tempFolder, type Openssh } from "../../servers/openssh.ts"
import { startSshServer, type SshOptions, type SshServer } from "../../servers/ssh.ts"

const mib = 1024 * 1024

const at = (
  port: number,
  path: string,
  options: Partial<TargetOptions>,
  login: { readonly user?: string; readonly password?: string; readonly passphrase?: string } = {}
): RouteTarget => {
  const { passphrase, password, user = "user" } = login
  const secret = (text: string | undefined) => Option.map(Option.fromNullable(text), Redacted.make)
  return {
    target: {
      url: `sftp://${user}@127.0.0.1:${port}${path}`,
      scheme: "sftp",
      lane: "lane",
      host: "127.0.0.1",
      port,
      username: user,
      path,
      options: targetOptions({ timeout: 5000, ...options })
    },
    secrets: { ...noSecrets, password: secret(password), passphrase: secret(passphrase) },
    bandwidth: unlimited,
    rename: "{relpath}"
  }
}

const atOpenssh = (server: Openssh, folder: string, options: Partial<TargetOptions> = {}): RouteTarget =>
  at(server.port, folder, { key: server.key, knownHosts: server.knownHosts, ...options }, { user: server.user })

const connected = Effect.gen(function* () {
  const source = yield* makeSource
  const connection = yield* (yield* Sftp.make()).open("lane", { concurrency: 4, sync: true })
  return { source, connection }
})

/** A scripted server, and a file for it. */
const setUp = (size: number, options: SshOptions = {}) =>
  Effect.gen(function* () {
    const server = yield* startSshServer({ password: "secret", ...options })
    const { connection, source } = yield* connected
    const content = pattern(size)
    const { generation } = yield* source.write("file.bin", content)
    const target = (more: Partial<TargetOptions> = {}, port = server.port) =>
      at(port, "/in", { hostKey: server.fingerprint, ...more }, { password: "secret" })
    return { server, connection, source, generation, hash: sha256(content), target }
  })

/** A task that remembers what it noted, as the journal does. */
const remembering = (task: Task) => {
  const notes: Array<string | null> = []
  return {
    notes,
    task: { ...task, note: (resume: string | null) => Effect.sync(() => void notes.push(resume)) },
    next: (to: RouteTarget): Task => ({
      ...task,
      temp: tempName(task.delivery.id, 2),
      stale: [task.temp],
      delivery: { ...task.delivery, target: to.target, resume: notes.at(-1) ?? null }
    })
  }
}

describe("a server that has stopped", () => {
  const drips: ReadonlyArray<readonly [string, Drip["from"]]> = [
    ["drips its answers", "server"],
    ["takes a byte at a time", "client"]
  ]
  /** Once so many pieces of the file are there. */
  const after = (server: SshServer, from: Drip["from"], pieces: number): Drip => ({
    from,
    begins: () => server.requests.filter((request) => request === "WRITE").length >= pieces,
    every: 100
  })
  it.scopedLive.each(drips)("and %s is given up; a large upload goes on from there, later", ([, from]) =>
    Effect.gen(function* () {
      const { connection, generation, hash, server, target } = yield* setUp(9 * mib)
      const port = yield* startDrip(server.port, after(server, from, 100))
      const { next, notes, task } = remembering(makeTask(generation, target({ timeout: 500 }, port)))
      const began = performance.now()
      const error = yield* Effect.flip(connection.deliver(task))
      expect(error._tag).toBe("TransientError")
      expect(error.message).toContain("no answer in 0.5 s")
      expect(performance.now() - began).toBeLessThan(4_000)
      // what there is of it stays, and is known of
      expect(notes).toEqual([task.temp])
      const kept = server.files.get(`/in/${task.temp}`)?.data.byteLength ?? 0
      expect(kept).toBeGreaterThan(0)
      const receipt = yield* connection.deliver(next(target({}, port)))
      expect(receipt).toMatchObject({ bytes: 9 * mib, sha256: hash })
      expect(Array.from(server.files.keys())).toEqual(["/in/file.bin"])
      expect(sha256(server.files.get("/in/file.bin")?.data ?? Buffer.of())).toBe(hash)
    })
  )

  it.scopedLive("in the middle of a small upload leaves nothing behind", () =>
    Effect.gen(function* () {
      const { connection, generation, server, target } = yield* setUp(1_000_000)
      const port = yield* startDrip(server.port, after(server, "server", 3))
      const { notes, task } = remembering(makeTask(generation, target({ timeout: 400 }, port)))
      expect(yield* Effect.flip(connection.deliver(task))).toMatchObject({ _tag: "TransientError" })
      expect(Array.from(server.files.keys())).toEqual([])
      expect(notes).toEqual([])
    })
  )

  it.scopedLive("and does not answer one WRITE has a hole in the file: it is found before going on", () =>
    Effect.gen(function* () {
      const { connection, generation, hash, server, target } = yield* setUp(9 * mib)
      server.fault({ request: "WRITE", after: 200, kind: "silence" })
      const { next, task } = remembering(makeTask(generation, target({ timeout: 400 })))
      const error = yield* Effect.flip(connection.deliver(task))
      expect(error).toMatchObject({ _tag: "TransientError" })
      expect(error.message).toContain("no answer in 0.4 s")
      expect(sha256(server.files.get(`/in/${task.temp}`)?.data ?? Buffer.of())).not.toBe(hash)
      expect(yield* connection.deliver(next(target()))).toMatchObject({ sha256: hash, said: "stored" })
      expect(sha256(server.files.get("/in/file.bin")?.data ?? Buffer.of())).toBe(hash)
    })
  )

  it.scopedLive("for good is cleared up by a later attempt", () =>
    Effect.gen(function* () {
      const { connection, generation, server, target } = yield* setUp(1_000_000)
      server.fault({ request: "WRITE", after: 2, kind: "silence" })
      // first the removal on the old connection, then the one on a new one
      server.fault({ request: "REMOVE", kind: "silence" })
      const { next, notes, task } = remembering(makeTask(generation, target({ timeout: 400 })))
      expect(yield* Effect.flip(connection.deliver(task))).toMatchObject({ _tag: "TransientError" })
      expect(Array.from(server.files.keys())).toEqual([`/in/${task.temp}`])
      expect(notes).toEqual([`-${task.temp}`])
      yield* connection.deliver(next(target()))
      expect(Array.from(server.files.keys())).toEqual(["/in/file.bin"])
    })
  )

  it.scopedLive.each([
    ["says nothing at all", ""],
    ["drips who it is", "SSH-2.0-slow"]
  ])("and %s is down", ([, banner = ""]) =>
    Effect.gen(function* () {
      const port = yield* listening((write) => {
        let index = 0
        const timer = setInterval(() => write(banner.slice(index, ++index)), 50)
        return () => clearInterval(timer)
      })
      const { connection, source } = yield* connected
      const { generation } = yield* source.write("file.bin", "text")
      const target = at(port, "/in", { hostKey: "accept-new", timeout: 400 }, { password: "secret" })
      const error = yield* Effect.flip(connection.deliver(makeTask(generation, target)))
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain("the login was not done in 0.4 s")
    })
  )
})

describe("a server with too many connections", () => {
  it.scopedLive.each([
    ["says nothing", "", "before it said a word"],
    ["says so", "Exceeded MaxStartups\r\n", "Exceeded MaxStartups"],
    ["says so without a line's end", "Not allowed at this time", "Not allowed at this time"]
  ])("and %s is crowded", ([, full = "", text = ""]) =>
    Effect.gen(function* () {
      const { connection, generation, target } = yield* setUp(1000, { full })
      const error = yield* Effect.flip(connection.deliver(makeTask(generation, target())))
      expect(error._tag).toBe("CrowdedError")
      expect(error.message).toContain(text)
      expect(error.message).not.toContain("\n")
    })
  )

  it.scopedLive.skipIf(!hasOpenssh)("is crowded until they are gone (OpenSSH's MaxStartups)", () =>
    Effect.gen(function* () {
      const server = yield* startOpenssh({ config: ["MaxStartups 1:100:1"] })
      const { connection, source } = yield* connected
      const { generation } = yield* source.write("file.bin", "text")
      const attempt = connection.deliver(makeTask(generation, atOpenssh(server, server.root)))
      const crowded = yield* Effect.scoped(Effect.zipRight(stranger(server.port), Effect.flip(attempt)))
      expect(crowded._tag).toBe("CrowdedError")
      const receipt = yield* Effect.retry(attempt, {
        while: (error) => error._tag === "CrowdedError",
        schedule: Schedule.spaced("50 millis")
      })
      expect(receipt).toMatchObject({ bytes: 4 })
    })
  )
})

describe.skipIf(!hasOpenssh || noDisks !== undefined)(
  `a disk at OpenSSH${noDisks === undefined ? "" : ` (skipped: ${noDisks})`}`,
  () => {
    const onDisk = (options: string) =>
      Effect.gen(function* () {
        const server = yield* startOpenssh()
        const folder = join(server.root, "disk")
        const disk = yield* smallDisk(folder, options)
        return { ...(yield* connected), disk, folder, target: atOpenssh(server, folder) }
      })

    it.scopedLive.each([
      ["a file that is small", 30_000],
      ["a file that is large", 3 * mib],
      ["one that could be resumed", 9 * mib]
    ])("is full: %s", ([, size = 0]) =>
      Effect.gen(function* () {
        const { connection, folder, source, target } = yield* onDisk("size=1m")
        const filler = join(folder, "filler")
        writeFileSync(filler, Buffer.alloc(mib - 8192))
        const { generation } = yield* source.write("file.bin", pattern(Number(size)))
        const { notes, task } = remembering(makeTask(generation, target))
        const error = yield* Effect.flip(connection.deliver(task))
        expect(error._tag).toBe("LaneDownError")
        expect(error.message).toContain("Make room there.")
        expect(readdirSync(folder)).toEqual(["filler"])
        expect(notes.at(-1) ?? null).toBe(null)
      })
    )

    it.scopedLive("has no room for one more name", () =>
      Effect.gen(function* () {
        const { connection, folder, source, target } = yield* onDisk("size=1m,nr_inodes=2")
        writeFileSync(join(folder, "filler"), "")
        const { generation } = yield* source.write("file.bin", "text")
        const error = yield* Effect.flip(connection.deliver(makeTask(generation, target)))
        expect(error._tag).toBe("LaneDownError")
        expect(error.message).toContain("no room left")
        expect(readdirSync(folder)).toEqual(["filler"])
      })
    )

    it.scopedLive("is read-only", () =>
      Effect.gen(function* () {
        const { connection, disk, folder, source, target } = yield* onDisk("size=1m")
        disk.makeReadOnly()
        for (const name of ["file.bin", "folder/file.bin"]) {
          const { generation } = yield* source.write(name, "text")
          const error = yield* Effect.flip(connection.deliver(makeTask(generation, target)))
          expect(error._tag).toBe("LaneDownError")
          expect(error.message).toContain("is read-only")
          expect(error.message).toContain("Make it writable there.")
        }
        expect(readdirSync(folder)).toEqual([])
      })
    )
  }
)

describe("a connection", () => {
  it.scoped("is closed when nobody has used it for half a minute, and not before", () =>
    Effect.gen(function* () {
      const { connection, generation, server, target } = yield* setUp(1000)
      const send = connection.deliver(makeTask(generation, target()))
      yield* send
      yield* TestClock.adjust("29 seconds")
      yield* send
      yield* TestClock.adjust("29 seconds")
      expect(server.open()).toBe(1)
      yield* TestClock.adjust("16 seconds")
      yield* eventually(() => server.open() === 0)
      yield* send
      expect(server.connections()).toBe(2)
    })
  )

  it.scoped("is not closed while it is used", () =>
    Effect.gen(function* () {
      const { connection, generation, server, target } = yield* setUp(100_000)
      server.fault({ request: "WRITE", after: 1, kind: "silence" })
      const fiber = yield* Effect.fork(Effect.flip(connection.deliver(makeTask(generation, target({ timeout: 800 })))))
      yield* eventually(() => server.requests.includes("WRITE"))
      yield* TestClock.adjust("2 minutes")
      expect((yield* Fiber.join(fiber)).message).toContain("no answer in 0.8 s")
    })
  )
})

describe("posix-rename that is offered and refused", () => {
  it.scopedLive.each([
    ["as unsupported", 8],
    ["as a failure", 4],
    ["as not permitted", 3]
  ])("%s: the plain one is used", ([, code]) =>
    Effect.gen(function* () {
      const { connection, generation, hash, server, target } = yield* setUp(1000, {
        extensions: ["posix-rename@openssh.com"]
      })
      server.fault({ request: "posix-rename@openssh.com", kind: "status", code: Number(code), always: true })
      server.files.set("/in/file.bin", { data: Buffer.from("old"), mtime: 0 })
      server.folders.add("/in")
      for (let attempt = 0; attempt < 2; attempt++) {
        yield* connection.deliver(makeTask(generation, target()))
        expect(Array.from(server.files.keys())).toEqual(["/in/file.bin"])
        expect(sha256(server.files.get("/in/file.bin")?.data ?? Buffer.of())).toBe(hash)
      }
    })
  )

  it.scopedLive("is not asked for again by who is told that there is none", () =>
    Effect.gen(function* () {
      const { connection, generation, server, target } = yield* setUp(1000, {
        extensions: ["posix-rename@openssh.com"]
      })
      server.fault({ request: "posix-rename@openssh.com", kind: "status", code: 8, always: true })
      for (let attempt = 0; attempt < 3; attempt++) yield* connection.deliver(makeTask(generation, target()))
      expect(server.requests.filter((request) => request.startsWith("posix-rename"))).toHaveLength(1)
    })
  )
})

describe("a key that can't be used", () => {
  const asking = (file: string, passphrase?: string) =>
    Effect.gen(function* () {
      const { connection, source } = yield* connected
      const { generation } = yield* source.write("file.bin", "text")
      const target = at(1, "/in", { key: file }, passphrase === undefined ? {} : { passphrase })
      const error = yield* Effect.flip(connection.deliver(makeTask(generation, target)))
      expect(error._tag).toBe("LaneDownError")
      return error.message
    })

  it.scopedLive("is in PKCS#8: it is said how to convert it", () =>
    Effect.gen(function* () {
      const file = join(yield* tempFolder("filedispatch-key-"), "id")
      const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
      for (const passphrase of [undefined, "open sesame"]) {
        const encryption = passphrase === undefined ? {} : { cipher: "aes-256-cbc", passphrase }
        writeFileSync(file, privateKey.export({ type: "pkcs8", format: "pem", ...encryption }))
        const message = yield* asking(file, passphrase)
        expect(message).toContain("PKCS#8")
        expect(message).toContain(`ssh-keygen -p -f ${file}`)
        expect(message).not.toContain("passphrase` is wrong")
      }
    })
  )

  it.scopedLive("is on a security key, which wants a hand at it", () =>
    Effect.gen(function* () {
      const file = join(yield* tempFolder("filedispatch-key-"), "id_ed25519_sk")
      writeFileSync(file, securityKey())
      for (const passphrase of [undefined, "open sesame"]) {
        const message = yield* asking(file, passphrase)
        expect(message).toContain("sk-ssh-ed25519@openssh.com")
        expect(message).toContain("security key")
        expect(message).not.toContain("passphrase` is wrong")
      }
    })
  )
})

describe.skipIf(!hasOpenssh)("the agent in SSH_AUTH_SOCK", () => {
  it.scopedLive("is asked where nothing else is given, and only there", () =>
    Effect.gen(function* () {
      const server = yield* startOpenssh()
      const { connection, source } = yield* connected
      const { generation } = yield* source.write("file.bin", "text")
      const target = atOpenssh(server, server.root, { key: null })
      const attempt = connection.deliver(makeTask(generation, target))
      const using = <A, E>(socket: string | undefined, effect: Effect.Effect<A, E>) =>
        Effect.scoped(Effect.zipRight(environment("SSH_AUTH_SOCK", socket), effect))
      const without = yield* Effect.flip(using(undefined, attempt))
      expect(without._tag).toBe("LaneDownError")
      expect(without.message).toContain("SSH_AUTH_SOCK")

      const socket = yield* startAgent([server.key])
      const other = connection.deliver(
        makeTask(
          generation,
          at(server.port, server.root, { knownHosts: server.knownHosts }, { user: server.user, password: "x" })
        )
      )
      const password = yield* Effect.flip(using(socket, other))
      expect(password._tag).toBe("LaneDownError")
      expect(password.message).not.toContain(socket)

      expect(yield* using(socket, attempt)).toMatchObject({ bytes: 4 })
      expect(readFileSync(join(server.root, "file.bin"), "utf8")).toBe("text")
    })
  )
})

describe("known hosts that can't be read", () => {
  it.scopedLive("are no reason to trust anybody", () =>
    Effect.gen(function* () {
      const { connection, generation, server, target } = yield* setUp(1000)
      const knownHosts = yield* tempFolder("filedispatch-hosts-")
      for (const hostKey of [null, "accept-new"]) {
        const error = yield* Effect.flip(connection.deliver(makeTask(generation, target({ hostKey, knownHosts }))))
        expect(error._tag).toBe("LaneDownError")
        expect(error.message).toContain("can't be read (EISDIR")
        expect(error.message).toContain("read access")
      }
      expect(server.logins).toEqual([])
    })
  )

  it.scopedLive("are another user's", () =>
    Effect.gen(function* () {
      const knownHosts = join(yield* tempFolder("filedispatch-hosts-"), "known_hosts")
      writeFileSync(knownHosts, "")
      chmodSync(knownHosts, 0)
      const load = HostKey.load(at(22, "/in", { knownHosts }).target, new Set())
      const error = yield* Effect.flip(Effect.scoped(Effect.zipRight(unprivileged, load)))
      expect(error.message).toContain(`can't be read (EACCES, ${knownHosts})`)
      expect(error.message).toContain("`knownHosts`")
      expect(existsSync(knownHosts)).toBe(true)
    })
  )
})

/** Root may read everything. */
const unprivileged: Effect.Effect<void, never, Scope.Scope> =
  userInfo().uid !== 0
    ? Effect.void
    : Effect.acquireRelease(
        Effect.sync(() => process.seteuid?.(65534)),
        () => Effect.sync(() => process.seteuid?.(0))
      )

const environment = (name: string, value: string | undefined): Effect.Effect<void, never, Scope.Scope> => {
  const set = (text: string | undefined) => {
    if (text === undefined) delete process.env[name]
    else process.env[name] = text
  }
  return Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => {
        const before = process.env[name]
        set(value)
        return before
      }),
      (before) => Effect.sync(() => set(before))
    )
  )
}

/** Real time, whatever the clock of the test says. */
const eventually = (condition: () => boolean): Effect.Effect<void> =>
  Effect.promise(async () => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
  })

/** Somebody who connects and does not log in. */
const stranger = (port: number): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.async<ReturnType<typeof connect>>((resume) => {
        const open = () => {
          const socket = connect(port, "127.0.0.1")
          socket.on("error", () => undefined)
          socket.once("data", (data) => {
            if (data.toString().startsWith("SSH-")) return resume(Effect.succeed(socket))
            // whoever came to see whether it is up may not be gone yet
            socket.destroy()
            setTimeout(open, 20)
          })
        }
        open()
      }),
      (socket) => Effect.sync(() => socket.destroy())
    )
  )

/** A server that only talks. */
const listening = (talk: (write: (text: string) => void) => () => void): Effect.Effect<number, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<ReturnType<typeof createServer>>((resume) => {
        const server = createServer((socket) => {
          const stop = talk((text) => socket.write(text))
          socket.on("error", () => undefined).on("close", stop)
          socket.resume()
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
        })
    ),
    (server) => portOf(server.address())
  )

/** As `ssh-keygen -t ed25519-sk` makes it, without the hardware (OpenSSH's PROTOCOL.key and PROTOCOL.u2f). */
const securityKey = (): string => {
  const number = (value: number) => {
    const buffer = Buffer.alloc(4)
    buffer.writeUInt32BE(value)
    return buffer
  }
  const text = (value: string | Buffer) => Buffer.concat([number(Buffer.byteLength(value)), Buffer.from(value)])
  const key = [text("sk-ssh-ed25519@openssh.com"), text(pattern(32)), text("ssh:")]
  const secret = Buffer.concat([
    number(1),
    number(1),
    ...key,
    Buffer.from([1]),
    text(pattern(64)),
    text(""),
    text("me")
  ])
  const padding = Buffer.from(Array.from({ length: (8 - (secret.byteLength % 8)) % 8 }, (_, index) => index + 1))
  const whole = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    text("none"),
    text("none"),
    text(""),
    number(1),
    text(Buffer.concat(key)),
    text(Buffer.concat([secret, padding]))
  ])
  const lines = whole.toString("base64").match(/.{1,70}/g) ?? []
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join("\n")}\n-----END OPENSSH PRIVATE KEY-----\n`
}
