/**
 * What the dashboard costs, in a real browser: by hand, after `npm run build`, on a machine with nothing else to do.
 *
 *     node scratchpad/bench/dashboard.mjs [--home DIR] [--reps 5]
 *
 * How long the first view and the log take from a cold start of the page, where DIR has a journal of a million entries
 * (made by log.mjs with the same --home). And what an open page takes of a processor, while 100 files a second are
 * delivered: what it takes of a daemon that has nothing to do, and what one more answer with all that the page shows
 * takes of one that has. Goals: a second, and 2 %.
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

  /** Percent of a processor, for so many seconds of so many files and questions a second. */
  let number = 0
  const load = async (seconds, { files = 0, questions = 0 }) => {
    const before = used(one.pid)
    const start = performance.now()
    let [put, asked] = [0, 0]
    const pending = new Set()
    while (performance.now() < start + seconds * 1000) {
      const passed = (performance.now() - start) / 1000
      for (; put < passed * files; put++)
        fs.writeFileSync(path.join(home, "in", `file-${process.pid}-${(number += 1)}.txt`), "x".repeat(1000))
      for (; asked < passed * questions; asked++) {
        const answer = one.ask("/api/v1/now").finally(() => pending.delete(answer))
        pending.add(answer)
      }
      await sleep(10)
    }
    await Promise.all(pending)
    return ((used(one.pid) - before) * 100_000) / (performance.now() - start)
  }
  const busy = { files: 100 }

  // what is told once a second, told 50 times a second: the difference that one makes is far below what two equal
  // rounds differ by
  const questions = 50
  await load(30, { ...busy, questions })
  const pairs = []
  for (let round = 0; round < 6; round++) {
    // in turns, so that what gets faster or slower with time is not counted for either
    const asking = round % 2 === 1 ? await load(15, { ...busy, questions }) : undefined
    const plain = await load(15, busy)
    pairs.push([plain, asking ?? (await load(15, { ...busy, questions }))])
  }
  table(`Percent of a processor at 100 files a second, and with ${questions} answers of /now a second besides`, [
    ["round", "files", "and answers", "difference"],
    ...pairs.map(([plain, asking], round) => [
      round + 1,
      plain.toFixed(1),
      asking.toFixed(1),
      (asking - plain).toFixed(1)
    ])
  ])
  const answer = pairs.reduce((all, [plain, asking]) => all + asking - plain, 0) / pairs.length / questions

  const idle = await load(20, {})
  const page = await browser.newPage()
  const requests = []
  page.on("request", (request) => requests.push(new URL(request.url()).pathname))
  await page.goto(`${url}/`)
  await page.locator("article.card").first().waitFor()
  await sleep(2000)
  const watched = await load(20, {})
  const first = requests.length
  const open = await load(20, busy)
  table("An open page", [
    ["", "measured"],
    ["daemon with nothing to do, % of a processor", idle.toFixed(2)],
    ["the same and an open page", watched.toFixed(2)],
    ["one answer of /now a second at 100 files a second", answer.toFixed(2)],
    ["an open page at 100 files a second, all in all", open.toFixed(1)],
    ["questions the page asks meanwhile, in 20 s", requests.length - first]
  ])
  const cost = Math.max(0, watched - idle) + answer + (requests.length - first) * answer
  goal("an open page costs less than 2 % of a core", `${cost.toFixed(2)} %`, cost < 2)
  table("Goals", [["goal", "measured", ""], ...goals])
} finally {
  await one.stop()
  await browser.close()
  fs.rmSync(root, { recursive: true, force: true })
}
