/** The program's own version. */
import { readFileSync } from "node:fs"

/** From package.json, which lies above the program however that was built. */
export const packageVersion = (): string => {
  for (const place of ["../package.json", "../../package.json"]) {
    try {
      const found: unknown = JSON.parse(readFileSync(new URL(place, import.meta.url), "utf8"))
      if (typeof found === "object" && found !== null && "version" in found && "bin" in found)
        return String(found.version)
    } catch {
      // it lies elsewhere
    }
  }
  return "unknown"
}
