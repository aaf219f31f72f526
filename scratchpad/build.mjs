/**
 * The build: src → dist.
 *
 * 1. `tsc` checks the types and emits every module with its declarations: what an embedding app imports.
 * 2. esbuild bundles the executable and the entries of the worker threads over them, so that they start fast.
 * 3. The JSON Schema of the config is written where package.json exports it.
 * 4. esbuild bundles the dashboard: one script and one style, named by their content, compressed once and for all.
 *
 * A type error fails the build in the end, but dist is complete even then, so that what does work can be tried.
 * Unchanged modules are not compiled again; `--clean` starts from nothing.
 */
import { spawnSync } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { basename, dirname, join, relative } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { buildDashboard } from "./buildDashboard.mjs"
import { build } from "esbuild"

const root = fileURLToPath(new URL("..", import.meta.url))
const src = join(root, "src")
const dist = join(root, "dist")
const cache = join(root, "node_modules", ".cache", "filedispatch")

/** All files below a directory, relative to it. */
const filesBelow = (directory) =>
  existsSync(directory)
    ? readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
    : []

const modules = filesBelow(src)
  .filter((file) => file.endsWith(".ts") && !file.startsWith("dashboard/"))
  .map((file) => file.slice(0, -3))

const buildInfo = join(cache, "build.tsbuildinfo")
const built = existsSync(buildInfo) ? statSync(buildInfo).mtimeMs : 0
/** Whether something is gone that tsc believes it has made, so that it would not make it again. */
const isIncomplete = () =>
  built === 0 ||
  modules.some((file) => statSync(join(src, `${file}.ts`)).ctimeMs < built && !existsSync(join(dist, `${file}.js`)))

// what tsc compiled earlier is kept only where its source is still there
if (process.argv.includes("--clean") || isIncomplete()) {
  rmSync(dist, { recursive: true, force: true })
  rmSync(cache, { recursive: true, force: true })
} else {
  const known = new Set(modules)
  for (const file of filesBelow(dist)) {
    const kept = /^(chunks|dashboard)\//.test(file) || known.has(file.replace(/(\.d\.ts|\.js)$/, ""))
    if (!kept) rmSync(join(dist, file))
  }
}
mkdirSync(cache, { recursive: true })

const tsc = spawnSync(
  process.execPath,
  [join(root, "node_modules", "typescript", "bin", "tsc"), "-p", join(root, "scratchpad", "tsconfig.build.json")],
  { cwd: root, stdio: "inherit" }
)

/**
 * The HTTP client that the platform brings along and nothing here asks for: a sixth of all that a start would load. Where
 * something does ask for it, esbuild warns that it is undefined.
 */
const withoutUndici = {
  name: "without-undici",
  setup: ({ onLoad }) =>
    onLoad({ filter: /[\\/]@effect[\\/]platform-node[\\/]dist[\\/]esm[\\/]Undici\.js$/ }, () => ({
      contents: "export {}"
    }))
}

const bundle = {
  absWorkingDir: root,
  outdir: dist,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  plugins: [withoutUndici],
  // native, or finds a file beside itself, or optional and not installed
  external: ["better-sqlite3", "@bokuweb/zstd-wasm", "ssh2", "bufferutil", "utf-8-validate", "fsevents"],
  banner: {
    js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);'
  },
  logLevel: "warning"
}
const entry = (file) => ({ in: join(src, `${file}.ts`), out: file })

// entries are named in lower case: bin.ts, and those of worker threads, such as store/readWorker.ts
const workers = modules.filter((file) => /^(worker|[a-z]\w*Worker)$/.test(basename(file)))
const [bin, , dashboard] = await Promise.allSettled([
  // commands load their heavy parts with import(): these become files of their own
  build({
    ...bundle,
    entryPoints: [entry("bin")],
    splitting: true,
    chunkNames: "chunks/[name]-[hash]",
    metafile: true
  }),
  build({ ...bundle, entryPoints: workers.map(entry) }),
  buildDashboard(root)
]).then((builds) => {
  for (const { status } of builds) if (status === "rejected") process.exitCode = 1
  return builds
})
if (bin.status === "fulfilled") {
  chmodSync(join(dist, "bin.js"), 0o755)
  for (const chunk of filesBelow(join(dist, "chunks"))) {
    if (!(`dist/chunks/${chunk}` in bin.value.metafile.outputs)) rmSync(join(dist, "chunks", chunk))
  }
}

if (dashboard.status === "rejected") console.error(`build: the dashboard: ${dashboard.reason}`)

const jsonSchema = join(dist, "config", "jsonSchema.js")
if (existsSync(jsonSchema)) {
  const { configJsonSchema } = await import(pathToFileURL(jsonSchema).href)
  const target = join(dist, "config.schema.json")
  mkdirSync(dirname(target), { recursive: true })
  writeFileSync(target, `${JSON.stringify(configJsonSchema(), null, 2)}\n`)
}

if (tsc.status !== 0) {
  console.error("build: the types are wrong, see above")
  process.exitCode = 1
}
