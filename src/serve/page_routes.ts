import { systemClock } from "../extract/clock.ts";
import type { Clock } from "../extract/clock.ts";
import { dueTime } from "../extract/schedule.ts";
import { type Body, bodyOf, JSON_TYPE, respond } from "./body.ts";
import { type Handler, type Routes, text } from "./http_server.ts";
import { assets } from "./page_assets.ts";
import { PageCoverage } from "./page_coverage.ts";
import { type PageEvent, PageEvents } from "./page_events.ts";
import { NoAnswer, PageReader } from "./page_reader.ts";
import { SharedAnswer, SharedAnswers } from "./shared_answer.ts";

export interface PageOptions {
  /** Of the worker's database; the page has connections of its own. */
  readonly databaseUrl: string;
  /** Of the schedule. */
  readonly intervalMinutes: number;
  /** Ends the streams of events, so that the server can stop. */
  readonly signal: AbortSignal;
  readonly clock?: Clock;
}

export interface Page extends AsyncDisposable {
  readonly routes: Routes;
}

const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
} as const;

const ACCESS_HOURS = 24;
const RANGE_HOURS: ReadonlyMap<string, number> = new Map([["24h", 24], ["7d", 168], ["30d", 720]]);
/** Codes of exchanges, fiats and assets: whatever an exchange may come up with, but no page of text. */
const CODE = /^[^\p{C}\p{Z}]{1,30}$/u;

/** Seconds that an answer is shared for. */
const HOLDS = { overview: 1, coverage: 5, markets: 60, market: 10, access: 20 } as const;
const MOST_MARKETS_KEPT = 32;

/** What is asked for is not so: the asker's fault, in one line. */
class BadRequest extends Error {
  override readonly name = "BadRequest";
}

