// History that others recorded becomes batches as if they had been fetched then.
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { skipLoudly } from "../support/embedded.ts";
import {
  BUY,
  Folder,
  imported,
  importing,
  page,
  recorded,
  someHistory,
} from "../support/recordings.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const FOLDER = Deno.env.get("CAPTURES_DIR") ??
  fileURLToPath(import.meta.resolve("../../../shared/captures"));

Deno.test("recorded pages become batches of their own times, with what is missing named", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const file = await folder.file("march.jsonl", someHistory());
  const told = await imported(sql, [file]);
  assert.deepEqual(
    [told["lines"], told["lines_left_out"], told["pages_stored"], told["offers"], told["loaded"]],
    [8, 0, 8, 48, { completed: 3, partial: 1, failed: 0 }],
  );
  assert.deepEqual(
    await sql.rows(
      `select batch_start_time::text as at, status, offers, rejected, markets_expected as of, imported_from, error_summary
       from p2p.batch_overview order by 1`,
    ),
    [
      {
        at: "2026-03-01 10:00:00+00",
        status: "completed",
        offers: 23,
        rejected: 1,
        of: 2,
        error_summary: null,
      },
      {
        at: "2026-03-01 10:10:00+00",
        status: "partial",
        offers: 22,
        rejected: 0,
        of: 2,
        error_summary: "markets incomplete: 1",
      },
      {
        at: "2026-03-01 10:20:00+00",
        status: "completed",
        offers: 2,
        rejected: 0,
        of: 2,
        error_summary: null,
      },
      {
        at: "2026-03-01 10:30:00+00",
        status: "completed",
        offers: 1,
        rejected: 0,
        of: 1,
        error_summary: null,
      },
    ].map((row) => ({ ...row, imported_from: file })),
  );
  assert.deepEqual(
    await sql.rows("select status, reason, lost_pages::text as lost from p2p.missing_markets"),
    [{ status: "incomplete", reason: "2 of 3 pages are not in the recording", lost: "{2,3}" }],
  );
  assert.deepEqual(
    await sql.values("select distinct imported_from from p2p.offer_origin"),
    [file],
  );
  assert.deepEqual(
    await sql.rows(
      "select nickname, effective_date::text as since from p2p.dim_advertisers where advertiser_id = 's900' order by 2",
    ),
    ["A 10:00", "B 10:10", "A 10:20", "C 10:30"].map((text) => ({
      nickname: text[0],
      since: `2026-03-01 ${text.slice(2)}:00+00`,
    })),
  );
  assert.deepEqual(
    await sql.values(
      "select distinct observed_at - extraction_timestamp = interval '0' from p2p.fact_offers",
    ),
    [true],
  );
  assert.deepEqual(
    await sql.values("select distinct is_active from p2p.dim_markets"),
    [false],
    "discovery has not listed them",
  );
  const status = await sql.work("select p2p.status_report(1) as report");
  assert.equal(
    (status["report"] as { batches: Record<string, unknown>[] }).batches[0]?.["imported_from"],
    file,
  );
});

/** Objects with numbers for keys: JSON.stringify dies of them. */
const NESTED = '{"1":'.repeat(100_000) + "1" + "}".repeat(100_000);

