// The embedded database as a user meets it: demo, look around, stop; and the service on it.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { Database } from "../../src/database/connection.ts";
import { startSimulator } from "../../src/simulator/server.ts";
import { findRunning, stopCluster } from "../../src/embedded/cluster.ts";
import { isAlive } from "../../src/embedded/processes.ts";
import { rowsOf } from "../support/batches.ts";
import { endLeases, pagesStored } from "../support/sessions.ts";
import { eventually, FAST, Program, runProgram } from "../support/program.ts";

/** A folder that the server may enter, whoever it runs as; its servers end with it. */
async function withFolder(work: (dataDir: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ dir: "/tmp", prefix: "p2p-demo-" });
  await Deno.chmod(folder, 0o755);
  try {
    await work(`${folder}/data`);
  } finally {
    for (const dataDir of [`${folder}/data`, `${folder}/data-demo`]) {
      await stopCluster(dataDir).catch(() => false);
    }
    await Deno.remove(folder, { recursive: true });
  }
}

async function shell(line: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command("sh", { args: ["-c", line] }).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

async function hasPsql(): Promise<boolean> {
  return (await shell("command -v psql")).code === 0;
}

Deno.test("demo shows what there is, and leaves a database to look into", async (t) => {
  await withFolder(async (dataDir) => {
    const asked: string[] = [];
    await using outside = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      ({ url }) => {
        asked.push(url);
        return Response.json({});
      },
    );
    const elsewhere = `http://127.0.0.1:${outside.addr.port}`;
    const demo = await runProgram(["demo", "--batches", "1", "--offers", "2000"], {
      DATA_DIR: dataDir,
      // Of the service that is configured here; the demo sends without a limit.
      EXCHANGES: "bybit,binance",
      BYBIT_BASE_URL: elsewhere,
      BINANCE_SEARCH_ENDPOINT: `${elsewhere}/search`,
      ALERT_WEBHOOK_URL: `${elsewhere}/alerts`,
    });
    strictEqual(demo.code, 0, demo.stderr);
    deepStrictEqual(asked, [], "nobody but its own exchange is asked");
    const here = { DATA_DIR: `${dataDir}-demo` };

    await t.step("tables and the ways in are printed", () => {
      match(demo.stderr, /^batch \S+ completed · [\d,]+ of [\d,]+ markets/m);
      match(demo.stdout, /What is in the database\n[^]*fact_offers +[\d,]+/);
      match(demo.stdout, /The best offers for who buys USDT with VES\n[^]*advertiser +price/);
      ok(
        demo.stdout.includes(
          `DATA_DIR=${here.DATA_DIR} npx -y deno@${Deno.version.deno} task p2p db stop`,
        ),
      );
    });
    await t.step("the printed psql line works", async () => {
      const line = /^ {2}((?:\S*=\S* )*psql .*)$/m.exec(demo.stdout)?.[1];
      ok(line !== undefined, demo.stdout);
      if (!await hasPsql()) return;
      const { code, stdout, stderr } = await shell(
        `${line} -Atc "select count(*) > 1000 from p2p.fact_offers"`,
      );
      deepStrictEqual([code, stdout], [0, "t\n"], stderr);
    });
    await t.step("query and status find it", async () => {
      const query = await runProgram(
        ["query", "--csv", "select status from p2p.ops_batch_runs"],
        here,
      );
      deepStrictEqual([query.code, query.stdout], [0, "status\r\ncompleted\r\n"], query.stderr);
      const status = await runProgram(["status"], here);
      strictEqual(status.code, 0);
      match(
        status.stdout,
        /^Database \S+\/p2p, plain tables\nLast good batch: \d+ s ago [^\n]*\nNo worker is running\.[^\n]*\n\nstarted +status/,
      );
      const json = await runProgram(["status", "--json", "-n", "1"], here);
      const report = JSON.parse(json.stdout);
      strictEqual(report.batches.length, 1);
      strictEqual(report.batches[0].status, "completed");
      deepStrictEqual([report.running, report.missing_markets], [null, []]);
    });
    await t.step("db url and db psql", async () => {
      const url = await runProgram(["db", "url"], here);
      strictEqual(url.code, 0, url.stderr);
      match(url.stdout, /^postgres(ql)?:\/\/\S+\n$/);
      if (!await hasPsql()) return;
      const viaUrl = await shell(`psql '${url.stdout.trim()}' -Atc 'select 1'`);
      strictEqual(viaUrl.stdout, "1\n", viaUrl.stderr);
      const psql = await runProgram(["db", "psql", "--", "-At", "-c", "select 6 * 7"], here);
      deepStrictEqual([psql.code, psql.stdout], [0, "42\n"], psql.stderr);
    });
    await t.step("db stop", async () => {
      const pid = (await findRunning(here.DATA_DIR))?.pid;
      const stop = await runProgram(["db", "stop"], here);
      deepStrictEqual([stop.code, stop.stderr], [0, "stopped\n"]);
      ok(pid !== undefined && !isAlive(pid));
      const again = await runProgram(["db", "stop"], here);
      deepStrictEqual([again.code, again.stderr], [0, "it was not running\n"]);
      const url = await runProgram(["db", "url"], here);
      strictEqual(url.code, 69);
      match(url.stderr, /^error: the embedded PostgreSQL is not running\nhint: /);
    });
  });
});

