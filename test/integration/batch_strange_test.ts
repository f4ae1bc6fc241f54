// An exchange that does things nobody planned: the batch ends by itself, with everything accounted for.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { batchOf, rowsOf } from "../support/batches.ts";
import { testDatabase } from "../support/database.ts";
import {
  answer,
  type Behaviour,
  offer,
  pageOf,
  startStrangeExchange,
  type StrangeRequest,
} from "../support/strange_exchange.ts";

const always =
  (body: string | Uint8Array, headers?: string, status?: string): Behaviour => async (_, write) =>
    await write(answer(body, headers, status));

const count = <T>(length: number, make: (index: number) => T): T[] =>
  Array.from({ length }, (_, i) => make(i));

/** The first page is this, the ones after it are empty. */
const onePage =
  (body: (request: StrangeRequest) => string | Uint8Array, headers?: string): Behaviour =>
  async (request, write) =>
    await write(answer(request.page === 1 ? body(request) : pageOf([], 0), headers));

/** Fails once, then answers. */
const once429 = (retryAfter: string): Behaviour => async (request, write) =>
  await write(
    request.before === 0
      ? answer("slow down", `retry-after: ${retryAfter}\r\n`, "429 Too Many Requests")
      : answer(pageOf([offer(request, 1)])),
  );

const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const nested = "[".repeat(100_000) + "]".repeat(100_000);
/** Objects with numbers for keys: JSON.stringify dies of them. */
const nestedByNumber = '{"1":'.repeat(100_000) + "1" + "}".repeat(100_000);

const BEHAVIOURS: Record<string, Behaviour> = {
  SAMEPAGE: async (request, write) =>
    await write(answer(pageOf(count(20, (i) => offer(request, i)), 1000))),
  HUGETOTAL: onePage((r) => pageOf([offer(r, 1)], "1000000000000000")),
  ODDTOTAL: onePage((r) => pageOf([offer(r, 1)], "1.5")),
  MINUSTOTAL: onePage((r) => pageOf(count(20, (i) => offer(r, i)), -5)),
  TEXTTOTAL: onePage((r) => pageOf([offer(r, 1)], '"many"')),
  ENDLESS: async (request, write) =>
    await write(answer(pageOf(count(20, (i) => offer(request, request.page * 100 + i)), 20))),
  BIGPAGE: onePage((r) => pageOf(count(1000, (i) => offer(r, i)))),
  NOTHING: always("{}"),
  DATANULL: always('{"code":"000000","data":null,"total":0,"success":true}'),
  LIST: always("[]"),
  NUMBER: always("42"),
  NOCONTENT: async (_, write) =>
    await write("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"),
  REDIRECT: always(
    "",
    "location: /bapi/c2c/v2/friendly/c2c/adv/search\r\n",
    "307 Temporary Redirect",
  ),
  LARGE: always(`{"code":"000000","data":[],"x":"${"x".repeat(8 * 1024 * 1024)}"}`),
  GZIPLIE: always(pageOf([]), "content-encoding: gzip\r\n"),
  BOM: onePage((r) => `\ufeff${pageOf([offer(r, 1)])}`),
  NOTUTF8: onePage((r) => latin1(pageOf([offer(r, 1, "Jos\xe9")]))),
  LATIN: onePage(
    (r) => latin1(pageOf([offer(r, 1, "Andr\xe9")])),
    "content-type: application/json;charset=iso-8859-1\r\n",
  ),
  TWICEKEY: onePage((r) => pageOf([offer(r, 1)]).replace('"data"', '"data":[],"data"')),
  DEEP: onePage((r) => pageOf([offer(r, 1)]).replace('"data"', `"x":${nested},"data"`)),
  DEEPCODE: always(`{"code":${nestedByNumber},"message":${nestedByNumber}}`),
  LONGNUMBER: onePage((r) => pageOf([offer(r, 1)], "9".repeat(1_000_000))),
  LONGKEY: onePage((r) =>
    pageOf([offer(r, 1)]).replace('"price"', `"${"k".repeat(2e6)}":1,"price"`)
  ),
  LONGID: onePage((r) => pageOf([offer(r, 1), offer(r, "2".repeat(1_000_000))])),
  CUTOFF: async (request, write) =>
    await write(answer(pageOf([offer(request, 1)])).subarray(0, 200)),
  NOTHTTP: async (_, write) => await write("\x16\x03\x01 what?\r\n\r\n"),
  WAITONE: once429("1"),
  WAITDATE: once429(new Date(Date.now() + 60_000).toUTCString()),
  WAITODD: once429("soon; -5"),
};

