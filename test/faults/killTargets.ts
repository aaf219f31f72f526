/** The servers that a kill loop delivers to: how the config names them, and where the oracles see what they have. */
import { generateX25519Identity, identityToRecipient } from "age-encryption"
import { Effect, type Scope } from "effect"
import { join } from "node:path"
import { hasDavExtension, startNginx } from "../servers/nginx.ts"
import { hasOpenssh, startOpenssh } from "../servers/openssh.ts"
import { accessKey, bucketName, secretKey } from "../servers/s3.ts"
import { hasVsftpd, startVsftpd } from "../servers/vsftpd.ts"
import type { Oracles, Place } from "./oracles.ts"

/** A folder; the oracles' own servers; real servers of three protocols; a folder and an SFTP server with transforms. */
export type Kind = "folder" | "http" | "s3" | "ftp" | "sftp" | "webdav" | "gzip" | "age"

export interface Target {
  /** Its keys in the config. */
  readonly keys: string
  readonly place: Place
}

export interface Targets {
  readonly targets: ReadonlyArray<Target>
  /** Opens what was encrypted. */
  readonly identity: string
}

/** What can't be had on this machine, and why. */
const missing: Readonly<Partial<Record<Kind, string>>> = {
  ...(hasVsftpd ? {} : { ftp: "vsftpd is not installed, or this is not root" }),
  ...(hasOpenssh ? {} : { sftp: "OpenSSH is not installed", age: "OpenSSH is not installed" }),
  ...(hasDavExtension ? {} : { webdav: "nginx with its DAV modules is not installed" })
}

export const present = (kinds: ReadonlyArray<Kind>): ReadonlyArray<Kind> =>
  kinds.filter((kind) => missing[kind] === undefined)

/** For titles: what is left out of these. */
export const absent = (kinds: ReadonlyArray<Kind>): string => {
  const reasons = kinds.flatMap((kind) => missing[kind] ?? [])
  return reasons.length === 0 ? "" : ` (left out: ${Array.from(new Set(reasons)).join("; ")})`
}

export const startTargets = (
  kinds: ReadonlyArray<Kind>,
  oracles: Pick<Oracles, "http" | "s3">,
  directory: string
): Effect.Effect<Targets, never, Scope.Scope> =>
  Effect.gen(function* () {
    const identity = yield* Effect.promise(() => generateX25519Identity())
    const recipient = yield* Effect.promise(() => identityToRecipient(identity))
    const start = (kind: Kind): Effect.Effect<Target, never, Scope.Scope> => {
      const plain = { name: names[kind], suffix: "", decode: "none", holds: "all" } as const
      switch (kind) {
        case "folder":
          return Effect.succeed({
            keys: "path: ./out",
            place: { ...plain, at: { folder: join(directory, "out") } }
          })
        case "gzip":
          return Effect.succeed({
            keys: "path: ./packed, compress: gzip",
            place: { ...plain, at: { folder: join(directory, "packed") }, suffix: ".gz", decode: "gzip" }
          })
        case "http":
          return Effect.succeed({
            keys: `path: "http://127.0.0.1:${oracles.http}/in", upload: raw`,
            place: { ...plain, at: "http", holds: "taken" }
          })
        case "s3":
          return Effect.succeed({
            keys:
              `path: "s3://${accessKey}:${encodeURIComponent(secretKey)}@${bucketName}/in", ` +
              `endpoint: "http://127.0.0.1:${oracles.s3}", region: us-east-1`,
            place: { ...plain, at: "s3" }
          })
        case "ftp":
          return Effect.map(startVsftpd, ({ root, url }) => ({
            keys: `path: "${url}/upload/in"`,
            place: { ...plain, at: { folder: join(root, "upload", "in") } }
          }))
        case "webdav":
          return Effect.map(startNginx({ lists: true }), ({ port, root }) => ({
            keys: `path: "webdav://127.0.0.1:${port}/in"`,
            place: { ...plain, at: { folder: join(root, "in") } }
          }))
        case "sftp":
        case "age":
          return Effect.map(startOpenssh(), ({ key, knownHosts, port, root, user }) => {
            const keys = `path: "sftp://${user}@127.0.0.1:${port}${root}/in", key: "${key}", knownHosts: "${knownHosts}"`
            const place = { ...plain, at: { folder: join(root, "in") } }
            return kind === "sftp"
              ? { keys, place }
              : {
                  keys: `${keys}, encrypt: { age: [${recipient}] }`,
                  place: { ...place, suffix: ".age", decode: "age" }
                }
          })
      }
    }
    return { targets: yield* Effect.forEach(kinds, start), identity }
  })

export const names: Readonly<Record<Kind, string>> = {
  folder: "a folder",
  gzip: "a folder by gzip",
  http: "HTTP",
  s3: "S3",
  ftp: "FTP",
  sftp: "SFTP",
  age: "SFTP by age",
  webdav: "WebDAV"
}
