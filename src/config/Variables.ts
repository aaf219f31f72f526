/**
 * `${VAR}`, `${VAR:-default}` and `$$` in the text values of a config. The file is parsed before they are expanded, so
 * that a value can't bring YAML syntax of its own.
 */

export type Environment = Readonly<Record<string, string | undefined>>

export interface Fault {
  /** Where in the text it begins. */
  readonly index: number
  /** The offending part. */
  readonly text: string
  readonly message: string
  readonly expected: string
}

export interface Expanded {
  readonly value: string
  /** Whether anything was put in for a variable. */
  readonly changed: boolean
  readonly faults: ReadonlyArray<Fault>
}

/**
 * Expands one text. A variable within the user and password part of a URL is taken literally: it is percent-encoded as
 * it is put in, so that a password with `/`, `@` or `%` in it stays one password.
 */
export const expand = (text: string, env: Environment): Expanded => {
  if (!text.includes("$")) return { value: text, changed: false, faults: [] }
  const login = loginEnd(text)
  const faults: Array<Fault> = []
  let changed = false
  const value = text.replace(token, (part: string, body: string | undefined, index: number) => {
    if (part === "$$") return "$"
    const match = reference.exec(body ?? "")
    if (match === null || !part.endsWith("}")) {
      faults.push({
        index,
        text: part,
        message: "not a variable",
        expected: "${NAME} or ${NAME:-default}; write $$ for a plain dollar"
      })
      return ""
    }
    const [, name = "", fallback] = match
    const found = env[name]
    const put = fallback === undefined ? found : found === undefined || found === "" ? fallback : found
    if (put === undefined) {
      faults.push({
        index,
        text: part,
        message: `the variable ${name} is not set`,
        expected: `${name} in the environment, or a default: \${${name}:-…}`
      })
      return ""
    }
    changed = true
    return index < login ? encodeURIComponent(put.toWellFormed()) : put
  })
  return { value, changed, faults }
}

const token = /\$\$|\$\{([^}]*)\}?/g
const reference = /^([A-Za-z_][A-Za-z0-9_]*)(?::-([^]*))?$/

/** The index of the `@` that ends the user and password of a URL, before anything is expanded; 0 where there is none. */
const loginEnd = (text: string): number => {
  const masked = text.replace(token, (part: string) => "x".repeat(part.length))
  const authority = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(masked)
  if (authority === null) return 0
  return Math.max(0, authority[0].lastIndexOf("@"))
}
