/**
 * A kill within the process: from one moment on, nothing of what the program does has any effect any more, on the disk,
 * at the server or in the journal. What it still does then is done to nobody; it is left to itself, and a new one starts
 * over what is there.
 */
import { Context, Effect, Layer, Option } from "effect"
import fs from "node:fs"
import * as Destination from "../../src/deliver/Destination.ts"
import * as Staging from "../../src/deliver/Staging.ts"
import { TransientError } from "../../src/domain/DeliveryError.ts"
import { Files } from "../../src/files/Files.ts"
import * as FilesDirect from "../../src/files/FilesDirect.ts"
import type { Journal } from "../../src/store/Journal.ts"

/** Counts what is done, and ends it all at the n-th. */
export interface Gate {
  /** Every step so far, for people: "before journal.admit". */
  readonly steps: ReadonlyArray<string>
  readonly dead: () => boolean
  readonly kill: () => void
  /** Before and after what it stands in front of; never comes back where the program is dead. */
  readonly around: <A, E, R>(what: string, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** The same for what is done at once. */
  readonly sync: <A>(what: string, run: () => A) => A
}

export const makeGate = (at: number): Gate => {
  const steps: Array<string> = []
  let dead = false
  const step = (what: string): boolean => {
    if (!dead) {
      steps.push(what)
      dead = steps.length > at
    }
    return dead
  }
  return {
    steps,
    dead: () => dead,
    kill: () => {
      dead = true
    },
    around: (what, effect) =>
      Effect.suspend(() => {
        if (step(`before ${what}`)) return Effect.never
        return Effect.flatMap(Effect.exit(effect), (exit) => (step(`after ${what}`) ? Effect.never : exit))
      }),
    sync: (what, run) => {
      if (step(`before ${what}`)) throw new Error("killed")
      const answer = run()
      if (step(`after ${what}`)) throw new Error("killed")
      return answer
    }
  }
}

/** What changes the disk, of node's own calls. */
const changing = [
  ...(["renameSync", "linkSync", "unlinkSync", "rmdirSync", "mkdirSync", "fsyncSync", "writeSync"] as const),
  ...(["copyFileSync", "futimesSync", "fchmodSync", "ftruncateSync"] as const)
]

/** Runs with a gate before and after each call of the file system. For what is done on this thread. */
export const withGatedCalls = <A, E, R>(gate: Gate, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() =>
      changing.map((name) => {
        const original: unknown = Reflect.get(fs, name)
        Reflect.set(fs, name, (...given: ReadonlyArray<unknown>): unknown => {
          if (typeof original !== "function") return undefined
          return gate.sync(name, (): unknown => Reflect.apply(original, fs, given))
        })
        return { name, original }
      })
    ),
    () => effect,
    (originals) =>
      Effect.sync(() => {
        for (const { name, original } of originals) Reflect.set(fs, name, original)
      })
  )

/** What changes the journal. All else is only kept from a program that is dead. */
const committing: ReadonlySet<string> = new Set(
  "admit,ruleset,claim,release,choose,note,cleared,conclude,disposed,moved,archived,recover,unblock".split(",")
)

/** A service of which each answer, and each method's, goes by `behind`. */
const through = <A extends object>(service: A, behind: (name: string, answer: unknown) => unknown): A =>
  new Proxy(service, {
    get: (target, key): unknown => {
      const name = String(key)
      const member: unknown = Reflect.get(target, key)
      if (typeof member !== "function") return behind(name, member)
      return (...given: ReadonlyArray<unknown>): unknown => behind(name, Reflect.apply(member, target, given))
    }
  })

const unlessDead = (gate: Gate, answer: unknown): unknown =>
  Effect.isEffect(answer) ? Effect.suspend(() => (gate.dead() ? Effect.never : answer)) : answer

export const gatedJournal =
  (gate: Gate) =>
  (journal: Context.Tag.Service<Journal>): Context.Tag.Service<Journal> =>
    through(journal, (name, answer) =>
      Effect.isEffect(answer) && committing.has(name)
        ? gate.around(`journal.${name}`, answer)
        : unlessDead(gate, answer)
    )

