/**
 * `undo` by the built program: what was put back is where it was, is nowhere else, and is left alone there.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import Database from "better-sqlite3"
import fs from "node:fs"
import { join } from "node:path"
import { vi } from "vitest"
import * as Process from "../cli/process.ts"
import { freePort } from "../servers/process.ts"
import { list, project, type Project } from "./project.ts"

vi.setConfig({ testTimeout: 300_000 })

const config = (after: string, ...folders: ReadonlyArray<string>) => [
  "db: ./journal.db",
  "log: { level: INFO }",
  "monitor: false",
  `sources: [{ path: ./in, settle: 20ms, rescan: 1s, after: ${after} }]`,
  "folders:",
  ...folders.map((folder) => `  - ${folder}`)
]

/** Each delivery's state, oldest first. */
const states = ({ directory }: Project): ReadonlyArray<string> => {
  const database = new Database(join(directory, "journal.db"), { readonly: true })
  try {
    return database
      .prepare<[], { state: string }>("SELECT state FROM deliveries ORDER BY id")
      .all()
      .map(({ state }) => state)
  } finally {
    database.close()
  }
}

const undo = (of: Project, ...args: ReadonlyArray<string>) => Process.run(["undo", "-c", of.config, ...args])

const read = (...path: ReadonlyArray<string>) => fs.readFileSync(join(...path), "utf8")

