/**
 * FTP connections as {@link Ftp} needs them: a pool per lane, commands whose failures are DeliveryErrors, and names as
 * bytes.
 *
 * basic-ftp's control connection is set to latin1, in which each character of a command is one byte: what goes out are
 * the bytes of {@link wire}, whether they are UTF-8 or not. A connection on which anything went wrong is not used
 * again, because nobody knows what the server will say next on it.
 */
import { Buffer } from "node:buffer"
import type { Socket } from "node:net"
import type { Readable } from "node:stream"
import type { ConnectionOptions } from "node:tls"
import { Client, FTPError, type FTPContext, type FTPResponse } from "basic-ftp"
import { connectForPassiveTransfer, parseEpsvResponse, parsePasvResponse } from "basic-ftp/dist/transfer.js"
import { Clock, Effect, Option, Redacted, type Scope } from "effect"
import { LaneDownError, PermanentError, TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import type { Secrets } from "../../domain/Settings.ts"
import type { Target } from "../../domain/Target.ts"
import { codeOf } from "../SourceReader.ts"
import { isCut, isInsecure, isUnreachable, lastWords } from "./network.ts"

/** A string of which each character is one byte on the wire. */
export const wire = (path: string): string => Buffer.from(RelPath.toBytes(path)).toString("latin1")

/** What the bytes of a server's line spell, fit for a message. */
export const readable = (line: string): string => {
  const text = RelPath.display(RelPath.fromBytes(Buffer.from(line.trim(), "latin1")))
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}

/** A logged-in connection. Its methods take wire paths. */
export interface FtpClient {
  readonly features: ReadonlyMap<string, string>
  /** The login folder, absolute and without a slash at its end; empty where the server does not say. */
  readonly home: Effect.Effect<string, DeliveryError>
  /** A command that must succeed. */
  readonly command: (line: string) => Effect.Effect<FTPResponse, DeliveryError>
  /**
   * A command that the server may refuse: the answer, whether it is 2xx or 5xx. Fails as {@link command} does with all
   * that has nothing to do with the command itself: a broken connection, 4xx, no login, no room.
   */
  readonly ask: (line: string) => Effect.Effect<FTPResponse, DeliveryError>
  readonly store: (body: Readable, path: string) => Effect.Effect<FTPResponse, DeliveryError>
  /** Names and sizes in a directory. */
  readonly list: (
    directory: string
  ) => Effect.Effect<ReadonlyArray<{ readonly name: string; readonly size: number }>, DeliveryError>
  readonly closed: () => boolean
  readonly close: Effect.Effect<void>
}

export interface FtpPool {
  /** A connection for this scope; it is kept for the next one only if the scope ends without a failure. */
  readonly get: (target: Target, secrets: Secrets) => Effect.Effect<FtpClient, DeliveryError, Scope.Scope>
}

export interface PoolOptions {
  /** For `ftps`: a private certificate authority, a client certificate. */
  readonly tls?: Pick<ConnectionOptions, "ca" | "cert" | "key" | "passphrase">
}

/** A connection that was idle for so long is asked whether it is still there; in milliseconds. */
const probeAfter = 5_000
/** And after so long it is given back to the server. */
const closeAfter = 30_000

interface Idle {
  readonly key: Key
  readonly client: FtpClient
  readonly since: number
}

/** What a connection was made with: a changed password or timeout wants another. */
interface Key {
  readonly secure: Secure
  readonly timeout: number
  readonly password: string
}

type Secure = Target["options"]["secure"]

/** As many connections as are asked for at once, which is the lane's concurrency. */
export const makePool = (options: PoolOptions): Effect.Effect<FtpPool, never, Scope.Scope> =>
  Effect.gen(function* () {
    let idle: ReadonlyArray<Idle> = []
    yield* Effect.addFinalizer(() => Effect.forEach(idle, ({ client }) => client.close, { discard: true }))
    const closeOld = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const old = idle.filter(({ since }) => now - since >= closeAfter)
      idle = idle.filter((entry) => !old.includes(entry))
      return Effect.forEach(old, ({ client }) => client.close, { discard: true })
    })
    yield* Effect.forkScoped(Effect.forever(Effect.delay(closeOld, closeAfter / 2)))

    const take = (key: Key): Effect.Effect<Option.Option<FtpClient>> =>
      Effect.suspend(() => {
        const found = idle.findLast((entry) => sameKey(entry.key, key))
        if (found === undefined) return Effect.succeedNone
        idle = idle.filter((entry) => entry !== found)
        return Effect.flatMap(Clock.currentTimeMillis, (now) => {
          if (found.client.closed()) return take(key)
          if (now - found.since < probeAfter) return Effect.succeedSome(found.client)
          return found.client.command("NOOP").pipe(
            Effect.timeout(probeAfter),
            Effect.matchEffect({
              onSuccess: () => Effect.succeedSome(found.client),
              onFailure: () => Effect.zipRight(found.client.close, take(key))
            })
          )
        })
      })

    return {
      get: (target, secrets) => {
        const key: Key = {
          secure: secureOf(target),
          timeout: target.options.timeout,
          password: Option.match(secrets.password, { onNone: () => "", onSome: (value) => Redacted.value(value) })
        }
        const keepOrClose = (client: FtpClient) =>
          Effect.addFinalizer((exit) =>
            exit._tag === "Failure" || client.closed()
              ? client.close
              : Effect.map(Clock.currentTimeMillis, (since) => {
                  idle = [...idle, { key, client, since }]
                })
          )
        return Effect.uninterruptibleMask((restore) =>
          restore(
            Effect.flatMap(
              take(key),
              Option.match({ onSome: Effect.succeed, onNone: () => connect(target, key, options.tls) })
            )
          ).pipe(Effect.tap(keepOrClose))
        )
      }
    }
  })

