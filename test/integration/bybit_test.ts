// A second exchange through the whole program: alone, beside the first, and with faults; what is in the database is
// what the simulators sent, to the digit.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import type { Database } from "../../src/database/connection.ts";
import { BYBIT_PATH } from "../../src/simulator/bybit.ts";
import {
  type Simulator,
  type SimulatorOptions,
  startSimulator,
} from "../../src/simulator/server.ts";
import { rowsOf, valueOf } from "../support/batches.ts";
import { testDatabase, urlAs } from "../support/database.ts";
import { eventually, FAST, Program, runProgram, type Variables } from "../support/program.ts";
import { Folder, importing } from "../support/recordings.ts";
import { bybitAd, bybitAnswer } from "../support/sql_bybit.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { expectedOffers, type KnownOffer, storedOffers } from "../support/truth.ts";

const MORNING = Date.UTC(2026, 8, 1, 9);

async function withSimulators(
  options: readonly SimulatorOptions[],
  work: (simulators: readonly Simulator[]) => Promise<void>,
): Promise<void> {
  const simulators = await Promise.all(
    options.map((one) => startSimulator({ now: () => MORNING, ...one })),
  );
  try {
    await work(simulators);
  } finally {
    for (const simulator of simulators) await simulator.close();
  }
}

interface Summary {
  readonly batch_id: string;
  readonly status: string;
  readonly markets_expected: number;
  readonly offers_inserted: number;
  readonly offers_rejected: number;
}

async function once(
  database: Database,
  variables: Variables,
  expectedCode = 0,
): Promise<Summary> {
  const { code, stdout, stderr } = await runProgram(["once", "--json"], {
    DATABASE_URL: urlAs("worker", database.url),
    LOG_LEVEL: "warning",
    ...FAST,
    ...variables,
  });
  strictEqual(code, expectedCode, stderr + stdout);
  return JSON.parse(stdout);
}

/** What every offer of Bybit is: no ad is paid for a place, so that the mark is never there. */
function truthOf(simulator: Simulator): KnownOffer[] {
  return expectedOffers(simulator.market);
}

Deno.test("once with EXCHANGES=bybit: every offer of it, to the digit, with names of payment methods", async () => {
  await using test = await testDatabase();
  const { database } = test;
  await withSimulators([{ exchange: "bybit", offers: 1500 }], async ([bybit]) => {
    ok(bybit !== undefined);
    const variables = { EXCHANGES: "bybit", BYBIT_BASE_URL: bybit.url };
    const summary = await once(database, variables);
    const truth = truthOf(bybit);
    strictEqual(summary.status, "completed");
    strictEqual(summary.offers_inserted, truth.length);
    deepStrictEqual(await storedOffers(database, summary.batch_id, "bybit"), truth);
    deepStrictEqual(await storedOffers(database, summary.batch_id), [], "nothing is Binance's");
    strictEqual(
      await valueOf(
        database,
        `select count(*) from p2p.dim_payment_methods where method_name is null or method_code !~ '^\\d+$'`,
      ),
      "0",
    );
    strictEqual(
      await valueOf(database, "select count(*) from p2p.ops_data_quality where not passed"),
      "0",
    );
    strictEqual(bybit.stats.byPath[BYBIT_PATH.config], 1, "one call lists all markets");

    // Loading it again, as replay does, changes nothing.
    const replayed = await runProgram(
      ["replay", "--json", "--batch", summary.batch_id],
      { DATABASE_URL: urlAs("worker", test.url) },
    );
    strictEqual(replayed.code, 0, replayed.stderr);
    strictEqual(JSON.parse(replayed.stdout).batches[0].rows_written, 0, replayed.stdout);
  });
});

