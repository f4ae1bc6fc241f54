// What a scrape tells after each kind of event, with the worker in this process and each fault for real.
import assert from "node:assert/strict";
import { configuredExchanges } from "../../src/cli/environment.ts";
import { Extraction, type FinishedBatch } from "../../src/cli/extraction.ts";
import { listen } from "../../src/cli/listen.ts";
import { loadConfig } from "../../src/config.ts";
import { Database } from "../../src/database/connection.ts";
import type { Fault } from "../../src/simulator/fault.ts";
import { startSimulator } from "../../src/simulator/server.ts";
import { rowsOf } from "../support/batches.ts";
import { type TestDatabase, testDatabase, tierOfTests, urlAs } from "../support/database.ts";
import { HalfOpenProxy } from "../support/half_open_proxy.ts";
import { metricsIn, rowOf } from "../support/metrics_table.ts";
import { eventually, FAST, Program } from "../support/program.ts";
import { checkWithPromtool, type Scrape, scrape, scrapeText, sumOf } from "../support/scrape.ts";

/** Page → what becomes of it at its n-th asking, from 0. */
type Faults = (page: string, times: number) => Fault | undefined;

interface Scene {
  readonly test: TestDatabase;
  readonly proxy: HalfOpenProxy;
  readonly stop: AbortController;
  readonly url: string | undefined;
  faults: Faults;
  once(): Promise<FinishedBatch>;
  scrape(): Promise<Scrape>;
  health(
    path: "/healthz" | "/readyz",
  ): Promise<[number, Record<string, { ok: boolean; why: string }>]>;
}

async function withWorker(work: (scene: Scene) => Promise<void>): Promise<void> {
  await using test = await testDatabase();
  await using proxy = await HalfOpenProxy.before(test.url);
  const times = new Map<string, number>();
  const simulator = await startSimulator({
    offers: 3000,
    faultFor: ({ search }) => {
      if (search === undefined) return undefined;
      const page = `${search.fiat}/${search.asset} ${search.side} ${search.page}`;
      times.set(page, (times.get(page) ?? -1) + 1);
      return scene.faults(page, times.get(page) ?? 0);
    },
  });
  const config = loadConfig({
    DATABASE_URL: proxy.through(urlAs("worker", test.url)),
    BINANCE_BASE_URL: simulator.url,
    MARKETS: "CNY/*,VES/*",
    PROMETHEUS_PORT: "0",
    ...FAST,
  });
  const stop = new AbortController();
  await using database = new Database(config.DATABASE_URL ?? "", { applicationName: "test" });
  await using extraction = await Extraction.begin({
    config,
    database,
    exchanges: configuredExchanges(config),
    purpose: "run",
    signal: stop.signal,
    showProgress: false,
  });
  await using http = listen(extraction, new AbortController().signal, 0);
  const scene: Scene = {
    test,
    proxy,
    stop,
    url: http.url,
    faults: () => undefined,
    once: () => {
      times.clear();
      return extraction.once();
    },
    scrape: () => scrape(http.url),
    health: async (path) => {
      const response = await fetch(http.url + path);
      const { ok, checks } = await response.json();
      assert.equal(response.status, ok ? 200 : 503);
      return [response.status, checks];
    },
  };
  try {
    await work(scene);
  } finally {
    await simulator.close();
  }
}

/** The table of docs/metrics.md says of each metric what the scrape says; the ceiling is not known here. */
function assertDocumented(text: string): void {
  const page = Deno.readTextFileSync(new URL("../../docs/metrics.md", import.meta.url));
  const rows = page.split("\n").filter((line) => /^\| `(p2p|process)_/.test(line))
    .map((line) => line.replaceAll(/ +/g, " "));
  const found = metricsIn(text);
  for (const metric of found) {
    const wanted = rowOf(metric).replaceAll(/ +/g, " ");
    const isThere = metric.hasSeries
      ? rows.includes(wanted)
      : rows.some((row) =>
        row.startsWith(`| \`${metric.name}\` | ${metric.type} |`) && row.includes(metric.help)
      );
    assert.ok(isThere, `not in docs/metrics.md: ${wanted}`);
  }
  const named = rows.map((row) => row.split("`")[1]);
  const scraped = found.map(({ name }) => name);
  assert.deepEqual(
    named.filter((name) => name === undefined || !scraped.includes(name)),
    ["p2p_rate_ceiling_per_minute"].filter((name) => !scraped.includes(name)),
  );
}

