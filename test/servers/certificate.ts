/**
 * A certificate of its own for 127.0.0.1, made by openssl, which nobody trusts who was not told to.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"

/** Whether openssl is installed. */
export const hasOpenssl = (() => {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
})()

/** For other names than those of this machine, or valid for other days than two: less than none, and it has expired. */
export const makeCertificateFor = (options: { readonly names?: string; readonly days?: number }) =>
  Effect.sync(() => {
    const folder = mkdtempSync(join(tmpdir(), "filedispatch-tls-"))
    try {
      const at = (name: string) => join(folder, name)
      const run = (...args: ReadonlyArray<string>) => execFileSync("openssl", args, { stdio: "ignore" })
      writeFileSync(at("names"), `subjectAltName=${options.names ?? "IP:127.0.0.1,DNS:localhost"}`)
      const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
      run("req", "-new", ...curve, "-subj", "/CN=test", "-keyout", at("key.pem"), "-out", at("request.pem"))
      const days = ["-days", String(options.days ?? 2), "-extfile", at("names")]
      run("x509", "-req", "-in", at("request.pem"), "-signkey", at("key.pem"), ...days, "-out", at("cert.pem"))
      return { key: readFileSync(at("key.pem"), "utf8"), cert: readFileSync(at("cert.pem"), "utf8") }
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

export const makeCertificate = Effect.sync(() => {
  const folder = mkdtempSync(join(tmpdir(), "filedispatch-tls-"))
  try {
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")]
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    execFileSync("openssl", ["req", "-x509", ...curve, "-days", "2", ...subject, "-keyout", key, "-out", cert], {
      stdio: "ignore"
    })
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") }
  } finally {
    rmSync(folder, { recursive: true })
  }
})
