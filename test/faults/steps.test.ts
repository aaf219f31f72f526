import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { join } from "node:path"
import { vi } from "vitest"
import { gunzipSync } from "node:zlib"
import { noDisks, smallDisk } from "../servers/disk.ts"
import { long, seed } from "./report.ts"
import { emptyJournal, type Scenario } from "./steps.ts"
import { killEverywhere } from "./stepsRun.ts"
import { noStrace } from "./strace.ts"

vi.setConfig({ testTimeout: long ? 3_600_000 : 600_000 })

const bytes = (name: string, size: number): [string, Buffer] => [name, Buffer.alloc(size, `what is in ${name} `)]
const one = new Map([bytes("a.txt", 3000)])
const toOut = (name: string) => join("to", "out", name)

const base = {
  folders: ["{ path: ./to/out, concurrency: 1 }"],
  files: one,
  result: toOut,
  becomes: "kept",
  adopts: true
} as const

/** With a target, or an archive, on a file system of its own. */
const elsewhere: Pick<Scenario, "prepare"> = {
  prepare: ({ directory }) => smallDisk(join(directory, "to", "disk"), "size=1m")
}

const scenarios: ReadonlyArray<Scenario> = [
  { ...base, what: "a copy", journal: "all" },
  { ...base, what: "the first start, with a copy", journal: "only", withoutJournal: true },
  { ...base, what: "three small files at once", files: new Map(["a", "b", "c"].map((name) => bytes(name, 100))) },
  { ...base, what: "a file of 9 MB, copied by the kernel", files: new Map([bytes("big", 9_000_000)]) },
  {
    ...base,
    what: "a copy under a name that was chosen, which overwrites nothing",
    kind: "chosen",
    folders: ["{ path: ./to/out, concurrency: 1, conflict: rename }"]
  },
  { ...base, what: "a move by a rename", kind: "moved", source: "after: delete", becomes: "moved" },
  {
    ...base,
    what: "a copy, after which the source is deleted",
    source: "after: delete",
    folders: ["{ path: ./to/disk/out, concurrency: 1 }"],
    result: (name) => join("to", "disk", "out", name),
    becomes: "deleted",
    // the thread that copies has tried to move it
    unaimed: ["rename in/a.txt in/@a.txt"],
    ...elsewhere
  },
  {
    ...base,
    what: "a copy, after which the source is archived",
    source: 'after: { archive: "$DIR/to/done/2026/{relpath}" }',
    becomes: (name) => join("to", "done", "2026", name)
  },
  {
    ...base,
    what: "a copy, after which the source is archived on another file system",
    source: 'after: { archive: "$DIR/to/disk/done/2026/{relpath}" }',
    becomes: (name) => join("to", "disk", "done", "2026", name),
    ...elsewhere
  },
  {
    ...base,
    what: "a copy that is compressed on the way, after which the source is deleted",
    source: "after: delete",
    becomes: "deleted",
    folders: ["{ path: ./to/out, concurrency: 1, compress: gzip }"],
    result: (name) => join("to", "out", `${name}.gz`),
    reads: (result) => gunzipSync(result),
    // what is done there is counted by threads
    env: { UV_THREADPOOL_SIZE: "1" }
  }
]

describe(`killed at every step, and started again (seed ${seed})`, () => {
  for (const scenario of scenarios) {
    const why = noStrace ?? (scenario.prepare === undefined ? undefined : noDisks)
    it.scopedLive.skipIf(why !== undefined)(why === undefined ? scenario.what : `${scenario.what}: ${why}`, () =>
      Effect.gen(function* () {
        const { order, recording } = yield* killEverywhere(scenario, yield* emptyJournal)
        expect(order.broken).toEqual([])
        expect(recording.unaimed).toEqual(scenario.unaimed ?? [])
        if (scenario.journal !== "only") expect(order.checks).toBeGreaterThan(5)
      })
    )
  }
})
