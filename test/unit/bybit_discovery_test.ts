import assert from "node:assert/strict";
import { bybit } from "../../src/exchange/bybit.ts";
import type {
  Ask,
  Discovery,
  DiscoveryOptions,
  HttpRequest,
  PaymentMethod,
} from "../../src/exchange/exchange.ts";

const exchange = bybit({ baseUrl: "http://x", search: "/s" });

/** Answers of both calls; what is missing fails. */
interface Scene {
  readonly config?: unknown;
  readonly payments?: unknown;
}

const ok = (result: unknown) => ({ ret_code: 0, ret_msg: "SUCCESS", result });
const pairs = (...names: string[]) =>
  names.map((name) => {
    const [currencyId, tokenId] = name.split("/");
    return { currencyId, tokenId, status: 1, tradeSide: 9 };
  });

function askOf(scene: Scene, requests: HttpRequest[]): Ask {
  return (request, read) => {
    requests.push(request);
    const answer = request.url.endsWith("/config/initial") ? scene.config : scene.payments;
    return answer === undefined
      ? Promise.reject(new Error("no answer"))
      : Promise.resolve().then(() => read(answer));
  };
}

async function discover(
  scene: Scene,
  options: Partial<DiscoveryOptions> = {},
): Promise<Discovery & { names: string[]; requests: HttpRequest[] }> {
  const requests: HttpRequest[] = [];
  const discovery = await exchange.discoverMarkets(askOf(scene, requests), {
    fiats: undefined,
    knownFiats: [],
    freshFiats: [],
    concurrency: 1,
    ...options,
  });
  const names = discovery.markets.map(({ fiat, asset, side }) => `${fiat}/${asset} ${side}`);
  return { ...discovery, names, requests };
}

Deno.test("one call lists every pair, on both sides, each once", async () => {
  const found = await discover({
    config: ok({
      symbols: [...pairs("VES/USDT", "VES/BTC", "VES/USDT", "EUR/USDT"), null, {}, "x"],
      currencies: [{ currencyId: "VES" }, { currencyId: "KZT" }],
    }),
  });
  assert.deepEqual(found.requests, [{ method: "GET", url: "http://x/fiat/p2p/config/initial" }]);
  assert.deepEqual(found.names, [
    "VES/USDT BUY",
    "VES/USDT SELL",
    "VES/BTC BUY",
    "VES/BTC SELL",
    "EUR/USDT BUY",
    "EUR/USDT SELL",
  ]);
  assert.deepEqual(found.fiats.map(({ code }) => code), ["VES", "EUR", "KZT"]);
  assert.deepEqual(found.covered, ["VES", "EUR", "KZT", "*"]);
  assert.deepEqual([found.missed, found.problems], [[], []]);
});

Deno.test("a fiat that is no longer listed is covered too: its markets are gone", async () => {
  const { covered } = await discover(
    { config: ok({ symbols: pairs("VES/USDT") }) },
    { knownFiats: ["ARS", "VES"], freshFiats: ["VES"] },
  );
  assert.deepEqual([...covered].sort(), ["*", "ARS", "VES"]);
});

Deno.test("where fiats are named, the others are left out", async () => {
  const found = await discover(
    { config: ok({ symbols: pairs("VES/USDT", "EUR/USDT") }) },
    { fiats: ["EUR", "XXX"] },
  );
  assert.deepEqual(found.names, ["EUR/USDT BUY", "EUR/USDT SELL"]);
  assert.deepEqual(found.covered, ["EUR", "XXX", "*"]);
});

Deno.test("codes that are none are not asked for", async () => {
  const { names } = await discover({
    config: ok({ symbols: [...pairs("VES/USDT", "ves/USDT", "VES/U.S"), { currencyId: 7 }] }),
  });
  assert.deepEqual(names, ["VES/USDT BUY", "VES/USDT SELL"]);
});

const payments = (map: unknown, list: unknown = []) =>
  ok({ currencyPaymentIdMap: map, paymentConfigVo: list });

Deno.test("without the list, fiats with ways to pay are tried with the usual tokens", async () => {
  const found = await discover({ payments: payments('{"VES":[1,2],"EUR":[],"bad code":[1]}') });
  assert.deepEqual(found.requests.map(({ method }) => method), ["GET", "POST"]);
  assert.equal(found.names.length, 2 * 4 * 2);
  assert.ok(found.names.includes("EUR/ETH SELL"));
  assert.deepEqual(found.covered, ["VES", "EUR"], "the list of all fiats was not read");
  assert.equal(found.problems.length, 1);
});

Deno.test("… of those that are asked for, and the others are missed", async () => {
  const found = await discover({ payments: payments({ VES: [1] }) }, { fiats: ["VES", "KZT"] });
  assert.deepEqual([found.covered, found.missed], [["VES"], ["KZT"]]);
  assert.equal(found.names.length, 8);
});

Deno.test("what is known stays as it is when the list fails", async () => {
  const found = await discover({ payments: payments({ VES: [1] }) }, {
    fiats: ["KZT"],
    knownFiats: ["VES"],
  });
  assert.equal(found.requests.length, 1, "nothing is guessed");
  assert.deepEqual([found.names, found.covered, found.missed], [[], [], ["KZT"]]);
});

for (
  const config of [
    ok({ symbols: [] }),
    ok({}),
    ok(null),
    { ret_code: 10016, ret_msg: "Internal System Error." },
    "<html>",
  ]
) {
  Deno.test(`${JSON.stringify(config)} is no list of markets`, async () => {
    for (const map of ["{", "[]", 7, null, "{}"]) {
      const found = await discover({ config, payments: payments(map) });
      assert.deepEqual([found.names, found.covered], [[], []]);
      assert.equal(found.problems.length, 2);
    }
  });
}

async function methodsOf(
  answer: unknown,
  fiats = ["VES"],
): Promise<{ methods: readonly PaymentMethod[]; problems: number; requests: HttpRequest[] }> {
  const requests: HttpRequest[] = [];
  const ask = askOf({ payments: answer }, requests);
  const { methods, problems } = await exchange.discoverPaymentMethods(ask, fiats, 1);
  return { methods, problems: problems.length, requests };
}

Deno.test("one call names the payment methods of all fiats", async () => {
  const { methods, requests, problems } = await methodsOf(
    payments("{}", [
      { paymentType: 14, paymentName: "Bank Transfer" },
      { paymentType: "377", paymentName: " Wise " },
      { paymentType: "90", paymentName: null },
      { paymentName: "nameless" },
      null,
    ]),
    ["VES", "EUR"],
  );
  assert.deepEqual(methods, [
    { code: "14", name: "Bank Transfer" },
    { code: "377", name: "Wise" },
    { code: "90", name: undefined },
  ]);
  assert.deepEqual(requests, [{
    method: "POST",
    url: "http://x/fiat/otc/configuration/queryAllPaymentList",
    body: {},
  }]);
  assert.equal(problems, 0);
});

Deno.test("payment methods that cannot be had are a problem, and no more", async () => {
  for (const answer of [undefined, ok({}), ok({ paymentConfigVo: {} }), { ret_code: 1 }]) {
    const { methods, problems } = await methodsOf(answer);
    assert.deepEqual([methods, problems], [[], 1]);
  }
  assert.equal((await methodsOf(undefined, [])).requests.length, 0);
});
