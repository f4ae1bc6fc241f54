/** Each kind of fault, from its beginning until it is mended. Answers how much it did: one that hit nothing proves nothing. */
import { rowsOf } from "../support/batches.ts";
import type { Direction, HalfOpenProxy } from "../support/half_open_proxy.ts";
import { holdStatement, holdTable } from "../support/sessions.ts";
import type { SimulatedRequest } from "../../src/simulator/server.ts";
import type { Trouble } from "./exchange.ts";
import { patiently } from "./patience.ts";
import type { Installation, Machine } from "./installation.ts";
import type { Dice } from "../support/random.ts";
import type { PlannedFault } from "./schedule.ts";
import { LATE_COMMITS, type ServerEnd, WORKER } from "./server.ts";

export type Act = (there: Installation, fault: PlannedFault, dice: Dice) => Promise<number>;

export function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

function machinesOf(there: Installation, { machine }: PlannedFault): readonly Machine[] {
  const one = machine === undefined ? undefined : there.machines[machine];
  return one === undefined ? there.machines : [one];
}

const killWorker: Act = async (there, fault) => {
  let hits = 0;
  await Promise.all(
    machinesOf(there, fault).map(async (machine) => {
      machine.wasTold = true;
      const { process } = machine;
      if (process?.kill("SIGKILL")) {
        there.killed.add(process);
        hits++;
      }
      await machine.ended;
      await pause(fault.seconds);
      machine.start();
    }),
  );
  return hits;
};

/** Told to stop it must end with 0, and soon. */
const stopWorker: Act = async (there, fault) => {
  let hits = 0;
  await Promise.all(
    machinesOf(there, fault).map(async (machine) => {
      machine.wasTold = true;
      const { process } = machine;
      await process?.ready; // one that is still being started dies of it
      if (process?.kill("SIGTERM")) {
        hits++;
        const deadline = setTimeout(() => process.kill("SIGKILL"), 15_000);
        const { code, signal } = await process.exited;
        clearTimeout(deadline);
        await machine.ended;
        // Somebody else may have killed it meanwhile, or it found no database when it began.
        if (
          signal !== null && !there.killed.has(process) ||
          code !== 0 && code !== 69 && signal === null
        ) {
          throw new Error(`${machine.name}, told to stop, ended with ${signal ?? code}`);
        }
      }
      await pause(fault.seconds / 2);
      machine.start();
    }),
  );
  return hits;
};

/** For longer than a lease at times: others take its markets, and then it goes on as if nothing had been. */
const freezeWorker: Act = async (there, fault) => {
  const frozen = machinesOf(there, fault).flatMap(({ process }) =>
    process?.kill("SIGSTOP") ? [process] : []
  );
  await pause(fault.seconds * 2);
  for (const process of frozen) process.kill("SIGCONT");
  return frozen.length;
};

function alone(act: Act): Act {
  return (there, fault, dice) => there.server.alone(() => act(there, fault, dice));
}

const restartServer = (how: ServerEnd): Act =>
  alone(async (there, { seconds }) => {
    await there.server.end(how);
    await pause(seconds);
    await there.server.open();
    return 1;
  });

async function backends(there: Installation, condition: string): Promise<number[]> {
  const rows = await there.server.ask(
    `select pid from pg_stat_activity where usename = '${WORKER}' and datname = '${there.database}' and ${condition}`,
  );
  return rows.map(({ pid }) => Number(pid));
}

