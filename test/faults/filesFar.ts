/** Where the tests of files as they are deliver to: a folder, vsftpd, OpenSSH, an HTTP server, nginx with WebDAV, S3. */
import { Effect, type Scope } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { startHttpServer } from "../servers/http.ts"
import { hasDavExtension, startNginx } from "../servers/nginx.ts"
import { hasOpenssh, startOpenssh } from "../servers/openssh.ts"
import { accessKey, bucketName, secretKey, startS3Server } from "../servers/s3.ts"
import { hasVsftpd, startVsftpd } from "../servers/vsftpd.ts"

export interface Far {
  /** The target's line of config, without further options. */
  readonly line: string
  /** The folder in which it keeps the files; undefined where it keeps them in memory. */
  readonly folder: string | undefined
  /** What is there: by path, as latin1 of its bytes, below the target. */
  readonly files: () => ReadonlyMap<string, Uint8Array>
  /** How many files it holds or has begun to take, where that can't be seen in a folder. */
  readonly begun: () => number
  /** Everything that lies around the target, by path as latin1, to find what has landed outside of it. */
  readonly around: () => ReadonlyArray<string>
}

export interface FarKind {
  readonly name: string
  /** Why it can't be had here. */
  readonly missing?: string | false
  readonly start: (directory: string) => Effect.Effect<Far, never, Scope.Scope>
}

/** Paths and contents below a folder, the paths as latin1 of their bytes: nothing is lost, whatever they are. */
export const contentsOf = (folder: string): ReadonlyMap<string, Uint8Array> => {
  const found = new Map<string, Uint8Array>()
  const walk = (path: string) => {
    for (const entry of fs.readdirSync(Buffer.from(join(folder, path), "latin1"), {
      withFileTypes: true,
      encoding: "buffer"
    })) {
      const below = path === "" ? entry.name.toString("latin1") : `${path}/${entry.name.toString("latin1")}`
      if (entry.isDirectory()) walk(below)
      else {
        try {
          found.set(below, fs.readFileSync(Buffer.from(`${folder}/${below}`, "latin1")))
        } catch {
          // a temp file that has got its final name meanwhile
        }
      }
    }
  }
  if (fs.existsSync(folder)) walk("")
  return found
}

const inFolder = (line: string, root: string, folder: string): Far => ({
  line,
  folder,
  files: () => contentsOf(folder),
  begun: () => 0,
  around: () => Array.from(contentsOf(root).keys())
})

/** Below a path, of names as RelPath has them. */
const below = (files: Iterable<readonly [string, Uint8Array]>, prefix: string): ReadonlyMap<string, Uint8Array> =>
  new Map(
    Array.from(files)
      .filter(([path]) => path.startsWith(prefix))
      .map(([path, bytes]) => [latin1(path.slice(prefix.length)), bytes])
  )

/** A RelPath as latin1 of its bytes. */
export const latin1 = (path: string): string => {
  const bytes: Array<Buffer> = []
  for (const char of path) {
    const code = char.codePointAt(0) ?? 0
    bytes.push(code >= 0xdc80 && code <= 0xdcff ? Buffer.from([code - 0xdc00]) : Buffer.from(char))
  }
  return Buffer.concat(bytes).toString("latin1")
}

export const local: FarKind = {
  name: "a folder",
  start: (directory) => Effect.succeed(inFolder("path: ./out", join(directory, "out"), join(directory, "out")))
}

export const ftp: FarKind = {
  name: "FTP (vsftpd)",
  missing: !hasVsftpd && "vsftpd is not installed, or this is not root",
  start: () =>
    Effect.map(startVsftpd, ({ root, url }) => inFolder(`path: "${url}/upload/in"`, root, join(root, "upload/in")))
}

export const sftp: FarKind = {
  name: "SFTP (OpenSSH)",
  missing: !hasOpenssh && "OpenSSH is not installed",
  start: () =>
    Effect.map(startOpenssh(), ({ key, knownHosts, port, root, user }) =>
      inFolder(
        `path: "sftp://${user}@127.0.0.1:${port}${root}/in", key: "${key}", knownHosts: "${knownHosts}"`,
        root,
        join(root, "in")
      )
    )
}

export const http: FarKind = {
  name: "HTTP",
  start: () =>
    Effect.map(startHttpServer(), ({ begun, files, url }) => ({
      line: `path: "${url}/in", upload: raw`,
      folder: undefined,
      files: () => below(files, "/in/"),
      begun,
      around: () => Array.from(files.keys(), latin1)
    }))
}

export const webdav: FarKind = {
  name: "WebDAV (nginx)",
  missing: !hasDavExtension && "nginx with its DAV modules is not installed",
  start: () =>
    Effect.map(startNginx({ lists: true }), ({ port, root }) =>
      inFolder(`path: "webdav://127.0.0.1:${port}/in"`, root, join(root, "in"))
    )
}

export const s3: FarKind = {
  name: "S3",
  start: () =>
    Effect.map(startS3Server(), ({ objects, url }) => {
      const contents = () => Array.from(objects, ([key, { bytes }]) => [key, bytes] as const)
      return {
        line: `path: "s3://${accessKey}:${encodeURIComponent(secretKey)}@${bucketName}/in", endpoint: "${url}", region: us-east-1`,
        folder: undefined,
        files: () => below(contents(), "in/"),
        begun: () => objects.size,
        around: () => Array.from(objects.keys(), latin1)
      }
    })
}

/** Whether there is one, and what to say in a title. */
export const skipped = ({ missing }: FarKind): string => (typeof missing === "string" ? ` (skipped: ${missing})` : "")
