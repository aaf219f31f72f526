/**
 * How the log is searched by a part of a file's name.
 */

/**
 * A text as it is compared: without regard to case, in all scripts, and to whether an accented letter is one character or
 * two (macOS writes two). NUL ends a text for some databases, so it is none.
 */
export const fold = (text: string): string =>
  text.normalize("NFC").toLowerCase().replaceAll("ς", "σ").replaceAll("\0", "\ufffd")

/** The folded name where the database's own `lower` would not make the same of it; null for plain ASCII. */
export const foldedOrNull = (filename: string): string | null =>
  // oxlint-disable-next-line no-control-regex -- all of ASCII but NUL
  /^[\x01-\x7f]*$/.test(filename) ? null : fold(filename)

/** A pattern of LIKE with the escape character `\` that finds this text anywhere. */
export const likePattern = (folded: string): string => `%${folded.replace(/[\\%_]/g, "\\$&")}%`

/** A string of FTS5's query language: nothing in it is an operator. */
export const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`

/** What an index of trigrams can find, in characters. */
export const isIndexable = (folded: string): boolean => Array.from(folded).length >= 3
