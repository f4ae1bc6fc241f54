/** What happens in a schedule, made from its seed alone. */
import type { FaultName } from "../../src/simulator/fault.ts";
import type { Direction } from "../support/half_open_proxy.ts";
import { type Alteration, ALTERATIONS, type Refusal, REFUSALS } from "./exchange.ts";
import { Dice } from "../support/random.ts";

/** When a fault begins: so long after the workers, or as soon as the fleet is at something (or so long after all). */
export interface Moment {
  readonly afterSeconds: number;
  readonly when?: "fetching" | "loading" | "idle" | "half stored";
}

/** One fault; what its kind does not need is left unused. */
export interface PlannedFault {
  readonly kind: string;
  readonly moment: Moment;
  /** How long it lasts, or how long something is away. */
  readonly seconds: number;
  /** Which of the machines, by its number from 0; undefined: all of them. */
  readonly machine: number | undefined;
  readonly way: Direction | "both ways";
  /** Of requests that meet it. */
  readonly rate: number;
  readonly how: string;
  /** For clocks: by how much they jump. */
  readonly jumpSeconds: number;
}

export interface Schedule {
  readonly seed: number;
  readonly workers: number;
  /** Batches that are due while faults come. */
  readonly batches: number;
  /** Of the whole exchange. */
  readonly offers: number;
  readonly markets: string;
  /** Whether the workers have to find the markets first. */
  readonly isNew: boolean;
  readonly faults: readonly PlannedFault[];
}

export const TICK_SECONDS = 0.5;

const MARKETS = [
  "VES/USDT,CNY/USDT",
  "VES/*",
  "UAH/*,BDT/USDT",
  "CNY/*",
  "JPY/*,DZD/*",
  "VES/USDT,ARS/USDT,KZT/*",
] as const;

/** Discovery lists all of a fiat, also what is not wanted. */
const WHOLE_FIATS = ["VES/*", "CNY/*"] as const;

/** Kinds by what they need; the more often named, the more often thrown. */
const KINDS = {
  worker: ["worker killed", "worker killed", "worker stopped", "worker frozen"],
  server: [
    "PostgreSQL killed",
    "PostgreSQL, immediate shutdown",
    "PostgreSQL, fast shutdown",
    "backend crashed",
  ],
  session: [
    "backends terminated",
    "statements cancelled",
    "table locked",
    "batch rows locked",
    "storing cut short",
    "load's answer lost",
    "disk full",
    "disk stalls",
    "no connections left",
    "commits late",
  ],
  database: [
    "database half open",
    "database cut",
    "database connections dead",
    "database slow",
    "database throttled",
  ],
  exchange: [
    "exchange refuses",
    "exchange half open",
    "exchange cut",
    "exchange slow",
    "exchange throttled",
  ],
  answers: [
    "answers",
    "answers",
    "answers",
    "second pages lost",
    "pages altered",
    "pages altered",
    "nonsense",
    "nonsense",
  ],
  clock: ["worker's clock jumps", "database's clock jumps", "exchange moves on"],
} as const;

const GROUPS = [
  "worker",
  "worker",
  "session",
  "session",
  "database",
  "exchange",
  "answers",
  "answers",
  "clock",
] as const;

const ANSWERS: readonly [FaultName, ...FaultName[]] = [
  "tooManyRequests",
  "tooManyRequests",
  "forbidden",
  "serverError",
  "challenge",
  "truncated",
  "notJson",
  "reset",
  "timeout",
  "slow",
  "refused",
  "wrongShape",
  "oversized",
  "malformedOffers",
  "awkwardOffers",
];

function plan(dice: Dice, workers: number, lastSeconds: number, isHeavy: boolean): PlannedFault {
  const group = isHeavy ? "server" : dice.pick(GROUPS);
  const kind = dice.pick<string>(KINDS[group]);
  const when = dice.pick(
    [undefined, undefined, "fetching", "fetching", "loading", "idle", "half stored"] as const,
  );
  const afterSeconds = dice.between(0, lastSeconds);
  const how: string = kind === "pages altered"
    ? dice.pick<Alteration>(ALTERATIONS)
    : kind === "nonsense"
    ? dice.pick<Refusal>(REFUSALS)
    : dice.pick<string>(ANSWERS);
  return {
    kind,
    moment: when === undefined ? { afterSeconds } : { afterSeconds, when },
    seconds: round(dice.next() < 0.1 ? dice.between(1, 2.5) : dice.between(0.1, 0.7)),
    machine: dice.next() < 0.7 ? Math.floor(dice.next() * workers) : undefined,
    way: dice.pick(["both ways", "toServer", "toClient"]),
    rate: round(dice.pick([0.2, 0.5, 1])),
    how,
    jumpSeconds: Math.round(dice.pick([-1, 1]) * dice.pick([3, 30, 90, 400, 900])),
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Every seventh schedule loses the whole server, which takes longest. */
export function scheduleOf(seed: number): Schedule {
  const dice = new Dice(Math.imul(seed, 2654435761));
  const workers = dice.pick([1, 2, 2, 3]);
  const batches = dice.pick([1, 2, 3]);
  const lastSeconds = batches * TICK_SECONDS;
  const isNew = dice.next() < 0.1;
  const faults = Array.from(
    { length: 1 + Math.floor(dice.next() * 4) },
    () => plan(dice, workers, lastSeconds, false),
  );
  if (seed % 7 === 0) faults.push(plan(dice, workers, lastSeconds, true));
  return {
    seed,
    workers,
    batches,
    offers: dice.pick([300, 800, 800, 2000]),
    markets: isNew ? dice.pick(WHOLE_FIATS) : dice.pick(MARKETS),
    isNew,
    faults: faults
      .map((fault) => ({
        ...fault,
        moment: { ...fault.moment, afterSeconds: round(fault.moment.afterSeconds) },
      }))
      .sort((a, b) => a.moment.afterSeconds - b.moment.afterSeconds),
  };
}

/** For people. */
export function describeSchedule(schedule: Schedule): string {
  const { seed, workers, batches, offers, markets, isNew, faults } = schedule;
  const lines = faults.map((fault) => {
    const { moment: { afterSeconds, when }, kind, seconds, machine, how, rate, way, jumpSeconds } =
      fault;
    const detail = /answers|altered|nonsense/.test(kind)
      ? `${how}, ${rate * 100} % of requests, `
      : kind.includes("half open")
      ? `${way}, `
      : kind.includes("clock")
      ? `${jumpSeconds} s, `
      : "";
    const start = when === undefined
      ? `${afterSeconds.toFixed(2)} s`
      : `${afterSeconds.toFixed(2)} s, then when ${when}`;
    return `  ${start.padEnd(28)} ${kind}: ${detail}${seconds} s, ${
      machine === undefined ? "all" : `worker-${machine + 1}`
    }`;
  });
  return [
    `schedule ${seed}: ${workers} workers, ${batches} batches, ${offers} offers, markets ${markets}${
      isNew ? ", not yet known" : ""
    }`,
    ...lines,
  ].join("\n");
}
