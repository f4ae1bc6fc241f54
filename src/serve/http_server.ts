import { isIP } from "node:net";
import { describe } from "../errors.ts";
import type { Clock } from "../extract/clock.ts";
import { logger } from "../log.ts";

export type Handler = (request: Request) => Response | Promise<Response>;

/** By path, exact ("/metrics"). GET and HEAD only. */
export type Routes = Readonly<Record<string, Handler>>;

export interface HttpServer extends AsyncDisposable {
  /** Undefined while the port is taken. */
  readonly url: string | undefined;
}

export interface HttpServerOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly routes: Routes;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

const RETRY_SECONDS = 10;
/** Whoever provokes an error again and again fills no log. */
const ERROR_SECONDS = 60;

/** Of every answer: other pages neither read, nor frame, nor get to know of this one. */
const HEADERS = {
  "x-content-type-options": "nosniff",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
} as const;

const log = logger("http");

/**
 * Answers requests until it is disposed of or the signal comes. A port that is taken is no reason not to work: it is
 * logged once, and tried again.
 */
export function serveHttp(options: HttpServerOptions): HttpServer {
  const { host, port, signal, clock } = options;
  const over = new AbortController();
  const stop = AbortSignal.any([signal, over.signal]);
  let server: Deno.HttpServer<Deno.NetAddr> | undefined;
  let present = new AbortController();
  let isTold = false;
  let errorAt = -Infinity;

  const unforeseen = (error: unknown): Response => {
    if (clock.now() - errorAt >= ERROR_SECONDS * 1000) {
      log.error("a request was not answered: {reason}", { reason: describe(error) });
      errorAt = clock.now();
    }
    return text(500, "not answered; see the log\n", HEADERS);
  };
  const open = () => {
    try {
      present = new AbortController();
      server = Deno.serve({
        hostname: host,
        port,
        signal: AbortSignal.any([stop, present.signal]),
        onListen: () => {},
        onError: unforeseen,
      }, (request) => answer(request, options));
      log.info("listening on {url}", { url: urlOf(server) });
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw error;
      if (!isTold) {
        log.error(
          "nothing listens on PROMETHEUS_PORT={port}, LISTEN_HOST={host}: {reason}; tried again every {seconds} s",
          { port, host, reason: describe(error), seconds: RETRY_SECONDS },
        );
      }
      isTold = true;
    }
  };
  // Connections beyond the limit of open files end the server: they go, and it is opened anew.
  const lost = (error: unknown) => {
    server = undefined;
    present.abort();
    if (stop.aborted) return;
    log.error("the port was given up: {reason}; tried again in {seconds} s", {
      reason: describe(error),
      seconds: RETRY_SECONDS,
    });
  };
  const keepOpen = async () => {
    while (!stop.aborted) {
      await server?.finished.catch(lost);
      await clock.sleep(RETRY_SECONDS * 1000, stop).catch(() => {});
      if (!stop.aborted) open();
    }
  };
  open();
  const opening = keepOpen();
  return {
    get url() {
      return server && urlOf(server);
    },
    [Symbol.asyncDispose]: async () => {
      over.abort();
      await opening;
    },
  };
}

async function answer(request: Request, options: HttpServerOptions): Promise<Response> {
  const response = await answerPlainly(request, options);
  for (const [name, value] of Object.entries(HEADERS)) response.headers.set(name, value);
  if (request.method !== "HEAD") return response;
  await response.body?.cancel();
  return new Response(null, response);
}

function answerPlainly(
  request: Request,
  { host, routes }: HttpServerOptions,
): Response | Promise<Response> {
  if (!URL.canParse(request.url)) return text(400, "that is no address\n");
  if (!isOurName(request, host)) return text(421, NOT_OURS);
  if (isForeignPage(request)) return text(403, "not for pages of another origin\n");
  if (request.method !== "GET" && request.method !== "HEAD") {
    return text(405, "GET and HEAD only\n", { allow: "GET, HEAD" });
  }
  const { pathname } = new URL(request.url);
  const handler = Object.hasOwn(routes, pathname) ? routes[pathname] : undefined;
  return handler?.(request) ?? text(404, "nothing is here\n");
}

const NOT_OURS =
  "Nothing is served under this name, so that no web page can read it through your browser. " +
  "Ask by IP address, by localhost, or by the name of the machine; set LISTEN_HOST to a further name. " +
  "A proxy has to send one of them as Host: docs/page.md.\n";

/**
 * A web page that made its own name lead here (DNS rebinding) could read everything with its visitor's browser. What names
 * no host is no browser.
 */
function isOurName(request: Request, listenHost: string): boolean {
  const host = request.headers.get("host") ?? new URL(request.url).host;
  if (!URL.canParse(`http://${host}`)) return host === "";
  const name = new URL(`http://${host}`).hostname;
  return isIP(name.replace(/^\[|\]$/g, "")) !== 0 ||
    ["localhost", listenHost, Deno.hostname()].some((ours) => ours.toLowerCase() === name);
}

/** Another origin's page could read nothing of an answer anyway; but it could take the places of those who may. */
function isForeignPage({ headers }: Request): boolean {
  const site = headers.get("sec-fetch-site");
  return headers.has("sec-websocket-key") || (site === "cross-site" || site === "same-site") &&
      headers.get("sec-fetch-mode") !== "navigate";
}

/** A plain answer. */
export function text(status: number, body: string, headers: HeadersInit = {}): Response {
  return new Response(body, { status, headers });
}

function urlOf({ addr }: Deno.HttpServer<Deno.NetAddr>): string {
  const host = isIP(addr.hostname) === 6 ? `[${addr.hostname}]` : addr.hostname;
  return `http://${host}:${addr.port}`;
}