describe("undo, where no daemon runs", () => {
  it.scopedLive("puts back what was moved, once, and it stays there until it changes", () =>
    Effect.gen(function* () {
      const all = yield* project(...config("delete", "{ path: ./out }"))
      const { directory, inbox, once, put } = all
      for (const name of ["a.txt", "b.txt"]) put(name, `content of ${name}`)
      expect((yield* once).code).toBe(0)
      expect(list(join(directory, "out"))).toEqual(["a.txt", "b.txt"])

      const dry = yield* undo(all, "--last", "2", "--dry-run")
      expect(dry).toMatchObject({ code: 0 })
      expect(dry.stderr).toContain("2 would be put back.")
      expect(list(inbox)).toEqual([])

      const done = yield* undo(all, "1", "--json")
      expect(done.code, done.stderr).toBe(0)
      expect(JSON.parse(done.stdout)).toMatchObject([{ id: 1, undone: true, reason: null, notes: [] }])
      const [name = ""] = list(inbox)
      expect(read(inbox, name)).toBe(`content of ${name}`)
      expect(list(directory).filter((path) => path.endsWith(name))).toEqual([`in/${name}`])
      expect([...states(all)].sort()).toEqual(["CANCELLED", "DELIVERED"])

      // it is known: nothing comes of it in another start, nor in a retry of all
      expect((yield* once).code).toBe(0)
      expect((yield* Process.run(["retry", "-c", all.config, "--all"])).stderr).toContain("0 brought back")
      expect((yield* once).code).toBe(0)
      expect(list(inbox)).toEqual([name])
      expect(states(all)).toHaveLength(2)

      const again = yield* undo(all, "1", "99")
      expect(again).toMatchObject({ code: 1, stdout: "" })
      expect(again.stderr).toMatch(/1 is left as it is .*it was undone already/)
      expect(again.stderr).toContain("99 is left as it is: the journal knows no such delivery")

      // on purpose, and then undone once more
      expect((yield* Process.run(["retry", "-c", all.config, "1"])).code).toBe(0)
      expect((yield* once).code).toBe(0)
      expect(list(inbox)).toEqual([])
      expect(read(directory, "out", name)).toBe(`content of ${name}`)
      expect((yield* undo(all, "1")).code).toBe(0)
      // what is written to it since is another file, and is sent
      fs.appendFileSync(join(inbox, name), ", and more")
      expect((yield* once).code).toBe(0)
      expect(read(directory, "out", name)).toBe(`content of ${name}, and more`)
      expect(list(inbox)).toEqual([])
    })
  )

  it.scopedLive("brings an archived file back, and takes it from its local targets", () =>
    Effect.gen(function* () {
      const all = yield* project(
        ...config(
          "{ archive: '$DIR/done/{name}' }",
          "{ path: ./one }",
          "{ path: ./two, compress: gzip }",
          "{ path: ./three }"
        )
      )
      const { directory, inbox, once, put } = all
      put("a.txt", "content")
      expect((yield* once).code).toBe(0)
      expect(list(join(directory, "done"))).toEqual(["a.txt"])
      fs.writeFileSync(join(directory, "three", "a.txt"), "edited there")
      const logged = yield* Process.run(["logs", "-c", all.config, "--json"])
      const entries: ReadonlyArray<{ readonly id: string }> = JSON.parse(logged.stdout)
      const ids = entries.map(({ id }) => id)
      const done = yield* undo(all, ...ids)
      expect(done.code, done.stderr).toBe(0)
      expect(done.stderr).toContain(`${join(directory, "three", "a.txt")} has changed since, and was left as it is`)
      expect(list(directory).filter((path) => path.includes("a.txt"))).toEqual(["in/a.txt", "three/a.txt"])
      expect(read(inbox, "a.txt")).toBe("content")
      const told = yield* Process.run(["explain", "-c", all.config, "--log", ids[0] ?? ""])
      expect(told.stdout).toContain("It was undone on ")
      const after: ReadonlyArray<{ readonly undone?: string }> = JSON.parse(
        (yield* Process.run(["logs", "-c", all.config, "--json"])).stdout
      )
      expect(after.every(({ undone }) => undone !== undefined)).toBe(true)
      expect((yield* once).code).toBe(0)
      expect(list(inbox)).toEqual(["a.txt"])
    })
  )

  it.scopedLive("puts a dead file back, for a retry", () =>
    Effect.gen(function* () {
      const all = yield* project(
        "db: ./journal.db",
        "monitor: false",
        "sources: [{ path: ./in, settle: 20ms, after: delete, marker: '{name}.ok', onDead: { move: '$DIR/dead/{name}' } }]",
        "folders: [{ path: ./out, conflict: fail }]"
      )
      const { directory, inbox, once, put } = all
      fs.mkdirSync(join(directory, "out"))
      fs.writeFileSync(join(directory, "out", "a.txt"), "in the way")
      put("a.txt", "content")
      put("a.txt.ok", "")
      expect((yield* once).code).toBe(1)
      expect(list(join(directory, "dead"))).toEqual(["a.txt", "a.txt.ok"])
      expect((yield* undo(all, "--last", "1")).code).toBe(0)
      expect(list(inbox)).toEqual(["a.txt", "a.txt.ok"])
      expect(list(join(directory, "dead"))).toEqual([])
      expect((yield* once).code).toBe(0)
      expect(states(all)).toEqual(["DEAD"])
      fs.rmSync(join(directory, "out", "a.txt"))
      expect((yield* Process.run(["retry", "-c", all.config, "1"])).code).toBe(0)
      expect((yield* once).code).toBe(0)
      expect(read(directory, "out", "a.txt")).toBe("content")
      expect(list(inbox)).toEqual([])
    })
  )

  it.scopedLive("refuses, and changes nothing, where it would overwrite or lose something", () =>
    Effect.gen(function* () {
      const all = yield* project(
        ...config(
          "delete",
          "{ path: ./out, extensions: [txt] }",
          "{ path: ./packed, extensions: [log], compress: gzip }"
        )
      )
      const { directory, inbox, once, put } = all
      for (const name of ["changed.txt", "gone.txt", "taken.txt", "x.log"]) put(name, name)
      expect((yield* once).code).toBe(0)
      fs.writeFileSync(join(directory, "out", "changed.txt"), "edited there")
      fs.rmSync(join(directory, "out", "gone.txt"))
      put("taken.txt", "the next one", directory)
      fs.renameSync(join(directory, "taken.txt"), join(inbox, "taken.txt"))
      const before = list(directory)
      const done = yield* undo(all, "--last", "9")
      expect(done.code).toBe(1)
      expect(done.stderr).toContain("out/changed.txt has changed since.")
      expect(done.stderr).toContain("out/gone.txt is gone.")
      expect(done.stderr).toContain("there is another file")
      expect(done.stderr).toContain("it was compressed, unpacked or encrypted.")
      expect(done.stderr).toContain("0 put back, 4 refused.")
      expect(list(directory)).toEqual(before)
      expect(read(inbox, "taken.txt")).toBe("the next one")
      expect((yield* undo(all)).code).toBe(2)
      expect((yield* undo(all, "--last", "1", "3")).code).toBe(2)
      expect((yield* undo(all, "seven")).code).toBe(2)
    })
  )
})

