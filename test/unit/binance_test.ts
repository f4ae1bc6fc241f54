import assert from "node:assert/strict";
import { binance } from "../../src/exchange/binance.ts";
import type { Exchange, Market } from "../../src/exchange/exchange.ts";

const SEARCH = "/bapi/c2c/v2/friendly/c2c/adv/search";
const MARKET: Market = { fiat: "VES", asset: "USDT", side: "SELL" };

function at(baseUrl: string, search = SEARCH): Exchange {
  return binance({ baseUrl, search, pairs: undefined });
}

for (
  const [base, search, url] of [
    ["https://p2p.binance.com", SEARCH, `https://p2p.binance.com${SEARCH}`],
    ["https://p2p.binance.com/", SEARCH, `https://p2p.binance.com${SEARCH}`],
    ["http://127.0.0.1:8080///", SEARCH, `http://127.0.0.1:8080${SEARCH}`],
    ["http://proxy/binance", SEARCH, `http://proxy/binance${SEARCH}`],
    ["http://proxy/a/b/", "/search?v=2", "http://proxy/a/b/search?v=2"],
    ["http://proxy/a", "//elsewhere/search", "http://proxy/a//elsewhere/search"],
    ["http://proxy/a", "https://mirror.example/s", "https://mirror.example/s"],
    ["HTTP://Proxy:80", "/s", "http://proxy/s"],
  ] as const
) {
  Deno.test(`${base} and ${search} make ${url}`, () => {
    assert.equal(at(base, search).searchRequest(MARKET, 1).url, url);
  });
}

Deno.test("discovery calls stand below the base URL's path too", async () => {
  const urls: string[] = [];
  await at("http://proxy/binance/").discoverMarkets((request) => {
    urls.push(request.url);
    return Promise.reject(new Error("no answer"));
  }, { fiats: undefined, knownFiats: [], freshFiats: [], concurrency: 1 });
  assert(urls.length > 1);
  for (const url of urls) assert(url.startsWith("http://proxy/binance/bapi/c2c/"), url);
});

Deno.test("a search asks for one side of one market, twenty rows a page", () => {
  const { method, body } = at("http://x").searchRequest(MARKET, 3);
  assert.equal(method, "POST");
  assert.deepEqual(body, {
    fiat: "VES",
    asset: "USDT",
    tradeType: "SELL",
    page: 3,
    rows: 20,
    payTypes: [],
    countries: [],
    publisherType: null,
    proMerchantAds: false,
    shieldMerchantAds: false,
    filterType: "all",
    periods: [],
    additionalKycVerifyFilter: 0,
    classifies: ["mass", "profession", "fiat_trade"],
    tradedWith: false,
    followed: false,
  });
});

const { readPage } = at("http://x");
const ok = { code: "000000", success: true };
const offer = (advNo: unknown) => ({ adv: { advNo }, advertiser: {} });

Deno.test("a page tells its items, total and ids", () => {
  const data = [offer("20200000000000000001"), offer("20200000000000000002")];
  assert.deepEqual(readPage({ ...ok, data, total: 145 }), {
    items: 2,
    total: 145,
    offerIds: ["20200000000000000001", "20200000000000000002"],
  });
});

Deno.test("an empty page is an empty list, with a total or without", () => {
  const nothing = { items: 0, offerIds: [] };
  assert.deepEqual(readPage({ ...ok, data: [], total: 0 }), { ...nothing, total: 0 });
  assert.deepEqual(readPage({ ...ok, data: [], total: 90 }), { ...nothing, total: 90 });
  assert.deepEqual(readPage({ code: "000000", data: [] }), { ...nothing, total: undefined });
});

for (const total of ["145", -1, 12.5, 1e20, 2 ** 31, null, true, {}, [], "many"]) {
  Deno.test(`a total of ${JSON.stringify(total)} is none`, () => {
    assert.equal(readPage({ ...ok, data: [offer("1")], total }).total, undefined);
  });
}

Deno.test("items of any form count; their ids as far as they can be read", () => {
  const data = [
    offer("1"),
    offer(2),
    offer(null),
    offer(""),
    offer({ toString: 1, valueOf: 1 }),
    { adv: null },
    { adv: [] },
    {},
    null,
    "offer",
    7,
  ];
  const page = readPage({ ...ok, data, total: 11 });
  assert.equal(page.items, 11);
  assert.deepEqual(page.offerIds.filter((id) => id !== ""), ["1", "2"]);
});

const shapes: [document: unknown, message: RegExp][] = [
  [null, /^the answer is null instead of an object$/],
  [undefined, /missing/],
  [[], /a list/],
  ["000000", /a string/],
  [0, /a number/],
  [true, /a boolean/],
  [{}, /^the answer has no code$/],
  [{ data: [], success: true }, /^the answer has no code$/],
  [{ ...ok }, /^data is missing instead of a list of offers$/],
  [{ ...ok, data: null, total: 5 }, /^data is null/],
  [{ ...ok, data: null, total: 0 }, /^data is null/],
  [{ ...ok, data: {} }, /^data is an object/],
  [{ ...ok, data: "[]" }, /^data is a string/],
];
for (const [document, message] of shapes) {
  Deno.test(`${JSON.stringify(document)} is an unexpected shape`, () => {
    assert.throws(() => readPage(document), {
      name: "AnswerError",
      problem: "unexpected_shape",
      message,
    });
  });
}

const refusals: [document: Record<string, unknown>, message: string][] = [
  [{ code: "000002", message: "illegal parameter", success: false }, "000002: illegal parameter"],
  [{ code: "000002", message: null, messageDetail: "the detail" }, "000002: the detail"],
  [{ code: "000002" }, "000002: no message"],
  [{ code: "000000", success: false, message: "busy" }, "000000: busy"],
  [{ success: false, data: [] }, "undefined: no message"],
  [{ code: 0, data: [] }, "0: no message"],
  [{ code: null, data: [] }, "null: no message"],
  [{ code: { toString: 1 }, data: [] }, '{"toString":1}: no message'],
  [{ code: "1", message: { text: "x" } }, "1: no message"],
  [{ code: "1", message: "two\r\nlines \u0000\u001b[31m" }, "1: two lines  [31m"],
];
for (const [document, message] of refusals) {
  Deno.test(`${JSON.stringify(document)} is a refusal`, () => {
    assert.throws(() => readPage({ data: [], ...document }), {
      name: "AnswerError",
      problem: "refused",
      message: `the exchange answered code ${message}`,
    });
  });
}

Deno.test("a refusal of any length gives a short message", () => {
  const refuse = () => readPage({ code: "1", message: "💸".repeat(100_000) });
  assert.throws(refuse, (error: Error) => {
    assert(error.message.length < 350);
    assert(error.message.isWellFormed());
    return true;
  });
});
