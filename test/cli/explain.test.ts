import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import { Explanation } from "../../src/domain/Explanation.ts"
import { project } from "../e2e/project.ts"
import { harmful } from "./harmful.ts"
import * as Process from "./process.ts"

// each starts several processes, on machines that may be busy
vi.setConfig({ testTimeout: 120_000 })

const hostile = "a\nb\u001b[2J\u202egpj.\u0085.txt"
const shown = "a\\u{a}b\\u{1b}[2J\\u{202e}gpj.\\u{85}.txt"

const decode = (text: string) => Schema.decodeUnknownSync(Schema.parseJson(Schema.Array(Explanation)))(text)

const explain = (config: string, ...args: ReadonlyArray<string>) =>
  Effect.map(Process.run(["explain", "-c", config, "--json", ...args]), (ended) => {
    expect(ended.code, ended.stderr).toBe(0)
    return decode(ended.stdout)
  })

const setUp = project(
  "db: ./journal.db",
  "log: { level: WARNING }",
  "sources:",
  "  - { path: ./in, settle: 20ms, recursive: true, marker: '{name}.ok' }",
  "  - { path: ./other, name: other }",
  "folders:",
  "  - name: letters",
  "    path: ./letters/{who}",
  "    match: { content: { regex: '(?i)dear (?P<who>\\w+)' }, size: { max: 1KiB } }",
  "    compress: gzip",
  "    conflict: fail",
  "  - { path: ./texts, extensions: [txt] }",
  "  - { name: again, path: ./texts, match: { any: [{ glob: '**/*.txt' }, { mime: image/* }] } }"
)

