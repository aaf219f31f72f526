/**
 * Real servers on loopback for the benchmarks, each in a folder of its own and ended by `stop`. Those that are not
 * installed, or need root, are undefined.
 */
import { spawn, spawnSync } from "node:child_process"
import fs from "node:fs"
import net from "node:net"
import path from "node:path"
import { fresh, freePort, sleep } from "./kit.mjs"

const isRoot = process.getuid?.() === 0
const find = (...places) => places.find((place) => fs.existsSync(place))

const listening = async (port) => {
  for (let round = 0; round < 500; round++) {
    const open = await new Promise((resolve) => {
      const socket = net.connect(port, "127.0.0.1", () => {
        socket.destroy()
        resolve(true)
      })
      socket.once("error", () => resolve(false))
    })
    if (open) return
    await sleep(20)
  }
  throw new Error(`no server on port ${port}`)
}

const run = async (program, args, port) => {
  const child = spawn(program, args, { stdio: "ignore", detached: true })
  const ended = new Promise((resolve) => child.once("exit", resolve))
  const stop = async () => {
    if (child.exitCode === null) process.kill(-child.pid, "SIGTERM")
    await ended
  }
  try {
    await listening(port)
  } catch (error) {
    await stop()
    throw error
  }
  return stop
}

/** Everybody may write below `data`. */
const home = (name) => {
  const folder = fresh(name)
  const data = path.join(folder, "data")
  fs.mkdirSync(data, { recursive: true })
  fs.chmodSync(folder, 0o755)
  fs.chmodSync(data, 0o777)
  return { folder, data }
}

/** vsftpd with an anonymous user who may do everything below /data. */
export const ftpServer = async () => {
  const program = find("/usr/sbin/vsftpd")
  if (program === undefined || !isRoot) return undefined
  const { data, folder } = home("vsftpd")
  const port = await freePort()
  const config = path.join(folder, "vsftpd.conf")
  fs.mkdirSync(path.join(folder, "empty"))
  // one whose home is there
  const user = /^ftp:/m.test(fs.readFileSync("/etc/passwd", "utf8")) ? "ftp" : "root"
  fs.writeFileSync(
    config,
    [
      "listen=YES",
      "listen_address=127.0.0.1",
      `listen_port=${port}`,
      "background=NO",
      "anonymous_enable=YES",
      "no_anon_password=YES",
      "local_enable=NO",
      "write_enable=YES",
      "anon_upload_enable=YES",
      "anon_mkdir_write_enable=YES",
      "anon_other_write_enable=YES",
      "anon_world_readable_only=NO",
      "anon_umask=022",
      "seccomp_sandbox=NO",
      "xferlog_enable=NO",
      `anon_root=${folder}`,
      `ftp_username=${user}`,
      `nopriv_user=${user}`,
      `secure_chroot_dir=${path.join(folder, "empty")}`,
      ""
    ].join("\n")
  )
  return { port, data, url: `ftp://127.0.0.1:${port}/data`, stop: await run(program, [config], port) }
}

/** sshd for this user, by a key. */
export const sshServer = async () => {
  const program = find("/usr/sbin/sshd")
  if (program === undefined || !isRoot) return undefined
  const { data, folder } = home("sshd")
  const port = await freePort()
  const key = path.join(folder, "key")
  for (const [file] of [[path.join(folder, "host")], [key]]) {
    spawnSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", file])
  }
  fs.copyFileSync(`${key}.pub`, path.join(folder, "authorized"))
  fs.mkdirSync("/run/sshd", { recursive: true })
  const config = path.join(folder, "sshd_config")
  fs.writeFileSync(
    config,
    [
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      `HostKey ${path.join(folder, "host")}`,
      `AuthorizedKeysFile ${path.join(folder, "authorized")}`,
      `PidFile ${path.join(folder, "pid")}`,
      "StrictModes no",
      "UsePAM no",
      "PermitRootLogin yes",
      "MaxStartups 100",
      "Subsystem sftp internal-sftp",
      ""
    ].join("\n")
  )
  const hosts = path.join(folder, "known_hosts")
  const [type, blob] = fs.readFileSync(path.join(folder, "host.pub"), "utf8").split(" ")
  fs.writeFileSync(hosts, `[127.0.0.1]:${port} ${type} ${blob}\n`)
  return {
    port,
    data,
    key,
    hosts,
    url: `sftp://root@127.0.0.1:${port}${data}`,
    stop: await run(program, ["-D", "-f", config], port)
  }
}

