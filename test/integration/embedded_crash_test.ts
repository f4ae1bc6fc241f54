/** How an embedded cluster recovers when it, or who held it, was killed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { explainServerLoss, findRunning, stopCluster } from "../../src/embedded/cluster.ts";
import { poll } from "../../src/embedded/deadlines.ts";
import { isAlive, isZombie } from "../../src/embedded/processes.ts";
import {
  Holder,
  IS_ROOT,
  killServer,
  open,
  serverPid,
  sql,
  withDataDir,
} from "../support/embedded.ts";

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
      // The second sleep takes the shell's place and never asks after the first, its child.
      const parent = new Deno.Command("sh", {
        args: ["-c", "sleep 600 & echo $!; exec sleep 600"],
        stdout: "piped",
      }).spawn();
      const reader = parent.stdout.getReader();
      try {
        const { value } = await reader.read();
        const pid = Number(new TextDecoder().decode(value));
        const isInPlace = await poll(10_000, async () => {
          const command = await Deno.readTextFile(`/proc/${parent.pid}/cmdline`);
          return command.startsWith("sleep") ? true : undefined;
        });
        assert.equal(isInPlace, true, "a shell would ask after its child");
        Deno.kill(pid, "SIGKILL");
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
