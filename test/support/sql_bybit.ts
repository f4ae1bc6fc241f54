/** Batches of two exchanges, for tests of the SQL. */
import { type MarketName, type SqlFixture, TestBatch } from "./sql_fixture.ts";

export interface BybitAd {
  readonly [key: string]: unknown;
}

let made = 1_900_000_000_000_000_000n;

/** An ad as a call without a key gets it since 2025; token, currency and side are those of the page it is put on. */
export function bybitAd(values: BybitAd = {}): BybitAd {
  return {
    id: String(made++),
    accountId: "0",
    userId: "0",
    nickName: "nick",
    priceType: 0,
    price: "36.50",
    premium: "0",
    lastQuantity: "100.00",
    quantity: "250.00",
    frozenQuantity: "0",
    executedQuantity: "150.00",
    minAmount: "10",
    maxAmount: "4000",
    remark: "",
    status: 10,
    createDate: "1741748793000",
    payments: ["14", "377"],
    orderNum: 0,
    finishNum: 0,
    recentOrderNum: 141,
    recentExecuteRate: 98,
    isOnline: true,
    authStatus: 1,
    recommend: false,
    authTag: ["GA"],
    userType: "PERSONAL",
    itemType: "ORIGIN",
    paymentPeriod: 15,
    userMaskId: "s1",
    ...values,
  };
}

/** The text of an answer. */
export function bybitAnswer(market: MarketName, items: readonly unknown[]): string {
  const [, currencyId, tokenId, side] = /^(.+)\/(.+) (BUY|SELL)$/.exec(market) ?? [];
  const home = { tokenId, currencyId, side: side === "BUY" ? 1 : 0 };
  return JSON.stringify({
    ret_code: 0,
    ret_msg: "SUCCESS",
    result: {
      count: items.length,
      items: items.map((item) =>
        typeof item === "object" && item !== null && !Array.isArray(item)
          ? { ...home, ...item }
          : item
      ),
    },
    ext_code: "",
    ext_info: {},
    time_now: "1741761340.014127",
  });
}

/** A batch of both exchanges over the same markets, in the hands of one worker. */
export async function openBoth(
  sql: SqlFixture,
  markets: readonly MarketName[],
  at?: string,
): Promise<{ readonly binance: TestBatch; readonly bybit: BybitBatch }> {
  await sql.listMarkets(markets);
  const listed = markets.map((market) => {
    const [, fiat, asset, side] = /^(.+)\/(.+) (BUY|SELL)$/.exec(market) ?? [];
    return { fiat, asset, side };
  });
  await sql.work(
    "select p2p.store_market_list('bybit', '[]', $1::text::jsonb, array(select currency_code from p2p.dim_fiat_currencies), '{}')",
    JSON.stringify(listed),
  );
  const worker = "worker of both";
  await sql.beat({ worker, exchanges: ["binance", "bybit"] });
  const { outcome, batch_id } = await sql.join({ worker });
  if (outcome !== "opened") throw new Error(`no batch was opened: ${outcome}`);
  const id = String(batch_id);
  if (at !== undefined) {
    await sql.rows(
      "update p2p.ops_batch_runs set batch_start_time = $2::timestamptz where batch_id = $1",
      id,
      at,
    );
  }
  const start = await sql.value(
    "select batch_start_time from p2p.ops_batch_runs where batch_id = $1",
    id,
  ) as Date;
  const claim = async (exchange: string) =>
    new Map(
      (await sql.rows(
        "select * from p2p.claim_markets($1, $2, $3, 1000)",
        id,
        worker,
        exchange,
      )).map((row) => [
        `${row["fiat"]}/${row["asset"]} ${row["side"]}`,
        Number(row["market_id"]),
      ]),
    );
  return {
    binance: new TestBatch(sql, id, start, worker, await claim("binance")),
    bybit: new BybitBatch(sql, id, start, worker, await claim("bybit")),
  };
}

export class BybitBatch extends TestBatch {
  override async page(
    market: MarketName,
    items: readonly unknown[],
    options: Parameters<TestBatch["page"]>[2] = {},
  ): Promise<string> {
    return await this.body(market, bybitAnswer(market, items), {
      total: items.length,
      parser: "bybit_online_v1",
      ...options,
    });
  }
}