Deno.test("one batch of both exchanges: the same ads, people and markets stand side by side", async () => {
  await using test = await testDatabase();
  const { database } = test;
  const options = { offers: 1500, seed: 7 };
  await withSimulators(
    [options, { ...options, exchange: "bybit" }],
    async ([binance, bybit]) => {
      ok(binance !== undefined && bybit !== undefined);
      const summary = await once(database, {
        EXCHANGES: "binance,bybit",
        BINANCE_BASE_URL: binance.url,
        BYBIT_BASE_URL: bybit.url,
      });
      strictEqual(summary.status, "completed");
      const [ours, theirs] = [expectedOffers(binance.market), truthOf(bybit)];
      deepStrictEqual(
        ours.map(({ id, price }) => [id, price]),
        theirs.map(({ id, price }) => [id, price]),
        "the simulators tell the same, so that whatever mixes them shows",
      );
      deepStrictEqual(await storedOffers(database, summary.batch_id), ours);
      deepStrictEqual(await storedOffers(database, summary.batch_id, "bybit"), theirs);
      strictEqual(summary.offers_inserted, ours.length + theirs.length);

      const twice = [{ exchange: "binance" }, { exchange: "bybit" }];
      const [{ market, offers } = { market: "", offers: 0 }] = await rowsOf(
        database,
        `select fiat_code || '/' || crypto_symbol || ' ' || trade_type as market, count(*)::integer as offers
         from p2p.mv_latest_market_state group by 1 order by 2 desc, 1 limit 1`,
      );
      const book = theirs.filter((offer) => offer.market === market);
      strictEqual(offers, 2 * book.length);
      for (
        const [view, columns] of [
          ["market_hourly", "max_offers"],
          ["market_daily", "max_offers"],
          ["v_price_history", "offer_count"],
        ] as const
      ) {
        deepStrictEqual(
          (await rowsOf(
            database,
            `select exchange, ${columns} as offers from p2p.${view}
             where fiat_code || '/' || crypto_symbol || ' ' || trade_type = $1 order by exchange`,
            String(market),
          )).map((row) => ({ ...row })),
          twice.map((row) => ({ ...row, offers: book.length })),
          view,
        );
      }
      deepStrictEqual(
        (await rowsOf(database, "select exchange from p2p.freshness order by 1"))
          .map((row) => ({ ...row })),
        twice,
      );
      strictEqual(
        await valueOf(
          database,
          "select count(distinct exchange_id) from p2p.dim_advertisers group by advertiser_id order by 1 limit 1",
        ),
        "2",
        "whoever bears one number on both is two people",
      );
      strictEqual(
        await valueOf(database, "select count(*) from p2p.ops_data_quality where not passed"),
        "0",
      );
    },
  );
});

Deno.test("faults of Bybit's: bad ads are set aside, odd ones kept, nothing of Binance suffers", async () => {
  await using test = await testDatabase();
  const { database } = test;
  const faults = { malformedOffers: 0.03, awkwardOffers: 0.1 };
  await withSimulators(
    [{ offers: 1500 }, { offers: 3000, exchange: "bybit", faults }],
    async ([binance, bybit]) => {
      ok(binance !== undefined && bybit !== undefined);
      const summary = await once(database, {
        EXCHANGES: "binance,bybit",
        BINANCE_BASE_URL: binance.url,
        BYBIT_BASE_URL: bybit.url,
      });
      const malformed =
        bybit.market.markets.flatMap(({ fiat, asset, side }) =>
          bybit.market.book(fiat.code, asset.symbol, side)
        ).filter(({ state }) => state === "malformed").length;
      ok(malformed > 20);
      strictEqual(summary.offers_rejected, malformed);
      deepStrictEqual(
        await storedOffers(database, summary.batch_id, "bybit"),
        truthOf(bybit),
      );
      deepStrictEqual(
        await storedOffers(database, summary.batch_id),
        expectedOffers(binance.market),
      );
      deepStrictEqual(
        (await rowsOf(database, "select distinct exchange from p2p.offers_in_quarantine"))
          .map((row) => row["exchange"]),
        ["bybit"],
      );
    },
  );
});

Deno.test("an exchange that is gone takes nothing from the other; its loss is named", async () => {
  await using test = await testDatabase();
  const { database } = test;
  await withSimulators(
    [{ offers: 600 }, { offers: 600, exchange: "bybit" }],
    async ([binance, bybit]) => {
      ok(binance !== undefined && bybit !== undefined);
      const variables = {
        EXCHANGES: "bybit,binance",
        BINANCE_BASE_URL: binance.url,
        BYBIT_BASE_URL: bybit.url,
        MARKETS: "VES/USDT,ARS/USDT,EUR/BTC",
        MAX_RETRIES: "0",
      };
      strictEqual((await once(database, variables)).markets_expected, 2 * 3 * 2);
      await bybit.close();
      const summary = await once(database, { ...variables, BATCH_DEADLINE_SECONDS: "8" }, 75);
      strictEqual(summary.status, "partial");
      deepStrictEqual(
        await storedOffers(database, summary.batch_id),
        expectedOffers(binance.market).filter(({ market }) =>
          /^(VES|ARS).USDT |^EUR.BTC /.test(market)
        ),
      );
      const missing = await rowsOf(
        database,
        "select exchange, status, reason from p2p.missing_markets where batch_id = $1",
        summary.batch_id,
      );
      strictEqual(missing.length, 6);
      for (const { exchange, reason } of missing) {
        strictEqual(exchange, "bybit");
        match(String(reason), /connection|deadline|bybit/);
      }
    },
  );
});

