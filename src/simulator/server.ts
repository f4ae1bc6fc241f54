import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { ExchangeCode } from "../config.ts";
import { ConfigurationError } from "../errors.ts";
import { BINANCE } from "./binance.ts";
import { BYBIT } from "./bybit.ts";
import { type Fault, faultByChance, type FaultName, type FaultRates } from "./fault.ts";
import { type MarketModel, World } from "./market.ts";
import { parseObject, type Personality, type Search } from "./personality.ts";
import { SALT, unit } from "./random.ts";
import { acceptsGzip, misbehave, send, sendTooMany } from "./wire.ts";

export interface SimulatorOptions {
  /** Default `binance`. The same seed is the same market on both: same ads, people and prices, told differently. */
  readonly exchange?: ExchangeCode;
  /** Default 127.0.0.1. */
  readonly hostname?: string;
  /** Default 0: a free one. */
  readonly port?: number;
  /** Default 1. The same seed at the same time is the same market, to the byte. */
  readonly seed?: number;
  /** Approximate number of offers of the whole market, default 50,000. */
  readonly offers?: number;
  /** Clock in milliseconds since 1970, default `Date.now`. */
  readonly now?: () => number;
  /** Default 30: the market moves once a tick. */
  readonly tickSeconds?: number;
  /** Default none. */
  readonly faults?: Partial<FaultRates>;
  /** Decides for each request; where it gives nothing, the rates decide. */
  readonly faultFor?: (request: SimulatedRequest) => Fault | undefined;
  /** May change the text of a page before it is sent. */
  readonly pageText?: (request: SimulatedRequest, text: string) => string;
  /** An answer of the caller's own making to a request that meets no fault, in place of the usual one. */
  readonly answerFor?: (
    request: SimulatedRequest,
    usual: () => string,
  ) => SimulatedAnswer | undefined;
  /** Wait before each answer, milliseconds, default 0. */
  readonly latencyMs?: number;
  /** More than this within a minute get 429. Unlimited by default. */
  readonly requestsPerMinute?: number;
  /** Default true: answers are gzip where the client accepts it. */
  readonly gzip?: boolean;
  /** Closes the simulator. */
  readonly signal?: AbortSignal;
}

/** A request, as `faultFor` sees it. */
export interface SimulatedRequest {
  /** Counts requests, from 1. */
  readonly number: number;
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  /** What a valid search asks for. */
  readonly search?: Search;
}

