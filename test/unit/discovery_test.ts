// When the exchange is asked for its markets, and what becomes of its answer; the store is a stand-in.
import assert from "node:assert/strict";
import type { Discovery, DiscoveryOptions, Exchange } from "../../src/exchange/exchange.ts";
import { parseMarketFilter } from "../../src/exchange/market_filter.ts";
import type { MarketListStore } from "../../src/extract/market_list_store.ts";
import { refreshMarkets } from "../../src/extract/discovery.ts";
import type { Presence } from "../../src/extract/presence.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { recordLog } from "../support/log_records.ts";
import { ExchangeClosed } from "../../src/extract/access.ts";
import type { Fetcher } from "../../src/extract/fetcher.ts";

interface Scene {
  readonly markets: string;
  /** Fiats known from before; with `!` where their list is fresh. */
  readonly known?: readonly string[];
  readonly found?: Partial<Discovery>;
  /** Whether another worker is asking. */
  readonly isOthers?: boolean;
  /** Aborts while the exchange is being asked. */
  readonly stopped?: boolean;
}

interface Outcome {
  readonly asked: DiscoveryOptions | undefined;
  /** What was stored, by the name of the call. */
  readonly stored: Readonly<Record<string, unknown[]>>;
}

async function refresh(scene: Scene): Promise<Outcome> {
  let asked: DiscoveryOptions | undefined;
  const stored: Record<string, unknown[]> = {};
  const note = (name: string) => (...values: unknown[]) => {
    (stored[name] ??= []).push(...values.filter((value) => value !== "test"));
    return Promise.resolve(5);
  };
  const stop = new AbortController();
  const exchange = {
    code: "test",
    discoverMarkets: (_: unknown, options: DiscoveryOptions) => {
      asked = options;
      if (scene.stopped) stop.abort();
      return Promise.resolve({
        fiats: [],
        markets: [],
        covered: [],
        missed: [],
        problems: [],
        ...scene.found,
      });
    },
    discoverPaymentMethods: (_: unknown, fiats: string[]) =>
      Promise.resolve({
        methods: fiats.map((fiat) => ({ code: `pay ${fiat}`, name: undefined })),
        problems: [],
      }),
  } as unknown as Exchange;
  const store = {
    knownFiats: () =>
      Promise.resolve((scene.known ?? []).map((fiat) => ({
        fiat: fiat.replace("!", ""),
        isFresh: fiat.endsWith("!"),
        markets: /^(\*|XYZ)/.test(fiat) ? 0 : 2,
      }))),
    beginDiscovery: () => Promise.resolve(!scene.isOthers),
    recordDiscoveryProblem: note("problems"),
    storeMarketList: note("lists"),
    storePaymentMethods: note("methods"),
  } as unknown as MarketListStore;
  const filter = parseMarketFilter(scene.markets);
  assert(typeof filter !== "string");
  await refreshMarkets({
    served: { exchange, fetcher: {} as Fetcher },
    store,
    presence: { enter: () => Promise.resolve() } as unknown as Presence,
    filter,
    concurrency: 4,
    clock: new FakeClock(),
    signal: stop.signal,
  });
  return { asked, stored };
}

const usdt = (fiat: string) =>
  ({ fiat, asset: "USDT", side: "BUY", assetName: undefined }) as const;
const problem = (fiat: string | undefined) => ({ fiat, error: new Error(`no ${fiat}`) });

for (
  const [title, markets, known, fiats] of [
    ["nothing is known", "*/*", [], undefined],
    ["fiats are fresh, but not all of them are known", "*/*", ["VES!", "ARS!"], undefined],
    ["the list of all is old", "*/USDT", ["*", "VES!"], undefined],
    ["a named fiat is not known", "VES/*,ARS/*", ["ARS!"], ["VES"]],
    ["a named fiat is old", "VES/*", ["VES"], ["VES"]],
    ["the list is fresh, some fiats are not", "*/*", ["*!", "VES!", "ARS"], ["ARS"]],
  ] as const
) {
  Deno.test(`asked: ${title}`, async () => {
    const { asked } = await refresh({ markets, known, found: { covered: ["VES"] } });
    assert.deepEqual(asked?.fiats, fiats);
    assert.deepEqual(
      asked?.knownFiats,
      known.map((fiat) => fiat.replace("!", "")).filter((fiat) => fiat !== "*"),
    );
    const fresh = known.filter((fiat) => fiat.endsWith("!")).map((fiat) => fiat.replace("!", ""));
    assert.deepEqual(asked?.freshFiats, fresh);
    assert.equal(asked?.concurrency, 4);
  });
}

