/**
 * Who asks an S3 service, and where that service is.
 *
 * In this order: what the target says (the URL's user and password, `token`, `region`, `endpoint`), the environment
 * (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_DEFAULT_REGION`,
 * `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`), and the profile `AWS_PROFILE` of the shared files (`~/.aws/credentials`
 * and `~/.aws/config`, or `AWS_SHARED_CREDENTIALS_FILE` and `AWS_CONFIG_FILE`), as the AWS SDKs reference guide has it.
 *
 * What has to be fetched from elsewhere is not done: instance and container metadata, SSO, roles to be assumed, and
 * programs that print credentials. Such credentials can be exported into the environment.
 */
import { readFile } from "node:fs/promises"
import { homedir } from "node:os"
import { join } from "node:path"
import { Effect, Option, Redacted } from "effect"
import { LaneDownError } from "../../domain/DeliveryError.ts"
import type { Secrets } from "../../domain/Settings.ts"
import type { Target } from "../../domain/Target.ts"

export type Environment = Readonly<Record<string, string | undefined>>

export interface Account {
  readonly accessKeyId: string
  readonly secretAccessKey: Redacted.Redacted
  readonly sessionToken: Option.Option<Redacted.Redacted>
}

export interface Service {
  readonly account: Account
  readonly region: string
  /** `https://host:port`, of the bucket itself where that is part of the host name. */
  readonly origin: string
  /** The bucket's path there: empty, or with a slash at its beginning and none at its end; percent-encoded. */
  readonly base: string
}

/** Sections of the shared files, by name: their settings by key, those of an indented block as `block.key`. */
export interface Profile {
  readonly name: string
  readonly settings: ReadonlyMap<string, string>
}

/** The profile that the environment names, of both files together; a file that is not there has nothing in it. */
export const readProfile = (environment: Environment): Effect.Effect<Profile> =>
  Effect.gen(function* () {
    const name = environment["AWS_PROFILE"] ?? environment["AWS_DEFAULT_PROFILE"] ?? "default"
    const home = join(environment["HOME"] ?? homedir(), ".aws")
    const read = (file: string) =>
      Effect.map(
        Effect.orElseSucceed(
          Effect.tryPromise(() => readFile(file, "utf8")),
          () => ""
        ),
        parseSections
      )
    const config = yield* read(environment["AWS_CONFIG_FILE"] ?? join(home, "config"))
    const credentials = yield* read(environment["AWS_SHARED_CREDENTIALS_FILE"] ?? join(home, "credentials"))
    const section = config.get(name === "default" ? "default" : `profile ${name}`) ?? config.get(`profile ${name}`)
    return { name, settings: new Map([...(section ?? []), ...(credentials.get(name) ?? [])]) }
  })

