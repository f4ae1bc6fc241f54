// A batch against a simulated exchange whose truth is known: what is in the database is that, to the digit.
import { deepStrictEqual, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Database } from "../../src/database/connection.ts";
import type { LoadedBatch } from "../../src/extract/batch_types.ts";
import type { Side } from "../../src/exchange/exchange.ts";
import { faultByChance, MALFORMATIONS, MODEST_RATES } from "../../src/simulator/fault.ts";
import { startSimulator } from "../../src/simulator/server.ts";
import { batchOf, exchangeAt, rowsOf, valueOf } from "../support/batches.ts";
import { testDatabase } from "../support/database.ts";
import { expectedOffers, itemsOf, storedOffers } from "../support/truth.ts";

const MORNING = Date.UTC(2026, 8, 1, 9);

function countsAddUp(batch: LoadedBatch): void {
  strictEqual(
    batch.offersExtracted,
    batch.offersInserted + batch.offersRejected + batch.offersDuplicate,
    "extracted = inserted + rejected + duplicate",
  );
}

async function ledger(database: Database, batchId: string): Promise<Map<string, string>> {
  const rows = await rowsOf(
    database,
    `select f.currency_code || '/' || c.symbol || ' ' || m.trade_type as market, bm.status
     from p2p.ops_batch_markets bm
     join p2p.dim_markets m using (market_id)
     join p2p.dim_fiat_currencies f using (fiat_id)
     join p2p.dim_cryptocurrencies c using (crypto_id)
     where bm.batch_id = $1`,
    batchId,
  );
  return new Map(rows.map((row) => [String(row["market"]), String(row["status"])]));
}

Deno.test("a clean exchange is in the database to the digit, batch after batch", async (t) => {
  await using test = await testDatabase();
  const { database } = test;
  let now = MORNING;
  const simulator = await startSimulator({ offers: 1500, now: () => now });
  try {
    const first = await batchOf(database, simulator.url);
    const truth = expectedOffers(simulator.market);

    await t.step("every offer once, exact", async () => {
      deepStrictEqual(await storedOffers(database, first.batchId), truth);
    });

    await t.step("counts", () => {
      const promoted = truth.filter((offer) => offer.isPromoted).length;
      ok(promoted > 0);
      strictEqual(first.status, "completed");
      strictEqual(first.marketsExpected, simulator.market.markets.length);
      strictEqual(first.marketsCompleted, first.marketsExpected);
      strictEqual(first.offersInserted, truth.length);
      strictEqual(first.offersDuplicate, promoted);
      strictEqual(first.offersRejected, 0);
      strictEqual(first.errors, 0);
      countsAddUp(first);
    });

    await t.step("dimensions hold what the exchange said, nothing else", async () => {
      const said = (pick: (market: { fiat: string; asset: string }) => string) =>
        [
          ...new Set(
            simulator.market.markets.map((m) => pick({ fiat: m.fiat.code, asset: m.asset.symbol })),
          ),
        ].sort();
      const codes = async (column: string, table: string) =>
        (await rowsOf(
          database,
          `select ${column} as code from p2p.${table} order by ${column} collate "C"`,
        ))
          .map((row) => String(row["code"]));
      deepStrictEqual(
        await codes("currency_code", "dim_fiat_currencies"),
        said((market) => market.fiat),
      );
      deepStrictEqual(
        await codes("symbol", "dim_cryptocurrencies"),
        said((market) => market.asset),
      );
      strictEqual(
        await valueOf(
          database,
          `select count(*) from p2p.dim_fiat_currencies where currency_name is not null`,
        ),
        "0",
      );
      strictEqual(
        await valueOf(database, "select count(*) from p2p.dim_advertisers"),
        String(new Set(truth.map((offer) => offer.advertiser)).size),
      );
    });

    await t.step("stg_responses holds the bytes that were sent", async () => {
      const exchange = exchangeAt(simulator.url);
      const pages = await rowsOf(
        database,
        `select f.currency_code, c.symbol, m.trade_type, s.page_number, encode(s.body_sha256, 'hex') as sha,
                s.body_bytes, s.alteration
         from p2p.stg_responses s
         join p2p.dim_markets m using (market_id)
         join p2p.dim_fiat_currencies f using (fiat_id)
         join p2p.dim_cryptocurrencies c using (crypto_id)
         where s.batch_id = $1 and (s.page_number > 1 or s.body_bytes > 10000)`,
        first.batchId,
      );
      ok(pages.length > 50);
      for (const page of pages) {
        const { url, body } = exchange.searchRequest({
          fiat: String(page["currency_code"]),
          asset: String(page["symbol"]),
          side: page["trade_type"] as Side,
        }, Number(page["page_number"]));
        const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
        const sent = new Uint8Array(await response.arrayBuffer());
        strictEqual(page["body_bytes"], sent.byteLength);
        strictEqual(page["sha"], createHash("sha256").update(sent).digest("hex"));
        strictEqual(page["alteration"], null);
      }
    });

    await t.step("twenty minutes later", async () => {
      now += 20 * 60_000;
      const second = await batchOf(database, simulator.url);
      const later = expectedOffers(simulator.market);
      notStrictEqual(JSON.stringify(later), JSON.stringify(truth));
      deepStrictEqual(await storedOffers(database, second.batchId), later);
      deepStrictEqual(await storedOffers(database, first.batchId), truth, "the first stays");
      strictEqual(
        await valueOf(database, "select count(*) from p2p.mv_latest_market_state"),
        String(later.length),
      );
    });
  } finally {
    await simulator.close();
  }
});

