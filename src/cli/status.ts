import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { command, constant, option } from "@optique/core/primitives";
import { integer } from "@optique/core/valueparser";
import { DEADLINES } from "../deadlines.ts";
import type { Tier } from "../database/tier.ts";
import { EXIT, type ExitCode } from "../errors.ts";
import { openDatabase, readEnvironment } from "./environment.ts";
import { examples, jsonFlag } from "./help.ts";
import { renderRecords } from "./table.ts";
import { print, style } from "./terminal.ts";

export const statusCommand = command(
  "status",
  object({
    command: constant("status"),
    batches: withDefault(
      option("-n", "--batches", integer({ min: 1, max: 1000, metavar: "N" }), {
        description: message`How many batches to show.`,
      }),
      10,
    ),
    json: jsonFlag(),
  }),
  {
    brief: message`Last batches, freshness, completeness, workers, failed checks.`,
    description:
      message`Reads only. Ends with 0 also when batches are missing: use --json in scripts, or look at seconds_since_last_good_batch.`,
    footer: examples(
      ["p2p-ingest status", "for people"],
      ["p2p-ingest status --json -n 1", "for scripts"],
    ),
  },
);

interface WorkerReport {
  readonly who: string;
  readonly doing: string;
  readonly exchange: string;
  readonly rate_per_minute: number;
  readonly ceiling_per_minute: number | null;
  readonly breaker: string;
  readonly paused_seconds: number;
  readonly markets: number;
  readonly seconds_since_seen: number;
}

/** What `p2p.status_report(n)` returns. */
interface StatusReport {
  readonly seconds_since_last_good_batch: number | null;
  readonly running: {
    batch_id: string;
    seconds: number;
    markets_ended: number;
    markets_expected: number;
  } | null;
  readonly batches: readonly Readonly<Record<string, string | number | null>>[];
  readonly failed_checks: readonly Readonly<Record<string, string | number | null>>[];
  readonly failed_steps: readonly Readonly<Record<string, string>>[];
  readonly is_paused: boolean;
  readonly tier: Tier;
  readonly violated_policies: number;
  readonly workers: readonly WorkerReport[];
  readonly skipped_ticks: readonly { due: string; reason: string }[];
  readonly missing_markets: readonly { status: string; markets: number; examples: string }[];
}

export async function status(args: { batches: number; json: boolean }): Promise<ExitCode> {
  const config = await readEnvironment();
  await using opened = await openDatabase({
    config,
    purpose: "status",
    schema: "current",
    connections: 1,
  });
  const [row] = await opened.database.run(
    "select p2p.status_report($1) as report",
    [args.batches],
    DEADLINES.statementSeconds,
  );
  const report = row?.["report"] as StatusReport;
  print(args.json ? JSON.stringify(report) + "\n" : describeStatus(report));
  return EXIT.done;
}

function describeStatus(report: StatusReport): string {
  const { bold, green, red, yellow } = style(Deno.stdout);
  const age = report.seconds_since_last_good_batch;
  const { running } = report;
  const sections = [
    age === null
      ? red("No batch has been loaded yet.\n")
      : `Last good batch: ${green(`${describeAge(age)} ago`)}\n`,
    report.is_paused
      ? yellow("Paused: no new batch is begun until ") +
        "update p2p.settings set value = 'off' where name = 'paused'\n"
      : "",
    running === null
      ? ""
      : `Running: batch ${running.batch_id} for ${describeAge(running.seconds)}, ` +
        `${running.markets_ended} of ${running.markets_expected} markets\n`,
    report.workers.length === 0 ? "No worker is running.\n" : "",
    `Facts are kept in ${
      report.tier === "plain" ? "plain tables" : "hypertables of TimescaleDB"
    }.\n`,
    report.violated_policies === 0 ? "" : yellow(
      `${report.violated_policies} rules of p2p.policy_audit are violated: p2p-ingest doctor says what mends them\n`,
    ),
    report.workers.length === 0
      ? ""
      : `\n${bold("Workers")} (view p2p.workers)\n` + recordTable(report.workers.map(workerRow)),
    report.batches.length === 0 ? "" : "\n" + batchTable(report.batches),
    report.skipped_ticks.length === 0
      ? ""
      : `\n${bold("Skipped lately")} (view p2p.schedule)\n` + recordTable(report.skipped_ticks),
    report.missing_markets.length === 0
      ? ""
      : `\n${bold("Missing in the last batch")} (view p2p.missing_markets)\n` +
        recordTable(report.missing_markets),
    report.failed_checks.length === 0
      ? ""
      : `\n${bold("Failed checks of the last batch")} (table p2p.ops_data_quality)\n` +
        recordTable(report.failed_checks),
    report.failed_steps.length === 0
      ? ""
      : `\n${bold("Failed steps of its load")} (view p2p.failed_steps)\n` +
        recordTable(report.failed_steps),
  ];
  return sections.join("");
}

function workerRow(worker: WorkerReport): Readonly<Record<string, unknown>> {
  return {
    worker: worker.who,
    doing: worker.doing,
    exchange: worker.exchange,
    requests_per_minute: Math.round(worker.rate_per_minute),
    ceiling: worker.ceiling_per_minute === null ? null : Math.round(worker.ceiling_per_minute),
    breaker: worker.paused_seconds > 0
      ? `${worker.breaker}, paused ${describeAge(worker.paused_seconds)}`
      : worker.breaker,
    markets_in_hand: worker.markets,
    seen: `${worker.seconds_since_seen} s ago`,
  };
}

/** Batches that were imported say so; where there are none, there is no such column. */
function batchTable(batches: StatusReport["batches"]): string {
  const isImported = batches.some((batch) => batch["imported_from"] !== null);
  return recordTable(
    isImported ? batches : batches.map(({ imported_from: _, ...batch }) => batch),
  );
}

function recordTable(records: readonly Readonly<Record<string, unknown>>[]): string {
  const names = Object.keys(records[0] ?? {});
  return renderRecords(names, records, style(Deno.stdout), (name) => name.replaceAll("_", " "));
}

function describeAge(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800
    ? `${Math.round(seconds / 3600)} h`
    : `${Math.round(seconds / 86_400)} days`;
}
