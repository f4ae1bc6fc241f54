// History that others recorded becomes batches as if they had been fetched then.
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { poll } from "../../src/embedded/deadlines.ts";
import { skipLoudly } from "../support/embedded.ts";
import { historyOf } from "../support/facts.ts";
import { Folder, imported, importing, recorded, startImporting } from "../support/recordings.ts";
import { type MarketName, SqlFixture } from "../support/sql_fixture.ts";
import { type Item, offer } from "../support/sql_offer.ts";

const BUY: MarketName = "VES/USDT BUY";
const SELL: MarketName = "VES/USDT SELL";
const FOLDER = Deno.env.get("CAPTURES_DIR") ??
  fileURLToPath(import.meta.resolve("../../../shared/captures"));

/** Twenty offers of a page. */
const page = (from: number, more: Parameters<typeof offer>[0] = {}) =>
  Array.from(
    { length: 20 },
    (_, i) => offer({ id: String(from + i), user: `s${from + i}`, price: `${40 + i}.50`, ...more }),
  );

const WAYS = ["together", "one by one", "the last one first"];

/** Some batches with a bit of everything, ten minutes apart, in order. */
function someHistory(): string[] {
  const nick = (name: string) => offer({ id: "900", user: "s900", nick: name });
  return [
    recorded("2026-03-01T10:00:00Z", BUY, page(1), { total: 23 }),
    recorded("2026-03-01T10:00:00Z", BUY, [offer({ id: "50" }), nick("A"), offer({ price: "0" })], {
      page: 2,
      total: 23,
    }),
    recorded("2026-03-01T10:00:00Z", SELL, [offer({ id: "60", promoted: true })]),
    recorded("2026-03-01T10:10:00Z", BUY, page(1, { amount: "7.10" }), { total: 60 }),
    recorded("2026-03-01T10:10:00Z", SELL, [nick("B"), offer({ id: "60" })]),
    recorded("2026-03-01T10:20:00Z", BUY, [nick("A"), offer({ id: "1", user: "s2" })]),
    recorded("2026-03-01T10:20:00Z", "EUR/BTC SELL", []),
    recorded("2026-03-01T10:30:00Z", SELL, [nick("C")]),
  ];
}

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

