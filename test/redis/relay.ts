import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** Stands between limiters and a server, and delays, loses or edits what passes. */
export class Relay {
  /** How long, in ms, every piece is held back, each way. */
  delayMs = 0;
  /** Whether nothing passes, and nobody is told. */
  isCut = false;
  /** Edits what the server says; of the same length. */
  edit: (text: string) => string = (text) => text;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(target: number): Promise<Relay> {
    const server = createServer().listen(0, "127.0.0.1");
    const relay = new Relay(server);
    server.on("connection", (near) => {
      const far = connect(target, "127.0.0.1");
      relay.#pass(near, far, (data) => data);
      relay.#pass(far, near, (data) => Buffer.from(relay.edit(data.toString("latin1")), "latin1"));
    });
    await once(server, "listening");
    return relay;
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #pass(from: Socket, to: Socket, edited: (data: Buffer) => Buffer): void {
    this.#sockets.add(from);
    from.on("error", () => undefined);
    from.on("data", (data) => this.#held(() => to.write(edited(data))));
    from.on("close", () => {
      this.#sockets.delete(from);
      this.#held(() => to.destroy());
    });
  }

  #held(act: () => void): void {
    if (this.isCut) return;
    if (this.delayMs === 0) act();
    else setTimeout(() => this.isCut || act(), this.delayMs);
  }
}
