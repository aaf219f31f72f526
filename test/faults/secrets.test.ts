/**
 * Secrets appear nowhere but in the config and on the wire: searched for in every form, in everything that the program
 * writes, answers and starts, while servers accept them, refuse them, and say them back.
 */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import Database from "better-sqlite3"
import fs from "node:fs"
import { join } from "node:path"
import * as Process from "../cli/process.ts"
import { freePort } from "../servers/process.ts"
import { startSshServer } from "../servers/ssh.ts"
import { makeKey } from "../servers/openssh.ts"
import { ask, attacked, auth, connection, send } from "./attack.ts"
import { tried } from "./report.ts"
import { filesOf, find, needles, processesOf } from "./secrets.ts"
import { startEchoingFtp, startEchoingHttp } from "./secretsServers.ts"

/** Distinct, so that each tells where it comes from, and hard to quote. */
const secrets = {
  "the FTP password": "fTp:p@ss/wörd?#1%&=+",
  "the refused FTP password": 'fTpNo"<p@ss>wörd1',
  "the SFTP password": "sFtp p@ss'wörd\\1",
  "the HTTP password": "hTtp:p@ss/wörd 7",
  "the refused HTTP password": "hTtpNo:p@ss/wörd 7",
  "the WebDAV password": "dAv$p@ss;wörd,7~x",
  "the bearer token": "bEarer-t0ken_x7qWzz.9",
  "the bearer token of an echo": "bEarer-echo_y8pVaa.3",
  "a header's value": "hEader-valu3 with words=;",
  "the query of a pre-signed URL": "pReSigned0123456789abcdefX",
  "the S3 key of the config": "s3C0nfig/Secret+Key0123456789abcdefghijk",
  "the S3 key of a URL": "s3Url/Secret+Key9876543210abcdefghijklm",
  "the S3 session token": "s3Sess1on//token==zzyyxx0099",
  "the S3 key of the environment": "s3Env/Secret+Key5555555555abcdefghijkl",
  "the key's passphrase": "pAss phrase of the k3y",
  "the wrong passphrase": "wR0ng phrase of the key",
  "the token of the API": "aPi-t0ken_Zz19.kk~",
  "a variable": "vAriable-s3cret_8831",
  "the variable of a broken config": "bRoken-s3cret-qq7712"
}

const enc = encodeURIComponent

