/**
 * Header fields that the config adds to every request (RFC 9110, 5).
 */

export interface Fault {
  readonly message: string
  readonly expected: string
}

/** Why this can't be the name of a header field, or not of one that the config may set. */
export const nameFault = (name: string): Fault | undefined => {
  if (!token.test(name)) {
    return { message: "not the name of a header field", expected: "letters, digits and -, such as X-Api-Key" }
  }
  return ours.has(name.toLowerCase())
    ? { message: "this header field is not the config's to set", expected: "any other; it is made by the connection" }
    : undefined
}

/** Why this can't be a field's value. A line end would begin a field of its own. */
export const fault = (value: string): Fault | undefined => {
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value)) {
    return { message: "a control character, or a line end, in a header field", expected: "one line of text" }
  }
  return /[\u0100-\uffff]/.test(value)
    ? { message: "a character that a header field can't have", expected: "ASCII, with %XX or base64 for all else" }
    : undefined
}

/** A name without what can't be part of one: who writes `Authorization: Bearer …` as a name must not see it shown. */
export const safeName = (name: string): string => {
  const end = name.search(/[^!#$%&'*+.^_`|~0-9A-Za-z-]/)
  return end < 0 ? name : `${name.slice(0, end)}…`
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** What frames a message or belongs to one hop (RFC 9110, 7.6.1; RFC 9112, 6): set by whoever sends it. */
const ours: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])
