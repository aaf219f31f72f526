/**
 * The kinds of OLE compound files ([MS-CFB]): the Office documents of before 2007, encrypted ones of today, and mails
 * of Outlook. The names in the directory tell which.
 */
import type { Detected } from "./protocol.ts"
import type { Opened } from "./subject.ts"

export const compoundType = (file: Opened): Detected => {
  const names = directory(file)
  if (names.has("EncryptedPackage")) {
    return { mime: "application/x-ole-storage", why: "it is an encrypted Office document" }
  }
  if (names.has("WordDocument")) return { mime: "application/msword" }
  if (names.has("Workbook") || names.has("Book")) return { mime: "application/vnd.ms-excel" }
  if (names.has("PowerPoint Document")) return { mime: "application/vnd.ms-powerpoint" }
  if (names.has("__properties_version1.0")) return { mime: "application/vnd.ms-outlook" }
  return { mime: "application/x-ole-storage" }
}

const entrySize = 128

/** The names in the first part of the directory, where the root's own streams are. */
const directory = (file: Opened): ReadonlySet<string> => {
  const names = new Set<string>()
  const header = file.read(0, 512)
  if (header.length < 512) return names
  const sector = header.readUInt16LE(30) === 12 ? 4096 : 512
  const entries = file.read((header.readUInt32LE(48) + 1) * sector, 4096)
  for (let at = 0; at + entrySize <= entries.length; at += entrySize) {
    // bytes of the name, with the zero at its end
    const length = entries.readUInt16LE(at + 64)
    if (length >= 2 && length <= 64) names.add(entries.subarray(at, at + length - 2).toString("utf16le"))
  }
  return names
}
