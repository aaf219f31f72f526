/**
 * One SSH connection with an SFTP channel on it: to be reached, to be the right server, to be let in.
 */
import { Socket } from "node:net"
import { Effect, Either, Option, Runtime } from "effect"
import ssh2, {
  type AuthenticationType,
  type ClientChannel,
  type NextAuthHandler,
  type ServerHostKeyAlgorithm
} from "ssh2"
import { CrowdedError, LaneDownError, TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import type { Secrets } from "../../domain/Settings.ts"
import type { Target } from "../../domain/Target.ts"
import { codeOf } from "../SourceReader.ts"
import * as KnownHosts from "./KnownHosts.ts"
import { isUnreachable } from "./network.ts"
import { LostError, SftpWire } from "./SftpWire.ts"
import * as HostKey from "./SshHostKey.ts"
import * as Login from "./SshLogin.ts"

export interface SshConnection {
  readonly wire: SftpWire
  readonly identity: Identity
  readonly closed: () => boolean
  readonly close: Effect.Effect<void>
}

/** What is known of the server. */
export interface Identity {
  /** "SSH-2.0-OpenSSH_9.2p1" */
  readonly software: string
  /** "ssh-ed25519 SHA256:…, known from …" */
  readonly hostKey: string
  /** How the user was let in: "the key /home/me/.ssh/id_ed25519". */
  readonly login: string
}

/** How often a silent connection is asked whether it is still there, and how many answers may be missing. */
const keepalive = { keepaliveInterval: 15_000, keepaliveCountMax: 3 }

/** Connects and logs in. */
export const connect = (target: Target, secrets: Secrets): Effect.Effect<SshConnection, DeliveryError> =>
  Effect.flatMap(Login.load(target, secrets), (login) => find(target, login, new Set()))

/**
 * A server whose key is not the pinned one may have that one, too: it has one of each kind as a rule. So it is asked for
 * the others.
 */
const find = (target: Target, login: Login.Login, shown: Set<string>): Effect.Effect<SshConnection, DeliveryError> =>
  Effect.flatMap(HostKey.load(target, shown), (hostKeys) =>
    Effect.catchAll(open(target, login, hostKeys), ({ error, kind }) => {
      if (kind === undefined || shown.has(kind) || !HostKey.isPinned(target)) return Effect.fail(error)
      return Effect.mapError(find(target, login, new Set([...shown, kind])), (next) =>
        // that it has none of the other kinds is no news
        next._tag === "LaneDownError" ? error : next
      )
    })
  )

interface Refusal {
  readonly error: DeliveryError
  /** Of the host key that was not the right one. */
  readonly kind?: string
}

const open = (target: Target, login: Login.Login, hostKeys: HostKey.HostKeys): Effect.Effect<SshConnection, Refusal> =>
  Effect.flatMap(Effect.runtime<never>(), (runtime) =>
    Effect.async<SshConnection, Refusal>((resume) => {
      const handshake = new Handshake(target, login, hostKeys, runtime, (result) =>
        resume(Either.match(result, { onLeft: Effect.fail, onRight: Effect.succeed }))
      )
      return Effect.sync(() => handshake.abandon())
    })
  )

class Handshake {
  private readonly client = new ssh2.Client()
  private readonly socket = new Socket()
  private readonly untried: Array<Login.Method>
  private readonly tried: Array<Login.Method> = []
  private accepted: ReadonlyArray<AuthenticationType> | null = null
  /** What went wrong beside the way, such as an agent that is not there. */
  private readonly notes: Array<string> = []
  private software = ""
  private hostKey = ""
  private agreed = false
  private letIn = false
  private settled = false
  private remember: Effect.Effect<void, LaneDownError> = Effect.void
  private wire: SftpWire | undefined
  private readonly timer: NodeJS.Timeout

  constructor(
    private readonly target: Target,
    private readonly login: Login.Login,
    private readonly hostKeys: HostKey.HostKeys,
    private readonly runtime: Runtime.Runtime<never>,
    private readonly settle: (result: Either.Either<SshConnection, Refusal>) => void
  ) {
    this.untried = [...login.methods]
    const { timeout } = target.options
    this.timer = setTimeout(() => {
      const reason = `${target.url} took the connection, but the login was not done in ${timeout / 1000} s. Check that an SSH server is running there, and whether it is overloaded.`
      this.fail(new LaneDownError({ reason, cause: Option.none() }))
    }, timeout)
    this.listen()
    // an address in brackets is one of IPv6
    this.socket.connect({ host: target.host.replace(/^\[|\]$/g, ""), port: target.port ?? 22 })
    this.socket.setNoDelay(true)
    this.client.connect({
      sock: this.socket,
      username: login.username,
      readyTimeout: 0,
      ...keepalive,
      // ssh2's own order of ciphers begins with AES-GCM, which is the fastest
      algorithms: { serverHostKey: hostKeys.algorithms.filter(isServerHostKey) },
      hostVerifier: (key: Buffer, verify: (valid: boolean) => void) => verify(this.check(key)),
      authHandler: (accepted, _partial, next) => this.authenticate(accepted, next)
    })
    // what is read here is read by ssh2, too
    this.socket.on("data", this.sniff)
  }

  abandon(): void {
    this.settled = true
    clearTimeout(this.timer)
    this.socket.destroy()
  }

  private listen(): void {
    this.client
      .on("error", (error) => {
        if ("level" in error && (error.level === "agent" || error.level === "client-authentication")) {
          this.notes.push(this.quote(error.message))
        } else if (this.settled) this.lose(this.quote(messageOf(error)))
        else this.fail(this.failureOf(error), error)
      })
      .on("close", () => {
        if (this.settled) this.lose("it was closed")
        else this.fail(this.failureOf(new Error("closed")))
      })
      .on("handshake", () => (this.agreed = true))
      .on("ready", () => this.ready())
  }

  private readonly sniff = (data: Buffer): void => {
    this.software = `${this.software}${data.subarray(0, 1024).toString("latin1")}`
    const line = /^SSH-[\x20-\x7e]+(?=\r?\n)/m.exec(this.software)?.[0]
    if (line === undefined && this.software.length < 8192) return
    this.software = line ?? ""
    this.socket.off("data", this.sniff)
  }

  private check(key: Buffer): boolean {
    const checked = this.hostKeys.check(key)
    if (checked._tag === "Refused") {
      const error = new LaneDownError({ reason: checked.reason, cause: Option.none(), phase: "identity" })
      this.refuse({ error, kind: KnownHosts.typeOf(key) })
      return false
    }
    this.hostKey = `${KnownHosts.typeOf(key)} ${KnownHosts.fingerprint(key)}, ${checked.how}`
    this.remember = checked.remember
    return true
  }

  /** Asks first what is accepted at all (RFC 4252, 5.2). */
  private authenticate(accepted: ReadonlyArray<AuthenticationType> | null, next: NextAuthHandler): void {
    if (accepted === null) {
      Runtime.runCallback(this.runtime)(Effect.either(this.remember), {
        onExit: (exit) => {
          if (exit._tag === "Success" && Either.isRight(exit.value))
            next({ type: "none", username: this.login.username })
          else if (exit._tag === "Success" && Either.isLeft(exit.value)) this.fail(exit.value.left)
          else this.abandon()
        }
      })
      return
    }
    this.accepted = accepted
    const method = Login.next(this.untried, accepted)
    if (Option.isNone(method)) return this.fail(this.denied())
    this.untried.splice(this.untried.indexOf(method.value), 1)
    this.tried.push(method.value)
    next(method.value.auth)
  }

  private ready(): void {
    this.letIn = true
    this.client.subsys("sftp", (error, channel) => {
      if (error !== undefined) return this.fail(this.noChannel(error))
      this.begin(channel)
    })
  }

  private begin(channel: ClientChannel): void {
    const wire = (this.wire = new SftpWire(channel, this.socket))
    let last = ""
    channel.stderr.on("data", (data: Buffer) => {
      last = data.toString()
    })
    channel.on("error", (error: Error) => this.lose(messageOf(error)))
    channel.on("close", () => {
      this.lose(last === "" ? "the server ended the SFTP session" : `the server said "${this.quote(last)}"`)
      this.client.end()
    })
    wire.start().then(
      () => this.done(wire),
      (error: unknown) => {
        const reason = `${this.target.url} let the user in, but there is no SFTP (${this.quote(messageOf(error))}). Check that the account may use SFTP, and that nothing prints text at its login.`
        this.fail(new LaneDownError({ reason, cause: Option.some(error), phase: "authenticated" }))
      }
    )
  }

  private done(wire: SftpWire): void {
    if (this.settled) return
    this.settled = true
    clearTimeout(this.timer)
    const watch = this.watch(wire)
    let closed = false
    this.socket.once("close", () => {
      closed = true
      clearInterval(watch)
    })
    const by = this.tried.at(-1)?.name ?? "no proof at all"
    this.settle(
      Either.right({
        wire,
        identity: { software: this.software, hostKey: this.hostKey, login: by },
        closed: () => closed || wire.closed,
        close: Effect.sync(() => {
          this.lose("it was closed")
          this.client.end()
          this.socket.destroySoon()
        })
      })
    )
  }

  /** Ends a connection on which something was asked and nothing moves any more. */
  private watch(wire: SftpWire): NodeJS.Timeout {
    const { timeout } = this.target.options
    // what the system has taken counts in blocks, so that no keepalive looks like progress
    const moved = () => wire.answers + Math.floor((this.socket.bytesWritten - this.socket.writableLength) / 4096)
    let before = moved()
    let since = performance.now()
    return setInterval(
      () => {
        const now = moved()
        if (now !== before || !wire.busy) since = performance.now()
        else if (performance.now() - since >= timeout) {
          this.lose(`no answer in ${timeout / 1000} s`)
          this.socket.destroy()
        }
        before = now
      },
      Math.max(10, timeout / 8)
    )
  }

  private lose(why: string): void {
    this.wire?.fail(new LostError(why))
  }

  private fail(error: DeliveryError, cause?: unknown): void {
    this.refuse({ error })
    if (cause === undefined) this.client.end()
    this.socket.destroySoon()
  }

  private refuse(refusal: Refusal): void {
    if (this.settled) return
    this.settled = true
    clearTimeout(this.timer)
    this.settle(Either.left(refusal))
  }

  /** What a failure means before the first file: mostly, that the server is of no use to any. */
  private failureOf(error: Error): DeliveryError {
    const { url } = this.target
    const said = this.quote(messageOf(error))
    const cause = this.login.leaks(error.message) ? Option.none() : Option.some(error)
    if (isUnreachable(error)) {
      const reason = `${url} can't be reached (${said}). Check host and port, and that the server is running.`
      return new LaneDownError({ reason, cause })
    }
    if (/authentication failure/i.test(said)) {
      const reason = `${url} broke the login off ("${said}"): ${this.attempts()}. Name the one that is right: an agent with many keys is tried with all of them.`
      return new LaneDownError({ reason, cause, phase: "authenticated" })
    }
    if (codeOf(error) === undefined && "code" in error && error.code === tooManyConnections) {
      return new CrowdedError({ reason: `${url} takes no more connections ("${said}").`, cause })
    }
    if (this.software === "" || !this.software.startsWith("SSH-")) {
      // OpenSSH's MaxStartups, and whatever else counts connections
      const words = this.quote(this.software)
      const reason =
        words === ""
          ? `${url} closed the connection before it said a word (${said}): it has too many, or it takes none from here.`
          : `${url} said "${words}" and closed the connection: it has too many, takes none from here, or is no SSH server.`
      return new CrowdedError({ reason, cause })
    }
    if (error.message.startsWith("Handshake failed: no matching")) {
      const reason = `${url} (${RelPath.display(this.software)}): no secure connection (${said}). Let the server offer a newer one.`
      return new LaneDownError({ reason, cause, phase: "identity" })
    }
    const step = this.letIn ? "after the login" : this.agreed ? "at the login" : "before the login"
    return new TransientError({ reason: `The connection to ${url} broke ${step} (${said}).`, cause })
  }

  private denied(): LaneDownError {
    const { login, target } = this
    const accepted = this.accepted === null ? "" : ` The server accepts ${this.accepted.join(", ")}.`
    const notes = this.notes.length === 0 ? "" : ` (${this.notes.join("; ")})`
    const advice =
      login.methods.length === 0
        ? login.without
        : "Check the user, the password in the URL (`@`, `/`, `:` and `%` in it percent-encoded), and that the server knows the key."
    return new LaneDownError({
      reason: `${target.url} refused the login of ${RelPath.display(login.username)}: ${this.attempts()}${notes}.${accepted} ${advice}`,
      cause: Option.none(),
      phase: "authenticated"
    })
  }

  private attempts(): string {
    const names = this.tried.map(({ name }) => name)
    return names.length === 0 ? "nothing could be tried" : `tried ${names.join(", ")}`
  }

  private noChannel(error: Error): DeliveryError {
    const { url } = this.target
    const said = this.quote(messageOf(error))
    const cause = Option.some(error)
    if (!("reason" in error)) {
      const reason = `${url} let the user in, but has no SFTP (${said}). Ask whoever runs the server to allow it (\`Subsystem sftp\`).`
      return new LaneDownError({ reason, cause, phase: "authenticated" })
    }
    return error.reason === administrativelyProhibited
      ? new LaneDownError({
          reason: `${url} does not let the user open a session (${said}).`,
          cause,
          phase: "authenticated"
        })
      : new CrowdedError({ reason: `${url} opens no more sessions (${said}).`, cause })
  }

  /** What the server has said, for a message. */
  private quote(text: string): string {
    if (this.login.leaks(text)) return "what it said has a secret in it"
    const line = RelPath.display(text.trim().replace(/\s+/g, " "))
    return line.length > 200 ? `${line.slice(0, 200)}…` : line
  }
}

/** RFC 4253, 11.1, and RFC 4254, 5.1. */
const [tooManyConnections, administrativelyProhibited] = [12, 1]

const isServerHostKey = (name: string): name is ServerHostKeyAlgorithm => HostKey.supported.includes(name)

const messageOf = (error: unknown): string => {
  const text = error instanceof Error ? error.message : String(error)
  return text === "" ? (codeOf(error) ?? "no reason given") : text
}
