/** The oracles of the kill loop and of hostile names, shown what they are to find: a test whose oracle sees nothing would prove nothing. */
import { describe, expect, it } from "@effect/vitest"
import { generateX25519Identity } from "age-encryption"
import { Effect } from "effect"
import fs from "node:fs"
import { request } from "node:http"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import * as Process from "../cli/process.ts"
import type { Delivery } from "./journalCopy.ts"
import { outcomeOf } from "./killOutcome.ts"
import { append, sha256 } from "./manifest.ts"
import { judgeNames, nothingWrong } from "./namesOracle.ts"
import { startOracles, type Place } from "./oracles.ts"

const temp = `.fd-${"x".repeat(20)}.part`

const setUp = Effect.gen(function* () {
  const directory = yield* Process.directory
  const identity = yield* Effect.promise(() => generateX25519Identity())
  const oracles = yield* startOracles
  const folder = (name: string) => join(directory, name)
  for (const name of ["in", "kept", "out", "packed"]) fs.mkdirSync(folder(name))
  const manifest = folder("manifest")
  fs.writeFileSync(manifest, "")
  const plain = { suffix: "", decode: "none", holds: "all" } as const
  const places: ReadonlyArray<Place> = [
    { ...plain, name: "out", at: { folder: folder("out") } },
    { ...plain, name: "packed", at: { folder: folder("packed") }, suffix: ".gz", decode: "gzip" },
    { ...plain, name: "http", at: "http" }
  ]
  yield* oracles.watch({
    manifest,
    identity,
    sources: [
      { folder: folder("in"), kept: false },
      { folder: folder("kept"), kept: true }
    ],
    places
  })

  /** A file of that content in a source, as the writer brings it. */
  const put = (path: string, version: number, content: string, source: 0 | 1 = 0) => {
    append(manifest, { is: "version", path, version, sha256: sha256(Buffer.from(content)) })
    const file = join(folder(source === 0 ? "in" : "kept"), path)
    fs.writeFileSync(`${file}.new`, content)
    fs.renameSync(`${file}.new`, file)
    append(manifest, { is: "there", path, version, source, ino: fs.statSync(file).ino })
  }
  const upload = (path: string, content: string, length = content.length) =>
    Effect.async<void>((resume) => {
      const headers = { "content-length": length }
      const sent = request({ port: oracles.http, method: "PUT", path: `/in/${path}`, headers }, (answer) => {
        answer.resume().once("end", () => resume(Effect.void))
      })
      sent.once("error", () => resume(Effect.void))
      if (length === content.length) sent.end(content)
      else sent.write(content, () => sent.destroy())
    })
  /** To all three places, whole. */
  const deliver = (path: string, content: string) => {
    fs.writeFileSync(join(folder("out"), temp), content)
    fs.renameSync(join(folder("out"), temp), join(folder("out"), path))
    fs.writeFileSync(join(folder("packed"), temp), gzipSync(content))
    fs.renameSync(join(folder("packed"), temp), join(folder("packed"), `${path}.gz`))
    return upload(path, content)
  }
  const said = Effect.map(oracles.report, ({ violations }) => violations.map(({ what }) => what))
  return { deliver, folder, oracles, put, said, upload }
})

it.scopedLive("the oracles are content with files that arrive whole, and with sources that go then", () =>
  Effect.gen(function* () {
    const { deliver, folder, oracles, put, said, upload } = yield* setUp
    put("a", 1, "one")
    yield* deliver("a", "one")
    fs.rmSync(join(folder("in"), "a"))
    // replaced while it is under way: the newer version proves the older
    put("b", 1, "one")
    put("b", 2, "two")
    fs.writeFileSync(join(folder("out"), temp), "tw")
    yield* upload("b", "tw", 3)
    yield* deliver("b", "two")
    fs.rmSync(join(folder("in"), "b"))
    // on its way to where it belongs, and there
    put("c", 1, "three")
    yield* deliver("c", "three")
    fs.rmSync(join(folder("out"), "c"))
    fs.renameSync(join(folder("in"), "c"), join(folder("out"), temp))
    yield* oracles.report
    fs.renameSync(join(folder("out"), temp), join(folder("out"), "c"))
    expect(yield* said).toEqual([])
    expect(yield* oracles.report).toMatchObject({ gone: 3, broken: 1, puts: 3 })
  })
)

