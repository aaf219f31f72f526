/**
 * What is wrong with a config file: every problem of it at once, each with its place and with what would be right.
 */
import { Schema } from "effect"

/** One thing that is wrong. Never holds a secret. */
export const Problem = Schema.Struct({
  /** From 1; 0 where the problem is not at a place in the file (it can't be read, or it comes from the command line). */
  line: Schema.Int,
  /** From 1, in characters; 0 where `line` is. */
  column: Schema.Int,
  /** The key, as `folders[2].extensions`; empty for the file as a whole. */
  path: Schema.String,
  /** The offending text as it stands in the file, cut to one line; empty where there is none to show. */
  text: Schema.String,
  /** What is wrong. */
  message: Schema.String,
  /** What would be right; empty where the message says it already. */
  expected: Schema.String
})
export interface Problem extends Schema.Schema.Type<typeof Problem> {}

export class ConfigError extends Schema.TaggedError<ConfigError>("filedispatch/config/ConfigError")("ConfigError", {
  /** The config file as it was named. */
  file: Schema.String,
  problems: Schema.Array(Problem)
}) {
  /** One line for each problem. */
  override get message() {
    return this.problems.map((problem) => format(this.file, problem)).join("\n")
  }
}

/** A problem that is not at a place in the file. */
export const whole = (message: string, expected: string): Problem => ({
  line: 0,
  column: 0,
  path: "",
  text: "",
  message,
  expected
})

/** `config.yml:7:5: folders[1].extensions: "pdf": not a list; expected …` */
export const format = (file: string, problem: Problem): string => {
  const place = problem.line > 0 ? `${file}:${problem.line}:${problem.column}` : file
  const path = problem.path === "" ? "" : ` ${problem.path}:`
  const text = problem.text === "" ? "" : ` ${JSON.stringify(problem.text)}:`
  const expected = problem.expected === "" ? "" : `; expected ${problem.expected}`
  return `${place}:${path}${text} ${problem.message}${expected}`
}

/** A path into a config as people write it: `folders[2].retry.base`. */
export const formatPath = (path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`
    return text === "" ? String(key) : `${text}.${String(key)}`
  }, "")
