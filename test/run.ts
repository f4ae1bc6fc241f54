// deno-lint-ignore-file no-console
// `deno task test [files or options of deno test]`: starts the servers, makes the template database on each, runs
// the tests, and prints one closing line for all of them.
// `deno task coverage`: the same on the embedded PostgreSQL alone, and which lines of src/ ran, in the processes that
// tests start as well (what is killed tells nothing); fails below the share in deno.json.
import { Database } from "../src/database/connection.ts";
import { configureLog } from "../src/log.ts";
import { CALLED_FUNCTIONS, EXTENSION, TEMPLATE } from "./support/database.ts";
import {
  debianServer,
  embeddedServer,
  makeTemplate,
  type TestServer,
  timescaleServer,
} from "./support/servers.ts";

interface Outcome {
  passed: number;
  failed: number;
  code: number;
}

const ALL = ["test/unit", "test/sql", "test/plain", "test/integration", "test/chaos", "test/fuzz"];
/** What depends on the server's version. */
const DATABASE_TESTS = [
  "test/sql",
  "test/integration/migrate_test.ts",
  "test/integration/batch_test.ts",
  "test/integration/batch_strange_test.ts",
  "test/integration/object_states_test.ts",
  "test/integration/doctor_test.ts",
  "test/integration/backup_test.ts",
  "test/integration/replay_test.ts",
  "test/integration/quarantine_test.ts",
  "test/integration/import_moved_test.ts",
];

/** What speaks of partitions. */
const PLAIN_TESTS = ["test/plain"];
/** The same of chunks, and what only a server with TimescaleDB can show. */
const TIMESCALE_TESTS = ["test/timescale"];

async function runTests(
  server: TestServer,
  targets: readonly string[],
  report: string,
  coverage: string | undefined,
): Promise<Outcome> {
  console.log(`\n── ${server.title} ──`);
  await makeTemplate(server);
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      "-A",
      "--parallel",
      `--junit-path=${report}`,
      ...(coverage === undefined ? [] : [`--coverage=${coverage}`, "--coverage-raw-data-only"]),
      ...targets,
    ],
    env: {
      TEST_DATABASE_ADMIN_URL: server.adminUrl,
      DENO_JOBS: "3",
      NO_COLOR: "1",
      LOG_LEVEL: "warning",
      [CALLED_FUNCTIONS]: `${report}.called`,
      [EXTENSION]: server.extension ?? "",
    },
  }).spawn().status;
  return { ...await counts(report), code };
}

/** Prints the share of lines that ran, file by file. */
async function reportCoverage(folder: string): Promise<number> {
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["coverage", "--include=/src/", folder],
    env: { NO_COLOR: "1" },
  }).spawn().status;
  return code;
}

/** Functions of schema p2p that no test called, on a server that counts calls. */
async function uncalledFunctions(server: TestServer, report: string): Promise<string[]> {
  const url = new URL(server.adminUrl);
  url.pathname = `/${TEMPLATE}`;
  await using template = new Database(url.href, { applicationName: "test", connections: 1 });
  const called = (await Deno.readTextFile(`${report}.called`).catch(() => "")).split("\n");
  const rows = await template.run(
    `select distinct proname from pg_proc
     where pronamespace = 'p2p'::regnamespace
       and current_setting('track_functions') = 'all'
       and proname <> all ($1::text::text[])
     order by 1`,
    [`{${called.filter((name) => name !== "").join(",")}}`],
    60,
  );
  return rows.map(({ proname }) => String(proname));
}

async function counts(report: string): Promise<{ passed: number; failed: number }> {
  const text = await Deno.readTextFile(report).catch(() => "");
  const [, tests, failures, errors] =
    /<testsuites [^>]*tests="(\d+)" failures="(\d+)" errors="(\d+)"/.exec(text) ?? [];
  const failed = Number(failures ?? 0) + Number(errors ?? 0);
  return { passed: Number(tests ?? 0) - failed, failed };
}

await configureLog("warning", "text");
const folder = await Deno.makeTempDir({ prefix: "p2p-test-" });
// The servers run as another user when we are root.
await Deno.chmod(folder, 0o755);
const total: Outcome = { passed: 0, failed: 0, code: 0 };
try {
  const coverage = Deno.args[0] === "--coverage" ? `${folder}/coverage` : undefined;
  const named = Deno.args.slice(coverage === undefined ? 0 : 1);
  const some = named.length > 0;
  const servers = [
    { start: embeddedServer, targets: some ? named : ALL, without: "" },
    {
      start: debianServer,
      targets: some || coverage !== undefined ? [] : [...DATABASE_TESTS, ...PLAIN_TESTS],
      without: "on PostgreSQL 15: apt-get install postgresql-15, then run this again",
    },
    {
      start: timescaleServer,
      targets: some ? named : [...DATABASE_TESTS, ...TIMESCALE_TESTS],
      without: "on TimescaleDB: set TEST_TIMESCALE_URL (see timescaleServer in test/support)",
    },
  ];
  const only = Deno.env.get("TEST_ONLY");
  for (const [index, { start, targets, without }] of servers.entries()) {
    if (targets.length === 0 || (only === "timescale") !== (index === 2) && only !== undefined) {
      continue;
    }
    await using server = await start(folder);
    if (server === undefined) {
      if (!some) console.log(`\n!!! NOT TESTED ${without}`);
      continue;
    }
    const outcome = await runTests(server, targets, `${folder}/report-${index}.xml`, coverage);
    if (!some) {
      const uncalled = await uncalledFunctions(server, `${folder}/report-${index}.xml`);
      if (uncalled.length > 0) {
        console.log(`\nno test calls these functions of schema p2p: ${uncalled.join(", ")}`);
        outcome.failed += 1;
        outcome.code ||= 1;
      }
    }
    total.passed += outcome.passed;
    total.failed += outcome.failed;
    total.code ||= outcome.code;
  }
  if (coverage !== undefined) total.code ||= await reportCoverage(coverage);
} finally {
  await Deno.remove(folder, { recursive: true });
}
console.log(`\n${total.passed} passed, ${total.failed} failed`);
Deno.exit(total.code);
