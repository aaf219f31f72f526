/**
 * `verify` of the built program against real servers: what it makes of files that somebody has tampered with.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Schema, Scope } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import * as Process from "../cli/process.ts"
import { startHttpServer } from "../servers/http.ts"
import { hasDavExtension, hasNginx, startNginx } from "../servers/nginx.ts"
import { hasOpenssh, startOpenssh } from "../servers/openssh.ts"
import { accessKey, bucketName, secretKey, startS3Server } from "../servers/s3.ts"
import { hasVsftpd, startVsftpd } from "../servers/vsftpd.ts"
import { project, type Project } from "./project.ts"

vi.setConfig({ testTimeout: 120_000 })

/** What a program may rely on. */
const Status = Schema.Literal("present", "changed", "gone", "unknown", "unverifiable", "replaced")
const Counts = Schema.Struct({
  present: Schema.Int,
  changed: Schema.Int,
  gone: Schema.Int,
  unknown: Schema.Int,
  unverifiable: Schema.Int,
  replaced: Schema.Int
})
const ReportJson = Schema.Struct({
  receipts: Schema.Array(
    Schema.Struct({
      delivery: Schema.Int,
      status: Status,
      file: Schema.String,
      destination: Schema.String,
      place: Schema.String,
      route: Schema.String,
      delivered: Schema.String,
      bytes: Schema.Int,
      sha256: Schema.NullOr(Schema.String),
      checked: Schema.NullOr(Schema.Literal("hash", "size")),
      differs: Schema.NullOr(Schema.Literal("kind", "size", "hash")),
      reason: Schema.NullOr(Schema.String),
      replacedBy: Schema.NullOr(Schema.Int),
      source: Schema.NullOr(Schema.Literal("same", "changed", "gone"))
    })
  ),
  summary: Schema.Struct({
    ok: Schema.Boolean,
    ...Counts.fields,
    byHash: Schema.Int,
    since: Schema.NullOr(Schema.String),
    oldest: Schema.NullOr(Schema.String),
    sample: Schema.NullOr(Schema.Struct({ size: Schema.Int, seed: Schema.Int, of: Schema.Int })),
    destinations: Schema.Array(Schema.Struct({ destination: Schema.String, ...Counts.fields }))
  })
})
const decode = Schema.decodeUnknownSync(Schema.parseJson(ReportJson), { onExcessProperty: "error" })

const verify = ({ config }: Project, ...args: ReadonlyArray<string>) => Process.run(["verify", "-c", config, ...args])

const asJson = (tried: Project, ...args: ReadonlyArray<string>) =>
  Effect.map(verify(tried, "--json", ...args), ({ code, stderr, stdout }) => {
    expect(stderr).not.toMatch(/\n {4}at /)
    return { code, ...decode(stdout) }
  })

type Report = Effect.Effect.Success<ReturnType<typeof asJson>>

/** `gone lost.txt`, by name. */
const said = ({ receipts }: Report) =>
  receipts.map(({ place, status }) => `${status} ${place.replace(/^.*\//, "")}`).sort()

/** A server, with a hand in what lies there. */
interface Far {
  readonly url: string
  readonly keys: string
  readonly remove: (name: string) => void
  /** Puts other bytes there; on a disk with the times that it had. */
  readonly replace: (name: string, change: (there: Buffer) => Uint8Array) => void
}

const onDisk = (folder: string): Pick<Far, "remove" | "replace"> => ({
  remove: (name) => fs.rmSync(join(folder, name)),
  replace: (name, change) => {
    const file = join(folder, name)
    const { atime, mtime } = fs.statSync(file)
    fs.writeFileSync(file, change(fs.readFileSync(file)))
    fs.utimesSync(file, atime, mtime)
  }
})

interface Kind {
  readonly name: string
  readonly missing?: string | false
  /** Whether a hash is compared without `--hash`. */
  readonly hashes: boolean
  readonly start: Effect.Effect<Far, never, Scope.Scope>
}

