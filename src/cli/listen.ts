import { Database } from "../database/connection.ts";
import { DatabaseFigures, FRESH_SECONDS } from "../serve/database_figures.ts";
import { healthRoutes } from "../serve/health.ts";
import { type HttpServer, serveHttp } from "../serve/http_server.ts";
import { LoopLag } from "../serve/loop_lag.ts";
import { metricsRoutes } from "../serve/metrics_routes.ts";
import { openPage } from "../serve/page_routes.ts";
import { serviceHealth } from "../serve/readiness.ts";
import type { Extraction } from "./extraction.ts";

/** Answers on PROMETHEUS_PORT for the service: metrics, health and the status page. */
export function listen(
  extraction: Extraction,
  signal: AbortSignal,
  freshSeconds: number = FRESH_SECONDS,
): HttpServer {
  const { clock, metrics, presence, served, options: { config, database: { url } } } = extraction;
  const stack = new AsyncDisposableStack();
  const over = new AbortController();
  stack.defer(() => over.abort());
  const own = new Database(url, { applicationName: "p2p-ingest metrics", connections: 2 });
  const figures = stack.use(new DatabaseFigures(own, clock, freshSeconds));
  const lag = new LoopLag(clock, over.signal);
  const intervalSeconds = config.EXTRACTION_INTERVAL_MINUTES * 60;
  const beatenAt = () => presence.beatenAt;
  const page = openPage({
    databaseUrl: url,
    intervalMinutes: config.EXTRACTION_INTERVAL_MINUTES,
    signal,
    clock,
  });
  const server = stack.use(serveHttp({
    host: config.LISTEN_HOST,
    port: config.PROMETHEUS_PORT,
    routes: {
      ...metricsRoutes({ metrics, figures, state: () => ({ served, doing: presence.doing, lag }) }),
      ...healthRoutes(
        serviceHealth({ lag, beatenAt, figures, intervalSeconds, clock }),
      ),
      ...page.routes,
    },
    signal,
    clock,
  }));
  stack.use(page); // ends first: open pages would hold up the server
  return {
    get url() {
      return server.url;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