export interface SimulatedAnswer {
  readonly status: number;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface SimulatorStats {
  readonly requests: number;
  readonly byPath: Readonly<Record<string, number>>;
  /** `rateLimited` counts those over `requestsPerMinute`. */
  readonly byFault: Readonly<Partial<Record<FaultName | "rateLimited", number>>>;
  /** Items in answers that were not disturbed as a whole. */
  readonly offersServed: number;
  readonly concurrent: number;
  readonly peakConcurrent: number;
}

export interface Simulator {
  /** e.g. `http://127.0.0.1:4711` */
  readonly url: string;
  readonly stats: SimulatorStats;
  readonly market: MarketModel;
  /** Ends all connections. */
  close(): Promise<void>;
}

const PERSONALITIES: Readonly<Record<ExchangeCode, Personality>> = {
  binance: BINANCE,
  bybit: BYBIT,
};

const MINUTE = 60_000;
const LONGEST_BODY = 64 * 1024;
const decoder = new TextDecoder();

/** Lets so many requests through within any minute; says how long to wait otherwise, in seconds. */
function rateLimiter(perMinute: number, now: () => number): () => number {
  let recent: number[] = [];
  return () => {
    const time = now();
    recent = recent.filter((at) => at > time - MINUTE);
    if (recent.length < perMinute) {
      recent.push(time);
      return 0;
    }
    return Math.max(1, Math.ceil(((recent[0] ?? time) + MINUTE - time) / 1_000));
  };
}

/** Starts a stand-in for the exchange. It runs until `close()` or the signal. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { hostname = "127.0.0.1", port = 0, seed = 1, latencyMs = 0, gzip = true, faults = {} } =
    options;
  const { now = Date.now, tickSeconds = 30, offers = 50_000, requestsPerMinute = Infinity } =
    options;
  options.signal?.throwIfAborted();
  const personality = PERSONALITIES[options.exchange ?? "binance"];
  const world = new World({ seed, offers, tickSeconds, now, faults, personality });
  const limit = requestsPerMinute === Infinity ? () => 0 : rateLimiter(requestsPerMinute, now);
  const byPath: Record<string, number> = {};
  const byFault: Partial<Record<FaultName | "rateLimited", number>> = {};
  const stats = { requests: 0, byPath, byFault, offersServed: 0, concurrent: 0, peakConcurrent: 0 };
  const sockets = new Set<Socket>();
  const used = new WeakSet<Socket>();
  const resetAgain = new Set<string>();
  const timers = new Set<ReturnType<typeof setTimeout>>();

  const usualText = (
    request: SimulatedRequest,
    spoiling?: Parameters<World["pageText"]>[3],
  ): string => {
    const { search } = request;
    if (request.path !== personality.searchPath) {
      return personality.answer(request.path, world, parseObject(request.body));
    }
    if (search === undefined) return personality.refusal();
    const market = world.market(search.fiat, search.asset, search.side);
    if (market === undefined) return personality.page([], 0);
    const text = world.pageText(market, search.page, search.rows, spoiling);
    return options.pageText?.(request, text) ?? text;
  };

  const answer = (message: IncomingMessage, response: ServerResponse, body: string): void => {
    const path = (message.url ?? "/").replace(/\?.*$/, "");
    const method = message.method ?? "GET";
    const known = Object.hasOwn(personality.calls, path);
    stats.requests++;
    const counted = known ? path : "other";
    byPath[counted] = (byPath[counted] ?? 0) + 1;
    const reused = used.has(message.socket);
    used.add(message.socket);
    const wait = limit();
    if (wait > 0) {
      byFault.rateLimited = (byFault.rateLimited ?? 0) + 1;
      return sendTooMany(response, wait);
    }
    const number = stats.requests;
    const search = path === personality.searchPath && method === "POST"
      ? personality.readSearch(parseObject(body))
      : undefined;
    const { headers } = message;
    const request = { number, method, path, headers, body, ...(search && { search }) };
    const key = `${path} ${body}`;
    const repeated = resetAgain.delete(key);
    const fault: Fault | undefined = repeated ? { kind: "reset" } : options.faultFor?.(request) ??
      (known ? faultByChance(faults, unit(seed, SALT.request, number)) : undefined);
    // Clients (Deno's fetch for one) silently repeat a request, once, when a connection they used before
    // breaks: without a second reset they would never notice the first.
    if (fault?.kind === "reset" && reused && !repeated) resetAgain.add(key);
    if (fault !== undefined) byFault[fault.kind] = (byFault[fault.kind] ?? 0) + 1;
    const spoiling = fault?.kind === "malformedOffers" || fault?.kind === "awkwardOffers"
      ? fault
      : undefined;
    if (fault !== undefined && fault.kind !== "malformedOffers" && fault.kind !== "awkwardOffers") {
      return misbehave(message, response, fault, personality, () => usualText(request), number);
    }
    if (!known) return send(response, 404, `{"status":404,"error":"Not Found"}`);
    const other = options.answerFor?.(request, () => usualText(request, spoiling));
    if (other !== undefined) return send(response, other.status, other.body, other.headers);
    if (method !== personality.calls[path]) {
      return send(response, 400, personality.refusal("000001", "method not allowed"));
    }
    const zip = gzip && acceptsGzip(message);
    const market = search && world.market(search.fiat, search.asset, search.side);
    if (search === undefined || market === undefined) {
      return send(response, 200, usualText(request));
    }
    stats.offersServed += world.countOn(market, search.page, search.rows);
    if (spoiling !== undefined || options.pageText !== undefined) {
      return send(response, 200, usualText(request, spoiling));
    }
    const bytes = world.pageBytes(market, search.page, search.rows, zip);
    send(response, 200, bytes, zip ? { "content-encoding": "gzip", vary: "accept-encoding" } : {});
  };

  const server = createServer((message, response) => {
    stats.concurrent++;
    stats.peakConcurrent = Math.max(stats.peakConcurrent, stats.concurrent);
    response.once("close", () => stats.concurrent--);
    const parts: Uint8Array[] = [];
    let length = 0;
    message.on("data", (part: Uint8Array) => {
      length += part.length;
      if (length <= LONGEST_BODY) parts.push(part);
    });
    message.on("error", () => response.destroy());
    message.on("end", () => {
      const body = length > LONGEST_BODY ? "" : decoder.decode(join(parts));
      if (latencyMs === 0) return answer(message, response, body);
      const timer = setTimeout(() => {
        timers.delete(timer);
        answer(message, response, body);
      }, latencyMs);
      timers.add(timer);
    });
  });
  // Nothing here ends a connection on its own: a client that idles meets no surprise it was not promised.
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      const where = `Cannot listen on ${hostname}:${port}: ${cause.message}`;
      reject(new ConfigurationError(where, "Choose another port; 0 takes a free one.", { cause }));
    });
    server.listen(port, hostname, resolve);
  });

  let closing: Promise<void> | undefined;
  const close = (): Promise<void> =>
    closing ??= new Promise((resolve) => {
      options.signal?.removeEventListener("abort", onAbort);
      server.close(() => resolve());
      for (const timer of timers) clearTimeout(timer);
      for (const socket of sockets) socket.destroy();
    });
  const onAbort = (): void => void close();
  options.signal?.addEventListener("abort", onAbort);
  if (options.signal?.aborted) await close();
  const address = server.address();
  const actual = typeof address === "object" && address !== null ? address.port : port;
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return { url: `http://${host}:${actual}`, stats, market: world, close };
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return only;
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