it.scopedLive("secrets are found nowhere: accepted, refused, echoed, in broken configs and in all that is shown", () =>
  Effect.gen(function* () {
    const wanted = needles(secrets)
    const http = yield* startEchoingHttp
    // each is a lane of its own
    const others = yield* Effect.all({
      bearer: startEchoingHttp,
      echo: startEchoingHttp,
      signed: startEchoingHttp,
      env: startEchoingHttp
    })
    const ftp = yield* startEchoingFtp(false)
    const ftpLater = yield* startEchoingFtp(true)
    const ssh = yield* startSshServer()
    const closed = yield* freePort
    const keys = yield* Process.directory
    const key = makeKey(keys, "key", "ed25519", secrets["the key's passphrase"])
    const web = (path: string, login = "") => `http://${login}127.0.0.1:${http.port}/${path}`
    const quick = "retry: { attempts: 1, base: 10ms, cap: 10ms }, timeout: 5s"
    const quote = (text: string) => JSON.stringify(text)
    const folders = [
      `{ name: ftp-refused, path: ${quote(`ftp://user:${enc(secrets["the refused FTP password"])}@127.0.0.1:${ftp.port}/in`)}, ${quick} }`,
      `{ name: ftp-later, path: ${quote(`ftp://user:${enc(secrets["the FTP password"])}@127.0.0.1:${ftpLater.port}/in`)}, ${quick} }`,
      `{ name: ftp-down, path: ${quote(`ftp://down:${enc(secrets["the FTP password"])}@127.0.0.1:${closed}/in`)}, ${quick} }`,
      `{ name: sftp, path: ${quote(`sftp://user:${enc(secrets["the SFTP password"])}@127.0.0.1:${ssh.port}/in`)}, hostKey: ${quote(ssh.fingerprint)}, ${quick} }`,
      `{ name: sftp-unknown, path: ${quote(`sftp://unknown:${enc(secrets["the SFTP password"])}@127.0.0.1:${ssh.port}/in`)}, ${quick} }`,
      `{ name: sftp-key, path: "sftp://key@127.0.0.1:${ssh.port}/in", hostKey: ${quote(ssh.fingerprint)}, key: ${quote(key)}, passphrase: ${quote(secrets["the key's passphrase"])}, ${quick} }`,
      `{ name: sftp-wrong, path: "sftp://wrong@127.0.0.1:${ssh.port}/in", hostKey: ${quote(ssh.fingerprint)}, key: ${quote(key)}, passphrase: ${quote(secrets["the wrong passphrase"])}, ${quick} }`,
      ...["401", "403", "404", "500", "redirect", "ok"].map(
        (path) =>
          `{ name: http-${path}, path: ${quote(web(`${path}/a`, `user-${path}:${enc(secrets["the HTTP password"])}@`))}, upload: raw, ${quick} }`
      ),
      `{ name: multipart, path: ${quote(web("500/form", `form:${enc(secrets["the HTTP password"])}@`))}, ${quick} }`,
      `{ name: tus, path: ${quote(web("500/tus", `tus:${enc(secrets["the HTTP password"])}@`))}, upload: tus, ${quick} }`,
      `{ name: bearer, path: "http://127.0.0.1:${others.bearer.port}/ok/b", upload: raw, token: ${quote(secrets["the bearer token"])}, ${quick} }`,
      `{ name: bearer-echo, path: "http://127.0.0.1:${others.echo.port}/500/b", upload: raw, token: ${quote(secrets["the bearer token of an echo"])}, headers: { X-Secret: ${quote(secrets["a header's value"])}, X-Variable: "\${A_SECRET}" }, ${quick} }`,
      `{ name: presigned, path: "http://127.0.0.1:${others.signed.port}/403/object?X-Amz-Signature=${secrets["the query of a pre-signed URL"]}", upload: raw, ${quick} }`,
      `{ name: http-down, path: ${quote(`http://user:${enc(secrets["the refused HTTP password"])}@127.0.0.1:${closed}/x`)}, upload: raw, ${quick} }`,
      `{ name: https-none, path: ${quote(`https://user:${enc(secrets["the refused HTTP password"])}@127.0.0.1:${http.port}/x`)}, upload: raw, ${quick} }`,
      `{ name: webdav, path: ${quote(`webdav://user:${enc(secrets["the WebDAV password"])}@127.0.0.1:${http.port}/500/dav`)}, ${quick} }`,
      `{ name: webdav-401, path: ${quote(`webdav://other:${enc(secrets["the WebDAV password"])}@127.0.0.1:${http.port}/401/dav`)}, ${quick} }`,
      `{ name: s3-config, path: "s3://403/config", endpoint: "http://127.0.0.1:${http.port}", region: r, accessKey: AKIDCONFIG, secretKey: ${quote(secrets["the S3 key of the config"])}, sessionToken: ${quote(secrets["the S3 session token"])}, ${quick} }`,
      `{ name: s3-url, path: ${quote(`s3://AKIDURL:${enc(secrets["the S3 key of a URL"])}@500/url`)}, endpoint: "http://127.0.0.1:${http.port}", region: r, ${quick} }`,
      `{ name: s3-env, path: "s3://400/env", endpoint: "http://127.0.0.1:${others.env.port}", region: r, ${quick} }`,
      // nothing matches it, but documents are read by children for it
      `{ name: documents, path: ./documents, match: { content: "nothing of the kind" } }`,
      `{ name: local, path: ./out, compress: gzip }`
    ]
    const env = {
      A_SECRET: secrets["a variable"],
      AWS_ACCESS_KEY_ID: "AKIDENV",
      AWS_SECRET_ACCESS_KEY: secrets["the S3 key of the environment"],
      HOME: keys
    }
    const token = secrets["the token of the API"]
    const found: Array<string> = []
    let searched = 0
    const search = (name: string, content: string | Buffer) => {
      searched += 1
      found.push(...find({ [name]: content }, wanted))
    }
    const victim = yield* attacked({
      token,
      folders,
      env,
      args: ["--log-level", "TRACE"]
    })
    const { config, directory, monitor, port, running } = victim
    const headers = auth(token)
    const events = yield* connection(port)
    events.socket.write(`GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`)
    let children = 0
    const look = () => {
      const seen = processesOf(running.pid)
      children = Math.max(children, seen.children)
      for (const [name, content] of Object.entries(seen.places)) search(name, content)
      for (const [name, content] of Object.entries(filesOf(directory))) {
        // where they are meant to be
        if (!name.endsWith(".yml")) search(name, content)
      }
    }
    victim.put("a.txt", "some text")
    victim.put("b.pdf", `%PDF-1.4\n${"x".repeat(1_000)}`)
    victim.put("c.docx", Buffer.concat([Buffer.from("PK\x03\x04"), Buffer.alloc(2_000)]))
    // every folder that has anything to do with the network has failed, or delivered, all three
    const states = () => {
      const database = new Database(victim.db, { readonly: true })
      try {
        return database
          .prepare<[], { name: string; seen: number }>(
            "SELECT route AS name, SUM(state IN ('DELIVERED','DEAD','BLOCKED','AMBIGUOUS','SKIPPED') OR attempts > 0) AS seen FROM deliveries GROUP BY route"
          )
          .all()
      } catch {
        return []
      } finally {
        database.close()
      }
    }
    let looks = 0
    yield* Process.until(
      () => {
        if (looks++ % 25 === 0) look()
        return (
          states().filter(({ seen }) => seen >= 1).length === folders.length - 1 &&
          children > 0 &&
          http.seen.some((text) => text.includes(secrets["the S3 session token"]))
        )
      },
      () => `${children} children, ${JSON.stringify(states())} ${running.stderr().slice(-3_000)}`,
      120
    )
    // the servers did get them, or their absence shows nothing
    const wire = [http, ...Object.values(others), ftp, ftpLater].flatMap(({ seen }) => seen).join("\n")
    const sent = Object.entries(secrets).filter(
      ([name, secret]) => find({ wire }, needles({ [name]: secret })).length > 0
    )
    expect(sent.map(([name]) => name)).toEqual([
      "the FTP password",
      "the refused FTP password",
      "the HTTP password",
      "the WebDAV password",
      "the bearer token",
      "the bearer token of an echo",
      "a header's value",
      "the query of a pre-signed URL",
      "the S3 session token",
      "a variable"
    ])

    // everything that the API shows, by everything that it can be asked for
    const ids = new Set<string>()
    for (const path of ["/api/v1/logs", "/api/v1/deliveries"]) {
      const answer = yield* ask(port, { path, headers })
      for (const [, id = ""] of answer.body.matchAll(/"id":"?([\w-]+)"?/g)) ids.add(`${path}/${id}`)
    }
    for (const path of [
      ...victim.calls
        .filter(({ method, template }) => method === "GET" && !template.includes("{"))
        .map(({ path }) => path),
      ...Array.from(ids),
      ...Array.from(ids, (id) => `${id}/explain`).filter((id) => id.includes("logs")),
      "/nothing"
    ]) {
      search(`GET ${path}`, (yield* ask(port, { path, headers })).text)
      search(`GET ${path}, no token`, (yield* ask(port, { path })).text)
    }
    for (const [path, body] of [
      ["/api/v1/explain", JSON.stringify({ file: join(victim.inbox, "a.txt") })],
      ["/api/v1/explain", JSON.stringify({ file: "/proc/self/environ" })],
      ["/api/v1/explain", JSON.stringify({ file: config })],
      ["/api/v1/deliveries/retry", ""],
      ["/api/v1/deliveries/retry?reroute=true", ""],
      ["/api/v1/reload", ""]
    ] as const) {
      search(`POST ${path}`, (yield* ask(port, { method: "POST", path, body, headers })).text)
    }
    // the file as it is shown is whole, but for them
    const shown = yield* ask(port, { path: "/api/v1/config", headers })
    expect(shown.body).toContain("name: ftp-refused")
    expect(shown.body.match(/\*\*\*/g)?.length).toBeGreaterThan(20)

    // the original tool's clients report their targets with their passwords
    const reported = yield* ask(port, {
      method: "POST",
      path: "/api/v1/logs",
      headers,
      body: JSON.stringify({
        filename: "a",
        source: "/in",
        destination: `ftp://user:${enc(secrets["the FTP password"])}@h/x`,
        protocol: "ftp",
        status: "FAILED",
        byte_size: 1
      })
    })
    expect(reported.status).toBe(201)
    search("POST /api/v1/logs", reported.text)
    search(
      "the monitor",
      (yield* send(monitor, "ps\nlanes\nsources\nconfig\ndeliveries\nquit\n", { patience: 20 })).text
    )

    // a broken config, that says what is wrong with what
    const good = fs.readFileSync(config, "utf8")
    const broken = [
      `  - { path: "ftp://user:${secrets["the variable of a broken config"]}@@h:x/in" }`,
      `  - { path: "http://h/x", token: ["${secrets["the variable of a broken config"]}"] }`,
      `  - { path: "http://h/x", headers: { "X Y": "${secrets["the variable of a broken config"]}" } }`,
      `  - { path: "nope://u:${secrets["the variable of a broken config"]}@h/x", passphrase: 7 }`,
      `  - { path: "sftp://u:${secrets["the variable of a broken config"]}@h/%zz" }`,
      `  - { path: "http://h/x?sig=${secrets["the variable of a broken config"]}#frag" }`,
      `  - { path: "s3://AK:${secrets["the variable of a broken config"]}@", secretKey: "${secrets["the variable of a broken config"]}" }`,
      `  - { path: "http://h/x", token: "${secrets["the variable of a broken config"]}\\n" }`,
      `http: { token: { a: "${secrets["the variable of a broken config"]}" } }`
    ]
    for (const line of broken) {
      fs.writeFileSync(config, `${good}\n${line}\n`)
      const reload = yield* ask(port, { method: "POST", path: "/api/v1/reload", headers })
      expect([line, reload.status]).toEqual([line, 409])
      search(`the reload of ${line}`, reload.text)
      search("GET /api/v1/status", (yield* ask(port, { path: "/api/v1/status", headers })).text)
    }
    const checked = yield* Process.run(["check", "-c", config], { env })
    search("check of a broken config", checked.stdout + checked.stderr)
    fs.writeFileSync(config, good)

    // the commands, while it runs and after
    const doctor = ["doctor", `ftp://user:${enc(secrets["the refused FTP password"])}@127.0.0.1:${ftp.port}/in`]
    const commands: ReadonlyArray<ReadonlyArray<string>> = [
      ["check", "-c", config, "--probe"],
      ["doctor", "-c", config, "--json"],
      doctor,
      ["explain", "-c", config, join(victim.inbox, "a.txt"), "--json"],
      ["diff", "-c", config, config],
      ["logs", "-c", config, "--json"],
      ["logs", "-c", config],
      ["retry", "-c", config, "--all"],
      ["reload", "-c", config],
      ["-c", config, "--dry-run"],
      ["-c", config, "--nonsense"],
      ["-c", config, "--once"]
    ]
    yield* Effect.forEach(
      commands,
      (args) =>
        Effect.map(Process.run(args, { env }), ({ stderr, stdout }) => {
          // a command that says nothing shows nothing
          expect([args.join(" ").slice(0, 60), (stdout + stderr).length > 0]).toEqual([
            args.join(" ").slice(0, 60),
            true
          ])
          search(`the output of ${args.slice(0, 3).join(" ").slice(0, 60)}`, stdout + stderr)
        }),
      { concurrency: 3 }
    )
    look()
    yield* running.kill("SIGKILL")
    yield* running.ended
    look()
    search("the events", events.text())
    search("stdout", running.stdout())
    search("stderr", running.stderr())

    expect(Array.from(new Set(found))).toEqual([])
    tried({
      section: "attack",
      what: `${Object.keys(secrets).length} secrets of every kind, accepted, refused and echoed by servers, in broken configs and in every command`,
      happened: `searched for in ${wanted.length} forms in ${searched} outputs, answers, files and processes: none found`,
      counts: { secrets: 0 }
    })
  })
)
