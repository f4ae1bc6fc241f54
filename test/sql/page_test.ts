// What the status page asks for, with the rights of a reader.
import assert from "node:assert/strict";
import { Database, type Row } from "../../src/database/connection.ts";
import { urlAs } from "../support/database.ts";
import { SqlFixture, WORKER } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";
const OTHER = "ARS/BTC BUY";

type Document = Record<string, unknown>;

/** What a function returns to a reader. */
async function ask(
  sql: SqlFixture,
  call: string,
  ...parameters: (string | number)[]
): Promise<unknown> {
  await using reader = new Database(urlAs("reader", sql.url), {
    applicationName: "test reader",
    connections: 1,
  });
  const [row] = await reader.run(`select p2p.${call} as answer`, parameters, 60);
  return row?.["answer"] as unknown;
}

const problemsOf = (overview: Document) =>
  (overview["problems"] as Document[]).map(({ level, text }) => `${level}: ${text}`);

/** A time of that many minutes ago, cut to seconds. */
const ago = (minutes: number) =>
  new Date(Math.floor(Date.now() / 1000) * 1000 - minutes * 60_000).toISOString();

Deno.test("an empty database has an empty page", async () => {
  await using sql = await SqlFixture.create();
  const overview = await ask(sql, "page_overview($1)", 10) as Document;
  const { rules, ...rest } = overview;
  assert.deepEqual(rest, {
    state: "none",
    problems: [],
    incidents: [],
    is_paused: false,
    last_good: null,
    last_batch: null,
    running: null,
    workers: [],
  });
  assert.deepEqual([...new Set((rules as Document[]).map(({ result }) => result))], [null]);
  assert.deepEqual(await ask(sql, "page_batches($1)", 24), []);
  assert.deepEqual(await ask(sql, "page_coverage(now() - interval '1 day', $1)", 24), []);
  assert.deepEqual(await ask(sql, "page_markets()"), []);
  assert.deepEqual(await ask(sql, "page_access($1)", 24), []);
  assert.equal(await ask(sql, "page_market('binance', 'VES', 'USDT', $1)", 24), null);
});

Deno.test("all is well; then a batch runs, and what goes wrong is said, the worst first", async () => {
  await using sql = await SqlFixture.create();
  const good = await sql.loadBatch(ago(5), { [BUY]: [offer()], [SELL]: [offer()] });
  const well = await ask(sql, "page_overview($1)", 10) as Document;
  assert.deepEqual([well["state"], problemsOf(well), well["running"]], ["ok", [], null]);
  const last = well["last_batch"] as Document;
  assert.deepEqual([last["status"], last["markets"], last["of"], last["offers"]], [
    "completed",
    2,
    2,
    2,
  ]);
  assert.equal(last["start"], good.start.getTime() / 1000);

  const batch = await sql.openBatch({ markets: [BUY, SELL, OTHER] });
  await batch.page(BUY, [offer(), offer()]);
  await batch.page(SELL, [offer()], { last: false, total: 45 });
  const { running, workers } = await ask(sql, "page_overview($1)", 10) as {
    running: Document;
    workers: Document[];
  };
  assert.deepEqual([
    running["markets"],
    running["ended"],
    running["by_state"],
    running["pages"],
    running["offers"],
  ], [
    3,
    1,
    { complete: 1, fetching: 2 },
    2,
    22,
  ]);
  assert.deepEqual(running["by_worker"], [
    { worker: WORKER, pages: 2, offers: 22, held: 2, ended: 1 },
  ]);
  assert.ok(Number(running["fetch_until"]) > Date.now() / 1000);
  assert.equal(running["is_loading"], false);
  assert.deepEqual(workers.map((row) => [row["worker"], row["doing"], row["breaker"]]), [
    [WORKER, "fetching", "closed"],
  ]);

  await batch.lose(SELL, { page: 2 });
  await batch.endFetching();
  await batch.load();
  await sql.beat({ breaker: "open", breakerReason: "HTTP 403" });
  await sql.rows("update p2p.settings set value = 'on' where name = 'paused'");
  const bad = await ask(sql, "page_overview($1)", 10) as Document;
  assert.equal(bad["state"], "bad");
  assert.deepEqual(problemsOf(bad), [
    `bad: binance is not asked (${WORKER}): HTTP 403`,
    "bad: Quality: completeness (error)",
    "warn: 2 of 3 markets of the last batch are missing",
    `warn: Paused: no new batch is begun, says ${await sql.value("select session_user")}`,
  ]);

  await sql.rows("update p2p.settings set value = 'off' where name = 'paused'");
  await sql.rows("update p2p.ops_batch_runs set batch_end_time = now() - interval '31 minutes'");
  await sql.kill(WORKER);
  const late = problemsOf(await ask(sql, "page_overview($1)", 10) as Document);
  assert.equal(late[0], "bad: No batch has come for longer than three intervals");
  assert.equal(late.at(-1), "warn: No worker is alive");
});

