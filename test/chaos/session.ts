// deno-lint-ignore-file no-console
/**
 * A worker process of the chaos suite: one session of the service after the other, as told on stdin (JSON lines), so that
 * a schedule need not wait for a process to start. Killed, stopped and frozen like any other.
 */
import { fastClock, FASTER } from "./short_times.ts";
import { configuredExchanges, openDatabase } from "../../src/cli/environment.ts";
import { Extraction } from "../../src/cli/extraction.ts";
import { loadConfig } from "../../src/config.ts";
import { describe, EXIT, P2pError } from "../../src/errors.ts";
import { systemClock } from "../../src/extract/clock.ts";
import { configureLog } from "../../src/log.ts";
import { TextLineStream } from "./lines.ts";
import { serveTicking } from "./ticking.ts";

/** What a session is told. */
export type Command =
  | {
    readonly kind: "start";
    readonly environment: Record<string, string>;
    readonly tickSeconds: number;
  }
  | { readonly kind: "stop" }
  /** The machine's clock jumps: from now on it is so far from the true one. */
  | { readonly kind: "clock"; readonly milliseconds: number };

/** What it answers: a line when it listens to signals, and one when a session has ended. */
export type Answer = { readonly isReady: true } | { readonly code: number };

let jumped = 0;
const TrueDate = Date;
globalThis.Date = class extends TrueDate {
  constructor(...given: unknown[]) {
    super(...(given.length === 0 ? [TrueDate.now() + jumped] : given) as [number]);
  }
  static override now(): number {
    return TrueDate.now() + jumped;
  }
} as DateConstructor;

async function session(
  environment: Record<string, string>,
  tickSeconds: number,
  signal: AbortSignal,
): Promise<void> {
  const config = loadConfig(environment);
  await configureLog(config.LOG_LEVEL, "json");
  await using opened = await openDatabase({ config, purpose: "run", schema: "current", signal });
  await using extraction = await Extraction.begin({
    config,
    database: opened.database,
    exchanges: configuredExchanges(config),
    purpose: "run",
    signal,
    showProgress: false,
    clock: fastClock(systemClock),
  });
  const { store } = extraction;
  const join = store.joinBatch.bind(store);
  // The database's seconds are true ones.
  store.joinBatch = async (due, deadlineSeconds) => {
    const trueDue = due && { ...due, intervalSeconds: due.intervalSeconds / FASTER };
    const joined = await join(trueDue, deadlineSeconds / FASTER);
    return "batchId" in joined ? { ...joined, secondsLeft: joined.secondsLeft * FASTER } : joined;
  };
  await extraction.presence.register("idle");
  await serveTicking(extraction, tickSeconds, signal, tickSeconds * FASTER);
}

let stopping = new AbortController();
let running: Promise<number> | undefined;
const stop = (): void => stopping.abort(new DOMException("told to stop", "AbortError"));

async function run(
  { environment, tickSeconds }: Extract<Command, { kind: "start" }>,
): Promise<number> {
  stopping = new AbortController();
  let code: number = EXIT.done;
  try {
    await session(environment, tickSeconds, stopping.signal);
  } catch (error) {
    console.error(error instanceof P2pError ? describe(error) : error);
    code = error instanceof P2pError ? error.exitCode : EXIT.bug;
  }
  running = undefined;
  console.log(JSON.stringify({ code } satisfies Answer));
  return code;
}

Deno.addSignalListener("SIGTERM", async () => {
  stop();
  Deno.exit(await (running ?? EXIT.done));
});

console.log(JSON.stringify({ isReady: true } satisfies Answer));

const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream()).pipeThrough(
  new TextLineStream(),
);
for await (const line of lines) {
  const command = JSON.parse(line) as Command;
  if (command.kind === "stop") stop();
  else if (command.kind === "clock") jumped = command.milliseconds;
  else running = run(command);
}
stop();
await running;