Deno.test("bad lines of every sort are named and left out, the others load", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const good = recorded("2026-03-01T10:00:00Z", BUY, [offer({ id: "1" })]);
  const later = recorded("2026-03-01T10:10:00Z", BUY, [offer({ id: "2" })]);
  const soon = new Date(Date.now() + 3_600_000).toISOString();
  const bad = [
    ["nonsense", "not JSON"],
    [good.replace('"time"', '"tme"'), "no time"],
    [good.replace("2026-03-01T10:00:00Z", soon), "has not come yet"],
    [
      good.replace("2026-03-01T10:00:00Z", "0001-01-01T00:00:00Z"),
      "before there was anything to record",
    ],
    [good.replace('"exchange":"binance"', '"exchange":"mtgox"'), 'unknown exchange "mtgox"'],
    [good.replace('"side":"BUY"', '"side":"HODL"'), "instead of BUY or SELL"],
    [
      good.replace(
        /"body":.*$/,
        '"body":{"code":"000002","message":"illegal parameter","success":false}}',
      ),
      "illegal parameter",
    ],
    [good.replace("USDT", "US\\u0000DT"), "asset is"],
    [good.replace('"side":"BUY"', `"side":${NESTED}`), "side is an object"],
    [good.replace('"code":', `"x":${NESTED},"code":`), "jsonb cannot hold it: stack depth limit"],
    [good.replace('"code":', `"x":${"9".repeat(1_000_000)},"code":`), "jsonb cannot hold it"],
    [
      good.replace('"code"', '"\\ud800":"\\udc00\\ud800","code"'), // mended, as store_page does it
      "its batch has another reading of this page, of ", // of line 1
    ],
    [`{"x":"${"x".repeat(17 * 1024 * 1024)}"}`, "longer than 16777216 bytes"],
  ] as const;
  const encoder = new TextEncoder();
  const content = encoder.encode(
    `\ufeff${good}\r\n\r\n\n${bad.map(([line]) => line).join("\n")}\n`,
  );
  const tail = encoder.encode(`${later}\n${later.slice(0, 500)}`);
  const file = await folder.file(
    "bad.jsonl",
    new Uint8Array([...content, 0xff, 0xfe, 10, ...tail]),
  );
  const { code, stderr, stdout } = await importing(sql, [file]);
  assert.equal(code, 75, stderr);
  const told = stderr.trim().split("\n").map((line) => line.replace(`${file}:`, ""))
    .sort((a, b) => parseInt(a) - parseInt(b)); // what the database says comes later
  const expected = [
    ...bad.map(([, reason], i) => [i + 4, reason] as const),
    [bad.length + 4, "not text in UTF-8"],
    [bad.length + 6, "(the last line: is it cut off?)"],
  ] as const;
  for (const [i, [line, reason]] of expected.entries()) {
    assert.ok(
      told[i]?.startsWith(`${line}: `) && told[i].includes(reason),
      `${told[i]} ↔ ${line} ${reason}`,
    );
  }
  assert.equal(told.length, expected.length);
  assert.match(
    stdout,
    /^2 batches new \(2 completed\) · 2 pages stored · 2 offers · 15 lines left out/,
  );
  assert.deepEqual(
    await sql.values("select offer_external_id from p2p.fact_offers order by 1"),
    ["1", "2"],
  );
});

Deno.test("more than twenty problems are counted; the JSON document has them", async () => {
  await using sql = await SqlFixture.create();
  const { code, stderr, stdout } = await importing(sql, ["--json", "-"], "x\n".repeat(150));
  assert.equal(code, 75);
  const lines = stderr.trim().split("\n");
  assert.equal(lines.length, 21);
  assert.match(lines[0] ?? "", /^standard input:1: not JSON/);
  assert.equal(lines.at(-1), "… and 130 more");
  const document = JSON.parse(stdout);
  assert.deepEqual([document.lines, document.lines_left_out, document.errors.length], [
    150,
    150,
    100,
  ]);
});

Deno.test("what is asked for wrongly is refused before anything is read", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const file = await folder.file("a.jsonl", "");
  for (
    const [args, reason] of [
      [[file, `${folder.path}/none.jsonl`], /none\.jsonl: there is no such file/],
      [[folder.path], /is a folder/],
      [["-", "-"], /- is named twice/],
      [["--window", "61", file], /window/],
      [[], /FILE/],
    ] as const
  ) {
    const { code, stderr } = await importing(sql, args);
    assert.equal(code, 64, stderr);
    assert.match(stderr, reason);
  }
  assert.equal((await importing(sql, [file])).code, 0, "an empty file is no mistake");
});

