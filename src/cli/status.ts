import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { command, constant, flag, option } from "@optique/core/primitives";
import { integer } from "@optique/core/valueparser";
import { DEADLINES } from "../deadlines.ts";
import { EXIT, type ExitCode, UsageError } from "../errors.ts";
import { openDatabase, readEnvironment } from "./environment.ts";
import { examples, jsonFlag } from "./help.ts";
import { describeStatus, readStatus } from "./status_report.ts";
import { requireTerminal, watchStatus } from "./status_watch.ts";
import { print } from "./terminal.ts";

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
    watch: withDefault(
      flag("-w", "--watch", {
        description: message`Draw it anew every second, until q or Ctrl-C.`,
      }),
      false,
    ),
    json: jsonFlag(),
  }),
  {
    brief: message`Last batches, freshness, completeness, workers, failed checks.`,
    description:
      message`Reads only. Ends with 0 also when batches are missing: use --json in scripts, or look at seconds_since_last_good_batch.`,
    footer: examples(
      ["p2p-ingest status", "for people"],
      ["p2p-ingest status --watch", "like top: the running batch, its workers, what is missing"],
      ["p2p-ingest status --json -n 1", "for scripts"],
    ),
  },
);

export async function status(
  args: { batches: number; json: boolean; watch: boolean },
): Promise<ExitCode> {
  if (args.watch && args.json) throw new UsageError("--watch and --json exclude each other");
  if (args.watch) requireTerminal();
  const config = await readEnvironment();
  const interval = config.EXTRACTION_INTERVAL_MINUTES;
  await using opened = await openDatabase({
    config,
    purpose: "status",
    schema: "current",
    connections: 1,
  });
  const { database } = opened;
  if (args.watch) return await watchStatus(database, args.batches, interval);
  const report = await readStatus(database, args.batches, DEADLINES.statementSeconds);
  print(
    args.json ? JSON.stringify(report) + "\n" : describeStatus(report, database.where, interval),
  );
  return EXIT.done;
}
