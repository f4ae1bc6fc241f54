/** What a schedule happens to: a database of its own, machines with a worker each, and an exchange. */
import type { Database } from "../../src/database/connection.ts";
import { EXIT } from "../../src/errors.ts";
import {
  type SimulatedRequest,
  type Simulator,
  startSimulator,
} from "../../src/simulator/server.ts";
import { HalfOpenProxy } from "../support/half_open_proxy.ts";
import { Scribe, type Trouble } from "./exchange.ts";
import { patiently } from "./patience.ts";
import type { Pool, PooledProcess } from "./pool.ts";
import type { Schedule } from "./schedule.ts";
import { TICK_SECONDS } from "./schedule.ts";
import type { ChaosServer } from "./server.ts";

/** Planted in the address that alerts go to; nobody listens there. */
export const WEBHOOK_SECRET = "chaosSecretWebhook";
/** As on the first day. */
const FORGET_MARKETS = `delete from p2p.ops_market_visits;
  delete from p2p.dim_markets;
  delete from p2p.ops_discoveries;`;
/** Real seconds that a batch may fetch. */
const DEADLINE_SECONDS = 6;

/** One machine of the fleet, with its ways to the database and the exchange. */
export class Machine {
  /** What its requests to the exchange meet now, one after the other until one answers. */
  readonly troubles = new Set<(request: SimulatedRequest) => Trouble | undefined>();
  /** The logs of all its sessions. */
  readonly logs: string[][] = [];
  readonly codes: (number | undefined)[] = [];
  process: PooledProcess | undefined;
  clockMilliseconds = 0;
  /** Ends with the present session. */
  ended: Promise<unknown> = Promise.resolve();
  isRunning = false;
  wasTold = false;

  constructor(
    readonly name: string,
    readonly databaseProxy: HalfOpenProxy,
    readonly exchangeProxy: HalfOpenProxy,
    readonly simulator: Simulator,
    readonly environment: Record<string, string>,
    readonly pool: Pool,
  ) {}

  start(): void {
    if (this.isRunning) return;
    const process = this.process?.isUsable ? this.process : this.pool.take();
    this.process = process;
    this.isRunning = true;
    this.wasTold = false;
    process.tell({ kind: "clock", milliseconds: this.clockMilliseconds });
    const code = process.start(this.environment, TICK_SECONDS);
    this.logs.push(process.log);
    this.ended = code.then((code) => {
      this.codes.push(code);
      this.isRunning = false;
    });
  }

  /** Told as by systemd; the process stays for another session. */
  stop(): void {
    this.wasTold = true;
    this.process?.tell({ kind: "stop" });
  }

  setClock(milliseconds: number): void {
    this.clockMilliseconds = milliseconds;
    this.process?.tell({ kind: "clock", milliseconds });
  }
}

export class Installation implements AsyncDisposable {
  readonly machines: Machine[] = [];
  readonly scribe: Scribe;
  readonly database: string;
  /** The way of the suite itself. */
  readonly watch: Database;
  /** Processes that a fault has killed. */
  readonly killed = new WeakSet<PooledProcess>();
  /** Whether the exchange's market moved while the schedule ran. */
  hasMoved = false;
  /** Milliseconds of the exchange's clock. */
  #now = Date.UTC(2026, 8, 1, 9);

  private constructor(readonly schedule: Schedule, readonly server: ChaosServer) {
    this.database = `chaos_${schedule.seed}`;
    this.watch = server.connect(this.database);
    this.scribe = new Scribe(() => {
      const [machine] = this.machines;
      if (machine === undefined) throw new Error("no machine");
      return machine.simulator.market;
    });
  }

