/** Secrets, every form in which one could show, and the search for them. */
import fs from "node:fs"
import { join } from "node:path"

/** What is looked for: the secret's name and form, and its bytes as Latin-1. */
export interface Needle {
  readonly what: string
  readonly text: string
}

/** All forms of these secrets. Each is at least 12 characters long, so that no form shows by accident. */
export const needles = (secrets: Readonly<Record<string, string>>): ReadonlyArray<Needle> =>
  Object.entries(secrets).flatMap(([name, secret]) => {
    const bytes = Buffer.from(secret)
    const latin = (text: string) => Buffer.from(text).toString("latin1")
    const percent = encodeURIComponent(secret)
    const every = Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")
    const forms: Readonly<Record<string, string>> = {
      plain: latin(secret),
      "percent-encoded": percent,
      "percent-encoded in lower case": percent.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()),
      "percent-encoded all over": every,
      "percent-encoded all over in capitals": every.toUpperCase(),
      JSON: latin(JSON.stringify(secret).slice(1, -1)),
      "JSON twice": latin(JSON.stringify(JSON.stringify(secret).slice(1, -1)).slice(1, -1)),
      "JSON in ASCII": JSON.stringify(secret)
        .slice(1, -1)
        .replace(/[^ -~]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`),
      HTML: latin(secret.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;")),
      "as Latin-1": Buffer.from(secret, "latin1").toString("latin1"),
      "as UTF-16": Buffer.from(secret, "utf16le").toString("latin1"),
      reversed: Buffer.from(Array.from(secret).reverse().join("")).toString("latin1"),
      hex: bytes.toString("hex"),
      "hex in capitals": bytes.toString("hex").toUpperCase()
    }
    const all = Object.entries(forms)
    // whatever stands before it: what of it does not depend on that, nor on what follows
    for (const before of [0, 1, 2]) {
      const encoded = Buffer.concat([Buffer.alloc(before), bytes])
      const whole = [Math.ceil((before * 8) / 6), Math.floor((encoded.length * 8) / 6)] as const
      all.push([`base64, ${before} before it`, encoded.toString("base64").slice(...whole)])
      all.push([`base64url, ${before} before it`, encoded.toString("base64url").slice(...whole)])
    }
    const seen = new Set<string>()
    return all.flatMap(([form, text]) => {
      if (seen.has(text)) return []
      seen.add(text)
      return [{ what: `${name}, ${form}`, text }]
    })
  })

/** Where they show: what was searched, what was found, and what stands around it. */
export const find = (
  places: Readonly<Record<string, string | Buffer>>,
  wanted: ReadonlyArray<Needle>
): ReadonlyArray<string> =>
  Object.entries(places).flatMap(([place, content]) => {
    const text = typeof content === "string" ? Buffer.from(content).toString("latin1") : content.toString("latin1")
    return wanted.flatMap(({ text: needle, what }) => {
      const at = text.indexOf(needle)
      return at < 0 ? [] : [`${place}: ${what}: …${text.slice(Math.max(0, at - 60), at + needle.length + 20)}…`]
    })
  })

/** Every file below a directory, with its name: a secret may stand in either. */
export const filesOf = (directory: string): Readonly<Record<string, Buffer>> => {
  const places: Record<string, Buffer> = {}
  for (const entry of fs.readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    const content = entry.isFile() ? read(path) : Buffer.alloc(0)
    places[`the file ${path.slice(directory.length + 1)}`] = Buffer.concat([Buffer.from(`${path}\n`), content])
  }
  return places
}

const read = (path: string): Buffer => {
  try {
    return fs.readFileSync(path)
  } catch {
    // it has just gone
    return Buffer.alloc(0)
  }
}

/** The arguments of a process and of all its descendants, the environment of the descendants, and how many there are. */
export const processesOf = (
  pid: number
): { readonly places: Readonly<Record<string, Buffer>>; readonly children: number } => {
  const places: Record<string, Buffer> = {}
  let children = 0
  const visit = (id: number, depth: number): void => {
    try {
      places[`the arguments of process ${id}`] = fs.readFileSync(`/proc/${id}/cmdline`)
      // its own environment is where the user has put them
      if (depth > 0) {
        children += 1
        places[`the environment of child ${id}`] = fs.readFileSync(`/proc/${id}/environ`)
      }
      for (const task of fs.readdirSync(`/proc/${id}/task`)) {
        const list = fs.readFileSync(`/proc/${id}/task/${task}/children`, "utf8").split(" ").filter(Boolean)
        for (const child of list) visit(Number(child), depth + 1)
      }
    } catch {
      // it has just ended
    }
  }
  visit(pid, 0)
  return { places, children }
}
