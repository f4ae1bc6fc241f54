import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { multiple, optional, withDefault } from "@optique/core/modifiers";
import { argument, command, constant, flag, option } from "@optique/core/primitives";
import { integer, string } from "@optique/core/valueparser";
import { outdatedWindows, refreshTouched } from "../database/refresh.ts";
import { EXIT, type ExitCode } from "../errors.ts";
import { importFiles } from "../import/importer.ts";
import { ImportStore } from "../import/import_store.ts";
import { requireFiles, sizeOf } from "../import/source.ts";
import { knownExchanges, openDatabase, readEnvironment, untilStopped } from "./environment.ts";
import { examples, jsonFlag } from "./help.ts";
import { ImportReport } from "./import_report.ts";
import { describeRefresh } from "./refresh_report.ts";
import { print, tell } from "./terminal.ts";

export const importCommand = command(
  "import",
  object({
    command: constant("import"),
    files: multiple(argument(string({ metavar: "FILE" })), { min: 1 }),
    window: optional(
      option("-w", "--window", integer({ min: 0, max: 60, metavar: "MINUTES" }), {
        description:
          message`Lines that name no batch belong to the one of the window of the clock that their time is in; 0: lines of the same time are a batch. Needed where pages of one book bear different times.`,
      }),
    ),
    dryRun: withDefault(
      flag("-n", "--dry-run", {
        description: message`Say what would be loaded; load nothing.`,
      }),
      false,
    ),
    json: jsonFlag(),
  }),
  {
    brief: message`Load pages that others recorded, as batches of their own times.`,
    description:
      message`Reads JSON lines (gzip too; - is the standard input): one page of one book a line, with the answer of the exchange as body, or the list of its offers as offers. exchange (binance) and page (1) may be left out. Lines with the same batch, or else the same time, become one batch, which is stored and loaded as if it had been fetched then; the order of lines and files does not matter. What is there already is recognised and not touched: safe to interrupt and to repeat, also beside the service. Lines that cannot be taken are named and left out; then it ends with 75.`,
    footer: examples(
      ["p2p-ingest import recorded.jsonl.gz", "all of it, the oldest batch first"],
      [
        "p2p-ingest import --dry-run --window 10 2026-*.jsonl",
        "what ten-minute batches would come",
      ],
      [
        `echo '{"time":"2026-07-29T03:12:58Z","fiat":"USD","asset":"USDT","side":"BUY","page":1,"body":{"code":"000000","data":[],"total":0,"success":true}}' | p2p-ingest import -`,
        "a line: an empty book",
      ],
    ),
  },
);

export interface ImportArguments {
  readonly files: readonly string[];
  readonly window: number | undefined;
  readonly dryRun: boolean;
  readonly json: boolean;
}

export async function runImport(args: ImportArguments): Promise<ExitCode> {
  const { files, dryRun: isDryRun } = args;
  await requireFiles(files);
  const config = await readEnvironment();
  using signal = untilStopped();
  await using opened = await openDatabase({
    config,
    purpose: "import",
    schema: "current",
    connections: 1,
    signal,
  });
  const { database } = opened;
  const before = await outdatedWindows(database);
  const store = await ImportStore.begin(database, `import:${Deno.hostname()}:${Deno.pid}`, files);
  using report = new ImportReport(files, await Promise.all(files.map(sizeOf)), isDryRun);
  const read = await importFiles(store, {
    files,
    exchanges: knownExchanges(config),
    windowMinutes: args.window,
    isDryRun,
    signal,
    observer: report,
  }).finally(() => store.end());
  report.end(read, signal.aborted);
  const { covered } = report;
  const times = covered === undefined ? [] : [covered.from, covered.to];
  const refreshed = await refreshTouched(database, times, before, signal);
  print(
    args.json
      ? JSON.stringify({ ...report.document(), refreshed: refreshed ?? null }) + "\n"
      : report.summary(),
  );
  if (refreshed !== undefined) tell(describeRefresh(refreshed));
  if (read.booksTornApart > 0 && args.window === undefined) {
    tell(
      "pages of one book bear different times, and so fell into different batches: --window 10, " +
        "or a batch in each line, keeps them together\n",
    );
  }
  return report.isWhole ? EXIT.done : EXIT.batchIncomplete;
}
