// Rejected offers from their arrival to their repair, as a DBA does it: look, mend the function, replay.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { rowsOf } from "../support/batches.ts";
import { testDatabase, urlAs } from "../support/database.ts";
import { changeFunction, PARSER, PRICE } from "../support/live_functions.ts";
import { FAST, runProgram } from "../support/program.ts";
import { searchAnswer, SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";

/** An exchange with one market, whose prices have a decimal comma. */
function commaExchange(): { url: string; requests: () => number; close: () => Promise<void> } {
  let requests = 0;
  const items = ["1.234,50", "1.300,00", "36.50"].map((price, number) =>
    offer({ price, id: `1234567890123456789${number}` })
  );
  const envelope = (data: unknown) =>
    Response.json({ code: "000000", message: null, messageDetail: null, data, success: true });
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      requests++;
      const { pathname } = new URL(request.url);
      const body = await request.text();
      if (pathname.endsWith("/fiat-list")) {
        return envelope([{ currencyCode: "VES", countryCode: "VE" }]);
      }
      if (pathname.endsWith("/portal/config")) {
        const assets = [{ asset: "USDT", description: "Tether" }];
        return envelope({ areas: [{ area: "P2P", tradeSides: [{ side: "BUY", assets }] }] });
      }
      if (pathname.endsWith("/filter-conditions")) return envelope({ tradeMethods: [] });
      const isFirst = JSON.parse(body).page === 1;
      return new Response(searchAnswer(BUY, isFirst ? items : []), {
        headers: { "content-type": "application/json" },
      });
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    requests: () => requests,
    close: () => server.shutdown(),
  };
}

Deno.test("offers that were rejected are repaired by a function change and a replay, without the exchange", async () => {
  await using test = await testDatabase();
  const exchange = commaExchange();
  // As the service has it: the rights of the worker and no more.
  const worker = { DATABASE_URL: urlAs("worker", test.url), LOG_LEVEL: "warning" };
  const quarantine = (...args: string[]) => runProgram(["quarantine", ...args], worker);
  let asked: number;
  try {
    const once = await runProgram(["once", "--json"], {
      ...worker,
      BINANCE_BASE_URL: exchange.url,
      MARKETS: "VES/USDT",
      ...FAST,
    });
    strictEqual(once.code, 0, once.stderr);
    strictEqual(JSON.parse(once.stdout).offers_rejected, 2);
    asked = exchange.requests();
  } finally {
    await exchange.close();
  }
  ok(asked >= 3);

  const listed = await quarantine("list");
  strictEqual(listed.code, 0, listed.stderr);
  match(listed.stdout, /price is not a number +2 +1 .* VES\/USDT BUY 1:\d/);
  ok(listed.stdout.split("\n").every((line) => line.length <= 120));
  const shown = await quarantine("show", "--json", "--reason", "price is not a number");
  match(shown.stdout, /"advNo": ?"12345678901234567890"/);
  strictEqual(JSON.parse(shown.stdout)[0].payload.adv.price, "1.234,50");
  match((await quarantine("show")).stdout, /^price is not a number: VES[^]*"price": "1\.234,50"/);

  // The DBA, in psql.
  await changeFunction(
    test.database,
    PARSER,
    PRICE,
    `replace(regexp_replace(i.adv ->> 'price', '\\.(?=.*,)', '', 'g'), ',', '.') as price`,
  );

  const replayed = await quarantine("replay", "--json");
  strictEqual(replayed.code, 0, replayed.stderr);
  const { repaired, still_rejected, batches } = JSON.parse(replayed.stdout);
  deepStrictEqual([repaired, still_rejected, batches.length], [2, 0, 1]);
  deepStrictEqual(
    await rowsOf(
      test.database,
      "select f.price::text, r.total_offers_inserted as inserted, r.total_offers_rejected as rejected from p2p.fact_offers f join p2p.ops_batch_runs r using (batch_id) order by f.price",
    ).then((rows) => rows.map((row) => Object.values(row))),
    [["36.50", 3, 0], ["1234.50", 3, 0], ["1300.00", 3, 0]],
  );
  strictEqual(exchange.requests(), asked, "nothing was fetched");

  const again = await quarantine("replay");
  deepStrictEqual([again.code, again.stdout], [0, ""]);
  match(again.stderr, /nothing of it is in quarantine/);
  match((await quarantine("list")).stderr, /the quarantine is empty/);
});

