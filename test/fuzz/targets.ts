import { fuzzAnswers } from "./answers/target.ts";
import type { FuzzTarget } from "./target.ts";

/** Everything that reads what others write, with the number of cases of a usual run. */
export const TARGETS: Readonly<Record<string, { run: FuzzTarget; cases: number }>> = {
  answers: { run: fuzzAnswers, cases: 20_000 },
};