Deno.test("gzip is read, also several files put together; one that is cut off says so", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const lines = someHistory();
  const zipped = new Uint8Array([
    ...gzipSync(lines.slice(0, 4).join("\n") + "\n"),
    ...gzipSync(lines.slice(4).join("\n") + "\n"),
  ]);
  const whole = await folder.file("all.gz", zipped);
  assert.equal((await imported(sql, [whole]))["pages_stored"], 8);
  const half = await folder.file("half", zipped.slice(0, zipped.length - 20));
  const told = await imported(sql, [half], 75);
  assert.match(
    JSON.stringify(told["errors"]),
    /the file cannot be read on: unexpected end of file/,
  );
});

Deno.test("digits, long numbers, and any script arrive as they were recorded", async () => {
  await using sql = await SqlFixture.create();
  const ad =
    `{"adv":{"advNo":18446744073709551617,"asset":"USDT","fiatUnit":"VES","tradeType":"SELL","price":461.50,` +
    `"surplusAmount":"0.10000000000000000000","tradableQuantity":1.0,"minSingleTransAmount":"5000.00","maxSingleTransAmount":1e3,` +
    `"tradeMethods":[]},"advertiser":{"userNo":"s1","nickName":"👨‍👩‍👧 صراف \\u{0}"}}`.replace(
      "\\u{0}",
      "\\\\u0000",
    );
  for (const body of [`{"code":"000000","data":[${ad}],"total":1}`, null]) {
    const answer = body === null ? `"offers":[${ad}]` : `"body":${body}`;
    const time = body === null ? "2026-03-01T10:10:00Z" : "2026-03-01T10:00:00Z";
    const line = `{"time":"${time}","fiat":"VES","asset":"USDT","side":"BUY",${answer}}`.replace(
      "5000.00",
      "500.00",
    );
    const { code, stderr } = await importing(sql, ["-"], line + "\n");
    assert.equal(code, 0, stderr);
  }
  const row = {
    id: "18446744073709551617",
    price: "461.50",
    amount: "0.10000000000000000000",
    tradable: "1.0",
    min: "500.00",
    max: "1000",
    nickname: "👨‍👩‍👧 صراف \\u0000",
  };
  assert.deepEqual(
    await sql.rows(
      `select offer_external_id as id, price::text, available_amount::text as amount, tradable_quantity::text as tradable,
         min_limit::text as min, max_limit::text as max, nickname
       from p2p.fact_offers join p2p.dim_advertisers using (advertiser_sk) order by extraction_timestamp`,
    ),
    [row, row],
  );
  assert.deepEqual(
    await sql.values("select status from p2p.ops_batch_runs order by batch_start_time"),
    ["completed", "completed"],
    "a page that is not full ends its book",
  );
});

Deno.test("of several readings of a page one counts, whatever their order", async () => {
  const readings = [
    recorded("2026-03-01T10:03:00Z", BUY, [offer({ id: "late" })]),
    recorded("2026-03-01T10:02:00Z", BUY, [offer({ id: "filtered" })], {
      more: { payTypes: ["Zinli"] },
    }),
    recorded("2026-03-01T10:02:30Z", BUY, [offer({ id: "early" })]),
  ];
  await using folder = await Folder.create();
  for (const [i, lines] of [readings, readings.toReversed()].entries()) {
    await using sql = await SqlFixture.create();
    const file = await folder.file(`${i}.jsonl`, lines);
    const told = await imported(sql, ["--window", "10", file], 75);
    assert.deepEqual([told["pages_stored"], told["lines_left_out"]], [1, 2]);
    assert.deepEqual(
      await sql.rows(
        "select extraction_timestamp::text as at, offer_external_id as id from p2p.fact_offers",
      ),
      [{ at: "2026-03-01 10:00:00+00", id: "early" }],
    );
    await imported(sql, [file]); // each at its own time
    assert.equal(await sql.value("select count(*)::integer from p2p.ops_batch_runs"), 4);
    assert.deepEqual(
      await sql.values("select reason from p2p.missing_markets"),
      ["filtered by payTypes Zinli"],
      "less than the book was asked for",
    );
  }
});

