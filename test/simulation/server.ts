import type { SimulatedTime } from "../../bench/simulated-time.js";
import { TollkeeperError } from "../../src/errors.js";
import { ABSENT_MS } from "../../src/store/lua/replicas.js";
import type { Command, Heartbeat, Membership, Reply } from "../../src/store/protocol.js";
import { ScriptModel } from "./script-model.js";

const HOLD_MS = 1000;
const YOUNG_MS = 5000;

/** A write that a failover may lose, and what its caller was granted by it. */
interface Write {
  readonly atMs: number;
  readonly undo: () => void;
  readonly key: string;
  readonly caller: string;
  readonly granted: number;
}

interface Registry {
  run: string | undefined;
  recoverUntilMs: number;
  holdMs: number;
  readonly heard: Map<string, number>;
  /** Who is waited for, and which of its lanes have reported. */
  readonly awaited: Map<string, ReadonlySet<number>>;
}

/** A simulated Redis: the protocol's semantics, and the ways in which a server can forget. */
export class Server {
  readonly #time: SimulatedTime;
  #run = 1;
  #startedMs: number;
  keys = new ScriptModel();
  #registry = emptyRegistry();
  #writes: Write[] = [];
  /** Told to every replica that is connected. */
  publish: (caller: string, key: string, reset: boolean) => void = () => undefined;
  want: (caller: string, key: string) => void = () => undefined;
  /** Whether it lets nobody publish; and whether a script that tries to ends there, with all that it has written. */
  refusesPublish = false;
  isUnguarded = false;
  /** Keys whose hashes are somebody else's. */
  readonly foreign = new Set<string>();
  /** Until when nobody reaches it, also who begins meanwhile. */
  awayUntilMs = 0;
  /** By how much, in ms, its clock is ahead. */
  aheadMs = 0;
  /** Tokens, in thousandths, that it grants beyond what a take asks for, where it has them; it then says more than was asked. */
  generousMilli = 0;
  /** Whether it does so too where nothing is taken ahead, of which others are then not told that it may come back. */
  isLavish = false;
  /** Commands by key. */
  readonly asked = new Map<string, number>();
  /** The call that a refusal has ended, of which no more is done. */
  #ended: { readonly caller: string; readonly atMs: number } | undefined;
  /** Told of a replica that counts as gone. */
  dropped: (replica: string) => void = () => undefined;
  /** Told when tokens of a key have been granted. */
  granted: (key: string) => void = () => undefined;

  constructor(time: SimulatedTime) {
    this.#time = time;
    this.#startedMs = time.nowMs - 10 * YOUNG_MS;
  }

  get id(): string {
    return `run${this.#run}`;
  }

  execute(command: Command, caller: string): Reply {
    const { nowMs } = this.#time;
    this.asked.set(command.key, (this.asked.get(command.key) ?? 0) + 1);
    if (this.foreign.has(command.key)) throw new TollkeeperError("ERR_STORE_FOREIGN", `${command.key} is foreign`);
    if (this.#ended?.caller === caller && this.#ended.atMs === nowMs) throw refused();
    let isRefused = false;
    const publish = (tell: () => void) => {
      if (this.refusesPublish) isRefused = true;
      else tell();
    };
    const undo = command.op === "peek" ? undefined : this.keys.snapshot(command.key);
    const reply = this.keys.run(this.#meant(command), {
      server: this.id,
      caller,
      nowMs: command.nowMs ?? Math.floor(nowMs + this.aheadMs),
      publish: (key, reset) => publish(() => this.publish(caller, key, reset)),
      want: (key) => publish(() => this.want(caller, key)),
    });
    if (isRefused && this.isUnguarded) {
      this.#ended = { caller, atMs: nowMs };
      throw refused();
    }
    if (reply.granted > 0) this.granted(command.key);
    if (undefined !== undo) {
      this.#writes = this.#writes.filter(({ atMs }) => atMs > nowMs - ABSENT_MS);
      this.#writes.push({ atMs: nowMs, undo, key: command.key, caller, granted: reply.granted });
    }
    return this.generousMilli === 0 ? reply : { ...reply, spent: [...reply.spent, 1] };
  }

