// How fetchMarket pages, with a scripted fetcher in the place of the network.
import assert from "node:assert/strict";
import type { Exchange, HttpRequest, PageEnvelope } from "../../src/exchange/exchange.ts";
import type { ClaimedMarket, FetchedPage, LostPage } from "../../src/extract/batch_types.ts";
import { ExchangeClosed } from "../../src/extract/access.ts";
import { type FailureKind, RequestFailure } from "../../src/extract/failure.ts";
import type { Fetcher } from "../../src/extract/fetcher.ts";
import { fetchMarket, MAX_PAGES } from "../../src/extract/market.ts";

const MARKET: ClaimedMarket = {
  exchange: "binance",
  marketId: 7,
  fiat: "VES",
  asset: "USDT",
  side: "BUY",
  nextPage: 1,
  offersReported: undefined,
};

type Script = (page: number) => PageEnvelope | RequestFailure | Error;

/** A page of so many offers nobody has seen before. */
function fresh(items: number, total: number | undefined = items): PageEnvelope {
  return { items, total, offerIds: Array.from({ length: items }, () => crypto.randomUUID()) };
}

function lost(kind: FailureKind = "timeout"): RequestFailure {
  const failure = new RequestFailure(kind, "gone");
  failure.attempts = 4;
  return failure;
}

interface Run {
  /** `1`, `1!` where the page ends the market, `-1` where it is lost. */
  readonly pages: string;
  readonly handed: readonly (FetchedPage | LostPage)[];
  readonly asked: readonly number[];
}

async function fetchAll(
  script: Script,
  handOn: (page: FetchedPage | LostPage) => Promise<boolean> = () => Promise.resolve(true),
  { market = MARKET, soon = new AbortController().signal } = {},
): Promise<Run> {
  const asked: number[] = [];
  const handed: (FetchedPage | LostPage)[] = [];
  const exchange = {
    parser: "test_v1",
    rowsPerPage: 20,
    searchRequest: (asked: ClaimedMarket, page: number): HttpRequest => {
      assert.equal(asked, market);
      return { method: "POST", url: "http://test/", body: page };
    },
    readPage: (document: unknown) => document,
  } as unknown as Exchange;
  const fetcher = {
    fetch: (request: HttpRequest, read: (document: unknown) => unknown) => {
      const page = Number(request.body);
      asked.push(page);
      const outcome = script(page);
      if (outcome instanceof Error) return Promise.reject(outcome);
      return Promise.resolve({ value: read(outcome), body: { text: `${page}` }, attempt: 2 });
    },
  } as unknown as Fetcher;
  const collect = (page: FetchedPage | LostPage) => {
    handed.push(page);
    return handOn(page);
  };
  const now = new AbortController().signal;
  await fetchMarket(market, exchange, fetcher, collect, { soon, now });
  const pages = handed
    .map((page) => `${"body" in page ? "" : "-"}${page.page}${page.endsMarket ? "!" : ""}`)
    .join(" ");
  return { pages, handed, asked };
}

const script = (...pages: (PageEnvelope | RequestFailure)[]): Script => (page) =>
  pages[page - 1] ?? new Error(`page ${page} must not be asked`);

const empty = (total?: number): PageEnvelope => ({ items: 0, total, offerIds: [] });
const cases: [title: string, pages: (PageEnvelope | RequestFailure)[], handed: string][] = [
  ["an empty market is one page", [empty(0)], "1!"],
  ["a market of one page", [fresh(3)], "1!"],
  ["full pages, then a short one", [fresh(20, 45), fresh(20, 45), fresh(5, 45)], "1 2 3!"],
  ["full pages, then an empty one", [fresh(20, 40), fresh(20, 40), empty(40)], "1 2 3!"],
  ["a full page that is all there is", [fresh(20, 20), empty(20)], "1 2!"],
  ["a promoted offer more on page 1", [fresh(21, 25), fresh(5, 25)], "1 2!"],
  ["a promoted offer, and no other page", [fresh(21, 20), empty(20)], "1 2!"],
  ["a short page that the total contradicts", [fresh(19, 40), fresh(20, 40), empty()], "1 2 3!"],
  ["an empty page that the total contradicts", [fresh(20, 90), empty(90)], "1 2!"],
  ["an empty first page that the total contradicts", [empty(90)], "1!"],
  ["a total that grows", [fresh(20, 30), fresh(15, 60), fresh(15, 60)], "1 2 3!"],
  ["a total that shrinks", [fresh(20, 90), fresh(15, 35)], "1 2!"],
  ["no total at all", [fresh(20, undefined), fresh(3, undefined)], "1 2!"],
  ["a total only on page 1", [fresh(20, 55), { ...fresh(9), total: undefined }, empty()], "1 2 3!"],
  ["a lost first page", [lost()], "-1!"],
  ["a lost page in the middle", [fresh(20, 50), lost(), fresh(10, 50)], "1 -2 3!"],
  ["two lost in a row", [fresh(20, 90), lost(), lost()], "1 -2 -3!"],
  [
    "two lost, but not in a row",
    [fresh(20, 90), lost(), fresh(20, 90), lost(), fresh(10, 90)],
    "1 -2 3 -4 5!",
  ],
  ["a lost page that is the last by the total", [fresh(20, 35), lost()], "1 -2!"],
  ["a lost page where the total is full", [fresh(20, 40), lost()], "1 -2!"],
  [
    "a lost page and no total known",
    [{ ...fresh(20), total: undefined }, lost(), fresh(2)],
    "1 -2 3!",
  ],
];
for (const [title, pages, expected] of cases) {
  Deno.test(title, async () => {
    const { pages: handed, asked } = await fetchAll(script(...pages));
    assert.equal(handed, expected);
    assert.deepEqual(asked, pages.map((_, i) => i + 1));
  });
}

