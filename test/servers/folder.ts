/** A folder on this machine that a server serves, seen from outside of the destination. */
import { existsSync } from "node:fs"
import { mkdir, readdir, readFile, stat, utimes, writeFile } from "node:fs/promises"
import { Effect } from "effect"
import * as RelPath from "../../src/domain/RelPath.ts"

const bytesOf = (path: string) => Buffer.from(RelPath.toBytes(path))

export const readAt = (path: string): Effect.Effect<Uint8Array | undefined> =>
  Effect.promise(() => readFile(bytesOf(path)).catch(() => undefined))

/** With its folders. */
export const putAt = (path: string, content: Uint8Array): Effect.Effect<void> =>
  Effect.promise(async () => {
    await mkdir(bytesOf(path.slice(0, path.lastIndexOf("/"))), { recursive: true })
    await writeFile(bytesOf(path), content)
  })

export const modifiedAt = (path: string): Effect.Effect<number | undefined> =>
  Effect.promise(() =>
    stat(bytesOf(path)).then(
      ({ mtimeMs }) => mtimeMs,
      () => undefined
    )
  )

export const touchAt = (path: string, mtime: number): Effect.Effect<void> =>
  Effect.promise(() => utimes(bytesOf(path), new Date(mtime), new Date(mtime)))

/** All files below a folder, relative to it. */
export const listAt = (folder: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.promise(() => (existsSync(bytesOf(folder)) ? walk(bytesOf(folder), "") : Promise.resolve([])))

const walk = async (folder: Buffer, path: string): Promise<ReadonlyArray<string>> => {
  const found: Array<string> = []
  for (const entry of await readdir(folder, { withFileTypes: true, encoding: "buffer" })) {
    const name = path === "" ? RelPath.fromBytes(entry.name) : `${path}/${RelPath.fromBytes(entry.name)}`
    const below = Buffer.concat([folder, Buffer.from("/"), entry.name])
    if (entry.isDirectory()) found.push(...(await walk(below, name)))
    else found.push(name)
  }
  return found
}
