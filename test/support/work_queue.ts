/** A batch that several workers are at. */
import assert from "node:assert/strict";
import { type Claimed, type MarketName, SqlFixture, WORKER } from "./sql_fixture.ts";

export const MARKETS: readonly MarketName[] = [
  "ARS/BTC BUY",
  "ARS/USDT SELL",
  "VES/USDT BUY",
  "VES/USDT SELL",
];
export const BUY = "VES/USDT BUY";
export const TWO = "worker-2";
export const THREE = "worker-3";

export const namesOf = (claimed: readonly Claimed[]): string[] => claimed.map(({ name }) => name);

/** A batch over these markets that workers 1 and 2 are at; nothing is claimed yet. */
export async function opened(
  sql: SqlFixture,
  markets = MARKETS,
  workers = [WORKER, TWO],
  deadlineSeconds = 480,
): Promise<string> {
  await sql.listMarkets(markets);
  for (const worker of workers) await sql.beat({ worker });
  const { outcome, batch_id } = await sql.join({ deadlineSeconds });
  assert.equal(outcome, "opened");
  return String(batch_id);
}

/** As if the deadline had come so many seconds ago. */
export async function pastDeadline(sql: SqlFixture, seconds: number): Promise<void> {
  await sql.rows(
    "update p2p.ops_batch_runs set fetch_until = clock_timestamp() - make_interval(secs => $1)",
    seconds,
  );
}
