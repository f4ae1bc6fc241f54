import assert from "node:assert/strict";
import { World } from "../../src/simulator/market.ts";
import { fiatList, portalConfig } from "../../src/simulator/answers.ts";

const CAPTURES = Deno.env.get("CAPTURES_DIR") ??
  new URL("../../../shared/captures", import.meta.url).pathname;

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

const ignore = !exists(CAPTURES);
const NOON = 1_800_000_000_000;

function world(): World {
  return new World({ seed: 1, offers: 50_000, tickSeconds: 30, now: () => NOON, faults: {} });
}

function kind(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value === "number"
    ? (Number.isInteger(value) ? "integer" : "fraction")
    : typeof value;
}

/** Keys of an object in their order, those of the objects below it too. */
function keys(item: unknown, at = ""): string[] {
  if (typeof item !== "object" || item === null || Array.isArray(item)) return [at];
  return Object.entries(item).flatMap(([key, value]) => keys(value, `${at}.${key}`));
}

/** Which kinds of value stand where, over all items; those of lists in one. */
function kinds(items: readonly unknown[]): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const visit = (value: unknown, at: string): void => {
    found.set(at, (found.get(at) ?? new Set()).add(kind(value)));
    if (Array.isArray(value)) value.forEach((child) => visit(child, `${at}[]`));
    else if (typeof value === "object" && value !== null) {
      for (const [key, child] of Object.entries(value)) visit(child, `${at}.${key}`);
    }
  };
  items.forEach((item) => visit(item, ""));
  return found;
}

function recorded(file: string): { lado: string; anuncios: unknown[] }[] {
  return Deno.readTextFileSync(`${CAPTURES}/binance-2026/${file}`).trim().split("\n")
    .map((line) => JSON.parse(line));
}

function simulated(): unknown[] {
  const market = world();
  return ["USD", "BOB"].flatMap((fiat) =>
    (["BUY", "SELL"] as const).flatMap((side) =>
      market.book(fiat, "USDT", side).map((item) => item.item)
    )
  );
}

Deno.test({
  name: "an offer has the keys of the latest recording, in their order",
  ignore,
  fn: () => {
    const usual = (items: readonly unknown[]): Set<string> =>
      // A pro merchant has an object where others have null.
      new Set(
        items.map((item) => keys(item).filter((key) => !/merchant(Logo|Desc)/.test(key)).join()),
      );
    const real = usual(recorded("2026-08-07.jsonl").flatMap((read) => read.anuncios));
    for (const shape of usual(simulated())) {
      if (!shape.includes("proMerchant")) continue;
      assert.ok(real.has(shape), shape);
    }
  },
});

Deno.test({
  name: "every value is of a kind that was recorded at its place",
  ignore,
  fn: () => {
    const files = ["2026-07-29.jsonl", "2026-07-30.jsonl", "2026-08-01.jsonl", "2026-08-07.jsonl"];
    const real = kinds(files.flatMap(recorded).flatMap((read) => read.anuncios));
    const ours = kinds(simulated());
    // 1.0 is an integer to JavaScript, in both.
    for (const [place, found] of ours) {
      const known = real.get(place);
      assert.ok(known, `nobody has seen ${place}`);
      for (const one of found) {
        assert.ok(known.has(one), `${place} is ${one}, seen were ${[...known]}`);
      }
    }
    for (const place of real.keys()) {
      // One page in fifty holds a pro merchant, which these books need not.
      if (!place.includes(".proMerchant.")) assert.ok(ours.has(place), `${place} is missing`);
    }
  },
});

Deno.test({
  name: "discovery has the shape of the recordings",
  ignore,
  fn: () => {
    const read = (name: string): unknown =>
      JSON.parse(Deno.readTextFileSync(`${CAPTURES}/${name}`));
    const real = kinds([
      read("discovery/easypeezy_portal-config_CNY_2022-06.json"),
      read("binance-2022/binance_c2c_buy_kzt_00_portal-config_KZT__.json"),
      read("binance-2022/binance_c2c_sell_rub_00_portal-config_RUB__.json"),
    ]);
    const ours = kinds([JSON.parse(portalConfig(world(), new Map([["fiat", "CNY"]])))]);
    assert.deepEqual([...ours.keys()].sort(), [...real.keys()].sort());
    const listed: { data: { currencyCode: string }[] } = JSON.parse(fiatList());
    assert.deepEqual(
      listed.data.map((fiat) => fiat.currencyCode).sort(),
      [read("discovery/fiat_list_codes_2025-12-03.json")].flat().sort(),
    );
  },
});