Deno.test("a repeated import changes no row; order, files, overlap and windows of lines change nothing", async () => {
  await using folder = await Folder.create();
  const lines = someHistory();
  await using first = await SqlFixture.create();
  const file = await folder.file("a.jsonl", lines);
  await imported(first, [file]);
  const before = await first.dump();
  const told = await imported(first, [file]);
  assert.deepEqual([told["pages_stored"], told["pages_there"]], [0, 8]);
  assert.deepEqual(await first.dump(), before);
  assert.ok(before.has("stg_import_pages") && before.get("stg_import_pages")?.length === 0);

  const history = await historyOf(first);
  const shuffles: (readonly (readonly string[])[])[] = [
    [lines.toReversed()],
    [lines.slice(0, 5), lines.slice(3)],
    [lines.filter((_, i) => i % 2 === 0), lines.filter((_, i) => i % 2 === 1).toReversed()],
    [[...lines, ...lines]],
  ];
  for (const [number, parts] of shuffles.entries()) {
    // In one call, and file after file: batches come late then, and pages are added to batches that are there.
    for (const way of parts.length === 1 ? WAYS.slice(0, 1) : WAYS.slice(number - 1)) {
      await using sql = await SqlFixture.create();
      const files: string[] = [];
      for (const [i, part] of parts.entries()) {
        files.push(await folder.file(`${number}${i}.jsonl`, part));
      }
      if (way === "together") await imported(sql, files);
      for (
        const file of way === "together" ? [] : way === "one by one" ? files : files.toReversed()
      ) {
        await imported(sql, [file]);
      }
      assert.deepEqual(await historyOf(sql), history, `${number} ${way}`);
      assert.deepEqual(
        await sql.values("select batch_id from p2p.ops_batch_runs order by 1"),
        await first.values("select batch_id from p2p.ops_batch_runs order by 1"),
        "the same ids everywhere",
      );
    }
  }
});

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
    [good.replace('"code"', '"\\ud800":"\\udc00\\ud800","code"'), undefined], // mended, as store_page does it
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
  const told = stderr.trim().split("\n").map((line) => line.replace(`${file}:`, ""));
  const expected = [
    ...bad.flatMap(([, reason], i) => reason === undefined ? [] : [[i + 4, reason] as const]),
    [bad.length + 4, "not text in UTF-8"],
    [bad.length + 6, "(the last line: is it cut off?)"],
  ] as const;
  for (const [i, [line, reason]] of expected.entries()) {
    assert.ok(
      told[i]?.startsWith(`${line}: `) && told[i].includes(reason),
      `${told[i]} ↔ ${line} ${reason}`,
    );
  }
  // The mended page is another reading of the page of line 1.
  assert.match(
    told.at(-1) ?? "",
    /^12: its batch has another reading of this page, of .*bad\.jsonl:1$/,
  );
  assert.equal(told.length, expected.length + 1);
  assert.match(
    stdout,
    /^2 batches new \(2 completed\) · 2 pages stored · 2 offers · 12 lines left out/,
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

Deno.test("killed in the middle and called again, it ends as if nothing had been", async () => {
  const books = Array.from(
    { length: 16 },
    (_, i) =>
      recorded(
        new Date(Date.UTC(2026, 2, 1, 10, i)).toISOString(),
        BUY,
        page(i, { nick: `n${i % 7}` }),
      ),
  );
  await using folder = await Folder.create();
  const file = await folder.file("a.jsonl", books);
  await using sql = await SqlFixture.create();
  {
    await using program = startImporting(sql, [file]);
    await poll(
      60_000,
      async () =>
        Number(await sql.value("select count(*) from p2p.ops_batch_runs")) >= 3 || undefined,
    );
    program.kill("SIGKILL");
  }
  // What the server was told before it noticed is done or undone as a whole.
  await poll(60_000, async () =>
    await sql.value(
        "select count(*) = 0 from pg_stat_activity where datname = current_database() and usename = 'test_worker'",
      ) === true || undefined);
  const loaded = Number(await sql.value("select count(*) from p2p.ops_batch_runs"));
  assert.ok(loaded >= 3 && loaded < 16, `${loaded} batches`);
  assert.deepEqual(await sql.values("select distinct status from p2p.ops_batch_runs"), [
    "completed",
  ]);
  assert.ok(Number(await sql.value("select count(*) from p2p.stg_import_pages")) > 0);
  await sql.rows("update p2p.stg_imports set seen_at = seen_at - interval '11 minutes'");
  const told = await imported(sql, [file]);
  assert.deepEqual([told["pages_there"], told["pages_stored"]], [loaded, 16 - loaded]);
  assert.equal(
    await sql.value("select count(*)::integer from p2p.stg_imports"),
    0,
    "what was left is cleared away",
  );
  await using other = await SqlFixture.create();
  await imported(other, [file]);
  assert.deepEqual(await historyOf(sql), await historyOf(other));
});

Deno.test("what a killed import has left goes a day later, though nobody imports again", async () => {
  await using sql = await SqlFixture.create();
  for (const hours of [23, 25]) {
    await sql.rows(
      "insert into p2p.stg_imports (worker_id, files, seen_at) values ('x', '{a}', now() - make_interval(hours => $1))",
      hours,
    );
  }
  await sql.loadBatch(undefined, { [BUY]: [offer()] });
  assert.equal(await sql.value("select count(*)::integer from p2p.stg_imports"), 1);
});

Deno.test("it stops when told to, also while no line comes", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const pipe = `${folder.path}/pipe`;
  await new Deno.Command("mkfifo", { args: [pipe] }).output();
  using writer = await Deno.open(pipe, { read: true, write: true });
  await using program = startImporting(sql, [pipe]);
  const line = recorded("2026-03-01T10:00:00Z", BUY, [offer({ id: "1" })]);
  await writer.write(new TextEncoder().encode(`${line}\n`));
  await poll(
    60_000,
    async () => await sql.value("select count(*) > 0 from p2p.stg_imports") === true || undefined,
  );
  program.kill("SIGTERM");
  const { code, stderr } = await program.ended;
  assert.equal(code, 75);
  assert.match(stderr, /stopped; the same command goes on/);
  assert.deepEqual(await sql.rows("select from p2p.stg_imports"), []);
});

Deno.test("two imports at once are safe", async () => {
  await using folder = await Folder.create();
  const lines = someHistory();
  const files = [
    await folder.file("a.jsonl", lines),
    await folder.file("b.jsonl", lines.slice(2).toReversed()),
  ];
  await using sql = await SqlFixture.create();
  await Promise.all([
    imported(sql, files.slice(0, 1)),
    imported(sql, files.slice(1)),
    imported(sql, files),
  ]);
  await using other = await SqlFixture.create();
  await imported(other, files.slice(0, 1));
  assert.deepEqual(await historyOf(sql), await historyOf(other));
});

