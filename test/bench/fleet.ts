// deno-lint-ignore-file no-console
// `deno task bench fleet`: a batch by one worker, by three, and by three of which one is killed in the middle. Each has
// an address of its own, at which the exchange lets it ask so often and no more.
import { brokenTruth } from "../chaos/invariants.ts";
import { World } from "../chaos/world.ts";
import { rowsOf } from "../support/batches.ts";
import { eventually } from "../support/program.ts";

const REQUESTS_PER_MINUTE = 600;
const MARKETS = "CNY/*,UAH/*,VES/*,JPY/*,DZD/*,BDT/*,AZN/*,TRY/*,QAR/*,CLP/*,LKR/*,IDR/*";

interface Outcome {
  readonly seconds: number;
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
    markets: MARKETS,
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
  await using database = world.postgres.connect();
  const look = async () =>
    (await rowsOf(
      database,
      `select r.*, (select count(*) from p2p.stg_responses)::int as pages from p2p.ops_batch_runs r`,
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
    pages: Number(batch["pages"]),
    repeated: [...sent.values()].filter((times) => times > 1).length,
  };
}

export async function benchFleet(): Promise<void> {
  console.log(`each worker has its own address, good for ${REQUESTS_PER_MINUTE} requests/min\n`);
  console.log(`${"".padEnd(28)}  seconds  of one    pages  sent twice`);
  const alone = await batchBy(1, false);
  const tell = (title: string, { seconds, pages, repeated }: Outcome): void => {
    const share = `${(100 * seconds / alone.seconds).toFixed(0)} %`;
    const cells = [seconds.toFixed(1).padStart(9), share.padStart(8), String(pages).padStart(9)];
    console.log(title.padEnd(28) + cells.join("") + String(repeated).padStart(12));
  };
  tell("one worker", alone);
  tell("three workers", await batchBy(3, false));
  tell("three, one of them killed", await batchBy(3, true));
  console.log(
    "\nnothing is missing and nothing is there twice, compared with what the exchange served",
  );
}
