import { logger } from "./log.ts";

export type AlertKind =
  | "database_lost"
  | "disk_full"
  | "breaker_open"
  | "structure_changed"
  | "rule_failed"
  | "step_failed"
  | "completeness"
  | "batch_failed";

export interface Alert {
  readonly kind: AlertKind;
  readonly message: string;
  /** Whether it is the end of the incident. */
  readonly isOver: boolean;
}

/** Where alerts go. */
export type AlertSink = (alert: Alert) => void;

/** An `error` line when it begins, an `info` line when it is over, in category `alert`. */
export const logSink: AlertSink = ({ kind, message, isOver }: Alert): void => {
  const log = logger("alert");
  const line = `${kind}: ${message}`.replace(/[{}]/g, "$&$&"); // braces would be places for values
  if (isOver) log.info(line);
  else log.error(line);
};

/** Tells people of incidents: once when one begins, once when it is over. */
export class Alerts {
  readonly #open = new Set<string>();

  constructor(readonly sinks: readonly AlertSink[] = [logSink]) {}

  /** @param subject tells incidents of one kind apart, e.g. the code of an exchange */
  raise(kind: AlertKind, message: string, subject = ""): void {
    const incident = `${kind} ${subject}`;
    if (this.#open.has(incident)) return;
    this.#open.add(incident);
    this.#tell({ kind, message, isOver: false });
  }

  /** Says that it is over, where it was raised. */
  resolve(kind: AlertKind, message: string, subject = ""): void {
    if (this.#open.delete(`${kind} ${subject}`)) this.#tell({ kind, message, isOver: true });
  }

  #tell(alert: Alert): void {
    for (const send of this.sinks) send(alert);
  }
}
