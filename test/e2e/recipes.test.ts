/**
 * The recipes of the README, which are ready configs in scratchpad/recipes: each is run by the built program, with real
 * servers, and with other paths and shorter times.
 */
import { describe, expect, it } from "@effect/vitest"
import { Decrypter, generateIdentity, identityToRecipient } from "age-encryption"
import { Effect } from "effect"
import { decompress } from "fzstd"
import fs from "node:fs"
import { dirname, join } from "node:path"
import { gunzipSync, gzipSync } from "node:zlib"
import { vi } from "vitest"
import * as Process from "../cli/process.ts"
import { startHttpServer } from "../servers/http.ts"
import { hasOpenssh, startOpenssh } from "../servers/openssh.ts"
import { listAt, readAt } from "../servers/folder.ts"
import { accessKey, bucketName, secretKey, startS3Server } from "../servers/s3.ts"
import { list } from "./project.ts"

vi.setConfig({ testTimeout: 60_000 })

const recipes = join(Process.root, "scratchpad", "recipes")

/** A directory with the config of a recipe, in which these texts stand for others; each must be there. */
const project = (name: string, replaced: (directory: string) => Readonly<Record<string, string>>) =>
  Effect.map(Process.directory, (directory) => {
    let text = fs.readFileSync(join(recipes, `${name}.yml`), "utf8")
    for (const [from, to] of Object.entries(replaced(directory))) {
      expect(text, name).toContain(from)
      text = text.replaceAll(from, to)
    }
    const config = join(directory, "config.yml")
    fs.writeFileSync(config, `${text}\ndb: ./journal.db\n`)
    return {
      directory,
      config,
      put: (path: string, content: string | Uint8Array, age = 0) => {
        const file = join(directory, path)
        fs.mkdirSync(dirname(file), { recursive: true })
        fs.writeFileSync(file, content)
        const time = new Date(Date.now() - age)
        fs.utimesSync(file, time, time)
        return time
      },
      once: (env: NodeJS.ProcessEnv = {}) =>
        Process.run(["-c", config, "--no-webapp", "--no-monitor", "--once"], { env })
    }
  })

/** A PDF of one page with this text. */
const pdf = (text: string): Uint8Array => {
  const content = `BT /F1 12 Tf 72 720 Td (${text.replace(/[()\\]/g, "\\$&")}) Tj ET`
  const objects = [
    "<< /Type /Catalog /Pages 2 0 R >>",
    "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
    `<< /Length ${content.length} >>\nstream\n${content}\nendstream`,
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
  ]
  let body = "%PDF-1.4\n"
  const offsets = objects.map((object, index) => {
    const offset = body.length
    body += `${index + 1} 0 obj\n${object}\nendobj\n`
    return offset
  })
  const table = offsets.map((offset) => `${String(offset).padStart(10, "0")} 00000 n \n`).join("")
  return Buffer.from(
    `${body}xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${table}trailer\n<< /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${body.length}\n%%EOF\n`
  )
}

/** The smallest picture. */
const png = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64"
)

const day = 24 * 60 * 60 * 1000
const month = (time: Date) => time.toISOString().slice(0, 7)
const year = (time: Date) => time.toISOString().slice(0, 4)
const today = () => new Date().toISOString().slice(0, 10)

it("the README has each of them as it is", () => {
  const readme = fs.readFileSync(join(Process.root, "README.md"), "utf8")
  for (const name of fs.readdirSync(recipes)) {
    expect(readme, name).toContain(`\`\`\`yaml\n${fs.readFileSync(join(recipes, name), "utf8")}\`\`\``)
    expect(readme).toContain(`(scratchpad/recipes/${name})`)
  }
})

