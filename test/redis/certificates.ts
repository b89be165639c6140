import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** An authority of a test's own, and what it has signed for 127.0.0.1: paths of PEM files. */
export class Certificates {
  readonly #folder = mkdtempSync(join(tmpdir(), "tollkeeper-tls-"));

  constructor() {
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    const authority = ["-keyout", this.#path("ca.key"), "-out", this.ca, "-subj", "/CN=tollkeeper test authority"];
    openssl("req", "-x509", ...curve, ...authority);
    const server = ["-keyout", this.key, "-out", this.certificate, "-subj", "/CN=127.0.0.1"];
    const signer = ["-CA", this.ca, "-CAkey", this.#path("ca.key"), "-addext", "subjectAltName=IP:127.0.0.1"];
    openssl("req", "-x509", ...curve, ...server, ...signer);
  }

  get ca(): string {
    return this.#path("ca.crt");
  }

  get certificate(): string {
    return this.#path("server.crt");
  }

  get key(): string {
    return this.#path("server.key");
  }

  /** The authority's certificate, as TLS options take it. */
  get caText(): string {
    return readFileSync(this.ca, "utf8");
  }

  async stop(): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}

function openssl(...args: string[]): void {
  execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
}
