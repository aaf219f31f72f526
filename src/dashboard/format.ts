/** Numbers, times and names as people read them. */

/** `12.3 MB`: powers of 1024, as everywhere in filedispatch. */
export const bytes = (count: number): string => {
  let value = count
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ""}`
}
const units = ["B", "KB", "MB", "GB", "TB", "PB"]

const whole = new Intl.NumberFormat()
export const count = (value: number): string => whole.format(value)

/** `1 file`, `2 files`. */
export const counted = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`

/** A span of time in milliseconds, to two places: `1.2 s`, `3 min 20 s`, `2 h 5 min`. */
export const duration = (ms: number): string => {
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`
  const seconds = Math.round(ms / 1000)
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60
  ]
  if (days > 0) return `${days} d${hours > 0 ? ` ${hours} h` : ""}`
  if (hours > 0) return `${hours} h${minutes > 0 ? ` ${minutes} min` : ""}`
  return `${minutes} min${seconds % 60 > 0 ? ` ${seconds % 60} s` : ""}`
}

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" })
const steps: ReadonlyArray<readonly [Intl.RelativeTimeFormatUnit, number]> = [
  ["year", 31_536_000_000],
  ["month", 2_592_000_000],
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000]
]

/** `5 min. ago`, `in 2 hr.` */
export const ago = (time: number, at: number): string => {
  const difference = time - at
  for (const [unit, length] of steps) {
    if (Math.abs(difference) >= length) return relative.format(Math.round(difference / length), unit)
  }
  return Math.abs(difference) < 5000
    ? difference > 0
      ? "in a moment"
      : "just now"
    : relative.format(Math.round(difference / 1000), "second")
}

const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" })
/** In the zone of who looks at it. */
export const moment = (time: number): string => absolute.format(time)

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
export const zoneName: string = zone

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" })
/** Of `YYYY-MM-DD`. */
export const date = (text: string): string => day.format(Date.parse(`${text}T00:00:00Z`))

/** `YYYY-MM-DD`, in UTC, as the API counts days. */
export const isoDay = (time: number): string => new Date(time).toISOString().slice(0, 10)

/** A piece of a name: as it is, or a character that can't be seen or turns the text around, by its number. */
export interface Piece {
  readonly text: string
  readonly hidden: boolean
}

// controls, spaces other than the usual one, marks of direction, joiners, variation selectors, tags, private use
const hidden = new RegExp(
  [
    "\\p{Cc}|\\p{Cf}|\\p{Co}|\\p{Cn}|\\p{Zl}|\\p{Zp}|\\p{Variation_Selector}",
    "[\\u00a0\\u1680\\u2000-\\u200a\\u202f\\u205f\\u3000]",
    "\\u115f|\\u1160|\\u3164|\\uffa0"
  ].join("|"),
  "u"
)

/** What the API says in place of characters that can't be seen, and of bytes that are none; see `RelPath.display`. */
const escapes = /\\(?:u\{([0-9a-f]{1,4})\}|x([89a-f][0-9a-f]))/g

/** So that no name can pass for another one. */
export const pieces = (name: string): ReadonlyArray<Piece> => {
  const found: Array<{ text: string; hidden: boolean }> = []
  let end = 0
  for (const escape of name.matchAll(escapes)) {
    const [all, point, byte] = escape
    found.push(...piecesOf(name.slice(end, escape.index)), {
      text: point === undefined ? `byte ${byte?.toUpperCase() ?? ""}` : `U+${point.toUpperCase().padStart(4, "0")}`,
      hidden: true
    })
    end = escape.index + all.length
  }
  return [...found, ...piecesOf(name.slice(end))]
}

const piecesOf = (text: string): Array<{ text: string; hidden: boolean }> => {
  const found: Array<{ text: string; hidden: boolean }> = []
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0
    const lone = point >= 0xd800 && point <= 0xdfff
    if (lone || hidden.test(character)) {
      found.push({ text: `U+${point.toString(16).toUpperCase().padStart(4, "0")}`, hidden: true })
      continue
    }
    const last = found.at(-1)
    if (last === undefined || last.hidden) found.push({ text: character, hidden: false })
    else last.text += character
  }
  return found
}

/** A name in one line of plain text, such as a title. */
export const plain = (name: string): string =>
  pieces(name)
    .map((piece) => (piece.hidden ? `‹${piece.text}›` : piece.text))
    .join("")

/** A lane as people call it: `sftp://user@host:22`, or the disk at its mount point. */
export const laneName = (lane: string): string => (lane.startsWith("file:") ? `local disk ${lane.slice(5)}` : lane)

const words: Readonly<Record<string, string>> = {
  PENDING: "waiting",
  SENDING: "sending",
  PUBLISHING: "finishing",
  RETRY_WAIT: "waiting to be tried again",
  BLOCKED: "waiting for the destination",
  DELIVERED: "delivered",
  DEAD: "given up",
  SUPERSEDED: "replaced by a newer version",
  AMBIGUOUS: "perhaps delivered",
  SKIPPED: "skipped",
  CANCELLED: "cancelled",
  UNDOING: "being put back",
  UNDONE: "put back",
  SUCCEEDED: "delivered",
  FAILED: "failed"
}
/** A state in words. */
export const stateName = (state: string): string => words[state] ?? state.toLowerCase()
