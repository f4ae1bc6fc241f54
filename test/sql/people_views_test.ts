import assert from "node:assert/strict";
import { Database, type Row } from "../../src/database/connection.ts";
import { urlAs } from "../support/database.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";
const ARS = "ARS/1000BONK SELL";

/** Views that people look at in a terminal. */
const FOR_PEOPLE = [
  "help",
  "freshness",
  "workers",
  "schedule",
  "ledger",
  "coverage",
  "gaps",
  "incidents",
  "last_failures",
  "failing_rules",
  "quarantine",
  "current_settings",
  "setting_changes",
  "table_sizes",
  "best_prices",
  "prices_by_payment_method",
];

async function readAs(sql: SqlFixture, statement: string): Promise<Row[]> {
  await using reader = new Database(urlAs("reader", sql.url), {
    applicationName: "test reader",
    connections: 1,
  });
  return [...await reader.run(statement, [], 60)];
}

/** Three batches: whole; one market failed and another incomplete; the same, and one deferred. */
async function threeBatches(sql: SqlFixture): Promise<void> {
  const first = await sql.openBatch({ markets: [BUY, SELL, ARS], at: "2026-03-01 10:00:00.5+00" });
  for (const market of [BUY, SELL, ARS] as const) await first.page(market, [offer()]);
  await first.load();
  for (const at of ["2026-03-01 10:10+00", "2026-03-01 10:20+00"]) {
    const batch = await sql.openBatch({ markets: [BUY, SELL, ARS], at });
    await batch.page(BUY, [
      offer({ price: "10", amount: "1", methods: ["Zelle"] }),
      offer({ price: "12.50", amount: "2", methods: ["Zelle", "Zinli"] }),
      offer({ price: "x" }),
      ...(at.includes("10:20") ? [offer({ price: "0" })] : []),
    ], { last: false });
    await batch.lose(BUY, { page: 2 });
    await batch.page(SELL, [
      offer({ price: "11", methods: ["Zinli"] }),
      offer({ price: "9", methods: ["Zinli"] }),
    ]);
    if (at.includes("10:20")) await batch.endFetching("the deadline of 480 s came first");
    else {
      const message = `the answer is no JSON: <!DOCTYPE html>${" and so on".repeat(50)}`;
      await batch.lose(ARS, {}, "unexpected_shape", message);
    }
    await batch.load();
  }
  await sql.rows(
    "update p2p.ops_batch_runs set due_at = batch_start_time where batch_start_time > '2026-03-01 10:15+00'",
  );
  await sql.rows(
    "insert into p2p.ops_skipped_batches (due_at, reason) values ('2026-03-01 10:30+00', repeat('why ', 20))",
  );
  await sql.rows(
    "select p2p.raise_incident('structure_changed', repeat('x', 200), repeat('why ', 500), 'worker-1:1:abcdef')",
  );
  await sql.rows("update p2p.settings set value = '14' where name = 'raw_retention_days'");
  await sql.rows("update p2p.settings set comment = repeat('long ', 50) where name = 'paused'");
}

Deno.test("help names every view, and its queries run for a reader", async (t) => {
  await using sql = await SqlFixture.create();
  await threeBatches(sql);
  const help = await readAs(sql, "select * from p2p.help");
  assert.deepEqual(
    help.map((row) => row["look_in"]).sort(),
    (await sql.values(
      "select relname from pg_class where relnamespace = 'p2p'::regnamespace and relkind in ('v', 'm') and relname !~ '^from_|_v[0-9]+$|^aggregate_sources$|^outdated_ranges$'",
    )).sort(),
    "a new view needs a row in sql/views/help.sql, but for what only other views read",
  );
  // What was changed in the SQL is for owner and worker.
  for (const row of help.filter(({ look_in }) => look_in !== "object_states")) {
    await t.step(String(row["query"]), async () => {
      assert.ok(String(row["query"]).includes(`p2p.${row["look_in"]}`));
      await readAs(sql, String(row["query"]));
    });
  }
});

