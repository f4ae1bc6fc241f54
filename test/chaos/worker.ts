// stub until service
import {
  configuredExchange,
  openDatabase,
  readEnvironment,
  untilStopped,
} from "../../src/cli/environment.ts";
import { Extraction } from "../../src/cli/extraction.ts";
import { repeatBatches } from "../../src/cli/run.ts";
import { systemClock } from "../../src/extract/clock.ts";
const config = await readEnvironment();
using signal = untilStopped();
await using opened = await openDatabase({ config, purpose: "run", schema: "current", signal });
const extraction = new Extraction({
  config,
  database: opened.database,
  exchange: configuredExchange(config),
  signal,
  showProgress: false,
});
await repeatBatches({
  batch: async () => {
    await extraction.batch();
  },
  isOver: () => Promise.resolve(false),
  intervalMinutes: 0.05,
  clock: systemClock,
  wallTime: Date.now,
  signal,
});
Deno.exit(0);
