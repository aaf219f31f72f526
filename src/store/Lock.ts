/**
 * The lock that lets only one process use a journal.
 *
 * It is one that the kernel releases, however the process ends: a second SQLite database beside the journal,
 * `<db>.lock`, held in an exclusive transaction, that is, under POSIX record locks. The file itself says nothing and is
 * never removed, because removing it would let two processes hold locks on two files of one name.
 */
import Database from "better-sqlite3"
import { Effect, Option, Schema, type Scope } from "effect"
import { mkdirSync, readFileSync, statSync } from "node:fs"
import { dirname } from "node:path"

/** Another process uses the journal. */
export class JournalLockedError extends Schema.TaggedError<JournalLockedError>("filedispatch/JournalLockedError")(
  "JournalLockedError",
  {
    /** The journal's database. */
    database: Schema.String,
    /** The process that holds it, where the system tells. */
    pid: Schema.NullOr(Schema.Int)
  }
) {
  override get message() {
    const holder = this.pid === null ? "another process" : `process ${this.pid}`
    return `${this.database}: ${holder} uses this journal already. Stop it first, or give this one another database (\`db\` in the config, or --db).`
  }
}

/** The lock could not be taken for a reason other than that somebody has it. */
export class LockError extends Schema.TaggedError<LockError>("filedispatch/LockError")("LockError", {
  /** One line for people: what happened, to which file, and what to do. */
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

/** The file that is locked in place of this journal. */
export const lockFile = (database: string): string => `${database}.lock`

/**
 * Takes the journal's lock for as long as the scope is open. Makes the directory of the database where it is missing.
 */
export const acquire = (database: string): Effect.Effect<void, JournalLockedError | LockError, Scope.Scope> =>
  Effect.acquireRelease(Effect.try({ try: () => open(database), catch: (error) => refusal(database, error) }), (lock) =>
    Effect.sync(() => lock.close())
  ).pipe(Effect.asVoid)

/** Milliseconds: longer than a command such as `retry` holds it, so that a start beside it does not fail. */
const patience = 300

const open = (database: string): Database.Database => {
  mkdirSync(dirname(database), { recursive: true })
  const lock = new Database(lockFile(database), { timeout: patience })
  try {
    // no side files: nothing is ever written
    lock.pragma("journal_mode = MEMORY")
    lock.exec("BEGIN EXCLUSIVE")
    return lock
  } catch (error) {
    lock.close()
    throw error
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : ""

const refusal = (database: string, error: unknown): JournalLockedError | LockError => {
  const code = codeOf(error)
  if (code.startsWith("SQLITE_BUSY")) {
    return new JournalLockedError({ database, pid: Option.getOrNull(holder(lockFile(database))) })
  }
  if (code === "SQLITE_NOTADB" || code.startsWith("SQLITE_CORRUPT")) {
    return new LockError({
      reason: `${lockFile(database)} is not a lock file of filedispatch. Move it away, or choose another database (\`db\` in the config, or --db).`
    })
  }
  const detail = error instanceof Error ? error.message : String(error)
  return new LockError({
    reason: `${database}: the journal can't be locked, because its directory can't be written (${detail}). Make ${dirname(database)} a directory that this user may write to, or choose another database (\`db\` in the config, or --db).`
  })
}

/** The process that has record locks on a file, as Linux lists them. */
const holder = (file: string): Option.Option<number> => {
  try {
    const inode = statSync(file, { bigint: true }).ino
    // 1: POSIX  ADVISORY  WRITE 4711 fd:01:131090 1073741824 1073742335; the device's number is not that of stat
    // on every file system, so the inode and the range that SQLite locks must do
    const entry = new RegExp(`^\\d+: POSIX +\\S+ +WRITE +(\\d+) [0-9a-f]+:[0-9a-f]+:${inode} 107374`, "m")
    const pid = Number(entry.exec(readFileSync("/proc/locks", "latin1"))?.[1])
    return pid > 0 ? Option.some(pid) : Option.none()
  } catch {
    return Option.none()
  }
}
