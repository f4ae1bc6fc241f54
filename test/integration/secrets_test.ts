// Distinct secrets in every place that takes one, then the commands, well and in trouble: no output anywhere holds any.
import assert from "node:assert/strict";
import { join } from "node:path";
import { startSimulator } from "../../src/simulator/server.ts";
import { rowsOf } from "../support/batches.ts";
import { adminUrl, type TestDatabase, testDatabase } from "../support/database.ts";
import { open, withDataDir } from "../support/embedded.ts";
import { serveAnswers } from "../support/faulty_server.ts";
import { OtlpReceiver } from "../support/otlp_receiver.ts";
import { eventually, FAST, Program, runProgram, type Variables } from "../support/program.ts";
import { Database } from "../../src/database/connection.ts";

const core = (name: string): string => `S3cret${name}${crypto.randomUUID().slice(0, 8)}`;

/** What surrounds the letters is encoded one way or another: they themselves never are, but by base64. */
const SECRETS = {
  database: core("Db"),
  pgpassword: core("Pg"),
  slack: core("Slack"),
  pagerduty: core("Duty"),
  webhook: core("Hook"),
  proxy: core("Proxy"),
  exchange: core("Exchange"),
} as const;
type Name = keyof typeof SECRETS;

/** With everything that an encoding may stumble over. */
const DATABASE_PASSWORD = `é'%/@"\\ :?#&{${SECRETS.database}}$1`;

const base64Of = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));

/** The text as base64 has it, wherever in a longer text it begins. */
function inBase64(text: string): string[] {
  const bytes = new TextEncoder().encode(text);
  return [0, 1, 2].map((skipped) => {
    const rest = bytes.subarray(skipped);
    return base64Of(rest.subarray(0, rest.length - rest.length % 3));
  });
}

const FORMS: readonly (readonly [Name, string])[] = Object.entries(SECRETS).flatMap((
  [name, secret],
) =>
  [
    secret,
    ...inBase64(secret),
    new TextEncoder().encode(secret).toHex(),
    [...secret].toReversed().join(""),
  ].map((form) => [name as Name, form] as const)
);

/** Everything that came out, by where. */
class Outputs {
  readonly #texts = new Map<string, string>();

  add(where: string, text: string): void {
    this.#texts.set(where, (this.#texts.get(where) ?? "") + text);
  }

  /** Which secret was found where. */
  leaks(): string[] {
    return [...this.#texts].flatMap(([where, text]) =>
      FORMS.filter(([, form]) => text.includes(form)).map(([name]) => `${name} in ${where}`)
    );
  }

  get places(): number {
    return this.#texts.size;
  }

