/**
 * The kinds of values that a config file is made of. Each has a title that says what is expected, for messages.
 */
import { Option, ParseResult, Schema, SchemaAST } from "effect"
import { formatBytes, formatDuration, formatRate, parseDuration, parseRate, parseSize } from "./Quantity.ts"

interface Bounds {
  readonly min?: number
  readonly max?: number
}

/** A value that a parser turns into a number. Text is accepted everywhere, for a variable always expands to text. */
const quantity = (
  title: string,
  example: string,
  parse: (input: string | number) => Option.Option<number>,
  format: (value: number) => string | number,
  { max = Number.MAX_SAFE_INTEGER, min = 0 }: Bounds
) =>
  Schema.transformOrFail(
    Schema.Union(Schema.Number, Schema.String).annotations({ title, examples: [example] }),
    Schema.Number,
    {
      strict: true,
      decode: (input, _, ast) =>
        Option.match(
          Option.filter(parse(input), (value) => value >= min && value <= max),
          {
            onNone: () => ParseResult.fail(new ParseResult.Type(ast, input, `expected ${title}`)),
            onSome: ParseResult.succeed
          }
        ),
      encode: (value) => ParseResult.succeed(format(value))
    }
  ).annotations({ title })

const plain = (value: number): number => value

export const duration = (bounds: Bounds & { readonly title?: string } = {}) =>
  quantity(
    bounds.title ?? "a duration such as 500ms, 1s, 5m, 2h or 90d (a bare number is seconds)",
    "5m",
    parseDuration,
    formatDuration,
    bounds
  )

export const positiveDuration = duration({ min: 1, title: "a duration of more than zero, such as 500ms, 1s, 5m or 2h" })

export const interval = duration({ min: 10, title: "a duration of at least 10ms, such as 500ms, 2s or 5m" })

export const size = quantity("a size of at least 1KiB, such as 512KB, 10MiB or 1GB", "10MiB", parseSize, formatBytes, {
  min: 1024
})

export const sizeFrom = (min: number, max: number, title: string) =>
  quantity(title, formatBytes(min), parseSize, formatBytes, { min, max })

/** Bytes a second. */
export const rate = quantity(
  "a size per second of at least 1KiB/s, such as 10MiB/s",
  "10MiB/s",
  parseRate,
  formatRate,
  { min: 1024 }
)

export const integer = (min: number, max: number) =>
  quantity(
    `a whole number from ${min} to ${max}`,
    String(min),
    (input) => {
      const value = typeof input === "number" ? input : /^-?\d+$/.test(input.trim()) ? Number(input) : NaN
      return Number.isSafeInteger(value) ? Option.some(value) : Option.none()
    },
    plain,
    { min, max }
  )

export const factor = quantity(
  "a number from 1 to 100",
  "2",
  (input) => {
    const value = typeof input === "number" ? input : /^\d+(?:\.\d+)?$/.test(input.trim()) ? Number(input) : NaN
    return Number.isFinite(value) ? Option.some(value) : Option.none()
  },
  plain,
  { min: 1, max: 100 }
)

export const boolean = Schema.transformOrFail(
  Schema.Union(Schema.Boolean, Schema.Literal("true", "false")).annotations({ title: "true or false" }),
  Schema.Boolean,
  {
    strict: true,
    decode: (input) => ParseResult.succeed(input === true || input === "true"),
    encode: ParseResult.succeed
  }
).annotations({ title: "true or false" })

/** Text that says something. `title` says what. */
export const text = (title: string) =>
  Schema.String.pipe(Schema.filter((value) => value.trim() !== "")).annotations({ title, jsonSchema: { minLength: 1 } })

/** Text in which a filter finds a fault, said as "what; expected what". */
export const checked = (title: string, faultOf: (value: string) => Fault | undefined) =>
  Schema.String.pipe(
    Schema.filter((value) => {
      const fault = faultOf(value)
      return fault === undefined ? true : `${fault.message}; expected ${fault.expected}`
    })
  ).annotations({ title })

interface Fault {
  readonly message: string
  readonly expected: string
}

export const oneOf = <const Values extends readonly [string, ...ReadonlyArray<string>]>(...values: Values) =>
  Schema.Literal(...values).annotations({ title: `one of ${values.join(", ")}` })

export const anyCase = <const Values extends readonly [string, ...ReadonlyArray<string>]>(
  values: Values,
  aliases: Readonly<Record<string, Values[number]>> = {}
) => {
  const title = `one of ${values.join(", ")}`
  const target = Schema.Literal(...values)
  const is = Schema.is(target)
  return Schema.transformOrFail(Schema.String.annotations({ title, examples: [...values] }), target, {
    strict: false,
    decode: (input, _, ast) => {
      const upper = input.trim().toUpperCase()
      const value = aliases[upper] ?? upper
      return is(value)
        ? ParseResult.succeed(value)
        : ParseResult.fail(new ParseResult.Type(ast, input, `expected ${title}`))
    },
    encode: (value: string) => ParseResult.succeed(value)
  }).annotations({ title })
}

export const list = <A, I>(item: Schema.Schema<A, I>, title: string, min = 0) =>
  Schema.Array(item)
    .annotations({ title })
    .pipe(Schema.filter((values) => values.length >= min))
    .annotations({ title, ...(min > 0 ? { jsonSchema: { minItems: min } } : {}) })

/** One, or a list of at least one. */
export const oneOrMore = <A, I>(item: Schema.Schema<A, I>, title: string) =>
  Schema.Union(item, list(item, title, 1)).annotations({ title })

/** A key that may be left out. */
export const key = <A, I>(schema: Schema.Schema<A, I>, description: string, value?: A) =>
  Schema.optionalWith(schema, { exact: true }).annotations({
    description,
    ...(value === undefined ? {} : { default: value })
  })

/** What a schema expects, in words: its title, or its own description of itself. */
export const expectedOf = (ast: SchemaAST.AST): string =>
  Option.getOrElse(SchemaAST.getTitleAnnotation(ast), () => String(ast))
