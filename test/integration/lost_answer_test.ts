// A connection that is lost in the middle of an answer says nothing wrong in the next one.
import { deepStrictEqual, rejects } from "node:assert/strict";
import { Database } from "../../src/database/connection.ts";
import { DatabaseError } from "../../src/errors.ts";
import { isConnectionLost } from "../../src/database/errors.ts";
import { rowsOf } from "../support/batches.ts";
import { CuttingProxy } from "../support/cutting_proxy.ts";
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

Deno.test("a connection that breaks before the end of an answer leaves nothing of it to the next", async () => {
  await using test = await testDatabase("bare");
  await using proxy = await CuttingProxy.before(test.url);
  for (const cutsBehind of ["C", "D", "E"] as const) {
    for (const resets of [true, false]) {
      for (const parameters of [[], [0]]) {
        await using database = new Database(proxy.url, { applicationName: "cut", connections: 1 });
        const zero = parameters.length > 0 ? "$1::integer" : "0";
        const ask = async (number: number) => {
          const statement = `select 7 / (${number} + ${zero}) as answer`;
          return (await rowsOf(database, statement, ...parameters)).map((row) => row["answer"]);
        };
        await rowsOf(database, "select");
        Object.assign(proxy, { cutsBehind, resets });
        const first = ask(cutsBehind === "E" ? 0 : 1);
        const second = ask(7); // waits for the only connection
        const what = `behind ${cutsBehind}, ${parameters.length} parameters, ${resets}`;
        await rejects(first, (error) => isConnectionLost(error), what);
        deepStrictEqual(
          await second.catch((error) => isConnectionLost(error) ? "lost" : String(error)),
          "lost",
          what,
        );
        deepStrictEqual(await ask(1), [7], what);
      }
    }
  }
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
