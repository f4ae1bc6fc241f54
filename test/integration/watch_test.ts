// `status --watch` in a real terminal: what is on the screen, and that the terminal is given back.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { HalfOpenProxy } from "../support/half_open_proxy.ts";
import { runProgram } from "../support/program.ts";
import { PseudoTerminal } from "../support/pseudo_terminal.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const SELL = "VES/USDT SELL";

/** What stood there is back, the cursor is seen, and keys are lines again. */
async function isGivenBack(terminal: PseudoTerminal, code: string): Promise<void> {
  strictEqual(await terminal.told("code"), code, terminal.output);
  await terminal.ended;
  const [before = "", after = ""] = terminal.output.split("\x1b[?25h\x1b[?1049l");
  ok(before.includes("\x1b[?1049h\x1b[?25l"));
  ok(!after.includes("\x1b[H"), "nothing is drawn any more");
  match(after, / icanon /);
  match(after, / echo /);
}

Deno.test("the running batch moves, the size is kept to, a lost database is a line, and q ends it", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch(undefined, { [BUY]: [offer({ id: "1" })] });
  const batch = await sql.openBatch({ markets: [BUY, SELL] });
  await using proxy = await HalfOpenProxy.before(sql.url);
  await using terminal = new PseudoTerminal(["status", "--watch"], {
    DATABASE_URL: proxy.through(sql.url),
    EXTRACTION_INTERVAL_MINUTES: "10",
    NO_COLOR: "",
  });
  await terminal.shows(/^Running: batch \S+, fetching, begun \d+ s ago, deadline in \d+ (min|s)$/);
  await terminal.shows(/^░{40} 0 of 2 markets$/);
  await terminal.shows(/^2 in hand · 0 pages stored$/);
  await terminal.shows(/^worker-1 +fetching +binance +1000000 .* closed /);
  await batch.page(BUY, [offer({ id: "1" })]);
  await terminal.shows(/^█{20}░{20} 1 of 2 markets · \d+ a minute$/);
  ok(terminal.output.includes("\x1b[32m█"), "in colour");

  await terminal.resize(9, 50);
  await terminal.shows(/^Database .{41}$/);
  deepStrictEqual(
    [terminal.screen.length, terminal.screen.filter((line) => line.length > 50)],
    [9, []],
  );
  await terminal.resize(40, 120);

  proxy.refuse();
  await terminal.shows(/^the database at \S+ /);
  await terminal.shows(/^asking again …; below is what it said \d+ s ago$/);
  await terminal.shows(/^█{20}░{20} 1 of 2 markets/);
  proxy.pass();
  await batch.page(SELL, []);
  await terminal.shows(/all fetched, not yet loading, begun/);
  ok(!terminal.screen.some((line) => line.startsWith("asking again")));

  await terminal.type("xq");
  await isGivenBack(terminal, "0");
});

Deno.test("Ctrl-C, SIGTERM and an error give the terminal back, too", async () => {
  await using sql = await SqlFixture.create();
  const variables = { DATABASE_URL: sql.url };
  const begun = async () => {
    const terminal = new PseudoTerminal(["status", "-w"], variables);
    await terminal.shows(/^No batch has been loaded yet\./);
    return terminal;
  };
  {
    await using terminal = await begun();
    await terminal.type("\x03");
    await isGivenBack(terminal, "0");
  }
  {
    await using terminal = await begun();
    await terminal.kill("SIGTERM");
    await isGivenBack(terminal, "0");
  }
  await using terminal = await begun();
  await sql.database.runScript(
    "create or replace function p2p.status_report(p_batches integer) returns json language sql as 'select json_build_object()'",
    20,
  );
  await isGivenBack(terminal, "70");
  match(terminal.output.split("\x1b[?1049l")[1] ?? "", /error: a bug/);
});

Deno.test("without a terminal --watch is refused, with what to use instead", async () => {
  const { code, stdout, stderr } = await runProgram(["status", "--watch"], {});
  deepStrictEqual([code, stdout], [64, ""]);
  match(stderr, /draws on a terminal\nhint: without one: status, or status --json/);
  strictEqual((await runProgram(["status", "--watch", "--json"], {})).code, 64);
});
