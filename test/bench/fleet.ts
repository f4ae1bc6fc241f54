// deno-lint-ignore-file no-console
// `deno task bench fleet`: a batch by one worker, by three, and by three of which one is killed in the middle. Each has
// an address of its own, at which the exchange lets it ask so often and no more.
import { brokenTruth } from "../chaos/invariants.ts";
import { World } from "../chaos/world.ts";
import { rowsOf } from "../support/batches.ts";
import { eventually } from "../support/program.ts";
import { startSimulator } from "../../src/simulator/server.ts";
import { figure, type Finding, table } from "./finding.ts";
import { once, SOME_MARKETS } from "./processes.ts";

const REQUESTS_PER_MINUTE = 600;

interface Outcome {
  readonly seconds: number;
  /** From the first page to the last. */
  readonly fetchingSeconds: number;
  readonly pages: number;
  /** Pages that the exchange sent more than once. */
  readonly repeated: number;
}

async function batchBy(workers: number, isOneKilled: boolean): Promise<Outcome> {
  const logFolder = await Deno.makeTempDir({ prefix: "p2p-bench-fleet-" });
  await using world = await World.create({
    workers,
    seed: 1,
    tickSeconds: 3600,
    logFolder,
    markets: SOME_MARKETS,
    offers: 10_000,
    latencyMs: 100,
    requestsPerMinute: REQUESTS_PER_MINUTE,
    environment: {
      MIN_RATE_LIMIT: String(REQUESTS_PER_MINUTE),
      INITIAL_RATE_LIMIT: String(REQUESTS_PER_MINUTE),
      MAX_RATE_LIMIT: String(REQUESTS_PER_MINUTE),
      RATE_LIMIT_BURST: "1",
      BATCH_DEADLINE_SECONDS: "480",
    },
  });
  await learnSizes(world);
  await using database = world.postgres.connect();
  const look = async () =>
    (await rowsOf(
      database,
      `select
         r.*,
         count(s.*)::int as pages,
         extract(epoch from max(s.observed_at) - min(s.observed_at))::float8 as fetching_seconds
       from p2p.ops_batch_runs r
       left join p2p.stg_responses s using (batch_id)
       where r.due_at is not null
       group by r.batch_id`,
    ))[0];
  for (const machine of world.machines) world.startWorker(machine);
  if (isOneKilled) {
    const victim = world.machines.at(-1);
    await eventually("a third of the pages", async () => {
      const row = await look();
      return Number(row?.["pages"] ?? 0) > 120 ? true : undefined;
    }, 120);
    victim?.process?.kill("SIGKILL");
  }
  const batch = await eventually("the end of the batch", async () => {
    const row = await look();
    return row !== undefined && row["status"] !== "running" ? row : undefined;
  }, 240);
  if (batch["status"] !== "completed") {
    throw new Error(`${batch["status"]}: ${batch["error_summary"]}`);
  }
  const broken = await brokenTruth(database, String(batch["batch_id"]), world.truth());
  if (broken.length > 0) throw new Error(`missing or twice: ${Deno.inspect(broken)}`);
  const sent = new Map<string, number>();
  for (const machine of world.machines) {
    for (const [page, times] of machine.sent) sent.set(page, (sent.get(page) ?? 0) + times);
  }
  await world.stopWorkers();
  await Deno.remove(logFolder, { recursive: true });
  return {
    seconds: Number(batch["execution_time_seconds"]),
    fetchingSeconds: Number(batch["fetching_seconds"]),
    pages: Number(batch["pages"]),
    repeated: [...sent.values()].filter((times) => times > 1).length,
  };
}

/** A first batch, as fast as it goes: from it the plan knows which markets take long. */
async function learnSizes({ options, postgres }: World): Promise<void> {
  const { seed, offers, markets } = options;
  const simulator = await startSimulator({ seed, offers });
  const learner = { MARKETS: markets, WORKER_NAME: "learner" };
  await once(postgres.workerUrl, simulator.url, learner);
  await simulator.close();
}

export async function benchFleet(): Promise<Finding[]> {
  const outcomes: [string, Outcome][] = [];
  for (
    const [title, workers, isOneKilled] of [
      ["one worker", 1, false],
      ["three workers", 3, false],
      ["three, one of them killed", 3, true],
    ] as const
  ) {
    console.error(title);
    outcomes.push([title, await batchBy(workers, isOneKilled)]);
  }
  const [[, alone] = []] = outcomes;
  const rows = outcomes.map(([title, { seconds, fetchingSeconds, pages, repeated }]) => [
    title,
    ...[
      seconds,
      seconds / (alone?.seconds ?? NaN),
      fetchingSeconds,
      fetchingSeconds / (alone?.fetchingSeconds ?? NaN),
    ].map(figure),
    String(pages),
    String(repeated),
  ]);
  console.log(
    `Each worker has its own address, good for ${REQUESTS_PER_MINUTE} requests a minute. Nothing is missing and nothing is ` +
      "there twice, compared with what the exchange served.\n",
  );
  console.log(table(
    ["", "batch s", "× one worker", "fetching s", "× one worker", "pages", "sent twice"],
    rows,
  ));
  return outcomes.slice(1).map(([title, { fetchingSeconds }]) => ({
    scenario: "fleet",
    what: `${title} ÷ one worker, seconds of fetching`,
    value: fetchingSeconds / (alone?.fetchingSeconds ?? NaN),
    unit: "×",
  }));
}
