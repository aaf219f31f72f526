import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import * as Sftp from "../../../src/deliver/destination/Sftp.ts"
import { noSecrets, unlimited, type RouteTarget } from "../../../src/domain/Settings.ts"
import type { TargetOptions } from "../../../src/domain/Target.ts"
import { makeSource, makeTask, pattern, targetOptions } from "../../contracts/destination.ts"
import { hasOpenssh, makeKey, publicKey, startAgent, startOpenssh, tempFolder } from "../../servers/openssh.ts"
import { makePrivateKey, publicOf, startSshServer, type SshFault, type SshOptions } from "../../servers/ssh.ts"

const to = (
  server: { readonly port: number },
  path: string,
  options: Partial<TargetOptions>,
  login: { readonly user?: string; readonly password?: string; readonly passphrase?: string } = {}
): RouteTarget => {
  const { passphrase, password, user = "user" } = login
  const secret = (text: string | undefined) => Option.map(Option.fromNullable(text), Redacted.make)
  return {
    target: {
      url: `sftp://${user}@127.0.0.1:${server.port}${path}`,
      scheme: "sftp",
      lane: "lane",
      host: "127.0.0.1",
      port: server.port,
      username: user,
      path,
      options: targetOptions({ timeout: 5000, ...options })
    },
    secrets: { ...noSecrets, password: secret(password), passphrase: secret(passphrase) },
    bandwidth: unlimited,
    rename: "{relpath}"
  }
}

const setUp = (options: SshOptions = {}) =>
  Effect.gen(function* () {
    const server = yield* startSshServer({ password: "secret", ...options })
    const source = yield* makeSource
    const file = yield* source.write("file.bin", pattern(1_000_000))
    const connection = yield* (yield* Sftp.make()).open("lane", { concurrency: 4, sync: true })
    const target = (more: Partial<TargetOptions> = {}, password: string | null = "secret") =>
      to(server, "/in/box", { hostKey: server.fingerprint, ...more }, password === null ? {} : { password })
    const send = (target: RouteTarget) => connection.deliver(makeTask(file.generation, target, { sync: true }))
    return { server, source, file, connection, target, send }
  })