const kinds: ReadonlyArray<Kind> = [
  {
    name: "a local folder",
    hashes: true,
    start: Effect.map(Process.directory, (folder) => ({ url: folder, keys: "", ...onDisk(folder) }))
  },
  {
    name: "OpenSSH",
    missing: !hasOpenssh && "OpenSSH is not installed",
    hashes: false,
    start: Effect.map(startOpenssh(), ({ key, knownHosts, port, root, user }) => ({
      url: `sftp://${user}@127.0.0.1:${port}${root}/in`,
      keys: `key: "${key}", knownHosts: "${knownHosts}"`,
      ...onDisk(join(root, "in"))
    }))
  },
  {
    name: "vsftpd",
    missing: !hasVsftpd && "vsftpd is not installed, or this is not root",
    hashes: false,
    start: Effect.map(startVsftpd, ({ root, url }) => ({
      url: `${url}/upload/in`,
      keys: "",
      ...onDisk(join(root, "upload/in"))
    }))
  },
  {
    name: "nginx with WebDAV",
    missing: !hasDavExtension && "nginx with its DAV modules is not installed",
    hashes: false,
    start: Effect.map(startNginx({ lists: true }), ({ port, root }) => ({
      url: `webdav://127.0.0.1:${port}/in`,
      keys: "",
      ...onDisk(join(root, "in"))
    }))
  },
  {
    name: "nginx with plain PUT",
    missing: !hasNginx && "nginx is not installed",
    hashes: false,
    start: Effect.map(startNginx({ lists: false }), ({ port, root }) => ({
      url: `http://127.0.0.1:${port}/`,
      keys: "upload: raw",
      ...onDisk(root)
    }))
  },
  {
    name: "S3 with checksums",
    hashes: true,
    start: Effect.map(startS3Server(), ({ objects, put, url }) => ({
      url: `s3://${accessKey}:${encodeURIComponent(secretKey)}@${bucketName}/in`,
      keys: `endpoint: "${url}", region: us-east-1`,
      remove: (name) => void objects.delete(`in/${name}`),
      replace: (name, change) =>
        put(`in/${name}`, Buffer.from(change(Buffer.from(objects.get(`in/${name}`)?.bytes ?? []))))
    }))
  }
]

const flipped = (there: Buffer): Buffer => {
  const bytes = Buffer.from(there)
  bytes[0] = (bytes[0] ?? 0) ^ 1
  return bytes
}

const head = ["db: ./journal.db", "sources: [{ path: ./in, settle: 20ms }]", "folders:"]

const target = ({ keys, url }: Pick<Far, "keys" | "url">) => `  - { path: "${url}"${keys === "" ? "" : `, ${keys}`} }`