Deno.test("with every fault on, all that could be had is there and all else is accounted for", async (t) => {
  await using test = await testDatabase();
  const { database } = test;
  const lostForEver = new Set<string>();
  // By page and attempt, so that the same faults come in whatever order the fetchers ask.
  const attempts = new Map<string, number>();
  const simulator = await startSimulator({
    offers: 3000,
    now: () => MORNING,
    faults: { malformedOffers: 0.05, awkwardOffers: 0.15 },
    faultFor: ({ search }) => {
      if (search === undefined) return undefined;
      const page = `${search.fiat}/${search.asset} ${search.side} ${search.page}`;
      if (lostForEver.has(page)) return { kind: "serverError" };
      const attempt = (attempts.get(page) ?? 0) + 1;
      attempts.set(page, attempt);
      const chance = createHash("md5").update(`${page} ${attempt}`).digest().readUInt32LE() /
        2 ** 32;
      return faultByChance({ ...MODEST_RATES, timeout: 0.003, oversized: 0.001 }, chance);
    },
  });
  // For ever: one in the middle, one first page, the last two pages of a market.
  const lastPage = Math.ceil(simulator.market.book("CNY", "USDT", "SELL").length / 20);
  lostForEver.add("VES/USDT SELL 2").add("CNY/USDT BUY 1");
  lostForEver.add(`CNY/USDT SELL ${lastPage - 1}`).add(`CNY/USDT SELL ${lastPage}`);
  try {
    const options = { timeoutSeconds: 1.5, maxRetries: 4 };
    const batch = await batchOf(database, simulator.url, options);
    const errors = await rowsOf(
      database,
      `select fiat_code || '/' || crypto_symbol || ' ' || trade_type as market, page_number, error_type, retry_count
       from p2p.ops_extraction_errors where batch_id = $1`,
      batch.batchId,
    );
    const lost = new Set(errors.map((row) => `${row["market"]} ${row["page_number"]}`));
    const marketsWithout = new Set(errors.map((row) => String(row["market"])));
    // A market is given up with its first page, or with two in a row.
    const wasServed = ({ market, page }: { market: string; page: number }) => {
      if (lost.has(`${market} 1`)) return false;
      for (let before = 2; before < page; before++) {
        if (lost.has(`${market} ${before - 1}`) && lost.has(`${market} ${before}`)) return false;
      }
      return !lost.has(`${market} ${page}`);
    };

    await t.step("faults did happen", () => {
      const { byFault } = simulator.stats;
      const kinds = Object.keys(byFault).length;
      ok(kinds >= 9, `only ${JSON.stringify(byFault)}`);
    });

    await t.step("pages that never came are named, with kind and attempts", () => {
      for (const page of lostForEver) {
        const row = errors.find((row) => `${row["market"]} ${row["page_number"]}` === page);
        strictEqual(row?.["error_type"], "server_error", page);
        strictEqual(row?.["retry_count"], options.maxRetries, page);
      }
      strictEqual(batch.errors, errors.length);
      ok(errors.length < lostForEver.size + 15, `too many pages lost: ${JSON.stringify(errors)}`);
    });

    await t.step("every other offer is there once, to the digit", async () => {
      const stored = await storedOffers(database, batch.batchId);
      deepStrictEqual(stored, expectedOffers(simulator.market, wasServed));
    });

    await t.step("every malformed one is set aside with its JSON", async () => {
      const malformed = itemsOf(simulator.market)
        .filter(({ item, market, page }) =>
          item.state === "malformed" && wasServed({ market, page })
        );
      strictEqual(new Set(malformed.map(({ item }) => item.how)).size, MALFORMATIONS.length);
      const [row] = await rowsOf(
        database,
        `select count(*)::integer as count, count(payload)::integer as payloads, bool_and(reason <> '') as reasons
         from p2p.ops_rejected_offers where batch_id = $1`,
        batch.batchId,
      );
      deepStrictEqual(
        { ...row },
        { count: malformed.length, payloads: malformed.length, reasons: true },
      );
      strictEqual(batch.offersRejected, malformed.length);
      countsAddUp(batch);
    });

    await t.step("the ledger names what is missing, and nothing else", async () => {
      const markets = await ledger(database, batch.batchId);
      strictEqual(markets.size, simulator.market.markets.length);
      for (const [market, status] of markets) {
        const expected = !marketsWithout.has(market)
          ? "complete"
          : lost.has(`${market} 1`)
          ? "failed"
          : "incomplete";
        strictEqual(status, expected, market);
      }
      strictEqual(batch.status, "partial");
    });
  } finally {
    await simulator.close();
  }
});
