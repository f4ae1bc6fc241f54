import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import { command, constant, option } from "@optique/core/primitives";
import { choice, integer, string } from "@optique/core/valueparser";
import { EXCHANGE_CODES, type ExchangeCode } from "../config.ts";
import { EXIT, type ExitCode } from "../errors.ts";
import { parseFaults } from "../simulator/fault.ts";
import { startSimulator } from "../simulator/server.ts";
import { readEnvironment, untilStopped } from "./environment.ts";
import { examples } from "./help.ts";
import { print, tell } from "./terminal.ts";

export const simulateCommand = command(
  "simulate",
  object({
    command: constant("simulate"),
    exchange: withDefault(
      option("--exchange", choice(EXCHANGE_CODES), {
        description: message`Whose shapes it speaks; the market behind is the same.`,
      }),
      "binance" as const,
    ),
    port: withDefault(
      option("--port", integer({ min: 0, max: 65_535 }), {
        description: message`Port on 127.0.0.1; 0 takes a free one.`,
      }),
      8099,
    ),
    seed: withDefault(
      option("--seed", integer({ min: 0 }), {
        description: message`The same seed is the same market.`,
      }),
      1,
    ),
    offers: withDefault(
      option("--offers", integer({ min: 0, max: 1_000_000 }), {
        description: message`About so many in the whole market.`,
      }),
      50_000,
    ),
    latencyMs: withDefault(
      option("--latency-ms", integer({ min: 0, max: 60_000 }), {
        description: message`Wait before each answer.`,
      }),
      0,
    ),
    requestsPerMinute: optional(
      option("--requests-per-minute", integer({ min: 1 }), {
        description: message`Answer 429 beyond this.`,
      }),
    ),
    faults: withDefault(
      option("--faults", string({ metavar: "FAULTS" }), {
        description:
          message`Failures with their rates, e.g. reset=0.02,refused=0.01; all stands for every one at a modest rate.`,
      }),
      "",
    ),
  }),
  {
    brief: message`A stand-in for an exchange on localhost.`,
    description:
      message`Serves a whole P2P market in the exchange's own shapes, with time: prices walk, offers come and go, advertisers get renamed. Point BINANCE_BASE_URL or BYBIT_BASE_URL at it.`,
    footer: examples(
      ["p2p-ingest simulate --port 8099 --faults all", "a difficult exchange"],
      [
        "BINANCE_BASE_URL=http://127.0.0.1:8099 INITIAL_RATE_LIMIT=100000 MAX_RATE_LIMIT=100000 p2p-ingest once",
        "fetch it",
      ],
    ),
  },
);

export async function simulate(args: {
  exchange: ExchangeCode;
  port: number;
  seed: number;
  offers: number;
  latencyMs: number;
  requestsPerMinute: number | undefined;
  faults: string;
}): Promise<ExitCode> {
  await readEnvironment();
  using signal = untilStopped();
  const { faults, requestsPerMinute, ...options } = args;
  const simulator = await startSimulator({
    ...options,
    faults: parseFaults(faults),
    ...(requestsPerMinute === undefined ? {} : { requestsPerMinute }),
  });
  print(`${simulator.url}\n`);
  tell(`the simulated exchange listens at ${simulator.url}; Ctrl-C ends it\n`);
  await new Promise<void>((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true })
  );
  await simulator.close();
  return EXIT.done;
}
