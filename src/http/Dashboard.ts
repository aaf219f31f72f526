/**
 * The dashboard's page and what it is made of, as the build has left it beside the program.
 *
 * All of it is read once, at the start: nothing that a request names is ever looked for on the disk, and a program that
 * runs while its package is replaced serves the page that goes with it.
 */
import { HttpServerResponse } from "@effect/platform"
import { Context } from "effect"
import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** Where the built page lies; undefined where no build has made it. */
export class DashboardFolder extends Context.Reference<DashboardFolder>()("filedispatch/http/DashboardFolder", {
  defaultValue: (): string | undefined => findFolder()
}) {}

/** As a worker thread is found, see files/workerUrl: in `dist`, or bundled into it. The source of it is not the page. */
const findFolder = (): string | undefined =>
  (import.meta.url.endsWith(".ts") ? ["../../dist/dashboard"] : ["../dashboard", "./dashboard"])
    .map((place) => fileURLToPath(new URL(place, import.meta.url)))
    .find((folder) => existsSync(join(folder, "index.html")))

export interface Dashboard {
  /** The answer with that file; undefined: it is not a part of the dashboard. */
  readonly answer: (
    file: string,
    headers: Readonly<Record<string, string | undefined>>
  ) => HttpServerResponse.HttpServerResponse | undefined
}

/** It loads its own script and style, and asks the API that it came from; nothing else. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'"
].join("; ")

const types: ReadonlyMap<string, string> = new Map([
  ["html", "text/html; charset=utf-8"],
  ["js", "text/javascript; charset=utf-8"],
  ["css", "text/css; charset=utf-8"],
  ["svg", "image/svg+xml"],
  ["png", "image/png"],
  ["ico", "image/x-icon"],
  ["json", "application/json"],
  ["webmanifest", "application/manifest+json"],
  ["woff2", "font/woff2"],
  ["txt", "text/plain; charset=utf-8"]
])

/** The best first. */
const encodings = [
  { name: "br", suffix: ".br" },
  { name: "gzip", suffix: ".gz" }
] as const

interface File {
  readonly type: string
  readonly caching: string
  readonly etag: string
  /** By the name of the encoding; `identity` for the file itself. */
  readonly forms: ReadonlyMap<string, Uint8Array>
}

/** What lies directly in that folder. */
export const load = (folder: string | undefined): Dashboard => {
  const files = folder === undefined ? new Map<string, File>() : read(folder)
  return {
    answer: (name, headers) => {
      const file = files.get(name)
      if (file === undefined) return undefined
      const encoding = choose(headers["accept-encoding"] ?? "", file)
      const etag = `"${file.etag}${encoding === "identity" ? "" : `-${encoding}`}"`
      const common = {
        "cache-control": file.caching,
        "content-security-policy": policy,
        etag,
        vary: "accept-encoding"
      }
      if (matches(headers["if-none-match"], etag)) return HttpServerResponse.empty({ status: 304, headers: common })
      return HttpServerResponse.uint8Array(file.forms.get(encoding) ?? new Uint8Array(), {
        contentType: file.type,
        headers: encoding === "identity" ? common : { ...common, "content-encoding": encoding }
      })
    }
  }
}

const read = (folder: string): ReadonlyMap<string, File> => {
  const names = new Set(
    readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => entry.name)
  )
  const files = new Map<string, File>()
  for (const name of names) {
    const extension = /\.([a-z0-9]+)$/.exec(name)?.[1] ?? ""
    const type = types.get(extension)
    if (type === undefined) continue
    const content = readFileSync(join(folder, name))
    const forms = new Map<string, Uint8Array>([["identity", content]])
    for (const encoding of encodings) {
      const compressed = `${name}${encoding.suffix}`
      if (names.has(compressed)) forms.set(encoding.name, readFileSync(join(folder, compressed)))
    }
    files.set(name, {
      type,
      caching: isHashed(name) ? "public, max-age=31536000, immutable" : "no-cache",
      etag: createHash("sha256").update(content).digest("base64url").slice(0, 22),
      forms
    })
  }
  return files
}

/** Whether its name says its content, as in `app-3fA9_xQ2.js`. */
const isHashed = (name: string): boolean => /-[\w-]{8,}\.[a-z0-9]+$/.test(name)

const choose = (accepted: string, { forms }: File): string => {
  const weights = new Map(
    accepted.split(",").map((part) => {
      const [name = "", ...parameters] = part.split(";").map((piece) => piece.trim().toLowerCase())
      const weight = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2)
      return [name, weight === undefined ? 1 : Number(weight)] as const
    })
  )
  const wanted = encodings.find(({ name }) => forms.has(name) && (weights.get(name) ?? weights.get("*") ?? 0) > 0)
  return wanted?.name ?? "identity"
}

const matches = (header: string | undefined, etag: string): boolean =>
  header !== undefined && header.split(",").some((one) => one.trim() === "*" || one.trim().replace(/^W\//, "") === etag)
