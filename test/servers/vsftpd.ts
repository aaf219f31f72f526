/**
 * A real vsftpd on a free port, with a temp folder as the root of an anonymous user who may do everything below
 * `/upload`.
 */
import { spawn } from "node:child_process"
import { chmod, chown, mkdir, mkdtemp, readFile, rm, stat, utimes, writeFile } from "node:fs/promises"
import { existsSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import * as RelPath from "../../src/domain/RelPath.ts"
import { listAt } from "./folder.ts"
import { freePort, listening, stop } from "./process.ts"

const executable = ["/usr/sbin/vsftpd", "/usr/local/sbin/vsftpd"].find((path) => existsSync(path))

/** Whether vsftpd is installed, and whether this process may start it with a user of its own. */
export const hasVsftpd = executable !== undefined && process.getuid?.() === 0

export interface Vsftpd {
  /** `ftp://127.0.0.1:port` */
  readonly url: string
  readonly port: number
  /** The folder on this machine that is `/` at the server. */
  readonly root: string
  /** By absolute path at the server, as a RelPath. */
  readonly read: (path: string) => Effect.Effect<Uint8Array | undefined>
  readonly put: (path: string, bytes: Uint8Array) => Effect.Effect<void>
  /** In milliseconds since the epoch. */
  readonly modified: (path: string) => Effect.Effect<number | undefined>
  readonly touch: (path: string, mtime: number) => Effect.Effect<void>
  /** Every file below a folder, as absolute paths. */
  readonly list: (path: string) => Effect.Effect<ReadonlyArray<string>>
}

export interface VsftpdOptions {
  /** Only over TLS, whose data connections have to go on with the session of the control connection. */
  readonly tls?: { readonly key: string; readonly cert: string; readonly implicit?: boolean }
  /** How many connections it takes at once. */
  readonly clients?: number
}

export const startVsftpd: Effect.Effect<Vsftpd, never, Scope.Scope> = Effect.suspend(() => startVsftpdWith({}))

export const startVsftpdWith: (options: VsftpdOptions) => Effect.Effect<Vsftpd, never, Scope.Scope> = Effect.fn(
  "startVsftpd"
)(function* (options: VsftpdOptions) {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "filedispatch-vsftpd-"))),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
  )
  const port = yield* freePort
  const root = join(folder, "root")
  const config = join(folder, "vsftpd.conf")
  const user = yield* Effect.promise(async () => {
    await mkdir(join(folder, "empty"))
    await mkdir(join(root, "upload"), { recursive: true })
    await chmod(folder, 0o755)
    const passwd = (await readFile("/etc/passwd", "utf8")).split("\n").map((line) => line.split(":"))
    const entry = passwd.find(([name]) => name === "ftp") ?? passwd.find(([name]) => name === "nobody")
    const [name = "nobody", , uid = "65534", gid = "65534"] = entry ?? []
    // vsftpd runs no anonymous session in a root that it could write to
    await chown(join(root, "upload"), Number(uid), Number(gid))
    const { clients, tls } = options
    const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")]
    if (tls !== undefined) {
      await writeFile(cert, tls.cert)
      await writeFile(key, tls.key, { mode: 0o600 })
    }
    const secure = [
      "ssl_enable=YES",
      "allow_anon_ssl=YES",
      "force_anon_logins_ssl=YES",
      "force_anon_data_ssl=YES",
      "require_ssl_reuse=YES",
      "ssl_ciphers=HIGH",
      `implicit_ssl=${tls?.implicit === true ? "YES" : "NO"}`,
      `rsa_cert_file=${cert}`,
      `rsa_private_key_file=${key}`
    ]
    const all = [
      ...lines(port, root, join(folder, "empty"), name),
      ...(clients === undefined ? [] : [`max_clients=${clients}`]),
      ...(tls === undefined ? [] : secure),
      ""
    ]
    await writeFile(config, all.join("\n"))
    return { uid: Number(uid), gid: Number(gid) }
  })
  yield* Effect.acquireRelease(
    Effect.sync(() => spawn(executable ?? "vsftpd", [config], { stdio: "ignore", detached: true })),
    (child) => stop(child, { group: true })
  )
  yield* listening(port)

  const at = (path: string) => Buffer.concat([Buffer.from(root), Buffer.from(RelPath.toBytes(path))])
  return {
    url: `ftp://127.0.0.1:${port}`,
    port,
    root,
    read: (path) => Effect.promise(() => readFile(at(path)).catch(() => undefined)),
    put: (path, bytes) =>
      Effect.promise(async () => {
        const parent = path.slice(0, path.lastIndexOf("/"))
        const missing: Array<string> = []
        for (let folder = parent; !existsSync(at(folder)); folder = folder.slice(0, folder.lastIndexOf("/"))) {
          missing.unshift(folder)
        }
        for (const folder of missing) {
          await mkdir(at(folder))
          await chown(at(folder), user.uid, user.gid)
        }
        await writeFile(at(path), bytes)
        await chown(at(path), user.uid, user.gid)
      }),
    modified: (path) =>
      Effect.promise(() =>
        stat(at(path)).then(
          ({ mtimeMs }) => mtimeMs,
          () => undefined
        )
      ),
    touch: (path, mtime) => Effect.promise(() => utimes(at(path), mtime / 1000, mtime / 1000)),
    list: (path) =>
      Effect.map(listAt(`${root}${path}`), (names) => names.map((name) => `${path.replace(/\/$/, "")}/${name}`))
  }
})

const lines = (port: number, root: string, empty: string, user: string): ReadonlyArray<string> => [
  "listen=YES",
  "listen_address=127.0.0.1",
  `listen_port=${port}`,
  "background=NO",
  "anonymous_enable=YES",
  "no_anon_password=YES",
  "local_enable=NO",
  "write_enable=YES",
  "anon_upload_enable=YES",
  "anon_mkdir_write_enable=YES",
  "anon_other_write_enable=YES",
  "anon_world_readable_only=NO",
  "anon_umask=022",
  "seccomp_sandbox=NO",
  "xferlog_enable=NO",
  `anon_root=${root}`,
  `ftp_username=${user}`,
  `nopriv_user=${user}`,
  `secure_chroot_dir=${empty}`
]