describe("explain", () => {
  it.scopedLive("reads a file that is there, and of one that is not says what its name says", () =>
    Effect.gen(function* () {
      const { config, directory, inbox } = yield* setUp
      fs.writeFileSync(join(inbox, "mail"), "Dear Ada, hello")
      fs.writeFileSync(join(inbox, "mail.ok"), "")
      fs.writeFileSync(join(inbox, "alone.txt"), "no letter")
      const [mail, alone, absent, marker] = yield* explain(
        config,
        ...["mail", "alone.txt", "absent.txt", "mail.ok"].map((name) => join(inbox, name))
      )
      expect(mail).toMatchObject({
        file: "mail",
        exists: true,
        source: { name: "in", accepted: true },
        decided: true,
        locations: [`${directory}/letters/Ada/mail.gz`]
      })
      expect(mail?.source.predicates.at(-1)).toMatchObject({ predicate: "marker", had: "it is there", matched: true })
      expect(mail?.folders[0]).toMatchObject({
        matched: true,
        gets: true,
        locations: [{ transform: "compressed with gzip", conflict: "it is not sent, and the delivery fails" }]
      })
      expect(alone).toMatchObject({ exists: true, source: { accepted: false }, locations: [] })
      expect(alone?.summary).toContain("is not taken from in: marker wants")
      // its name alone is enough for one folder; the others depend on what is in it
      expect(absent).toMatchObject({ exists: false, decided: false, locations: [`${directory}/texts/absent.txt`] })
      expect(absent?.folders.map(({ gets, name }) => [name, gets])).toEqual([
        ["letters", null],
        ["texts", true],
        ["again", true]
      ])
      expect(absent?.folders[2]?.locations[0]).toMatchObject({ sameAs: "texts" })
      expect(marker).toMatchObject({ source: { accepted: false }, locations: [] })
    })
  )

  it.scopedLive("places a path: in a source, in no source, in the one that is named; what is no file", () =>
    Effect.gen(function* () {
      const { config, directory, inbox } = yield* setUp
      fs.writeFileSync(join(directory, "outside"), "Dear Bob, hello")
      fs.mkdirSync(join(inbox, "folder"))
      fs.symlinkSync(join(directory, "outside"), join(inbox, "link"))
      const [outside, relative] = yield* explain(config, join(directory, "outside"), "x/y.txt")
      expect(outside).toMatchObject({
        file: "outside",
        exists: true,
        source: { name: "in" },
        folders: [{ matched: true }, {}, {}]
      })
      expect(outside?.summary).toContain("judged as if it lay in in")
      expect(relative).toMatchObject({ file: "x/y.txt", exists: false, source: { name: "in", accepted: true } })
      const [named] = yield* explain(config, "--source", "other", join(inbox, "a.txt"))
      expect(named).toMatchObject({ file: "a.txt", source: { name: "other" } })
      const [folder, link] = yield* explain(config, join(inbox, "folder"), join(inbox, "link"))
      for (const [one, had] of [
        [folder, "a directory"],
        [link, "a link"]
      ] as const) {
        expect(one).toMatchObject({ exists: false, source: { accepted: false }, locations: [] })
        expect(one?.source.predicates.at(-1)).toMatchObject({ had, matched: false })
      }
      const wrong = yield* Process.run(["explain", "-c", config, "--source", "none", "a"])
      expect(wrong).toMatchObject({ code: 2, stdout: "" })
      expect(wrong.stderr).toContain("there is no source none; the sources are in, other")
      expect(yield* Process.run(["explain", "-c", config])).toMatchObject({ code: 2, stdout: "" })
    })
  )

  it.scopedLive("a name is harmless, and given back as it is shown it is the same file", () =>
    Effect.gen(function* () {
      const { config, inbox } = yield* setUp
      fs.writeFileSync(join(inbox, hostile), "Dear Eve\u202e, hello")
      fs.writeFileSync(join(inbox, `${hostile}.ok`), "")
      const human = yield* Process.run(["explain", "-c", config, join(inbox, hostile)])
      expect(human.code, human.stderr).toBe(0)
      expect(human.stdout).toContain(shown)
      expect(human.stdout).not.toMatch(harmful)
      const [raw, escaped] = yield* explain(config, join(inbox, hostile), join(inbox, shown))
      expect(raw).toMatchObject({ file: shown, exists: true })
      expect({ ...escaped, source: null }).toEqual({ ...raw, source: null })
    })
  )

  it.scopedLive("of a log entry: by the rules of its time, with what is known of the file", () =>
    Effect.gen(function* () {
      const { config, directory, inbox, once, put } = yield* setUp
      fs.mkdirSync(join(directory, "other"))
      put("mail.txt", "Dear Ada, hello")
      put("mail.txt.ok", "")
      expect((yield* once).code).toBe(0)
      const log = yield* Process.run(["logs", "-c", config, "--json"])
      const entries = yield* Schema.decodeUnknown(
        Schema.parseJson(Schema.Array(Schema.Struct({ id: Schema.String, route: Schema.String })))
      )(log.stdout)
      const id = entries.find(({ route }) => route === "letters")?.id ?? ""
      // neither the config nor the file is what it was
      fs.writeFileSync(config, fs.readFileSync(config, "utf8").replace(/folders:[^]*/, "folders: [{ path: ./else }]"))
      fs.rmSync(join(inbox, "mail.txt"))
      const [explanation, ...others] = yield* explain(config, "--log", id)
      expect(others).toEqual([])
      expect(explanation).toMatchObject({
        file: "mail.txt",
        source: { accepted: true },
        decided: true,
        locations: [`${directory}/letters/Ada/mail.txt.gz`, `${directory}/texts/mail.txt`]
      })
      expect(explanation?.folders.map(({ gets, matched, name }) => [name, matched, gets])).toEqual([
        ["letters", true, true],
        ["texts", true, true],
        ["again", true, false]
      ])
      // its text is not known any more, and nothing is said of it that nobody knows
      expect(explanation?.folders[0]?.predicates.find(({ predicate }) => predicate === "content")).toMatchObject({
        had: "unknown: it was not kept",
        matched: null
      })
      const missing = yield* Process.run(["explain", "-c", config, "--log", "0190f3a0-0000-7000-8000-000000000000"])
      expect(missing).toMatchObject({ code: 1, stdout: "" })
      expect(missing.stderr).toContain("There is no log entry with the id")
      const both = yield* Process.run(["explain", "-c", config, "--log", id, "a.txt"])
      expect(both).toMatchObject({ code: 2, stdout: "" })
    })
  )
})
