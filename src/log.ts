import {
  configure,
  getJsonLinesFormatter,
  getLogger,
  type Logger,
  type LogRecord,
} from "@logtape/logtape";
import { describe } from "./errors.ts";
import { activeSpan } from "./tracing.ts";

export type LogFormat = "text" | "json";
export type LogLevel = "debug" | "info" | "warning" | "error";

const encoder = new TextEncoder();

/** Called before each log line, so that a progress line in the terminal can make room for it. */
let clearProgress: () => void = () => {};

export function beforeLogLine(clear: () => void): void {
  clearProgress = clear;
}

/**
 * Sends log records to stderr, one line each: for people, or as JSON lines for journald and Loki.
 * Lines are written synchronously: LogTape's stream sink loses the last ones on `Deno.exit`.
 */
export async function configureLog(level: LogLevel, format: LogFormat): Promise<void> {
  const render = format === "json" ? getJsonLinesFormatter({ properties: "flatten" }) : textLine;
  await configure({
    reset: true,
    sinks: {
      stderr: (record) => {
        clearProgress();
        Deno.stderr.writeSync(encoder.encode(render(withTrace(record))));
      },
    },
    loggers: [
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["stderr"] },
      { category: ["p2p"], lowestLevel: level, sinks: ["stderr"] },
    ],
  });
}

export function logger(part: string): Logger {
  return getLogger(["p2p", part]);
}

/** With the ids of the span that is active, as OpenTelemetry names them in logs. */
function withTrace(record: LogRecord): LogRecord {
  const span = activeSpan();
  if (span === undefined) return record;
  const ids = { trace_id: span.traceId, span_id: span.spanId };
  return { ...record, properties: { ...record.properties, ...ids } };
}

function textLine(record: LogRecord): string {
  const time = new Date(record.timestamp).toISOString().slice(11, 19);
  const message = record.message.map(shown).join("");
  const details = Object.entries(record.properties)
    .filter(([, value]) => value !== undefined && value !== null)
    .filter(([key]) => !record.rawMessage.includes(`{${key}}`)) // said in the message
    .map(([key, value]) => `${key}=${shown(value)}`);
  const level = record.level === "info" ? "" : `${record.level} `;
  return visible([`${time} ${level}${message}`, ...details].join("  ")) + "\n";
}

function shown(value: unknown): string {
  if (typeof value === "string") return value;
  return value instanceof Error ? describe(value) : Deno.inspect(value, { breakLength: Infinity });
}

/**
 * Text from elsewhere on one line, without what would steer the terminal: control characters, and
 * marks that turn the direction of writing, are shown as escapes.
 */
export function visible(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (mark) => {
    const known = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[mark];
    const code = mark.charCodeAt(0).toString(16);
    return known ?? (code.length > 2 ? `\\u${code}` : `\\x${code.padStart(2, "0")}`);
  });
}
