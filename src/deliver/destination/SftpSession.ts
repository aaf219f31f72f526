/**
 * What a delivery asks of an SFTP server, and what its refusals mean.
 */
import { Effect, Option } from "effect"
import { LaneDownError, PermanentError, TransientError, type DeliveryError } from "../../domain/DeliveryError.ts"
import { formatSize } from "../../domain/LogEntry.ts"
import * as RelPath from "../../domain/RelPath.ts"
import type { Target } from "../../domain/Target.ts"
import type { Session, Stored, Upload } from "../Staging.ts"
import type { Quick } from "../StagingBatch.ts"
import { inFlight, SftpUpload } from "./SftpUpload.ts"
import { flag, status, StatusError, type SftpWire, type Space } from "./SftpWire.ts"
import type { SshConnection } from "./SshConnection.ts"

/** How long an upload that was interrupted may take to let go of its file, in milliseconds. */
const lettingGo = 1_000
/** READs under way at once. */
const readAhead = 8
/** With less room than this, a refusal without a reason is put down to it. */
const littleRoom = 64 * 1024

/** Of a connection that many attempts share; it has nothing to be given back. */
export const make = ({ identity, wire }: SshConnection, target: Target): Session => {
  const home = Effect.map(
    asking(target, wire, undefined, () => wire.realPath(".")),
    (path) => path.replace(/\/+$/, "")
  )
  const space = (path: string) => asking(target, wire, path, () => wire.space(path))
  return {
    home,
    stat: (path) => asking(target, wire, path, () => orMissing(wire.stat(path))),
    store: (upload) => store(target, wire, upload),
    remove: (path) => asking(target, wire, path, () => orMissing(wire.remove(path))),
    rename: (from, to, overwrite) => asking(target, wire, to, () => rename(wire, from, to, overwrite)),
    makeFolder: (path) => asking(target, wire, path, () => makeFolder(wire, path)),
    names: (folder) => asking(target, wire, folder, () => wire.names(folder)),
    hash: hashes(wire)
      ? (path, length) => asking(target, wire, path, () => orUnsupported(wire.hash(path, length)))
      : undefined,
    read: (path, offset, receive) =>
      Effect.suspend(() => {
        const stop = { now: false }
        return asking(target, wire, path, () => read(wire, path, offset, receive, stop)).pipe(
          Effect.onInterrupt(() => Effect.sync(() => (stop.now = true)))
        )
      }),
    quick: wire.orderly && !hashes(wire) && wire.extensions.has("posix-rename@openssh.com") ? quickOf(wire) : undefined,
    appends: true,
    inFlight,
    identity: { server: identity.software, security: identity.hostKey, authenticated: identity.login },
    space: wire.extensions.has("statvfs@openssh.com")
      ? (folder) => Effect.map(space(folder), ({ free }) => free)
      : undefined
  }
}

const hashes = (wire: SftpWire): boolean => wire.extensions.has("check-file") || wire.extensions.has("check-file-name")

/** Many files share the connection, and wait for the server most of the time. */
const quickOf = (wire: SftpWire): Quick => {
  let stopped = false
  return {
    width: Infinity,
    send: async ({ content, final, mtime, sync, temp }) => {
      const sending = new SftpUpload(wire, { path: temp, content, offset: 0, sync, mtime })
      await sending.done
      if (sending.size !== content.byteLength) throw new Error("the size is another one, or is not told")
      if (stopped) throw new Error("stopped")
      await wire.replace(temp, final)
      return saidOf(wire, sync)
    },
    stop: () => {
      stopped = true
    }
  }
}

/** For the receipt. */
const saidOf = (wire: SftpWire, sync: boolean): string =>
  sync && wire.extensions.has("fsync@openssh.com") ? "stored and synced" : "stored"

const store = (target: Target, wire: SftpWire, upload: Upload): Effect.Effect<Stored, DeliveryError> =>
  Effect.async<Stored, unknown>((resume) => {
    const sending = new SftpUpload(wire, upload)
    sending.done.then(
      () => resume(Effect.succeed({ said: saidOf(wire, upload.sync), size: sending.size })),
      (error: unknown) => resume(Effect.fail(error))
    )
    return Effect.suspend(() => {
      sending.abort()
      return Effect.promise(() => sending.done.catch(() => undefined)).pipe(Effect.timeout(lettingGo), Effect.ignore)
    })
  }).pipe(Effect.catchAll((error) => explain(target, wire, upload.path, error, upload.size - upload.offset)))

/**
 * In one step where that can be had, which some servers offer and then refuse; one without it says whether the name is
 * taken.
 */
const rename = async (
  wire: SftpWire,
  from: string,
  to: string,
  overwrite: boolean
): Promise<"renamed" | "occupied"> => {
  if (overwrite && wire.extensions.has("posix-rename@openssh.com")) {
    try {
      await wire.replace(from, to)
      return "renamed"
    } catch (error) {
      if (!(error instanceof StatusError) || error.code === status.noSuchFile) throw error
      if (error.code === status.unsupported) wire.extensions.delete("posix-rename@openssh.com")
    }
  }
  try {
    await wire.rename(from, to)
    return "renamed"
  } catch (error) {
    // where there is nothing to be renamed, what has the name is not in its way
    if (!(error instanceof StatusError) || error.code === status.noSuchFile) throw error
    if ((await orMissing(wire.lstat(to))) === undefined) throw error
    return "occupied"
  }
}

const makeFolder = async (wire: SftpWire, path: string): Promise<void> => {
  try {
    await wire.makeFolder(path)
  } catch (error) {
    if (!(error instanceof StatusError) || (await orMissing(wire.stat(path)))?.folder !== true) throw error
  }
}