  has(where: RegExp, pattern: RegExp): boolean {
    return [...this.#texts].some(([name, text]) => where.test(name) && pattern.test(text));
  }
}

/** A login of p2p_worker with the planted password. */
async function withLogin(test: TestDatabase, work: (url: string) => Promise<void>): Promise<void> {
  const login = `secret_${crypto.randomUUID().slice(0, 8)}`;
  await using admin = new Database(adminUrl(), { applicationName: "test", connections: 1 });
  const password = DATABASE_PASSWORD.replaceAll("'", "''");
  await admin.run(
    `create role ${login} login password E'${
      password.replaceAll("\\", "\\\\")
    }' in role p2p_worker`,
    [],
    60,
  );
  try {
    const url = new URL(test.url);
    url.username = login;
    url.password = encodeURIComponent(DATABASE_PASSWORD);
    await work(url.href);
  } finally {
    await admin.runScript(`grant ${login} to current_user`, 60);
    await admin.run(
      "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = $1",
      [login],
      60,
    );
    await admin.run(`drop role ${login}`, [], 60);
  }
}

Deno.test("no secret in any log, error, answer, trace, table or process list", async () => {
  const outputs = new Outputs();
  await using test = await testDatabase();
  await using otlp = new OtlpReceiver();
  const simulator = await startSimulator({ offers: 500, faults: { serverError: 0.2 } });
  await using _closing = { [Symbol.asyncDispose]: () => simulator.close() };
  // Slack refuses, PagerDuty gets nonsense back, the webhook takes alerts, or hangs up.
  await using slack = serveAnswers(() => new Response("no_service", { status: 404 }));
  await using pagerDuty = serveAnswers(() => new Response("?", { status: 400 }));
  await using webhook = serveAnswers(() => new Response(null, { status: 204 }));
  const folder = await Deno.makeTempDir({ prefix: "p2p-secrets-" });
  await using _tidy = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
  const file = async (name: string, text: string): Promise<string> => {
    const path = join(folder, name);
    await Deno.writeTextFile(path, `${text}\n`, { mode: 0o600 });
    return path;
  };

  await withLogin(test, async (databaseUrl) => {
    const alerts: Variables = {
      SLACK_WEBHOOK_URL: `${slack.url}services/${SECRETS.slack}/x%2Fy`,
      PAGERDUTY_EVENTS_URL: `${pagerDuty.url}v2/enqueue`,
      PAGERDUTY_API_KEY: `${SECRETS.pagerduty}"\\ %`,
      ALERT_WEBHOOK_URL: `${webhook.url}hook?key=${SECRETS.webhook}&x=%22`,
    };
    const all: Variables = {
      ...alerts,
      DATABASE_URL: databaseUrl,
      BINANCE_BASE_URL: simulator.url,
      MARKETS: "VES/USDT",
      MAX_RETRIES: "0",
      LOG_LEVEL: "debug",
      PGPASSWORD: SECRETS.pgpassword,
      ...FAST,
    };
    const fromFiles: Variables = {
      ...all,
      DATABASE_URL: "",
      SLACK_WEBHOOK_URL: "",
      PAGERDUTY_API_KEY: "",
      ALERT_WEBHOOK_URL: "",
      DATABASE_URL_FILE: await file("database", databaseUrl),
      SLACK_WEBHOOK_URL_FILE: await file("slack", alerts["SLACK_WEBHOOK_URL"] ?? ""),
      PAGERDUTY_API_KEY_FILE: await file("duty", alerts["PAGERDUTY_API_KEY"] ?? ""),
      ALERT_WEBHOOK_URL_FILE: await file("hook", alerts["ALERT_WEBHOOK_URL"] ?? ""),
    };
    const ended = async (
      what: string,
      args: readonly string[],
      variables: Variables,
      codes: readonly number[],
    ): Promise<void> => {
      const { code, stdout, stderr } = await runProgram(args, variables);
      assert.ok(codes.includes(code), `${what}: ${code} ${stderr}`);
      outputs.add(`${what}: stdout`, stdout);
      outputs.add(`${what}: stderr`, stderr);
    };
    const elsewhere = (change: (url: URL) => void): string => {
      const url = new URL(databaseUrl);
      change(url);
      return url.href;
    };

    // The service: well, then without its database, then stopped.
    await using service = new Program(["run"], {
      ...fromFiles,
      ...otlp.environment,
      LOG_FORMAT: "json",
      EXTRACTION_INTERVAL_MINUTES: "1",
      BATCH_DEADLINE_SECONDS: "30",
      HTTPS_PROXY: `http://me:${SECRETS.proxy}@127.0.0.1:1`,
    });
    const port = await eventually(
      "its port",
      () => /"url":"http:\/\/127\.0\.0\.1:(\d+)"/.exec(service.stderr)?.[1],
    );
    const askAll = async (when: string): Promise<void> => {
      const market = "/api/market?exchange=binance&fiat=VES&asset=USDT";
      const paths = ["/", "/metrics", "/healthz", "/readyz", "/api/overview", "/api/coverage"];
      await Promise.all([...paths, "/api/markets", "/api/access", market].map(async (path) => {
        const response = await fetch(`http://127.0.0.1:${port}${path}`);
        const headers = JSON.stringify([...response.headers]);
        outputs.add(`${when}: ${path}`, headers + await response.text());
      }));
      const events = await fetch(`http://127.0.0.1:${port}/events`);
      const reader = events.body?.getReader();
      outputs.add(
        `${when}: /events`,
        new TextDecoder().decode((await reader?.read())?.value) +
          new TextDecoder().decode((await reader?.read())?.value),
      );
      await reader?.cancel();
    };

    const meanwhile = (async () => {
      const wrongPassword = elsewhere((url) => url.password = `${SECRETS.database}%40x`);
      const nobody = elsewhere((url) => url.port = "1");
      const noTls = elsewhere((url) => url.searchParams.set("sslmode", "verify-full"));
      const badSetting = elsewhere((url) => url.searchParams.set("nonsense", "1"));
      const proxied = {
        BINANCE_BASE_URL: "http://exchange.invalid",
        HTTP_PROXY: `http://me:${SECRETS.proxy}@127.0.0.1:1`,
        http_proxy: `http://me:${SECRETS.proxy}@127.0.0.1:1`,
        HTTPS_PROXY: `http://me:${SECRETS.proxy}@127.0.0.1:1`,
      };
      const runs: readonly [string, readonly string[], Variables, readonly number[]][] = [
        ["once", ["once", "--json"], { ...all, ...otlp.environment }, [0, 75]],
        ["once, text", ["once"], {
          ...fromFiles,
          ...proxied,
          LOG_FORMAT: "text",
          BATCH_DEADLINE_SECONDS: "1",
        }, [69, 75]],
        ["doctor", ["doctor", "--json"], { ...all, ...proxied }, [1]],
        ["doctor, files", ["doctor"], fromFiles, [0, 1]],
        ["status", ["status", "--json"], all, [0]],
        ["alert test", ["alert", "test", "--json"], all, [69]],
        ["query", ["query", "select * from pg_stat_activity"], all, [0]],
        ["migrate", ["migrate"], all, [0]],
        ["migrate --dry-run", ["migrate", "--dry-run", "--sql"], all, [0]],
        ["completion", ["completion", "bash"], all, [0]],
        ["wrong password", ["once"], { ...all, DATABASE_URL: wrongPassword }, [69]],
        ["nobody there", ["status"], { ...all, DATABASE_URL: nobody }, [69]],
        ["no TLS", ["status"], { ...all, DATABASE_URL: noTls }, [69]],
        ["bad parameter", ["status"], { ...all, DATABASE_URL: badSetting }, [78]],
        [
          "not a URL",
          ["status"],
          { ...all, DATABASE_URL: `host=db password=${SECRETS.database}` },
          [78],
        ],
        [
          "userinfo",
          ["once"],
          { ...all, BINANCE_BASE_URL: `http://me:${SECRETS.exchange}@127.0.0.1:1` },
          [78],
        ],
        [
          "every value wrong",
          ["run"],
          {
            ...all,
            SLACK_WEBHOOK_URL: SECRETS.slack,
            ALERT_WEBHOOK_URL: `ftp://${SECRETS.webhook}`,
            BINANCE_SEARCH_ENDPOINT: `http://me:${SECRETS.exchange}@x/`,
            BYBIT_BASE_URL: `http://x/?${SECRETS.exchange}`,
          },
          [78],
        ],
      ];
      const waiting = [...runs];
      await Promise.all(Array.from({ length: 3 }, async () => {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
          await ended(...next);
        }
      }));
    })();

    await askAll("well");
    outputs.add(
      "process list",
      await Deno.readTextFile(`/proc/${service.pid}/cmdline`) +
        await Deno.readTextFile(`/proc/${service.pid}/status`) +
        (await Promise.all(
          Array.from(Deno.readDirSync(`/proc/${service.pid}/task`)).map(({ name }) =>
            Deno.readTextFile(`/proc/${service.pid}/task/${name}/comm`).catch(() => "")
          ),
        )).join(),
    );
    outputs.add(
      "pg_stat_activity",
      JSON.stringify(
        await rowsOf(
          test.database,
          "select * from pg_stat_activity where application_name <> 'test'",
        ),
      ),
    );
    await meanwhile;

    // Its login is locked out: statements fail, alerts are due.
    await using admin = new Database(adminUrl(), { applicationName: "test", connections: 1 });
    const login = new URL(databaseUrl).username;
    await admin.runScript(`alter role ${login} nologin; grant ${login} to current_user`, 60);
    await admin.run(
      "select pg_terminate_backend(pid) from pg_stat_activity where usename = $1",
      [login],
      60,
    );
    await eventually(
      "it is told",
      () => /not permitted to log in/.test(service.stderr) || undefined,
    );
    await askAll("without a database");
    service.kill("SIGTERM");
    const { stdout, stderr } = await service.ended;
    outputs.add("run: stdout", stdout);
    outputs.add("run: stderr", stderr);
  });

  // What each destination was sent is its own secret's only.
  const own: readonly (readonly [string, Name | undefined, readonly string[]])[] = [
    ["alerts to Slack", undefined, slack.requests],
    ["alerts to PagerDuty", "pagerduty", pagerDuty.requests],
    ["alerts to the webhook", undefined, webhook.requests],
  ];
  for (const [where, name, bodies] of own) {
    assert.ok(bodies.length > 0, where);
    const text = bodies.join("\n");
    outputs.add(where, name === undefined ? text : text.replaceAll(SECRETS[name], "…"));
  }
  outputs.add("traces", otlp.raw);
  assert.ok(otlp.spans.length > 10);

  const tables = await rowsOf(
    test.database,
    "select oid::regclass::text as name from pg_class where relnamespace = 'p2p'::regnamespace and relkind in ('r', 'p')",
  );
  for (const { name } of tables) {
    const rows = await rowsOf(
      test.database,
      `select coalesce(string_agg(t::text, E'\\n'), '') as rows from ${name} as t`,
    );
    outputs.add(`table ${name}`, String(rows[0]?.["rows"]));
  }

  assert.ok(outputs.has(/^wrong password: stderr/, /\n +at /), "told to say everything, it does");
  assert.ok(outputs.places > 70, String(outputs.places));
  assert.deepEqual(outputs.leaks(), []);

  // The search itself finds what it looks for.
  const planted = new Outputs();
  planted.add("plain", `…${encodeURIComponent(DATABASE_PASSWORD)}…`);
  planted.add("json", JSON.stringify({ url: DATABASE_PASSWORD }));
  planted.add("base64", btoa(`me:${SECRETS.proxy}`));
  planted.add("base64, shifted", btoa(`user:${SECRETS.proxy}:x`));
  assert.deepEqual(planted.leaks().map((leak) => leak.split(" in ")[0]).toSorted(), [
    "database",
    "database",
    "proxy",
    "proxy",
  ]);
});