describe("undo, where a daemon runs", () => {
  it.scopedLive("is done by the daemon, which sends it no more, also after a restart", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const all = yield* project(`http: { port: ${port} }`, ...config("delete", "{ path: ./out }", "{ path: ./two }"))
      const { directory, inbox, put } = all
      const start = Effect.gen(function* () {
        const running = yield* Process.filedispatch(["-c", all.config])
        yield* Process.until(
          () => running.stderr().includes("is watched"),
          () => running.stderr()
        )
        return running
      })
      const scans = (running: Process.Running, count: number) =>
        Effect.promise(async () => {
          // with a file more, so that it is known that the watcher and the scans have looked since
          for (let number = 0; number < count; number += 1) {
            const name = `probe-${running.pid}-${number}`
            put(name, name)
            const deadline = Date.now() + 60_000
            while (!fs.existsSync(join(directory, "two", name))) {
              if (Date.now() > deadline) throw new Error(running.stderr())
              await new Promise((resolve) => setTimeout(resolve, 50))
            }
            await new Promise((resolve) => setTimeout(resolve, 1200))
          }
        })
      const running = yield* start
      put("a.txt", "content")
      yield* Process.until(
        () => fs.existsSync(join(directory, "two", "a.txt")) && list(inbox).length === 0,
        () => running.stderr()
      )
      yield* Process.until(
        () => running.stderr().includes("Delivered a.txt"),
        () => running.stderr()
      )
      const events = yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}/api/v1/events`))
      const reader = events.body?.getReader()
      const done = yield* undo(all, "1")
      expect(done.code, done.stderr).toBe(0)
      expect(list(directory).filter((path) => path.endsWith("a.txt"))).toEqual(["in/a.txt"])
      let told = ""
      while (!told.includes("CANCELLED")) {
        const chunk = yield* Effect.promise(async () => reader?.read())
        told += new TextDecoder().decode(chunk?.value)
        if (chunk?.done !== false) break
      }
      expect(told).toContain("CANCELLED")
      yield* Effect.promise(async () => reader?.cancel())
      const view = yield* Effect.promise(async () =>
        (await fetch(`http://127.0.0.1:${port}/api/v1/deliveries/1`)).json()
      )
      expect(view).toMatchObject({ state: "CANCELLED", receipt: null, undone: expect.any(String) })
      const refused = yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${port}/api/v1/deliveries/1/undo`, { method: "POST" })
      )
      expect(refused.status).toBe(409)

      yield* scans(running, 2)
      expect(list(inbox)).toEqual(["a.txt"])
      expect(list(join(directory, "out"))).not.toContain("a.txt")
      yield* running.kill("SIGKILL")
      yield* running.ended

      const second = yield* start
      yield* scans(second, 2)
      expect(list(inbox)).toEqual(["a.txt"])
      expect(list(join(directory, "out"))).not.toContain("a.txt")

      fs.appendFileSync(join(inbox, "a.txt"), " and more")
      yield* Process.until(
        () => list(inbox).length === 0 && fs.existsSync(join(directory, "two", "a.txt")),
        () => second.stderr()
      )
      expect(read(directory, "out", "a.txt")).toBe("content and more")
    })
  )
})
