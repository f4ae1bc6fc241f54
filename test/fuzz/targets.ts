import { fuzzAnswers } from "./answers/target.ts";
import { fuzzCommandLine } from "./command_line.ts";
import { fuzzConfiguration } from "./configuration.ts";
import { fuzzImport } from "./import_files.ts";
import { fuzzPageInput } from "./page_input.ts";
import type { FuzzTarget } from "./target.ts";
import { fuzzWeb } from "./web.ts";

/** Everything that reads what others write, with the number of cases of a usual run. */
export const TARGETS: Readonly<Record<string, { run: FuzzTarget; cases: number }>> = {
  answers: { run: fuzzAnswers, cases: 20_000 },
  configuration: { run: fuzzConfiguration, cases: 50_000 },
  import: { run: fuzzImport, cases: 6000 },
  arguments: { run: fuzzCommandLine, cases: 20_000 },
  web: { run: fuzzWeb, cases: 4000 },
  page: { run: fuzzPageInput, cases: 3000 },
};