const sameKey = (left: Key, right: Key): boolean =>
  left.secure === right.secure && left.timeout === right.timeout && left.password === right.password

const secureOf = (target: Target): Secure =>
  target.scheme === "ftps" && target.options.secure === "none" ? "explicit" : target.options.secure

const connect = (target: Target, key: Key, tls: PoolOptions["tls"]): Effect.Effect<FtpClient, DeliveryError> =>
  Effect.suspend(() => {
    if (/[\r\n\0]/.test(`${target.username ?? ""}${key.password}`)) {
      const reason = `${target.url}: the user or the password has a line break or a NUL in it, which FTP can't carry.`
      return Effect.fail(new LaneDownError({ reason, cause: Option.none() }))
    }
    const host = target.host.replace(/^\[|\]$/g, "")
    const port = target.port ?? (key.secure === "implicit" ? 990 : 21)
    const client = new Client(key.timeout)
    client.ftp.encoding = "latin1"
    client.prepareTransfer = passive()
    const login = async () => {
      if (key.secure === "implicit") await client.connectImplicitTLS(host, port, { ...tls, host })
      else await client.connect(host, port)
      if (key.secure === "explicit") await client.useTLS({ ...tls, host })
      await client.login(
        target.username === null ? "anonymous" : wire(target.username),
        target.username === null && key.password === "" ? "anonymous@" : wire(key.password)
      )
      const features = await client.features()
      if (features.has("UTF8")) await client.sendIgnoringError("OPTS UTF8 ON")
      if (features.has("MLST")) client.availableListCommands = ["MLSD", "LIST -a", "LIST"]
      await client.send("TYPE I")
      if (key.secure !== "none") {
        await client.sendIgnoringError("PBSZ 0")
        await client.send("PROT P")
      }
      return features
    }
    return Effect.map(
      call(client, login, (error) => loginError(target, key, error)),
      (features) => clientOf(client, features, target)
    ).pipe(Effect.onError(() => Effect.sync(() => client.close())))
  })

const clientOf = (client: Client, features: ReadonlyMap<string, string>, target: Target): FtpClient => {
  let home: string | undefined
  const ask = (line: string) =>
    call(
      client,
      () => client.send(line).catch((error: unknown) => answerOf(error)),
      (error) => commandError(target, line, error)
    )
  return {
    features: new Map(Array.from(features, ([name, value]) => [name.toUpperCase(), value])),
    home: Effect.suspend(() =>
      home !== undefined
        ? Effect.succeed(home)
        : Effect.map(ask("PWD"), ({ code, message }) => {
            const quoted = code === 257 ? /^257[ -]"((?:[^"]|"")*)"/.exec(message)?.[1] : undefined
            home = quoted?.replaceAll('""', '"').replace(/\/$/, "") ?? ""
            return home
          })
    ),
    command: (line) =>
      call(
        client,
        () => client.send(line),
        (error) => commandError(target, line, error)
      ),
    ask,
    store: (body, path) =>
      call(
        client,
        () => client.uploadFrom(body, path),
        (error) => commandError(target, `STOR ${path}`, error)
      ),
    list: (directory) =>
      call(
        client,
        () => client.list(directory),
        (error) => commandError(target, `LIST ${directory}`, error)
      ),
    closed: () => client.closed,
    close: Effect.sync(() => client.close())
  }
}

/** The answer in a refusal that concerns the command alone. */
const answerOf = (error: unknown): FTPResponse => {
  const refused = error instanceof FTPError && error.code >= 500 && error.code !== 530 && error.code !== 552
  if (!refused) throw error
  return { code: error.code, message: error.message }
}

/** basic-ftp can't be told to stop; closing the connection is how a call is interrupted. */
const call = <A>(
  client: Client,
  run: () => Promise<A>,
  onError: (error: unknown) => DeliveryError
): Effect.Effect<A, DeliveryError> =>
  Effect.tryPromise({
    try: (signal) => {
      signal.addEventListener("abort", () => client.close(), { once: true })
      return run()
    },
    catch: onError
  })

