/**
 * The dashboard: src/dashboard → dist/dashboard. Names have the hash of what is in them, so that browsers may keep them
 * for ever; each file is there compressed, too, so that serving it costs nothing.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { brotliCompressSync, constants, gzipSync } from "node:zlib"
import { build } from "esbuild"

/**
 * What the client's modules import for a server's sake or for tests, and the page never calls: it would be a quarter of
 * the whole.
 */
const unused = /^(fast-check|multipasta(\/.*)?|find-my-way-ts|msgpackr|\.\/OpenApiJsonSchema\.js)$/

/** What all of it may be, compressed, in bytes. */
const most = 200_000

export const buildDashboard = async (root) => {
  const out = join(root, "dist", "dashboard")
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [join(root, "src", "dashboard", "main.tsx"), join(root, "src", "dashboard", "style.css")],
    entryNames: "[name]-[hash]",
    outdir: out,
    write: false,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    logLevel: "warning",
    plugins: [
      {
        name: "unused",
        setup: (bundle) => {
          bundle.onResolve({ filter: unused }, ({ path }) => ({ path, namespace: "unused" }))
          bundle.onLoad({ filter: /.*/, namespace: "unused" }, () => ({
            contents: "module.exports = {}",
            loader: "js"
          }))
        }
      }
    ]
  })
  const named = (ending) => {
    const file = outputFiles.find(({ path }) => path.endsWith(ending))
    if (file === undefined) throw new Error(`there is no ${ending}`)
    return `/dashboard/${basename(file.path)}`
  }
  const page = readFileSync(join(root, "src", "dashboard", "index.html"), "utf8")
    .replace("%STYLE%", named(".css"))
    .replace("%SCRIPT%", named(".js"))
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out, { recursive: true })
  const files = [
    ...outputFiles.map(({ contents, path }) => [basename(path), contents]),
    ["index.html", Buffer.from(page)]
  ]
  let size = 0
  for (const [name, contents] of files) {
    const gzip = gzipSync(contents, { level: 9 })
    const brotli = brotliCompressSync(contents, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: contents.length } })
    writeFileSync(join(out, name), contents)
    writeFileSync(join(out, `${name}.gz`), gzip)
    writeFileSync(join(out, `${name}.br`), brotli)
    size += gzip.length
  }
  if (size > most) throw new Error(`${size} bytes compressed by gzip are more than the ${most} that it may have`)
  return size
}
