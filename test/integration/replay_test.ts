// `replay` as users run it: for real, as a dry run, interrupted, and with whatever a person can get wrong.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { urlAs } from "../support/database.ts";
import { PARSER, PRICE } from "../support/live_functions.ts";
import { type Ended, eventually, Program, runProgram } from "../support/program.ts";
import { holdTable, someoneWaits } from "../support/sessions.ts";
import { SqlFixture, type TestBatch } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

const BUY = "VES/USDT BUY";
const TIMES = ["10:00", "10:10", "10:20"].map((time) => `2026-03-01T${time}:00.000Z`);

interface World {
  readonly sql: SqlFixture;
  readonly batches: readonly TestBatch[];
  readonly replay: (...args: string[]) => Promise<Ended>;
}

/** Three batches of two ads each; the second one has an ad number 9. */
async function withBatches(work: (world: World) => Promise<void>): Promise<void> {
  await using sql = await SqlFixture.create();
  const batches: TestBatch[] = [];
  for (const [i, at] of TIMES.entries()) {
    batches.push(
      await sql.loadBatch(at, {
        [BUY]: [offer({ id: "1", price: "461.50" }), offer({ id: i === 1 ? "9" : "2" })],
      }),
    );
  }
  const replay = (...args: string[]) =>
    runProgram(["replay", ...args], { DATABASE_URL: sql.url, LOG_FORMAT: "text" });
  await work({ sql, batches, replay });
}

/** A shipped function with one thing changed. */
async function changed(sql: SqlFixture, name: string, from: string, to: string): Promise<string> {
  const body = String(
    await sql.value("select body from p2p.schema_objects where name = $1", `functions/${name}.sql`),
  );
  ok(body.includes(from));
  return body.replace(from, to);
}

const doubled = (sql: SqlFixture) =>
  changed(sql, PARSER, PRICE, "i.adv ->> 'minSingleTransAmount' as price");

/** Installs without telling schema_objects: live, as a DBA does. */
async function install(sql: SqlFixture, text: string): Promise<void> {
  await sql.database.runScript(text, 20);
}

async function withFile(text: string, work: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile({ suffix: ".sql" });
  try {
    await Deno.writeTextFile(path, text);
    await work(path);
  } finally {
    await Deno.remove(path);
  }
}

const prices = (sql: SqlFixture, batch: TestBatch | undefined) =>
  sql.values(
    "select price::text from p2p.fact_offers where batch_id = $1 order by 1",
    batch?.id ?? null,
  );

function failsWith({ code, stdout, stderr }: Ended, expected: number, line: RegExp): void {
  match(stderr, line);
  strictEqual(code, expected, stderr);
  strictEqual(stdout, "");
  match(stderr, /^error: [^\n]+\n(hint: [^\n]+\n)?$/m, "one line and a hint");
}

Deno.test("after a function was changed: the batches of a time follow, those outside stay", async () => {
  await withBatches(async ({ sql, batches, replay }) => {
    await install(sql, await doubled(sql));
    const { code, stdout, stderr } = await replay("--since", TIMES[1] ?? "");
    strictEqual(code, 0, stderr);
    deepStrictEqual(await prices(sql, batches[0]), ["36.50", "461.50"]);
    deepStrictEqual(await prices(sql, batches[1]), ["10", "10"]);
    deepStrictEqual(await prices(sql, batches[2]), ["10", "10"]);
    const lines = stdout.trim().split("\n").map((line) => line.split(/\s{2,}/));
    deepStrictEqual(lines[0], [
      "batch",
      "started",
      "outcome",
      "offers before",
      "after",
      "rows written",
      "seconds",
    ]);
    // Two offers, one book, the batch itself, and the check that notices the change of the SQL.
    deepStrictEqual(lines.slice(2).map((cells) => cells.slice(0, 6)), [
      [batches[1]?.id, "2026-03-01T10:10Z", "completed", "2", "2", "5"],
      [batches[2]?.id, "2026-03-01T10:20Z", "completed", "2", "2", "5"],
    ]);
    match(stderr, /1\/2 loaded .*batch_id=.*\n.*2\/2 loaded/, "a line of the log a batch");

    const before = await sql.dump();
    const again = await replay("--since", TIMES[1] ?? "", "--json");
    deepStrictEqual(await sql.dump(), before, "a second time changes nothing");
    const { batches: told, continue_with } = JSON.parse(again.stdout);
    strictEqual(continue_with, null);
    deepStrictEqual(
      told.map((row: Record<string, unknown>) => [row["batch_id"], row["rows_written"]]),
      [[batches[1]?.id, 0], [batches[2]?.id, 0]],
    );
    deepStrictEqual(
      told.map((row: Record<string, unknown>) => row["outcome"]),
      ["current", "current"],
      "the SQL of now has loaded them already",
    );
    const all = JSON.parse((await replay("--since", TIMES[1] ?? "", "--all", "--json")).stdout);
    strictEqual(all.batches[0].outcome, "loaded");
    deepStrictEqual(await sql.dump(), before, "nor does --all");
  });
});

