/**
 * The whole daemon against the tools of each protocol, over real servers on loopback, with equal connections.
 */
import { spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import fs from "node:fs"
import http from "node:http"
import path from "node:path"
import { performance } from "node:perf_hooks"
import { daemon, fresh, goal, has, largeMiB, measure, resident, sleep, table, values, waitFor } from "./kit.mjs"
import { davServer, ftpServer, httpServer, s3Server, sshServer } from "./servers.mjs"

const count = Number(values.small)

const spawned = (name, args) => {
  const start = performance.now()
  const { status, stderr } = spawnSync(name, args, {
    stdio: ["ignore", "ignore", "pipe"],
    encoding: "utf8",
    timeout: 60_000
  })
  if (status !== 0) throw new Error(`${name} failed, or took more than a minute: ${stderr}`)
  return performance.now() - start
}

const obscured = (text) => spawnSync("rclone", ["obscure", text], { encoding: "utf8" }).stdout.trim()

/**
 * A daemon that runs already gets a folder of files, by one rename; from then until all are delivered and logged. It may
 * have got some `before`: what a program does for the first time takes V8 longer than the same a second later.
 */
const delivered = async ({ files, target, extra, env, before }, expected) => {
  const inbox = fresh("inbox")
  fs.mkdirSync(inbox)
  const one = await daemon({ source: inbox, target, extra, env, recursive: true })
  let wanted = 0
  const folder = async (name) => {
    const staged = fresh("staged")
    fs.mkdirSync(staged)
    // links, so that nothing waits for a copy of the source to be written to the disk
    for (const name of fs.readdirSync(files)) fs.linkSync(path.join(files, name), path.join(staged, name))
    wanted += expected
    const start = performance.now()
    fs.renameSync(staged, path.join(inbox, name))
    await waitFor(async () => (await one.logged()) >= wanted, 10, 60_000, `the deliveries to ${target}`)
    return performance.now() - start
  }
  try {
    await one.ready()
    for (let index = 0; index < before; index++) await folder(`before-${index}`)
    return await folder("batch")
  } finally {
    await one.stop()
    fs.rmSync(inbox, { recursive: true })
  }
}

/** A folder at the server for each contestant and repetition. */
let turn = 0
const place = (server) => {
  const name = `run-${(turn += 1)}`
  if (server.data !== undefined) {
    fs.mkdirSync(path.join(server.data, name))
    fs.chmodSync(path.join(server.data, name), 0o777)
  }
  return name
}

const check = (server, name, below, expected) => {
  if (server.data === undefined) return
  const found = fs.readdirSync(path.join(server.data, name, below)).length
  if (found !== expected) throw new Error(`${found} of ${expected} files are at the server`)
}

/** The bare floor of HTTP: node's own agent, eight at once. */
const agentPut = async (server, files) => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 })
  const names = fs.readdirSync(files)
  let next = 0
  const start = performance.now()
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      while (next < names.length) {
        const name = names[next++]
        const body = await fs.promises.readFile(path.join(files, name))
        await new Promise((resolve, reject) => {
          const request = http.request(
            `${server.url}/${name}`,
            { method: "PUT", agent, headers: { "content-length": body.length } },
            (response) => response.resume().once("end", resolve)
          )
          request.once("error", reject)
          request.end(body)
        })
      }
    })
  )
  agent.destroy()
  return performance.now() - start
}

const data = (name, files, size) => {
  const folder = fresh(name)
  fs.mkdirSync(folder)
  const block = randomBytes(Math.min(size, 1024 * 1024))
  for (let index = 0; index < files; index++) {
    const file = fs.openSync(path.join(folder, `file-${index}.dat`), "w")
    for (let written = 0; written < size; written += block.length) {
      block.writeUInt32LE(index, 0)
      fs.writeSync(file, block)
    }
    fs.closeSync(file)
  }
  return folder
}

