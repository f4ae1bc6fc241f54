// Connections that nobody answers on any more, and nobody ends: what a server leaves behind that lost its power.
import { rejects, strictEqual } from "node:assert/strict";
import { Database } from "../../src/database/connection.ts";
import { DatabaseTimeout } from "../../src/database/errors.ts";
import { testDatabase } from "../support/database.ts";
import { HalfOpenProxy } from "../support/half_open_proxy.ts";
import { eventually } from "../support/program.ts";

async function withHalfOpen(
  work: (database: Database, proxy: HalfOpenProxy) => Promise<void>,
): Promise<void> {
  await using test = await testDatabase();
  await using proxy = await HalfOpenProxy.before(test.url);
  await using database = new Database(proxy.through(test.url), {
    applicationName: "p2p-ingest test",
    connections: 2,
  });
  await work(database, proxy);
}

const one = async (database: Database): Promise<unknown> =>
  (await database.run("select 1 as one", [], 5))[0]?.["one"];

Deno.test("connections that went dead do not stay in the way: the next statement takes a new one", async () => {
  await withHalfOpen(async (database, proxy) => {
    await Promise.all([one(database), one(database)]);
    proxy.abandon();
    await rejects(
      Promise.all([1, 2, 3].map(() => database.run("select 1", [], 0.3))),
      DatabaseTimeout,
    );
    strictEqual(await one(database), 1);
  });
});

Deno.test("a statement that only takes long keeps its connection while others move on", async () => {
  await withHalfOpen(async (database) => {
    await one(database);
    const long = database.run("select pg_sleep(1), 2 as two", [], 5);
    await rejects(database.run("select pg_sleep(9)", [], 0.3), DatabaseTimeout);
    strictEqual(await one(database), 1);
    strictEqual((await long)[0]?.["two"], 2);
  });
});

Deno.test("a server that is gone when a statement is to be cancelled ends nothing but the statement", async () => {
  await withHalfOpen(async (database, proxy) => {
    await one(database);
    proxy.freeze();
    await rejects(database.run("select 1", [], 0.3), DatabaseTimeout);
    proxy.refuse(); // the cancelling connection meets this reset
    await rejects(database.run("select 1", [], 0.3));
    proxy.pass();
    strictEqual(await one(database), 1);
  });
});

Deno.test("statements given up while their connections are made do not keep the whole pool from ever answering", async () => {
  for (const heal of ["pass", "abandon"] as const) {
    await withHalfOpen(async (database, proxy) => {
      proxy.freeze(); // connections are accepted, and nothing is said on them
      for (const _round of [1, 2, 3]) {
        await rejects(
          Promise.all([1, 2, 3].map(() => database.run("select 1", [], 0.2))),
          DatabaseTimeout,
        );
      }
      if (heal === "abandon") proxy.abandon(); // these stay dead: only new ones pass
      proxy.pass();
      strictEqual(await one(database), 1);
      if (heal === "abandon") return;
      await eventually("what was given up is closed", () => proxy.connections <= 1 || undefined, 5);
    });
  }
});