describe("recipes", () => {
  it.scopedLive("sort a download folder", () =>
    Effect.gen(function* () {
      const { config, directory, once, put } = yield* project("sort-downloads", (directory) => ({
        "~/Downloads": join(directory, "in"),
        "~/": `${directory}/home/`,
        "settle: 5s": "settle: 50ms"
      }))
      const receipt = put("in/thanks.html", "<p>Thank you. This is your receipt.</p>")
      put("in/bill.pdf", pdf("Invoice for a bicycle"))
      const picture = put("in/holiday", png, 100 * day)
      put("in/paper.PDF", pdf("On bicycles"))
      put("in/src.tar.gz", gzipSync("bicycle"))
      put("in/src-nightly.tar.gz", gzipSync("bicycle"))
      const old = put("in/old.bin", Buffer.from([1, 2, 3, 0, 255]), 40 * day)
      put("in/new.bin", Buffer.from([1, 2, 3, 0, 255]))
      put("in/film.crdownload", "half of it")

      const why = yield* Process.run(["explain", "-c", config, join(directory, "in", "holiday")])
      expect(why.code, why.stderr).toBe(0)
      expect(why.stdout).toContain(`home/Pictures/${month(picture)}/holiday`)

      const ended = yield* once()
      expect(ended.code, ended.stderr).toBe(0)
      expect(list(join(directory, "home"))).toEqual(
        [
          `Archives/old-downloads/${month(old)}/old.bin`,
          "Archives/src.tar.gz",
          `Documents/receipts/${year(receipt)}/bill.pdf`,
          `Documents/receipts/${year(receipt)}/thanks.html`,
          "Documents/papers/paper.PDF",
          `Pictures/${month(picture)}/holiday`
        ].sort()
      )
      // what nobody wants yet, and what is not finished
      expect(list(join(directory, "in"))).toEqual(["film.crdownload", "new.bin", "src-nightly.tar.gz"])
    })
  )

  it.scopedLive.skipIf(!hasOpenssh)(
    `send invoices by content over SFTP, and archive them${hasOpenssh ? "" : " (OpenSSH is not installed)"}`,
    () =>
      Effect.gen(function* () {
        const server = yield* startOpenssh()
        const { directory, once, put } = yield* project("invoices", (directory) => ({
          "sftp://accounting@sftp.example.org": `sftp://${server.user}@127.0.0.1:${server.port}${server.root}`,
          "key: ~/.ssh/id_ed25519": `key: "${server.key}"\n    knownHosts: "${server.knownHosts}"`,
          "/srv/": `${directory}/`
        }))
        const invoice = pdf("Invoice No. 2026-0042 of the first of May")
        put("scans/may/scan 1.pdf", invoice)
        put("scans/scan 2.pdf", pdf("A letter that is about nothing"))
        // it lies about its type
        put("scans/scan 3.pdf", "Invoice No. 2026-0043, says this text")
        const ended = yield* once()
        expect(ended.code, ended.stderr).toBe(0)
        const incoming = join(server.root, "incoming")
        const name = `${today().slice(0, 4)}/2026-0042-scan 1.pdf`
        expect(yield* listAt(incoming)).toEqual([name])
        expect(Buffer.from((yield* readAt(join(incoming, name))) ?? []).equals(invoice)).toBe(true)
        expect(list(join(directory, "scans-other"))).toEqual(["scan 2.pdf", "scan 3.pdf"])
        expect(list(join(directory, "scans"))).toEqual([])
        expect(list(join(directory, "scans-done", today()))).toEqual(["may/scan 1.pdf", "scan 2.pdf", "scan 3.pdf"])
        expect(list(join(directory, "scans-failed"))).toEqual([])
      })
  )

  it.scopedLive("fan out to three places, compressed and encrypted", () =>
    Effect.gen(function* () {
      const http = yield* startHttpServer()
      const s3 = yield* startS3Server()
      const identity = yield* Effect.promise(() => generateIdentity())
      const recipient = yield* Effect.promise(() => identityToRecipient(identity))
      const { directory, once, put } = yield* project("fan-out", (directory) => ({
        "/srv/exports": join(directory, "in"),
        "/mnt/nas/exports": join(directory, "nas"),
        "https://reports.example.org": http.url,
        "s3://exports-vault/": `s3://${accessKey}:${encodeURIComponent(secretKey)}@${bucketName}/`,
        "region: eu-central-1": `region: us-east-1\n        endpoint: "http://127.0.0.1:${s3.port}"`
      }))
      const content = "day,bicycles\n".repeat(1000)
      put("in/sold.csv", content)
      put("in/test-sold.csv", content)
      put("in/sold.pdf", pdf("sold"))
      const ended = yield* once({ AGE_RECIPIENT: recipient })
      expect(ended.code, ended.stderr).toBe(0)
      expect(list(join(directory, "nas"))).toEqual(["sold.csv"])
      expect(fs.readFileSync(join(directory, "nas", "sold.csv"), "utf8")).toBe(content)

      expect(Array.from(http.files.keys())).toEqual(["/incoming/sold.csv.gz"])
      expect(gunzipSync(http.files.get("/incoming/sold.csv.gz") ?? "").toString()).toBe(content)
      expect(http.received[0]?.headers).toMatchObject({
        "x-source": "in",
        "x-original-size": String(content.length)
      })

      const key = `${today().slice(0, 7).replace("-", "/")}/sold.csv.zst.age`
      expect(Array.from(s3.objects.keys())).toEqual([key])
      const decrypter = new Decrypter()
      decrypter.addIdentity(identity)
      const sent = s3.objects.get(key)?.bytes ?? new Uint8Array()
      const compressed = yield* Effect.promise(() => decrypter.decrypt(sent))
      expect(Buffer.from(decompress(compressed)).toString()).toBe(content)
    })
  )

  it.scopedLive("watch a network share", () =>
    Effect.gen(function* () {
      const { config, directory, put } = yield* project("network-share", (directory) => ({
        "/mnt/share/outgoing": join(directory, "share"),
        "/srv/": `${directory}/`,
        "pollInterval: 10s": "pollInterval: 100ms",
        "settle: 5s": "settle: 50ms",
        "minAge: 30s": "minAge: 300ms"
      }))
      const running = yield* Process.filedispatch(["-c", config, "--no-webapp", "--no-monitor"])
      const share = join(directory, "share")
      const at = (...names: ReadonlyArray<string>) => join(directory, ...names)
      // a share may come later
      put("share/2026/sold.csv", "sold")
      put("share/2026/Urgent call.txt", "call back")
      put("share/2026/Urgent call.txt.ok", "")
      yield* Process.until(
        () => list(at("urgent")).length === 1 && list(at("incoming")).length === 1 && list(share).length === 1,
        running.stderr
      )
      expect(list(at("incoming"))).toEqual(["2026/Urgent call.txt"])
      expect(list(at("urgent"))).toEqual(["2026/Urgent call.txt"])
      // the other was there before, and has waited for its marker
      expect(list(share)).toEqual(["2026/sold.csv"])
      put("share/2026/sold.csv.ok", "")
      yield* Process.until(() => list(share).length === 0, running.stderr)
      expect(list(at("incoming"))).toEqual(["2026/Urgent call.txt", "2026/sold.csv"])
      expect(list(at("urgent"))).toEqual(["2026/Urgent call.txt"])
      expect(fs.readFileSync(at("incoming/2026/sold.csv"), "utf8")).toBe("sold")
      expect(running.stderr()).toContain("polling")
    })
  )
})
