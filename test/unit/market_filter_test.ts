import assert from "node:assert/strict";
import {
  type MarketFilter,
  namedFiats,
  parseMarketFilter,
  wants,
} from "../../src/exchange/market_filter.ts";

function filter(text: string): MarketFilter {
  const parsed = parseMarketFilter(text);
  assert(typeof parsed !== "string", parsed as string);
  return parsed;
}

Deno.test("pairs, stars, blanks and small letters are read", () => {
  assert.deepEqual(filter("VES/USDT,ARS/*"), [
    { fiat: "VES", asset: "USDT" },
    { fiat: "ARS", asset: "*" },
  ]);
  assert.deepEqual(filter("  ves/usdt ,\n\t*/Btc "), [
    { fiat: "VES", asset: "USDT" },
    { fiat: "*", asset: "BTC" },
  ]);
  assert.deepEqual(filter("*/*"), [{ fiat: "*", asset: "*" }]);
  assert.deepEqual(filter("RUB/RUB,XOF/1INCH").length, 2);
});

for (
  const text of [
    "",
    ",",
    "VES",
    "*",
    "VES/",
    "/USDT",
    "VES/USDT,",
    "VES/USDT,,ARS/*",
    "VES/USDT;ARS/*",
    "VES/USDT ARS/*",
    "VES-USDT",
    "VES/USDT/BUY",
    "V*/USDT",
    "**/USDT",
    "VES/US'DT",
    '"VES/USDT"',
    "VЕS/USDT", // the second letter is Cyrillic
    `${"A".repeat(21)}/USDT`,
  ]
) {
  Deno.test(`${JSON.stringify(text)} is refused with an example`, () => {
    const sentence = parseMarketFilter(text);
    assert(typeof sentence === "string");
    assert.match(sentence, /^must be like VES\/USDT,ARS\/\* \(fiat before asset\), not "/);
  });
}

Deno.test("a filter wants what any of its entries wants", () => {
  const some = filter("VES/USDT,ARS/*,*/BTC");
  const asked = [["VES", "USDT"], ["VES", "ETH"], ["ARS", "ETH"], ["EUR", "BTC"], ["EUR", "ETH"]];
  assert.deepEqual(
    asked.map(([fiat = "", asset = ""]) => wants(some, fiat, asset)),
    [true, false, true, true, false],
  );
  assert(wants(filter("*/*"), "EUR", "ETH"));
  assert(!wants(filter("USDT/VES"), "VES", "USDT"), "fiat comes first");
});

Deno.test("the fiats a filter names, each once; all where one entry says so", () => {
  assert.deepEqual(namedFiats(filter("VES/USDT,ARS/*,VES/BTC")), ["VES", "ARS"]);
  assert.equal(namedFiats(filter("VES/USDT,*/BTC")), undefined);
});
