import { statSync } from "node:fs"

/** What tells one state of a file from another: that it was replaced, that it is gone, and another end of a link, too. */
export const fingerprint = (file: string): string => {
  try {
    const { ctimeNs, dev, ino, mtimeNs, size } = statSync(file, { bigint: true })
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : "unknown"
  }
}
