import type { RateOptions } from "../../src/extract/rate_limiter.ts";

/** A rate that nothing changes. */
export function fixedRate(perMinute: number, burst: number): RateOptions {
  return {
    initialPerMinute: perMinute,
    minPerMinute: perMinute,
    maxPerMinute: perMinute,
    burst,
    backoffFactor: 0.5,
  };
}