  static async create(schedule: Schedule, server: ChaosServer, pool: Pool): Promise<Installation> {
    await using stack = new AsyncDisposableStack();
    const installation = stack.use(new Installation(schedule, server));
    await server.useClock(schedule.faults.some(({ kind }) => kind === "database's clock jumps"));
    await server.turnPage();
    await server.createDatabase(installation.database);
    await server.ask(
      `alter table p2p.settings disable trigger user;
       update p2p.settings set value = '3' where name = 'schedule_grace_seconds';
       alter table p2p.settings enable trigger user;
       update p2p.dim_markets m
       set is_active = false
       from p2p.dim_fiat_currencies f, p2p.dim_cryptocurrencies c
       where f.fiat_id = m.fiat_id
         and c.crypto_id = m.crypto_id
         and not exists (
           select
           from unnest(string_to_array('${schedule.markets}', ',')) as wanted
           where wanted in (f.currency_code || '/*', f.currency_code || '/' || c.symbol)
         );
       ${schedule.isNew ? FORGET_MARKETS : ""}`,
      installation.database,
    );
    for (let i = 1; i <= schedule.workers; i++) await installation.#addMachine(`worker-${i}`, pool);
    stack.move();
    return installation;
  }

  async #addMachine(name: string, pool: Pool): Promise<void> {
    const { schedule, server, scribe } = this;
    const troubles = (request: SimulatedRequest): Trouble | undefined => {
      for (const trouble of machine.troubles) {
        const met = trouble(request);
        if (met !== undefined) return met;
      }
      return undefined;
    };
    const simulator = await startSimulator({
      seed: 1, // the market of the template
      offers: schedule.offers,
      latencyMs: 10,
      now: () => this.#now,
      faultFor: (request) => scribe.faultFor(request, troubles(request)),
      pageText: (request, text) => scribe.pageText(request, text),
      answerFor: (request, usual) => scribe.answerFor(request, usual),
    });
    const databaseProxy = await HalfOpenProxy.before(server.url(this.database));
    const exchangeProxy = await HalfOpenProxy.before(simulator.url);
    const machine = new Machine(name, databaseProxy, exchangeProxy, simulator, {
      DATABASE_URL: databaseProxy.through(server.workerUrl(this.database)),
      BINANCE_BASE_URL: exchangeProxy.through(simulator.url),
      ALERT_WEBHOOK_URL: `http://127.0.0.1:1/${WEBHOOK_SECRET}`,
      ALERT_ON_FAILURES: "2",
      WORKER_NAME: name,
      MARKETS: schedule.markets,
      MAX_WORKERS: "4",
      EXTRACTION_INTERVAL_MINUTES: "1",
      INITIAL_RATE_LIMIT: "6000",
      MIN_RATE_LIMIT: "1200",
      MAX_RATE_LIMIT: "60000",
      RATE_LIMIT_BURST: "200",
      REQUEST_TIMEOUT_SECONDS: "0.7",
      BATCH_DEADLINE_SECONDS: String(10 * DEADLINE_SECONDS),
      LOG_LEVEL: "debug",
      ENABLE_METRICS: "false",
    }, pool);
    this.machines.push(machine);
  }

  /** As systemd does: who found no database when it started is started again. Answers what else ended. */
  supervise(): { name: string; code: number | undefined }[] {
    return this.machines.filter((machine) => !machine.isRunning && !machine.wasTold).flatMap(
      (machine) => {
        const code = machine.codes.at(-1);
        machine.start();
        return code === EXIT.unavailable ? [] : [{ name: machine.name, code }];
      },
    );
  }

  /** Prices walk, offers come and go, advertisers get renamed. */
  passTime(minutes: number): void {
    this.hasMoved = true;
    this.#now += minutes * 60_000;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const machine of this.machines) {
      const { process } = machine;
      if (machine.isRunning) process?.kill("SIGKILL");
      else if (process !== undefined) machine.pool.giveBack(process);
      await machine.databaseProxy[Symbol.asyncDispose]();
      await machine.exchangeProxy[Symbol.asyncDispose]();
      await machine.simulator.close();
    }
    await this.watch[Symbol.asyncDispose]();
    await patiently(() => this.server.dropDatabase(this.database));
  }
}
