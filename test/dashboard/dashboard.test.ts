/**
 * The dashboard in a real browser, served by the built program: each of its views, what can be done there, and what
 * others may try with the names of their files.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import * as Process from "../cli/process.ts"
import { list } from "../e2e/project.ts"
import { startHttpServer } from "../servers/http.ts"
import { accessibility, expectClean, noBrowser, openPage, serve, type Served, token, wait } from "./browser.ts"

vi.setConfig({ testTimeout: 180_000 })

const config = [
  "db: ./journal.db",
  "sources: [{ name: downloads, path: ./in, settle: 20ms, rescan: 1s, after: delete }]",
  "folders:",
  "  - { name: pictures, path: ./out, extensions: [png] }",
  // nothing can be made below a file
  "  - { name: broken, path: ./config.yml/below, extensions: [bad] }",
  '  - { name: secret, path: "http://me:hush-hush@127.0.0.1:9/there", extensions: [web] }'
]

const delivered = ({ project }: Served, count: number) =>
  Process.until(
    () => list(join(project.directory, "out")).length >= count,
    () => `only ${list(join(project.directory, "out")).length} files came`
  )

const logged = ({ project }: Served, count: number) =>
  Process.until(
    () => project.log().length >= count,
    () => `the log has only ${project.log().length} entries`
  )

describe.skipIf(noBrowser !== "")(`the dashboard${noBrowser}`, () => {
  it.scopedLive("tells a newcomer what to do, and shows what comes as it comes", () =>
    Effect.gen(function* () {
      const served = yield* serve(...config)
      const watched = yield* openPage(served.url)
      const { page } = watched
      yield* wait(() => page.getByText("Nothing has come yet.").waitFor())
      expect(yield* wait(() => page.locator(".empty").first().textContent())).toContain(served.project.inbox)
      expect(yield* wait(() => page.getByRole("status").first().textContent())).toContain("live")

      served.project.put("a.png", "a picture")
      yield* delivered(served, 1)
      const card = page.getByRole("article", { name: /^destination local disk/ })
      yield* wait(() => card.getByText("works").first().waitFor())
      // the line from the folder to the destination has its count, in the picture and for who can't see it
      yield* wait(() =>
        page
          .locator("table.narrow tr", { hasText: "pictures" })
          .getByText("1", { exact: true })
          .first()
          .waitFor({ state: "attached" })
      )
      yield* wait(() => page.locator("svg .on-line", { hasText: "1" }).first().waitFor())
      yield* wait(() => page.getByText("Nothing has come yet.").waitFor({ state: "detached" }))
      expectClean(watched)
    })
  )

  it.scopedLive("shows how far an upload is, how fast it goes, and when it will be done", () =>
    Effect.gen(function* () {
      const http = yield* startHttpServer({ discard: true })
      const served = yield* serve(
        ...config.slice(0, 3),
        `  - { name: far, path: "${http.url}/far", extensions: [mp4], bandwidth: 1MiB/s }`
      )
      const watched = yield* openPage(served.url)
      const { page } = watched
      served.project.put("long.mp4", Buffer.alloc(30 * 2 ** 20))
      const card = page.getByRole("article", { name: /^destination http/ })
      yield* wait(() => card.getByText(/of 30\.0 MB, .*\/s, \d+ s left/).waitFor())
      const bar = card.getByRole("progressbar", { name: "progress of long.mp4" })
      const first = Number(yield* wait(() => bar.getAttribute("value")))
      yield* wait(() =>
        page.waitForFunction((before) => Number(document.querySelector("progress")?.value) > before, first)
      )
      expect(first).toBeLessThan(30 * 2 ** 20)
      yield* wait(() => page.locator("svg .line.moving, svg .line").first().waitFor({ state: "attached" }))
      expectClean(watched)
    })
  )

  it.scopedLive("says why a destination fails, and tries what failed again", () =>
    Effect.gen(function* () {
      const served = yield* serve(...config)
      served.project.put("one.bad", "can't be put there")
      yield* logged(served, 1)
      const watched = yield* openPage(served.url)
      const { page } = watched
      const card = page.getByRole("article", { name: /^destination local disk/ })
      yield* wait(() => card.locator(".last-error").getByText("one.bad", { exact: true }).waitFor())
      expect(yield* wait(() => card.locator(".last-error").textContent())).toMatch(/config\.yml/)
      yield* wait(() => card.getByRole("button", { name: /Retry failed/ }).click())
      const dialog = page.getByRole("dialog")
      // asked once, and nothing happens where it is left
      yield* wait(() => dialog.getByRole("button", { name: "No, leave it" }).click())
      yield* wait(() => dialog.waitFor({ state: "detached" }))
      expect(served.project.log()).toHaveLength(1)
      yield* wait(() => card.getByRole("button", { name: /Retry failed/ }).click())
      yield* wait(() => dialog.getByRole("button", { name: /^Try again/ }).click())
      yield* wait(() => page.getByText("1 delivery is tried again.").waitFor())
      yield* logged(served, 2)
      expectClean(watched)
    })
  )

  it.scopedLive(
    "shows one by one what waits at a destination that is down, and gives one up when that is confirmed",
    () =>
      Effect.gen(function* () {
        const served = yield* serve(...config)
        served.project.put("one.web", "nobody listens there")
        const watched = yield* openPage(served.url)
        const { page } = watched
        const card = page.getByRole("article", { name: /^destination http/ })
        yield* wait(() => card.getByText("down", { exact: true }).waitFor())
        yield* wait(() => card.getByText(/^What waits or was given up/).click())
        const line = card.locator(".held li")
        yield* wait(() => line.getByText("waiting for the destination").waitFor())
        expect(yield* wait(() => line.textContent())).toContain("can't be reached")
        yield* wait(() => line.getByRole("button", { name: "Cancel one.web" }).click())
        yield* wait(() => page.getByRole("dialog").getByRole("button", { name: "Give it up" }).click())
        yield* wait(() => page.getByText("one.web is given up.").waitFor())
        const answer = yield* wait(async () => (await served.api("/api/v1/deliveries/1")).json())
        expect(answer).toMatchObject({ state: "CANCELLED" })
        expectClean(watched)
      })
  )

  it.scopedLive("pauses and resumes a source and a destination", () =>
    Effect.gen(function* () {
      const served = yield* serve(...config)
      served.project.put("first.png", "1")
      yield* delivered(served, 1)
      const watched = yield* openPage(served.url)
      const { page } = watched
      const source = page.getByRole("article", { name: "source downloads" })
      yield* wait(() => source.getByRole("button", { name: /Pause/ }).click())
      yield* wait(() => source.getByText("paused", { exact: true }).waitFor())
      served.project.put("second.png", "2")
      yield* wait(() => source.getByRole("button", { name: /Resume/ }).click())
      yield* delivered(served, 2)
      const lane = page.getByRole("article", { name: /^destination local disk/ })
      yield* wait(() => lane.getByRole("button", { name: /Pause/ }).click())
      yield* wait(() => lane.getByText("paused", { exact: true }).waitFor())
      served.project.put("third.png", "3")
      yield* wait(() => lane.locator(".facts", { hasText: "waiting1" }).waitFor())
      expect(list(join(served.project.directory, "out"))).toEqual(["first.png", "second.png"])
      yield* wait(() => lane.getByRole("button", { name: /Resume/ }).click())
      yield* delivered(served, 3)
      expectClean(watched)
    })
  )

  it.scopedLive(
    "finds entries as one types, opens their whole story, puts a file back, and exports what it shows",
    () =>
      Effect.gen(function* () {
        const served = yield* serve(...config)
        for (const name of ["holiday.png", "work.png", "Holiday 2.png"]) served.project.put(name, `content of ${name}`)
        served.project.put("lost.bad", "x")
        yield* logged(served, 4)
        const watched = yield* openPage(`${served.url}/#/log`)
        const { page } = watched
        const rows = page.locator("table.log tbody tr")
        yield* wait(() => rows.nth(3).waitFor())
        yield* wait(() => page.keyboard.press("/"))
        yield* wait(() => page.keyboard.type("HOLI"))
        yield* wait(() => page.getByText("2 entries match").waitFor())
        expect((yield* wait(() => rows.locator("th").allTextContents())).toSorted()).toEqual([
          "Holiday 2.png",
          "holiday.png"
        ])

        const file = yield* wait(async () => {
          const [download] = await Promise.all([
            page.waitForEvent("download"),
            page.getByRole("button", { name: "Export CSV" }).click()
          ])
          return { name: download.suggestedFilename(), text: fs.readFileSync(await download.path(), "utf8") }
        })
        expect(file.name).toMatch(/^filedispatch-log-\d{4}-\d\d-\d\d\.csv$/)
        expect(file.text.split("\r\n").filter((line) => line !== "")).toHaveLength(3)
        expect(file.text).not.toContain("work.png")

        yield* wait(() => page.getByRole("button", { name: "holiday.png", exact: true }).click())
        const story = page.getByRole("article", { name: "the story of holiday.png" })
        yield* wait(() => story.getByText("It succeeded at once.").waitFor())
        yield* wait(() => story.getByText("pictures").first().waitFor())
        expect(yield* wait(() => story.textContent())).toContain("moved by rename")
        yield* wait(() => story.getByRole("button", { name: "Undo" }).click())
        yield* wait(() => page.getByRole("dialog").getByRole("button", { name: "Put it back" }).click())
        yield* wait(() => page.getByText(/^holiday\.png is back at /).waitFor())
        expect(list(served.project.inbox)).toEqual(["holiday.png", "lost.bad"])

        yield* wait(() => page.getByRole("link", { name: "Clear the filters" }).first().click())
        yield* wait(() => page.getByLabel("Status").selectOption("FAILED"))
        yield* wait(() => page.getByText("1 entry match").waitFor())
        yield* wait(() => page.getByRole("button", { name: "lost.bad" }).click())
        yield* wait(() =>
          page
            .getByRole("article", { name: "the story of lost.bad" })
            .getByRole("button", { name: /^Try again/ })
            .click()
        )
        yield* wait(() => page.getByText("lost.bad is tried again.").waitFor())
        expectClean(watched)
      })
  )

  it.scopedLive("pages that do not jump while new entries come", () =>
    Effect.gen(function* () {
      const served = yield* serve(...config)
      yield* wait(() => fill(served, 120))
      const watched = yield* openPage(`${served.url}/#/log`)
      const { page } = watched
      const first = page.locator("table.log tbody tr th").first()
      yield* wait(() => page.getByText("120 entries").waitFor())
      expect(yield* wait(() => first.textContent())).toBe("file-119.txt")
      yield* wait(() => page.getByRole("button", { name: "Next page →" }).click())
      yield* wait(() => page.getByText("file-69.txt").waitFor())
      for (const name of ["x.png", "y.png"]) served.project.put(name, name)
      yield* logged(served, 122)
      expect(yield* wait(() => first.textContent())).toBe("file-69.txt")
      yield* wait(() => page.getByRole("button", { name: "← Page before" }).click())
      yield* wait(() => page.getByText("file-119.txt").waitFor())
      served.project.put("z.png", "z")
      yield* wait(() => page.getByRole("button", { name: /^Show \d+ newer entr/ }).click())
      yield* wait(() => page.getByRole("button", { name: "z.png" }).waitFor())
      expectClean(watched)
    })
  )

  it.scopedLive("draws what was done, and a day of it opens its entries", () =>
    Effect.gen(function* () {
      const served = yield* serve(...config)
      yield* wait(() => fill(served, 60))
      const watched = yield* openPage(`${served.url}/#/charts`)
      const { page } = watched
      const chart = page.getByRole("img", { name: /^Files by status.* delivered \d+/ })
      yield* wait(() => chart.locator("canvas").waitFor())
      for (const by of ["destination", "folder", "extension"]) {
        yield* wait(() => page.getByLabel("Split by").selectOption(by))
        yield* wait(() =>
          page.getByRole("img", { name: new RegExp(`^Files by ${by}.* (?:file:///there|pictures|txt) `) }).waitFor()
        )
      }
      yield* wait(() =>
        page
          .getByRole("img", { name: /^How long deliveries took/ })
          .locator("canvas")
          .waitFor()
      )
      yield* wait(() =>
        page
          .getByRole("img", { name: /^Failures/ })
          .locator("canvas")
          .waitFor()
      )
      yield* wait(() => page.locator(".heat a.day").first().waitFor())
      // today's bar is the last one
      const box = yield* wait(() => page.locator(".chart .u-over").first().boundingBox())
      if (box === null) throw new Error("the chart has no place")
      yield* wait(() => page.mouse.click(box.x + box.width - (box.width / 30.2) * 0.6, box.y + box.height - 5))
      yield* wait(() => page.waitForURL(/#\/log\?/))
      const today = new Date().toISOString().slice(0, 10)
      expect(new URLSearchParams(page.url().split("?")[1]).get("created__gte")).toBe(today)
      expectClean(watched)
    })
  )

  it.scopedLive("explains where a file would go, by its name", () =>
    Effect.gen(function* () {
      const served = yield* serve(...config)
      const watched = yield* openPage(`${served.url}/#/explain`)
      const { page } = watched
      yield* wait(() => page.getByLabel("A file's name or path").fill("cat.png"))
      yield* wait(() => page.getByRole("heading", { name: "cat.png in downloads" }).waitFor())
      expect(yield* wait(() => page.locator(".explanation").textContent())).toContain(
        join(served.project.directory, "out/cat.png")
      )
      yield* wait(() => page.getByLabel("A file's name or path").fill("cat.xyz"))
      yield* wait(() => page.getByRole("heading", { name: "cat.xyz in downloads" }).waitFor())
      expect(yield* wait(() => page.locator(".explanation").textContent())).toContain("none of 3")
      expectClean(watched)
    })
  )

  it.scopedLive("explains where a file would go that is dropped on it, which it does not open or send", () =>
    Effect.gen(function* () {
      const served = yield* serve(...config)
      const watched = yield* openPage(`${served.url}/#/explain`)
      const { page } = watched
      const drop = (what: "file" | "text", name: string) =>
        wait(async () => {
          const dataTransfer = await page.evaluateHandle(
            ({ name, what }) => {
              const data = new DataTransfer()
              if (what === "file") data.items.add(new File(["its content"], name))
              else data.setData("text/plain", name)
              return data
            },
            { what, name }
          )
          await page.locator(".drop").dispatchEvent("dragover", { dataTransfer })
          await page.locator(".drop.over").waitFor()
          await page.locator(".drop").dispatchEvent("drop", { dataTransfer })
          await page.locator(".drop.over").waitFor({ state: "detached" })
        })
      const sent: Array<string> = []
      page.on("request", (request) => sent.push(request.postData() ?? ""))
      yield* drop("file", "dropped.png")
      yield* wait(() => page.getByRole("heading", { name: "dropped.png in downloads" }).waitFor())
      yield* drop("text", "a line.png\nanother")
      yield* wait(() => page.getByRole("heading", { name: "a line.png in downloads" }).waitFor())
      expect(yield* wait(() => page.getByLabel("A file's name or path").inputValue())).toBe("a line.png")
      expect(sent.join(" ")).toContain("dropped.png")
      expect(sent.join(" ")).not.toContain("its content")
      expectClean(watched)
    })
  )

  it.scopedLive("shows the config without its secrets, and why a reload was refused", () =>
    Effect.gen(function* () {
      const served = yield* serve(...config)
      const watched = yield* openPage(`${served.url}/#/config`, { allowed: /status of 409/ })
      const { page } = watched
      yield* wait(() => page.getByText("What is in force is what the file says.").waitFor())
      const text = (yield* wait(() => page.locator(".code").textContent())) ?? ""
      expect(text).toContain("***")
      expect(yield* wait(() => page.content())).not.toContain("hush-hush")
      expect(yield* wait(() => page.locator(".code tr.marked").count())).toBeGreaterThanOrEqual(4)
      fs.appendFileSync(served.project.config, "\nnonsense: true\n")
      yield* wait(() => page.getByRole("button", { name: "Load it again" }).click())
      yield* wait(() => page.getByText(/is not in force/).waitFor())
      yield* wait(() => page.locator("li", { hasText: "nonsense" }).first().waitFor())
      expectClean(watched)
    })
  )

  it.scopedLive("shows the names of files as what they are: text", () =>
    Effect.gen(function* () {
      const served = yield* serve(...config)
      const names = [
        '<img src=x onerror="alert(1)">.png',
        "<script>alert(2)<\u2044script>.png",
        "photo\u202egnp.exe.png",
        "line\nbreak\u0007.png",
        "'\"&amp;.png",
        "zero\u200bwidth.png"
      ]
      for (const name of names) served.project.put(name, "x")
      yield* logged(served, names.length)
      const watched = yield* openPage(`${served.url}/#/log`)
      const { page } = watched
      const rows = page.locator("table.log tbody tr th")
      yield* wait(() => rows.nth(names.length - 1).waitFor())
      const shown = yield* wait(() => rows.allTextContents())
      expect(shown).toContain('<img src=x onerror="alert(1)">.png')
      expect(shown).toContain("'\"&amp;.png")
      expect(shown).toContain("photoU+202Egnp.exe.png")
      expect(shown).toContain("zeroU+200Bwidth.png")
      for (const text of shown) expect(text).not.toMatch(/[\p{Cc}\p{Cf}]/u)
      expect(yield* wait(() => page.locator(".log .hidden-character").count())).toBeGreaterThanOrEqual(2)
      for (const row of names.keys())
        yield* wait(() =>
          rows
            .nth(0)
            .locator("button")
            .click()
            .then(() => rows.nth(row).waitFor({ state: "attached" }))
        )
      yield* wait(() =>
        page.goto(`${served.url}/#/explain?${new URLSearchParams({ file: names[0] ?? "" }).toString()}`)
      )
      yield* wait(() => page.locator(".explanation").first().waitFor())
      expect(yield* wait(() => page.locator("img").count())).toBe(0)
      expectClean(watched)
    })
  )

  it.scopedLive("folds a huge error", () =>
    Effect.gen(function* () {
      const served = yield* serve(...config)
      yield* wait(() =>
        served.api("/api/v1/logs", {
          method: "POST",
          body: JSON.stringify({
            filename: "huge.txt",
            source: "/in",
            destination: "http://there/",
            protocol: "http",
            status: "FAILED",
            byte_size: 1,
            reason: `it said ${"very ".repeat(1500)}much`
          })
        })
      )
      const watched = yield* openPage(`${served.url}/#/log`)
      const { page } = watched
      yield* wait(() => page.getByRole("button", { name: "huge.txt" }).click())
      const story = page.getByRole("article", { name: "the story of huge.txt" })
      const more = story.getByRole("button", { name: /^show all 7,\d\d\d characters$/ })
      yield* wait(() => more.waitFor())
      expect(((yield* wait(() => story.locator(".note.bad").first().textContent())) ?? "").length).toBeLessThan(400)
      yield* wait(() => more.click())
      yield* wait(() => story.getByText("much").waitFor())
      expectClean(watched)
    })
  )

  it.scopedLive("waits for a program that goes away, and goes on when it is back", () =>
    Effect.gen(function* () {
      const served = yield* serve(...config)
      const watched = yield* openPage(served.url, { allowed: /ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|net::ERR/ })
      const { page } = watched
      yield* wait(() => page.getByText("Nothing has come yet.").waitFor())
      yield* served.running.kill("SIGKILL")
      yield* served.running.ended
      yield* wait(() => page.getByText(/filedispatch does not answer/).waitFor())
      // what was known stays
      expect(yield* wait(() => page.getByRole("article", { name: "source downloads" }).count())).toBe(1)
      yield* served.again
      yield* wait(() => page.getByText(/filedispatch does not answer/).waitFor({ state: "detached", timeout: 30_000 }))
      served.project.put("back.png", "x")
      yield* wait(() => page.locator("svg .on-line", { hasText: "1" }).first().waitFor())
      expectClean(watched)
    })
  )

  it.scopedLive("asks for a token until it is right, and gives it to nobody", () =>
    Effect.gen(function* () {
      const served = yield* serve(...config, `http: { token: ${token} }`)
      const watched = yield* openPage(served.url, { allowed: /status of 401/ })
      const { page } = watched
      const dialog = page.getByRole("dialog", { name: "A token is needed" })
      yield* wait(() => dialog.getByLabel("Token").fill("a-wrong-one"))
      yield* wait(() => dialog.getByRole("button", { name: "Go on" }).click())
      yield* wait(() => dialog.getByText(/not the one in http\.token/).waitFor())
      yield* wait(() => dialog.getByLabel("Token").fill(token))
      yield* wait(() => page.keyboard.press("Enter"))
      yield* wait(() => page.getByText("Nothing has come yet.").waitFor())
      expect(yield* wait(() => page.content())).not.toContain(token)
      expect(page.url()).not.toContain(token)
      expectClean(watched)
    })
  )

  it.scopedLive("can be used by the keyboard alone", () =>
    Effect.gen(function* () {
      const served = yield* serve(...config)
      yield* wait(() => fill(served, 3))
      const watched = yield* openPage(served.url)
      const { page } = watched
      yield* wait(() => page.getByRole("article", { name: "source downloads" }).waitFor())
      yield* wait(() => page.keyboard.press("Tab"))
      expect(yield* wait(() => page.evaluate(() => document.activeElement?.textContent))).toBe("Skip to the content")
      const reach = async (name: string) => {
        for (let step = 0; step < 60; step++) {
          if ((await page.evaluate(() => document.activeElement?.textContent?.trim())) === name) return
          await page.keyboard.press("Tab")
        }
        throw new Error(`${name} can't be reached`)
      }
      yield* wait(() => reach("Log"))
      yield* wait(() => page.keyboard.press("Enter"))
      yield* wait(() => page.getByRole("button", { name: "file-2.txt" }).waitFor())
      yield* wait(() => reach("file-2.txt"))
      yield* wait(() => page.keyboard.press("Enter"))
      yield* wait(() => page.getByRole("article", { name: "the story of file-2.txt" }).waitFor())
      expectClean(watched)
    })
  )

  for (const [dark, width] of [
    [false, 1280],
    [true, 390]
  ] as const) {
    it.scopedLive(`has no violation that axe finds, ${dark ? "dark and narrow" : "light and wide"}`, () =>
      Effect.gen(function* () {
        const served = yield* serve(...config)
        served.project.put("a.png", "x")
        served.project.put("b.bad", "x")
        yield* wait(() => fill(served, 30))
        yield* logged(served, 32)
        const watched = yield* openPage(served.url, { dark, width })
        const { page } = watched
        const views: ReadonlyArray<readonly [hash: string, sign: string]> = [
          ["#/now", "article[aria-label^='destination']"],
          ["#/charts", ".chart canvas"],
          ["#/log", "table.log tbody tr"],
          ["#/explain?file=a.png", ".explanation"],
          ["#/config", ".code tr"]
        ]
        for (const [hash, sign] of views) {
          yield* wait(() => page.goto(`${served.url}/${hash}`))
          yield* wait(() => page.locator(sign).first().waitFor())
          if (hash === "#/log") {
            yield* wait(() => page.locator("table.log tbody button").first().click())
            yield* wait(() => page.locator(".story-facts").waitFor())
          }
          expect(yield* wait(() => accessibility(page)), `${hash} at ${width}`).toEqual([])
          // nothing but tables may be wider than the screen
          expect(
            yield* wait(() => page.evaluate(() => document.documentElement.scrollWidth)),
            hash
          ).toBeLessThanOrEqual(width)
        }
        expectClean(watched)
      })
    )
  }
})

/** Entries of the log that another program has stored: the last ones first. */
const fill = async (served: Served, count: number): Promise<void> => {
  for (let number = 0; number < count; number++) {
    const body = {
      filename: `file-${number}.txt`,
      source: "/elsewhere",
      destination: "file:///there",
      protocol: "file",
      status: number % 10 === 9 ? "FAILED" : "SUCCEEDED",
      byte_size: 1000 + number,
      duration_ms: 5 + number,
      route: number % 2 === 0 ? "pictures" : "other",
      reason: number % 10 === 9 ? "it was refused" : null,
      created: new Date(Date.now() - (count - number) * 10).toISOString()
    }
    const answer = await served.api("/api/v1/logs", { method: "POST", body: JSON.stringify(body) })
    if (answer.status !== 201) throw new Error(await answer.text())
  }
}