/** For each protocol: what takes part, and the goals, as ratios of speeds. */
const protocols = (files, expected, small) => {
  /** Once as it runs for days, and once just started. */
  const ours = (server, how, extra, env) => {
    const run = (before) => async () => {
      const name = place(server)
      const time = await delivered({ files, target: `${server.url}/${name}`, extra, env, before }, expected)
      check(server, name, "batch", expected)
      return time
    }
    return [
      [`filedispatch, ${how}`, run(small ? 3 : 0)],
      ...(small ? [[`filedispatch, ${how}, the first after its start`, run(0)]] : [])
    ]
  }
  const theirs = (server, run) => async () => {
    const name = place(server)
    const time = run(name)
    check(server, name, "", expected)
    return time
  }
  const rclone = (server, remote) =>
    has("rclone")
      ? [
          [
            "rclone, 4 transfers",
            theirs(server, (name) =>
              spawned("rclone", ["copy", files, remote(name), "--transfers", "4", "--checkers", "4", "--config", ""])
            )
          ]
        ]
      : []
  return [
    {
      name: "FTP",
      start: ftpServer,
      contestants: (server) => [
        ...ours(server, "4 connections", ", concurrency: 4"),
        ...rclone(
          server,
          (name) =>
            `:ftp,host=127.0.0.1,port=${server.port},user=anonymous,pass=${obscured("x")},concurrency=0:data/${name}`
        ),
        ...(has("lftp")
          ? [
              [
                "lftp, 4 connections",
                theirs(server, (name) =>
                  spawned("lftp", [
                    "-c",
                    `open ftp://127.0.0.1:${server.port}; mirror -R -P 4 --no-perms ${files} /data/${name}`
                  ])
                )
              ]
            ]
          : [])
      ],
      goals: small
        ? [
            ["rclone", 2.5],
            ["lftp", 0.7]
          ]
        : [["rclone", 0.8]]
    },
    {
      name: "SFTP",
      start: sshServer,
      contestants: (server) => {
        const ssh = ["-i", server.key, "-o", `UserKnownHostsFile=${server.hosts}`, "-o", "BatchMode=yes"]
        return [
          ...ours(
            server,
            "1 connection, 32 files in flight",
            `, concurrency: 32, key: ${server.key}, knownHosts: ${server.hosts}`
          ),
          ...rclone(
            server,
            (name) =>
              `:sftp,host=127.0.0.1,port=${server.port},user=root,key_file=${server.key},shell_type=none,disable_hashcheck=true:${server.data}/${name}`
          ),
          ...(small && has("lftp")
            ? [
                [
                  "lftp, 4 connections",
                  theirs(server, (name) =>
                    spawned("lftp", [
                      "-c",
                      `set sftp:connect-program "ssh -a -x ${ssh.join(" ")}"; open -u root, sftp://127.0.0.1:${server.port}; mirror -R -P 4 --no-perms ${files} ${server.data}/${name}`
                    ])
                  )
                ]
              ]
            : []),
          ...(fs.existsSync("/usr/bin/sftp")
            ? [
                [
                  "OpenSSH sftp -b",
                  theirs(server, (name) => {
                    const batch = fresh("batch")
                    fs.writeFileSync(batch, `lcd ${files}\ncd ${server.data}/${name}\nput *\n`)
                    return spawned("sftp", ["-q", "-b", batch, "-P", String(server.port), ...ssh, "root@127.0.0.1"])
                  })
                ]
              ]
            : [])
        ]
      },
      goals: small
        ? [
            ["rclone", 1.5],
            ["lftp", 1.5],
            ["OpenSSH", 1.5]
          ]
        : [["rclone", 1.2]]
    },
    {
      name: "WebDAV",
      start: davServer,
      contestants: (server) => [
        ...ours(server, "4 connections", ", concurrency: 4"),
        ...rclone(server, (name) => `:webdav,url='${server.http}/${name}',vendor=other:`)
      ],
      goals: small ? [["rclone", 10]] : []
    },
    {
      name: "HTTP PUT",
      start: () => httpServer(),
      contestants: (server) => [
        ...ours(server, "8 connections", ", upload: raw, concurrency: 8"),
        ["node:http agent, 8 connections", () => agentPut(server, files)]
      ],
      goals: small ? [["node:http", 0.7]] : []
    }
  ]
}

