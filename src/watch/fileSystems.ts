/**
 * What is known of file systems, by the type that statfs(2) answers: the numbers are those of Linux (linux/magic.h, and
 * the file systems' own sources).
 */
import { statfs } from "node:fs/promises"

export interface FileSystem {
  readonly name: string
  /** `shared`: other machines may change it, and the system tells of no such change. */
  readonly kind: "local" | "shared"
}

const local = (name: string): FileSystem => ({ name, kind: "local" })
const shared = (name: string): FileSystem => ({ name, kind: "shared" })

const fileSystems: ReadonlyMap<number, FileSystem> = new Map([
  [0xef53, local("ext4")],
  [0x58465342, local("XFS")],
  [0x9123683e, local("Btrfs")],
  [0x01021994, local("tmpfs")],
  [0xf2f52010, local("F2FS")],
  [0x794c7630, local("overlay")],
  [0x6969, shared("NFS")],
  [0x517b, shared("SMB")],
  [0xff534d42, shared("CIFS")],
  [0xfe534d42, shared("SMB")],
  [0x01021997, shared("9P")],
  [0x65735546, shared("FUSE")],
  [0x00c36400, shared("Ceph")],
  [0x5346414f, shared("AFS")],
  [0x6b414653, shared("AFS")],
  [0x73757245, shared("Coda")],
  [0x786f4256, shared("vboxsf")],
  [0xbacbacbc, shared("HGFS")],
  [0x0bd00bd0, shared("Lustre")],
  [0x47504653, shared("GPFS")],
  [0x01161970, shared("GFS2")],
  [0x7461636f, shared("OCFS2")]
])

/** Null where it is none of these, or can't be told. */
export const fileSystemOf = async (path: string): Promise<FileSystem | null> => {
  if (process.platform !== "linux") return null
  try {
    return fileSystems.get((await statfs(path)).type >>> 0) ?? null
  } catch {
    return null
  }
}
