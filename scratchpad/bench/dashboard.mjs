/**
 * What the dashboard costs, in a real browser: by hand, after `npm run build`, on a machine with nothing else to do.
 *
 *     node scratchpad/bench/dashboard.mjs [--home DIR] [--reps 5]
 *
 * How long the first view and the log take from a cold start of the page, where DIR has a journal of a million entries
 * (made by log.mjs with the same --home). And what an open page takes of a processor, while 100 files a second are
 * delivered: the same twenty seconds with it and without it, in turns. Goals: a second, and 2 %.
 */
import fs from "node:fs"
import path from "node:path"
import { chromium } from "playwright-core"
import { daemon, fresh, goal, goals, median, reps, root, sleep, table, values } from "./kit.mjs"

const home = values.home === undefined ? fresh("dashboard") : path.resolve(values.home)
for (const folder of ["in", "out"]) fs.mkdirSync(path.join(home, folder), { recursive: true })

/** Of all its threads, in seconds. */
const used = (pid) => {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ")
  return (Number(fields[11]) + Number(fields[12])) / 100
}

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
const one = await daemon({
  source: path.join(home, "in"),
  target: path.join(home, "out"),
  home,
  settle: "20ms",
  rest: "log: { retain: 3650d }\n"
})
try {
  await one.ready()
  const url = one.url

  const views = { now: "article.card", log: "table.log tbody tr", charts: ".chart canvas" }
  const rows = [["view", "median ms", "slowest ms"]]
  for (const [view, sign] of Object.entries(views)) {
    const times = []
    for (let rep = 0; rep < Math.max(5, reps); rep++) {
      // nothing is kept from the one before
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 } })
      const page = await context.newPage()
      const start = performance.now()
      await page.goto(`${url}/#/${view}`, { waitUntil: "commit" })
      await page.locator(sign).first().waitFor()
      times.push(performance.now() - start)
      await context.close()
    }
    rows.push([view, median(times).toFixed(0), Math.max(...times).toFixed(0)])
    if (view === "now") goal("first view within a second", `${median(times).toFixed(0)} ms`, median(times) <= 1000)
  }
  const { headers } = await one.ask("/api/v1/logs?limit=1")
  table(`From a cold start of the page, ${headers.get("x-total-count")} entries in the log`, rows)

  /** Percent of a processor, for so many seconds of 100 files a second. */
  let number = 0
  const load = async (seconds) => {
    const before = used(one.pid)
    const start = performance.now()
    const until = start + seconds * 1000
    const first = number
    while (performance.now() < until) {
      const due = Math.floor((performance.now() - start) / 10) - (number - first)
      for (let count = 0; count < due; count++) {
        const name = path.join(home, "in", `file-${process.pid}-${(number += 1)}.txt`)
        fs.writeFileSync(name, "x".repeat(1000))
      }
      await sleep(10)
    }
    return ((used(one.pid) - before) * 100_000) / (performance.now() - start)
  }
  await load(10)
  const pairs = []
  for (let round = 0; round < 4; round++) {
    const without = await load(20)
    const page = await browser.newPage()
    await page.goto(`${url}/`)
    await page.locator("article.card").first().waitFor()
    await sleep(1000)
    const open = await load(20)
    await page.close()
    await sleep(1000)
    pairs.push([without, open])
  }
  table("Percent of a processor at 100 files a second", [
    ["round", "no page", "a page", "difference"],
    ...pairs.map(([without, open], round) => [
      round + 1,
      without.toFixed(1),
      open.toFixed(1),
      (open - without).toFixed(1)
    ])
  ])
  const cost = median(pairs.map(([without, open]) => open - without))
  goal("an open page costs less than 2 % of a core", `${cost.toFixed(1)} %`, cost < 2)
  table("Goals", [["goal", "measured", ""], ...goals])
} finally {
  await one.stop()
  await browser.close()
  fs.rmSync(root, { recursive: true, force: true })
}
