import { onExpress4, onExpress5 } from "./on-express.js";
import { onFastify } from "./on-fastify.js";
import { onFetch } from "./on-fetch.js";
import { onHono } from "./on-hono.js";
import { onNode } from "./on-node.js";
import type { Serve } from "./site.js";

export const FRAMEWORKS: Record<string, Serve> = {
  Fastify: onFastify,
  "Express 5": onExpress5,
  "Express 4": onExpress4,
  "node:http": onNode,
  "Request → Response": onFetch,
  Hono: onHono,
};