/** Several READs at once, handed on in order. */
const read = async (
  wire: SftpWire,
  path: string,
  offset: number,
  receive: (chunk: Uint8Array) => void,
  stop: { readonly now: boolean }
): Promise<void> => {
  const handle = await wire.open(path, flag.read)
  /** All of a piece, unless the file ends in it: a server may answer with less than was asked. */
  const piece = async (from: number): Promise<ReadonlyArray<Buffer>> => {
    const parts: Array<Buffer> = []
    for (let at = from; at < from + wire.readChunk;) {
      const part = await wire.read(handle, at, from + wire.readChunk - at)
      if (part === undefined || part.byteLength === 0) break
      parts.push(part)
      at += part.byteLength
    }
    return parts
  }
  const pending: Array<Promise<ReadonlyArray<Buffer>>> = []
  let next = offset
  try {
    while (!stop.now) {
      while (pending.length < readAhead) {
        const asked = piece(next)
        // it is awaited later, or not any more
        asked.catch(() => undefined)
        pending.push(asked)
        next += wire.readChunk
      }
      const parts = (await pending.shift()) ?? []
      if (parts.length === 0) return
      for (const part of parts) receive(part)
    }
  } finally {
    wire.close(handle).catch(() => undefined)
  }
}

/** Nothing there is an answer, too. */
const orMissing = <A>(reply: Promise<A>): Promise<A | undefined> =>
  reply.catch((error: unknown) => {
    if (error instanceof StatusError && (error.code === status.noSuchFile || error.code === status.noSuchPath)) {
      return undefined
    }
    throw error
  })

const orUnsupported = <A>(reply: Promise<A>): Promise<A | undefined> =>
  reply.catch((error: unknown) => {
    if (error instanceof StatusError && error.code === status.unsupported) return undefined
    throw error
  })

const asking = <A>(
  target: Target,
  wire: SftpWire,
  path: string | undefined,
  ask: () => Promise<A>
): Effect.Effect<A, DeliveryError> =>
  Effect.async<A, unknown>((resume) => {
    ask().then(
      (answer) => resume(Effect.succeed(answer)),
      (error: unknown) => resume(Effect.fail(error))
    )
  }).pipe(Effect.catchAll((error) => explain(target, wire, path, error, 0)))

/** What an error means. `needed`: bytes for which there must be room. */
const explain = (
  target: Target,
  wire: SftpWire,
  path: string | undefined,
  error: unknown,
  needed: number
): Effect.Effect<never, DeliveryError> => {
  if (!(error instanceof StatusError)) {
    const why = RelPath.display(error instanceof Error ? error.message : String(error))
    const reason = `The connection to ${target.url} broke (${why}).`
    return Effect.fail(new TransientError({ reason, cause: Option.some(error) }))
  }
  if (error.code !== status.failure || path === undefined) return Effect.fail(refused(target, path, error))
  // OpenSSH says "Failure" of a full disk and of a read-only one
  return Effect.flatMap(roomAt(wire, path), (room) => {
    const cause = Option.some(error)
    if (room?.readOnly === true) {
      const reason = `${target.url} is read-only: it refused ${error.request} of ${RelPath.display(path)}. Make it writable there.`
      return Effect.fail(new LaneDownError({ reason, cause }))
    }
    if (room !== undefined && (room.free < Math.max(needed, littleRoom) || room.names === 0)) {
      const free = room.names === 0 ? "no inode is free" : `${formatSize(room.free)} are free`
      const reason = `${target.url} has no room left: it refused ${error.request} of ${RelPath.display(path)}, and ${free}. Make room there.`
      return Effect.fail(new LaneDownError({ reason, cause }))
    }
    return Effect.fail(refused(target, path, error))
  })
}

const roomAt = (wire: SftpWire, path: string): Effect.Effect<Space | undefined> =>
  Effect.promise(async () =>
    wire.extensions.has("statvfs@openssh.com")
      ? await wire.space(path.slice(0, path.lastIndexOf("/"))).catch(() => undefined)
      : undefined
  )

const refused = (target: Target, path: string | undefined, error: StatusError): DeliveryError => {
  const cause = Option.some(error)
  const place = path === undefined ? "" : ` of ${RelPath.display(path === "" ? "/" : path)}`
  const said = RelPath.display(error.text === "" ? `status ${error.code}` : error.text.slice(0, 200))
  const answered = `${target.url} answered ${error.request}${place} with "${said}"`
  if (error.code === status.noSpace || error.code === status.quotaExceeded || full.test(error.text)) {
    return new LaneDownError({ reason: `${answered}: it has no room left. Make room there.`, cause })
  }
  if (error.code === status.writeProtect || readOnly.test(error.text)) {
    return new LaneDownError({ reason: `${answered}: it is read-only. Make it writable there.`, cause })
  }
  if (error.code === status.failure || error.code === status.noConnection || error.code === status.connectionLost) {
    return new TransientError({ reason: `${answered}. Its own log may say why.`, cause })
  }
  return new PermanentError({ reason: `${answered}. ${advice.get(error.code) ?? general}`, cause })
}

const full = /no space|disk (?:is )?full|quota|not enough space/i
const readOnly = /read[- ]only/i
const general = "The server refuses it as it is; its own log may say why."
const advice = new Map<number, string>([
  [status.noSuchFile, "Check that the path exists there."],
  [status.noSuchPath, "Check that the path exists there."],
  [status.permissionDenied, "Check that the user may write there."],
  [status.badMessage, "The name may be too long for the server, or have a character in it that it does not take."],
  [status.unsupported, "The server can't do that."]
])
