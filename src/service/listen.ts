import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";
import type { Config } from "./config/schema.js";
import { ServiceError } from "./errors.js";
import { metricsServer } from "./metrics-server.js";

/** An address to listen on, and the settings that it comes from. */
export interface Place {
  host: string;
  port: number;
  hostSetting: string;
  portSetting: string;
}

/** What the system means when it refuses an address. */
const UNAVAILABLE: Record<string, string> = {
  EACCES: "this user may not; a port from 1024 on is free to all",
  EADDRNOTAVAIL: "the address is none of this machine's",
  ENOTFOUND: "no such host is known",
  EAI_AGAIN: "no such host is known",
};

/**
 * Waits until it is listened on a place.
 *
 * @throws {ServiceError} `ERR_ADDRESS_IN_USE`, `ERR_ADDRESS_UNAVAILABLE`, naming the settings.
 */
export async function listening<T>(place: Place, begun: Promise<T>): Promise<T> {
  try {
    return await begun;
  } catch (error) {
    const { host, port, hostSetting, portSetting } = place;
    const { code } = error as NodeJS.ErrnoException;
    const unavailable = UNAVAILABLE[code ?? ""];
    if (unavailable !== undefined) {
      const message = `${hostSetting} ${host} and ${portSetting} ${port} can't be listened on: ${unavailable}`;
      throw new ServiceError("ERR_ADDRESS_UNAVAILABLE", message, { cause: error });
    }
    if (code !== "EADDRINUSE") throw error;
    throw new ServiceError(
      "ERR_ADDRESS_IN_USE",
      `another process listens on port ${port} of ${host}; stop it, or set ${portSetting} (or ${hostSetting}) to another`,
      { cause: error },
    );
  }
}

/** A port of its own for metrics. */
export interface MetricsPort {
  /** `http://127.0.0.1:9090/metrics` */
  url: string;
  close(): void;
}

/**
 * Opens the port for metrics, if the configuration has one.
 *
 * @throws {ServiceError} as {@link listening}
 */
export async function openMetricsPort(
  { metricsPort: port, metricsHost, host: apiHost }: Config,
  registry: Registry,
  onError: (error: unknown) => void,
): Promise<MetricsPort | undefined> {
  if (port === undefined) return undefined;
  const host = metricsHost ?? apiHost;
  const hostSetting = metricsHost === undefined ? "HOST" : "RATE_LIMIT_METRICS_HOST";
  const server = metricsServer(registry, onError);
  await listening({ host, port, hostSetting, portSetting: "RATE_LIMIT_METRICS_PORT" }, begin(server, port, host));
  const { address, family, port: actual } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${actual}/metrics`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function begin(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
