import assert from "node:assert/strict";
import { bybit } from "../../src/exchange/bybit.ts";
import type { Exchange } from "../../src/exchange/exchange.ts";

const SEARCH = "/fiat/otc/item/online";

function at(baseUrl: string, search = SEARCH): Exchange {
  return bybit({ baseUrl, search });
}

Deno.test("a search asks for one side of one market, twenty ads a page, everything as text", () => {
  const { method, url, body } = at("https://api2.bybit.com").searchRequest(
    { fiat: "VES", asset: "USDT", side: "SELL" },
    3,
  );
  assert.equal(method, "POST");
  assert.equal(url, "https://api2.bybit.com/fiat/otc/item/online");
  assert.deepEqual(body, {
    userId: "",
    tokenId: "USDT",
    currencyId: "VES",
    payment: [],
    side: "0",
    size: "20",
    page: "3",
    amount: "",
    authMaker: false,
    canTrade: false,
  });
});

Deno.test("who buys asks for ads that sell", () => {
  const { body } = at("http://x").searchRequest({ fiat: "VES", asset: "USDT", side: "BUY" }, 1);
  assert.equal((body as { side: string }).side, "1");
});

Deno.test("every call stands below the base URL's path", async () => {
  const urls: string[] = [];
  const exchange = at("https://www.bybit.com/x-api/");
  await exchange.discoverMarkets((request) => {
    urls.push(request.url);
    return Promise.reject(new Error("no answer"));
  }, { fiats: undefined, knownFiats: [], freshFiats: [], concurrency: 1 });
  urls.push(exchange.searchRequest({ fiat: "VES", asset: "USDT", side: "BUY" }, 1).url);
  assert.deepEqual(urls, [
    "https://www.bybit.com/x-api/fiat/p2p/config/initial",
    "https://www.bybit.com/x-api/fiat/otc/configuration/queryAllPaymentList",
    "https://www.bybit.com/x-api/fiat/otc/item/online",
  ]);
  const elsewhere = at("http://x", "https://mirror.example/s");
  assert.equal(
    elsewhere.searchRequest({ fiat: "VES", asset: "USDT", side: "BUY" }, 1).url,
    "https://mirror.example/s",
  );
});

const { readPage } = at("http://x");
const page = (result: unknown) => ({ ret_code: 0, ret_msg: "SUCCESS", result, ext_code: "" });

Deno.test("a page tells its items, count and ids", () => {
  const items = [{ id: "1899658238346616832" }, { id: 7 }, { id: null }, {}, null, "ad"];
  assert.deepEqual(readPage(page({ count: 145, items })), {
    items: 6,
    total: 145,
    offerIds: ["1899658238346616832", "7"],
  });
});

Deno.test("an empty market has an empty list, or none and a count of 0", () => {
  for (const result of [{ count: 0, items: [] }, { count: 0, items: null }, { count: 0 }]) {
    assert.deepEqual(readPage(page(result)), { items: 0, total: 0, offerIds: [] });
  }
  assert.deepEqual(readPage(page({ items: [] })), { items: 0, total: undefined, offerIds: [] });
});

Deno.test("the names of the newer API are understood, and a code as text", () => {
  for (const head of [{ retCode: 0, retMsg: "OK" }, { ret_code: "0" }]) {
    assert.equal(readPage({ ...head, result: { count: 1, items: [{ id: "1" }] } }).items, 1);
  }
});

const shapes: [document: unknown, message: RegExp][] = [
  [null, /^the answer is null instead of an object$/],
  [[], /a list/],
  [{}, /^the answer has no code$/],
  [{ ret_code: null, result: {} }, /^the answer has no code$/],
  [{ result: { items: [] } }, /^the answer has no code$/],
  [{ ret_code: 0 }, /^result is missing instead of an object$/],
  [page(null), /^result is null/],
  [page([]), /^result is a list/],
  [page({}), /^result\.items is missing instead of a list of offers$/],
  [page({ count: 5, items: null }), /^result\.items is null/],
  [page({ count: 0, items: {} }), /^result\.items is an object/],
  [page({ count: 0, items: "[]" }), /^result\.items is a string/],
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

const refusals: [document: Record<string, unknown>, problem: string, message: string][] = [
  [{ ret_code: 10001, ret_msg: "Request parameter error." }, "refused", "10001: Request parameter"],
  [{ retCode: 10016, retMsg: "Internal" }, "refused", "10016: Internal"],
  [{ ret_code: "912100027" }, "refused", "912100027: no message"],
  [{ ret_code: 10006, ret_msg: "Too many visits" }, "rate_limited", "10006: Too many visits"],
  [{ retCode: "10018", retMsg: "IP" }, "rate_limited", "10018: IP"],
  [{ ret_code: 1, ret_msg: "two\r\nlines \u001b[31m" }, "refused", "1: two lines  [31m"],
];
for (const [document, problem, message] of refusals) {
  Deno.test(`${JSON.stringify(document)} is ${problem}`, () => {
    assert.throws(() => readPage({ result: { items: [] }, ...document }), (error: Error) => {
      assert.equal((error as Error & { problem: string }).problem, problem);
      assert.ok(error.message.startsWith(`the exchange answered code ${message}`), error.message);
      return true;
    });
  });
}
