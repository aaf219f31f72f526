import { NodeContext } from "@effect/platform-node"
import { FileSystem, Path } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Inspectable, Option, Redacted, type Scope } from "effect"
import * as Os from "node:os"
import * as Config from "../../src/config/Config.ts"
import { ConfigFile, defaults, FolderEntry, SourceEntry } from "../../src/config/ConfigFile.ts"
import { matchKeys } from "../../src/config/MatchFile.ts"

const env = { HOME_DIR: "data", EMPTY: "", PASS: "p/a@s:s%41", PORT: "8080", TRUE: "true", YAML: "x\nhttp: {port: 1}" }

/** A config in a directory of its own. */
const write = Effect.fn(function* (content: string | Uint8Array) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const directory = yield* Effect.flatMap(fs.makeTempDirectoryScoped(), (made) => fs.realPath(made))
  const file = path.join(directory, "config.yml")
  yield* typeof content === "string" ? fs.writeFileString(file, content) : fs.writeFile(file, content)
  return { directory, file }
})

const load = Effect.fn(function* (content: string, overrides: Config.Overrides = {}) {
  const { directory, file } = yield* write(content)
  return { directory, settings: yield* Config.load(file, { env, ...overrides }) }
})

/** Each problem as `line:column path: message`. */
const problems = Effect.fn(function* (content: string | Uint8Array, overrides: Config.Overrides = {}) {
  const { file } = yield* write(content)
  const error = yield* Effect.flip(Config.load(file, { env, ...overrides }))
  return error.problems.map(({ column, line, message, path }) => `${line}:${column} ${path}: ${message}`)
})

const recipient = "age1wfhndvn5435zw2celfzhftxpn4fpv7n84x3t4y9kcaaug3akzpeqalgfup"

const it_ = (name: string, test: () => Effect.Effect<void, unknown, FileSystem.FileSystem | Path.Path | Scope.Scope>) =>
  it.scoped(name, () => Effect.provide(test(), NodeContext.layer))

const original = `source: /home/me/downloads
folders:
  - path: ftp://user:password@ftp.example.org/home/user/videos
    extensions: [mp4, flv, avi, mov, wmv, webm, mkv]
  - path: https://server/documents/audios
    extensions: [mp3, wav, ogg]
    fieldname: document
  - path: file:///tmp/documents/ebooks
    extensions: [pdf, djvu, epub]
  - path: /tmp/documents/images
    extensions: [png, jpg, jpeg, gif, svg]
`