Deno.test("views for people fit a terminal of 120 columns, as psql draws them", async (t) => {
  await using sql = await SqlFixture.create();
  await threeBatches(sql);
  for (const view of FOR_PEOPLE) {
    await t.step(view, async () => {
      const rows = (await readAs(
        sql,
        `select v.value::text from p2p.${view} cross join lateral row_to_json(${view}) as v (value)`,
      )).map((row) => JSON.parse(String(row["value"])) as Record<string, unknown>);
      assert.ok(rows.length > 0, "there is something to see");
      const names = Object.keys(rows[0] ?? {});
      const widths = names.map((name) =>
        Math.max(name.length, ...rows.map((row) => String(row[name] ?? "").length))
      );
      const width = widths.reduce((sum, one) => sum + one + 3, -1);
      assert.ok(
        width <= 120,
        `${width} columns: ${names.map((name, i) => `${name} ${widths[i]}`)}`,
      );
    });
  }
});

Deno.test("views for people work on an empty database", async () => {
  await using sql = await SqlFixture.create();
  for (const view of FOR_PEOPLE) await readAs(sql, `select * from p2p.${view}`);
  assert.deepEqual(await readAs(sql, "select * from p2p.freshness"), [], "nothing was asked yet");
});

Deno.test("freshness: the newest loaded batch, and whether it is paused", async () => {
  await using sql = await SqlFixture.create();
  await threeBatches(sql);
  const failed = await sql.openBatch({ markets: [BUY], at: "2026-03-01 10:30+00" });
  await failed.lose(BUY);
  await failed.load();
  await sql.rows("update p2p.settings set value = 'on' where name = 'paused'");
  assert.deepEqual(
    await sql.row(
      "select last_good_batch, loaded_ago < interval '1 minute' as is_new, status, markets_completed, markets_expected, offers, paused from p2p.freshness",
    ),
    {
      last_good_batch: new Date("2026-03-01T10:20:00Z"),
      is_new: true,
      status: "partial",
      markets_completed: 1,
      markets_expected: 3,
      offers: 4,
      paused: "on",
    },
  );
});

Deno.test("coverage: what was planned and what came whole in 24 hours", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-02-28 10:20+00", { [BUY]: [] });
  await threeBatches(sql);
  assert.deepEqual(
    (await sql.rows(
      "select fiat_code, markets::integer, planned::integer, complete::integer, complete_percent::text, incomplete::integer, failed::integer, deferred::integer, batches::integer from p2p.coverage",
    )).map((row) => Object.values(row)),
    [
      ["ARS", 1, 3, 1, "33.33", 0, 1, 1, 3],
      ["VES", 2, 6, 4, "66.67", 2, 0, 0, 3],
    ],
    "exactly a day before is not within",
  );
});

Deno.test("gaps: what is missing now, since when and why", async () => {
  await using sql = await SqlFixture.create();
  await threeBatches(sql);
  const gaps = () =>
    sql.rows(
      "select market, status, missing_since, batches::integer, lost_pages, why from p2p.gaps",
    )
      .then((rows) => rows.map((row) => Object.values(row)));
  const since = new Date("2026-03-01T10:10:00Z");
  assert.deepEqual(await gaps(), [
    [ARS, "deferred", since, 2, "", "the deadline of 480 s c"],
    [BUY, "incomplete", since, 2, "2", "http: HTTP 500"],
  ]);
  // A batch over some of the markets hides nothing of the others.
  const some = await sql.openBatch({ markets: [BUY, SELL, ARS], at: "2026-03-01 10:30+00" });
  await some.page(BUY, []);
  await sql.rows(
    "delete from p2p.ops_batch_markets where batch_id = $1 and market_id <> $2",
    some.id,
    some.market(BUY),
  );
  await some.load();
  assert.deepEqual((await gaps()).map(([market]) => market), [ARS]);
  // What the exchange lists no more is not missing.
  await sql.listMarkets([BUY]);
  assert.deepEqual(await gaps(), []);
});

