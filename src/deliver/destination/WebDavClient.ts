/**
 * WebDAV (RFC 4918) as a {@link Session} to stage with, over one HTTP request after another.
 *
 * PUT stores, PROPFIND looks, MKCOL makes folders, MOVE renames, DELETE removes, and GET reads back. What only some
 * servers have is found out on the way and remembered for the lane: those without PROPFIND (nginx's own module) are
 * asked by HEAD, and only those that accept it are told the time of a file.
 */
import { Buffer } from "node:buffer"
import { Deferred, Effect, Option } from "effect"
import { LaneDownError, PermanentError, TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import type { Secrets } from "../../domain/Settings.ts"
import type { Target } from "../../domain/Target.ts"
import type { Identity, Session, Stat, Stored, Upload } from "../Staging.ts"
import type { Quick } from "../StagingBatch.ts"
import * as Exchange from "./HttpExchange.ts"
import * as Multistatus from "./multistatus.ts"
import { isDone, isGone, refused } from "./WebDavAnswer.ts"

/** What was learned about the server of a lane. */
export interface Learned {
  /** Whether it takes PROPFIND. */
  propfind: boolean
  /** Whether it keeps the time of a file that it is told by `X-OC-Mtime`; undefined: it was not asked yet. */
  mtime: boolean | undefined
  /** Whether a `Destination` is to be a path alone, because the server does not know itself under its URL's host. */
  pathOnly: boolean
  /** What it calls itself. */
  server: string | undefined
  /** The compliance classes of its `DAV` header. */
  classes: string | undefined
  /** The certificate that it has shown. */
  certificate: string | undefined
}

export const nothingLearned = (): Learned => ({
  propfind: true,
  mtime: undefined,
  pathOnly: false,
  server: undefined,
  classes: undefined,
  certificate: undefined
})

/** What the answer to a question about one resource may take up, and that to one about a folder's names. */
const maxAnswer = 256 * 1024
const maxListing = 16 * 1024 * 1024

/** Nextcloud takes no time for real that lies in the first day after the epoch, and refuses the file. */
const earliest = 2 * 24 * 60 * 60 * 1000

export const makeSession = (
  exchange: Exchange.Exchange,
  learned: Learned,
  target: Target,
  secrets: Secrets
): Session => {
  const query = Exchange.queryOf(secrets)
  // without a default port, as in `Host`, with which servers compare it
  const origin = new URL(Exchange.originOf(target)).origin

  const requestOf = (method: string, path: string, options: Partial<Exchange.Request>): Exchange.Request => ({
    target,
    secrets,
    method,
    path: `${encode(path)}${query}`,
    // each of them may be done twice: what the second one then says is no failure, or is found out by the next attempt
    idempotent: true,
    ...options
  })

  const send = (
    method: string,
    path: string,
    options: Partial<Exchange.Request> = {}
  ): Effect.Effect<Exchange.Answer, DeliveryError> =>
    Effect.tap(exchange.send(requestOf(method, path, options)), (answer) => {
      learned.server ??= answer.header("server")
      learned.classes ??= answer.header("dav")
      learned.certificate ??= certificateOf(answer)
    })

  const refuse = (method: string, answer: Exchange.Answer) => refused(target, method, answer)

  const propfind = (
    path: string,
    depth: 0 | 1,
    properties: ReadonlyArray<string>,
    receive?: (chunk: Uint8Array) => void
  ) =>
    send("PROPFIND", path, {
      headers: { depth: String(depth), "content-type": "application/xml; charset=utf-8" },
      body: Buffer.from(
        `<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>${properties
          .map((property) => `<${property}/>`)
          .join("")}</prop></propfind>`
      ),
      ...(receive === undefined ? {} : { receive })
    })

  const tooLong = (path: string, limit: number) =>
    new TransientError({
      reason: `${target.url} answered PROPFIND about ${RelPath.display(path)} with more than ${limit} bytes; the rest was not read.`,
      cause: Option.none()
    })

  /** The first resource of an answer to PROPFIND. */
  const described = (path: string, answer: Exchange.Answer) => {
    if (answer.status !== 207) {
      return Effect.fail(
        new LaneDownError({
          reason: `${target.url} answered ${RelPath.display(answer.said)} to PROPFIND, which is no answer of a WebDAV server. Check the target's URL, and that WebDAV is switched on there.`,
          cause: Option.none()
        })
      )
    }
    if (answer.body.byteLength > maxAnswer) return Effect.fail(tooLong(path, maxAnswer))
    const resources = Multistatus.parse(answer.body)
    return resources === undefined
      ? Effect.fail(
          new TransientError({
            reason: `${target.url} answered PROPFIND with something that can't be understood. Check that a WebDAV server is behind that URL, and nothing in between that changes its answers.`,
            cause: Option.none()
          })
        )
      : Effect.succeed(resources[0])
  }

  const stat = (path: string): Effect.Effect<Stat | undefined, DeliveryError> =>
    Effect.gen(function* () {
      if (!learned.propfind) return yield* head(path)
      const answer = yield* propfind(path, 0, statProperties)
      if (isGone(answer.status)) return undefined
      if (isFolderRedirect(answer, path)) return aFolder
      if (answer.status === 405 || answer.status === 501) {
        learned.propfind = false
        return yield* head(path)
      }
      if (answer.status === 403) return yield* head(path)
      if (answer.status < 200 || answer.status > 299) return yield* refuse("PROPFIND", answer)
      const { folder, mtime, size, status } = yield* described(path, answer)
      if (status !== undefined && isGone(status)) return undefined
      return { folder, mtime, size: folder ? null : size }
    })

  /** The same from a server that does not list. Without a slash at its end, a folder is a redirect to one with it. */
  const head = (path: string): Effect.Effect<Stat | undefined, DeliveryError> =>
    Effect.gen(function* () {
      const answer = yield* send("HEAD", path, { headers: { "accept-encoding": "identity" } })
      if (isGone(answer.status)) return undefined
      if (isFolderRedirect(answer, path)) return aFolder
      if (answer.status < 200 || answer.status > 299) return yield* refuse("HEAD", answer)
      const length = answer.header("content-length")
      const modified = Date.parse(answer.header("last-modified") ?? "")
      return {
        folder: false,
        size: length === undefined || !/^\d{1,15}$/.test(length) ? null : Number(length),
        mtime: Number.isNaN(modified) ? null : modified
      }
    })

  const storing = (size: number, mtime: number): Record<string, string> => ({
    "content-length": String(size),
    "content-type": "application/octet-stream",
    ...(learned.mtime === false || mtime < earliest ? {} : { "x-oc-mtime": String(Math.floor(mtime / 1000)) })
  })

  const store = ({ body, mtime, path, size }: Upload): Effect.Effect<Stored, DeliveryError> =>
    Effect.gen(function* () {
      const answer = yield* send("PUT", staged(path), {
        body,
        headers: storing(size, mtime)
      })
      const { status } = answer
      if (status >= 200 && status < 300 && status !== 207) {
        if (!answer.whole) {
          return yield* new TransientError({
            reason: `${target.url} answered ${RelPath.display(answer.said)} before it had the whole file.`,
            cause: Option.none()
          })
        }
        if (mtime >= earliest) learned.mtime ??= /^accepted$/i.test(answer.header("x-oc-mtime")?.trim() ?? "")
        return { said: answer.said }
      }
      // 409 as the RFC says; nginx says 500, others 404
      const parent = path.slice(0, path.lastIndexOf("/"))
      if (
        [404, 409, 500].includes(status) &&
        (yield* Effect.orElseSucceed(stat(parent), () => aFolder)) === undefined
      ) {
        return yield* new PermanentError({
          reason: `${target.url} answered ${RelPath.display(answer.said)}: the folder ${RelPath.display(parent)} is not there, or not any more.`,
          cause: Option.none()
        })
      }
      return yield* refuse("PUT", answer)
    })

  const move = (from: string, to: string, overwrite: boolean): Effect.Effect<Exchange.Answer, DeliveryError> => {
    const attempt = (destination: string) =>
      send("MOVE", from, { headers: { destination, overwrite: overwrite ? "T" : "F" } })
    return Effect.gen(function* () {
      if (learned.pathOnly) return yield* attempt(encode(to))
      const answer = yield* attempt(`${origin}${encode(to)}`)
      // behind a proxy that changes host or scheme, it takes its own URL for another server's (RFC 4918, 9.9.4)
      if (answer.status !== 400 && answer.status !== 502) return answer
      const again = yield* attempt(encode(to))
      if (isDone(again) || again.status === 412) learned.pathOnly = true
      return learned.pathOnly ? again : answer
    })
  }

  /** First without leave to overwrite: with it, a MOVE onto a folder deletes that with all that is in it. */
  const rename = (from: string, to: string, overwrite: boolean): Effect.Effect<"renamed" | "occupied", DeliveryError> =>
    Effect.gen(function* () {
      const careful = yield* move(staged(from), to, false)
      if (isDone(careful)) return "renamed"
      if (careful.status !== 412) return yield* refuse("MOVE", careful)
      if (!overwrite) return "occupied"
      if ((yield* stat(to))?.folder === true) {
        return yield* new PermanentError({
          reason: `${RelPath.display(to)} at ${target.url} is a folder. Rename it there, or rename the file.`,
          cause: Option.none()
        })
      }
      const bold = yield* move(staged(from), to, true)
      return isDone(bold) ? "renamed" : yield* refuse("MOVE", bold)
    })

  const makeFolder = (path: string): Effect.Effect<void, DeliveryError> =>
    Effect.gen(function* () {
      const make = send("MKCOL", `${path}/`)
      const answer = yield* make
      // 405: there is one (RFC 4918, 9.3.1)
      if (isDone(answer) || answer.status === 405) return
      const parent = path.slice(0, path.lastIndexOf("/"))
      if (answer.status !== 409 || parent === "") return yield* refuse("MKCOL", answer)
      // the one above it was there, and is not any more
      yield* makeFolder(parent)
      const again = yield* make
      if (!isDone(again) && again.status !== 405) return yield* refuse("MKCOL", again)
    })

  const remove = (path: string): Effect.Effect<void, DeliveryError> =>
    Effect.gen(function* () {
      const answer = yield* send("DELETE", staged(path))
      if (!isDone(answer) && !isGone(answer.status)) return yield* refuse("DELETE", answer)
    })

  const names = (folder: string): Effect.Effect<ReadonlyArray<string>, DeliveryError> =>
    Effect.gen(function* () {
      const chunks: Array<Uint8Array> = []
      let size = 0
      const full = yield* Deferred.make<never, DeliveryError>()
      const listing = propfind(`${folder}/`, 1, ["resourcetype"], (chunk) => {
        size += chunk.byteLength
        if (size <= maxListing) chunks.push(chunk)
        else Deferred.unsafeDone(full, Effect.fail(tooLong(folder, maxListing)))
      })
      const answer = yield* Effect.raceFirst(listing, Deferred.await(full))
      if (answer.status < 200 || answer.status > 299) return yield* refuse("PROPFIND", answer)
      const found = Multistatus.paths(Buffer.concat(chunks))
      // the folder itself is among them, under its own name or the one that a proxy hides
      const shortest = found.reduce((least, path) => (path.length < least.length ? path : least), found[0] ?? "")
      const self = found.includes(folder) ? folder : shortest
      return found.filter((path) => path !== self).map((path) => RelPath.basename(path))
    })

  const read: Session["read"] = (path, offset, receive) =>
    Effect.gen(function* () {
      const answer = yield* send("GET", staged(path), {
        headers: { "accept-encoding": "identity", ...(offset === 0 ? {} : { range: `bytes=${offset}-` }) },
        receive
      })
      if (answer.status < 200 || answer.status > 299) return yield* refuse("GET", answer)
      if (offset === 0 || answer.status === 206) return
      return yield* new TransientError({
        reason: `${target.url} answered ${RelPath.display(answer.said)} to GET, which was to begin at byte ${offset}.`,
        cause: Option.none()
      })
    })

  const space = (folder: string): Effect.Effect<number | undefined, DeliveryError> =>
    Effect.gen(function* () {
      if (!learned.propfind) return undefined
      const answer = yield* propfind(`${folder}/`, 0, ["quota-available-bytes"])
      return answer.status === 207 ? Multistatus.parse(answer.body)?.[0].free : undefined
    })

  /**
   * Size by HEAD, which says as much as PROPFIND in less. Where a file is replaced, the careful way has to look first
   * whether it is a folder.
   */
  const quick: Quick = {
    width: 1,
    send: async ({ content, final, mtime, temp }) => {
      const stored = await ask("PUT", staged(temp), { body: content, headers: storing(content.byteLength, mtime) })
      if (stored.status < 200 || stored.status > 299 || stored.status === 207 || stored.whole !== true) {
        throw new Error("it was not stored")
      }
      const looked = await ask("HEAD", staged(temp), { headers: { "accept-encoding": "identity" } })
      if (looked.status !== 200 || looked.header("content-length") !== String(content.byteLength)) {
        throw new Error("the size is another one, or is not told")
      }
      const destination = learned.pathOnly ? encode(final) : `${origin}${encode(final)}`
      const moved = await ask("MOVE", staged(temp), { headers: { destination, overwrite: "F" } })
      if (!isDone(moved)) throw new Error("it was not renamed")
      return stored.said
    },
    stop: () => stop?.()
  }
  let stop: (() => void) | undefined
  const ask = (method: string, path: string, options: Pick<Exchange.Request, "body" | "headers">) => {
    const begun = exchange.begin(requestOf(method, path, options))
    stop = begun?.stop
    return begun?.answer ?? Promise.reject(new Error("nothing was sent yet"))
  }

  return {
    quick,
    // there is no log-in folder: a tilde in a WebDAV URL is a tilde
    home: Effect.succeed("/~"),
    stat: (path) => stat(staged(path)),
    store,
    remove,
    rename,
    makeFolder,
    names,
    hash: undefined,
    read,
    // no standard says what a PUT of a part does
    appends: false,
    get identity() {
      return identityOf(learned)
    },
    space
  }
}

const statProperties = ["resourcetype", "getcontentlength", "getlastmodified"]

const aFolder: Stat = { folder: true, size: null, mtime: null }

const encode = (path: string): string => path.split("/").map(Exchange.encodeSegment).join("/")

/**
 * Where a path is at the server. Nextcloud and ownCloud take no name that ends in `.part`, because they have such files
 * of their own: temp files are called `.fd-….tmp` here.
 */
const staged = (path: string): string =>
  path.replace(
    /(^|\/)(\.fd-[^/]{20})\.(part)$/i,
    (_, slash: string, name: string, suffix: string) =>
      // the case is kept: by such a name is found out whether the server tells cases apart
      `${slash}${name}.${suffix === "part" ? "tmp" : "TMP"}`
  )

const certificateOf = (answer: Exchange.Answer): string | undefined => {
  const shown = answer.certificate?.()
  return shown === undefined
    ? undefined
    : `certificate of ${RelPath.display(String(shown.subject?.CN ?? "no name"))} until ${RelPath.display(String(shown.valid_to))}`
}

/** What its answers so far have told. */
const identityOf = ({ certificate, classes, server }: Learned): Identity => {
  const words = [...(server === undefined ? [] : [server]), ...(classes === undefined ? [] : [`DAV ${classes}`])]
  return { server: words.length === 0 ? undefined : RelPath.display(words.join(", ")), security: certificate }
}

/** Apache and nginx lead from a folder's name without the slash to that with it. */
const isFolderRedirect = (answer: Exchange.Answer, path: string): boolean => {
  const location = answer.header("location")
  if (answer.status < 301 || answer.status > 308 || location === undefined) return false
  const place = location.replace(/^[a-z][a-z\d+.-]*:\/\/[^/]*/i, "").replace(/[?#].*$/, "")
  return Multistatus.decodePath(place) === `${path}/`
}
