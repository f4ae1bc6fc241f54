// deno-lint-ignore-file no-console
// `deno task bench naive [--offers N] [--rounds N]`: the designs that most people would write against this project, the
// same pages into databases of one server, turn by turn.
import { parseArgs } from "node:util";
import { figure, type Finding, repeated, table } from "../finding.ts";
import { BenchServer } from "../server.ts";
import { wholeNumbers } from "../../support/options.ts";
import { makePages } from "./pages.ts";
import { PROJECT, race, waysOn } from "./ways.ts";

export async function benchNaive(args: readonly string[]): Promise<Finding[]> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      offers: { type: "string", default: "10000" },
      rounds: { type: "string", default: "4" },
      seed: { type: "string", default: "1" },
    },
  });
  const { offers, rounds, seed } = wholeNumbers(values, { offers: 100, rounds: 2, seed: 0 });
  const pages = makePages(offers, seed);
  await using server = await BenchServer.start();
  await using opened = await waysOn(server.cluster.url, pages);
  const { seconds, stored } = await race(opened.ways, pages, rounds, console.error);
  const count = Number(stored.offers);
  const megabytes = pages.reduce((sum, { body }) => sum + body.bytes, 0) / 1e6;
  console.log(
    `${count.toLocaleString("en")} offers on ${pages.length.toLocaleString("en")} pages ` +
      `(${
        megabytes.toFixed(0)
      } MB), ${rounds} rounds; each round every way stores the same pages as another batch. ` +
      `All stored the same: prices add up to ${stored.prices}, ${stored.methods} payment methods of offers, ` +
      `${stored.advertisers} advertisers. Only this project keeps the raw pages, and makes books and checks. ` +
      "In the first batch every advertiser and payment method is new.\n",
  );
  const compared = [...seconds].map(([title, each]) => compare(title, each, seconds.get(PROJECT)));
  console.log(table(
    ["way", "first batch s", "× ours", "next batches s", "offers/s", "× ours", "by round"],
    compared.map(({ title, first, firstRatio, next, ratio, spread }) => [
      title,
      figure(first),
      figure(firstRatio),
      repeated(next).spread.map(figure).join(" – "),
      figure(count / Math.min(...next)),
      figure(ratio),
      spread.map(figure).join(" – "),
    ]),
  ));
  const others = compared.filter(({ title }) => title !== PROJECT);
  const own = compared.flatMap(({ title, next }) => title === PROJECT ? next : []);
  return [
    ...others.map(({ title, firstRatio }): Finding => ({
      scenario: "naive",
      what: `first batch: ${title}, ÷ this project, seconds`,
      value: firstRatio,
      unit: "×",
    })),
    ...others.map(({ title, ratio, spread }): Finding => ({
      scenario: "naive",
      what: `next batches: ${title}, ÷ this project, seconds`,
      value: ratio,
      spread,
      unit: "×",
    })),
    {
      scenario: "naive",
      what: "this project, pages to facts, no fetching",
      unit: "offers/s",
      value: count / Math.min(...own),
      spread: repeated(own.map((each) => count / each)).spread,
      target: { atLeast: 12_000 },
    },
  ];
}

interface Compared {
  readonly title: string;
  readonly first: number;
  readonly firstRatio: number;
  readonly next: readonly number[];
  /** Of the least of each: what else the machine did only adds. */
  readonly ratio: number;
  /** Least and most ratio of a round. */
  readonly spread: readonly [number, number];
}

/** Seconds by round of a way against this project's. */
export function compare(
  title: string,
  [first = NaN, ...next]: readonly number[],
  [ownFirst = NaN, ...ownNext]: readonly number[] = [],
): Compared {
  return {
    title,
    first,
    firstRatio: first / ownFirst,
    next,
    ratio: Math.min(...next) / Math.min(...ownNext),
    spread: repeated(next.map((seconds, round) => seconds / (ownNext[round] ?? NaN))).spread,
  };
}
