/**
 * What the destinations say of themselves whose code is loaded when it is wanted: see BuiltIn.
 */
import type { Destination } from "../Destination.ts"

const conflicts = ["overwrite", "skip", "rename", "fail", "newer", "backup"] as const

export const sftp = {
  schemes: ["sftp"],
  protocol: "sftp",
  worker: "SFTP worker",
  conflicts
} as const satisfies Omit<Destination, "open">

export const webDav = {
  schemes: ["webdav", "webdavs"],
  protocol: "webdav",
  worker: "WebDAV worker",
  conflicts
} as const satisfies Omit<Destination, "open">

export const s3 = {
  schemes: ["s3"],
  protocol: "s3",
  worker: "S3 worker",
  conflicts
} as const satisfies Omit<Destination, "open">
