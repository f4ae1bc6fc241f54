/** One schedule: faults as it says, then calm, then everything that must hold. */
import { differences } from "../support/aggregate_truth.ts";
import type { Row } from "../../src/database/connection.ts";
import { rowsOf } from "../support/batches.ts";
import { expectedOffers } from "../support/truth.ts";
import { ACTS, isAt, pause } from "./acts.ts";
import { Installation, WEBHOOK_SECRET } from "./installation.ts";
import { type Broken, brokenAtWork, brokenInvariants, brokenTruth } from "./invariants.ts";
import { isOurLoss, patiently } from "./patience.ts";
import type { Pool } from "./pool.ts";
import { Dice } from "../support/random.ts";
import { type PlannedFault, type Schedule, TICK_SECONDS } from "./schedule.ts";
import { type ChaosServer, PASSWORD } from "./server.ts";
import { brokenByServed, undisturbed } from "./served.ts";

/** A calm fleet ends a batch in one; a breaker that has opened several times takes longest. */
const CALM_SECONDS = 60;
const INCIDENT_SECONDS = 10;
const STOP_SECONDS = 15;

export interface ScheduleReport {
  readonly schedule: Schedule;
  readonly broken: readonly Broken[];
  /** How much each fault did, in the order of the schedule. */
  readonly hits: readonly { readonly name: string; readonly hits: number }[];
  readonly statuses: Readonly<Record<string, number>>;
  readonly seconds: number;
  /** Until a batch was whole again. */
  readonly calmSeconds: number;
  /** Whether the fleet that was told to stop left a batch to the one that came next. */
  readonly wasLeft: boolean;
  readonly logs: Readonly<Record<string, string>>;
}

export async function runSchedule(
  schedule: Schedule,
  server: ChaosServer,
  pool: Pool,
): Promise<ScheduleReport> {
  const began = performance.now();
  await using there = await Installation.create(schedule, server, pool);
  return await new Run(schedule, there, began).run();
}

class Run {
  readonly #broken: Broken[] = [];
  #calmSeconds = 0;
  #wasLeft = false;

  constructor(readonly schedule: Schedule, readonly there: Installation, readonly began: number) {}

  async run(): Promise<ScheduleReport> {
    const { schedule, there } = this;
    for (const machine of there.machines) machine.start();
    const lasting = pause(schedule.batches * TICK_SECONDS);
    const over = new AbortController();
    const supervising = this.#superviseUntil(over.signal);
    const hits = await Promise.all(schedule.faults.map((fault, i) => this.#inflict(fault, i)));
    await lasting;
    await this.#mend();
    const isCalm = await this.#calm();
    over.abort();
    await supervising;
    if (isCalm) {
      await this.#incidentsEnd();
      this.#broken.push(...await patiently(() => brokenAtWork(there.watch)));
      await this.#stop();
      if (await this.#isLeft()) {
        for (const machine of there.machines) machine.start();
        // Told to stop while one that was killed still has its lease, they would leave the next one to it, too.
        for (let attempt = 0; attempt < 200; attempt++) {
          if (!await this.#isLeft() && !await this.#isAnyCountedOn()) break;
          await pause(0.1);
        }
        await this.#stop();
      }
      await patiently(() => this.#check());
    }
    return {
      schedule,
      broken: this.#broken,
      hits: schedule.faults.map((fault, i) => ({
        name: /answers|altered|nonsense/.test(fault.kind)
          ? `${fault.kind}: ${fault.how}`
          : fault.kind,
        hits: hits[i] ?? 0,
      })),
      statuses: await this.#statuses(),
      seconds: (performance.now() - this.began) / 1000,
      calmSeconds: this.#calmSeconds,
      wasLeft: this.#wasLeft,
      logs: Object.fromEntries(
        there.machines.map(({ name, logs }) => [name, logs.flat().join("")]),
      ),
    };
  }

  async #inflict(fault: PlannedFault, index: number): Promise<number> {
    const { there, schedule: { seed, batches } } = this;
    const { afterSeconds, when } = fault.moment;
    await pause(afterSeconds);
    const patience = performance.now() + batches * TICK_SECONDS * 1000;
    while (when !== undefined && performance.now() < patience) {
      if (await isAt(there, when).catch(() => false)) break;
      await pause(0.02);
    }
    const act = ACTS[fault.kind];
    if (act === undefined) throw new Error(`there is no fault ${fault.kind}`);
    try {
      return await act(there, fault, new Dice(seed * 100 + index));
    } catch (error) {
      // A session of our own that the server's end took with it is part of the fault.
      if (isOurLoss(error)) return 1;
      this.#break(`the fault ${fault.kind}`, [{ error: String(error) }]);
      return 0;
    }
  }

  async #superviseUntil(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const ended = this.there.supervise();
      if (ended.length > 0) this.#break("no worker ends by itself", ended);
      await pause(0.1);
    }
  }

  /** Whatever a fault has left behind. */
  async #mend(): Promise<void> {
    const { there } = this;
    for (const machine of there.machines) {
      machine.troubles.clear();
      machine.databaseProxy.pass();
      machine.exchangeProxy.pass();
      machine.setClock(0);
      machine.process?.kill("SIGCONT");
      machine.start();
    }
    await patiently(() => there.server.calm());
  }

