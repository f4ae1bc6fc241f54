import assert from "node:assert/strict";
import { SqlFixture } from "../support/sql_fixture.ts";

const set = (sql: SqlFixture, name: string, value: string): Promise<unknown> =>
  sql.rows("update p2p.settings set value = $2 where name = $1", name, value);

Deno.test("a setting takes what fits, and says what would", async (t) => {
  await using sql = await SqlFixture.create();
  const refused: Readonly<Record<string, readonly [name: string, value: string, why: RegExp]>> = {
    "no switch position": ["paused", "yes", /setting paused is on or off, not "yes"/],
    "upper case": ["paused", "ON", /on or off/],
    "below the minimum": [
      "raw_retention_days",
      "0",
      /raw_retention_days is between 1 and 36500 days, not 0/,
    ],
    "above the maximum": ["retention_batches_per_load", "1001", /between 1 and 1000 batches/],
    "no number": ["raw_retention_days", "a week", /is a number \(days\), not "a week"/],
    "not a number": ["raw_retention_days", "NaN", /is a number/],
    "nothing": ["raw_retention_days", "", /is a number/],
    "endless digits": ["raw_retention_days", "1".repeat(31), /is a number/],
  };
  const before = await sql.dump();
  for (const [name, [setting, value, why]] of Object.entries(refused)) {
    await t.step(name, async () => await assert.rejects(set(sql, setting, value), why));
  }
  await t.step("without its guard the constraint holds the same", async () => {
    await sql.rows("alter table p2p.settings disable trigger guard_setting");
    for (const [setting, value] of Object.values(refused)) {
      await assert.rejects(set(sql, setting, value), /settings_value_fits/, value);
    }
    await sql.rows("alter table p2p.settings enable trigger guard_setting");
  });
  assert.deepEqual(await sql.dump(), before);
  await set(sql, "raw_retention_days", "0".repeat(5) + "7.5");
  assert.equal(String(await sql.value("select p2p.setting_number('raw_retention_days')")), "7.5");
});

Deno.test("what functions read cannot be renamed, turned into another kind or deleted", async () => {
  await using sql = await SqlFixture.create();
  for (
    const statement of [
      "update p2p.settings set name = 'stopped' where name = 'paused'",
      "update p2p.settings set is_shipped = false where name = 'paused'",
      "update p2p.settings set kind = 'switch', value = 'on', minimum = null, maximum = null, unit = null where name = 'raw_retention_days'",
      "delete from p2p.settings where name = 'paused'",
      "delete from p2p.settings",
      "truncate p2p.settings",
    ]
  ) await assert.rejects(sql.rows(statement), /functions|name and kind/, statement);
  // Settings of a DBA's own functions come and go.
  await sql.rows(
    "insert into p2p.settings (name, value, kind, comment) values ('scoring', 'on', 'switch', 'My step')",
  );
  assert.equal(await sql.value("select p2p.setting_switch('scoring')"), true);
  await sql.rows("delete from p2p.settings where name = 'scoring'");
  await assert.rejects(
    sql.rows("select p2p.setting_switch('scoring')"),
    /there is no setting scoring/,
  );
  await assert.rejects(
    sql.rows("select p2p.setting_number('paused')"),
    /no setting paused that is a number/,
  );
});

Deno.test("every change is kept with who made it; no change leaves no trace", async () => {
  await using sql = await SqlFixture.create();
  assert.equal(await sql.value("select count(*)::integer from p2p.change_log"), 0);
  await set(sql, "paused", "off");
  await sql.rows("update p2p.settings set maximum = 36500.0 where name = 'raw_retention_days'");
  const [me] = await sql.values("select session_user::text");
  assert.deepEqual(
    await sql.rows("select row_key, change, changed_by from p2p.setting_changes"),
    [{
      row_key: "raw_retention_days",
      change: "maximum: 36500 → 36500.0",
      changed_by: me,
    }],
    "digits count, an update to the same value does not",
  );
  await sql.rows("delete from p2p.change_log");

  await set(sql, "raw_retention_days", "14");
  await sql.rows(
    "insert into p2p.settings (name, value, kind, comment) values ('scoring', 'on', 'switch', 'My step')",
  );
  await sql.rows("delete from p2p.settings where name = 'scoring'");
  assert.deepEqual(
    await sql.rows("select table_name, row_key, change from p2p.setting_changes"),
    [
      ["scoring", "deleted"],
      ["scoring", "added"],
      ["raw_retention_days", "value: 7 → 14"],
    ].map(([row_key, change]) => ({ table_name: "settings", row_key, change })),
    "newest first",
  );
});

Deno.test("who may change settings need not be able to write the log, and is named in it", async () => {
  await using sql = await SqlFixture.create();
  await sql.rows("grant select, update (value) on p2p.settings to test_worker");
  await sql.work("update p2p.settings set value = '12' where name = 'raw_retention_days'");
  assert.equal(await sql.value("select changed_by from p2p.change_log"), "test_worker");
  for (
    const statement of [
      "delete from p2p.change_log",
      "update p2p.change_log set changed_by = 'nobody'",
      "insert into p2p.change_log (table_name, row_key) values ('settings', 'paused')",
      "update p2p.settings set maximum = 99999 where name = 'raw_retention_days'",
    ]
  ) await assert.rejects(sql.work(statement), /lacks a privilege/, statement);
});

Deno.test("paused: no new batch; one under way is loaded; then it goes on", async () => {
  await using sql = await SqlFixture.create();
  const batch = await sql.openBatch({ markets: ["VES/USDT BUY"] });
  await set(sql, "paused", "on");
  await batch.page("VES/USDT BUY", []);
  assert.equal((await batch.load())["status"], "completed");

  const { outcome, batch_id, detail } = await sql.join();
  assert.deepEqual([outcome, batch_id], ["paused", null]);
  assert.match(String(detail), /^paused since \d{4}-\d\d-\d\d \d\d:\d\dZ by \w+$/);
  assert.equal(await sql.value("select count(*)::integer from p2p.ops_batch_runs"), 1);
  const [me] = await sql.values("select session_user::text");
  assert.equal((await sql.work("select * from p2p.pause_state()"))["paused_by"], me);

  // Who wrote about it is not who switched it.
  await sql.rows("grant update (comment) on p2p.settings to test_worker");
  await sql.work(
    "update p2p.settings set comment = 'while the disk is changed' where name = 'paused'",
  );
  assert.equal((await sql.work("select * from p2p.pause_state()"))["paused_by"], me);

  await set(sql, "paused", "off");
  assert.deepEqual(await sql.work("select * from p2p.pause_state()"), {});
  assert.equal((await sql.join())["outcome"], "opened");
});

Deno.test("a pause that the log does not know is one all the same", async () => {
  await using sql = await SqlFixture.create();
  await set(sql, "paused", "on");
  await sql.rows("delete from p2p.change_log");
  assert.deepEqual(await sql.work("select * from p2p.pause_state()"), {
    paused_since: null,
    paused_by: null,
  });
  await sql.beat();
  const { outcome, detail } = await sql.join();
  assert.deepEqual([outcome, detail], ["paused", "paused"]);
});