Deno.test("beside a batch that is running, whose plan and pages it does not touch", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const hourAgo = new Date(Date.now() - 3_600_000).toISOString();
  const file = await folder.file("a.jsonl", [
    recorded(hourAgo, BUY, [offer({ id: "1", user: "s1", nick: "old" })]),
    recorded(hourAgo, "XYZ/ABC BUY", [offer({ id: "2" })]),
  ]);
  const batch = await sql.openBatch({ markets: [BUY, SELL] });
  await batch.page(BUY, [offer({ id: "1", user: "s1", nick: "new" })]);
  const told = await imported(sql, [file]);
  assert.equal(told["offers"], 2);
  assert.deepEqual(
    await sql.values("select status from p2p.ops_batch_runs order by batch_start_time"),
    ["completed", "running"],
  );
  await batch.page(SELL, [offer({ id: "3" })]);
  const run = await batch.load();
  assert.deepEqual([run["status"], run["markets_expected"], run["total_offers_inserted"]], [
    "completed",
    2,
    2,
  ]);
  assert.deepEqual(
    await sql.values(
      "select nickname from p2p.dim_advertisers where advertiser_id = 's1' order by effective_date",
    ),
    ["old", "new"],
  );
  const opened = await sql.join();
  assert.equal(opened["markets_expected"], 2, "a market of an import is not planned");
  assert.deepEqual(
    await sql.values(
      "select fiat_code from p2p.known_fiats('binance') where fiat_code = 'XYZ'",
    ),
    [],
    "nor is its fiat asked for",
  );
});

Deno.test("an import is no plan: neither the order of the next batch nor the gaps follow from it", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();
  const books = { [BUY]: [[offer({ id: "60" })]], [SELL]: [page(1)] };
  await sql.loadBatch(ago(40), books);
  const missed = ago(20);
  const batch = await sql.openBatch({ at: missed, markets: [BUY, SELL] });
  await batch.page(SELL, page(1));
  await batch.lose(BUY);
  await batch.load();
  const gaps = () => sql.rows("select market, missing_since, batches::integer from p2p.gaps");
  const expected = [{
    market: BUY,
    missing_since: new Date(Date.parse(missed) - Date.parse(missed) % 1000),
    batches: 1,
  }];
  assert.deepEqual(await gaps(), expected);
  const file = await folder.file("a.jsonl", [
    recorded(ago(30), "EUR/BTC SELL", []),
    recorded(ago(10), SELL, [], { more: { payTypes: ["Zinli"] } }),
  ]);
  await imported(sql, [file]);
  assert.deepEqual(await gaps(), expected);
  const plan = await sql.openBatch({ markets: [BUY, SELL] });
  assert.equal(
    await sql.value(
      "select market_id from p2p.ops_batch_markets where batch_id = $1 order by plan_position",
      plan.id,
    ),
    plan.market(SELL),
    "the larger book comes first, as before",
  );
});

Deno.test("a batch that the worker fetched is recognised, and nothing is added to it", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const one = offer({ id: "1" });
  await sql.loadBatch("2026-03-01 10:00+00", { [BUY]: [one] });
  const before = await sql.dump();
  const same = await folder.file("same.jsonl", [recorded("2026-03-01T10:00:00Z", BUY, [one])]);
  assert.equal((await imported(sql, [same]))["pages_there"], 1);
  const other = await folder.file("other.jsonl", [
    recorded("2026-03-01T10:00:00Z", BUY, [offer({ id: "2" })]),
    recorded("2026-03-01T10:00:00Z", SELL, [offer({ id: "3" })]),
  ]);
  const told = await imported(sql, [other], 75);
  assert.match(JSON.stringify(told["errors"]), /another reading of this page, stored before/);
  assert.match(JSON.stringify(told["errors"]), /was fetched by the worker: nothing is added to it/);
  assert.deepEqual(await sql.dump(), before);
  // Any other moment is a batch of its own, however near.
  const near = await folder.file("near.jsonl", [recorded("2026-03-01T10:00:00.001Z", BUY, [one])]);
  assert.equal((await imported(sql, [near]))["offers"], 1);
});

