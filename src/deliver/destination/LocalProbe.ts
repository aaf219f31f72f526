/**
 * What a local folder can do, found out by trying with small temp files, which are removed again.
 */
import fs from "node:fs/promises"
import { Effect } from "effect"
import * as RelPath from "../../domain/RelPath.ts"
import { codeOf, targetFault } from "../../files/fault.ts"
import { below, fsPath, parent, swapCase } from "../../files/names.ts"
import type { Finding, ProbeTask } from "../Destination.ts"
import * as Findings from "../Findings.ts"

/** How long a file system may be silent, in milliseconds. */
const longest = 30_000

/** Never fails: what fails is a finding. */
export const probe = (task: ProbeTask): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.suspend(() => {
    const one = new Probe(task)
    const limit = Math.min(task.target.options.timeout, longest)
    return Effect.promise((signal) => one.run(signal)).pipe(
      // a call that hangs can't be ended, and need not be waited for
      Effect.disconnect,
      Effect.timeoutTo({
        duration: limit,
        onSuccess: (findings) => findings,
        onTimeout: () => one.silent(limit)
      }),
      Effect.ensuring(one.clear)
    )
  })

const content = Buffer.from("filedispatch tries what this target can do\n")
const past = new Date(Date.UTC(2001, 1, 3, 4, 5, 6))

class Probe {
  private readonly found: Array<Finding> = []
  private readonly made = new Set<string>()
  private base = ""

  constructor(private readonly task: ProbeTask) {}

  silent(limit: number): ReadonlyArray<Finding> {
    const found = `${RelPath.display(this.task.target.path)} did not answer within ${limit / 1000} s.`
    this.say("reachable", "no", found, "Check the disk or the mount. Files for it wait until then.")
    return Findings.sorted(this.found)
  }

  /** What a call that was given up has made meanwhile is not waited for. */
  get clear(): Effect.Effect<void> {
    return Effect.suspend(() => (this.made.size === 0 ? Effect.void : Effect.promise(() => this.removeAll()))).pipe(
      Effect.disconnect,
      Effect.interruptible,
      Effect.timeoutOption(5_000),
      Effect.asVoid
    )
  }

  async run(signal: AbortSignal): Promise<ReadonlyArray<Finding>> {
    const trials = [
      () => this.findFolder(),
      () => this.where(),
      () => this.tryWriting(),
      () => this.tryRenaming(),
      () => this.tryNames(),
      () => this.askSpace()
    ]
    for (const trial of trials) {
      if (signal.aborted || !(await trial())) break
    }
    if (this.made.size > 0) await this.removeAll()
    return Findings.sorted(this.found)
  }

  private async findFolder(): Promise<boolean> {
    const { path } = this.task.target
    const shown = RelPath.display(path)
    for (let at = path; ; at = parent(at)) {
      try {
        if (!(await fs.stat(fsPath(at))).isDirectory()) {
          const found = `${RelPath.display(at)} is a file, and a folder is needed.`
          return this.say("folder", "no", found, "Move it away, or change the target's path.")
        }
        this.base = at
        if (at === path) return this.say("folder", "yes", `${shown} is there.`)
        const found = `${shown} is not there yet; ${RelPath.display(at)} is.`
        return this.say("folder", "yes", found, "It will be made when the first file is delivered.")
      } catch (error) {
        if (codeOf(error) === "ENOENT" && at !== "/") continue
        // what is below a file is told of at that file
        if (codeOf(error) === "ENOTDIR") continue
        return this.say("folder", "no", `${targetFault(error, path).reason}.`)
      }
    }
  }

