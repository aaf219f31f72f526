/**
 * Small disks of one's own: full and read-only ones are really so. Who runs the tests must be allowed to mount.
 */
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir, userInfo } from "node:os"
import { join } from "node:path"
import { Effect, type Scope } from "effect"

/** Why there can be none; undefined where there can. */
export const noDisks: string | undefined = (() => {
  if (process.platform !== "linux" || userInfo().uid !== 0) return "only root may mount a disk"
  const folder = mkdtempSync(join(tmpdir(), "filedispatch-disk-"))
  try {
    mount(folder, "size=64k")
    unmount(folder)
    return undefined
  } catch {
    return "nothing can be mounted here"
  } finally {
    rmSync(folder, { recursive: true })
  }
})()

export interface Disk {
  readonly makeReadOnly: () => void
}

/** At this folder, which is made; `options` as of tmpfs(5), such as `size=1m`. */
export const smallDisk = (folder: string, options: string): Effect.Effect<Disk, never, Scope.Scope> =>
  Effect.as(
    Effect.acquireRelease(
      Effect.sync(() => {
        mkdirSync(folder)
        mount(folder, options)
      }),
      () => Effect.sync(() => unmount(folder))
    ),
    { makeReadOnly: () => mount(folder, "remount,ro") }
  )

function mount(folder: string, options: string): void {
  execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder], { stdio: "ignore" })
}

function unmount(folder: string): void {
  // even while a server has not noticed yet that its client has gone
  execFileSync("umount", ["-l", folder], { stdio: "ignore" })
}
