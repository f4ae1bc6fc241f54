// deno-lint-ignore-file no-console
/** The service as `run` has it, but with a tick every CHAOS_TICK_SECONDS. */
import {
  configuredExchanges,
  openDatabase,
  readEnvironment,
  untilStopped,
} from "../../src/cli/environment.ts";
import { describe, P2pError } from "../../src/errors.ts";
import { Extraction } from "../../src/cli/extraction.ts";
import { serveTicking } from "./ticking.ts";

async function run(): Promise<void> {
  const tickSeconds = Number(Deno.env.get("CHAOS_TICK_SECONDS"));
  const config = await readEnvironment();
  using signal = untilStopped();
  await using opened = await openDatabase({ config, purpose: "run", schema: "current", signal });
  await using extraction = await Extraction.begin({
    config,
    database: opened.database,
    exchanges: configuredExchanges(config),
    purpose: "run",
    signal,
    showProgress: false,
  });
  await serveTicking(extraction, tickSeconds, signal);
}

try {
  await run();
  Deno.exit(0);
} catch (error) {
  if (!(error instanceof P2pError)) throw error;
  console.error(describe(error));
  Deno.exit(error.exitCode);
}