  /** Linux tells what is mounted where (proc(5), mountinfo); elsewhere it is not known. */
  private async where(): Promise<boolean> {
    try {
      const real = await fs.realpath(this.base)
      const mounts = (await fs.readFile("/proc/self/mountinfo", "utf8")).split("\n").flatMap((line) => {
        const [, mount, type] = /^\S+ \S+ \S+ \S+ (\S+) .* - (\S+) /.exec(line) ?? []
        if (mount === undefined || type === undefined) return []
        const path = mount.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)))
        return real === path || real.startsWith(path === "/" ? path : `${path}/`) ? [{ path, type }] : []
      })
      // of two at one place the later one hides the other
      const [on] = mounts.reverse().sort((left, right) => right.path.length - left.path.length)
      if (on !== undefined)
        this.say("identity", "yes", `File system ${on.type}, mounted at ${RelPath.display(on.path)}.`)
    } catch {
      // then it is not known
    }
    return true
  }

  private async tryWriting(): Promise<boolean> {
    const path = this.at(this.task.temp)
    try {
      await this.write(this.task.temp)
      this.say("writable", "yes", "A small file could be stored and removed again.")
    } catch (error) {
      return this.say("writable", "no", `${targetFault(error, path).reason}.`)
    }
    const { verify } = this.task.target.options
    this.say(
      "verification",
      "yes",
      verify === "hash" ? "Each copy is read back." : "The size of each copy is looked at.",
      verify === "hash"
        ? "Each file is proved by its hash."
        : "Each file is proved by its size. `verify: hash` reads it back."
    )
    await this.trial("mtime", async () => {
      await fs.utimes(fsPath(path), past, past)
      const kept = Math.abs((await fs.stat(fsPath(path))).mtimeMs - past.getTime()) < 2000
      const found = kept ? "A file keeps its time of modification." : "A file gets the time at which it was copied."
      this.say("mtime", kept ? "yes" : "limit", found, kept ? "" : "`conflict: newer` goes by the time of the copy.")
    })
    await this.trial("case", async () => {
      if (await this.isThere(swapCase(this.task.temp))) {
        this.say(
          "case",
          "limit",
          "The file system can't tell names apart that differ by case only.",
          Findings.encoded(this.task.target.options.names)
        )
      } else this.say("case", "yes", "Names that differ by case only are told apart.")
    })
    return true
  }

  private async tryRenaming(): Promise<boolean> {
    const taken = this.task.temp.replace(/(\.part)?$/, "-2$1")
    const linked = this.task.temp.replace(/(\.part)?$/, "-3$1")
    const at = (name: string) => fsPath(this.at(name))
    try {
      await this.write(taken)
      await fs.rename(at(this.task.temp), at(taken))
    } catch (error) {
      return this.say("rename", "no", `${targetFault(error, this.at(taken)).reason}.`)
    }
    await this.trial("rename", async () => {
      try {
        this.made.add(this.at(linked))
        await fs.link(at(taken), at(linked))
        this.say("rename", "yes", "A rename replaces a file in one step.", "A file is there whole, or not at all.")
      } catch (error) {
        if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "EMLINK", "ENOSYS"].includes(codeOf(error))) throw error
        this.say(
          "rename",
          "limit",
          "A rename replaces a file in one step; there are no hard links.",
          "Where a name must be free, another program that takes it at the same moment may lose its file."
        )
      }
    })
    return true
  }

  private async tryNames(): Promise<boolean> {
    const stem = this.task.temp.replace(/\.part$/, "")
    const takes = async (name: string) => {
      try {
        await this.write(name)
        return true
      } catch {
        return false
      }
    }
    let length = 0
    for (const bytes of [255, 200, 143, 100]) {
      if (length === 0 && (await takes(stem.padEnd(bytes, "n")))) length = bytes
    }
    const refused: Array<string> = []
    for (const character of [":", "?", "*", "|", "<", ">", '"', "\\"]) {
      if (!(await takes(`${stem}-${character}x`))) refused.push(character)
    }
    const problems = Findings.namesRefused(length, refused, await takes(`${stem}-\udcff`))
    this.found.push(Findings.names(problems, this.task.target.options.names))
    return true
  }

  private async askSpace(): Promise<boolean> {
    await this.trial("space", async () => {
      const { bavail, bsize } = await fs.statfs(this.base)
      // what is made of memory or of other places may have no size at all
      if (bsize > 0) this.found.push(Findings.space(bavail * bsize))
    })
    return true
  }

  private async trial(what: Finding["what"], run: () => Promise<void>): Promise<void> {
    try {
      await run()
    } catch (error) {
      this.say(what, "unknown", `${targetFault(error, this.base).reason}.`)
    }
  }

  /** Answers whether it can go on. */
  private say(what: Finding["what"], state: Finding["state"], found: string, therefore = ""): boolean {
    this.found.push({ what, state, found, therefore })
    return state !== "no"
  }

  private at(name: string): string {
    return below(this.base, name)
  }

  private async write(name: string): Promise<void> {
    this.made.add(this.at(name))
    await fs.writeFile(fsPath(this.at(name)), content, { flag: "wx" })
  }

  private async isThere(name: string): Promise<boolean> {
    return fs.lstat(fsPath(this.at(name))).then(
      () => true,
      (error: unknown) => {
        if (codeOf(error) === "ENOENT") return false
        throw error
      }
    )
  }

  private async removeAll(): Promise<void> {
    for (const path of this.made) {
      await fs.rm(fsPath(path), { force: true }).catch(() => undefined)
      this.made.delete(path)
    }
  }
}
