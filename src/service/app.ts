import { randomUUID } from "node:crypto";
import type { RequestListener } from "node:http";
import type { Socket } from "node:net";
import cors, { type FastifyCorsOptions } from "@fastify/cors";
import fastify, { type FastifyInstance, type FastifyRequest, type FastifyServerOptions, LogController } from "fastify";
import { collectDefaultMetrics, Registry } from "prom-client";
import type { Limiter, RecordStore, SharedLimiter } from "tollkeeper";
import tollkeeper, { keepToll, LIMIT_FIELDS, sendProblem } from "tollkeeper/fastify";
import { type FingerprintText, loadFingerprintText } from "tollkeeper/fingerprint";
import { AddressIdentity, type FieldOptions, hasBody, isPreflight } from "tollkeeper/http";
import { registerLedgerMetrics, registerLimiterMetrics } from "tollkeeper/prometheus";
import { addAlerts } from "./alerts/alerts.js";
import { takeJson } from "./body.js";
import type { Config } from "./config/schema.js";
import { costsOf } from "./costs.js";
import { noteEndpoints } from "./endpoints.js";
import { fingerprintRoutes, itemsOf } from "./fingerprint-routes.js";
import type { ApiKeys } from "./management/api-keys.js";
import { identifyCaller } from "./management/identify.js";
import { management } from "./management/plugin.js";
import { describeRoutes, documentationRoutes } from "./openapi.js";
import { addOperations } from "./operations.js";
import { ownQuota } from "./own-quota.js";
import { ownUsage } from "./own-usage.js";
import { serviceProblem } from "./problem-codes.js";
import { answerProblems } from "./problems.js";
import { boundedServer } from "./server.js";
import { closeUsage, openUsage } from "./usage.js";
import { VERSION } from "./version.js";
import { openWebhooks } from "./webhooks/open.js";

/** UTF-16 units of a parameter in an address: the name of an account, whose characters may be written as three each. */
const MAX_PARAMETER = 512;
/** How long, in ms, a connection is kept on which a call could not be read, for its sender to read that. */
const LAST_WORD_MS = 2000;

/** Where calls go whose address can't be decoded, to be charged, counted and answered like any other. */
const UNREADABLE_URL = "/unreadable-address";

/** What the service is made of. */
export interface AppOptions {
  config: Config;
  /** Open, with the tiers of the configuration; closed by whoever opened it. */
  limiter: Limiter | SharedLimiter;
  keys: ApiKeys;
  /** Where keys and accounts are kept, and with them webhooks. */
  records: RecordStore;
  /** Gives the fingerprint computations, or throws why they can't be had; from the native binary by default. */
  loadFingerprint?: () => FingerprintText;
  /** Fastify's own option; nothing is logged by default. */
  logger?: FastifyServerOptions["logger"];
  /** Where metrics are registered; one of its own by default. */
  registry?: Registry;
  /** Whether the service is about to stop, which `GET /ready` then says. */
  isDraining?: () => boolean;
}

