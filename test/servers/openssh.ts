/**
 * A real OpenSSH server on a free port, with keys of its own and a temp folder for the files. It runs as whoever runs the
 * tests, and lets that user in by keys only.
 */
import { execFileSync, spawn, type ChildProcess } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir, userInfo } from "node:os"
import { join } from "node:path"
import { Effect, Schedule, type Scope } from "effect"
import { freePort, listening, stop } from "./process.ts"

const executable = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"].find((path) => existsSync(path))

/** Whether there is an OpenSSH server, and what makes keys. */
export const hasOpenssh = executable !== undefined && existsSync("/usr/bin/ssh-keygen")

export type KeyKind = "ed25519" | "rsa" | "ecdsa"

export interface Openssh {
  readonly port: number
  readonly user: string
  /** A folder for the files. */
  readonly root: string
  /** A folder for what a test needs beside. */
  readonly folder: string
  /** The user's key, which is let in. */
  readonly key: string
  /** A file of known hosts in which this server is. */
  readonly knownHosts: string
  /** `ssh-ed25519 AAAA…` of a host key. */
  readonly hostKey: (kind: KeyKind) => string
  /** Ends all sessions that are under way, as a cut line would. */
  readonly cut: Effect.Effect<void>
  /** What it has logged. */
  readonly log: () => string
}

export interface OpensshOptions {
  readonly hostKeys?: ReadonlyArray<KeyKind>
  /** More lines for its config; the first of a kind counts. */
  readonly config?: ReadonlyArray<string>
}

/** Makes a key, and answers its file. */
export const makeKey = (folder: string, name: string, kind: KeyKind, passphrase = ""): string => {
  const file = join(folder, name)
  execFileSync("ssh-keygen", ["-q", "-t", kind, "-N", passphrase, "-C", name, "-f", file], { stdio: "ignore" })
  return file
}

export const publicKey = (file: string): string =>
  readFileSync(`${file}.pub`, "utf8").trim().split(" ").slice(0, 2).join(" ")

/** As `ssh-keygen -l` says it. */
export const fingerprintOf = (file: string): string =>
  execFileSync("ssh-keygen", ["-l", "-f", `${file}.pub`], { encoding: "utf8" }).split(" ")[1] ?? ""

export const startOpenssh = (options: OpensshOptions = {}): Effect.Effect<Openssh, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* tempFolder("filedispatch-openssh-")
    const port = yield* freePort
    const { uid, username: user } = userInfo()
    const root = join(folder, "root")
    mkdirSync(root)
    // where it puts itself when it runs as root
    if (uid === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 })
    const kinds = options.hostKeys ?? ["ed25519"]
    const hostKeys = new Map(kinds.map((kind) => [kind, makeKey(folder, `host_${kind}`, kind)]))
    const key = makeKey(folder, "id", "ed25519")
    writeFileSync(join(folder, "authorized_keys"), `${publicKey(key)}\n`)
    const hostKey = (kind: KeyKind) => publicKey(hostKeys.get(kind) ?? key)
    writeFileSync(join(folder, "known_hosts"), kinds.map((kind) => `[127.0.0.1]:${port} ${hostKey(kind)}\n`).join(""))
    const lines = [
      ...(options.config ?? []),
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      ...Array.from(hostKeys.values(), (file) => `HostKey ${file}`),
      `AuthorizedKeysFile ${join(folder, "authorized_keys")}`,
      `PidFile ${join(folder, "sshd.pid")}`,
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "PermitRootLogin yes",
      "StrictModes no",
      "UsePAM no",
      "Subsystem sftp internal-sftp"
    ]
    const config = join(folder, "sshd_config")
    writeFileSync(config, `${lines.join("\n")}\n`)
    let log = ""
    const server = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const child = spawn(executable ?? "sshd", ["-D", "-e", "-f", config], { stdio: ["ignore", "ignore", "pipe"] })
        child.stderr.on("data", (data: Buffer) => {
          log += data.toString()
        })
        return child
      }),
      (child) =>
        Effect.zipRight(
          Effect.sync(() => endSessions(child)),
          stop(child)
        )
    )
    yield* listening(port, "data")
    return {
      port,
      user,
      root,
      folder,
      key,
      knownHosts: join(folder, "known_hosts"),
      hostKey,
      cut: Effect.sync(() => endSessions(server)),
      log: () => log
    }
  })

/** An agent with these keys; its socket. */
export const startAgent = (keys: ReadonlyArray<string>): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* tempFolder("filedispatch-agent-")
    const socket = join(folder, "agent.sock")
    yield* Effect.acquireRelease(
      Effect.sync(() => spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" })),
      (child) => stop(child)
    )
    yield* Effect.retry(
      Effect.suspend(() => (existsSync(socket) ? Effect.void : Effect.fail("not yet"))),
      Schedule.spaced(20).pipe(Schedule.upTo("10 seconds"))
    ).pipe(Effect.orDie)
    for (const key of keys) execFileSync("ssh-add", ["-q", key], { env: { ...process.env, SSH_AUTH_SOCK: socket } })
    return socket
  })

export const tempFolder = (prefix: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), prefix))),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
  )

/** Every session has a process, and that one a child. */
const endSessions = (server: ChildProcess): void => {
  const below = (pid: number): ReadonlyArray<number> => {
    let children: string
    try {
      children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim()
    } catch {
      // it has ended meanwhile
      return []
    }
    return children === "" ? [] : children.split(" ").flatMap((child) => [Number(child), ...below(Number(child))])
  }
  if (server.pid === undefined || server.exitCode !== null) return
  for (const pid of below(server.pid)) {
    try {
      process.kill(pid, "SIGKILL")
    } catch {
      // it has ended by itself
    }
  }
}