Deno.test("the embedded PostgreSQL: its password is in one file of DATA_DIR, for one user, and in no process list", async () => {
  await withDataDir(async (dataDir) => {
    const cluster = await open(dataDir);
    const { password } = new URL(cluster.url);
    assert.ok(password.length >= 48);
    const { stdout, stderr, code } = await runProgram(["doctor"], {
      DATA_DIR: dataDir,
      BINANCE_BASE_URL: "http://127.0.0.1:1",
      LOG_LEVEL: "debug",
      SLACK_WEBHOOK_URL: `http://127.0.0.1:1/${SECRETS.slack}`,
    });
    assert.equal(code, 1);
    const secret = new RegExp(`${password}|${SECRETS.slack}`);
    assert.doesNotMatch(stdout + stderr, secret);
    const { stdout: found } = await new Deno.Command("grep", {
      args: ["-rlaE", secret.source, dataDir],
    }).output();
    assert.equal(new TextDecoder().decode(found), `${join(dataDir, "password")}\n`);
    const { mode, uid } = await Deno.stat(join(dataDir, "password"));
    assert.deepEqual([(mode ?? 0) & 0o777, uid], [0o600, Deno.uid()]);
    for (const { name } of Deno.readDirSync("/proc")) {
      const line = /^\d+$/.test(name)
        ? await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "")
        : "";
      assert.doesNotMatch(line, secret);
    }
    // Nothing in it is open to others, but what the server's account passes through.
    const { stdout: listed } = await new Deno.Command("find", {
      args: [
        dataDir,
        "-not",
        "-type",
        "l",
        "-not",
        "-empty",
        "-perm",
        "/o=rwx",
        "-not",
        "-path",
        "*/postgresql-*",
      ],
    }).output();
    assert.deepEqual(new TextDecoder().decode(listed).split("\n").filter(Boolean), []);
  });
});
