/**
 * `node tus.mjs FOLDER PORT`: a tus server whose uploads lie in FOLDER/uploads; a finished one is copied to
 * FOLDER/files under the name in its metadata. Tells its parent the port.
 */
import { cpSync, mkdirSync } from "node:fs"
import { createServer } from "node:http"
import { dirname, join, resolve, sep } from "node:path"
import { FileStore } from "@tus/file-store"
import { Server } from "@tus/server"

const [folder = "", port = "0", maxSize = "0"] = process.argv.slice(2)
const [uploads, files] = [join(folder, "uploads"), join(folder, "files")]
for (const one of [uploads, files]) mkdirSync(one, { recursive: true })

const tus = new Server({
  path: "/root",
  relativeLocation: true,
  maxSize: Number(maxSize),
  datastore: new FileStore({ directory: uploads }),
  onUploadFinish: async (_request, upload) => {
    const path = resolve(files, upload.metadata?.relativePath ?? upload.metadata?.filename ?? upload.id)
    if (!path.startsWith(files + sep)) throw new Error("a name that leads elsewhere")
    mkdirSync(dirname(path), { recursive: true })
    cpSync(upload.storage?.path ?? join(uploads, upload.id), path)
    return {}
  }
})

const server = createServer((request, response) => tus.handle(request, response))
server.listen(Number(port), "127.0.0.1", () => process.send?.(server.address().port))
