/**
 * What a staged target can do, found out by trying: for every protocol that brings a {@link Session}.
 *
 * Temp files of a few bytes are stored beside where files would go, under names that nobody else uses, and all of them
 * are removed again, whatever happens. Each trial has a session of its own, so that one that a server answers by
 * hanging up spoils no other; and none takes longer than the target's time-out, or half a minute.
 */
import { Effect } from "effect"
import type { DeliveryError } from "../domain/DeliveryError.ts"
import * as RelPath from "../domain/RelPath.ts"
import type { Target } from "../domain/Target.ts"
import { swapCase } from "../files/names.ts"
import type { Finding, ProbeTask } from "./Destination.ts"
import * as Findings from "./Findings.ts"
import { content, isRefusal, past, ProbeTools, sha256 } from "./ProbeTools.ts"
import type { Identity, Session, Sessions, Stat, Traits } from "./Staging.ts"

export interface Own {
  /** What the protocol says of a path that it can't carry. */
  readonly refuses: Traits["refuses"]
  /** The target's own folder, absolute. */
  readonly rootOf: (session: Session, target: Target) => Effect.Effect<string, DeliveryError>
}

/** The findings about one target, in the order of {@link Finding}. Never fails: what fails is a finding. */
export const staged = (sessions: Sessions, task: ProbeTask, own: Own): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.suspend(() => {
    const probe = new Probe(sessions, task, own)
    return probe.run.pipe(
      Effect.ensuring(probe.clear),
      Effect.map(() => probe.findings())
    )
  })

interface Found {
  readonly root: string
  readonly there: Stat | undefined
  readonly identity: Identity | undefined
}

class Probe extends ProbeTools {
  constructor(
    sessions: Sessions,
    task: ProbeTask,
    private readonly own: Own
  ) {
    super(sessions, task)
  }

