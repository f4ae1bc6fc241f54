/** The life of an embedded cluster: who starts, shares and stops it. */
import assert from "node:assert/strict";
import {
  explainServerLoss,
  findRunning,
  startDetached,
  stopCluster,
} from "../../src/embedded/cluster.ts";
import { poll } from "../../src/embedded/deadlines.ts";
import { isAlive } from "../../src/embedded/processes.ts";
import { DatabaseError } from "../../src/errors.ts";
import { Holder, open, serverPid, sql, withDataDir } from "../support/embedded.ts";

Deno.test("first start makes a cluster that keeps data; the second start finds it", async () => {
  await withDataDir(async (dataDir) => {
    const first = await open(dataDir, { durable: true });
    assert.equal(first.startedHere, true);
    assert.ok(!first.psqlCommand.includes(new URL(first.url).password));
    const [settings] = await sql(
      first.url,
      "create table kept (n int)",
      "insert into kept values (1)",
      `select current_user as role, current_setting('fsync') as fsync,
              current_setting('server_encoding') as encoding, current_setting('data_checksums') as checksums,
              current_setting('timezone') as timezone, current_setting('listen_addresses') as addresses,
              (select rolsuper from pg_roles where rolname = current_user) as super,
              (select datlocprovider::text || datlocale from pg_database where datname = current_database()) as locale,
              (select count(*) >= 0 from pg_stat_statements) as statements,
              lower('ÅЖ') = 'åж' as letters`,
    );
    assert.deepEqual(settings, {
      role: "p2p",
      fsync: "on",
      encoding: "UTF8",
      checksums: "on",
      timezone: "UTC",
      addresses: "127.0.0.1",
      super: false,
      locale: "bC.UTF-8",
      statements: true,
      letters: true,
    });
    const pid = await serverPid(dataDir);
    if (Deno.build.os === "linux") {
      const session = (of: number | "self"): string | undefined =>
        Deno.readTextFileSync(`/proc/${of}/stat`).split(") ")[1]?.split(" ")[3];
      assert.notEqual(session(pid), session("self"), "Ctrl-C here must not reach the server");
    }
    await Promise.all([first.close(), first.close()]);
    assert.equal(isAlive(pid), false);
    assert.equal(await findRunning(dataDir), undefined);
    assert.equal(await explainServerLoss(dataDir), "the embedded PostgreSQL was shut down");

    const second = await open(dataDir);
    try {
      assert.deepEqual(await sql(second.url, "select n from kept"), [{ n: 1 }]);
      assert.deepEqual(await sql(second.url, "show fsync"), [{ fsync: "off" }]);
    } finally {
      await second.close();
    }
  });
});

Deno.test("processes that start an empty folder at once share one cluster", async () => {
  for (let round = 1; round <= 2; round++) {
    await withDataDir(async (dataDir) => {
      const options = { dataDir, purpose: "once", durable: false };
      const holders = [1, 2, 3, 4].map(() => Holder.start(options));
      const told = await Promise.all(holders.map((holder) => holder.told()));
      const codes = await Promise.all(holders.map((holder) => holder.end()));
      assert.deepEqual(
        told.map(({ error, message }) => ({ error, message })),
        told.map(() => ({ error: undefined, message: undefined })),
      );
      assert.equal(new Set(told.map(({ url }) => url)).size, 1);
      assert.equal(told.filter(({ startedHere }) => startedHere).length, 1);
      assert.deepEqual(codes, [0, 0, 0, 0]);
      assert.ok(told.every(({ pid }) => !isAlive(pid)), "the last one out stops the server");
    });
  }
});

Deno.test("a living owner", async (t) => {
  await withDataDir(async (dataDir) => {
    const owner = Holder.start({ dataDir, purpose: "once", durable: false });
    const { url, pid } = await owner.told();

    await t.step("refuses another one who wants to own, and is named", async () => {
      await assert.rejects(open(dataDir, { whenHeld: "refuse" }), (error: unknown) => {
        assert.ok(error instanceof DatabaseError);
        const name = String.raw`held by pid ${owner.pid} \(p2p-ingest once, since \d{4}-`;
        assert.match(error.message, new RegExp(name));
        return true;
      });
      await assert.rejects(stopCluster(dataDir), new RegExp(`held by pid ${owner.pid} `));
      assert.equal((await findRunning(dataDir))?.owner?.pid, owner.pid);
    });

    await t.step("leaves its server to a guest that still works when it ends", async () => {
      const guest = await open(dataDir);
      assert.equal(guest.startedHere, false);
      assert.equal(guest.url, url);
      assert.equal(await owner.end(), 0);
      assert.deepEqual(await sql(guest.url, "select 1 as n"), [{ n: 1 }]);
      await guest.close();
      assert.equal(isAlive(pid), false);
    });

    await t.step("as the service stops its server whoever uses it", async () => {
      const service = Holder.start({ dataDir, purpose: "run", durable: false, whenHeld: "refuse" });
      const told = await service.told();
      const guest = await open(dataDir);
      assert.equal(guest.startedHere, false);
      assert.equal(await service.end(), 0);
      assert.equal(isAlive(told.pid), false);
      await guest.close();
    });
  });
});

Deno.test("`db start` leaves a server that commands use and leave, until `db stop`", async () => {
  await withDataDir(async (dataDir) => {
    const starter = Holder.start({ dataDir, purpose: "db start", durable: false, detach: true });
    const { pid, detached, owner, startedHere } = await starter.told();
    assert.deepEqual({ detached, owner, startedHere }, {
      detached: true,
      owner: undefined,
      startedHere: true,
    });
    assert.equal(await starter.end(), 0);
    const again = await startDetached({ dataDir, purpose: "db start" });
    assert.deepEqual([again.pid, again.startedHere], [pid, false]);
    for (const whenHeld of ["join", "refuse"] as const) {
      const cluster = await open(dataDir, { whenHeld });
      assert.equal(cluster.startedHere, false);
      assert.deepEqual(await sql(cluster.url, "select 1 as n"), [{ n: 1 }]);
      await cluster.close();
      assert.equal(isAlive(pid), true);
    }
    assert.equal(await stopCluster(dataDir), true);
    assert.equal(isAlive(pid), false);

    const later = await open(dataDir);
    const next = await serverPid(dataDir);
    assert.equal(later.startedHere, true, "the mark was for that run of the server alone");
    await later.close();
    assert.equal(isAlive(next), false);
  });
});

Deno.test("an abort ends the start and what was started", async () => {
  await withDataDir(async (dataDir) => {
    const stop = new AbortController();
    const opening = open(dataDir, { signal: stop.signal });
    await poll(20_000, () => {
      try {
        return [...Deno.readDirSync(dataDir)].some((e) => e.name.startsWith(".making-cluster")) ||
          undefined;
      } catch {
        return undefined;
      }
    });
    stop.abort(new Error("enough"));
    await assert.rejects(opening, /enough/);
    assert.equal(await findRunning(dataDir), undefined);
    await (await open(dataDir)).close();
    const aborted = AbortSignal.abort(new Error("enough"));
    await assert.rejects(open(dataDir, { signal: aborted }), /enough/);
  });
});