Deno.test("with the rights of a worker; by id, and the last ones", async () => {
  await withBatches(async ({ sql, batches }) => {
    await install(sql, await doubled(sql));
    const replay = (...args: string[]) =>
      runProgram(["replay", "--json", ...args], { DATABASE_URL: urlAs("worker", sql.url) });
    const ids = async (...args: string[]) => {
      const { code, stdout, stderr } = await replay(...args);
      strictEqual(code, 0, stderr);
      return JSON.parse(stdout).batches.map((row: Record<string, unknown>) => row["batch_id"]);
    };
    const [first, second, third] = batches.map(({ id }) => id);
    deepStrictEqual(await ids("--last", "1"), [third]);
    deepStrictEqual(await ids("-b", second?.toUpperCase() ?? "", "-b", first ?? ""), [
      first,
      second,
    ]);
    deepStrictEqual(await ids("--until", "2026-03-01T11:00+01:00"), [first]);
  });
});

Deno.test("a batch whose SQL fails is named, the others go on, exit 75", async () => {
  await withBatches(async ({ sql, batches, replay }) => {
    await install(
      sql,
      await changed(
        sql,
        PARSER,
        PRICE,
        "(case i.adv ->> 'advNo' when '9' then (i.adv ->> 'advNo')::integer / 0 else 7 end)::text as price",
      ),
    );
    const before = (await sql.dump()).get("ops_data_quality");
    const { code, stdout } = await replay("--last", "3");
    strictEqual(code, 75);
    match(
      stdout,
      new RegExp(`${batches[1]?.id} .* failed .* step parse_pages failed: division by zero`),
    );
    deepStrictEqual(await prices(sql, batches[0]), ["7", "7"]);
    deepStrictEqual(await prices(sql, batches[1]), ["36.50", "461.50"], "it keeps its facts");
    deepStrictEqual(await prices(sql, batches[2]), ["7", "7"]);
    strictEqual((await sql.dump()).get("ops_data_quality")?.length, before?.length);
  });
});

Deno.test("what must not be loaded again is left as it is: a running batch, one without its pages", async () => {
  await withBatches(async ({ sql, batches, replay }) => {
    await sql.rows("delete from p2p.stg_responses where batch_id = $1", batches[0]?.id ?? null);
    const running = await sql.openBatch({ markets: [BUY] });
    await running.page(BUY, [offer()], { last: false });
    const before = await sql.dump();

    const all = await replay("--since", "2026-01-01", "--all");
    strictEqual(all.code, 0, all.stderr);
    match(all.stdout, new RegExp(`${batches[0]?.id} .* skipped .* its raw pages are gone`));
    match(all.stdout, new RegExp(`${running.id} .* skipped .* it is running`));
    match(all.stdout, new RegExp(`${batches[1]?.id} .* completed `));

    for (const id of [batches[0]?.id ?? "", running.id]) {
      strictEqual((await replay("--batch", id)).code, 75, "it was asked for");
      failsWith(await replay("--dry-run", "--batch", id), 75, /cannot be loaded again: it/);
    }
    deepStrictEqual(await sql.dump(), before);
  });
});

