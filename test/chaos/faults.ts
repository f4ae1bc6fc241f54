/** What happens to the world, at random but repeatably. */
import type { Fault } from "../../src/simulator/fault.ts";
import { rowsOf } from "../support/batches.ts";
import type { Direction } from "../support/half_open_proxy.ts";
import type { ServerEnd } from "./postgres.ts";
import type { Dice } from "../support/random.ts";
import type { Machine, World } from "./world.ts";

/** One fault from its beginning until everything is mended again; answers what it was, for the log. */
type Act = (world: World, dice: Dice) => Promise<string>;

export function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

function anyMachine(world: World, dice: Dice): Machine {
  const [first, ...others] = world.machines;
  if (first === undefined) throw new Error("a world without workers");
  return dice.pick([first, ...others]);
}

/** Any but the first worker, which lives through all of it: its memory is watched. */
function mortal(world: World, dice: Dice): Machine {
  const [, second, ...others] = world.machines;
  return second === undefined ? anyMachine(world, dice) : dice.pick([second, ...others]);
}

const killWorker: Act = async (world, dice) => {
  const machine = mortal(world, dice);
  const downSeconds = dice.between(0, 6);
  machine.process?.kill("SIGKILL");
  await machine.process?.ended;
  await pause(downSeconds);
  world.startWorker(machine);
  return `${machine.name}, back after ${downSeconds.toFixed(1)} s`;
};

/** Told to stop it must end with 0, and soon. */
const stopWorker: Act = async (world, dice) => {
  const machine = mortal(world, dice);
  const { process } = machine;
  if (process?.isRunning) {
    const began = performance.now();
    process.kill("SIGTERM");
    const { code } = await process.ended;
    const seconds = (performance.now() - began) / 1000;
    if (code !== 0 || seconds > 20) {
      throw new Error(`${machine.name}, told to stop, ended with ${code} after ${seconds} s`);
    }
  }
  await pause(dice.between(0, 3));
  world.startWorker(machine);
  return machine.name;
};

const restartPostgres = (how: ServerEnd): Act => async (world, dice) => {
  const downSeconds = dice.between(0, 4);
  await world.restartPostgres(how, downSeconds);
  return `down for ${downSeconds.toFixed(1)} s`;
};

/** One session of a worker crashes: the server ends all others and recovers. */
const crashBackend: Act = async (world) => {
  await using database = world.postgres.connect();
  const [row] = await rowsOf(
    database,
    "select pid from pg_stat_activity where application_name like 'p2p-ingest%' order by random() limit 1",
  );
  if (row === undefined) return "nobody was connected";
  try {
    Deno.kill(Number(row["pid"]), "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return `backend ${row["pid"]}`;
};

const terminateBackends = (how: "one" | "all"): Act => async (world) => {
  await using database = world.postgres.connect();
  const rows = await rowsOf(
    database,
    `select pg_terminate_backend(pid)
     from (
       select pid from pg_stat_activity
       where application_name like 'p2p-ingest%'
       order by random()
       limit $1::int
     ) as chosen`,
    how === "one" ? 1 : 1000,
  );
  return `${rows.length} sessions`;
};

/** Half open, longer than a lease at times; afterwards the way is open again, or the old connections are reset. */
const freezeDatabase: Act = async (world, dice) => {
  const machine = anyMachine(world, dice);
  const seconds = dice.between(2, 22);
  const way = dice.pick<Direction | "both ways">(["both ways", "toServer", "toClient"]);
  const isCut = dice.next() < 0.5;
  machine.databaseProxy.freeze(...(way === "both ways" ? [] : [way]));
  await pause(seconds);
  if (isCut) machine.databaseProxy.cut();
  machine.databaseProxy.pass();
  return `${machine.name}, ${way}, ${seconds.toFixed(1)} s${isCut ? ", then cut" : ""}`;
};

const cutDatabase: Act = (world, dice) => {
  const machine = anyMachine(world, dice);
  machine.databaseProxy.cut();
  return Promise.resolve(machine.name);
};

/** What a server that lost its power leaves behind: connections on which nothing ever comes. */
const abandonDatabase: Act = (world, dice) => {
  const machine = anyMachine(world, dice);
  machine.databaseProxy.abandon();
  return Promise.resolve(machine.name);
};

const slowDatabase: Act = async (world, dice) => {
  const seconds = dice.between(2, 8);
  for (const { databaseProxy } of world.machines) databaseProxy.latencyMs = 150;
  await pause(seconds);
  for (const { databaseProxy } of world.machines) databaseProxy.pass();
  return `${seconds.toFixed(1)} s`;
};

const refuseExchange: Act = async (world, dice) => {
  const seconds = dice.between(2, 10);
  const machines = dice.next() < 0.5 ? world.machines : [anyMachine(world, dice)];
  for (const { exchangeProxy } of machines) exchangeProxy.refuse();
  await pause(seconds);
  for (const { exchangeProxy } of machines) exchangeProxy.pass();
  return `${machines.length} of them, ${seconds.toFixed(1)} s`;
};

/** Answers that are wrong for a while, at every address or at one. */
const answers = (rate: number, ...faults: [Fault, ...Fault[]]): Act => async (world, dice) => {
  const seconds = dice.between(2, 8);
  const machines = dice.next() < 0.5 ? world.machines : [anyMachine(world, dice)];
  for (const machine of machines) {
    machine.fault = () => dice.next() < rate ? dice.pick(faults) : undefined;
  }
  await pause(seconds);
  for (const machine of machines) machine.fault = undefined;
  return `${machines.length} of them, ${seconds.toFixed(1)} s`;
};

export const FAULTS: Readonly<Record<string, Act>> = {
  "worker killed": killWorker,
  "worker stopped": stopWorker,
  "PostgreSQL killed": restartPostgres("SIGKILL"),
  "PostgreSQL, immediate shutdown": restartPostgres("SIGQUIT"),
  "PostgreSQL, fast shutdown": restartPostgres("SIGINT"),
  "backend crashed": crashBackend,
  "one backend terminated": terminateBackends("one"),
  "all backends terminated": terminateBackends("all"),
  "database half open": freezeDatabase,
  "database cut": cutDatabase,
  "database connections dead": abandonDatabase,
  "database slow": slowDatabase,
  "exchange refuses": refuseExchange,
  "exchange fails": answers(1, { kind: "serverError" }, { kind: "serverError", status: 503 }),
  "429 storm": answers(0.7, { kind: "tooManyRequests", retryAfterSeconds: 1 }),
  "exchange hangs": answers(0.3, { kind: "timeout" }, { kind: "slow", overMs: 3000 }),
  "garbage": answers(
    0.4,
    { kind: "notJson" },
    { kind: "truncated" },
    { kind: "wrongShape" },
    { kind: "challenge" },
    { kind: "refused" },
    { kind: "malformedOffers" },
    { kind: "reset" },
  ),
};

/** Faults in a random order that holds each of the kinds before any comes again. */
export function* schedule(
  dice: Dice,
  kinds: readonly string[] = Object.keys(FAULTS),
): Generator<readonly [kind: string, act: Act]> {
  const entries = Object.entries(FAULTS).filter(([kind]) => kinds.includes(kind));
  while (entries.length > 0) {
    const round = entries.map((entry) => ({ entry, place: dice.next() }));
    for (const { entry } of round.sort((a, b) => a.place - b.place)) yield entry;
  }
}
