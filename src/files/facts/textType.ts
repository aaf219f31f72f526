/**
 * What kind of text a text is: by what it begins with where that is a strong sign, and else by its name. The name
 * chooses between kinds of text that look alike, such as CSV and Markdown; it never says that something is text.
 */
import mime from "mime"

export interface Sample {
  /** The beginning of the text. */
  readonly text: string
  /** Whether that is all of it. */
  readonly whole: boolean
  /** The file's name. */
  readonly name: string
}

export const textType = (sample: Sample): string => {
  const text = sample.text.trimStart()
  switch (text[0]) {
    case "<":
      return markupType(text) ?? named(sample.name, isMarkup) ?? plain(sample.name)
    case "{":
    case "[":
      return jsonType(text, sample) ?? plain(sample.name)
    case "B":
      if (/^BEGIN:VCARD\r?\n/.test(text)) return "text/vcard"
      if (/^BEGIN:VCALENDAR\r?\n/.test(text)) return "text/calendar"
      break
    case "W":
      if (/^WEBVTT(?=\s|$)/.test(text)) return "text/vtt"
      break
    case "-":
      if (text.startsWith("-----BEGIN PGP MESSAGE-----")) return "application/pgp-encrypted"
      break
  }
  return plain(sample.name)
}

const markupType = (text: string): string | undefined => {
  const declared = /^<\?xml\s/i.test(text)
  const root = rootOf(text)
  if (root === undefined) return declared ? "application/xml" : undefined
  if (/^html$/i.test(root)) return declared ? "application/xhtml+xml" : "text/html"
  if (/^(?:\w+:)?svg$/.test(root)) return "image/svg+xml"
  return declared ? "application/xml" : undefined
}

/** The name of the document type or of the first element, behind a declaration, comments and instructions. */
const rootOf = (text: string): string | undefined => {
  let at = 0
  for (;;) {
    at = skipSpace(text, at)
    const end = text.startsWith("<!--", at)
      ? after(text, "-->", at)
      : text.startsWith("<?", at)
        ? after(text, "?>", at)
        : undefined
    if (end === undefined) break
    at = end
  }
  return /^<(?:!doctype\s+)?([a-z_][\w.:-]{0,60})(?=[\s/>[])/i.exec(text.slice(at, at + 100))?.[1]
}

const skipSpace = (text: string, from: number): number => {
  let at = from
  while (at < text.length && " \t\r\n".includes(text.charAt(at))) at += 1
  return at
}

const after = (text: string, end: string, from: number): number => {
  const at = text.indexOf(end, from)
  return at < 0 ? text.length : at + end.length
}

/** The whole must be valid; of a longer one the beginning decides: `{"key":`, `[{"key":`, `["item",`, `[[`. */
const jsonType = (text: string, { name, whole }: Sample): string | undefined => {
  const kind = named(name, isJson) ?? "application/json"
  if (!whole) {
    const begins = /^(?:\[\s*)*(?:\{\s*"(?:[^"\\\n]|\\.){0,200}"\s*:|\[\s*"(?:[^"\\\n]|\\.){0,1000}"\s*[,\]])/.test(
      text
    )
    return begins || named(name, isJson) !== undefined ? kind : undefined
  }
  try {
    JSON.parse(text)
    return kind
  } catch {
    return undefined
  }
}

const plain = (name: string): string => named(name, isPlain) ?? "text/plain"

/** The type that the name stands for, if it is among these. */
const named = (name: string, among: (type: string) => boolean): string | undefined => {
  // a name without a dot has no extension, which the table would take it for
  const type = name.includes(".", 1) ? mime.getType(name)?.toLowerCase() : undefined
  return type !== undefined && among(type) ? type : undefined
}

const isMarkup = (type: string): boolean =>
  type === "text/html" || type === "application/xml" || (type.endsWith("+xml") && type !== "image/svg+xml")

const isJson = (type: string): boolean => type === "application/json" || type.endsWith("+json")

/** Those that have a sign of their own can't be told by a name. */
const signed = new Set(["text/html", "text/xml", "text/rtf", "text/vcard", "text/x-vcard", "text/calendar", "text/vtt"])

const alike = new Set([
  "application/json5",
  "application/mbox",
  "application/node",
  "application/sql",
  "application/toml",
  "application/x-httpd-php",
  "application/x-sh",
  "application/x-subrip",
  "application/x-tex",
  "application/yaml",
  "message/rfc822"
])

const isPlain = (type: string): boolean => (type.startsWith("text/") && !signed.has(type)) || alike.has(type)