Deno.test("gaps: a market that was never whole has no time since when", async () => {
  await using sql = await SqlFixture.create();
  for (const minute of ["00", "10", "20"]) {
    const batch = await sql.openBatch({ markets: [BUY], at: `2026-03-01 10:${minute}+00` });
    await batch.lose(BUY);
    await batch.load();
  }
  assert.deepEqual(
    await sql.rows("select missing_since, batches::integer from p2p.gaps"),
    [{ missing_since: null, batches: 3 }],
  );
});

Deno.test("last_failures: newest first, and whether it mended itself", async () => {
  await using sql = await SqlFixture.create();
  await sql.work("select p2p.record_discovery_problem('ARS', 'http', 'HTTP 403')");
  const failed = await sql.openBatch({ markets: [BUY], at: "2026-03-01 10:00+00" });
  await failed.lose(BUY);
  await failed.load();
  const failures = () =>
    sql.rows(
      "select what, kind, message, resolved, exchange from p2p.last_failures order by kind, what",
    )
      .then((rows) => rows.map((row) => Object.values(row)));
  const discovery = ["ARS", "http", "HTTP 403", false, null];
  assert.deepEqual(await failures(), [
    ["batch of 03-01 10:00", "batch", "markets failed: 1; pag", false, null],
    discovery,
    ["VES/USDT BUY page 1", "http", "HTTP 500", false, "binance"],
  ]);
  // Errors bear the time they happened at; the batch that mends them starts later.
  await sql.rows("update p2p.ops_extraction_errors set error_timestamp = '2026-03-01 10:00:30+00'");
  await sql.loadBatch("2026-03-01 10:10+00", { [BUY]: [] });
  assert.deepEqual((await failures()).map((row) => row[3]), [true, false, true]);
  const times = await sql.values("select failed_at from p2p.last_failures");
  assert.deepEqual(times, times.toSorted((a, b) => Number(b) - Number(a)));
});

Deno.test("failing_rules: what the newest batch breaks, and since when", async () => {
  await using sql = await SqlFixture.create();
  assert.deepEqual(await sql.rows("select * from p2p.failing_rules"), []);
  await threeBatches(sql);
  assert.deepEqual(
    await sql.rows(
      "select rule, value::text, threshold::text, failing_since, batches::integer from p2p.failing_rules where rule in ('completeness', 'rejected_share') -- one item of three is no share yet",
    ),
    [
      {
        rule: "completeness",
        value: "0.333333",
        threshold: "0.99",
        failing_since: new Date("2026-03-01T10:10:00Z"),
        batches: 2,
      },
    ],
  );
  await sql.loadBatch("2026-03-01 10:30+00", { [BUY]: [offer()], [SELL]: [], [ARS]: [] });
  assert.deepEqual(await sql.rows("select * from p2p.failing_rules"), []);
});

Deno.test("best_prices: the newest book of each side, and the spread", async () => {
  await using sql = await SqlFixture.create();
  await threeBatches(sql);
  await sql.loadBatch("2026-03-01 10:30+00", { [SELL]: [offer({ price: "9.5" })], [ARS]: [] });
  assert.deepEqual(
    (await sql.rows(
      "select pair, best_ask::text, best_bid::text, spread_percent::text, median_ask::text, median_bid::text, exchange from p2p.best_prices",
    )).map((row) => Object.values(row)),
    // ARS: its newest book is empty.
    [["VES/USDT", "10", "9.5", "5.13", "11.25", "9.50", "binance"]],
  );
});

Deno.test("prices_by_payment_method: an offer counts for every method it takes", async () => {
  await using sql = await SqlFixture.create();
  await threeBatches(sql);
  assert.deepEqual(
    (await sql.rows(
      "select market, payment_method, offers::integer, best_price::text, median_price::text, available_amount::text from p2p.prices_by_payment_method where market like 'VES/%' order by 1, 2",
    )).map((row) => Object.values(row)),
    [
      [BUY, "Name of Zelle", 2, "10", "10", "3"],
      [BUY, "Name of Zinli", 1, "12.50", "12.50", "2"],
      [SELL, "Name of Zinli", 2, "11", "9", "200.00"],
    ],
  );
});
