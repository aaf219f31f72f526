/**
 * An FTP connection as {@link Ftp} needs it: commands whose failures are DeliveryErrors, and names as bytes.
 *
 * basic-ftp's control connection is set to latin1, in which each character of a command is one byte: what goes out are
 * the bytes of {@link wire}, whether they are UTF-8 or not. A connection on which anything went wrong is not used
 * again, because nobody knows what the server will say next on it.
 */
import { connect as connectTo, type Socket } from "node:net"
import { Writable } from "node:stream"
import { TLSSocket, type ConnectionOptions } from "node:tls"
import { Client, FTPError, type FTPContext, type FTPResponse } from "basic-ftp"
import { connectForPassiveTransfer, parseEpsvResponse, parsePasvResponse } from "basic-ftp/dist/transfer.js"
import { Effect, Option } from "effect"
import { LaneDownError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import type { Target } from "../../domain/Target.ts"
import type { Upload } from "../Staging.ts"
import { commandError, isRefusal, loginError, refusal, silence } from "./FtpErrors.ts"
import { authority } from "./HttpExchange.ts"
import { isCut, lastWords } from "./network.ts"

/** A string of which each character is one byte on the wire. */
export const wire = (path: string): string => Buffer.from(RelPath.toBytes(path)).toString("latin1")

/** A logged-in connection. Its methods take wire paths. */
export interface FtpClient {
  /** Names in upper case, and what FEAT says of them (RFC 2389). */
  readonly features: ReadonlyMap<string, string>
  /** The login folder, absolute and without a slash at its end, on the wire; empty where the server does not say. */
  readonly home: string
  /** The first line that the server has said. */
  readonly greeting: string
  /** How the connection is encrypted and what proves the server's identity; undefined where it is not. */
  readonly security: string | undefined
  /**
   * Commands that the server may refuse: the answers, each 2xx, 3xx or 5xx. Fails with all that has nothing to do with
   * the commands themselves: a broken connection, 4xx, no login, no room. Where the server is known to take it, they
   * are sent together.
   */
  readonly exchange: (lines: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<FTPResponse>, DeliveryError>
  readonly ask: (line: string) => Effect.Effect<FTPResponse, DeliveryError>
  /** A command that must succeed. */
  readonly command: (line: string) => Effect.Effect<FTPResponse, DeliveryError>
  /**
   * The answer to the upload, and those to the commands `then`, as by {@link exchange}. An `offset` is for servers that
   * have REST.
   */
  readonly store: (
    upload: Pick<Upload, "body" | "content" | "offset">,
    path: string,
    then: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<FTPResponse>, DeliveryError>
  /** Undefined where the server is not known to take commands together. */
  readonly quick: () => QuickUpload | undefined
  /** The answer to RNTO. Nothing has to be asked for that where RNFR was the last command. */
  readonly rename: (from: string, to: string) => Effect.Effect<FTPResponse, DeliveryError>
  readonly read: (
    path: string,
    offset: number,
    receive: (chunk: Uint8Array) => void
  ) => Effect.Effect<void, DeliveryError>
  /** Names and sizes in a directory. */
  readonly list: (
    directory: string
  ) => Effect.Effect<ReadonlyArray<{ readonly name: string; readonly size: number }>, DeliveryError>
  /** Whether it may be used for another attempt. */
  readonly usable: () => boolean
  /** Ends whatever is under way. */
  readonly abort: () => void
  readonly close: Effect.Effect<void>
}

/**
 * `store` and `rename` of a small file in two turns. `then` ends with the RNFR; `check` gets the answers to STOR and to
 * those, and throws unless the file may be renamed. Rejects where anything is not as it should be, after which the
 * connection is not used again.
 */
export type QuickUpload = (
  file: { readonly path: string; readonly content: Uint8Array; readonly to: string },
  then: ReadonlyArray<string>,
  check: (answers: ReadonlyArray<FTPResponse>) => void
) => Promise<void>

export interface Options {
  /** For TLS, beside the target's own `ca`: a private certificate authority, a client certificate. */
  readonly tls?: Pick<ConnectionOptions, "ca" | "cert" | "key" | "passphrase" | "minVersion" | "maxVersion">
}

type Secure = Target["options"]["secure"]

export const secureOf = (target: Target): Secure =>
  target.scheme === "ftps" && target.options.secure === "none" ? "explicit" : target.options.secure

/** Servers that read one command after another, however many there are in a packet; others may lose some. */
const patient = /vsftpd|proftpd|pure-ftpd|filezilla|serv-u/i

interface Login {
  readonly client: Client
  readonly features: ReadonlyMap<string, string>
  readonly home: string
  readonly greeting: string
}

export const connect = (target: Target, password: string, options: Options): Effect.Effect<FtpClient, DeliveryError> =>
  Effect.gen(function* () {
    if (/[\r\n\0]/.test(`${target.username ?? ""}${password}`)) {
      const reason = `${target.url}: the user or the password has a line break or a NUL in it, which FTP can't carry.`
      return yield* new LaneDownError({ reason, cause: Option.none() })
    }
    const secure = secureOf(target)
    const tls = secure === "none" ? {} : { ...options.tls, ...(yield* authority(target)) }
    const client = new Client(target.options.timeout)
    client.ftp.encoding = "latin1"
    return yield* call(
      client,
      () => logIn(client, target, password, secure, tls),
      (error) => loginError(target, secure, password, error)
    ).pipe(
      Effect.map((login) => clientOf(login, target)),
      Effect.onError(() => Effect.sync(() => client.close()))
    )
  })

const logIn = async (
  client: Client,
  target: Target,
  password: string,
  secure: Secure,
  tls: ConnectionOptions
): Promise<Login> => {
  const inTime = <A>(promise: Promise<A>) => within(client, target.options.timeout, promise)
  const host = target.host.replace(/^\[|\]$/g, "")
  const port = target.port ?? (secure === "implicit" ? 990 : 21)
  // the data connections are opened with the same, and the server's name has to be the same for a session to be resumed
  const tlsOptions = { ...tls, host, ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }) }
  const connecting =
    secure === "implicit" ? client.connectImplicitTLS(host, port, tlsOptions) : client.connect(host, port)
  const greeting = (await inTime(connecting)).message
  if (secure === "explicit") await inTime(client.useTLS(tlsOptions))
  await inTime(
    client.login(
      target.username === null ? "anonymous" : wire(target.username),
      target.username === null && password === "" ? "anonymous@" : wire(password)
    )
  )
  const features = new Map(Array.from(await inTime(client.features()), ([name, value]) => [name.toUpperCase(), value]))
  if (features.has("UTF8")) await inTime(client.sendIgnoringError("OPTS UTF8 ON"))
  if (features.has("MLST")) client.availableListCommands = ["MLSD", "LIST -a", "LIST"]
  await inTime(client.send("TYPE I"))
  if (secure !== "none") {
    await inTime(client.sendIgnoringError("PBSZ 0"))
    await inTime(client.send("PROT P"))
  }
  if (features.has("HASH")) await inTime(client.sendIgnoringError("OPTS HASH SHA-256"))
  const { code, message } = await inTime(client.sendIgnoringError("PWD"))
  const quoted = code === 257 ? /^257[ -]"((?:[^"]|"")*)"/.exec(message)?.[1] : undefined
  return { client, features, greeting, home: quoted?.replaceAll('""', '"').replace(/\/$/, "") ?? "" }
}

