/** Runs a world through batches and faults, and looks at it all the time. */
import type { Row } from "../../src/database/connection.ts";
import { isConnectionLost } from "../../src/database/errors.ts";
import { EXIT } from "../../src/errors.ts";
import { rowsOf } from "../support/batches.ts";
import type { KnownOffer } from "../support/truth.ts";
import { pause, schedule } from "./faults.ts";
import { type Broken, brokenInvariants, brokenTruth } from "./invariants.ts";
import { Dice } from "../support/random.ts";
import { type Machine, World } from "./world.ts";

export interface SoakOptions {
  readonly batches: number;
  readonly workers: number;
  readonly seed: number;
  readonly tickSeconds: number;
  readonly logFolder: string;
  /** Seconds between the end of one fault and the next, at least and at most. */
  readonly calmSeconds: readonly [number, number];
  /** Kinds of faults; all of them unless told. */
  readonly faults?: readonly string[];
  readonly say: (line: string) => void;
}

/** Taken at each batch that ended. */
export interface Sample {
  readonly batch: number;
  /** Of each worker, bytes; 0 for one that is down. */
  readonly memory: readonly number[];
  readonly connections: number;
}

export interface SoakReport {
  readonly broken: readonly Broken[];
  readonly statuses: Readonly<Record<string, number>>;
  readonly skipped: Readonly<Record<string, number>>;
  readonly ledger: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly samples: readonly Sample[];
  readonly exitCodes: readonly (number | undefined)[];
  readonly stopSeconds: number;
  readonly seconds: number;
}

/** Batches that began after `after` read the market of `truth`. */
interface Epoch {
  readonly after: Date;
  readonly truth: ReadonlyMap<string, readonly KnownOffer[]>;
}

const MARKETS = "CNY/*,UAH/*,VES/*,JPY/*,DZD/*,BDT/*";
const LOOK_SECONDS = 0.25;
/** Without a batch for so long nothing will come any more. */
const PATIENCE_SECONDS = 120;

export async function soak(options: SoakOptions): Promise<SoakReport> {
  await using world = await World.create({
    ...options,
    markets: MARKETS,
    offers: 4000,
    latencyMs: 25,
  });
  return await new Soak(world, options).run();
}

class Soak {
  readonly #dice: Dice;
  readonly #began = performance.now();
  readonly #broken: Broken[] = [];
  readonly #faults: Record<string, number> = {};
  readonly #samples: Sample[] = [];
  readonly #seen = new Set<string>();
  readonly #over = new AbortController();
  #epochs: Epoch[] = [];
  #underWay = "";
  /** The server is down, or the world is in a state that is not to be looked at. */
  #lastBatch = performance.now();

  constructor(readonly world: World, readonly options: SoakOptions) {
    this.#dice = new Dice(options.seed);
    this.#epochs = [{ after: new Date(0), truth: world.truth() }];
  }