describe("a host key", () => {
  it.scopedLive("that is unknown gets no credentials, and a way out", () =>
    Effect.gen(function* () {
      const { send, server, target } = yield* setUp()
      const knownHosts = join(yield* tempFolder("filedispatch-hosts-"), "known_hosts")
      const error = yield* Effect.flip(send(target({ hostKey: null, knownHosts })))
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain(server.fingerprint)
      expect(error.message).toContain(`ssh-keyscan -p ${server.port} 127.0.0.1 >> ${knownHosts}`)
      expect(error.message).toContain("accept-new")
      expect(server.logins).toEqual([])
      writeFileSync(knownHosts, `[127.0.0.1]:${server.port} ${server.hostKey}\n`)
      expect(yield* send(target({ hostKey: null, knownHosts }))).toMatchObject({ bytes: 1_000_000 })
    })
  )

  it.scopedLive("that has changed gets no credentials, and both fingerprints are shown", () =>
    Effect.gen(function* () {
      const { send, server, target } = yield* setUp()
      const knownHosts = join(yield* tempFolder("filedispatch-hosts-"), "known_hosts")
      const old = publicOf(makePrivateKey("rsa"))
      writeFileSync(knownHosts, `# mine\n[127.0.0.1]:${server.port} ssh-rsa ${old.toString("base64")}\n`)
      for (const hostKey of [null, "accept-new"]) {
        const error = yield* Effect.flip(send(target({ hostKey, knownHosts })))
        expect(error._tag).toBe("LaneDownError")
        expect(error.message).toContain(server.fingerprint)
        expect(error.message.match(/SHA256:[A-Za-z0-9+/]{43}(?![A-Za-z0-9+/])/g)?.length).toBeGreaterThanOrEqual(2)
        expect(error.message).toContain(`${knownHosts}, line 2`)
        expect(error.message).toContain(`ssh-keygen -R '[127.0.0.1]:${server.port}'`)
      }
      expect(server.logins).toEqual([])
      expect(readFileSync(knownHosts, "utf8").split("\n")).toHaveLength(3)
    })
  )

  it.scopedLive("that is not the pinned one gets no credentials", () =>
    Effect.gen(function* () {
      const { send, server, target } = yield* setUp()
      const pinned = `SHA256:${"A".repeat(43)}`
      const error = yield* Effect.flip(send(target({ hostKey: pinned })))
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain(server.fingerprint)
      expect(error.message).toContain(pinned)
      expect(server.logins).toEqual([])
    })
  )

  it.scopedLive("of another kind than the server prefers may be pinned, too", () =>
    Effect.gen(function* () {
      const rsa = makePrivateKey("rsa")
      const pinnedServer = yield* startSshServer({ password: "secret", hostKeys: [rsa] })
      const { send, target } = yield* setUp({ hostKeys: [makePrivateKey(), rsa] })
      expect(yield* send(target({ hostKey: pinnedServer.fingerprint }))).toMatchObject({ bytes: 1_000_000 })
    })
  )

  it.scopedLive("that is new is taken and remembered under `accept-new`, once", () =>
    Effect.gen(function* () {
      const { send, server, target } = yield* setUp()
      const knownHosts = join(yield* tempFolder("filedispatch-hosts-"), "ssh", "known_hosts")
      yield* send(target({ hostKey: "accept-new", knownHosts }))
      expect(readFileSync(knownHosts, "utf8")).toBe(`[127.0.0.1]:${server.port} ${server.hostKey}\n`)
      yield* send(target({ hostKey: "accept-new", knownHosts, timeout: 6000 }))
      yield* send(target({ hostKey: null, knownHosts }))
      expect(readFileSync(knownHosts, "utf8").split("\n")).toHaveLength(2)
    })
  )

  it.scopedLive("is asked for in the kind that is known", () =>
    Effect.gen(function* () {
      const rsa = makePrivateKey("rsa")
      const { send, server, target } = yield* setUp({ hostKeys: [makePrivateKey(), rsa] })
      const knownHosts = join(yield* tempFolder("filedispatch-hosts-"), "known_hosts")
      writeFileSync(knownHosts, `[127.0.0.1]:${server.port} ssh-rsa ${publicOf(rsa).toString("base64")}\n`)
      expect(yield* send(target({ hostKey: null, knownHosts }))).toMatchObject({ bytes: 1_000_000 })
    })
  )
})

