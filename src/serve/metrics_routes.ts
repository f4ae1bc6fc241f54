import type { DatabaseFigures } from "./database_figures.ts";
import type { Routes } from "./http_server.ts";
import type { Metrics } from "./metrics.ts";
import { processSamples, type ProcessState } from "./process_figures.ts";
import { renderSamples } from "./samples.ts";

export interface MetricsSource {
  readonly metrics: Metrics;
  readonly figures: DatabaseFigures;
  /** As it is when it is asked for. */
  readonly state: () => ProcessState;
}

/** `/metrics`: all of them as text for Prometheus. Answers within seconds, also without a database. */
export function metricsRoutes({ metrics, figures, state }: MetricsSource): Routes {
  const { registry } = metrics;
  return {
    "/metrics": async () => {
      const found = await figures.read();
      const taken = new Set(registry.getMetricsAsArray().map(({ name }) => name));
      // The process's own come first: no row of the database takes their place.
      const samples = [...processSamples(state(), found), ...found.samples];
      const text = await registry.metrics() + "\n" + renderSamples(samples, taken);
      return new Response(text, {
        headers: { "content-type": registry.contentType, "cache-control": "no-store" },
      });
    },
  };
}
