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
  let isTold = false;

  const open = () => {
    try {
      server = Deno.serve({
        hostname: host,
        port,
        signal: stop,
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
  const openLater = async () => {
    while (!stop.aborted && server === undefined) {
      await clock.sleep(RETRY_SECONDS * 1000, stop).catch(() => {});
      if (!stop.aborted) open();
    }
  };
  open();
  const opening = openLater();
  return {
    get url() {
      return server && urlOf(server);
    },
    [Symbol.asyncDispose]: async () => {
      over.abort();
      await opening;
      await server?.finished;
    },
  };
}

async function answer(request: Request, options: HttpServerOptions): Promise<Response> {
  const response = await answerPlainly(request, options);
  response.headers.set("x-content-type-options", "nosniff");
  if (request.method !== "HEAD") return response;
  await response.body?.cancel();
  return new Response(null, response);
}

function answerPlainly(
  request: Request,
  { host, routes }: HttpServerOptions,
): Response | Promise<Response> {
  if (!isOurName(request, host)) return text(421, "this is not the host that you asked for\n");
  if (request.method !== "GET" && request.method !== "HEAD") {
    return text(405, "GET and HEAD only\n", { allow: "GET, HEAD" });
  }
  const { pathname } = new URL(request.url);
  const handler = Object.hasOwn(routes, pathname) ? routes[pathname] : undefined;
  return handler?.(request) ?? text(404, "nothing is here\n");
}

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

/** A plain answer. */
export function text(status: number, body: string, headers: HeadersInit = {}): Response {
  return new Response(body, { status, headers });
}

function unforeseen(error: unknown): Response {
  log.error("a request was not answered: {reason}", { reason: describe(error) });
  return text(500, "not answered; see the log\n", { "x-content-type-options": "nosniff" });
}

function urlOf({ addr }: Deno.HttpServer<Deno.NetAddr>): string {
  const host = isIP(addr.hostname) === 6 ? `[${addr.hostname}]` : addr.hostname;
  return `http://${host}:${addr.port}`;
}
