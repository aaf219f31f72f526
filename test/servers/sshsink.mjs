/**
 * `node sshsink.mjs`: an SFTP server that counts what it is sent and forgets it. It rests for a second in each 64 MiB, so that a sender
 * without back-pressure piles up what it has. Whoever comes is let in. Tells its parent the port and the fingerprint of
 * its host key.
 */
import { createHash } from "node:crypto"
import ssh2 from "ssh2"

const hostKey = ssh2.utils.generateKeyPairSync("ed25519").private
const blob = ssh2.utils.parseKey(hostKey).getPublicSSH()
const fingerprint = `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`

const number = (value) => {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32BE(value)
  return buffer
}
const long = (value) => {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64BE(BigInt(value))
  return buffer
}
/** Of the protocol's requests. */
const [open, close, write, fstat, fsetstat, makeFolder, rename] = [3, 4, 6, 8, 10, 14, 18]

const serve = async (channel) => {
  let size = 0
  // the first rest comes at once
  let breath = 64 * 1024 * 1024
  let incoming = Buffer.alloc(0)
  const send = (type, ...parts) => {
    const body = Buffer.concat([Buffer.from([type]), ...parts])
    channel.write(Buffer.concat([number(body.length), body]))
  }
  const status = (request, code) => send(101, request, number(code), number(0), number(0))
  const answer = (message) => {
    const type = message[0]
    const request = message.subarray(1, 5)
    if (type === 1) send(2, number(3))
    else if (type === open) {
      size = 0
      send(102, request, number(1), Buffer.from("h"))
    } else if (type === fstat) send(105, request, number(1), long(size))
    // a WRITE: its handle is one byte long
    else if (type === write) {
      size = Math.max(size, Number(message.readBigUInt64BE(10)) + message.readUInt32BE(18))
      status(request, 0)
    } else status(request, [close, fsetstat, makeFolder, rename].includes(type) ? 0 : 2)
  }
  for await (const chunk of channel) {
    incoming = Buffer.concat([incoming, chunk])
    while (incoming.length >= 4 && incoming.length >= 4 + incoming.readUInt32BE(0)) {
      const end = 4 + incoming.readUInt32BE(0)
      answer(incoming.subarray(4, end))
      incoming = incoming.subarray(end)
    }
    breath += chunk.length
    if (breath > 64 * 1024 * 1024) {
      breath = 0
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
  }
}

const server = new ssh2.Server({ hostKeys: [hostKey] }, (client) => {
  client
    .on("error", () => undefined)
    .on("authentication", (context) => context.accept())
    .on("session", (accept) => {
      accept().on("subsystem", (accept) => {
        serve(accept()).catch(() => client.end())
      })
    })
})
server.listen(0, "127.0.0.1", () => process.send(`${server.address().port} ${fingerprint}`))