describe("a config that is right", () => {
  it_("may be the original tool's file", () =>
    Effect.gen(function* () {
      const { settings } = yield* load(original)
      expect(settings.sources).toMatchObject([
        {
          ...defaults.source,
          name: "downloads",
          path: "/home/me/downloads",
          after: { _tag: "Keep" },
          onDead: { _tag: "Keep" }
        }
      ])
      expect(settings.routes.map((route) => route.name)).toEqual(["videos", "audios", "ebooks", "images"])
      const [videos, audios, ebooks, images] = settings.routes.map((route) => route.targets[0]?.target)
      expect(videos).toMatchObject({
        url: "ftp://user@ftp.example.org/home/user/videos",
        scheme: "ftp",
        lane: "ftp://user@ftp.example.org:21",
        host: "ftp.example.org",
        port: 21,
        username: "user",
        path: "/home/user/videos",
        options: { ...defaults.target, method: null, secure: "none" }
      })
      expect(audios).toMatchObject({
        url: "https://server/documents/audios",
        lane: "https://server:443",
        port: 443,
        username: null,
        options: { fieldname: "document", upload: "multipart" }
      })
      expect(ebooks).toMatchObject({
        url: "/tmp/documents/ebooks",
        scheme: "file",
        path: "/tmp/documents/ebooks",
        host: "",
        port: null
      })
      expect(images).toMatchObject({ path: "/tmp/documents/images" })
      expect(images?.lane).toMatch(/^file:\//)
      expect(settings.http).toMatchObject({ host: "127.0.0.1", port: 3001, token: Option.none() })
      expect(settings.monitor).toEqual(defaults.monitor)
      expect(settings.log).toEqual({ ...defaults.log, file: undefined })
      expect(settings.durability).toBe("power")
    })
  )

  it_("finds the password again, and shows it nowhere", () =>
    Effect.gen(function* () {
      const { settings } = yield* load(`source: ./in
folders:
  - path: ftp://me:s%40cret%2F1@Host.example:2121/~/up%20loads/
  - path: https://h.example/up?key=hidden42
http: { token: tok3n }
`)
      const [ftp, http] = settings.routes.map((route) => route.targets[0])
      expect(ftp?.target).toMatchObject({
        url: "ftp://me@host.example:2121/~/up%20loads",
        path: "~/up loads",
        host: "host.example",
        port: 2121,
        lane: "ftp://me@host.example:2121"
      })
      expect(http?.target.url).toBe("https://h.example/up?…")
      const secrets = Option.getOrThrow(Config.secretsFor(settings, ftp?.target.url ?? ""))
      expect(Redacted.value(Option.getOrThrow(secrets.password))).toBe("s@cret/1")
      const query = Option.getOrThrow(Option.getOrThrow(Config.secretsFor(settings, "https://h.example/up?…")).query)
      expect(Redacted.value(query)).toBe("?key=hidden42")
      expect(Config.secretsFor(settings, "ftp://other/")).toEqual(Option.none())
      const shown = JSON.stringify(settings) + Inspectable.toStringUnknown(settings)
      for (const secret of ["s@cret", "s%40cret", "hidden42", "tok3n"]) expect(shown).not.toContain(secret)
    })
  )

  it_("has every key", () =>
    Effect.gen(function* () {
      const { directory, settings } = yield* load(`sources:
  - path: ./in
    name: inbox
    recursive: true
    include: ["**/*.pdf"]
    exclude: []
    settle: 0s
    watch: poll
    pollInterval: 500ms
    rescan: 1h30m
    marker: "{name}.ok"
    minAge: 1m
    symlinks: follow
    after: { archive: "./done/{date:yyyy}/{relpath}", keepFor: 30d }
    onDead: { move: failed/ }
  - { path: ~/other, settle: 0, after: delete }
dispatch: first
folders:
  - name: all
    paths:
      - ./out
      - { path: "ftps://h/x", secure: explicit, conflict: rename, retry: { attempts: 2 } }
      - { path: "ftps://h2/x" }
      - { path: "http://h3", upload: raw, method: put, conflict: overwrite, concurrency: 9 }
    extensions: [PDF, .Tar.gz, 7, 001]
    priority: -10
    order: oldest
    conflict: skip
    retry: { base: 0s, factor: 1.5, cap: 1d }
    concurrency: 2
    timeout: 5
http: { host: 0.0.0.0, port: 0, token: secret }
monitor: false
log: { level: warn, format: json, file: log/x.log, rotate: { size: 1GB, keep: 0 }, retain: 2w }
db: state/x.db
durability: crash
`)
      expect(settings.sources).toEqual([
        {
          name: "inbox",
          path: `${directory}/in`,
          recursive: true,
          include: ["**/*.pdf"],
          exclude: [],
          settle: 0,
          marker: "{name}.ok",
          minAge: 60_000,
          watch: "poll",
          pollInterval: 500,
          rescan: 5_400_000,
          symlinks: "follow",
          after: {
            _tag: "Archive",
            template: `${directory}/done/{date:yyyy}/{relpath}`,
            keepFor: 30 * 86_400_000
          },
          onDead: { _tag: "Move", template: `${directory}/failed/{relpath}` }
        },
        {
          ...defaults.source,
          name: "other",
          path: `${Os.homedir()}/other`,
          settle: 0,
          after: { _tag: "Delete" },
          onDead: { _tag: "Keep" }
        }
      ])
      expect(settings.dispatch).toBe("first")
      expect(settings.routes[0]).toMatchObject({ rules: [], otherwise: false, priority: -10, order: "oldest" })
      expect(settings.routes[0]?.extensions).toEqual(["pdf", "tar.gz", "7", "001"])
      const targets = settings.routes[0]?.targets.map((one) => one.target)
      expect(targets?.map(({ lane, port, url }) => [url, lane.replace(/^file:.*/, "file"), port])).toEqual([
        [`${directory}/out`, "file", null],
        ["ftps://h/x", "ftps://h:21", 21],
        ["ftps://h2/x", "ftps://h2:990", 990],
        ["http://h3", "http://h3:80", 80]
      ])
      expect(
        targets?.map(({ options }) => [options.conflict, options.secure, options.concurrency, options.timeout])
      ).toEqual([
        ["skip", "none", 2, 5000],
        ["rename", "explicit", 2, 5000],
        ["skip", "implicit", 2, 5000],
        ["overwrite", "none", 9, 5000]
      ])
      expect(targets?.[1]?.options.retry).toEqual({ attempts: 2, base: 0, factor: 1.5, cap: 86_400_000 })
      expect(targets?.[3]?.options).toMatchObject({ upload: "raw", method: "PUT" })
      expect(settings.http).toMatchObject({ host: "0.0.0.0", port: 0 })
      expect(settings.monitor.enabled).toBe(false)
      expect(settings.log).toEqual({
        level: "WARNING",
        format: "json",
        file: `${directory}/log/x.log`,
        rotate: { size: 1e9, keep: 0 },
        retain: 1_209_600_000
      })
      expect(settings.db).toBe(`${directory}/state/x.db`)
      expect(settings.durability).toBe("crash")
    })
  )

  it_("takes variables as values, never as YAML, and those in a login literally", () =>
    Effect.gen(function* () {
      const { directory, settings } =
        yield* load(`source: { path: "./\${HOME_DIR}", recursive: "\${TRUE}", name: "\${YAML}" }
folders:
  - path: ftp://me:\${PASS}@h/\${NONE:-x}/$$1
http: { port: \${PORT}, token: \${NONE:-abc} }
log: { level: "\${EMPTY:-debug}" }
`)
      expect(settings.sources[0]).toMatchObject({ path: `${directory}/data`, recursive: true, name: env.YAML })
      expect(settings.http.port).toBe(8080)
      expect(settings.log.level).toBe("DEBUG")
      const target = settings.routes[0]?.targets[0]
      expect(target?.target).toMatchObject({ host: "h", path: "/x/$1" })
      expect(Option.map(target?.secrets.password ?? Option.none(), Redacted.value)).toEqual(Option.some(env.PASS))
    })
  )

  it_("gives way to the command line", () =>
    Effect.gen(function* () {
      const overrides = {
        host: "::1",
        port: 1,
        db: "/d/x.db",
        logFile: "/d/x.log",
        logLevel: "ERROR",
        move: true
      } as const
      const { settings } = yield* load(original, overrides)
      expect(settings).toMatchObject({
        http: { host: "::1", port: 1 },
        db: "/d/x.db",
        log: { file: "/d/x.log", level: "ERROR" }
      })
      expect(settings.sources[0]?.after).toEqual({ _tag: "Delete" })
    })
  )

  it_("has a database of its own in the state directory", () =>
    Effect.gen(function* () {
      const one = yield* load(original, { env: { XDG_STATE_HOME: "/state" } })
      const two = yield* load(original, { env: { XDG_STATE_HOME: "/state" } })
      const home = yield* load(original, { env: {} })
      expect(one.settings.db).toMatch(/^\/state\/filedispatch\/config-[0-9a-f]{8}\.db$/)
      expect(two.settings.db).not.toBe(one.settings.db)
      expect(home.settings.db.startsWith(`${Os.homedir()}/.local/state/filedispatch/config-`)).toBe(true)
    })
  )

  it_("may name a scheme that an embedding app brings", () =>
    Effect.gen(function* () {
      const { settings } = yield* load("source: ./in\nfolders: [{path: 'memo://box/x'}]\n", {
        schemes: { memo: ["overwrite"] }
      })
      expect(settings.routes[0]?.targets[0]?.target).toMatchObject({
        scheme: "memo",
        host: "box",
        lane: "memo://box",
        path: "/x"
      })
    })
  )

  it_("is all that the example says in its comments", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const example = yield* fs.readFileString("config.example.yml")
      const all = example.slice(example.indexOf("# sources:")).replace(/^# ?/gm, "")
      const names = Array.from(all.matchAll(/\$\{([A-Z0-9_]+)\}/g), ([, name = ""]) => [name, "x"])
      const { file } = yield* write(all.replace("SHA256:…", `SHA256:${"x".repeat(43)}`))
      const settings = yield* Config.load(file, { env: { ...Object.fromEntries(names), AGE_RECIPIENT: recipient } })
      expect(settings.routes.flatMap((route) => route.targets).map(({ target }) => target.scheme)).toEqual([
        "ftp",
        "file",
        "file",
        "https",
        "sftp",
        "webdavs",
        "s3",
        "file"
      ])
      const said = new Set(Array.from(all.matchAll(/([A-Za-z]+):/g), ([, key = ""]) => key))
      const keys = [
        ...[ConfigFile, SourceEntry, FolderEntry].flatMap(({ fields }) => Object.keys(fields)),
        ...matchKeys
      ]
      expect(keys.filter((key) => !said.has(key) && key !== "source" && key !== "db")).toEqual([])
    })
  )

  it_("is the example, and warns of what is hardly meant", () =>
    Effect.gen(function* () {
      const settings = yield* Config.load("config.example.yml")
      expect(settings.routes).toHaveLength(3)
      const { file } = yield* write(
        "source: [./a, {path: ., recursive: true, after: keep}]\nfolders: [{path: /out, extensions: [a, .A]}]\ndb: /x.db\n"
      )
      const { warnings } = yield* Config.check(file, { env })
      expect(warnings.map(({ line, message, path }) => [line, path, message])).toEqual([
        [2, "folders[0].extensions[1]", "it is in this list twice"],
        [1, "source[1].path", "this config lies in it, and is excluded by itself: config.yml"],
        [1, "source[0]", "it lies in source[1].path, so that its files are taken twice"]
      ])
    })
  )
})

