// The service in several processes on one database: they share a batch, come, go and die.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { Database } from "../../src/database/connection.ts";
import { type Simulator, startSimulator } from "../../src/simulator/server.ts";
import { Postgres } from "../chaos/postgres.ts";
import { rowsOf, valueOf } from "../support/batches.ts";
import { testDatabase, urlAs } from "../support/database.ts";
import { HalfOpenProxy } from "../support/half_open_proxy.ts";
import { eventually, FAST, MOST_STOPPING_MS, Program, type Variables } from "../support/program.ts";
import {
  endLeases,
  holdTable,
  killSessions,
  pagesStored,
  someoneWaits,
} from "../support/sessions.ts";
import { expectedOffers, type KnownOffer, storedOffers } from "../support/truth.ts";

interface Exchange {
  readonly simulator: Simulator;
  readonly variables: Variables;
  /** Pages as they were asked for, e.g. `VES/USDT BUY 1`. */
  readonly asked: string[];
  /** Of each answer. */
  latencyMs: number;
  readonly truth: readonly KnownOffer[];
}

async function withExchange(work: (exchange: Exchange) => Promise<void>): Promise<void> {
  const asked: string[] = [];
  const simulator = await startSimulator({
    offers: 1500,
    now: () => Date.UTC(2026, 8, 1, 9),
    faultFor: ({ search }) => {
      if (search === undefined) return undefined;
      asked.push(`${search.fiat}/${search.asset} ${search.side} ${search.page}`);
      return { kind: "slow", overMs: exchange.latencyMs };
    },
  });
  const exchange: Exchange = {
    simulator,
    asked,
    latencyMs: 50,
    variables: {
      BINANCE_BASE_URL: simulator.url,
      EXTRACTION_INTERVAL_MINUTES: "1440",
      MARKETS: "*/USDT",
      MAX_WORKERS: "4",
      LOG_FORMAT: "text",
      ...FAST,
    },
    truth: expectedOffers(simulator.market).filter(({ market }) => market.includes("/USDT ")),
  };
  try {
    await work(exchange);
  } finally {
    await simulator.close();
  }
}

/** Waits until the only batch has ended; answers its id and status. */
function batchEnded(database: Database): Promise<{ id: string; status: string; why: string }> {
  return eventually("the end of the batch", async () => {
    const [row] = await rowsOf(
      database,
      "select batch_id, status, error_summary from p2p.ops_batch_runs where status <> 'running'",
    ).catch(() => []);
    return row && {
      id: String(row["batch_id"]),
      status: String(row["status"]),
      why: String(row["error_summary"]),
    };
  }, 60);
}

function workersAtWork(database: Database, count: number): Promise<true> {
  return eventually(`${count} workers with markets`, async () => {
    const workers = await valueOf(
      database,
      "select count(distinct worker_id) from p2p.ops_batch_markets where worker_id is not null",
    );
    return Number(workers) >= count ? true : undefined;
  });
}

/** Pages that were asked for more than once. */
function twice(asked: readonly string[]): string[] {
  return asked.filter((page, index) => asked.indexOf(page) !== index);
}

async function storedPages(database: Database): Promise<Set<string>> {
  const rows = await rowsOf(
    database,
    `select f.currency_code || '/' || c.symbol || ' ' || m.trade_type || ' ' || s.page_number as page
     from p2p.stg_responses s join p2p.dim_markets m using (market_id)
     join p2p.dim_fiat_currencies f using (fiat_id) join p2p.dim_cryptocurrencies c using (crypto_id)`,
  );
  return new Set(rows.map((row) => String(row["page"])));
}

async function stopAll(...workers: Program[]): Promise<void> {
  for (const worker of workers) worker.kill("SIGTERM");
  for (const worker of workers) {
    const { code, stderr } = await worker.ended;
    strictEqual(code, 0, stderr);
  }
}

