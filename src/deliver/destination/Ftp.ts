/**
 * `ftp` and `ftps`: binary and passive, over a pool of connections per lane. What is common to all protocols with files
 * and renames is in {@link Staging}; here is how FTP says it.
 *
 * The size is always compared: vsftpd, for one, answers "226 Transfer complete" to half a file. FTP's rename has no flag
 * that would keep it from overwriting. `skip`, `rename` and `fail` look before they rename; a stranger's file that
 * appears in between is overwritten. Where the server refuses to rename onto a file that is there, `overwrite` deletes
 * that one first, and for that moment there is none.
 *
 * RFC 959; RFC 3659 (SIZE, MDTM, MLST, REST); draft-somers-ftp-mfxx (MFMT); draft-bryan-ftpext-hash (HASH, RANG).
 */
import type { FTPResponse } from "basic-ftp"
import { Effect, Option, type Layer } from "effect"
import { PermanentError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import type { Target } from "../../domain/Target.ts"
import * as Destination from "../Destination.ts"
import * as Staging from "../Staging.ts"
import type { Quick } from "../StagingBatch.ts"
import { wire, type FtpClient, type Options, type QuickUpload } from "./FtpClient.ts"
import { readable, refusal } from "./FtpErrors.ts"
import * as FtpPool from "./FtpPool.ts"

export type { Options } from "./FtpClient.ts"

export const make = (options: Options = {}): Effect.Effect<Destination.Destination> =>
  Effect.succeed({
    schemes: ["ftp", "ftps"],
    protocol: "ftp",
    worker: "FTP worker",
    conflicts: ["overwrite", "skip", "rename", "fail", "newer", "backup"],
    open: (lane, open) =>
      Staging.open(
        {
          sessions: () =>
            Effect.map(FtpPool.make(options), (pool) => {
              const sessions = new WeakMap<FtpClient, Staging.Session>()
              return {
                get: (target, secrets) =>
                  Effect.map(pool.get(target, secrets), (client) => {
                    const session = sessions.get(client) ?? sessionOf(client, target)
                    sessions.set(client, session)
                    return session
                  })
              }
            }),
          drains: true,
          refuses: (path) =>
            /[\r\n]/.test(path) ? "its name has a line break in it, which FTP can't carry" : undefined
        },
        lane,
        open
      )
  })

export const layer = (options: Options = {}): Layer.Layer<never, never, Destination.Destinations> =>
  Destination.layer(make(options))

const sessionOf = (client: FtpClient, target: Target): Staging.Session => {
  const { features } = client
  const facts = features.has("MLST")
  const dates = datesOf(client)
  const hash = hashing(client)
  /** Set where neither SIZE nor a listing shows what was stored, as with an account that may only write. */
  let blind = false

  const stat = (path: string): Effect.Effect<Staging.Stat | undefined, DeliveryError> => {
    const place = wire(path) === "" ? "/" : wire(path)
    return facts ? statByFacts(client, target, place) : statByCommands(client, place)
  }

  return {
    home: Effect.sync(() => RelPath.fromBytes(Buffer.from(client.home, "latin1"))),
    stat,
    store: (upload) =>
      Effect.gen(function* () {
        const place = wire(upload.path)
        const dating = dates.lines(place, upload.mtime)
        // where nothing is asked in between, the rename can follow at once
        const then = [`SIZE ${place}`, ...dating, ...(hash === undefined ? [`RNFR ${place}`] : [])]
        const [answer, measured, dated] = yield* client.store(upload, place, then)
        if (dating.length > 0) dates.heard(dated)
        const said = readable(answer?.message ?? "")
        const size = sizeIn(measured)
        if (size !== undefined || blind) return { said, size: size ?? null }
        const listed = yield* listedSize(client, place)
        blind = listed === undefined
        return { said, size: listed ?? null }
      }),
    remove: (path) => Effect.asVoid(client.ask(`DELE ${wire(path)}`)),
    rename: (from, to) =>
      Effect.gen(function* () {
        const answer = yield* client.rename(wire(from), wire(to))
        if (answer.code < 400) return "renamed"
        const there = yield* stat(to)
        if (there !== undefined && !there.folder) return "occupied"
        return yield* refusal(target, "RNTO", answer)
      }),
    makeFolder: (path) =>
      Effect.gen(function* () {
        const made = yield* client.ask(`MKD ${wire(path)}`)
        // another worker may have been faster
        if (made.code < 400 || (yield* client.ask(`CWD ${wire(path)}`)).code < 400) return
        return yield* new PermanentError({
          reason: `The folder ${RelPath.display(path)} is not at the server and could not be made there: "${readable(made.message)}". Check the target's path and that the user may write there.`,
          cause: Option.none()
        })
      }),
    names: (folder) =>
      Effect.map(client.list(wire(folder) || "/"), (entries) =>
        entries.map(({ name }) => RelPath.fromBytes(Buffer.from(name, "latin1")))
      ),
    hash,
    get quick() {
      const upload = hash === undefined ? client.quick() : undefined
      return upload === undefined ? undefined : quickOf(client, upload, dates)
    },
    read: (path, offset, receive) => client.read(wire(path), offset, receive),
    appends: features.has("REST"),
    identity: { security: client.security }
  }
}

const quickOf = (client: FtpClient, upload: QuickUpload, dates: ReturnType<typeof datesOf>): Quick => ({
  width: 1,
  send: async ({ content, final, mtime, temp }) => {
    const path = wire(temp)
    const dating = dates.lines(path, mtime)
    let said = ""
    await upload(
      { path, content, to: wire(final) },
      [`SIZE ${path}`, ...dating, `RNFR ${path}`],
      ([stored, measured, dated]) => {
        if (dating.length > 0) dates.heard(dated)
        if (sizeIn(measured) !== content.byteLength) throw new Error("the size is another one, or is not told")
        said = readable(stored?.message ?? "")
      }
    )
    return said
  },
  stop: client.abort
})

const nothing = Effect.sync(() => undefined)

/** MLST tells all in one answer (RFC 3659, 7). */
const statByFacts = (
  client: FtpClient,
  target: Target,
  path: string
): Effect.Effect<Staging.Stat | undefined, DeliveryError> =>
  Effect.flatMap(client.ask(`MLST ${path}`), (answer) => {
    if (answer.code === 550) return nothing
    if (answer.code !== 250) return Effect.fail(refusal(target, "MLST", answer))
    const line = answer.message.split(/\r?\n/).find((part) => /^ ?[\w.-]+=[^;]*;/.test(part)) ?? ""
    const facts = new Map(
      Array.from(line.slice(0, line.indexOf("; ") + 1).matchAll(/([\w.-]+)=([^;]*);/g), ([, name = "", value = ""]) => [
        name.toLowerCase(),
        value
      ])
    )
    const size = Number(facts.get("size") ?? Number.NaN)
    return Effect.succeed({
      size: Number.isSafeInteger(size) ? size : null,
      mtime: timeOf(facts.get("modify") ?? ""),
      folder: /^(?:dir|cdir|pdir)$/i.test(facts.get("type") ?? "")
    })
  })

/** SIZE and MDTM, which know files only; CWD, which knows folders only; a listing, for servers without SIZE. */
const statByCommands = (client: FtpClient, path: string): Effect.Effect<Staging.Stat | undefined, DeliveryError> =>
  Effect.gen(function* () {
    const dated = client.features.has("MDTM") || client.features.size === 0
    const [measured, modified] = yield* client.exchange([`SIZE ${path}`, ...(dated ? [`MDTM ${path}`] : [])])
    const size = sizeIn(measured)
    const mtime = modified?.code === 213 ? timeOf(modified.message.slice(4).trim()) : null
    if (size !== undefined) return { size, mtime, folder: false }
    if ((yield* client.ask(`CWD ${path}`)).code < 400) return { size: null, mtime: null, folder: true }
    if (measured?.code === 550) return undefined
    const listed = yield* listedSize(client, path)
    return listed === undefined ? undefined : { size: listed, mtime, folder: false }
  })

const sizeIn = (answer: FTPResponse | undefined): number | undefined => {
  const size = answer?.code === 213 ? /^213[ -]\s*(\d+)/.exec(answer.message)?.[1] : undefined
  return size === undefined ? undefined : Number(size)
}

/** Undefined: it is not there, or the folder may not be listed. */
const listedSize = (client: FtpClient, path: string): Effect.Effect<number | undefined, DeliveryError> =>
  client.list(path.slice(0, path.lastIndexOf("/")) || "/").pipe(
    Effect.map((entries) => {
      const name = path.slice(path.lastIndexOf("/") + 1)
      return entries.find((entry) => entry.name === name)?.size
    }),
    Effect.catchTag("PermanentError", () => nothing)
  )

/** `YYYYMMDDHHMMSS[.sss]`, in UTC, to milliseconds; null where it is something else. */
const timeOf = (text: string): number | null => {
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\.\d+)?/.exec(text)
  if (parts === null) return null
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1, 7).map(Number)
  return Date.UTC(year, month - 1, day, hour, minute, second) + Math.floor(Number(parts[7] ?? 0) * 1000)
}

