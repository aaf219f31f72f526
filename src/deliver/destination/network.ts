/**
 * What node's errors of sockets and TLS mean to a destination.
 */
import { codeOf } from "../SourceReader.ts"

/** The host could not be reached at all. */
export const isUnreachable = (error: unknown): boolean => unreachable.has(codeOf(error) ?? "")

/** The server's certificate or its TLS was not acceptable. */
export const isInsecure = (error: unknown): boolean => tlsCode.test(codeOf(error) ?? "")

/** The other side has closed, while it may have said why on its way out. */
export const isCut = (error: unknown): boolean => {
  const code = codeOf(error)
  return code === "EPIPE" || code === "ECONNRESET"
}

/** How long what it said is waited for, in milliseconds. */
export const lastWords = 500

const unreachable = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EAI_FAIL",
  "EHOSTUNREACH",
  "EHOSTDOWN",
  "ENETUNREACH",
  "ENETDOWN",
  "EADDRNOTAVAIL",
  "ETIMEDOUT",
  "UND_ERR_CONNECT_TIMEOUT"
])

const tlsCode = /^(?:CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|EPROTO)/
