/**
 * The README against the program: its configs are valid, and it leaves out no config key and no call of the API.
 */
import { OpenApi } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Config from "../src/config/Config.ts"
import { ConfigFile, FolderEntry, SourceEntry } from "../src/config/ConfigFile.ts"
import { Api } from "../src/http/Api.ts"
import { LogEntry } from "../src/domain/LogEntry.ts"
import { DeliveryState } from "../src/domain/Delivery.ts"

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8")
/** What the examples take from the environment. */
const env = {
  FTP_PASSWORD: "p@ss/w",
  AGE_RECIPIENT: "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
}

const configs = Array.from(readme.matchAll(/^```yaml\n([^]*?)^```$/gm), ([, text = ""]) => text)

/** Those of the words that the README does not have in `code`. */
const missing = (words: ReadonlyArray<string>) => {
  const code = new Set(
    Array.from(readme.matchAll(/`([^`\n]+)`/g), ([, text = ""]) => text).flatMap((text) => text.split(/[ ,.:{}?]+/))
  )
  return words.filter((word) => !code.has(word))
}

describe("the README", () => {
  it.scoped("has configs that are right as they stand", () =>
    Effect.gen(function* () {
      expect(configs.length).toBeGreaterThan(0)
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "filedispatch-readme-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true }))
      )
      for (const [index, text] of configs.entries()) {
        const file = join(directory, `${index}.yml`)
        writeFileSync(file, text)
        const { settings, warnings } = yield* Config.check(file, { env })
        expect(settings.routes.length).toBeGreaterThan(0)
        // the keys and authorities that an example names are on no machine but its reader's
        expect(warnings.filter(({ message }) => !message.startsWith("there is no file "))).toEqual([])
      }
    })
  )

  it("names every key of the config", () => {
    const sections = ["http", "monitor", "log"] as const
    const keys = [ConfigFile, SourceEntry, FolderEntry].flatMap((schema) => Object.keys(schema.fields))
    expect(missing(keys)).toEqual([])
    for (const section of sections) expect(readme).toContain(`| \`${section}.`)
  })

  it("names every call of the API, every state, and every field of a log entry", () => {
    const paths = Object.keys(OpenApi.fromApi(Api).paths).map((path) => path.replace("/api/v1", ""))
    expect(
      paths.filter((path) => !readme.includes(path) && !readme.includes(path.replace("/deliveries/{id}", "")))
    ).toEqual([])
    expect(missing(DeliveryState.literals)).toEqual([])
    expect(missing(Object.keys(LogEntry.fields))).toEqual([])
  })
})
