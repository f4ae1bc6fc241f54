// What doctor says of a configuration that is valid.
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { loadConfig } from "../../src/config.ts";
import { examineEnvironment } from "../../src/cli/doctor_environment.ts";
import { diskFinding } from "../../src/cli/doctor_service.ts";
import type { Finding } from "../../src/cli/finding.ts";

const examine = (env: Record<string, string>): Finding[] =>
  examineEnvironment(loadConfig(env), env);

const wrong = (env: Record<string, string>): Finding[] =>
  examine(env).filter(({ state }) => state !== "ok");

Deno.test("a variable that nobody reads, and that looks like ours, is named with the one that is meant", () => {
  for (
    const [given, meant] of [
      ["MAX_WORKER", "MAX_WORKERS"],
      ["DATABASE_URI", "DATABASE_URL"],
      ["SLACK_WEBHOOK", "SLACK_WEBHOOK_URL"],
      ["markets", "MARKETS"],
      ["EXTRACTION_INTERVAL", "EXTRACTION_INTERVAL_MINUTES"],
      ["MARKETS_FILE", "MARKETS"],
    ] as const
  ) {
    const [finding, ...others] = wrong({ [given]: "1" });
    deepStrictEqual(others, []);
    deepStrictEqual([finding?.topic, finding?.state], ["configuration", "warning"]);
    match(finding?.finding ?? "", new RegExp(`^${given} is set, and `));
    strictEqual(finding?.mend, `${meant} is the variable that there is`);
  }
  deepStrictEqual(wrong({ PATH: "/bin", HOME: "/", LANG: "C", LOGNAME: "x", MAX_WORKER: "" }), []);
});

Deno.test("a secret in a file that everybody may read", async () => {
  const file = await Deno.makeTempFile();
  await Deno.writeTextFile(file, "postgres://me:secret@localhost/p2p");
  await Deno.chmod(file, 0o644);
  const [finding] = wrong({ DATABASE_URL_FILE: file });
  strictEqual(finding?.finding, `everybody may read DATABASE_URL_FILE, ${file}`);
  await new Deno.Command("sh", { args: ["-c", finding?.mend ?? ""] }).output();
  deepStrictEqual(wrong({ DATABASE_URL_FILE: file }), []);
  await Deno.remove(file);
});

Deno.test("a remote database that is not verified; the password is not shown", () => {
  const [finding] = wrong({ DATABASE_URL: "postgres://me:secret@db.example/p2p?sslmode=require" });
  deepStrictEqual([finding?.topic, finding?.state], ["database", "warning"]);
  match(finding?.finding ?? "", /^who answers as db\.example is not verified/);
  for (
    const url of [
      "postgres://me:x@db.example/p2p?sslmode=verify-full",
      "postgres://me:x@127.0.0.1:5433/p2p",
      "postgres://me:x@localhost/p2p",
      "postgres://me:x@[::1]/p2p",
    ]
  ) deepStrictEqual(wrong({ DATABASE_URL: url }), [], url);
});

Deno.test("a deadline that the interval has no room for", () => {
  const env = { EXTRACTION_INTERVAL_MINUTES: "5" };
  const [finding] = wrong(env);
  match(finding?.finding ?? "", /may fetch for 480 s, and one is due every 5 min/);
  const [name = "", value = ""] = (finding?.mend ?? "").split("=");
  deepStrictEqual(wrong({ ...env, [name]: value }), []);
});

Deno.test("where alerts go is told, and nothing of the addresses", () => {
  const alerts = (env: Record<string, string>) =>
    examine(env).find(({ topic }) => topic === "alerts")?.finding ?? "";
  match(alerts({}), /^are lines of the log only: /);
  strictEqual(
    alerts({ SLACK_WEBHOOK_URL: "https://hooks.slack.com/x", PAGERDUTY_API_KEY: "k" }),
    "go to slack, pagerduty; to see one arrive: p2p-ingest alert test",
  );
});

Deno.test("room on the disk of the embedded database, by what a day takes", () => {
  deepStrictEqual([20e9, 9e9, 0.9e9].map((bytes) => diskFinding(bytes, "/x").state), [
    "ok",
    "warning",
    "bad",
  ]);
});
