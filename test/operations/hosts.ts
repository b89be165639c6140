import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";

/** Hosts on one network of their own, in network namespaces, so that each may listen on the same port. Takes root. */
export class Hosts {
  readonly #bridge = `tk${process.pid}`;
  readonly #children = new Map<number, ChildProcess>();

  /** @param count Up to 100. */
  constructor(readonly count: number) {
    ip("link", "add", this.#bridge, "type", "bridge");
    ip("addr", "add", "10.77.0.254/24", "dev", this.#bridge);
    ip("link", "set", this.#bridge, "up");
    for (let host = 0; host < count; host++) {
      const name = this.#name(host);
      ip("netns", "add", name);
      ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name);
      ip("link", "set", name, "master", this.#bridge, "up");
      ip("-n", name, "addr", "add", `${this.address(host)}/24`, "dev", "eth0");
      ip("-n", name, "link", "set", "eth0", "up");
      ip("-n", name, "link", "set", "lo", "up");
    }
  }

  address(host: number): string {
    return `10.77.0.${host + 1}`;
  }

  /** Starts a program on a host; there may be one. */
  start(host: number, command: readonly string[], env: Readonly<Record<string, string>>): void {
    const args = ["netns", "exec", this.#name(host), ...command];
    this.#children.set(host, spawn("ip", args, { env: { ...process.env, ...env }, stdio: "ignore" }));
  }

  /** Ends a host's program at once. */
  async kill(host: number): Promise<void> {
    const child = this.#children.get(host);
    this.#children.delete(host);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  async remove(): Promise<void> {
    for (let host = 0; host < this.count; host++) {
      await this.kill(host);
      ip("netns", "del", this.#name(host));
    }
    ip("link", "del", this.#bridge);
  }

  #name(host: number): string {
    return `${this.#bridge}-${host}`;
  }
}

function ip(...args: string[]): void {
  execFileSync("ip", args);
}
