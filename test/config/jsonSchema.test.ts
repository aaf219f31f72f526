import { describe, expect, it } from "@effect/vitest"
import { configJsonSchema } from "../../src/config/jsonSchema.ts"

interface Node {
  readonly [key: string]: unknown
}

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null

const at = (node: unknown, ...path: ReadonlyArray<string>): unknown =>
  path.reduce<unknown>((inner, key) => (isNode(inner) ? inner[key] : undefined), node)

describe("the JSON Schema of the config", () => {
  const schema: unknown = JSON.parse(JSON.stringify(configJsonSchema()))

  it("knows the keys, refuses others, and says what each is and what holds without it", () => {
    expect(at(schema, "additionalProperties")).toBe(false)
    expect(Object.keys(Object(at(schema, "properties")))).toEqual([
      "source",
      "sources",
      "folders",
      "dispatch",
      "http",
      "monitor",
      "log",
      "db",
      "durability"
    ])
    expect(at(schema, "required")).toEqual(["folders"])
    expect(at(schema, "properties", "durability")).toMatchObject({ default: "power", enum: ["power", "crash"] })
    const folder = at(schema, "properties", "folders", "items", "properties")
    expect(at(folder, "conflict")).toMatchObject({ default: "overwrite", description: expect.any(String) })
    expect(at(folder, "timeout")).toMatchObject({ default: "1m" })
    expect(at(folder, "retry", "properties", "cap")).toMatchObject({ default: "10m" })
    expect(at(folder, "verify")).toMatchObject({ default: "auto", enum: ["auto", "size", "hash"] })
    expect(at(folder, "bandwidth")).toMatchObject({ default: "unlimited" })
    expect(at(folder, "headers")).toMatchObject({ type: "object", additionalProperties: { type: "string" } })
    expect(at(folder, "token")).toMatchObject({ type: "string" })
    expect(at(folder, "rename")).toMatchObject({ default: "{relpath}" })
    expect(at(folder, "compress")).toMatchObject({ enum: ["none", "gzip", "brotli", "zstd", "zip"] })
    expect(at(folder, "match")).toMatchObject({ allOf: [{ $ref: "#/$defs/Matchers" }] })
    const match = at(schema, "$defs", "Matchers", "properties")
    expect(at(match, "any")).toMatchObject({ items: { $ref: "#/$defs/Matchers" }, minItems: 1 })
    expect(at(match, "size", "properties", "min")).toMatchObject({ description: expect.any(String) })
    const log = at(schema, "properties", "log", "properties")
    expect(at(log, "retain")).toMatchObject({ default: "90d" })
    expect(at(log, "rotate", "properties", "size")).toMatchObject({ default: "10MiB" })
    expect(at(schema, "properties", "http", "properties", "port")).toMatchObject({ default: 3001 })
  })

  it("describes every key", () => {
    const bare: Array<string> = []
    const walk = (node: unknown, path: string): void => {
      if (!isNode(node)) return
      for (const [key, value] of Object.entries(Object(at(node, "properties")))) {
        if (!isNode(value) || (value["description"] === undefined && value["title"] === undefined))
          bare.push(`${path}.${key}`)
        walk(value, `${path}.${key}`)
      }
      walk(node["items"], `${path}[]`)
      for (const member of Object.values(Object(node["anyOf"]))) walk(member, path)
    }
    walk(schema, "")
    walk(at(schema, "$defs", "Matchers"), "match")
    expect(bare).toEqual([])
  })
})
