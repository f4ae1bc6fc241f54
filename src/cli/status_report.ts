import type { Database } from "../database/connection.ts";
import type { Tier } from "../database/tier.ts";
import { lengthOfTime } from "../time.ts";
import { visible } from "../log.ts";
import { renderRecords } from "./table.ts";
import { style } from "./terminal.ts";

interface RunningBatch {
  readonly batch_id: string;
  readonly stage: "fetching" | "closing" | "loading" | "abandoned";
  readonly seconds: number;
  /** Of the time to fetch; negative when it is over. */
  readonly seconds_left: number | null;
  readonly markets_expected: number;
  readonly markets_ended: number;
  readonly markets_last_minute: number;
  readonly whole: number;
  readonly incomplete: number;
  readonly failed: number;
  readonly in_hand: number;
  readonly to_come: number;
  readonly deferred: number;
  readonly pages: number;
}

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
export interface StatusReport {
  readonly seconds_since_last_good_batch: number | null;
  readonly running: RunningBatch | null;
  readonly batches: readonly Readonly<Record<string, string | number | null>>[];
  readonly failed_checks: readonly Readonly<Record<string, string | number | null>>[];
  readonly failed_steps: readonly Readonly<Record<string, string>>[];
  readonly is_paused: boolean;
  readonly tier: Tier;
  readonly violated_policies: number;
  readonly workers: readonly WorkerReport[];
  readonly incidents: readonly { since: string; kind: string; subject: string; message: string }[];
  readonly skipped_ticks: readonly { due: string; reason: string }[];
  readonly missing_markets: readonly { status: string; markets: number; examples: string }[];
}

/** @throws {DatabaseError} when it cannot be asked, or gives no answer within `seconds` */
export async function readStatus(
  database: Database,
  batches: number,
  seconds: number,
  signal?: AbortSignal,
): Promise<StatusReport> {
  const [row] = await database.run(
    "select p2p.status_report($1) as report",
    [batches],
    seconds,
    signal,
  );
  return row?.["report"] as StatusReport;
}

/**
 * The report for people.
 * @param where host:port/database
 * @param intervalMinutes how often a batch is due here
 */
export function describeStatus(
  report: StatusReport,
  where: string,
  intervalMinutes: number,
): string {
  const { yellow } = style(Deno.stdout);
  const tier = report.tier === "plain" ? "plain tables" : "hypertables of TimescaleDB";
  const sections = [
    `Database ${where}, ${tier}\n`,
    describeFreshness(report.seconds_since_last_good_batch, intervalMinutes),
    report.is_paused
      ? yellow("Paused: no new batch is begun until ") +
        "update p2p.settings set value = 'off' where name = 'paused'\n"
      : "",
    report.workers.length > 0
      ? ""
      : "No worker is running. p2p-ingest run, or the service, is one\n",
    report.violated_policies === 0 ? "" : yellow(
      `${report.violated_policies} rules of p2p.policy_audit are violated: p2p-ingest doctor says what mends them\n`,
    ),
    report.running === null ? "" : `\n${describeRunning(report.running)}`,
    incidentLines(report.incidents),
    table("Workers", "view p2p.workers", report.workers.map(workerRow)),
    report.batches.length === 0 ? "" : `\n${batchTable(report.batches)}`,
    table("Skipped lately", "view p2p.schedule", report.skipped_ticks),
    table("Missing in the last batch", "view p2p.missing_markets", report.missing_markets),
    table("Failed checks of the last batch", "view p2p.failing_rules", report.failed_checks),
    table("Failed steps of its load", "view p2p.failed_steps", report.failed_steps),
  ];
  return sections.join("");
}

function table(
  title: string,
  where: string,
  records: readonly Readonly<Record<string, unknown>>[],
): string {
  if (records.length === 0) return "";
  return `\n${style(Deno.stdout).bold(title)} (${where})\n${recordTable(records)}`;
}

const INCIDENT_WIDTH = 76;

