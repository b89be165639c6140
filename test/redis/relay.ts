import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** Stands between limiters and a server, and delays, holds back, loses or edits what passes. */
export class Relay {
  /** How long, in ms, every piece is held back, each way. */
  delayMs = 0;
  readonly #held: (() => void)[] = [];
  #isCut = false;
  #generation = 0;
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

  /** Lets nothing pass, and tells nobody. */
  cut(): void {
    this.#isCut = true;
  }

  /** Lets pass what comes, and what was held back meanwhile, as TCP sends it again. */
  mend(): void {
    this.#isCut = false;
    for (const act of this.#held.splice(0)) act();
  }

  /** As if a firewall had forgotten the connections: nothing passes on them any more, but on new ones. */
  forget(): void {
    this.#generation++;
    this.mend();
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #pass(from: Socket, to: Socket, edited: (data: Buffer) => Buffer): void {
    const generation = this.#generation;
    const soon = (act: () => void) => this.#soon(() => generation === this.#generation && act());
    this.#sockets.add(from);
    from.on("error", () => undefined);
    from.on("data", (data) => soon(() => to.write(edited(data))));
    from.on("close", () => {
      this.#sockets.delete(from);
      soon(() => to.destroy());
    });
  }

  #soon(act: () => void): void {
    const pass = () => (this.#isCut ? void this.#held.push(act) : act());
    if (this.delayMs === 0) pass();
    else setTimeout(pass, this.delayMs);
  }
}