it.scopedLive("the oracles see a part of a file, whatever becomes of it later, and names that nobody made", () =>
  Effect.gen(function* () {
    const { deliver, folder, oracles, put, said, upload } = yield* setUp
    for (const path of ["a", "b", "c"]) put(path, 1, "whole")
    const partial = join(folder("out"), "a")
    fs.writeFileSync(partial, "wh")
    const sightings = () => oracles.status().sightings
    yield* Process.until(
      () => sightings() >= 1,
      () => "the part was not seen"
    )
    fs.writeFileSync(join(folder("packed"), "b.gz"), gzipSync("whole").subarray(0, 20))
    yield* upload("c", "who")
    yield* Process.until(
      () => sightings() >= 3,
      () => "the parts were not seen"
    )
    for (const path of ["a", "b", "c"]) yield* deliver(path, "whole")
    fs.mkdirSync(join(folder("out"), "below"))
    fs.writeFileSync(join(folder("out"), "below", "a"), "whole")
    fs.writeFileSync(join(folder("packed"), "a"), gzipSync("whole"))
    fs.writeFileSync(join(folder("out"), "a (1)"), "whole")
    const all = (yield* said).join("\n")
    expect(all).toMatch(/^a at out is not whole/m)
    expect(all).toMatch(/^b at packed is not whole: it can't be decoded/m)
    expect(all).toMatch(/^c at http is not whole/m)
    expect(all).toMatch(/^below\/a at out was never produced/m)
    expect(all).toMatch(/^a \(1\) at out was never produced/m)
    expect(all).toMatch(/at packed was never produced/m)
    // one that is written in place may be seen more than once
    expect(new Set(all.split("\n").map((line) => line.split(" ", 3).join(" "))).size).toBeGreaterThanOrEqual(6)
  })
)

it.scopedLive("the oracles see a source that goes too early, though all is delivered in the end", () =>
  Effect.gen(function* () {
    const { deliver, folder, oracles, put, said } = yield* setUp
    const goesEarly = (path: string, source = "in") =>
      Effect.gen(function* () {
        // one that it does not know of yet would be taken for its older version
        const { gone } = yield* oracles.report
        fs.rmSync(join(folder(source), path))
        yield* Process.until(
          () => oracles.status().gone > gone,
          () => `nobody saw that ${path} is gone`
        )
      })
    // nowhere yet
    put("a", 1, "one")
    yield* goesEarly("a")
    yield* deliver("a", "one")
    // one of three has it
    put("b", 1, "one")
    fs.writeFileSync(join(folder("out"), temp), "one")
    fs.renameSync(join(folder("out"), temp), join(folder("out"), "b"))
    yield* goesEarly("b")
    yield* deliver("b", "one")
    // an older version
    put("c", 1, "one")
    yield* deliver("c", "one")
    put("c", 2, "two")
    yield* goesEarly("c")
    yield* deliver("c", "two")
    // one that was to stay
    put("d", 1, "one", 1)
    yield* deliver("d", "one")
    yield* goesEarly("d", "kept")
    expect(yield* said).toEqual([
      "a (version 1) was gone, and out, packed, http did not hold it",
      "b (version 1) was gone, and packed, http did not hold it",
      "c (version 2) was gone, and out, packed, http did not hold it",
      "d (version 1) was gone, though it was to be kept"
    ])
  })
)

it.scopedLive("what is wrong in the end is found: nothing lost, doubled or left lying about goes unseen", () =>
  Effect.gen(function* () {
    const directory = yield* Process.directory
    const folder = (name: string) => join(directory, name)
    for (const name of ["in", "out", "journal.db.spool"]) fs.mkdirSync(folder(name))
    const place: Place = { name: "out", at: { folder: folder("out") }, suffix: "", decode: "none", holds: "all" }
    const file = (path: string) => [path, { path, source: 0, version: 1, sha256: path, size: 1 }] as const
    const delivery: Delivery = {
      id: 1,
      path: "a",
      target: 1,
      lane: "",
      state: "DELIVERED",
      generation: "DISPOSED",
      traces: 0,
      succeeded: 1,
      failed: 0
    }
    const find = (held: Record<string, string>, deliveries: ReadonlyArray<Delivery>, unfinished = 0) =>
      outcomeOf({
        writer: { files: new Map([file("a")]), loose: new Set(), versionsOf: () => 1 },
        report: {
          violations: [],
          held: { out: held },
          unfinished,
          sightings: 0,
          gone: 0,
          underWay: 0,
          broken: 0,
          puts: 0
        },
        journal: { check: "ok", deliveries, disposing: 0, entries: 0 },
        places: [place],
        targets: 1,
        directory,
        sources: [folder("in")],
        kept: false
      })
    const sizes = (outcome: ReturnType<typeof outcomeOf>) =>
      Object.fromEntries(Object.entries(outcome).flatMap(([name, all]) => (all.length > 0 ? [[name, all.length]] : [])))
    const held = { a: "a" }
    expect(sizes(find(held, [delivery]))).toEqual({})
    expect(sizes(find({}, [delivery]))).toEqual({ lost: 1 })
    expect(sizes(find({ a: "older" }, [delivery]))).toEqual({ lost: 1 })
    expect(sizes(find({ ...held, "a (1)": "a" }, [delivery]))).toEqual({ duplicates: 1 })
    expect(sizes(find(held, [delivery, { ...delivery, id: 2 }]))).toEqual({ duplicates: 1 })
    expect(sizes(find(held, [{ ...delivery, succeeded: 2 }]))).toEqual({ duplicates: 1, journal: 1 })
    expect(sizes(find(held, []))).toEqual({ journal: 1 })
    for (const wrong of [
      { state: "PENDING" },
      { state: "DEAD", succeeded: 0, failed: 1 },
      { state: "SUPERSEDED", succeeded: 0 },
      { traces: 1 },
      { generation: "DISPOSING" }
    ]) {
      expect(Object.keys(sizes(find(held, [{ ...delivery, ...wrong }])))).toEqual(["journal"])
    }
    expect(sizes(find(held, [delivery], 1))).toEqual({ temps: 1 })
    for (const left of [`out/${temp}`, "journal.db.spool/x", "being written"]) {
      fs.writeFileSync(folder(left), "")
      expect(sizes(find(held, [delivery])), left).toEqual({ temps: 1 })
      fs.rmSync(folder(left))
    }
    fs.writeFileSync(folder("in/a"), "")
    expect(sizes(find(held, [delivery]))).toEqual({ lost: 1 })
  })
)

describe("the oracle of hostile names", () => {
  const lone = "lone\xfe"
  const right = { paths: ["a b", "d/f", lone], refused: [lone], target: { "a b": "a b", "d/f": "d/f" } }
  /** With a reason for each that is refused, as it is logged. */
  const judge = (
    { refused, target }: { readonly refused: ReadonlyArray<string>; readonly target: Record<string, string> },
    reason = (shown: string) => `/in/${shown} can't be sent to s3://bucket: its name is not UTF-8.`,
    names: "strict" | "portable" = "strict"
  ) =>
    judgeNames({
      paths: right.paths,
      names,
      target: new Map(Object.entries(target).map(([name, content]) => [name, Buffer.from(content, "latin1")])),
      failed: refused.map((path) => {
        const shown = path.replace("\xfe", "\\xfe")
        return { filename: shown.replace(/^.*\//, ""), reason: reason(shown) }
      }),
      mayRefuse: (path) => path === lone
    })

  it("is content with what arrives, or is refused for a reason", () => {
    expect(judge(right)).toEqual(nothingWrong)
    expect(judge({ refused: [], target: { ...right.target, "lone%FE": lone } }, undefined, "portable")).toEqual(
      nothingWrong
    )
  })

  it("sees a name that is dropped, and one whose refusal tells of nothing or of another file", () => {
    expect(judge({ ...right, refused: [] })).toEqual({ ...nothingWrong, missing: ["lone\\xfe"] })
    for (const reason of ["", "/in/a b can't be sent to s3://bucket: it is too long."]) {
      expect(judge(right, () => reason)).toEqual({ ...nothingWrong, missing: ["lone\\xfe"] })
    }
    expect(judge({ ...right, target: { "a b": "a b" } })).toMatchObject({ missing: ["d/f"] })
  })

  it("sees a name that is written wrongly, that is another file's, or that should not be refused", () => {
    const trimmed = { ...right, target: { a: "a b", "d/f": "d/f" } }
    expect(judge(trimmed)).toEqual({ ...nothingWrong, missing: ["a b"], extra: ["a"] })
    const swapped = { ...right, target: { "a b": "d/f", "d/f": "a b" } }
    expect(judge(swapped)).toEqual({ ...nothingWrong, wrong: ["a b", "d/f"] })
    expect(judge({ refused: [lone, "a b"], target: { "d/f": "d/f" } })).toEqual({ ...nothingWrong, unduly: ["a b"] })
    expect(judge({ ...right, refused: [lone, "a b"] })).toEqual({ ...nothingWrong, wrong: ["a b: there, and refused"] })
    const left = { ...right, target: { ...right.target, [temp]: "a" } }
    expect(judge(left)).toEqual({ ...nothingWrong, extra: [temp], temps: [temp] })
    const plain = { refused: [], target: { ...right.target, [lone]: lone } }
    expect(judge(plain, undefined, "portable")).toEqual({ ...nothingWrong, missing: ["lone\\xfe"], extra: [lone] })
  })
})