const clientOf = ({ client, features, greeting, home }: Login, target: Target): FtpClient => {
  const { timeout } = target.options
  const together = patient.test(greeting)
  const transfer = passive(client)
  let quick = together && secureOf(target) === "none"
  let sound = true
  /** What RNFR, as the last command, has named. */
  let granted: string | undefined
  /** Where the server waits for the next data connection. */
  let waiting: Waiting | undefined

  const attempt = <A>(line: string, run: () => Promise<A>): Effect.Effect<A, DeliveryError> =>
    call(client, run, (error) => {
      // an answer may be on its way yet
      sound = false
      return commandError(target, line, error)
    })
  /** Refusals are the caller's business, and nothing else is. */
  const judged = (
    lines: ReadonlyArray<string>,
    answers: ReadonlyArray<FTPResponse>
  ): Effect.Effect<ReadonlyArray<FTPResponse>, DeliveryError> => {
    const index = answers.findIndex((answer) => answer.code >= 400 && !isRefusal(answer))
    const bad = answers[index]
    if (bad !== undefined) {
      sound = false
      return Effect.fail(refusal(target, verbOf(lines[index]), bad))
    }
    const last = lines.at(-1) ?? ""
    granted = last.startsWith("RNFR ") && (answers.at(-1)?.code ?? 500) < 400 ? last.slice(5) : undefined
    return Effect.succeed(answers)
  }
  const exchange: FtpClient["exchange"] = (lines) =>
    Effect.flatMap(
      attempt(lines[0] ?? "", () => {
        granted = undefined
        return send(client, timeout, lines, together)
      }),
      (answers) => judged(lines, answers)
    )
  const ask = (line: string) => Effect.map(exchange([line]), first)
  const command = (line: string) =>
    Effect.filterOrElse(
      ask(line),
      ({ code }) => code < 400,
      (answer) => Effect.fail(refusal(target, verbOf(line), answer))
    )
  /** What moves data by basic-ftp. */
  const move = <A>(line: string, offset: number, run: () => Promise<A>) =>
    attempt(line, () => {
      granted = undefined
      waiting = undefined
      client.prepareTransfer = transfer(offset)
      return run()
    })
  /** The port where the server waits, if it still does; it waits there for one connection only. */
  const takePort = (): number | undefined => {
    const port = waiting !== undefined && Date.now() - waiting.since < maxWaiting ? waiting.port : undefined
    granted = undefined
    waiting = undefined
    return port
  }
  /** The answer to EPSV; without one it is not asked again. */
  const keepPort = (answer: FTPResponse | undefined): void => {
    const port = answer === undefined ? undefined : portIn(answer)
    quick = quick && port !== undefined
    waiting = port === undefined ? undefined : { port, since: Date.now() }
  }
  const quickly: QuickUpload = async ({ content, path, to }, then, check) => {
    const port = takePort()
    // until it is over, an answer may be on its way
    sound = false
    const answers = await storeWhole(client, timeout, port, content, `STOR ${path}`, then)
    if ((answers.at(-1)?.code ?? 500) >= 400) throw new Error("it may not be renamed")
    check(answers)
    const [renamed = unknown, next] = await send(client, timeout, [`RNTO ${to}`, "EPSV"], true)
    if (renamed.code >= 400) throw new Error("it was not renamed")
    keepPort(next)
    sound = true
  }
  return {
    features,
    home,
    greeting,
    quick: () => (quick && patientest.test(greeting) ? quickly : undefined),
    security: securityOf(client.ftp.socket),
    exchange,
    ask,
    command,
    store: ({ body, content, offset }, path, then) => {
      const line = `STOR ${path}`
      if (!quick || content === undefined || offset > 0) {
        return Effect.flatMap(
          move(line, offset, () => client.uploadFrom(body, path)),
          (answer) => Effect.map(exchange(then), (answers) => [answer, ...answers])
        )
      }
      return Effect.flatMap(
        attempt(line, () =>
          storeWhole(client, timeout, takePort(), content, line, patientest.test(greeting) ? then : [])
        ),
        ([answer = unknown, ...answers]) =>
          answers.length === then.length
            ? Effect.as(judged(then, answers), [answer, ...answers])
            : Effect.map(exchange(then), (later) => [answer, ...later])
      )
    },
    rename: (from, to) =>
      Effect.suspend(() => (granted === from ? Effect.void : Effect.asVoid(command(`RNFR ${from}`)))).pipe(
        Effect.flatMap(() => exchange(quick ? [`RNTO ${to}`, "EPSV"] : [`RNTO ${to}`])),
        Effect.map(([answer = unknown, next]) => {
          keepPort(next)
          return answer
        })
      ),
    read: (path, offset, receive) =>
      Effect.asVoid(move(`RETR ${path}`, 0, () => client.downloadTo(receiver(receive), path, offset))),
    list: (directory) => move(`LIST ${directory}`, 0, () => client.list(directory)),
    usable: () => sound && !client.closed,
    abort: () => client.close(),
    close: Effect.sync(() => client.close())
  }
}

