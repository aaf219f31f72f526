/**
 * The built program against real servers of every protocol, all at once: what is delivered, what is left of a killed
 * process, and what `doctor` says.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import Database from "better-sqlite3"
import { randomBytes } from "node:crypto"
import fs from "node:fs"
import { basename, join } from "node:path"
import { vi } from "vitest"
import * as Process from "../cli/process.ts"
import { listAt, readAt } from "../servers/folder.ts"
import { startHttpServer } from "../servers/http.ts"
import { hasDavExtension, startNginx } from "../servers/nginx.ts"
import { hasOpenssh, startOpenssh } from "../servers/openssh.ts"
import { accessKey, bucketName, secretKey, startS3Server } from "../servers/s3.ts"
import { startS3rver } from "../servers/s3rver.ts"
import { startTusServer } from "../servers/tus.ts"
import { hasVsftpd, startVsftpd } from "../servers/vsftpd.ts"
import { list, project } from "./project.ts"

vi.setConfig({ testTimeout: 60_000 })

const mib = 1024 * 1024

/** A server that runs, with a folder to deliver to. */
interface Far {
  readonly port: number
  readonly url: string
  /** The target's own keys. */
  readonly keys: string
  /** Of what was delivered there, relative to the target. */
  readonly read: (name: string) => Effect.Effect<Uint8Array | undefined>
  /** All that is there, temp files too. */
  readonly list: Effect.Effect<ReadonlyArray<string>>
}

interface Kind {
  readonly name: string
  /** Why it can't be had here. */
  readonly missing?: string | false
  readonly protocol: string
  readonly worker: string
  /** How the arrival of a file is proved, and that of the large one where it is another way. */
  readonly verified: string
  readonly verifiedLarge?: string
  readonly start: Effect.Effect<Far, never, Scope.Scope>
}

/** As messages and the log show it. */
const withoutPassword = (url: string) => url.replace(/:[^:/@]*@/, "@")

const belowFolder = (names: ReadonlyArray<string>, folder: string) => names.map((name) => name.slice(folder.length))

const kinds: ReadonlyArray<Kind> = [
  {
    name: "OpenSSH",
    missing: !hasOpenssh && "OpenSSH is not installed",
    protocol: "sftp",
    worker: "SFTP worker",
    verified: "size",
    start: Effect.map(startOpenssh(), ({ key, knownHosts, port, root, user }) => ({
      port,
      url: `sftp://${user}@127.0.0.1:${port}${root}/in`,
      keys: `key: "${key}", knownHosts: "${knownHosts}"`,
      read: (name) => readAt(join(root, "in", name)),
      list: listAt(join(root, "in"))
    }))
  },
  {
    name: "vsftpd",
    missing: !hasVsftpd && "vsftpd is not installed, or this is not root",
    protocol: "ftp",
    worker: "FTP worker",
    verified: "size",
    start: Effect.map(startVsftpd, ({ port, root, url }) => ({
      port,
      url: `${url}/upload/in`,
      keys: "",
      read: (name) => readAt(join(root, "upload/in", name)),
      list: listAt(join(root, "upload/in"))
    }))
  },
  {
    name: "nginx with WebDAV",
    missing: !hasDavExtension && "nginx with its DAV modules is not installed",
    protocol: "webdav",
    worker: "WebDAV worker",
    verified: "size",
    start: Effect.map(startNginx({ lists: true }), ({ port, root }) => ({
      port,
      url: `webdav://127.0.0.1:${port}/in`,
      keys: "",
      read: (name) => readAt(join(root, "in", name)),
      list: listAt(join(root, "in"))
    }))
  },
  {
    name: "s3rver",
    protocol: "s3",
    worker: "S3 worker",
    verified: "hash",
    // its ETag of an upload in parts is not the one that S3 makes
    verifiedLarge: "size",
    start: Effect.map(startS3rver, ({ accessKey, bucket, list, port, read, secretKey, url }) => ({
      port,
      url: `s3://${accessKey}:${secretKey}@${bucket}/in`,
      keys: `endpoint: "${url}", region: us-east-1`,
      read: (name) => read(`in/${name}`),
      list: Effect.map(list, (keys) => belowFolder(keys, "in/"))
    }))
  },
  {
    name: "a tus server",
    protocol: "http",
    worker: "HTTP worker",
    verified: "size",
    start: Effect.map(startTusServer(), ({ list, port, read }) => ({
      port,
      url: `http://127.0.0.1:${port}/root`,
      keys: "upload: tus",
      read: (name) => Effect.promise(() => read(name)),
      list: Effect.sync(list)
    }))
  },
  {
    name: "an HTTP server",
    protocol: "http",
    worker: "HTTP worker",
    verified: "status",
    start: Effect.map(startHttpServer(), ({ files, port, url }) => ({
      port,
      url: `${url}/in`,
      keys: "upload: raw",
      read: (name) => Effect.sync(() => files.get(`/in/${name}`)),
      list: Effect.sync(() => belowFolder(Array.from(files.keys()), "/in/"))
    }))
  }
]

