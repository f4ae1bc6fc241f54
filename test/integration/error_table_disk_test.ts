// The error table's last row: the disk of a database server fills up while the service runs, and is made larger.
import { deepStrictEqual, match } from "node:assert/strict";
import { World } from "../chaos/world.ts";
import { brokenInvariants, brokenTruth } from "../chaos/invariants.ts";
import { startAlertReceiver } from "../support/alert_receiver.ts";
import { alertKinds, alertsIn } from "../support/alerts.ts";
import { rowsOf } from "../support/batches.ts";
import { onDisk } from "../support/embedded.ts";
import { eventually } from "../support/program.ts";

const TICK_SECONDS = 2;

Deno.test("disk full: an alert at once, nothing torn, and with more room the service goes on by itself", async () => {
  await onDisk("22m", async (disk) => {
    const logFolder = await Deno.makeTempDir({ prefix: "p2p-disk-" });
    await using receiver = startAlertReceiver();
    await using world = await World.create({
      workers: 1,
      seed: 1,
      tickSeconds: TICK_SECONDS,
      logFolder,
      markets: "CNY/*,UAH/*,VES/*",
      offers: 30_000,
      latencyMs: 0,
      environment: receiver.variables,
    });
    await Deno.mkdir(`${disk}/data`);
    await world.postgres.moveTo(`${disk}/data`);
    const [machine] = world.machines;
    if (machine === undefined) throw new Error("no worker");
    world.startWorker(machine);
    const log = () => world.logOf(machine);

    await eventually(
      "the alert",
      async () => alertKinds(await log()).includes("disk_full") ? true : undefined,
    );
    match(alertsIn(await log())[0]?.message ?? "", /no space left|No space left/);
    await using database = world.postgres.connect();
    deepStrictEqual(
      await rowsOf(
        database,
        `select o.batch_id from p2p.fact_offers o join p2p.ops_batch_runs r using (batch_id) where r.status = 'running'`,
      ),
      [],
      "nothing of a batch under way is visible",
    );

    const full = new Date();
    await new Deno.Command("mount", { args: ["-o", "remount,size=600m", disk] }).output();
    const batchId = await eventually("a batch that is whole", async () => {
      const [row] = await rowsOf(
        database,
        "select batch_id from p2p.ops_batch_runs where status = 'completed' and batch_start_time > $1::timestamptz",
        full.toISOString(),
      );
      return row === undefined ? undefined : String(row["batch_id"]);
    }, 60);
    await eventually(
      "its end",
      async () => alertKinds(await log()).includes("disk_full over") ? true : undefined,
    );
    deepStrictEqual(alertKinds(await log()).filter((kind) => kind.startsWith("disk")), [
      "disk_full",
      "disk_full over",
    ]);
    deepStrictEqual(await world.stopWorkers(), [0]);
    const sent = receiver.of("webhook").filter(({ kind }) => kind === "disk_full");
    deepStrictEqual(sent.map(({ state }) => state), ["open", "resolved"]);
    deepStrictEqual(await brokenTruth(database, batchId, world.truth()), []);
    const options = { tickSeconds: TICK_SECONDS, isOver: true };
    deepStrictEqual(await brokenInvariants(database, options), []);
    await Deno.remove(logFolder, { recursive: true });
  });
});
