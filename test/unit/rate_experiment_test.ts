// A short version of `deno task bench rate`.
import assert from "node:assert/strict";
import { run } from "../bench/rate/experiment.ts";

const way = {
  title: "adaptive",
  rate: {
    initialPerMinute: 100,
    minPerMinute: 10,
    maxPerMinute: 2000,
    burst: 20,
    backoffFactor: 0.5,
  },
  concurrency: 20,
};

for (
  const [title, limit, hours, retryAfter] of [
    ["100", [[0, 100]], 1, undefined],
    ["313", [[0, 313]], 1, "slot"],
    ["a limit that falls and rises", [[0, 200], [0.75, 100], [1.5, 300]], 3, undefined],
  ] as const
) {
  Deno.test(`${title}: ≥ 85 % of a hidden limit with < 1 % refused`, async () => {
    const result = await run({ title, limit, hours, retryAfter }, way);
    assert(result.share >= 0.85, `${result.share}`);
    assert(result.share <= 1);
    assert(result.refusedShare < 0.01, `${result.refusedShare}`);
    assert((result.minutesTo85 ?? Infinity) <= 5, `${result.minutesTo85}`);
  });
}

Deno.test("an exchange that takes fewer at once than the burst does not drive the rate down", async () => {
  const scene = { retryAfter: undefined, inBatches: true, bucket: 10 };
  const result = await run({ title: "", limit: [[0, 200]], hours: 2, ...scene }, way);
  assert(result.share >= 0.85, `${result.share}`);
  assert(result.refusedShare < 0.01, `${result.refusedShare}`);
});

for (
  const [title, limit, maxPerMinute, hours, least] of [
    ["no limit but the maximum of 320", [], 320, 1.5, 0.7],
    ["a limit of 313", [[0, 313]], 2000, 2, 0.8],
  ] as const
) {
  Deno.test(`1 % refused by chance and ${title}: the rate does not spiral down`, async () => {
    const scene = { limit, hours, retryAfter: undefined };
    const faults = { share: 0.01, kind: "refused" } as const;
    const rate = { ...way.rate, maxPerMinute };
    const result = await run({ title, ...scene, faults }, { ...way, rate });
    assert(result.share >= least, `${result.share}`);
    assert(result.refusedShare < 0.01, `${result.refusedShare}`);
  });
}

Deno.test("an outage of five minutes at a known limit does not last", async () => {
  const faults = { share: 0, kind: "refused", outage: [0.5, 0.583] } as const;
  const scene = { limit: [[0, 313]], hours: 1.5, retryAfter: undefined, faults } as const;
  const { samples } = await run({ title: "", ...scene }, way);
  const after = samples.slice(50).reduce((sum, { taken }) => sum + taken, 0);
  assert(after >= 0.85 * 313 * (samples.length - 50), `${after}`);
});