Deno.test("books that are torn apart by their times are noticed", async () => {
  await using sql = await SqlFixture.create();
  const lines = [
    recorded("2026-03-01T10:00:01Z", BUY, page(1), { total: 25 }),
    recorded("2026-03-01T10:00:02Z", BUY, page(30).slice(0, 5), { page: 2, total: 25 }),
  ].join("\n");
  const torn = await importing(sql, ["--dry-run", "-"], lines);
  assert.match(torn.stderr, /pages of one book bear different times.*--window 10/);
  const refused = await importing(sql, ["-"], lines);
  assert.equal(refused.code, 64);
  assert.match(refused.stderr, /nothing was loaded: .*another time[^]*--window 10.*--window 0/);
  assert.equal(await sql.value("select count(*)::integer from p2p.ops_batch_runs"), 0);
  assert.equal(await sql.value("select count(*)::integer from p2p.stg_imports"), 0);
  const whole = await importing(sql, ["--window", "10", "-"], lines);
  assert.equal(whole.stderr, "");
  assert.match(whole.stdout, /^1 batches new \(1 completed\) · 2 pages stored · 25 offers/);
});

Deno.test("a dry run says what would be loaded, and changes nothing", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const file = await folder.file("a.jsonl", someHistory());
  const before = await sql.dump();
  const told = await imported(sql, ["--dry-run", file]);
  assert.deepEqual(told["batches"], {
    new: 4,
    more_pages: 0,
    loaded_again: 0,
    there_already: 0,
    left_out: 0,
  });
  assert.deepEqual([told["pages_stored"], told["offers"]], [8, 49]);
  assert.deepEqual(await sql.dump(), before);
});

Deno.test("the recordings of 2026 load as they are, to the digit", async () => {
  if (!await Deno.stat(`${FOLDER}/binance-2026`).then(() => true, () => false)) {
    return skipLoudly(`the recordings are not in ${FOLDER}; set CAPTURES_DIR`);
  }
  await using sql = await SqlFixture.create();
  const files = [...Deno.readDirSync(`${FOLDER}/binance-2026`)].map(({ name }) =>
    `${FOLDER}/binance-2026/${name}`
  ).sort();
  const told = await imported(sql, files);
  assert.deepEqual([told["lines"], told["pages_stored"], told["lines_left_out"]], [34, 34, 0]);
  const truth = new Map<string, unknown>();
  for (const file of files) {
    for (const line of (await Deno.readTextFile(file)).trim().split("\n")) {
      const { fecha_utc: at, lado, anuncios } = JSON.parse(line);
      for (const { adv, advertiser } of anuncios) {
        const market = `${adv.fiatUnit}/${adv.asset} ${lado === "compra" ? "BUY" : "SELL"}`;
        truth.set(`${at} ${adv.advNo}`, {
          key: `${at} ${adv.advNo}`,
          market,
          price: adv.price,
          amount: adv.surplusAmount,
          user: advertiser.userNo,
          nick: advertiser.nickName,
        });
      }
    }
  }
  assert.deepEqual(
    await sql.rows(
      `select to_char(o.extraction_timestamp at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' ' || o.offer_external_id as key,
         concat(f.currency_code, '/', c.symbol, ' ', o.trade_type) as market, o.price::text, o.available_amount::text as amount,
         a.advertiser_id as user, a.nickname as nick
       from p2p.fact_offers o join p2p.dim_fiat_currencies f using (fiat_id) join p2p.dim_cryptocurrencies c using (crypto_id)
       join p2p.dim_advertisers a using (advertiser_sk) order by (o.extraction_timestamp::text || o.offer_external_id) collate "C"`,
    ),
    [...truth].sort(([a], [b]) => a < b ? -1 : 1).map(([, row]) => row),
  );
  assert.deepEqual(
    await sql.rows(
      "select reason, count(*)::integer as books from p2p.missing_markets group by 1 order by 1",
    ),
    [
      { reason: "filtered by payTypes Zinli", books: 14 },
      { reason: "the recording does not say how many offers there were", books: 20 },
    ],
  );
});
