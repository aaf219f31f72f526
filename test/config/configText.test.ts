import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Config from "../../src/config/Config.ts"
import * as Process from "../cli/process.ts"

const shown = (text: string, env: Record<string, string> = {}) =>
  Effect.gen(function* () {
    const file = join(yield* Process.directory, "config.yml")
    writeFileSync(file, text)
    return Config.textOf(yield* Config.load(file, { env: { HOME: "/home/me", ...env } }))
  })

describe("the config file as it is shown", () => {
  it.scopedLive("is what was written, where there is no secret", () =>
    Effect.gen(function* () {
      const text = `# what comes in; mail: me@example.org, 10:30
source: ./in   # here
db: ./journal.db
folders:
  - path: ftp://user@host:2121/a@b
    extensions: [mp4, "flv"]
  - name: documents
    path: ./docs?x
`
      const { lines, marks } = yield* shown(text)
      expect(lines).toEqual(text.trimEnd().split("\n"))
      expect(marks).toEqual([
        { line: 2, what: "source", name: "in" },
        { line: 5, what: "folder", name: expect.any(String) },
        { line: 7, what: "folder", name: "documents" }
      ])
    })
  )

  it.scopedLive("has no secrets, wherever they stand; variables stay as they are written", () =>
    Effect.gen(function* () {
      const text = String.raw`sources:
  - { name: one, path: ./one }
  - ./two
db: ./journal.db
http: { token: tok-1234 } # token: old-5678
folders:
  # - path: ftp://me:old%20pass@host/x
  - path: ftp://me:p%40ss-w0rd@host/x?y
  - { path: "http://h/a?sig=s1gned-99", token: "a\x62c-defg" }
  - path: "http://u:esc\x61ped-1@h2/b"
  - path: http://h3/c
    headers:
      X-Key: 'it''s-a-k3y'
      X-Variable: ${"$"}{KEY}
      X-Default: ${"$"}{NONE:-fallb4ck}
    # headers:
    #   X-Old: gone-but-there
    #   X-Older: it's-a-k3y too
    # paths: here
  - path: sftp://u:${"$"}{PASS}@h4/d
    # the password was p@ss-w0rd, as base64 cEBzcy13MHJk
    passphrase: >-
      of two
      lines
    key: ./id
  - path: http://h5/e
    token: secret
  - path: http://h6/secret
  # password=hunter2 and tok-1234
`.replace("host/x?y", "host/x")
      const { lines, marks } = yield* shown(text, { KEY: "k3y-of-env", PASS: "pass-of-env" })
      expect(lines).toEqual(
        `sources:
  - { name: one, path: ./one }
  - ./two
db: ./journal.db
http: { token: *** } # token: ***
folders:
  # - path: ftp://me:***@host/x
  - path: ftp://me:***@host/x
  - { path: "http://h/a?***", token: *** }
  - path: ***
  - path: http://h3/c
    headers:
      X-Key: ***
      X-Variable: ${"$"}{KEY}
      X-Default: ***
    # headers:
    #   X-Old: ***
    #   X-Older: ***
    # paths: here
  - path: sftp://u:${"$"}{PASS}@h4/d
    # the password was ***, as base64 ***
    passphrase: ***


    key: ./id
  - path: http://h5/e
    token: ***
  - path: http://h6/secret
  # password=***`.split("\n")
      )
      expect(marks.map(({ line, what }) => `${what} ${line}`)).toEqual([
        "source 2",
        "source 3",
        ...[8, 9, 10, 11, 20, 26, 28].map((line) => `folder ${line}`)
      ])
    })
  )

  it.scopedLive("leaves anchors, and lines of Windows, no way out", () =>
    Effect.gen(function* () {
      const { lines } = yield* shown(
        [
          "source: ./in",
          "db: ./j.db",
          "folders:",
          "  - path: http://h/a",
          "    name: &t anchored-1",
          "  - { path: http://h2/b, token: *t }",
          ""
        ].join("\r\n")
      )
      expect(lines).toEqual([
        "source: ./in",
        "db: ./j.db",
        "folders:",
        "  - path: http://h/a",
        "    name: &t ***",
        "  - { path: http://h2/b, token: *t }"
      ])
    })
  )
})