  /** What it takes a command for. */
  #meant(command: Command): Command {
    if (command.op !== "take" || typeof command.need !== "number") return command;
    const isMeant = this.generousMilli > 0 && (command.outMs > 0 || this.isLavish);
    if (!isMeant) return command;
    return { ...command, want: Math.max(command.need, command.want) + this.generousMilli, divisor: 1 };
  }

  heartbeat(heartbeat: Heartbeat, caller: string): Membership {
    const { lanes = 1, peers, hasState, hasReported, isLeaving } = heartbeat;
    const { nowMs } = this.#time;
    const registry = this.#registry;
    if (registry.run !== this.id) this.#meet(registry, hasState, peers.length > 0);
    if (registry.recoverUntilMs > nowMs && !hasReported) {
      for (const peer of peers) if (!registry.heard.has(peer)) this.#await(registry, peer);
    }
    registry.heard.set(caller, nowMs);
    if (hasReported || isLeaving) this.#heard(registry, heartbeat, caller);
    if (isLeaving && lanes === 1) registry.heard.delete(caller);
    for (const [replica, heardMs] of registry.heard) {
      if (nowMs - heardMs <= ABSENT_MS) continue;
      registry.heard.delete(replica);
      this.dropped(replica);
      registry.awaited.delete(replica);
    }
    const waits = registry.awaited.size > 0 ? registry.recoverUntilMs - nowMs : 0;
    const recoveringMs = Math.max(waits, registry.holdMs - nowMs, 0);
    return { replicas: [...registry.heard.keys()], recoveringMs, atMs: Math.floor(nowMs) };
  }

  /** The first heartbeat of a server that the registry does not know. */
  #meet(registry: Registry, hasState: boolean, knowsPeers: boolean): void {
    const { nowMs } = this.#time;
    const before = registry.run;
    registry.run = this.id;
    const hasJustStarted = nowMs - this.#startedMs < YOUNG_MS;
    if (before !== undefined || hasState || hasJustStarted) {
      registry.recoverUntilMs = nowMs + ABSENT_MS;
      for (const replica of registry.heard.keys()) this.#await(registry, replica);
    }
    if (before === undefined && !(hasState && knowsPeers) && hasJustStarted) registry.holdMs = nowMs + HOLD_MS;
  }

  /** Has a replica waited for no longer if all its threads have reported. */
  #heard({ awaited }: Registry, { lane = 0, lanes = 1, isLeaving }: Heartbeat, caller: string): void {
    const reported = new Set(awaited.get(caller) ?? []);
    reported.delete(lane);
    if (reported.size >= lanes - 1) awaited.delete(caller);
    else if (awaited.has(caller)) awaited.set(caller, isLeaving ? reported : reported.add(lane));
  }

  #await({ heard, awaited }: Registry, replica: string): void {
    heard.set(replica, this.#time.nowMs);
    awaited.set(replica, new Set());
  }

  /** Comes back with nothing. */
  restartEmpty(): void {
    this.#run++;
    this.#startedMs = this.#time.nowMs;
    this.keys = new ScriptModel();
    this.#registry = emptyRegistry();
    this.#writes = [];
  }

  /** Hands over to a replica that has missed the writes of the last `lagMs`; returns what was granted by these. */
  failOver(lagMs: number): { key: string; caller: string; granted: number }[] {
    this.#run++;
    const lost = this.#writes.filter(({ atMs }) => atMs > this.#time.nowMs - lagMs);
    for (const { undo } of lost.toReversed()) undo();
    this.#writes = [];
    return lost;
  }
}

function refused(): TollkeeperError {
  return new TollkeeperError("ERR_STORE_REFUSED", "PUBLISH is refused", { cause: new Error("NOPERM") });
}

function emptyRegistry(): Registry {
  return { run: undefined, recoverUntilMs: 0, holdMs: 0, heard: new Map(), awaited: new Map() };
}
