/**
 * Screenshots of the dashboard's views, light and dark, of the built program at work.
 *
 *   node scratchpad/screenshots.mjs [FOLDER]
 *
 * Needs Chromium at /usr/bin/chromium, or where CHROMIUM says. Everything stays on this machine, and in a folder that is
 * removed at the end. The picture in the README is now-light.png.
 */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import fs from "node:fs"
import { createServer } from "node:http"
import os from "node:os"
import path from "node:path"
import { fileURLToPath } from "node:url"
import { chromium } from "playwright-core"

const out = path.resolve(process.argv[2] ?? fileURLToPath(new URL("screenshots", import.meta.url)))
const bin = fileURLToPath(new URL("../dist/bin.js", import.meta.url))
const root = fs.mkdtempSync(path.join(os.tmpdir(), "filedispatch-demo-"))
const at = (...parts) => path.join(root, ...parts)
for (const folder of ["downloads", "scans"]) fs.mkdirSync(at(folder))
fs.mkdirSync(out, { recursive: true })

const listen = (server) => new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)))
const server = createServer((request, response) => {
  request.resume().on("end", () => response.writeHead(request.url.includes("refused") ? 403 : 201).end())
})
const port = await listen(server)
const freePort = async () => {
  const spare = createServer()
  const free = await listen(spare)
  await new Promise((resolve) => spare.close(resolve))
  return free
}
const [api, closed] = [await freePort(), await freePort()]

fs.writeFileSync(
  at("config.yml"),
  `sources:
  - { name: downloads, path: ./downloads, settle: 50ms, after: delete }
  - { name: scans, path: ./scans, settle: 50ms, after: keep }
folders:
  - { name: pictures, path: ./archive/pictures, extensions: [png, jpg, gif], sources: [downloads] }
  - name: documents
    paths: [./archive/documents, "http://127.0.0.1:${port}/documents"]
    extensions: [pdf, txt]
  - name: videos
    path: "http://127.0.0.1:${port}/videos"
    extensions: [mp4]
    bandwidth: 3MiB/s
  - { name: partner, path: "sftp://partner:secret@127.0.0.1:${closed}/in", extensions: [edi], hostKey: "SHA256:${"A".repeat(43)}" }
db: ./journal.db
monitor: false
`
)
const program = spawn(process.execPath, [bin, "-c", at("config.yml"), "-P", String(api)], {
  stdio: ["ignore", "ignore", "pipe"]
})
let said = ""
program.stderr.setEncoding("utf8").on("data", (text) => (said += text))
const until = async (condition, what) => {
  const deadline = Date.now() + 30_000
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`${what} did not come to be: ${said}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
const url = `http://127.0.0.1:${api}`

/** A year of work, which other programs have reported. */
const year = async () => {
  const day = 86_400_000
  for (let number = 0; number < 900; number++) {
    const chance = createHash("sha256").update(String(number)).digest()[0] / 256
    const folder = ["pictures", "documents", "documents", "videos"][number % 4]
    const failed = chance > 0.96
    const size = Math.round(20_000 * (1 + chance * 40))
    const body = {
      filename: {
        pictures: `IMG_${2000 + number}.jpg`,
        documents: `invoice-${number}.pdf`,
        videos: `clip-${number}.mp4`
      }[folder],
      source: at(folder === "documents" ? "scans" : "downloads"),
      destination: folder === "videos" ? `http://127.0.0.1:${port}/videos` : at("archive", folder),
      protocol: folder === "videos" ? "http" : "file",
      route: folder,
      status: failed ? "FAILED" : "SUCCEEDED",
      reason: failed ? "403 Forbidden: the server refuses this name" : null,
      byte_size: size,
      duration_ms: 15 + size / 4000,
      created: new Date(Date.now() - (number / 900) ** 1.4 * 360 * day - chance * 0.4 * day).toISOString()
    }
    const headers = { "content-type": "application/json" }
    await fetch(`${url}/api/v1/logs`, { method: "POST", headers, body: JSON.stringify(body) })
  }
}

try {
  await until(() => said.includes("scans is watched") || said.split("is watched").length > 2, "the start")
  await year()
  for (let number = 0; number < 24; number++) {
    fs.writeFileSync(at("downloads", `photo ${number}.jpg`), Buffer.alloc(150_000 + number * 9000, number))
    fs.writeFileSync(at("scans", `scan-${number}.pdf`), Buffer.alloc(80_000 + number * 5000, number))
  }
  fs.writeFileSync(at("scans", "orders.edi"), "UNA")
  for (const name of ["holiday.mp4", "birthday.mp4"])
    fs.writeFileSync(at("downloads", name), Buffer.alloc(60 * 2 ** 20))
  await until(async () => {
    const { destinations } = await (await fetch(`${url}/api/v1/now`)).json()
    return destinations.some(({ sending }) => sending.some(({ bytes }) => bytes > 4_000_000))
  }, "an upload")
  const browser = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync"
    ]
  })
  for (const colorScheme of ["light", "dark"]) {
    const page = await browser.newPage({ viewport: { width: 1280, height: 960 }, colorScheme, locale: "en-GB" })
    const views = [
      ["now", "progress"],
      ["charts", ".heat a.day"],
      ["log?search=scan", "table.log tbody tr"],
      ["explain?file=holiday.jpg", ".explanation"],
      ["config", ".code tr"]
    ]
    for (const [view, sign] of views) {
      await page.goto(`${url}/#/${view}`)
      await page.locator(sign).first().waitFor()
      if (view.startsWith("log")) {
        await page.locator("table.log tbody button").first().click()
        await page.locator(".explanation").waitFor()
      }
      // rates want two looks
      await page.waitForTimeout(view === "now" ? 2500 : 400)
      await page.screenshot({ path: path.join(out, `${view.split("?")[0]}-${colorScheme}.png`) })
    }
    await page.close()
  }
  await browser.close()
  console.log(`In ${out}: ${fs.readdirSync(out).join(", ")}`)
} finally {
  program.kill("SIGKILL")
  server.closeAllConnections()
  server.close()
  fs.rmSync(root, { recursive: true, force: true })
}
