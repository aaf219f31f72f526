/**
 * A real nginx on a free port that speaks WebDAV over a temp folder: its own module, which stores, moves and removes,
 * and on demand the one that lists (`dav-ext`).
 */
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdir, mkdtemp, readFile, rm, stat, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { Effect, type Scope } from "effect"
import * as RelPath from "../../src/domain/RelPath.ts"
import { listAt } from "./folder.ts"
import { freePort, listening, stop } from "./process.ts"

const executable = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx"].find((path) =>
  existsSync(path)
)
const extension = [
  "/usr/lib/nginx/modules/ngx_http_dav_ext_module.so",
  "/usr/share/nginx/modules/ngx_http_dav_ext_module.so",
  "/usr/lib64/nginx/modules/ngx_http_dav_ext_module.so"
].find((path) => existsSync(path))

export const hasNginx = executable !== undefined
/** Whether it can list, too. */
export const hasDavExtension = hasNginx && extension !== undefined

export interface Nginx {
  readonly port: number
  /** The folder on this machine that is `/` at the server. */
  readonly root: string
  /** By absolute path at the server, as a RelPath. */
  readonly read: (path: string) => Effect.Effect<Uint8Array | undefined>
  readonly put: (path: string, bytes: Uint8Array) => Effect.Effect<void>
  /** Every file below a folder, as absolute paths. */
  readonly list: (path: string) => Effect.Effect<ReadonlyArray<string>>
  readonly modified: (path: string) => Effect.Effect<number | undefined>
  readonly touch: (path: string, mtime: number) => Effect.Effect<void>
}

export const startNginx = (
  options: {
    /** With PROPFIND and OPTIONS. */
    readonly lists?: boolean
    readonly tls?: { readonly key: string; readonly cert: string }
    /** More lines for its `location`. */
    readonly lines?: ReadonlyArray<string>
  } = {}
): Effect.Effect<Nginx, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "filedispatch-nginx-"))),
      (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
    )
    const port = yield* freePort
    const root = join(folder, "root")
    yield* Effect.promise(async () => {
      await mkdir(root)
      await mkdir(join(folder, "body"))
      await writeFile(join(folder, "nginx.conf"), config(folder, port, options))
      if (options.tls !== undefined) {
        await writeFile(join(folder, "key.pem"), options.tls.key)
        await writeFile(join(folder, "cert.pem"), options.tls.cert)
      }
    })
    const parameters = ["-p", folder, "-e", join(folder, "error.log"), "-c", join(folder, "nginx.conf")]
    yield* Effect.acquireRelease(
      Effect.sync(() => spawn(executable ?? "nginx", parameters, { stdio: "ignore" })),
      (child) => stop(child)
    )
    yield* listening(port)

    const at = (path: string) => Buffer.concat([Buffer.from(root), Buffer.from(RelPath.toBytes(path))])
    return {
      port,
      root,
      read: (path) => Effect.promise(() => readFile(at(path)).catch(() => undefined)),
      put: (path, bytes) =>
        Effect.promise(async () => {
          await mkdir(at(dirname(path)), { recursive: true })
          await writeFile(at(path), bytes)
        }),
      list: (path) =>
        Effect.map(listAt(`${root}${path}`), (names) => names.map((name) => `${path.replace(/\/$/, "")}/${name}`)),
      modified: (path) =>
        Effect.promise(() =>
          stat(at(path)).then(
            ({ mtimeMs }) => mtimeMs,
            () => undefined
          )
        ),
      touch: (path, mtime) => Effect.promise(() => utimes(at(path), new Date(mtime), new Date(mtime)))
    }
  })

/** One process, under the user of the tests, with all that it writes below one folder. */
const config = (folder: string, port: number, options: NonNullable<Parameters<typeof startNginx>[0]>): string =>
  [
    ...(options.lists === true ? [`load_module ${extension ?? "ngx_http_dav_ext_module.so"};`] : []),
    "daemon off;",
    "master_process off;",
    `pid ${folder}/nginx.pid;`,
    "events { worker_connections 256; }",
    "http {",
    "  access_log off;",
    // on the file system of the root, so that a finished upload is renamed into place
    `  client_body_temp_path ${folder}/body;`,
    ...["proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `  ${name}_temp_path ${folder}/${name};`),
    "  client_max_body_size 0;",
    "  server {",
    ...(options.tls === undefined
      ? [`    listen 127.0.0.1:${port};`]
      : [
          `    listen 127.0.0.1:${port} ssl;`,
          `    ssl_certificate ${folder}/cert.pem;`,
          `    ssl_certificate_key ${folder}/key.pem;`
        ]),
    "    location / {",
    `      root ${folder}/root;`,
    "      dav_methods PUT DELETE MKCOL COPY MOVE;",
    "      create_full_put_path off;",
    ...(options.lists === true ? ["      dav_ext_methods PROPFIND OPTIONS;"] : []),
    ...(options.lines ?? []),
    "    }",
    "  }",
    "}",
    ""
  ].join("\n")
