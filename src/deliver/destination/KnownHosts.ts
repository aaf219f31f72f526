/**
 * The file of known host keys, as OpenSSH has it (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto"
import { appendFile, mkdir, open, readFile, type FileHandle } from "node:fs/promises"
import { dirname } from "node:path"
import { codeOf } from "../SourceReader.ts"

/** One line that says something of a host. */
export interface Entry {
  readonly file: string
  /** From 1. */
  readonly line: number
  readonly marker: "revoked" | "cert-authority" | undefined
  /** `ssh-ed25519`, `ssh-rsa`, … */
  readonly type: string
  readonly key: Buffer
  /** Whether it is of this host, in the form of {@link nameOf}. */
  readonly matches: (name: string) => boolean
}

/** What is known of a key that a host has shown. */
export type Verdict =
  | { readonly _tag: "Known"; readonly entry: Entry }
  /** The host is known by these others. */
  | { readonly _tag: "Changed"; readonly entries: ReadonlyArray<Entry> }
  | { readonly _tag: "Revoked"; readonly entry: Entry }
  /** `authority`: only a certificate authority is known for it, and certificates are not understood here. */
  | { readonly _tag: "Unknown"; readonly authority: Entry | undefined }

/** How a host is called in the file: its port is a part of it where it is not the usual one. */
export const nameOf = (host: string, port: number): string =>
  port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`

/** As `ssh-keygen -l` shows it. */
export const fingerprint = (key: Uint8Array): string =>
  `SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`

/** The kind of key that is in a key: the string at its start (RFC 4253, 6.6). */
export const typeOf = (key: Buffer): string => {
  const length = key.byteLength < 4 ? 0 : key.readUInt32BE(0)
  return key
    .subarray(4, 4 + Math.min(length, 64))
    .toString("latin1")
    .replace(/[^\x21-\x7e]/g, "?")
}

/** The entries of a file; lines that can't be read are passed over, as OpenSSH does. */
export const parse = (text: string, file: string): ReadonlyArray<Entry> =>
  text.split("\n").flatMap((content, index) => {
    const words = content.trim().split(/[ \t]+/)
    const marker = words[0]?.startsWith("@") === true ? words.shift() : undefined
    const [hosts = "", type = "", base64 = ""] = words
    if (hosts === "" || hosts.startsWith("#")) return []
    if (marker !== undefined && marker !== "@revoked" && marker !== "@cert-authority") return []
    const key = Buffer.from(base64, "base64")
    if (key.byteLength === 0 || typeOf(key) !== type) return []
    return [
      {
        file,
        line: index + 1,
        marker: marker === "@revoked" ? "revoked" : marker === "@cert-authority" ? "cert-authority" : undefined,
        type,
        key,
        matches: hosts.startsWith("|") ? hashed(hosts) : patterns(hosts)
      } satisfies Entry
    ]
  })

/** All entries of these files; one that is not there has none. Fails where one can't be read. */
export const read = async (files: ReadonlyArray<string>): Promise<ReadonlyArray<Entry>> => {
  const texts = await Promise.all(
    files.map((file) =>
      readFile(file, "utf8").catch((error: unknown) => {
        if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return ""
        throw error
      })
    )
  )
  return texts.flatMap((text, index) => parse(text, files[index] ?? ""))
}

/** What these entries say of a host that has shown this key. */
export const check = (entries: ReadonlyArray<Entry>, host: string, port: number, key: Buffer): Verdict => {
  const name = nameOf(host, port)
  const same = (entry: Entry) => entry.key.equals(key)
  const own = entries.filter((entry) => entry.matches(name))
  // as OpenSSH does: a key that is known of the host at its usual port is the host's, unless this port has its own
  const plain = port === 22 ? [] : entries.filter((entry) => entry.matches(host.toLowerCase()) && same(entry))
  const revoked = [...own, ...plain].find((entry) => entry.marker === "revoked" && same(entry))
  if (revoked !== undefined) return { _tag: "Revoked", entry: revoked }
  const keys = own.filter(({ marker }) => marker === undefined)
  const another = keys.some(({ type }) => type === typeOf(key))
  const known = keys.find(same) ?? (another ? undefined : plain.find(({ marker }) => marker === undefined))
  if (known !== undefined) return { _tag: "Known", entry: known }
  if (keys.length > 0) return { _tag: "Changed", entries: keys }
  return { _tag: "Unknown", authority: own.find(({ marker }) => marker === "cert-authority") }
}

/**
 * The algorithms by which a server may prove itself, those first that it is known by: a server with several keys must
 * not show one that is not known while it has one that is.
 */
export const algorithms = (
  entries: ReadonlyArray<Entry>,
  host: string,
  port: number,
  supported: ReadonlyArray<string>
): ReadonlyArray<string> => {
  const own = (name: string) => entries.filter((entry) => entry.marker === undefined && entry.matches(name))
  const exact = own(nameOf(host, port))
  const entriesOfHost = exact.length > 0 ? exact : own(host.toLowerCase())
  const types = new Set(entriesOfHost.map(({ type }) => type))
  const known = supported.filter((algorithm) => types.has(typeFor(algorithm)))
  return [...known, ...supported.filter((algorithm) => !known.includes(algorithm))]
}

/** The kind of key that an algorithm wants: one RSA key serves three. */
export const typeFor = (algorithm: string): string => (algorithm.startsWith("rsa-sha2-") ? "ssh-rsa" : algorithm)

/** Adds a key to a file, which is made if it is not there, with its folder. In one piece: others may write, too. */
export const add = async (file: string, host: string, port: number, key: Buffer): Promise<void> => {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const handle = await open(file, "a+", 0o600)
  try {
    const line = `${nameOf(host, port)} ${typeOf(key)} ${key.toString("base64")}\n`
    await appendFile(handle, (await endsOpen(handle)) ? `\n${line}` : line)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Whether the last line has no end yet. */
const endsOpen = async (handle: FileHandle): Promise<boolean> => {
  const { size } = await handle.stat()
  if (size === 0) return false
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1)
  return buffer[0] !== 0x0a
}

/** `|1|salt|HMAC-SHA1 of the name|` */
const hashed = (text: string): Entry["matches"] => {
  const [, version, salt = "", hash = ""] = text.split("|")
  const wanted = Buffer.from(hash, "base64")
  const secret = Buffer.from(salt, "base64")
  return (name) => {
    if (version !== "1" || wanted.byteLength !== 20) return false
    return timingSafeEqual(createHmac("sha1", secret).update(name).digest(), wanted)
  }
}

/** Comma-separated, `*` and `?` in them, `!` before one that must not match. */
const patterns = (text: string): Entry["matches"] => {
  const all = text
    .toLowerCase()
    .split(",")
    .map((pattern) => {
      const negated = pattern.startsWith("!")
      return { negated, pattern: negated ? pattern.slice(1) : pattern }
    })
  return (name) => {
    const found = all.filter(({ pattern }) => matches(pattern, name))
    return found.length > 0 && found.every(({ negated }) => !negated)
  }
}

/** In linear steps for each star, whatever the file has in it. */
const matches = (pattern: string, name: string): boolean => {
  let [at, from, star, resume] = [0, 0, -1, 0]
  while (from < name.length) {
    const char = pattern[at]
    if (char === "*") {
      star = at++
      resume = from
    } else if (char !== undefined && (char === "?" || char === name[from])) {
      at++
      from++
    } else if (star >= 0) {
      at = star + 1
      from = ++resume
    } else return false
  }
  while (pattern[at] === "*") at++
  return at === pattern.length
}
