import { hash } from "node:crypto";
import type { OpenAPIV3_1 } from "openapi-types";

type Document = OpenAPIV3_1.Document;
type Operation = OpenAPIV3_1.OperationObject;
type Schema = OpenAPIV3_1.SchemaObject | OpenAPIV3_1.ReferenceObject;

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --ink: #777; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem; }
code, pre { font: .875rem/1.5 ui-monospace, monospace; }
pre { background: var(--soft); padding: .75rem; overflow-x: auto; border-radius: .25rem; }
details { border: 1px solid var(--line); border-radius: .25rem; margin: .5rem 0; padding: .5rem .75rem; }
summary { cursor: pointer; }
summary code { font-weight: 600; }
h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; width: 100%; }
td, th { border-top: 1px solid var(--line); padding: .25rem .5rem .25rem 0; text-align: left; vertical-align: top; }
.note { color: var(--ink); }
`;

/** Nothing but this page's own style is loaded or run, and nobody may frame it. */
const POLICY = `default-src 'none'; style-src 'sha256-${hash("sha256", STYLE, "base64")}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** The documentation as one page, without a script, and the content security policy under which it is shown. */
export function documentationPage(document: Document): { html: string; policy: string } {
  const { info, tags = [], components } = document;
  const sections = tags.map(({ name, description = "" }) => {
    const operations = operationsOf(document).filter(({ operation }) => operation.tags?.includes(name));
    const parts = operations.map(({ method, path, operation }) => operationPart(method, path, operation));
    return `<h2 id="${escaped(name)}">${escaped(name)}</h2><p>${marked(description)}</p>${parts.join("")}`;
  });
  const schemas = Object.entries(components?.schemas ?? {}).map(
    ([name, schema]) =>
      `<details id="schema-${escaped(name)}"><summary><code>${escaped(name)}</code></summary>${json(schema)}</details>`,
  );
  const head = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">`;
  const body = `<h1>${escaped(info.title)} ${escaped(info.version)}</h1>${paragraphs(info.description ?? "")}
<p>As a file for tools: <a href="/openapi.json">openapi.json</a> (OpenAPI ${escaped(document.openapi)}).</p>
${sections.join("")}<h2 id="schemas">schemas</h2>${schemas.join("")}`;
  const html = `${head}<title>${escaped(info.title)}</title><style>${STYLE}</style></head><body><main>${body}</main></body></html>`;
  return { html, policy: POLICY };
}

function operationsOf({ paths }: Document): { method: string; path: string; operation: Operation }[] {
  const methods = ["get", "post", "put", "patch", "delete"] as const;
  return Object.entries(paths ?? {}).flatMap(([path, item]) =>
    methods.flatMap((method) => {
      const operation = item?.[method];
      return operation === undefined ? [] : [{ method: method.toUpperCase(), path, operation }];
    }),
  );
}

function operationPart(method: string, path: string, operation: Operation): string {
  const { summary = "", description = "", parameters = [], requestBody, responses = {}, security } = operation;
  const title = `<summary><code>${method} ${escaped(path)}</code> ${marked(summary)}</summary>`;
  const body = requestBody !== undefined && "content" in requestBody ? contentPart("Body", requestBody.content) : "";
  return `<details>${title}${paragraphs(description)}${securityPart(security)}${parametersPart(parameters)}${body}${responsesPart(responses)}</details>`;
}

function securityPart(security: Operation["security"]): string {
  if (security === undefined) return "<p>Open to all.</p>";
  const scopes = security.flatMap((scheme) => Object.values(scheme).flat());
  const isOptional = security.some((scheme) => Object.keys(scheme).length === 0);
  const scope = scopes[0] === undefined ? "" : ` of the scope <code>${escaped(scopes[0])}</code>`;
  return `<p>With an API key${scope}${isOptional ? ", or without one" : ""}.</p>`;
}

function parametersPart(parameters: Operation["parameters"]): string {
  const rows = (parameters ?? []).flatMap((parameter) => {
    if ("$ref" in parameter) return [];
    const { name = "", in: place = "", description = "", required = false, schema } = parameter;
    const need = required ? "" : ", optional";
    return `<tr><td><code>${escaped(name)}</code></td><td>${escaped(place)}${need}</td><td>${marked(description)}</td><td>${json(schema)}</td></tr>`;
  });
  return rows.length === 0 ? "" : `<h4>Parameters</h4><table>${rows.join("")}</table>`;
}

function responsesPart(responses: OpenAPIV3_1.ResponsesObject): string {
  const rows = Object.entries(responses).map(([status, response]) => {
    if ("$ref" in response) return "";
    const { description, content = {} } = response as OpenAPIV3_1.ResponseObject;
    return `<tr><td>${escaped(status)}</td><td>${marked(description)}${contentPart("", content)}</td></tr>`;
  });
  return `<h4>Answers</h4><table>${rows.join("")}</table>`;
}

function contentPart(title: string, content: Record<string, OpenAPIV3_1.MediaTypeObject>): string {
  const heading = title === "" ? "" : `<h4>${title}</h4>`;
  return Object.entries(content)
    .map(
      ([type, { schema }]) => `${heading}<p class="note">${escaped(type)} ${referenceOf(schema) ?? json(schema)}</p>`,
    )
    .join("");
}

function referenceOf(schema: Schema | undefined): string | undefined {
  if (schema === undefined || !("$ref" in schema)) return undefined;
  const name = schema.$ref.split("/").at(-1) ?? "";
  return `<a href="#schema-${escaped(name)}">${escaped(name)}</a>`;
}

function json(value: unknown): string {
  return `<pre>${escaped(JSON.stringify(value, null, 2) ?? "")}</pre>`;
}

function paragraphs(text: string): string {
  return text
    .split("\n\n")
    .filter((part) => part !== "")
    .map((part) => `<p>${marked(part)}</p>`)
    .join("");
}

/** Text in which code stands between backticks. */
function marked(text: string): string {
  return escaped(text).replaceAll(/`([^`]+)`/g, "<code>$1</code>");
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
