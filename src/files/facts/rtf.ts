/**
 * The text of a Rich Text Format file (Microsoft, RTF Specification 1.9.1): control words and groups are passed over,
 * characters are Windows-1252 or, by `\u`, Unicode.
 */
import type { Collector } from "./collector.ts"
import { western } from "./encoding.ts"

export const readRtf = (rtf: Uint8Array, into: Collector): void => {
  const source = Buffer.from(rtf.buffer, rtf.byteOffset, rtf.byteLength).toString("latin1")
  const groups: Array<Group> = []
  let group: Group = { hidden: false, fallback: 1 }
  // characters that stand for one that was given by \u already
  let skip = 0
  const put = (text: string): void => {
    if (skip > 0) skip -= 1
    else if (!group.hidden) into.add(text)
  }
  token.lastIndex = 0
  for (let match = token.exec(source); match !== null && !into.full; match = token.exec(source)) {
    const [all, word, number, hex, symbol, text] = match
    if (all === "{") {
      if (groups.length < deepest) groups.push(group)
      group = { ...group }
    } else if (all === "}") {
      group = groups.pop() ?? group
      skip = 0
    } else if (hex !== undefined) put(western(Uint8Array.of(Number.parseInt(hex, 16))))
    else if (symbol !== undefined) {
      if (symbol === "*") group.hidden = true
      else if (symbol === "~") put("\u00a0")
      else if ("\\{}".includes(symbol)) put(symbol)
      else if (symbol === "\n" || symbol === "\r") into.line()
    } else if (word !== undefined) {
      if (hiding.has(word)) group.hidden = true
      else if (word === "u" && number !== undefined) {
        put(String.fromCharCode(Number(number) & 0xffff))
        skip = group.fallback
      } else if (word === "uc") group.fallback = Math.min(Math.max(0, Number(number ?? 1)), 8)
      else if (word === "bin") token.lastIndex += Math.max(0, Number(number ?? 0))
      else if (word === "par" || word === "line" || word === "row" || word === "sect" || word === "page") {
        if (!group.hidden) into.line()
      } else if (word === "tab" || word === "cell") put("\t")
      else {
        const char = characters.get(word)
        if (char !== undefined) put(char)
      }
    } else if (text !== undefined) {
      const rest = text.slice(skip)
      skip = Math.max(0, skip - text.length)
      if (!group.hidden && rest !== "") into.add(western(Buffer.from(rest, "latin1")))
    }
  }
}

interface Group {
  /** Fonts, colours, pictures: what is no text. */
  hidden: boolean
  /** How many characters follow each \u for readers that don't know it. */
  fallback: number
}

/** Groups within groups; more are taken as one. */
const deepest = 1_000

/** A brace, a control word with its number and the space behind it, `\'hh`, a control symbol, or a run of text. */
const token = /[{}]|\\([a-z]{1,32})(-?\d{1,9})? ?|\\'([0-9a-f]{2})|\\([^a-z])|[\r\n]+|([^{}\\\r\n]{1,65536})|\\/gi

const hiding = new Set([
  "fonttbl",
  "colortbl",
  "stylesheet",
  "listtable",
  "listoverridetable",
  "info",
  "pict",
  "object",
  "objdata",
  "themedata",
  "datastore",
  "generator",
  "xmlnstbl",
  "fldinst"
])

const characters = new Map([
  ["emdash", "—"],
  ["endash", "–"],
  ["lquote", "‘"],
  ["rquote", "’"],
  ["ldblquote", "“"],
  ["rdblquote", "”"],
  ["bullet", "•"],
  ["emspace", " "],
  ["enspace", " "]
])