interface Waiting {
  readonly port: number
  readonly since: number
}

/** A server, or a firewall before it, does not wait for ever for a data connection; in milliseconds. */
const maxWaiting = 5_000

/** Servers that read their next commands after an upload, and none during it. */
const patientest = /vsftpd/i

const unknown: FTPResponse = { code: 500, message: "500" }
const first = ([answer = unknown]: ReadonlyArray<FTPResponse>): FTPResponse => answer

const portIn = (answer: FTPResponse): number | undefined => {
  const port = answer.code === 229 ? /\|(\d{1,5})\|\)/.exec(answer.message)?.[1] : undefined
  return port === undefined ? undefined : Number(port)
}

/**
 * Stores a small file in as few turns as there can be: the content is on its way before the server has said that it
 * waits for it, and the commands behind it too. Answers those of all commands.
 */
const storeWhole = async (
  client: Client,
  timeout: number,
  known: number | undefined,
  content: Uint8Array,
  line: string,
  then: ReadonlyArray<string>
): Promise<ReadonlyArray<FTPResponse>> => {
  const port = known ?? parseEpsvResponse((await within(client, timeout, client.ftp.request("EPSV"))).message)
  const host = client.ftp.socket.remoteAddress
  if (host === undefined) throw new Error("the control connection is gone")
  const data = connectTo({ host, port, noDelay: true })
  let over = false
  try {
    // what a broken data connection means is said on the other one, if there is still anybody
    data.once("error", (error) =>
      setTimeout(() => {
        // by now it may be sending another file
        if (!over) client.ftp.closeWithError(error)
      }, lastWords)
    )
    data.resume().end(content)
    const [answer = unknown, ...answers] = await send(client, timeout, [line, ...then], true)
    if (answer.code >= 400) throw new FTPError(answer)
    return [answer, ...answers]
  } finally {
    over = true
    data.destroy()
  }
}

