/**
 * What the config file says of a folder: which files go there, its targets, and the options of either.
 */
import { Schema } from "effect"
import { defaults } from "./defaults.ts"
import { exclude, extensions, MatchGroup, sources } from "./MatchFile.ts"
import { TargetEntry, targetOptions, targetText } from "./TargetFile.ts"
import { boolean, integer, key, list, oneOf, text } from "./Values.ts"

export { TargetEntry } from "./TargetFile.ts"

export const FolderEntry = Schema.Struct({
  name: key(text("a name"), "What the log calls it; by default the last part of its path."),
  path: key(
    targetText,
    "Where the files go: a directory, or a file, ftp, ftps, sftp, http, https, webdav, webdavs or s3 URL. Its path can have variables, as rename has."
  ),
  paths: key(
    list(
      Schema.Union(targetText, TargetEntry).annotations({ title: "a directory, a URL, or a map with path" }),
      "a list of directories and URLs",
      1
    ),
    "Several places, each of which gets every file; as maps, with options of their own."
  ),
  extensions,
  match: key(MatchGroup, "What else a file must be like: all of it holds."),
  exclude,
  sources,
  otherwise: key(boolean, "true: takes the files that no other folder takes.", false),
  priority: key(
    integer(-1000, 1000),
    "Files of a folder with a higher one are sent first, where they wait for the same server.",
    defaults.folder.priority
  ),
  order: key(
    oneOf("arrival", "oldest", "smallest", "largest"),
    "Which of its waiting files is sent first, among those of one priority.",
    defaults.folder.order
  ),
  ...targetOptions
}).annotations({ title: "a folder: a map with path" })
export type FolderEntry = typeof FolderEntry.Type