Deno.test("Ctrl-C: the batch under way is loaded, the rest is named, and the command it tells goes on", async () => {
  await withBatches(async ({ sql, batches, replay }) => {
    await install(sql, await doubled(sql));
    const lock = await holdTable(sql.url, "p2p.dim_advertisers");
    let ended: Ended;
    {
      await using program = new Program(["replay", "--last", "3"], {
        DATABASE_URL: sql.url,
        LOG_FORMAT: "text",
      });
      await someoneWaits(sql.database);
      program.kill("SIGINT");
      await eventually("word of it", () => /stopping/.exec(program.stderr) ?? undefined);
      await lock[Symbol.asyncDispose]();
      ended = await program.ended;
    }
    strictEqual(ended.code, 75, ended.stderr);
    deepStrictEqual(await prices(sql, batches[0]), ["10", "10"]);
    deepStrictEqual(await prices(sql, batches[1]), ["36.50", "461.50"]);
    const [, command = ""] = /stopped with 2 of 3 batches left; go on with: p2p-ingest replay (.*)/
      .exec(ended.stderr) ?? [];
    strictEqual(command, `--since ${TIMES[1]} --until ${TIMES[2]}`);
    strictEqual((await replay(...command.split(" "))).code, 0);
    deepStrictEqual(await prices(sql, batches[2]), ["10", "10"]);
  });
});

Deno.test("Ctrl-C in a dry run: it ends at once, in the database too", async () => {
  await withBatches(async ({ sql }) => {
    await using _lock = await holdTable(sql.url, "p2p.dim_advertisers");
    await using program = new Program(["replay", "--dry-run"], {
      DATABASE_URL: sql.url,
      LOG_LEVEL: "warning",
    });
    await someoneWaits(sql.database);
    program.kill("SIGINT");
    const { code, stdout, stderr } = await program.ended;
    deepStrictEqual({ code, stdout, stderr }, { code: 75, stdout: "", stderr: "stopped\n" });
    await eventually("the end of its session", async () => {
      const sessions = await sql.value(
        "select count(*)::integer from pg_stat_activity where datname = current_database() and application_name like 'p2p-ingest%'",
      );
      return sessions === 0 ? true : undefined;
    }, 5); // the server itself looks after clients that are gone every 10 s
  });
});

Deno.test("a dry run: for people and for scripts, and nothing is changed", async () => {
  await withBatches(async ({ sql, batches, replay }) => {
    const before = await sql.dump();
    const calm = await replay("--dry-run");
    strictEqual(calm.code, 0, calm.stderr);
    match(
      calm.stdout,
      /^Dry run of 1 batch \(2026-03-01T10:20:00.000Z\) with the SQL that is installed/,
    );
    match(calm.stdout, /^No row of any table would change\.$/m);

    await withFile(await doubled(sql), async (path) => {
      const { code, stdout, stderr } = await replay("--dry-run", "--last", "2", "--with", path);
      strictEqual(code, 0, stderr);
      match(stdout, /^fact_offers\n {2}4 rows would change\n {4}price: 4 rows\n/m);
      match(stdout, /^ {6}VES\/USDT BUY, offer_id 1, extraction_timestamp \S+: 461.50 → 10$/m);

      const { stdout: text } = await replay("--dry-run", "--with", path, "--json");
      const document = JSON.parse(text);
      deepStrictEqual(document.batches, [batches[2]?.id]);
      deepStrictEqual(document.with, [path]);
      const offers = document.tables.find((each: { table: string }) =>
        each.table === "fact_offers"
      );
      deepStrictEqual(offers.appears, { rows: 0, examples: [] });
      strictEqual(offers.changes.rows, 2);
      strictEqual(offers.changes.columns[0].column, "price");
      deepStrictEqual(
        offers.changes.columns[0].examples.map(({ before }: { before: string }) => before).sort(),
        ["36.50", "461.50"],
        "with all their digits",
      );
    });
    deepStrictEqual(await sql.dump(), before);
  });
});

