import { Effect, Option, Redacted } from "effect"
import * as S3 from "../../../src/deliver/destination/S3.ts"
import { noSecrets, unlimited, type RouteTarget } from "../../../src/domain/Settings.ts"
import type { TargetOptions } from "../../../src/domain/Target.ts"
import { destinationContract, targetOptions, type Capabilities } from "../../contracts/destination.ts"
import { accessKey, bucketName, secretKey, startS3Server } from "../../servers/s3.ts"
import { startS3rver } from "../../servers/s3rver.ts"

const capabilities: Capabilities = {
  folders: true,
  bytes: false,
  lineBreaks: true,
  // a small file is read whole before any of it is sent
  streams: false,
  temps: false,
  adopts: "chosen",
  hashes: true,
  // by the md5 in an ETag at the least, or by reading back the first
  verifies: { auto: "hash", size: "hash", hash: "hash" },
  examines: "size",
  paces: true
}

const targetFor =
  (endpoint: string, user: string, password: string) =>
  (options: Partial<TargetOptions> = {}, folder = ""): RouteTarget => ({
    target: {
      url: `s3://${user}@${bucketName}/${folder}`,
      scheme: "s3",
      lane: `s3://${user}@${bucketName}`,
      host: bucketName,
      port: null,
      username: user,
      path: `/${folder}`,
      options: targetOptions({ endpoint, region: "us-east-1", ...options })
    },
    secrets: { ...noSecrets, password: Option.some(Redacted.make(password)) },
    bandwidth: unlimited,
    rename: "{relpath}"
  })

const below = (path: string, key: string): string => (path === "/" ? key : `${path.slice(1)}/${key}`)

destinationContract({
  name: "S3, s3rver",
  capabilities,
  make: Effect.gen(function* () {
    const server = yield* startS3rver
    const target = targetFor(server.url, server.accessKey, server.secretKey)
    return {
      destination: yield* S3.make({ environment: {} }),
      target,
      down: target({ endpoint: "http://127.0.0.1:1" }),
      read: ({ path }, name) => server.read(below(path, name)),
      put: ({ path }, name, bytes) => server.put(below(path, name), bytes),
      list: ({ path }) =>
        Effect.map(server.list, (keys) =>
          keys.flatMap((key) => (key.startsWith(below(path, "")) ? [key.slice(below(path, "").length)] : []))
        )
    }
  })
})

for (const [name, manners] of [
  ["all that is new", {}],
  ["neither checksums nor conditions", { checksums: "refused", conditional: "refused" }],
  ["no hash of any kind", { checksums: "ignored", conditional: "ignored", etag: "opaque" }]
] as const) {
  destinationContract({
    name: `S3, a scripted service with ${name}`,
    capabilities: {
      ...capabilities,
      mtime: 1,
      ...(name === "all that is new" ? { examines: "hash" } : {}),
      // without a hash it can't tell what is there from what was sent
      ...(name === "no hash of any kind" ? { adopts: "nothing" } : { resumes: "own" })
    },
    make: Effect.gen(function* () {
      const server = yield* startS3Server(manners)
      const all = targetFor(server.url, accessKey, secretKey)
      const target = (options: Partial<TargetOptions> = {}, folder = "") =>
        all({ partSize: 1024 * 1024, ...options }, folder)
      return {
        destination: yield* S3.make({ environment: {} }),
        target,
        down: target({ endpoint: "http://127.0.0.1:1" }),
        read: ({ path }, name) => Effect.sync(() => server.objects.get(below(path, name))?.bytes),
        put: ({ path }, name, bytes) => Effect.sync(() => server.put(below(path, name), bytes)),
        list: ({ path }) =>
          Effect.sync(() =>
            [...server.objects.keys(), ...Array.from(server.uploads.values(), ({ key }) => key)].flatMap((key) =>
              key.startsWith(below(path, "")) ? [key.slice(below(path, "").length)] : []
            )
          ),
        modified: ({ path }, name) =>
          Effect.sync(() => Number(server.objects.get(below(path, name))?.headers["x-amz-meta-mtime"] ?? 0) * 1000),
        touch: ({ path }, name, mtime) =>
          Effect.sync(() =>
            server.put(below(path, name), server.objects.get(below(path, name))?.bytes ?? Buffer.of(), {
              "x-amz-meta-mtime": String(mtime / 1000)
            })
          ),
        cut: Effect.sync(server.cut)
      }
    })
  })
}
