/** Very many files in one directory: all of them arrive, and the program's memory does not grow with their number. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import fs from "node:fs"
import { join } from "node:path"
import * as Process from "../cli/process.ts"
import { project } from "../e2e/project.ts"
import { isTemp } from "./filesTools.ts"
import { noDisks, smallDisk } from "../servers/disk.ts"
import { long, tried } from "./report.ts"

const count = long ? 1_000_000 : 5000
/** MiB that the program may have at its peak, whatever the number of files. */
const bound = 450

const peakOf = (pid: number): number =>
  Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024

it.scopedLive(
  `${count} files in one directory: all arrive, in bounded memory`,
  () =>
    Effect.gen(function* () {
      const { config, directory, inbox } = yield* project(
        "sources: [{ path: ./in, settle: 100ms, watch: poll, pollInterval: 1s, after: delete }]",
        "folders: [{ path: ./out }]",
        "db: ./journal.db",
        "durability: crash",
        "log: { level: WARNING }"
      )
      const out = join(directory, "out")
      if (noDisks === undefined) {
        // a move from one to the other needs one file system
        const disk = join(directory, "disk")
        yield* smallDisk(disk, `size=${long ? "8g" : "64m"},nr_inodes=0`)
        fs.mkdirSync(join(disk, "in"))
        fs.mkdirSync(join(disk, "out"))
        fs.rmdirSync(inbox)
        fs.symlinkSync(join(disk, "in"), inbox)
        fs.symlinkSync(join(disk, "out"), out)
      }
      const name = (index: number) => `file ${String(index).padStart(7, "0")}`
      for (let index = 0; index < count; index++) fs.writeFileSync(join(inbox, name(index)), String(index % 10))
      const started = Date.now()
      const running = yield* Process.filedispatch(["-c", config, "--no-webapp", "--no-monitor"])
      let peak = 0
      const there = () => (fs.existsSync(out) ? spawnCount(out) : 0)
      let last = 0
      yield* Process.until(
        () => {
          if (Process.alive(running.pid)) peak = Math.max(peak, peakOf(running.pid))
          // a look at a million names costs too much to be taken all the time
          if (Date.now() - last < (long ? 5000 : 300)) return false
          last = Date.now()
          return there() >= count && spawnCount(inbox) === 0
        },
        () => `${there()} of ${count} have arrived: ${running.stderr().slice(-2000)}`,
        long ? 3000 : 120
      )
      const took = (Date.now() - started) / 1000
      yield* running.kill("SIGTERM")
      const ended = yield* running.ended
      expect(ended.code, ended.stderr.slice(-2000)).toBe(0)
      const names = fs.readdirSync(out)
      expect(names.length).toBe(count)
      expect(names.filter(isTemp)).toEqual([])
      const wrong = names.filter((one) => fs.readFileSync(join(out, one), "utf8") !== String(Number(one.slice(5)) % 10))
      expect(wrong).toEqual([])
      expect(fs.readdirSync(inbox)).toEqual([])
      expect(peak).toBeGreaterThan(0)
      expect(peak).toBeLessThan(bound)
      tried({
        section: "files",
        what: `${count.toLocaleString("en")} files of 1 byte in one directory`,
        happened: `all arrived, once, after ${Math.round(took)} s; at its peak the program had ${Math.round(peak)} MiB (VmHWM; ${bound} are allowed)`,
        counts: { files: count, lost: 0, duplicates: 0, temps: 0 }
      })
    }),
  long ? 3_600_000 : 180_000
)

/** Without the names in this process's memory. */
const spawnCount = (directory: string): number =>
  Number(spawnSync("sh", ["-c", 'ls -f "$1" | wc -l', "sh", directory]).stdout) - 2
