/**
 * The pages that need no dashboard: plain HTML, no script, nothing from elsewhere.
 */
import type { OpenApi } from "@effect/platform"

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

const layout = (title: string, body: string): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
  body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  code, .call { font-family: ui-monospace, monospace }
  section { border-top: 1px solid #8884; padding: .5rem 0 }
  h2 { margin: 1.5rem 0 .5rem } h3 { font-size: 1rem; margin: .5rem 0 }
  table { border-collapse: collapse; font-size: .9rem }
  td, th { text-align: left; padding: .1rem 1rem .1rem 0; vertical-align: top }
  .verb { display: inline-block; min-width: 4.5rem; font-weight: bold }
</style>
<body>
${body}
</body>
</html>
`

export const homePage = layout(
  "filedispatch",
  `<h1>filedispatch</h1>
<p>This program watches directories and dispatches every file that arrives to where it belongs.</p>
<ul>
  <li><a href="/api/v1/schema">the HTTP API</a>, and as <a href="/api/v1/schema/spec">OpenAPI</a></li>
  <li><a href="/api/v1/logs">the log</a></li>
  <li><a href="/api/v1/sources">sources</a> and <a href="/api/v1/destinations">destinations</a></li>
  <li><a href="/api/v1/deliveries?state=DEAD">deliveries that failed</a></li>
</ul>`
)

/** The API, for people. */
export const schemaPage = (spec: OpenApi.OpenAPISpec): string =>
  layout(
    `${spec.info.title} API`,
    `<h1>${escape(spec.info.title)} API</h1>
<p>${escape(spec.info.description ?? "")}</p>
<p>For programs: <a href="/api/v1/schema/spec">OpenAPI ${escape(spec.openapi)}</a></p>
${Object.entries(spec.paths)
  .flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => describeOperation(method, path, operation))
  )
  .join("\n")}`
  )

const describeOperation = (method: string, path: string, operation: OpenApi.OpenAPISpecOperation): string => {
  const parameters = operation.parameters.map(
    ({ description, in: where, name, required, schema }) =>
      `<tr><td><code>${escape(name)}</code><td>${where}${required ? ", required" : ""}<td>${escape(
        description ?? ("description" in schema && typeof schema.description === "string" ? schema.description : "")
      )}`
  )
  const responses = Object.entries(operation.responses).map(
    ([status, { description }]) => `<tr><td><code>${status}</code><td>${escape(description)}`
  )
  const body =
    operation.requestBody === undefined
      ? ""
      : `<h3>Body</h3><p>JSON: ${Object.values(operation.requestBody.content)
          .map((content) => `<code>${escape(JSON.stringify(content?.schema ?? {}))}</code>`)
          .join(" ")}</p>`
  return `<section>
<p class="call"><span class="verb">${method.toUpperCase()}</span> ${escape(path)}</p>
<p>${escape(operation.summary ?? "")}${operation.description === undefined ? "" : `. ${escape(operation.description)}`}</p>
${parameters.length === 0 ? "" : `<h3>Parameters</h3><table>${parameters.join("")}</table>`}
${body}
<h3>Answers</h3><table>${responses.join("")}</table>
</section>`
}
