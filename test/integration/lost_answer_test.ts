// A connection that is lost in the middle of an answer says nothing wrong in the next one.
import { deepStrictEqual, rejects } from "node:assert/strict";
import { Database } from "../../src/database/connection.ts";
import { DatabaseError } from "../../src/errors.ts";
import { rowsOf } from "../support/batches.ts";
import { testDatabase } from "../support/database.ts";
import { HalfOpenProxy } from "../support/half_open_proxy.ts";
import { eventually } from "../support/program.ts";

Deno.test("an answer that broke off after its first row leaves no hole in the next", async () => {
  await using test = await testDatabase("bare");
  await using proxy = await HalfOpenProxy.before(test.url);
  const url = proxy.through(test.url);
  await using database = new Database(url, { applicationName: "broken off", connections: 1 });
  // The first row is larger than what the server keeps back; it is sent while the second one is waited for.
  const broken = rowsOf(
    database,
    `select s.number, repeat('x', 20000) as text, pg_sleep(case s.number when 2 then 60 else 0 end)
     from generate_series(1, 2) as s (number)`,
  );
  const isRejected = rejects(broken, DatabaseError);
  await eventually("the session at its second row", async () => {
    const [row] = await rowsOf(
      test.database,
      `select from pg_stat_activity where application_name = 'broken off' and wait_event = 'PgSleep'`,
    );
    return row === undefined ? undefined : true;
  });
  proxy.cut();
  await isRejected;
  deepStrictEqual((await rowsOf(database, "select 7 as seven")).map((row) => ({ ...row })), [
    { seven: 7 },
  ]);
});

Deno.test("a statement that somebody cancels is an error of the database, no bug of ours", async () => {
  await using test = await testDatabase("bare");
  await using database = new Database(test.url, { applicationName: "cancelled", connections: 1 });
  const cancelled = rejects(rowsOf(database, "select pg_sleep(60)"), DatabaseError);
  await eventually("the session asleep", async () => {
    const [row] = await rowsOf(
      test.database,
      `select pg_cancel_backend(pid) from pg_stat_activity
       where application_name = 'cancelled' and wait_event = 'PgSleep'`,
    );
    return row === undefined ? undefined : true;
  });
  await cancelled;
});