/** nginx with WebDAV. */
export const davServer = async () => {
  const program = find("/usr/sbin/nginx")
  const module = find("/usr/lib/nginx/modules/ngx_http_dav_ext_module.so")
  if (program === undefined || module === undefined) return undefined
  const { data, folder } = home("nginx")
  const port = await freePort()
  const config = path.join(folder, "nginx.conf")
  fs.writeFileSync(
    config,
    `load_module ${module};
    daemon off; pid ${folder}/pid; error_log ${folder}/error.log crit; worker_processes 1; ${isRoot ? "user root;" : ""}
    events { worker_connections 256; }
    http {
      access_log off; client_max_body_size 0; client_body_temp_path ${folder}/body;
      proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
      keepalive_requests 100000;
      server {
        listen 127.0.0.1:${port}; root ${folder};
        location / { dav_methods PUT DELETE MKCOL COPY MOVE; dav_ext_methods PROPFIND OPTIONS; create_full_put_path off; }
      }
    }`
  )
  return {
    port,
    data,
    url: `webdav://127.0.0.1:${port}/data`,
    http: `http://127.0.0.1:${port}/data`,
    stop: await run(program, ["-c", config, "-p", folder], port)
  }
}

/** Takes any PUT and keeps nothing, in a process of its own; so many bytes a second at most. */
export const httpServer = async (rate = 0) => {
  const port = await freePort()
  const code = `
    const rate = ${rate}
    require("node:http").createServer(async (request, response) => {
      if (rate > 0) {
        for await (const chunk of request) await new Promise((done) => setTimeout(done, chunk.length * 1000 / rate))
      } else for await (const chunk of request) void chunk
      response.writeHead(201, { "content-length": 0 }).end()
    }).listen(${port}, "127.0.0.1")`
  return { port, url: `http://127.0.0.1:${port}/data`, stop: await run(process.execPath, ["-e", code], port) }
}

/** As much of S3 as an upload needs; keeps sizes and MD5s, and no bytes. */
export const s3Server = async () => {
  const port = await freePort()
  const code = `
    const { createHash } = require("node:crypto")
    const uploads = new Map(), objects = new Map()
    let last = 0
    require("node:http").createServer(async (request, response) => {
      const url = new URL(request.url, "http://localhost")
      const id = url.searchParams.get("uploadId")
      const hash = createHash("md5")
      let size = 0
      for await (const chunk of request) { size += chunk.length; hash.update(chunk) }
      const answer = (status, headers, body = "") =>
        response.writeHead(status, { "content-length": Buffer.byteLength(body), ...headers }).end(body)
      if (request.method === "POST" && url.searchParams.has("uploads")) {
        const next = String((last += 1))
        uploads.set(next, new Map())
        return answer(200, {}, "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>" + next + "</UploadId></InitiateMultipartUploadResult>")
      }
      if (request.method === "PUT") {
        const etag = hash.digest("hex")
        if (id === null) objects.set(url.pathname, { size, etag })
        else uploads.get(id).set(Number(url.searchParams.get("partNumber")), { size, etag })
        return answer(200, { etag: '"' + etag + '"' })
      }
      if (request.method === "POST" && id !== null) {
        const parts = [...uploads.get(id)].sort(([one], [other]) => one - other).map(([, part]) => part)
        const etag = createHash("md5").update(Buffer.concat(parts.map((part) => Buffer.from(part.etag, "hex")))).digest("hex") + "-" + parts.length
        objects.set(url.pathname, { size: parts.reduce((sum, part) => sum + part.size, 0), etag })
        return answer(200, {}, "<CompleteMultipartUploadResult><ETag>&quot;" + etag + "&quot;</ETag></CompleteMultipartUploadResult>")
      }
      const found = objects.get(url.pathname)
      if (request.method === "HEAD" && found !== undefined)
        return response.writeHead(200, { "content-length": found.size, etag: '"' + found.etag + '"', "last-modified": new Date().toUTCString() }).end()
      answer(request.method === "DELETE" ? 204 : 404, {})
    }).listen(${port}, "127.0.0.1")`
  return {
    port,
    url: "s3://key:secret@bucket/huge",
    endpoint: `http://127.0.0.1:${port}`,
    stop: await run(process.execPath, ["-e", code], port)
  }
}