describe("verify, of what lies with", () => {
  for (const { hashes, missing, name, start } of kinds) {
    const skipped = typeof missing === "string"
    it.scopedLive.skipIf(skipped)(
      `${name}: finds what is deleted, cut and flipped, and not what came later${skipped ? ` (skipped: ${missing})` : ""}`,
      () =>
        Effect.gen(function* () {
          const far = yield* start
          const tried = yield* project(...head, target(far))
          const names = ["flipped.txt", "kept.txt", "lost.txt", "newer.txt", "short.txt"]
          for (const name of names) tried.put(name, `the first ${name}`)
          expect((yield* tried.once).code).toBe(0)

          const sound = yield* asJson(tried, "--hash")
          expect(sound.code, JSON.stringify(sound)).toBe(0)
          expect(said(sound)).toEqual(names.map((name) => `present ${name}`))
          expect(sound.receipts.every(({ checked }) => checked === "hash")).toBe(true)
          expect(sound.summary).toMatchObject({ ok: true, present: 5, byHash: 5, sample: null })

          tried.put("newer.txt", "the second newer.txt, and longer")
          expect((yield* tried.once).code).toBe(0)
          far.remove("lost.txt")
          far.replace("short.txt", (there) => there.subarray(1))
          far.replace("flipped.txt", flipped)
          // of one of them the source has another version by now, and of one it has none
          fs.rmSync(join(tried.inbox, "lost.txt"))

          const all = yield* asJson(tried, "--hash")
          expect(all.code).toBe(1)
          expect(said(all)).toEqual([
            "changed flipped.txt",
            "changed short.txt",
            "gone lost.txt",
            "present kept.txt",
            "present newer.txt",
            "replaced newer.txt"
          ])
          const of = (wanted: string, status: string) =>
            all.receipts.find(({ place, status: found }) => place.endsWith(wanted) && found === status)
          expect(of("flipped.txt", "changed")).toMatchObject({ differs: "hash", source: "same" })
          expect(of("short.txt", "changed")).toMatchObject({ differs: "size", source: "same" })
          expect(of("lost.txt", "gone")).toMatchObject({ differs: null, source: "gone" })
          expect(of("newer.txt", "replaced")?.replacedBy).toBe(of("newer.txt", "present")?.delivery)
          expect(all.summary).toMatchObject({ ok: false, present: 2, changed: 2, gone: 1, replaced: 1, unknown: 0 })

          // the table has what does not hold, as far as is looked without --hash
          const table = yield* verify(tried)
          expect(table.code).toBe(1)
          const rows = table.stdout.trimEnd().split("\n")
          const changed = hashes ? ["changed", "changed"] : ["changed"]
          expect(rows.map((row) => row.split("\t")[1]).sort()).toEqual([...changed, "gone"])
          expect(table.stderr).toContain(`, ${changed.length} changed, 1 gone.`)
          expect(table.stderr).toContain("1 more was replaced by a later delivery to the same place.")
          expect(table.stderr).toContain("touch")
        })
    )
  }
})

