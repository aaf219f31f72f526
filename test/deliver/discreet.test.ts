import { expect, it } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import { LaneDownError } from "../../src/domain/DeliveryError.ts"
import { noSecrets } from "../../src/domain/Settings.ts"
import type { Destination, ProbeTask } from "../../src/deliver/Destination.ts"
import { discreet } from "../../src/deliver/Discreet.ts"
import { delivery } from "../http/testServer.ts"

const password = "p@ss/wörd1"
const task: ProbeTask = {
  target: delivery(1).target,
  secrets: { ...noSecrets, password: Option.some(Redacted.make(password)) },
  temp: "t"
}

/** What people read of a finding in which a server says this. */
const told = (said: string) =>
  Effect.gen(function* () {
    const talkative: Destination = {
      schemes: ["ftp"],
      protocol: "ftp",
      worker: "FTP worker",
      conflicts: ["overwrite"],
      open: () =>
        Effect.succeed({
          deliver: () => Effect.fail(new LaneDownError({ reason: said, cause: Option.some(new Error(said)) })),
          recover: () => Effect.succeedNone,
          probe: () => Effect.succeed([{ what: "reachable", state: "no", found: said, therefore: said }])
        })
    }
    const { probe } = yield* discreet(talkative).open("lane", { concurrency: 1, sync: false })
    const findings = probe === undefined ? [] : yield* probe(task)
    return findings[0]?.found
  })

it.scoped("what a server repeats of a secret is left out, however it spells it", () =>
  Effect.gen(function* () {
    for (const form of [
      password,
      encodeURIComponent(password),
      Buffer.from(password).toString("latin1"),
      Buffer.from(password).toString("hex"),
      Buffer.from(password).toString("base64").replace(/=+$/, ""),
      // cut by a limit
      password.slice(0, 9)
    ]) {
      expect([form, yield* told(`530 ${form} is wrong, ${form}!`)]).toEqual([form, "530 … is wrong, …!"])
    }
    const basic = Buffer.from(`user:${password}`).toString("base64")
    expect(yield* told(`no: Basic ${basic}`)).not.toContain(basic.slice(0, 12))
    expect(yield* told("530 Login incorrect.")).toBe("530 Login incorrect.")
  })
)
