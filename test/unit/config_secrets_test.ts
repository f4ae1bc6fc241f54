import assert from "node:assert/strict";
import { loadConfig } from "../../src/config.ts";
import { ConfigurationError } from "../../src/errors.ts";

const SECRETS = {
  DATABASE_URL: "postgres://worker:hunter2@db/p2p",
  SLACK_WEBHOOK_URL: "https://hooks.slack.example/services/hunter2",
  PAGERDUTY_API_KEY: "hunter2",
  ALERT_WEBHOOK_URL: "https://alerts.example/?key=hunter2",
} as const;
const names = Object.keys(SECRETS) as (keyof typeof SECRETS)[];

/** Everything a failed start could print: message, hint, and the causes that LOG_LEVEL=debug shows. */
function told(env: Record<string, string>, readFile?: (path: string) => string): string {
  try {
    loadConfig(env, readFile);
  } catch (error) {
    assert(error instanceof ConfigurationError, Deno.inspect(error));
    const shown = `${error.message} ${error.hint ?? ""} ${Deno.inspect(error)}`;
    assert.doesNotMatch(shown, /hunter2/, "a secret is shown");
    return error.message;
  }
  throw new assert.AssertionError({ message: `accepted: ${JSON.stringify(env)}` });
}

for (const name of names) {
  Deno.test(`${name} may come from a file`, () => {
    const env = { [`${name}_FILE`]: "/run/credentials/it", [name]: "" };
    const config = loadConfig(env, (path) => {
      assert.equal(path, "/run/credentials/it");
      return ` ${SECRETS[name]}\r\n`;
    });
    assert.equal(config[name], SECRETS[name]);
    assert.equal(loadConfig({ [name]: SECRETS[name], [`${name}_FILE`]: "" })[name], SECRETS[name]);
  });

  Deno.test(`${name} and its file together are refused`, () => {
    const line = told({ [name]: SECRETS[name], [`${name}_FILE`]: "/run/it" }, () => "hunter2");
    assert.equal(line, `both ${name} and ${name}_FILE are set`);
  });

  Deno.test(`${name} from an empty file is refused, not taken for unset`, () => {
    const line = told({ [`${name}_FILE`]: "/run/it" }, () => " \n");
    assert.equal(line, `${name}_FILE="/run/it" is an empty file`);
  });

  Deno.test(`${name} itself in the place of the path is not shown`, () => {
    const line = told({ [`${name}_FILE`]: SECRETS[name] });
    assert.match(line, new RegExp(`^${name}_FILE cannot be read \\(`));
  });
}

Deno.test("a file that cannot be read names the variable, the path and the reason", async () => {
  assert.equal(
    told({ DATABASE_URL_FILE: "/nowhere/url" }),
    'DATABASE_URL_FILE="/nowhere/url" cannot be read (NotFound)',
  );
  const folder = await Deno.makeTempDir();
  assert.match(
    told({ DATABASE_URL_FILE: folder }),
    /^DATABASE_URL_FILE="\/.*cannot be read \(\w+\)$/,
  );
  await Deno.remove(folder);
});

Deno.test("a file is read from the disk", async () => {
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, `\uFEFF${SECRETS.DATABASE_URL}\n`);
  assert.equal(loadConfig({ DATABASE_URL_FILE: path }).DATABASE_URL, SECRETS.DATABASE_URL);
  await Deno.remove(path);
});

Deno.test("a bad secret is named and not shown", () => {
  assert.equal(
    told({ DATABASE_URL: "mysql://hunter2@db" }),
    "DATABASE_URL is not a postgres:// URL",
  );
  const broken: [url: string, problem: RegExp][] = [
    ["postgres://a:hunter2%@db/x", /^DATABASE_URL has a % that escapes no character/],
    ["postgres://a:hunter2@one:1,two:2/x", /^DATABASE_URL names several hosts with a port each/],
    ["postgres:///x?host=/run/postgresql&password=hunter2", /^DATABASE_URL has host behind the \?/],
  ];
  for (const [url, problem] of broken) assert.match(told({ DATABASE_URL: url }), problem);
  assert.equal(told({ DATABASE_URL: '"postgres://a:hunter2@db"' }).includes("DATABASE_URL"), true);
  assert.equal(told({ DATABASE_URL: "host=db password=hunter2" }).startsWith("DATABASE_URL"), true);
  assert.match(told({ SLACK_WEBHOOK_URL: "hunter2" }), /^SLACK_WEBHOOK_URL is not an http:/);
  assert.match(told({ ALERT_WEBHOOK_URL_FILE: "/it" }, () => "hunter2"), /^ALERT_WEBHOOK_URL is/);
});

for (
  const [name, value] of [
    ["BINANCE_BASE_URL", "https://me:hunter2@proxy.example"],
    ["BINANCE_BASE_URL", "https://hunter2@proxy.example"],
    ["BINANCE_BASE_URL", "ftp://me:hunter2@proxy.example"],
    ["BINANCE_BASE_URL", "https://proxy.example/?key=hunter2"],
    ["BINANCE_SEARCH_ENDPOINT", "https://me:hunter2@proxy.example/search"],
    ["BINANCE_PAIRS_ENDPOINT", "ftp://proxy.example/?key=hunter2"],
    ["ALERT_WEBHOOK_URL", "https://me:hunter2@alerts.example"],
  ] as const
) {
  Deno.test(`${name}=${value} is refused without showing the password`, () => {
    assert(told({ [name]: value }).startsWith(`${name} `));
  });
}

Deno.test("credentials in a URL: the line says what is wrong", () => {
  assert.equal(
    told({ BINANCE_BASE_URL: "https://me:hunter2@proxy.example" }),
    "BINANCE_BASE_URL holds a user name or password, which HTTP requests cannot send",
  );
});

Deno.test("a file without an end, or of a disk, is no secret and no memory", () => {
  const line = told({ DATABASE_URL_FILE: "/dev/zero" }, undefined);
  assert.equal(
    line,
    'DATABASE_URL_FILE="/dev/zero" cannot be read (it is too large)',
  );
});

Deno.test("a pipe without a writer is refused, not waited at", async () => {
  const folder = await Deno.makeTempDir();
  await new Deno.Command("mkfifo", { args: [`${folder}/url`] }).output();
  assert.equal(
    told({ DATABASE_URL_FILE: `${folder}/url` }),
    `DATABASE_URL_FILE="${folder}/url" cannot be read (it is a pipe)`,
  );
  await Deno.remove(folder, { recursive: true });
});
