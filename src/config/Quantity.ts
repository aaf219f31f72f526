/**
 * Durations and sizes as people write them.
 */
import { Option } from "effect"

const milliseconds: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
  ["w", 604_800_000]
])

const bytes: ReadonlyMap<string, number> = new Map([
  ["b", 1],
  ["kb", 1000],
  ["mb", 1000 ** 2],
  ["gb", 1000 ** 3],
  ["tb", 1000 ** 4],
  ["kib", 1024],
  ["mib", 1024 ** 2],
  ["gib", 1024 ** 3],
  ["tib", 1024 ** 4]
])

/** Milliseconds of `500ms`, `1s`, `1h30m`, `90d`. A bare number is seconds. */
export const parseDuration = (input: string | number): Option.Option<number> => {
  const text = String(input).trim().toLowerCase()
  if (number.test(text)) return finite(Number(text) * 1000)
  if (!durations.test(text)) return Option.none()
  let total = 0
  for (const [, value, unit] of text.matchAll(duration)) total += Number(value) * (milliseconds.get(unit ?? "") ?? NaN)
  return finite(total)
}

/** Bytes of `512`, `10MiB`, `1.5GB`: powers of 1024 with an i, of 1000 without. */
export const parseSize = (input: string | number): Option.Option<number> => {
  const match = size.exec(String(input).trim().toLowerCase())
  if (match === null) return Option.none()
  return finite(Number(match[1]) * (match[2] === undefined ? 1 : (bytes.get(match[2]) ?? NaN)))
}

/** As {@link parseDuration} reads it: `90d`. */
export const formatDuration = (value: number): string => {
  if (value === 0) return "0s"
  const [unit, factor] = [...milliseconds].reverse().find(([, factor]) => value % factor === 0) ?? ["ms", 1]
  return `${value / factor}${unit}`
}

/** As {@link parseSize} reads it: `10MiB`. */
export const formatBytes = (value: number): string => {
  const units = [...bytes].reverse().filter(([unit]) => unit.includes("i"))
  const found = units.find(([, factor]) => value >= factor && value % factor === 0)
  return found === undefined
    ? String(value)
    : `${value / found[1]}${found[0].replace(/^./, (unit) => unit.toUpperCase()).replace("ib", "iB")}`
}

/** Bytes a second of `10MiB/s`: a size, and `/s`. */
export const parseRate = (input: string | number): Option.Option<number> => {
  const match = /^(.*?)\s*\/\s*s$/i.exec(String(input).trim())
  return match === null ? Option.none() : parseSize(match[1] ?? "")
}

/** As {@link parseRate} reads it: `10MiB/s`. */
export const formatRate = (value: number): string => `${formatBytes(value)}/s`

const number = /^\d+(?:\.\d+)?$/
const durations = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w)\s*)+$/
const duration = /(\d+(?:\.\d+)?)(ms|s|m|h|d|w)/g
const size = /^(\d+(?:\.\d+)?)\s*([kmgt]?i?b)?$/

const finite = (value: number): Option.Option<number> => {
  const rounded = Math.round(value)
  return Number.isSafeInteger(rounded) ? Option.some(rounded) : Option.none()
}
