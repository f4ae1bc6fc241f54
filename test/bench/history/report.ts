import { figure, type Finding, repeated, table } from "../finding.ts";
import type { QueryTimes } from "./queries.ts";
import type { Size } from "./sizes.ts";
import type { Loads, TierReport, World } from "./tier.ts";

/** Milliseconds that 95 of 100 answers must keep below. */
const GOAL = { facts: 500, aggregates: 50 } as const;

function perOffer(size: Size | undefined): string {
  return size === undefined || size.offers === 0 ? "–" : (size.bytes / size.offers).toFixed(1);
}

const ms = (value: number): string => value < 9.95 ? value.toFixed(1) : value.toFixed(0);
const seconds = (value: number): string => value === 0 ? "–" : value.toFixed(1);

function misses({ isOnAggregates, first }: QueryTimes): boolean {
  return first.p95 >= (isOnAggregates ? GOAL.aggregates : GOAL.facts);
}

/** How much longer an offer takes at an aged database. */
function aging({ young, aged }: Loads): ReturnType<typeof repeated> {
  return repeated(aged.map((each, i) => each / (young[i] ?? NaN)));
}

function storage(days: number, tiers: readonly TierReport[]): string {
  const names = [...new Set(tiers.flatMap(({ sizes }) => sizes.rows.map(({ name }) => name)))];
  const loaded = tiers.flatMap(({ loads }) => loads === undefined ? [] : [loads]);
  const rate = (secondsAnOffer: readonly number[]): string =>
    figure(1 / repeated(secondsAnOffer).value);
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
    ...loaded.length === 0 ? [] : [
      ["load_batch, offers/s, after a day", ...loaded.map(({ young }) => rate(young))],
      [`… after ${days} days`, ...loaded.map(({ aged }) => rate(aged))],
      ["… seconds an offer, ÷ after a day", ...loaded.map((loads) => figure(aging(loads).value))],
    ],
    ["aggregates of all days, s", ...tiers.map(({ upkeep }) => seconds(upkeep.refreshSeconds))],
    ["packing, s", ...tiers.map(({ upkeep }) => seconds(upkeep.packSeconds))],
    ["made in, s", ...tiers.map(({ fillSeconds }) => seconds(fillSeconds))],
  ]);
}

function times(tiers: readonly TierReport[]): string {
  const [{ queries } = { queries: [] }] = tiers;
  return table(
    ["query", "goal", ...tiers.flatMap(({ title }) => [`${title} p50`, "p95", "max", "again p95"])],
    queries.map(({ name, isOnAggregates }) => [
      name,
      String(isOnAggregates ? GOAL.aggregates : GOAL.facts),
      ...tiers.flatMap((tier) => {
        const query = tier.queries.find((each) => each.name === name);
        if (query === undefined) return ["–", "–", "–", "–"];
        const p95 = ms(query.first.p95);
        return [
          ms(query.first.p50),
          misses(query) ? `**${p95}**` : p95,
          ms(query.first.max),
          ms(query.again.p95),
        ];
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
    [...used].sort().map(([index, names]) => `- ${index}: ${names.join(", ")}`).join("\n") +
    `\n\nNever scanned, neither by loads nor by queries: ${unused.join(", ") || "none"}`;
}

const scaleOf = ({ days, offers }: World): string =>
  `${days} days of batches of ${offers.toLocaleString("en")} offers`;

/** Everything as markdown. */
export function report(world: World, runs: number, tiers: readonly TierReport[]): string {
  const isAsked = tiers.some(({ queries }) => queries.length > 0);
  return [
    `${scaleOf(world)} in ${world.markets} markets every ${world.minutes} minutes ` +
    `(factor ${world.factor} of the real market); batches of ${world.loadOffers} offers are loaded by load_batch.`,
    storage(world.days, tiers),
    ...isAsked
      ? [
        `Milliseconds, ${runs} questions each; p50, p95 and most of asking each for the first time, then p95 of asking ` +
        "all again.",
        times(tiers),
        ...tiers.map(indexUse),
      ]
      : [],
  ].join("\n\n");
}

/** What of a tier belongs into the closing table. */
export function findingsOf(world: World, { title, loads, queries, sizes }: TierReport): Finding[] {
  const of = `${title}, ${scaleOf(world)}`;
  const heap = sizes.rows.reduce((sum, { bytes }) => sum + bytes, 0);
  const offers = sizes.rows[0]?.offers ?? 0;
  const findings: Finding[] = offers === 0 ? [] : [{
    scenario: "history",
    what: `${of}: an offer as a row with its indexes`,
    value: heap / offers,
    unit: "bytes",
  }];
  if (sizes.packed !== undefined) {
    findings.push({
      scenario: "history",
      what: `${of}: an offer in the columnstore`,
      value: sizes.packed.bytes / sizes.packed.offers,
      unit: "bytes",
    });
  }
  if (loads !== undefined) {
    findings.push({
      scenario: "aged",
      what: `${of}: load_batch ÷ after a day, seconds an offer`,
      unit: "×",
      ...aging(loads),
    });
  }
  for (const isOnAggregates of [false, true]) {
    const chosen = queries.filter((query) => query.isOnAggregates === isOnAggregates);
    if (chosen.length === 0) continue;
    const slowest = chosen.reduce((a, b) => a.first.p95 > b.first.p95 ? a : b);
    const kept = chosen.filter((query) => !misses(query)).length;
    const relations = isOnAggregates ? "aggregates" : "facts";
    const goal = GOAL[relations];
    findings.push(
      {
        scenario: "queries",
        what: `${of}: slowest p95 of ${chosen.length} queries on ${relations} (${slowest.name})`,
        value: slowest.first.p95,
        unit: "ms",
        target: { atMost: goal },
      },
      {
        scenario: "queries",
        what: `${of}: queries on ${relations} with p95 below ${goal} ms`,
        value: 100 * kept / chosen.length,
        unit: "%",
        target: { atLeast: 95 },
      },
    );
  }
  return findings;
}