const present = kinds.filter(({ missing }) => typeof missing !== "string")
const absent = kinds.flatMap(({ missing, name }) => (typeof missing === "string" ? [`${name}: ${missing}`] : []))

const startAll = Effect.forEach(present, (kind) => Effect.map(kind.start, (far) => ({ ...kind, ...far })))

const folderLine = ({ keys, url }: Pick<Far, "keys" | "url">, ...more: ReadonlyArray<string>) =>
  `  - { ${[`path: "${url}"`, keys, ...more].filter((part) => part !== "").join(", ")} }`

const settings = [
  "db: ./journal.db",
  "log: { level: WARNING }",
  "sources: [{ path: ./in, recursive: true, settle: 20ms, after: delete }]",
  "folders:"
]

interface Entry {
  readonly filename: string
  readonly status: string
  readonly reason: string | null
  readonly protocol: string
  readonly worker: string
  readonly destination: string
  readonly verified: string
  readonly bytes: number
  readonly attempts: number
  readonly said: string
}

const byFilename = (one: Pick<Entry, "filename">, other: Pick<Entry, "filename">) =>
  one.filename < other.filename ? -1 : 1

/** The log with the receipts. */
const entriesIn = (directory: string): ReadonlyArray<Entry> => {
  const database = new Database(join(directory, "journal.db"), { readonly: true })
  try {
    return database
      .prepare<[], Entry>(
        `SELECT filename, status, reason, protocol, worker, destination, logs.verified, byte_size AS bytes, attempts, said
           FROM logs LEFT JOIN receipts USING (delivery) ORDER BY seq`
      )
      .all()
  } finally {
    database.close()
  }
}

it.skipIf(absent.length > 0)(
  `every server is there${absent.map((one) => `; skipped ${one}`).join("")}`,
  () => undefined
)

it.scopedLive(`one config, a target of every kind: ${present.map(({ name }) => name).join(", ")}`, () =>
  Effect.gen(function* () {
    const servers = yield* startAll
    const { directory, inbox, once, put } = yield* project(...settings, ...servers.map((far) => folderLine(far)))
    const contents = new Map<string, Uint8Array>([
      ["empty.bin", new Uint8Array()],
      ["small & odd #1.txt", Buffer.from("hello")],
      ["medium.bin", randomBytes(300_000)],
      ["large.bin", randomBytes(24 * mib + 7)],
      ["2026/below.txt", Buffer.from("below")]
    ])
    fs.mkdirSync(join(inbox, "2026"))
    for (const [name, content] of contents) put(name, content)
    const names = Array.from(contents.keys()).sort()
    const ended = yield* once
    expect(ended.code, `${ended.stderr}\n${ended.stdout}`).toBe(0)
    const entries = entriesIn(directory)
    for (const server of servers) {
      expect(Array.from(yield* server.list).sort(), server.name).toEqual(names)
      for (const [name, content] of contents) {
        const there = yield* server.read(name)
        expect(there !== undefined && Buffer.compare(there, content) === 0, `${server.name}: ${name}`).toBe(true)
      }
      const { protocol, verified, verifiedLarge = verified, worker } = server
      const own = entries.filter(({ destination }) => destination === withoutPassword(server.url))
      const expected = names.map((name) => ({
        filename: basename(name),
        status: "SUCCEEDED",
        reason: null,
        protocol,
        worker,
        verified: name === "large.bin" ? verifiedLarge : verified,
        bytes: contents.get(name)?.byteLength,
        attempts: 1
      }))
      expect(own.toSorted(byFilename), server.name).toMatchObject(expected.sort(byFilename))
    }
    expect(entries.length).toBe(names.length * servers.length)
    expect(list(inbox)).toEqual([])
  })
)