for (
  const [title, markets, known] of [
    ["all are fresh", "*/*", ["*!", "VES!"]],
    ["the named ones are fresh", "VES/USDT,VES/BTC", ["VES!", "ARS"]],
  ] as const
) {
  Deno.test(`not asked: ${title}`, async () => {
    assert.deepEqual(await refresh({ markets, known }), { asked: undefined, stored: {} });
  });
}

Deno.test("not asked: another worker of the fleet does", async () => {
  const { asked } = await refresh({ markets: "*/*", isOthers: true });
  assert.equal(asked, undefined);
});

Deno.test("what was never sent, because the exchange is closed, is no problem of a fiat", async () => {
  const closed = { fiat: "VES", error: new ExchangeClosed("test", "time-outs", 10) };
  const { stored } = await refresh({
    markets: "VES/*",
    known: ["VES"],
    found: { problems: [closed, problem("VES")] },
  });
  assert.equal(stored["problems"]?.length, 2, "one problem, with its fiat");
});

Deno.test("what was found is stored, with the payment methods of its fiats", async () => {
  const markets = [usdt("VES"), usdt("ARS"), usdt("VES")];
  const found = {
    markets,
    covered: ["VES", "ARS"],
    missed: ["EUR"],
    problems: [problem(undefined), problem("EUR")],
  };
  const { stored } = await refresh({ markets: "*/*", found });
  assert.deepEqual(stored["lists"], [{ fiats: [], ...found }]);
  assert.deepEqual(stored["methods"]?.flat().map((method) => (method as { code: string }).code), [
    "pay VES",
    "pay ARS",
  ]);
  assert.equal(stored["problems"]?.length, 4, "two problems, each with its fiat");
});

Deno.test("discovery failed: markets known from before will do, and nothing is stored", async () => {
  const { stored } = await refresh({
    markets: "VES/*",
    known: ["VES"],
    found: { problems: [problem("VES")] },
  });
  assert.deepEqual(Object.keys(stored), ["problems"]);
});

Deno.test("a named fiat that the exchange does not serve keeps no other from its batch", async () => {
  const found = { problems: [problem("XYZ")], missed: ["XYZ"] };
  const { asked } = await refresh({ markets: "VES/*,XYZ/*", known: ["VES!", "XYZ"], found });
  assert.deepEqual(asked?.fiats, ["XYZ"]);
});

for (const [markets, known] of [["*/*", []], ["*/*", ["*"]], ["VES/*", ["ARS"]]] as const) {
  Deno.test(`discovery failed for ${markets}, known [${known}]: the exchange is unavailable`, async () => {
    const found = { problems: [problem("VES")] };
    await assert.rejects(refresh({ markets, known, found }), {
      name: "ExchangeError",
      exitCode: 69,
      message: /none is known from before: no VES$/,
    });
  });
}

Deno.test("being stopped is not noted as a problem of the exchange", async () => {
  const found = { problems: [problem("VES")] };
  await assert.rejects(refresh({ markets: "*/*", found, stopped: true }), { name: "AbortError" });
});

Deno.test("a discovery that fails is one line of the log: of what is known from before, else none beside the error", async () => {
  await using log = await recordLog("warning");
  const lines = () => log.records.map(({ level, message }) => `${level} ${message.join("")}`);
  const found = { problems: [problem(undefined)] };
  await assert.rejects(
    refresh({ markets: "*/*", known: [], found }),
    /none is known from before: no undefined/,
  );
  assert.deepEqual(lines(), []);
  await refresh({ markets: "*/*", known: ["VES"], found });
  assert.deepEqual(lines(), [
    "warning discovery calls failed: 1; what was known from before stays",
  ]);
});
