import { withDeadline } from "../database/deadline.ts";
import { requireSchema } from "../database/migration_plan.ts";
import { DEADLINES, LEASE } from "../deadlines.ts";
import { describe } from "../errors.ts";
import type { Clock } from "../extract/clock.ts";
import type { DatabaseFigures, Figures } from "./database_figures.ts";
import type { Check, HealthSource } from "./health.ts";
import type { LoopLag } from "./loop_lag.ts";

export interface ServiceState {
  readonly lag: LoopLag;
  /** When the worker's heartbeat last came round, by the clock. */
  readonly beatenAt: () => number;
  readonly figures: DatabaseFigures;
  readonly intervalSeconds: number;
  readonly clock: Clock;
}

/** A beat takes its pause and its deadline; one more is a slow machine, ten are none that works. */
const BEAT_SECONDS = 10 * LEASE.renewSeconds;
const LAG_SECONDS = 30;
/** Of the schedule: one may fail, two are a bad moment. */
const INTERVALS = 3;

/** The checks of the service; the schema is looked at once a minute. */
export function serviceHealth(state: ServiceState): HealthSource {
  const { lag, beatenAt, figures, intervalSeconds, clock } = state;
  const startedAt = clock.now();
  const schema = new SchemaCheck(figures, clock);
  return {
    isAlive: () => [
      check("event_loop", lag.seconds < LAG_SECONDS, `timers are ${lag.seconds.toFixed(3)} s late`),
      beatCheck((clock.now() - beatenAt()) / 1000),
    ],
    isReady: async () => {
      const found = await figures.read();
      return [
        check("database", found.problem === undefined, found.problem ?? "it answers"),
        found.isUp ? await schema.look() : check("schema", false, "not seen without a database"),
        batchCheck(found, intervalSeconds * INTERVALS, (clock.now() - startedAt) / 1000),
      ];
    },
  };
}

function check(name: string, isOk: boolean, why: string): Check {
  return { check: name, isOk, why };
}

function beatCheck(seconds: number): Check {
  return check("heartbeat", seconds < BEAT_SECONDS, `came round ${seconds.toFixed(0)} s ago`);
}

function batchCheck({ samples, problem }: Figures, mostSeconds: number, upSeconds: number): Check {
  const valueOf = (name: string) => samples.find(({ metric }) => metric === name)?.value;
  const age = valueOf("p2p_last_good_batch_age_seconds");
  const paused = valueOf("p2p_paused") === 1 ? "; batches are paused" : "";
  if (age !== undefined) {
    const why = `the last good batch ended ${age.toFixed(0)} s ago, ${mostSeconds} may pass`;
    return check("last_batch", age <= mostSeconds, why + paused);
  }
  if (problem !== undefined) return check("last_batch", false, "not known without a database");
  const why = `none yet, after ${upSeconds.toFixed(0)} s; ${mostSeconds} may pass`;
  return check("last_batch", upSeconds < mostSeconds, why + paused);
}

const SCHEMA_SECONDS = 60;

class SchemaCheck {
  #last: Check | undefined;
  #lookedAt = 0;

  constructor(readonly figures: DatabaseFigures, readonly clock: Clock) {}

  async look(): Promise<Check> {
    const isRecent = this.clock.now() - this.#lookedAt < SCHEMA_SECONDS * 1000;
    if (this.#last?.isOk && isRecent) return this.#last;
    const { database } = this.figures;
    this.#last = await withDeadline(
      requireSchema(database),
      DEADLINES.figuresSeconds,
      database.where,
    ).then(
      () => check("schema", true, "it is of this version"),
      (error) => check("schema", false, describe(error)),
    );
    this.#lookedAt = this.clock.now();
    return this.#last;
  }
}
