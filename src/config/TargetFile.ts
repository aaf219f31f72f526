/**
 * What the config file says of a target: its place, and the options of it, which a folder can have for all of its own.
 */
import { Option, Schema } from "effect"
import { Conflict, Transform, usualOptions, Verify } from "../domain/Target.ts"
import { defaults } from "./defaults.ts"
import { fault as headerFault } from "./headers.ts"
import * as Recipients from "./recipients.ts"
import {
  anyCase,
  boolean,
  checked,
  duration,
  factor,
  integer,
  key,
  list,
  oneOf,
  positiveDuration,
  rate,
  sizeFrom,
  text
} from "./Values.ts"

const retry = Schema.Struct({
  attempts: key(
    integer(1, 1_000_000),
    "How often a delivery is tried before it is given up.",
    defaults.target.retry.attempts
  ),
  base: key(duration(), "How long the first wait is.", defaults.target.retry.base),
  factor: key(factor, "By how much each wait is longer than the one before.", defaults.target.retry.factor),
  cap: key(duration(), "How long a wait is at most.", defaults.target.retry.cap)
}).annotations({ title: "a map of attempts, base, factor, cap" })

const bandwidthTitle = "unlimited, a size per second of at least 1KiB/s, such as 10MiB/s, or a map of target and lane"

const limit = Schema.Union(Schema.Literal("unlimited"), rate).annotations({
  title: "unlimited, or a size per second of at least 1KiB/s, such as 10MiB/s"
})

const bandwidth = Schema.Union(
  Schema.Literal("unlimited"),
  rate,
  Schema.Struct({
    target: key(limit, "What all deliveries to this target may use together.", "unlimited"),
    lane: key(
      limit,
      "What all deliveries to its server, or file system, may use together; the smallest of its targets counts.",
      "unlimited"
    )
  })
).annotations({ title: bandwidthTitle })

const secretTitle = "a text (in quotes, if it looks like a number)"

const secret = Schema.Redacted(text(secretTitle)).annotations({ title: secretTitle })

const bearer = Schema.Redacted(
  checked(secretTitle, (value) =>
    value.trim() === "" ? { message: "an empty text", expected: secretTitle } : headerFault(value)
  )
).annotations({ title: secretTitle })

const headers = Schema.Record({
  key: Schema.String,
  value: Schema.Redacted(checked(secretTitle, headerFault)).annotations({ title: secretTitle })
}).annotations({ title: 'a map of header names and texts, such as { X-Api-Key: "…" }' })

const hostKey = checked("a fingerprint such as SHA256:…, or accept-new", (value) => {
  if (value === "accept-new" || /^SHA256:[A-Za-z0-9+/]{43}=?$/.test(value)) return undefined
  return {
    message: /^(?:MD5:)?(?:[0-9a-f]{2}:){15}[0-9a-f]{2}$/i.test(value)
      ? "an MD5 fingerprint proves nothing any more"
      : /^(?:ssh|ecdsa|sk)-/.test(value)
        ? "it is a key itself"
        : "not a fingerprint",
    expected: "SHA256: and 43 characters, as ssh-keygen -lf shows it; or accept-new"
  }
})

const keyFile = checked("the path of a private key", (value) => {
  if (value.trim() === "") return { message: "an empty text", expected: "the path of a private key" }
  if (/^\s*-----BEGIN|\n/.test(value)) {
    return { message: "it is a key itself", expected: "the path of a file with the key in it" }
  }
  return value.endsWith(".pub")
    ? { message: "it is the public half of a key", expected: "the path of the private one, without .pub" }
    : undefined
})

const region = checked("a region, such as eu-central-1", (value) =>
  /^[A-Za-z0-9][A-Za-z0-9_-]*$/.test(value)
    ? undefined
    : { message: "not a region", expected: "letters, digits and -, such as eu-central-1" }
)

