import {
  configure,
  getJsonLinesFormatter,
  getLogger,
  type Logger,
  type LogRecord,
} from "@logtape/logtape";

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
        Deno.stderr.writeSync(encoder.encode(render(record)));
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

function textLine(record: LogRecord): string {
  const time = new Date(record.timestamp).toISOString().slice(11, 19);
  const message = record.message.map((part) => typeof part === "string" ? part : Deno.inspect(part))
    .join("");
  const details = Object.entries(record.properties)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  const level = record.level === "info" ? "" : `${record.level} `;
  return [`${time} ${level}${message}`, ...details].join("  ") + "\n";
}
