import type { Database } from "../database/connection.ts";
import { DEADLINES } from "../deadlines.ts";
import { describe, EXIT, type ExitCode, P2pError, UsageError } from "../errors.ts";
import { systemClock } from "../extract/clock.ts";
import { lengthOfTime } from "../time.ts";
import { untilStopped } from "./environment.ts";
import { Screen } from "./screen.ts";
import { describeStatus, readStatus, type StatusReport } from "./status_report.ts";
import { style } from "./terminal.ts";

const REDRAW_SECONDS = 1;

/** @throws {UsageError} where there is no terminal to draw on */
export function requireTerminal(): void {
  if (Deno.stdout.isTerminal() && Deno.env.get("TERM") !== "dumb") return;
  throw new UsageError("--watch draws on a terminal", "without one: status, or status --json");
}

/**
 * Shows the status anew every second until `q`, Ctrl-C or SIGTERM. A database that does not answer is a line; the last
 * answer stays.
 */
export async function watchStatus(
  database: Database,
  batches: number,
  intervalMinutes: number,
): Promise<ExitCode> {
  using stopped = untilStopped();
  using screen = new Screen();
  const quit = new AbortController();
  screen.pressed("qQ").then(() => quit.abort());
  const signal = AbortSignal.any([stopped, quit.signal]);

  let last: { readonly report: StatusReport; readonly at: number } | undefined;
  let trouble: string | undefined;
  const draw = (): void => screen.show(lines(database.where, intervalMinutes, last, trouble));
  Deno.addSignalListener("SIGWINCH", draw);
  try {
    while (!signal.aborted) {
      try {
        const report = await readStatus(database, batches, DEADLINES.watchSeconds, signal);
        last = { report, at: Date.now() };
        trouble = undefined;
      } catch (error) {
        if (!signal.aborted && !(error instanceof P2pError)) throw error;
        trouble = describe(error);
      }
      if (signal.aborted) break;
      draw();
      await systemClock.sleep(REDRAW_SECONDS * 1000, signal).catch(() => {});
    }
    return EXIT.done;
  } finally {
    Deno.removeSignalListener("SIGWINCH", draw);
  }
}

function lines(
  where: string,
  intervalMinutes: number,
  last: { readonly report: StatusReport; readonly at: number } | undefined,
  trouble: string | undefined,
): string[] {
  const { bold, dim, red } = style(Deno.stdout);
  const now = new Date().toISOString().slice(11, 19);
  return [
    `${bold("p2p-ingest")} · ${now} UTC · ${dim("q to quit")}`,
    ...(trouble === undefined ? [] : [
      red(trouble),
      last === undefined
        ? "asking again …"
        : `asking again …; below is what it said ${
          lengthOfTime((Date.now() - last.at) / 1000)
        } ago`,
    ]),
    ...(last === undefined ? [] : describeStatus(last.report, where, intervalMinutes).split("\n")),
  ];
}
