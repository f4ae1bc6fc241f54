// A DBA's own rules: how they are added, what they may do, and what becomes of those that fail.
import assert from "node:assert/strict";
import { BOOTSTRAP, MIGRATIONS } from "../../src/database/sql_files.ts";
import { SqlFixture } from "../support/sql_fixture.ts";
import { testDatabase } from "../support/database.ts";
import { offer } from "../support/sql_offer.ts";

const A = "VES/A BUY";

/** Installs a function that rules may use, in the words of `create function`. */
async function install(sql: SqlFixture, name: string, body: string, rest = "sql"): Promise<void> {
  await sql.database.runScript(
    `create function ${name}(p_batch_id uuid) returns p2p.rule_finding language ${rest} as $$ ${body} $$;
     grant execute on function ${name} to p2p_worker`,
    20,
  );
}

async function addRule(sql: SqlFixture, name: string, of = `p2p.${name}`): Promise<void> {
  await sql.rows(
    `insert into p2p.quality_rules (name, function, severity, is_bad_when, error_threshold, comment)
     values ($1, $2, 'error', 'above', 10, 'A test')`,
    name,
    of,
  );
}

/** What stands in ops_data_quality for a rule, after the batch was loaded (again) by the worker. */
async function resultOf(sql: SqlFixture, rule: string): Promise<Record<string, unknown>> {
  return await sql.row(
    `select metric_value::float as value, result, passed, details, severity
     from p2p.ops_data_quality where metric_name = $1`,
    rule,
  );
}

Deno.test("a rule that fails in any way is broken, and the batch is loaded", async (t) => {
  await using sql = await SqlFixture.create();
  const rules: Record<string, [body: string, message: RegExp, rest?: string]> = {
    raises: ["begin raise exception 'oh no'; end", /^oh no \(SQLSTATE P0001\)$/, "plpgsql"],
    asserts: ["begin assert false, 'never'; end", /^never \(SQLSTATE P0004\)$/, "plpgsql"],
    divides: ["select (1 / 0, '[]')::p2p.rule_finding", /^division by zero/],
    returns_nothing: [
      "select (1, '[]')::p2p.rule_finding where false",
      /^the rule returned no row$/,
    ],
    measures_nan: ["select ('NaN', '[]')::p2p.rule_finding", /^the rule measured NaN$/],
    measures_infinity: [
      "select ('-Infinity', '[]')::p2p.rule_finding",
      /^the rule measured -Infinity$/,
    ],
    names_no_array: [
      `select (1, '{"a": 1}')::p2p.rule_finding`,
      /^offending_rows is a JSON object, not an array$/,
    ],
    writes: [
      "begin delete from p2p.fact_offers; return (0, null); end",
      /^cannot execute DELETE in a read-only transaction/,
      "plpgsql",
    ],
    misses_a_table: ["begin return (select (a, '[]') from nowhere); end", /nowhere/, "plpgsql"],
  };
  for (const [name, [body, , rest]] of Object.entries(rules)) {
    await install(sql, `p2p.${name}`, body, rest);
    await addRule(sql, name);
  }
  await sql.database.runScript(
    `create function p2p.several(p_batch_id uuid) returns setof p2p.rule_finding language sql
       as $$ select (g, '[]')::p2p.rule_finding from generate_series(1, 1000000) g $$;
     create function p2p.dropped(p_batch_id uuid) returns p2p.rule_finding language sql as $$ select (1, '[]')::p2p.rule_finding $$;
     create function p2p.forbidden(p_batch_id uuid) returns p2p.rule_finding language sql as $$ select (1, '[]')::p2p.rule_finding $$;
     revoke execute on function p2p.forbidden from public`,
    20,
  );
  rules["several"] = ["", /^the rule returned several rows$/];
  rules["dropped"] = ["", /^there is no function p2p\.dropped\(uuid\) that returns p2p\.rule_f/];
  rules["forbidden"] = ["", /^permission denied for function forbidden/];
  for (const name of ["several", "dropped", "forbidden"]) await addRule(sql, name);
  await sql.rows("drop function p2p.dropped");

  const batch = await sql.loadBatch(undefined, { [A]: [offer(), offer()] });
  assert.equal(await sql.value("select count(*)::integer from p2p.fact_offers"), 2);
  for (const [name, [, message]] of Object.entries(rules)) {
    await t.step(name, async () => {
      const { value, result, passed, details } = await resultOf(sql, name);
      assert.deepEqual([value, result, passed], [null, "broken", false]);
      assert.match((details as { message: string }).message, message);
    });
  }
  assert.equal((await resultOf(sql, "completeness"))["result"], "ok", "the others ran");
  const before = await sql.dump();
  await batch.load();
  assert.deepEqual(await sql.dump(), before, "a second load changes no row");
});