const verbOf = (line = ""): string => line.slice(0, Math.max(4, line.indexOf(" "))).trim()

const receiver = (receive: (chunk: Uint8Array) => void): Writable =>
  new Writable({
    write(chunk: Uint8Array, _, done) {
      receive(chunk)
      done()
    }
  })

/** For `doctor`. */
const securityOf = (socket: Socket | TLSSocket): string | undefined => {
  if (!(socket instanceof TLSSocket)) return undefined
  const { subject, valid_to: until } = socket.getPeerCertificate()
  return `${socket.getProtocol() ?? "TLS"}, certificate of ${RelPath.display(String(subject?.CN ?? "no name"))} until ${until ?? "an unknown time"}`
}

/** basic-ftp can't be told to stop; closing the connection is how a call is interrupted. */
const call = <A>(
  client: Client,
  run: () => Promise<A>,
  onError: (error: unknown) => DeliveryError
): Effect.Effect<A, DeliveryError> =>
  Effect.async((resume) => {
    run().then(
      (value) => resume(Effect.succeed(value)),
      (error: unknown) => resume(Effect.fail(onError(error)))
    )
    return Effect.sync(() => client.close())
  })

/** A command's answer has to be there in time as a whole: a server could send a byte of it now and then for ever. */
const within = async <A>(client: Client, timeout: number, promise: Promise<A>): Promise<A> => {
  const timer = setTimeout(() => client.ftp.closeWithError(silence()), timeout)
  try {
    return await promise
  } finally {
    clearTimeout(timer)
  }
}

/** Any answer to a command is a success here, but one that ends the connection (421). */
const send = async (
  client: Client,
  timeout: number,
  lines: ReadonlyArray<string>,
  together: boolean
): Promise<ReadonlyArray<FTPResponse>> => {
  if (lines.length === 0) return []
  if (!together && lines.length > 1) {
    const answers: Array<FTPResponse> = []
    for (const line of lines) answers.push(...(await send(client, timeout, [line], true)))
    return answers
  }
  // a name with a line break in it is refused long before; this is the last line of defence
  if (lines.some((line) => /[\r\n\0]/.test(line))) throw new Error("a command has a line break in it")
  const answers: Array<FTPResponse> = []
  const answered = listen(client, (answer, task) => {
    if (answer instanceof FTPError) answers.push({ code: answer.code, message: answer.message })
    else if (answer instanceof Error) task.reject(answer)
    // RFC 959: there is more to come
    else if (answer.code >= 200) answers.push(answer)
    const last = answers.at(-1)
    if (last?.code === 421) task.reject(new FTPError(last))
    else if (answers.length === lines.length) task.resolve(answers)
  })
  if (!client.closed) client.ftp.socket.write(lines.map((line) => `${line}\r\n`).join(""), "latin1")
  return within(client, timeout, answered)
}

/** basic-ftp takes a stack trace for each command, which costs more than the command. */
const listen = (client: Client, handler: Parameters<FTPContext["handle"]>[1]): Promise<ReadonlyArray<FTPResponse>> => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return client.ftp.handle(undefined, handler)
  } finally {
    Error.stackTraceLimit = limit
  }
}

/**
 * Opens the data connection: EPSV, or PASV where the server has no EPSV, and always to the host of the control
 * connection. The address in a PASV answer is ignored: behind a NAT it is wrong, and from a hostile server it would
 * make us connect to somebody else. An `offset` is told last, for the very next command (RFC 3659, 5.3).
 */
const passive = (client: Client) => {
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
  return (offset: number) =>
    async (ftp: FTPContext): Promise<FTPResponse> => {
      const answer = await within(client, ftp.timeout, open(ftp))
      if (ftp.dataSocket !== undefined) answerBeforeFailing(ftp.dataSocket)
      if (offset > 0) await within(client, ftp.timeout, ftp.request(`REST ${offset}`))
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
