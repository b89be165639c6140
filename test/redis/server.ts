import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { freePort } from "../../bench/free-port.js";
import type { Certificates } from "./certificates.js";

/** A `redis-server` of a test's own, on a free port of the loopback interface. */
export class RedisServer {
  readonly port: number;
  readonly folder: string;
  readonly #arguments: readonly string[];
  #process: ChildProcess | undefined;

  private constructor(port: number, args: readonly string[]) {
    this.port = port;
    this.folder = mkdtempSync(join(tmpdir(), "tollkeeper-redis-"));
    this.#arguments = args;
  }

  /** Starts a server; nothing is written to disk unless the arguments say so. */
  static async start(...args: string[]): Promise<RedisServer> {
    return RedisServer.startOn(await freePort(), ...args);
  }

  /** Starts a server that speaks nothing but TLS, also with its like. */
  static async startTls(certificates: Certificates, ...args: string[]): Promise<RedisServer> {
    const port = await freePort();
    const tls = tlsOptions(certificates, port).flatMap(([option, value]) => [`--${option}`, value]);
    return RedisServer.startOn(port, ...tls, ...args);
  }

  static async startOn(port: number, ...args: string[]): Promise<RedisServer> {
    const server = new RedisServer(port, args);
    await server.run();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    const { pid } = this.#process ?? {};
    if (pid === undefined) throw new Error(`the server on port ${this.port} does not run`);
    return pid;
  }

  /** Starts the process, also after it was killed, with the files that it left. */
  async run(): Promise<void> {
    const port = String(this.port);
    const own = ["--port", port, "--bind", "127.0.0.1", "--dir", this.folder, "--save", "", "--appendonly", "no"];
    this.#process = await startProcess("redis-server", [...own, ...this.#arguments], this.port);
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** Ends the process at once, as a crash would. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child !== undefined) await killProcess(child);
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What makes a server or a Sentinel listen on the port for TLS only, and speak it to others. */
export function tlsOptions({ ca, certificate, key }: Certificates, port: number): [option: string, value: string][] {
  return [
    ["port", "0"],
    ["tls-port", String(port)],
    ["tls-auth-clients", "no"],
    ["tls-replication", "yes"],
    ["tls-ca-cert-file", ca],
    ["tls-cert-file", certificate],
    ["tls-key-file", key],
  ];
}

/** Starts a server that ends with the file's tests. */
export function redisForFile(...args: string[]): Promise<RedisServer> {
  return forFile(RedisServer.start(...args));
}

/** Ends what was started with the file's tests. */
export async function forFile<T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> {
  const started = await starting;
  afterAll(() => started.stop());
  return started;
}

/** What runs, to be ended with this process should a test not come to it. */
const running = new Set<ChildProcess>();
const endAll = () => {
  for (const child of running) child.kill("SIGKILL");
};
process.once("exit", endAll);
process.once("SIGTERM", () => {
  endAll();
  process.kill(process.pid, "SIGTERM");
});

/** Starts a program and waits until it listens. */
export async function startProcess(program: string, args: readonly string[], port: number): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: "ignore" });
  running.add(child);
  child.once("exit", () => running.delete(child));
  const failed = once(child, "error").then(([error]) => Promise.reject(error));
  const exited = once(child, "exit").then(([code]) => Promise.reject(new Error(`${program} ended with ${code}`)));
  await Promise.race([failed, exited, listening(port)]);
  exited.catch(() => undefined);
  return child;
}

/** Ends a process at once, also one that is stopped. */
export async function killProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, "close");
  child.kill("SIGCONT");
  child.kill("SIGKILL");
  await closed;
}

/** Resolves when something listens on the port. */
async function listening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const socket = connect(port, "127.0.0.1");
    const [name] = await Promise.race([
      once(socket, "connect").then(() => ["connect"]),
      once(socket, "error").then(() => ["error"]),
    ]).catch(() => ["error"]);
    socket.destroy();
    if (name === "connect") return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`nothing listens on port ${port}`);
}
