/** What is installed with the program: pinned, proven by its hash, and not run before it is used. */
import { expect, it } from "@effect/vitest"
import fs from "node:fs"
import { join } from "node:path"
import { root } from "../cli/process.ts"
import { tried } from "./report.ts"

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? new Map<string, unknown>(Object.entries(value)).get(name) : undefined
const entries = (value: unknown): ReadonlyArray<readonly [string, unknown]> =>
  typeof value === "object" && value !== null ? Object.entries(value) : []
const read = (file: string): unknown => JSON.parse(fs.readFileSync(join(root, file), "utf8"))

it("every package that is installed is pinned by version and hash, and runs no script but those that are allowed", () => {
  const manifest = read("package.json")
  const packages = entries(field(read("package-lock.json"), "packages")).filter(([path]) => path !== "")
  expect(packages.length).toBeGreaterThan(100)
  const unproven = packages.filter(([, one]) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(String(field(one, "integrity"))))
  // builds of optional packages for other machines, which the machine that wrote the lock has not fetched
  const elsewhereOnly = (one: unknown) => field(one, "optional") === true && field(one, "cpu") !== undefined
  expect(unproven.filter(([, one]) => !elsewhereOnly(one)).map(([path]) => path)).toEqual([])
  // where from is the machine's affair, and a Git or file reference would be no release
  expect(packages.filter(([, one]) => field(one, "resolved") !== undefined).map(([path]) => path)).toEqual([])
  const names = ["dependencies", "devDependencies"].flatMap((kind) => entries(field(manifest, kind)))
  expect(names.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(String(version)))).toEqual([])
  // what may run at an install is decided one by one, and what may is wanted
  const allowed = new Map(entries(field(manifest, "allowScripts")))
  const scripts = packages.filter(([, one]) => field(one, "hasInstallScript") === true)
  const nameOf = (path: string) => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length)
  expect(scripts.map(([path]) => nameOf(path)).filter((name) => typeof allowed.get(name) !== "boolean")).toEqual([])
  expect(Array.from(allowed, ([name, may]) => (may === true ? name : "")).filter(Boolean)).toEqual([
    "better-sqlite3",
    "ssh2"
  ])
  for (const name of ["preinstall", "install", "postinstall", "prepare"]) {
    expect(field(field(manifest, "scripts"), name)).toBeUndefined()
  }
  tried({
    section: "attack",
    what: "the packages that are installed along",
    happened: `${packages.length} packages, each pinned by version, ${packages.length - unproven.length} by SHA-512 (not the builds for other machines); ${scripts.length} with an install script, of which 2 may run it`
  })
})
