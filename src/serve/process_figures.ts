import type { BreakerState } from "../extract/access.ts";
import type { ServedExchange } from "../extract/presence.ts";
import type { Doing } from "../extract/batch_store.ts";
import { VERSION } from "../version.ts";
import type { Figures } from "./database_figures.ts";
import type { LoopLag } from "./loop_lag.ts";
import type { Sample } from "./samples.ts";

export interface ProcessState {
  readonly served: readonly ServedExchange[];
  readonly doing: Doing;
  readonly lag: LoopLag;
}

const BREAKER_STATES: readonly BreakerState[] = ["closed", "half_open", "open"];

const STARTED_AT = (performance.timeOrigin / 1000).toFixed(3);

/** What is true of this process at the moment. */
export function processSamples(
  { served, doing, lag }: ProcessState,
  { isUp, server }: Figures,
): Sample[] {
  const one = (metric: string, help: string, value: number, labels = {}): Sample => ({
    metric,
    help,
    value,
    labels,
  });
  return [
    ...served.flatMap(({ exchange: { code: exchange }, fetcher: { state } }) => [
      one(
        "p2p_rate_limit_per_minute",
        "Requests a minute that this worker allows itself",
        state.ratePerMinute,
        {
          exchange,
        },
      ),
      ...(state.ceilingPerMinute === undefined ? [] : [
        one(
          "p2p_rate_ceiling_per_minute",
          "Where the exchange refused last; absent while that is unknown",
          state.ceilingPerMinute,
          { exchange },
        ),
      ]),
      one(
        "p2p_exchange_paused_seconds",
        "How long nothing is sent yet, because the exchange asked for it",
        state.pausedSeconds,
        { exchange },
      ),
      ...BREAKER_STATES.map((name) =>
        one(
          "p2p_breaker_state",
          "1 for the present state of the breaker",
          Number(name === state.breaker),
          {
            exchange,
            state: name,
          },
        )
      ),
    ]),
    one("p2p_worker_doing", "1 for what this worker is at", 1, { doing }),
    one("p2p_build_info", "1; what runs here", 1, {
      version: VERSION,
      deno: Deno.version.deno,
      postgres: server?.postgres ?? "",
      tier: server?.tier ?? "",
    }),
    one(
      "p2p_database_up",
      "1 where the database can be reached, be it slow",
      Number(isUp),
    ),
    one("p2p_event_loop_lag_seconds", "The latest timer of the last 15 seconds", lag.seconds),
    one("process_resident_memory_bytes", "Resident memory", Deno.memoryUsage().rss),
    one(
      "process_start_time_seconds",
      "Start of the process, in seconds since 1970",
      Number(STARTED_AT),
    ),
  ];
}
