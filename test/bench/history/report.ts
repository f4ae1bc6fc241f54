import type { QueryTimes } from "./queries.ts";
import type { Size } from "./sizes.ts";
import type { TierReport, World } from "./tier.ts";

/** Milliseconds that 95 of 100 answers must keep below. */
export const GOAL = { facts: 500, aggregates: 50 } as const;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => i === 0 ? "---" : "---:")), ...rows.map(line)].join(
    "\n",
  );
}

function perOffer(size: Size | undefined): string {
  return size === undefined || size.offers === 0 ? "–" : (size.bytes / size.offers).toFixed(1);
}

const ms = (value: number): string => value < 9.95 ? value.toFixed(1) : value.toFixed(0);
const seconds = (value: number): string => value === 0 ? "–" : value.toFixed(1);

function misses({ isOnAggregates, first }: QueryTimes): boolean {
  return first.p95 >= (isOnAggregates ? GOAL.aggregates : GOAL.facts);
}

function storage(tiers: readonly TierReport[]): string {
  const names = [...new Set(tiers.flatMap(({ sizes }) => sizes.rows.map(({ name }) => name)))];
  const rate = ({ offers, seconds }: { offers: number; seconds: number }): string =>
    (offers / seconds).toFixed(0);
  return table(["", ...tiers.map(({ title, server }) => `${title} (${server})`)], [
    ["offers", ...tiers.map(({ offers }) => offers.toLocaleString("en"))],
    ...names.map((name) => [
      name === "heap" ? "bytes an offer: heap" : `bytes an offer: index (${name})`,
      ...tiers.map(({ sizes }) => perOffer(sizes.rows.find((row) => row.name === name))),
    ]),
    [
      "bytes an offer: columnstore, everything",
      ...tiers.map(({ sizes }) => perOffer(sizes.packed)),
    ],
    ["fact_market_depth MB", ...tiers.map(({ sizes }) => (sizes.depthBytes / 1e6).toFixed(0))],
    ["database MB", ...tiers.map(({ sizes }) => (sizes.databaseBytes / 1e6).toFixed(0))],
    ["load_batch, offers/s, first day", ...tiers.map(({ firstDay }) => rate(firstDay))],
    ["load_batch, offers/s, last day", ...tiers.map(({ lastDay }) => rate(lastDay))],
    [
      "last day ÷ first day, seconds an offer",
      ...tiers.map(({ firstDay, lastDay }) =>
        (lastDay.seconds / lastDay.offers / (firstDay.seconds / firstDay.offers)).toFixed(2)
      ),
    ],
    ["aggregates of all days, s", ...tiers.map(({ upkeep }) => seconds(upkeep.refreshSeconds))],
    ["packing, s", ...tiers.map(({ upkeep }) => seconds(upkeep.packSeconds))],
    ["made in, s", ...tiers.map(({ fillSeconds }) => seconds(fillSeconds))],
  ]);
}

function times(tiers: readonly TierReport[]): string {
  const [{ queries } = { queries: [] }] = tiers;
  return table(
    ["query", "goal", ...tiers.flatMap(({ title }) => [`${title} p50`, "p95", "again p95"])],
    queries.map(({ name, isOnAggregates }) => [
      name,
      String(isOnAggregates ? GOAL.aggregates : GOAL.facts),
      ...tiers.flatMap((tier) => {
        const query = tier.queries.find((each) => each.name === name);
        if (query === undefined) return ["–", "–", "–"];
        const p95 = ms(query.first.p95);
        return [ms(query.first.p50), misses(query) ? `**${p95}**` : p95, ms(query.again.p95)];
      }),
    ]),
  );
}

function indexUse({ title, queries, scans }: TierReport): string {
  const used = new Map<string, string[]>();
  for (const { name, indexes } of queries) {
    for (const index of indexes) used.set(index, [...used.get(index) ?? [], name]);
  }
  const unused = [...scans].filter(([, count]) => count === 0).map(([name]) => name);
  return `### Indexes, ${title}\n\n` +
    table(
      ["index", "queries"],
      [...used].sort().map(([index, names]) => [index, names.join(", ")]),
    ) +
    `\n\nNever scanned, neither by loads nor by queries: ${unused.join(", ") || "none"}`;
}

/** Everything as markdown. */
export function report(world: World, runs: number, tiers: readonly TierReport[]): string {
  const missed = tiers.flatMap((tier) =>
    tier.queries.filter(misses).map(({ name, first }) =>
      `${tier.title}: ${name} (${ms(first.p95)} ms)`
    )
  );
  return [
    `${world.days} days, a batch of ${
      world.offers.toLocaleString("en")
    } offers in ${world.markets} markets every ` +
    `${world.minutes} minutes (factor ${world.factor}); ${navigator.hardwareConcurrency} cores, Deno ${Deno.version.deno}. ` +
    `Batches of ${world.loadOffers} offers are loaded by load_batch.`,
    storage(tiers),
    `Milliseconds, ${runs} questions each; p50 and p95 of asking each for the first time, then p95 of asking all again.`,
    times(tiers),
    missed.length === 0 ? "Every query keeps the goal." : `Beyond the goal: ${missed.join("; ")}`,
    ...tiers.map(indexUse),
  ].join("\n\n");
}
