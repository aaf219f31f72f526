/**
 * What `filedispatch doctor` takes.
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Flags from "./Flags.ts"
import { handler } from "./Handler.ts"
import * as Help from "./Help.ts"

/** The options of a target that matter here, with the names that they have in the config. */
const target = {
  secure: Flags.text("secure", "HOW", "ftp: none, explicit or implicit"),
  ca: Flags.text("ca", "FILE", "TLS: the certificate authority to trust (PEM)"),
  key: Flags.text("key", "FILE", "sftp: a private key"),
  passphrase: Flags.text("passphrase", "TEXT", "sftp: of the private key"),
  agent: Flags.text("agent", "SOCKET", "sftp: the agent; true for that of SSH_AUTH_SOCK"),
  knownHosts: Flags.text("known-hosts", "FILE", "sftp: the known host keys (~/.ssh/known_hosts)"),
  hostKey: Flags.text("host-key", "SHA256:…", "sftp: the fingerprint of the host's key, or accept-new"),
  upload: Flags.text("upload", "HOW", "http: multipart, raw or tus"),
  method: Flags.text("method", "METHOD", "http: POST, PUT or PATCH"),
  token: Flags.text("token", "TEXT", "http, webdav: a bearer token"),
  region: Flags.text("region", "NAME", "s3: the region"),
  endpoint: Flags.text("endpoint", "URL", "s3: the service's URL (Amazon's)"),
  pathStyle: Flags.text("path-style", "BOOL", "s3: true where the bucket stands in the path"),
  accessKey: Flags.text("access-key", "TEXT", "s3: the access key"),
  secretKey: Flags.text("secret-key", "TEXT", "s3: the secret key"),
  sessionToken: Flags.text("session-token", "TEXT", "s3: of temporary credentials"),
  conflict: Flags.text("conflict", "POLICY", "what to do where a file is there already (overwrite)"),
  verify: Flags.text("verify", "HOW", "auto, size or hash"),
  names: Flags.text("names", "HOW", "strict or portable"),
  timeout: Flags.text("timeout", "TIME", "how long it may be silent (30s at most)")
}

const options = {
  config: Flags.maybeConfig,
  json: Flags.json,
  ...target,
  urls: Args.text({ name: "URL" }).pipe(
    Args.withDescription("a target as in a config; '${VAR}' in it, such as a password, is looked up"),
    Args.repeated
  )
}

export type Given = Command.Command.ParseConfig<typeof options>
export type TargetGiven = Pick<Given, keyof typeof target>

export const doctor = Command.make(
  "doctor",
  options,
  handler(
    () => import("./Doctor.ts"),
    ({ doctor }, given: Given) => doctor(given)
  )
).pipe(
  Command.withDescription(
    Help.description(
      "Connects to targets, tries with small temp files what each can do, and says what follows.",
      "filedispatch doctor -c CONFIG",
      "filedispatch doctor [OPTIONS] URL..."
    )
  )
)
