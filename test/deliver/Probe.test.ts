import { createHash } from "node:crypto"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, TestClock } from "effect"
import type { Finding } from "../../src/deliver/Destination.ts"
import * as Ftp from "../../src/deliver/destination/Ftp.ts"
import * as Probe from "../../src/deliver/Probe.ts"
import { rootOf, type Session, type Stat } from "../../src/deliver/Staging.ts"
import { LaneDownError, PermanentError, TransientError, type DeliveryError } from "../../src/domain/DeliveryError.ts"
import * as RelPath from "../../src/domain/RelPath.ts"
import { noSecrets } from "../../src/domain/Settings.ts"
import type { Target, TargetOptions } from "../../src/domain/Target.ts"
import { tempName } from "../../src/files/names.ts"
import { targetOptions } from "../contracts/destination.ts"
import { startFtpServer, type FtpFault, type FtpOptions } from "../servers/ftp.ts"

interface File {
  readonly bytes: Buffer
  readonly mtime: number
}

interface Behaviour {
  /** Names that differ by case only are one. */
  readonly folds?: boolean
  /** A rename onto a file fails. */
  readonly noOverwrite?: boolean
  /** A rename always replaces. */
  readonly replaces?: boolean
  readonly noRename?: boolean
  readonly noMtime?: boolean
  /** A file has the time of its upload. */
  readonly ownMtime?: boolean
  readonly noSize?: boolean
  readonly half?: boolean
  readonly readOnly?: boolean
  readonly appends?: boolean
  readonly hash?: "right" | "wrong"
  readonly longest?: number
  /** Characters that a name may not have. */
  readonly forbids?: RegExp
  /** As NTFS, which takes what is behind a colon for a stream of the file before it. */
  readonly streams?: boolean
  readonly identity?: Session["identity"]
  readonly space?: number
  readonly connect?: DeliveryError
  /** Runs before each operation. */
  readonly before?: (operation: string, path: string) => Effect.Effect<void, DeliveryError>
}

const nothing: Effect.Effect<undefined> = Effect.sync(() => undefined)

const refused = (why: string) => new PermanentError({ reason: why, cause: Option.none() })

const server = (behaviour: Behaviour = {}) => {
  const files = new Map<string, File>()
  const folders = new Set(["/in"])
  const touched = new Set<string>()
  const keyOf = (path: string) => (behaviour.folds === true ? path.toLowerCase() : path)
  const find = (path: string) => files.get(keyOf(path))
  const operation = <A>(name: string, path: string, run: () => Effect.Effect<A, DeliveryError>) =>
    Effect.suspend(() => {
      touched.add(path)
      return Effect.zipRight(behaviour.before?.(name, path) ?? Effect.void, Effect.suspend(run))
    })
  const session: Session = {
    home: Effect.succeed("/home/anna"),
    stat: (path) =>
      operation("stat", path, (): Effect.Effect<Stat | undefined> => {
        if (folders.has(path)) return Effect.succeed({ size: null, mtime: null, folder: true })
        const file = find(path)
        if (file === undefined) return nothing
        return Effect.succeed({
          size: behaviour.noSize === true ? null : file.bytes.byteLength,
          mtime: behaviour.noMtime === true ? null : behaviour.ownMtime === true ? 1_700_000_000_000 : file.mtime,
          folder: false
        })
      }),
    store: ({ body, mtime, offset, path }) =>
      operation("store", path, () => {
        const name = path.slice(path.lastIndexOf("/") + 1)
        if (behaviour.readOnly === true) return refused("553 no writing here")
        if (RelPath.toBytes(name).byteLength > (behaviour.longest ?? 255)) return refused("too long")
        if (behaviour.forbids?.test(name) === true) return refused("bad name")
        if (behaviour.streams === true && name.includes(":")) {
          files.set(keyOf(path.slice(0, path.indexOf(":"))), { bytes: Buffer.alloc(0), mtime })
        }
        return Effect.promise(async () => {
          const parts: Array<Buffer> = [find(path)?.bytes.subarray(0, offset) ?? Buffer.alloc(0)]
          for await (const chunk of body) parts.push(chunk)
          const bytes = Buffer.concat(parts)
          files.set(keyOf(path), { bytes: behaviour.half === true ? bytes.subarray(0, 3) : bytes, mtime })
          return { said: "stored" }
        })
      }),
    remove: (path) => operation("remove", path, () => Effect.sync(() => void files.delete(keyOf(path)))),
    rename: (from, to, overwrite) =>
      operation("rename", from, () => {
        const file = find(from)
        if (behaviour.noRename === true || file === undefined) return refused("550 no rename")
        const taken = find(to) !== undefined
        if (taken && (overwrite ? behaviour.noOverwrite === true : behaviour.replaces !== true)) {
          return Effect.succeed("occupied" as const)
        }
        files.delete(keyOf(from))
        files.set(keyOf(to), file)
        return Effect.succeed("renamed" as const)
      }),
    makeFolder: (path) => operation("makeFolder", path, () => Effect.void),
    names: (path) => operation("names", path, () => Effect.succeed([])),
    hash:
      behaviour.hash === undefined
        ? undefined
        : (path) =>
            operation("hash", path, () =>
              Effect.succeed(
                createHash("sha256")
                  .update(behaviour.hash === "wrong" ? "other" : (find(path)?.bytes ?? ""))
                  .digest("hex")
              )
            ),
    read: (path, offset, receive) =>
      operation("read", path, () => Effect.sync(() => receive(find(path)?.bytes.subarray(offset) ?? Buffer.alloc(0)))),
    appends: behaviour.appends ?? false,
    identity: behaviour.identity,
    space: behaviour.space === undefined ? undefined : () => Effect.succeed(behaviour.space)
  }
  return {
    files,
    folders,
    touched,
    sessions: {
      get: () => (behaviour.connect === undefined ? Effect.succeed(session) : Effect.fail(behaviour.connect))
    }
  }
}

