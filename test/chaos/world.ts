/**
 * A whole installation on this machine: one PostgreSQL, N workers in processes of their own, each with its own way to
 * the database and its own address at the exchange. Everything between them can be spoiled.
 */
import type { Fault } from "../../src/simulator/fault.ts";
import {
  type SimulatedRequest,
  type Simulator,
  startSimulator,
} from "../../src/simulator/server.ts";
import { HalfOpenProxy } from "../support/half_open_proxy.ts";
import { holdTable } from "../support/sessions.ts";
import { expectedOffers, type KnownOffer } from "../support/truth.ts";
import { Postgres, type ServerEnd } from "./postgres.ts";
import { WorkerProcess } from "./worker_process.ts";

export interface WorldOptions {
  readonly workers: number;
  readonly seed: number;
  readonly tickSeconds: number;
  /** Where the logs of the workers go. */
  readonly logFolder: string;
  readonly markets: string;
  readonly offers: number;
  /** Of the exchange, for each answer. */
  readonly latencyMs: number;
  /** What each machine's address may ask; unlimited unless told. */
  readonly requestsPerMinute?: number;
  /** More variables of the workers. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** One machine of the fleet, with its ways to the database and the exchange. */
export interface Machine {
  readonly name: string;
  readonly databaseProxy: HalfOpenProxy;
  readonly exchangeProxy: HalfOpenProxy;
  readonly simulator: Simulator;
  /** How often it was sent each page, e.g. `CNY/USDT BUY 1`. */
  readonly sent: Map<string, number>;
  /** What its requests to the exchange meet now. */
  fault: (() => Fault | undefined) | undefined;
  process: WorkerProcess | undefined;
}

export class World implements AsyncDisposable {
  readonly machines: Machine[] = [];
  #now = Date.UTC(2026, 8, 1, 9);

  private constructor(readonly options: WorldOptions, readonly postgres: Postgres) {}

  static async create(options: WorldOptions): Promise<World> {
    await using stack = new AsyncDisposableStack();
    const world = stack.use(new World(options, await Postgres.start()));
    for (let i = 1; i <= options.workers; i++) await world.#addMachine(`worker-${i}`);
    stack.move();
    return world;
  }

  async #addMachine(name: string): Promise<void> {
    const { seed, offers, latencyMs, requestsPerMinute } = this.options;
    const sent = new Map<string, number>();
    const answerTo = ({ search }: SimulatedRequest): Fault | undefined => {
      const fault = machine.fault?.();
      if (search !== undefined && fault === undefined) {
        const page = `${search.fiat}/${search.asset} ${search.side} ${search.page}`;
        sent.set(page, (sent.get(page) ?? 0) + 1);
      }
      return fault;
    };
    const simulator = await startSimulator({
      seed,
      offers,
      latencyMs,
      now: () => this.#now,
      faultFor: answerTo,
      ...(requestsPerMinute === undefined ? {} : { requestsPerMinute }),
    });
    const machine: Machine = {
      name,
      simulator,
      sent,
      databaseProxy: await HalfOpenProxy.before(this.postgres.url),
      exchangeProxy: await HalfOpenProxy.before(simulator.url),
      fault: undefined,
      process: undefined,
    };
    this.machines.push(machine);
  }

  startWorker(machine: Machine): void {
    const { tickSeconds, markets, logFolder, environment } = this.options;
    machine.process = new WorkerProcess(machine.name, {
      DATABASE_URL: machine.databaseProxy.through(this.postgres.workerUrl),
      BINANCE_BASE_URL: machine.exchangeProxy.through(machine.simulator.url),
      CHAOS_TICK_SECONDS: String(tickSeconds),
      MARKETS: markets,
      MAX_WORKERS: "4",
      INITIAL_RATE_LIMIT: "6000",
      MIN_RATE_LIMIT: "1200", // storms are to slow a batch down, not all that follow
      MAX_RATE_LIMIT: "60000",
      RATE_LIMIT_BURST: "200",
      REQUEST_TIMEOUT_SECONDS: "2",
      BATCH_DEADLINE_SECONDS: "30",
      LOG_LEVEL: "info",
      ...environment,
    }, logFileOf(machine, logFolder));
  }

  /** What the worker has told so far. */
  async logOf(machine: Machine): Promise<string> {
    return await Deno.readTextFile(logFileOf(machine, this.options.logFolder)).catch(() => "");
  }

  /** Ends the server, and starts it again after a while; the ways lead to it then. */
  async restartPostgres(how: ServerEnd, downSeconds: number): Promise<void> {
    await this.postgres.end(how);
    await new Promise((resolve) => setTimeout(resolve, downSeconds * 1000));
    await this.postgres.open();
    for (const { databaseProxy } of this.machines) databaseProxy.redirect(this.postgres.url);
  }

  /** SIGTERM to all workers; answers the exit codes in the order of the machines, undefined where none ran. */
  async stopWorkers(): Promise<(number | undefined)[]> {
    for (const { process } of this.machines) process?.kill("SIGTERM");
    return await Promise.all(this.machines.map(async ({ process }) => {
      if (process === undefined) return undefined;
      const timer = setTimeout(() => process.kill("SIGKILL"), 60_000);
      const { code } = await process.ended;
      clearTimeout(timer);
      return code;
    }));
  }

  /** Lets time pass at the exchange: prices walk, offers come and go, advertisers get renamed. */
  passTime(minutes: number): void {
    this.#now += minutes * 60_000;
  }

  /** While it is held no batch begins or ends. */
  async holdBatches(): Promise<AsyncDisposable> {
    return await holdTable(this.postgres.url, "p2p.ops_batch_runs", "exclusive");
  }

  /** What the exchange serves at this moment of its clock, by market. */
  truth(): ReadonlyMap<string, readonly KnownOffer[]> {
    const model = this.machines[0]?.simulator.market;
    return Map.groupBy(model === undefined ? [] : expectedOffers(model), ({ market }) => market);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { process } of this.machines) process?.kill("SIGKILL");
    for (const { process, databaseProxy, exchangeProxy, simulator } of this.machines) {
      await process?.ended;
      await databaseProxy[Symbol.asyncDispose]();
      await exchangeProxy[Symbol.asyncDispose]();
      await simulator.close();
    }
    await this.postgres[Symbol.asyncDispose]();
  }
}

function logFileOf({ name }: Machine, folder: string): string {
  return `${folder}/${name}.log`;
}
