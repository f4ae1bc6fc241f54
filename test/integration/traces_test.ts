// What a collector receives of a real `once`, with a page that was refused, one that was lost and one asked twice.
import assert from "node:assert/strict";
import { startSimulator } from "../../src/simulator/server.ts";
import { rowsOf } from "../support/batches.ts";
import { startAlertReceiver } from "../support/alert_receiver.ts";
import { testDatabase, urlAs } from "../support/database.ts";
import { drawTree, OtlpReceiver } from "../support/otlp_receiver.ts";
import { FAST, runProgram } from "../support/program.ts";

const LOST = "VES/USDT SELL 2";
const REFUSED = "VES/USDT BUY 1";
const TWICE = "CNY/USDT BUY 1";

Deno.test("spans of a batch: market, page, staging, load and its steps; log lines bear their ids; nothing is logged by OTLP", async () => {
  await using test = await testDatabase();
  await using receiver = new OtlpReceiver();
  const asked = new Map<string, number>();
  const headers: string[] = [];
  const simulator = await startSimulator({
    offers: 1500,
    faultFor: ({ search, headers: sent }) => {
      headers.push(...Object.keys(sent).filter((name) => name.startsWith("trace")));
      if (search === undefined) return undefined;
      const page = `${search.fiat}/${search.asset} ${search.side} ${search.page}`;
      asked.set(page, (asked.get(page) ?? 0) + 1);
      if (page === LOST) return { kind: "reset" };
      if (page === REFUSED) return { kind: "refused" };
      return page === TWICE && asked.get(page) === 1
        ? { kind: "serverError", status: 503 }
        : undefined;
    },
  });
  await test.database.run(
    `create function p2p.step_that_fails(uuid) returns void language sql as $$ select 1 / (random() * 0)::integer $$;`,
    [],
    60,
  );
  await test.database.run(
    `grant execute on function p2p.step_that_fails(uuid) to p2p_worker`,
    [],
    60,
  );
  await test.database.run(
    `insert into p2p.pipeline_steps (name, position, function, is_required, is_enabled, comment)
     values ('own_step', 500, 'p2p.step_that_fails', false, true, 'fails')`,
    [],
    60,
  );
  try {
    const { code, stdout, stderr } = await runProgram(["once", "--json"], {
      DATABASE_URL: urlAs("worker", test.url),
      BINANCE_BASE_URL: simulator.url,
      MARKETS: "CNY/*,VES/*",
      MAX_RETRIES: "1",
      LOG_FORMAT: "json",
      ...FAST,
      ...receiver.environment,
    });
    assert.equal(code, 75, stderr);
    const summary = JSON.parse(stdout);
    const { spans } = receiver;
    const ofName = (name: string) => spans.filter((span) => span.name === name);
    const [batch, ...otherBatches] = ofName("batch");
    assert.ok(batch !== undefined && otherBatches.length === 0);
    if (Deno.env.get("SHOW_TREE")) {
      await Deno.writeTextFile(Deno.env.get("SHOW_TREE") ?? "", drawTree(receiver, batch));
    }
    assert.equal(batch.attributes["batch_id"], summary.batch_id);
    assert.equal(batch.attributes["status"], "partial");

    // market and page
    const markets = ofName("market");
    assert.equal(markets.length, summary.markets_expected);
    const pages = ofName("page");
    assert.equal(pages.length, summary.pages + 2);
    const known = new Map(spans.map((span) => [span.spanId, span]));
    const nameOf = ({ attributes: a }: typeof batch) => `${a["fiat"]}/${a["asset"]} ${a["side"]}`;
    for (const market of markets) assert.equal(market.parentSpanId, batch.spanId);
    for (const page of pages) {
      const market = known.get(page.parentSpanId);
      assert.equal(market?.name, "market");
      assert.equal(nameOf(page), nameOf(market));
      assert.ok(page.startMs >= market.startMs && page.endMs <= market.endMs);
      assert.equal(page.traceId, batch.traceId);
    }
    const pageOf = (wanted: string) => {
      const found = pages.filter((page) => `${nameOf(page)} ${page.attributes["page"]}` === wanted);
      assert.equal(found.length, 1, wanted);
      return found[0];
    };
    const { attributes: whole, error } = pageOf("CNY/USDT SELL 1") ?? {};
    const { exchange, attempt, outcome } = whole ?? {};
    assert.deepEqual([exchange, attempt, whole?.["http.response.status_code"], outcome, error], [
      "binance",
      1,
      200,
      "ok",
      undefined,
    ]);
    const twice = pageOf(TWICE);
    assert.deepEqual([twice?.attributes["attempt"], twice?.error], [2, undefined]);
    assert.deepEqual(twice?.events.map(({ name, attributes }) => [name, attributes["outcome"]]), [
      ["attempt failed", "server_error"],
    ]);
    const refused = pageOf(REFUSED);
    assert.deepEqual(
      [
        refused?.attributes["outcome"],
        refused?.attributes["http.response.status_code"],
        refused?.attributes["attempt"],
      ],
      ["refused", 200, 2],
    );
    assert.ok(refused?.error);
    const lost = pageOf(LOST);
    assert.deepEqual([lost?.attributes["outcome"], lost?.attributes["http.response.status_code"]], [
      "connection",
      undefined,
    ]);
    assert.match(lost?.error ?? "", /connection|reset/);

    // staging: the batch's, linked with every page once
    const stored = ofName("store_pages");
    assert.ok(stored.length > 0 && stored.every((span) => span.parentSpanId === batch.spanId));
    assert.deepEqual(
      stored.flatMap(({ links }) => links).toSorted(),
      pages.map(({ spanId }) => spanId).toSorted(),
    );

    // the load, and its steps end to end
    const [load] = ofName("load");
    assert.equal(load?.parentSpanId, batch.spanId);
    const steps = receiver.childrenOf(load?.spanId ?? "");
    const recorded = await rowsOf(
      test.database,
      "select step, seconds, error from p2p.ops_batch_steps where batch_id = $1 order by position",
      summary.batch_id,
    );
    assert.deepEqual(steps.map(({ name }) => name), recorded.map(({ step }) => step));
    for (const [i, { seconds, error }] of recorded.entries()) {
      const step = steps[i];
      assert.ok(step !== undefined);
      assert.ok(Math.abs(step.endMs - step.startMs - Number(seconds) * 1000) < 1);
      assert.equal(step.error, error ?? undefined);
    }
    assert.equal(steps.find(({ name }) => name === "own_step")?.error, "division by zero");
    assert.ok(
      steps.every((step) =>
        load !== undefined && step.startMs >= load.startMs - 1 && step.endMs <= load.endMs + 1
      ),
    );

    // Deno's own, one an attempt; the exchange is not told of them.
    const requests = spans.filter(({ scope }) => scope === "deno");
    assert.equal(requests.filter((span) => span.parentSpanId === twice?.spanId).length, 2);
    assert.deepEqual(headers, []);
    // Lines go to stderr, not to the collector; those of the batch bear its trace.
    assert.ok(!receiver.paths.has("/v1/logs"));
    assert.ok(!receiver.raw.includes("test_worker:"), "no password");
    const records = stderr.trim().split("\n").map((line) => JSON.parse(line));
    const discovery = records.find(({ message }) =>
      message === "asking the exchange for its markets"
    );
    assert.ok(ofName("discover").some(({ spanId }) => spanId === discovery?.span_id));
  } finally {
    await simulator.close();
  }
});

Deno.test("the URLs and keys that alerts are sent with are in no trace, by OpenTelemetry's own defaults", async () => {
  await using receiver = new OtlpReceiver();
  await using alerts = startAlertReceiver();
  const other = `${alerts.url}/nothing/SECRET99`;
  for (const variables of [alerts.variables, { ...alerts.variables, SLACK_WEBHOOK_URL: other }]) {
    await runProgram(["alert", "test"], { ...variables, ...receiver.environment });
  }
  assert.equal(alerts.received.length, 10, "begin and end, of three and of two");
  assert.doesNotMatch(receiver.raw, /SECRET|services\/T0/);
});