/** A line each, and what happened below it, on two lines at most: messages are longer than a terminal is wide. */
function incidentLines(incidents: StatusReport["incidents"]): string {
  if (incidents.length === 0) return "";
  const told = incidents.map(({ since, kind, subject, message }) => {
    const title = [since, kind, subject].filter((part) => part !== "").join("  ");
    const parts = visible(message).match(new RegExp(`.{1,${INCIDENT_WIDTH}}(?=\\s|$)|\\S+`, "gu"));
    const [first = "", second, ...more] = parts?.map((part) => part.trim()) ?? [];
    const rest = second === undefined ? "" : `  ${second}${more.length > 0 ? " …" : ""}\n`;
    return `${visible(title)}\n  ${first}\n${rest}`;
  });
  return `\n${style(Deno.stdout).bold("Open incidents")} (view p2p.incidents)\n${told.join("")}`;
}

/** Three intervals without a good batch are too many. */
function describeFreshness(seconds: number | null, intervalMinutes: number): string {
  const { green, red, yellow } = style(Deno.stdout);
  if (seconds === null) {
    return red("No batch has been loaded yet.") + " p2p-ingest once loads one\n";
  }
  const due = `one is due every ${intervalMinutes} min`;
  const colour = seconds < 120 * intervalMinutes
    ? green
    : seconds < 180 * intervalMinutes
    ? yellow
    : red;
  return `Last good batch: ${colour(`${lengthOfTime(seconds)} ago`)} (${due})\n`;
}

const STAGES: Readonly<Record<RunningBatch["stage"], string>> = {
  fetching: "fetching",
  closing: "all fetched, not yet loading",
  loading: "loading",
  abandoned: "nobody works on it (the next worker will)",
};

function describeRunning(batch: RunningBatch): string {
  const { bold, red } = style(Deno.stdout);
  const number = new Intl.NumberFormat("en");
  const { markets_ended: ended, markets_expected: expected, markets_last_minute: pace } = batch;
  const stage = STAGES[batch.stage];
  const left = pace === 0 || batch.stage !== "fetching"
    ? ""
    : ` · ${number.format(Math.round(pace / Math.min(1, batch.seconds / 60)))} a minute`;
  const deadline = batch.stage !== "fetching" || batch.seconds_left === null
    ? ""
    : batch.seconds_left > 0
    ? `, deadline in ${lengthOfTime(batch.seconds_left)}`
    : ", past its deadline";
  const counts = [
    [batch.whole, "whole"],
    [batch.incomplete, "partly"],
    [batch.failed, "failed"],
    [batch.in_hand, "in hand"],
    [batch.to_come, "to come"],
    [batch.deferred, "deferred"],
  ] as const;
  const doing = batch.stage === "abandoned" ? red(stage) : stage;
  return `${bold("Running")}: batch ${batch.batch_id}, ${doing}, begun ` +
    `${lengthOfTime(batch.seconds)} ago${deadline}\n` +
    `${progressBar(ended, expected)} ` +
    `${number.format(ended)} of ${number.format(expected)} markets${left}\n` +
    `${
      counts.filter(([count]) => count > 0).map(([count, what]) =>
        `${number.format(count)} ${what}`
      ).join(", ")
    } · ${number.format(batch.pages)} pages stored\n`;
}

const BAR_COLUMNS = 40;

function progressBar(done: number, all: number): string {
  const { green, dim } = style(Deno.stdout);
  const full = all === 0 ? 0 : Math.floor(BAR_COLUMNS * Math.min(1, done / all));
  return green("█".repeat(full)) + dim("░".repeat(BAR_COLUMNS - full));
}

function workerRow(worker: WorkerReport): Readonly<Record<string, unknown>> {
  return {
    worker: worker.who,
    doing: worker.doing,
    exchange: worker.exchange,
    requests_per_minute: Math.round(worker.rate_per_minute),
    ceiling: worker.ceiling_per_minute === null ? null : Math.round(worker.ceiling_per_minute),
    breaker: worker.paused_seconds > 0
      ? `${worker.breaker}, paused ${lengthOfTime(worker.paused_seconds)}`
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