Deno.test("candidates that are wrong: where, and why", async (t) => {
  await withBatches(async ({ sql, replay }) => {
    const before = await sql.dump();
    const cases: [string, string, number, RegExp][] = [
      [
        "syntax",
        "select 1;\n-- ünï 🎉\ncreate or replae function f()",
        64,
        /^error: \S+\.sql:3: syntax error at or near "replae" \(SQLSTATE 42601\)$/m,
      ],
      [
        "a name",
        "select 1;\n\nselect nothing\nfrom nowhere",
        64,
        /\.sql:4: relation "nowhere" does not exist/,
      ],
      [
        "the body of a function",
        "create function f() returns void language plpgsql as $$\nbegin\n  insret into x;\nend $$",
        64,
        /\.sql:3: "x" is not a known variable/,
      ],
      [
        "another return type",
        "create or replace function p2p.load_depth(p_batch_id uuid) returns integer language sql as 'select 1'",
        64,
        /\.sql: cannot change return type .*\nhint: Use DROP FUNCTION/,
      ],
      [
        "a transaction",
        "begin;\nselect 1;\ncommit",
        64,
        /\nhint: leave begin, commit and rollback out/,
      ],
      ["psql's own commands", "\\set x 1\nselect 1", 64, /\.sql:1: .*\nhint: commands of psql/],
      [
        "it raises on the data",
        await changed(sql, "load_depth", "begin\n", "begin\n  perform 1 / 0;\n"),
        75,
        /error: step load_depth failed: division by zero; in load_depth\(uuid\) line \d+ at PERFORM\nhint: /,
      ],
    ];
    for (const [name, text, code, line] of cases) {
      await t.step(name, () =>
        withFile(text, async (path) => {
          failsWith(await replay("--dry-run", "--with", path), code, line);
        }));
    }
    await t.step(
      "the second of two files",
      () =>
        withFile(
          "select 1; -- no end",
          (first) =>
            withFile("select 2;\nselct 3", async (second) => {
              const ended = await replay("--dry-run", "--with", first, "--with", second);
              failsWith(ended, 64, /:2: syntax error/);
              ok(ended.stderr.includes(`${second}:2`));
            }),
        ),
    );
    await t.step("no rights", async () => {
      await withFile(await doubled(sql), async (path) => {
        const ended = await runProgram(["replay", "--dry-run", "--with", path], {
          DATABASE_URL: urlAs("worker", sql.url),
        });
        failsWith(ended, 69, /needs the rights of the owner of schema p2p\nhint: set DATABASE_URL/);
      });
    });
    deepStrictEqual(await sql.dump(), before);
  });
});

Deno.test("arguments that are wrong: exit 64", async (t) => {
  await withBatches(async ({ replay }) => {
    const unknown = "00000000-0000-0000-0000-000000000000";
    const cases: [readonly string[], RegExp][] = [
      [[], /which batches\?\nhint: give --batch ID/],
      [["--batch", "5c1e"], /"5c1e" is not the id of a batch/],
      [["--batch", unknown], /there is no batch 00000000/],
      [["--since", "2026-03-02", "--until", "2026-03-01"], /--since is later than --until/],
      [["--last", "2", "--since", "2026-03-01"], /exclude one another/],
      [["--last", "1", "--with", "x.sql"], /--with is for --dry-run.*\nhint: .*psql -f x\.sql/],
      [["--dry-run", "--with", "/nowhere.sql"], /--with \/nowhere.sql: there is no such file/],
    ];
    const utf16 = await Deno.makeTempFile({ suffix: ".sql" });
    await Deno.writeFile(utf16, new Uint8Array([0xff, 0xfe, 0x73, 0])); // as editors on Windows save it
    cases.push([["--dry-run", "--with", utf16], /--with \S+\.sql: it is not text in UTF-8/]);
    const latin1 = await Deno.makeTempFile({ suffix: ".sql" });
    await Deno.writeFile(latin1, new Uint8Array([0x2d, 0x2d, 0xfc])); // would be installed as another letter
    cases.push([["--dry-run", "--with", latin1], /--with \S+\.sql: it is not text in UTF-8/]);
    for (const [args, line] of cases) {
      await t.step(
        args.join(" ") || "none",
        async () => failsWith(await replay(...args), 64, line),
      );
    }
    await t.step("--last 0", async () => strictEqual((await replay("--last", "0")).code, 64));
  });
});

Deno.test("no batch at all", async () => {
  await using sql = await SqlFixture.create();
  const replay = (...args: string[]) => runProgram(["replay", ...args], { DATABASE_URL: sql.url });
  failsWith(await replay("--dry-run"), 75, /there is no such batch/);
  const { code, stdout } = await replay("--last", "3");
  deepStrictEqual({ code, stdout }, { code: 0, stdout: "no batch was loaded\n" });
});

Deno.test("times that are none: exit 64, with an example of one", async (t) => {
  for (const args of [["--since", "yesterday"], ["--until", "2026-02-31"]]) {
    await t.step(args.join(" "), async () => {
      const { code, stderr } = await runProgram(["replay", ...args], {});
      strictEqual(code, 64);
      match(stderr, /Expected a time such as 2026-03-01/);
    });
  }
});