describe("verify", () => {
  it.scopedLive("asks no more of a server that is down, and all of the others: 1", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const far = yield* Scope.extend(startHttpServer(), scope)
      const folder = yield* Process.directory
      const tried = yield* project(
        ...head,
        target({ url: `${far.url}/in`, keys: "upload: raw" }),
        target({ url: folder, keys: "" })
      )
      for (let file = 0; file < 20; file++) tried.put(`${file}.txt`, `file ${file}`)
      expect((yield* tried.once).code).toBe(0)
      const before = fs.readFileSync(tried.config, "utf8")
      // the same place, of which nobody knows any more
      fs.writeFileSync(tried.config, before.replaceAll(/^.*upload: raw.*\n/gm, ""))
      const unknownTarget = yield* asJson(tried)
      expect(unknownTarget.code).toBe(0)
      expect(unknownTarget.summary.present).toBe(40)
      fs.writeFileSync(tried.config, before)
      yield* Scope.close(scope, Exit.void)
      const report = yield* asJson(tried)
      expect(report.code).toBe(1)
      expect(report.summary).toMatchObject({ ok: false, present: 20, unknown: 20 })
      expect(report.receipts.filter(({ status }) => status === "unknown")[0]?.reason).toContain("can't be reached")
    })
  )

  it.scopedLive("says what nobody can ask, which speaks against nothing: 0", () =>
    Effect.gen(function* () {
      const far = yield* startHttpServer()
      const tried = yield* project(...head, target({ url: `${far.url}/form`, keys: "" }))
      tried.put("a.txt", "a")
      expect((yield* tried.once).code).toBe(0)
      const report = yield* asJson(tried)
      expect(report.code).toBe(0)
      expect(report.summary).toMatchObject({ ok: true, unverifiable: 1 })
      expect(report.receipts[0]?.reason).toBe("It was sent as a form: what became of it can't be asked.")
    })
  )

  it.scopedLive("draws a sample from every target, and the same one again by its seed", () =>
    Effect.gen(function* () {
      const [large, small] = [yield* Process.directory, yield* Process.directory]
      const tried = yield* project(...head, `  - { path: "${large}" }`, `  - { path: "${small}", extensions: [md] }`)
      for (let file = 0; file < 40; file++) tried.put(`${file}.${file < 4 ? "md" : "txt"}`, `file ${file}`)
      expect((yield* tried.once).code).toBe(0)
      const first = yield* asJson(tried, "--sample", "10")
      const { seed } = first.summary.sample ?? {}
      expect(first.summary.sample).toMatchObject({ size: 10, of: 44 })
      expect(first.summary.destinations.map(({ present }) => present).sort((a, b) => a - b)).toEqual([4, 6])
      const again = yield* asJson(tried, "--sample", "10", "--seed", String(seed))
      expect(said(again)).toEqual(said(first))
      expect((yield* asJson(tried, "--destination", small)).summary.present).toBe(4)
      expect((yield* asJson(tried, "--since", "1h")).summary.present).toBe(44)
      const none = yield* asJson(tried, "--since", new Date(Date.now() + 60_000).toISOString())
      expect([none.code, none.receipts]).toEqual([0, []])
    })
  )

  it.scopedLive("runs beside the daemon, and leaves journal, source and target as they are", () =>
    Effect.gen(function* () {
      const folder = yield* Process.directory
      const tried = yield* project(...head, target({ url: folder, keys: "" }))
      yield* tried.start()
      for (let file = 0; file < 10; file++) tried.put(`${file}.txt`, `file ${file}`)
      yield* Process.until(
        () => tried.log().length === 10,
        () => tried.log().join("\n")
      )
      const before = fs.readdirSync(folder).map((name) => [name, fs.statSync(join(folder, name)).ctimeMs])
      const journal = fs.readFileSync(join(tried.directory, "journal.db"))
      const report = yield* asJson(tried, "--hash")
      expect([report.code, report.summary.present]).toEqual([0, 10])
      expect(fs.readdirSync(folder).map((name) => [name, fs.statSync(join(folder, name)).ctimeMs])).toEqual(before)
      expect(fs.readFileSync(join(tried.directory, "journal.db")).equals(journal)).toBe(true)
    })
  )

  it.scopedLive("is no false alarm while the daemon replaces what is looked at", () =>
    Effect.gen(function* () {
      const folder = yield* Process.directory
      const tried = yield* project(...head, target({ url: folder, keys: "" }))
      const running = yield* tried.start()
      let round = 0
      const writing = Effect.gen(function* () {
        round += 1
        for (let file = 0; file < 30; file++) tried.put(`${file}.txt`, `round ${round}, ${"x".repeat(round)} ${file}`)
        yield* Effect.sleep(50)
      }).pipe(Effect.forever)
      yield* Effect.forkScoped(writing)
      yield* Process.until(() => tried.log().length > 60, running.stderr)
      for (let run = 0; run < 5; run++) {
        const report = yield* asJson(tried)
        expect(report.receipts.filter(({ status }) => status === "changed" || status === "gone")).toEqual([])
        expect(report.code).toBe(0)
      }
    })
  )

  it.scopedLive("is told how: 2, and says so where there is nothing: 0", () =>
    Effect.gen(function* () {
      const folder = yield* Process.directory
      const tried = yield* project(...head, target({ url: folder, keys: "" }))
      const empty = yield* asJson(tried)
      expect([empty.code, empty.receipts, empty.summary.ok]).toEqual([0, [], true])
      for (const [args, words] of [
        [["--size", "--hash"], "--size and --hash exclude each other."],
        [["--seed", "1"], "--seed is for a sample"],
        [["--since", "yesterday"], '--since is "yesterday", but must be a time such as 12h or 7d'],
        [["--sample", "0"], "must be a whole number from 1"]
      ] as const) {
        const ended = yield* verify(tried, ...args)
        expect([ended.code, ended.stdout]).toEqual([2, ""])
        expect(ended.stderr).toContain(words)
      }
      expect((yield* Process.run(["verify"])).code).toBe(2)
    })
  )
})