const temp = tempName("a probe of this test")

const targetAt = (path: string, options: Partial<TargetOptions> = {}): Target => ({
  url: `test://anna@example.org${path}`,
  scheme: "test",
  lane: "test://anna@example.org",
  host: "example.org",
  port: 22,
  username: "anna",
  path,
  options: targetOptions(options)
})

const probe = (
  { sessions }: ReturnType<typeof server>,
  target: Target = targetAt("/in"),
  refuses: (path: string) => string | undefined = () => undefined
) => Probe.staged(sessions, { target, secrets: noSecrets, temp }, { refuses, rootOf })

const finding = (findings: ReadonlyArray<Finding>, what: Finding["what"]) =>
  findings.find((one) => one.what === what) ?? { what, state: "missing" }

describe("the probe of a staged target", () => {
  it.effect("of a server that can everything: every finding, in order, all yes; nothing is left", () =>
    Effect.gen(function* () {
      const far = server({
        appends: true,
        hash: "right",
        space: 5 * 1024 ** 3,
        identity: { server: "OpenSSH_9.2", security: "ssh-ed25519 SHA256:abc", authenticated: "anna, by a key" }
      })
      far.files.set("/in/other", { bytes: Buffer.from("a stranger's"), mtime: 0 })
      const findings = yield* probe(far)
      expect(findings.map(({ found, state, what }) => `${what} ${state}: ${found}`)).toEqual([
        "reachable yes: example.org, port 22, answers.",
        "identity yes: OpenSSH_9.2; ssh-ed25519 SHA256:abc.",
        "authenticated yes: anna, by a key.",
        "folder yes: /in is there.",
        "writable yes: A small file could be stored and removed again.",
        "rename yes: A rename replaces a file in one step.",
        "verification yes: The server tells the sha256 of a file.",
        "resume yes: Files can be appended to.",
        "mtime yes: A file keeps its time of modification.",
        "case yes: Names that differ by case only are told apart.",
        'names yes: Names of 255 bytes, with : ? * | < > ", and such that are not UTF-8.',
        "space yes: 5.0 GiB free."
      ])
      expect(Array.from(far.files.keys())).toEqual(["/in/other"])
      // nothing but the folder and names of its own was ever named to the server
      const own = temp.replace(/\.part$/, "").toLowerCase()
      for (const path of far.touched)
        expect(path === "/in" || path.toLowerCase().startsWith(`/in/${own}`), path).toBe(true)
    })
  )

  const cases: ReadonlyArray<
    readonly [string, Behaviour, Partial<TargetOptions>, Finding["what"], Finding["state"], therefore: RegExp]
  > = [
    ["folds case", { folds: true }, {}, "case", "limit", /names: portable/],
    ["folds case, with portable names", { folds: true }, { names: "portable" }, "case", "limit", /is encoded/],
    ["does not rename onto a file", { noOverwrite: true }, {}, "rename", "limit", /removed first/],
    ["replaces whatever is there", { replaces: true }, {}, "rename", "yes", /whole/],
    ["replaces what it should not", { replaces: true }, { conflict: "fail" }, "rename", "limit", /comes in between/],
    ["does not rename", { noRename: true }, {}, "rename", "no", /Nothing can be published/],
    ["tells no time", { noMtime: true }, {}, "mtime", "unknown", /^$/],
    ["tells no time, conflict: newer", { noMtime: true }, { conflict: "newer" }, "mtime", "limit", /can't be replaced/],
    ["gives times of its own", { ownMtime: true }, {}, "mtime", "limit", /time of the upload/],
    ["has sizes only", {}, {}, "verification", "yes", /by its size/],
    ["has sizes only, verify: hash", {}, { verify: "hash" }, "verification", "limit", /read back/],
    ["tells no size", { noSize: true }, {}, "verification", "limit", /when the server says so/],
    ["tells no size, verify: size", { noSize: true }, { verify: "size" }, "verification", "no", /verify: auto/],
    ["keeps half", { half: true }, {}, "verification", "no", /No file would/],
    ["has a wrong hash", { hash: "wrong" }, {}, "verification", "no", /No file would/],
    ["takes no writing", { readOnly: true }, {}, "writable", "no", /Nothing can be delivered/],
    ["does not append", {}, {}, "resume", "limit", /begins again/],
    ["has no room", { space: 100 }, {}, "space", "no", /Make some/],
    ["has little room", { space: 20 * 1024 ** 2 }, {}, "space", "limit", /little/],
    ["does not say what it is", {}, {}, "identity", "unknown", /^$/],
    ["is not encrypted", { identity: { server: "x" } }, {}, "identity", "limit", /password/]
  ]
  for (const [name, behaviour, options, what, state, therefore] of cases) {
    it.effect(`of a server that ${name}: ${what} ${state}`, () =>
      Effect.gen(function* () {
        const far = server(behaviour)
        const findings = yield* probe(far, targetAt("/in", options))
        expect(finding(findings, what)).toMatchObject({ state, therefore: expect.stringMatching(therefore) })
        expect(findings.filter((one) => one.state === "no").length).toBe(state === "no" ? 1 : 0)
        expect(far.files.size).toBe(0)
      })
    )
  }

  it.effect("names: says which it does not take", () =>
    Effect.gen(function* () {
      const short = server({ longest: 143, forbids: /[?*"]|[\udc80-\udcff]/ })
      expect(finding(yield* probe(short), "names")).toMatchObject({
        state: "limit",
        found: 'It does not take names of more than 143 bytes, names with ? * ", names that are not UTF-8.'
      })
      const ntfs = server({ streams: true, forbids: /[?*|<>"]/ })
      expect(finding(yield* probe(ntfs), "names")).toMatchObject({ found: expect.stringContaining('? * | < > " :') })
      expect(ntfs.files.size).toBe(0)
      const refusing = yield* probe(server(), targetAt("/in"), (path) =>
        path.includes(":") ? "it has a colon" : undefined
      )
      expect(finding(refusing, "names")).toMatchObject({ found: "It does not take names with :." })
    })
  )

  it.effect("a folder that is not there yet: tries above it, and makes nothing", () =>
    Effect.gen(function* () {
      const far = server()
      const findings = yield* probe(far, targetAt("/in/a/b"))
      expect(finding(findings, "folder")).toMatchObject({
        state: "yes",
        found: "/in/a/b is not there yet; /in is.",
        therefore: expect.stringContaining("will be made")
      })
      expect(finding(findings, "writable")).toMatchObject({ state: "yes" })
      expect(far.folders).toEqual(new Set(["/in"]))
      expect(far.files.size).toBe(0)
    })
  )

  it.effect("a file where the folder should be", () =>
    Effect.gen(function* () {
      const far = server()
      far.files.set("/in/a", { bytes: Buffer.from("x"), mtime: 0 })
      for (const path of ["/in/a", "/in/a/b"]) {
        const findings = yield* probe(far, targetAt(path))
        expect(findings.at(-1)).toMatchObject({
          what: "folder",
          state: "no",
          found: expect.stringContaining("/in/a is a file")
        })
      }
      expect(far.files.size).toBe(1)
    })
  )

  const down = (phase: LaneDownError["phase"], cause?: unknown) =>
    new LaneDownError({ reason: "why", phase, cause: Option.fromNullable(cause) })
  const coded = (code: string | number) => Object.assign(new Error("no"), { code })
  const connecting: ReadonlyArray<readonly [string, DeliveryError, ReadonlyArray<string>]> = [
    ["unreachable", down(undefined, coded("ECONNREFUSED")), ["reachable no"]],
    ["silent", new TransientError({ reason: "why", cause: Option.none() }), ["reachable no"]],
    ["with another host key", down("identity"), ["reachable yes", "identity no"]],
    ["with an expired certificate", down(undefined, coded("CERT_HAS_EXPIRED")), ["reachable yes", "identity no"]],
    ["that refuses the login", down("authenticated"), ["reachable yes", "authenticated no"]],
    ["that answers 530", down(undefined, coded(530)), ["reachable yes", "authenticated no"]]
  ]
  for (const [name, connect, expected] of connecting) {
    it.effect(`of a server ${name}`, () =>
      Effect.gen(function* () {
        const findings = yield* probe(server({ connect }))
        expect(findings.map(({ state, what }) => `${what} ${state}`)).toEqual(expected)
        expect(findings.at(-1)).toMatchObject({ found: "why" })
      })
    )
  }

  it.effect("a server that falls silent: no answer for the target's time-out at most, and nothing more is asked", () =>
    Effect.gen(function* () {
      let asked = 0
      const far = server({
        before: (operation) => {
          if (operation !== "rename") return Effect.void
          asked += 1
          return Effect.never
        }
      })
      const fiber = yield* Effect.fork(probe(far, targetAt("/in", { timeout: 3_600_000 })))
      // all that is before it is done without the clock
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 50)))
      yield* TestClock.adjust("31 seconds")
      const findings = yield* Fiber.join(fiber)
      expect(asked).toBe(1)
      for (const what of ["rename", "names", "space"] as const) {
        expect(finding(findings, what), what).toMatchObject({
          state: "unknown",
          found: expect.stringContaining("30 s")
        })
      }
      expect(finding(findings, "verification")).toMatchObject({ state: "yes" })
      expect(far.files.size).toBe(0)
    })
  )

  it.effect("interrupted in the middle, it leaves nothing", () =>
    Effect.gen(function* () {
      const reached = yield* Deferred.make<void>()
      const far = server({
        before: (operation) =>
          operation === "rename" ? Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never) : Effect.void
      })
      const fiber = yield* Effect.fork(probe(far))
      yield* Deferred.await(reached)
      expect(far.files.size).toBe(2)
      yield* Fiber.interrupt(fiber)
      expect(far.files.size).toBe(0)
    })
  )

  it.effect("what can't be removed is said", () =>
    Effect.gen(function* () {
      const far = server({ before: (operation) => (operation === "remove" ? refused("550 no removing") : Effect.void) })
      const findings = yield* probe(far)
      expect(finding(findings, "writable")).toMatchObject({
        state: "limit",
        therefore: expect.stringContaining(`/in/${temp}`)
      })
    })
  )
})

describe("the probe of an FTP server", () => {
  const probeFtp = (options: FtpOptions, own: Partial<TargetOptions> = {}, ...faults: ReadonlyArray<FtpFault>) =>
    Effect.gen(function* () {
      const far = yield* startFtpServer(options)
      far.put("/in/other", Buffer.from("a stranger's"))
      far.faultNext(...faults)
      const destination = yield* Ftp.make()
      const connection = yield* destination.open("lane", { concurrency: 1, sync: true })
      const target: Target = {
        ...targetAt("/in", own),
        scheme: "ftp",
        url: `${far.url}/in`,
        host: "127.0.0.1",
        port: far.port
      }
      const findings = yield* connection.probe?.({ target, secrets: noSecrets, temp }) ?? Effect.dieMessage("no probe")
      return { findings, left: Array.from(far.files.keys()).filter((path) => path !== "/in/other") }
    })

  const cases: ReadonlyArray<
    readonly [string, FtpOptions, ReadonlyArray<FtpFault>, Finding["what"], Finding["state"]]
  > = [
    ["as most are", {}, [], "rename", "yes"],
    ["that does not rename onto a file", { noOverwrite: true }, [], "rename", "limit"],
    ["that forbids renames", { noRename: true }, [], "rename", "no"],
    ["that is read-only", { readOnly: true }, [], "writable", "no"],
    ["that is full", {}, [{ verb: "STOR", kind: "reply", line: "452 No space left." }], "writable", "no"],
    ["that hangs up at a rename", {}, [{ verb: "RNTO", kind: "close" }], "rename", "unknown"],
    ["that answers 226 to half a file", {}, [{ verb: "STOR", kind: "half", bytes: 3 }], "verification", "no"]
  ]
  for (const [name, options, faults, what, state] of cases) {
    it.scopedLive(`${name}: ${what} ${state}; nothing is left`, () =>
      Effect.gen(function* () {
        const { findings, left } = yield* probeFtp(options, {}, ...faults)
        expect(finding(findings, what), JSON.stringify(findings)).toMatchObject({ state })
        expect(left).toEqual([])
      })
    )
  }

  it.scopedLive("that falls silent: given up after the time-out, and nothing is left", () =>
    Effect.gen(function* () {
      const { findings, left } = yield* probeFtp({}, { timeout: 300 }, { verb: "RNTO", kind: "silent" })
      expect(finding(findings, "rename")).toMatchObject({ state: "unknown" })
      expect(finding(findings, "names")).toMatchObject({ state: "unknown" })
      expect(left).toEqual([])
    })
  )
})
