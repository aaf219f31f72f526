/**
 * The config file as people may see it: as it was when it was loaded, without its secrets.
 *
 * What stands at a place for secrets is left out whatever it is, in comments as well; and of the secrets that are in
 * force every form that could be written down is looked for everywhere else. Where there is doubt, too much is left out.
 */
import { Option, Redacted } from "effect"
import { isAlias, isMap, isScalar, isSeq, Lexer, LineCounter, visit } from "yaml"
import type { Document, Scalar } from "yaml"
import type { Settings } from "../domain/Settings.ts"
import { mask, secretKeys } from "./YamlFile.ts"
import * as YamlDocument from "./yamlDocument.ts"

export interface ConfigText {
  readonly lines: ReadonlyArray<string>
  /** Where the sources and the folders begin; lines are counted from 1. */
  readonly marks: ReadonlyArray<{ readonly line: number; readonly what: "source" | "folder"; readonly name: string }>
}

export const none: ConfigText = { lines: [], marks: [] }

/** What is put in place of a secret. */
const hidden = "***"

/** `source`: the text that these settings were made of. */
export const make = (source: string, settings: Settings): ConfigText => {
  const lines = new LineCounter()
  const parsed = YamlDocument.parse(mask(source), lines)
  if (parsed.excess !== undefined) return none
  const { document } = parsed
  const places = [...secretPlaces(document, mask(source)), ...commentPlaces(mask(source))]
  const secrets = secretsOf(settings)
  const shown = cut(source, [...places, ...secrets.flatMap((secret) => found(source, secret))])
  return { lines: shown.replace(/\r?\n$/, "").split(/\r?\n/), marks: marksOf(document, lines, settings) }
}

/** A piece of the text, and what stands there instead. */
interface Place {
  readonly begin: number
  readonly end: number
}

/** Those of overlapping places as one; lines stay lines. */
const cut = (source: string, places: ReadonlyArray<Place>): string => {
  let text = ""
  let from = 0
  for (const { begin, end } of places.toSorted((left, right) => left.begin - right.begin)) {
    if (end <= from) continue
    if (begin >= from) text += `${source.slice(from, begin)}${hidden}`
    text += source.slice(Math.max(from, begin), end).replace(/[^\n]/g, "")
    from = end
  }
  return text + source.slice(from)
}

/** `${VAR}`, as `mask` writes it: the name is no secret; a default would be one. */
const variable = "\ufdd0\ufdd1[A-Za-z_]\\w*\ufdd2"
const isVariable = (text: string): boolean => new RegExp(`^(["']?)${variable}\\1$`).test(text)

// In values

const secretPlaces = (document: Document.Parsed, source: string): ReadonlyArray<Place> => {
  const places: Array<Place> = []
  const hide = (node: unknown): void => {
    const known = isAlias(node) ? node.resolve(document) : node
    if (isMap(known)) for (const { value } of known.items) hide(value)
    else if (isSeq(known)) known.items.forEach(hide)
    else if (isScalar(known) && known.range) {
      const [begin, end] = known.range
      if (!isVariable(source.slice(begin, end))) places.push({ begin, end })
    }
  }
  visit(document, {
    Pair: (_, { key, value }) => {
      if (isScalar(key) && typeof key.value === "string" && secretKeys.has(key.value)) hide(value)
    },
    Scalar: (_, node) => {
      places.push(...inUrl(node, source))
    }
  })
  return places
}