Deno.test("three workers share a batch; one is killed: nothing is missing, nothing there twice, no page fetched again", async () => {
  await using test = await testDatabase();
  await withExchange(async (exchange) => {
    const { asked, truth } = exchange;
    exchange.latencyMs = 400;
    const start = (name: string) =>
      new Program(["run"], {
        ...exchange.variables,
        DATABASE_URL: urlAs("worker", test.url),
        WORKER_NAME: name,
      });
    await using a = start("a");
    await using b = start("b");
    await using victim = start("victim");
    await workersAtWork(test.database, 3);
    exchange.latencyMs = 100;
    await pagesStored(test.database, 60);
    victim.kill("SIGKILL");
    await victim.ended;
    const [stored, before] = [await storedPages(test.database), asked.length];
    await endLeases(test.database, "victim");

    const { id, status, why } = await batchEnded(test.database);
    strictEqual(status, "completed", why);
    deepStrictEqual(await storedOffers(test.database, id), truth);
    deepStrictEqual(asked.slice(before).filter((page) => stored.has(page)), []);
    // Only what the victim had in hand is asked again, and that once.
    deepStrictEqual([asked.slice(0, before), asked.slice(before)].map(twice), [[], []]);
    const workers = await rowsOf(
      test.database,
      "select distinct split_part(worker_id, ':', 1) as name from p2p.ops_batch_markets order by 1",
    );
    ok(workers.length >= 2, "two of them fetched");

    const lines = await eventually("a line of each", () => {
      const told = [a, b].map(({ stdout }) => /^batch .*$/m.exec(stdout)?.[0]);
      return told.every((line) => line !== undefined) ? told.join("\n") : undefined;
    });
    strictEqual(lines.match(/^batch \S+ completed · (\d+) of \1 markets · .* s$/gm)?.length, 1);
    strictEqual(lines.match(/^batch \S+ completed · .* · loaded by [ab]:\d+:\w{8}$/gm)?.length, 1);

    await stopAll(a, b);
    const left = await valueOf(
      test.database,
      `select count(*) from pg_stat_activity
       where datname = current_database() and application_name like 'p2p-ingest%'`,
    );
    strictEqual(left, "0", "no connection is left");
    strictEqual(
      await valueOf(test.database, "select count(*) from p2p.live_workers()"),
      "0",
    );
  });
});

Deno.test("SIGTERM of one of two: it hands its markets back and goes, the other completes the batch", async () => {
  await using test = await testDatabase();
  await withExchange(async (exchange) => {
    exchange.latencyMs = 200;
    const variables = { ...exchange.variables, DATABASE_URL: urlAs("worker", test.url) };
    await using a = new Program(["run"], { ...variables, WORKER_NAME: "a" });
    await using b = new Program(["run"], { ...variables, WORKER_NAME: "b" });
    await workersAtWork(test.database, 2);
    const told = performance.now();
    a.kill("SIGTERM");
    const { code, stdout, stderr } = await a.ended;
    strictEqual(code, 0, stderr);
    ok(performance.now() - told < 5000, "docs/what-happens.md promises that");
    match(stdout, /^batch \S+ · left to the other workers$/m);
    exchange.latencyMs = 20;
    const { id, status, why } = await batchEnded(test.database);
    strictEqual(status, "completed", why);
    deepStrictEqual(await storedOffers(test.database, id), exchange.truth);
    deepStrictEqual(twice(exchange.asked), [], "its pages in hand were stored");
    await stopAll(b);
  });
});

Deno.test("SIGTERM of the only one: what came is loaded, the rest deferred, and it ends with 0", async () => {
  await using test = await testDatabase();
  await withExchange(async (exchange) => {
    const worker = new Program(["run"], {
      ...exchange.variables,
      DATABASE_URL: urlAs("worker", test.url),
    });
    await pagesStored(test.database, 40);
    const told = performance.now();
    await stopAll(worker);
    ok(performance.now() - told < MOST_STOPPING_MS);
    const { status, why } = await batchEnded(test.database);
    strictEqual(status, "partial");
    match(why, /markets deferred: \d+/);
    const reasons = await rowsOf(
      test.database,
      "select distinct reason from p2p.ops_batch_markets where status = 'deferred'",
    );
    deepStrictEqual(reasons.map(({ reason }) => reason), ["the worker was told to stop"]);
    deepStrictEqual(await rowsOf(test.database, "select kind from p2p.incidents"), [], "no alarm");
  });
});

Deno.test("a second SIGTERM ends it at once, also in the middle of a load", async () => {
  await using test = await testDatabase();
  await withExchange(async (exchange) => {
    exchange.latencyMs = 300; // no load before the lock
    await using worker = new Program(["run"], {
      ...exchange.variables,
      DATABASE_URL: urlAs("worker", test.url),
    });
    await pagesStored(test.database, 10);
    await using _lock = await holdTable(test.url, "p2p.fact_market_depth");
    worker.kill("SIGTERM");
    await someoneWaits(test.database);
    const loading = performance.now();
    await eventually("a moment", () => performance.now() - loading > 1100 || undefined);
    const told = performance.now();
    worker.kill("SIGTERM");
    strictEqual((await worker.ended).code, 75);
    // The table is held still: the load would wait 300 s, and whoever waits for a delivery 5 s.
    ok(performance.now() - told < 4000);
  });
});

