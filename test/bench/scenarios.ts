import { benchBounded } from "./bounded.ts";
import { benchConcurrency } from "./concurrency.ts";
import type { Finding } from "./finding.ts";
import { benchFleet } from "./fleet.ts";
import { benchAged, benchHistory, benchQueries } from "./history/main.ts";
import { benchLimit } from "./limit/main.ts";
import { benchNaive } from "./naive/main.ts";
import { benchRate } from "./rate/main.ts";
import { benchSizes } from "./sizes.ts";
import { benchWeek } from "./week.ts";

export interface Scenario {
  readonly about: string;
  /** Its options, as the help shows them. */
  readonly usage: string;
  /** Prints its tables. Rejects where a batch did not complete, or a comparison is void. */
  readonly run: (args: readonly string[]) => Promise<readonly Finding[]>;
  /** Options in a run of all scenarios; undefined: it is left out, because another one has it or it takes too long. */
  readonly inAll: readonly string[] | undefined;
}

const HISTORY = "--factor 0.01 --days 30 --runs 20 --load 5000 --seed 1 --url URL";

/** In the order of a run of all. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  limit: {
    about:
      "Stage and load against the bare cost of inserting the same pages and the same typed rows.",
    usage: "--offers 50000 --rounds 3",
    run: benchLimit,
    inAll: [],
  },
  naive: {
    about:
      "The designs that most people would write against this project: same pages, same server, turn by turn.",
    usage: "--offers 10000 --rounds 4 --seed 1",
    run: benchNaive,
    inAll: [],
  },
  sizes: {
    about: "Whole batches of 1, 10, 50 and 200 thousand offers: how time and memory grow.",
    usage: "--offers 1000,10000,50000,200000",
    run: benchSizes,
    inAll: [],
  },
  concurrency: {
    about:
      "1 to 100 markets in parallel (MAX_WORKERS), at an exchange that takes 100 ms for an answer.",
    usage: "--offers 5000 --latency-ms 100 --workers 1,5,20,50,100",
    run: benchConcurrency,
    inAll: [],
  },
  bounded: {
    about: "The most memory that the worker holds where the database or the exchange is slow.",
    usage: "",
    run: benchBounded,
    inAll: [],
  },
  fleet: {
    about: "A batch by one worker, by three, and by three of which one is killed in the middle.",
    usage: "",
    run: benchFleet,
    inAll: [],
  },
  history: {
    about: "A month of history: what it costs to keep, to load into (aged) and to ask (queries).",
    usage: HISTORY,
    run: benchHistory,
    inAll: [],
  },
  aged: {
    about: "load_batch at a month-old database, against one of a day (a part of history).",
    usage: HISTORY,
    run: benchAged,
    inAll: undefined,
  },
  queries: {
    about: "The queries that people ask, on a month of history (a part of history).",
    usage: HISTORY,
    run: benchQueries,
    inAll: undefined,
  },
  rate: {
    about: "How near to an exchange's hidden limit the program comes, in simulated time.",
    usage: "--seed 1 --write (the other ways too, into docs/rate-experiment.md)",
    run: benchRate,
    inAll: [],
  },
  week: {
    about: "One normal week of batches, and how often a quality rule fires in it.",
    usage: "--hours 168 --books one|world",
    run: benchWeek,
    inAll: undefined,
  },
};