/**
 * The time of a file is a courtesy, and not every server can set it. vsftpd takes it as an argument of MDTM, which is
 * older than MFMT.
 */
const datesOf = (client: FtpClient) => {
  const verb = client.features.has("MFMT")
    ? "MFMT"
    : client.features.has("MDTM") && /vsftpd/i.test(client.greeting)
      ? "MDTM"
      : undefined
  let refused = false
  return {
    lines: (path: string, mtime: number): ReadonlyArray<string> =>
      verb === undefined || refused || !Number.isFinite(mtime)
        ? []
        : [`${verb} ${new Date(mtime).toISOString().replace(/\.\d+Z$|[-:T]/g, "")} ${path}`],
    heard: (answer: FTPResponse | undefined): void => {
      if (answer !== undefined && answer.code >= 400) refused = true
    }
  }
}

/** HASH, of the first bytes too where there is RANG; or else XSHA256, of whole files. */
const hashing = (client: FtpClient): Staging.Session["hash"] => {
  const { features } = client
  const hexIn = (answer: FTPResponse | undefined): string | undefined =>
    answer !== undefined && answer.code < 300
      ? /(?:^|[\s"])([0-9a-f]{64})(?=[\s"]|$)/i.exec(answer.message)?.[1]?.toLowerCase()
      : undefined
  if (/(?:^|;)SHA-256\b/i.test(features.get("HASH") ?? "")) {
    return (path, length) =>
      Effect.gen(function* () {
        if (length === undefined) return hexIn(yield* client.ask(`HASH ${wire(path)}`))
        if (!features.has("RANG") || length === 0) return undefined
        if ((yield* client.ask(`RANG 0 ${length - 1}`)).code >= 400) return undefined
        return hexIn(yield* client.ask(`HASH ${wire(path)}`))
      })
  }
  if (!features.has("XSHA256")) return undefined
  return (path, length) => (length === undefined ? Effect.map(client.ask(`XSHA256 ${wire(path)}`), hexIn) : nothing)
}
