import { once } from "node:events";
import { createAdaptorServer } from "@hono/node-server";
import { getConnInfo } from "@hono/node-server/conninfo";
import { type Context, Hono } from "hono";
import { handled, limited, responseOf } from "./on-fetch.js";
import { ALLOWED, isPreflight, replyOf, type Serve } from "./site.js";

/** Hono on Node, by the recipe of docs/frameworks.md. */
export const onHono: Serve = async (setup, limiter) => {
  const app = new Hono();
  app.onError((error) => responseOf(replyOf(error)));
  if (setup.cors) {
    app.use(async (c, next) => {
      if (isPreflight(c.req.method, (name) => c.req.header(name))) return c.body(null, 204, ALLOWED);
      return next();
    });
  }
  for (const [path, route] of Object.entries(setup.routes)) {
    const limit = limited(setup, route, limiter, (_request, c) => getConnInfo(c as Context).remote.address);
    app.use(path, async (c, next) => {
      c.res = await limit(async () => {
        await next();
        return c.res;
      })(c.req.raw, c);
    });
    app.all(path, (c) => handled(route, c.req.raw));
  }
  const server = createAdaptorServer({ fetch: app.fetch }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as { port: number }).port, close: async () => server.close() };
};
