/**
 * Recipients of the age format (https://age-encryption.org/v1): public keys in Bech32 (BIP 173).
 */

export interface Fault {
  readonly message: string
  readonly expected: string
}

export const title = "an age recipient: age1 and 58 more characters, as age-keygen shows it"

/** Why nothing can be encrypted to this. Never says what it is: it may be a secret key. */
export const fault = (text: string): Fault | undefined => {
  if (/^AGE-SECRET-KEY-/i.test(text)) {
    return { message: "it is a secret key", expected: "its public half, age1…, as age-keygen -y shows it" }
  }
  if (/^(?:ssh|ecdsa|sk)-/.test(text)) {
    return { message: "it is a key of SSH", expected: `${title}` }
  }
  if (!/^age1/i.test(text)) return { message: "not a recipient", expected: title }
  if (text !== text.toLowerCase()) return { message: "a recipient has no capitals", expected: title }
  const decoded = decode(text)
  if (decoded === undefined) {
    return {
      message: "its checksum is wrong: a character is missing, or another",
      expected: "the recipient, copied whole"
    }
  }
  return decoded.prefix === "age" && decoded.bytes === 32
    ? undefined
    : { message: "a recipient of a kind that is not known here", expected: title }
}

const alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

/** What stands before the last 1, and how many whole bytes follow; undefined where the checksum does not fit. */
const decode = (text: string): { readonly prefix: string; readonly bytes: number } | undefined => {
  const one = text.lastIndexOf("1")
  const prefix = text.slice(0, one)
  const values = Array.from(text.slice(one + 1), (char) => alphabet.indexOf(char))
  if (values.length < 6 || values.includes(-1)) return undefined
  const codes = Array.from(prefix, (char) => char.charCodeAt(0))
  const all = [...codes.map((code) => code >> 5), 0, ...codes.map((code) => code & 31), ...values]
  return polymod(all) === 1 ? { prefix, bytes: Math.floor(((values.length - 6) * 5) / 8) } : undefined
}

const generator = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]

const polymod = (values: ReadonlyArray<number>): number => {
  let sum = 1
  for (const value of values) {
    const top = sum >>> 25
    sum = ((sum & 0x1ffffff) << 5) ^ value
    for (const [index, part] of generator.entries()) if (((top >>> index) & 1) === 1) sum ^= part
  }
  return sum >>> 0
}
