import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { withDefault } from "@optique/core/modifiers";
import { command, constant, flag } from "@optique/core/primitives";
import type { ExitCode } from "../errors.ts";
import { configuredExchanges, openDatabase, readEnvironment, untilStopped } from "./environment.ts";
import { batchLine, batchSummary } from "./batch_summary.ts";
import { exitCodeOf, Extraction } from "./extraction.ts";
import { examples, jsonFlag } from "./help.ts";
import { print } from "./terminal.ts";

export const onceCommand = command(
  "once",
  object({
    command: constant("once"),
    json: jsonFlag(message`Print the summary as one JSON document.`),
    quiet: withDefault(flag("-q", "--quiet", { description: message`No progress line.` }), false),
  }),
  {
    brief: message`One batch now.`,
    description:
      message`Fetches every market once, loads it, and says what came of it. Not while other workers are at a batch; one that nobody works on any more is ended first. Ends with 0 when every market was fetched whole, with 75 when something is missing.`,
    footer: examples(
      ["p2p-ingest once", "all markets of the exchange"],
      ["MARKETS=VES/USDT,ARS/* p2p-ingest once --json", "some of them, for a script"],
    ),
  },
);

export async function once(args: { json: boolean; quiet: boolean }): Promise<ExitCode> {
  const config = await readEnvironment();
  using signal = untilStopped();
  await using opened = await openDatabase({ config, purpose: "once", schema: "current", signal });
  await using extraction = await Extraction.begin({
    config,
    database: opened.database,
    exchanges: configuredExchanges(config),
    purpose: "once",
    signal,
    showProgress: !args.quiet,
  });
  const finished = await extraction.once();
  print(
    args.json ? JSON.stringify(batchSummary(finished)) + "\n" : batchLine(finished.batch),
  );
  return exitCodeOf(finished);
}
