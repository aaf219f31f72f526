import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { join } from "node:path"
import { PauseRepo } from "../../src/store/PauseRepo.ts"
import * as Process from "../cli/process.ts"
import { pauseContract } from "../contracts/pause.ts"
import { inFile, inMemory, sqlite } from "./stores.ts"

pauseContract("in memory", inMemory)
pauseContract("in SQLite", sqlite(":memory:"))
pauseContract("in a file", inFile)

it.scopedLive("a pause outlives the program", () =>
  Effect.gen(function* () {
    const file = join(yield* Process.directory, "journal.db")
    yield* Effect.provide(
      Effect.flatMap(PauseRepo, (pauses) => pauses.pause("lane", "file:/", 1)),
      sqlite(file)
    )
    const kept = yield* Effect.provide(
      Effect.flatMap(PauseRepo, (pauses) => pauses.all("lane")),
      sqlite(file)
    )
    expect(Array.from(kept)).toEqual([["file:/", 1]])
  })
)