/** The sections of an INI file as the AWS tools write it. */
export const parseSections = (text: string): ReadonlyMap<string, ReadonlyMap<string, string>> => {
  const sections = new Map<string, Map<string, string>>()
  let section: Map<string, string> | undefined
  let block = ""
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*(?:[#;]|$)/.test(line)) continue
    const head = /^\s*\[\s*([^\]]*?)\s*\]/.exec(line)?.[1]
    if (head !== undefined) {
      const name = head.replace(/\s+/g, " ").replace(/"/g, "")
      section = sections.get(name) ?? new Map()
      sections.set(name, section)
      block = ""
      continue
    }
    const [, indent = "", key = "", value = ""] = /^(\s*)([^=]*?)\s*=\s*(.*?)\s*$/.exec(line) ?? []
    if (key === "" || section === undefined) continue
    if (indent === "") block = value === "" ? key.toLowerCase() : ""
    section.set(indent === "" || block === "" ? key.toLowerCase() : `${block}.${key.toLowerCase()}`, value)
  }
  return sections
}

/** Fails with what to do where there are no credentials, or where the endpoint is none. */
export const resolve = (
  target: Target,
  secrets: Secrets,
  environment: Environment,
  profile: Effect.Effect<Profile>
): Effect.Effect<Service, LaneDownError> =>
  Effect.gen(function* () {
    const shared = yield* profile
    const account = yield* accountOf(target, secrets, environment, shared)
    const configured = environment["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"]?.toLowerCase() !== "true"
    const endpoint =
      target.options.endpoint ??
      (configured
        ? (given(environment["AWS_ENDPOINT_URL_S3"]) ??
          given(environment["AWS_ENDPOINT_URL"]) ??
          shared.settings.get("s3.endpoint_url") ??
          shared.settings.get("endpoint_url"))
        : undefined)
    const region =
      target.options.region ??
      given(environment["AWS_REGION"]) ??
      given(environment["AWS_DEFAULT_REGION"]) ??
      shared.settings.get("region") ??
      /\bs3[.-]([a-z]{2,}-[a-z0-9-]+-\d+)\.amazonaws\.com/.exec(endpoint ?? "")?.[1] ??
      "us-east-1"
    return { account, region, ...(yield* placeOf(target, region, endpoint)) }
  })

const given = (value: string | undefined): string | undefined => (value === "" ? undefined : value)

const accountOf = (
  target: Target,
  secrets: Secrets,
  environment: Environment,
  { name, settings }: Profile
): Effect.Effect<Account, LaneDownError> => {
  if (target.username !== null && Option.isSome(secrets.password)) {
    return Effect.succeed({
      accessKeyId: target.username,
      secretAccessKey: secrets.password.value,
      sessionToken: secrets.token
    })
  }
  const candidates = [
    {
      id: given(environment["AWS_ACCESS_KEY_ID"]),
      secret: given(environment["AWS_SECRET_ACCESS_KEY"]),
      token: given(environment["AWS_SESSION_TOKEN"])
    },
    {
      id: settings.get("aws_access_key_id"),
      secret: settings.get("aws_secret_access_key"),
      token: settings.get("aws_session_token")
    }
  ]
  for (const { id, secret, token } of candidates) {
    if (id === undefined || secret === undefined) continue
    if (target.username !== null && target.username !== id) continue
    return Effect.succeed({
      accessKeyId: id,
      secretAccessKey: Redacted.make(secret),
      sessionToken: Option.orElse(secrets.token, () => Option.map(Option.fromNullable(token), Redacted.make))
    })
  }
  const elsewhere = ["sso_session", "sso_start_url", "role_arn", "credential_process"].find((key) => settings.has(key))
  const about =
    elsewhere === undefined
      ? ""
      : ` The profile ${name} has ${elsewhere}, which is not supported here: export its credentials into the environment.`
  const missing =
    target.username === null
      ? "no credentials were found"
      : `there is no secret key for the access key ${target.username}`
  return Effect.fail(
    new LaneDownError({
      reason: `${target.url}: ${missing}.${about} Put them into the URL (s3://accessKey:secretKey@bucket), set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or add the profile ${name} to ~/.aws/credentials.`,
      cause: Option.none(),
      phase: "authenticated"
    })
  )
}

/** Where the bucket is: with an endpoint in the path, at Amazon in the host name, unless `pathStyle` says otherwise. */
const placeOf = (
  target: Target,
  region: string,
  endpoint: string | undefined
): Effect.Effect<{ readonly origin: string; readonly base: string }, LaneDownError> => {
  const bucket = target.host
  const domain = region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com"
  const text = endpoint ?? `https://s3.${region}.${domain}`
  const url = Option.getOrUndefined(Option.liftThrowable((value: string) => new URL(value))(text))
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    const reason = `${target.url}: its endpoint is not an http or https URL. Check \`endpoint\` in the config, AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL.`
    return Effect.fail(new LaneDownError({ reason, cause: Option.none() }))
  }
  const base = url.pathname.replace(/\/+$/, "")
  // Amazon's certificate is for one name below its own: a bucket with a dot would be two
  const inPath = target.options.pathStyle ?? (endpoint !== undefined || bucket.includes("."))
  return Effect.succeed(
    inPath
      ? { origin: url.origin, base: `${base}/${encodeURIComponent(bucket)}` }
      : { origin: `${url.protocol}//${bucket}.${url.host}`, base }
  )
}
