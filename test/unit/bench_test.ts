// What `deno task bench` says can be wrong silently: verdicts, growth, medians, the table, the command line.
import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { wholeNumbers } from "../support/options.ts";
import { readCommandLine, USAGE } from "../bench/command_line.ts";
import { figure, type Finding, isMet, repeated, summary } from "../bench/finding.ts";
import { percentiles } from "../bench/history/queries.ts";
import { compare } from "../bench/naive/main.ts";
import { SCENARIOS } from "../bench/scenarios.ts";
import { growthOf, sizesOf } from "../bench/sizes.ts";
import { EXIT, UsageError } from "../../src/errors.ts";

const FINDING: Finding = { scenario: "limit", what: "ours ÷ bare", value: 1.5, unit: "×" };

Deno.test("a target is met at the limit itself, and a missed one says so plainly", () => {
  strictEqual(isMet(FINDING), undefined);
  strictEqual(isMet({ ...FINDING, target: { atMost: 1.5 } }), true);
  strictEqual(isMet({ ...FINDING, target: { atMost: 1.49 } }), false);
  strictEqual(isMet({ ...FINDING, target: { atLeast: 1.5 } }), true);
  strictEqual(isMet({ ...FINDING, target: { atLeast: 1.51 } }), false);
  const told = summary([
    { ...FINDING, spread: [1.25, 1700], target: { atMost: 1 } },
    { ...FINDING, value: 12_345.6, unit: "offers/s", target: { atLeast: 12_000 } },
    { ...FINDING, value: 0, unit: "", target: { atMost: 0 } },
  ]);
  deepStrictEqual(told.split("\n"), [
    "| scenario | what        |          number |       spread |   target |    met |",
    "| -------- | ----------- | --------------: | -----------: | -------: | -----: |",
    "| limit    | ours ÷ bare |          1.50 × | 1.25 – 1,700 |   ≤ 1.00 | **no** |",
    "| limit    | ours ÷ bare | 12,346 offers/s |              | ≥ 12,000 |    yes |",
    "| limit    | ours ÷ bare |               0 |              |      ≤ 0 |    yes |",
  ]);
});

Deno.test("numbers of repetitions: the middle, least and most; percentiles are values that occurred", () => {
  deepStrictEqual(repeated([3, 1, 9]), { value: 3, spread: [1, 9] });
  deepStrictEqual(repeated([4, 1, 2, 100]), { value: 3, spread: [1, 100] });
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  deepStrictEqual(percentiles(hundred), { p50: 50, p95: 95, max: 100 });
  deepStrictEqual(percentiles([7]), { p50: 7, p95: 7, max: 7 });
  deepStrictEqual([0.126, 9.999, 12.34, 99.96, 1234.5].map(figure), [
    "0.13",
    "10.00",
    "12.3",
    "100.0",
    "1,235",
  ]);
});

Deno.test("a design is compared batch by batch: the first alone, of the next the least of each", () => {
  const { firstRatio, ratio, spread, next } = compare("naive", [8, 4, 6, 5], [2, 2, 1, 5]);
  deepStrictEqual({ firstRatio, ratio, spread, next }, {
    firstRatio: 4,
    ratio: 4,
    spread: [1, 6],
    next: [4, 6, 5],
  });
});

Deno.test("growth is against the size before", () => {
  const size = (offers: number, seconds: number, peakBytes: number) => ({
    offers,
    seconds,
    peakBytes,
  });
  const growth = growthOf([size(1000, 2, 100), size(10_000, 10, 150), size(50_000, 60, 300)]);
  deepStrictEqual(growth.map(({ value }) => value), [5, 1.5, 6, 2]);
  strictEqual(growth[0]?.what, "1,000 → 10,000 offers, 10.0 times as many: seconds");
});

Deno.test("the command line: a scenario with its options, a file, or an error that names what is wrong", () => {
  deepStrictEqual(readCommandLine(["naive", "--rounds", "2", "--json", "a.json", "--seed", "3"]), {
    isHelp: false,
    only: "naive",
    options: ["--rounds", "2", "--seed", "3"],
    jsonFile: "a.json",
  });
  strictEqual(readCommandLine([]).only, undefined);
  strictEqual(readCommandLine(["sizes", "--help"]).isHelp, true);
  for (const name of Object.keys(SCENARIOS)) strictEqual(USAGE.includes(`\n  ${name} `), true);
  for (const wrong of [["nope"], ["toString"], ["naive", "--json"]]) {
    throws(() => readCommandLine(wrong), UsageError);
  }
  strictEqual(new UsageError("").exitCode, EXIT.usage);
  deepStrictEqual(sizesOf(["--offers", "1,20"]), [1, 20]);
  for (const wrong of ["", "1,", "1,x", "0", "1.5"]) {
    throws(() => sizesOf(["--offers", wrong]), UsageError, wrong);
  }
  deepStrictEqual(wholeNumbers({ rounds: "3" }, { rounds: 1 }), { rounds: 3 });
  for (const wrong of ["0", "2.5", "", "many"]) {
    throws(() => wholeNumbers({ rounds: wrong }, { rounds: 1 }), /--rounds/);
  }
});
