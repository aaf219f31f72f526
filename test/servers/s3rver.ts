/**
 * s3rver, a real S3 service from the npm registry: it knows its account, but checks no signatures of version 4, knows
 * neither checksums nor conditions, and lists or aborts no parts.
 */
import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { Effect, type Scope } from "effect"
import S3rver from "s3rver"

export interface S3rverServer {
  readonly url: string
  readonly port: number
  readonly bucket: string
  /** Its only account. */
  readonly accessKey: string
  readonly secretKey: string
  readonly read: (key: string) => Effect.Effect<Uint8Array | undefined>
  readonly put: (key: string, bytes: Uint8Array) => Effect.Effect<void>
  /** All keys. */
  readonly list: Effect.Effect<ReadonlyArray<string>>
}

const suffix = "._S3rver_object"
const bucket = "bucket"

export const startS3rver: Effect.Effect<S3rverServer, never, Scope.Scope> = Effect.gen(function* () {
  const directory = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "filedispatch-s3rver-"))),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
  )
  const server = new S3rver({
    port: 0,
    address: "127.0.0.1",
    silent: true,
    directory,
    vhostBuckets: false,
    configureBuckets: [{ name: bucket }]
  })
  // it makes a longer name of each key, which a file system refuses where S3 does not
  const long = new Map<string, string>()
  const usual = server.store.getResourcePath.bind(server.store)
  server.store.getResourcePath = (name, key, resource) => {
    const path = usual(name, key, resource)
    const base = basename(path)
    if (Buffer.byteLength(base) <= 255) return path
    const end = `._S3rver_${resource}`
    const short = createHash("sha256").update(base.slice(0, -end.length)).digest("hex")
    long.set(short, base.slice(0, -end.length))
    return join(dirname(path), `${short}${end}`)
  }
  const { port } = yield* Effect.acquireRelease(
    Effect.promise(() => server.run()),
    () => Effect.promise(() => server.close())
  )
  const root = join(directory, bucket)
  const fileOf = (key: string) => server.store.getResourcePath(bucket, key, "object")
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    bucket,
    accessKey: "S3RVER",
    secretKey: "S3RVER",
    read: (key) =>
      Effect.promise(async () => {
        const found = [fileOf(key), join(root, `${key}${suffix}`)].find((file) => existsSync(file))
        return found === undefined ? undefined : await readFile(found)
      }),
    put: (key, bytes) =>
      Effect.promise(async () => {
        await mkdir(dirname(fileOf(key)), { recursive: true })
        await writeFile(fileOf(key), bytes)
        await writeFile(`${fileOf(key)}.md5`, createHash("md5").update(bytes).digest("hex"))
        await writeFile(server.store.getResourcePath(bucket, key, "metadata.json"), "{}")
      }),
    list: Effect.promise(async () => {
      const all = existsSync(root) ? await readdir(root, { recursive: true }) : []
      return all
        .filter((file) => file.endsWith(suffix))
        .map((file) => file.slice(0, -suffix.length))
        .map((key) => (dirname(key) === "." ? (long.get(key) ?? key) : key))
    })
  }
})