/** On this thread, call by call behind the gate while {@link withGatedCalls} runs; nothing comes of it afterwards. */
export const gatedFiles = (gate: Gate): Layer.Layer<Files> =>
  Layer.map(FilesDirect.layer, (context) => {
    const files = Context.get(context, Files)
    const copier: typeof files.copier = (threads) =>
      Effect.map(files.copier(threads), (one) => through(one, (_, answer) => unlessDead(gate, answer)))
    return Context.make(
      Files,
      through({ ...files, copier }, (_, answer) => unlessDead(gate, answer))
    )
  })

interface File {
  readonly bytes: Buffer
  readonly mtime: number
}

/** A server in memory, with folders, temp names and renames, that outlives the programs. */
export interface Server {
  /** By absolute path. */
  readonly files: ReadonlyMap<string, File>
  /** How often a file was sent to each path, as a whole or in part. */
  readonly sent: ReadonlyMap<string, number>
  /** It, as the destination of `test://server/…`, behind a gate. */
  readonly destination: (gate: Gate) => Layer.Layer<never, never, Destination.Destinations>
}

export const makeServer = (): Server => {
  const files = new Map<string, File>()
  const folders = new Set<string>()
  const sent = new Map<string, number>()
  const session = (gate: Gate): Staging.Session => {
    const step = <A>(what: string, run: () => A) => gate.around(`server.${what}`, Effect.sync(run))
    return {
      home: Effect.succeed("/home"),
      appends: true,
      hash: undefined,
      stat: (path) =>
        Effect.suspend((): Effect.Effect<Staging.Stat | undefined> => {
          if (gate.dead()) return Effect.never
          const file = files.get(path)
          if (file !== undefined) {
            return Effect.succeed({ size: file.bytes.byteLength, mtime: file.mtime, folder: false })
          }
          return Effect.succeed(folders.has(path) ? { size: null, mtime: null, folder: true } : undefined)
        }),
      store: ({ body, content, mtime, offset, path }) =>
        Effect.gen(function* () {
          const begin = (files.get(path)?.bytes ?? Buffer.of()).subarray(0, offset)
          sent.set(path, (sent.get(path) ?? 0) + 1)
          const all =
            content ??
            (yield* Effect.tryPromise({
              try: async () => {
                const chunks: Array<Uint8Array> = []
                for await (const chunk of body) chunks.push(Buffer.from(chunk))
                return Buffer.concat(chunks)
              },
              catch: (error) => new TransientError({ reason: String(error), cause: Option.none() })
            }))
          const middle = Math.floor(all.byteLength / 2)
          yield* step("store of the first half", () =>
            files.set(path, { bytes: Buffer.concat([begin, all.subarray(0, middle)]), mtime })
          )
          yield* step("store of the other half", () => files.set(path, { bytes: Buffer.concat([begin, all]), mtime }))
          return { said: "stored" }
        }),
      remove: (path) => step("remove", () => void files.delete(path)),
      rename: (from, to, overwrite) =>
        step("rename", () => {
          const file = files.get(from)
          if (file === undefined) throw new Error(`there is no ${from}`)
          if (files.has(to) && !overwrite) return "occupied"
          files.delete(from)
          files.set(to, file)
          return "renamed"
        }),
      makeFolder: (path) => step("makeFolder", () => void folders.add(path)),
      names: (folder) =>
        Effect.sync(() =>
          Array.from(files.keys(), (path) => path.slice(folder.length + 1)).filter((name) => !name.includes("/"))
        ),
      read: (path, offset, receive) =>
        Effect.suspend(() => {
          if (gate.dead()) return Effect.never
          receive(files.get(path)?.bytes.subarray(offset) ?? Buffer.of())
          return Effect.void
        })
    }
  }
  return {
    files,
    sent,
    destination: (gate) =>
      Destination.layer(
        Effect.succeed({
          schemes: ["test"],
          protocol: "test",
          worker: "Test worker",
          conflicts: ["overwrite", "skip", "rename", "fail", "newer", "backup"],
          open: (lane, options) =>
            Staging.open(
              {
                sessions: () => Effect.succeed({ get: () => Effect.sync(() => session(gate)) }),
                refuses: () => undefined,
                drains: true
              },
              lane,
              options
            )
        })
      )
  }
}
