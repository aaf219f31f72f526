/** What is written: injection in every parameter, questions about files elsewhere, and names that are no harmless text. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import fs from "node:fs"
import { join } from "node:path"
import { harmful } from "../cli/harmful.ts"
import * as Process from "../cli/process.ts"
import { list } from "../e2e/project.ts"
import { ask, attacked, connection, send } from "./attack.ts"
import { tried } from "./report.ts"

const hostile = [
  "' OR '1'='1",
  "'; DROP TABLE logs; --",
  '" OR ""="',
  "1 UNION SELECT sql FROM sqlite_master",
  "1; ATTACH DATABASE '/tmp/x' AS x",
  "%",
  "_",
  "%25",
  "*",
  "[a-z]",
  "a%00b",
  "-1",
  "0",
  "00000001",
  "1e3",
  "1e309",
  "-1e309",
  "NaN",
  "Infinity",
  "0x10",
  "9007199254740993",
  "99999999999999999999999999",
  "1.5",
  "%D9%A1%D9%A2",
  "%EF%BC%91",
  "+1",
  "%201",
  "%c0%af",
  "%ff%fe",
  "%ed%a0%80",
  "%zz",
  "%",
  "null",
  "undefined",
  "__proto__",
  "constructor",
  "{{7*7}}",
  "${7*7}",
  "<script>alert(1)</script>",
  "2026-02-31",
  "9999-99-99",
  "-271822-01-01",
  "2026-01-01T00:00:00Z",
  "../../../../etc/passwd",
  "W10",
  Buffer.from('["-created","x",-1]').toString("base64url"),
  Buffer.from('["-created","\' OR 1=1",1e308]').toString("base64url"),
  Buffer.from('["byte_size",1e309,0]').toString("base64url"),
  "a".repeat(5_000)
]

it.scopedLive("no parameter is more than a value: each is refused in a sentence, or matches nothing", () =>
  Effect.gen(function* () {
    const victim = yield* attacked()
    const { calls, port } = victim
    const entry = {
      filename: "kept.txt",
      source: "/in",
      destination: "file:///o",
      protocol: "file",
      status: "SUCCEEDED",
      byte_size: 7
    }
    yield* ask(port, { method: "POST", path: "/api/v1/logs", body: JSON.stringify(entry) })
    const requests = calls.flatMap(({ method, path, query, template }) => [
      ...query.flatMap((name) => [
        ...hostile.map((value) => ({ method, path: `${path}?${name}=${value.replaceAll(" ", "%20")}`, loose: false })),
        ...["[]=1", "[0]=1", "=1&" + name + "=2", "%00=1", ".x=1", "=", ""].map((rest) => ({
          method,
          path: `${path}?${name}${rest}`,
          loose: true
        }))
      ]),
      ...(template.includes("{")
        ? hostile.map((value) => ({
            method,
            path: template.replace(/\{\w+\}/g, value.replaceAll(" ", "%20").replaceAll("/", "%2f")),
            loose: false
          }))
        : [])
    ])
    expect(requests.length).toBeGreaterThan(500)
    const faults = yield* Effect.forEach(
      requests.filter(({ method, path }) => !(method === "GET" && /^\/api\/v1\/(events|live)/.test(path))),
      ({ method, path }) =>
        Effect.map(ask(port, { method, path }), ({ body, status, took }) => {
          const wrong: Array<string> = []
          if (status === 0 || status >= 500) wrong.push(`status ${status}`)
          if (status >= 400 && !/^\{"detail":"[^]*"\}$/.test(body)) wrong.push("no detail")
          if (/SQLITE_|SqliteError|syntax error|at .*\.js:\d+|node:internal/.test(body)) wrong.push("shows the inside")
          if (body.length > 5_000 && !path.includes("/schema")) wrong.push(`${body.length} characters`)
          // a filter by text is equality: of the one entry nothing but its own values is true
          if (
            method === "GET" &&
            /^\/api\/v1\/logs\?(filename|source|destination|protocol|extension)=[^&]+$/.test(path) &&
            body !== "[]" &&
            status === 200
          )
            wrong.push("it matches")
          if (took > 15_000) wrong.push(`${took} ms`)
          return wrong.length === 0 ? [] : [{ method, path: path.slice(0, 200), wrong, body: body.slice(0, 200) }]
        }),
      { concurrency: 8 }
    )
    expect(faults.flat()).toEqual([])
    expect((yield* ask(port, { path: "/api/v1/logs" })).body).toContain('"filename":"kept.txt"')
    tried({
      section: "attack",
      what: "SQL, wildcards, NUL, numbers beyond all, foreign digits, overlong encodings and forged cursors in every parameter",
      happened: `${requests.length} requests: none failed inside, none matched what it should not, the log is whole`
    })
  })
)

it.scopedLive("explain says nothing of what lies outside the sources", () =>
  Effect.gen(function* () {
    const { directory, inbox, port } = yield* attacked({
      folders: [
        '{ name: secret, path: ./out, match: { content: "root" } }',
        "{ name: rest, path: ./rest, match: { size: { min: 1 } } }"
      ]
    })
    const outside = join(directory, "outside.txt")
    fs.writeFileSync(outside, "root:secret")
    fs.symlinkSync(outside, join(inbox, "link.txt"))
    fs.symlinkSync(directory, join(inbox, "folder"))
    fs.symlinkSync("loop", join(inbox, "loop"))
    execFileSync("mkfifo", [join(directory, "outside.pipe"), join(inbox, "pipe")])
    fs.closeSync(fs.openSync(join(directory, "huge"), "w"))
    fs.truncateSync(join(directory, "huge"), 2 ** 40)
    const explain = (file: string) =>
      Effect.gen(function* () {
        const answer = yield* ask(port, {
          method: "POST",
          path: "/api/v1/explain",
          body: JSON.stringify({ file }),
          patience: 30
        })
        expect([file, answer.status === 200 || answer.status === 400], answer.body).toEqual([file, true])
        return answer.body
      })
    // a name that is there, and one of the same length that is not: the answers differ in nothing but the name
    const absent = (path: string) => path.replace(/[^/](?=[^/]*$)/, "Q")
    const places = [
      outside,
      join(directory, "outside.pipe"),
      join(directory, "huge"),
      join(directory, "config.yml"),
      join(directory, "journal.db"),
      "/etc/shadow",
      "/etc/passwd",
      "/proc/self/environ",
      "/dev/zero",
      "/dev/tty",
      `${inbox}/../outside.txt`,
      `${inbox}/../../../../../../etc/shadow`,
      `${inbox}/x/../../outside.txt`,
      join(inbox, "link.txt", "..", "..", "outside.txt"),
      join(inbox, "folder", "outside.txt")
    ]
    for (const path of places) {
      const there = yield* explain(path)
      const name = (text: string) => text.slice(text.lastIndexOf("/") + 1)
      const gone = (yield* explain(absent(path))).replaceAll(name(absent(path)), name(path))
      expect([path, there.replaceAll(absent(path), path)]).toEqual([path, gone.replaceAll(absent(path), path)])
    }
    for (const path of ["link.txt", "pipe", "loop"]) {
      const text = yield* explain(join(inbox, path))
      expect([path, /root:secret|"predicate":"content"[^}]*"matched":true|"had":"11/.test(text)]).toEqual([path, false])
    }
    expect((yield* ask(port, { path: "/healthz" })).status).toBe(200)
    tried({
      section: "attack",
      what: "explain, asked for /etc/shadow, /proc, devices, pipes, links and paths with .. outside the sources",
      happened: `${places.length} places, each answered like one that is not there`
    })
  })
)

it.scopedLive("names and entries of any text are inert in the API, events, metrics, logs and pages", () =>
  Effect.gen(function* () {
    const names = [
      "line\nbreak\r\n.txt",
      "data\n\nevent: owned\ndata: {}\n\n.txt",
      "\u001b[2J\u001b]0;owned\u0007.txt",
      "<script>alert(1)</script>",
      '"><img src=x onerror=alert(1)>.txt',
      "\u202egnp.exe\u2066\u2069",
      "quote'\"`\\.txt",
      'label"} 1\nfiledispatch_owned 1',
      "${A}{{7*7}}%n%s.txt"
    ].map((name) => name.replaceAll("/", "\u2215"))
    const victim = yield* attacked({
      folders: ["{ name: out, path: ./out }", "{ name: refused, path: ./refused, conflict: fail }"],
      lines: ["log: { level: DEBUG, format: json }"]
    })
    const { calls, directory, inbox, monitor, port, running } = victim
    fs.mkdirSync(join(directory, "refused"))
    for (const name of names) fs.writeFileSync(join(directory, "refused", name), "taken")
    const events = yield* connection(port)
    events.socket.write("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    yield* Process.until(
      () => events.text().includes("events follow"),
      () => events.text()
    )
    for (const name of names) fs.writeFileSync(join(inbox, name), "x")
    yield* Process.until(
      () => list(join(directory, "out")).length === names.length && events.text().split("DEAD").length > names.length,
      () => `${list(join(directory, "out")).join()} ${events.text().slice(-500)}`
    )
    for (const name of names) {
      const body = JSON.stringify({
        filename: name,
        source: name,
        destination: `ftp://user:pass@h/${name}`,
        protocol: name,
        worker: name,
        reason: name,
        status: "FAILED",
        byte_size: 1
      })
      expect((yield* ask(port, { method: "POST", path: "/api/v1/logs", body })).status).toBe(201)
    }
    // an event is its two lines and an empty one, and there are no others than ours
    const stream = Buffer.from(
      events
        .text()
        .replace(/^[^]*?\r\n\r\n/, "")
        .replace(/[0-9a-f]+\r\n([^]*?)\r\n(?=[0-9a-f]+\r\n|$)/g, "$1"),
      "latin1"
    ).toString()
    const blocks = stream.split("\n\n").filter((block) => block.trim() !== "")
    expect(blocks.filter((block) => !/^(: [a-z ]+|event: delivery\ndata: \{[^\n]*\})$/.test(block.trim()))).toEqual([])
    // a log line is JSON
    const lines = running.stderr().trim().split("\n")
    for (const line of lines.filter((one) => !one.startsWith("{"))) expect(line).toBe("(no JSON)")
    for (const line of lines) expect(() => JSON.parse(line)).not.toThrow()
    for (const { path } of calls.filter(
      (call) => call.method === "GET" && !call.template.includes("{") && !/\/(events|live)$/.test(call.path)
    )) {
      const { body, headers } = yield* ask(port, { path })
      if (path === "/metrics") {
        expect(body).not.toMatch(/^filedispatch_owned/m)
        expect(
          body
            .split("\n")
            .filter((line) => !/^(#.*|filedispatch_\w+(\{(\w+="(?:[^"\\\n]|\\["\\n])*",?)*\})? \S+|)$/.test(line))
        ).toEqual([])
      } else if (headers.get("content-type")?.startsWith("text/html") === true) {
        // but for the dashboard's own script, of which there is one
        const rest = body.replace(/<script type="module" src="\/dashboard\/[\w-]+\.js"><\/script>/, "")
        expect([path, /<script|onerror|https?:\/\/|src=|@import/i.test(rest)]).toEqual([path, false])
      } else {
        expect([path, headers.get("content-type")?.startsWith("application/json")]).toEqual([path, true])
        expect(() => JSON.parse(body)).not.toThrow()
      }
    }
    const console = (yield* send(monitor, "deliveries\nlanes\nps\nquit\n", { patience: 20 })).text
    const table = yield* Process.run(["logs", "-c", victim.config])
    // by the program's own entries; what others have posted is shown, too
    for (const [where, text] of Object.entries({
      console: Buffer.from(console, "latin1").toString(),
      table: table.stdout.replaceAll("\t", "")
    })) {
      expect([where, harmful.exec(text.replaceAll("\ufffd", ""))?.[0]]).toEqual([where, undefined])
    }
    tried({
      section: "attack",
      what: "file names and posted entries with line ends, escapes, markup, quotes and turned directions",
      happened: `${names.length} names: one line each in the log, one event each in the stream, labels escaped, no markup in a page`
    })
  })
)