Deno.test("a finding is judged, and its samples are bounded", async (t) => {
  await using sql = await SqlFixture.create();
  const find = async (name: string, metric: string, rows: string) => {
    await install(sql, `p2p.${name}`, `select (${metric}, ${rows})::p2p.rule_finding`);
    await addRule(sql, name);
  };
  await find("has_many", "11", "(select jsonb_agg(g) from generate_series(1, 5000) g)");
  await find("has_long", "11", "(select jsonb_agg(repeat('é', 900)) from generate_series(1, 9) g)");
  await find("has_huge", "11", "jsonb_build_array(repeat('x', 1000000))");
  await find("has_none", "10", "null");
  await find("says_nothing", "null", "null");
  await sql.loadBatch(undefined, { [A]: [offer()] });

  await t.step("the first ten, and how many there are", async () => {
    const { result, details, value } = await resultOf(sql, "has_many");
    assert.deepEqual([result, value], ["error", 11]);
    assert.deepEqual(details, { offenders: 5000, samples: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] });
  });
  await t.step("8,000 bytes together", async () => {
    const { samples, offenders } = (await resultOf(sql, "has_long"))["details"] as {
      samples: string[];
      offenders: number;
    };
    assert.deepEqual([samples.length, offenders, samples[0]], [4, 9, "é".repeat(900)]);
  });
  await t.step("a row that is too long is cut", async () => {
    const { samples } = (await resultOf(sql, "has_huge"))["details"] as { samples: string[] };
    assert.deepEqual(samples, ['"' + "x".repeat(399) + "…"]);
  });
  await t.step("no rows, and on the threshold", async () => {
    const { result, details } = await resultOf(sql, "has_none");
    assert.deepEqual([result, details], ["ok", { offenders: 0, samples: [] }]);
  });
  await t.step("nothing to judge passes", async () => {
    const { result, passed, value, details } = await resultOf(sql, "says_nothing");
    assert.deepEqual([result, passed, value], ["ok", true, null]);
    assert.deepEqual(details, { offenders: 0, samples: [], note: "nothing to judge" });
  });
});

Deno.test("a rule may live in another schema, under a name that needs quotes", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows('create schema "Our rules"');
  await sql.rows('grant usage on schema "Our rules" to p2p_worker');
  await install(sql, '"Our rules"."10%"', "select (11, '[]')::p2p.rule_finding");
  await addRule(sql, "ours", '"Our rules"."10%"');
  await addRule(sql, "short", "rule_completeness");
  await sql.loadBatch(undefined, { [A]: [offer()] });
  assert.equal((await resultOf(sql, "ours"))["result"], "error");
  assert.equal(
    await sql.value("select function from p2p.quality_rules where name = 'short'"),
    "p2p.rule_completeness",
  );
});

