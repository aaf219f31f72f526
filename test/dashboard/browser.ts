/**
 * The built program with its dashboard in a real browser: Debian's Chromium, without a window. Every page is watched: a
 * request that leaves its origin, an error in the console or in a script fails the test that made it.
 */
import AxeModule from "axe-core"
import { afterAll, beforeAll, expect } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import fs from "node:fs"
import { chromium, type Browser, type Page } from "playwright-core"
import * as Process from "../cli/process.ts"
import { project, type Project } from "../e2e/project.ts"
import { freePort } from "../servers/process.ts"

const executable = process.env["CHROMIUM"] ?? "/usr/bin/chromium"
/** Why these tests are skipped, if so. */
export const noBrowser = fs.existsSync(executable) ? "" : " (skipped: there is no chromium)"

/** One for all tests of a file: they have a page each, which share nothing. */
let browser: Promise<Browser> | undefined
if (noBrowser === "") {
  beforeAll(() => {
    browser = chromium.launch({
      executablePath: executable,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync"
      ]
    })
  })
  afterAll(async () => (await browser)?.close())
}

export interface Watched {
  readonly page: Page
  /** What should not have happened, so far. */
  readonly faults: ReadonlyArray<string>
}

export interface PageOptions {
  readonly dark?: boolean
  readonly width?: number
  /** What the browser says of requests that fail on purpose. */
  readonly allowed?: RegExp
}

/** A page of its own at that address, and what it did that it should not. */
export const openPage = (url: string, { allowed, dark = false, width = 1280 }: PageOptions = {}) =>
  Effect.gen(function* () {
    const page = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        if (browser === undefined) throw new Error("there is no browser")
        return (await browser).newPage({
          viewport: { width, height: 900 },
          colorScheme: dark ? "dark" : "light",
          timezoneId: "Europe/Berlin",
          locale: "en-GB"
        })
      }),
      (opened) => Effect.promise(() => opened.close())
    )
    const faults: Array<string> = []
    const fault = (text: string) => {
      if (allowed?.test(text) !== true) faults.push(text)
    }
    const { origin } = new URL(url)
    page.on("request", (request) => {
      const to = request.url()
      if (!to.startsWith(`${origin}/`) && !to.startsWith("data:") && !to.startsWith("blob:")) fault(`asked ${to}`)
    })
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") fault(`console: ${message.text()}`)
    })
    page.on("pageerror", (error) => fault(`script: ${error.message}`))
    page.on("dialog", (dialog) => {
      fault(`a dialog: ${dialog.message()}`)
      void dialog.dismiss()
    })
    page.setDefaultTimeout(20_000)
    yield* Effect.promise(() => page.goto(url))
    return { page, faults } satisfies Watched
  })

export interface Served {
  readonly project: Project
  readonly url: string
  readonly api: (path: string, init?: RequestInit) => Promise<Response>
  readonly running: Process.Running
  /** Starts it at the same place, after it has ended. */
  readonly again: Effect.Effect<Process.Running, never, Scope.Scope>
}

export const token = "a-token-of-the-test"

/** The built program with these lines of config, as soon as its page answers. */
export const serve = (...lines: ReadonlyArray<string>): Effect.Effect<Served, never, Scope.Scope> =>
  Effect.gen(function* () {
    const port = yield* freePort
    const made = yield* project(...lines)
    const url = `http://127.0.0.1:${port}`
    const start = Effect.gen(function* () {
      const running = yield* Process.filedispatch(["-c", made.config, "--no-monitor", "-P", String(port)])
      yield* Process.until(
        () => running.stderr().includes("is watched"),
        () => running.stderr() || "it says nothing"
      )
      return running
    })
    const running = yield* start
    const api = (path: string, init: RequestInit = {}) =>
      fetch(`${url}${path}`, {
        ...init,
        headers: { "content-type": "application/json", authorization: `Bearer ${token}` }
      })
    return { project: made, url, api, running, again: start }
  })

/** Waits for a promise of the browser's. */
export const wait = <A>(run: () => Promise<A>): Effect.Effect<A> => Effect.promise(run)

/** By axe-core: what WCAG 2.1 A and AA ask for, and its best practices. */
export const accessibility = async (page: Page): Promise<ReadonlyArray<string>> => {
  await page.evaluate(AxeModule.source)
  return await page.evaluate(async () => {
    const axe: unknown = Reflect.get(globalThis, "axe")
    if (typeof axe !== "object" || axe === null) return ["axe is not there"]
    const run: unknown = Reflect.get(axe, "run")
    if (typeof run !== "function") return ["axe is not there"]
    const { passes, violations } = await run.call(axe, document)
    if (passes.length < 10) return [`only ${passes.length} rules were tried`]
    return violations.flatMap(
      (violation: { id: string; nodes: ReadonlyArray<{ html: string; failureSummary: string }> }) =>
        violation.nodes.map(({ failureSummary, html }) => `${violation.id}: ${html.slice(0, 200)}: ${failureSummary}`)
    )
  })
}

/** That the page did nothing that it should not. */
export const expectClean = ({ faults }: Watched): void => expect(faults).toEqual([])