describe("killed in the middle of a large upload", () => {
  /** A server whose received bytes can be counted while they come. */
  interface Counting extends Far {
    readonly received: () => number
    /** What is there that is no delivered file. */
    readonly left: Effect.Effect<number>
  }
  const sizes = (folder: string) =>
    list(folder).reduce((sum, name) => sum + (fs.statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0), 0)
  const nothingMore = Effect.succeed(0)

  const counting: ReadonlyArray<{
    readonly kind: string
    readonly missing?: string | false
    /** Of what arrived before; by parts, where only whole ones count. */
    readonly resumed: RegExp
    readonly start: Effect.Effect<Counting, never, Scope.Scope>
  }> = [
    {
      kind: "SFTP",
      missing: !hasOpenssh && "OpenSSH is not installed",
      resumed: /\(resumed after (\d+) bytes\)$/,
      start: Effect.map(startOpenssh(), ({ key, knownHosts, port, root, user }) => ({
        port,
        url: `sftp://${user}@127.0.0.1:${port}${root}/in`,
        keys: `key: "${key}", knownHosts: "${knownHosts}"`,
        read: (name) => readAt(join(root, "in", name)),
        list: listAt(join(root, "in")),
        received: () => sizes(root),
        left: nothingMore
      }))
    },
    {
      kind: "FTP",
      missing: !hasVsftpd && "vsftpd is not installed, or this is not root",
      resumed: /\(resumed after (\d+) bytes\)$/,
      start: Effect.map(startVsftpd, ({ port, root, url }) => ({
        port,
        url: `${url}/upload/in`,
        keys: "",
        read: (name) => readAt(join(root, "upload/in", name)),
        list: listAt(join(root, "upload/in")),
        received: () => sizes(join(root, "upload")),
        left: nothingMore
      }))
    },
    {
      kind: "tus",
      resumed: /\(resumed after (\d+) bytes\)$/,
      start: Effect.map(startTusServer(), ({ list, port, read, uploads }) => ({
        port,
        url: `http://127.0.0.1:${port}/root`,
        keys: "upload: tus",
        read: (name) => Effect.promise(() => read(name)),
        list: Effect.sync(list),
        received: () => uploads().bytes,
        // but for the one that it was made of
        left: Effect.sync(() => uploads().count - 1)
      }))
    },
    {
      kind: "S3",
      resumed: /\(resumed with (\d) of 5 parts\)$/,
      start: Effect.map(startS3Server(), ({ count, objects, port, uploads, url }) => ({
        port,
        url: `s3://${accessKey}:${encodeURIComponent(secretKey)}@${bucketName}/in`,
        keys: `endpoint: "${url}", region: us-east-1, partSize: 5MiB`,
        read: (name) => Effect.sync(() => objects.get(`in/${name}`)?.bytes),
        list: Effect.sync(() => belowFolder(Array.from(objects.keys()), "in/")),
        received: () =>
          Array.from(uploads.values()).reduce(
            (sum, { parts }) => sum + Array.from(parts.values()).reduce((bytes, part) => bytes + part.bytes.length, 0),
            0
          ),
        // a part that is sent twice is none that was gone on with
        left: Effect.sync(() => uploads.size + Math.max(0, count("CreateMultipartUpload") - 1))
      }))
    }
  ]

  for (const { kind, missing, resumed, start } of counting) {
    const skipped = typeof missing === "string"
    it.scopedLive.skipIf(skipped)(
      `${kind}: it goes on, and arrives once${skipped ? ` (skipped: ${missing})` : ""}`,
      () =>
        Effect.gen(function* () {
          const far = yield* start
          const {
            config,
            directory,
            inbox,
            log,
            once,
            put,
            start: run
          } = yield* project(...settings, folderLine(far, "bandwidth: 4MiB/s"))
          const content = randomBytes(24 * mib + 7)
          yield* Effect.scoped(
            Effect.gen(function* () {
              const running = yield* run("--log-level", "INFO")
              put("large.bin", content)
              yield* Process.until(() => far.received() >= 2 * mib, running.stderr)
              yield* running.kill("SIGKILL")
              expect((yield* running.ended).signal).toBe("SIGKILL")
            })
          )
          const before = far.received()
          expect(before).toBeLessThan(content.byteLength)
          expect(log()).toEqual([])
          expect(yield* far.list).not.toContain("large.bin")

          // enough of that
          fs.writeFileSync(config, fs.readFileSync(config, "utf8").replace("4MiB/s", "1GiB/s"))
          const ended = yield* once
          expect(ended.code, ended.stderr).toBe(0)
          expect(yield* far.list).toEqual(["large.bin"])
          expect(Buffer.compare((yield* far.read("large.bin")) ?? Buffer.alloc(0), content)).toBe(0)
          expect(yield* far.left).toBe(0)
          expect(list(inbox)).toEqual([])
          const entries = entriesIn(directory)
          expect(entries).toMatchObject([{ status: "SUCCEEDED", filename: "large.bin", bytes: content.byteLength }])
          const there = Number(resumed.exec(entries[0]?.said ?? "")?.[1])
          expect(there, entries[0]?.said).toBeGreaterThanOrEqual(kind === "S3" ? 1 : 2 * mib)
        })
    )
  }
})