Deno.test("an exchange that was never there keeps no batch from the other; once ends with 75", async () => {
  await using test = await testDatabase();
  const { database } = test;
  await withSimulators([{ offers: 600, exchange: "bybit" }], async ([bybit]) => {
    ok(bybit !== undefined);
    const variables = {
      DATABASE_URL: urlAs("worker", test.url),
      EXCHANGES: "binance,bybit",
      BINANCE_BASE_URL: "http://127.0.0.1:9",
      BYBIT_BASE_URL: bybit.url,
      MARKETS: "VES/USDT,ARS/USDT",
      MAX_RETRIES: "0",
      ...FAST,
    };
    const { code, stdout, stderr } = await runProgram(["once", "--json"], variables);
    strictEqual(code, 75, stderr);
    strictEqual(JSON.parse(stdout).markets_completed, 4);
    match(stderr, /the batch is without an exchange: .*binance gives no list of markets/);

    await using service = new Program(["run"], { ...variables, LOG_FORMAT: "text" });
    await eventually(
      "a batch of the service",
      () => /completed · 4 of 4/.exec(service.stdout)?.[0],
    );
    service.kill("SIGTERM");
    strictEqual((await service.ended).code, 0);
    deepStrictEqual(
      (await rowsOf(database, "select status from p2p.ops_batch_runs")).map(({ status }) => status),
      ["completed", "completed"],
    );
  });
});

Deno.test("doctor asks every exchange, and says which one does not answer", async () => {
  await using test = await testDatabase();
  await withSimulators([{}, { exchange: "bybit" }], async ([binance, bybit]) => {
    ok(binance !== undefined && bybit !== undefined);
    const examine = async () => {
      const { stdout } = await runProgram(["doctor", "--json"], {
        DATABASE_URL: urlAs("worker", test.url),
        EXCHANGES: "binance,bybit",
        BINANCE_BASE_URL: binance.url,
        BYBIT_BASE_URL: bybit.url,
      });
      return (JSON.parse(stdout) as { topic: string; state: string; mend: string | null }[])
        .filter(({ topic }) => topic === "exchange");
    };
    deepStrictEqual((await examine()).map(({ state }) => state), ["ok", "ok"]);
    await bybit.close();
    const findings = await examine();
    deepStrictEqual(findings.map(({ state }) => state), ["ok", "bad"]);
    match(String(findings[1]?.mend), /^check BYBIT_BASE_URL/);
  });
});

Deno.test("simulate --exchange bybit prints where it listens, and answers there", async () => {
  await using program = new Program(["simulate", "--exchange", "bybit", "--port", "0"], {});
  const url = await eventually("the address", () => /^http:\S+/.exec(program.stdout)?.[0]);
  const response = await fetch(url + BYBIT_PATH.payments, { method: "POST", body: "{}" });
  strictEqual((await response.json()).ret_msg, "SUCCESS");
  program.kill("SIGTERM");
  strictEqual((await program.ended).code, 0);
});

Deno.test("import takes whole answers of Bybit, and refuses lists cut out of them", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const head = (minute: number) =>
    `{"time":"2026-03-01T10:${minute}:00Z","exchange":"bybit","fiat":"VES","asset":"USDT","side":"BUY"`;
  const answer = bybitAnswer("VES/USDT BUY", [bybitAd({ price: "36.50" }), bybitAd()]);
  const file = await folder.file("recorded.jsonl", [
    `${head(10)},"body":${answer}}`,
    `${head(20)},"offers":[${JSON.stringify(bybitAd())}]}`,
    `${head(30)},"body":{"ret_code":10001,"ret_msg":"Request parameter error.","result":null}}`,
  ]);
  const { stdout, stderr } = await importing(sql, ["--json", file]);
  const told = stdout + stderr;
  match(told, /of bybit only whole answers can be read/);
  match(told, /code 10001: Request parameter error/);
  deepStrictEqual(
    await sql.rows(
      "select exchange, price::text, extraction_timestamp from p2p.mv_latest_market_state",
    ),
    Array.from({ length: 2 }, () => ({
      exchange: "bybit",
      price: "36.50",
      extraction_timestamp: new Date("2026-03-01T10:10:00Z"),
    })),
  );
});