Deno.test("a tick that comes too late gets no batch, and is written down", async () => {
  await using test = await testDatabase();
  await withExchange(async ({ variables, asked }) => {
    await test.database.runScript(
      `insert into p2p.ops_batch_runs (batch_start_time, batch_end_time, status, worker_id, due_at)
       select due, due + interval '1 minute', 'completed', 'x', due
       from (select date_trunc('day', now() at time zone 'UTC') at time zone 'UTC' - interval '1 day') as d (due);
       update p2p.settings set value = '0' where name = 'schedule_grace_seconds'`,
      20,
    );
    await using worker = new Program(["run"], {
      ...variables,
      DATABASE_URL: urlAs("worker", test.url),
    });
    await eventually(
      "word of it",
      () => /warning the batch of \S+ is skipped: .* late/.exec(worker.stderr) ?? undefined,
    );
    await stopAll(worker);
    deepStrictEqual(asked, []);
    strictEqual(await valueOf(test.database, "select count(*) from p2p.ops_batch_runs"), "1");
    const [skipped] = await rowsOf(
      test.database,
      `select due_at = date_trunc('day', now() at time zone 'UTC') at time zone 'UTC' as is_today, reason
       from p2p.ops_skipped_batches`,
    );
    strictEqual(skipped?.["is_today"], true);
    match(String(skipped?.["reason"]), / s late$/);
  });
});

Deno.test("PostgreSQL is killed and comes back in the middle of a batch: no page is fetched twice, none is missing", async () => {
  await using server = await Postgres.start();
  await using proxy = await HalfOpenProxy.before(server.url);
  await withExchange(async (exchange) => {
    await using worker = new Program(["run"], {
      ...exchange.variables,
      DATABASE_URL: proxy.through(server.workerUrl),
    });
    {
      await using database = server.connect();
      await pagesStored(database, 60);
    }
    await server.end("SIGQUIT");
    proxy.cut();
    await eventually(
      "the alert",
      () => worker.stderr.includes("error database_lost: ") ? true : undefined,
    );
    await server.open();
    proxy.redirect(server.url);
    await using database = server.connect();
    const { id, status, why } = await batchEnded(database);
    strictEqual(status, "completed", why);
    deepStrictEqual(await storedOffers(database, id), exchange.truth);
    deepStrictEqual(twice(exchange.asked), []);
    match(worker.stderr, /database_lost: the database is back/);
    await stopAll(worker);
  });
});

Deno.test("sessions that are killed at every stage cost nothing but time", async () => {
  await using test = await testDatabase();
  await withExchange(async (exchange) => {
    const url = urlAs("worker", test.url);
    await using same = new Database(url, { applicationName: "test" }); // whose sessions it may end
    exchange.latencyMs = 300; // it is met fetching, and its load is held before it comes
    await using worker = new Program(["run"], { ...exchange.variables, DATABASE_URL: url });
    let lock: AsyncDisposable | undefined;
    for (const doing of ["discovering", "fetching", "loading"]) {
      await eventually(
        doing,
        async () =>
          (await rowsOf(test.database, "select from p2p.ops_workers where doing = $1", doing))[0],
      );
      await eventually("a session to kill", async () => await killSessions(same) > 0 || undefined);
      if (doing === "fetching") {
        lock = await holdTable(test.url, "p2p.fact_market_depth");
        exchange.latencyMs = 0;
      }
      if (doing === "loading") await lock?.[Symbol.asyncDispose]();
    }
    const { id, status, why } = await batchEnded(test.database);
    strictEqual(status, "completed", why);
    deepStrictEqual(await storedOffers(test.database, id), exchange.truth);
    deepStrictEqual(twice(exchange.asked), []);
    await stopAll(worker);
  });
});

Deno.test("the server is told to look whether its client still lives, also by a plain worker", async () => {
  await using test = await testDatabase();
  await using worker = new Database(urlAs("worker", test.url), { applicationName: "test" });
  const settings = await valueOf(
    worker,
    `select string_agg(name || '=' || setting, ' ' order by name) from pg_settings
     where name in ('client_connection_check_interval', 'tcp_keepalives_idle', 'tcp_user_timeout')`,
  );
  match(
    settings,
    /^client_connection_check_interval=10000 tcp_keepalives_idle=20 tcp_user_timeout=50000$/,
  );
});
