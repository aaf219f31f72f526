/**
 * Servers that are killed and come back, and servers whose disk is full.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import * as Process from "../cli/process.ts"
import { hasOpenssh, startOpenssh } from "../servers/openssh.ts"
import { listening, stop } from "../servers/process.ts"
import { hasVsftpd, startVsftpd } from "../servers/vsftpd.ts"
import * as Machine from "./machine.ts"
import { list, noDisks, project } from "./machine.ts"
import { long, tried } from "./report.ts"

vi.setConfig({ maxConcurrency: 2 })

const none = { lost: 0, partial: 0, duplicates: 0, temps: 0 }

/** A server over a folder, and how a config names it. */
interface Server {
  readonly url: string
  readonly options: string
  /** What is below the target. */
  readonly folder: string
  /** Ends it with all its sessions, as a power cut would. */
  readonly kill: Effect.Effect<void>
  /** Starts it again, at the same port. */
  readonly again: Effect.Effect<void, never, Scope.Scope>
}

/** Kills all that were started with this file, and their children. */
const killAll = (config: string): void => {
  const found = fs.readdirSync("/proc").filter((entry) => /^\d+$/.test(entry) && commandOf(entry).includes(config))
  expect(found.length).toBeGreaterThan(0)
  for (const pid of found.flatMap((one) => [Number(one), ...below(Number(one))])) {
    try {
      process.kill(pid, "SIGKILL")
    } catch {
      // it has ended by itself, or was found twice
    }
  }
}

const commandOf = (pid: string): string => {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, "utf8")
  } catch {
    return ""
  }
}

const below = (pid: number): ReadonlyArray<number> => {
  try {
    const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim()
    return children === "" ? [] : children.split(" ").flatMap((child) => [Number(child), ...below(Number(child))])
  } catch {
    return []
  }
}

const startAgain = (port: number, command: string, args: ReadonlyArray<string>, greets: boolean) =>
  Effect.zipRight(
    Effect.acquireRelease(
      Effect.sync(() => spawn(command, args, { stdio: "ignore", detached: true })),
      (child) => stop(child, { group: true })
    ),
    listening(port, greets ? "data" : "connect")
  )

const servers: ReadonlyArray<{
  readonly name: string
  readonly there: boolean
  readonly start: Effect.Effect<Server, never, Scope.Scope>
}> = [
  {
    name: "vsftpd",
    there: hasVsftpd,
    start: Effect.map(startVsftpd, ({ port, root, url }) => {
      const config = join(root, "..", "vsftpd.conf")
      return {
        url: `${url}/upload`,
        options: "",
        folder: join(root, "upload"),
        kill: Effect.sync(() => killAll(config)),
        again: startAgain(port, fs.existsSync("/usr/sbin/vsftpd") ? "/usr/sbin/vsftpd" : "vsftpd", [config], true)
      }
    })
  },
  {
    name: "OpenSSH",
    there: hasOpenssh,
    start: Effect.map(startOpenssh(), ({ folder, key, knownHosts, port, root, user }) => {
      const config = join(folder, "sshd_config")
      return {
        url: `sftp://${user}@127.0.0.1:${port}${root}`,
        options: `, key: ${key}, knownHosts: ${knownHosts}`,
        folder: root,
        kill: Effect.sync(() => killAll(config)),
        again: startAgain(port, "/usr/sbin/sshd", ["-D", "-e", "-f", config], true)
      }
    })
  }
]

for (const { name, start, there } of servers) {
  const skipped = there ? undefined : `${name} is not installed`
  describe.skipIf(skipped !== undefined || noDisks !== undefined)(
    `${name}${skipped === undefined && noDisks === undefined ? "" : ` (${skipped ?? noDisks})`}`,
    () => {
      it.scopedLive("its disk is full, also in the middle of a file; then there is room", () =>
        Effect.gen(function* () {
          const server = yield* start
          const owner = fs.statSync(server.folder)
          const disk = yield* Machine.disk(server.folder, `size=24m,uid=${owner.uid},gid=${owner.gid},mode=755`)
          const at = yield* project(
            "sources: [{ path: ./in, settle: 20ms, after: delete }]",
            `folders: [{ path: "${server.url}"${server.options}, retry: { attempts: 50, base: 500ms, cap: 2s } }]`,
            "db: ./journal.db"
          )
          const running = yield* Machine.watching(at)
          const contents = new Map<string, Uint8Array>()
          Machine.putAll(at.inbox, contents, "before", 5)
          yield* Machine.delivered(running, at, 5)
          fs.writeFileSync(join(disk.path, ".filler"), Buffer.alloc(16_000_000))
          Machine.putAll(at.inbox, contents, "large", 1, () => 12_000_000)
          yield* Machine.says(running, /is down: |RETRY_WAIT: large0/)
          Machine.putAll(at.inbox, contents, "meanwhile", 10)
          yield* Machine.calm(running)
          expect(list(server.folder)).not.toContain("large0")
          expect(list(at.inbox)).toContain("large0")
          disk.free()
          yield* Machine.delivered(running, at, contents.size)
          yield* Process.until(
            () => list(at.inbox).length === 0,
            () => running.stderr()
          )
          yield* Machine.stop(running)
          Machine.holds(server.folder, contents)
          Machine.loggedOnce(at, contents)
          tried({
            section: "fault",
            what: `${name}: its disk fills up in the middle of a file, and gets room`,
            happened: `${contents.size} files, each there once and whole, and no part of one before`,
            counts: { files: contents.size, ...none }
          })
        })
      )

      it.scopedLive("it is killed in the middle of files, is away for a while, and comes back", () =>
        Effect.gen(function* () {
          const server = yield* start
          const at = yield* project(
            "sources: [{ path: ./in, settle: 20ms, after: delete }]",
            `folders: [{ path: "${server.url}"${server.options}, bandwidth: 8MiB/s, retry: { attempts: 50, base: 500ms, cap: 2s } }]`,
            "db: ./journal.db"
          )
          const running = yield* Machine.watching(at)
          const contents = new Map<string, Uint8Array>()
          Machine.putAll(at.inbox, contents, "large", 3, () => 9_000_000)
          Machine.putAll(at.inbox, contents, "small", 20)
          for (let round = 0; round < (long ? 2 : 1); round++) {
            const partial = () => fs.readdirSync(server.folder).some((name) => name.endsWith(".part"))
            yield* Process.until(partial, () => running.stderr())
            const from = running.stderr().length
            yield* server.kill
            yield* Machine.says(running, /is down: /, from)
            const share = yield* Machine.calm(running, 1)
            expect(share).toBeLessThan(0.5)
            for (const name of list(server.folder).filter((each) => !each.endsWith(".part"))) {
              expect(Buffer.from(contents.get(name) ?? []).equals(fs.readFileSync(join(server.folder, name)))).toBe(
                true
              )
            }
            yield* server.again
            yield* Machine.says(running, /is up again/, from)
            Machine.putAll(at.inbox, contents, `more${round}-`, 1, () => 9_000_000)
          }
          yield* Machine.delivered(running, at, contents.size)
          yield* Process.until(
            () => list(at.inbox).length === 0,
            () => running.stderr()
          )
          yield* Machine.stop(running)
          Machine.holds(server.folder, contents)
          Machine.loggedOnce(at, contents)
          tried({
            section: "fault",
            what: `${name}: killed in the middle of files, and started again`,
            happened: `${contents.size} files, each there once and whole, nothing of a part under a final name`,
            counts: { files: contents.size, ...none }
          })
        })
      )
    }
  )
}