const LOST = "VES/USDT SELL 2";

Deno.test("a scrape counts what happened: pages, refusals, retries, lost pages, stores, loads, rejections, rules, the breaker", async () => {
  await withWorker(async (scene) => {
    const { test: { database } } = scene;
    const fresh = await scene.scrape();
    assert.equal(fresh.get("p2p_database_up"), 1);
    assert.equal(
      fresh.get('p2p_api_retries_total{exchange="binance"}'),
      0,
      "its first increase is seen",
    );
    assert.equal(fresh.get("p2p_last_good_batch_age_seconds"), undefined);
    assert.equal(fresh.get(`p2p_breaker_state{exchange="binance",state="closed"}`), 1);
    assert.equal(sumOf(fresh, "p2p_build_info", `tier="${tierOfTests()}"`, 'postgres="1'), 1);
    assert.deepEqual((await scene.health("/readyz"))[0], 200, "it has not been up for long");

    scene.faults = (page, times) =>
      page === LOST
        ? { kind: "refused" }
        : page === "CNY/USDT BUY 1" && times === 0
        ? { kind: "serverError" }
        : page === "CNY/USDT BUY 2" && times === 0
        ? { kind: "tooManyRequests" }
        : page.startsWith("CNY/USDT SELL ")
        ? { kind: "malformedOffers", how: "priceZero" }
        : undefined;
    const { batch } = await scene.once();
    const found = await eventually("the batch", async () => {
      const all = await scene.scrape();
      return all.has("p2p_last_good_batch_age_seconds") ? all : undefined;
    });
    // pages and requests
    assert.equal(sumOf(found, "p2p_offers_extracted_total"), batch.offersExtracted);
    const [cny] = await rowsOf(
      database,
      `select sum(d.total_offers_count) as offers from p2p.fact_market_depth d
       join p2p.dim_fiat_currencies f using (fiat_id) join p2p.dim_cryptocurrencies c using (crypto_id)
       where f.currency_code = 'CNY' and c.symbol = 'USDT' and d.trade_type = 'BUY'`,
    );
    const ofMarket = found.get(
      'p2p_offers_extracted_total{fiat="CNY",crypto="USDT",trade_type="BUY",exchange="binance"}',
    );
    assert.ok(Number(ofMarket) >= Number(cny?.["offers"]) && Number(cny?.["offers"]) > 0);
    const outcomes = (outcome: string) =>
      found.get(`p2p_api_request_duration_seconds_count{exchange="binance",outcome="${outcome}"}`);
    assert.equal(outcomes("rate_limited"), 1);
    assert.equal(outcomes("server_error"), 1);
    assert.equal(outcomes("refused"), 2);
    assert.ok(Number(outcomes("ok")) > 20);
    assert.equal(found.get('p2p_api_retries_total{exchange="binance"}'), 3);
    assert.equal(found.get('p2p_api_refused_total{exchange="binance"}'), 1);
    assert.ok(Number(found.get('p2p_api_received_bytes_total{exchange="binance"}')) > 100_000);
    // what is missing, and why
    assert.deepEqual(
      [...found].filter(([name]) => name.startsWith("p2p_extraction_errors_total")),
      [[
        'p2p_extraction_errors_total{fiat="VES",crypto="USDT",error_type="refused",exchange="binance"}',
        1,
      ]],
    );
    assert.equal(
      found.get("p2p_data_completeness_ratio"),
      batch.marketsCompleted / batch.marketsExpected,
    );
    assert.equal(found.get('p2p_batch_status{status="partial"}'), 1);
    assert.equal(found.get('p2p_batch_status{status="completed"}'), 0);
    assert.equal(found.get("p2p_failed_batches_in_a_row"), 1);
    // stores and the load
    const writes = (operation: string) =>
      found.get(`p2p_db_write_duration_seconds_count{operation="${operation}"}`);
    assert.ok(Number(writes("store_pages")) >= 4);
    assert.equal(writes("load_batch"), 1);
    assert.equal(found.get("p2p_batch_duration_seconds_count"), 1);
    assert.equal(found.get("p2p_offers_inserted_total"), batch.offersInserted);
    assert.equal(found.get("p2p_offers_rejected_total"), batch.offersRejected);
    assert.ok(batch.offersRejected > 0);
    assert.ok(Number(found.get('p2p_pipeline_step_seconds{step="load_offers"}')) > 0);
    assert.equal(found.get("p2p_failed_steps"), 0);
    const failed = await rowsOf(
      database,
      "select metric_name, result from p2p.ops_data_quality where not passed order by 1",
    );
    assert.ok(failed.some((row) => row["metric_name"] === "rejected_share"));
    for (const { metric_name: rule, result } of failed) {
      assert.equal(found.get(`p2p_quality_check_failed{rule="${rule}",severity="${result}"}`), 1);
    }
    assert.equal(sumOf(found, "p2p_quality_check_failed"), failed.length);
    // the process, the fleet
    assert.ok(Number(found.get("process_resident_memory_bytes")) > 50e6);
    assert.ok(Math.abs(Number(found.get("process_start_time_seconds")) - Date.now() / 1000) < 3600);
    assert.equal(found.get("p2p_active_workers"), 1);
    assert.equal(sumOf(found, "p2p_queue_markets"), 0, "no batch runs");
    const text = await scrapeText(scene.url);
    await checkWithPromtool(text);
    assertDocumented(text);

    // a batch under way
    const slow = Promise.withResolvers<void>();
    scene.faults = () => ({ kind: "slow", overMs: 300 });
    const running = scene.once().finally(slow.resolve);
    const queue = await eventually("the queue", async () => {
      const all = await scene.scrape();
      return sumOf(all, "p2p_queue_markets") > 0 ? all : undefined;
    });
    assert.equal(queue.get('p2p_batch_status{status="running"}'), 1);
    assert.equal(sumOf(queue, "p2p_worker_doing"), 1);
    scene.faults = () => undefined;
    await running;

    // the breaker: nothing but faults
    scene.faults = () => ({ kind: "reset" });
    const broken = scene.once().catch((error) => error);
    await eventually("an open breaker", async () => {
      const all = await scene.scrape();
      return all.get('p2p_breaker_state{exchange="binance",state="open"}') === 1 || undefined;
    });
    scene.stop.abort();
    await broken;
    assert.ok(
      Number(
        (await scene.scrape()).get(
          'p2p_api_request_duration_seconds_count{exchange="binance",outcome="connection"}',
        ),
      ) >= 10,
    );
  });
});

