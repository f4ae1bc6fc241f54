import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import {
  AWKWARDNESSES,
  type Fault,
  faultByChance,
  MALFORMATIONS,
  MODEST_RATES,
  parseFaults,
} from "../../src/simulator/fault.ts";
import { startSimulator } from "../../src/simulator/server.ts";
import { ask, NOON, withFault } from "../support/simulator_faults.ts";

Deno.test("every malformed offer is one, in the text that is sent", async () => {
  for (const how of MALFORMATIONS) {
    await withFault({ kind: "malformedOffers", how }, async (simulator) => {
      const { data } = await (await ask(simulator)).json();
      assert.ok(data.length >= 20);
      for (const item of data) assert.ok(isMalformed(item), `${how}: ${JSON.stringify(item)}`);
    });
  }
});

function at(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
}

/** The rule of the test, not of the simulator: what nobody could store. */
function isMalformed(item: unknown): boolean {
  const adv = at(item, "adv");
  if (!at(adv, "advNo") || !at(at(item, "advertiser"), "userNo")) return true;
  const number = (key: string): number => Number(at(adv, key) ?? NaN);
  const [price, surplus] = [number("price"), number("surplusAmount")];
  const ordered = number("minSingleTransAmount") <= number("maxSingleTransAmount");
  return !(price > 0 && price < Infinity) || !(surplus >= 0) || !ordered;
}

Deno.test("every awkward offer is good, and unlike the usual text", async () => {
  await withFault(undefined, async (simulator) => {
    const usual = simulator.market.book("VES", "USDT", "SELL").map((item) => item.text);
    for (const how of AWKWARDNESSES) {
      await withFault({ kind: "awkwardOffers", how }, async (other) => {
        const text = await (await ask(other)).text();
        const { data } = JSON.parse(text);
        for (const item of data) assert.ok(!isMalformed(item), how);
        assert.ok(!text.includes(usual[0] ?? ""), how);
        const marks: Partial<Record<typeof how, RegExp>> = {
          nicknameNul: /\\u0000/,
          nicknameSurrogate: /\\ud83d"/,
          exponents: /"price":"\d+E-\d"/,
          tinyExponent: /"surplusAmount":"1E-8"/,
          longFraction: /"price":"\d+\.\d{30}"/,
          advNoNumber: /"advNo":\d{17,20},/,
          numbersAsNumbers: /"price":[\d.]+,/,
          wrongTypes: /"payTimeLimit":"\d+"/,
          methodsMissing: /^(?!.*tradeMethods)/,
        };
        assert.match(text, marks[how] ?? /^/);
      });
    }
  });
});

Deno.test("by rate, offers are spoiled for their whole life, and book() tells which and how", async () => {
  let now = NOON;
  const faults = { malformedOffers: 0.2, awkwardOffers: 0.2 };
  const simulator = await startSimulator({ offers: 20_000, now: () => now, faults });
  try {
    const book = simulator.market.book("VES", "USDT", "SELL");
    const count = (state: string): number => book.filter((item) => item.state === state).length;
    assert.ok(Math.abs(count("malformed") / book.length - 0.2) < 0.08);
    assert.ok(Math.abs(count("awkward") / book.length - 0.16) < 0.08);
    const { data } = JSON.parse(await (await ask(simulator)).text());
    const promoted = book.some((item) => item.promoted) ? 1 : 0;
    assert.deepEqual(data.slice(promoted), book.slice(0, 20).map((item) => item.item));
    for (const { item, state, how, sent, text, promoted } of book) {
      assert.equal(isMalformed(item), state === "malformed", how);
      assert.equal(sent === undefined, state === "malformed");
      if (state === "malformed") assert.ok(!promoted);
      else assert.ok(sent && text.includes(sent.advNo) && text.includes(sent.price), how);
    }
    const names = new Map<string, string>();
    for (const { sent } of book) {
      if (sent === undefined) continue;
      assert.equal(
        names.get(sent.userNo) ?? sent.nickName,
        sent.nickName,
        "one advertiser, one name",
      );
      names.set(sent.userNo, sent.nickName);
    }
    assert.ok([...names.values()].includes("nul\0inside"));
    now += 30_000;
    const later = new Map(
      simulator.market.book("VES", "USDT", "SELL").map((item) => [item.sent?.advNo, item.how]),
    );
    for (const { sent, how } of book) {
      if (sent !== undefined && later.has(sent.advNo)) assert.equal(later.get(sent.advNo), how);
    }
  } finally {
    await simulator.close();
  }
});

Deno.test("each rate takes its share of the chances", () => {
  const chances = Array.from({ length: 1_000 }, (_, i) => (i + 0.5) / 1_000);
  const kinds = chances.map((chance) => faultByChance({ reset: 0.1, refused: 0.05 }, chance)?.kind);
  assert.equal(kinds.filter((kind) => kind === "reset").length, 100);
  assert.equal(kinds.filter((kind) => kind === "refused").length, 50);
  assert.equal(faultByChance({ malformedOffers: 1 }, 0), undefined);
});

Deno.test("by rate, the same requests fail for the same seed, and faultFor wins", async () => {
  const faults = { forbidden: 0.3, serverError: 0.2 };
  const run = async (seed: number): Promise<number[]> => {
    const faultFor = ({ number }: { number: number }): Fault | undefined =>
      number === 1 ? { kind: "tooManyRequests" } : undefined;
    const simulator = await startSimulator({
      offers: 500,
      seed,
      now: () => NOON,
      faults,
      faultFor,
    });
    try {
      const statuses: number[] = [];
      for (let i = 0; i < 100; i++) {
        const response = await ask(simulator);
        await response.body?.cancel();
        statuses.push(response.status);
      }
      return statuses;
    } finally {
      await simulator.close();
    }
  };
  const statuses = await run(1);
  assert.equal(statuses[0], 429);
  assert.ok(Math.abs(statuses.filter((status) => status === 403).length - 30) < 15);
  assert.ok(Math.abs(statuses.filter((status) => status >= 500).length - 20) < 15);
  assert.deepEqual(await run(1), statuses);
  assert.notDeepEqual(await run(2), statuses);
});

Deno.test("--faults: all, single rates, the later wins; a wrong name or rate lists what there is", () => {
  assert.deepEqual(parseFaults(""), {});
  assert.deepEqual(parseFaults("all"), MODEST_RATES);
  assert.deepEqual(parseFaults(" reset=0.02, refused=1 "), { reset: 0.02, refused: 1 });
  assert.deepEqual(parseFaults("all,timeout=0"), { ...MODEST_RATES, timeout: 0 });
  for (
    const wrong of [
      "rest=0.1",
      "reset",
      "reset=",
      "reset=2",
      "reset=-1",
      "reset=x",
      "reset=0=1",
      "toString=1",
    ]
  ) {
    assert.throws(
      () => parseFaults(wrong),
      (error) => error instanceof UsageError && (error.hint ?? "").includes("--faults reset"),
      wrong,
    );
  }
  assert.throws(
    () => parseFaults("rest=0.1"),
    (error) =>
      error instanceof UsageError &&
      Object.keys(MODEST_RATES).every((n) => error.hint?.includes(n)),
  );
});
