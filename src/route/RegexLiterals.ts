/**
 * Texts that every match of an expression holds, so that a look for them can save the expression. Careful: what it does
 * not understand says nothing, and the whole then says nothing, too.
 */

/** Each of these is in every text that has a match; none where that is not sure. */
export const literals = (pattern: string): ReadonlyArray<string> => {
  const reader = new Reader(Array.from(pattern))
  return reader.read() ?? []
}

class Reader {
  private index = 0
  private readonly found: Array<string> = []
  private run = ""

  constructor(private readonly chars: ReadonlyArray<string>) {}

  read(): ReadonlyArray<string> | undefined {
    const isSure = this.sequence()
    this.end()
    return isSure && this.index === this.chars.length ? this.found : undefined
  }

  /** Up to the end of the group, or of all; whether all of it was understood. */
  private sequence(): boolean {
    while (this.index < this.chars.length) {
      const char = this.chars[this.index] ?? ""
      // an alternative needs none of what the others hold
      if (char === "|") return false
      if (char === ")") return true
      const isSure = char === "(" ? this.group() : char === "[" ? this.set() : this.one(char)
      if (!isSure) return false
    }
    return true
  }

  private group(): boolean {
    this.end()
    const begin = this.index
    const kept = this.found.length
    this.index += 1
    const head = this.chars.slice(this.index, this.index + 200).join("")
    const named = /^\?(?::|P?<\w+>)/.exec(head)?.[0] ?? ""
    // flags change what a letter is: to the end of this group, or of what this group is in
    const scoped = named === "" && /^\?[a-zA-Z-]+:/.test(head)
    if (named === "" && head.startsWith("?") && !scoped) return false
    this.index += named.length
    if (!scoped && this.sequence()) {
      this.end()
      this.index += 1
    } else {
      this.found.length = kept
      this.run = ""
      this.index = begin
      if (!this.skip()) return false
    }
    if (this.isOptional()) this.found.length = kept
    return this.quantifier()
  }

  /** Over a group of which nothing is known but where it ends. */
  private skip(): boolean {
    let depth = 0
    for (; this.index < this.chars.length; this.index += 1) {
      const char = this.chars[this.index]
      if (char === "\\") {
        if (/[QE]/.test(this.chars[this.index + 1] ?? "")) return false
        this.index += 1
      } else if (char === "[") {
        if (!this.toSetEnd()) return false
        this.index -= 1
      } else if (char === "(") {
        // flags in it end with it
        depth += 1
      } else if (char === ")") {
        depth -= 1
        if (depth === 0) {
          this.index += 1
          return true
        }
      }
    }
    return false
  }

  private set(): boolean {
    this.end()
    return this.toSetEnd() && this.quantifier()
  }

  private toSetEnd(): boolean {
    this.index += 1
    if (this.chars[this.index] === "^") this.index += 1
    if (this.chars[this.index] === "]") this.index += 1
    for (; this.index < this.chars.length; this.index += 1) {
      const char = this.chars[this.index]
      if (char === "\\") this.index += 1
      else if (char === "[" && this.chars[this.index + 1] === ":") {
        while (
          this.index < this.chars.length &&
          !(this.chars[this.index] === ":" && this.chars[this.index + 1] === "]")
        ) {
          this.index += 1
          if (this.chars[this.index] === ":" && this.chars[this.index + 1] === "]") break
        }
        this.index += 1
      } else if (char === "]") {
        this.index += 1
        return true
      }
    }
    return false
  }

  private one(char: string): boolean {
    this.index += 1
    if (char === "\\") {
      const next = this.chars[this.index] ?? ""
      this.index += 1
      if (/[dDwWsSbBAzCa-zA-Z0-9]/.test(next) || next === "") {
        this.end()
        // a class or a place; others, such as \x and \Q, go on
        return /[dDwWsSbBAz]/.test(next) && this.quantifier()
      }
      return this.literal(next)
    }
    if (char === "." || char === "^" || char === "$") {
      this.end()
      return this.quantifier()
    }
    if ("*+?".includes(char)) return false
    return this.literal(char)
  }

  private literal(char: string): boolean {
    if (this.isQuantified()) {
      // the character itself may be missing
      const isOptional = this.isOptional()
      if (!isOptional) this.run += char
      this.end()
      return this.quantifier()
    }
    this.run += char
    return true
  }

  private isQuantified(): boolean {
    return "*+?{".includes(this.chars[this.index] ?? " ")
  }

  private isOptional(): boolean {
    const char = this.chars[this.index] ?? " "
    return "*?{".includes(char)
  }

  private quantifier(): boolean {
    const char = this.chars[this.index]
    if (char === "{") {
      const text = this.chars.slice(this.index, this.index + 20).join("")
      const braces = /^\{\d+(?:,\d*)?\}/.exec(text)
      // a brace that repeats nothing is one to be found
      if (braces === null) return false
      this.index += braces[0].length
    } else if (char === "*" || char === "+" || char === "?") this.index += 1
    else return true
    if (this.chars[this.index] === "?") this.index += 1
    return !this.isQuantified()
  }

  private end(): void {
    if (this.run !== "") this.found.push(this.run)
    this.run = ""
  }
}