Deno.test("batches, due times without one, and what became of each market", async () => {
  await using sql = await SqlFixture.create();
  const first = await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [offer()], [SELL]: [] });
  const second = await sql.openBatch({ markets: [BUY, SELL, OTHER], at: "2026-03-01 10:10+00" });
  await second.page(BUY, [offer()], { last: false });
  await second.lose(BUY, { page: 2 });
  await second.lose(OTHER);
  await second.endFetching();
  await second.load();
  await sql.rows(
    "insert into p2p.ops_skipped_batches (due_at, reason) values ('2026-03-01 10:05+00', 'too late')",
  );
  const batches = await ask(sql, "page_batches($1)", 24) as Document[];
  assert.deepEqual(
    batches.map((row) => [row["status"], row["complete"], row["planned"], row["failed_checks"]]),
    [["completed", 2, 2, 0], ["skipped", 0, 0, 0], ["partial", 0, 3, 1]],
  );
  assert.equal(batches[1]?.["why"], "too late");

  const names = new Map(
    (await ask(sql, "page_markets()") as [number, ...string[]][]).map((
      [id, exchange, fiat, asset, side],
    ) => [id, `${exchange} ${fiat}/${asset} ${side}`]),
  );
  const columns = await ask(sql, "page_coverage('2026-03-01', $1)", 24) as {
    start: number;
    markets: number[];
    states: string;
  }[];
  const named = columns.map(({ markets, states }) =>
    Object.fromEntries(markets.map((id, place) => [names.get(id), states[place]]))
  );
  assert.deepEqual(named, [
    { "binance VES/USDT BUY": "c", "binance VES/USDT SELL": "c" },
    { "binance VES/USDT BUY": "p", "binance VES/USDT SELL": "d", "binance ARS/BTC BUY": "f" },
  ]);
  assert.deepEqual(columns.map(({ start }) => start), [
    first.start.getTime() / 1000,
    second.start.getTime() / 1000,
  ]);
  const one = await ask(sql, "page_coverage('2026-03-01 10:00+00', $1)", 1) as unknown[];
  assert.equal(one.length, 1, "only what came after");
});

