import { TollkeeperError } from "../errors.js";
import { isOfOneKey } from "../store/key-error.js";
import type { LimitKinds } from "../store/limit-kinds.js";
import { ABSENT_MS } from "../store/lua/replicas.js";
import type { Command, Heartbeat, Link, LinkEvents, Membership, Present, Reply } from "../store/protocol.js";
import { Deadline } from "./deadline.js";
import type { Runtime } from "./runtime.js";

/** How often, in ms, a replica is heard of, and a store that was away is tried. */
const HEARTBEAT_MS = 1000;
const PROBE_MS = 250;
/** How often, in ms, a replica that waits for the others asks whether they have reported what they know. */
const RECOVERY_MS = 50;
/** Misses in a row after which the store counts as away. */
const MISSES = 3;

/**
 * - `unavailable`: nothing is asked; the outage policy decides.
 * - `recovering`: the server is another one than before, and what it has lost is being reported; the outage policy decides.
 * - `ready`: decisions are shared.
 */
export type SessionState = "unavailable" | "recovering" | "ready";

/** What the session is made for. */
export interface SessionHost {
  /** Reports to a server what was known before it, and resolves when it has heard. */
  report(): Promise<void>;
  hasState(): boolean;
  /** Which thread of the replica this is, and how many there are, this one among them. */
  lanes(): Pick<Heartbeat, "lane" | "lanes">;
  kinds(): LimitKinds;
  stateChanged(state: SessionState): void;
  changed(key: string, reset: boolean): void;
  wanted(key: string): void;
  /** A command that was given up has been carried out after all. */
  late(command: Command, reply: Reply): void;
  /** Gives the tokens that unlimited tiers have spent since the last call. */
  drainUsage(): ReadonlyMap<string, number>;
}

/** How the session has fared. */
export interface SessionStats {
  /** Whether decisions are shared now. */
  readonly state: SessionState;
  /** Replicas that the store has heard of lately, this one among them. */
  readonly replicas: number;
  /** Commands by operation and outcome. */
  readonly commands: ReadonlyMap<string, number>;
}

/** Keeps a deadline on everything asked of a store, knows whether it can be asked, and which other replicas do. */
export class Session {
  readonly #link: Link;
  readonly #runtime: Runtime;
  readonly #timeoutMs: number;
  readonly #deadline: Deadline;
  readonly #host: SessionHost;
  readonly #observe: (seconds: number) => void;
  readonly #commands = new Map<string, number>();
  #state: SessionState = "unavailable";
  #connected = false;
  /** The server that has heard what this replica knows. */
  #reportedTo: string | undefined;
  #server = "";
  #misses = 0;
  #replicas: readonly string[] = [];
  /** When that was so, by the store's time. */
  #heardMs: number | undefined;
  /** Since when decisions are shared, by this process's clock. */
  #readySinceMs = 0;
  /** When a heartbeat was answered last. */
  #beatMs = 0;
  #cancel: (() => void) | undefined;
  #isBeating = false;
  #refusal: TollkeeperError | undefined;
  #closed = false;

  /** `observe` is told how long each command took. */
  constructor(
    link: Link,
    runtime: Runtime,
    timeoutMs: number,
    host: SessionHost,
    observe: (seconds: number) => void = () => undefined,
  ) {
    this.#link = link;
    this.#runtime = runtime;
    this.#timeoutMs = timeoutMs;
    this.#deadline = new Deadline(runtime, timeoutMs);
    this.#host = host;
    this.#observe = observe;
  }

  open(): void {
    const events: LinkEvents = {
      connected: (server) => this.#connectedTo(server),
      disconnected: () => {
        this.#connected = false;
        this.#become("unavailable");
      },
      refused: (error) => {
        this.#refusal = error;
        this.#become("unavailable");
      },
      changed: (key, reset) => this.#host.changed(key, reset),
      wanted: (key) => this.#host.wanted(key),
    };
    this.#link.open(events);
  }

  get state(): SessionState {
    return this.#state;
  }

  get isReady(): boolean {
    return this.#state === "ready";
  }

  /** The server that is connected, or was last: another one may have lost what it was told. A Cluster is one. */
  get server(): string {
    return this.#server;
  }

  /** Why the store did not let itself be used when it was asked last; undefined if it did, or is merely not there. */
  get refusal(): TollkeeperError | undefined {
    return this.#refusal;
  }

  /** Whether it was ever told which replicas there are: without that nobody knows what its part is. */
  get knowsReplicas(): boolean {
    return this.#replicas.length > 0;
  }

