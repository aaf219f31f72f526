import { execFileSync } from "node:child_process"
import { appendFileSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as KnownHosts from "../../../src/deliver/destination/KnownHosts.ts"
import { fingerprintOf, hasOpenssh, makeKey, publicKey, tempFolder } from "../../servers/openssh.ts"

/** A key that is none, but has the form of one. */
const keyOf = (type: string, seed: number): Buffer => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(type.length)
  return Buffer.concat([length, Buffer.from(type), Buffer.alloc(32, seed)])
}

const ed25519 = keyOf("ssh-ed25519", 1)
const other = keyOf("ssh-ed25519", 2)
const rsa = keyOf("ssh-rsa", 3)
const line = (hosts: string, key: Buffer, marker = "") =>
  `${marker}${marker === "" ? "" : " "}${hosts} ${KnownHosts.typeOf(key)} ${key.toString("base64")} a comment`

const verdict = (text: string, host: string, port: number, key: Buffer) =>
  KnownHosts.check(KnownHosts.parse(text, "known_hosts"), host, port, key)

describe("known hosts", () => {
  const cases: ReadonlyArray<readonly [string, string, string, number, string]> = [
    ["a plain name", line("example.org", ed25519), "example.org", 22, "Known"],
    ["a name in other letters", line("Example.org", ed25519), "EXAMPLE.org", 22, "Known"],
    ["one of several names", line("a,example.org,192.0.2.1", ed25519), "192.0.2.1", 22, "Known"],
    ["a port of its own", line("[example.org]:2222", ed25519), "example.org", 2222, "Known"],
    ["the name of another port", line("[example.org]:2222", ed25519), "example.org", 22, "Unknown"],
    ["its key at the usual port", line("example.org", ed25519), "example.org", 2222, "Known"],
    [
      "its key at the usual port, and another at this one",
      `${line("example.org", ed25519)}\n${line("[example.org]:2222", other)}`,
      "example.org",
      2222,
      "Changed"
    ],
    ["another key at the usual port", line("example.org", other), "example.org", 2222, "Unknown"],
    ["a pattern", line("*.example.org", ed25519), "a.b.example.org", 22, "Known"],
    ["a pattern of one letter", line("host?.example.org", ed25519), "host1.example.org", 22, "Known"],
    ["a pattern that is too short", line("host?.example.org", ed25519), "host12.example.org", 22, "Unknown"],
    ["a pattern with an exception", line("*.example.org,!bad.example.org", ed25519), "bad.example.org", 22, "Unknown"],
    ["beside the exception", line("*.example.org,!bad.example.org", ed25519), "good.example.org", 22, "Known"],
    ["another key", line("example.org", other), "example.org", 22, "Changed"],
    ["a key of another kind", line("example.org", rsa), "example.org", 22, "Changed"],
    ["several keys", `${line("example.org", rsa)}\n${line("example.org", ed25519)}`, "example.org", 22, "Known"],
    ["a revoked key", line("example.org", ed25519, "@revoked"), "example.org", 22, "Revoked"],
    [
      "a key that is known, and revoked for all",
      `${line("example.org", ed25519)}\n${line("*", ed25519, "@revoked")}`,
      "example.org",
      22,
      "Revoked"
    ],
    ["an authority", line("*.example.org", ed25519, "@cert-authority"), "a.example.org", 22, "Unknown"],
    ["a comment", `# ${line("example.org", ed25519)}`, "example.org", 22, "Unknown"],
    ["an unknown marker", line("example.org", ed25519, "@what"), "example.org", 22, "Unknown"],
    ["a broken line", `example.org ssh-ed25519\n${line("example.org", ed25519)}`, "example.org", 22, "Known"],
    [
      "a key that is not what it says",
      line("example.org", ed25519).replace("ssh-ed25519", "ssh-rsa"),
      "example.org",
      22,
      "Unknown"
    ],
    [
      "tabs and a line end of DOS",
      `${line("example.org", ed25519).replaceAll(" ", "\t")}\r`,
      "example.org",
      22,
      "Known"
    ],
    ["nothing", "", "example.org", 22, "Unknown"]
  ]
  it.each(cases)("%s", (_, text, host, port, tag) => {
    expect(verdict(text, host, port, ed25519)._tag).toBe(tag)
  })

  it("names the line", () => {
    const found = verdict(`# a comment\n\n${line("example.org", other)}`, "example.org", 22, ed25519)
    expect(found).toMatchObject({ _tag: "Changed", entries: [{ file: "known_hosts", line: 3 }] })
  })

  it("takes no time over a hostile pattern", () => {
    const before = performance.now()
    const text = line(`${"*a".repeat(60)}b`, ed25519)
    expect(verdict(text, "a".repeat(250), 22, ed25519)._tag).toBe("Unknown")
    expect(performance.now() - before).toBeLessThan(500)
  })

  it("asks first for the kinds of keys that are known", () => {
    const supported = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"]
    const ask = (text: string, port: number) =>
      KnownHosts.algorithms(KnownHosts.parse(text, "known_hosts"), "example.org", port, supported)
    expect(ask(line("example.org", rsa), 22)).toEqual([
      "rsa-sha2-512",
      "rsa-sha2-256",
      "ssh-ed25519",
      "ecdsa-sha2-nistp256"
    ])
    expect(ask(line("example.org", rsa), 2222)[0]).toBe("rsa-sha2-512")
    expect(ask("", 22)).toEqual(supported)
  })

  it.scopedLive("adds a key to a file of its own, which nobody else may write", () =>
    Effect.gen(function* () {
      const file = join(yield* tempFolder("filedispatch-hosts-"), "new", "known_hosts")
      yield* Effect.promise(() => KnownHosts.add(file, "Example.org", 2222, ed25519))
      expect(statSync(file).mode & 0o777).toBe(0o600)
      expect(readFileSync(file, "utf8")).toBe(`[example.org]:2222 ssh-ed25519 ${ed25519.toString("base64")}\n`)
      appendFileSync(file, "# no end of line")
      yield* Effect.promise(() => KnownHosts.add(file, "example.org", 22, rsa))
      expect(readFileSync(file, "utf8").split("\n")).toHaveLength(4)
      const entries = yield* Effect.promise(() => KnownHosts.read([file, `${file}.missing`]))
      expect(KnownHosts.check(entries, "example.org", 22, rsa)._tag).toBe("Known")
    })
  )

  describe.skipIf(!hasOpenssh)("as OpenSSH's own tools have them", () => {
    it.scopedLive("hashed names and fingerprints", () =>
      Effect.gen(function* () {
        const folder = yield* tempFolder("filedispatch-hosts-")
        const key = makeKey(folder, "id", "ed25519")
        const blob = Buffer.from(publicKey(key).split(" ")[1] ?? "", "base64")
        const file = join(folder, "known_hosts")
        writeFileSync(file, `example.org ${publicKey(key)}\n[127.0.0.1]:2222 ${publicKey(key)}\n`)
        execFileSync("ssh-keygen", ["-H", "-f", file], { stdio: "ignore" })
        expect(readFileSync(file, "utf8")).toMatch(/^\|1\|/)
        const entries = yield* Effect.promise(() => KnownHosts.read([file]))
        expect(KnownHosts.check(entries, "example.org", 22, blob)._tag).toBe("Known")
        expect(KnownHosts.check(entries, "127.0.0.1", 2222, blob)._tag).toBe("Known")
        expect(KnownHosts.check(entries, "example.com", 22, blob)._tag).toBe("Unknown")
        expect(KnownHosts.fingerprint(blob)).toBe(fingerprintOf(key))
      })
    )
  })
})