describe("a login", () => {
  it.scopedLive("by password, and by a question for it", () =>
    Effect.gen(function* () {
      for (const interactive of [false, true]) {
        const { send, server, target } = yield* setUp({ interactive })
        expect(yield* send(target())).toMatchObject({ bytes: 1_000_000 })
        expect(server.logins).toEqual([interactive ? "keyboard-interactive" : "password"])
      }
    })
  )

  it.scopedLive("by a wrong password is refused without it in the message", () =>
    Effect.gen(function* () {
      const { send, server, target } = yield* setUp()
      const error = yield* Effect.flip(send(target({}, "hunter2")))
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain("tried the password")
      expect(error.message).toContain("The server accepts password")
      expect(JSON.stringify(error)).not.toContain("hunter2")
      expect(server.logins).toEqual(["password"])
    })
  )

  it.scopedLive("without anything to show says what there could be", () =>
    Effect.gen(function* () {
      const { send, server, target } = yield* setUp({ keys: ["ssh-ed25519 none"] })
      const folder = yield* tempFolder("filedispatch-key-")
      const key = join(folder, "missing")
      const missing = yield* Effect.flip(send(target({ key }, null)))
      expect(missing._tag).toBe("LaneDownError")
      expect(missing.message).toContain(`the key ${key} can't be read (ENOENT)`)
      writeFileSync(key, "no key at all")
      expect((yield* Effect.flip(send(target({ key }, null)))).message).toContain("no private key")
      expect(server.connections()).toBe(0)
    })
  )

  describe.skipIf(!hasOpenssh)("by a key", () => {
    it.scopedLive("with a passphrase, without the right one, and the public half", () =>
      Effect.gen(function* () {
        const folder = yield* tempFolder("filedispatch-key-")
        const key = makeKey(folder, "id", "ed25519", "open sesame")
        const { send, server } = yield* setUp({ keys: [publicKey(key)] })
        const using = (file: string, passphrase?: string) =>
          send(
            to(
              server,
              "/in/box",
              { hostKey: server.fingerprint, key: file },
              passphrase === undefined ? {} : { passphrase }
            )
          )
        expect((yield* Effect.flip(using(key))).message).toContain("is encrypted. Give its passphrase")
        const wrong = yield* Effect.flip(using(key, "open barley"))
        expect(wrong.message).toContain("the `passphrase` is wrong")
        expect(wrong.message).not.toContain("barley")
        expect((yield* Effect.flip(using(`${key}.pub`, "x"))).message).toContain("is a public key")
        expect(server.connections()).toBe(0)
        expect(yield* using(key, "open sesame")).toMatchObject({ bytes: 1_000_000 })
      })
    )

    it.scopedLive("and then by a password, where the server wants both", () =>
      Effect.gen(function* () {
        const folder = yield* tempFolder("filedispatch-key-")
        const key = makeKey(folder, "id", "rsa")
        const { send, target } = yield* setUp({ keys: [publicKey(key)], both: true })
        expect(yield* send(target({ key }))).toMatchObject({ bytes: 1_000_000 })
      })
    )

    it.scopedLive("of an agent, and an agent that is not there", () =>
      Effect.gen(function* () {
        const folder = yield* tempFolder("filedispatch-key-")
        const keys = [makeKey(folder, "other", "ed25519"), makeKey(folder, "id", "ed25519")]
        const { send, target } = yield* setUp({ keys: [publicKey(keys[1] ?? "")] })
        const agent = yield* startAgent(keys)
        expect(yield* send(target({ agent }, null))).toMatchObject({ bytes: 1_000_000 })
        const error = yield* Effect.flip(send(target({ agent: join(folder, "none") }, null)))
        expect(error._tag).toBe("LaneDownError")
        expect(error.message).toContain("the agent at")
      })
    )
  })
})

describe("a fault", () => {
  const faults: ReadonlyArray<readonly [string, SshFault, string, string]> = [
    ["a cut at half", { request: "WRITE", after: 3, kind: "cut" }, "TransientError", "broke"],
    ["a session that ends", { request: "WRITE", after: 3, kind: "end" }, "TransientError", "broke"],
    ["a cut before the rename", { request: "RENAME", kind: "cut" }, "TransientError", "broke"],
    [
      "a full disk, in words",
      { request: "WRITE", after: 2, kind: "status", code: 4, text: "No space left on device" },
      "LaneDownError",
      "Make room"
    ],
    ["a full disk, by its code", { request: "WRITE", kind: "status", code: 14 }, "LaneDownError", "Make room"],
    ["a quota", { request: "CLOSE", kind: "status", code: 15 }, "LaneDownError", "Make room"],
    ["a read-only disk", { request: "OPEN", kind: "status", code: 12 }, "LaneDownError", "read-only"],
    [
      "no permission",
      { request: "OPEN", kind: "status", code: 3, text: "Permission denied" },
      "PermanentError",
      "may write there"
    ],
    [
      "a refusal without a reason",
      { request: "WRITE", kind: "status", code: 4, text: "Failure" },
      "TransientError",
      "Failure"
    ]
  ]
  it.scopedLive.each(faults)("%s", ([, fault, tag, text]) =>
    Effect.gen(function* () {
      const { send, server, target } = yield* setUp()
      server.fault(fault)
      const error = yield* Effect.flip(send(target()))
      expect(error._tag).toBe(tag)
      expect(error.message).toContain(text)
      expect(Array.from(server.files.keys())).toEqual([])
      // whatever happened, the next attempt finds its way
      expect(yield* send(target())).toMatchObject({ bytes: 1_000_000, verified: "size" })
      expect(Array.from(server.files.keys())).toEqual(["/in/box/file.bin"])
    })
  )

  it.scopedLive("a full disk that is called a failure is found out by statvfs", () =>
    Effect.gen(function* () {
      const { send, server, target } = yield* setUp({ extensions: ["statvfs@openssh.com"], free: 300_000 })
      const error = yield* Effect.flip(send(target()))
      expect(error._tag).toBe("LaneDownError")
      expect(error.message).toContain("no room left")
      expect(Array.from(server.files.keys())).toEqual([])
    })
  )

  it.scopedLive("silence is given up after the time-out, and only the connection is lost", () =>
    Effect.gen(function* () {
      const { send, server, target } = yield* setUp()
      server.fault({ request: "WRITE", after: 2, kind: "silence", always: true })
      const error = yield* Effect.flip(send(target({ timeout: 400 })))
      expect(error._tag).toBe("TransientError")
      expect(error.message).toContain("no answer in 0.4 s")
    })
  )

  const refusals: ReadonlyArray<readonly [string, SshOptions, string, string]> = [
    ["no SFTP", { noSftp: true }, "LaneDownError", "has no SFTP"],
    ["no session", { noSession: true }, "CrowdedError", "opens no more sessions"],
    ["text where SFTP should begin", { motd: "Welcome to this account!\r\n" }, "LaneDownError", "nothing prints text"]
  ]
  it.scopedLive.each(refusals)("%s", ([, options, tag, text]) =>
    Effect.gen(function* () {
      const { send, target } = yield* setUp(options)
      const error = yield* Effect.flip(send(target()))
      expect(error._tag).toBe(tag)
      expect(error.message).toContain(text)
    })
  )
})