/** Answers without an end. */
const ENDLESS_ANSWERS: Record<string, Behaviour> = {
  TRICKLE: async (_, write, closed) => {
    await write("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n");
    while (!closed.aborted) {
      await write(" ");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  },
  SLOWHEAD: async (_, write, closed) => {
    await write("HTTP/1.1 200 OK\r\n");
    await new Promise((resolve) => closed.addEventListener("abort", resolve));
  },
};

/** Beside each, some that are as they should be: an exchange that does nothing but fail is not asked for long. */
const SOUND = Object.fromEntries(
  Object.keys(BEHAVIOURS).flatMap((code) =>
    count(5, (i) => [`${code}${i}`, onePage((r) => pageOf([offer(r, "sound")]))] as const)
  ),
);

/** Status of the market, offers in the snapshot, and the kinds of its lost pages. */
const EXPECTED: Record<string, [status: string, offers: number, ...lost: string[]]> = {
  SAMEPAGE: ["incomplete", 20, "page_loop"],
  HUGETOTAL: ["complete", 1],
  ODDTOTAL: ["complete", 1],
  MINUSTOTAL: ["complete", 20],
  TEXTTOTAL: ["complete", 1],
  ENDLESS: ["incomplete", 10_000, "page_loop"],
  BIGPAGE: ["complete", 1000],
  NOTHING: ["failed", 0, "unexpected_shape"],
  DATANULL: ["failed", 0, "unexpected_shape"],
  LIST: ["failed", 0, "unexpected_shape"],
  NUMBER: ["failed", 0, "unexpected_shape"],
  NOCONTENT: ["failed", 0, "invalid_json"],
  REDIRECT: ["failed", 0, "http_error"],
  LARGE: ["failed", 0, "too_large"],
  GZIPLIE: ["failed", 0, "connection"],
  BOM: ["complete", 1],
  NOTUTF8: ["complete", 1],
  LATIN: ["complete", 1],
  TWICEKEY: ["complete", 1],
  DEEP: ["failed", 0, "unreadable"],
  DEEPCODE: ["failed", 0, "refused"],
  LONGNUMBER: ["failed", 0, "unreadable"],
  LONGKEY: ["complete", 1],
  LONGID: ["complete", 1],
  CUTOFF: ["failed", 0, "connection"],
  NOTHTTP: ["failed", 0, "connection"],
  WAITONE: ["complete", 1],
  WAITDATE: ["complete", 1],
  WAITODD: ["complete", 1],
};

Deno.test("whatever the exchange does, the batch ends with everything accounted for", async (t) => {
  await using test = await testDatabase();
  await using exchange = startStrangeExchange({ ...BEHAVIOURS, ...SOUND });
  const batch = await batchOf(test.database, exchange.url, { maxRetries: 1 });

  await t.step("each market is what came of it", async () => {
    const rows = await rowsOf(
      test.database,
      `select f.currency_code as code, bm.status,
              (select count(*)::integer from p2p.fact_offers o where o.fiat_id = m.fiat_id) as offers,
              (select coalesce(jsonb_agg(e.error_type), '[]') from p2p.ops_extraction_errors e
               where e.fiat_code = f.currency_code) as lost
       from p2p.ops_batch_markets bm
       join p2p.dim_markets m using (market_id)
       join p2p.dim_fiat_currencies f using (fiat_id)`,
    );
    const found = rows.map((row) => [
      String(row["code"]),
      [row["status"], row["offers"], ...row["lost"] as string[]],
    ]);
    const sound = Object.keys(SOUND).map((code) => [code, ["complete", 1]]);
    deepStrictEqual(
      Object.fromEntries(found.sort()),
      Object.fromEntries([...Object.entries(EXPECTED), ...sound].sort()),
    );
  });

  await t.step("counts add up", () => {
    strictEqual(batch.status, "partial");
    strictEqual(
      batch.offersInserted,
      Object.values(EXPECTED).reduce((sum, [, offers]) => sum + offers, 0) +
        Object.keys(SOUND).length,
    );
    strictEqual(batch.offersDuplicate, 40, "two repetitions of SAMEPAGE");
    strictEqual(batch.offersRejected, 1, "of LONGID");
    strictEqual(batch.offersExtracted, batch.offersInserted + batch.offersDuplicate + 1);
  });

  await t.step("bytes that are no UTF-8 are kept, and said to be altered", async () => {
    const rows = await rowsOf(
      test.database,
      `select f.currency_code as code, s.alteration, s.body_original,
              s.body #>> '{data,0,advertiser,nickName}' as nickname
       from p2p.stg_responses s
       join p2p.dim_markets m using (market_id)
       join p2p.dim_fiat_currencies f using (fiat_id)
       where s.alteration is not null`,
    );
    deepStrictEqual(rows.map((row) => row["code"]).sort(), [
      "DEEP",
      "LATIN",
      "LONGNUMBER",
      "NOTUTF8",
    ]);
    for (const row of rows) {
      const original = row["body_original"] as Uint8Array;
      if (row["code"] === "DEEP" || row["code"] === "LONGNUMBER") {
        ok(original.length > 200_000, "also what no jsonb can hold is kept");
      } else {
        match(String(row["nickname"]), /^(Jos|Andr)\ufffd$/);
        ok(original.includes(0xe9));
      }
    }
  });
});

Deno.test("an answer that never ends is a time-out, also where something comes all the time", async () => {
  await using test = await testDatabase();
  // A batch of its own: of others a short time-out would hit what a slow machine holds up.
  await using exchange = startStrangeExchange(ENDLESS_ANSWERS);
  const options = { timeoutSeconds: 0.5, maxRetries: 1 };
  strictEqual((await batchOf(test.database, exchange.url, options)).status, "failed");
  const lost = await rowsOf(
    test.database,
    `select fiat_code, error_type, retry_count from p2p.ops_extraction_errors
     where batch_id is not null order by 1`,
  );
  deepStrictEqual(lost.map((row) => Object.values(row)), [
    ["SLOWHEAD", "timeout", 1],
    ["TRICKLE", "timeout", 1],
  ]);
});

Deno.test("a pause that the exchange asks for and no batch can wait for ends the batch, with the reason", async () => {
  await using test = await testDatabase();
  const sound = Object.fromEntries(
    count(40, (i) => [`A${i}`, onePage((r) => pageOf([offer(r, 1)]))] as const),
  );
  await using exchange = startStrangeExchange({
    ...sound,
    B: always("no", "retry-after: 999999\r\n", "429 Too Many Requests"),
    ...Object.fromEntries(count(80, (i) => [`C${i}`, onePage((r) => pageOf([offer(r, 1)]))])),
  });
  const batch = await batchOf(test.database, exchange.url);
  strictEqual(batch.status, "partial");
  ok(batch.offersInserted >= 20 && batch.offersInserted < 110, `${batch.offersInserted} offers`);
  const rows = await rowsOf(
    test.database,
    `select distinct bm.status, bm.reason from p2p.ops_batch_markets bm where bm.status <> 'complete' order by 1`,
  );
  deepStrictEqual(
    rows.filter(({ status }) => status === "deferred").map(({ reason }) => reason),
    ["nothing is sent to binance: it asked for a pause (Retry-After)"],
  );
});

Deno.test("what the exchange repeats on every page is kept once, from the page that was read last", async () => {
  await using test = await testDatabase();
  const price = (text: string, digits: string) => text.replace('"1.50"', `"${digits}"`);
  await using exchange = startStrangeExchange({
    MOVING: async (request, write) => {
      const again = price(offer(request, "again"), `${request.page}.000`);
      const own = count(19, (i) => offer(request, request.page * 100 + i));
      await write(answer(pageOf(request.page > 3 ? [] : [again, ...own], 60)));
    },
  });
  const batch = await batchOf(test.database, exchange.url);
  deepStrictEqual(
    [batch.status, batch.offersExtracted, batch.offersInserted, batch.offersDuplicate],
    ["completed", 60, 58, 2],
  );
  const [row] = await rowsOf(
    test.database,
    `select price::text, page_number from p2p.fact_offers where offer_external_id = 'MOVINGagain'`,
  );
  deepStrictEqual({ ...row }, { price: "3.000", page_number: 3 });
});