Deno.test("one market: prices over time, the newest book of both sides", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-02-20 10:00+00", { [BUY]: [offer({ price: "5" })], [SELL]: [] });
  await sql.loadBatch("2026-03-01 10:00+00", {
    [BUY]: [offer({ price: "11" })],
    [SELL]: [offer({ price: "9" })],
  });
  await sql.loadBatch("2026-03-01 10:10+00", {
    [BUY]: [
      offer({ price: "12.50", amount: "2", methods: ["Zelle", "Zinli"] }),
      offer({ price: "10", amount: "1" }),
      offer({ price: "10", amount: "3" }),
    ],
    [SELL]: [offer({ price: "8", amount: "4" }), offer({ price: "9.5", amount: "1.5" })],
  });
  const day = await ask(sql, "page_market('binance', 'VES', 'USDT', $1)", 24) as {
    history: Document;
    book: Record<string, Document>;
  };
  assert.deepEqual([day.history["bid"], day.history["ask"]], [[9, 9.5], [11, 10]]);
  assert.deepEqual(day.history["spread"], [20, 5.128]);
  const { asks, bids } = day.book;
  assert.deepEqual([asks?.["price"], asks?.["volume"], asks?.["total"]], [[10, 12.5], [4, 6], 3]);
  assert.deepEqual([bids?.["price"], bids?.["volume"]], [[9.5, 8], [1.5, 5.5]]);
  const offers = asks?.["offers"] as Document[];
  assert.deepEqual(offers.map(({ price }) => price), ["10", "10", "12.50"]);
  assert.deepEqual(offers[2]?.["methods"], ["Name of Zelle", "Name of Zinli"]);
  const month = await ask(sql, "page_market('binance', 'VES', 'USDT', $1)", 720) as typeof day;
  assert.deepEqual(month.history["ask"], [5, 10], "the last of each part");
  assert.equal(await ask(sql, "page_market('binance', 'VES', 'BTC', $1)", 24), null);
});

Deno.test("beat keeps a row a minute, one at each change of the breaker, and for so many days", async () => {
  await using sql = await SqlFixture.create();
  const kept = () =>
    sql.rows(
      "select worker, exchange, rate::integer, breaker, requests::integer, refused::integer, why from p2p.access_history order by noted_at",
    );
  const beat = (breaker: string, requests: number, refused: number) =>
    sql.work(
      "select p2p.beat($1, 'vm', '0', 'run', 'idle', 60, $2::text::jsonb)",
      "vm:1:a",
      JSON.stringify([{
        exchange: "binance",
        filter: [],
        rate_per_minute: 100,
        ceiling_per_minute: null,
        paused_seconds: 0,
        breaker,
        breaker_reason: breaker === "closed" ? null : "HTTP 403",
        breaker_memory: null,
        requests,
        refused,
        retries: 0,
      }]),
    );
  const pass = (time: string) =>
    sql.rows("update p2p.ops_access_history set noted_at = noted_at - $1::interval", time);
  await beat("closed", 10, 1);
  await pass("50 s");
  await beat("closed", 20, 2);
  await beat("open", 30, 5);
  await beat("open", 30, 5);
  const common = { worker: "vm", exchange: "binance", rate: 100 };
  assert.deepEqual(await kept(), [
    { ...common, breaker: "closed", requests: 10, refused: 1, why: null },
    { ...common, breaker: "open", requests: 20, refused: 4, why: "HTTP 403" },
  ]);
  const parts = async () => {
    const [series] = await ask(sql, "page_access($1)", 24) as Row[];
    return [series?.["worker"], series?.["requests"], series?.["refused"], series?.["breaker"]];
  };
  const sum = (values: unknown) => (values as number[]).reduce((a, b) => a + b, 0);
  const [worker, requests, refused, breaker] = await parts();
  assert.deepEqual([worker, sum(requests), sum(refused), (breaker as string[]).at(-1)], [
    "vm",
    30,
    5,
    "open",
  ]);

  await pass("61 s");
  await beat("open", 40, 5);
  assert.equal((await kept()).length, 3, "a minute is over");
  await pass("7 days");
  await beat("closed", 50, 5);
  assert.deepEqual(
    (await kept()).map(({ breaker, requests }) => [breaker, requests]),
    [["closed", 10]],
    "what is older than access_retention_days went",
  );
});

Deno.test("a worker may take the role of a reader, and no other", async () => {
  await using sql = await SqlFixture.create();
  await sql.work("select set_config('role', 'p2p_reader', true)");
  await assert.rejects(
    sql.work(
      "select set_config('role', pg_get_userbyid(nspowner), true) from pg_namespace where nspname = 'p2p'",
    ),
    /permission denied to set role/,
  );
});
