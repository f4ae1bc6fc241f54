/** What `doctor` found out about one thing. */
export interface Finding {
  readonly topic: string;
  readonly state: "ok" | "warning" | "bad";
  readonly finding: string;
  /** What mends it: a command, where there is one. */
  readonly mend: string | null;
}

export function ok(topic: string, finding: string): Finding {
  return { topic, state: "ok", finding, mend: null };
}

export function warning(topic: string, finding: string, mend: string): Finding {
  return { topic, state: "warning", finding, mend };
}

export function bad(topic: string, finding: string, mend: string | null): Finding {
  return { topic, state: "bad", finding, mend };
}
