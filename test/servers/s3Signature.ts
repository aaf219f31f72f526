/**
 * Whether a request is signed as AWS Signature Version 4 wants it for S3, worked out from what came over the wire and
 * with no code of the sender's: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
import { createHash, createHmac } from "node:crypto"
import type { IncomingMessage } from "node:http"

const form =
  /^AWS4-HMAC-SHA256 Credential=[^/,]+\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/

export const isSigned = (request: IncomingMessage, secretKey: string): boolean => {
  const [, day = "", region = "", signedHeaders = "", signature] = form.exec(request.headers.authorization ?? "") ?? []
  const time = header(request, "x-amz-date")
  const names = signedHeaders.split(";")
  // what S3 insists on, beside the date: where it goes, and all that begins with x-amz-
  const needed = ["host", ...Object.keys(request.headers).filter((name) => name.startsWith("x-amz-"))]
  if (!time.startsWith(day) || needed.some((name) => !names.includes(name))) return false
  const [path = "", query = ""] = (request.url ?? "").split("?")
  const canonical = [
    request.method,
    path.split("/").map(again).join("/"),
    query
      .split("&")
      .filter((part) => part !== "")
      .map((part) => part.split("=", 2))
      .map(([name = "", value = ""]) => `${again(name)}=${again(value)}`)
      .sort()
      .join("&"),
    ...names.map((name) => `${name}:${header(request, name).trim().replace(/ +/g, " ")}`),
    "",
    signedHeaders,
    header(request, "x-amz-content-sha256")
  ].join("\n")
  const scope = `${day}/${region}/s3/aws4_request`
  const hash = createHash("sha256").update(canonical).digest("hex")
  const key = scope.split("/").reduce<string | Buffer>((last, part) => hmac(last, part), `AWS4${secretKey}`)
  return hmac(key, ["AWS4-HMAC-SHA256", time, scope, hash].join("\n")).toString("hex") === signature
}

const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest()

/** Decoded, and encoded as the signature wants it. */
const again = (text: string): string =>
  Array.from(Buffer.from(decodeURIComponent(text)), (byte) => {
    const character = String.fromCharCode(byte)
    return /[A-Za-z0-9._~-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`
  }).join("")

const header = (request: IncomingMessage, name: string): string => String(request.headers[name] ?? "")