const compare = async (title, size, expected, small) => {
  const files = data("files", expected, size)
  for (const { contestants, goals, name, start } of protocols(files, expected, small)) {
    if (values.protocol !== undefined && !values.protocol.includes(name)) continue
    const server = await start()
    if (server === undefined) {
      console.log(`\n${name}: skipped, its server is not installed or this is not root`)
      continue
    }
    try {
      const result = await measure(contestants(server))
      const all = Array.from(result)
      const ours = all.filter(([who]) => who.startsWith("filedispatch"))
      const rows = [["", "ms", small ? "files/s" : "MB/s", "filedispatch to it", ...(small ? ["just started"] : [])]]
      for (const [who, time] of all) {
        const rate = small ? (expected / time) * 1000 : (size * expected) / 1000 / time
        rows.push([who, time.toFixed(0), rate.toFixed(0), ...ours.map(([, own]) => (time / own).toFixed(2))])
      }
      table(`${title}, ${name}`, rows)
      for (const [peer, wanted] of goals) {
        const found = all.find(([who]) => who.startsWith(peer))
        if (found === undefined) continue
        for (const [index, [, time]] of ours.entries()) {
          const ratio = found[1] / time
          const which = index === 0 ? "" : ", just started"
          goal(`${title}, ${name}${which}: at least ${wanted} of ${found[0]}`, ratio.toFixed(2), ratio >= wanted)
        }
      }
    } finally {
      await server.stop()
    }
  }
  fs.rmSync(files, { recursive: true })
}

export const network = async () => {
  await compare(`${count} files of 4 KiB`, 4096, count, true)
  await compare(`One file of ${largeMiB} MiB`, largeMiB * 1024 * 1024, 1, false)
}

/** Resident memory of the daemon while it uploads a file of 5 GiB, and a smaller one to a server that reads slowly. */
export const huge = async () => {
  const rows = [["", "peak MiB", "s"]]
  const upload = async (name, server, target, extra, bytes) => {
    const inbox = fresh("inbox")
    fs.mkdirSync(inbox)
    const staged = fresh("huge")
    fs.writeFileSync(staged, "")
    fs.truncateSync(staged, bytes)
    const one = await daemon({ source: inbox, target, extra })
    let peak = 0
    try {
      await one.ready()
      const start = performance.now()
      fs.renameSync(staged, path.join(inbox, "huge.bin"))
      await waitFor(
        async () => {
          peak = Math.max(peak, resident(one.pid))
          return (await one.logged()) >= 1
        },
        100,
        600_000,
        name
      )
      rows.push([name, peak.toFixed(0), ((performance.now() - start) / 1000).toFixed(1)])
      console.log(rows.at(-1).join("  "))
      goal(`${name}: under 200 MiB resident`, peak.toFixed(0), peak < 200)
    } finally {
      await one.stop()
      fs.rmSync(inbox, { recursive: true })
      await server.stop()
      if (server.data !== undefined) fs.rmSync(server.data, { recursive: true })
      await sleep(100)
    }
  }
  const five = 5 * 1024 ** 3
  const ftp = await ftpServer()
  if (ftp !== undefined) await upload("5 GiB, FTP", ftp, ftp.url, "", five)
  const ssh = await sshServer()
  if (ssh !== undefined) await upload("5 GiB, SFTP", ssh, ssh.url, `, key: ${ssh.key}, knownHosts: ${ssh.hosts}`, five)
  const dav = await davServer()
  if (dav !== undefined) await upload("5 GiB, WebDAV", dav, dav.url, "", five)
  const s3 = await s3Server()
  await upload("5 GiB, S3", s3, s3.url, `, endpoint: "${s3.endpoint}", region: us-east-1`, five)
  const fast = await httpServer()
  await upload("5 GiB, HTTP PUT", fast, fast.url, ", upload: raw", five)
  const slow = await httpServer(100_000_000)
  await upload("1 GiB, HTTP PUT, a server that reads 100 MB/s", slow, slow.url, ", upload: raw", 1024 ** 3)
  table("Resident memory during large uploads", rows)
}
