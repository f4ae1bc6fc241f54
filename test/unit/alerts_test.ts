import assert from "node:assert/strict";
import type { Alert } from "../../src/alerts/alert.ts";
import { Alerts } from "../../src/alerts/alerts.ts";
import type { IncidentStore, News } from "../../src/alerts/incident_store.ts";
import { logSink } from "../../src/alerts/log_sink.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { recordLog } from "../support/log_records.ts";

const incident = (message: string, isOver = false): News => ({
  incidentId: message,
  kind: "step_failed",
  subject: "",
  message,
  isOver,
  since: new Date(0),
  lastedSeconds: isOver ? 90 : undefined,
});

const shown = ({ kind, message, isOver }: Alert): string =>
  `${isOver ? "-" : "+"}${kind} ${message}`;

Deno.test("an incident is a line of the log, whatever is in it", async () => {
  await using log = await recordLog("info", "alert");
  logSink(incident('must: {"a": 1} {b}'));
  logSink(incident("mended", true));
  assert.deepEqual(
    log.records.map(({ level, message, properties }) =>
      `${level} ${message.join("|")} ${JSON.stringify(properties)}`
    ),
    ['error step_failed: must: {"a": 1} {b} {}', 'info step_failed: mended {"lasted":"90 s"}'],
  );
});

Deno.test("an incident of the process is told once when it begins and once when it is over", () => {
  const told: string[] = [];
  const alerts = new Alerts([(alert) => void told.push(shown(alert))], new FakeClock());
  alerts.resolve("disk_full", "nothing was wrong");
  alerts.raise("disk_full", "a");
  alerts.raise("disk_full", "b");
  alerts.raise("database_lost", "c");
  alerts.resolve("disk_full", "d");
  alerts.resolve("disk_full", "e");
  alerts.raise("disk_full", "again");
  assert.deepEqual(told, ["+disk_full a", "+database_lost c", "-disk_full d", "+disk_full again"]);
});

/** A database that is there or not, and what was written down in it. */
function scene(): {
  alerts: Alerts;
  clock: FakeClock;
  told: string[];
  written: string[];
  deliveries: PromiseWithResolvers<boolean>[];
  database: { isAway: boolean; isNews: boolean; found: News[]; watched: number };
} {
  const told: string[] = [];
  const written: string[] = [];
  const database = { isAway: false, isNews: true, found: [] as News[], watched: 0 };
  const write = (line: string): Promise<boolean> => {
    if (database.isAway) return Promise.reject(new Error("away"));
    written.push(line);
    return Promise.resolve(database.isNews);
  };
  const clock = new FakeClock();
  const store = {
    watch: () => {
      database.watched++;
      return database.isAway
        ? Promise.reject(new Error("away"))
        : Promise.resolve(database.found.splice(0));
    },
    told: (news: readonly News[]) => write(`told ${news.map(shown)}`),
    begin: (kind: string) => write(`+${kind}`),
    end: (kind: string) => write(`-${kind}`),
    beginAndEnd: (kind: string) => write(`±${kind}`),
  } as unknown as IncidentStore;
  const deliveries: PromiseWithResolvers<boolean>[] = [];
  const sink = (alert: Alert): Promise<boolean> => {
    told.push(shown(alert));
    deliveries.push(Promise.withResolvers());
    return deliveries.at(-1)?.promise ?? Promise.resolve(false);
  };
  const alerts = new Alerts([sink], clock, store);
  return { alerts, clock, told, written, database, deliveries };
}

Deno.test("a lost database is told at once without asking it, and written down when it is back", async () => {
  const { alerts, told, written, database } = scene();
  await using _ = alerts;
  database.isAway = true;
  alerts.raise("database_lost", "lost");
  assert.deepEqual(told, ["+database_lost lost"], "at once");
  await settle();
  database.isAway = false;
  alerts.resolve("database_lost", "back");
  await settle();
  assert.deepEqual(told, ["+database_lost lost", "-database_lost back"]);
  assert.deepEqual(written, ["±database_lost"]);
});

Deno.test("a full disk that another worker has told is not told again; one that cannot be written down is", async () => {
  const { alerts, told, written, database } = scene();
  await using _ = alerts;
  database.isNews = false;
  alerts.raise("disk_full", "a");
  alerts.resolve("disk_full", "b");
  await settle();
  assert.deepEqual([told, written], [[], ["+disk_full", "-disk_full"]]);
  database.isAway = true;
  alerts.raise("disk_full", "c");
  await settle();
  assert.deepEqual(told, ["+disk_full c"]);
  database.isAway = false;
  alerts.resolve("disk_full", "d");
  await settle();
  assert.deepEqual(told, ["+disk_full c", "-disk_full d"]);
  assert.equal(written.at(-1), "±disk_full");
});

Deno.test("the database is asked every ten seconds, at once where there may be news, and once more at the end", async () => {
  const { alerts, clock, told, database } = scene();
  {
    await using _ = alerts;
    await clock.advance(9_000);
    assert.equal(database.watched, 0);
    await clock.advance(1_000);
    assert.equal(database.watched, 1);
    database.found.push(incident("a"));
    alerts.look();
    await settle();
    assert.deepEqual(told, ["+step_failed a"]);
    database.isAway = true;
    await clock.advance(60_000);
    assert.equal(database.watched, 8, "it is asked again however often it is away");
    database.isAway = false;
    database.found.push(incident("b", true));
    alerts.look();
  }
  assert.deepEqual(told, ["+step_failed a", "-step_failed b"]);
  assert.equal(database.watched, 9);
});

Deno.test("what the database gave it to tell it tells once, and writes down when it is delivered, however long that takes", async () => {
  const { alerts, clock, told, written, database, deliveries } = scene();
  {
    await using _ = alerts;
    for (let time = 0; time < 3; time++) {
      database.found.push(incident("a"));
      alerts.look();
      await settle();
    }
    assert.deepEqual([told, written], [["+step_failed a"], []]);
    database.isAway = true;
    deliveries[0]?.resolve(true);
    await settle();
    assert.deepEqual(written, []);
    database.isAway = false;
    await clock.advance(10_000);
    assert.deepEqual(written, ["told +step_failed a"]);
    database.found.push(incident("b"), incident("c"));
    alerts.look();
    await settle();
  }
  deliveries[1]?.resolve(false); // a stop came first
  deliveries[2]?.resolve(true);
  await settle();
  await alerts.confirm();
  assert.deepEqual(written, ["told +step_failed a", "told +step_failed c"]);
});