const inUrl = (node: Scalar, source: string): ReadonlyArray<Place> => {
  if (!node.range || typeof node.value !== "string") return []
  const [begin, end] = node.range
  const raw = source.slice(begin, end)
  const inValue = urlPlaces(node.value)
  const inRaw = urlPlaces(raw.replace(/["']$/, ""))
  // written with escapes or over several lines it may look other than it is
  return inValue.length !== inRaw.length || raw.includes("\\") || raw.includes("\n")
    ? inValue.length === 0
      ? []
      : [{ begin, end }]
    : inRaw.map((place) => ({ begin: begin + place.begin, end: begin + place.end }))
}

/** The password and the query of a URL. */
const urlPlaces = (text: string): ReadonlyArray<Place> => {
  const head = /[a-z][a-z0-9+.-]*:\/\//i.exec(text)
  if (head === null) return []
  const from = head.index + head[0].length
  const authority = /^(?:\ufdd0\ufdd1[^\ufdd2]*\ufdd2|[^/?#])*/.exec(text.slice(from))?.[0] ?? ""
  const places: Array<Place> = []
  const at = authority.lastIndexOf("@")
  const colon = authority.indexOf(":")
  if (colon >= 0 && colon < at && !isVariable(authority.slice(colon + 1, at))) {
    places.push({ begin: from + colon + 1, end: from + at })
  }
  const query = text.indexOf("?", from + authority.length)
  if (query >= 0 && query + 1 < text.length) places.push({ begin: query + 1, end: text.length })
  return places
}

// In comments

/** Beside the keys of the config, what people call such things in theirs. */
const telling =
  /(?:^|[^\w-])(?:token|headers|passphrase|secret ?key|session ?token|pass(?:word|wd)?|pwd|secret|api[-_ ]?key|authorization)["']?\s*[:=]/i

const commentPlaces = (source: string): ReadonlyArray<Place> => {
  const places: Array<Place> = []
  /** Within headers that are commented out, each line is one. */
  let headers: number | undefined
  for (const { begin, text } of commentsOf(source)) {
    const end = begin + text.length
    const column = begin - source.lastIndexOf("\n", begin - 1) + text.search(/[^#\s]|$/)
    if (headers !== undefined && column <= headers) headers = undefined
    const found = telling.exec(text)
    const colon = headers !== undefined ? text.indexOf(":") + 1 : found === null ? 0 : found.index + found[0].length
    const value = text.slice(colon).trim()
    if (colon > 0 && value !== "" && !isVariable(value)) {
      places.push({ begin: begin + colon + (text.slice(colon).length - text.slice(colon).trimStart().length), end })
    }
    if (found !== null && value === "" && headers === undefined) headers = column
    const url = text.indexOf("://")
    if (url < 0) continue
    // a word before the last @ may be a part of a password with spaces in it
    const at = text.lastIndexOf("@")
    const login = text.indexOf(":", url + 3)
    if (login >= 0 && login < at && !isVariable(text.slice(login + 1, at))) {
      places.push({ begin: begin + login + 1, end: begin + at })
    }
    const query = text.indexOf("?", url)
    if (query >= 0 && query + 1 < text.length) places.push({ begin: begin + query + 1, end })
  }
  return places
}

const commentsOf = (source: string): ReadonlyArray<{ readonly begin: number; readonly text: string }> => {
  const comments: Array<{ readonly begin: number; readonly text: string }> = []
  let begin = 0
  let isScalarNext = false
  for (const text of new Lexer().lex(source)) {
    // what the lexer says of its own stands nowhere in the text; after the last of these a scalar follows
    if (text === "\u0002" || text === "\u0018" || text === "\u001f") {
      isScalarNext = text === "\u001f"
      continue
    }
    if (!isScalarNext && text.startsWith("#")) comments.push({ begin, text })
    isScalarNext = false
    begin += text.length
  }
  return comments
}

// Everywhere

interface Secret {
  readonly forms: ReadonlyArray<string>
}

const secretsOf = (settings: Settings): ReadonlyArray<Secret> => {
  const texts = new Set<string>()
  const logins = new Set<string>()
  const value = Option.match({ onNone: () => "", onSome: (secret: Redacted.Redacted) => Redacted.value(secret) })
  texts.add(value(settings.http.token))
  for (const { secrets, target } of settings.routes.flatMap(({ targets }) => targets)) {
    const password = value(secrets.password)
    const query = value(secrets.query).replace(/^\?/, "")
    const all = [password, value(secrets.token), value(secrets.passphrase), query, ...query.split(/[&=]/)]
    for (const text of all) texts.add(text)
    for (const [, header] of secrets.headers) texts.add(Redacted.value(header))
    // as basic authentication has it
    if (password !== "") logins.add(`${target.username ?? ""}:${password}`)
  }
  return [
    ...Array.from(texts, (text) => ({ forms: formsOf(text) })),
    ...Array.from(logins, (login) => ({ forms: base64Of(login) }))
  ]
}

const formsOf = (text: string): ReadonlyArray<string> => {
  // a secret that is a word can't be told from our own; at its place it is left out all the same
  if (text.length < 4 || /^[a-z]{1,12}$/i.test(text)) return []
  const bytes = Buffer.from(text)
  const percent = encodeURIComponent(text)
  const every = Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")
  return [
    text,
    percent,
    percent.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()),
    encodeURI(text),
    every,
    every.toUpperCase(),
    JSON.stringify(text).slice(1, -1),
    text.replaceAll("'", "''"),
    bytes.toString("hex"),
    ...base64Of(text)
  ]
}

const base64Of = (text: string): ReadonlyArray<string> =>
  (["base64", "base64url"] as const).map((encoding) => Buffer.from(text).toString(encoding).replace(/=+$/, ""))

const found = (source: string, { forms }: Secret): ReadonlyArray<Place> => {
  const places: Array<Place> = []
  for (const form of new Set(forms)) {
    for (let at = source.indexOf(form); at >= 0; at = source.indexOf(form, at + 1)) {
      places.push({ begin: at, end: at + form.length })
    }
  }
  return places
}

// Marks

const marksOf = (document: Document.Parsed, lines: LineCounter, settings: Settings): ConfigText["marks"] => {
  const marks = (keys: ReadonlyArray<string>, what: "source" | "folder", names: ReadonlyArray<string>) => {
    const offsets = keys.flatMap((key): ReadonlyArray<number> => {
      const value = document.getIn([key], true)
      const nodes: ReadonlyArray<unknown> = isSeq(value) ? value.items : [value]
      return nodes.flatMap((node) =>
        (isScalar(node) || isMap(node) || isAlias(node)) && node.range ? [node.range[0]] : []
      )
    })
    // otherwise it would be anybody's guess whose they are
    return offsets.length !== names.length
      ? []
      : offsets.map((offset, index) => ({ line: lines.linePos(offset).line, what, name: names[index] ?? "" }))
  }
  return [
    ...marks(
      ["source", "sources"],
      "source",
      settings.sources.map(({ name }) => name)
    ),
    ...marks(
      ["folders"],
      "folder",
      settings.routes.map(({ name }) => name)
    )
  ].toSorted((left, right) => left.line - right.line)
}