Deno.test("between batches that are there: the same history as in order", async () => {
  const books: [string, Item[]][] = [
    ["10:00", [
      offer({ id: "1", user: "s1", nick: "A" }),
      offer({ id: "2", user: "s2", nick: "X" }),
    ]],
    ["10:10", [
      offer({ id: "1", user: "s1", nick: "B" }),
      offer({ id: "2", user: "s2", nick: "X" }),
    ]],
    ["10:20", [
      offer({ id: "1", user: "s1", nick: "A" }),
      offer({ id: "2", user: "s2", nick: "Y" }),
    ]],
  ];
  await using folder = await Folder.create();
  const [first, middle, last] = books.map(([time, items]) =>
    recorded(`2026-03-01T${time}:00Z`, BUY, items)
  );
  await using inOrder = await SqlFixture.create();
  await imported(inOrder, [
    await folder.file("all.jsonl", [first ?? "", middle ?? "", last ?? ""]),
  ]);
  await using late = await SqlFixture.create();
  await imported(late, [await folder.file("ends.jsonl", [first ?? "", last ?? ""])]);
  await imported(late, [await folder.file("middle.jsonl", [middle ?? ""])]);
  assert.deepEqual(await historyOf(late), await historyOf(inOrder));
  assert.equal(await late.value("select count(*)::integer from p2p.dim_advertisers"), 5);
});

Deno.test("what retention would delete, or has dropped, is refused with the statement that mends it", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const file = await folder.file("old.jsonl", [recorded("2026-03-01T10:00:00Z", BUY, [offer()])]);
  const gone = await sql.loadBatch("2026-09-01 10:00+00", { [BUY]: [offer()] });
  await sql.loadBatch("2026-10-01 10:00+00", { [BUY]: [offer()] });
  await sql.rows("update p2p.settings set value = '100' where name = 'offers_retention_days'");
  const before = await sql.dump();
  const told = await importing(sql, [file]);
  assert.equal(told.code, 75);
  const [, statement = ""] = /; (update .*)$/m.exec(told.stderr) ?? [];
  assert.match(told.stderr, /offers are kept 100 days, and this batch is 214 days older/);
  assert.deepEqual(await sql.dump(), before);
  await sql.rows(statement);

  await sql.rows(
    "update p2p.ops_batch_runs set batch_start_time = '2026-03-01 09:00+00' where batch_id = $1",
    gone.id,
  );
  await sql.rows(
    `insert into p2p.dropped_facts (table_name, dropped_before, dropped_at) values ('fact_offers', '2026-04-01', now())`,
  );
  assert.match(
    JSON.stringify((await imported(sql, [file], 75))["errors"]),
    /facts before 2026-04-01 .* were dropped here/,
  );
  const dayBefore = await folder.file("day_before.jsonl", [
    recorded("2026-02-28T10:00:00Z", BUY, [offer()]),
  ]);
  assert.equal((await imported(sql, [dayBefore]))["offers"], 1, "nothing was ever there");
  await sql.rows("delete from p2p.dropped_facts");
  assert.equal((await imported(sql, [file]))["offers"], 1);
  // Its pages go before its facts; the file is still known.
  await sql.rows("delete from p2p.stg_responses where extraction_timestamp < '2026-04-01'");
  await sql.rows(
    "update p2p.ops_batch_runs set raw_deleted_at = now() where batch_start_time < '2026-04-01'",
  );
  assert.equal((await imported(sql, [file]))["pages_there"], 1);
  const more = await folder.file("more.jsonl", [recorded("2026-03-01T10:00:00Z", SELL, [offer()])]);
  assert.match(
    JSON.stringify((await imported(sql, [more], 75))["errors"]),
    /pages of batch .* are deleted since/,
  );
});

Deno.test("a batch that the SQL could not load is loaded by the next import, after it was mended", async () => {
  await using sql = await SqlFixture.create();
  await using folder = await Folder.create();
  const file = await folder.file("a.jsonl", [recorded("2026-03-01T10:00:00Z", BUY, [offer()])]);
  await sql.rows(
    "insert into p2p.pipeline_steps (name, position, function, is_required, comment) values ('broken', 65, 'p2p.load_depth', true, 'x')",
  );
  await sql.database.runScript(
    `create or replace function p2p.load_offers(p_batch_id uuid) returns void language plpgsql set search_path = p2p, pg_temp
     as $$ begin raise exception 'not today'; end $$`,
    20,
  );
  const told = await importing(sql, [file]);
  assert.equal(told.code, 75);
  assert.match(told.stderr, /batch .* step load_offers failed: not today/);
  await sql.rows("delete from p2p.pipeline_steps where name = 'broken'");
  await sql.rows("select p2p.restore_object('load_offers')");
  const again = await imported(sql, [file]);
  assert.deepEqual(again["loaded"], { completed: 1, partial: 0, failed: 0 });
  assert.equal(await sql.value("select count(*)::integer from p2p.fact_offers"), 1);
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

Deno.test("it is done with the rights of a worker, and no more", async () => {
  await using sql = await SqlFixture.create();
  await assert.rejects(
    sql.work("select p2p.begin_import('w', '{a}'), p2p.drop_older('fact_offers', now())"),
    /permission denied/,
  );
});
