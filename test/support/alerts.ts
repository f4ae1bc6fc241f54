/** Alerts as a person finds them: lines of the log. */
export interface AlertLine {
  readonly kind: string;
  readonly message: string;
  readonly isOver: boolean;
}

/** @param stderr of a program with LOG_FORMAT=json */
export function alertsIn(stderr: string): AlertLine[] {
  return stderr.split("\n").flatMap((line) => {
    if (!line.startsWith("{") || !line.endsWith("}")) return [];
    const record = JSON.parse(line);
    if (record.logger !== "p2p.alert") return [];
    const [, kind = "", message = ""] = /^(\w+): (.*)$/s.exec(record.message) ?? [];
    return [{ kind, message, isOver: record.level === "INFO" }];
  });
}

/** e.g. `["database_lost", "database_lost over"]` */
export function alertKinds(stderr: string): string[] {
  return alertsIn(stderr).map(({ kind, isOver }) => isOver ? `${kind} over` : kind);
}