/** An S3 service; the path is for those that have their S3 below one. */
export const endpointOf = (value: string): Option.Option<URL> =>
  /^https?:\/\/[^/?#@\s\\]+(?:\/[^?#\s\\]*)?$/i.test(value)
    ? Option.liftThrowable((text: string) => new URL(text))(value)
    : Option.none()

const endpoint = checked("an http or https URL, such as https://s3.example.org:9000", (value) =>
  Option.isSome(endpointOf(value))
    ? undefined
    : {
        message: /^https?:\/\/[^/]*@/i.test(value) ? "a log-in can't stand in an endpoint" : "not the URL of a service",
        expected: "https://host:port; the keys stand in accessKey and secretKey, the bucket in path"
      }
)

const limitTitle = "a size of at least 1KiB, such as 1GiB"

const decompress = Schema.Union(
  boolean,
  Schema.Struct({
    limit: key(
      sizeFrom(1024, Number.MAX_SAFE_INTEGER, limitTitle),
      "How large the result may be: what is larger is refused.",
      defaults.decompressLimit
    )
  })
).annotations({ title: "true, false, or a map with limit" })

const recipient = checked(Recipients.title, Recipients.fault)

const encrypt = Schema.Struct({
  age: Schema.propertySignature(list(recipient, "a list of age recipients", 1)).annotations({
    description: "Who can decrypt it: public keys (age1…), as age-keygen makes them."
  })
}).annotations({ title: "a map of age: a list of recipients" })

export const targetOptions = {
  rename: key(
    text("a template, such as {date:yyyy-MM-dd}-{name}"),
    "A template for the path below the target; by default the path relative to the source. Variables: {name} {stem} {ext} {dir} {relpath} {source} {date:yyyy-MM-dd} {mtime:yyyy-MM-dd} {size} {sha256:8} {mime} {counter:4}, and the named groups of the folder's expressions.",
    "{relpath}"
  ),
  compress: key(
    oneOf(...Transform.fields.compress.literals),
    "Compresses it on the way, and adds .gz, .br, .zst or .zip to its name.",
    "none"
  ),
  decompress: key(
    decompress,
    "Decompresses gzip, brotli and zstd on the way, and takes .gz, .br or .zst from the name; all else goes as it is.",
    false
  ),
  encrypt: key(encrypt, "Encrypts it on the way (age, https://age-encryption.org), and adds .age to its name."),
  conflict: key(
    Conflict.annotations({ title: `one of ${Conflict.literals.join(", ")}` }),
    "What to do where a file of that name is there already. http and https: overwrite only, and with upload: raw also skip, rename, fail and newer; all others know each of them.",
    defaults.target.conflict
  ),
  retry: key(retry, "How a failed delivery is tried again."),
  concurrency: key(
    integer(1, 1024),
    "How many deliveries to one server, or one file system, are under way at once.",
    defaults.target.concurrency
  ),
  timeout: key(positiveDuration, "How long an attempt may go without progress.", defaults.target.timeout),
  bandwidth: key(
    bandwidth,
    "How many bytes a second: of all deliveries to the target, or as a map of target and lane also of all to its server.",
    "unlimited"
  ),
  verify: key(
    oneOf(...Verify.literals),
    "How a finished upload is proved: auto takes the best that the protocol has for nothing; hash reads back where it has none.",
    usualOptions.verify
  ),
  names: key(
    oneOf("strict", "portable"),
    "What to do with a name that not every system can have (a:b, CON, a byte that is not UTF-8): strict leaves it alone, and what the target can't take is refused; portable writes it as %3A and so on.",
    usualOptions.names
  ),
  fieldname: key(text("the name of a form field"), "http: the multipart field of the file.", defaults.target.fieldname),
  upload: key(
    oneOf("multipart", "raw", "tus"),
    "http: whether the file is one part of a form, the bare body, or a resumable upload (tus 1.0).",
    defaults.target.upload
  ),
  method: key(anyCase(["POST", "PUT", "PATCH"]), "http: the method. By default POST for multipart, PUT for raw."),
  headers: key(headers, "http, webdav: more header fields. Their values are never shown."),
  token: key(bearer, "http, webdav: a bearer token."),
  idempotency: key(
    boolean,
    "http: whether the server keeps an Idempotency-Key, so that a POST without an answer may be sent again.",
    usualOptions.idempotency
  ),
  expect: key(
    boolean,
    "http: whether the body waits for the server's 100 Continue, so that a refusal costs no upload.",
    usualOptions.expect
  ),
  secure: key(
    oneOf("none", "explicit", "implicit"),
    "ftp: how the connection is secured. By default none for ftp:// and implicit for ftps://."
  ),
  ca: key(text("the path of a PEM file"), "TLS: the certificate authority to trust, a PEM file."),
  key: key(keyFile, "sftp: the file of a private key."),
  passphrase: key(secret, "sftp: of the private key."),
  agent: key(
    Schema.Union(boolean, text("the path of a socket")).annotations({ title: "true, or the path of a socket" }),
    "sftp: the agent that has the key: the path of its socket; true: that of SSH_AUTH_SOCK."
  ),
  knownHosts: key(text("the path of a file"), "sftp: the known host keys. By default ~/.ssh/known_hosts."),
  hostKey: key(
    hostKey,
    "sftp: the fingerprint of the host's key (SHA256:…) instead of knownHosts; accept-new: trust a host at first sight."
  ),
  region: key(region, "s3: the region, for the signature."),
  endpoint: key(endpoint, "s3: the service's URL. By default Amazon's of that region."),
  pathStyle: key(
    boolean,
    "s3: whether the bucket stands in the path of a request, not in the host name. By default so where there is an endpoint."
  ),
  partSize: key(
    sizeFrom(5 * 1024 ** 2, 5 * 1024 ** 3, "a size from 5MiB to 5GiB"),
    "s3: how large the parts of a multipart upload are. By default as the file's size asks for."
  ),
  accessKey: key(text("an access key"), "s3: the access key; or as user in the URL, or by the usual variables."),
  secretKey: key(secret, "s3: the secret key; or as password in the URL, or by the usual variables."),
  sessionToken: key(secret, "s3: of temporary credentials.")
}

export const targetText = text("a directory or a URL, such as ftp://user:password@host/path").annotations({
  examples: [
    "./outbox",
    "ftp://user:password@ftp.example.org/videos",
    "sftp://user@example.org/~/inbox",
    "https://example.org/upload",
    "s3://bucket/prefix"
  ]
})

export const TargetEntry = Schema.Struct({ path: targetText, ...targetOptions }).annotations({
  title: "a target: a map with path"
})
export type TargetEntry = typeof TargetEntry.Type