/** The status page: it shows and never changes anything. */
export function openPage(options: PageOptions): Page {
  const { databaseUrl, intervalMinutes, clock = systemClock } = options;
  const over = new AbortController();
  const reader = new PageReader(databaseUrl);
  // There are as many questions as markets: they wait for each other, and the rest does not wait for them.
  const marketReader = new PageReader(databaseUrl);
  const coverage = new PageCoverage(reader);

  const json = async (answer: Promise<string | undefined>): Promise<Body | undefined> => {
    const document = await answer;
    return document === undefined ? undefined : await bodyOf(JSON_TYPE, document);
  };
  const shared = (ask: () => Promise<string | undefined>, seconds: number) =>
    new SharedAnswer(() => json(ask()), seconds, clock);

  const overview = new SharedAnswer(
    async () => {
      const document = await reader.ask("page_overview($1)", [intervalMinutes]) ?? "null";
      forgetAfterBatch(document);
      const nextDue = dueTime(Date.now(), intervalMinutes) / 1000 + intervalMinutes * 60;
      return `{"next_due":${nextDue},"overview":${document.replaceAll("\n", " ")}}`;
    },
    HOLDS.overview,
    clock,
  );
  const overviewBody = shared(() => overview.get(), HOLDS.overview);
  const coverageBody = shared(() => coverage.text(), HOLDS.coverage);
  const marketsBody = shared(() => reader.ask("page_markets()"), HOLDS.markets);
  const accessBody = shared(() => reader.ask("page_access($1)", [ACCESS_HOURS]), HOLDS.access);
  const marketBodies = new SharedAnswers<Body | undefined>(MOST_MARKETS_KEPT, HOLDS.market, clock);

  /** Who is told of a new batch and asks what it changed is not given what was before. */
  let lastBatch = "";
  const forgetAfterBatch = (document: string) => {
    const newest = JSON.stringify(
      (JSON.parse(document) as { last_batch?: unknown } | null)?.last_batch,
    );
    if (newest !== lastBatch) {
      for (const answer of [coverageBody, marketsBody, marketBodies]) answer.forget();
    }
    lastBatch = newest;
  };

  let outageSince: number | undefined;
  const look = async (): Promise<PageEvent> => {
    try {
      const data = await overview.get();
      outageSince = undefined;
      return { event: "overview", data };
    } catch (error) {
      outageSince ??= Math.round(Date.now() / 1000);
      const reason = error instanceof NoAnswer ? error.message : "The worker could not ask";
      return { event: "outage", data: JSON.stringify({ since: outageSince, reason }) };
    }
  };
  const events = new PageEvents(look, clock, AbortSignal.any([options.signal, over.signal]));

  const api = (answer: (request: Request) => Promise<Body | undefined>): Handler =>
    guarded(async (request) => {
      const body = await answer(request);
      return body === undefined
        ? problem(404, "there is no such market")
        : respond(body, request, HEADERS);
    });
  const plain = (answer: SharedAnswer<Body | undefined>) =>
    api((request) => {
      parametersOf(request, []);
      return answer.get();
    });

  const routes: Record<string, Handler> = {
    "/events": guarded((request) => {
      parametersOf(request, []);
      if (request.method === "HEAD") return new Response(null, { headers: EVENT_HEADERS });
      const stream = events.stream();
      return stream === undefined
        ? problem(503, "too many pages are open", { "retry-after": "30" })
        : new Response(stream, { headers: EVENT_HEADERS });
    }),
    "/api/overview": plain(overviewBody),
    "/api/coverage": plain(coverageBody),
    "/api/markets": plain(marketsBody),
    "/api/access": plain(accessBody),
    "/api/market": api((request) => {
      const asked = parametersOf(request, ["exchange", "fiat", "asset", "range"]);
      const [exchange, fiat, asset] = [
        codeOf(asked, "exchange"),
        codeOf(asked, "fiat"),
        codeOf(asked, "asset"),
      ];
      const hours = RANGE_HOURS.get(asked.get("range") ?? "24h");
      if (hours === undefined) {
        throw new BadRequest(`range is one of ${[...RANGE_HOURS.keys()].join(", ")}`);
      }
      const parameters = [exchange, fiat, asset, hours];
      return marketBodies.get(
        JSON.stringify(parameters),
        () => json(marketReader.ask("page_market($1, $2, $3, $4)", parameters)),
      );
    }),
  };
  for (const [path, body] of assets()) {
    routes[path] = guarded(async (request) => respond(await body, request, HEADERS));
  }
  return {
    routes,
    [Symbol.asyncDispose]: async () => {
      over.abort();
      await Promise.all([reader, marketReader].map((one) => one[Symbol.asyncDispose]()));
    },
  };
}

const EVENT_HEADERS = {
  ...HEADERS,
  "content-type": "text/event-stream",
  "cache-control": "no-store",
  "x-accel-buffering": "no", // nginx would hold events back
};

/** Errors as answers of one line. */
function guarded(handler: Handler): Handler {
  return async (request) => {
    try {
      return await handler(request);
    } catch (error) {
      if (error instanceof BadRequest) return problem(400, error.message);
      if (error instanceof NoAnswer) return problem(503, error.message, { "retry-after": "5" });
      throw error;
    }
  };
}

function problem(
  status: number,
  line: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return text(status, `${line}\n`, {
    ...HEADERS,
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    ...headers,
  });
}

function parametersOf(request: Request, names: readonly string[]): ReadonlyMap<string, string> {
  const given = new Map<string, string>();
  for (const [name, value] of new URL(request.url).searchParams) {
    if (!names.includes(name)) {
      throw new BadRequest(`there is no such parameter; known: ${names.join(", ") || "none"}`);
    }
    if (given.has(name)) throw new BadRequest(`${name} is given twice`);
    given.set(name, value);
  }
  return given;
}

function codeOf(given: ReadonlyMap<string, string>, name: string): string {
  const value = given.get(name);
  if (value === undefined) throw new BadRequest(`${name} is missing`);
  if (!CODE.test(value)) throw new BadRequest(`${name} is 1 to 30 characters without spaces`);
  return value;
}