Deno.test("a page is handed on with what came of it", async () => {
  const { handed: [first, second] } = await fetchAll(script(fresh(20, 35), lost("refused")));
  assert(first !== undefined && "body" in first);
  assert.deepEqual(
    [first.market.marketId, first.items, first.offersReported, first.parser, first.attempt],
    [7, 20, 35, "test_v1", 2],
  );
  assert.deepEqual(second, {
    market: MARKET,
    page: 2,
    endsMarket: true,
    kind: "refused",
    message: "gone",
    retries: 3,
    span: undefined,
  });
});

Deno.test("one page of repetitions is a book that slides; two in a row are a loop", async () => {
  const [first, second] = [fresh(20, 999), fresh(20, 999)];
  const slid = await fetchAll(script(first, first, second, second, fresh(4, 4)));
  assert.equal(slid.pages, "1 2 3 4 5!");

  const loop = await fetchAll(() => first);
  assert.equal(loop.pages, "1 2 3 -4!");
  assert.deepEqual(loop.asked, [1, 2, 3]);
  assert.deepEqual(loop.handed[3], {
    market: MARKET,
    page: 4,
    endsMarket: true,
    kind: "page_loop",
    message: "two pages in a row brought no new offer",
    retries: 0,
    span: undefined,
  });
});

Deno.test("a page with one new offer among repetitions is no loop", async () => {
  const first = fresh(20, 999);
  const { pages } = await fetchAll((page) =>
    page < 30 ? { ...first, offerIds: [...first.offerIds.slice(1), `new ${page}`] } : empty()
  );
  assert(pages.endsWith(" 30!"));
});

Deno.test("a market without an end is given up after MAX_PAGES", async () => {
  const { asked, handed } = await fetchAll(() => fresh(20, 1e6));
  assert.equal(asked.length, MAX_PAGES);
  assert.equal(handed.length, MAX_PAGES + 1);
  const last = handed.at(-1);
  assert(last !== undefined && "kind" in last && last.kind === "page_loop" && last.endsMarket);
  assert.equal(last.page, MAX_PAGES + 1);
});

Deno.test("an abort ends the market without another page", async () => {
  const stopped = new DOMException("stopped", "AbortError");
  const handed: number[] = [];
  const run = fetchAll((page) => page < 3 ? fresh(20, 90) : stopped, (page) => {
    handed.push(page.page);
    return Promise.resolve(true);
  });
  await assert.rejects(run, stopped);
  assert.deepEqual(handed, [1, 2]);
});

Deno.test("a page that cannot be stored ends the market with that error", async () => {
  const full = new Error("the disk is full");
  await assert.rejects(fetchAll(() => fresh(20, 90), () => Promise.reject(full)), full);
});

Deno.test("it goes on at the page after those that another worker stored", async () => {
  const market = { ...MARKET, nextPage: 3, offersReported: 70 };
  const { pages, asked } = await fetchAll(
    (page) => page === 3 ? lost() : fresh(10, 70),
    undefined,
    { market },
  );
  assert.equal(pages, "-3 4!", "a lost first page of ours is not the market's first");
  assert.deepEqual(asked, [3, 4]);
});

Deno.test("a market that went to another worker is left", async () => {
  const { asked } = await fetchAll(() => fresh(20, 990), ({ page }) => Promise.resolve(page < 3));
  assert.deepEqual(asked, [1, 2, 3]);
  const lostOnes = await fetchAll(
    (page) => page === 1 ? fresh(20, 990) : lost(),
    ({ page }) => Promise.resolve(page < 2),
  );
  assert.deepEqual(lostOnes.asked, [1, 2]);
});

Deno.test("when fetching is to end soon, the page in hand is finished and no other begun", async () => {
  const soon = new AbortController();
  const { pages } = await fetchAll(
    (page) => {
      if (page === 2) soon.abort();
      return fresh(20, 990);
    },
    undefined,
    { soon: soon.signal },
  );
  assert.equal(pages, "1 2");
});

Deno.test("an exchange that is closed loses no page", async () => {
  const closed = new ExchangeClosed("test", "too many time-outs", 30);
  const handed: number[] = [];
  const run = fetchAll((page) => page === 1 ? fresh(20, 990) : closed, ({ page }) => {
    handed.push(page);
    return Promise.resolve(true);
  });
  await assert.rejects(run, closed);
  assert.deepEqual(handed, [1]);
});