/**
 * Opens the data connection: EPSV, or PASV where the server has no EPSV, and always to the host of the control
 * connection. The address in a PASV answer is ignored: behind a NAT it is wrong, and from a hostile server it would
 * make us connect to somebody else.
 */
const passive = () => {
  let extended = true
  const open = async (ftp: FTPContext): Promise<FTPResponse> => {
    const host = ftp.socket.remoteAddress
    if (host === undefined) throw new Error("the control connection is gone")
    if (extended) {
      try {
        const answer = await ftp.request("EPSV")
        await connectForPassiveTransfer(host, parseEpsvResponse(answer.message), ftp)
        return answer
      } catch (error) {
        if (!(error instanceof FTPError) || error.code < 500 || error.code === 530) throw error
        extended = false
      }
    }
    const answer = await ftp.request("PASV")
    await connectForPassiveTransfer(host, parsePasvResponse(answer.message).port, ftp)
    return answer
  }
  return async (ftp: FTPContext): Promise<FTPResponse> => {
    const answer = await open(ftp)
    if (ftp.dataSocket !== undefined) answerBeforeFailing(ftp.dataSocket)
    return answer
  }
}

/**
 * A server whose disk is full cuts the data connection and says so on the other one. The cut is seen first as a rule,
 * and basic-ftp would close both; so it is held back until the answer is there.
 */
const answerBeforeFailing = (socket: Socket): void => {
  const destroy = socket._destroy.bind(socket)
  socket._destroy = (error, done) => {
    if (isCut(error)) setTimeout(() => destroy(error, done), lastWords)
    else destroy(error, done)
  }
}

/** What a failed command means. `line` is shown by its verb alone; arguments of ours are in the caller's message. */
const commandError = (target: Target, line: string, error: unknown): DeliveryError => {
  const verb = line.slice(0, Math.max(4, line.indexOf(" "))).trim()
  const cause = Option.some(error)
  if (!(error instanceof FTPError)) {
    const reason = `The connection to ${target.url} broke at ${verb} (${messageOf(error)}).`
    return new TransientError({ reason, cause })
  }
  const answered = `${target.url} answered ${verb} with "${readable(error.message)}"`
  switch (error.code) {
    case 430:
    case 530:
      return new LaneDownError({ reason: `${answered}. ${checkLogin}`, cause })
    case 452:
    case 552:
      return new LaneDownError({ reason: `${answered}: it has no room left. Make room there.`, cause })
    default:
      return error.code < 500
        ? new TransientError({ reason: `${answered}.`, cause })
        : new PermanentError({ reason: `${answered}. ${advice.get(error.code) ?? general}`, cause })
  }
}

const general = "The server refuses it as it is; its own log may say why."
const advice = new Map([
  [532, "The account may not store files: ask for the right, or use another user."],
  [550, "Check that the path exists and that the user may write there."],
  [553, "Check that the user may write there and that the server takes such names."]
])
const checkLogin =
  "Check the user and the password in the target's URL (`@`, `/`, `:` and `%` in them percent-encoded)."

/** What a failure means before the first file: mostly, that the server is of no use to any. */
const loginError = (target: Target, key: Key, error: unknown): DeliveryError => {
  // a server that repeats what it was sent must not bring a password into a message
  const repeats = key.password !== "" && messageOf(error).includes(key.password)
  const cause = repeats ? Option.none() : Option.some(error)
  if (error instanceof FTPError) {
    const line = repeats ? `code ${error.code}` : readable(error.message)
    const answered = `${target.url} refused the login with "${line}"`
    if (error.code === 430 || error.code === 530)
      return new LaneDownError({ reason: `${answered}. ${checkLogin}`, cause })
    if (error.code >= 400 && error.code < 500) return new TransientError({ reason: `${answered}.`, cause })
    const secure =
      key.secure === "none"
        ? "It may want `secure: explicit`."
        : "It may want `secure: none` or another kind of `secure`."
    return new LaneDownError({ reason: `${answered}. ${secure}`, cause })
  }
  if (isUnreachable(error)) {
    const reason = `${target.url} can't be reached (${messageOf(error)}). Check host and port, and that the server is running.`
    return new LaneDownError({ reason, cause })
  }
  if (isInsecure(error)) {
    const reason = `${target.url}: no secure connection (${messageOf(error)}). Check the server's certificate, or name its authority in NODE_EXTRA_CA_CERTS.`
    return new LaneDownError({ reason, cause })
  }
  return new TransientError({ reason: `The login to ${target.url} failed (${messageOf(error)}).`, cause })
}

const messageOf = (error: unknown): string => {
  const text = error instanceof Error ? error.message : String(error)
  return readable(
    text.startsWith("Timeout (") ? "no answer in time" : text === "" ? (codeOf(error) ?? "no reason given") : text
  )
}
