import assert from "node:assert/strict";
import { binance } from "../../src/exchange/binance.ts";
import type {
  Ask,
  Discovery,
  DiscoveryOptions,
  ListedMarket,
} from "../../src/exchange/exchange.ts";
import { ExchangeClosed } from "../../src/extract/access.ts";

/** Answers by the last part of the path, then by the fiat that was asked for; what is missing fails. */
interface Scene {
  readonly list?: unknown;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly filters?: Readonly<Record<string, unknown>>;
  readonly pairs?: unknown;
}

const PAIRS = "/bapi/c2c/v2/public/c2c/asset-order/getAllSupportAsset";

const ok = (data: unknown) => ({ code: "000000", success: true, data });
const fiats = (...codes: string[]) =>
  ok(codes.map((currencyCode) => ({ currencyCode, countryCode: currencyCode.slice(0, 2) })));
const side = (name: string, ...assets: unknown[]) => ({
  side: name,
  assets: assets.map((asset) => typeof asset === "string" ? { asset, description: null } : asset),
});
const area = (name: string, ...tradeSides: unknown[]) => ({ area: name, tradeSides });
const config = (...areas: unknown[]) => ok({ areas });
const usdt = config(area("P2P", side("BUY", "USDT"), side("SELL", "USDT")));
const noP2p = config(area("EXPRESS", side("BUY", "USDT")));

function askOf(scene: Scene, calls: string[]): Ask {
  return (request, read) => {
    const { fiat } = request.body as { fiat?: string };
    const call = new URL(request.url).pathname.split("/").at(-1) ?? "";
    calls.push(fiat === undefined ? call : `${call} ${fiat}`);
    assert.equal(request.method, "POST");
    const answer = call === "fiat-list"
      ? scene.list
      : call === "config"
      ? scene.config?.[fiat ?? ""]
      : call === "filter-conditions"
      ? scene.filters?.[fiat ?? ""]
      : scene.pairs;
    return answer === undefined
      ? Promise.reject(new Error(`${calls.at(-1)} failed`))
      : Promise.resolve().then(() => read(answer));
  };
}

async function discover(
  scene: Scene,
  { pairs, ...options }: Partial<DiscoveryOptions> & { pairs?: string } = {},
): Promise<Discovery & { calls: string[] }> {
  const calls: string[] = [];
  const exchange = binance({ baseUrl: "http://x", search: "/s", pairs });
  const discovery = await exchange.discoverMarkets(askOf(scene, calls), {
    fiats: undefined,
    knownFiats: [],
    freshFiats: [],
    concurrency: 1,
    ...options,
  });
  return { ...discovery, calls };
}

const named = (markets: readonly ListedMarket[]) =>
  markets.map(({ fiat, asset, side }) => `${fiat}/${asset} ${side}`);

Deno.test("fiat-list, then the configuration of each; unlisted and known fiats too, each once", async () => {
  const all = { VES: usdt, ARS: usdt, NGN: usdt, GHS: usdt, XAF: usdt };
  const found = await discover(
    { list: fiats("VES", "ARS", "NGN", "VES"), config: all },
    { knownFiats: ["ARS", "XAF"] },
  );
  assert.deepEqual(found.calls, [
    "fiat-list",
    ...["VES", "ARS", "NGN", "GHS", "XAF"].map((fiat) => `config ${fiat}`),
  ]);
  assert.deepEqual(named(found.markets).slice(0, 2), ["VES/USDT BUY", "VES/USDT SELL"]);
  assert.equal(found.markets.length, 10);
  assert.deepEqual(found.covered, ["VES", "ARS", "NGN", "GHS", "XAF", "*"]);
  assert.deepEqual(found.problems, []);
  assert.deepEqual(found.fiats[0], { code: "VES", country: "VE" });
});

Deno.test("fresh fiats are not asked again; the list of fiats is", async () => {
  const scene = { list: fiats("VES", "ARS"), config: { ARS: usdt } };
  const found = await discover(scene, { freshFiats: ["VES", "NGN", "GHS"], knownFiats: ["VES"] });
  assert.deepEqual(found.calls, ["fiat-list", "config ARS"]);
  assert.deepEqual([found.covered, found.missed], [["ARS", "*"], []]);
  assert.deepEqual(found.fiats.map(({ code }) => code), ["VES", "ARS"]);

  const fresh = ["VES", "ARS", "NGN", "GHS"];
  const nothing = await discover(scene, { freshFiats: fresh, pairs: PAIRS });
  assert.deepEqual(nothing.calls, ["fiat-list"], "the pairs are no substitute for nothing to ask");
});

Deno.test("named fiats only: no fiat-list, and not everything is covered", async () => {
  const found = await discover({ config: { VES: usdt } }, { fiats: ["VES"], knownFiats: ["ARS"] });
  assert.deepEqual(found.calls, ["config VES"]);
  assert.deepEqual(found.covered, ["VES"]);
  assert.deepEqual(found.fiats, []);
});

