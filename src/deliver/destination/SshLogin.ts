/**
 * How a user proves to an SSH server who it is (RFC 4252): what is configured, in the order from the most particular.
 */
import { readFile } from "node:fs/promises"
import { userInfo } from "node:os"
import { Effect, Option, Redacted } from "effect"
import ssh2, { type AnyAuthMethod, type AuthenticationType, type ParsedKey } from "ssh2"
import { LaneDownError } from "../../domain/DeliveryError.ts"
import type { Secrets } from "../../domain/Settings.ts"
import { environmentAgent, type Target } from "../../domain/Target.ts"
import { codeOf } from "../SourceReader.ts"

/** What can be tried at one login. */
export interface Login {
  readonly username: string
  /** The methods of RFC 4252 in the order in which they are tried, with their names for people. */
  readonly methods: ReadonlyArray<Method>
  /** What was not even tried, and why; for the message. */
  readonly without: string
  /** Whether a text has a secret in it: a server that repeats what it was sent must not bring it into a message. */
  readonly leaks: (text: string) => boolean
}

export interface Method {
  /** "the key /home/me/.ssh/id_ed25519" */
  readonly name: string
  readonly kind: AuthenticationType
  readonly auth: AnyAuthMethod
}

export const load = (target: Target, secrets: Secrets): Effect.Effect<Login, LaneDownError> =>
  Effect.gen(function* () {
    const username = target.username ?? userInfo().username
    const password = Option.getOrUndefined(Option.map(secrets.password, Redacted.value))
    const { agent, key } = target.options
    const methods: Array<Method> = []
    if (key !== null) {
      const parsed = yield* privateKey(target, key, secrets)
      methods.push({ name: `the key ${key}`, kind: "publickey", auth: { type: "publickey", username, key: parsed } })
    }
    const wanted = agent ?? (key === null && password === undefined ? environmentAgent : undefined)
    const found = wanted === environmentAgent ? process.env[environmentAgent] : wanted
    const socket = found === "" ? undefined : found
    if (socket !== undefined) {
      methods.push({
        name: `the keys of the agent at ${socket}`,
        kind: "publickey",
        auth: { type: "agent", username, agent: socket }
      })
    }
    if (password !== undefined) {
      methods.push({ name: "the password", kind: "password", auth: { type: "password", username, password } })
      methods.push({
        name: "the password, typed in",
        kind: "keyboard-interactive",
        auth: {
          type: "keyboard-interactive",
          username,
          // a question whose answer may be seen is not for the password
          prompt: (_name, _instructions, _language, prompts, finish) =>
            finish(prompts.map(({ echo }) => (echo === true ? "" : password)))
        }
      })
    }
    const none = "There is no password in the target's URL, no `key`, and no agent (`agent`, or SSH_AUTH_SOCK)."
    const secretTexts = [password, Option.getOrUndefined(Option.map(secrets.passphrase, Redacted.value))]
    return {
      username,
      methods,
      without: methods.length === 0 ? none : "",
      leaks: (text) => secretTexts.some((secret) => secret !== undefined && secret !== "" && text.includes(secret))
    }
  })

/** What is to be tried next, where the server accepts only some methods. */
export const next = (
  untried: ReadonlyArray<Method>,
  accepted: ReadonlyArray<AuthenticationType> | null
): Option.Option<Method> =>
  Option.fromNullable(untried.find(({ kind }) => accepted === null || accepted.includes(kind)))

const privateKey = (target: Target, file: string, secrets: Secrets): Effect.Effect<ParsedKey, LaneDownError> =>
  Effect.gen(function* () {
    const fail = (reason: string, error?: unknown) =>
      new LaneDownError({
        reason: `${target.url}: ${reason}`,
        cause: Option.fromNullable(error),
        phase: "authenticated"
      })
    const data = yield* Effect.tryPromise({
      try: () => readFile(file),
      catch: (error) =>
        fail(
          `the key ${file} can't be read (${codeOf(error) ?? "unknown error"}). Check \`key\`, and that the user of filedispatch may read it.`,
          error
        )
    })
    const passphrase = Option.getOrUndefined(Option.map(secrets.passphrase, Redacted.value))
    const parsed = yield* Effect.try({
      try: () => ssh2.utils.parseKey(data, passphrase),
      catch: () => fail(unusable(file))
    })
    const found = Array.isArray(parsed) ? parsed[0] : parsed
    if (found === undefined || found instanceof Error) {
      const text = found?.message ?? ""
      const security = securityKey.exec(text)?.[0]
      if (security !== undefined) {
        return yield* fail(
          `the key ${file} is on a security key (${security}), which wants a touch for each login and can't be used here. Make a key of another kind for filedispatch (\`ssh-keygen -t ed25519\`).`
        )
      }
      if (pkcs8.test(data.toString("latin1"))) {
        return yield* fail(
          `the key ${file} is in the format PKCS#8, which is not read here. \`ssh-keygen -p -f ${file}\` rewrites it in OpenSSH's own (an ed25519 key from OpenSSH 9.6 on).`
        )
      }
      if (/no passphrase given/i.test(text)) {
        return yield* fail(`the key ${file} is encrypted. Give its passphrase in \`passphrase\`.`)
      }
      if (/passphrase|decrypt|integrity/i.test(text) || (passphrase !== undefined && !/format/i.test(text))) {
        return yield* fail(`the key ${file} can't be decrypted: the \`passphrase\` is wrong.`)
      }
      return yield* fail(unusable(file))
    }
    if (!found.isPrivateKey()) {
      return yield* fail(`${file} is a public key. Name the private one in \`key\`, which usually has no .pub.`)
    }
    return found
  })

/** The kinds of keys that need a FIDO device (OpenSSH's PROTOCOL.u2f). */
const securityKey = /\bsk-[a-z0-9-]+@openssh\.com/
const pkcs8 = /^\s*-----BEGIN (?:ENCRYPTED )?PRIVATE KEY-----/

const unusable = (file: string): string =>
  `${file} is no private key that can be used here. OpenSSH's and PEM keys of the kinds ed25519, ecdsa and rsa can; \`ssh-keygen -p -f ${file}\` converts others.`
