import assert from "node:assert/strict";
import { bybit } from "../../src/exchange/bybit.ts";
import type { Ask } from "../../src/exchange/exchange.ts";
import { BYBIT_PATH } from "../../src/simulator/bybit.ts";
import { REQUEST_FAULTS } from "../../src/simulator/fault.ts";
import {
  type Simulator,
  type SimulatorOptions,
  startSimulator,
} from "../../src/simulator/server.ts";

const NOON = 1_800_000_000_000;
const CAPTURE = new URL(
  `${
    Deno.env.get("CAPTURES_DIR") ??
      new URL("../../../shared/captures", import.meta.url).pathname
  }/other/bybit_v5_item_online_doc_sample.json`,
  import.meta.url,
);

async function withSimulator(
  options: SimulatorOptions,
  body: (simulator: Simulator) => Promise<void>,
): Promise<void> {
  const simulator = await startSimulator({
    exchange: "bybit",
    offers: 3_000,
    now: () => NOON,
    ...options,
  });
  try {
    await body(simulator);
  } finally {
    await simulator.close();
  }
}

const exchangeOf = ({ url }: Simulator) => bybit({ baseUrl: url, search: BYBIT_PATH.search });

const ask: Ask = async ({ method, url, body }, read) => {
  const response = await fetch(url, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return read(await response.json());
};

interface Ad {
  readonly id: string;
  readonly side: number;
  readonly price: string;
}

Deno.test("paging through a market yields its book, and ads of the side that belongs to it", async () => {
  await withSimulator({}, async (simulator) => {
    const exchange = exchangeOf(simulator);
    for (const [side, adSide] of [["BUY", 1], ["SELL", 0]] as const) {
      const book = simulator.market.book("VES", "USDT", side);
      const ads: Ad[] = [];
      for (let page = 1; page === 1 || ads.length === (page - 1) * 20; page++) {
        await ask(
          exchange.searchRequest({ fiat: "VES", asset: "USDT", side }, page),
          (document) => {
            const { total } = exchange.readPage(document);
            assert.ok(Math.abs((total ?? 0) - book.length) <= 2);
            ads.push(...(document as { result: { items: Ad[] } }).result.items);
          },
        );
      }
      assert.deepEqual(ads.map(({ id }) => id), book.map((item) => item.sent?.advNo));
      assert.ok(ads.length > 40 && ads.every((ad) => ad.side === adSide));
    }
  });
});

Deno.test("discovery finds every market, and names the methods that the ads bear", async () => {
  await withSimulator({}, async (simulator) => {
    const exchange = exchangeOf(simulator);
    const options = { fiats: undefined, knownFiats: [], freshFiats: [], concurrency: 1 };
    const { markets, problems } = await exchange.discoverMarkets(ask, options);
    assert.deepEqual(problems, []);
    const listed = new Set(markets.map(({ fiat, asset, side }) => `${fiat}/${asset} ${side}`));
    for (const { fiat, asset, side } of simulator.market.markets) {
      assert.ok(listed.has(`${fiat.code}/${asset.symbol} ${side}`));
    }
    const { methods } = await exchange.discoverPaymentMethods(ask, ["VES"], 1);
    const named = new Set(methods.map(({ code }) => code));
    assert.ok(methods.every(({ code, name }) => /^\d+$/.test(code) && name));
    for (const { sent } of simulator.market.book("VES", "USDT", "SELL")) {
      assert.ok(sent?.methods.every((method) => named.has(method)));
    }
  });
});

Deno.test("it is the same market as Binance's, told differently", async () => {
  await withSimulator({}, async (simulator) => {
    const other = await startSimulator({ offers: 3_000, now: () => NOON });
    const prices = ({ market }: Simulator) =>
      market.book("ARS", "USDT", "BUY").map(({ sent }) => [sent?.advNo, sent?.price, sent?.userNo]);
    assert.deepEqual(prices(simulator), prices(other));
    await other.close();
  });
});

Deno.test("a market that does not exist is empty; more than 30 rows, and nonsense, are refused", async () => {
  await withSimulator({}, async (simulator) => {
    const { readPage } = exchangeOf(simulator);
    const search = (more: Record<string, unknown>) =>
      ask({
        method: "POST",
        url: simulator.url + BYBIT_PATH.search,
        body: { tokenId: "USDT", currencyId: "VES", side: "1", size: "20", page: "1", ...more },
      }, readPage);
    assert.deepEqual(await search({ tokenId: "NONE" }), { items: 0, total: 0, offerIds: [] });
    assert.equal((await search({ size: 30 })).items, 30);
    for (
      const bad of [{ size: "31" }, { size: "0" }, { page: "0" }, { side: "BUY" }, { tokenId: 1 }]
    ) {
      await assert.rejects(search(bad), { problem: "refused" });
    }
    for (
      const [path, method, status] of [
        [BYBIT_PATH.search, "GET", 400],
        [BYBIT_PATH.config, "POST", 400],
        ["/bapi/c2c/v2/friendly/c2c/adv/search", "POST", 404],
      ] as const
    ) {
      const response = await fetch(simulator.url + path, { method });
      assert.equal(response.status, status);
      await response.body?.cancel();
    }
  });
});

for (const kind of REQUEST_FAULTS.filter((kind) => kind !== "timeout" && kind !== "slow")) {
  Deno.test(`${kind}: no page of Bybit's`, async () => {
    const fault = kind === "oversized" ? { kind, bytes: 200_000 } as const : { kind } as const;
    await withSimulator({ faultFor: () => fault }, async (simulator) => {
      const exchange = exchangeOf(simulator);
      const request = exchange.searchRequest({ fiat: "VES", asset: "USDT", side: "SELL" }, 1);
      const read = ask(request, (document) => exchange.readPage(document));
      if (kind === "oversized") assert.equal((await read).items, 0, "200 KB of blanks");
      else await assert.rejects(read);
      assert.equal(simulator.stats.byFault[kind], 1);
    });
  });
}

function shapeOf(value: unknown, at = ""): string[] {
  if (Array.isArray(value)) return value.slice(0, 1).flatMap((child) => shapeOf(child, `${at}[]`));
  if (typeof value !== "object" || value === null) {
    return [`${at} ${value === null ? "null" : typeof value}`];
  }
  return Object.entries(value).flatMap(([key, child]) => shapeOf(child, `${at}.${key}`));
}

Deno.test({
  name: "an answer has every key of the documented one, of the same type",
  ignore: !await Deno.stat(CAPTURE).then(() => true, () => false),
  fn: async () => {
    await withSimulator({}, async (simulator) => {
      const documented = shapeOf(JSON.parse(await Deno.readTextFile(CAPTURE)));
      const exchange = exchangeOf(simulator);
      const request = exchange.searchRequest({ fiat: "VES", asset: "USDT", side: "SELL" }, 1);
      const ours = new Set(await ask(request, (document) => shapeOf(document)));
      assert.deepEqual(documented.filter((place) => !ours.has(place)), []);
    });
  },
});
