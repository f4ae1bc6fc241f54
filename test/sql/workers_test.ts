// What workers say of themselves, and what people are told: of workers, due times, markets, and after a load.
import assert from "node:assert/strict";
import type { Row } from "../../src/database/connection.ts";
import { SqlFixture, WORKER } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";
const TWO = "worker-2";

Deno.test("beat registers, renews, and clears away the long dead of its name", async () => {
  await using sql = await SqlFixture.create();
  const old = (worker: string, days: number) =>
    sql.rows(
      "update p2p.ops_workers set last_seen_at = now() - make_interval(days => $2) where worker_id = $1",
      worker,
      days,
    );
  for (const [worker, name] of [["a:1", "a"], ["a:2", "a"], ["b:1", "b"]] as const) {
    await sql.beat({ worker, name, rate: 50 });
  }
  await old("a:1", 8);
  await old("a:2", 6);
  await old("b:1", 8);
  await sql.beat({ worker: "a:3", name: "a", leaseSeconds: 15, breaker: "open" });
  assert.deepEqual(await sql.values("select worker_id from p2p.ops_workers order by 1"), [
    "a:2",
    "a:3",
    "b:1",
  ]);
  const state = () =>
    sql.row(
      `select w.doing, round(extract(epoch from w.lease_expires_at - w.last_seen_at))::integer as lease, e.breaker,
         e.breaker_since, e.rate_per_minute::integer as rate, e.paused_until - e.updated_at = interval '30 s' as paused
       from p2p.ops_workers w join p2p.ops_worker_exchanges e using (worker_id) where worker_id = 'a:3'`,
    );
  const first = await state();
  assert.deepEqual([first["doing"], first["lease"], first["paused"]], ["fetching", 15, null]);
  await sql.beat({
    worker: "a:3",
    name: "a",
    breaker: "open",
    doing: "waiting",
    rate: 70,
    pausedSeconds: 30,
  });
  const second = await state();
  assert.deepEqual([second["doing"], second["rate"], second["paused"]], ["waiting", 70, true]);
  assert.deepEqual(second["breaker_since"], first["breaker_since"], "open all the while");
  await sql.beat({ worker: "a:3", name: "a" });
  assert.deepEqual((await state())["breaker_since"], null);
  await assert.rejects(sql.beat({ exchanges: ["nowhere"] }), /there is no exchange nowhere/);
});

Deno.test("remembered_access: what the newest worker of a name had learned", async () => {
  await using sql = await SqlFixture.create();
  const remembered = (name: string) =>
    sql.row("select *, seconds_ago < 60 as is_new from p2p.remembered_access($1, 'binance')", name);
  assert.deepEqual(await remembered("a"), {});
  await sql.beat({ worker: "a:1", name: "a", rate: 90 });
  await sql.beat({
    worker: "a:2",
    name: "a",
    rate: 120,
    breaker: "open",
    breakerReason: "HTTP 403",
  });
  await sql.beat({ worker: "b:1", name: "b", rate: 10 });
  const { seconds_ago, ...rest } = await remembered("a");
  assert.equal(typeof seconds_ago, "number");
  assert.deepEqual(rest, {
    rate_per_minute: "120",
    ceiling_per_minute: null,
    breaker: "open",
    breaker_reason: "HTTP 403",
    breaker_memory: null,
    is_new: true,
  });
  await sql.rows("update p2p.ops_worker_exchanges set updated_at = now() + interval '15 minutes'");
  assert.deepEqual((await remembered("a"))["seconds_ago"], 0, "the clock has stepped back");
});