Deno.test("run: a batch at once, refuses a second service, ends at SIGTERM with its database", async () => {
  const simulator = await startSimulator({ offers: 1500 });
  try {
    await withFolder(async (dataDir) => {
      const variables = {
        DATA_DIR: dataDir,
        BINANCE_BASE_URL: simulator.url,
        MARKETS: "VES/*",
        LOG_FORMAT: "text",
        ...FAST,
      };
      await using service = new Program(["run"], variables);
      await eventually(
        "the first batch",
        () => /^batch \S+ completed/m.test(service.stdout) ? true : undefined,
      );
      await eventually(
        "a date for the next",
        () => /next batch at/.exec(service.stderr) ?? undefined,
      );
      match(service.stderr, /look inside while it runs: (\S+=\S+ )*psql /);
      const server = await findRunning(dataDir);
      ok(server !== undefined);

      const second = await runProgram(["run"], variables);
      ok(second.code === 78 || second.code === 69, second.stderr);
      match(second.stderr, new RegExp(`^error: [^\n]*\\b${service.pid}\\b`));
      const look = await runProgram(
        ["query", "--csv", "select count(*) > 0 as yes from p2p.fact_offers"],
        variables,
      );
      strictEqual(look.stdout, "yes\r\nt\r\n", look.stderr);

      service.kill("SIGTERM");
      const { code, stderr } = await service.ended;
      strictEqual(code, 0, stderr);
      ok(!isAlive(server.pid), "the server outlived the service");
    });
  } finally {
    await simulator.close();
  }
});

Deno.test("db without an embedded database says so", async () => {
  const { code, stderr } = await runProgram(["db", "url"], {
    DATABASE_URL: "postgres://worker@127.0.0.1:1/p2p",
  });
  strictEqual(code, 78);
  match(stderr, /^error: DATABASE_URL is set: the embedded PostgreSQL is not in use\nhint: /);
});

Deno.test("run: ends with 69 when its own server is killed, and a new start goes on", async () => {
  const asked: string[] = [];
  let latencyMs = 300;
  const simulator = await startSimulator({
    offers: 1500,
    faultFor: ({ search }) => {
      if (search === undefined) return undefined;
      asked.push(`${search.fiat}/${search.asset} ${search.side} ${search.page}`);
      return { kind: "slow", overMs: latencyMs };
    },
  });
  try {
    await withFolder(async (dataDir) => {
      const variables = {
        DATA_DIR: dataDir,
        BINANCE_BASE_URL: simulator.url,
        MARKETS: "VES/*,ARS/*",
        MAX_WORKERS: "2",
        LOG_FORMAT: "text",
        ...FAST,
      };
      const connect = async (): Promise<Database> => {
        const { code, stdout, stderr } = await runProgram(["db", "url"], variables);
        strictEqual(code, 0, stderr);
        return new Database(stdout.trim(), { applicationName: "test" });
      };
      await using service = new Program(["run"], variables);
      await eventually("searches", () => asked.length > 0 ? true : undefined);
      const server = await findRunning(dataDir);
      ok(server !== undefined);
      let batchId: string;
      {
        await using database = await connect();
        batchId = await pagesStored(database, 3);
      }
      Deno.kill(server.pid, "SIGKILL");
      const { code, stderr } = await service.ended;
      strictEqual(code, 69, stderr);
      match(stderr, /^error: the database at \S+ cannot be reached: [^\n]*\n$/m);

      strictEqual((await runProgram(["db", "start"], variables)).code, 0);
      await using database = await connect();
      const stored = await rowsOf(
        database,
        `select f.currency_code || '/' || c.symbol || ' ' || m.trade_type || ' ' || s.page_number as page
         from p2p.stg_responses s join p2p.dim_markets m using (market_id)
         join p2p.dim_fiat_currencies f using (fiat_id) join p2p.dim_cryptocurrencies c using (crypto_id)`,
      );
      ok(stored.length >= 3, "what was stored is there");
      await endLeases(database);
      latencyMs = 0;
      const before = asked.length;
      const again = await runProgram(["once", "--json"], variables);
      strictEqual(again.code, 0, again.stderr);
      strictEqual(JSON.parse(again.stdout).batch_id, batchId, "it goes on with its batch");
      const askedAgain = asked.slice(before);
      deepStrictEqual(stored.filter(({ page }) => askedAgain.includes(String(page))), []);
    });
  } finally {
    await simulator.close();
  }
});
