import { lengthOfTime } from "../time.ts";

/** What only the process itself can see: the database is away, or takes nothing. All else the database decides. */
export type ProcessAlertKind = "database_lost" | "disk_full";

/** Kinds that are shipped; a DBA may add others, in incident_causes. */
export type AlertKind =
  | ProcessAlertKind
  | "breaker_open"
  | "structure_changed"
  | "rule_failed"
  | "step_failed"
  | "completeness"
  | "batch_failed"
  | "no_good_batch"
  | "test";

export type Severity = "critical" | "error" | "warning" | "info";

/** The beginning or the end of an incident. */
export interface Alert {
  readonly kind: string;
  /** Tells incidents of one kind apart, e.g. the code of an exchange; mostly empty. */
  readonly subject: string;
  readonly message: string;
  readonly isOver: boolean;
  readonly since: Date;
  /** Of one that is over. */
  readonly lastedSeconds: number | undefined;
}

/** Where alerts go; must not throw. What comes later is whether it is settled: false where a stop came first. */
export type AlertSink = (alert: Alert) => Promise<boolean> | void;

const SEVERITIES: Readonly<Record<AlertKind, Severity>> = {
  database_lost: "critical",
  disk_full: "critical",
  no_good_batch: "critical",
  batch_failed: "critical",
  breaker_open: "error",
  structure_changed: "error",
  completeness: "error",
  step_failed: "warning",
  rule_failed: "warning",
  test: "info",
};

export function severityOf(kind: string): Severity {
  return Object.hasOwn(SEVERITIES, kind) ? SEVERITIES[kind as AlertKind] : "error";
}

/** One line for people, e.g. `breaker_open binance over after 12 min: no worker is shut out …`. */
export function headline({ kind, subject, message, isOver, lastedSeconds }: Alert): string {
  const end = !isOver
    ? ""
    : lastedSeconds === undefined
    ? " over"
    : ` over after ${lengthOfTime(lastedSeconds)}`;
  return `${kind}${subject === "" ? "" : ` ${subject}`}${end}: ${message}`;
}
