/**
 * What the config says of targets: schemes, their options and secrets, and what does not go together.
 */
import { NodeContext } from "@effect/platform-node"
import { FileSystem, Path } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Inspectable, Option, Redacted, type Scope } from "effect"
import * as Os from "node:os"
import * as Config from "../../src/config/Config.ts"
import type { RouteTarget } from "../../src/domain/Settings.ts"
import { saidOf } from "../../src/cli/TargetSaid.ts"

const env = { SSH_AUTH_SOCK: "/run/agent.sock", TOKEN: "t0ken", RATE: "2MiB/s", LF: "a\nX: b" }

const fingerprint = `SHA256:${"a1+/".repeat(10)}abc`

const write = Effect.fn(function* (folders: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const directory = yield* Effect.flatMap(fs.makeTempDirectoryScoped(), (made) => fs.realPath(made))
  const file = path.join(directory, "config.yml")
  yield* fs.writeFileString(file, `source: ./in\nfolders:\n${folders}`)
  return { directory, file }
})

const load = Effect.fn(function* (folders: string) {
  const { directory, file } = yield* write(folders)
  const { settings, warnings } = yield* Config.check(file, { env })
  const targets = settings.routes.flatMap((route) => route.targets)
  return { directory, settings, targets, warnings }
})

/** Each problem as `line:column path: message; expected`; the first folder stands in line 3. */
const problems = Effect.fn(function* (folders: string) {
  const { file } = yield* write(folders)
  const error = yield* Effect.flip(Config.load(file, { env }))
  for (const text of [error.message, JSON.stringify(error), Inspectable.toStringUnknown(error)]) {
    expect(text).not.toContain("hunter2")
  }
  return error.problems.map(
    ({ column, expected, line, message, path, text }) =>
      `${line}:${column} ${path}: ${text === "" ? "" : `"${text}": `}${message}; ${expected}`
  )
})

const it_ = (name: string, test: () => Effect.Effect<void, unknown, FileSystem.FileSystem | Path.Path | Scope.Scope>) =>
  it.scoped(name, () => Effect.provide(test(), NodeContext.layer))

const plain = (secret: Option.Option<Redacted.Redacted>) => Option.getOrUndefined(Option.map(secret, Redacted.value))

const secretsOf = ({ secrets }: RouteTarget) => ({
  password: plain(secrets.password),
  token: plain(secrets.token),
  passphrase: plain(secrets.passphrase),
  headers: secrets.headers.map(([name, value]) => [name, Redacted.value(value)])
})