describe("doctor and check --probe of the program", () => {
  it.scopedLive("servers that are well: 0, and nothing is left there", () =>
    Effect.gen(function* () {
      const servers = yield* startAll
      const { config, directory } = yield* project(...settings, ...servers.map((far) => folderLine(far)))
      for (const command of [
        ["doctor", "-c", config],
        ["check", "-c", config, "--probe"]
      ]) {
        const ended = yield* Process.run(command)
        expect(ended.code, `${ended.stdout}\n${ended.stderr}`).toBe(0)
        expect(ended.stderr).toContain(`${servers.length} targets: nothing stands in the way.`)
        expect(ended.stdout.match(/Files can be delivered there\./g)?.length, ended.stdout).toBe(servers.length)
        expect(ended.stdout).not.toContain(":S3RVER@")
        for (const server of servers) expect(yield* server.list, server.name).toEqual([])
      }
      expect(fs.existsSync(join(directory, "journal.db"))).toBe(false)
    })
  )

  it.scopedLive("servers that are not: 1, and what to do about each", () =>
    Effect.gen(function* () {
      const servers = yield* startAll
      const folder = yield* Process.directory
      const [strangers, users] = [join(folder, "known_hosts"), join(folder, "users")]
      fs.writeFileSync(strangers, "")
      fs.writeFileSync(users, "anna:{PLAIN}right\n")
      fs.chmodSync(folder, 0o755)
      const wrong = [`auth_basic "in";`, `auth_basic_user_file ${users};`]
      const guarded = hasDavExtension ? yield* startNginx({ lists: true, lines: wrong }) : undefined

      interface Case extends Pick<Far, "url" | "keys"> {
        readonly says: RegExp
      }
      const cases = servers.flatMap((far): Array<Case> => {
        const { keys, port, protocol, url } = far
        const closed: Case = {
          url: url.replace(`:${port}`, ":1"),
          keys: keys.replace(`:${port}`, ":1"),
          says: /no +reachable .*ECONNREFUSED.*Check host and port, and that the server is running\./
        }
        const login = (more: Pick<Far, "url" | "keys">, says: RegExp): Case => ({ ...more, says })
        switch (protocol) {
          case "sftp":
            return [
              closed,
              login(
                { url: `${url}/strange`, keys: keys.replace(/knownHosts: ".*"/, `knownHosts: "${strangers}"`) },
                /no +identity .*host key ssh-ed25519 SHA256:\S+ is not known .*ssh-keyscan -p \d+ 127\.0\.0\.1/
              ),
              login(
                { url: url.replace(/\/\/.*@/, "//anna:wrong-one@"), keys: keys.replace(/^key: .*?, /, "") },
                /no +authenticated .*refused the login of anna.*Check the user, the password/
              )
            ]
          case "ftp":
            return [
              closed,
              login(
                { url: url.replace("//", "//anna:wrong-one@"), keys },
                /no +authenticated .*refused the login with "530 .*Check the user and the password/
              )
            ]
          case "webdav":
            return guarded === undefined
              ? [closed]
              : [
                  closed,
                  login(
                    { url: `webdav://anna:wrong-one@127.0.0.1:${guarded.port}/in`, keys },
                    /no +authenticated .*401 .*Check the user/
                  )
                ]
          case "s3":
            return [
              closed,
              login(
                { url: url.replace(/\/\/.*@/, "//anna:wrong-one@"), keys },
                /no +authenticated .*InvalidAccessKeyId.*Check the access key and the secret key\./
              )
            ]
          default:
            return [closed]
        }
      })
      const signed = yield* startS3Server()
      cases.push({
        url: `s3://${accessKey}:wrong-one@${bucketName}/in`,
        keys: `endpoint: "${signed.url}", region: us-east-1`,
        says: /no +authenticated .*SignatureDoesNotMatch.*[Cc]heck .*secret key/
      })
      const { config } = yield* project(...settings, ...cases.map((one) => folderLine(one)))
      for (const command of [
        ["doctor", "-c", config],
        ["check", "-c", config, "--probe"]
      ]) {
        const ended = yield* Process.run(command)
        expect(ended.code, `${ended.stdout}\n${ended.stderr}`).toBe(1)
        expect(ended.stderr).toContain(`${cases.length} targets: nothing can be delivered to `)
        expect(ended.stdout + ended.stderr).not.toContain("wrong-one")
        expect(ended.stdout + ended.stderr).not.toMatch(/\n {4}at /)
        const blocks = ended.stdout.split("\n\n")
        for (const { says, url } of cases) {
          const block = blocks.find((one) => one.startsWith(`${withoutPassword(url)} (`))
          expect(block, ended.stdout).toMatch(says)
          expect(block).toContain("Nothing can be delivered there as it is.")
        }
      }
    })
  )
})