const minimal = "source: ./in\nfolders: [{path: /out}]\n"

describe("a config that is wrong", () => {
  const table: ReadonlyArray<readonly [string, string | Uint8Array, ReadonlyArray<string>]> = [
    ["empty", "", ["1:1 : the file is empty"]],
    ["only a comment", "# x\n", ["1:1 : the file is empty"]],
    ["a list", "- a\n", ["1:1 : not a map of keys and values"]],
    ["not UTF-8", Uint8Array.from([0x61, 0x3a, 0x0a, 0x20, 0xff]), ["2:2 : the file is not UTF-8 text"]],
    ["a tab", "source: ./a\nfolders:\n\t- path: x\n", ["3:1 : a tab as indentation"]],
    ["an open quote", 'source: "abc\n', ['2:1 : not YAML: Missing closing "quote']],
    ["a key twice", `${minimal}source: ./b\n`, ["3:1 source: the key is there twice"]],
    ["no such anchor", "source: *x\n", ["1:9 : no such anchor"]],
    ["two documents", `${minimal}---\na: 1\n`, ["3:1 : more than one document"]],
    ["a tag", "source: !x a\n", ["1:9 : a tag that means nothing here"]],
    ["nothing in it", "db: ./x.db\n", ["1:1 folders: it is missing", "1:1 source: it is missing"]],
    ["source and sources", `${minimal}sources: ./b\n`, ["3:1 sources: source is there as well"]],
    ["no folders", "source: ./in\nfolders: []\n", ["2:10 folders: an empty list"]],
    ["folders with nothing", "source: ./in\nfolders:\n", ["2:9 folders: nothing stands here"]],
    [
      "unknown keys",
      `${minimal}folder: 1\nxyz: 1\n`,
      ["3:1 folder: there is no such key, did you mean folders?", "4:1 xyz: there is no such key"]
    ],
    [
      "wrong types",
      "source: 5\nfolders: x\ndb: [1]\n",
      [
        "1:9 source: a number can't stand here (quotes make it text)",
        "2:10 folders: not valid",
        "3:5 db: a list can't stand here"
      ]
    ],
    [
      "an unset variable",
      `source: "./\${NOPE}"\nfolders: [{path: \${1}}]\n`,
      ["1:12 source: the variable NOPE is not set", "2:18 folders[0].path: not a variable"]
    ],
    [
      "bad globs",
      "source: {path: ./in, include: ['[a'], exclude: ['/x', '']}\nfolders: [{path: /out}]\n",
      [
        "1:32 source.include[0]: an unclosed [",
        "1:49 source.exclude[0]: it can match nothing: the path is relative to the source",
        "1:55 source.exclude[1]: an empty glob"
      ]
    ],
    [
      "names alike",
      "sources: [{path: ./a, name: x}, {path: ./b, name: x}]\nfolders: [{path: /a, name: y}, {path: /b, name: y}]\n",
      [
        '1:51 sources[1].name: there is another source with the name "x"',
        '2:49 folders[1].name: there is another folder with the name "y"'
      ]
    ],
    [
      "one directory twice",
      "sources: [./a, {path: a/}]\nfolders: [{path: /out}]\n",
      ["1:23 sources[1].path: it is the same directory as sources[0]"]
    ],
    [
      "an unknown scheme",
      "source: ./in\nfolders: [{path: gopher://h/x}]\n",
      ["2:18 folders[0].path: there is no destination for gopher:"]
    ],
    [
      "no host",
      "source: ./in\nfolders: [{path: 'ftp:///x'}, {path: 'http:/x'}, {path: 'sftp:/x'}, {path: 'webdavs:x'}, {path: 's3:b'}]\n",
      [
        "2:18 folders[0].path: a URL without a host",
        "2:38 folders[1].path: a URL without its ://",
        "2:57 folders[2].path: a URL without its ://",
        "2:76 folders[3].path: a URL without its ://",
        "2:97 folders[4].path: a URL without its ://"
      ]
    ],
    [
      "a port out of range",
      "source: ./in\nfolders: [{path: 'ftp://h:70000/x'}]\nhttp: {port: 65536}\n",
      ["2:18 folders[0].path: the port is out of range", "3:14 http.port: not valid"]
    ],
    [
      "bad percent-encoding",
      "source: ./in\nfolders: [{path: 'ftp://u%zz:p@h/x'}, {path: 'ftp://u:p%zz@h/x'}, {path: 'ftp://u:p@h/%zz'}, {path: 'ftp://u:p@h/%0d%0aDELE'}]\n",
      [
        "2:18 folders[0].path: a bad percent-encoding in the user",
        "2:46 folders[1].path: a bad percent-encoding in the password",
        "2:74 folders[2].path: a bad percent-encoding in the path",
        "2:101 folders[3].path: a control character in the path"
      ]
    ],
    [
      "a password that was not encoded",
      "source: ./in\nfolders: [{path: 'ftp://u:p/q@h/x'}, {path: 'ftp://u:p#q@h/x'}, {path: 'u:p@h'}]\n",
      [
        "2:18 folders[0].path: not a host and port",
        "2:45 folders[1].path: a # ends a URL",
        "2:72 folders[2].path: it looks like a URL without a scheme"
      ]
    ],
    [
      "policies that can't be kept",
      `source: ./in
folders:
  - {path: 'ftp://h/x', conflict: newer}
  - {paths: ['http://h/x', /y], conflict: skip}
  - {path: 'https://h/x', conflict: backup, upload: raw}
  - {path: 'https://h/y', conflict: skip, upload: raw, method: POST}
  - {path: 'https://h/z', conflict: fail, upload: tus}
  - {path: 'https://h/v?a', conflict: fail, upload: raw}
  - {path: 'https://h/v/?a', conflict: newer, upload: raw}
`,
      [
        "4:43 folders[1].conflict: http can't keep conflict: skip with upload: multipart",
        "5:37 folders[2].conflict: https can't keep conflict: backup with upload: raw",
        "6:37 folders[3].conflict: https can't keep conflict: skip with method: POST",
        "7:37 folders[4].conflict: https can't keep conflict: fail with upload: tus",
        "8:39 folders[5].conflict: the URL is that of one object, for which conflict: fail can't be kept"
      ]
    ],
    [
      "verification that can't be had",
      "source: ./in\nfolders:\n  - {path: 'http://h/x', verify: size}\n  - {path: 'http://h/y', verify: hash, upload: tus}\n  - {path: 's3://abc', verify: maybe}\n",
      [
        "3:34 folders[0].verify: http can't keep verify: size with upload: multipart",
        "5:32 folders[2].verify: not valid"
      ]
    ],
    [
      "options of another scheme",
      "source: ./in\nfolders:\n  - {path: 'ftp://h/x', fieldname: a}\n  - {paths: [{path: /y, secure: none}]}\n  - {path: 'ftps://h', secure: none}\n",
      [
        "3:36 folders[0].fieldname: fieldname means nothing to ftp",
        "4:33 folders[1].paths[0].secure: secure means nothing to file",
        "5:32 folders[2].secure: ftps is never without security"
      ]
    ],
    [
      "path and paths, or neither",
      "source: ./in\nfolders:\n  - {path: /x, paths: [/y]}\n  - {name: z}\n",
      ["3:16 folders[0].paths: path is there as well", "4:5 folders[1].path: it is missing"]
    ],
    [
      "what feeds itself",
      "sources: [./in, {path: ./deep, recursive: true, after: {archive: './in'}}]\nfolders: [{path: ./in}, {path: ./deep/x}, {path: ./in/x}]\ndb: in/x.db\n",
      [
        "1:66 sources[1].after.archive: what is archived there would be taken again: sources[0] watches DIR/in",
        "2:18 folders[0].path: what is delivered there would be taken again: sources[0] watches DIR/in",
        "3:5 db: our own file would be taken: sources[0] watches DIR/in"
      ]
    ],
    [
      "a bad template",
      "source: {path: ./in, after: {archive: './x/{nmae}'}}\nfolders: [{path: /out}]\n",
      ["1:44 source.after.archive: there is no variable {nmae}, did you mean {name}?"]
    ],
    [
      "other secrets at one place",
      "source: ./in\nfolders: [{paths: ['ftp://u:a@h/x', 'ftp://u:b@h/y', 'http://h/?a', 'http://h/?b', 'http://h/?b', /o, /o/]}]\n",
      [
        "2:37 folders[0].paths[1]: the same user at the same server has another password in folders[0].paths[0]",
        "2:69 folders[0].paths[3]: it differs from folders[0].paths[2] in its query only",
        "2:84 folders[0].paths[4]: it differs from folders[0].paths[2] in its query only",
        "2:103 folders[0].paths[6]: this folder has it already"
      ]
    ],
    [
      "an address without a token",
      `${minimal}http: {host: 0.0.0.0}\nmonitor: {host: 10.0.0.1}\n`,
      [
        "3:14 http.host: on any other address than loopback a token is required",
        "4:17 monitor.host: the monitor asks for no password"
      ]
    ],
    [
      "one port for two",
      `${minimal}monitor: {port: 3001}\n`,
      ["3:17 monitor.port: the port 3001 is that of http already"]
    ],
    [
      "values that mean nothing",
      "source: {path: ./in, settle: soon, rescan: 0s}\nfolders: [{path: /out, extensions: ['', '*.x', a/b], retry: {attempts: 0}, timeout: -1}]\nlog: {level: loud, rotate: {size: 5}}\ndurability: maybe\n",
      [
        "1:30 source.settle: not valid",
        "1:44 source.rescan: not valid",
        "2:37 folders[0].extensions[0]: an empty text",
        "2:41 folders[0].extensions[1]: not valid",
        "2:48 folders[0].extensions[2]: not valid",
        "2:72 folders[0].retry.attempts: not valid",
        "2:85 folders[0].timeout: not valid",
        "3:14 log.level: not valid",
        "3:35 log.rotate.size: not valid",
        "4:13 durability: not valid"
      ]
    ]
  ]

  for (const [name, content, expected] of table) {
    it_(name, () =>
      Effect.gen(function* () {
        const found = yield* problems(content)
        expect(found.map((text) => text.replace(/watches \/.*\/(in|deep)/, "watches DIR/$1"))).toEqual(expected)
      })
    )
  }

  it_("is not there, a directory, or not readable", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const { directory, file } = yield* write(minimal)
      const message = (path: string) => Effect.map(Effect.flip(Config.load(path)), (error) => error.message)
      expect(yield* message(`${directory}/none.yml`)).toContain("none.yml: there is no such file")
      expect(yield* message(directory)).toContain("it is a directory")
      yield* fs.chmod(file, 0)
      // root reads everything
      if (process.getuid?.() !== 0) expect(yield* message(file)).toContain("it may not be read by this user")
    })
  )

  it_("names the option of the command line that is to blame", () =>
    Effect.gen(function* () {
      expect(yield* problems(minimal, { host: "0.0.0.0" })).toEqual([
        "0:0 --host: on any other address than loopback a token is required"
      ])
      yield* load(minimal, { host: "0.0.0.0", noHttp: true })
    })
  )

  it_("is told in lines that an editor can follow", () =>
    Effect.gen(function* () {
      const { file } = yield* write("source: ./in\nfolders:\n  - path: /out\n    extensions: mp3\n    colour: red\n")
      const error = yield* Effect.flip(Config.load(file))
      expect(error.message.split("\n")).toEqual([
        `${file}:4:17: folders[0].extensions: "mp3": not valid; expected a list of extensions, such as [pdf, tar.gz]`,
        expect.stringContaining(
          `${file}:5:5: folders[0].colour: "colour": there is no such key; expected one of name, path`
        )
      ])
    })
  )

  it_("never shows a secret", () =>
    Effect.gen(function* () {
      const { file } = yield* write(`source: ftp://u:hunter2@h/x
folders:
  - path: ftp://u:hunter2%zz@h/x
  - path: ftp://u:hunter2/x@h/x
  - path: gopher://u:hunter2@h/x
  - path: u:hunter2@h/x
  - path: [ftp://u:hunter2@h/x]
  - path: https://h:x/?key=hunter2
  - path: ftp://u:hunter2@h/x
    conflict: newer
http: { token: { a: hunter2 }, port: "ftp://u:hunter2@h/" }
`)
      const error = yield* Effect.flip(Config.load(file))
      expect(error.problems.length).toBeGreaterThan(7)
      expect(error.message + JSON.stringify(error) + Inspectable.toStringUnknown(error)).not.toContain("hunter2")
      for (const broken of [
        'a: "ftp://u:hunter2@h\n',
        "a: b: hunter2\n",
        "a: 'x' hunter2\n",
        "a: [hunter2\n",
        "? hunter2\n:: x\n- y"
      ]) {
        const other = yield* Effect.flip(Config.load((yield* write(broken)).file))
        expect(other.message).not.toContain("hunter2")
      }
    })
  )
})
