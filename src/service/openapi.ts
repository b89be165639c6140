import helmet from "@fastify/helmet";
import swagger from "@fastify/swagger";
import type { FastifyInstance } from "fastify";
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from "fastify-type-provider-zod";
import type { OpenAPIV3_1 } from "openapi-types";
import { documentationPage } from "./docs-page.js";
import { SCOPES } from "./management/api-keys.js";
import { VERSION } from "./version.js";

const DESCRIPTION = `Identifies and compares client fingerprints, and keeps callers to the rate and quota of their tier.

Every answer says what is left, in \`RateLimit\` and \`RateLimit-Policy\`; one that is denied is a 429 with \`Retry-After\`. Whatever goes wrong
is a problem document (RFC 9457) with a stable \`code\`.`;

const KEY = `An API key, \`fpk_…\`. Scopes: ${SCOPES.map((scope) => `\`${scope}\``).join(", ")}.`;

/** Describes the routes that are registered from now on by the schemas that they are checked with. */
export async function describeRoutes(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "fingerprint-api",
        description: DESCRIPTION,
        version: VERSION,
        license: { name: "MIT", identifier: "MIT" },
      },
      servers: [{ url: "/" }],
      tags: [
        { name: "fingerprint", description: "What clients are, and how alike." },
        { name: "quota", description: "What is left to the caller." },
        { name: "management", description: "Limits, accounts and API keys, for those who run the service." },
        { name: "operations", description: "What probes and scrapers ask." },
      ],
      components: {
        securitySchemes: {
          bearer: { type: "http", scheme: "bearer", description: KEY },
          apiKey: { type: "apiKey", in: "header", name: "X-API-Key", description: KEY },
        },
      },
    },
    transform: createJsonSchemaTransform({ skipList: [] }),
    transformObject: (document) => withoutUnused(shared(document) as OpenAPIV3_1.Document),
  });
}

const shared = createJsonSchemaTransformObject({});

/** Every schema that is shared comes twice, as one sends it and as one gets it; those that nothing refers to go. */
function withoutUnused(document: OpenAPIV3_1.Document): OpenAPIV3_1.Document {
  const all = Object.entries(document.components?.schemas ?? {});
  const text = JSON.stringify(document);
  const used = all.filter(([name]) => text.includes(`"#/components/schemas/${name}"`));
  const rest = { ...document, components: { ...document.components, schemas: Object.fromEntries(used) } };
  return used.length === all.length ? rest : withoutUnused(rest);
}

/** `GET /openapi.json`, and `/docs`, the same for people. */
export async function documentationRoutes(app: FastifyInstance): Promise<void> {
  // The page has a policy of its own, which lets in nothing but its own style.
  await app.register(helmet, {
    contentSecurityPolicy: false,
    crossOriginEmbedderPolicy: true,
    frameguard: { action: "deny" },
    referrerPolicy: { policy: "no-referrer" },
  });
  const config = { toll: false } as const;
  const schema = { hide: true };
  let made: { json: Buffer; html: Buffer; policy: string } | undefined;
  // When all routes are there, and once: both are open to everybody.
  const make = () => {
    const document = app.swagger() as OpenAPIV3_1.Document;
    const { html, policy } = documentationPage(document);
    made ??= { json: Buffer.from(JSON.stringify(document)), html: Buffer.from(html), policy };
    return made;
  };
  app.get("/openapi.json", { config, schema, logLevel: "silent" }, async (_request, reply) =>
    reply.header("content-type", "application/json; charset=utf-8").send((made ?? make()).json),
  );
  app.get("/docs", { config, schema, logLevel: "silent" }, async (_request, reply) => {
    const { html, policy } = made ?? make();
    reply.header("content-type", "text/html; charset=utf-8").header("content-security-policy", policy);
    return reply.send(html);
  });
}
