/**
 * The servers of the soak: an HTTP sink in this process, and vsftpd and sshd where they are installed and this is root.
 * Each can be taken away and brought back at its port.
 */
import { createHash } from "node:crypto"
import { spawn, spawnSync } from "node:child_process"
import fs from "node:fs"
import { createServer } from "node:http"
import net from "node:net"
import path from "node:path"

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

export const freePort = () =>
  new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })

/** Keeps the hash of what is put; `mode` is what requests meet: `fine`, `503`, or `cut` in the middle of the body. */
export const httpSink = async () => {
  const port = await freePort()
  const results = new Map()
  const sink = { results, mode: "fine", url: `http://127.0.0.1:${port}/up`, faults: 0 }
  const answer = (request, response) => {
    const name = decodeURIComponent(request.url.slice("/up/".length))
    if (request.method !== "PUT") {
      response.writeHead(results.has(name) ? 200 : 404).end()
      return
    }
    if (sink.mode === "503") {
      sink.faults += 1
      response.writeHead(503, { "retry-after": "1" }).end()
      request.resume()
      return
    }
    const hash = createHash("sha256")
    let bytes = 0
    request.on("error", () => undefined)
    request.on("data", (chunk) => {
      hash.update(chunk)
      bytes += chunk.length
      if (sink.mode === "cut" && bytes > 2000) {
        sink.faults += 1
        request.socket.destroy()
      }
    })
    request.on("end", () => {
      results.set(name, { hash: hash.digest("hex"), at: Date.now() })
      response.writeHead(201).end()
    })
  }
  let server
  sink.start = () =>
    new Promise((resolve) => {
      server = createServer(answer).listen(port, "127.0.0.1", resolve)
    })
  sink.stop = () =>
    new Promise((resolve) => {
      server.close(resolve)
      server.closeAllConnections()
    })
  await sink.start()
  return sink
}

const listening = async (port) => {
  for (let round = 0; round < 1000; round++) {
    const isOpen = await new Promise((resolve) => {
      const socket = net.connect(port, "127.0.0.1", () => {
        socket.destroy()
        resolve(true)
      })
      socket.once("error", () => resolve(false))
    })
    if (isOpen) return
    await sleep(20)
  }
  throw new Error(`no server on port ${port}`)
}

/** A program in the foreground as a server; `stop` ends it with all its sessions. */
const program = async (command, args, port) => {
  const one = {}
  let child
  one.start = async () => {
    child = spawn(command, args, { stdio: "ignore", detached: true })
    child.ended = new Promise((resolve) => child.once("exit", resolve))
    await listening(port)
  }
  one.cut = () => {
    for (const pid of below(child.pid)) kill(pid)
  }
  one.kill = () => {
    // sessions of sshd are in groups of their own
    if (child.exitCode === null && child.signalCode === null)
      for (const pid of [...below(child.pid), child.pid]) kill(pid)
  }
  one.stop = async () => {
    one.kill()
    await child.ended
  }
  await one.start()
  return one
}

const kill = (pid) => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // it has ended by itself
  }
}

const below = (pid) => {
  try {
    const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim()
    return children === "" ? [] : children.split(" ").flatMap((child) => [...below(Number(child)), Number(child)])
  } catch {
    return []
  }
}

const find = (file) => (process.getuid?.() === 0 && fs.existsSync(file) ? file : undefined)

const home = (root, name) => {
  const folder = path.join(root, name)
  const data = path.join(folder, "data")
  fs.mkdirSync(data, { recursive: true })
  fs.chmodSync(folder, 0o755)
  fs.chmodSync(data, 0o777)
  return { folder, data }
}

export const ftpServer = async (root) => {
  const command = find("/usr/sbin/vsftpd")
  if (command === undefined) return undefined
  const { data, folder } = home(root, "vsftpd")
  fs.mkdirSync(path.join(folder, "empty"))
  const port = await freePort()
  const user = /^ftp:/m.test(fs.readFileSync("/etc/passwd", "utf8")) ? "ftp" : "root"
  const config = path.join(folder, "vsftpd.conf")
  const yes = [
    "listen anonymous_enable no_anon_password write_enable anon_upload_enable anon_mkdir_write_enable",
    "anon_other_write_enable"
  ].flatMap((names) => names.split(" "))
  const no = ["background", "local_enable", "anon_world_readable_only", "seccomp_sandbox", "xferlog_enable"]
  const lines = [
    ...yes.map((name) => `${name}=YES`),
    ...no.map((name) => `${name}=NO`),
    "listen_address=127.0.0.1",
    `listen_port=${port}`,
    "anon_umask=022",
    `anon_root=${folder}`,
    `ftp_username=${user}`,
    `nopriv_user=${user}`,
    `secure_chroot_dir=${path.join(folder, "empty")}`
  ]
  fs.writeFileSync(config, `${lines.join("\n")}\n`)
  return { ...(await program(command, [config], port)), data, line: `path: "ftp://127.0.0.1:${port}/data"` }
}

export const sshServer = async (root) => {
  const command = find("/usr/sbin/sshd")
  if (command === undefined) return undefined
  const { data, folder } = home(root, "sshd")
  const port = await freePort()
  const [host, key] = [path.join(folder, "host"), path.join(folder, "key")]
  for (const file of [host, key]) spawnSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", file])
  const publicKey = (file) => fs.readFileSync(`${file}.pub`, "utf8").trim().split(" ").slice(0, 2).join(" ")
  fs.writeFileSync(path.join(folder, "authorized"), `${publicKey(key)}\n`)
  fs.mkdirSync("/run/sshd", { recursive: true })
  const config = path.join(folder, "sshd_config")
  const lines = [
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${host}`,
    `AuthorizedKeysFile ${path.join(folder, "authorized")}`,
    `PidFile ${path.join(folder, "pid")}`,
    "StrictModes no",
    "UsePAM no",
    "PermitRootLogin yes",
    "MaxStartups 100",
    "Subsystem sftp internal-sftp"
  ]
  fs.writeFileSync(config, `${lines.join("\n")}\n`)
  const known = path.join(folder, "known_hosts")
  fs.writeFileSync(known, `[127.0.0.1]:${port} ${publicKey(host)}\n`)
  const line = `path: "sftp://root@127.0.0.1:${port}${data}", key: "${key}", knownHosts: "${known}"`
  return { ...(await program(command, ["-D", "-e", "-f", config], port)), data, line }
}