Deno.test("discard: a dry run first, then no longer listed", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-03-01 10:00+00", {
    [BUY]: [offer({ price: "x" }), offer({ price: "0" })],
  });
  const quarantine = (...args: string[]) =>
    runProgram(["quarantine", ...args], { DATABASE_URL: urlAs("worker", sql.url) });
  const what = ["--reason", "price is not positive", "--note", "a test of the exchange"];

  const dry = await quarantine("discard", ...what, "--dry-run");
  strictEqual(dry.code, 0, dry.stderr);
  match(dry.stdout, /price is not positive +1 +1/);
  match(dry.stderr, /nothing was changed/);
  strictEqual(JSON.parse((await quarantine("list", "--json")).stdout).length, 2);

  strictEqual((await quarantine("discard", ...what)).code, 0);
  const left = JSON.parse((await quarantine("list", "--json")).stdout);
  deepStrictEqual(left.map((row: { reason: string }) => row.reason), ["price is not a number"]);

  const all = await quarantine("discard", "--all", "--note", "rubbish", "--json");
  deepStrictEqual(JSON.parse(all.stdout), [{
    reason: "price is not a number",
    offers: 1,
    batches: 1,
  }]);
  strictEqual((await quarantine("list", "--json")).stdout, "[]\n");
});

Deno.test("what is wrong with a quarantine command is one clear line and 64", async (t) => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [offer({ price: "x" })] });
  const before = await sql.dump();
  const cases: Readonly<Record<string, readonly [args: string[], says: RegExp]>> = {
    "no such reason": [
      ["show", "--reason", "price"],
      /error: no offer in quarantine has the reason "price"\nhint: there are: "price is not a number"\n$/,
    ],
    "no such batch": [
      ["replay", "--batch", "00000000-0000-0000-0000-000000000000"],
      /error: there is no batch 0000/,
    ],
    "no batch id": [["show", "--batch", "7"], /UUID/],
    "no time": [["replay", "--since", "2026-02-30"], /Expected a time such as 2026-03-01/],
    "no note": [["discard", "--all"], /--note/],
    "an empty note": [["discard", "--all", "--note", " "], /error: a note must say why/],
    "discard of nothing in particular": [
      ["discard", "--note", "x"],
      /error: discard what\?\nhint: --reason, --batch, or --all/,
    ],
    "all and one": [
      ["discard", "--note", "x", "--all", "--reason", "y"],
      /error: --all excludes --reason and --batch/,
    ],
    "no action": [[], /list|show/],
    "no limit": [["show", "--limit", "0"], /limit|1/],
  };
  for (const [name, [args, says]] of Object.entries(cases)) {
    await t.step(name, async () => {
      const { code, stdout, stderr } = await runProgram(["quarantine", ...args], {
        DATABASE_URL: sql.url,
      });
      strictEqual(code, 64, stderr);
      strictEqual(stdout, "");
      match(stderr, says);
    });
  }
  deepStrictEqual(await sql.dump(), before);
});

Deno.test("a function that raises stops the replay with its words and 75; what was repaired stays", async () => {
  await using sql = await SqlFixture.create();
  const first = await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [offer({ price: "0" })] });
  const second = await sql.loadBatch("2026-03-01 10:10+00", { [BUY]: [offer({ price: "0" })] });
  await changeFunction(
    sql.database,
    PARSER,
    PRICE,
    `case when s.batch_id = '${second.id}' then (1 / (s.page_number - 1))::text else '7' end as price`,
  );
  const { code, stdout, stderr } = await runProgram(["quarantine", "replay", "--json"], {
    DATABASE_URL: sql.url,
  });
  strictEqual(code, 75, stderr);
  deepStrictEqual(
    JSON.parse(stdout).batches.map((batch: { batch_id: string; repaired: number }) => [
      batch.batch_id,
      batch.repaired,
    ]),
    [[first.id, 1]],
  );
  match(
    stderr,
    new RegExp(
      `batch ${second.id} of .* could not be loaded: step parse_pages failed: division by zero\\nhint: `,
    ),
  );
});
