import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { LIBRARY, SERVICE } from "../../scripts/build/closure.mjs";
import { packLibrary, packPlatform, packService, platformPackages } from "../../scripts/build/pack.mjs";
import { ENVIRONMENT } from "./project.js";

/**
 * A registry as it will be once all packages are published: ours are packed when they are asked for, all others come from
 * the registry that npm is set to.
 */
export class Registry {
  readonly url: string;
  readonly #server: Server;
  readonly #folder = mkdtempSync(join(tmpdir(), "tollkeeper-registry-"));
  readonly #pack: Record<string, () => string>;
  readonly #tarballs = new Map<string, string>();

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const platforms = platformPackages().map((platform) => [platform.name, () => packPlatform(this.#folder, platform)]);
    this.#pack = {
      [LIBRARY.name]: () => packLibrary(this.#folder),
      [SERVICE.name]: () => packService(this.#folder),
      ...Object.fromEntries(platforms),
    };
  }

  static async open(): Promise<Registry> {
    const { stdout: upstream } = await promisify(execFile)("npm", ["config", "get", "registry"], { env: ENVIRONMENT });
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const registry = new Registry(server);
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      registry.#answer(request, response, upstream.trim()).catch((error: unknown) => {
        response.writeHead(500).end(String(error));
      });
    });
    return registry;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    rmSync(this.#folder, { recursive: true });
  }

  /** The tarball of one of our packages. */
  tarball(name: string): string {
    let tarball = this.#tarballs.get(name);
    if (tarball === undefined) {
      tarball = this.#pack[name]?.();
      if (tarball === undefined) throw new Error(`${name} is none of our packages`);
      this.#tarballs.set(name, tarball);
    }
    return tarball;
  }

  async #answer(request: IncomingMessage, response: ServerResponse, upstream: string): Promise<void> {
    const path = decodeURIComponent(String(request.url).slice(1));
    const name = Object.keys(this.#pack).find((name) => path === name || path === `-/${name}.tgz`);
    if (name === undefined) {
      const accept = String(request.headers.accept ?? "*/*");
      const answer = await fetch(new URL(String(request.url).slice(1), upstream), { headers: { accept } });
      response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "text/plain" });
      response.end(Buffer.from(await answer.arrayBuffer()));
      return;
    }
    const tarball = readFileSync(this.tarball(name));
    if (path !== name) {
      response.end(tarball);
      return;
    }
    const manifest = (await manifestIn(this.tarball(name))) as { version: string };
    const dist = {
      tarball: `${this.url}/-/${name}.tgz`,
      shasum: createHash("sha1").update(tarball).digest("hex"),
      integrity: `sha512-${createHash("sha512").update(tarball).digest("base64")}`,
    };
    const { version } = manifest;
    const versions = { [version]: { ...manifest, _id: `${name}@${version}`, dist } };
    const times = { created: PUBLISHED, modified: PUBLISHED, [version]: PUBLISHED };
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ name, "dist-tags": { latest: version }, versions, time: times }));
  }
}

/** Long enough ago for package managers that install nothing that is new. */
const PUBLISHED = "2026-01-01T00:00:00.000Z";

/** The manifest in a tarball. */
export async function manifestIn(tarball: string): Promise<Record<string, unknown>> {
  const { stdout } = await promisify(execFile)("tar", ["-xzOf", tarball, "package/package.json"]);
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** What a tarball is called. */
export function fileOf(tarball: string): string {
  return basename(tarball);
}
