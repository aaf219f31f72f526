/**
 * What is found while a config is resolved: it goes on after a problem, so that one hides no other.
 */
import { Either, Option, Schema } from "effect"
import type { TemplateError } from "../route/Template.ts"
import type { Problem } from "./ConfigError.ts"
import * as Issues from "./Issues.ts"
import { matchKeys } from "./MatchFile.ts"
import { isRecord } from "./YamlFile.ts"
import type * as YamlFile from "./YamlFile.ts"

/** Something of the config, and where it stands. */
export interface Located<A> {
  readonly path: YamlFile.Path
  readonly entry: A
}

export class Report {
  readonly problems: Array<Problem> = []
  readonly warnings: Array<Problem> = []

  constructor(
    readonly yaml: YamlFile.YamlFile,
    readonly value: Readonly<Record<string, unknown>>
  ) {}

  problem(path: YamlFile.Path, message: string, expected: string): void {
    this.problems.push(this.yaml.problem(path, message, expected))
  }

  /** At the key, not at its value. */
  keyProblem(path: YamlFile.Path, message: string, expected: string): void {
    this.problems.push(this.yaml.keyProblem(path, message, expected))
  }

  /** What is not wrong, but hardly meant; or was settled without being asked for. */
  warning(path: YamlFile.Path, message: string, expected: string): void {
    this.warnings.push(this.yaml.problem(path, message, expected))
  }

  /** Of a template that stands at this path, at the part of it that is to blame. */
  template(path: YamlFile.Path, { expected, message, text }: TemplateError): void {
    this.problems.push(this.yaml.partProblem(path, text, message, expected))
  }

  issue(issue: Issues.Issue): void {
    switch (issue._tag) {
      case "Wrong":
        return this.problem(issue.path, issue.message, issue.expected)
      case "Missing":
        return this.problem(issue.path, "it is missing", issue.expected)
      case "Unknown":
        return this.unknownKey(issue.path, issue.known)
    }
  }

  /** What the file has at a path, before it was decoded. */
  at(path: YamlFile.Path): unknown {
    return path.reduce<unknown>((value, key) => {
      if (Array.isArray(value)) return value[Number(key)]
      return isRecord(value) ? value[String(key)] : undefined
    }, this.value)
  }

  private unknownKey(path: YamlFile.Path, known: ReadonlyArray<string>): void {
    const key = String(path.at(-1))
    if (notYet.has(key) && (path.at(-2) === "match" || path[0] === "folders")) {
      return this.keyProblem(path, `matching by ${key} is not there yet`, "content, mime or another matcher")
    }
    if (path[0] === "folders" && path.length === 3 && matchKeys.includes(key)) {
      return this.keyProblem(path, "it stands within match", `match: { ${key}: … }`)
    }
    const guess = Issues.nearest(key, known)
    if (guess !== undefined) this.keyProblem(path, `there is no such key, did you mean ${guess}?`, "")
    else this.keyProblem(path, "there is no such key", `one of ${known.join(", ")}`)
  }
}

/** Planned matchers. */
const notYet: ReadonlySet<string> = new Set(["language", "label"])

/**
 * Decodes with all issues. `lenient`: where keys of a map are wrong, they are left out and the rest is decoded, so that
 * it can be checked further; the issues have been reported by then.
 */
export const decode = <A, I>(
  schema: Schema.Schema<A, I>,
  value: unknown,
  lenient = false
): { readonly value: A | undefined; readonly issues: ReadonlyArray<Issues.Issue> } => {
  const first = Schema.decodeUnknownEither(schema, { errors: "all", onExcessProperty: "error" })(value)
  if (Either.isRight(first)) return { value: first.right, issues: [] }
  const issues = Issues.fromParseIssue(first.left.issue)
  if (!lenient || !isRecord(value)) return { value: undefined, issues }
  const wrong = new Set(issues.map((issue) => issue.path[0]))
  const rest = Object.fromEntries(Object.entries(value).filter(([key]) => !wrong.has(key)))
  return { value: Option.getOrUndefined(Schema.decodeUnknownOption(schema)(rest)), issues }
}

/** Gives out names that nobody has chosen. */
export class Names {
  private readonly taken = new Set<string>()

  constructor(
    chosen: ReadonlyArray<readonly [YamlFile.Path, string | undefined]>,
    onTwice: (path: YamlFile.Path, name: string) => void
  ) {
    for (const [path, text] of chosen) {
      const name = text?.trim()
      if (name === undefined) continue
      if (this.taken.has(name)) onTwice(path, name)
      this.taken.add(name)
    }
  }

  make(wish: string): string {
    let name = wish
    for (let number = 2; this.taken.has(name); number += 1) name = `${wish}-${number}`
    this.taken.add(name)
    return name
  }
}