  /** A batch that began after the faults ends whole. */
  async #calm(): Promise<boolean> {
    const { there } = this;
    const began = performance.now();
    const { watch: database } = there;
    const batches = await patiently(() =>
      rowsOf(database, "select batch_id from p2p.ops_batch_runs")
    );
    const known = batches.map((row) => row["batch_id"]);
    while (performance.now() - began < CALM_SECONDS * 1000) {
      const [whole] = await patiently(() =>
        rowsOf(
          database,
          `select from p2p.ops_batch_runs
         where status = 'completed' and batch_id <> all (array(select jsonb_array_elements_text($1::text::jsonb))::uuid[])`,
          JSON.stringify(known),
        )
      );
      this.#calmSeconds = (performance.now() - began) / 1000;
      if (whole !== undefined && await this.#isComplete()) return true;
      await pause(0.05);
    }
    this.#break(
      "a calm batch is whole",
      await rowsOf(
        database,
        `select batch_id, batch_start_time, status, due_at, fetch_until, loader_id, error_summary
       from p2p.ops_batch_runs order by batch_start_time desc limit 5`,
      ),
    );
    return false;
  }

  /** Whether all workers are there: one that found no database at its start is started again. */
  async #isComplete(): Promise<boolean> {
    const { machines, watch } = this.there;
    const alive = await patiently(() => rowsOf(watch, "select worker_id from p2p.live_workers()"));
    return machines.every(({ process }) =>
      alive.some(({ worker_id: id }) => String(id).includes(`:${process?.pid}:`))
    );
  }

  async #incidentsEnd(): Promise<void> {
    const began = performance.now();
    const { watch: database } = this.there;
    for (;;) {
      const open = await patiently(() =>
        rowsOf(
          database,
          "select kind, subject, message, raised_at from p2p.ops_incidents where resolved_at is null",
        )
      );
      if (open.length === 0) return;
      if (performance.now() - began > INCIDENT_SECONDS * 1000) {
        return this.#break("what people were told of is over", open);
      }
      await pause(0.1);
    }
  }

  async #stop(): Promise<void> {
    const { there } = this;
    for (const machine of there.machines) machine.stop();
    const ended = Promise.all(there.machines.map(({ ended }) => ended)).then(() => true);
    const timer = Promise.withResolvers<boolean>();
    const deadline = setTimeout(() => timer.resolve(false), STOP_SECONDS * 1000);
    const isInTime = await Promise.race([ended, timer.promise]);
    clearTimeout(deadline);
    const codes = there.machines.map(({ name, codes }) => ({ name, code: codes.at(-1) }));
    if (!isInTime || codes.some(({ code }) => code !== 0)) {
      this.#break("workers that are told to stop end with 0, soon", codes);
    }
    for (const { databaseProxy } of there.machines) databaseProxy.cutAbandoned(); // nobody else ends those
  }

  /**
   * Whether a batch was left under way: a worker that is told to stop while its connections are dead waits for the
   * database no longer than a moment. Who comes next has to end it.
   */
  async #isLeft(): Promise<boolean> {
    const running = await patiently(() =>
      rowsOf(this.there.watch, "select from p2p.ops_batch_runs where status = 'running'")
    );
    this.#wasLeft ||= running.length > 0;
    return running.length > 0;
  }

  /** Whether one that was killed counts as alive. */
  async #isAnyCountedOn(): Promise<boolean> {
    const alive = await patiently(() =>
      rowsOf(this.there.watch, "select worker_id from p2p.live_workers()")
    );
    return !alive.every(this.#isOfThisSession);
  }

  async #check(): Promise<void> {
    const { there } = this;
    const { watch: database } = there;
    await this.#sessionsEnd();
    const all = await brokenInvariants(database, { tickSeconds: TICK_SECONDS, isOver: true });
    all.push(...await brokenByServed(database, there.scribe.sent));
    if (!there.hasMoved) {
      const truth = Map.groupBy(expectedOffers(there.scribe.model()), ({ market }) => market);
      for (const batch of await undisturbed(database, there.scribe.sent)) {
        all.push(...await brokenTruth(database, batch, truth));
      }
    }
    for (const view of ["market_hours", "merchant_hours", "market_daily", "v_price_history"]) {
      all.push({
        invariant: `${view} is what the facts say`,
        rows: await rowsOf(database, differences(view)),
      });
    }
    all.push({ invariant: "nothing half made is left", rows: await this.#leftOver() });
    all.push({
      invariant: "PostgreSQL crashes for no reason but a fault",
      rows: await this.#crashes(),
    });
    all.push({ invariant: "no secret is in a log", rows: this.#secrets() });
    for (const { invariant, rows } of all) {
      const wrong = invariant === "no worker counts as alive"
        ? rows.filter(this.#isOfThisSession)
        : rows;
      if (wrong.length > 0) this.#break(invariant, wrong);
    }
  }

  /** Whether a row is of a worker that ends in the calm: who dies amid faults cannot say so, and has its lease. */
  readonly #isOfThisSession = ({ worker_id: id }: Row): boolean =>
    this.there.machines.some(({ process }) => String(id).includes(`:${process?.pid}:`));

  /** The server notices a moment later that a client is gone. */
  async #sessionsEnd(): Promise<void> {
    const { server, database } = this.there;
    for (let attempt = 0; attempt < 60; attempt++) {
      const left = await server.ask(
        `select from pg_stat_activity where datname = '${database}' and application_name like 'p2p-ingest%'`,
      );
      if (left.length === 0) return;
      await pause(0.05);
    }
  }

  async #leftOver(): Promise<Row[]> {
    const rows: Row[] = [];
    for await (const { name } of Deno.readDir(this.there.server.folder)) {
      if (name.startsWith(".making")) rows.push({ name });
    }
    rows.push(...await this.there.server.ask("select name from pg_ls_tmpdir()"));
    return rows;
  }

  /** The suite waits for a server that is away: one that nobody ended is found in its log. */
  async #crashes(): Promise<Row[]> {
    const isThrown = this.schedule.faults.some(({ kind }) => kind === "backend crashed");
    return (await this.there.server.logged())
      .filter((line) => /terminated by signal|PANIC|TRAP:/.test(line))
      .filter((line) => !(isThrown && line.includes("terminated by signal 9")))
      .map((line) => ({ line }));
  }

  #secrets(): Row[] {
    return this.there.machines.flatMap(({ name, logs }) =>
      logs.flat().join("").split("\n").filter((line) =>
        line.includes(PASSWORD) || line.includes(WEBHOOK_SECRET)
      )
        .map((line) => ({ name, line }))
    );
  }

  async #statuses(): Promise<Record<string, number>> {
    const { watch: database } = this.there;
    const rows = await patiently(() =>
      rowsOf(database, "select status, count(*) from p2p.ops_batch_runs group by 1")
    );
    return Object.fromEntries(rows.map((row) => [String(row["status"]), Number(row["count"])]));
  }

  #break(invariant: string, rows: readonly Row[]): void {
    this.#broken.push({ invariant, rows });
  }
}
