/**
 * The package that `npm pack` makes of the build: what is in it, and that it runs where nothing else of the project
 * is, with its dependencies alone.
 */
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Schema } from "effect"
import { execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, normalize } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))

const Manifest = Schema.Struct({
  version: Schema.String,
  bin: Schema.Record({ key: Schema.String, value: Schema.String }),
  exports: Schema.Record({
    key: Schema.String,
    value: Schema.Union(Schema.String, Schema.Struct({ types: Schema.String, default: Schema.String }))
  }),
  dependencies: Schema.Record({ key: Schema.String, value: Schema.String })
})
const Packed = Schema.Array(
  Schema.Struct({ filename: Schema.String, files: Schema.Array(Schema.Struct({ path: Schema.String })) })
)

const manifest = Schema.decodeUnknownSync(Schema.parseJson(Manifest))(readFileSync(join(root, "package.json"), "utf8"))

/** A project that has the package installed. */
let project = ""
let files: ReadonlyArray<string> = []
const installed = (...path: ReadonlyArray<string>) => join(project, "node_modules", "filedispatch", ...path)

const run = (command: string, ...args: ReadonlyArray<string>) =>
  execFileSync(command, args, { cwd: project, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), "filedispatch-package-"))
  // the build has been made: `npm test` does it first
  const output = execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", project], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"]
  })
  const [packed] = Schema.decodeUnknownSync(Schema.parseJson(Packed))(output)
  files = packed?.files.map(({ path }) => path) ?? []
  mkdirSync(installed(), { recursive: true })
  run("tar", "-xzf", packed?.filename ?? "", "-C", installed(), "--strip-components=1")
  // what an installation would bring, and no more: no devDependency, nothing that only happens to be there
  for (const name of Object.keys(manifest.dependencies)) {
    const link = join(project, "node_modules", name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(root, "node_modules", name), link)
  }
  writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }))
})

afterAll(() => rmSync(project, { recursive: true, force: true }))

describe("the package", () => {
  it("has what a user needs, and nothing of the workshop", () => {
    expect(files).toEqual(
      expect.arrayContaining([
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "config.example.yml",
        "dist/bin.js",
        "dist/config.schema.json",
        "package.json"
      ])
    )
    const known = /^(?:dist\/.+|CHANGELOG\.md|LICENSE|README\.md|config\.example\.yml|package\.json)$/
    expect(files.filter((file) => !known.test(file))).toEqual([])
    expect(files.filter((file) => /\.(?:test|map|tsbuildinfo|db)\b/.test(file))).toEqual([])
  })

  it("has every file that package.json names", () => {
    const named = [
      ...Object.values(manifest.bin),
      ...Object.values(manifest.exports).flatMap((value) =>
        typeof value === "string" ? [value] : [value.types, value.default]
      )
    ].map((path) => normalize(path))
    expect(named.filter((path) => !files.includes(path))).toEqual([])
  })

  it("has a declaration for every module that has one of its own imports", () => {
    const modules = files.filter((file) => /^dist\/.+\.d\.ts$/.test(file))
    const missing = modules.flatMap((module) =>
      Array.from(
        readFileSync(installed(module), "utf8").matchAll(/(?:from|import) ?\(?"(\.[^"]+)"/g),
        ([, path = ""]) => normalize(join(dirname(module), path))
      )
        // declarations name the module beside them
        .map((path) => path.replace(/\.(?:js|ts)$/, ".d.ts"))
        .filter((path) => !files.includes(path))
        .map((path) => `${module} imports ${path}`)
    )
    expect(modules.length).toBeGreaterThan(10)
    expect(missing).toEqual([])
  })

  it("can be imported where it is installed", () => {
    const specifiers = Object.keys(manifest.exports)
      .filter((name) => !name.endsWith(".json"))
      .map((name) => join("filedispatch", name))
    expect(specifiers).toContain("filedispatch")
    const script = specifiers.map((name) => `await import(${JSON.stringify(name)})`).join("\n")
    run(process.execPath, "--input-type=module", "-e", script)
  })

  it("runs where it is installed, and delivers", () => {
    const bin = installed(manifest.bin["filedispatch"] ?? "")
    expect(run(process.execPath, bin, "-v")).toBe(`${manifest.version}\n`)

    // as the example says it: the inbox is to be made, the rest makes itself
    cpSync(installed("config.example.yml"), join(project, "config.yml"))
    const inbox = join(project, "scratchpad", "inbox")
    mkdirSync(inbox, { recursive: true })
    writeFileSync(join(inbox, "a.txt"), "hello")
    run(process.execPath, bin, "-c", "config.yml", "--once", "--no-webapp", "--no-monitor")
    const delivered = join(project, "scratchpad", "outbox", "documents", "a.txt")
    expect(existsSync(delivered) && readFileSync(delivered, "utf8")).toBe("hello")
    expect(run(process.execPath, bin, "logs", "-c", "config.yml")).toContain("SUCCEEDED")
  }, 60_000)
})