function signalAll(pids: readonly number[], signal: Deno.Signal): number {
  let hits = 0;
  for (const pid of pids) {
    try {
      Deno.kill(pid, signal);
      hits++;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return hits;
}

/** A session crashes: the server ends all others and recovers. */
const crashBackend: Act = alone(async (there) => {
  const hits = signalAll((await backends(there, "true")).slice(0, 1), "SIGKILL");
  await patiently(() => there.server.ask("select"));
  return hits;
});

const terminate: Act = async (there, { rate, machine }) => {
  const pids = await backends(there, "true");
  const some = machine === undefined ? pids : pids.slice(0, Math.ceil(pids.length * rate));
  for (const pid of some) await there.server.ask(`select pg_terminate_backend(${pid})`);
  return some.length;
};

/** As a DBA does, or a statement_timeout. */
const cancel: Act = async (there, { seconds }) => {
  let hits = 0;
  const cancelActive = async (): Promise<number> => {
    for (const pid of await backends(there, "state = 'active'")) {
      await there.server.ask(`select pg_cancel_backend(${pid})`);
      hits++;
    }
    return hits;
  };
  await every(seconds / 4, async () => void await cancelActive());
  return await lasting(0, cancelActive);
};

async function every(seconds: number, work: () => Promise<void>): Promise<void> {
  const until = performance.now() + seconds * 1000;
  do {
    await work();
    await pause(0.02);
  } while (performance.now() < until);
}

/** A fault goes on so much longer at most, until it has hit something. */
const UNTIL_HIT_SECONDS = 3;

/** Lasts, and then until there is something to answer. */
async function lasting(seconds: number, hits: () => number | Promise<number>): Promise<number> {
  await pause(seconds);
  const until = performance.now() + UNTIL_HIT_SECONDS * 1000;
  for (;;) {
    const number = await hits();
    if (number > 0 || performance.now() > until) return number;
    await pause(0.02);
  }
}

/** Counts who had to wait. */
async function waiters(there: Installation, seconds: number): Promise<number> {
  const seen = new Set<number>();
  const look = async (): Promise<number> => {
    for (const pid of await backends(there, "wait_event_type = 'Lock'")) seen.add(pid);
    return seen.size;
  };
  await every(seconds, async () => void await look());
  return await lasting(0, look);
}

const TABLES = [
  "p2p.ops_batch_runs",
  "p2p.stg_responses",
  "p2p.fact_offers",
  "p2p.ops_batch_markets",
  "p2p.dim_advertisers",
  "p2p.ops_workers",
] as const;

const lockTable: Act = async (there, { seconds }, dice) => {
  const url = there.server.url(there.database);
  const mode = dice.pick(["access exclusive", "exclusive"] as const);
  await using _held = await holdTable(url, dice.pick(TABLES), mode);
  return await waiters(there, seconds);
};

/** Pages are just being stored, and their sessions end: none of them is there. */
const cutStoring: Act = alone(async (there) => {
  await using _held = await holdTable(
    there.server.url(there.database),
    "p2p.stg_responses",
    "exclusive",
  );
  return await lasting(0, async () => {
    const pids = await backends(there, "wait_event_type = 'Lock' and query like '%store_page%'");
    for (const pid of pids) await there.server.ask(`select pg_terminate_backend(${pid})`);
    return pids.length;
  });
});

/** A batch is loaded, and nobody hears of it: its load is called again. */
const loseLoadAnswer: Act = alone(async (there) => {
  await using held = await holdTable(
    there.server.url(there.database),
    "p2p.dim_advertisers",
    "exclusive",
  );
  const loads = await lasting(
    0,
    async () =>
      (await backends(there, "wait_event_type = 'Lock' and query like '%load_batch%'")).length,
  );
  if (loads === 0) return 0;
  const closed = async () =>
    (await rowsOf(there.watch, "select from p2p.ops_batch_runs where status <> 'running'")).length;
  const before = await closed();
  const proxies = there.machines.map(({ databaseProxy }) => databaseProxy);
  for (const proxy of proxies) proxy.freeze("toClient");
  await held[Symbol.asyncDispose]();
  const hits = await lasting(0, async () => await closed() - before);
  for (const proxy of proxies) {
    proxy.cut();
    proxy.pass();
  }
  return hits;
});

const lockRows: Act = async (there, { seconds }) => {
  const hold = () =>
    holdStatement(
      there.server.url(there.database),
      `select from p2p.ops_batch_markets bm join p2p.ops_batch_runs r using (batch_id)
       where r.status = 'running' for update`,
    );
  const isRunning = () =>
    rowsOf(there.watch, "select from p2p.ops_batch_runs where status = 'running'");
  await lasting(0, async () => (await isRunning().catch(() => [])).length);
  // It takes its locks in no order of the workers': where both wait for each other, PostgreSQL ends one of them.
  let held: Awaited<ReturnType<typeof hold>> | undefined;
  for (let attempt = 0; held === undefined; attempt++) {
    held = await hold().catch((error) => {
      if (!String(error).includes("deadlock detected")) throw error;
      return undefined;
    });
    if (attempt === 5) return attempt; // so often somebody had to wait
  }
  try {
    return await waiters(there, seconds);
  } finally {
    await held.commit();
  }
};

const fillDisk: Act = alone(async (there, { seconds }) => {
  if (!there.server.hasDisk) return 0;
  const said = () =>
    there.machines.reduce(
      (sum, { logs }) => sum + logs.flat().join("").split(/[Nn]o space left/).length - 1,
      0,
    );
  const before = said();
  {
    await using _full = await there.server.fillDisk();
    return await lasting(seconds, () => said() - before);
  }
});

/** As a disk that does not answer: nothing of the server moves. */
const stallDisk: Act = alone(async (there, { seconds }) => {
  const children = await there.server.children();
  const hits = signalAll(children, "SIGSTOP");
  await pause(seconds);
  signalAll(children, "SIGCONT");
  return hits;
});

const exhaust: Act = alone(async (there, { seconds }) => {
  const { server } = there;
  const told = () =>
    there.machines.flatMap(({ logs }) => logs.flat()).join("").split("too many connections").length;
  const before = told();
  await server.ask(`alter role ${WORKER} connection limit 0`);
  try {
    for (const pid of await backends(there, "true")) {
      await server.ask(`select pg_terminate_backend(${pid})`);
    }
    return await lasting(seconds, () => told() - before);
  } finally {
    await server.ask(`alter role ${WORKER} connection limit -1`);
  }
});

/** Every commit takes long, as on a disk that is slow to sync; a server that does not sync would not delay it. */
const slowCommits: Act = alone(async (there, { seconds }) => {
  for (const [name, value] of Object.entries(LATE_COMMITS)) {
    await there.server.ask(`alter system set ${name} = ${value}`);
  }
  await there.server.ask("select pg_reload_conf()");
  try {
    let hits = 0;
    const look = async (): Promise<number> => {
      const began = performance.now();
      await there.server.ask("select pg_logical_emit_message(true, 'chaos', 'a commit')");
      if (performance.now() - began > 50) hits++;
      return hits;
    };
    await every(seconds, async () => void await look());
    return await lasting(0, look);
  } finally {
    await there.server.commitAtOnce();
  }
});

type Way = "databaseProxy" | "exchangeProxy";

/** A fault of the network. @param isHit of a proxy, by what it had carried when the fault began */
const network = (
  way: Way,
  spoil: (proxy: HalfOpenProxy, fault: PlannedFault) => void,
  isHit: (proxy: HalfOpenProxy, before: { accepted: number; bytesToServer: number }) => boolean,
): Act =>
async (there, fault) => {
  const proxies = machinesOf(there, fault).map((machine) => machine[way]);
  const before = proxies.map(({ accepted, bytesToServer, connections }) => ({
    accepted: accepted - connections,
    bytesToServer,
  }));
  for (const proxy of proxies) spoil(proxy, fault);
  const hits = await lasting(
    fault.seconds,
    () => proxies.filter((proxy, i) => isHit(proxy, before[i] ?? proxy)).length,
  );
  for (const proxy of proxies) proxy.pass();
  return hits;
};

/** Something was sent while it lasted. */
const spoiled = (way: Way, spoil: (proxy: HalfOpenProxy, fault: PlannedFault) => void): Act =>
  network(way, spoil, (proxy, before) => proxy.bytesToServer > before.bytesToServer);

/** There was a connection to break, or somebody tried to make one. */
const broken = (way: Way, spoil: (proxy: HalfOpenProxy) => void): Act =>
  network(way, spoil, (proxy, before) => proxy.accepted > before.accepted);

const halfOpen = (way: Way): Act =>
  spoiled(
    way,
    (proxy, fault) => proxy.freeze(...(fault.way === "both ways" ? [] : [fault.way as Direction])),
  );
const cut = (way: Way): Act => broken(way, (proxy) => proxy.cut());
const slow = (way: Way): Act => spoiled(way, (proxy) => proxy.latencyMs = 60);
const throttled = (way: Way): Act => spoiled(way, (proxy) => proxy.bytesPerSecond = 100_000);

/** Requests meet it while it lasts; then, if none did, the next one. */
const trouble = (make: (fault: PlannedFault) => Trouble): Act => async (there, fault, dice) => {
  let hits = 0;
  let rate = fault.rate;
  const meet = (): Trouble | undefined => {
    if (dice.next() >= rate) return undefined;
    hits++;
    return make(fault);
  };
  const machines = machinesOf(there, fault);
  for (const { troubles } of machines) troubles.add(meet);
  await lasting(fault.seconds, () => {
    if (hits === 0) rate = 1;
    return hits;
  });
  for (const { troubles } of machines) troubles.delete(meet);
  return hits;
};

/** Until a book is known to miss its second page: what there is of it is loaded. */
const loseSecondPages: Act = async (there, fault) => {
  const meet = ({ search }: SimulatedRequest): Trouble | undefined =>
    search?.page === 2 ? { kind: "wrongShape" } : undefined;
  const machines = machinesOf(there, fault);
  for (const { troubles } of machines) troubles.add(meet);
  const hits = await lasting(0, async () => {
    const missing = "select from p2p.ops_batch_markets where 2 = any (lost_pages)";
    return (await rowsOf(there.watch, missing)).length;
  });
  for (const { troubles } of machines) troubles.delete(meet);
  return hits;
};

function answerOf({ how, seconds, jumpSeconds }: PlannedFault): Trouble {
  switch (how) {
    case "tooManyRequests":
      return jumpSeconds > 0 ? { kind: how, retryAfterSeconds: Math.ceil(seconds) } : { kind: how };
    case "slow":
      return { kind: how, overMs: seconds * 600 };
    case "oversized":
      return { kind: how, bytes: 9 * 1024 * 1024 };
    default:
      return { kind: how } as Trouble;
  }
}

const jumpWorker: Act = async (there, fault) => {
  const machines = machinesOf(there, fault);
  for (const machine of machines) machine.setClock(fault.jumpSeconds * 1000);
  await pause(fault.seconds);
  const hits = machines.filter(({ isRunning }) => isRunning).length;
  for (const machine of machines) machine.setClock(0);
  return hits;
};

const jumpDatabase: Act = alone(async (there, { jumpSeconds, seconds }) => {
  if (!there.server.hasClock) return 0;
  await there.server.setClock(jumpSeconds);
  try {
    return await lasting(seconds, async () => {
      const [row] = await there.server.ask("select extract(epoch from clock_timestamp()) as now");
      return Math.abs(Number(row?.["now"]) - Date.now() / 1000 - jumpSeconds) < 2 ? 1 : 0;
    });
  } finally {
    await there.server.setClock(0);
  }
});

/** The book moves while it is read. */
const moveOn: Act = async (there, { seconds, jumpSeconds }) => {
  const before = there.scribe.sent.size;
  there.passTime(Math.abs(jumpSeconds));
  return await lasting(seconds, () => there.scribe.sent.size - before);
};

export const ACTS: Readonly<Record<string, Act>> = {
  "worker killed": killWorker,
  "worker stopped": stopWorker,
  "worker frozen": freezeWorker,
  "PostgreSQL killed": restartServer("SIGKILL"),
  "PostgreSQL, immediate shutdown": restartServer("SIGQUIT"),
  "PostgreSQL, fast shutdown": restartServer("SIGINT"),
  "backend crashed": crashBackend,
  "backends terminated": terminate,
  "statements cancelled": cancel,
  "table locked": lockTable,
  "batch rows locked": lockRows,
  "storing cut short": cutStoring,
  "load's answer lost": loseLoadAnswer,
  "disk full": fillDisk,
  "disk stalls": stallDisk,
  "no connections left": exhaust,
  "commits late": slowCommits,
  "database half open": halfOpen("databaseProxy"),
  "database cut": cut("databaseProxy"),
  "database connections dead": broken("databaseProxy", (proxy) => proxy.abandon()),
  "database slow": slow("databaseProxy"),
  "database throttled": throttled("databaseProxy"),
  "exchange refuses": broken("exchangeProxy", (proxy) => proxy.refuse()),
  "exchange half open": halfOpen("exchangeProxy"),
  "exchange cut": cut("exchangeProxy"),
  "exchange slow": slow("exchangeProxy"),
  "exchange throttled": throttled("exchangeProxy"),
  "answers": trouble(answerOf),
  "second pages lost": loseSecondPages,
  "pages altered": trouble(({ how }) => ({ kind: "altered", how } as Trouble)),
  "nonsense": trouble(({ how }) => ({ kind: "nonsense", how } as Trouble)),
  "worker's clock jumps": jumpWorker,
  "database's clock jumps": jumpDatabase,
  "exchange moves on": moveOn,
};

/** Whether the fleet is at what a fault waits for. */
export async function isAt(there: Installation, when: string): Promise<boolean> {
  const conditions: Readonly<Record<string, string>> = {
    fetching: "select from p2p.ops_batch_markets where status = 'fetching' limit 1",
    loading: "select from p2p.ops_batch_runs where status = 'running' and loader_id is not null",
    idle: "select from p2p.ops_workers where doing = 'idle' limit 1",
    "half stored": `select from p2p.ops_batch_markets bm join p2p.ops_batch_runs r using (batch_id)
      where r.status = 'running' having avg((bm.status in ('complete', 'incomplete', 'failed'))::int) >= 0.5`,
  };
  return (await rowsOf(there.watch, conditions[when] ?? "select")).length > 0;
}
