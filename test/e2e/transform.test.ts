/**
 * The built program, with files that are transformed on their way: what arrives, and what is left of a killed process.
 */
import { expect, it } from "@effect/vitest"
import { Decrypter, generateX25519Identity, identityToRecipient } from "age-encryption"
import { Effect } from "effect"
import Database from "better-sqlite3"
import { createHash, randomBytes } from "node:crypto"
import fs from "node:fs"
import { join } from "node:path"
import { gunzipSync, gzipSync } from "node:zlib"
import { decompress } from "fzstd"
import { vi } from "vitest"
import * as Process from "../cli/process.ts"
import { startHttpServer } from "../servers/http.ts"
import { hasOpenssh, startOpenssh } from "../servers/openssh.ts"
import { list, project } from "./project.ts"

vi.setConfig({ testTimeout: 120_000 })

const mib = 1024 * 1024

const settings = ["db: ./journal.db", "sources: [{ path: ./in, settle: 20ms, after: delete }]"]

const keys = Effect.promise(async () => {
  const identity = await generateX25519Identity()
  const decrypt = (bytes: Uint8Array): Promise<Uint8Array> => {
    const decrypter = new Decrypter()
    decrypter.addIdentity(identity)
    return decrypter.decrypt(bytes)
  }
  return { recipient: await identityToRecipient(identity), decrypt }
})

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

interface Entry {
  readonly destination: string
  readonly byte_size: number
  readonly sha256: string
  readonly sent_size: number | null
  readonly sent_sha256: string | null
  readonly said: string
}

const entriesIn = (directory: string): ReadonlyArray<Entry> => {
  const database = new Database(join(directory, "journal.db"), { readonly: true })
  try {
    return database
      .prepare<[], Entry>(
        `SELECT destination, byte_size, logs.sha256, sent_size, sent_sha256, said
           FROM logs LEFT JOIN receipts USING (delivery) ORDER BY destination`
      )
      .all()
  } finally {
    database.close()
  }
}

const spool = (directory: string) => list(join(directory, "journal.db.spool"))

it.scopedLive("compressed, encrypted and decompressed: each target gets the form that it wants", () =>
  Effect.gen(function* () {
    const { decrypt, recipient } = yield* keys
    const http = yield* startHttpServer()
    const { directory, inbox, once, put } = yield* project(
      ...settings,
      "folders:",
      `  - { path: $DIR/vault, encrypt: { age: [${recipient}] } }`,
      "  - { path: $DIR/zstd, compress: zstd }",
      "  - { path: $DIR/plain, decompress: true }",
      `  - { path: "${http.url}/in", upload: raw, compress: gzip, decompress: true }`
    )
    const content = Buffer.concat([randomBytes(mib), Buffer.alloc(10 * mib), Buffer.from("end")])
    const packed = gzipSync(content)
    put("data.bin.gz", packed)
    const ended = yield* once
    expect(ended.code, `${ended.stderr}\n${ended.stdout}`).toBe(0)

    const vault = fs.readFileSync(join(directory, "vault", "data.bin.gz.age"))
    expect(Buffer.from(yield* Effect.promise(() => decrypt(vault))).equals(packed)).toBe(true)
    const zstd = fs.readFileSync(join(directory, "zstd", "data.bin.gz.zst"))
    expect(Buffer.from(decompress(zstd)).equals(packed)).toBe(true)
    expect(fs.readFileSync(join(directory, "plain", "data.bin")).equals(content)).toBe(true)
    expect(gunzipSync(http.files.get("/in/data.bin.gz") ?? "").equals(content)).toBe(true)
    expect(http.received.find(({ method }) => method === "PUT")?.headers["content-type"]).toBe("application/gzip")

    const entries = entriesIn(directory)
    expect(entries.length).toBe(4)
    for (const entry of entries) {
      expect(entry).toMatchObject({ byte_size: packed.byteLength, sha256: sha256(packed) })
    }
    expect(entries.find(({ destination }) => destination.endsWith("/vault"))).toMatchObject({
      sent_size: vault.byteLength,
      sent_sha256: sha256(vault)
    })
    expect([list(inbox), spool(directory)]).toEqual([[], []])
  })
)

it.scopedLive("killed while a file is prepared: no half of it is sent, and nothing of it is left", () =>
  Effect.gen(function* () {
    const { directory, inbox, once, put, start } = yield* project(
      ...settings,
      "folders:",
      "  - { path: $DIR/out, compress: gzip }"
    )
    const content = randomBytes(48 * mib)
    put("large.bin", content)
    const running = yield* start()
    yield* Process.until(
      () => spool(directory).some((name) => name.endsWith(".part")),
      () => running.stderr()
    )
    yield* running.kill("SIGKILL")
    yield* running.ended
    expect(list(join(directory, "out"))).toEqual([])
    const ended = yield* once
    expect(ended.code, ended.stderr).toBe(0)
    expect(list(join(directory, "out"))).toEqual(["large.bin.gz"])
    expect(gunzipSync(fs.readFileSync(join(directory, "out", "large.bin.gz"))).equals(content)).toBe(true)
    expect([list(inbox), spool(directory)]).toEqual([[], []])
  })
)

it.scopedLive.skipIf(!hasOpenssh)("killed in the middle of an upload: what is encrypted goes on as well", () =>
  Effect.gen(function* () {
    const { decrypt, recipient } = yield* keys
    const { key, knownHosts, port, root, user } = yield* startOpenssh()
    const { directory, inbox, once, put, start } = yield* project(
      ...settings,
      "folders:",
      `  - { path: "sftp://${user}@127.0.0.1:${port}${root}/in", key: "${key}", knownHosts: "${knownHosts}", bandwidth: 4MiB/s, encrypt: { age: [${recipient}] } }`
    )
    const received = () =>
      list(root).reduce((sum, name) => sum + (fs.statSync(join(root, name), { throwIfNoEntry: false })?.size ?? 0), 0)
    const before = received()
    const content = randomBytes(24 * mib)
    put("large.bin", content)
    const running = yield* start()
    yield* Process.until(
      () => received() - before > 6 * mib,
      () => running.stderr()
    )
    yield* running.kill("SIGKILL")
    yield* running.ended
    const [prepared] = spool(directory)
    const ended = yield* once
    expect(ended.code, ended.stderr).toBe(0)
    const arrived = fs.readFileSync(join(root, "in", "large.bin.age"))
    expect(Buffer.from(yield* Effect.promise(() => decrypt(arrived))).equals(content)).toBe(true)
    const [entry] = entriesIn(directory)
    expect(entry?.said).toMatch(/\(resumed after \d+ bytes\)$/)
    expect(prepared).toContain(sha256(arrived))
    expect([list(inbox), spool(directory)]).toEqual([[], []])
  })
)
