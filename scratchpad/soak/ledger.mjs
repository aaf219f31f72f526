/**
 * What goes in and what comes out in the soak: every file with its hash, and where it has arrived.
 */
import { createHash } from "node:crypto"
import fs from "node:fs"
import path from "node:path"

/** Results are looked at, and removed this much later: a program that was killed may look for its last ones again. */
const keepResults = 180_000

const hashOf = (bytes) => createHash("sha256").update(bytes).digest("hex")

/** `targets`: name and folder of those that keep files; `http`: the sink, with a hash for each name. */
export const ledger = ({ http, inbox, random, root, targets }) => {
  /** By name: the hash that is to arrive, and when it has at which target; Infinity: and it was removed. */
  const entries = new Map()
  const totals = { files: 0, bytes: 0, wrong: 0, unknown: 0, results: 0 }
  const complaints = []
  const complain = (text) => {
    if (complaints.length < 20) complaints.push(text)
  }

  /** A new file in the source, whole by a rename. */
  const put = () => {
    const name = `${totals.files % 7}/file ${totals.files}.bin`
    const size = random() < 0.002 ? 6_000_000 : Math.floor(random() ** 4 * 200_000)
    const content = Buffer.alloc(size, `${name} ${random()} `)
    const temp = path.join(root, "being-written")
    fs.writeFileSync(temp, content)
    fs.mkdirSync(path.join(inbox, path.dirname(name)), { recursive: true })
    fs.renameSync(temp, path.join(inbox, name))
    entries.set(name, { hash: hashOf(content), at: new Map() })
    totals.files += 1
    totals.bytes += size
  }

  const result = (place, name, hash, remove, isLast) => {
    const entry = entries.get(name)
    const seen = entry?.at.get(place)
    if (entry === undefined || seen === Infinity) {
      totals.unknown += 1
      complain(`${place}: ${name} ${entry === undefined ? "is nobody's" : "came again"}`)
      remove()
    } else if (seen === undefined) {
      if (hash() !== entry.hash) {
        totals.wrong += 1
        complain(`${place}: ${name} is not what was sent`)
      }
      totals.results += 1
      entry.at.set(place, Date.now())
    } else if (Date.now() - seen > keepResults || isLast) {
      if (isLast && hash() !== entry.hash) {
        totals.wrong += 1
        complain(`${place}: ${name} is not what it was any more`)
      }
      remove()
      entry.at.set(place, Infinity)
    }
  }

  /** Looks at all that is at the targets; answers how many temp files are there. `isLast`: once more at all results. */
  const check = (isLast) => {
    let temps = 0
    for (const [place, folder] of targets) {
      for (const one of fs.readdirSync(folder, { recursive: true, withFileTypes: true })) {
        if (!one.isFile() || one.name === ".filler") continue
        if (one.name.startsWith(".fd-")) {
          temps += 1
          continue
        }
        const file = path.join(one.parentPath, one.name)
        const hash = () => hashOf(fs.readFileSync(file))
        try {
          result(place, path.relative(folder, file), hash, () => fs.rmSync(file), isLast)
        } catch (error) {
          // its disk is read-only for now
          if (error.code !== "EROFS") throw error
        }
      }
    }
    for (const [name, { hash }] of http.results) {
      result(
        "HTTP",
        name,
        () => hash,
        () => http.results.delete(name),
        isLast
      )
    }
    return temps
  }

  return { check, complain, complaints, put, totals }
}