  async run(): Promise<SoakReport> {
    const { world } = this;
    await this.#ask("update p2p.settings set value = '6' where name = 'schedule_grace_seconds'");
    for (const machine of world.machines) world.startWorker(machine);
    const looking = this.#look();
    const faulting = this.#injectFaults().catch((error) => {
      this.#break(`the fault ${this.#underWay}`, [{ error: String(error) }]);
    });
    await Promise.all([looking, faulting]);

    for (const machine of world.machines) {
      machine.fault = undefined;
      machine.databaseProxy.pass();
      machine.exchangeProxy.pass();
    }
    this.#checkFlat();
    await this.#leasesOfDead();
    const told = performance.now();
    const exitCodes = await world.stopWorkers();
    const stopSeconds = (performance.now() - told) / 1000;
    if (exitCodes.some((code) => code !== 0)) {
      this.#break("workers that are told to stop end with 0", [{ exitCodes }]);
    }
    for (const { databaseProxy } of world.machines) databaseProxy.cut(); // the dead ones, which nobody ends
    await this.#lookAtBatches();
    await this.#check(true);
    return {
      broken: this.#broken,
      statuses: await this.#counts("select status, count(*) from p2p.ops_batch_runs group by 1"),
      skipped: await this.#counts(
        "select reason, count(*) from p2p.ops_skipped_batches group by 1",
      ),
      ledger: await this.#counts("select status, count(*) from p2p.ops_batch_markets group by 1"),
      faults: this.#faults,
      samples: this.#samples,
      exitCodes,
      stopSeconds,
      seconds: (performance.now() - this.#began) / 1000,
    };
  }

  /** Who stops leaves a batch to a worker that was killed, until the lease of that is over: nobody can know better. */
  async #leasesOfDead(): Promise<void> {
    const dead = `select from p2p.ops_workers
      where doing <> 'gone' and lease_expires_at > clock_timestamp()
        and last_seen_at < clock_timestamp() - interval '8 seconds'`;
    await pause(8);
    while ((await this.#ask(dead)).length > 0) await pause(0.5);
  }

  async #injectFaults(): Promise<void> {
    const { world, options } = this;
    await this.#calm(2 * options.tickSeconds);
    let round = 0;
    for (const [kind, act] of schedule(this.#dice, options.faults)) {
      if (this.#over.signal.aborted) return;
      this.#underWay = kind;
      const detail = await act(world, this.#dice);
      this.#underWay = "";
      this.#faults[kind] = (this.#faults[kind] ?? 0) + 1;
      options.say(`    ${kind}: ${detail}`);
      await this.#calm(this.#dice.between(...options.calmSeconds));
      if (++round % 4 === 0) await this.#passTime();
    }
  }

  async #calm(seconds: number): Promise<void> {
    const until = performance.now() + seconds * 1000;
    while (!this.#over.signal.aborted && performance.now() < until) await pause(0.1);
  }

  /** Ten minutes pass at the exchange while no batch runs and none can begin. */
  async #passTime(): Promise<void> {
    const { world } = this;
    for (let attempt = 0; attempt < 40 && !this.#over.signal.aborted; attempt++) {
      await using database = world.postgres.connect();
      const hold = await world.holdBatches();
      try {
        const [row] = await rowsOf(
          database,
          `select coalesce(bool_or(status = 'running'), false) as is_running, max(batch_start_time) as last
           from p2p.ops_batch_runs`,
        );
        if (row?.["is_running"] === false && row["last"] instanceof Date) {
          world.passTime(10);
          this.#epochs.push({ after: row["last"], truth: world.truth() });
          return;
        }
      } finally {
        await hold[Symbol.asyncDispose]();
      }
      await pause(0.2);
    }
  }

  async #look(): Promise<void> {
    const { batches } = this.options;
    while (this.#seen.size < batches && this.#broken.length === 0) {
      await pause(LOOK_SECONDS);
      for (const machine of this.world.machines) await this.#supervise(machine);
      try {
        await this.#lookAtBatches();
        if ((performance.now() - this.#lastBatch) / 1000 > PATIENCE_SECONDS) {
          this.#break("batches go on", [{ sinceSeconds: PATIENCE_SECONDS }]);
        }
      } catch (error) {
        // The database is down: that is the fault under way.
        if (!isConnectionLost(error)) throw error;
      }
    }
    this.#over.abort();
  }

  /** As systemd does: a worker that found no database when it started is started again. Nothing else may end one. */
  async #supervise(machine: Machine): Promise<void> {
    if (!machine.process?.hasFailed) return;
    const { code } = await machine.process.ended;
    if (code === EXIT.unavailable) this.world.startWorker(machine);
    else this.#break("no worker ends by itself", [{ name: machine.name, code }]);
  }

  async #lookAtBatches(): Promise<void> {
    const rows = await this.#ask(
      `select
         r.*,
         (select count(*) from pg_stat_activity where application_name like 'p2p-ingest%')::int as connections
       from p2p.ops_batch_runs r
       where r.status <> 'running'
       order by r.batch_start_time`,
    );
    for (const row of rows) {
      const batchId = String(row["batch_id"]);
      if (this.#seen.has(batchId)) continue;
      const startedAt = row["batch_start_time"] as Date;
      const epoch = this.#epochs.findLast(({ after }) => after < startedAt);
      await using database = this.world.postgres.connect();
      if (epoch !== undefined) {
        for (const broken of await brokenTruth(database, batchId, epoch.truth)) {
          this.#break(broken.invariant, broken.rows);
        }
      }
      this.#seen.add(batchId);
      this.#lastBatch = performance.now();
      await this.#tell(row);
      if (this.#seen.size % 20 === 0) await this.#check(false);
    }
  }

  async #tell(row: Row): Promise<void> {
    const memory = await Promise.all(
      this.world.machines.map(async ({ process }) => await process?.memory() ?? 0),
    );
    this.#samples.push({ batch: this.#seen.size, memory, connections: Number(row["connections"]) });
    const number = String(this.#seen.size).padStart(4);
    const startedAt = (row["batch_start_time"] as Date).toISOString().slice(11, 19);
    const markets = `${row["markets_completed"]}/${row["markets_expected"]}`;
    this.options.say([
      `${number} ${startedAt} ${String(row["status"]).padEnd(9)} ${markets.padStart(7)} markets`,
      `${String(row["total_offers_inserted"]).padStart(5)} offers`,
      `${Number(row["execution_time_seconds"]).toFixed(1).padStart(5)} s`,
      `${row["connections"]} connections`,
      `RSS ${memory.map((bytes) => Math.round(bytes / 1e6)).join(" ")} MB`,
      ...(this.#underWay === "" ? [] : [`(${this.#underWay})`]),
    ].join("  "));
    if (row["error_summary"] !== null) this.options.say(`       ${row["error_summary"]}`);
  }

  /** The first worker lives all the time: its memory in the last quarter is that of the second one. */
  #checkFlat(): void {
    const { length } = this.#samples;
    if (length < 80) return;
    const mean = (from: number, to: number): number => {
      const some = this.#samples.slice(from * length, to * length);
      return some.reduce((sum, { memory }) => sum + (memory[0] ?? 0), 0) / some.length / 1e6;
    };
    const [before, after] = [mean(0.25, 0.5), mean(0.75, 1)];
    if (after > before + 20) this.#break("memory is flat", [{ megabytes: { before, after } }]);
    const most = Math.max(...this.#samples.map(({ connections }) => connections));
    if (most > 8 * this.options.workers) this.#break("connections are few", [{ most }]);
  }

  async #check(isOver: boolean): Promise<void> {
    const { tickSeconds } = this.options;
    await using database = this.world.postgres.connect();
    for (const { invariant, rows } of await brokenInvariants(database, { tickSeconds, isOver })) {
      this.#break(invariant, rows);
    }
  }

  #break(invariant: string, rows: readonly Row[]): void {
    this.options.say(`!!! BROKEN: ${invariant}`);
    for (const row of rows.slice(0, 5)) {
      this.options.say(`    ${Deno.inspect({ ...row }, { breakLength: Infinity, depth: 4 })}`);
    }
    this.#broken.push({ invariant, rows });
  }

  async #ask(statement: string): Promise<Row[]> {
    await using database = this.world.postgres.connect();
    return await rowsOf(database, statement);
  }

  async #counts(statement: string): Promise<Record<string, number>> {
    const rows = await this.#ask(statement);
    return Object.fromEntries(rows.map((row) => {
      const [name, count] = Object.values(row);
      return [String(name), Number(count)];
    }));
  }
}
