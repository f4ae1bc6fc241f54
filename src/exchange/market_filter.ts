/** One entry of `MARKETS`; `"*"` stands for all. */
export interface MarketPattern {
  readonly fiat: string;
  readonly asset: string;
}

export type MarketFilter = readonly MarketPattern[];

/**
 * Reads `MARKETS`, e.g. `VES/USDT,ARS/*`: fiat before asset, `*` for all of either.
 * @returns the patterns, or the sentence that says what is wrong
 */
export function parseMarketFilter(text: string): MarketFilter | string {
  const patterns: MarketPattern[] = [];
  for (const entry of text.split(",").map((part) => part.trim().toUpperCase())) {
    const [, fiat, asset] = /^([A-Z0-9]{1,20}|\*)\/([A-Z0-9]{1,20}|\*)$/.exec(entry) ?? [];
    if (!fiat || !asset) {
      const shown = JSON.stringify(entry.slice(0, 50));
      return `must be like VES/USDT,ARS/* (fiat before asset), not ${shown}`;
    }
    patterns.push({ fiat, asset });
  }
  return patterns;
}

/** Whether the filter asks for this market. */
export function wants(filter: MarketFilter, fiat: string, asset: string): boolean {
  return filter.some((p) =>
    (p.fiat === "*" || p.fiat === fiat) && (p.asset === "*" || p.asset === asset)
  );
}

/** The fiats that the filter names, or undefined where it takes in all of them. */
export function namedFiats(filter: MarketFilter): readonly string[] | undefined {
  if (filter.some((pattern) => pattern.fiat === "*")) return undefined;
  return [...new Set(filter.map((pattern) => pattern.fiat))];
}
