/**
 * What holds where the config file says nothing. Times in milliseconds, sizes in bytes.
 */

export const defaults = {
  source: {
    recursive: false,
    include: ["**"],
    exclude: [
      "**/.*",
      "**/.*/**",
      "**/*~",
      "**/~$*",
      "**/#*#",
      "**/*.part",
      "**/*.partial",
      "**/*.filepart",
      "**/*.crdownload",
      "**/*.download",
      "**/*.download/**",
      "**/*.opdownload",
      "**/*.aria2",
      "**/*.tmp",
      "**/*.temp",
      "**/*.swp",
      "**/*.swx"
    ],
    settle: 1000,
    marker: null,
    minAge: 0,
    watch: "auto",
    pollInterval: 2000,
    rescan: 300_000,
    symlinks: "skip",
    after: "keep",
    onDead: "keep"
  },
  /** Every folder that matches gets the file. */
  dispatch: "all",
  folder: { priority: 0, order: "arrival" },
  /** How many characters of a text are looked at. */
  within: 64 * 1024,
  /** How large a decompressed file may be. */
  decompressLimit: 1024 ** 3,
  target: {
    conflict: "overwrite",
    retry: { attempts: 10, base: 1000, factor: 2, cap: 600_000 },
    concurrency: 4,
    timeout: 60_000,
    fieldname: "file",
    upload: "multipart"
  },
  http: { host: "127.0.0.1", port: 3001 },
  monitor: { enabled: true, host: "127.0.0.1", port: 50101 },
  log: {
    level: "INFO",
    format: "pretty",
    rotate: { size: 10 * 1024 * 1024, keep: 5 },
    retain: 90 * 86_400_000
  },
  durability: "power"
} as const
