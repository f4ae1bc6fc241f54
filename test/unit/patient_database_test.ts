// How long a lost database is waited for, and what people are told of it.
import assert from "node:assert/strict";
import { Alerts } from "../../src/alerts/alerts.ts";
import type { Database, Row } from "../../src/database/connection.ts";
import { DEADLINES } from "../../src/deadlines.ts";
import { DatabaseTimeout, explain } from "../../src/database/errors.ts";
import { DatabaseError } from "../../src/errors.ts";
import { PatientDatabase } from "../../src/extract/patient_database.ts";
import { FakeClock } from "../support/fake_clock.ts";

class Scene {
  readonly clock: FakeClock;
  readonly told: string[] = [];
  readonly stop = new AbortController();
  tries = 0;
  readonly patient: PatientDatabase;

  /** @param answer told how many tries came before */
  constructor(answer: (before: number) => Promise<Row[]>, skips = true) {
    this.clock = new FakeClock({ skips });
    const database = { run: () => answer(this.tries++) } as unknown as Database;
    const alerts = new Alerts(
      [({ kind, isOver }) => void this.told.push(`${kind} ${isOver ? "is over" : "begins"}`)],
      this.clock,
    );
    this.patient = new PatientDatabase(database, this.clock, alerts, this.stop.signal);
  }
}

const lost = (): Promise<Row[]> => Promise.reject(new DatabaseTimeout("silent"));
const seconds = ({ clock }: Scene): number =>
  clock.waits.reduce((sum, wait) => sum + wait, 0) / 1000;

Deno.test("three quick tries, then one every five seconds; people are told at once and when it is over", async () => {
  const scene = new Scene((before) => before < 6 ? lost() : Promise.resolve([{ a: 1 }]));
  scene.patient.waitFor(60);
  assert.deepEqual(await scene.patient.call("select", []), [{ a: 1 }]);
  assert.deepEqual(scene.clock.waits, [200, 1000, 3000, 5000, 5000, 5000]);
  assert.deepEqual(scene.told, ["database_lost begins", "database_lost is over"]);
});

Deno.test("a login with too few connections is no lost database, unless nothing is answered for ten seconds", async () => {
  const refused = Object.assign(new Error("too many connections for role"), { code: "53300" });
  const scene = new Scene((before) =>
    before % 2 === 0 && before !== 0 || before > 7
      ? Promise.reject(explain(refused, "db"))
      : Promise.resolve([])
  );
  for (let call = 0; call < 5; call++) await scene.patient.call("select", []);
  assert.deepEqual(scene.told, []);
  scene.patient.waitFor(60);
  await assert.rejects(scene.patient.call("select", []), /gives no further connection/);
  assert.deepEqual(scene.told, ["database_lost begins"]);
});

Deno.test("without a window it is given up after ten seconds", async () => {
  const scene = new Scene(lost);
  await assert.rejects(scene.patient.call("select", []), DatabaseTimeout);
  assert.equal(seconds(scene), 9.2);
  assert.deepEqual(scene.told, ["database_lost begins"]);
});

Deno.test("with a window it is waited for until that is over", async () => {
  const scene = new Scene(lost);
  scene.patient.waitFor(300);
  await assert.rejects(scene.patient.call("select", []), DatabaseTimeout);
  assert(seconds(scene) > 294 && seconds(scene) <= 300);
});

Deno.test("being told to stop leaves it a few seconds", async () => {
  const scene = new Scene((before) => {
    if (before === 3) scene.stop.abort();
    return lost();
  });
  scene.patient.waitFor(300);
  await assert.rejects(scene.patient.call("select", []), DatabaseTimeout);
  assert.equal(scene.tries, 4);
  const late = new Scene((before) => before < 2 ? lost() : Promise.resolve([]), false);
  late.stop.abort();
  const answered = late.patient.call("select", []);
  for (const wait of [200, 1000]) await late.clock.advance(wait);
  await answered;
  assert.equal(late.tries, 3);
});

Deno.test("being told to stop also ends the wait for a server that is silent, but for a load", async () => {
  const run = (_: string, __: readonly unknown[], ___: number, signal?: AbortSignal) =>
    new Promise<Row[]>((resolve, reject) => {
      if (signal === undefined) resolve([{ loaded: true }]);
      signal?.addEventListener("abort", () => reject(signal.reason));
    });
  const stop = new AbortController();
  const clock = new FakeClock({ skips: true });
  const patient = new PatientDatabase(
    { run } as unknown as Database,
    clock,
    new Alerts([], clock),
    stop.signal,
  );
  patient.waitFor(300);
  const storing = patient.call("store", [], DEADLINES.storeSeconds);
  stop.abort();
  await assert.rejects(storing, /no answer since the worker was told to stop/);
  await assert.rejects(patient.callOnce("leave", []), DatabaseTimeout);
  assert.deepEqual(await patient.call("load", [], DEADLINES.loadSeconds, "finish"), [{
    loaded: true,
  }]);
});

Deno.test("what the database refuses is not tried again", async () => {
  const scene = new Scene(() => Promise.reject(new DatabaseError("no privilege")));
  await assert.rejects(scene.patient.call("select", []), /no privilege/);
  assert.equal(scene.tries, 1);
  assert.deepEqual(scene.told, []);
});

Deno.test("a full disk is told; it is over with the next page that is stored", async () => {
  const cause = Object.assign(new Error("could not extend file"), { code: "53100" });
  let isFull = true;
  const scene = new Scene(() =>
    isFull
      ? Promise.reject(new DatabaseError("the database's disk is full", undefined, { cause }))
      : Promise.resolve([])
  );
  await assert.rejects(scene.patient.call("select", []));
  await assert.rejects(scene.patient.call("select", []));
  isFull = false;
  await scene.patient.call("select", []);
  assert.deepEqual(scene.told, ["disk_full begins"], "reading a row proves nothing");
  scene.patient.hasRoom();
  assert.deepEqual(scene.told, ["disk_full begins", "disk_full is over"]);
});

Deno.test("who had to give way in a deadlock tries again; people are not told that the database is lost", async () => {
  const deadlock = Object.assign(new Error("deadlock detected"), { code: "40P01" });
  const scene = new Scene((before) =>
    before < 2 ? Promise.reject(explain(deadlock, "here")) : Promise.resolve([{ a: 1 }])
  );
  assert.deepEqual(await scene.patient.call("select", []), [{ a: 1 }]);
  assert.deepEqual(scene.clock.waits, [200, 1000]);
  assert.deepEqual(scene.told, []);
});