  /** Replicas that share the limits, this one among them, as last heard. */
  get replicas(): number {
    return Math.max(1, this.#replicas.length);
  }

  /**
   * Which replicas there were when that was heard last: who is not among them, and was before, is gone. Undefined as long as
   * others may not have come back yet from an outage that was theirs, too.
   */
  get present(): Present | undefined {
    const isSettled = this.isReady && this.#runtime.now() - this.#readySinceMs > ABSENT_MS;
    return isSettled && this.#heardMs !== undefined ? { atMs: this.#heardMs, replicas: this.#replicas } : undefined;
  }

  stats(): SessionStats {
    return { state: this.#state, replicas: this.replicas, commands: this.#commands };
  }

  /**
   * Has a command carried out. Rejects at the deadline at the latest; if it is carried out all the same, the host is told.
   */
  run(command: Command): Promise<Reply> {
    if (!this.#connected) return Promise.reject(unavailable("it is not connected"));
    return this.#within(command.op, this.#link.send(command), (reply) => this.#host.late(command, reply));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancel?.();
    if (this.#connected) await this.#heartbeat({ hasReported: true, isLeaving: true }).catch(() => undefined);
    this.#state = "unavailable";
    await this.#link.close();
  }

  #connectedTo(server: string): void {
    this.#connected = true;
    this.#server = server;
    this.#misses = 0;
    this.#beatIn(0);
  }

  #beatIn(ms: number): void {
    this.#cancel?.();
    if (!this.#closed) this.#cancel = this.#runtime.after(ms, () => void this.#beat());
  }

  async #beat(): Promise<void> {
    if (this.#closed || this.#isBeating) return;
    this.#isBeating = true;
    let next = PROBE_MS;
    try {
      if (this.#connected) next = await this.#gather();
    } catch {
      // What is wrong was reported by the link, and the miss was counted; one of them alone opens no circuit.
      if (this.#state === "recovering") this.#become("unavailable");
    } finally {
      this.#isBeating = false;
    }
    this.#beatIn(next);
  }

  /** Sends a heartbeat, reports what a server must know, and finds out whether decisions can be shared; returns when to go on. */
  async #gather(): Promise<number> {
    const server = this.#server;
    let membership = await this.#heartbeat({ hasReported: this.#reportedTo === server, isLeaving: false });
    if (membership.isFull) {
      // Asking it would fail key by key, and with each turn from one state to the other every part would be dealt anew.
      this.#heardOf(membership);
      this.#become("unavailable");
      return HEARTBEAT_MS;
    }
    if (this.#reportedTo !== server) {
      if (membership.recoveringMs > 0 || this.#reportedTo !== undefined) {
        this.#become("recovering");
        await this.#host.report();
      }
      if (server !== this.#server) return 0;
      this.#reportedTo = server;
      membership = await this.#heartbeat({ hasReported: true, isLeaving: false });
    }
    if (!this.#connected || server !== this.#server) return PROBE_MS;
    this.#heardOf(membership);
    if (membership.recoveringMs === 0) {
      this.#become("ready");
      return HEARTBEAT_MS;
    }
    this.#become("recovering");
    return Math.min(RECOVERY_MS, membership.recoveringMs);
  }

  #heardOf({ replicas, atMs }: Membership): void {
    this.#replicas = replicas;
    this.#heardMs = atMs;
    const nowMs = this.#runtime.now();
    const wasGone = nowMs - this.#beatMs > ABSENT_MS;
    this.#beatMs = nowMs;
    // To the others, as after an outage, though it has noticed none: its own process stood still.
    if (wasGone && this.isReady) this.#host.stateChanged("ready");
  }

  #heartbeat(state: Pick<Heartbeat, "hasReported" | "isLeaving">): Promise<Membership> {
    const host = this.#host;
    const known = { peers: this.#replicas, hasState: host.hasState(), kinds: host.kinds(), usage: host.drainUsage() };
    const about = { ...known, ...host.lanes() };
    return this.#within("heartbeat", this.#link.heartbeat({ ...state, ...about }), () => undefined);
  }

  #become(state: SessionState): void {
    if (this.#closed || this.#state === state) return;
    if (state === "ready") {
      this.#refusal = undefined;
      this.#readySinceMs = this.#runtime.now();
    }
    this.#state = state;
    this.#host.stateChanged(state);
    if (state === "unavailable" && !this.#isBeating) this.#beatIn(PROBE_MS);
  }

  #within<T>(operation: string, answer: Promise<T>, late: (value: T) => void): Promise<T> {
    const start = this.#runtime.now();
    return new Promise((resolve, reject) => {
      let isOver = false;
      const answered = this.#deadline.start(() => {
        isOver = true;
        this.#missed(operation, "late");
        reject(unavailable(`it has not answered within ${this.#timeoutMs} ms`));
      });
      answer.then(
        (value) => {
          if (isOver) return late(value);
          answered();
          this.#misses = 0;
          this.#count(operation, "ok");
          this.#observe((this.#runtime.now() - start) / 1000);
          resolve(value);
        },
        (error: unknown) => {
          if (isOver) return;
          answered();
          if (isOfOneKey(error)) {
            this.#misses = 0;
            this.#count(operation, "failed");
          } else {
            this.#missed(operation, "failed");
          }
          reject(error);
        },
      );
    });
  }

  #missed(operation: string, outcome: string): void {
    this.#count(operation, outcome);
    this.#misses++;
    if (this.#misses >= MISSES) this.#become("unavailable");
  }

  #count(operation: string, outcome: string): void {
    const name = `${operation} ${outcome}`;
    this.#commands.set(name, (this.#commands.get(name) ?? 0) + 1);
  }
}

function unavailable(why: string): TollkeeperError {
  return new TollkeeperError("ERR_STORE_UNAVAILABLE", `Redis can't be asked: ${why}`);
}
