// deploy/prometheus and deploy/grafana: checked by Prometheus' own tools, and against each other and docs/alerts.md.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { expandPromQl, readDashboard, targetsOf } from "../support/dashboards.ts";
import { skipLoudly } from "../support/embedded.ts";

const FOLDER = fileURLToPath(import.meta.resolve("../../deploy/prometheus"));

/** Metrics that the workers expose; the brief of release 0.5.0. */
const METRICS = new Set(
  [
    ..."batch_duration_seconds offers_extracted_total extraction_errors_total api_request_duration_seconds api_retries_total"
      .split(" "),
    ..."api_refused_total api_received_bytes_total db_write_duration_seconds offers_inserted_total offers_rejected_total"
      .split(" "),
    ..."alert_deliveries_total rate_limit_per_minute rate_ceiling_per_minute breaker_state exchange_paused_seconds"
      .split(" "),
    ..."build_info database_up event_loop_lag_seconds data_completeness_ratio active_workers batch_status"
      .split(" "),
    ..."last_good_batch_age_seconds failed_batches_in_a_row queue_markets quality_check_failed pipeline_step_seconds"
      .split(" "),
    ..."failed_steps sql_drift_objects policy_violations skipped_batches open_incidents paused deferred_markets"
      .split(" "),
  ].map((name) => `p2p_${name}`).concat([
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "up",
  ]),
);

async function has(program: string): Promise<boolean> {
  try {
    await new Deno.Command(program, { args: ["--version"], stdout: "null", stderr: "null" })
      .output();
    return true;
  } catch {
    skipLoudly(`deploy/prometheus by ${program}: apt-get install prometheus`);
    return false;
  }
}

async function check(program: string, ...args: string[]): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, cwd: FOLDER })
    .output();
  const decoder = new TextDecoder();
  assert.ok(success, decoder.decode(stdout) + decoder.decode(stderr));
}

/** Names that stand where a metric does. */
function metricsIn(query: string): string[] {
  return [...query.replaceAll(/"[^"]*"/g, '""').matchAll(/\b((?:p2p|process)_\w+|up)\b(?!\s*=)/g)]
    .map(([, name = ""]) => name.replace(/_(bucket|sum|count)$/, ""));
}

const read = (path: string): string =>
  Deno.readTextFileSync(new URL(`../../${path}`, import.meta.url));

const alertNames = (): string[] =>
  [...read("deploy/prometheus/rules.yml").matchAll(/- alert: (\w+)/g)].map(([, name = ""]) => name);

Deno.test("rules, their tests, the configuration and the Alertmanager example pass Prometheus' tools", async (t) => {
  if (await has("promtool")) {
    await t.step("rules", () => check("promtool", "check", "rules", "rules.yml"));
    await t.step("their tests", () => check("promtool", "test", "rules", "rules_test.yml"));
    await t.step("configuration", () => check("promtool", "check", "config", "prometheus.yml"));
  }
  if (await has("amtool")) {
    await t.step("Alertmanager", () => check("amtool", "check-config", "alertmanager.example.yml"));
  }
});

Deno.test("every alert fires in one test and stays quiet in another, names a next step and is in docs/alerts.md", () => {
  const tests = read("deploy/prometheus/rules_test.yml");
  const rules = read("deploy/prometheus/rules.yml");
  const docs = read("docs/alerts.md");
  const names = alertNames();
  assert.ok(names.length >= 13, `${names.length} alerts`);
  assert.deepEqual(names, [...new Set(names)]);
  const blocks = rules.split(/^ {6}- alert: /m).slice(1);
  for (const [i, name] of names.entries()) {
    assert.ok(tests.includes(`- name: ${name} fires\n`), `${name} fires`);
    assert.ok(tests.includes(`- name: ${name} stays quiet\n`), `${name} stays quiet`);
    const block = blocks[i] ?? "";
    assert.match(block, /^ {10}severity: (critical|warning|info)$/m, name);
    for (const annotation of ["summary", "description"]) {
      assert.match(
        block,
        new RegExp(`^ {10}${annotation}: "[^"]{10,}`, "m"),
        `${name} ${annotation}`,
      );
    }
    assert.ok(block.includes(`runbook_url: docs/alerts.md#${name.toLowerCase()}\n`), name);
    assert.ok(docs.includes(`\n### ${name}\n`), `${name} in docs/alerts.md`);
    for (const metric of metricsIn(/expr: >-\n(.*)\n/.exec(block)?.[1] ?? "")) {
      assert.ok(METRICS.has(metric), `${name}: ${metric}`);
    }
  }
});

Deno.test("every PromQL of the dashboards parses and names metrics that there are", async () => {
  const targets = targetsOf(readDashboard("operations"));
  assert.ok(targets.length >= 30);
  const named = targets.flatMap(({ panel, query }) => {
    const metrics = metricsIn(query);
    assert.ok(metrics.length > 0, panel);
    for (const metric of metrics) assert.ok(METRICS.has(metric), `${panel}: ${metric}`);
    return metrics;
  });
  // What a worker exposes is seen somewhere.
  const seen = new Set(named);
  const unseen = [...METRICS].filter((name) => !seen.has(name));
  assert.deepEqual(unseen.toSorted(), [
    "p2p_api_received_bytes_total",
    "process_start_time_seconds",
    "up",
  ]);
  if (!await has("promtool")) return;
  const rules = targets.map(({ query }, i) => ({
    record: `panel:${i}`,
    expr: expandPromQl(query),
  }));
  const file = await Deno.makeTempFile({ suffix: ".yml" });
  try {
    await Deno.writeTextFile(file, JSON.stringify({ groups: [{ name: "panels", rules }] }));
    await check("promtool", "check", "rules", file);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("dashboards: panels do not overlap, ids are unique, data sources are chosen by variable", () => {
  for (const name of ["operations", "market"] as const) {
    const { uid, schemaVersion, panels, templating } = readDashboard(name);
    assert.equal(uid, `p2p-${name}`);
    assert.ok(schemaVersion >= 39);
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    assert.ok(templating.list.some(({ name, type }) => name === "source" && type === "datasource"));
    const taken = new Set<string>();
    for (const { title, gridPos: { x, y, w, h }, datasource, targets } of panels) {
      assert.ok(x + w <= 24, title);
      assert.equal(datasource.uid, "${source}");
      for (const target of targets) assert.equal(target.datasource.uid, "${source}");
      for (let i = x; i < x + w; i++) {
        for (let j = y; j < y + h; j++) {
          assert.ok(!taken.has(`${i} ${j}`), `${name}: ${title} overlaps`);
          taken.add(`${i} ${j}`);
        }
      }
    }
  }
});
