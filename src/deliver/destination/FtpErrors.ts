/**
 * What the failures of an FTP connection mean for a delivery, in words for people. Reply codes: RFC 959, 4.2; RFC 2228
 * for those of TLS.
 */
import { FTPError, type FTPResponse } from "basic-ftp"
import { Option } from "effect"
import {
  CrowdedError,
  LaneDownError,
  PermanentError,
  TransientError,
  type DeliveryError
} from "../../domain/DeliveryError.ts"
import * as RelPath from "../../domain/RelPath.ts"
import type { Target } from "../../domain/Target.ts"
import { codeOf } from "../SourceReader.ts"
import { isInsecure, isUnreachable } from "./network.ts"

/** What the bytes of a server's line spell, fit for a message. */
export const readable = (line: string): string => {
  const text = RelPath.display(RelPath.fromBytes(Buffer.from(line.trim(), "latin1")))
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}

/** Why a connection is closed by us: its server is silent. */
export const silence = (): Error => new Error("no answer in time")

/** A refusal that concerns the command alone: not the connection, the login or the room that is left. */
export const isRefusal = ({ code, message }: FTPResponse): boolean =>
  code >= 500 && code !== 530 && code !== 552 && !isCrowd(code, message)

/** "421 Too many connections", "530 Sorry, the maximum number of clients are already connected", and the like. */
const isCrowd = (code: number, message: string): boolean =>
  (code === 421 || code === 430 || code === 530) &&
  /too many|maxim(?:um|al)|limit|already (?:logged|connected)/i.test(message)

/** What a failed command means. `line` is shown by its verb alone; arguments of ours are in the caller's message. */
export const commandError = (target: Target, line: string, error: unknown): DeliveryError => {
  const verb = line.slice(0, Math.max(4, line.indexOf(" "))).trim()
  const cause = Option.some(error)
  if (!(error instanceof FTPError)) {
    if (isInsecure(error)) {
      const reason = `${target.url}: no secure data connection at ${verb} (${messageOf(error)}). Check the server's TLS settings.`
      return new TransientError({ reason, cause })
    }
    return new TransientError({
      reason: `The connection to ${target.url} broke at ${verb} (${messageOf(error)}).`,
      cause
    })
  }
  return refusal(target, verb, error)
}

/** What a refused command means. */
export const refusal = (target: Target, verb: string, answer: FTPResponse): DeliveryError => {
  const cause = Option.none()
  const { code, message } = answer
  const answered = `${target.url} answered ${verb} with "${readable(message)}"`
  if (isCrowd(code, message)) return new CrowdedError({ reason: `${answered}. ${fewer}`, cause })
  switch (code) {
    case 430:
    case 530:
      return new LaneDownError({ reason: `${answered}. ${checkLogin}`, cause })
    case 452:
    case 552:
      return new LaneDownError({ reason: `${answered}: it has no room left. Make room there.`, cause })
    // RFC 4217: the data connection is not as secure as the server wants it
    case 521:
    case 522:
    case 533:
    case 534:
      return new LaneDownError({ reason: `${answered}. ${otherSecure}`, cause })
    default:
      return code < 500
        ? new TransientError({ reason: `${answered}.`, cause })
        : new PermanentError({ reason: `${answered}. ${adviceFor(verb, code)}`, cause })
  }
}

const adviceFor = (verb: string, code: number): string =>
  verb === "RNFR" || verb === "RNTO"
    ? "Files are published by renaming: check that the user may rename there, and that the server takes such names."
    : (advice.get(code) ?? "The server refuses it as it is; its own log may say why.")

const advice = new Map([
  [532, "The account may not store files: ask for the right, or use another user."],
  [550, "Check that the path exists and that the user may write there."],
  [553, "Check that the user may write there and that the server takes such names."]
])
const checkLogin =
  "Check the user and the password in the target's URL (`@`, `/`, `:` and `%` in them percent-encoded)."
const otherSecure = "It may want `secure: explicit` or another kind of `secure`."
const fewer = "It takes no more connections at once: fewer are used for now. A lower `concurrency` avoids this."

/** What a failure means before the first file: mostly, that the server is of no use to any. */
export const loginError = (target: Target, secure: string, password: string, error: unknown): DeliveryError => {
  // a server that repeats what it was sent must not bring a password into a message
  const repeats = password !== "" && messageOf(error).includes(password)
  const cause = repeats ? Option.none() : Option.some(error)
  if (error instanceof FTPError) {
    const line = repeats ? `code ${error.code}` : readable(error.message)
    const answered = `${target.url} refused the login with "${line}"`
    // at this point, 421 can't be a session that has been idle for too long
    if (error.code === 421 || isCrowd(error.code, error.message)) {
      return new CrowdedError({ reason: `${answered}. ${fewer}`, cause })
    }
    const advice =
      secure === "none" ? "It may want `secure: explicit`." : "It may want `secure: none` or another kind of `secure`."
    if (secure === "none" && /encrypt|\b(?:TLS|SSL)\b/i.test(error.message)) {
      return new LaneDownError({ reason: `${answered}. ${advice}`, cause, phase: "authenticated" })
    }
    if (error.code === 430 || error.code === 530) {
      return new LaneDownError({ reason: `${answered}. ${checkLogin}`, cause, phase: "authenticated" })
    }
    if (error.code >= 400 && error.code < 500) return new TransientError({ reason: `${answered}.`, cause })
    return new LaneDownError({ reason: `${answered}. ${advice}`, cause, phase: "authenticated" })
  }
  if (isUnreachable(error)) {
    const reason = `${target.url} can't be reached (${messageOf(error)}). Check host and port, and that the server is running.`
    return new LaneDownError({ reason, cause, phase: "reachable" })
  }
  if (isInsecure(error)) {
    const reason = `${target.url}: no secure connection (${messageOf(error)}). ${certificateAdvice(target, error)}`
    return new LaneDownError({ reason, cause, phase: "identity" })
  }
  return new TransientError({ reason: `The login to ${target.url} failed (${messageOf(error)}).`, cause })
}

/** By node's codes of certificate checks. */
const certificateAdvice = (target: Target, error: unknown): string => {
  switch (codeOf(error)) {
    case "CERT_HAS_EXPIRED":
    case "CERT_NOT_YET_VALID":
      return "The server's certificate is out of date: have it renewed, and check the clock of this machine."
    case "ERR_TLS_CERT_ALTNAME_INVALID":
    case "HOSTNAME_MISMATCH":
      return `The server's certificate is for another name: use one of its names in the URL instead of ${target.host}, or have the certificate made for that.`
    case "CERT_REVOKED":
      return "The server's certificate was revoked: do not trust it, and ask whoever runs the server."
    case "EPROTO":
    case "ERR_SSL_WRONG_VERSION_NUMBER":
      return "Check the port, and whether `secure` should be `explicit` or `implicit`."
    default:
      return target.options.ca === null
        ? "Check the server's certificate; a private authority is trusted where `ca` names its file."
        : "Check the server's certificate, and that `ca` names the authority that has signed it."
  }
}

export const messageOf = (error: unknown): string => {
  const text = error instanceof Error ? error.message : String(error)
  return readable(
    text.startsWith("Timeout (") ? "no answer in time" : text === "" ? (codeOf(error) ?? "no reason given") : text
  )
}
