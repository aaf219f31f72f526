/**
 * Where and how a file is sent over HTTP, and whether it can be: decided before anything is sent.
 */
import { Buffer } from "node:buffer"
import { randomUUID } from "node:crypto"
import { Either, Option } from "effect"
import { PermanentError } from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import type { Secrets } from "../../domain/Settings.ts"
import { isOneObject, type Target } from "../../domain/Target.ts"
import type { Task } from "../Destination.ts"
import * as SourceReader from "../SourceReader.ts"
import { contentType } from "./contentType.ts"
import { encodeSegment, queryOf } from "./HttpExchange.ts"

export interface Plan {
  readonly method: "POST" | "PUT" | "PATCH"
  /** Path and query of a name below the target; the same for every name where it is not part of it. */
  readonly pathOf: (name: string) => string
  readonly headers: Readonly<Record<string, string>>
  readonly frame: { readonly before?: Uint8Array; readonly after?: Uint8Array }
}

export const planOf = (task: Task): Either.Either<Plan, PermanentError> => {
  const { generation, name, target } = task.delivery
  const why = refusal(target, name)
  if (why !== undefined) {
    return Either.left(
      new PermanentError({
        reason: `${SourceReader.describe(generation)} can't be sent to ${target.url}: ${why}.`,
        cause: Option.none()
      })
    )
  }
  const type = contentType(name)
  if (target.options.upload === "raw") {
    return Either.right({
      method: target.options.method ?? "PUT",
      pathOf: pathOf(target, task.secrets),
      // one that is part of a signature is in the config
      headers: task.secrets.headers.some(([name]) => name === "content-type") ? {} : { "content-type": type },
      frame: {}
    })
  }
  const boundary = `----filedispatch-${randomUUID()}`
  const before =
    `--${boundary}\r\n` +
    `Content-Disposition: form-data; name="${quoted(target.options.fieldname)}"; ` +
    `filename="${quoted(RelPath.basename(name))}"\r\n` +
    `Content-Type: ${type}\r\n\r\n`
  return Either.right({
    method: target.options.method ?? "POST",
    pathOf: pathOf(target, task.secrets),
    headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
    frame: { before: Buffer.from(before), after: Buffer.from(`\r\n--${boundary}--\r\n`) }
  })
}

/** Path and query, encoded. A pre-signed URL stays as it was written: its signature covers every byte. */
export const pathOf = (target: Target, secrets: Secrets): Plan["pathOf"] => {
  const query = queryOf(secrets)
  if (isOneObject(target)) {
    const path = `${new URL(target.url).pathname}${query}`
    return () => path
  }
  const root = `/${target.path.replace(/^\/+/, "")}`.split("/").map(encodeSegment).join("/")
  if (target.options.upload !== "raw") return () => `${root}${query}`
  const folder = root.endsWith("/") ? root : `${root}/`
  return (name) => `${folder}${name.split("/").map(encodeSegment).join("/")}${query}`
}

/** Why a file of that name can't be sent there, as the end of a sentence. */
const refusal = (target: Target, name: string): string | undefined => {
  const { conflict, method, upload, verify } = target.options
  if (name.split("/").some((segment) => segment === "" || segment === "." || segment === "..")) {
    return "its name has an empty part, . or .."
  }
  const named = upload === "raw" && (method ?? "PUT") === "PUT"
  if (upload !== "raw" && !RelPath.isText(name)) {
    return `its name is not UTF-8, which ${upload === "tus" ? "tus" : "a form"} can't carry. Rename the file, or use \`upload: raw\``
  }
  if (upload === "tus" && method !== null) {
    return "`upload: tus` has methods of its own. Leave out `method`"
  }
  if (conflict !== "overwrite" && (!named || conflict === "backup" || isOneObject(target))) {
    return `\`conflict: ${conflict}\` can't be kept there, ${
      named && conflict !== "backup"
        ? "because the URL is that of one object. Use `conflict: overwrite`, or end its path with a slash"
        : named
          ? "because HTTP has no rename. Use `conflict: overwrite`, `fail`, `skip`, `rename` or `newer`"
          : "because it can't be asked what is there. Use `conflict: overwrite`, or `upload: raw` with PUT"
    }`
  }
  if (verify !== "auto" && upload !== "tus" && !named) {
    return `\`verify: ${verify}\` can't be kept there, because it can't be asked what became of a file that was posted. Use \`verify: auto\`, or \`upload: raw\` with PUT`
  }
  return undefined
}

/** As browsers escape names in a form (WHATWG HTML, multipart/form-data encoding algorithm). */
const quoted = (value: string): string =>
  value.replace(/["\r\n]/g, (char) => (char === '"' ? "%22" : char === "\r" ? "%0D" : "%0A"))
