/** What an embedded cluster says when it cannot go on: full disk, wrong version, lost files. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { explainServerLoss, findRunning } from "../../src/embedded/cluster.ts";
import { ConfigurationError, DatabaseError } from "../../src/errors.ts";
import { HOLDER, Holder, onDisk, open, sql, withDataDir } from "../support/embedded.ts";

Deno.test("another major version is refused, and nothing is touched", async () => {
  await withDataDir(async (dataDir) => {
    await (await open(dataDir)).close();
    const file = join(dataDir, "cluster/PG_VERSION");
    const version = (await Deno.readTextFile(file)).trim();
    await Deno.writeTextFile(file, "17\n");
    const state = (): string =>
      JSON.stringify(
        [...Deno.readDirSync(join(dataDir, "cluster"))].map(({ name }) => {
          const info = Deno.statSync(join(dataDir, "cluster", name));
          return [name, info.mtime, info.size];
        }),
      );
    const before = state();
    await assert.rejects(open(dataDir), (error: unknown) => {
      assert.ok(error instanceof ConfigurationError);
      assert.match(
        error.message,
        new RegExp(`written by PostgreSQL 17, .* brings PostgreSQL ${version}`),
      );
      assert.match(error.hint ?? "", /pg_dump/);
      return true;
    });
    assert.equal(state(), before);
  });
});

Deno.test("too few permissions of Deno are one clear line", async () => {
  await withDataDir(async (dataDir) => {
    const options = JSON.stringify({ dataDir, purpose: "once", durable: false });
    const grants = ["read", "write", "run", "env", "net", "sys"].map((name) => `--allow-${name}`);
    await using holder = Holder.start({}, {
      args: ["run", "--no-prompt", ...grants, HOLDER, options],
    });
    assert.match((await holder.told()).message, /needs every permission of Deno/);
    assert.equal(await holder.end(), 78);
  });
});

Deno.test("a lost password file: the next start makes a new one", async () => {
  await withDataDir(async (dataDir) => {
    const first = await open(dataDir);
    await first.close();
    await Deno.remove(join(dataDir, "password"));
    const second = await open(dataDir);
    assert.notEqual(new URL(second.url).password, new URL(first.url).password);
    assert.deepEqual(await sql(second.url, "select 1 as n"), [{ n: 1 }]);
    await second.close();
  });
});

function isDiskFull(dataDir: string): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof DatabaseError, String(error));
    assert.match(
      error.message,
      new RegExp(`^no space left on the disk of the data folder ${dataDir}`),
    );
    assert.ok(!error.message.includes("\n"));
    return true;
  };
}

/** 8 MB: the programs do not fit. 75 MB: they do, but not the cluster beside them. */
for (const size of ["8m", "75m"]) {
  Deno.test(`a disk of ${size} is too small for the first start`, async () => {
    await onDisk(size, async (dataDir) => {
      await assert.rejects(open(dataDir), isDiskFull(dataDir));
      await using holder = Holder.start({ dataDir, purpose: "once" });
      const told = await holder.told();
      assert.match(told.message, /^no space left/);
      assert.equal(await holder.end(), 69);
    });
  });
}

Deno.test("the disk fills up while the server runs: explained, and mended by space", async () => {
  await onDisk("220m", async (dataDir) => {
    let cluster = await open(dataDir, { durable: true });
    await sql(cluster.url, "create table kept (n int)", "insert into kept values (1)");
    await fill(join(dataDir, "ballast"));
    await assert.rejects(
      sql(
        cluster.url,
        "create table big as select i, repeat(md5(i::text), 30) as t from generate_series(1, 200000) i",
      ),
    );
    assert.match(
      String(await explainServerLoss(dataDir)),
      /^no space left on the disk of the data folder/,
    );
    await cluster.close();
    await fill(join(dataDir, "ballast2"));
    await assert.rejects(open(dataDir), isDiskFull(dataDir));
    assert.equal(await findRunning(dataDir), undefined);
    await Deno.remove(join(dataDir, "ballast"));
    await Deno.remove(join(dataDir, "ballast2"));
    cluster = await open(dataDir);
    assert.deepEqual(await sql(cluster.url, "select n from kept"), [{ n: 1 }]);
    await cluster.close();
  });
});

/** Writes until nothing fits. */
async function fill(path: string): Promise<void> {
  using file = await Deno.open(path, { create: true, write: true });
  const block = new Uint8Array(64 * 1024);
  for (let size = block.length; size >= 512;) {
    try {
      await file.write(block.subarray(0, size));
    } catch {
      size /= 2;
    }
  }
}
