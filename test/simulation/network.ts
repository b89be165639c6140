import type { SimulatedTime } from "../../bench/simulated-time.js";
import type { Command, Heartbeat, Link, LinkEvents, Membership, Reply } from "../../src/store/protocol.js";
import type { Random } from "./random.js";
import type { Server } from "./server.js";

/** How a network behaves. */
export interface Weather {
  /** How long, in ms, a message is under way at least, and mostly. */
  readonly delayMs: readonly [number, number];
  /** How likely one is held up for far longer than the deadline. */
  readonly stall: number;
  readonly loss: number;
}

/** What breaks the protocol on purpose, to see that it is noticed: a command as it is sent in place of another, or not. */
export type Sabotage = (command: Command) => Command | undefined;

/** What breaks it at the other end: an answer as it arrives in place of another. */
export type Garble = (reply: Reply) => Reply;

/** What a link has seen go astray, in thousandths by key: spent in the store, and of use to nobody. */
export type Leaks = Map<string, number>;

/** A simulated connection: messages arrive in their order, late, or not at all. */
export class SimulatedLink implements Link {
  readonly caller: string;
  readonly #time: SimulatedTime;
  readonly #server: Server;
  readonly #random: Random;
  readonly #weather: Weather;
  readonly #sabotage: Sabotage;
  readonly #garble: Garble;
  readonly #leaks: Leaks;
  #events: LinkEvents | undefined;
  /** Counts connections; what belongs to an earlier one arrives nowhere. */
  #connection = 0;
  #isUp = false;
  isCut = false;
  /** Whether nobody is left at this end, who would hear even of a broken connection. */
  #isDead = false;
  #lastThere = 0;
  #lastBack = 0;

  constructor(
    caller: string,
    parts: {
      time: SimulatedTime;
      server: Server;
      random: Random;
      weather: Weather;
      sabotage: Sabotage;
      garble?: Garble;
      leaks: Leaks;
    },
  ) {
    this.caller = caller;
    this.#time = parts.time;
    this.#server = parts.server;
    this.#random = parts.random;
    this.#weather = parts.weather;
    this.#sabotage = parts.sabotage;
    this.#garble = parts.garble ?? ((reply) => reply);
    this.#leaks = parts.leaks;
  }

  open(events: LinkEvents): void {
    this.#events = events;
    this.connectIn(this.#random.between(0, 20));
  }

  /** Connects in a while, or `ms` after the server is there again. */
  connectIn(ms: number, fromMs = this.#time.nowMs): void {
    this.#time.after(fromMs + ms - this.#time.nowMs, () => {
      if (this.#events === undefined) return;
      const { awayUntilMs } = this.#server;
      if (awayUntilMs > this.#time.nowMs) return this.connectIn(ms, awayUntilMs);
      this.#connection++;
      this.#isUp = true;
      this.#events.connected(this.#server.id);
    });
  }

  /** The connection breaks; a new one stands a while later. */
  breakOff(backMs: number): void {
    if (!this.#isUp) return;
    this.#isUp = false;
    this.#connection++;
    this.#events?.disconnected();
    this.connectIn(backMs);
  }

  /** The thread at this end has ended: what it has sent may arrive, and whatever is answered is lost. */
  die(): void {
    this.#isDead = true;
    this.#isUp = false;
    this.#events = undefined;
    this.#connection++;
  }

  send(command: Command): Promise<Reply> {
    const sent = this.#sabotage(command);
    const loses = leakOf(command);
    if (sent === undefined)
      return Promise.resolve({
        denied: 0,
        granted: 0,
        nowMs: this.#time.nowMs,
        lagMs: 0,
        epoch: "",
        backMs: 0,
        spent: [],
      });
    return this.#transport(
      () => this.#garble(this.#server.execute(sent, this.caller)),
      () => this.#leak(command.key, loses),
      (reply) => this.#leak(command.key, reply.granted),
      // It is sent again as what may have counted before, and then rather charged twice.
      () => this.#leak(command.key, givenBack(command)),
    );
  }

  heartbeat(heartbeat: Heartbeat): Promise<Membership> {
    return this.#transport(
      () => this.#server.heartbeat(heartbeat, this.caller),
      () => undefined,
      () => undefined,
    );
  }

  changed(key: string, reset: boolean): void {
    if (this.#isUp && !this.isCut) this.#time.after(this.#delay(), () => this.#events?.changed(key, reset));
  }

  wanted(key: string): void {
    if (this.#isUp && !this.isCut) this.#time.after(this.#delay(), () => this.#events?.wanted(key));
  }

  async close(): Promise<void> {
    this.#events = undefined;
    this.#isUp = false;
  }

  #leak(key: string, milli: number): void {
    if (milli > 0) this.#leaks.set(key, (this.#leaks.get(key) ?? 0) + milli);
  }

  #transport<T>(
    execute: () => T,
    lostThere: () => void,
    lostBack: (value: T) => void,
    refused: () => void = () => undefined,
  ): Promise<T> {
    const time = this.#time;
    const connection = this.#connection;
    const server = this.#server.id;
    return new Promise((resolve, reject) => {
      if (!this.#goes()) return lostThere();
      this.#lastThere = Math.max(this.#lastThere, time.nowMs + this.#delay());
      time.after(this.#lastThere - time.nowMs, () => {
        if (this.#isBroken(connection, server)) {
          lostThere();
          return reject(new Error("the connection broke"));
        }
        const answer = answerOf(execute);
        const lost = () => "value" in answer && lostBack(answer.value);
        if (!this.#goes()) return void lost();
        this.#lastBack = Math.max(this.#lastBack, time.nowMs + this.#delay());
        time.after(this.#lastBack - time.nowMs, () => {
          const arrives = connection === this.#connection && this.#events !== undefined;
          if (!arrives) lost();
          if (!this.#isDead) settle(answer, arrives, { resolve, reject, refused });
        });
      });
    });
  }

  #goes(): boolean {
    return !this.isCut && !this.#random.chance(this.#weather.loss);
  }

  /** What a thread has written arrives, also if it has ended since; but at no other server. */
  #isBroken(connection: number, server: string): boolean {
    return (connection !== this.#connection && !this.#isDead) || server !== this.#server.id;
  }

  #delay(): number {
    if (this.#random.chance(this.#weather.stall)) return this.#random.between(40, 300);
    return this.#random.between(...this.#weather.delayMs);
  }
}

/** What is lost with a command that never arrives: only what was to be given back and is not sent again. */
function leakOf(command: Command): number {
  return command.op === "adjust" && command.sequence === undefined ? givenBack(command) : 0;
}

function givenBack(command: Command): number {
  return command.op === "adjust" ? Math.max(0, ...command.deltas.map((delta) => -delta)) : 0;
}

/** Tells of an answer, or that it has not come. */
function settle<T>(
  answer: Answer<T>,
  arrives: boolean,
  told: { resolve: (value: T) => void; reject: (error: unknown) => void; refused: () => void },
): void {
  if ("error" in answer) told.refused();
  if (arrives && "value" in answer) told.resolve(answer.value);
  else told.reject("error" in answer ? answer.error : new Error("the connection broke"));
}

type Answer<T> = { readonly value: T } | { readonly error: unknown };

/** What a server answers, also if that is an error. */
function answerOf<T>(execute: () => T): Answer<T> {
  try {
    return { value: execute() };
  } catch (error) {
    return { error };
  }
}
