/** The life of an embedded cluster: who starts, shares, stops and recovers it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  explainServerLoss,
  findRunning,
  startDetached,
  stopCluster,
} from "../../src/embedded/cluster.ts";
import { poll } from "../../src/embedded/deadlines.ts";
import { isAlive, isZombie } from "../../src/embedded/processes.ts";
import { DatabaseError } from "../../src/errors.ts";
import {
  Holder,
  IS_ROOT,
  killServer,
  open,
  serverPid,
  sql,
  withDataDir,
} from "../support/embedded.ts";

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

Deno.test("kill -9", async (t) => {
  await withDataDir(async (dataDir) => {
    await t.step("of the owner: the next one takes over the running server", async () => {
      const owner = Holder.start({ dataDir, purpose: "once", durable: false });
      const { url, pid } = await owner.told();
      await sql(url, "create table kept (n int)", "insert into kept values (1)");
      await owner.kill();
      assert.equal(isAlive(pid), true);
      assert.equal((await findRunning(dataDir))?.owner, undefined);
      const next = await open(dataDir);
      assert.equal(next.startedHere, true);
      assert.equal(await serverPid(dataDir), pid);
      assert.deepEqual(await sql(next.url, "select n from kept"), [{ n: 1 }]);
      await next.close();
      assert.equal(isAlive(pid), false);
    });

    await t.step("of the owner: `db stop` ends the orphan", async () => {
      const owner = Holder.start({ dataDir, purpose: "once", durable: false });
      const { pid } = await owner.told();
      await owner.kill();
      assert.equal(await stopCluster(dataDir), true);
      assert.equal(isAlive(pid), false);
      assert.equal(await stopCluster(dataDir), false);
    });

    await t.step(
      "of the server: the next start recovers, though a statement still runs",
      async () => {
        const cluster = await open(dataDir);
        await sql(cluster.url, "insert into kept values (2)", "checkpoint");
        const pid = await serverPid(dataDir);
        const endless = sql(cluster.url, "select count(*) from generate_series(1, 1e12)").catch(
          () => {},
        );
        await poll(10_000, async () => {
          const [row] = await sql(
            cluster.url,
            "select count(*)::int as n from pg_stat_activity where query like '%1e12%' and pid <> pg_backend_pid()",
          );
          return row?.n === 1 ? true : undefined;
        });
        await killServer(pid);
        assert.equal(await findRunning(dataDir), undefined);
        await assert.rejects(open(dataDir), /has no server running, yet is held by pid/);
        assert.match(String(await explainServerLoss(dataDir)), /gone; it was probably killed/);
        await cluster.close();
        const next = await open(dataDir);
        await endless;
        assert.deepEqual(await sql(next.url, "select n from kept order by n"), [{ n: 1 }, {
          n: 2,
        }]);
        await next.close();
      },
    );

    await t.step("then its number goes to an unrelated process of the same user", async () => {
      const cluster = await open(dataDir);
      const pid = await serverPid(dataDir);
      const file = join(dataDir, "cluster/postmaster.pid");
      await killServer(pid);
      await cluster.close();
      const info = await Deno.stat(file);
      const identity = IS_ROOT ? { uid: info.uid ?? 0, gid: info.gid ?? 0 } : {};
      const stranger = new Deno.Command("sleep", { args: ["600"], cwd: "/", ...identity }).spawn();
      try {
        const text = await Deno.readTextFile(file);
        await Deno.writeTextFile(file, text.replace(/^\d+/, String(stranger.pid)));
        assert.equal(await stopCluster(dataDir), false);
        const next = await open(dataDir);
        assert.deepEqual(await sql(next.url, "select count(*)::int as n from kept"), [{ n: 2 }]);
        await next.close();
        assert.equal(isAlive(stranger.pid), true);
      } finally {
        stranger.kill("SIGKILL");
        await stranger.status;
      }
    });

    await t.step("the number of a zombie does not stop the start", async () => {
      // The sleep takes the shell's place and never asks after its child, which ends at once.
      const parent = new Deno.Command("sh", {
        args: ["-c", "true & echo $!; exec sleep 600"],
        stdout: "piped",
      }).spawn();
      const reader = parent.stdout.getReader();
      try {
        const { value } = await reader.read();
        const pid = Number(new TextDecoder().decode(value));
        await poll(10_000, () => Promise.resolve(isZombie(pid) ? true : undefined));
        assert.ok(isZombie(pid), String(pid));
        const file = join(dataDir, "cluster/postmaster.pid");
        await Deno.writeTextFile(file, `${pid}\n${join(dataDir, "cluster")}\n1\n1\n\n\n\n`);
        const next = await open(dataDir);
        await next.close();
      } finally {
        parent.kill("SIGKILL");
        await parent.status;
        await reader.cancel();
      }
    });

    await t.step("a torn postmaster.pid does not stop the start", async () => {
      const file = join(dataDir, "cluster/postmaster.pid");
      await Deno.writeTextFile(file, "");
      const next = await open(dataDir);
      await next.close();
    });
  });
});

Deno.test("kill -9 in the middle of making the cluster leaves nothing that is trusted", async () => {
  await withDataDir(async (dataDir) => {
    const doomed = Holder.start({ dataDir, purpose: "once", durable: false });
    const started = await poll(20_000, async () => {
      for await (const { name } of Deno.readDir(dataDir)) {
        if (!name.startsWith(".making-cluster")) continue;
        for await (const _ of Deno.readDir(join(dataDir, name))) return true;
      }
      return undefined;
    });
    assert.equal(started, true);
    await doomed.kill();
    await assert.rejects(Deno.stat(join(dataDir, "cluster")));
    const cluster = await open(dataDir);
    assert.deepEqual(await sql(cluster.url, "select 1 as n"), [{ n: 1 }]);
    await cluster.close();
    const names = [...Deno.readDirSync(dataDir)].map((entry) => entry.name);
    assert.deepEqual(names.filter((name) => name.startsWith(".making")), []);
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