  get run(): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      const found = yield* this.connect
      if (found === undefined || !(yield* this.findFolder(found)) || !(yield* this.tryWriting)) return
      yield* this.tryResuming
      yield* this.tryRenaming
      yield* this.tryNames
      yield* this.askSpace
    })
  }

  // connecting

  /** Who is there, and what is at the target's folder; undefined where it could not be asked. */
  private get connect(): Effect.Effect<Found | undefined> {
    let connected = false
    return this.step((session) =>
      Effect.gen(this, function* () {
        connected = true
        const root = yield* this.own.rootOf(session, this.target)
        const there: Stat | undefined = root === "" ? folder : yield* session.stat(root)
        return { root, there, identity: session.identity }
      })
    ).pipe(
      Effect.map((found): Found | undefined => {
        this.sayConnected(found.identity)
        return found
      }),
      Effect.catchAll((error) =>
        Effect.sync(() => {
          if (connected && error._tag === "PermanentError") {
            this.sayConnected(undefined)
            this.say("folder", "no", error.reason, "Nothing can be delivered there.")
          } else {
            for (const finding of Findings.unconnected(error)) this.found.set(finding.what, finding)
          }
          return undefined
        })
      )
    )
  }

  private sayConnected(identity: Identity | undefined) {
    const { host, port, username } = this.target
    this.say("reachable", "yes", `${host}${port === null ? "" : `, port ${port}`}, answers.`)
    if (identity === undefined) {
      this.say("identity", "unknown", "The server does not prove who it is, as far as is known here.")
    } else {
      const server = identity.server === undefined ? "" : `${identity.server}; `
      if (identity.security === undefined) {
        this.say(
          "identity",
          "limit",
          `${server}the connection is not encrypted.`,
          "Whoever is on the way can read and change everything, the password too."
        )
      } else this.say("identity", "yes", `${server}${identity.security}.`)
    }
    const who = identity?.authenticated ?? (username === null ? "Without a login" : `As ${username}`)
    this.say("authenticated", "yes", `${who}.`)
  }

  // the folder

  /** Where to try: the target's folder, or the nearest one above that is there. */
  private findFolder({ root, there }: Found): Effect.Effect<boolean> {
    const shown = (path: string) => RelPath.display(path === "" ? "/" : path)
    if (there?.folder === true) {
      this.base = root
      this.say("folder", "yes", `${shown(root)} is there.`)
      return Effect.succeed(true)
    }
    const file = (path: string) => {
      this.say(
        "folder",
        "no",
        `${shown(path)} is a file, and a folder is needed.`,
        "Rename it there, or change the target's path."
      )
      return false
    }
    if (there !== undefined) return Effect.succeed(file(root))
    return Effect.gen(this, function* () {
      let path = root
      for (;;) {
        path = path.slice(0, Math.max(0, path.lastIndexOf("/")))
        const stat: Stat | undefined = path === "" ? folder : yield* this.step((session) => session.stat(path))
        if (stat?.folder === false) return file(path)
        if (stat === undefined) continue
        this.base = path
        this.say(
          "folder",
          "yes",
          `${shown(root)} is not there yet; ${shown(path)} is.`,
          "It will be made when the first file is delivered."
        )
        return true
      }
    }).pipe(
      Effect.catchAll((error) => {
        this.say("folder", "no", error.reason, "Nothing can be delivered there.")
        return Effect.succeed(false)
      })
    )
  }

  /** Stores a small file, and looks at it: may it, is it whole, what time has it, is it there under another case, too? */
  private get tryWriting(): Effect.Effect<boolean> {
    const name = this.task.temp
    return this.step((session) =>
      Effect.gen(this, function* () {
        const stored = yield* this.store(session, name)
        this.say("writable", "yes", "A small file could be stored and removed again.")
        const there = yield* session.stat(this.at(name))
        yield* this.verification(session, stored.size ?? there?.size ?? null, stored.sha256)
        this.mtime(there)
        const folded = yield* session.stat(this.at(swapCase(name)))
        if (folded !== undefined) {
          this.say(
            "case",
            "limit",
            "The server can't tell names apart that differ by case only.",
            Findings.encoded(this.options.names)
          )
        } else if (there === undefined) this.unknown("case", "The server does not tell what is there.")
        else this.say("case", "yes", "Names that differ by case only are told apart.")
        return true
      })
    ).pipe(
      Effect.catchAll((error) =>
        Effect.sync(() => {
          if (this.found.has("writable")) {
            for (const what of ["verification", "mtime", "case"] as const) {
              if (!this.found.has(what)) this.unknown(what, error.reason)
            }
            return true
          }
          this.say("writable", "no", error.reason, "Nothing can be delivered there.")
          return false
        })
      )
    )
  }

  private verification(session: Session, size: number | null, offered: string | undefined) {
    const { verify } = this.options
    return Effect.gen(this, function* () {
      if (size !== null && size !== content.byteLength) {
        return this.say(
          "verification",
          "no",
          `The server says that it has ${size} bytes of ${content.byteLength}.`,
          "No file would be taken for delivered. Look for what changes files there."
        )
      }
      const asked = session.hash?.(this.at(this.task.temp)) ?? nothing
      const hash = offered ?? (yield* Effect.catchTag(asked, "PermanentError", () => nothing))
      if (hash !== undefined && hash !== sha256) {
        return this.say(
          "verification",
          "no",
          "The server's hash is not that of what was stored.",
          "No file would be taken for delivered. Look for what changes files there."
        )
      }
      if (hash !== undefined) {
        return this.say(
          "verification",
          "yes",
          "The server tells the sha256 of a file.",
          "Each file is proved by its hash."
        )
      }
      if (verify === "hash") {
        return this.say(
          "verification",
          "limit",
          `The server has no hash${size === null ? ", and tells no size" : ""}.`,
          "Each file is read back, because of `verify: hash`."
        )
      }
      if (size !== null) {
        return this.say(
          "verification",
          "yes",
          "The server tells the size of a file, and no hash.",
          "Each file is proved by its size. `verify: hash` reads it back."
        )
      }
      if (verify === "size") {
        return this.say(
          "verification",
          "no",
          "The server does not tell the size of a file.",
          "`verify: size` can't be kept. Use `verify: auto`, or let the user list the folder."
        )
      }
      return this.say(
        "verification",
        "limit",
        "The server tells neither hash nor size.",
        "A file counts as delivered when the server says so."
      )
    })
  }

  private mtime(there: Stat | undefined) {
    if (there === undefined || there.mtime === null) {
      return this.say(
        "mtime",
        this.options.conflict === "newer" ? "limit" : "unknown",
        "The server does not tell the time of a file.",
        this.options.conflict === "newer" ? "With `conflict: newer`, what is there already can't be replaced." : ""
      )
    }
    return Math.abs(there.mtime - past) < 1000
      ? this.say("mtime", "yes", "A file keeps its time of modification.")
      : this.say(
          "mtime",
          "limit",
          "A file gets the time of its upload.",
          "`conflict: newer` goes by the time of the upload."
        )
  }

  /** In two parts, as an upload that broke in the middle. */
  private get tryResuming(): Effect.Effect<void> {
    const again = "An upload that breaks begins again."
    const name = this.task.temp
    const half = 20
    return this.trial("resume", again, (session) =>
      Effect.gen(this, function* () {
        if (!session.appends) return this.say("resume", "limit", "Nothing can be appended to a file there.", again)
        yield* this.store(session, name, content.subarray(0, half))
        yield* this.store(session, name, content.subarray(half), half)
        return (yield* this.hashOf(session, this.at(name))) === sha256
          ? this.say("resume", "yes", "Files can be appended to.", "A large upload that breaks goes on where it was.")
          : this.say("resume", "limit", "What is appended does not come behind what is there.", again)
      })
    )
  }

  private get tryRenaming(): Effect.Effect<void> {
    // without an ending: some servers keep names that end in .part for themselves
    const taken = this.task.temp.replace(/\.part$/, "") + "-2"
    const [from, to] = [this.at(this.task.temp), this.at(taken)]
    const no = (reason: string) =>
      this.say("rename", "no", reason, "Nothing can be published. Let the user rename files there.")
    return this.step((session) =>
      Effect.gen(this, function* () {
        yield* this.store(session, taken)
        yield* this.store(session, this.task.temp)
        if ((yield* session.rename(from, to, true)) === "occupied") {
          yield* session.remove(to)
          if ((yield* session.rename(from, to, false)) === "occupied") {
            return no("A file could not be renamed to a name that is free.")
          }
          return this.say(
            "rename",
            "limit",
            "A file can be renamed, but not onto another one.",
            "A file that is replaced is removed first: for a moment there is none."
          )
        }
        yield* this.store(session, this.task.temp)
        const exclusive = (yield* session.rename(from, to, false)) === "occupied"
        const replaces = this.options.conflict === "overwrite" || this.options.conflict === "newer"
        return exclusive || replaces
          ? this.say("rename", "yes", "A rename replaces a file in one step.", "A file is there whole, or not at all.")
          : this.say(
              "rename",
              "limit",
              "A rename replaces a file in one step, also one that has just come.",
              `With \`conflict: ${this.options.conflict}\` filedispatch looks first. A file that comes in between is lost.`
            )
      })
    ).pipe(
      Effect.catchAll((error) =>
        Effect.sync(() => (error._tag === "PermanentError" ? no(error.reason) : this.unknown("rename", error.reason)))
      )
    )
  }

  // names

  private get tryNames(): Effect.Effect<void> {
    const stem = this.task.temp.replace(/\.part$/, "")
    const refused: Array<string> = []
    return Effect.gen(this, function* () {
      let length = 0
      for (const bytes of [255, 200, 143, 100]) {
        if (!(yield* this.takes(stem.padEnd(bytes, "n")))) continue
        length = bytes
        break
      }
      const all = [":", "?", "*", "|", "<", ">", '"']
      // what stands before a colon is a file by itself on NTFS
      const awkward = (characters: string) => `${stem}-${characters}x`
      this.made.add(this.at(`${stem}-`))
      if (!(yield* this.takes(awkward(all.join(""))))) {
        for (const character of all) if (!(yield* this.takes(awkward(character)))) refused.push(character)
      }
      const stranger = yield* this.step((session) => session.stat(this.at(`${stem}-`)))
      if (stranger === undefined) this.made.delete(this.at(`${stem}-`))
      else if (!refused.includes(":")) refused.push(":")
      const bytes = yield* this.takes(`${stem}-\udcff`)
      const problems = Findings.namesRefused(length, refused, bytes)
      this.found.set("names", Findings.names(problems, this.options.names))
    }).pipe(Effect.catchAll((error) => Effect.sync(() => this.unknown("names", error.reason))))
  }

  /** Whether a file of that name can be stored, and is there then; fails only where nothing can be asked any more. */
  private takes(name: string): Effect.Effect<boolean, DeliveryError> {
    if (this.own.refuses(`${this.base}/${name}`) !== undefined) return Effect.succeed(false)
    return this.step((session) =>
      Effect.gen(this, function* () {
        yield* this.store(session, name)
        const there = yield* session.stat(this.at(name))
        yield* session.remove(this.at(name))
        this.made.delete(this.at(name))
        return there !== undefined
      })
    ).pipe(
      Effect.catchIf(
        (error) => this.broken === undefined && isRefusal(error),
        () => Effect.succeed(false)
      )
    )
  }

  private get askSpace(): Effect.Effect<void> {
    return this.trial("space", "", (session) =>
      Effect.map(session.space?.(this.base) ?? nothing, (bytes) =>
        bytes === undefined
          ? this.unknown("space", "The server does not tell how much room there is.")
          : void this.found.set("space", Findings.space(bytes))
      )
    )
  }
}

const nothing: Effect.Effect<undefined> = Effect.sync(() => undefined)

const folder: Stat = { size: null, mtime: null, folder: true }
