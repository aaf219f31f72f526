/**
 * Whether a server is the one that it should be: by a pinned fingerprint, or by the user's files of known keys.
 */
import { homedir } from "node:os"
import { join } from "node:path"
import { Effect, Option } from "effect"
import { LaneDownError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import type { Target } from "../../domain/Target.ts"
import { codeOf } from "../SourceReader.ts"
import * as KnownHosts from "./KnownHosts.ts"

/** Of one connection. */
export interface HostKeys {
  /** To be asked for, in this order. */
  readonly algorithms: ReadonlyArray<string>
  /** Whether the server may show this key; nothing is sent before that. */
  readonly check: (key: Buffer) => Check
}

export type Check =
  | {
      readonly _tag: "Trusted"
      /** "known from ~/.ssh/known_hosts, line 3" */
      readonly how: string
      /** To be awaited once the server has proved that the key is its own, before credentials are sent. */
      readonly remember: Effect.Effect<void, LaneDownError>
    }
  | { readonly _tag: "Refused"; readonly reason: string }

/** In the order of OpenSSH's preference, and only what ssh2 can check. */
export const supported: ReadonlyArray<string> = [
  "ssh-ed25519",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "rsa-sha2-512",
  "rsa-sha2-256"
]

/** Whether one key alone will do. */
export const isPinned = ({ options: { hostKey } }: Target): boolean => hostKey !== null && hostKey !== "accept-new"

/** What the target's options say. `excluded`: kinds of keys that a server has shown in vain. */
export const load = (target: Target, excluded: ReadonlySet<string>): Effect.Effect<HostKeys, LaneDownError> =>
  Effect.suspend(() => {
    const { hostKey, knownHosts } = target.options
    const port = target.port ?? 22
    const place = KnownHosts.nameOf(target.host, port)
    if (hostKey !== null && hostKey !== "accept-new") {
      const pinned = hostKey.replace(/=+$/, "")
      return Effect.succeed({
        algorithms: supported.filter((algorithm) => !excluded.has(KnownHosts.typeFor(algorithm))),
        check: (key: Buffer): Check =>
          KnownHosts.fingerprint(key) === pinned
            ? { _tag: "Trusted", how: "pinned by `hostKey`", remember: Effect.void }
            : { _tag: "Refused", reason: notPinned(target, key, pinned) }
      })
    }
    const own = knownHosts ?? join(homedir(), ".ssh", "known_hosts")
    const files = knownHosts === null ? [own, "/etc/ssh/ssh_known_hosts"] : [own]
    return Effect.map(readAll(files, target), (entries) => ({
      algorithms: KnownHosts.algorithms(entries, target.host, port, supported),
      check: (key: Buffer): Check => {
        const verdict = KnownHosts.check(entries, target.host, port, key)
        switch (verdict._tag) {
          case "Known":
            return { _tag: "Trusted", how: `known from ${at(verdict.entry)}`, remember: Effect.void }
          case "Revoked":
            return {
              _tag: "Refused",
              reason: `${target.url}: the server's host key ${describe(key)} was revoked (${at(verdict.entry)}). Nothing was sent. Find out why with whoever runs the server.`
            }
          case "Changed":
            return { _tag: "Refused", reason: changed(target, key, verdict.entries, place) }
          case "Unknown":
            return hostKey === "accept-new"
              ? { _tag: "Trusted", how: `new, added to ${own}`, remember: remember(own, target, key) }
              : { _tag: "Refused", reason: unknown(target, key, files, verdict.authority) }
        }
      }
    }))
  })

const readAll = (
  files: ReadonlyArray<string>,
  target: Target
): Effect.Effect<ReadonlyArray<KnownHosts.Entry>, LaneDownError> =>
  Effect.tryPromise({
    try: () => KnownHosts.read(files),
    catch: (error) =>
      new LaneDownError({
        reason: `${target.url}: the known host keys can't be read (${codeOf(error) ?? "unknown error"}, ${files.join(", ")}). Give the user of filedispatch read access, or name another file with \`knownHosts\`.`,
        cause: Option.some(error),
        phase: "identity"
      })
  })

/** Several lanes can meet the same new host: the second one finds what the first has written. */
const writing = Effect.unsafeMakeSemaphore(1)

const remember = (file: string, target: Target, key: Buffer): Effect.Effect<void, LaneDownError> =>
  Effect.gen(function* () {
    const port = target.port ?? 22
    const entries = yield* readAll([file], target)
    const verdict = KnownHosts.check(entries, target.host, port, key)
    if (verdict._tag === "Known") return
    if (verdict._tag === "Changed") {
      const reason = changed(target, key, verdict.entries, KnownHosts.nameOf(target.host, port))
      return yield* new LaneDownError({ reason, cause: Option.none(), phase: "identity" })
    }
    yield* Effect.tryPromise({
      try: () => KnownHosts.add(file, target.host, port, key),
      catch: (error) =>
        new LaneDownError({
          reason: `${target.url}: its new host key can't be written to ${file} (${codeOf(error) ?? "unknown error"}). Make the file writable for the user of filedispatch, or pin the key: hostKey: "${KnownHosts.fingerprint(key)}".`,
          cause: Option.some(error),
          phase: "identity"
        })
    })
    yield* Effect.logInfo(`${target.url}: its host key ${describe(key)} was new and is now in ${file}`)
  }).pipe(writing.withPermits(1))

const at = (entry: KnownHosts.Entry): string => `${RelPath.display(entry.file)}, line ${entry.line}`

const describe = (key: Buffer): string => `${KnownHosts.typeOf(key)} ${KnownHosts.fingerprint(key)}`

const notPinned = (target: Target, key: Buffer, pinned: string): string =>
  `${target.url}: the server showed the host key ${describe(key)}, but \`hostKey\` says ${pinned}. Nothing was sent. If the server has got a new key, ask whoever runs it for the fingerprint and change \`hostKey\`.`

const changed = (target: Target, key: Buffer, entries: ReadonlyArray<KnownHosts.Entry>, place: string): string => {
  const known = entries.map((entry) => `${describe(entry.key)} (${at(entry)})`).join(", ")
  const files = Array.from(new Set(entries.map(({ file }) => file)))
  const remedy = files.map((file) => `ssh-keygen -R '${place}' -f '${RelPath.display(file)}'`).join(" and ")
  return `${target.url}: the server showed the host key ${describe(key)}, but it is known by ${known}. Somebody may be posing as it; nothing was sent. If the server has got a new key, ask whoever runs it for the fingerprint, then remove the old one (${remedy}) or pin the new one (hostKey: "${KnownHosts.fingerprint(key)}").`
}

const unknown = (
  target: Target,
  key: Buffer,
  files: ReadonlyArray<string>,
  authority: KnownHosts.Entry | undefined
): string => {
  const port = target.port ?? 22
  const scan = `ssh-keyscan${port === 22 ? "" : ` -p ${port}`} ${target.host}`
  const certificates =
    authority === undefined
      ? ""
      : ` The @cert-authority of ${at(authority)} does not help: host certificates are not supported.`
  return `${target.url}: the server's host key ${describe(key)} is not known (looked in ${files.join(", ")}). Nothing was sent.${certificates} Compare the fingerprint with whoever runs the server, then pin it (hostKey: "${KnownHosts.fingerprint(key)}"), add the key (${scan} >> ${files[0] ?? ""}), or use \`hostKey: accept-new\`.`
}
