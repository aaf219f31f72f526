/**
 * Where the compiled entry of a worker thread lies.
 *
 * The same module runs from three places: compiled beside its siblings (`dist/files`), bundled into the executable
 * (`dist/bin.js`), and as TypeScript under the tests, for which the entries of an earlier build are used. Node 20
 * runs no TypeScript in a worker thread.
 */
import { existsSync } from "node:fs"

/** The worker's entry (a name such as `store/readWorker`), or undefined where no build has made it. */
export const findWorker = (name: string): URL | undefined =>
  [`../${name}.js`, `./${name}.js`, `../../dist/${name}.js`]
    .map((candidate) => new URL(candidate, import.meta.url))
    .find((url) => existsSync(url))

/** The worker's entry; throws where no build has made it, which is a broken installation. */
export const workerUrl = (name: string): URL => {
  const url = findWorker(name)
  if (url === undefined) {
    throw new Error(`The worker ${name}.js is missing beside the program: build it again with "npm run build".`)
  }
  return url
}
