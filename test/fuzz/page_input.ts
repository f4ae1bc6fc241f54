/** SQL functions that take what somebody typed or sent: of the page, and patterns of markets. */
import { parseMarketFilter } from "../../src/exchange/market_filter.ts";
import { Database } from "../../src/database/connection.ts";
import { DatabaseError, describe } from "../../src/errors.ts";
import { Dice } from "../support/random.ts";
import { urlAs } from "../support/database.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";
import type { Finding } from "./shrink.ts";
import { type FuzzOptions, type FuzzReport, Tally } from "./target.ts";
import { oddText } from "./texts.ts";

/** Errors of one's own (P2P…), and those that say plainly that a value is wrong (class 22). */
const PLAIN_ERROR = /^(P2P\d\d|22...)$/;

export async function fuzzPageInput({ cases, seed, say }: FuzzOptions): Promise<FuzzReport> {
  const dice = new Dice(seed);
  const findings = new Map<string, Finding>();
  const seen = new Tally();
  await using sql = await SqlFixture.create();
  await sql.loadBatch(new Date(Date.now() - 300_000).toISOString(), { "VES/USDT BUY": [offer()] });
  await using worker = new Database(urlAs("worker", sql.url), { applicationName: "fuzz" });
  for (let i = 0; i < cases; i++) {
    const text = (): string => oddText(dice).replaceAll("\0", "").slice(0, 20_000);
    const hours = dice.pick([0, 1, 24, 720, -1, 2 ** 31 - 1, -(2 ** 31)]);
    const filter = text();
    const parsed = parseMarketFilter(filter);
    if (typeof parsed !== "string") seen.add("a valid MARKETS");
    const calls: [string, (string | number)[]][] = [
      ["select p2p.page_market($1, $2, $3, $4)", [
        dice.next() < 0.5 ? "binance" : text(),
        text(),
        text(),
        hours,
      ]],
      ["select p2p.page_access($1)", [hours]],
      ["select p2p.page_overview($1)", [hours]],
      ["select * from p2p.market_patterns($1)", [text()]],
    ];
    const [statement, values] = dice.pick(calls as [typeof calls[number]]);
    const began = performance.now();
    let what: string | undefined;
    try {
      await worker.run(statement, values, 20);
      seen.add("answered");
    } catch (error) {
      const code = codeIn(error);
      seen.add(`refused ${code}`);
      if (!(error instanceof DatabaseError) && !PLAIN_ERROR.test(code)) {
        what = `${statement}: ${describe(error).slice(0, 200)}`;
      }
    }
    if (performance.now() - began > 10_000) what = `${statement}: too slow`;
    if (what === undefined || findings.has(what)) continue;
    say(what);
    findings.set(what, { what, detail: "", input: JSON.stringify(values) });
  }
  return { cases, findings: [...findings.values()], seen: seen.counts };
}

function codeIn(error: unknown): string {
  if (!(error instanceof Error)) return "?";
  return "code" in error ? String(error.code) : codeIn(error.cause);
}
