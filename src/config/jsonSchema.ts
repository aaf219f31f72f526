/**
 * The JSON Schema of the config file, for editors.
 */
import { JSONSchema } from "effect"
import { ConfigFile } from "./ConfigFile.ts"

export const configJsonSchema = (): JSONSchema.JsonSchema7Root => ({
  ...JSONSchema.make(ConfigFile),
  title: "The configuration of filedispatch"
})