describe("an upload", () => {
  it.scopedLive("of many small files shares one connection", () =>
    Effect.gen(function* () {
      const { connection, server, source, target } = yield* setUp({ extensions: ["posix-rename@openssh.com"] })
      const files = yield* Effect.forEach(
        Array.from({ length: 40 }, (_, index) => `small-${index}`),
        (name) => source.write(name, name)
      )
      const { batch } = connection
      const first = yield* source.write("first", "first")
      yield* connection.deliver(makeTask(first.generation, target()))
      const tasks = files.map(({ generation }) => makeTask(generation, target()))
      expect(batch?.accepts(tasks[0]?.delivery ?? (yield* Effect.dieMessage("no task")))).toBe(true)
      const exits = yield* batch?.deliver(tasks) ?? Effect.succeed([])
      expect(exits.every((exit) => exit?._tag === "Success")).toBe(true)
      expect(Array.from(server.files.values(), ({ data }) => data.toString()).sort()).toEqual(
        ["first", ...files.map(({ generation }) => generation.path)].sort()
      )
      expect(server.connections()).toBe(1)
    })
  )

  it.scopedLive("is synced where the server can, and replaces in one step where it can", () =>
    Effect.gen(function* () {
      const able = yield* setUp({ extensions: ["posix-rename@openssh.com", "fsync@openssh.com"] })
      expect(yield* able.send(able.target())).toMatchObject({ said: "stored and synced" })
      expect(able.server.requests).toContain("fsync@openssh.com")
      expect(able.server.requests).not.toContain("RENAME")
      const plain = yield* setUp()
      expect(yield* plain.send(plain.target())).toMatchObject({ said: "stored" })
      expect(plain.server.requests).toContain("RENAME")
    })
  )

  it.scopedLive.skipIf(!hasOpenssh)("can be probed: who it is, how that is known, what it can do", () =>
    Effect.gen(function* () {
      const server = yield* startOpenssh()
      const connection = yield* (yield* Sftp.make()).open("lane", { concurrency: 4, sync: true })
      const findings = yield* (
        connection.probe?.({
          ...to(server, server.root, { key: server.key, knownHosts: server.knownHosts }, { user: server.user }),
          temp: ".fd-probe.part"
        }) ?? Effect.succeed([])
      )
      const text = findings.map(({ found }) => found).join("\n")
      expect(text).toContain("OpenSSH")
      expect(text).toContain("ssh-ed25519 SHA256:")
      expect(text).toContain(`known from ${server.knownHosts}, line 1`)
      expect(findings.filter(({ state }) => state === "no")).toEqual([])
    })
  )
})
