import type { Frame } from "./frame.js";
import type { LeaseEngine } from "./lease-engine.js";
import { LEASE_FRAME } from "./lease-frame.js";

const { SERVER, EPOCH } = LEASE_FRAME;

/** How many resets an epoch may have seen, and one more; and the instant, in ms, before which it begins. */
const RESETS = 256;
const END_MS = 2 ** 43;

const EPOCH_TEXT = /^(.*):(0|[1-9]\d*)(\+*)$/;

type Servers = Pick<LeaseEngine, "serverId" | "serverName">;

/** Writes an epoch into a row: its server's number, its instant and its resets. One that has no such form is not known. */
export function writeEpoch(engine: Servers, frame: Frame, at: number, epoch: string): void {
  const [, server = "", ms, resets = ""] = EPOCH_TEXT.exec(epoch) ?? [];
  const isKnown = Number(ms) < END_MS && resets.length < RESETS;
  frame[at + SERVER] = isKnown ? engine.serverId(server) : -1;
  frame[at + EPOCH] = isKnown ? Number(ms) * RESETS + resets.length : 0;
}

/** The epoch that stands in a row; undefined if none does. */
export function readEpoch(engine: Servers, frame: Frame, at: number): string | undefined {
  const server = frame[at + SERVER] as number;
  if (server < 0) return undefined;
  const epoch = frame[at + EPOCH] as number;
  return `${engine.serverName(server)}:${Math.floor(epoch / RESETS)}${"+".repeat(epoch % RESETS)}`;
}
