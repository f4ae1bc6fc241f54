import assert from "node:assert/strict";
import { ConfigurationError } from "../../src/errors.ts";
import { PATH } from "../../src/simulator/answers.ts";
import {
  type Simulator,
  type SimulatorOptions,
  startSimulator,
} from "../../src/simulator/server.ts";

const NOON = 1_800_000_000_000;

interface Item {
  readonly adv: { readonly advNo: string; readonly price: string; readonly tradeType: string };
  readonly privilegeType: number | null;
  readonly privilegeDesc: string | null;
}
interface Answer {
  readonly code: string;
  readonly message: string | null;
  readonly data: Item[];
  readonly total: number;
  readonly success: boolean;
}

/** Runs `body` against a simulator that stands still, and closes it. */
async function withSimulator(
  options: SimulatorOptions,
  body: (simulator: Simulator) => Promise<void>,
): Promise<void> {
  const simulator = await startSimulator({ offers: 5_000, now: () => NOON, ...options });
  try {
    await body(simulator);
  } finally {
    await simulator.close();
  }
}

async function post<T = Answer>(simulator: Simulator, path: string, body: unknown): Promise<T> {
  const response = await fetch(simulator.url + path, {
    method: "POST",
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "application/json");
  return await response.json();
}

function search(fiat: string, tradeType: string, page: number, rows = 20, asset = "USDT"): unknown {
  return { fiat, asset, tradeType, page, rows };
}

Deno.test("paging through a market yields its book, each offer once beside the promoted ad", async () => {
  await withSimulator({}, async (simulator) => {
    for (const fiat of ["VES", "CNY", "UAH", "ARS", "TRY"]) {
      const book = simulator.market.book(fiat, "USDT", "SELL");
      const promoted = book.filter((item) => item.promoted).length;
      const items: Item[] = [];
      const totals = new Set<number>();
      for (let page = 1;; page++) {
        const answer = await post(simulator, PATH.search, search(fiat, "SELL", page));
        assert.equal(answer.code, "000000");
        if (answer.data.length === 0) break;
        const usual = Math.min(20, book.length - (page - 1) * 20);
        assert.equal(answer.data.length, usual + (page === 1 ? promoted : 0));
        assert.ok(Math.abs(answer.total - book.length) <= 2);
        totals.add(answer.total);
        items.push(...answer.data);
      }
      const own = items.slice(promoted);
      assert.deepEqual(own.map((item) => item.adv.advNo), book.map((item) => item.sent?.advNo));
      assert.ok(own.every((item) => item.adv.tradeType === "BUY"), "the ad speaks for its owner");
      if (own.length > 100) assert.ok(totals.size > 1, "the total moves between pages");
      if (promoted === 0) continue;
      assert.equal(items[0]?.privilegeType, 8);
      assert.equal(items[0]?.privilegeDesc, "Promoted Ad");
      assert.equal(own.filter((item) => item.adv.advNo === items[0]?.adv.advNo).length, 1);
      assert.ok(own.every((item) => item.privilegeType !== 8));
    }
  });
});

Deno.test("six of ten large books begin with a promoted ad, mostly out of order", async () => {
  let now = NOON;
  await withSimulator({ now: () => now }, async (simulator) => {
    let promoted = 0;
    let first = 0;
    for (let i = 0; i < 100; i++, now += 30_000) {
      const { data } = await post(simulator, PATH.search, search("VES", "BUY", 1));
      if (data.length === 21) {
        promoted++;
        assert.equal(data[0]?.privilegeType, 8);
        if (Number(data[0]?.adv.price) > Number(data[1]?.adv.price)) first++;
      }
      const praised = data.filter((item) => item.privilegeType === 1);
      assert.ok(praised.length === 0 || (praised.length === 1 && praised[0] === data[0]));
    }
    assert.ok(promoted > 40 && promoted < 80, String(promoted));
    assert.ok(first > promoted * 0.8);
  });
});

Deno.test("what a search may not say is refused with HTTP 200, a GET with 400", async () => {
  await withSimulator({}, async (simulator) => {
    const bad: unknown[] = [
      search("VES", "SELL", 1, 21),
      search("VES", "SELL", 1, 0),
      search("VES", "SELL", 0),
      search("VES", "sell", 1),
      { fiat: "VES" },
      [],
      "text",
      null,
    ];
    for (const body of bad) {
      const answer = await post(simulator, PATH.search, body);
      assert.equal(answer.success, false);
      assert.notEqual(answer.code, "000000");
      assert.equal(answer.message, "illegal parameter");
    }
    const cut = await fetch(simulator.url + PATH.search, { method: "POST", body: "{" });
    assert.equal((await cut.json()).success, false);
    const get = await fetch(simulator.url + PATH.search);
    assert.equal(get.status, 400);
    await get.body?.cancel();
    const none = await post(simulator, PATH.search, search("XXX", "SELL", 1));
    assert.deepEqual([none.success, none.data, none.total], [true, [], 0]);
    const past = await post(simulator, PATH.search, search("VES", "SELL", 500));
    assert.deepEqual([past.success, past.data], [true, []]);
    const dead = "/bapi/c2c/v2/public/c2c/asset-order/getAllSupportAsset";
    for (const path of [dead, "/", "/nowhere"]) {
      const missing = await fetch(simulator.url + path, { method: "POST", body: "{}" });
      assert.equal(missing.status, 404, path);
      await missing.body?.cancel();
    }
  });
});

interface Config {
  readonly data: {
    readonly fiat: string;
    readonly areas: {
      readonly area: string;
      readonly tradeSides: {
        readonly side: string;
        readonly assets: { readonly asset: string }[];
      }[];
    }[];
  };
}

Deno.test("discovery finds every market in the area P2P, wherever it stands", async () => {
  await withSimulator({}, async (simulator) => {
    const list = await post<{ data: { currencyCode: string }[] }>(simulator, PATH.fiats, {});
    const codes = list.data.map((fiat) => fiat.currencyCode);
    assert.equal(codes.length, 119);
    const known = new Set(simulator.market.markets.map((market) => market.fiat.code));
    const hidden = [...known].filter((code) => !codes.includes(code));
    assert.deepEqual(hidden, ["NGN", "GHS"]);

    const found: string[] = [];
    const firstAreas = new Set<string>();
    for (const fiat of [...codes, ...hidden]) {
      const { data } = await post<Config>(simulator, PATH.config, { fiat });
      assert.equal(data.fiat, fiat);
      firstAreas.add(data.areas[0]?.area ?? "");
      const p2p = data.areas.find((area) => area.area === "P2P");
      for (const { side, assets } of p2p?.tradeSides ?? []) {
        found.push(...assets.map(({ asset }) => `${fiat}/${asset}/${side}`));
      }
    }
    const truth = simulator.market.markets.map((m) => `${m.fiat.code}/${m.asset.symbol}/${m.side}`);
    assert.deepEqual(found.sort(), truth.sort());
    assert.deepEqual([...firstAreas].sort(), ["EXPRESS", "P2P"]);
    assert.ok(found.includes("UAH/UAH/SELL"), "an asset may equal the fiat");

    const nowhere = await post<Config>(simulator, PATH.config, { fiat: "XXX" });
    assert.deepEqual(nowhere.data.areas, []);
    assert.equal((await post(simulator, PATH.config, {})).success, false);
  });
});

Deno.test("the payment methods of offers are those of filter-conditions; some offers name one twice", async () => {
  await withSimulator({}, async (simulator) => {
    interface Filters {
      readonly data: { readonly tradeMethods: { readonly identifier: string }[] };
    }
    const { data } = await post<Filters>(simulator, PATH.filters, { fiat: "CNY" });
    const known = data.tradeMethods.map((method) => method.identifier);
    assert.equal(new Set(known).size, known.length);
    assert.ok(known.includes("BANK"));
    const lists = simulator.market.markets.filter((market) => market.fiat.code === "CNY")
      .flatMap((m) => simulator.market.book("CNY", m.asset.symbol, m.side))
      .map((item) => item.sent?.methods ?? []);
    assert.ok(lists.flat().every((identifier) => known.includes(identifier)));
    assert.ok(lists.some((list) => new Set(list).size < list.length));
  });
});

Deno.test("bodies are gzip only for a client that takes it, and the same within", async () => {
  await withSimulator({}, async (simulator) => {
    const ask = async (encoding: string): Promise<[string | null, string]> => {
      const response = await fetch(simulator.url + PATH.search, {
        method: "POST",
        body: JSON.stringify(search("VES", "SELL", 2)),
        headers: { "accept-encoding": encoding },
      });
      // Deno takes the header away when it has decompressed, so this one tells by `vary`.
      return [response.headers.get("vary"), await response.text()];
    };
    const [packed, text] = await ask("gzip");
    const [plain, same] = await ask("identity");
    assert.deepEqual([packed, plain], ["accept-encoding", null]);
    assert.equal(text, same);
  });
});

Deno.test("stats count requests, offers and how many were under way at once", async () => {
  await withSimulator({ latencyMs: 20 }, async (simulator) => {
    await Promise.all(
      [1, 2, 3].map((page) => post(simulator, PATH.search, search("VES", "SELL", page))),
    );
    await post(simulator, PATH.fiats, {});
    assert.equal(simulator.stats.requests, 4);
    assert.deepEqual(simulator.stats.byPath, { [PATH.search]: 3, [PATH.fiats]: 1 });
    const promoted = simulator.market.book("VES", "USDT", "SELL").some((item) => item.promoted);
    assert.equal(simulator.stats.offersServed, 60 + (promoted ? 1 : 0));
    assert.equal(simulator.stats.peakConcurrent, 3);
  });
});

Deno.test("too many requests a minute get what the CDN says, until the minute is over", async () => {
  let now = NOON;
  await withSimulator({ requestsPerMinute: 3, now: () => now }, async (simulator) => {
    const ask = async (): Promise<[number, string | null, string | null]> => {
      const response = await fetch(simulator.url + PATH.fiats, { method: "POST", body: "{}" });
      await response.body?.cancel();
      const { headers } = response;
      return [response.status, headers.get("retry-after"), headers.get("content-type")];
    };
    for (let i = 0; i < 3; i++) assert.equal((await ask())[0], 200);
    now += 15_000;
    assert.deepEqual(await ask(), [429, "45", "text/html"]);
    assert.equal(simulator.stats.byFault.rateLimited, 1);
    now += 45_000;
    assert.equal((await ask())[0], 200);
  });
});

Deno.test("an answer changes with the tick, and only then", async () => {
  let now = NOON;
  await withSimulator({ now: () => now }, async (simulator) => {
    const ask = async (): Promise<string> =>
      JSON.stringify(await post(simulator, PATH.search, search("CNY", "SELL", 1)));
    const first = await ask();
    now += 29_999;
    assert.equal(await ask(), first);
    now += 1;
    assert.notEqual(await ask(), first);
    now -= 30_000;
    assert.equal(await ask(), first);
  });
});

Deno.test("a signal closes it, and a port in use is a clear error", async () => {
  const controller = new AbortController();
  const simulator = await startSimulator({ offers: 100, signal: controller.signal });
  await assert.rejects(
    startSimulator({ offers: 100, port: Number(new URL(simulator.url).port) }),
    (error) => error instanceof ConfigurationError && /Cannot listen/.test(error.message),
  );
  controller.abort();
  await simulator.close();
  await assert.rejects(fetch(simulator.url));
  await assert.rejects(startSimulator({ signal: controller.signal }));
});
