import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../bench/free-port.js";
import type { Gateway } from "../../scripts/operations/gateway.mjs";
import { configOf, type KongFile } from "../../scripts/operations/kong-file.mjs";

const MODULES = "/usr/lib/nginx/modules";

/**
 * Starts a real nginx with the Lua module, of which Kong is made, in front of one process of the app. It runs the
 * `pre-function` of the file as it stands, does for the other plugins what they do with header fields, then what Kong does
 * last, in Kong's order, by the same calls.
 */
export async function startNginx(file: KongFile, target: string): Promise<Gateway> {
  const folder = mkdtempSync(join(tmpdir(), "tkn-"));
  for (const name of ["body", "proxy", "fastcgi", "uwsgi", "scgi"]) mkdirSync(join(folder, name));
  const port = await freePort();
  writeFileSync(join(folder, "access.lua"), accessOf(file));
  writeFileSync(join(folder, "nginx.conf"), configurationOf(folder, port, target));
  const args = ["-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"];
  const nginx = spawn("nginx", args, { stdio: ["ignore", "inherit", "inherit"] });
  const url = `http://127.0.0.1:${port}`;
  const stop = async () => {
    if (nginx.exitCode === null) {
      nginx.kill("SIGTERM");
      await once(nginx, "exit");
    }
    rmSync(folder, { recursive: true, force: true });
  };
  while (!(await isListening(url))) {
    if (nginx.exitCode !== null) throw new Error(`nginx ended with ${nginx.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { url, stop };
}

async function isListening(url: string): Promise<boolean> {
  return fetch(`${url}/there`).then(
    () => true,
    () => false,
  );
}

/** As `kong/templates/nginx_kong.lua` of 3.9 has it. */
function configurationOf(folder: string, port: number, target: string): string {
  const { host } = new URL(target);
  const user = process.getuid?.() === 0 ? "user root;" : ""; // Root's folder is not for its workers to read otherwise.
  return `
    ${user}
    load_module ${MODULES}/ndk_http_module.so;
    load_module ${MODULES}/ngx_http_lua_module.so;
    worker_processes 1;
    daemon off;
    pid ${folder}/pid;
    events {}
    http {
      access_log off;
      error_log stderr error;
      underscores_in_headers on;
      client_header_buffer_size 4k;
      client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
      fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
      upstream app { server ${host}; keepalive 60; }
      server {
        listen 127.0.0.1:${port};
        location = /there { return 204; }
        location / {
          set $upstream_te ''; set $upstream_via ''; set $upstream_host '${host}'; set $upstream_upgrade '';
          set $upstream_connection ''; set $upstream_x_forwarded_for ''; set $upstream_x_forwarded_host '';
          access_by_lua_file ${folder}/access.lua;
          proxy_http_version 1.1;
          proxy_set_header TE $upstream_te;
          proxy_set_header Via $upstream_via;
          proxy_set_header Host $upstream_host;
          proxy_set_header Upgrade $upstream_upgrade;
          proxy_set_header Connection $upstream_connection;
          proxy_set_header X-Forwarded-For $upstream_x_forwarded_for;
          proxy_set_header X-Forwarded-Proto $scheme;
          proxy_set_header X-Forwarded-Host $upstream_x_forwarded_host;
          proxy_set_header X-Forwarded-Port $server_port;
          proxy_set_header X-Forwarded-Path $uri;
          proxy_set_header X-Forwarded-Prefix '';
          proxy_set_header X-Real-IP $remote_addr;
          proxy_set_header X-Kong-Request-Id $request_id;
          proxy_pass http://app;
        }
      }
    }
  `;
}

/** The access phase: Kong's before the plugins, the plugins by their priority, Kong's after them. */
function accessOf({ services, consumers }: KongFile): string {
  const plugins = services[0]?.plugins;
  const { key_names: keyNames = [], anonymous = "" } = configOf(plugins, "key-auth") ?? {};
  const transformer = configOf(plugins, "request-transformer");
  const added = transformer?.add.headers.map((header) => header.split(/:(.*)/s).slice(0, 2)) ?? [];
  const known: Value[] = consumers.map(({ username, custom_id: id, acls, keyauth_credentials: keys = [] }) => ({
    username,
    id: id ?? false,
    groups: acls.map(({ group }) => group).join(", "),
    keys: keys.map(({ key }) => key),
  }));
  return `
    local req, var = ngx.req, ngx.var
    local kong = {
      request = {
        get_headers = function(most) return req.get_headers(most or 100) end,
        get_header = function(name) return var["http_" .. name:gsub("-", "_")] end,
      },
      response = {
        exit = function(status, body, headers)
          ngx.status = status
          for name, value in pairs(headers or {}) do ngx.header[name] = value end
          ngx.print(body or "")
          return ngx.exit(status)
        end,
      },
      service = { request = { clear_header = req.clear_header } },
    }

    local before = req.get_headers(0)
    local function first(name)
      local value = before[name]
      return type(value) == "table" and value[1] or value
    end
    local connection = before["connection"] or ""
    if type(connection) == "table" then connection = table.concat(connection, ",") end
    local is_websocket = (first("upgrade") or ""):lower() == "websocket"
    var.upstream_connection = is_websocket and "keep-alive, Upgrade" or "keep-alive"
    if is_websocket then var.upstream_upgrade = "websocket" end
    local forwarded, via = first("x-forwarded-for"), first("via")
    var.upstream_x_forwarded_for = (forwarded and forwarded .. ", " or "") .. var.remote_addr
    var.upstream_x_forwarded_host = var.host
    var.upstream_via = (via and via .. ", " or "") .. "1.1 kong/3.9.3"

    ${(configOf(plugins, "pre-function")?.access ?? []).map((code) => `(function()\n${code}\nend)()`).join(";\n")}

    local found, nobody
    for _, consumer in ipairs(${luaOf(known)}) do
      if consumer.username == ${luaOf(anonymous)} then nobody = consumer end
      for _, key in ipairs(consumer.keys) do
        for _, name in ipairs(${luaOf(keyNames)}) do
          if req.get_headers()[name] == key then found = consumer end
        end
      end
    end
    local is_nobody = found == nil
    found = found or nobody
    for _, name in ipairs(${luaOf(keyNames)}) do req.clear_header(name) end
    local function say(name, value)
      if value then req.set_header(name, value) else req.clear_header(name) end
    end
    say("X-Consumer-ID", "00000000-0000-0000-0000-000000000001")
    say("X-Consumer-Custom-ID", found.id)
    say("X-Consumer-Username", found.username)
    say("X-Credential-Identifier", not is_nobody and "00000000-0000-0000-0000-000000000002")
    say("X-Anonymous-Consumer", is_nobody and "true")
    say("X-Consumer-Groups", found.groups)
    for _, name in ipairs(${luaOf(transformer?.remove.headers ?? [])}) do req.clear_header(name) end
    for _, field in ipairs(${luaOf(added)}) do
      if not req.get_headers()[field[1]] then req.set_header(field[1], field[2]) end
    end

    for name in connection:lower():gmatch("[^,%s]+") do
      if name ~= "upgrade" or not is_websocket then req.clear_header(name) end
    end
    for name in (first("te") or ""):gmatch("[^,%s]+") do
      if name == "trailers" then var.upstream_te = "trailers" end
    end
    req.clear_header("Proxy")
    req.clear_header("Proxy-Connection")
  `;
}

type Value = string | boolean | readonly Value[] | { readonly [name: string]: Value };

/** A value as Lua writes it. */
function luaOf(value: Value): string {
  if (typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `{ ${value.map(luaOf).join(", ")} }`;
  return `{ ${Object.entries(value).map(([name, inner]) => `[${JSON.stringify(name)}] = ${luaOf(inner)}`)} }`;
}