describe("a target that is right", () => {
  it_("has its place, its port and its lane", () =>
    Effect.gen(function* () {
      const { targets } = yield* load(`
  - path: sftp://me:p%40w@Host.example/~/up loads/
  - path: sftp://host.example:2022/data
  - path: webdav://me@dav.example/remote.php/files/
  - path: webdavs://[::1]/x
  - path: s3://bucket
  - path: s3://AKIA1:sec%2Fret@Old_Bucket.x/a/b/
  - { path: "s3://bucket/c", endpoint: "https://S3.example:9000/base/", accessKey: AKIA2, secretKey: abc }
`)
      const places = targets.map(({ target: { host, lane, path, port, url, username } }) => [
        url,
        lane,
        host,
        port,
        username,
        path
      ])
      expect(places).toEqual([
        ["sftp://me@host.example/~/up%20loads", "sftp://me@host.example:22", "host.example", 22, "me", "~/up loads"],
        ["sftp://host.example:2022/data", "sftp://host.example:2022", "host.example", 2022, null, "/data"],
        [
          "webdav://me@dav.example/remote.php/files",
          "webdav://me@dav.example:80",
          "dav.example",
          80,
          "me",
          "/remote.php/files"
        ],
        ["webdavs://[::1]/x", "webdavs://[::1]:443", "::1", 443, null, "/x"],
        ["s3://bucket", "s3://bucket", "bucket", null, null, "/"],
        ["s3://AKIA1@Old_Bucket.x/a/b", "s3://AKIA1@Old_Bucket.x", "Old_Bucket.x", null, "AKIA1", "/a/b"],
        ["s3://AKIA2@bucket/c", "s3://AKIA2@s3.example:9000/bucket", "bucket", null, "AKIA2", "/c"]
      ])
      expect(targets.map((one) => secretsOf(one).password)).toEqual([
        "p@w",
        undefined,
        undefined,
        undefined,
        undefined,
        "sec/ret",
        "abc"
      ])
    })
  )

  it_("has every option, in the form that destinations take", () =>
    Effect.gen(function* () {
      const { directory, settings, targets, warnings } = yield* load(`
  - path: sftp://me@h/x
    key: ~/.ssh/id_of_nobody
    passphrase: hunter2
    agent: true
    knownHosts: ./hosts
    hostKey: ${fingerprint}=
    verify: hash
    names: portable
    bandwidth: { target: 1KiB/s, lane: "\${RATE}" }
    conflict: backup
  - { path: "sftp://me@h2/x", agent: run/agent, hostKey: accept-new, knownHosts: ./new, bandwidth: unlimited }
  - path: https://h/x/
    upload: raw
    conflict: newer
    headers: { X-B: hunter2, x-a: "\${TOKEN}" }
    token: "\${TOKEN}"
    idempotency: true
    expect: "true"
    bandwidth: 10 MiB/s
    ca: ca.pem
  - { path: "https://h3/x", upload: tus, verify: hash }
  - path: s3://key:hunter2@bucket/x
    region: eu-central-1
    endpoint: http://127.0.0.1:9000/
    pathStyle: false
    partSize: 5MiB
    sessionToken: hunter2-session
    conflict: rename
  - { path: "webdavs://h/x", headers: { X: y }, token: z, verify: size, conflict: fail }
  - { path: ./out, verify: hash, names: portable, bandwidth: { lane: 5GB/s, target: unlimited } }
`)
      const options = targets.map(({ target }) => target.options)
      expect(options[0]).toMatchObject({
        key: `${Os.homedir()}/.ssh/id_of_nobody`,
        agent: "SSH_AUTH_SOCK",
        knownHosts: `${directory}/hosts`,
        hostKey: fingerprint,
        verify: "hash",
        names: "portable",
        conflict: "backup"
      })
      expect(options[1]).toMatchObject({ agent: `${directory}/run/agent`, hostKey: "accept-new", names: "strict" })
      expect(options[2]).toMatchObject({
        upload: "raw",
        conflict: "newer",
        idempotency: true,
        expect: true,
        ca: `${directory}/ca.pem`
      })
      expect(options[3]).toMatchObject({ upload: "tus", verify: "hash" })
      expect(options[4]).toMatchObject({
        region: "eu-central-1",
        endpoint: "http://127.0.0.1:9000",
        pathStyle: false,
        partSize: 5 * 1024 ** 2,
        conflict: "rename"
      })
      expect(targets.map(({ bandwidth }) => bandwidth)).toEqual([
        { target: 1024, lane: 2 * 1024 ** 2 },
        { target: null, lane: null },
        { target: 10 * 1024 ** 2, lane: null },
        { target: null, lane: null },
        { target: null, lane: null },
        { target: null, lane: null },
        { target: null, lane: 5e9 }
      ])
      const none = { password: undefined, token: undefined, passphrase: undefined, headers: [] }
      expect(targets.map(secretsOf)).toEqual([
        { ...none, passphrase: "hunter2" },
        none,
        {
          ...none,
          token: "t0ken",
          headers: [
            ["x-a", "t0ken"],
            ["x-b", "hunter2"]
          ]
        },
        none,
        { ...none, password: "hunter2", token: "hunter2-session" },
        { ...none, token: "z", headers: [["x", "y"]] },
        none
      ])
      expect(warnings.map(({ message, path }) => [path, message.replace(/ \/.*\//, " …/")])).toEqual([
        ["folders[0].key", "there is no file …/id_of_nobody"],
        ["folders[0].knownHosts", "there is no file …/hosts"],
        ["folders[2].ca", "there is no file …/ca.pem"]
      ])
      const shown = JSON.stringify(settings) + Inspectable.toStringUnknown(settings) + targets.map(saidOf).join("\n")
      for (const secret of ["hunter2", "t0ken"]) expect(shown).not.toContain(secret)
      expect(targets.map(saidOf)).toEqual([
        expect.stringMatching(
          /^ \(conflict backup, verify hash, names portable, key .*, agent SSH_AUTH_SOCK, .* 1KiB\/s, bandwidth of its lane 2MiB\/s, with a passphrase\)$/
        ),
        expect.stringContaining("hostKey accept-new"),
        expect.stringMatching(
          /upload raw, idempotency, expect, ca .*, bandwidth 10MiB\/s, with a token, headers x-a and x-b\)$/
        ),
        " (verify hash, upload tus)",
        " (conflict rename, region eu-central-1, endpoint http://127.0.0.1:9000, pathStyle false, partSize 5MiB, with a secret key, with a session token)",
        " (conflict fail, verify size, with a token, headers x)",
        " (verify hash, names portable, bandwidth of its lane 5000000000/s)"
      ])
    })
  )

  it_("takes of its folder what its scheme knows, and its own before that", () =>
    Effect.gen(function* () {
      const { targets, warnings } = yield* load(`
  - headers: { X-One: a, X-Two: b }
    token: shared
    upload: raw
    ca: /nowhere.pem
    bandwidth: 1MiB/s
    paths:
      - ./out
      - http://h/x
      - { path: "https://h/x", headers: { x-two: c }, token: own, bandwidth: { lane: 1GiB/s } }
`)
      expect(targets.map((one) => [secretsOf(one).token, secretsOf(one).headers, one.target.options.ca])).toEqual([
        [undefined, [], null],
        [
          "shared",
          [
            ["x-one", "a"],
            ["x-two", "b"]
          ],
          "/nowhere.pem"
        ],
        [
          "own",
          [
            ["x-one", "a"],
            ["x-two", "c"]
          ],
          "/nowhere.pem"
        ]
      ])
      expect(targets.map(({ bandwidth }) => bandwidth.target)).toEqual([1024 ** 2, 1024 ** 2, null])
      // once, though two targets have it; and no word of http, for https has use for it
      expect(warnings.map(({ message }) => message)).toEqual(["there is no file /nowhere.pem"])
    })
  )

  it_("is told of what counts for nothing", () =>
    Effect.gen(function* () {
      const { warnings } = yield* load(`
  - { path: "http://h/x", ca: ../config.yml }
  - { path: "ftp://h/x", ca: ./config.yml }
  - { path: "ftp://h2/x", ca: ./config.yml, secure: explicit }
  - { path: "ftps://h/x", ca: ./config.yml }
`)
      expect(warnings.map(({ line, message }) => [line, message.replace(/ \/.*\//, " …/")])).toEqual([
        [4, "the connection is not encrypted, so that it counts for nothing"],
        [4, "there is no file …/config.yml"],
        [5, "the connection is not encrypted, so that it counts for nothing"]
      ])
    })
  )

  it_("may ask for an agent that is not there", () =>
    Effect.gen(function* () {
      const { file } = yield* write(`  - { path: "sftp://u@h/x", agent: true }\n`)
      const { warnings } = yield* Config.check(file, { env: {} })
      expect(warnings.map(({ message, path }) => [path, message])).toEqual([
        ["folders[0].agent", "the variable SSH_AUTH_SOCK is not set"]
      ])
    })
  )

  it_("may differ from others of its server where that is not of the connection", () =>
    Effect.gen(function* () {
      const { targets } = yield* load(`
  - { path: "https://h/a", headers: { X: a }, verify: auto }
  - { path: "https://h/b", headers: { X: b }, upload: raw, verify: size }
  - { path: "https://h/b", headers: { x: b }, upload: raw }
  - { path: "s3://bucket/x", endpoint: "http://one/" }
  - { path: "s3://bucket/y", endpoint: "http://two/" }
  - { path: "http://h:8080/?a" }
  - { path: "http://h:8080" }
`)
      expect(targets).toHaveLength(7)
    })
  )
})

describe("a target that is wrong", () => {
  const table: ReadonlyArray<readonly [string, string, ReadonlyArray<string>]> = [
    [
      "buckets",
      `
  - { path: "s3://" }
  - { path: "s3://localhost:9000/bucket" }
  - { path: "s3://10.0.0.1/bucket" }
  - { path: "s3://-a/x" }
  - { path: "s3://ab" }
  - { path: "s3://a..b" }
  - { path: "s3://key:hunter2/x@bucket/x" }
  - { path: "s3://bucket/x?y" }
`,
      [
        `4:13 folders[0].path: "s3://": a URL without a bucket; s3://bucket/prefix, with the server's address in endpoint, and %2F for a / in a secret key`,
        `5:13 folders[1].path: "s3://localhost:9000/bucket": a bucket has no port, this looks like a server; s3://bucket/prefix, with the server's address in endpoint, and %2F for a / in a secret key`,
        `6:13 folders[2].path: "s3://10.0.0.1/bucket": an IP address where the bucket stands; s3://bucket/prefix, with the server's address in endpoint, and %2F for a / in a secret key`,
        `7:13 folders[3].path: "s3://-a/x": not the name of a bucket; 3 to 63 characters of a-z 0-9 . and -, the first and last a letter or digit`,
        `8:13 folders[4].path: "s3://ab": not the name of a bucket; 3 to 63 characters of a-z 0-9 . and -, the first and last a letter or digit`,
        `9:13 folders[5].path: "s3://a..b": not the name of a bucket; 3 to 63 characters of a-z 0-9 . and -, the first and last a letter or digit`,
        `10:13 folders[6].path: "s3://key:…@bucket/x": a bucket has no port, this looks like a server; s3://bucket/prefix, with the server's address in endpoint, and %2F for a / in a secret key`,
        `11:13 folders[7].path: "s3://bucket/x?…": a ? ends a path; %3F for a ? in a password or path`
      ]
    ],
    [
      "bandwidth",
      `
  - { path: /a, bandwidth: 10MiB }
  - { path: /b, bandwidth: 5 }
  - { path: /c, bandwidth: 1000B/s }
  - { path: /d, bandwidth: { target: fast } }
  - { path: /e, bandwidth: { lanes: 1MiB/s } }
`,
      [
        `4:28 folders[0].bandwidth: "10MiB": not valid; unlimited, a size per second of at least 1KiB/s, such as 10MiB/s, or a map of target and lane`,
        `5:28 folders[1].bandwidth: "5": not valid; unlimited, a size per second of at least 1KiB/s, such as 10MiB/s, or a map of target and lane`,
        `6:28 folders[2].bandwidth: "1000B/s": not valid; unlimited, a size per second of at least 1KiB/s, such as 10MiB/s, or a map of target and lane`,
        `7:38 folders[3].bandwidth.target: "fast": not valid; unlimited, or a size per second of at least 1KiB/s, such as 10MiB/s`,
        `8:30 folders[4].bandwidth.lanes: "lanes": there is no such key, did you mean lane?; `
      ]
    ],
    [
      "verify, names, upload",
      `
  - { path: "http://h", verify: none, names: safe, upload: form }
`,
      [
        `4:33 folders[0].verify: "none": not valid; one of auto, size, hash`,
        `4:46 folders[0].names: "safe": not valid; one of strict, portable`,
        `4:60 folders[0].upload: "form": not valid; one of multipart, raw, tus`
      ]
    ],
    [
      "headers",
      `
  - path: http://h/x
    headers:
      Host: hunter2
      content-length: "1"
      "X Y": hunter2
      "Authorization: Bearer hunter2": ""
      X-A: hunter2
      x-a: hunter2
  - { path: "http://h/y", headers: { X: 5 } }
  - { path: "http://h/z", headers: { X: "hunter2\\nY: z" } }
  - { path: "http://h/v", headers: "Authorization: hunter2" }
  - { path: "http://h/w", headers: [ "Authorization: hunter2" ] }
  - { path: "http://h/t", headers: { X: "\${LF}" } }
  - { path: "http://h/u", headers: { X: "hunter2 €" } }
`,
      [
        `6:7 folders[0].headers.Host: "Host": this header field is not the config's to set; any other; it is made by the connection`,
        `7:7 folders[0].headers.content-length: "content-length": this header field is not the config's to set; any other; it is made by the connection`,
        `8:7 folders[0].headers.X…: "X…": not the name of a header field; letters, digits and -, such as X-Api-Key`,
        `9:7 folders[0].headers.Authorization…: "Authorization…": not the name of a header field; letters, digits and -, such as X-Api-Key`,
        `11:7 folders[0].headers.x-a: "x-a": the header field is there twice; each field once`,
        `12:41 folders[1].headers.X: not valid; a text (in quotes, if it looks like a number)`,
        `13:41 folders[2].headers.X: a control character, or a line end, in a header field; one line of text`,
        `14:36 folders[3].headers: not valid; a map of header names and texts, such as { X-Api-Key: "…" }`,
        `15:36 folders[4].headers: a list can't stand here; a map of header names and texts, such as { X-Api-Key: "…" }`,
        `16:41 folders[5].headers.X: a control character, or a line end, in a header field; one line of text`,
        `17:41 folders[6].headers.X: a character that a header field can't have; ASCII, with %XX or base64 for all else`
      ]
    ],
    [
      "two ways to say who it is",
      `
  - { path: "https://u:hunter2@h/x", token: hunter2 }
  - { path: "https://h2/x", token: hunter2, headers: { authorization: hunter2 } }
  - { path: "webdav://u:hunter2@h3/x", headers: { Authorization: hunter2 } }
  - { path: "s3://abc:hunter2@bucket/x", secretKey: hunter2 }
  - { path: "s3://abc:hunter2@bucket2/x", accessKey: abc }
  - { path: "s3://bucket3/x", secretKey: hunter2 }
  - { path: "https://h4/x", token: "hunter2\\n" }
`,
      [
        `4:45 folders[0].token: the URL has a user as well; only one of the two`,
        `5:56 folders[1].headers.authorization: "authorization": there is a token as well; only one of the two`,
        `6:51 folders[2].headers.Authorization: "Authorization": the URL has a user as well; only one of the two`,
        `7:53 folders[3].secretKey: the URL has a secret key as well; only one of the two`,
        `8:54 folders[4].accessKey: "abc": the URL has an access key as well; only one of the two`,
        `9:42 folders[5].secretKey: a secret key without its access key; accessKey, or neither of them: then the usual variables count (AWS_ACCESS_KEY_ID and so on)`,
        `10:36 folders[6].token: a control character, or a line end, in a header field; one line of text`
      ]
    ],
    [
      "keys and fingerprints",
      `
  - { path: "sftp://u@h/x", hostKey: "SHA256:abc" }
  - { path: "sftp://u@h1/x", hostKey: "16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48" }
  - { path: "sftp://u@h2/x", hostKey: "ssh-ed25519 AAAA" }
  - { path: "sftp://u@h3/x", key: id.pub }
  - { path: "sftp://u@h4/x", key: "-----BEGIN KEY-----\\nhunter2" }
  - { path: "sftp://u@h5/x", passphrase: hunter2 }
  - { path: "sftp://u@h6/x", agent: [] }
`,
      [
        `4:38 folders[0].hostKey: "SHA256:abc": not a fingerprint; SHA256: and 43 characters, as ssh-keygen -lf shows it; or accept-new`,
        `5:39 folders[1].hostKey: "16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48": an MD5 fingerprint proves nothing any more; SHA256: and 43 characters, as ssh-keygen -lf shows it; or accept-new`,
        `6:39 folders[2].hostKey: "ssh-ed25519 AAAA": it is a key itself; SHA256: and 43 characters, as ssh-keygen -lf shows it; or accept-new`,
        `7:35 folders[3].key: "id.pub": it is the public half of a key; the path of the private one, without .pub`,
        `8:35 folders[4].key: "-----BEGIN…": it is a key itself; the path of a file with the key in it`,
        `9:42 folders[5].passphrase: a passphrase without a key; key: with the key's file`,
        `10:37 folders[6].agent: an empty list; true, or the path of a socket`
      ]
    ],
    [
      "s3's options",
      `
  - { path: "s3://abc", endpoint: "minio:9000", region: "eu central", partSize: 1MiB, pathStyle: maybe }
  - { path: "s3://abd", endpoint: "https://k:hunter2@minio:9000" }
  - { path: "s3://abe", endpoint: "https://minio/?x", partSize: 6GiB }
`,
      [
        `4:35 folders[0].endpoint: "minio:9000": not the URL of a service; https://host:port; the keys stand in accessKey and secretKey, the bucket in path`,
        `4:57 folders[0].region: "eu central": not a region; letters, digits and -, such as eu-central-1`,
        `4:81 folders[0].partSize: "1MiB": not valid; a size from 5MiB to 5GiB`,
        `4:98 folders[0].pathStyle: "maybe": not valid; true or false`,
        `5:35 folders[1].endpoint: "https://k:…@minio:9000": a log-in can't stand in an endpoint; https://host:port; the keys stand in accessKey and secretKey, the bucket in path`,
        `6:35 folders[2].endpoint: "https://minio/?…": not the URL of a service; https://host:port; the keys stand in accessKey and secretKey, the bucket in path`,
        `6:65 folders[2].partSize: "6GiB": not valid; a size from 5MiB to 5GiB`
      ]
    ],
    [
      "options of another scheme",
      `
  - { path: "sftp://u@h/x", region: a, headers: { X: y } }
  - { paths: [ { path: "webdav://h", ca: x, upload: raw }, { path: "s3://abc", token: hunter2 } ] }
  - { path: ./out, key: x }
  - { path: "http://h", upload: tus, method: PUT }
`,
      [
        `4:37 folders[0].region: "a": region means nothing to sftp; region for s3 only`,
        `4:49 folders[0].headers: headers means nothing to sftp; headers for http, https, webdav and webdavs only`,
        `5:42 folders[1].paths[0].ca: "x": ca means nothing to webdav; ca for http, https, ftp, ftps, webdavs and s3 only`,
        `5:53 folders[1].paths[0].upload: "raw": upload means nothing to webdav; upload for http and https only`,
        `5:87 folders[1].paths[1].token: token means nothing to s3; token for http, https, webdav and webdavs only`,
        `6:25 folders[2].key: "x": key means nothing to file; key for sftp only`,
        `7:46 folders[3].method: "PUT": upload: tus has methods of its own; no method, or upload: raw`
      ]
    ],
    [
      "other connections to one server",
      `
  - { path: "sftp://u@h/a", key: k1, passphrase: hunter2 }
  - { path: "sftp://u@h/b", key: k2, passphrase: hunter2 }
  - { path: "sftp://u@h/c", key: k1, passphrase: hunter2x }
  - { path: "sftp://u@h/d", key: k1, passphrase: hunter2, hostKey: accept-new }
  - { path: "https://h/a", token: hunter2 }
  - { path: "https://h/b" }
  - { path: "https://h/c", token: hunter2, ca: x }
`,
      [
        `5:13 folders[1].path: "sftp://u@h/b": the same user at the same server has another key in folders[0].path; one key for it everywhere`,
        `6:13 folders[2].path: "sftp://u@h/c": the same user at the same server has another passphrase in folders[0].path; one passphrase for it everywhere`,
        `7:13 folders[3].path: "sftp://u@h/d": the same user at the same server has another hostKey in folders[0].path; one hostKey for it everywhere`,
        `9:13 folders[5].path: "https://h/b": the same server has another token in folders[4].path; one token for it everywhere`,
        `10:13 folders[6].path: "https://h/c": the same server has another ca in folders[4].path; one ca for it everywhere`
      ]
    ],
    [
      "other secrets for one URL",
      `
  - { path: "https://h/a", headers: { X: hunter2 } }
  - { path: "https://h/a", headers: { X: hunter2y } }
  - { path: "https://h/a" }
  - { path: "s3://bucket/x", endpoint: "http://one/" }
  - { path: "s3://bucket/x", endpoint: "http://two/" }
  - { path: "s3://bucket/x" }
  - { path: "s3://bucket/y", endpoint: "https://one:80" }
  - { paths: [ "s3://bucket3/x", { path: "s3://bucket3/x" } ] }
  - { path: "ftps://u:hunter2@h/x" }
  - { path: "ftps://u:hunter2z@h/x", secure: explicit }
`,
      [
        `5:13 folders[1].path: "https://h/a": it differs from folders[0].path in its headers only; the same headers for the same URL`,
        `6:13 folders[2].path: "https://h/a": it differs from folders[0].path in its headers only; the same headers for the same URL`,
        `8:13 folders[4].path: "s3://bucket/x": it is the same bucket and prefix as folders[3].path, at another endpoint; a prefix of its own, or another access key, for each endpoint`,
        `9:13 folders[5].path: "s3://bucket/x": it is the same bucket and prefix as folders[3].path, at another endpoint; a prefix of its own, or another access key, for each endpoint`,
        `11:42 folders[7].paths[1].path: "s3://bucket3/x": this folder has it already; each target once`,
        `13:13 folders[9].path: "ftps://u:…@h/x": it is the same URL as folders[8].path, with another password; one password for it everywhere`
      ]
    ]
  ]

  for (const [name, folders, expected] of table) {
    it_(name, () =>
      Effect.gen(function* () {
        expect(yield* problems(folders)).toEqual(expected)
      })
    )
  }
})