Deno.test("without a database a scrape answers within seconds, and readiness says what is wrong", async () => {
  await withWorker(async (scene) => {
    await scene.once();
    const [status, checks] = await eventually("readiness", async () => {
      const answer = await scene.health("/readyz");
      return answer[1]["last_batch"]?.why.startsWith("the last good batch") ? answer : undefined;
    });
    assert.equal(status, 200, JSON.stringify(checks));
    assert.deepEqual(Object.keys(checks), [
      "event_loop",
      "heartbeat",
      "database",
      "schema",
      "last_batch",
    ]);
    for (const gone of ["half open", "refused"] as const) {
      if (gone === "half open") scene.proxy.freeze();
      else scene.proxy.refuse();
      const down = await eventually(`${gone}: noticed`, async () => {
        const began = performance.now();
        const all = await scene.scrape();
        assert.ok(performance.now() - began < 10_000, "Prometheus waits no longer");
        return all.get("p2p_database_up") === 0 ? all : undefined;
      });
      assert.equal(down.get("p2p_data_completeness_ratio"), undefined, "not what it was before");
      assert.ok(
        Number(down.get("p2p_offers_inserted_total")) > 0,
        "what the process knows is there",
      );
      assert.equal(sumOf(down, "p2p_build_info", 'postgres="1'), 1);
      const [code, why] = await scene.health("/readyz");
      assert.equal(code, 503);
      assert.match(why["database"]?.why ?? "", /did not answer within 2 s|cannot be reached/);
      assert.equal(why["last_batch"]?.ok, false);
      assert.equal((await scene.health("/healthz"))[0], 200, "no reason to start anew");
      scene.proxy.pass();
      await eventually(
        "it is back",
        async () => (await scene.scrape()).get("p2p_database_up") === 1 || undefined,
      );
    }
  });
});

