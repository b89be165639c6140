import type { Redis } from "ioredis";
import { TollkeeperError } from "../errors.js";
import { type Client, type ClientOptions, RETRY_MS } from "./redis-client.js";
import { type Address, asCluster, redactedUrl } from "./redis-url.js";
import { checkRights, type Need } from "./rights.js";
import { unsuitabilitiesOf } from "./suitability.js";

/** What is looked at, and how it is to be. */
export interface InspectionOptions extends ClientOptions {
  /** As configured, for messages. */
  url: string;
  /** Whether a server that may throw keys away is used all the same. */
  allowEviction: boolean;
}

/** What a server says of itself, by the fields of `INFO`. */
export type Facts = ReadonlyMap<string, string>;

/**
 * Looks at the servers at the other end of a new connection: one, or the masters of a Cluster, of which those that can't
 * be asked are passed over, unless it is all of them.
 *
 * @param warn Told of what is only a risk.
 * @returns What the first one says of itself.
 * @throws {TollkeeperError} `ERR_STORE_UNSUITABLE` or `ERR_STORE_REFUSED` for one that can't be used; what the client throws
 */
export async function inspect(
  client: Client,
  options: InspectionOptions,
  needs: readonly Need[],
  warn: (error: TollkeeperError) => void,
): Promise<Facts> {
  const answers = await Promise.allSettled(mastersOf(client).map((server) => factsOf(server, options, needs)));
  const [first, ...others] = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
  const reasons = answers.flatMap((answer) => (answer.status === "rejected" ? [answer.reason as unknown] : []));
  const refusal = reasons.find((reason) => reason instanceof TollkeeperError);
  if (refusal !== undefined || first === undefined) throw refusal ?? reasons[0] ?? new Error("no server is known");
  for (const { error } of [first, ...others].flatMap((facts) => unsuitabilitiesOf(facts, about(options)))) warn(error);
  return first;
}

/** Asks all servers that are connected anew what the user may not do, since an administrator can change that. */
export async function checkAllRights(
  client: Client,
  options: InspectionOptions,
  needs: readonly Need[],
): Promise<void> {
  const ready = mastersOf(client).filter(({ status }) => status === "ready");
  await Promise.all(
    ready.map((server) =>
      checkRights(server, needs, redactedUrl(options.url)).catch((error: unknown) => {
        // Whatever else is wrong, the command that goes along says it.
        if (error instanceof TollkeeperError) throw error;
      }),
    ),
  );
}

/** The address of the Cluster whose node a server has turned out to be, as services of others give but one. */
export function clusterBehind({ address, client }: ClientOptions, facts: Facts): Address | undefined {
  return client === undefined && facts.get("redis_mode") === "cluster" ? asCluster(address) : undefined;
}

function mastersOf(client: Client): Redis[] {
  return "nodes" in client ? client.nodes("master") : [client];
}

function about({ url, address, client, allowEviction }: InspectionOptions) {
  return {
    url: redactedUrl(url),
    mayBeCluster: address.kind === "cluster" || (client === undefined && asCluster(address) !== undefined),
    allowEviction,
  };
}

async function factsOf(server: Redis, options: InspectionOptions, needs: readonly Need[]): Promise<Facts> {
  await connected(server);
  const check = () => checkRights(server, needs, redactedUrl(options.url));
  // In capitals it is what the server says, and nothing that the app has ioredis make of it.
  const info = await server.call("INFO").catch(async (error: unknown) => {
    if (/NOPERM/.test(String(error))) await check();
    throw error;
  });
  const facts = new Map(
    String(info)
      .split("\r\n")
      .flatMap((line) => {
        const at = line.indexOf(":");
        return at > 0 ? [[line.slice(0, at), line.slice(at + 1)] as const] : [];
      }),
  );
  const fatal = unsuitabilitiesOf(facts, about(options)).find(({ fatal }) => fatal);
  if (fatal !== undefined) throw fatal.error;
  await check();
  return facts;
}

/** A Cluster is ready as soon as it knows its nodes, and may not be connected to any of them yet. */
async function connected(server: Redis): Promise<void> {
  if (server.status === "ready") return;
  await new Promise<void>((resolve, reject) => {
    const finish = (done: () => void) => () => {
      clearTimeout(timer);
      server.off("ready", joined).off("close", lost);
      done();
    };
    const lost = finish(() => reject(new Error("a node can't be connected to")));
    const joined = finish(resolve);
    const timer = setTimeout(lost, RETRY_MS);
    server.on("ready", joined).on("close", lost);
  });
}