Deno.test("views: who is at work, what was due, what became of each market", async () => {
  await using sql = await SqlFixture.create();
  await sql.listMarkets([BUY, SELL, "ARS/BTC BUY", "ARS/USDT SELL"]);
  await sql.beat();
  await sql.beat({ worker: TWO, rate: 60, breaker: "half_open", pausedSeconds: 600 });
  await sql.beat({ worker: "gone", doing: "gone" });
  const { batch_id } = await sql.join({ due: new Date() });
  await sql.claim(batch_id, { count: 3 });
  const batch = await sql.batch(batch_id);
  await batch.page(BUY, [offer()]);
  await batch.page("ARS/USDT SELL", [offer()], { last: false });
  assert.deepEqual(
    await sql.rows(
      "select worker, alive, doing, exchange, rate::integer, breaker, held::integer, pause > interval '9 minutes' as pause, seen < interval '1 minute' as seen from p2p.workers order by worker",
    ),
    [
      {
        worker: "gone",
        alive: false,
        doing: "gone",
        rate: 1_000_000,
        breaker: "closed",
        held: 0,
        pause: null,
      },
      {
        worker: WORKER,
        alive: true,
        doing: "fetching",
        rate: 1_000_000,
        breaker: "closed",
        held: 2,
        pause: null,
      },
      {
        worker: TWO,
        alive: true,
        doing: "fetching",
        rate: 60,
        breaker: "half_open",
        held: 0,
        pause: true,
      },
    ].map((row) => ({ ...row, exchange: "binance", seen: true })),
  );
  const status = await sql.value("select p2p.status_report(1)") as Record<string, unknown>;
  assert.deepEqual(
    (status["workers"] as Row[]).map((
      row,
    ) => [
      row["who"],
      row["doing"],
      row["exchange"],
      row["rate_per_minute"],
      row["breaker"],
      row["markets"],
    ]),
    [
      [WORKER, "fetching", "binance", 1_000_000, "closed", 2],
      [TWO, "fetching", "binance", 60, "half_open", 0],
    ],
  );
  const ledger = () =>
    sql.rows("select market, outcome, pages, lost_pages, why from p2p.ledger order by market")
      .then((rows) => rows.map((row) => Object.values(row)));
  assert.deepEqual(await ledger(), [
    ["ARS/BTC BUY", "under way", 0, "", null],
    ["ARS/USDT SELL", "under way", 1, "", null],
    [BUY, "whole", 1, "", null],
    [SELL, "under way", 0, "", null],
  ]);
  await batch.lose("ARS/USDT SELL", { page: 2 });
  await batch.lose(SELL);
  await batch.endFetching("stopped");
  await batch.load();
  assert.deepEqual(await ledger(), [
    ["ARS/BTC BUY", "deferred", 0, "", "stopped"],
    ["ARS/USDT SELL", "partly", 1, "2", "http: HTTP 500"],
    [BUY, "whole", 1, "", null],
    [SELL, "failed", 0, "1", "http: HTTP 500"],
  ]);
  assert.deepEqual(
    await sql.rows("select outcome, batch from p2p.schedule"),
    [{ outcome: "partial", batch: batch_id }],
  );
});

Deno.test("status tells the newest due times that were skipped", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows(
    "insert into p2p.ops_skipped_batches (due_at, reason) select now() - n * interval '1 hour', 'r' || n from generate_series(1, 30) n",
  );
  const { skipped_ticks } = await sql.value("select p2p.status_report(1)") as {
    skipped_ticks: { due: string; reason: string }[];
  };
  assert.deepEqual(skipped_ticks.map(({ reason }) => reason), ["r1", "r2", "r3", "r4", "r5"]);
  assert.match(skipped_ticks[0]?.due ?? "", /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$/);
});

Deno.test("retention takes old skipped times and long dead workers away", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch(undefined, { [BUY]: [] });
  await sql.beat({ worker: "old" });
  await sql.rows(
    "update p2p.ops_workers set last_seen_at = now() - interval '31 days' where worker_id = 'old'",
  );
  await sql.rows(
    "insert into p2p.ops_skipped_batches (due_at, reason) values (now() - interval '401 days', ''), (now() - interval '399 days', '')",
  );
  await sql.rows("select p2p.apply_retention(null)");
  assert.equal(await sql.value("select count(*)::integer from p2p.ops_skipped_batches"), 1);
  assert.deepEqual(await sql.values("select worker_id from p2p.ops_workers"), [WORKER]);
});

Deno.test("batch_alerts: what a person is told of after a load", async () => {
  await using sql = await SqlFixture.create();
  const alerts = async (id: string) =>
    (await sql.rows("select * from p2p.batch_alerts($1) order by 1", id)).map((row) =>
      Object.values(row)
    );
  const good = await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [offer()] });
  assert.deepEqual(await alerts(good.id), []);

  await sql.database.runScript(
    `create function p2p.mine(p_batch_id uuid) returns void language plpgsql as 'begin perform 1 / 0; end';
     insert into p2p.pipeline_steps (name, position, function, comment) values ('mine', 100, 'p2p.mine', '');
     create function p2p.rule_mine(p_batch_id uuid) returns p2p.rule_finding language sql as 'select 1 / 0, null::jsonb';
     insert into p2p.quality_rules (name, function, severity, is_bad_when, error_threshold, comment)
     values ('mine', 'p2p.rule_mine', 'error', 'above', 0, 'x')`,
    20,
  );
  const bad = await sql.openBatch({ markets: [BUY, SELL], at: "2026-03-01 10:10+00" });
  // No price in any of the ads.
  await bad.page(
    BUY,
    ["1", "2", "3", "4"].map((id) => {
      const { adv, ...rest } = offer({ id });
      const { price: _, ...others } = adv as Record<string, unknown>;
      return { ...rest, adv: others };
    }),
  );
  await bad.lose(SELL);
  await bad.load();
  assert.deepEqual(await alerts(bad.id), [
    ["completeness", "completeness is 0.5000, limit 0.99"],
    ["rule_failed", "mine is broken, rejected_share is 1.0000, limit 0.05"],
    ["step_failed", "mine: division by zero"],
    ["structure_changed", "the answers have changed: data[].adv.price missing or unreadable"],
  ]);
});