/** Makes the service `fingerprint-api`, ready to listen or to be called by `inject`. */
export async function createApp(options: AppOptions): Promise<FastifyInstance> {
  const {
    config,
    limiter,
    keys,
    records,
    logger = false,
    registry = new Registry(),
    isDraining = () => false,
  } = options;
  const app: FastifyInstance = fastify({
    logger,
    // The framework's lines hold the address as called, in which there may be a key.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    routerOptions: { maxParamLength: MAX_PARAMETER },
    return503OnClosing: false, // Calls that are already here are answered while the service shuts down.
    clientErrorHandler: answerUnreadable,
    // The handler takes what Node's own classes make, of which ours are made.
    serverFactory: (handler) => boundedServer(handler as RequestListener, config.maxConnections),
    // Instead of the framework's own answer, before any hook, which repeats the address.
    frameworkErrors: (_error, { raw }, reply) => {
      raw.url = UNREADABLE_URL;
      app.routing(raw, reply.raw);
    },
  });
  takeJson(app);
  answerProblems(app, MAX_PARAMETER);
  await describeRoutes(app);
  const endpoints = noteEndpoints(app, config);
  const needsStore = limiter.engine === "redis" && config.onOutage === "closed";
  registerLimiterMetrics(registry, limiter);
  collectDefaultMetrics({ register: registry });
  addOperations(app, {
    registry,
    hasMetrics: config.metricsPort === undefined,
    unready: () => {
      if (keys.loss !== undefined) {
        return {
          code: "records_lost",
          detail: "Accounts or API keys are lost where they are kept; the log says more.",
        };
      }
      if (keys.isFresh && (!needsStore || limiter.isReady)) return undefined;
      return { code: "store_unavailable", detail: "Neither limits nor API keys can be checked without Redis." };
    },
    isDraining,
  });

  const { corsOrigins } = config;
  if (corsOrigins.length > 0) {
    // Before the limits, so that a preflight costs nothing and a denial can be read by the page.
    const preflight: FastifyCorsOptions = {
      origin: corsOrigins.includes("*") ? "*" : corsOrigins,
      exposedHeaders: LIMIT_FIELDS,
      methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
      maxAge: 600,
    };
    const call = { ...preflight, preflight: false }; // An OPTIONS that is none is for the limits, like any call.
    const delegator = ({ raw }: FastifyRequest, use: (error: null, options: FastifyCorsOptions) => void): void =>
      use(null, isPreflight({ method: raw.method, headers: raw.headers, hasBody: hasBody(raw) }) ? preflight : call);
    await app.register(cors, { delegator });
  }
  const callers = followingCallers(options, app);
  const isShadow = () => config.shadow;
  const ledger = openUsage(config, limiter, app.log);
  if (ledger !== undefined) {
    registerLedgerMetrics(registry, ledger);
    app.addHook("onClose", () => closeUsage(ledger, app.log));
  }
  await app.register(tollkeeper, {
    limiter,
    ledger,
    identify: (request) => callers().identify(request),
    fields: fieldsOfAnswers(config),
    shadow: isShadow,
  });

  const unreadable = serviceProblem("address_malformed", "The address of the call can't be decoded.");
  app.all(UNREADABLE_URL, {
    schema: { hide: true },
    // Its body is nobody's.
    preParsing: async (request, reply) => {
      keepToll(request);
      return sendProblem(reply, unreadable);
    },
    handler: async (_request, reply) => sendProblem(reply, unreadable),
  });
  const load = options.loadFingerprint ?? loadFingerprintText;
  const costs = costsOf(config, itemsOf);
  await app.register(fingerprintRoutes, { load, costs });
  await app.register(fingerprintRoutes, { load, costs, prefix: "/v1" });
  await app.register(ownQuota, { limiter, fields: fieldsOfAnswers(config) });
  if (ledger !== undefined) await app.register(ownUsage, { ledger, fields: fieldsOfAnswers(config) });
  const addresses = () => callers().addresses;
  const { webhookNetworks: networks } = config;
  const outgoing = openWebhooks({ records, networks, userAgent: `tollkeeper/${VERSION}`, registry, log: app.log });
  app.addHook("onReady", async () => outgoing.courier.start());
  app.addHook("onClose", () => outgoing.courier.stop());
  addAlerts(app, {
    courier: outgoing.courier,
    accounts: (size, after) => keys.accounts.find({}, size, after),
    thresholds: () => config.alertThresholds,
    isShadow,
    noticeDays: config.alertTrialDays,
  });
  await app.register(async (app) => {
    takeJson(app, true);
    const prices = () => config.prices;
    const managed = {
      version: VERSION,
      limiter,
      keys,
      outgoing,
      ledger,
      prices,
      registry,
      addresses,
      isShadow,
      endpoints,
    };
    await management(app, managed);
  });
  await app.register(documentationRoutes);
  await app.ready();
  return app;
}

/** What the header of every answer says. */
function fieldsOfAnswers({ headers }: Config): FieldOptions {
  return { x: headers ? "epoch" : undefined, tier: true };
}

/** How callers are told apart, by the configuration as it is at the time of the call. */
function followingCallers({ config, keys, limiter }: AppOptions, app: FastifyInstance) {
  const make = () => {
    const { trustProxy, ipWhitelist: trusted, ipv6Prefix, requireAuthentication } = config;
    const { requireGateway, gatewayAccount } = config;
    const gatewaySecrets = [config.gatewaySecret, config.gatewaySecretPrevious].filter(
      (secret) => secret !== undefined,
    );
    const addresses = new AddressIdentity({ trustProxy, trusted, ipv6Prefix }, () => warnOfIgnored(app));
    const tiers = () => limiter.tiers;
    const identify = identifyCaller({
      keys,
      addresses,
      requireAuthentication,
      requireGateway,
      gatewaySecrets,
      gatewayAccount,
      tiers,
    });
    return { trusted, requireAuthentication, addresses, identify };
  };
  let made = make();
  return () => {
    if (config.ipWhitelist !== made.trusted || config.requireAuthentication !== made.requireAuthentication) {
      made = make();
    }
    return made;
  };
}

/** Of a peer whose address is in no log. */
function warnOfIgnored({ log }: FastifyInstance): void {
  log.warn(
    "X-Forwarded-For comes from a peer that is not trusted and is ignored: all callers behind that peer count as one; " +
      "if it is your proxy, name its network in RATE_LIMIT_TRUST_PROXY",
  );
}

/** Answers what is not even HTTP; by default the framework would log it whole, and a key with it. */
function answerUnreadable(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  const tooLarge = error.code === "HPE_HEADER_OVERFLOW";
  const late = error.code === "ERR_HTTP_REQUEST_TIMEOUT";
  const document = tooLarge
    ? serviceProblem("header_too_large", "The header is larger than 16 KiB.")
    : late
      ? serviceProblem("request_timeout", "The call took too long to arrive.")
      : serviceProblem("request_invalid", "The call can't be read.");
  const body = JSON.stringify(document);
  socket.end(
    `HTTP/1.1 ${document.status} ${document.title}\r\ncontent-type: application/problem+json\r\n` +
      `cache-control: no-store\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
  // A sender may go on for ever all the same.
  const gone = setTimeout(() => socket.destroy(), LAST_WORD_MS).unref();
  socket.once("close", () => clearTimeout(gone));
}