const listings: [title: string, answer: unknown, markets: string[]][] = [
  [
    "the area is found by its name: EXPRESS first",
    config(
      area("EXPRESS", side("BUY", "BTC")),
      area("P2P", side("BUY", "USDT")),
      area("BLOCK", side("SELL", "ETH")),
    ),
    ["RUB/USDT BUY"],
  ],
  ["a fiat without P2P", noP2p, []],
  ["no areas at all", config(), []],
  ["asset = fiat", config(area("P2P", side("SELL", "RUB"))), ["RUB/RUB SELL"]],
  [
    "sides and assets of odd forms are left out",
    config(
      area("P2P", side("buy", "USDT"), side("BUY", "USDT", null, {}, { asset: 7 }, "us dt"), null),
      null,
      area("P2P"),
      "P2P",
    ),
    ["RUB/USDT BUY"],
  ],
];
for (const [title, answer, expected] of listings) {
  Deno.test(title, async () => {
    const found = await discover({ config: { RUB: answer } }, { fiats: ["RUB"] });
    assert.deepEqual(named(found.markets), expected);
    assert.deepEqual(found.covered, ["RUB"], "an answer that was read covers its fiat");
  });
}

Deno.test("names come from the descriptions of any area", async () => {
  const described = { asset: "BTC", description: "Bitcoin" };
  const odd = { asset: "ETH", description: "E\u0000ther\uD800" };
  const answer = config(
    area("EXPRESS", side("BUY", described)),
    area("P2P", side("SELL", "BTC", odd, "BNB")),
  );
  const { markets } = await discover({ config: { EUR: answer } }, { fiats: ["EUR"] });
  assert.deepEqual(
    markets.map(({ asset, assetName }) => [asset, assetName]),
    [["BTC", "Bitcoin"], ["ETH", "Ether\uFFFD"], ["BNB", undefined]],
  );
});

for (
  const [title, list] of [
    ["fails", undefined],
    ["is empty", fiats()],
    ["is null", ok(null)],
    [
      "names nothing that is a code",
      ok([{ currencyCode: "us dollar" }, { currencyCode: 5 }, "EUR"]),
    ],
    ["is refused", { code: "000002", success: false, message: "illegal parameter" }],
  ] as const
) {
  Deno.test(`where fiat-list ${title}, known fiats stand in, and not all is covered`, async () => {
    const scene = { list, config: { VES: usdt, NGN: usdt, GHS: noP2p } };
    const found = await discover(scene, { knownFiats: ["VES"] });
    assert.deepEqual([...found.covered].sort(), ["GHS", "NGN", "VES"]);
    assert.deepEqual(found.problems.map(({ fiat }) => fiat), [undefined]);
  });
}

Deno.test("a fiat that fails keeps what was known: it is missed, and not covered", async () => {
  const scene = { list: fiats("VES", "ARS"), config: { VES: usdt, NGN: noP2p, GHS: ok([]) } };
  const found = await discover(scene);
  assert.deepEqual(found.covered, ["VES", "NGN", "*"]);
  assert.deepEqual(found.missed, ["ARS", "GHS"]);
  assert.deepEqual(found.problems.map(({ fiat, error }) => `${fiat} ${error.message}`), [
    "ARS config ARS failed",
    "GHS the configuration of GHS lists no areas",
  ]);
});

Deno.test("while the breaker is open no further fiat is asked; all are missed", async () => {
  const exchange = binance({ baseUrl: "http://x", search: "/s", pairs: undefined });
  const codes = Array.from({ length: 50 }, (_, index) => `F${index}`);
  let calls = 0;
  const ask: Ask = () => {
    calls++;
    return Promise.reject(new ExchangeClosed("binance", "HTTP 500", 10));
  };
  const discovery = await exchange.discoverMarkets(ask, {
    fiats: codes,
    knownFiats: [],
    freshFiats: [],
    concurrency: 4,
  });
  assert.equal(calls, 4);
  assert.deepEqual(discovery.missed, codes);
});

Deno.test("nothing can be had: nothing is covered", async () => {
  const found = await discover({});
  assert.deepEqual(found.covered, []);
  assert.deepEqual(found.markets, []);
  assert.deepEqual(found.problems.map(({ fiat }) => fiat), [undefined, "NGN", "GHS"]);
});

Deno.test("the pairs stand in where no fiat can be read, and only there", async () => {
  const pairs = ok([{ asset: "USDT", fiat: "VES" }, { asset: "BTC", fiatUnit: "ARS" }, { a: 1 }]);
  const found = await discover({ pairs }, { pairs: PAIRS });
  assert.equal(found.calls.at(-1), "getAllSupportAsset");
  assert.deepEqual(named(found.markets), [
    "VES/USDT BUY",
    "VES/USDT SELL",
    "ARS/BTC BUY",
    "ARS/BTC SELL",
  ]);
  assert.deepEqual(found.covered, ["VES", "ARS"], "only what the pairs name");
  assert.deepEqual(found.missed, ["NGN", "GHS"]);
  assert.equal(found.problems.length, 3, "what went wrong before is told");

  const partly = await discover({ pairs, config: { NGN: usdt } }, { pairs: PAIRS });
  assert(!partly.calls.includes("getAllSupportAsset"));
  assert.deepEqual(partly.covered, ["NGN"]);
});

for (const pairs of [undefined, ok([]), ok(null), ok([{ asset: "us dt", fiat: "VES" }]), {}]) {
  Deno.test(`pairs of ${JSON.stringify(pairs)} cover nothing`, async () => {
    const found = await discover({ pairs }, { pairs: PAIRS });
    assert.deepEqual([found.covered, found.markets], [[], []]);
    assert.equal(found.problems.length, 4);
  });
}