Deno.test("a row that cannot be a rule is refused, with what mends it", async (t) => {
  await using sql = await SqlFixture.create();
  await sql.rows("create function p2p.other(uuid) returns integer language sql return 1");
  for (const name of ["p2p.nowhere", "p2p.other", "rule_completeness(uuid)", "a.b.c", "; drop"]) {
    await t.step(name, async () => {
      await assert.rejects(addRule(sql, "new", name), (error: Error & { cause?: unknown }) => {
        assert.match(error.message, /^rule new: (there is no function|".*" is no name)/);
        return true;
      });
    });
  }
  const refusals: Record<string, string> = {
    "warning_threshold = 11": "a_warning_comes_before_an_error",
    "is_bad_when = 'below', warning_threshold = 9": "a_warning_comes_before_an_error",
    "error_threshold = 'NaN'": "a_threshold_is_a_finite_number",
    "error_threshold = null": "a_rule_has_the_threshold_of_its_severity",
    "severity = 'warning', error_threshold = null": "a_rule_has_the_threshold_of_its_severity",
    "severity = 'fatal'": "quality_rules_severity_check",
    "comment = ''": "quality_rules_comment_check",
    "name = 'Not a name'": "quality_rules_name_check",
  };
  await addRule(sql, "new", "p2p.rule_completeness");
  for (const [change, constraint] of Object.entries(refusals)) {
    await t.step(change, async () => {
      await assert.rejects(
        sql.rows(`update p2p.quality_rules set ${change} where name = 'new'`),
        new RegExp(constraint),
      );
    });
  }
});

Deno.test("results of a rule that was switched off go with the next load of the batch", async () => {
  await using sql = await SqlFixture.create();
  const early = await sql.loadBatch("2026-03-01 10:00+00", { [A]: [offer()] });
  const late = await sql.loadBatch("2026-03-01 10:10+00", { [A]: [offer()] });
  await sql.rows("update p2p.quality_rules set is_enabled = false where name = 'completeness'");
  await late.load();
  const batches = () =>
    sql.values("select batch_id from p2p.ops_data_quality where metric_name = 'completeness'");
  assert.deepEqual(await batches(), [early.id]);
  await sql.rows("update p2p.quality_rules set is_enabled = true where name = 'completeness'");
  await late.load();
  assert.deepEqual((await batches()).sort(), [early.id, late.id].sort());
});

Deno.test("the worker may not change rules", async () => {
  await using sql = await SqlFixture.create();
  for (
    const change of [
      "update p2p.quality_rules set is_enabled = false",
      "delete from p2p.quality_rules",
    ]
  ) {
    await assert.rejects(sql.work(change), /permission denied for table quality_rules/);
  }
});

Deno.test("thresholds that a DBA had changed are carried over by the migration", async () => {
  await using empty = await testDatabase("empty");
  for (const { body } of BOOTSTRAP) await empty.database.runScript(body, 60);
  const number = MIGRATIONS.findIndex(({ name }) => name.includes("quality_rules"));
  for (const { body } of MIGRATIONS.slice(0, number)) await empty.database.runScript(body, 60);
  await empty.database.runScript(
    `update p2p.quality_thresholds set threshold_value = 0.9 where metric_name = 'completeness';
     delete from p2p.quality_thresholds where metric_name = 'rejected_share';
     update p2p.quality_thresholds set threshold_value = 'Infinity' where metric_name = 'duplicate_offers';
     insert into p2p.ops_batch_runs (batch_start_time, worker_id, lease_expires_at) values (now(), 'w', now());
     insert into p2p.ops_data_quality (batch_id, metric_name, passed)
     select batch_id, m.name, m.name = 'a' from p2p.ops_batch_runs, (values ('a'), ('b')) as m (name)`,
    60,
  );
  await empty.database.runScript(MIGRATIONS[number]?.body ?? "", 60);
  const rows = async (statement: string) =>
    (await empty.database.run(statement, [], 60)).map((row) => Object.values(row));
  assert.deepEqual(
    await rows(
      `select name, is_enabled, warning_threshold::float, error_threshold::float from p2p.quality_rules
       where name in ('completeness', 'duplicate_offers', 'broken_references', 'rejected_share') order by 1`,
    ),
    [
      ["broken_references", true, null, 0],
      ["completeness", true, null, 0.9],
      ["duplicate_offers", false, null, 0],
      ["rejected_share", false, 0.03, 0.05],
    ],
  );
  assert.deepEqual(
    await rows("select metric_name, result from p2p.ops_data_quality order by 1"),
    [["a", "ok"], ["b", "error"]],
  );
});
