import { expect, it } from "vitest";
import { readEpoch, writeEpoch } from "../../../src/engine/epoch.js";
import { LEASE_FRAME } from "../../../src/engine/lease-frame.js";

/** Numbers for the names of servers. */
const names: string[] = [];
const servers = {
  serverId: (name: string) => (names.includes(name) ? names.indexOf(name) : names.push(name) - 1),
  serverName: (id: number) => names[id] ?? "",
};

/** An epoch once it has been through a frame. */
function throughFrame(epoch: string): string | undefined {
  const frame = new Float64Array(2 * LEASE_FRAME.ROW).fill(7);
  writeEpoch(servers, frame, LEASE_FRAME.ROW, epoch);
  return readEpoch(servers, frame, LEASE_FRAME.ROW);
}

it.each(["one:0", "d34db33f:1781524800000", "one:1781524800000+", `a:b:5${"+".repeat(255)}`, `one:${2 ** 43 - 1}`])(
  "the epoch %s comes out of a frame as it went in",
  (epoch) => {
    expect(throughFrame(epoch)).toBe(epoch);
  },
);

it.each(["", "one", "one:", "one:x", "one:1.5", `one:${2 ** 43}`, "one:-1", "one:007", `one:5${"+".repeat(256)}`])(
  "of an epoch %j nothing is known",
  (epoch) => {
    expect(throughFrame(epoch)).toBeUndefined();
  },
);