Deno.test("what a DBA adds is there, and what Prometheus would not take is left out", async () => {
  await withWorker(async (scene) => {
    const { test: { database } } = scene;
    await database.run("delete from p2p.schema_objects where name = 'functions/beat.sql'", [], 60);
    const { schema } = (await scene.health("/readyz"))[1];
    assert.equal(schema?.ok, false);
    assert.match(schema?.why ?? "", /0 migrations and 1 functions and views are to be applied/);

    const [row] = await rowsOf(
      database,
      "select pg_get_functiondef('p2p.database_metrics()'::regprocedure) as text",
    );
    const own = `table paused
      union all select 'p2p_my_lag_seconds', E'two\\nlines \\\\', '{"who": "a \\"b\\"", "n": 1}'::jsonb, 1.5
      union all select 'p2p_my_lag_seconds', '', '{"n": 1, "who": "a \\"b\\""}', 2
      union all select 'p2p_my_lag_seconds', '', '{"__x": "1"}', 3
      union all select 'p2p build info', '', '{}', 4
      union all select 'p2p_offers_inserted_total', '', '{}', 5
      union all select 'p2p_database_up', '', '{}', 6
      union all select 'p2p_my_ratio', 'h', '{}', null`;
    await scene.test.database.run(String(row?.["text"]).replace(/table paused\s*$/m, own), [], 60);
    const text = await scrapeText(scene.url);
    await checkWithPromtool(text);
    assert.ok(text.includes('p2p_my_lag_seconds{n="1",who="a \\"b\\""} 1.5\n'));
    assert.ok(text.includes("# HELP p2p_my_lag_seconds two\\nlines \\\\\n"));
    assert.ok(text.includes("p2p_my_ratio NaN\n"));
    assert.ok(text.includes("p2p_database_up 1\n") && !text.includes("p2p_database_up 6"));
    assert.equal(
      text.split("\n").filter((line) => /^p2p_(my_lag|offers_inserted)/.test(line)).length,
      2,
    );
  });
});

Deno.test("a function that was broken costs its own metrics, and nothing else", async () => {
  await withWorker(async (scene) => {
    await scene.test.database.run(
      `create or replace function p2p.database_metrics()
       returns table (metric text, help text, labels jsonb, value double precision)
       language sql stable rows 50 set search_path = p2p, pg_temp
       as $$ select 'p2p_x', '', '{}'::jsonb, (1 / (now() = 'epoch')::integer)::double precision $$`,
      [],
      60,
    );
    const found = await scene.scrape();
    assert.equal(found.get("p2p_database_up"), 1);
    assert.equal(found.get("p2p_active_workers"), undefined);
    const [status, checks] = await scene.health("/readyz");
    assert.equal(status, 503);
    assert.match(checks["database"]?.why ?? "", /division by zero/);
    assert.equal(checks["schema"]?.ok, true);
  });
});

Deno.test("ENABLE_METRICS=false, and a batch by hand: no port is opened; a port that is taken stops nothing", async () => {
  await using test = await testDatabase();
  const simulator = await startSimulator({ offers: 300 });
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const variables = {
    DATABASE_URL: urlAs("worker", test.url),
    BINANCE_BASE_URL: simulator.url,
    MARKETS: "CNY/*",
    PROMETHEUS_PORT: String(taken.addr.port),
    EXTRACTION_INTERVAL_MINUTES: "1",
    LOG_FORMAT: "json",
    ...FAST,
  };
  try {
    const endedOnce = async (
      ...[args, more]: [string[], Record<string, string>]
    ): Promise<string> => {
      await using program = new Program(args, { ...variables, ...more });
      if (args[0] === "run") {
        await eventually("idleness", () => /next batch at/.exec(program.stderr) ?? undefined);
        program.kill("SIGTERM");
      }
      const { code, stderr } = await program.ended;
      assert.equal(code, 0, stderr);
      return stderr;
    };
    const [byHand, without, busy] = [
      await endedOnce(["once"], {}),
      await endedOnce(["run"], { ENABLE_METRICS: "false" }),
      await endedOnce(["run"], {}),
    ];
    assert.doesNotMatch(byHand + without, /PROMETHEUS_PORT|listening/);
    assert.equal(busy.split("nothing listens on PROMETHEUS_PORT").length, 2, busy);
  } finally {
    await simulator.close();
  }
});
