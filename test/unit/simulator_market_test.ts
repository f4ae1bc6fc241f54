import assert from "node:assert/strict";
import type { Side } from "../../src/simulator/layout.ts";
import { type BookItem, type MarketModel, World } from "../../src/simulator/market.ts";

const NOON = 1_800_000_000_000;
const TICK = 30_000;

function world(at: () => number = () => NOON, seed = 1, offers = 50_000): World {
  return new World({ seed, offers, tickSeconds: 30, now: at, faults: {} });
}

function texts(market: MarketModel, fiat: string, asset: string, side: Side): string[] {
  return market.book(fiat, asset, side).map((item) => item.text);
}

function byNumber(items: readonly BookItem[]): Map<string, BookItem> {
  return new Map(items.map((item) => [item.sent?.advNo ?? "", item]));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

Deno.test("the market has the sizes of the real one", () => {
  const market = world();
  assert.ok(Math.abs(market.offers() - 50_000) < 5_000, `${market.offers()} offers`);
  assert.ok(market.markets.length >= 1_400 && market.markets.length <= 1_900);
  const sizes = market.markets.map((m) => market.book(m.fiat.code, m.asset.symbol, m.side).length);
  const between = (low: number, high: number): number =>
    sizes.filter((size) => size >= low && size <= high).length;
  assert.ok(between(0, 0) > 200, "many are empty");
  assert.ok(between(0, 30) > sizes.length * 0.7, "most are small");
  assert.ok(between(100, 1_000) > 60, "a hundred of hundreds");
  const featured = market.book("VES", "USDT", "SELL").filter((item) => item.privilege === 2);
  assert.ok(featured.length > 0 && featured.length < 30);
  for (const fiat of ["VES", "CNY", "UAH"]) {
    assert.ok(market.book(fiat, "USDT", "SELL").length > 1_000, fiat);
  }
  assert.equal(new Set(market.markets.map((m) => m.fiat.code)).size, 121);
});

Deno.test("the size of the market follows the option", () => {
  for (const offers of [500, 5_000]) {
    const found = world(undefined, 1, offers).offers();
    assert.ok(Math.abs(found - offers) < offers * 0.2, `${found} for ${offers}`);
  }
  assert.equal(world(undefined, 1, 0).offers(), 0);
});

Deno.test("the same seed and time are the same market to the byte, another seed is not", () => {
  const one = texts(world(), "KZT", "USDT", "BUY");
  const same = texts(world(() => NOON + TICK - 1), "KZT", "USDT", "BUY");
  const other = texts(world(undefined, 2), "KZT", "USDT", "BUY");
  assert.ok(one.length > 20);
  assert.deepEqual(same, one);
  assert.notDeepEqual(other, one);
});

Deno.test("a moment does not depend on the way to it", () => {
  let now = NOON - 20 * TICK;
  const walked = world(() => now);
  for (; now < NOON; now += TICK) walked.book("UAH", "USDT", "SELL");
  assert.deepEqual(texts(walked, "UAH", "USDT", "SELL"), texts(world(), "UAH", "USDT", "SELL"));
});

Deno.test("every offer has its own number, of 17 to 20 digits and mostly above 2^63", () => {
  const market = world();
  const numbers = market.markets.flatMap((m) =>
    market.book(m.fiat.code, m.asset.symbol, m.side).map((item) => item.sent?.advNo ?? "")
  );
  assert.equal(new Set(numbers).size, numbers.length);
  assert.ok(numbers.every((number) => /^[1-9]\d{16,19}$/.test(number)));
  const large = numbers.filter((number) =>
    BigInt(number) > 2n ** 63n && BigInt(number) < 2n ** 64n
  );
  assert.ok(large.length > numbers.length * 0.9 && large.length < numbers.length);
});

Deno.test("books are in the order of the taker, medians never cross, best prices now and then", () => {
  const market = world();
  let crossed = 0;
  let pairs = 0;
  for (const buy of market.markets.filter((m) => m.side === "BUY")) {
    const prices = (side: Side): number[] =>
      market.book(buy.fiat.code, buy.asset.symbol, side).map((item) => Number(item.sent?.price));
    const [buys, sells] = [prices("BUY"), prices("SELL")];
    assert.deepEqual(buys, buys.toSorted((a, b) => a - b));
    assert.deepEqual(sells, sells.toSorted((a, b) => b - a));
    const [ask, bid] = [buys[0], sells[0]];
    if (ask === undefined || bid === undefined) continue;
    pairs++;
    if (ask < bid) crossed++;
    const gap = median(buys) / median(sells) - 1;
    assert.ok(gap > 0, `${buy.fiat.code}/${buy.asset.symbol}: ${gap}`);
    if (buys.length > 30 && sells.length > 30) assert.ok(gap > 0.004 && gap < 0.025, String(gap));
  }
  assert.ok(crossed > pairs * 0.1 && crossed < pairs * 0.8, `${crossed} of ${pairs}`);
});

Deno.test("amounts obey the rules of the exchange", () => {
  const market = world();
  for (
    const [fiat, asset] of [["VES", "USDT"], ["CNY", "BTC"], ["UAH", "UAH"], [
      "BOB",
      "USDT",
    ]] as const
  ) {
    for (const side of ["BUY", "SELL"] as const) {
      const items = market.book(fiat, asset, side);
      assert.ok(items.length > 5, `${fiat}/${asset}/${side}`);
      for (const { sent } of items) {
        assert.ok(sent);
        const [surplus, tradable] = [Number(sent.surplusAmount), Number(sent.tradableQuantity)];
        assert.ok(tradable > 0);
        if (side === "SELL") assert.equal(sent.surplusAmount, sent.tradableQuantity);
        else assert.ok(surplus > tradable, `${surplus} > ${tradable}`);
        assert.ok(Number(sent.minSingleTransAmount) <= Number(sent.maxSingleTransAmount));
        assert.ok(Number(sent.minSingleTransAmount) > 0);
        assert.equal(sent.surplusAmount.split(".")[1]?.length, asset === "BTC" ? 8 : 2);
        assert.ok(sent.nickName.length > 0 && sent.nickName.length <= 25, sent.nickName);
        assert.match(sent.userNo, /^s[0-9a-f]{32}$/);
        assert.ok(sent.methods.length >= 1 && sent.methods.length <= 5);
      }
    }
  }
});

Deno.test("an advertiser has about three offers, over assets and sides, and is one person in all", () => {
  const market = world();
  const people = new Map<string, { who: unknown; offers: number; books: Set<string> }>();
  for (const m of market.markets) {
    for (const { sent } of market.book(m.fiat.code, m.asset.symbol, m.side)) {
      assert.ok(sent);
      const known = people.get(sent.userNo) ??
        { who: sent.advertiser, offers: 0, books: new Set() };
      assert.deepEqual(sent.advertiser, known.who);
      known.offers++;
      people.set(sent.userNo, known.books.add(`${m.asset.symbol}/${m.side}`) && known);
    }
  }
  const each = market.offers() / people.size;
  assert.ok(each > 2.5 && each < 3.6, String(each));
  const several = [...people.values()].filter((person) => person.books.size > 1);
  assert.ok(several.length > people.size * 0.3);
});

Deno.test("with time offers come, go, shrink and change their price, but most live on", () => {
  let now = NOON;
  const market = world(() => now);
  const book = (): Map<string, BookItem> => byNumber(market.book("VES", "USDT", "SELL"));
  const before = book();
  now += TICK;
  const next = book();
  const gone = [...before.keys()].filter((number) => !next.has(number)).length;
  const fresh = [...next.keys()].filter((number) => !before.has(number)).length;
  assert.ok(gone > 0 && gone < before.size * 0.05, `${gone} of ${before.size} went`);
  assert.ok(fresh > 0 && fresh < before.size * 0.05, `${fresh} came`);

  now += 19 * TICK;
  const later = book();
  let stayed = 0;
  let repriced = 0;
  let smaller = 0;
  for (const [number, { sent }] of later) {
    const old = before.get(number)?.sent;
    if (old === undefined || sent === undefined) continue;
    stayed++;
    if (old.price !== sent.price) repriced++;
    if (Number(sent.surplusAmount) < Number(old.surplusAmount)) smaller++;
    assert.ok(Number(sent.surplusAmount) <= Number(old.surplusAmount));
    assert.equal(sent.userNo, old.userNo);
    assert.deepEqual(sent.methods, old.methods);
  }
  assert.ok(stayed > before.size * 0.9, `${stayed} of ${before.size} stayed`);
  // Of the recordings ten minutes apart 6 % and 20 %.
  assert.ok(repriced > stayed * 0.03 && repriced < stayed * 0.12, `${repriced} of ${stayed}`);
  assert.ok(smaller > stayed * 0.1 && smaller < stayed * 0.3, `${smaller} of ${stayed}`);
});

Deno.test("with time advertisers change their name and back, and become merchants", () => {
  let now = NOON;
  const market = world(() => now, 1, 10_000);
  const names = new Map<string, string[]>();
  let promoted = 0;
  const merchants = new Map<string, boolean>();
  for (let step = 0; step < 30; step++, now += 100 * TICK) {
    for (const fiat of ["VES", "CNY", "UAH", "ARS", "TRY"]) {
      for (const { sent } of market.book(fiat, "USDT", "SELL")) {
        assert.ok(sent);
        const known = names.get(sent.userNo) ?? [];
        if (known.at(-1) !== sent.nickName) names.set(sent.userNo, [...known, sent.nickName]);
        if (merchants.get(sent.userNo) === false && sent.merchant) promoted++;
        merchants.set(sent.userNo, sent.merchant);
      }
    }
  }
  const histories = [...names.values()].filter((known) => known.length > 1);
  assert.ok(histories.length > 0 && histories.length < names.size * 0.1);
  assert.ok(histories.some((known) => new Set(known).size < known.length), "some go back");
  assert.ok(promoted > 0);
});

Deno.test("a whole market walks by percents, not by leaps", () => {
  let now = NOON;
  const market = world(() => now);
  const middle = (): number =>
    median(market.book("CNY", "USDT", "SELL").map((item) => Number(item.sent?.price)));
  let last = middle();
  const seen = [last];
  for (let i = 0; i < 24; i++) {
    now += 60 * TICK;
    const price = middle();
    assert.ok(Math.abs(price / last - 1) < 0.02, `${last} to ${price} within half an hour`);
    last = price;
    seen.push(price);
  }
  assert.ok(Math.max(...seen) / Math.min(...seen) > 1.003, "it does move");
});
